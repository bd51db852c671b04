#include "cli/show.h"

#include <stdlib.h>
#include <string.h>

#include "base/protocol.h"
#include "base/test.h"

enum format { TEXT, TERMINAL, RAW, JSON };

/* What one record looks like; until the next call. */
static const char *shown(enum format format, const struct record *record, size_t *ret_size)
{
	static char out[64 * 1024];
	FILE *file = tmpfile();

	assert_non_null(file);
	switch (format) {
	case TEXT: show_text(file, record, false, '\n'); break;
	case TERMINAL: show_text(file, record, true, '\n'); break;
	case RAW: show_raw(file, record); break;
	case JSON: show_json(file, record, '\n'); break;
	}
	rewind(file);
	*ret_size = fread(out, 1, sizeof(out) - 1, file);
	out[*ret_size] = '\0';
	fclose(file);
	return out;
}

static void formats(void **state)
{
	static const struct {
		const char *name;
		enum format format;
		const char *payload;
		size_t size;
		const char *wanted;
		size_t wanted_size;
	} rows[] = {
		{ "text", TEXT, "a\x1b[b", 4, "a\x1b[b\n", 5 },
		{ "text, empty", TEXT, "", 0, "\n", 1 },
		{ "text with a newline", TEXT, "a\nb\n", 4, "a\nb\n\n", 5 },
		{ "terminal", TERMINAL, "a\x1b[b\xc3\xa9", 6, "a\\x1b[b\xc3\xa9\n", 10 },
		{ "raw", RAW, "a\0b", 3, "a\0b", 3 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct record record = { .number = 1,
					 .payload = (const uint8_t *)rows[i].payload,
					 .size = (uint32_t)rows[i].size };
		size_t size;
		const char *out;

		print_message("  %s\n", rows[i].name);
		out = shown(rows[i].format, &record, &size);
		assert_int_equal(size, rows[i].wanted_size);
		assert_memory_equal(out, rows[i].wanted, size);
	}
}

static void json(void **state)
{
	static const struct {
		const char *name;
		const char *payload;
		size_t size;
		bool gap;
		uint64_t gap_last;
		const char *middle;
		const char *end;
	} rows[] = {
		{ "text", "Hello \"World\"\n", 14, false, 0, "", "\"payload\":\"Hello \\\"World\\\"\\n\"}" },
		{ "empty", "", 0, false, 0, "", "\"payload\":\"\"}" },
		{ "not UTF-8", "\xff\x00", 2, false, 0, "", "\"payload_base64\":\"/wA=\"}" },
		{ "behind a gap", "x", 1, true, 7, "\"gap_after\":7,", "\"payload\":\"x\"}" },
		{ "behind a gap from the beginning", "x", 1, true, 0, "\"gap_after\":0,", "\"payload\":\"x\"}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct record record = {
			.number = 12,
			.stream = { .bytes = { 1, 0xab } },
			.seq = 9,
			.peer = { .family = PEER_IPV4, .port = 55760, .address = { 127, 0, 0, 1 } },
			.protocol = PROTOCOL_RAW,
			.gap = rows[i].gap,
			.gap_last = rows[i].gap_last,
			.payload = (const uint8_t *)rows[i].payload,
			.size = (uint32_t)rows[i].size,
		};
		char wanted[500];
		size_t size;
		const char *out;

		print_message("  %s\n", rows[i].name);
		snprintf(
			wanted, sizeof(wanted),
			"{\"record\":12,\"stream\":\"01ab0000000000000000000000000000\","
			"\"seq\":9,%s"
			"\"time\":\"1970-01-01T00:00:00.000000000Z\",\"peer\":\"127.0.0.1:55760\","
			"\"protocol\":\"raw\",\"size\":%zu,%s\n",
			rows[i].middle, rows[i].size, rows[i].end);
		out = shown(JSON, &record, &size);
		assert_string_equal(out, wanted);
	}
}

/* Large payloads are shown piece by piece, and no character is cut, wherever the pieces end. */
static void pieces(void **state)
{
	enum { LARGE = 20000 };
	uint8_t *payload = malloc(LARGE + 4);

	(void)state;
	assert_non_null(payload);
	for (size_t shift = 0; shift < 4; shift++) {
		struct record record = { .payload = payload, .size = LARGE };
		size_t size;
		const char *out;

		memset(payload, 'x', LARGE);
		for (size_t at = shift; at + 4 <= LARGE; at += 4)
			memcpy(payload + at, "\xf0\x9f\x98\x80", 4);
		out = shown(TERMINAL, &record, &size);
		assert_int_equal(size, LARGE + 1);
		assert_memory_equal(out, payload, LARGE);
		out = shown(JSON, &record, &size);
		assert_true(size > LARGE + 3);
		assert_memory_equal(out + size - 3 - LARGE, payload, LARGE);

		payload[LARGE - 1] = 0xff;
		out = shown(JSON, &record, &size);
		/* 6667 groups of 3: no padding but at the very end. */
		assert_non_null(strstr(out, "payload_base64"));
		assert_ptr_equal(strchr(strstr(out, "_base64"), '='), out + size - 4);
		assert_int_equal((size_t)(out + size - 3 - strstr(out, "base64\":\"")) - 9,
				 (LARGE + 2) / 3 * 4);
	}
	free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		cmocka_unit_test(json),
		cmocka_unit_test(pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
