#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/show.h"
#include "journal/reader.h"

enum {
	FOLLOW_PAUSE_MS = 20,       /* a record appears within 100 ms of its ack */
	OUTPUT_SIZE = 256 * 1024,
};

static const char help[] =
	"usage: roger read [DIR] [OPTION]...\n"
	"\n"
	"Prints the records of the journal in DIR (" JOURNAL_DEFAULT "), in order;\n"
	"beside a running server those that are durable.\n"
	"\n"
	"      --from N       from record N on; -N: the last N\n"
	"  -n, --count N      at most N records\n"
	"  -f, --follow       wait for more, until interrupted\n"
	"      --format text  each payload and a newline (escaped on a terminal)\n"
	"               raw   the payloads alone\n"
	"               json  one object a line: record, stream, seq, gap_after (when\n"
	"                     some are missing before it), time, peer, protocol, size,\n"
	"                     payload (or payload_base64)\n"
	"  -0, --null         end each record with NUL instead of newline\n"
	"\n"
	"Exit status: 0; 65 damage (all before it has been printed); 66 no journal there.\n"
	"\n"
	"Example: the simplest handler of messages\n"
	"  roger read -f --format json | while read -r record; do ...; done\n";

enum {
	ID_FROM,
	ID_COUNT,
	ID_FOLLOW,
	ID_FORMAT,
	ID_NULL,
};

static const struct option table[] = {
	{ "from", '\0', true, ID_FROM },
	{ "count", 'n', true, ID_COUNT },
	{ "follow", 'f', false, ID_FOLLOW },
	{ "format", '\0', true, ID_FORMAT },
	{ "null", '0', false, ID_NULL },
};

enum format {
	FORMAT_TEXT,
	FORMAT_RAW,
	FORMAT_JSON,
};

struct read {
	struct options o;
	const char *directory;
	int64_t from;
	uint64_t count;
	bool follow;
	enum format format;
	char line_end;
	bool terminal;
	struct reader *reader;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static bool set_from(struct read *r, const char *value)
{
	bool last = value[0] == '-';
	uint64_t number;

	if (!options_number(&r->o, last ? value + 1 : value, 0, INT64_MAX, &number))
		return false;
	r->from = last ? -(int64_t)number : (int64_t)number;
	if (!last || number > 0)
		return true;
	options_complain(&r->o, "--from -0: the last how many?");
	return false;
}

static bool set_format(struct read *r, const char *value)
{
	static const char *const words[] = { "text", "raw", "json", NULL };
	unsigned index;

	if (!options_word(&r->o, value, words, &index))
		return false;
	r->format = (enum format)index;
	return true;
}

static bool set_option(struct read *r, int id, const char *value)
{
	switch (id) {
	case OPTION_ARGUMENT:
		if (r->directory != NULL) {
			options_unexpected(&r->o, value);
			return false;
		}
		r->directory = value;
		return true;
	case ID_FROM: return set_from(r, value);
	case ID_COUNT: return options_number(&r->o, value, 0, UINT64_MAX, &r->count);
	case ID_FOLLOW: return r->follow = true;
	case ID_FORMAT: return set_format(r, value);
	default: r->line_end = '\0'; return true;
	}
}

static void show(const struct read *r, const struct record *record)
{
	switch (r->format) {
	case FORMAT_TEXT: show_text(stdout, record, r->terminal, r->line_end); break;
	case FORMAT_RAW: show_raw(stdout, record); break;
	case FORMAT_JSON: show_json(stdout, record, r->line_end); break;
	}
}

static int output_error(void)
{
	return errno != 0 ? -errno : -EIO;
}

/* Nothing more is at hand: what has been printed goes out, and the journal is let go. */
static bool pause_reading(struct read *r)
{
	/* Nobody reads any more: then there is nobody to wait for. */
	struct pollfd out = { .fd = STDOUT_FILENO };

	if (fflush(stdout) != 0)
		return false;
	reader_release(r->reader);
	poll(&out, 1, FOLLOW_PAUSE_MS);
	if ((out.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0) /* a pipe tells of it as an error, a socket as a hang-up */
		return true;
	errno = EPIPE;
	return false;
}

/* Print what there is. 0, or -errno: of the reader with *why; of standard output with why->status EXIT_DONE. */
static int print_all(struct read *r, struct failure *why)
{
	struct record record;
	uint64_t printed = 0;
	int result;

	while (printed < r->count && !interrupted) {
		result = reader_next(r->reader, &record, why);
		if (result < 0)
			return result;
		if (result == 1) {
			show(r, &record);
			printed++;
			if (ferror(stdout))
				return output_error();
			continue;
		}
		if (!r->follow)
			break;
		if (!pause_reading(r))
			return output_error();
	}
	return 0;
}

static void catch_signals(const struct read *r)
{
	struct sigaction action = { .sa_handler = on_signal };

	signal(SIGPIPE, SIG_IGN);
	if (!r->follow)
		return;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int finish(const struct failure *why, int result)
{
	if (result == 0 && fflush(stdout) != 0)
		result = output_error();
	if (result == 0)
		return EXIT_DONE;
	if (why->status != EXIT_DONE) {
		fflush(stdout);
		fprintf(stderr, "roger: %s\n", why->text);
		return (int)why->status;
	}
	if (result == -EPIPE || (result == -EINTR && interrupted))
		return EXIT_DONE; /* whoever reads has enough */
	fprintf(stderr, "roger: write standard output: %s\n", strerror(-result));
	return EXIT_IO;
}

static int run(struct read *r)
{
	static char buffer[OUTPUT_SIZE];
	struct failure why = { .status = EXIT_DONE };
	int result;

	if (r->directory == NULL)
		r->directory = JOURNAL_DEFAULT;
	r->terminal = isatty(STDOUT_FILENO) == 1;
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	catch_signals(r);
	result = reader_open(r->directory, r->from, &r->reader, &why);
	if (result == 0) {
		result = print_all(r, &why);
		reader_close(r->reader);
	}
	return finish(&why, result);
}

int command_read(int count, char **arguments)
{
	struct read r = { .count = UINT64_MAX, .line_end = '\n' };
	const char *value;
	int id;

	options_init(&r.o, "read", table, sizeof(table) / sizeof(table[0]), arguments, count);
	while ((id = options_next(&r.o, &value)) != OPTION_END) {
		if (id == OPTION_HELP)
			return options_help(help);
		if (id == OPTION_BAD || !set_option(&r, id, value))
			return EXIT_USAGE;
	}
	return run(&r);
}
