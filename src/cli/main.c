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

int main(int count, char **arguments)
{
	struct options o;
	char shown[COMMAND_SHOWN * 4 + 8];
	const char *value;
	int id;

	if (!have_standard_descriptors())
		return EXIT_IO;
	options_init(&o, "", table, sizeof(table) / sizeof(table[0]), arguments + 1,
		     count > 0 ? count - 1 : 0);
	id = options_next(&o, &value);
	if (id == OPTION_END)
		return options_complain(&o, "which command? (roger --help lists them)");
	if (id == OPTION_BAD)
		return EXIT_USAGE;
	if (id == OPTION_HELP)
		return options_help(help);
	if (id == ID_VERSION)
		return options_help("roger " ROGER_VERSION "\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, value) == 0)
			return commands[i].run(o.count - o.next, o.arguments + o.next);
	}
	text_escape(shown, sizeof(shown), (const uint8_t *)value, strlen(value), COMMAND_SHOWN);
	return options_complain(&o, "unknown command \"%s\" (roger --help lists them)", shown);
}
