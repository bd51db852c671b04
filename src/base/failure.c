#include "base/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int failure_set(struct failure *why, enum exit_status status, int error, const char *format, ...)
{
	va_list arguments;
	char reason[128];

	why->status = status;
	why->error = error;
	va_start(arguments, format);
	vsnprintf(why->text, sizeof(why->text), format, arguments);
	va_end(arguments);
	if (error == 0)
		return -EINVAL;

	/* The reason must not fall off the end behind a long path: the path is cut instead. */
	const char *text = strerror_r(error, reason, sizeof(reason));
	size_t used = strlen(why->text);
	size_t wanted = strlen(text) + 2;

	if (used + wanted >= sizeof(why->text))
		used = sizeof(why->text) - 1 - wanted;
	snprintf(why->text + used, sizeof(why->text) - used, ": %s", text);
	return -error;
}
