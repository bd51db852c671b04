#include "wire/native_client.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"

/* Largest max-message that a server may announce (wire_init). */
#define MESSAGE_MAX_MAX (UINT32_C(1) << 31)

void native_put_hello(uint8_t out[NATIVE_HELLO_SIZE], const struct wire_hello *hello)
{
	memcpy(out, native_preface, NATIVE_PREFACE_SIZE);
	put_u32(out + 8, hello->flags);
	memcpy(out + 12, hello->stream.bytes, STREAM_ID_SIZE);
	put_u64(out + 28, hello->writer);
	put_u64(out + 36, hello->first);
	put_u32(out + 44, crc32c(0, out, NATIVE_HELLO_SIZE - 4));
}

/* May a body of this kind have this size? Asked before the size is used for anything. */
static bool size_fits(uint32_t kind, uint32_t size)
{
	switch (kind) {
	case NATIVE_WELCOME: return size == NATIVE_WELCOME_SIZE;
	case NATIVE_ACK: return size == NATIVE_ACK_SIZE;
	case NATIVE_ERROR: return size >= NATIVE_ERROR_SIZE && size <= NATIVE_BODY_MAX;
	case NATIVE_WAIT: return size == 0;
	case NATIVE_DRAIN: return size == NATIVE_DRAIN_SIZE;
	default: return false;
	}
}

static enum native_answer_kind take_welcome(const uint8_t *body, struct wire_welcome *ret)
{
	ret->flags = get_u32(body);
	ret->message_max = get_u32(body + 4);
	memcpy(ret->journal_id, body + 8, JOURNAL_ID_SIZE);
	ret->last = get_u64(body + 24);
	ret->record = get_u64(body + 32);
	ret->writer = get_u64(body + 40);
	ret->h = get_u32(body + 48);
	if ((ret->flags & ~(uint32_t)WELCOME_NOT_DURABLE) != 0)
		return ANSWER_BROKEN;
	if (ret->message_max < 1 || ret->message_max > MESSAGE_MAX_MAX || ret->last > SEQ_MAX)
		return ANSWER_BROKEN;
	return ANSWER_WELCOME;
}

static enum native_answer_kind take_body(uint32_t kind, const uint8_t *body, uint32_t size,
					 struct native_answer *ret)
{
	switch (kind) {
	case NATIVE_WELCOME:
		return take_welcome(body, &ret->welcome);
	case NATIVE_ACK:
		ret->seq = get_u64(body);
		ret->record = get_u64(body + 8);
		return ret->seq <= SEQ_MAX ? ANSWER_ACK : ANSWER_BROKEN;
	case NATIVE_ERROR:
		ret->fault = get_u32(body);
		ret->seq = get_u64(body + 4);
		ret->text = body + NATIVE_ERROR_SIZE;
		ret->text_size = size - NATIVE_ERROR_SIZE;
		return ANSWER_ERROR;
	case NATIVE_WAIT:
		return ANSWER_WAIT;
	default:
		ret->wait_ms = get_u32(body);
		return ANSWER_DRAIN;
	}
}

void native_answer_next(bool opened, const uint8_t *data, size_t size, struct native_answer *ret)
{
	size_t preface = opened ? 0 : NATIVE_PREFACE_SIZE;

	*ret = (struct native_answer){ .kind = ANSWER_MORE };
	if (!opened && wire_is_native(data, size) == 0) {
		ret->kind = ANSWER_FOREIGN;
		return;
	}
	if (size < preface + NATIVE_HEADER_SIZE)
		return;

	const uint8_t *header = data + preface;
	const uint8_t *body = header + NATIVE_HEADER_SIZE;
	uint32_t kind = get_u32(header);
	uint32_t body_size = get_u32(header + 4);

	if (!size_fits(kind, body_size)) {
		ret->kind = ANSWER_BROKEN;
		return;
	}
	if (size - preface - NATIVE_HEADER_SIZE < body_size)
		return;
	if (crc32c(crc32c(0, header, 8), body, body_size) != get_u32(header + 8)) {
		ret->kind = ANSWER_BROKEN;
		return;
	}
	ret->kind = take_body(kind, body, body_size, ret);
	if (ret->kind != ANSWER_BROKEN)
		ret->consumed = preface + NATIVE_HEADER_SIZE + body_size;
}
