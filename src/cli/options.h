/* The command line: options and arguments of one subcommand, in any order. Whatever is wrong is named on standard error, once. */
#ifndef ROGER_CLI_OPTIONS_H
#define ROGER_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

struct option {
	const char *name; /* without "--" */
	char letter;      /* '\0': none */
	bool takes_value;
	int id;           /* >= 0 */
};

enum {
	OPTION_END = -1,
	OPTION_ARGUMENT = -2, /* no option; the value is the argument */
	OPTION_HELP = -3,
	OPTION_BAD = -4,      /* has been said */
};

struct options {
	const char *command;
	const struct option *table;
	size_t table_size;
	char **arguments;
	int count;
	int next;
	const char *cluster;  /* the rest of "-abc" */
	bool only_arguments;  /* behind "--" */
	char name[64];        /* of the option at hand, as it was typed: "--listen", "-l" */
};

/* `arguments` behind the name of the subcommand; `command` is for words ("" for roger itself). Everything is borrowed. */
void options_init(struct options *o, const char *command, const struct option *table,
		  size_t table_size, char **arguments, int count);

/* The next option's id, or one of the above. "--name value", "--name=value", "-n value", "-nvalue", "-ab". Names are not
 * abbreviated. "--help" and "-h" are known to all. */
int options_next(struct options *o, const char **ret_value);

/* "roger: COMMAND: ...", for what is wrong with the option at hand or with an argument. Returns EXIT_USAGE. */
__attribute__((format(printf, 2, 3)))
int options_complain(const struct options *o, const char *format, ...);

/* The same for an argument that nobody asked for. */
int options_unexpected(const struct options *o, const char *value);

/* Print a help text on standard output. Returns the exit status. */
int options_help(const char *text);

/* Print a line of a result on standard output. */
void options_output_line(void *unused, const char *text);

/* All has been printed. EXIT_DONE, or EXIT_IO when standard output has not taken it, which is said. */
int options_output_end(void);

/* The option's value as a number in its range. False: it has been said why not, and *ret is untouched. */
bool options_size(const struct options *o, const char *value, uint64_t min, uint64_t max,
		  uint64_t *ret);
bool options_number(const struct options *o, const char *value, uint64_t min, uint64_t max,
		    uint64_t *ret);
bool options_time(const struct options *o, const char *value, uint64_t min_ns, uint64_t *ret_ns);

/* "5%", at most `max` (which is below 1000). */
bool options_percent(const struct options *o, const char *value, unsigned max, uint32_t *ret);

/* The index of the word in `words` (NULL at their end). */
bool options_word(const struct options *o, const char *value, const char *const *words,
		  unsigned *ret);

/* An ADDRESS, of an option or, with what = NULL, of the argument itself. */
bool options_address(const struct options *o, const char *value, struct address *ret);

#endif
