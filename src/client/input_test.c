#include "client/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/test.h"

enum { BUFFER = 16, LIMIT = 40, MESSAGES_MAX = 16 };

static struct io *make_io(void)
{
	/* Buffers so small that most messages lie across several. */
	const struct io_config config = { .sockets_max = 4,
					  .buffer_count = 2,
					  .buffer_size = BUFFER };
	struct io *io;

	assert_int_equal(io_create(&config, &io), 0);
	return io;
}

/* The next state that is not INPUT_WAIT. */
static enum input_state wait_for(struct io *io, struct input *in)
{
	enum input_state state;
	struct io_event event;

	while ((state = input_next(in)) == INPUT_WAIT) {
		assert_int_equal(io_wait(io, io_now(io) + 20 * SECOND_NS), 0);
		while (io_next(io, &event)) {
			assert_ptr_equal(event.owner, in);
			input_event(in, &event);
		}
	}
	return state;
}

static void expect(struct io *io, struct input *in, const char *text, size_t size)
{
	assert_int_equal(wait_for(io, in), INPUT_READY);
	assert_int_equal(in->size, size);
	assert_memory_equal(in->data, text, size);
	/* The same until it is taken. */
	assert_int_equal(input_next(in), INPUT_READY);
	assert_memory_equal(in->data, text, size);
	input_take(in);
}

/* Standard input becomes a pipe that holds these bytes. */
static int replace_input(const char *text, size_t size)
{
	int saved = dup(STDIN_FILENO);
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], text, size), size);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	return saved;
}

#define L10 "0123456789"
#define L40 L10 L10 L10 L10

static void lines(void **state)
{
	static const struct {
		const char *name;
		const char *text;
		size_t size;
		bool null_ended;
		const char *wanted[MESSAGES_MAX];
		enum input_state end;
	} rows[] = {
		{ "nothing", "", 0, false, { NULL }, INPUT_END },
		{ "one", "a\n", 2, false, { "a" }, INPUT_END },
		{ "the last one without a newline", "a\nb", 3, false, { "a", "b" }, INPUT_END },
		{ "empty ones", "\n\na\n\n", 5, false, { "", "", "a", "" }, INPUT_END },
		{ "carriage returns are kept", "a\r\n", 3, false, { "a\r" }, INPUT_END },
		{ "NUL-ended", "a\nb\0\0c\0", 7, true, { "a\nb", "", "c" }, INPUT_END },
		{ "NUL-ended, the last without", "a\0b", 3, true, { "a", "b" }, INPUT_END },
		{ "a buffer exactly", "0123456789abcde\nx\n", 18, false, { "0123456789abcde", "x" }, INPUT_END },
		{ "a newline behind a buffer", "0123456789abcdef\nx\n", 19, false, { "0123456789abcdef", "x" }, INPUT_END },
		{ "across buffers", L10 L10 "\n" L10 L10 "\n", 42, false, { L10 L10, L10 L10 }, INPUT_END },
		{ "below the limit", "a\n" L10 L10 L10 "012345678\nb\n", 44, false, { "a", L10 L10 L10 "012345678", "b" },
		  INPUT_END },
		{ "at the limit", "a\n" L40 "\nb\n", 45, false, { "a", L40, "b" }, INPUT_END },
		{ "above the limit", "a\n" L40 "x\nb\n", 46, false, { "a" }, INPUT_FAILED },
		{ "above the limit, no newline", "a\n" L40 "x", 43, false, { "a" }, INPUT_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct client_input from = { .standard_input = true,
						   .null_ended = rows[i].null_ended };
		int saved = replace_input(rows[i].text, rows[i].size);
		struct io *io = make_io();
		struct failure why;
		struct input in;

		print_message("  %s\n", rows[i].name);
		assert_int_equal(input_init(&in, &from, io, &why), 0);
		assert_int_equal(input_total(&in), 0);
		assert_true(input_largest(&in) == UINT64_MAX);
		assert_int_equal(input_set_limit(&in, LIMIT, "it takes", &why), 0);
		for (size_t m = 0; rows[i].wanted[m] != NULL; m++)
			expect(io, &in, rows[i].wanted[m], strlen(rows[i].wanted[m]));
		assert_int_equal(wait_for(io, &in), rows[i].end);
		assert_int_equal(input_next(&in), rows[i].end);
		if (rows[i].end == INPUT_FAILED) {
			assert_int_equal(in.why.status, EXIT_DATA);
			assert_memory_equal(in.why.text, "line 2 is larger than the 40 bytes that ",
					    40);
		}
		io_destroy(io);
		input_deinit(&in);
		dup2(saved, STDIN_FILENO);
		close(saved);
	}
}

/* Nothing is read beyond one buffer while nobody takes a message: whoever writes is held up. */
static void not_faster_than_taken(void **state)
{
	const struct client_input from = { .standard_input = true };
	struct io *io;
	struct failure why;
	struct input in;
	struct io_event event;
	int ends[2];
	int saved = dup(STDIN_FILENO);

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	assert_int_equal(write(ends[1], "a\nb\nc\n0123456789\nd\n", 19), 19);
	io = make_io();
	assert_int_equal(input_init(&in, &from, io, &why), 0);
	assert_int_equal(input_set_limit(&in, LIMIT, "takes", &why), 0);
	assert_int_equal(wait_for(io, &in), INPUT_READY);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(io_wait(io, 0), 0);
		assert_false(io_next(io, &event));
	}
	expect(io, &in, "a", 1);
	expect(io, &in, "b", 1);
	expect(io, &in, "c", 1);
	expect(io, &in, "0123456789", 10);
	expect(io, &in, "d", 1);
	/* It waits for more as long as the other end is open. */
	assert_int_equal(input_next(&in), INPUT_WAIT);
	assert_int_equal(write(ends[1], "late\n", 5), 5);
	expect(io, &in, "late", 4);
	close(ends[1]);
	assert_int_equal(wait_for(io, &in), INPUT_END);
	io_destroy(io);
	input_deinit(&in);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static char *make_file(char *path, const char *text)
{
	int file = mkstemp(path);

	assert_true(file >= 0);
	assert_int_equal(write(file, text, strlen(text)), strlen(text));
	close(file);
	return path;
}

static void files(void **state)
{
	char small[] = "input_test_XXXXXX";
	char empty[] = "input_test_XXXXXX";
	char large[] = "input_test_XXXXXX";
	char nowhere[] = "input_test_nowhere";
	char directory[] = ".";
	char *list[] = { make_file(small, "two\nlines\n"), make_file(empty, ""),
			 make_file(large, L40) };
	char *bad[] = { small, nowhere };
	char *worse[] = { directory };
	struct client_input from = { .files = list, .file_count = 3 };
	struct io *io = make_io();
	struct failure why;
	struct input in;

	(void)state;
	assert_int_equal(input_init(&in, &from, io, &why), 0);
	assert_int_equal(input_total(&in), 3);
	assert_int_equal(input_largest(&in), 40);
	/* What is too large is known before anything is sent. */
	assert_int_equal(input_set_limit(&in, 39, "it takes", &why), -EMSGSIZE);
	assert_int_equal(why.status, EXIT_DATA);
	assert_non_null(strstr(why.text, large));
	assert_int_equal(input_set_limit(&in, 40, "it takes", &why), 0);
	expect(io, &in, "two\nlines\n", 10);
	expect(io, &in, "", 0);
	expect(io, &in, L40, 40);
	assert_int_equal(wait_for(io, &in), INPUT_END);
	io_destroy(io);
	input_deinit(&in);

	/* A file that is gone when its turn comes. */
	io = make_io();
	assert_int_equal(input_init(&in, &from, io, &why), 0);
	assert_int_equal(input_set_limit(&in, 40, "it takes", &why), 0);
	expect(io, &in, "two\nlines\n", 10);
	unlink(empty);
	assert_int_equal(wait_for(io, &in), INPUT_FAILED);
	assert_int_equal(in.why.status, EXIT_NO_INPUT);
	io_destroy(io);
	input_deinit(&in);

	from.files = bad;
	from.file_count = 2;
	assert_int_equal(input_init(&in, &from, NULL, &why), -ENOENT);
	assert_int_equal(why.status, EXIT_NO_INPUT);
	assert_string_equal(why.text, "read input_test_nowhere: No such file or directory");
	from.files = worse;
	from.file_count = 1;
	assert_int_equal(input_init(&in, &from, NULL, &why), -EISDIR);
	unlink(small);
	unlink(large);
}

static void arguments(void **state)
{
	char first[] = "one";
	char second[] = "";
	char third[] = L40;
	char *list[] = { first, second, third };
	const struct client_input from = { .messages = list, .message_count = 3 };
	struct failure why;
	struct input in;

	(void)state;
	assert_int_equal(input_init(&in, &from, NULL, &why), 0);
	assert_int_equal(input_total(&in), 3);
	assert_int_equal(input_largest(&in), 40);
	assert_int_equal(input_set_limit(&in, 39, "it takes", &why), -EMSGSIZE);
	assert_string_equal(why.text, "message 3 is larger than the 39 bytes that it takes");
	assert_int_equal(input_set_limit(&in, 40, "it takes", &why), 0);
	expect(NULL, &in, "one", 3);
	expect(NULL, &in, "", 0);
	assert_int_equal(in.number, 3);
	expect(NULL, &in, L40, 40);
	assert_int_equal(input_next(&in), INPUT_END);
	input_deinit(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(not_faster_than_taken),
		cmocka_unit_test(files),
		cmocka_unit_test(arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
