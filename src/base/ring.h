/* A byte ring: bytes go in at the tail and leave at the head; positions count from 0 and never wrap.
 *
 *        head                tail
 *   ......[ bytes that are kept ]......      tail - head <= capacity
 *
 * The caller owns the memory behind it. No I/O, no heap. */
#ifndef ROGER_BASE_RING_H
#define ROGER_BASE_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring {
	uint8_t *memory;
	size_t capacity;
	uint64_t head;
	uint64_t tail;
};

struct ring_span {
	const uint8_t *data;
	size_t size;
};

void ring_init(struct ring *ring, uint8_t *memory, size_t capacity);
size_t ring_used(const struct ring *ring);
size_t ring_room(const struct ring *ring);

/* Copy in at the tail; size <= ring_room (asserted). */
void ring_put(struct ring *ring, const void *data, size_t size);

/* Copy out from position `at` (head <= at, at + size <= tail, asserted); nothing is removed. */
void ring_get(const struct ring *ring, uint64_t at, void *out, size_t size);

/* The bytes from position `at` on, at most `size`, as one or two spans in place. Returns their number (0 to 2). */
unsigned ring_spans(const struct ring *ring, uint64_t at, size_t size, struct ring_span out[2]);

/* Drop everything before position `at`. */
void ring_trim(struct ring *ring, uint64_t at);

#endif
