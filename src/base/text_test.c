#include "base/text.h"

#include <string.h>
#include <time.h>

#include "base/test.h"

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static void escaping(void **state)
{
	static const struct {
		const char *name;
		const uint8_t *data;
		size_t size;
		const char *want;
	} rows[] = {
		{ "nothing", BYTES(""), "" },
		{ "plain", BYTES("Hello World!"), "Hello World!" },
		{ "letters that have one", BYTES("a\nb\rc\td\\e\0f"), "a\\nb\\rc\\td\\\\e\\0f" },
		{ "escape sequence", BYTES("\033[2J"), "\\x1b[2J" },
		{ "title", BYTES("\033]0;x\007"), "\\x1b]0;x\\x07" },
		{ "backspace, delete", BYTES("\b\177"), "\\x08\\x7f" },
		{ "C1 alone", BYTES("\x9b"
				    "31m"),
		  "\\x9b31m" },
		{ "C1 as UTF-8", BYTES("\xc2\x9b"
				       "31m"),
		  "\\xc2\\x9b31m" },
		{ "last C1, first behind", BYTES("\xc2\x9f\xc2\xa0"), "\\xc2\\x9f\xc2\xa0" },
		{ "two bytes", BYTES("\xc3\xa9"), "\xc3\xa9" },
		{ "three bytes", BYTES("\xe2\x82\xac"), "\xe2\x82\xac" },
		{ "four bytes", BYTES("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80" },
		{ "right-to-left override", BYTES("\xe2\x80\xae"), "\\xe2\\x80\\xae" },
		{ "isolate", BYTES("\xe2\x81\xa6"), "\\xe2\\x81\\xa6" },
		{ "line separator", BYTES("\xe2\x80\xa8"), "\\xe2\\x80\\xa8" },
		{ "no width", BYTES("\xe2\x80\x8b"), "\\xe2\\x80\\x8b" },
		{ "byte order mark", BYTES("\xef\xbb\xbf"), "\\xef\\xbb\\xbf" },
		{ "tag", BYTES("\xf3\xa0\x81\x81"), "\\xf3\\xa0\\x81\\x81" },
		{ "overlong NUL", BYTES("\xc0\x80"), "\\xc0\\x80" },
		{ "overlong escape", BYTES("\xe0\x80\x9b"), "\\xe0\\x80\\x9b" },
		{ "overlong four", BYTES("\xf0\x8f\xbf\xbf"), "\\xf0\\x8f\\xbf\\xbf" },
		{ "surrogate", BYTES("\xed\xa0\x80"), "\\xed\\xa0\\x80" },
		{ "too high", BYTES("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80" },
		{ "lone lead", BYTES("\xe2"), "\\xe2" },
		{ "cut short", BYTES("\xe2\x82"), "\\xe2\\x82" },
		{ "lead, then text", BYTES("\xe2"
					   "ab"),
		  "\\xe2ab" },
		{ "lone follower", BYTES("\x80"), "\\x80" },
		{ "never", BYTES("\xfe\xff"), "\\xfe\\xff" },
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("%s\n", rows[i].name);
		size_t length = text_escape(out, sizeof(out), rows[i].data, rows[i].size, 80);

		assert_string_equal(out, rows[i].want);
		assert_int_equal(length, strlen(rows[i].want));
	}
}

/* What has been escaped, or was typed with a backslash, stays. */
static void one_line(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(text_one_line(out, sizeof(out), "a\\b\n\x1b\xff"), 13);
	assert_string_equal(out, "a\\b\\n\\x1b\\xff");
	assert_int_equal(text_one_line(out, sizeof(out), "a\\b\\n\\x1b\\xff"), 13);
	assert_string_equal(out, "a\\b\\n\\x1b\\xff");
	text_one_line(out, sizeof(out), "0123456789012345");
	assert_string_equal(out, "012345678901...");
}

/* Whatever two bytes come in, nothing that a terminal obeys comes out, and never more than the room. */
static void nothing_gets_through(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 0x10000; pair++) {
		uint8_t data[4] = { (uint8_t)(pair >> 8), (uint8_t)pair, (uint8_t)(pair >> 8),
				    (uint8_t)pair };

		for (size_t room = 8; room <= 18; room += 5) {
			char out[20];
			size_t length;

			memset(out, 0x5a, sizeof(out));
			length = text_escape(out, room, data, sizeof(data), 80);
			assert_true(length < room);
			assert_int_equal(strlen(out), length);
			for (size_t i = room; i < sizeof(out); i++)
				assert_int_equal(out[i], 0x5a);
			assert_true(text_is_utf8((const uint8_t *)out, length));
			for (size_t i = 0; i < length; i++) {
				uint8_t c = (uint8_t)out[i];

				assert_true(c >= 0x20 && c != 0x7f);
				if (c == 0xc2)
					assert_true((uint8_t)out[i + 1] >= 0xa0);
			}
		}
	}
}

static void cutting(void **state)
{
	static const struct {
		const char *name;
		const char *data;
		size_t room;
		size_t data_max;
		const char *want;
	} rows[] = {
		{ "all but one", "12345", 100, 4, "1234..." },
		{ "exactly", "12345", 100, 5, "12345" },
		{ "one to spare", "12345", 100, 6, "12345" },
		{ "none", "12345", 100, 0, "..." },
		{ "nothing, none", "", 100, 0, "" },
		{ "not through a character", "a\xe2\x82\xac", 100, 3, "a..." },
		{ "behind a character", "a\xe2\x82\xac"
					"b",
		  100, 4, "a\xe2\x82\xac..." },
		{ "room exactly", "1234567", 8, 100, "1234567" },
		{ "room one short", "12345678", 8, 100, "1234..." },
		{ "room and an escape", "123\n\n", 8, 100, "123\\n\\n" },
		{ "room and an escape too many", "12345\n\n", 8, 100, "1234..." },
		{ "escapes are not cut", "\001\001\001", 8, 100, "\\x01..." },
		{ "data_max without end", "12345", 100, SIZE_MAX, "12345" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char out[100];

		print_message("%s\n", rows[i].name);
		size_t length = text_escape(out, rows[i].room, (const uint8_t *)rows[i].data,
					    strlen(rows[i].data), rows[i].data_max);

		assert_string_equal(out, rows[i].want);
		assert_int_equal(length, strlen(rows[i].want));
	}
}

static void json(void **state)
{
	static const struct {
		const char *name;
		const uint8_t *data;
		size_t size;
		const char *want;
	} rows[] = {
		{ "nothing", BYTES(""), "" },
		{ "plain", BYTES("Hello World!/"), "Hello World!/" },
		{ "quotes", BYTES("\"\\"), "\\\"\\\\" },
		{ "letters", BYTES("\n\r\t"), "\\n\\r\\t" },
		{ "controls", BYTES("\0\b\f\033\177"), "\\u0000\\u0008\\u000c\\u001b\\u007f" },
		{ "C1", BYTES("\xc2\x9b"), "\\u009b" },
		{ "override", BYTES("\xe2\x80\xae"), "\\u202e" },
		{ "tag, as a pair", BYTES("\xf3\xa0\x81\x81"), "\\udb40\\udc41" },
		{ "UTF-8", BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char out[100];
		size_t want = strlen(rows[i].want);

		print_message("%s\n", rows[i].name);
		memset(out, 0x5a, sizeof(out));
		assert_int_equal(text_json(out, want, rows[i].data, rows[i].size), want);
		assert_memory_equal(out, rows[i].want, want);
		assert_int_equal(out[want], 0x5a);
		assert_true(want <= 6 * rows[i].size);
		if (want > 0)
			assert_int_equal(text_json(out, want - 1, rows[i].data, rows[i].size),
					 SIZE_MAX);
	}
}

static void utf8(void **state)
{
	(void)state;
	assert_true(text_is_utf8(BYTES("")));
	assert_true(text_is_utf8(BYTES("a\0b\xc3\xa9\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf")));
	assert_false(text_is_utf8(BYTES("a\xc3")));
	assert_false(text_is_utf8(BYTES("\xed\xa0\x80")));
	assert_false(text_is_utf8(BYTES("\xc1\xbf")));
	assert_false(text_is_utf8(BYTES("\xf5\x80\x80\x80")));
	assert_false(text_is_utf8(BYTES("ok\x80")));
}

/* RFC 4648, 10. */
static void base64(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfd\xfb", "//79+w==" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char out[20];
		size_t want = strlen(rows[i][1]);

		memset(out, 0x5a, sizeof(out));
		assert_int_equal(text_base64_size(strlen(rows[i][0])), want);
		assert_int_equal(text_base64(out, (const uint8_t *)rows[i][0], strlen(rows[i][0])),
				 want);
		assert_memory_equal(out, rows[i][1], want);
		assert_int_equal(out[want], 0x5a);
	}
}

static void numbers(void **state)
{
	static const struct {
		uint64_t value;
		const char *want;
	} rows[] = {
		{ 0, "0" },
		{ 9, "9" },
		{ 10, "10" },
		{ 65535, "65535" },
		{ UINT64_MAX, "18446744073709551615" },
	};
	char out[TEXT_U64_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(text_u64(rows[i].value, out), strlen(rows[i].want));
		assert_string_equal(out, rows[i].want);
	}
}

static void times(void **state)
{
	char out[TEXT_TIME_SIZE], want[TEXT_TIME_SIZE];

	(void)state;
	assert_string_equal(text_time(0, out), "1970-01-01T00:00:00.000000000Z");
	assert_string_equal(text_time(UINT64_C(951782399999999999), out),
			    "2000-02-28T23:59:59.999999999Z");
	assert_string_equal(text_time(UINT64_C(951782400000000000), out),
			    "2000-02-29T00:00:00.000000000Z");
	assert_string_equal(text_time(UINT64_C(1795356360123456789), out),
			    "2026-11-22T14:06:00.123456789Z");
	assert_string_equal(text_time(UINT64_MAX, out), "2554-07-21T23:34:33.709551615Z");

	/* Every day for 585 years, against the C library. */
	for (uint64_t day = 0; day < 213503; day++) {
		time_t seconds = (time_t)(day * 86400 + 3661);
		struct tm parts;

		gmtime_r(&seconds, &parts);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000000007Z", &parts);
		assert_string_equal(text_time((uint64_t)seconds * 1000000000 + 7, out), want);
	}
}

static void sizes_for_people(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} rows[] = {
		{ 0, "0 bytes" },
		{ 1, "1 byte" },
		{ 12, "12 bytes" },
		{ 1023, "1023 bytes" },
		{ 1024, "1 KiB" },
		{ 1536, "1.5 KiB" },
		{ 8 << 20, "8 MiB" },
		{ (8 << 20) - 1, "7.9 MiB" },
		{ UINT64_C(3) << 29, "1.5 GiB" },
		{ UINT64_C(1) << 40, "1 TiB" },
		{ UINT64_C(1) << 60, "1 EiB" },
		{ UINT64_MAX, "15.9 EiB" },
	};
	char out[TEXT_SIZE_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(text_size(rows[i].bytes, out), rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escaping),
		cmocka_unit_test(one_line),
		cmocka_unit_test(nothing_gets_through),
		cmocka_unit_test(cutting),
		cmocka_unit_test(json),
		cmocka_unit_test(utf8),
		cmocka_unit_test(base64),
		cmocka_unit_test(numbers),
		cmocka_unit_test(times),
		cmocka_unit_test(sizes_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
