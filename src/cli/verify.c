#include <stdio.h>

#include "base/failure.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "journal/verify.h"

static const char help[] =
	"usage: roger verify [DIR]\n"
	"\n"
	"Checks every byte of the journal in DIR (" JOURNAL_DEFAULT ") that is promised,\n"
	"and changes nothing. It may run beside a server. Prints a line for each segment\n"
	"and a summary, or what is damaged and where: segment, byte offset, records.\n"
	"\n"
	"Exit status: 0 no damage; 65 damage; 66 no journal there; 74 it can't be read.\n"
	"\n"
	"Example:\n"
	"  roger verify /var/lib/roger\n";

int command_verify(int count, char **arguments)
{
	struct failure why = { .status = EXIT_IO };
	struct options o;
	const char *value;
	const char *directory = NULL;
	int id;

	options_init(&o, "verify", NULL, 0, arguments, count);
	while ((id = options_next(&o, &value)) != OPTION_END) {
		if (id == OPTION_HELP)
			return options_help(help);
		if (id == OPTION_BAD)
			return EXIT_USAGE;
		if (directory != NULL)
			return options_complain(&o, "one journal at a time: unexpected \"%s\"",
						value);
		directory = value;
	}
	if (journal_verify(directory != NULL ? directory : JOURNAL_DEFAULT, options_output_line,
			   NULL, &why) == 0)
		return options_output_end();
	fflush(stdout);
	fprintf(stderr, "roger: %s\n", why.text);
	return (int)why.status;
}
