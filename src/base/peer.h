/* Where a message came from, as it is kept with it. */
#ifndef ROGER_BASE_PEER_H
#define ROGER_BASE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum peer_family {
	PEER_NONE = 0,
	PEER_UNIX = 1,
	PEER_IPV4 = 4,
	PEER_IPV6 = 6,
};

enum { PEER_TEXT_SIZE = 64 };

struct peer {
	uint8_t family;      /* enum peer_family, or what a newer version wrote */
	uint16_t port;
	uint8_t address[16]; /* network order; IPv4 in the first four bytes, the rest zero */
};

bool peer_equal(const struct peer *a, const struct peer *b);

/* "127.0.0.1:55760", "[::1]:55760", "unix", "-". Any bytes are allowed in. Returns out. */
const char *peer_text(const struct peer *peer, char out[PEER_TEXT_SIZE]);

#endif
