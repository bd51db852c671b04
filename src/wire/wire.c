/* The table of protocols, and what they share. */
#include "wire/wire.h"

#include <string.h>

#include "base/must.h"
#include "wire/native.h"
#include "wire/rows.h"

static const struct wire_row *const rows[PROTOCOL_COUNT] = {
	[PROTOCOL_NATIVE] = &wire_row_native,
	[PROTOCOL_RAW] = &wire_row_raw,
	[PROTOCOL_WHOLE] = &wire_row_whole,
	[PROTOCOL_LINE] = &wire_row_line,
};

/* A payload's size and its header must fit 32 bits with room to spare. */
#define MESSAGE_MAX_MAX (UINT32_C(1) << 31)

static const struct wire_row *row(const struct wire *w)
{
	must(w->protocol < PROTOCOL_COUNT && rows[w->protocol] != NULL);
	return rows[w->protocol];
}

const char *wire_fault_text(enum wire_fault fault)
{
	static const char *const texts[FAULT_COUNT] = {
		[FAULT_NONE] = "no fault",
		[FAULT_PREFACE] = "the connection does not open with a valid HELLO",
		[FAULT_HELLO] = "HELLO holds a value that is not allowed",
		[FAULT_CHECKSUM] = "a frame's checksum does not fit",
		[FAULT_TOO_BIG] = "the message is too big",
		[FAULT_GAP] = "messages before the client's first one are missing here",
		[FAULT_FENCED] = "another sender has taken the stream over",
		[FAULT_BUSY] = "no room at the moment",
		[FAULT_BYE] = "BYE on a named stream, or something after BYE",
		[FAULT_SEQ] = "sequence numbers are used up",
		[FAULT_DEADLINE] = "too slow",
	};

	if ((unsigned)fault >= FAULT_COUNT)
		return "unknown fault";
	return texts[fault];
}

void wire_init(struct wire *w, enum protocol protocol, uint32_t message_max)
{
	must(message_max >= 1 && message_max <= MESSAGE_MAX_MAX);
	*w = (struct wire){ .protocol = (uint8_t)protocol, .message_max = message_max };
	(void)row(w);
}

int wire_is_native(const uint8_t *data, size_t size)
{
	size_t compared = size < NATIVE_PREFACE_SIZE ? size : NATIVE_PREFACE_SIZE;

	if (compared > 0 && memcmp(data, native_preface, compared) != 0)
		return 0;
	return compared == NATIVE_PREFACE_SIZE ? 1 : -1;
}

void wire_next(const struct wire *w, const uint8_t *data, size_t size, unsigned flags,
	       struct wire_event *ret)
{
	if (size == 0)
		data = (const uint8_t *)""; /* the caller may have no memory to point to */
	*ret = (struct wire_event){ .kind = WIRE_MORE };
	row(w)->next(w, data, size, flags, ret);
	must(ret->consumed <= size);
	must(ret->kind != WIRE_MORE || ret->need > size);
}

void wire_accept(struct wire *w, const struct wire_event *event)
{
	if (row(w)->accept != NULL)
		row(w)->accept(w, event);
}

size_t wire_reply(const struct wire *w, struct wire_reply *reply, uint8_t *out, size_t room)
{
	size_t size = row(w)->reply(w, reply, out, room);

	must(size <= room);
	return size;
}

enum wire_after wire_after_ack(const struct wire *w)
{
	return row(w)->after_ack;
}

void wire_refuse(struct wire_event *ret, enum wire_fault fault, uint64_t seq)
{
	ret->kind = WIRE_REFUSED;
	ret->fault = fault;
	ret->first_seq = seq;
}

void wire_message(struct wire_event *ret, const uint8_t *payload, size_t size, size_t consumed)
{
	ret->kind = WIRE_MESSAGE;
	ret->data = payload;
	ret->size = size;
	ret->count = 1;
	ret->consumed = consumed;
}

size_t wire_reply_classic(const struct wire *w, struct wire_reply *reply, uint8_t *out, size_t room)
{
	(void)w;
	if (reply->kind != REPLY_ACK)
		return 0;
	must(room >= 4);
	memcpy(out, "ACK!", 4);
	return 4;
}
