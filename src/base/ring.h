/* A byte ring: bytes go in at the tail and leave at the head; positions count from 0 and never wrap.
 *
 *        head                tail
 *   ......[ bytes that are kept ]......      tail - head <= capacity
 *
 * The caller owns the memory behind it, of any size. No I/O, no heap. What is done for each message is inline, and where a position
 * lies in memory is counted from where the head does: no division. */
#ifndef ROGER_BASE_RING_H
#define ROGER_BASE_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

struct ring {
	uint8_t *memory;
	size_t capacity;
	size_t head_at; /* where the head lies in memory */
	uint64_t head;
	uint64_t tail;
};

struct ring_span {
	const uint8_t *data;
	size_t size;
};

void ring_init(struct ring *ring, uint8_t *memory, size_t capacity);

static inline size_t ring_used(const struct ring *ring)
{
	return (size_t)(ring->tail - ring->head);
}

static inline size_t ring_room(const struct ring *ring)
{
	return ring->capacity - ring_used(ring);
}

/* Where position `at` (head <= at <= tail) lies in memory. */
static inline size_t ring_index(const struct ring *ring, uint64_t at)
{
	size_t before_end = ring->capacity - ring->head_at;
	size_t distance = (size_t)(at - ring->head);

	return distance < before_end ? ring->head_at + distance : distance - before_end;
}

/* Make the tail `size` longer (<= ring_room, asserted). Returns where these bytes are to be written; NULL, and nothing has changed, if they
 * do not lie in one piece: then ring_put. */
static inline uint8_t *ring_extend(struct ring *ring, size_t size)
{
	size_t start = ring_index(ring, ring->tail);

	must(size <= ring_room(ring));
	if (size > ring->capacity - start)
		return NULL;
	ring->tail += size;
	return ring->memory + start;
}

/* The bytes from position `at` on in place, if `size` of them (head <= at, at + size <= tail, asserted) lie in one piece; else NULL: then
 * ring_get. */
static inline const uint8_t *ring_see(const struct ring *ring, uint64_t at, size_t size)
{
	size_t start;

	must(at >= ring->head && at <= ring->tail && size <= ring->tail - at);
	start = ring_index(ring, at);
	return size <= ring->capacity - start ? ring->memory + start : NULL;
}

/* Copy in at the tail; size <= ring_room (asserted). */
void ring_put(struct ring *ring, const void *data, size_t size);

/* Copy out from position `at` (head <= at, at + size <= tail, asserted); nothing is removed. */
void ring_get(const struct ring *ring, uint64_t at, void *out, size_t size);

/* The bytes from position `at` on, at most `size`, as one or two spans in place. Returns their number (0 to 2). */
unsigned ring_spans(const struct ring *ring, uint64_t at, size_t size, struct ring_span out[2]);

/* Drop everything before position `at`. */
void ring_trim(struct ring *ring, uint64_t at);

#endif
