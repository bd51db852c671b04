#include "client/sender.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/test.h"
#include "wire/wire.h"

/* A sender and a scripted server, which is made of wire's own machine and encoders. */
enum { WINDOW = 256, TAKEN_MAX = 4096, MESSAGE_MAX = 100 };

#define OURS UINT64_C(0x1111)
#define OTHERS UINT64_C(0x2222)

struct bench {
	struct sender s;
	uint8_t memory[WINDOW];
	struct wire w;
	struct wire_hello hello;
	bool greeted;            /* the server has sent its preface on this connection */
	uint8_t taken[TAKEN_MAX];/* frames that have arrived and were not looked at */
	size_t taken_size;
	uint64_t got;            /* the number of the last good frame */
	uint32_t got_h;
	bool bye;
	struct sender_event event;
};

static const struct stream_id test_stream = { .bytes = { 7, 1, 2, 3 } };

static void begin(struct bench *b, enum sender_mode mode, bool accept_gap)
{
	struct sender_config config = {
		.stream = test_stream, .writer = OURS, .mode = mode, .accept_gap = accept_gap };

	memset(b, 0, sizeof(*b));
	sender_init(&b->s, &config);
}

/* Let the socket take at most `size` bytes. Returns how many it took. */
static size_t take(struct bench *b, size_t size)
{
	struct ring_span spans[2];
	unsigned count = sender_output(&b->s, spans);
	size_t took = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t piece = spans[i].size < size - took ? spans[i].size : size - took;

		assert_true(b->taken_size + piece <= TAKEN_MAX);
		memcpy(b->taken + b->taken_size, spans[i].data, piece);
		b->taken_size += piece;
		took += piece;
	}
	if (count > 0)
		sender_sent(&b->s, took, SECOND_NS);
	return took;
}

static void look(struct bench *b)
{
	struct wire_event event;

	for (;;) {
		wire_next(&b->w, b->taken, b->taken_size, 0, &event);
		if (event.kind == WIRE_MORE)
			return;
		assert_int_not_equal(event.kind, WIRE_REFUSED);
		if (event.kind == WIRE_HELLO)
			b->hello = event.hello;
		if (event.kind == WIRE_FRAMES) {
			b->got = event.first_seq + event.count - 1;
			b->got_h = event.h_after;
		}
		if (event.kind == WIRE_BYE)
			b->bye = true;
		wire_accept(&b->w, &event);
		b->taken_size -= event.consumed;
		memmove(b->taken, b->taken + event.consumed, b->taken_size);
		if (event.kind == WIRE_HELLO || event.kind == WIRE_BYE)
			return;
	}
}

/* Feed a reply and return the first event (the last one, if the first is of no interest). */
static const struct sender_event *feed(struct bench *b, struct wire_reply *reply)
{
	uint8_t out[OUTPUT_SLOT_SIZE];
	struct sender_event next;
	size_t size;

	reply->with_preface = !b->greeted;
	b->greeted = true;
	size = wire_reply(&b->w, reply, out, sizeof(out));
	assert_int_equal(sender_feed(&b->s, out, size), size);
	sender_next(&b->s, &b->event);
	sender_next(&b->s, &next);
	if (b->event.kind != SENDER_FINAL)
		assert_int_equal(next.kind, SENDER_MORE);
	return &b->event;
}

static void open_connection(struct bench *b)
{
	wire_init(&b->w, PROTOCOL_NATIVE, MESSAGE_MAX);
	b->greeted = false;
	b->taken_size = 0;
	sender_opened(&b->s);
	assert_int_equal(take(b, 10), 10);
	assert_int_equal(take(b, SIZE_MAX), NATIVE_HELLO_SIZE - 10);
	assert_int_equal(take(b, SIZE_MAX), 0);
	look(b);
}

struct said {
	uint64_t last, record, writer;
	uint32_t h, flags, message_max;
};

static const struct sender_event *welcome(struct bench *b, struct said said)
{
	struct wire_reply reply = { .kind = REPLY_WELCOME };
	uint64_t next = said.last;

	reply.welcome.last = said.last;
	reply.welcome.record = said.record;
	reply.welcome.writer = said.writer;
	reply.welcome.h = said.h;
	reply.welcome.flags = said.flags;
	reply.welcome.message_max = said.message_max > 0 ? said.message_max : MESSAGE_MAX;
	/* As a server does: an accepted gap begins at `first`, with h = 0. */
	if (b->hello.first > said.last + 1) {
		next = b->hello.first - 1;
		said.h = 0;
	}
	wire_welcomed(&b->w, &b->hello.stream, next + 1, said.h);
	b->got = next;
	feed(b, &reply);
	if (b->event.kind == SENDER_WELCOMED && b->event.first)
		sender_window(&b->s, b->memory, WINDOW, WINDOW);
	return &b->event;
}

static const struct sender_event *ack(struct bench *b, uint64_t seq, uint64_t record)
{
	struct wire_reply reply = { .kind = REPLY_ACK, .seq = seq, .record = record };

	return feed(b, &reply);
}

static const struct sender_event *error(struct bench *b, enum wire_fault fault, uint64_t seq)
{
	struct wire_reply reply = { .kind = REPLY_ERROR, .fault = fault, .seq = seq };

	return feed(b, &reply);
}

static int put(struct bench *b, const char *text)
{
	return sender_put(&b->s, (const uint8_t *)text, strlen(text));
}

/* h behind the messages numbered first ... first + count - 1 that put_number makes, beginning with h. */
static uint32_t history(uint32_t h, uint64_t first, uint64_t count)
{
	uint32_t seed = frame_seed(&test_stream);

	for (uint64_t seq = first; seq < first + count; seq++) {
		uint8_t text[1] = { (uint8_t)('a' + seq % 26) };

		h = history_next(h, frame_checksum(seed, seq, 1, text));
	}
	return h;
}

static void put_numbers(struct bench *b, uint64_t first, uint64_t count)
{
	for (uint64_t seq = first; seq < first + count; seq++) {
		uint8_t text[1] = { (uint8_t)('a' + seq % 26) };

		assert_int_equal(sender_put(&b->s, text, 1), 0);
	}
}

static void arrive(struct bench *b)
{
	take(b, SIZE_MAX);
	look(b);
}

static void hello_says_what_it_should(void **state)
{
	static const struct {
		const char *name;
		enum sender_mode mode;
		bool accept_gap;
		uint32_t first_flags, later_flags;
	} rows[] = {
		{ "ephemeral", SENDER_EPHEMERAL, false, HELLO_EPHEMERAL, HELLO_EPHEMERAL },
		{ "next: in the first HELLO only", SENDER_NEXT, false, HELLO_NEXT, 0 },
		{ "resume", SENDER_RESUME, false, 0, 0 },
		{ "next, gap", SENDER_NEXT, true, HELLO_NEXT | HELLO_ACCEPT_GAP, HELLO_ACCEPT_GAP },
		{ "resume, gap", SENDER_RESUME, true, HELLO_ACCEPT_GAP, HELLO_ACCEPT_GAP },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;

		print_message("  %s\n", rows[i].name);
		begin(&b, rows[i].mode, rows[i].accept_gap);
		open_connection(&b);
		assert_int_equal(b.hello.flags, rows[i].first_flags);
		assert_int_equal(b.hello.first, 1);
		assert_true(b.hello.writer == OURS &&
			    stream_id_equal(&b.hello.stream, &test_stream));

		/* Lost before WELCOME: nothing of ours has a number yet. */
		sender_closed(&b.s);
		open_connection(&b);
		assert_int_equal(b.hello.flags, rows[i].first_flags);

		welcome(&b, (struct said){ 0 });
		put_numbers(&b, 1, 5);
		arrive(&b);
		ack(&b, 3, 3);
		sender_closed(&b.s);
		open_connection(&b);
		assert_int_equal(b.hello.flags, rows[i].later_flags);
		assert_int_equal(b.hello.first, 4); /* the oldest that it holds */
	}
}

static void the_first_welcome(void **state)
{
	static const struct {
		const char *name;
		enum sender_mode mode;
		uint64_t last;
		enum sender_end end;
		uint64_t acked;
		bool comparing;
	} rows[] = {
		{ "ephemeral, unknown", SENDER_EPHEMERAL, 0, SENDER_GOING, 0, false },
		{ "ephemeral, but not ours", SENDER_EPHEMERAL, 1, END_AHEAD, 0, false },
		{ "next, unknown", SENDER_NEXT, 0, SENDER_GOING, 0, false },
		{ "next, known", SENDER_NEXT, 41, SENDER_GOING, 41, false },
		{ "resume, unknown", SENDER_RESUME, 0, SENDER_GOING, 0, false },
		{ "resume, known", SENDER_RESUME, 41, SENDER_GOING, 41, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;

		print_message("  %s\n", rows[i].name);
		begin(&b, rows[i].mode, false);
		open_connection(&b);
		welcome(&b, (struct said){
				    .last = rows[i].last, .record = 90, .writer = OTHERS, .h = 5 });
		assert_int_equal(b.s.end, rows[i].end);
		if (rows[i].end != SENDER_GOING) {
			assert_int_equal(b.event.kind, SENDER_FINAL);
			continue;
		}
		assert_true(b.event.kind == SENDER_WELCOMED && b.event.first);
		assert_int_equal(b.s.acked, rows[i].acked);
		assert_int_equal(b.s.put, rows[i].acked);
		assert_int_equal(sender_comparing(&b.s), rows[i].comparing);
		if (rows[i].comparing)
			continue;
		/* What is put goes out with the numbers behind it, on the stream's own chain. */
		put_numbers(&b, rows[i].acked + 1, 2);
		arrive(&b);
		assert_int_equal(b.got, rows[i].acked + 2);
		assert_int_equal(b.got_h, history(5, rows[i].acked + 1, 2));
	}
}

/* Numbers 11 and 12 are acknowledged, 13 to 15 sent (of 16, 3 bytes too), 17 only put, when the connection is lost. */
static void lost_in_the_middle(struct bench *b, bool accept_gap, uint32_t flags)
{
	begin(b, SENDER_NEXT, accept_gap);
	open_connection(b);
	welcome(b, (struct said){
			   .last = 10, .record = 100, .writer = OTHERS, .h = 5, .flags = flags });
	put_numbers(b, 11, 6);
	assert_int_equal(take(b, 5 * 9 + 3), 5 * 9 + 3);
	look(b);
	assert_int_equal(b->got, 15);
	assert_int_equal(ack(b, 12, 102)->kind, SENDER_ACKED);
	put_numbers(b, 17, 1);
	assert_int_equal(sender_unacked(&b->s), 5);
	sender_closed(&b->s);
	open_connection(b);
	assert_int_equal(b->hello.first, 13);
}

static void every_later_welcome(void **state)
{
	static const struct {
		const char *name;
		uint64_t last, writer;
		int32_t h_off;
		bool accept_gap;
		uint32_t flags;
		enum sender_end end;
		uint64_t end_count, forgotten;
	} rows[] = {
		{ "nothing new", 12, OTHERS, 0, false, 0, SENDER_GOING, 0, 0 },
		{ "nothing new, another history", 12, OURS, 1, false, 0, END_HISTORY, 4, 0 },
		{ "one more than was acknowledged", 13, OURS, 0, false, 0, SENDER_GOING, 0, 0 },
		{ "one more, another history", 13, OURS, 1, false, 0, END_HISTORY, 4, 0 },
		{ "one more, by another writer", 13, OTHERS, 0, false, 0, END_WRITER, 4, 0 },
		{ "all that was sent whole", 15, OURS, 0, false, 0, SENDER_GOING, 0, 0 },
		{ "handed out, for all we know sent", 16, OURS, 0, false, 0, SENDER_GOING, 0, 0 },
		{ "put, but never handed out", 17, OURS, 0, false, 0, END_AHEAD, 4, 0 },
		{ "never put", 18, OURS, 0, false, 0, END_AHEAD, 4, 0 },
		{ "far away, another writer", 1000, OTHERS, 0, false, 0, END_WRITER, 4, 0 },
		{ "lost one", 11, OURS, 0, false, 0, END_LOST, 1, 0 },
		{ "lost the stream", 0, 0, 0, false, 0, END_LOST, 12, 0 },
		{ "lost one, gap accepted", 11, OURS, 0, true, 0, SENDER_GOING, 0, 1 },
		{ "lost the stream, gap accepted", 0, 0, 0, true, 0, SENDER_GOING, 0, 12 },
		{ "not durable, has forgotten", 0, 0, 0, false, WELCOME_NOT_DURABLE, SENDER_GOING, 0, 12 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		uint64_t last = rows[i].last;
		uint64_t next = last > 12 ? last : 12;
		uint32_t h = last > 10 ? history(5, 11, (last < 20 ? last : 20) - 10) : 0;

		print_message("  %s\n", rows[i].name);
		lost_in_the_middle(&b, rows[i].accept_gap, rows[i].flags);
		welcome(&b, (struct said){ .last = last,
					   .record = 100 + last - 10,
					   .writer = rows[i].writer,
					   .h = h + (uint32_t)rows[i].h_off,
					   .flags = rows[i].flags });
		assert_int_equal(b.s.end, rows[i].end);
		assert_int_equal(b.event.forgotten, rows[i].forgotten);
		if (rows[i].end != SENDER_GOING) {
			assert_int_equal(b.event.kind, SENDER_FINAL);
			assert_int_equal(b.s.end_count, rows[i].end_count);
			assert_int_equal(take(&b, SIZE_MAX), 0);
			continue;
		}
		assert_int_equal(b.event.kind, SENDER_WELCOMED);
		assert_false(b.event.first);
		assert_int_equal(b.s.acked, next);
		/* Sent again from last + 1, or from what is still held. */
		arrive(&b);
		assert_int_equal(b.got, 17);
		assert_int_equal(b.got_h, history(last < 12 ? 0 : h, next + 1, 17 - next));
		assert_int_equal(ack(&b, 17, 1000)->kind, SENDER_ACKED);
		assert_int_equal(sender_unacked(&b.s), 0);
		/* And the chain goes on: the next WELCOME fits. */
		sender_closed(&b.s);
		open_connection(&b);
		welcome(&b,
			(struct said){ .last = 17, .record = 1000, .writer = OURS, .h = b.got_h });
		assert_int_equal(b.event.kind, SENDER_WELCOMED);
	}
}

/* A gap is reported once, however often the connection is lost before something is sent. */
static void forgotten_is_said_once(void **state)
{
	struct bench b;

	(void)state;
	lost_in_the_middle(&b, false, WELCOME_NOT_DURABLE);
	assert_true((b.hello.flags & HELLO_ACCEPT_GAP) != 0);
	assert_int_equal(welcome(&b, (struct said){ .flags = WELCOME_NOT_DURABLE })->forgotten, 12);
	sender_closed(&b.s);
	open_connection(&b);
	assert_int_equal(welcome(&b, (struct said){ .flags = WELCOME_NOT_DURABLE })->forgotten, 0);
	/* This server stores: from now on a loss is a loss. */
	arrive(&b);
	ack(&b, 17, 5);
	sender_closed(&b.s);
	open_connection(&b);
	welcome(&b, (struct said){ .last = 17, .record = 5, .writer = OURS, .h = b.got_h });
	assert_int_equal(b.event.kind, SENDER_WELCOMED);
	sender_closed(&b.s);
	open_connection(&b);
	assert_int_equal(b.hello.flags & HELLO_ACCEPT_GAP, 0);
	welcome(&b, (struct said){ 0 });
	assert_int_equal(b.s.end, END_LOST);
}

static void acks(void **state)
{
	static const struct {
		const char *name;
		uint64_t seq, record;
		enum sender_event_kind kind;
		uint64_t acked;
	} rows[] = {
		{ "the next one", 13, 103, SENDER_ACKED, 13 },
		{ "all that was sent", 15, 105, SENDER_ACKED, 15 },
		{ "records far apart", 15, 1000, SENDER_ACKED, 15 },
		{ "a heartbeat", 12, 102, SENDER_ALIVE, 12 },
		{ "only partly sent", 16, 106, SENDER_CLOSE, 12 },
		{ "put, not sent", 17, 107, SENDER_CLOSE, 12 },
		{ "never put", 18, 108, SENDER_CLOSE, 12 },
		{ "the last number there is", SEQ_MAX, SEQ_MAX, SENDER_CLOSE, 12 },
		{ "going backwards", 11, 101, SENDER_CLOSE, 12 },
		{ "zero", 0, 0, SENDER_CLOSE, 12 },
		{ "record going backwards", 13, 102, SENDER_CLOSE, 12 },
		{ "fewer records than messages", 15, 104, SENDER_CLOSE, 12 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;

		print_message("  %s\n", rows[i].name);
		begin(&b, SENDER_NEXT, false);
		open_connection(&b);
		welcome(&b, (struct said){ .last = 10, .record = 100, .writer = OTHERS, .h = 5 });
		put_numbers(&b, 11, 6);
		take(&b, 5 * 9 + 3);
		put_numbers(&b, 17, 1);
		ack(&b, 12, 102);
		ack(&b, rows[i].seq, rows[i].record);
		assert_int_equal(b.event.kind, rows[i].kind);
		assert_int_equal(b.s.acked, rows[i].acked);
		assert_int_equal(sender_unacked(&b.s), 17 - rows[i].acked); /* nothing else was trimmed */
		assert_int_equal(b.s.end, SENDER_GOING);
		if (rows[i].kind == SENDER_CLOSE) {
			assert_int_equal(b.event.reason, REASON_ACK);
			assert_int_equal(take(&b, SIZE_MAX), 0);
		}
	}
}

/* The server may answer before our own loop hears that the bytes are gone. They stay where they are until it does. */
static void an_ack_that_overtakes_sent(void **state)
{
	static const struct {
		const char *name;
		size_t taken;
		bool close;
	} rows[] = {
		{ "all was taken", 18, false },
		{ "it had not been taken", 17, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct ring_span spans[2];
		struct sender_event event;

		print_message("  %s\n", rows[i].name);
		begin(&b, SENDER_EPHEMERAL, false);
		open_connection(&b);
		welcome(&b, (struct said){ 0 });
		put_numbers(&b, 1, 2);
		assert_int_equal(sender_output(&b.s, spans), 1);
		assert_int_equal(spans[0].size, 18);
		assert_int_equal(ack(&b, 2, 2)->kind, SENDER_ALIVE);
		assert_int_equal(b.s.acked, 0);
		sender_sent(&b.s, rows[i].taken, SECOND_NS);
		sender_next(&b.s, &event);
		assert_int_equal(event.kind, rows[i].close ? SENDER_CLOSE : SENDER_MORE);
		assert_int_equal(b.s.acked, rows[i].close ? 0 : 2);
	}
}

static void errors(void **state)
{
	static const struct {
		const char *name;
		enum wire_fault fault;
		enum sender_end end;
		enum exit_status status;
	} rows[] = {
		{ "fenced", FAULT_FENCED, END_FENCED, EXIT_UNAVAILABLE },
		{ "gap", FAULT_GAP, END_GAP, EXIT_DATA },
		{ "too big", FAULT_TOO_BIG, END_TOO_BIG, EXIT_DATA },
		{ "hello", FAULT_HELLO, END_REFUSED, EXIT_UNAVAILABLE },
		{ "bye", FAULT_BYE, END_REFUSED, EXIT_UNAVAILABLE },
		{ "seq", FAULT_SEQ, END_SEQ, EXIT_DATA },
		{ "busy", FAULT_BUSY, SENDER_GOING, EXIT_DONE },
		{ "too slow", FAULT_DEADLINE, SENDER_GOING, EXIT_DONE },
		{ "preface", FAULT_PREFACE, SENDER_GOING, EXIT_DONE },
		{ "checksum, once", FAULT_CHECKSUM, SENDER_GOING, EXIT_DONE },
		{ "of a newer server", (enum wire_fault)77, SENDER_GOING, EXIT_DONE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct failure why;

		print_message("  %s\n", rows[i].name);
		lost_in_the_middle(&b, false, 0);
		error(&b, rows[i].fault, 13);
		assert_int_equal(b.s.end, rows[i].end);
		assert_int_equal(take(&b, SIZE_MAX), 0);
		if (rows[i].end == SENDER_GOING) {
			assert_int_equal(b.event.kind, SENDER_CLOSE);
			assert_int_equal(b.event.reason, REASON_ERROR);
			assert_int_equal(b.event.fault, rows[i].fault);
			continue;
		}
		assert_int_equal(b.event.kind, SENDER_FINAL);
		sender_describe(&b.s, "host:1", &why);
		assert_int_equal(why.status, rows[i].status);
		assert_memory_equal(why.text, "host:1: ", 8);
	}
}

/* Twice at the same number: it is not the network. At another number it may be. */
static void checksum_twice(void **state)
{
	static const struct {
		const char *name;
		uint64_t second;
		enum sender_end end;
	} rows[] = {
		{ "the same number", 13, END_CHECKSUM },
		{ "another number", 14, SENDER_GOING },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;

		print_message("  %s\n", rows[i].name);
		lost_in_the_middle(&b, false, 0);
		welcome(&b, (struct said){ .last = 12, .record = 102, .h = history(5, 11, 2) });
		arrive(&b);
		assert_int_equal(error(&b, FAULT_CHECKSUM, 13)->kind, SENDER_CLOSE);
		sender_closed(&b.s);
		open_connection(&b);
		welcome(&b, (struct said){ .last = 12, .record = 102, .h = history(5, 11, 2) });
		arrive(&b);
		error(&b, FAULT_CHECKSUM, rows[i].second);
		assert_int_equal(b.s.end, rows[i].end);
	}
}

static void resume(void **state)
{
	static const struct {
		const char *name;
		uint64_t last;     /* of the stream, made of the same messages ... */
		uint64_t first_is; /* ... but its first one is this one */
		uint64_t input;    /* messages in the input */
		enum sender_end end;
		uint64_t sent;
	} rows[] = {
		{ "nothing there yet", 0, 1, 3, SENDER_GOING, 3 },
		{ "some of it is there", 2, 1, 5, SENDER_GOING, 3 },
		{ "all of it is there", 5, 1, 5, SENDER_GOING, 0 },
		{ "an empty input, an empty stream", 0, 1, 0, SENDER_GOING, 0 },
		{ "shorter by one", 5, 1, 4, END_SHORTER, 0 },
		{ "no input at all", 1, 1, 0, END_SHORTER, 0 },
		{ "different", 3, 2, 5, END_DIFFERENT, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t last = rows[i].last;
		struct bench b;
		int result = 0;

		print_message("  %s\n", rows[i].name);
		begin(&b, SENDER_RESUME, false);
		open_connection(&b);
		welcome(&b, (struct said){ .last = last, .record = last, .writer = OTHERS,
					   .h = history(0, rows[i].first_is, last) });
		for (uint64_t seq = 1; seq <= rows[i].input && result == 0; seq++) {
			uint8_t text[1] = { (uint8_t)('a' + seq % 26) };

			result = sender_put(&b.s, text, 1);
		}
		if (result == 0)
			result = sender_put_end(&b.s);
		arrive(&b);
		assert_int_equal(b.s.end, rows[i].end);
		assert_int_equal(result, rows[i].end == SENDER_GOING ? 0 : -EBADMSG);
		assert_int_equal(b.got, last + rows[i].sent);
		assert_int_equal(sender_unacked(&b.s), rows[i].sent);
	}
}

/* The connection is lost while the input is still being compared; what was said at first still counts. */
static void resume_over_two_connections(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, SENDER_RESUME, false);
	open_connection(&b);
	welcome(&b,
		(struct said){ .last = 4, .record = 4, .writer = OTHERS, .h = history(0, 1, 4) });
	put_numbers(&b, 1, 2);
	sender_closed(&b.s);
	put_numbers(&b, 3, 1);
	open_connection(&b);
	assert_int_equal(b.hello.first, 5);
	welcome(&b,
		(struct said){ .last = 4, .record = 4, .writer = OTHERS, .h = history(0, 1, 4) });
	assert_int_equal(b.event.kind, SENDER_WELCOMED);
	put_numbers(&b, 4, 2);
	arrive(&b);
	assert_int_equal(b.got, 5);
	assert_int_equal(b.got_h, history(0, 1, 5));
}

static void the_window(void **state)
{
	struct bench b;
	uint8_t data[WINDOW];

	(void)state;
	memset(data, 'x', sizeof(data));
	begin(&b, SENDER_EPHEMERAL, false);
	open_connection(&b);
	welcome(&b, (struct said){ 0 });
	/* Sizes: the limit, and one more. */
	assert_int_equal(sender_put(&b.s, data, MESSAGE_MAX), 0);
	assert_int_equal(sender_put(&b.s, data, MESSAGE_MAX + 1), -EMSGSIZE);
	/* Room for 148 more, so for a message of 140. */
	assert_int_equal(sender_put(&b.s, data, MESSAGE_MAX), 0);
	assert_int_equal(sender_put(&b.s, data, 33), -ENOBUFS);
	assert_int_equal(sender_put(&b.s, data, 32), 0);
	assert_int_equal(sender_put(&b.s, data, 0), -ENOBUFS);
	arrive(&b);
	assert_int_equal(b.got, 3);
	ack(&b, 1, 1);
	/* Across the end of the ring. */
	assert_int_equal(sender_put(&b.s, data, MESSAGE_MAX), 0);
	arrive(&b);
	assert_int_equal(b.got, 4);
	ack(&b, 4, 4);
	assert_int_equal(sender_unacked(&b.s), 0);
}

/* A window smaller than one message holds one message. */
static void a_window_smaller_than_a_message(void **state)
{
	struct sender_config config = { .stream = test_stream, .writer = OURS };
	struct bench b;
	uint8_t data[MESSAGE_MAX] = { 0 };
	struct wire_reply reply = { .kind = REPLY_WELCOME,
				    .welcome = { .message_max = MESSAGE_MAX } };

	(void)state;
	memset(&b, 0, sizeof(b));
	sender_init(&b.s, &config);
	open_connection(&b);
	wire_welcomed(&b.w, &test_stream, 1, 0);
	feed(&b, &reply);
	sender_window(&b.s, b.memory, MESSAGE_MAX + FRAME_HEADER_SIZE, 20);
	assert_int_equal(sender_put(&b.s, data, MESSAGE_MAX), 0);
	assert_int_equal(sender_put(&b.s, data, 0), -ENOBUFS);
	arrive(&b);
	ack(&b, 1, 1);
	assert_int_equal(sender_put(&b.s, data, 2), 0);
	assert_int_equal(sender_put(&b.s, data, 3), -ENOBUFS);
	assert_int_equal(sender_put(&b.s, data, 2), 0);
	arrive(&b);
	assert_int_equal(b.got, 3);
}

/* A server with a smaller limit than before is sent nothing that it would refuse. */
static void the_limit_shrinks(void **state)
{
	static const struct {
		const char *name;
		uint32_t limit;
		enum sender_end end;
	} rows[] = {
		{ "just enough", 3, SENDER_GOING },
		{ "too small by one", 2, END_TOO_BIG },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;

		print_message("  %s\n", rows[i].name);
		begin(&b, SENDER_EPHEMERAL, false);
		open_connection(&b);
		welcome(&b, (struct said){ 0 });
		assert_int_equal(put(&b, "ab"), 0);
		assert_int_equal(put(&b, "abc"), 0);
		sender_closed(&b.s);
		open_connection(&b);
		welcome(&b, (struct said){ .message_max = rows[i].limit });
		assert_int_equal(b.s.end, rows[i].end);
		if (rows[i].end == END_TOO_BIG)
			assert_int_equal(b.s.end_seq, 2);
		else
			assert_int_equal(put(&b, "abcd"), -EMSGSIZE);
	}
}

static void bye(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, SENDER_EPHEMERAL, false);
	open_connection(&b);
	welcome(&b, (struct said){ 0 });
	put_numbers(&b, 1, 2);
	arrive(&b);
	assert_true(sender_waits(&b.s));
	ack(&b, 2, 2);
	assert_false(sender_waits(&b.s));
	sender_bye(&b.s);
	arrive(&b);
	assert_true(b.bye);
	assert_int_equal(take(&b, SIZE_MAX), 0);
}

static void drain(void **state)
{
	struct wire_reply reply = { .kind = REPLY_DRAIN, .wait_ms = 1500 };
	struct bench b;

	(void)state;
	begin(&b, SENDER_EPHEMERAL, false);
	open_connection(&b);
	welcome(&b, (struct said){ 0 });
	put_numbers(&b, 1, 1);
	arrive(&b);
	assert_int_equal(feed(&b, &reply)->kind, SENDER_DRAIN);
	assert_int_equal(b.event.wait_ms, 1500);
	put_numbers(&b, 2, 1);
	assert_int_equal(take(&b, SIZE_MAX), 0); /* it would not be read any more */
	assert_int_equal(ack(&b, 1, 1)->kind, SENDER_ACKED);
	assert_true(sender_waits(&b.s));
}

static void bytes_that_make_no_sense(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t size;
		enum sender_reason reason;
	} rows[] = {
		{ "a plain server", "ACK!", 4, REASON_FOREIGN },
		{ "one byte of a plain server", "A", 1, REASON_FOREIGN },
		{ "almost the preface", "ROGER/2\n", 8, REASON_FOREIGN },
		{ "a kind that does not exist", "ROGER/1\n\x77\0\0\0\0\0\0\0\0\0\0\0", 20, REASON_BROKEN },
		{ "a size beyond all", "ROGER/1\n\x03\0\0\0\xff\xff\xff\xff\0\0\0\0", 20, REASON_BROKEN },
		{ "a wrong checksum", "ROGER/1\n\x04\0\0\0\0\0\0\0\0\0\0\0", 20, REASON_BROKEN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct sender_event event;
		const uint8_t *answer;
		size_t size;

		print_message("  %s\n", rows[i].name);
		begin(&b, SENDER_EPHEMERAL, false);
		open_connection(&b);
		assert_int_equal(sender_feed(&b.s, (const uint8_t *)rows[i].bytes, rows[i].size),
				 rows[i].size);
		sender_next(&b.s, &event);
		assert_int_equal(event.kind, SENDER_CLOSE);
		assert_int_equal(event.reason, rows[i].reason);
		sender_next(&b.s, &event);
		assert_int_equal(event.kind, SENDER_MORE);
		/* The rest of an answer may be collected, up to what there is room for. */
		for (int more = 0; more < 1000; more++)
			sender_feed(&b.s, (const uint8_t *)"and more", 8);
		answer = sender_answer(&b.s, &size);
		assert_int_equal(size, SENDER_INPUT_SIZE);
		assert_memory_equal(answer, rows[i].bytes, rows[i].size);
		/* The next connection knows nothing of it. */
		sender_closed(&b.s);
		open_connection(&b);
		assert_int_equal(welcome(&b, (struct said){ 0 })->kind, SENDER_WELCOMED);
	}
}

/* Messages of the server out of their order: an ack before WELCOME, a second WELCOME. */
static void messages_where_none_may_be(void **state)
{
	struct wire_reply again = { .kind = REPLY_WELCOME };
	struct bench b;

	(void)state;
	again.welcome.message_max = MESSAGE_MAX;
	begin(&b, SENDER_EPHEMERAL, false);
	open_connection(&b);
	assert_int_equal(ack(&b, 0, 0)->kind, SENDER_CLOSE);
	assert_int_equal(b.event.reason, REASON_BROKEN);

	sender_closed(&b.s);
	open_connection(&b);
	assert_int_equal(welcome(&b, (struct said){ 0 })->kind, SENDER_WELCOMED);
	assert_int_equal(feed(&b, &again)->kind, SENDER_CLOSE);
	assert_int_equal(b.event.reason, REASON_BROKEN);
}

/* Every cut of what the server sends gives the same events. */
static void cut_at_every_byte(void **state)
{
	struct wire_reply first = { .kind = REPLY_WAIT, .with_preface = true };
	struct wire_reply second = { .kind = REPLY_WELCOME,
				     .welcome = { .message_max = MESSAGE_MAX } };
	uint8_t out[2 * OUTPUT_SLOT_SIZE];
	struct bench b;
	size_t size;

	(void)state;
	begin(&b, SENDER_EPHEMERAL, false);
	open_connection(&b);
	size = wire_reply(&b.w, &first, out, OUTPUT_SLOT_SIZE);
	size += wire_reply(&b.w, &second, out + size, OUTPUT_SLOT_SIZE);
	assert_true(size > 60 && size <= SENDER_INPUT_SIZE);
	for (size_t cut = 0; cut <= size; cut++) {
		struct sender_event event;
		unsigned alive = 0;
		unsigned welcomed = 0;

		begin(&b, SENDER_EPHEMERAL, false);
		open_connection(&b);
		for (unsigned part = 0; part < 2; part++) {
			const uint8_t *from = part == 0 ? out : out + cut;
			size_t piece = part == 0 ? cut : size - cut;

			assert_int_equal(sender_feed(&b.s, from, piece), piece);
			do {
				sender_next(&b.s, &event);
				alive += event.kind == SENDER_ALIVE;
				welcomed += event.kind == SENDER_WELCOMED;
			} while (event.kind != SENDER_MORE);
		}
		assert_true(alive == 1 && welcomed == 1);
	}
}

static void an_ephemeral_stream_expires(void **state)
{
	static const struct {
		const char *name;
		enum sender_mode mode;
		uint64_t after_ns;
		bool expired;
	} rows[] = {
		{ "just in time", SENDER_EPHEMERAL, EPHEMERAL_RESUME_NS - 1, false },
		{ "too late", SENDER_EPHEMERAL, EPHEMERAL_RESUME_NS, true },
		{ "a named stream never does", SENDER_NEXT, EPHEMERAL_RESUME_NS, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bench b;
		struct failure why;

		print_message("  %s\n", rows[i].name);
		begin(&b, rows[i].mode, false);
		assert_false(sender_expired(&b.s, UINT64_MAX));
		open_connection(&b);
		welcome(&b, (struct said){ 0 });
		assert_false(sender_expired(&b.s, UINT64_MAX)); /* the server knows nothing of it yet */
		put_numbers(&b, 1, 3);
		take(&b, 9 + 1);
		sender_closed(&b.s);
		assert_int_equal(sender_expired(&b.s, SECOND_NS + rows[i].after_ns),
				 rows[i].expired);
		sender_give_up(&b.s, END_EXPIRED);
		sender_describe(&b.s, "host:1", &why);
		assert_int_equal(why.status, EXIT_TIMEOUT);
		assert_non_null(strstr(why.text, "3 messages are in doubt"));
	}
}

/* Every end has words and an exit status. */
/* The last number but one is still worth a connection, and the last one is not: its HELLO would ask for 2^63. */
static void numbers_are_used_up(void **state)
{
	const struct said said = { SEQ_MAX - 2, SEQ_MAX - 2, OTHERS, 0, 0, 0 };
	struct bench b;
	struct failure why = { 0 };

	(void)state;
	begin(&b, SENDER_NEXT, false);
	open_connection(&b);
	welcome(&b, said);
	put_numbers(&b, SEQ_MAX - 1, 2);
	assert_int_equal(sender_put(&b.s, (const uint8_t *)"x", 1), -EOVERFLOW);
	arrive(&b);
	ack(&b, SEQ_MAX - 1, SEQ_MAX - 1);
	assert_false(sender_used_up(&b.s));
	sender_closed(&b.s);
	open_connection(&b);
	assert_true(b.hello.first == SEQ_MAX);

	/* WELCOME says that the last one is there, too. */
	welcome(&b, (struct said){ SEQ_MAX, SEQ_MAX, OURS, b.got_h, 0, 0 });
	assert_int_equal(b.event.kind, SENDER_WELCOMED);
	assert_true(sender_used_up(&b.s));
	assert_int_equal(sender_unacked(&b.s), 0);
	sender_closed(&b.s);
	sender_give_up(&b.s, END_SEQ);
	sender_describe(&b.s, "host:1", &why);
	assert_int_equal(why.status, EXIT_DATA);
	assert_string_equal(why.text, "host:1: the stream's numbers are used up");
}

static void every_end_is_described(void **state)
{
	(void)state;
	for (int end = SENDER_GOING + 1; end < END_COUNT; end++) {
		struct bench b;
		struct failure why = { 0 };

		begin(&b, SENDER_NEXT, false);
		sender_give_up(&b.s, (enum sender_end)end);
		sender_describe(&b.s, "host:1", &why);
		assert_true(why.status == EXIT_DATA || why.status == EXIT_UNAVAILABLE ||
			    why.status == EXIT_TIMEOUT);
		assert_null(strstr(why.text, "no reason"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_says_what_it_should),
		cmocka_unit_test(the_first_welcome),
		cmocka_unit_test(every_later_welcome),
		cmocka_unit_test(forgotten_is_said_once),
		cmocka_unit_test(acks),
		cmocka_unit_test(an_ack_that_overtakes_sent),
		cmocka_unit_test(errors),
		cmocka_unit_test(checksum_twice),
		cmocka_unit_test(resume),
		cmocka_unit_test(resume_over_two_connections),
		cmocka_unit_test(the_window),
		cmocka_unit_test(a_window_smaller_than_a_message),
		cmocka_unit_test(the_limit_shrinks),
		cmocka_unit_test(bye),
		cmocka_unit_test(drain),
		cmocka_unit_test(bytes_that_make_no_sense),
		cmocka_unit_test(messages_where_none_may_be),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(an_ephemeral_stream_expires),
		cmocka_unit_test(numbers_are_used_up),
		cmocka_unit_test(every_end_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
