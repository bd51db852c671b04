#include "base/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/sha256.h"

/* The first bit of a stream's id that is a hash or random: so it is never zero and never a plain connection's. */
#define STREAM_ID_MARK 0x80

bool stream_id_is_zero(const struct stream_id *id)
{
	return bytes_are_zero(id->bytes, STREAM_ID_SIZE);
}

bool stream_id_equal(const struct stream_id *a, const struct stream_id *b)
{
	return memcmp(a->bytes, b->bytes, STREAM_ID_SIZE) == 0;
}

bool stream_id_is_plain(const struct stream_id *id)
{
	return bytes_are_zero(id->bytes, 8) && !bytes_are_zero(id->bytes + 8, 8);
}

struct stream_id stream_id_plain(uint64_t first_record)
{
	struct stream_id id = { { 0 } };

	must(first_record != 0);
	put_u64(id.bytes + 8, first_record);
	return id;
}

void stream_id_of_name(const char *name, struct stream_id *ret)
{
	static const char prefix[] = "roger stream ";
	struct sha256 sha;
	uint8_t digest[SHA256_SIZE];

	sha256_init(&sha);
	sha256_update(&sha, prefix, sizeof(prefix) - 1);
	sha256_update(&sha, name, strlen(name));
	sha256_final(&sha, digest);
	memcpy(ret->bytes, digest, STREAM_ID_SIZE);
	ret->bytes[0] |= STREAM_ID_MARK;
}

void stream_id_of_random(const uint8_t random[STREAM_ID_SIZE], struct stream_id *ret)
{
	memcpy(ret->bytes, random, STREAM_ID_SIZE);
	ret->bytes[0] |= STREAM_ID_MARK;
}

uint32_t frame_seed(const struct stream_id *id)
{
	return crc32c(0, id->bytes, STREAM_ID_SIZE);
}
