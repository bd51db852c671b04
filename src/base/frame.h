/* Frames: a message as it stands on the wire (native protocol) and on disk, the same bytes.
 *
 *      0        4          8
 *      +--------+----------+----------------+
 *      | size   | checksum | payload ...    |     all integers little-endian
 *      +--------+----------+----------------+
 *
 * checksum = crc32c over: stream id (16 bytes), sequence number (u64), size (u32), payload.
 * It is made by the sender and checked by everyone who touches the message. docs/protocol.md, docs/journal.md.
 *
 * The history checksum of a stream binds its frames together: h(0) = 0,
 * h(n) = crc32c(h(n-1), the 4 bytes of frame n's checksum). */
#ifndef ROGER_BASE_FRAME_H
#define ROGER_BASE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crc32c.h"

enum {
	FRAME_HEADER_SIZE = 8,
	STREAM_ID_SIZE = 16,
};

/* The size field of BYE, the frame that ends an ephemeral stream: no payload follows. */
#define FRAME_SIZE_BYE UINT32_MAX

/* The highest sequence number. */
#define SEQ_MAX INT64_MAX

/* A stream's name: 128 bits. All zero means none. Plain connections (raw, whole, line) have 8 zero bytes
 * and then, as u64, the record number of the connection's first message. */
struct stream_id {
	uint8_t bytes[STREAM_ID_SIZE];
};

struct frame_header {
	uint32_t size;     /* of the payload, in bytes; or FRAME_SIZE_BYE */
	uint32_t checksum;
};

bool stream_id_is_zero(const struct stream_id *id);
bool stream_id_equal(const struct stream_id *a, const struct stream_id *b);

/* True for the id of a plain connection: its first 8 bytes are zero, but not all 16. */
bool stream_id_is_plain(const struct stream_id *id);
struct stream_id stream_id_plain(uint64_t first_record);

/* The id of the stream of that name (docs/protocol.md, "Stream ids"), and an ephemeral stream's id from 16 random
 * bytes. Neither is ever zero or a plain connection's. */
void stream_id_of_name(const char *name, struct stream_id *ret);
void stream_id_of_random(const uint8_t random[STREAM_ID_SIZE], struct stream_id *ret);

/* The part of a frame's checksum that is the same for all frames of a stream: crc32c of the id. */
uint32_t frame_seed(const struct stream_id *id);

/* The checksum of the frame with this number and payload. `payload` may be NULL when nothing follows
 * the header (size 0, or FRAME_SIZE_BYE). */
static inline uint32_t frame_checksum(uint32_t seed, uint64_t seq, uint32_t size,
				      const uint8_t *payload)
{
	return crc32c_headed(seed, seq, size, payload, size == FRAME_SIZE_BYE ? 0 : size);
}

static inline void frame_put_header(uint8_t out[FRAME_HEADER_SIZE], struct frame_header header)
{
	/* One store; of two that lie side by side compilers make a dozen steps. */
	put_u64(out, header.size | (uint64_t)header.checksum << 32);
}

static inline struct frame_header frame_get_header(const uint8_t in[FRAME_HEADER_SIZE])
{
	return (struct frame_header){ .size = get_u32(in), .checksum = get_u32(in + 4) };
}

static inline uint32_t history_next(uint32_t h, uint32_t checksum)
{
	return crc32c_u32(h, checksum);
}

#endif
