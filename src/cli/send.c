#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failure.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "client/client.h"

#define WINDOW_MIN (1 * KIB)
#define WINDOW_MAX (64 * GIB)
#define TIME_MIN_NS (1 * MS_NS)

static const char help[] =
	"usage: roger send ADDRESS [MESSAGE...] [OPTION]...\n"
	"\n"
	"Sends each MESSAGE, and waits until all are acknowledged. Without MESSAGE and\n"
	"--file each line of standard input is a message, sent as soon as it is read.\n"
	"ADDRESS is [PROTOCOL://]HOST[:PORT] or PROTOCOL+unix:PATH (roger, port 9999). To\n"
	"raw://, whole:// and line:// the peer's answer is printed; nothing is promised.\n"
	"\n"
	"      --file F         send the whole file as one message; repeatable\n"
	"  -0, --null           lines of standard input end with NUL\n"
	"      --stream NAME    the next messages of stream NAME\n"
	"      --resume         the input, from its start, is that stream: what the\n"
	"                       server has is compared and skipped, the rest is sent\n"
	"  -w, --timeout TIME   without a new ack, exit 75 (60s; an answer of raw: 10s)\n"
	"      --window SIZE    sent and not yet acknowledged (16MiB)\n"
	"      --retry          keep trying without end until the server is reached\n"
	"                       (-w counts then)\n"
	"      --accept-gap     go on when the server has lost what it acknowledged\n"
	"      --print-record   print the record number of the last message\n"
	"\n"
	"Example:\n"
	"  roger send localhost 'Hello World!'\n"
	"  tail -f app.log | roger send logs.example.org --stream app\n";

enum {
	ID_FILE,
	ID_NULL,
	ID_STREAM,
	ID_RESUME,
	ID_TIMEOUT,
	ID_WINDOW,
	ID_RETRY,
	ID_ACCEPT_GAP,
	ID_PRINT_RECORD,
};

static const struct option table[] = {
	{ "file", '\0', true, ID_FILE },
	{ "null", '0', false, ID_NULL },
	{ "stream", '\0', true, ID_STREAM },
	{ "resume", '\0', false, ID_RESUME },
	{ "timeout", 'w', true, ID_TIMEOUT },
	{ "window", '\0', true, ID_WINDOW },
	{ "retry", '\0', false, ID_RETRY },
	{ "accept-gap", '\0', false, ID_ACCEPT_GAP },
	{ "print-record", '\0', false, ID_PRINT_RECORD },
};

struct send {
	struct options o;
	struct client_config config;
	bool has_address;
	const char *native_only; /* an option that plain protocols know nothing of */
	char **list;             /* room for all messages, then all files */
};

static bool set_argument(struct send *s, char *value)
{
	if (s->has_address) {
		s->config.input.messages[s->config.input.message_count++] = value;
		return true;
	}
	s->has_address = true;
	return options_address(&s->o, value, &s->config.address);
}

static bool set_stream(struct send *s, const char *value)
{
	s->native_only = "--stream";
	s->config.stream_name = value;
	if (value[0] != '\0')
		return true;
	options_complain(&s->o, "--stream: a name has at least one character");
	return false;
}

static bool set_option(struct send *s, int id, char *value)
{
	struct client_config *c = &s->config;
	const struct options *o = &s->o;

	switch (id) {
	case OPTION_ARGUMENT: return set_argument(s, value);
	case ID_FILE: c->input.files[c->input.file_count++] = value; return true;
	case ID_NULL: return c->input.null_ended = true;
	case ID_STREAM: return set_stream(s, value);
	case ID_RESUME: s->native_only = "--resume"; return c->resume = true;
	case ID_TIMEOUT: return options_time(o, value, TIME_MIN_NS, &c->timeout_ns);
	case ID_WINDOW: return options_size(o, value, WINDOW_MIN, WINDOW_MAX, &c->window);
	case ID_RETRY: return c->retry = true;
	case ID_ACCEPT_GAP: s->native_only = "--accept-gap"; return c->accept_gap = true;
	default: s->native_only = "--print-record"; return c->print_record = true;
	}
}

/* Do the options fit together? */
static int check(struct send *s)
{
	struct client_config *c = &s->config;

	if (!s->has_address)
		return options_complain(&s->o, "to which address? (roger send ADDRESS MESSAGE)");
	if (c->address.protocol == PROTOCOL_NONE)
		c->address.protocol = PROTOCOL_NATIVE;
	if (!c->address.is_unix && c->address.port == 0)
		return options_complain(&s->o, "port 0 is for listeners");
	if (c->input.message_count > 0 && c->input.file_count > 0)
		return options_complain(&s->o, "messages and --file exclude each other");
	if (c->resume && c->stream_name == NULL)
		return options_complain(&s->o, "--resume wants --stream NAME");
	if (c->address.protocol != PROTOCOL_NATIVE && s->native_only != NULL)
		return options_complain(&s->o, "%s needs the native protocol, not %s://",
					s->native_only,
					protocol_name((uint8_t)c->address.protocol));
	c->input.standard_input = c->input.message_count == 0 && c->input.file_count == 0;
	if (c->input.null_ended && !c->input.standard_input)
		return options_complain(&s->o, "--null is for standard input");
	return EXIT_DONE;
}

static int parse(struct send *s)
{
	const char *value;
	int id;

	while ((id = options_next(&s->o, &value)) != OPTION_END) {
		if (id == OPTION_HELP)
			return OPTION_HELP;
		if (id == OPTION_BAD || !set_option(s, id, (char *)(uintptr_t)value))
			return EXIT_USAGE;
	}
	return check(s);
}

int command_send(int count, char **arguments)
{
	struct send s = { .config = { .window = DEFAULT_WINDOW } };
	int result;

	options_init(&s.o, "send", table, sizeof(table) / sizeof(table[0]), arguments, count);
	s.list = calloc(2 * (size_t)count + 2, sizeof(*s.list));
	if (s.list == NULL) {
		fprintf(stderr, "roger: memory: %s\n", strerror(ENOMEM));
		return EXIT_IO;
	}
	s.config.input.messages = s.list;
	s.config.input.files = s.list + count + 1;
	result = parse(&s);
	if (result == OPTION_HELP)
		result = options_help(help);
	else if (result == EXIT_DONE && s.config.address.protocol == PROTOCOL_NATIVE)
		result = client_send(&s.config);
	else if (result == EXIT_DONE)
		result = client_send_raw(&s.config);
	free(s.list);
	return result;
}
