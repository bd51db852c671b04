/* raw: a message is what has arrived when nothing more is readable, for peers that have never heard of Roger. */
#include "wire/rows.h"

static void next(const struct wire *w, const uint8_t *data, size_t size, unsigned flags,
		 struct wire_event *ret)
{
	if (size >= w->message_max) {
		wire_message(ret, data, w->message_max, w->message_max);
	} else if (size > 0 && (flags & (WIRE_DRAINED | WIRE_ENDED)) != 0) {
		wire_message(ret, data, size, size);
	} else if ((flags & WIRE_ENDED) != 0) {
		ret->kind = WIRE_END;
	} else {
		ret->need = size + 1;
	}
}

const struct wire_row wire_row_raw = {
	.next = next,
	.reply = wire_reply_classic,
	.after_ack = AFTER_SHUT,
};
