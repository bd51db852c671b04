#include <stdio.h>

#include "base/failure.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "journal/verify.h"

static const char help[] =
	"usage: roger repair FROM TO\n"
	"\n"
	"Copies all good records of the damaged journal FROM into a new journal TO, which\n"
	"must not exist or be empty, nor lie in FROM, and lists what is lost. FROM is not\n"
	"touched. Record numbers stay; where records are missing, their stream goes on\n"
	"behind a recorded gap. Good records behind damaged ones are found, in the middle\n"
	"of a batch too, and one flipped bit in a header is mended.\n"
	"\n"
	"Exit status: 0 done, also when something was lost; 66 no journal in FROM;\n"
	"73 TO can't be made; 74 I/O error.\n"
	"\n"
	"Example:\n"
	"  roger repair /var/lib/roger /var/lib/roger-repaired\n";

int command_repair(int count, char **arguments)
{
	struct failure why = { .status = EXIT_IO };
	struct options o;
	const char *value;
	const char *from = NULL;
	const char *to = NULL;
	int id;

	options_init(&o, "repair", NULL, 0, arguments, count);
	while ((id = options_next(&o, &value)) != OPTION_END) {
		if (id == OPTION_HELP)
			return options_help(help);
		if (id == OPTION_BAD)
			return EXIT_USAGE;
		if (to != NULL)
			return options_unexpected(&o, value);
		if (from == NULL)
			from = value;
		else
			to = value;
	}
	if (to == NULL)
		return options_complain(&o, "from which journal to which? (roger repair FROM TO)");
	if (journal_repair(from, to, options_output_line, NULL, &why) == 0)
		return options_output_end();
	fflush(stdout);
	fprintf(stderr, "roger: %s\n", why.text);
	return (int)why.status;
}
