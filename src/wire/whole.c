/* whole: a message is everything up to the half-close; one connection, one record. */
#include "wire/rows.h"

static void next(const struct wire *w, const uint8_t *data, size_t size, unsigned flags,
		 struct wire_event *ret)
{
	if (size > w->message_max) {
		wire_refuse(ret, FAULT_TOO_BIG, 0);
	} else if ((flags & WIRE_ENDED) == 0) {
		ret->need = size + 1;
	} else if (size > 0) {
		wire_message(ret, data, size, size);
	} else {
		ret->kind = WIRE_END;
	}
}

const struct wire_row wire_row_whole = {
	.next = next,
	.reply = wire_reply_classic,
	.after_ack = AFTER_CLOSE,
};
