/* line: a message is a line, for people and scripts. Every line is answered with its record number. */
#include <string.h>

#include "base/text.h"
#include "wire/rows.h"

enum { ANSWER_SIZE_MAX = 4 + 20 + 1 }; /* "ACK ", the longest number, LF */

/* Where no LF is in sight yet: is the line too long whatever follows? A CR at its end may be half of a CR LF. */
static bool is_too_long(const struct wire *w, const uint8_t *data, size_t size)
{
	if (size <= w->message_max)
		return false;
	return size > (size_t)w->message_max + 1 || data[size - 1] != '\r';
}

static void next(const struct wire *w, const uint8_t *data, size_t size, unsigned flags,
		 struct wire_event *ret)
{
	bool ended = (flags & WIRE_ENDED) != 0;
	const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;

	if (end != NULL) {
		size_t consumed = (size_t)(end - data) + 1;
		size_t line = consumed - 1;

		if (line > 0 && data[line - 1] == '\r')
			line--;
		if (line > w->message_max)
			wire_refuse(ret, FAULT_TOO_BIG, 0);
		else
			wire_message(ret, data, line, consumed);
	} else if (is_too_long(w, data, size) || (ended && size > w->message_max)) {
		wire_refuse(ret, FAULT_TOO_BIG, 0);
	} else if (!ended) {
		ret->need = size + 1;
	} else if (size > 0) {
		wire_message(ret, data, size, size);
	} else {
		ret->kind = WIRE_END;
	}
}

static size_t reply(const struct wire *w, struct wire_reply *what, uint8_t *out, size_t room)
{
	size_t size = 0;

	(void)w;
	if (what->kind != REPLY_ACK)
		return 0;
	while (what->record_from <= what->record && room - size >= ANSWER_SIZE_MAX) {
		char digits[TEXT_U64_SIZE];
		size_t count = text_u64(what->record_from, digits);

		memcpy(out + size, "ACK ", 4);
		memcpy(out + size + 4, digits, count);
		out[size + 4 + count] = '\n';
		size += 4 + count + 1;
		what->record_from++;
	}
	return size;
}

const struct wire_row wire_row_line = {
	.next = next,
	.reply = reply,
	.after_ack = AFTER_GO_ON,
};
