#include "client/reply.h"

#include <string.h>

#include "base/test.h"

enum { OUT_SIZE = 64 * 1024 };

static char out[OUT_SIZE];

/* The reply, handed over in pieces of `piece` bytes. Returns the size of what was printed. */
static size_t print(const char *text, size_t size, bool terminal, size_t piece)
{
	FILE *file = tmpfile();
	struct reply reply;
	size_t got;

	assert_non_null(file);
	reply_init(&reply, file, terminal);
	for (size_t at = 0; at < size; at += piece)
		reply_put(&reply, (const uint8_t *)text + at,
			  size - at < piece ? size - at : piece);
	assert_int_equal(reply.size, size);
	assert_int_equal(reply_end(&reply), 0);
	rewind(file);
	got = fread(out, 1, OUT_SIZE - 1, file);
	out[got] = '\0';
	fclose(file);
	return got;
}

/* In one piece or in many, it looks the same. */
static void in_pieces(void **state)
{
	static const struct {
		const char *name;
		const char *text;
		size_t size;
		const char *pipe;
		size_t pipe_size;
		const char *terminal;
	} rows[] = {
		{ "nothing", "", 0, "", 0, "" },
		{ "a newline is added", "ACK!", 4, "ACK!\n", 5, "ACK!\n" },
		{ "it has one", "ACK 1\n", 6, "ACK 1\n", 6, "ACK 1\n" },
		{ "lines", "a\n\nb", 4, "a\n\nb\n", 5, "a\n\nb\n" },
		{ "control bytes", "\x1b[2J\0", 5, "\x1b[2J\0\n", 6, "\\x1b[2J\\0\n" },
		{ "UTF-8", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9,
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n", 10,
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n" },
		{ "half a character at the end", "x\xe2\x82", 3, "x\xe2\x82\n", 4,
		  "x\\xe2\\x82\n" },
		{ "no character at all", "\x80\x80\x80\x80\xff", 5, "\x80\x80\x80\x80\xff\n", 6,
		  "\\x80\\x80\\x80\\x80\\xff\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("  %s\n", rows[i].name);
		for (size_t piece = 1; piece <= rows[i].size + 1; piece++) {
			size_t size = print(rows[i].text, rows[i].size, false, piece);

			assert_int_equal(size, rows[i].pipe_size);
			assert_memory_equal(out, rows[i].pipe, size);
			print(rows[i].text, rows[i].size, true, piece);
			assert_string_equal(out, rows[i].terminal);
		}
	}
}

/* More than fits any buffer of ours, with characters across every boundary. */
static void large(void **state)
{
	static char text[16 * 1024];

	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		memset(text, 'x', sizeof(text));
		for (size_t at = shift; at + 4 <= sizeof(text); at += 4)
			memcpy(text + at, "\xf0\x9f\x98\x80", 4);
		for (size_t piece = 1000; piece <= 5000; piece += 333) {
			assert_int_equal(print(text, sizeof(text), true, piece), sizeof(text) + 1);
			assert_memory_equal(out, text, sizeof(text));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
