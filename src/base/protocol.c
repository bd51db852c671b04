#include "base/protocol.h"

#include <stddef.h>
#include <string.h>

static const char *const names[PROTOCOL_COUNT] = {
	[PROTOCOL_NATIVE] = "roger",
	[PROTOCOL_RAW] = "raw",
	[PROTOCOL_WHOLE] = "whole",
	[PROTOCOL_LINE] = "line",
};

const char *protocol_name(uint8_t protocol)
{
	if (protocol >= PROTOCOL_COUNT || names[protocol] == NULL)
		return "unknown";
	return names[protocol];
}

enum protocol protocol_of_name(const char *name)
{
	for (unsigned i = 0; i < PROTOCOL_COUNT; i++)
		if (names[i] != NULL && strcmp(names[i], name) == 0)
			return (enum protocol)i;
	return PROTOCOL_NONE;
}
