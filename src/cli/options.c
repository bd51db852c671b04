#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/failure.h"
#include "base/text.h"

enum { SHOWN_SIZE = 200 }; /* of what somebody typed */

void options_init(struct options *o, const char *command, const struct option *table,
		  size_t table_size, char **arguments, int count)
{
	memset(o, 0, sizeof(*o));
	o->command = command;
	o->table = table;
	o->table_size = table_size;
	o->arguments = arguments;
	o->count = count;
}

int options_complain(const struct options *o, const char *format, ...)
{
	bool has_command = o->command[0] != '\0';
	struct failure why;
	char text[sizeof(why.text)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	failure_set(&why, EXIT_USAGE, 0, "%s%s%s", o->command, has_command ? ": " : "", text);
	fprintf(stderr, "roger: %s\n", why.text);
	return EXIT_USAGE;
}

/* What somebody typed may come from a script, and hold anything. */
static const char *shown(const char *text, char out[SHOWN_SIZE])
{
	text_escape(out, SHOWN_SIZE, (const uint8_t *)text, strlen(text), SHOWN_SIZE / 4);
	return out;
}

int options_unexpected(const struct options *o, const char *value)
{
	char out[SHOWN_SIZE];

	return options_complain(o, "unexpected \"%s\"", shown(value, out));
}

int options_help(const char *text)
{
	fputs(text, stdout);
	return options_output_end();
}

static int output_error; /* the first one: what is flushed after it may well succeed */

void options_output_line(void *unused, const char *text)
{
	(void)unused;
	if (puts(text) < 0 && output_error == 0)
		output_error = errno;
}

int options_output_end(void)
{
	if (fflush(stdout) != 0 && output_error == 0)
		output_error = errno;
	if (output_error == 0 && ferror(stdout) == 0)
		return EXIT_DONE;
	fprintf(stderr, "roger: write standard output: %s\n",
		strerror(output_error != 0 ? output_error : EIO));
	return EXIT_IO;
}

static int bad(const struct options *o, const char *what)
{
	char out[SHOWN_SIZE];

	options_complain(o, "%s %s", what, shown(o->name, out));
	return OPTION_BAD;
}

static int take_value(struct options *o, const struct option *option, const char *attached,
		      const char **ret_value)
{
	if (attached != NULL) {
		*ret_value = attached;
		return option->id;
	}
	if (o->next >= o->count) {
		options_complain(o, "option %s wants a value", o->name);
		return OPTION_BAD;
	}
	*ret_value = o->arguments[o->next++];
	return option->id;
}

static int next_long(struct options *o, const char *text, const char **ret_value)
{
	const char *equals = strchr(text, '=');
	size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);

	snprintf(o->name, sizeof(o->name), "--%.*s", (int)(length < 60 ? length : 60), text);
	if (strcmp(text, "help") == 0)
		return OPTION_HELP;
	for (size_t i = 0; i < o->table_size; i++) {
		const struct option *option = &o->table[i];

		if (strlen(option->name) != length || strncmp(option->name, text, length) != 0)
			continue;
		if (option->takes_value)
			return take_value(o, option, equals != NULL ? equals + 1 : NULL, ret_value);
		if (equals == NULL)
			return option->id;
		options_complain(o, "option %s takes no value", o->name);
		return OPTION_BAD;
	}
	return bad(o, "unknown option");
}

static int next_short(struct options *o, const char **ret_value)
{
	char letter = *o->cluster++;
	const char *rest = o->cluster;

	snprintf(o->name, sizeof(o->name), "-%c", letter);
	if (*o->cluster == '\0')
		o->cluster = NULL;
	if (letter == 'h')
		return OPTION_HELP;
	for (size_t i = 0; i < o->table_size; i++) {
		const struct option *option = &o->table[i];

		if (option->letter != letter)
			continue;
		if (!option->takes_value)
			return option->id;
		o->cluster = NULL;
		return take_value(o, option, *rest != '\0' ? rest : NULL, ret_value);
	}
	return bad(o, "unknown option");
}

int options_next(struct options *o, const char **ret_value)
{
	const char *text;

	*ret_value = NULL;
	if (o->cluster != NULL)
		return next_short(o, ret_value);
	while (o->next < o->count) {
		text = o->arguments[o->next++];
		if (o->only_arguments || text[0] != '-' || text[1] == '\0') {
			*ret_value = text;
			return OPTION_ARGUMENT;
		}
		if (text[1] != '-') {
			o->cluster = text + 1;
			return next_short(o, ret_value);
		}
		if (text[2] != '\0')
			return next_long(o, text + 2, ret_value);
		o->only_arguments = true;
	}
	return OPTION_END;
}

/* --- values */

static bool in_range(const struct options *o, const char *value, bool above_min, bool below_max,
		     const char *limit)
{
	char out[SHOWN_SIZE];

	if (above_min && below_max)
		return true;
	options_complain(o, "%s %s: must be %s %s", o->name, shown(value, out),
			 above_min ? "at most" : "at least", limit);
	return false;
}

static bool parsed(const struct options *o, const char *value, int result, const char *kind)
{
	char out[SHOWN_SIZE];

	if (result == 0)
		return true;
	options_complain(o, "%s: \"%s\" is not %s", o->name, shown(value, out), kind);
	return false;
}

bool options_size(const struct options *o, const char *value, uint64_t min, uint64_t max,
		  uint64_t *ret)
{
	char limit[TEXT_SIZE_SIZE];
	uint64_t bytes = 0;

	if (!parsed(o, value, text_parse_size(value, &bytes), "a size (such as 64KiB or 1MiB)"))
		return false;
	text_size(bytes < min ? min : max, limit);
	if (!in_range(o, value, bytes >= min, bytes <= max, limit))
		return false;
	*ret = bytes;
	return true;
}

bool options_number(const struct options *o, const char *value, uint64_t min, uint64_t max,
		    uint64_t *ret)
{
	char limit[32];
	uint64_t number = 0;

	if (!parsed(o, value, text_parse_u64(value, &number), "a number"))
		return false;
	snprintf(limit, sizeof(limit), "%" PRIu64, number < min ? min : max);
	if (!in_range(o, value, number >= min, number <= max, limit))
		return false;
	*ret = number;
	return true;
}

bool options_percent(const struct options *o, const char *value, unsigned max, uint32_t *ret)
{
	char out[SHOWN_SIZE];
	char limit[32];
	size_t digits = strspn(value, "0123456789");
	uint32_t percent = 0;

	if (digits == 0 || strcmp(value + digits, "%") != 0) {
		options_complain(o, "%s: \"%s\" is not a whole number of percent (such as 5%%)",
				 o->name, shown(value, out));
		return false;
	}
	for (size_t i = 0; i < digits && percent <= max; i++)
		percent = 10 * percent + (uint32_t)(value[i] - '0');
	snprintf(limit, sizeof(limit), "%u%%", max);
	if (!in_range(o, value, true, percent <= max, limit))
		return false;
	*ret = percent;
	return true;
}

bool options_time(const struct options *o, const char *value, uint64_t min_ns, uint64_t *ret_ns)
{
	char limit[32];
	uint64_t ns = 0;

	if (!parsed(o, value, text_parse_duration(value, &ns),
		    "a time (such as 500ms, 10s or 5min)"))
		return false;
	snprintf(limit, sizeof(limit), "%gms", (double)min_ns / 1e6);
	if (!in_range(o, value, ns >= min_ns, true, limit))
		return false;
	*ret_ns = ns;
	return true;
}

bool options_word(const struct options *o, const char *value, const char *const *words,
		  unsigned *ret)
{
	char out[SHOWN_SIZE];
	char all[128] = "";

	for (unsigned i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], value) == 0) {
			*ret = i;
			return true;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i > 0 ? ", " : "",
			 words[i]);
	}
	options_complain(o, "%s: \"%s\" is none of %s", o->name, shown(value, out), all);
	return false;
}

bool options_address(const struct options *o, const char *value, struct address *ret)
{
	char out[SHOWN_SIZE];
	const char *why = "";

	if (address_parse(value, ret, &why) == 0)
		return true;
	options_complain(o, "address \"%s\": %s", shown(value, out), why);
	return false;
}
