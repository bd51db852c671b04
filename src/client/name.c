/* Ids of streams (docs/protocol.md 3.8). The top bit is always set, so that an id is never zero and never a plain connection's. A name
 * is no secret and an id no password: whoever can reach a server can write to any of its streams. */
#include <string.h>

#include "base/sha256.h"
#include "client/client.h"
#include "clock/clock.h"

#define TOP_BIT 0x80

void client_stream_id(const char *name, struct stream_id *ret)
{
	static const char salt[] = "roger stream ";
	uint8_t digest[SHA256_SIZE];
	struct sha256 sha;

	sha256_init(&sha);
	sha256_update(&sha, salt, sizeof(salt) - 1);
	sha256_update(&sha, name, strlen(name));
	sha256_final(&sha, digest);
	memcpy(ret->bytes, digest, STREAM_ID_SIZE);
	ret->bytes[0] |= TOP_BIT;
}

void client_stream_random(struct stream_id *ret)
{
	random_bytes(ret->bytes, sizeof(ret->bytes));
	ret->bytes[0] |= TOP_BIT;
}
