/* Replies, and what the golden vectors do not say. */
#include "wire/wire.h"

#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/test.h"
#include "wire/native_client.h"

static struct wire machine(enum protocol protocol)
{
	struct wire w;

	wire_init(&w, protocol, 1024);
	return w;
}

static const enum wire_reply_kind kinds[] = { REPLY_WELCOME, REPLY_ACK, REPLY_ERROR, REPLY_WAIT,
					      REPLY_DRAIN };

static void classic_answer(void **state)
{
	static const enum protocol protocols[] = { PROTOCOL_RAW, PROTOCOL_WHOLE };

	(void)state;
	for (size_t p = 0; p < COUNT_OF(protocols); p++) {
		struct wire w = machine(protocols[p]);

		for (size_t k = 0; k < COUNT_OF(kinds); k++) {
			struct wire_reply reply = { .kind = kinds[k], .seq = 1, .record = 1 };
			uint8_t out[OUTPUT_SLOT_SIZE] = "xxxxxxxx";

			if (kinds[k] == REPLY_ACK) {
				assert_int_equal(wire_reply(&w, &reply, out, sizeof(out)), 4);
				assert_memory_equal(out, "ACK!xxxx", 8);
			} else {
				assert_int_equal(wire_reply(&w, &reply, out, sizeof(out)), 0);
			}
		}
	}
}

static void what_follows_the_answer(void **state)
{
	static const struct {
		enum protocol protocol;
		enum wire_after after;
	} rows[] = {
		{ PROTOCOL_NATIVE, AFTER_GO_ON },
		{ PROTOCOL_RAW, AFTER_SHUT },
		{ PROTOCOL_WHOLE, AFTER_CLOSE },
		{ PROTOCOL_LINE, AFTER_GO_ON },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct wire w = machine(rows[i].protocol);

		assert_int_equal(wire_after_ack(&w), rows[i].after);
	}
}

static void one_line_a_record(void **state)
{
	struct wire w = machine(PROTOCOL_LINE);
	struct wire_reply reply = { .kind = REPLY_ACK, .record_from = 9, .record = 11 };
	uint8_t out[OUTPUT_SLOT_SIZE];

	(void)state;
	assert_int_equal(wire_reply(&w, &reply, out, sizeof(out)), 20);
	assert_memory_equal(out, "ACK 9\nACK 10\nACK 11\n", 20);
	assert_int_equal(reply.record_from, 12);
	assert_int_equal(wire_reply(&w, &reply, out, sizeof(out)), 0);
	assert_int_equal(reply.record_from, 12);
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		struct wire_reply other = { .kind = kinds[k], .record_from = 1, .record = 2 };

		if (kinds[k] != REPLY_ACK)
			assert_int_equal(wire_reply(&w, &other, out, sizeof(out)), 0);
	}
}

/* However small the room, no byte too many, no record twice, none left out. */
static void many_lines_in_little_room(void **state)
{
	static char want[20000], got[20000];
	struct wire w = machine(PROTOCOL_LINE);
	size_t want_size = 0;

	(void)state;
	for (unsigned record = 95; record <= 1200; record++) {
		char digits[8];
		size_t size = 0;

		for (unsigned rest = record; rest > 0; rest /= 10)
			digits[size++] = (char)('0' + rest % 10);
		memcpy(want + want_size, "ACK ", 4);
		want_size += 4;
		while (size > 0)
			want[want_size++] = digits[--size];
		want[want_size++] = '\n';
	}
	for (size_t room = OUTPUT_SLOT_SIZE; room < OUTPUT_SLOT_SIZE + 30; room++) {
		struct wire_reply reply = { .kind = REPLY_ACK, .record_from = 95, .record = 1200 };
		size_t got_size = 0;

		while (reply.record_from <= reply.record) {
			uint8_t out[OUTPUT_SLOT_SIZE + 31];
			size_t size;

			memset(out, 0x5a, sizeof(out));
			size = wire_reply(&w, &reply, out, room);
			assert_true(size > 0 && size <= room);
			assert_int_equal(out[room], 0x5a);
			memcpy(got + got_size, out, size);
			got_size += size;
		}
		assert_int_equal(got_size, want_size);
		assert_memory_equal(got, want, want_size);
	}
}

static void every_native_reply_fits_a_slot(void **state)
{
	struct wire w = machine(PROTOCOL_NATIVE);

	(void)state;
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		for (int fault = 0; fault <= FAULT_COUNT; fault++) {
			struct wire_reply reply = { .kind = kinds[k],
						    .with_preface = true,
						    .fault = (enum wire_fault)fault,
						    .welcome = { .message_max = 1 } };
			uint8_t out[OUTPUT_SLOT_SIZE + 1];
			struct native_answer answer;
			size_t size;

			out[OUTPUT_SLOT_SIZE] = 0x5a;
			size = wire_reply(&w, &reply, out, OUTPUT_SLOT_SIZE);
			assert_true(size > 0 && size <= OUTPUT_SLOT_SIZE);
			assert_int_equal(out[OUTPUT_SLOT_SIZE], 0x5a);
			native_answer_next(false, out, size, &answer);
			assert_int_equal(answer.consumed, size);
			reply.with_preface = false;
			assert_int_equal(wire_reply(&w, &reply, out, OUTPUT_SLOT_SIZE),
					 size - NATIVE_PREFACE_SIZE);
		}
	}
}

static void every_fault_has_a_text_of_its_own(void **state)
{
	(void)state;
	for (int a = 0; a <= FAULT_COUNT; a++) {
		const char *text = wire_fault_text((enum wire_fault)a);

		assert_non_null(text);
		assert_true(strlen(text) > 0 && strlen(text) <= NATIVE_TEXT_MAX);
		for (int b = 0; b < a; b++)
			assert_string_not_equal(text, wire_fault_text((enum wire_fault)b));
	}
	assert_string_equal(wire_fault_text((enum wire_fault) - 1), "unknown fault");
}

static void native_or_not(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "", -1 },
		{ "R", -1 },
		{ "ROG", -1 },
		{ "ROGER/1", -1 },
		{ "ROGER/1\n", 1 },
		{ "ROGER/1\nx", 1 },
		{ "r", 0 },
		{ "ROGUE", 0 },
		{ "ROGER/1\r", 0 },
		{ "ROGER/2\n", 0 },
		{ "Hello World!", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(
			wire_is_native((const uint8_t *)rows[i].text, strlen(rows[i].text)),
			rows[i].want);
	assert_int_equal(wire_is_native(NULL, 0), -1);
}

/* Every protocol takes a connection without a byte, where there is no memory to point to either. */
static void no_bytes_at_all(void **state)
{
	(void)state;
	for (int protocol = PROTOCOL_NATIVE; protocol < PROTOCOL_COUNT; protocol++) {
		struct wire w = machine((enum protocol)protocol);
		struct wire_event event;

		for (unsigned drained = 0; drained <= WIRE_DRAINED; drained += WIRE_DRAINED) {
			wire_next(&w, NULL, 0, drained, &event);
			assert_int_equal(event.kind, WIRE_MORE);
			assert_true(event.need >= 1);
			wire_accept(&w, &event);
			wire_next(&w, NULL, 0, drained | WIRE_ENDED, &event);
			assert_int_equal(event.kind, WIRE_END);
			assert_int_equal(event.size, 0);
		}
	}
}

/* raw, piece by piece: the golden vectors join them. */
static void raw_pieces(void **state)
{
	static const struct {
		const char *name;
		size_t size;
		unsigned flags;
		enum wire_event_kind kind;
		size_t taken;
	} rows[] = {
		{ "one, more readable", 1, 0, WIRE_MORE, 0 },
		{ "one, drained", 1, WIRE_DRAINED, WIRE_MESSAGE, 1 },
		{ "one, ended", 1, WIRE_ENDED, WIRE_MESSAGE, 1 },
		{ "max-1", 1023, 0, WIRE_MORE, 0 },
		{ "max-1, drained", 1023, WIRE_DRAINED, WIRE_MESSAGE, 1023 },
		{ "max", 1024, 0, WIRE_MESSAGE, 1024 },
		{ "max+1", 1025, 0, WIRE_MESSAGE, 1024 },
		{ "max+1, drained", 1025, WIRE_DRAINED, WIRE_MESSAGE, 1024 },
		{ "max+1, ended", 1025, WIRE_ENDED, WIRE_MESSAGE, 1024 },
	};
	uint8_t data[1025] = { 0 };
	struct wire w = machine(PROTOCOL_RAW);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct wire_event event;

		print_message("%s\n", rows[i].name);
		wire_next(&w, data, rows[i].size, rows[i].flags, &event);
		assert_int_equal(event.kind, rows[i].kind);
		assert_int_equal(event.consumed, rows[i].taken);
		if (event.kind == WIRE_MESSAGE) {
			assert_ptr_equal(event.data, data);
			assert_int_equal(event.size, rows[i].taken);
		} else {
			assert_int_equal(event.need, rows[i].size + 1);
		}
	}
}

/* A session that could not append asks again with the same bytes and more behind them: now more frames fit one event. */
static void asking_again_after_a_pause(void **state)
{
	struct wire_hello hello = { .stream = { { 0x80 } }, .first = 1 };
	uint32_t seed = frame_seed(&hello.stream);
	struct wire w = machine(PROTOCOL_NATIVE);
	struct wire_event event;
	uint8_t data[NATIVE_HELLO_SIZE + 3 * (FRAME_HEADER_SIZE + 1)];
	size_t frame = FRAME_HEADER_SIZE + 1;
	uint32_t h = 0;

	(void)state;
	native_put_hello(data, &hello);
	for (uint32_t i = 0; i < 3; i++) {
		uint8_t *at = data + NATIVE_HELLO_SIZE + i * frame;
		struct frame_header header = { .size = 1 };

		at[FRAME_HEADER_SIZE] = (uint8_t)i;
		header.checksum = frame_checksum(seed, i + 1, 1, at + FRAME_HEADER_SIZE);
		frame_put_header(at, header);
		h = history_next(h, header.checksum);
	}
	wire_next(&w, data, sizeof(data), 0, &event);
	assert_int_equal(event.kind, WIRE_HELLO);
	wire_accept(&w, &event);
	wire_welcomed(&w, &event.hello.stream, 1, 0);
	for (uint32_t i = 1; i <= 3; i++) {
		wire_next(&w, data + NATIVE_HELLO_SIZE, i * frame, 0, &event);
		assert_int_equal(event.kind, WIRE_FRAMES);
		assert_int_equal(event.count, i);
		assert_int_equal(event.first_seq, 1);
		assert_int_equal(event.consumed, i * frame);
	}
	assert_int_equal(event.h_after, h);
	wire_accept(&w, &event);
	wire_next(&w, NULL, 0, WIRE_ENDED, &event);
	assert_int_equal(event.kind, WIRE_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classic_answer),
		cmocka_unit_test(what_follows_the_answer),
		cmocka_unit_test(one_line_a_record),
		cmocka_unit_test(many_lines_in_little_room),
		cmocka_unit_test(every_native_reply_fits_a_slot),
		cmocka_unit_test(every_fault_has_a_text_of_its_own),
		cmocka_unit_test(native_or_not),
		cmocka_unit_test(no_bytes_at_all),
		cmocka_unit_test(raw_pieces),
		cmocka_unit_test(asking_again_after_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
