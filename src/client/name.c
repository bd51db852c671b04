/* Names of streams (docs/protocol.md, "Names"): the id is the first 16 bytes of the SHA-256 of the name's bytes. Should the first 8 of
 * them all be zero, byte 0 becomes 1, so that an id is never zero and never a plain connection's. A name is no secret and no
 * password: whoever can reach a server can write to any of its streams. */
#include <string.h>

#include "base/sha256.h"
#include "client/client.h"

void client_stream_id(const char *name, struct stream_id *ret)
{
	uint8_t digest[SHA256_SIZE];
	struct sha256 sha;

	sha256_init(&sha);
	sha256_update(&sha, name, strlen(name));
	sha256_final(&sha, digest);
	memcpy(ret->bytes, digest, STREAM_ID_SIZE);
	if (stream_id_is_plain(ret) || stream_id_is_zero(ret))
		ret->bytes[0] = 1;
}
