#include "cli/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/limits.h"
#include "base/test.h"

enum { LISTEN = 1, QUIET, COUNT, NULL_ENDED, MOST = 8 };

static const struct option table[] = {
	{ "listen", 'l', true, LISTEN },
	{ "quiet", 'q', false, QUIET },
	{ "count", 'n', true, COUNT },
	{ "null", '0', false, NULL_ENDED },
};

static char said[1000]; /* what went to standard error */

/* Catch standard error in a file around a call. */
static int saved_error;
static FILE *caught;

static void catch_begin(void)
{
	fflush(stderr);
	caught = tmpfile();
	assert_non_null(caught);
	saved_error = dup(STDERR_FILENO);
	dup2(fileno(caught), STDERR_FILENO);
}

static void catch_end(void)
{
	size_t size;

	fflush(stderr);
	dup2(saved_error, STDERR_FILENO);
	close(saved_error);
	rewind(caught);
	size = fread(said, 1, sizeof(said) - 1, caught);
	said[size] = '\0';
	fclose(caught);
}

static void begin(struct options *o, char **arguments)
{
	int count = 0;

	while (arguments[count] != NULL)
		count++;
	options_init(o, "serve", table, COUNT_OF(table), arguments, count);
}

static void command_lines(void **state)
{
	static const struct {
		const char *name;
		const char *arguments[MOST];
		struct {
			int id;
			const char *value;
		} wanted[MOST];
		const char *said;
	} rows[] = {
		{ "nothing", { NULL }, { { OPTION_END, NULL } }, "" },
		{ "long, value behind it", { "--listen", "x" }, { { LISTEN, "x" }, { OPTION_END, NULL } }, "" },
		{ "long, value in it", { "--listen=x=y" }, { { LISTEN, "x=y" }, { OPTION_END, NULL } }, "" },
		{ "long, empty value", { "--listen=" }, { { LISTEN, "" }, { OPTION_END, NULL } }, "" },
		{ "short, value behind it", { "-l", "x" }, { { LISTEN, "x" }, { OPTION_END, NULL } }, "" },
		{ "short, value in it", { "-lx" }, { { LISTEN, "x" }, { OPTION_END, NULL } }, "" },
		{ "short ones in one", { "-q0n5" }, { { QUIET, NULL }, { NULL_ENDED, NULL }, { COUNT, "5" } }, "" },
		{ "a value that looks like an option", { "-n", "-5" }, { { COUNT, "-5" }, { OPTION_END, NULL } }, "" },
		{ "before and behind arguments", { "-q", "a", "-0", "b" },
		  { { QUIET, NULL }, { OPTION_ARGUMENT, "a" }, { NULL_ENDED, NULL }, { OPTION_ARGUMENT, "b" } }, "" },
		{ "behind --", { "--", "-q", "--", "--help" },
		  { { OPTION_ARGUMENT, "-q" }, { OPTION_ARGUMENT, "--" }, { OPTION_ARGUMENT, "--help" } }, "" },
		{ "a lone minus", { "-" }, { { OPTION_ARGUMENT, "-" }, { OPTION_END, NULL } }, "" },
		{ "an empty argument", { "" }, { { OPTION_ARGUMENT, "" }, { OPTION_END, NULL } }, "" },
		{ "help", { "--help" }, { { OPTION_HELP, NULL } }, "" },
		{ "help, short, in a cluster", { "-qh" }, { { QUIET, NULL }, { OPTION_HELP, NULL } }, "" },
		{ "unknown, long", { "--foo" }, { { OPTION_BAD, NULL } }, "roger: serve: unknown option --foo\n" },
		{ "unknown, with a value", { "--foo=1" }, { { OPTION_BAD, NULL } }, "roger: serve: unknown option --foo\n" },
		{ "unknown, short", { "-qx" }, { { QUIET, NULL }, { OPTION_BAD, NULL } }, "roger: serve: unknown option -x\n" },
		{ "abbreviated", { "--list", "x" }, { { OPTION_BAD, NULL } }, "roger: serve: unknown option --list\n" },
		{ "longer than it is", { "--listens" }, { { OPTION_BAD, NULL } }, "roger: serve: unknown option --listens\n" },
		{ "control bytes", { "--\x1b[31m" }, { { OPTION_BAD, NULL } },
		  "roger: serve: unknown option --\\x1b[31m\n" },
		{ "no value, long", { "--listen" }, { { OPTION_BAD, NULL } },
		  "roger: serve: option --listen wants a value\n" },
		{ "no value, short", { "-ql" }, { { QUIET, NULL }, { OPTION_BAD, NULL } },
		  "roger: serve: option -l wants a value\n" },
		{ "a value for a switch", { "--quiet=1" }, { { OPTION_BAD, NULL } },
		  "roger: serve: option --quiet takes no value\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct options o;
		char *arguments[MOST];

		print_message("  %s\n", rows[i].name);
		memcpy(arguments, rows[i].arguments, sizeof(arguments));
		begin(&o, arguments);
		catch_begin();
		for (size_t step = 0; step < MOST; step++) {
			const char *value = "untouched";
			int id = options_next(&o, &value);

			assert_int_equal(id, rows[i].wanted[step].id);
			if (rows[i].wanted[step].value == NULL)
				assert_null(value);
			else
				assert_string_equal(value, rows[i].wanted[step].value);
			if (id == OPTION_END || id == OPTION_BAD || id == OPTION_HELP ||
			    step + 1 == MOST || rows[i].wanted[step + 1].id == 0)
				break;
		}
		catch_end();
		assert_string_equal(said, rows[i].said);
	}
}

enum kind { SIZE, NUMBER, PERCENT, TIME, WORD };

static void values(void **state)
{
	static const char *const words[] = { "text", "json", NULL };
	static const struct {
		const char *name;
		enum kind kind;
		const char *value;
		uint64_t min, max;
		bool good;
		uint64_t wanted;
		const char *said;
	} rows[] = {
		{ "size", SIZE, "64KiB", 1, 1 * MIB, true, 64 * KIB, "" },
		{ "size at its least", SIZE, "5", 5, 10, true, 5, "" },
		{ "size at its most", SIZE, "10", 5, 10, true, 10, "" },
		{ "size below", SIZE, "4", 5, 10, false, 0,
		  "roger: serve: --count 4: must be at least 5 bytes\n" },
		{ "size above", SIZE, "11", 5, 10, false, 0,
		  "roger: serve: --count 11: must be at most 10 bytes\n" },
		{ "no size", SIZE, "12x", 1, 100, false, 0,
		  "roger: serve: --count: \"12x\" is not a size (such as 64KiB or 1MiB)\n" },
		{ "size beyond 64 bits", SIZE, "99999999999999999999", 1, 100, false, 0,
		  "roger: serve: --count: \"99999999999999999999\" is not a size "
		  "(such as 64KiB or 1MiB)\n" },
		{ "number", NUMBER, "7", 1, 7, true, 7, "" },
		{ "number above", NUMBER, "8", 1, 7, false, 0,
		  "roger: serve: --count 8: must be at most 7\n" },
		{ "number below", NUMBER, "0", 1, 7, false, 0,
		  "roger: serve: --count 0: must be at least 1\n" },
		{ "no number", NUMBER, "-1", 1, 7, false, 0,
		  "roger: serve: --count: \"-1\" is not a number\n" },
		{ "empty number", NUMBER, "", 1, 7, false, 0,
		  "roger: serve: --count: \"\" is not a number\n" },
		{ "percent", PERCENT, "99%", 0, 99, true, 99, "" },
		{ "no percent at all", PERCENT, "0%", 0, 99, true, 0, "" },
		{ "percent after zeros", PERCENT, "000000005%", 0, 99, true, 5, "" },
		{ "percent above", PERCENT, "100%", 0, 99, false, 0,
		  "roger: serve: --count 100%: must be at most 99%\n" },
		{ "percent far above", PERCENT, "99999999999999999999%", 0, 99, false, 0,
		  "roger: serve: --count 99999999999999999999%: must be at most 99%\n" },
		{ "percent and a half", PERCENT, "50.5%", 0, 99, false, 0,
		  "roger: serve: --count: \"50.5%\" is not a whole number of percent "
		  "(such as 5%)\n" },
		{ "percent below", PERCENT, "-1%", 0, 99, false, 0,
		  "roger: serve: --count: \"-1%\" is not a whole number of percent "
		  "(such as 5%)\n" },
		{ "percent of nothing", PERCENT, "%", 0, 99, false, 0,
		  "roger: serve: --count: \"%\" is not a whole number of percent "
		  "(such as 5%)\n" },
		{ "time", TIME, "500ms", MS_NS, 0, true, 500 * MS_NS, "" },
		{ "time below", TIME, "0", MS_NS, 0, false, 0,
		  "roger: serve: --count 0: must be at least 1ms\n" },
		{ "no time", TIME, "soon", MS_NS, 0, false, 0,
		  "roger: serve: --count: \"soon\" is not a time (such as 500ms, 10s or 5min)\n" },
		{ "word", WORD, "json", 0, 0, true, 1, "" },
		{ "no word", WORD, "xml", 0, 0, false, 0,
		  "roger: serve: --count: \"xml\" is none of text, json\n" },
		{ "escaped", WORD, "\x07", 0, 0, false, 0,
		  "roger: serve: --count: \"\\x07\" is none of text, json\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char option[] = "--count";
		char *arguments[] = { option, option, NULL };
		struct options o;
		const char *ignored;
		uint64_t value = 4711;
		unsigned index = 4711;
		uint32_t percent = 4711;
		bool good = false;

		print_message("  %s\n", rows[i].name);
		begin(&o, arguments);
		assert_int_equal(options_next(&o, &ignored), COUNT);
		catch_begin();
		switch (rows[i].kind) {
		case SIZE:
			good = options_size(&o, rows[i].value, rows[i].min, rows[i].max, &value);
			break;
		case NUMBER:
			good = options_number(&o, rows[i].value, rows[i].min, rows[i].max, &value);
			break;
		case PERCENT:
			good = options_percent(&o, rows[i].value, (unsigned)rows[i].max, &percent);
			value = good ? percent : 4711;
			break;
		case TIME: good = options_time(&o, rows[i].value, rows[i].min, &value); break;
		case WORD:
			good = options_word(&o, rows[i].value, words, &index);
			value = index;
			break;
		}
		catch_end();
		assert_int_equal(good, rows[i].good);
		assert_string_equal(said, rows[i].said);
		assert_int_equal(value, good ? rows[i].wanted : 4711);
	}
}

static void addresses(void **state)
{
	char *arguments[] = { NULL };
	struct options o;
	struct address address;

	(void)state;
	begin(&o, arguments);
	assert_true(options_address(&o, "raw://localhost:7", &address));
	assert_int_equal(address.port, 7);
	catch_begin();
	assert_false(options_address(&o, "gopher://localhost", &address));
	catch_end();
	assert_memory_equal(said, "roger: serve: address \"gopher://localhost\": ", 44);
	catch_begin();
	assert_int_equal(options_complain(&o, "%d wrong", 2), EXIT_USAGE);
	catch_end();
	assert_string_equal(said, "roger: serve: 2 wrong\n");
	catch_begin();
	assert_int_equal(options_unexpected(&o, "a\nb"), EXIT_USAGE);
	catch_end();
	assert_string_equal(said, "roger: serve: unexpected \"a\\nb\"\n");
	catch_begin();
	assert_int_equal(options_complain(&o, "\"%s\"", "raw\n\x1b"), EXIT_USAGE);
	catch_end();
	assert_string_equal(said, "roger: serve: \"raw\\n\\x1b\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_lines),
		cmocka_unit_test(values),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
