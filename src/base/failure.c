#include "base/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

int failure_set(struct failure *why, enum exit_status status, int error, const char *format, ...)
{
	va_list arguments;
	char reason[128];
	char typed[sizeof(why->text)];
	const char *text = "";
	size_t room = sizeof(why->text);

	why->status = status;
	why->error = error;
	va_start(arguments, format);
	vsnprintf(typed, sizeof(typed), format, arguments);
	va_end(arguments);

	/* The reason must not fall off the end behind a long path: the path is cut instead. */
	if (error != 0) {
		text = strerror_r(error, reason, sizeof(reason));
		room -= strlen(text) + 2;
	}
	size_t used = text_one_line(why->text, room, typed);

	if (error == 0)
		return -EINVAL;
	snprintf(why->text + used, sizeof(why->text) - used, ": %s", text);
	return -error;
}
