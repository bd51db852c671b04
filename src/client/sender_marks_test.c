/* Acks and WELCOMEs at every number, in windows of many messages: most of them end between the few places that a sender remembers. What it
 * must say is worked out here from a plain list of all frames. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/test.h"
#include "client/sender.h"
#include "wire/wire.h"

enum { WINDOW = 16 * 1024, MESSAGES_MAX = 2200, MESSAGE_MAX = 700 };

#define OURS UINT64_C(0x1111)

struct world {
	struct sender s;
	uint8_t memory[WINDOW];
	uint64_t ends[MESSAGES_MAX + 1]; /* of frame n, as a ring position */
	uint32_t checksums[MESSAGES_MAX + 1];
	uint32_t histories[MESSAGES_MAX + 1];
	uint64_t sent; /* ring position */
	uint32_t random;
};

static const struct stream_id test_stream = { .bytes = { 9, 8, 7 } };

static uint32_t chance(struct world *w, uint32_t below)
{
	w->random = w->random * 1664525 + 1013904223;
	return (w->random >> 8) % below;
}

static struct sender_event say(struct sender *s, struct wire_reply reply)
{
	uint8_t out[SENDER_INPUT_SIZE];
	struct sender_event event;
	struct wire wire;
	size_t size;

	wire_init(&wire, PROTOCOL_NATIVE, MESSAGE_MAX);
	reply.with_preface = !s->opened;
	size = wire_reply(&wire, &reply, out, sizeof(out));
	assert_int_equal(sender_feed(s, out, size), size);
	sender_next(s, &event);
	return event;
}

static struct sender_event say_ack(struct sender *s, uint64_t seq)
{
	return say(s, (struct wire_reply){ .kind = REPLY_ACK, .seq = seq, .record = seq });
}

static struct sender_event say_welcome(struct sender *s, uint64_t last, uint32_t h)
{
	struct wire_reply reply = { .kind = REPLY_WELCOME };

	reply.welcome.last = reply.welcome.record = last;
	reply.welcome.writer = OURS;
	reply.welcome.h = h;
	reply.welcome.message_max = MESSAGE_MAX;
	return say(s, reply);
}

/* Everything that is offered goes out, but for `less` bytes. */
static uint64_t send_all(struct sender *s, uint64_t less)
{
	struct ring_span spans[2];
	unsigned count = sender_output(s, spans);
	uint64_t size = 0;

	for (unsigned i = 0; i < count; i++)
		size += spans[i].size;
	if (count != 0)
		sender_sent(s, (size_t)(size - (less < size ? less : size)), SECOND_NS);
	return size;
}

static void reopen(struct sender *s)
{
	sender_closed(s);
	sender_opened(s);
	send_all(s, 0);
}

static void put_one(struct world *w, size_t size)
{
	uint8_t data[MESSAGE_MAX];
	uint64_t seq = w->s.put + 1;

	assert_true(seq <= MESSAGES_MAX);
	memset(data, (int)seq, sizeof(data));
	if (sender_put(&w->s, data, size) == -ENOBUFS)
		return;
	assert_int_equal(w->s.put, seq);
	w->ends[seq] = w->ends[seq - 1] + FRAME_HEADER_SIZE + size;
	w->checksums[seq] =
		frame_checksum(frame_seed(&test_stream), seq, (uint32_t)size, data);
	w->histories[seq] = history_next(w->histories[seq - 1], w->checksums[seq]);
}

static void fill(struct world *w, uint32_t size_max)
{
	uint64_t before;

	do {
		before = w->s.put;
		put_one(w, chance(w, size_max + 1));
	} while (w->s.put != before);
}

/* A full window whose memory begins anywhere, all of it sent but for `less` bytes; the first few acknowledged. */
static void begin(struct world *w, uint32_t size_max, uint32_t lap, uint64_t less)
{
	struct sender_config config = { .stream = test_stream, .writer = OURS };

	memset(w, 0, sizeof(*w));
	w->random = lap;
	sender_init(&w->s, &config);
	sender_opened(&w->s);
	send_all(&w->s, 0);
	assert_int_equal(say_welcome(&w->s, 0, 0).kind, SENDER_WELCOMED);
	sender_window(&w->s, w->memory, WINDOW, WINDOW);
	for (uint32_t i = 0; i < lap; i++) {
		put_one(w, MESSAGE_MAX);
		send_all(&w->s, 0);
		assert_int_equal(say_ack(&w->s, w->s.put).kind, SENDER_ACKED);
		assert_int_equal(ring_used(&w->s.ring), 0);
	}
	fill(w, size_max);
	send_all(&w->s, less);
	w->sent = w->ends[w->s.put] - less;
	assert_int_equal(say_ack(&w->s, lap + 3).kind, SENDER_ACKED);
}

static const struct {
	const char *name;
	uint32_t size_max;
	uint32_t lap;
	uint64_t less;
} rows[] = {
	{ "empty messages", 0, 0, 0 },
	{ "small ones, across the end of the memory", 20, 15, 0 },
	{ "a few bytes are missing", 20, 40, 5 },
	{ "many are missing", 20, 7, 3000 },
	{ "small and larger than what lies between two marks", MESSAGE_MAX, 31, 0 },
};

static void every_ack(void **state)
{
	static struct world w;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("  %s\n", rows[i].name);
		begin(&w, rows[i].size_max, rows[i].lap, rows[i].less);
		for (uint64_t seq = w.s.acked + 1; seq <= w.s.put; seq++) {
			struct sender s = w.s;
			struct sender_event event = say_ack(&s, seq);

			if (w.ends[seq] > w.sent) {
				assert_int_equal(event.kind, SENDER_CLOSE);
				assert_int_equal(s.acked, w.s.acked);
				continue;
			}
			assert_int_equal(event.kind, SENDER_ACKED);
			assert_int_equal(s.acked, seq);
			/* What is given back late is less than a 32nd of the memory and a message, and nothing at the end. */
			assert_true(s.ring.head <= w.ends[seq]);
			assert_true(w.ends[seq] - s.ring.head <
				    WINDOW / 32 + FRAME_HEADER_SIZE + rows[i].size_max);
			if (seq == s.put)
				assert_int_equal(ring_used(&s.ring), 0);
		}
	}
}

/* Acknowledged up to `seq`, the connection is lost, and the server says that it has everything up to `last`. */
static void welcome_after_ack(const struct world *w, uint64_t seq, uint64_t last, bool right)
{
	struct sender s = w->s;
	struct ring_span spans[2];
	struct sender_event event;

	say_ack(&s, seq);
	reopen(&s);
	event = say_welcome(&s, last, w->histories[last] + (right ? 0 : 1));
	if (!right) {
		assert_int_equal(event.kind, SENDER_FINAL);
		assert_int_equal(s.end, END_HISTORY);
		assert_int_equal(s.end_count, s.put - seq);
		return;
	}
	assert_int_equal(event.kind, SENDER_WELCOMED);
	assert_int_equal(s.acked, last);
	if (last == s.put) {
		assert_int_equal(sender_output(&s, spans), 0);
		return;
	}
	assert_int_not_equal(sender_output(&s, spans), 0);
	assert_ptr_equal(spans[0].data, w->memory + w->ends[last] % WINDOW);
	if (spans[0].size >= FRAME_HEADER_SIZE)
		assert_int_equal(frame_get_header(spans[0].data).checksum, w->checksums[last + 1]);
}

static void every_welcome(void **state)
{
	static struct world w;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].less != 0)
			continue;
		print_message("  %s\n", rows[i].name);
		begin(&w, rows[i].size_max, rows[i].lap, 0);
		for (uint64_t seq = w.s.acked + 1; seq <= w.s.put; seq++) {
			uint64_t more = chance(&w, (uint32_t)(w.s.put - seq) + 1);

			welcome_after_ack(&w, seq, seq, true);
			welcome_after_ack(&w, seq, seq, false);
			welcome_after_ack(&w, seq, seq + more, true);
			welcome_after_ack(&w, seq, seq + more, false);
			welcome_after_ack(&w, seq, w.s.put, true);
		}
	}
}

/* The server has forgotten everything, and said before that it may: its history begins anew behind what was acknowledged. */
static void a_gap_at_every_number(void **state)
{
	static struct world w;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (rows[i].less != 0)
			continue;
		print_message("  %s\n", rows[i].name);
		begin(&w, rows[i].size_max, rows[i].lap, 0);
		w.s.config.accept_gap = true;
		for (uint64_t seq = w.s.acked + 1; seq <= w.s.put; seq++) {
			struct sender s = w.s;
			uint64_t last = seq + chance(&w, (uint32_t)(w.s.put - seq) + 1);
			uint64_t then = last + chance(&w, (uint32_t)(w.s.put - last) + 1);
			uint32_t h = 0;

			say_ack(&s, seq);
			reopen(&s);
			assert_int_equal(say_welcome(&s, 0, 0).kind, SENDER_WELCOMED);
			assert_int_equal(s.acked, seq);
			assert_int_equal(send_all(&s, 0), w.ends[s.put] - w.ends[seq]);
			for (uint64_t n = seq + 1; n <= then; n++)
				h = history_next(h, w.checksums[n]);
			if (last > seq)
				assert_int_equal(say_ack(&s, last).kind, SENDER_ACKED);
			reopen(&s);
			assert_int_equal(say_welcome(&s, then, h).kind, SENDER_WELCOMED);
			assert_int_equal(s.acked, then);
		}
	}
}

/* With memory for one message, as those have that send one at a time. */
static void memory_for_one_message(void **state)
{
	static struct world w;
	struct sender_config config = { .stream = test_stream, .writer = OURS };

	(void)state;
	for (size_t size = 0; size < 200; size++) {
		memset(&w, 0, sizeof(w));
		sender_init(&w.s, &config);
		sender_opened(&w.s);
		send_all(&w.s, 0);
		assert_int_equal(say_welcome(&w.s, 0, 0).kind, SENDER_WELCOMED);
		sender_window(&w.s, w.memory, FRAME_HEADER_SIZE + size + 1, 1);
		for (uint64_t seq = 1; seq <= 100; seq++) {
			put_one(&w, size);
			assert_int_equal(w.s.put, seq);
			put_one(&w, size);
			assert_int_equal(w.s.put, seq);
			send_all(&w.s, 0);
			assert_int_equal(say_ack(&w.s, seq).kind, SENDER_ACKED);
			assert_int_equal(ring_used(&w.s.ring), 0);
		}
		reopen(&w.s);
		assert_int_equal(say_welcome(&w.s, 100, w.histories[100]).kind, SENDER_WELCOMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_ack),
		cmocka_unit_test(every_welcome),
		cmocka_unit_test(a_gap_at_every_number),
		cmocka_unit_test(memory_for_one_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
