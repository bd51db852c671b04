#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/failure.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/options.h"

static const struct {
	const char *name;
	int (*run)(int count, char **arguments);
} commands[] = {
	{ "serve", command_serve },
	{ "send", command_send },
	{ "read", command_read },
	{ "verify", command_verify },
	{ "repair", command_repair },
	{ "bench", command_bench },
};

static const char help[] =
	"usage: roger COMMAND ...\n"
	"\n"
	"Acknowledged, durable delivery of messages over TCP: what is acknowledged is on\n"
	"disk, once, intact, in order.\n"
	"\n"
	"  roger serve   receive messages, store them, and only then acknowledge them\n"
	"  roger send    send messages, and wait until they are acknowledged\n"
	"  roger read    print stored messages\n"
	"  roger verify  check every byte of a journal\n"
	"  roger repair  copy what is good of a damaged journal into a new one\n"
	"  roger bench   send generated messages, and measure rate and latency\n"
	"\n"
	"  roger COMMAND --help says more.  --version prints the version.\n"
	"\n"
	"Example, in two shells:\n"
	"  roger serve\n"
	"  roger send localhost 'Hello World!' && roger read\n";

enum { ID_VERSION };

enum { COMMAND_SHOWN = 40 }; /* bytes of a command that we do not know */

static const struct option table[] = {
	{ "version", 'V', false, ID_VERSION },
};

/* Whoever starts us with one of the standard descriptors closed must not find his messages for people in a journal file that got
 * its number; and what was to be printed must not be lost in silence: it can't be written to what is opened in its place. */
static bool have_standard_descriptors(void)
{
	static const int modes[] = { O_RDWR, O_RDONLY, O_RDWR }; /* input, output, error */

	for (int i = 0; i <= STDERR_FILENO; i++) {
		if (fcntl(i, F_GETFD) < 0 && open("/dev/null", modes[i]) != i)
			return false;
	}
	return true;
}

/* `name` with these arguments; `o` complains when there is no such command. */
static int run_command(const struct options *o, const char *name, int count, char **arguments)
{
	char shown[COMMAND_SHOWN * 4 + 8];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(count, arguments);
	}
	text_escape(shown, sizeof(shown), (const uint8_t *)name, strlen(name), COMMAND_SHOWN);
	return options_complain(o, "unknown command \"%s\" (roger --help lists them)", shown);
}

/* Behind "help": nothing, or a command. */
static int show_help(struct options *o)
{
	char option[] = "--help";
	char *arguments[] = { option, NULL };
	const char *command, *more;
	int id = options_next(o, &command);

	if (id == OPTION_END || id == OPTION_HELP)
		return options_help(help);
	if (id == OPTION_ARGUMENT && options_next(o, &more) == OPTION_ARGUMENT)
		return options_unexpected(o, more);
	return id == OPTION_ARGUMENT ? run_command(o, command, 1, arguments) : EXIT_USAGE;
}

static int show_version(struct options *o)
{
	const char *more;
	int id = options_next(o, &more);

	if (id == OPTION_ARGUMENT)
		return options_unexpected(o, more);
	return id == OPTION_BAD ? EXIT_USAGE : options_help("roger " ROGER_VERSION "\n");
}

int main(int count, char **arguments)
{
	struct options o;
	const char *value;
	int id;

	if (!have_standard_descriptors())
		return EXIT_IO;
	options_init(&o, "", table, sizeof(table) / sizeof(table[0]), arguments + 1,
		     count > 0 ? count - 1 : 0);
	id = options_next(&o, &value);
	switch (id) {
	case OPTION_END:
		return options_complain(&o, "which command? (roger --help lists them)");
	case OPTION_BAD: return EXIT_USAGE;
	case OPTION_HELP: return options_help(help);
	case ID_VERSION: return show_version(&o);
	default: break;
	}
	if (strcmp(value, "help") == 0)
		return show_help(&o);
	return run_command(&o, value, o.count - o.next, o.arguments + o.next);
}
