/* The native protocol, the server's side. Layout: native.h; normative: docs/protocol.md.
 *
 *      HELLO ---accept---> INTRODUCED ---welcomed---> FRAMES ---BYE accepted---> PARTED
 *
 * Only accept and welcomed move on; whatever was refused ends the connection, so there is no state for it. */
#include "wire/native.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "base/mutant.h"
#include "wire/rows.h"

enum state {
	STATE_HELLO,      /* nothing yet */
	STATE_INTRODUCED, /* the server looks the stream up */
	STATE_FRAMES,     /* next_seq, h and seed hold */
	STATE_PARTED,     /* BYE was the last word */
};

const uint8_t native_preface[NATIVE_PREFACE_SIZE] = { 'R', 'O', 'G', 'E', 'R', '/', '1', '\n' };

/* The end of the input: `size` bytes of something unfinished are dropped. */
static void end(struct wire_event *ret, size_t size)
{
	ret->kind = WIRE_END;
	ret->size = size;
	ret->consumed = size;
}

static bool hello_is_valid(const struct wire_hello *hello)
{
	if ((hello->flags & ~(uint32_t)HELLO_FLAGS_ALL) != 0)
		return false;
	if (stream_id_is_zero(&hello->stream) || stream_id_is_plain(&hello->stream))
		return false;
	return hello->first >= 1 && hello->first <= SEQ_MAX;
}

static void next_hello(const uint8_t *data, size_t size, bool ended, struct wire_event *ret)
{
	if (wire_is_native(data, size) == 0) {
		wire_refuse(ret, FAULT_PREFACE, 0);
		return;
	}
	if (size < NATIVE_HELLO_SIZE) {
		ret->need = NATIVE_HELLO_SIZE;
		if (ended)
			end(ret, size);
		return;
	}
	if (crc32c(0, data, NATIVE_HELLO_SIZE - 4) != get_u32(data + NATIVE_HELLO_SIZE - 4)) {
		wire_refuse(ret, FAULT_PREFACE, 0);
		return;
	}

	ret->hello.flags = get_u32(data + 8);
	memcpy(ret->hello.stream.bytes, data + 12, STREAM_ID_SIZE);
	ret->hello.writer = get_u64(data + 28);
	ret->hello.first = get_u64(data + 36);
	if (!hello_is_valid(&ret->hello)) {
		wire_refuse(ret, FAULT_HELLO, 0);
		return;
	}
	ret->kind = WIRE_HELLO;
	ret->consumed = NATIVE_HELLO_SIZE;
}

/* One frame at `data`, number `seq`: its size with its header; or 0 with either *ret_fault or *ret_need set. */
static size_t check_frame(const struct wire *w, uint64_t seq, const uint8_t *data, size_t size,
			  enum wire_fault *ret_fault, size_t *ret_need)
{
	struct frame_header header;

	if (size < FRAME_HEADER_SIZE) {
		*ret_need = FRAME_HEADER_SIZE;
		return 0;
	}
	header = frame_get_header(data);
	/* Before anything is waited for or reserved by it. */
	if (header.size > w->message_max && !MUTANT(119)) {
		*ret_fault = FAULT_TOO_BIG;
		return 0;
	}
	if (seq > SEQ_MAX) {
		*ret_fault = FAULT_SEQ;
		return 0;
	}
	if (size - FRAME_HEADER_SIZE < header.size) {
		*ret_need = FRAME_HEADER_SIZE + (size_t)header.size;
		return 0;
	}
	if (frame_checksum(w->seed, seq, header.size, data + FRAME_HEADER_SIZE) !=
	    header.checksum) {
		*ret_fault = FAULT_CHECKSUM;
		return 0;
	}
	return FRAME_HEADER_SIZE + (size_t)header.size;
}

static bool is_bye(const uint8_t *data, size_t size)
{
	return size >= FRAME_HEADER_SIZE && get_u32(data) == FRAME_SIZE_BYE;
}

static void next_bye(const struct wire *w, const uint8_t *data, struct wire_event *ret)
{
	struct frame_header header = frame_get_header(data);

	if ((w->hello_flags & HELLO_EPHEMERAL) == 0) {
		wire_refuse(ret, FAULT_BYE, w->next_seq);
	} else if (header.checksum != frame_checksum(w->seed, w->next_seq, FRAME_SIZE_BYE, NULL)) {
		wire_refuse(ret, FAULT_CHECKSUM, w->next_seq);
	} else {
		ret->kind = WIRE_BYE;
		ret->consumed = FRAME_HEADER_SIZE;
	}
}

/* Whole frames as far as they go. What stops the run is looked at again when it stands in front. */
static void next_frames(const struct wire *w, const uint8_t *data, size_t size, bool ended,
			struct wire_event *ret)
{
	enum wire_fault fault = FAULT_NONE;
	uint32_t count = 0;
	uint32_t h = w->h;
	size_t need = 0;
	size_t at = 0;

	while (!is_bye(data + at, size - at)) {
		size_t frame =
			check_frame(w, w->next_seq + count, data + at, size - at, &fault, &need);

		if (frame == 0)
			break;
		h = history_next(h, get_u32(data + at + 4));
		at += frame;
		count++;
	}

	if (count > 0) {
		ret->kind = WIRE_FRAMES;
		ret->data = data;
		ret->size = at;
		ret->consumed = at;
		ret->count = count;
		ret->first_seq = w->next_seq;
		ret->h_before = w->h;
		ret->h_after = h;
	} else if (fault != FAULT_NONE) {
		wire_refuse(ret, fault, w->next_seq);
	} else if (need == 0) {
		next_bye(w, data, ret);
	} else if (ended) {
		end(ret, size);
	} else {
		ret->need = need;
	}
}

static void next(const struct wire *w, const uint8_t *data, size_t size, unsigned flags,
		 struct wire_event *ret)
{
	bool ended = (flags & WIRE_ENDED) != 0;

	must(w->state != STATE_INTRODUCED); /* wire_welcomed comes first */
	switch ((enum state)w->state) {
	case STATE_HELLO:
		next_hello(data, size, ended, ret);
		break;
	case STATE_FRAMES:
		next_frames(w, data, size, ended, ret);
		break;
	case STATE_PARTED:
		if (size > 0)
			wire_refuse(ret, FAULT_BYE, w->next_seq);
		else if (ended)
			end(ret, 0);
		else
			ret->need = 1;
		break;
	case STATE_INTRODUCED:
		break;
	}
}

static void accept(struct wire *w, const struct wire_event *event)
{
	if (event->kind == WIRE_HELLO) {
		must(w->state == STATE_HELLO);
		w->hello_flags = (uint8_t)event->hello.flags;
		w->state = STATE_INTRODUCED;
	} else if (event->kind == WIRE_FRAMES) {
		must(w->state == STATE_FRAMES && event->first_seq == w->next_seq);
		w->next_seq += event->count;
		w->h = event->h_after;
	} else if (event->kind == WIRE_BYE) {
		must(w->state == STATE_FRAMES);
		w->state = STATE_PARTED;
	}
}

void wire_welcomed(struct wire *w, const struct stream_id *stream, uint64_t next_seq, uint32_t h)
{
	must(w->protocol == PROTOCOL_NATIVE && w->state == STATE_INTRODUCED);
	must(next_seq >= 1 && next_seq <= (uint64_t)SEQ_MAX + 1);
	w->seed = frame_seed(stream);
	w->next_seq = next_seq;
	w->h = h;
	w->state = STATE_FRAMES;
}

static size_t put_welcome(uint8_t *body, const struct wire_welcome *welcome)
{
	put_u32(body, welcome->flags);
	put_u32(body + 4, welcome->message_max);
	memcpy(body + 8, welcome->journal_id, JOURNAL_ID_SIZE);
	put_u64(body + 24, welcome->last);
	put_u64(body + 32, welcome->record);
	put_u64(body + 40, welcome->writer);
	put_u32(body + 48, welcome->h);
	return NATIVE_WELCOME_SIZE;
}

static size_t put_ack(uint8_t *body, const struct wire_reply *what)
{
	put_u64(body, what->seq);
	put_u64(body + 8, what->record);
	return NATIVE_ACK_SIZE;
}

static size_t put_error(uint8_t *body, const struct wire_reply *what)
{
	const char *text = wire_fault_text(what->fault);
	size_t size = strlen(text);

	must(size <= NATIVE_TEXT_MAX);
	put_u32(body, (uint32_t)what->fault);
	put_u64(body + 4, what->seq);
	memcpy(body + NATIVE_ERROR_SIZE, text, size);
	return NATIVE_ERROR_SIZE + size;
}

static size_t reply(const struct wire *w, struct wire_reply *what, uint8_t *out, size_t room)
{
	uint8_t message[NATIVE_HEADER_SIZE + NATIVE_BODY_MAX];
	uint8_t *body = message + NATIVE_HEADER_SIZE;
	size_t preface = what->with_preface ? NATIVE_PREFACE_SIZE : 0;
	enum native_kind kind = NATIVE_WAIT;
	size_t size = 0;

	(void)w;
	switch (what->kind) {
	case REPLY_WELCOME:
		kind = NATIVE_WELCOME;
		size = put_welcome(body, &what->welcome);
		break;
	case REPLY_ACK:
		kind = NATIVE_ACK;
		size = put_ack(body, what);
		break;
	case REPLY_ERROR:
		kind = NATIVE_ERROR;
		size = put_error(body, what);
		break;
	case REPLY_WAIT:
		break;
	case REPLY_DRAIN:
		kind = NATIVE_DRAIN;
		size = NATIVE_DRAIN_SIZE;
		put_u32(body, what->wait_ms);
		break;
	}
	put_u32(message, (uint32_t)kind);
	put_u32(message + 4, (uint32_t)size);
	put_u32(message + 8, crc32c(crc32c(0, message, 8), body, size));

	must(preface + NATIVE_HEADER_SIZE + size <= room);
	memcpy(out, native_preface, preface);
	memcpy(out + preface, message, NATIVE_HEADER_SIZE + size);
	return preface + NATIVE_HEADER_SIZE + size;
}

const struct wire_row wire_row_native = {
	.next = next,
	.accept = accept,
	.reply = reply,
	.after_ack = AFTER_GO_ON,
};
