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

uint32_t frame_checksum(uint32_t seed, uint64_t seq, uint32_t size, const uint8_t *payload)
{
	bool nothing = size == 0 || size == FRAME_SIZE_BYE;

	return crc32c_headed(seed, seq, size, payload, nothing ? 0 : size);
}

void frame_put_header(uint8_t out[FRAME_HEADER_SIZE], struct frame_header header)
{
	put_u32(out, header.size);
	put_u32(out + 4, header.checksum);
}

struct frame_header frame_get_header(const uint8_t in[FRAME_HEADER_SIZE])
{
	return (struct frame_header){ .size = get_u32(in), .checksum = get_u32(in + 4) };
}

uint32_t history_next(uint32_t h, uint32_t checksum)
{
	return crc32c_u32(h, checksum);
}
