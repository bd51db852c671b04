/* The client's view of a server: a sender that holds messages, and a server that says anything at all, in pieces, at any time. Whatever it
 * says, the sender's acks never go back and never cover what was not sent; what it sends is what was put, numbered and checked by the
 * server's own decoder; and when an honest server comes in the end, it gets every message that is not acknowledged. */
#include "client/sender.h"

#include <errno.h>
#include <stdlib.h>

#include "fuzz.h"
#include "wire/wire.h"

enum {
	WINDOW = 4096,
	MESSAGE_MAX = 1 << 20,
	HELD_MAX = 2 * WINDOW, /* bytes sent and not yet understood by the server's decoder */
	STEPS_MAX = 400,
	RESUME_MAX = 500,      /* messages that an input is compared with; more are never put */
};

struct world {
	struct sender sender;
	uint8_t memory[WINDOW];
	uint64_t acked;       /* as it was after the last step */
	uint64_t offered;     /* the highest number that was ever handed out to be sent */
	uint64_t boot_ns;
	bool seen_welcome;    /* ... of this run */
	struct wire_welcome said; /* the last WELCOME that was made for it ... */
	uint32_t said_true;       /* ... and the history checksum that would be true there */
	bool raw;             /* this connection has brought other bytes, too: who knows what they were */
	bool refused;         /* --resume: what the stream holds is not what is put */
	/* this connection, as an honest server would see it */
	struct wire wire;
	uint8_t held[HELD_MAX];
	size_t held_size;
	size_t offered_size;  /* bytes that sender_output gave and sender_sent has not taken */
	uint64_t first;       /* what HELLO has to say */
	uint64_t next_seq;    /* where the sender goes on, 0: no WELCOME yet */
	bool hello;           /* it has come */
	bool bye;
};

static uint8_t byte_of(uint64_t seq, size_t i)
{
	return (uint8_t)(seq * 37 + i);
}

static size_t size_of(uint64_t seq)
{
	return (size_t)(seq * seq * 7 % 200);
}

/* --- what it sends */

static void take_frames(const struct wire_event *event)
{
	const uint8_t *at = event->data;

	for (uint32_t i = 0; i < event->count; i++) {
		uint64_t seq = event->first_seq + i;
		size_t size = frame_get_header(at).size;

		must(size == size_of(seq));
		for (size_t k = 0; k < size; k++)
			must(at[FRAME_HEADER_SIZE + k] == byte_of(seq, k));
		at += FRAME_HEADER_SIZE + size;
	}
}

/* The decoder may go on once both HELLO and WELCOME have been said, in whatever order. */
static void welcome_decoder(struct world *w)
{
	if (w->hello && w->next_seq != 0 && w->wire.next_seq == 0)
		wire_welcomed(&w->wire, &w->sender.config.stream, w->next_seq, 0);
}

/* What the server's decoder makes of the bytes that the socket has taken. */
static void decode(struct world *w)
{
	struct wire_event event;
	size_t at = 0;

	while (!w->hello || w->wire.next_seq != 0) {
		wire_next(&w->wire, w->held + at, w->held_size - at, 0, &event);
		if (event.kind == WIRE_MORE)
			break;
		must(event.kind == WIRE_HELLO || event.kind == WIRE_FRAMES ||
		     event.kind == WIRE_BYE);
		must((event.kind == WIRE_HELLO) == !w->hello);
		must(event.kind != WIRE_BYE || w->bye);
		if (event.kind == WIRE_FRAMES)
			take_frames(&event);
		if (event.kind == WIRE_HELLO)
			must(event.hello.first == w->first &&
			     event.hello.writer == w->sender.config.writer);
		wire_accept(&w->wire, &event);
		at += event.consumed;
		w->hello = true;
		welcome_decoder(w);
	}
	w->held_size -= at;
	memmove(w->held, w->held + at, w->held_size);
}

static void output(struct world *w)
{
	struct ring_span spans[2];
	unsigned count;

	if (w->offered_size != 0)
		return;
	count = sender_output(&w->sender, spans);
	for (unsigned i = 0; i < count; i++)
		w->offered_size += spans[i].size;
	/* They stay where they are until sender_sent, so they may be copied right away. */
	must(w->held_size + w->offered_size <= HELD_MAX);
	for (unsigned i = 0, at = 0; i < count; i++) {
		memcpy(w->held + w->held_size + at, spans[i].data, spans[i].size);
		at += (unsigned)spans[i].size;
	}
	if (count > 0 && w->sender.connected)
		w->offered = w->sender.put;
}

static void sent(struct world *w, size_t size)
{
	if (w->offered_size == 0)
		return;
	size = size % w->offered_size + 1; /* the rest is offered again */
	w->held_size += size;
	w->offered_size = 0;
	decode(w);
	w->boot_ns += 1000;
	sender_sent(&w->sender, size, w->boot_ns);
}

/* --- what the server says */

/* The history checksum from message `seq` + 1, behind `h`, to message `last`, as they are put. */
static uint32_t history_on(const struct world *w, uint32_t h, uint64_t seq, uint64_t last)
{
	uint32_t seed = frame_seed(&w->sender.config.stream);
	uint8_t payload[256];

	for (uint64_t n = seq + 1; n <= last; n++) {
		for (size_t i = 0; i < size_of(n); i++)
			payload[i] = byte_of(n, i);
		h = history_next(h, frame_checksum(seed, n, (uint32_t)size_of(n), payload));
	}
	return h;
}

/* A WELCOME has been taken for good. */
static void take_welcome(struct world *w, bool first)
{
	struct sender *s = &w->sender;

	must(first == !w->seen_welcome);
	if (first) {
		w->acked = w->offered = s->acked;
		sender_window(s, w->memory, WINDOW, WINDOW);
		if (s->config.mode == SENDER_RESUME && s->base > 0)
			w->refused = s->base > RESUME_MAX ||
				     history_on(w, 0, 0, s->base) != s->compare_want;
	} else if (w->said.last > w->acked && !w->raw) {
		must(w->said.writer == s->config.writer && w->said.h == w->said_true);
	}
	w->seen_welcome = true;
	w->next_seq = s->acked + 1;
	welcome_decoder(w);
}

static void act(struct world *w)
{
	struct sender_event event;

	for (;;) {
		sender_next(&w->sender, &event);
		if (event.kind == SENDER_WELCOMED)
			take_welcome(w, event.first);
		if (event.kind == SENDER_CLOSE)
			must(event.reason <= REASON_ERROR);
		if (event.kind == SENDER_FINAL)
			must(w->sender.end != SENDER_GOING && w->sender.end < END_COUNT);
		if (event.kind == SENDER_MORE || event.kind == SENDER_CLOSE ||
		    event.kind == SENDER_FINAL)
			return;
	}
}

static void say(struct world *w, const uint8_t *data, size_t size, size_t step)
{
	while (size > 0) {
		size_t piece = size < step ? size : step;
		uint8_t *exact = malloc(piece);
		size_t taken;

		must(exact != NULL);
		memcpy(exact, data, piece);
		taken = sender_feed(&w->sender, exact, piece);
		free(exact);
		act(w);
		if (taken == 0)
			return; /* it does not read any more */
		data += taken;
		size -= taken;
	}
}

/* A number that is near something that matters to the sender, or any. */
static uint64_t near_number(const struct world *w, struct fuzz *f)
{
	uint8_t how = fuzz_u8(f);
	uint64_t delta = how % 8;

	switch (how / 32) {
	case 0: return w->sender.acked + delta;
	case 1: return w->sender.put - delta;
	case 2: return w->sender.put + delta;
	case 3: return w->sender.acked - delta;
	case 4: return w->wire.next_seq - 1 + delta;
	case 5: return w->offered - delta;
	default: return fuzz_number(f);
	}
}

static uint32_t history_acked(const struct world *w)
{
	const struct sender *s = &w->sender;

	return history_on(w, s->kept.h, s->kept.seq, s->acked);
}

/* The history checksum that belongs to message `seq`, where that can be known. */
static uint32_t history_at(const struct world *w, uint64_t seq)
{
	if (!w->seen_welcome)
		return history_on(w, 0, 0, seq < RESUME_MAX ? seq : 0);
	return history_on(w, history_acked(w), w->sender.acked,
			  seq < w->sender.put ? seq : w->sender.put);
}

static void craft(struct world *w, struct fuzz *f, uint8_t op)
{
	struct wire_reply reply = { .kind = (enum wire_reply_kind)(op % 5),
				    .with_preface = !w->sender.opened,
				    .seq = near_number(w, f) };
	uint8_t how = fuzz_u8(f);
	uint8_t out[256];
	struct wire wire;
	size_t size;

	reply.record = w->sender.acked_record + fuzz_u8(f);
	reply.fault = (enum wire_fault)(how % (FAULT_COUNT + 2));
	reply.wait_ms = how;
	reply.welcome = (struct wire_welcome){
		.flags = how & 1,
		.message_max = (how & 2) != 0 ? MESSAGE_MAX : 1u + how,
		.last = reply.seq,
		.record = reply.record,
		.writer = (how & 4) != 0 ? w->sender.config.writer : 7,
		.h = (how & 8) != 0 ? history_at(w, reply.seq) : how,
	};
	if (reply.kind == REPLY_WELCOME) {
		w->said = reply.welcome;
		w->said_true = history_at(w, reply.seq);
	}
	wire_init(&wire, PROTOCOL_NATIVE, 1);
	size = wire_reply(&wire, &reply, out, sizeof(out));
	if (how == 0xff)
		out[fuzz_u8(f) % size] ^= 1;
	say(w, out, size, 1u + (how >> 4) * 16u);
}

/* --- the client's own steps */

static void open_connection(struct world *w)
{
	/* With all numbers used up there is nothing left to come back for. */
	if (w->sender.end != SENDER_GOING || w->sender.acked == SEQ_MAX)
		return;
	if (w->sender.open)
		sender_closed(&w->sender);
	w->offered_size = 0;
	w->held_size = 0;
	w->hello = false;
	w->bye = false;
	w->raw = false;
	w->next_seq = 0;
	w->first = w->sender.acked + 1;
	wire_init(&w->wire, PROTOCOL_NATIVE, MESSAGE_MAX);
	sender_opened(&w->sender);
}

static int put(struct world *w)
{
	uint8_t payload[256];
	uint64_t before = w->sender.put;
	uint64_t seq = before + 1;
	int result;

	if (sender_comparing(&w->sender))
		seq = w->sender.base - w->sender.compare_left + 1;
	for (size_t i = 0; i < size_of(seq); i++)
		payload[i] = byte_of(seq, i);
	result = sender_put(&w->sender, payload, size_of(seq));
	must(result == 0 || w->sender.put == before);
	must(!w->refused || w->sender.put == before);
	return result;
}

/* When client.c would. */
static void say_bye(struct world *w)
{
	const struct sender *s = &w->sender;

	if (!s->connected || s->draining || s->closing || s->config.mode != SENDER_EPHEMERAL ||
	    s->acked <= s->base || s->acked != s->put || w->offered_size != 0 || w->bye)
		return;
	w->bye = true;
	sender_bye(&w->sender);
}

static void step(struct world *w, struct fuzz *f, uint8_t op)
{
	uint8_t raw[32];
	struct sender *s = &w->sender;

	switch (op >> 5) {
	case 0:
		for (unsigned i = 0; i <= op % 4u && w->seen_welcome && !w->bye; i++)
			(void)put(w);
		break;
	case 1: output(w); break;
	case 2:
		output(w);
		sent(w, (op & 16) != 0 ? fuzz_u8(f) : w->offered_size - 1);
		break;
	case 3:
	case 4:
	case 5:
		if (s->open)
			craft(w, f, op);
		break;
	case 6:
		w->raw = true;
		if (s->open)
			say(w, raw, fuzz_bytes(f, raw, op % 32), 1u + op % 7u);
		break;
	default:
		if (op >= 0xf8)
			open_connection(w);
		else if (op >= 0xf0)
			say_bye(w);
		else if (op == 0xe0)
			(void)sender_put_end(s);
		break;
	}
}

static void check(struct world *w)
{
	const struct sender *s = &w->sender;

	must(s->acked >= w->acked && s->acked <= s->put);
	must(s->acked == w->acked || s->acked <= w->offered);
	must(sender_unacked(s) == s->put - s->acked && sender_doubt(s) <= sender_unacked(s));
	w->acked = s->acked;
}

/* An honest server comes, which has what is acknowledged, and gets the rest. */
static void come_to_an_end(struct world *w)
{
	struct wire_reply reply = { .kind = REPLY_WELCOME, .with_preface = true };
	struct sender *s = &w->sender;
	uint8_t out[256];

	open_connection(w);
	output(w);
	sent(w, w->offered_size - 1);
	must(w->hello);
	reply.welcome = (struct wire_welcome){ .message_max = MESSAGE_MAX,
					       .last = s->acked,
					       .record = s->acked_record,
					       .writer = s->config.writer,
					       .h = history_acked(w) };
	w->said = reply.welcome;
	w->said_true = reply.welcome.h;
	say(w, out, wire_reply(&w->wire, &reply, out, sizeof(out)), 7);
	if (s->end != SENDER_GOING)
		return; /* what was put is not what the stream holds (--resume), or larger than the server says that it takes */
	must(s->connected);
	for (int i = 0; i < 4; i++) {
		output(w);
		sent(w, w->offered_size - 1);
	}
	must(w->wire.next_seq == s->put + 1 && w->held_size == 0);
	reply.kind = REPLY_ACK;
	reply.with_preface = false;
	reply.seq = s->put;
	reply.record = s->acked_record + (s->put - s->acked);
	say(w, out, wire_reply(&w->wire, &reply, out, sizeof(out)), 256);
	must(s->end == SENDER_GOING && s->acked == s->put && ring_used(&s->ring) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct world *w = &world;
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	struct sender_config config = { .writer = 0x1122334455667788,
					.mode = (enum sender_mode)(how % 3),
					.accept_gap = (how & 4) != 0 };

	memset(w, 0, sizeof(*w));
	memset(config.stream.bytes, 0x80, STREAM_ID_SIZE);
	sender_init(&w->sender, &config);
	open_connection(w);
	for (unsigned i = 0; i < STEPS_MAX && f.size > 0 && w->sender.end == SENDER_GOING; i++) {
		step(w, &f, fuzz_u8(&f));
		check(w);
	}
	if (w->sender.end == SENDER_GOING && w->seen_welcome && w->sender.acked < SEQ_MAX)
		come_to_an_end(w);
	return 0;
}
