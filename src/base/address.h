/* ADDRESS on the command line: [PROTOCOL://]HOST[:PORT], [PROTOCOL://]:PORT, PROTOCOL+unix:PATH. */
#ifndef ROGER_BASE_ADDRESS_H
#define ROGER_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/protocol.h"

enum {
	ADDRESS_PORT_DEFAULT = 9999,
	ADDRESS_HOST_SIZE = 256,
	ADDRESS_PATH_SIZE = 108, /* sun_path of Linux, with its NUL */
};

struct address {
	enum protocol protocol;       /* PROTOCOL_NONE when the text names none */
	bool is_unix;
	char host[ADDRESS_HOST_SIZE]; /* without brackets; empty for ":PORT" */
	uint16_t port;
	char path[ADDRESS_PATH_SIZE]; /* unix only */
};

/* 0, or -EINVAL with *ret_why a static text such as "unknown protocol" (neither is set otherwise).
 * "unix:PATH" alone names no protocol. IPv6 stands in brackets; a bare one with more than one colon is refused. */
int address_parse(const char *text, struct address *ret, const char **ret_why);

/* The address in the form that address_parse reads, always with its port: "127.0.0.1:9999", "[::1]:9999",
 * "line+unix:/run/x" (what is not printable in a path is escaped). The protocol is written when it is not PROTOCOL_NONE.
 * Returns out. */
enum { ADDRESS_TEXT_SIZE = 480 };
const char *address_text(const struct address *address, char out[ADDRESS_TEXT_SIZE]);

#endif
