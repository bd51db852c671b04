/* The protocols' numbers, as they are kept with every batch (docs/journal.md), and their names. */
#ifndef ROGER_BASE_PROTOCOL_H
#define ROGER_BASE_PROTOCOL_H

#include <stdint.h>

enum protocol {
	PROTOCOL_NONE = 0,
	PROTOCOL_NATIVE = 1,
	PROTOCOL_RAW = 2,
	PROTOCOL_WHOLE = 3,
	PROTOCOL_LINE = 4,
	PROTOCOL_COUNT,
};

/* "roger", "raw", "whole", "line"; "unknown" for any other number. */
const char *protocol_name(uint8_t protocol);

/* The protocol of that name, PROTOCOL_NONE if there is none. */
enum protocol protocol_of_name(const char *name);

#endif
