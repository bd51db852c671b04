#include "base/ring.h"

#include <string.h>

void ring_init(struct ring *ring, uint8_t *memory, size_t capacity)
{
	must(capacity > 0);
	*ring = (struct ring){ .memory = memory, .capacity = capacity };
}

void ring_put(struct ring *ring, const void *data, size_t size)
{
	must(size <= ring_room(ring));
	if (size == 0)
		return;

	size_t start = ring_index(ring, ring->tail);
	size_t first = ring->capacity - start;

	if (first > size)
		first = size;
	memcpy(ring->memory + start, data, first);
	if (size > first)
		memcpy(ring->memory, (const uint8_t *)data + first, size - first);
	ring->tail += size;
}

void ring_get(const struct ring *ring, uint64_t at, void *out, size_t size)
{
	struct ring_span spans[2];
	unsigned count;
	uint8_t *to = out;

	must(at >= ring->head && at <= ring->tail);
	must(size <= ring->tail - at);
	count = ring_spans(ring, at, size, spans);
	for (unsigned i = 0; i < count; i++) {
		memcpy(to, spans[i].data, spans[i].size);
		to += spans[i].size;
	}
}

unsigned ring_spans(const struct ring *ring, uint64_t at, size_t size, struct ring_span out[2])
{
	must(at >= ring->head && at <= ring->tail);
	if (size > ring->tail - at)
		size = (size_t)(ring->tail - at);
	if (size == 0)
		return 0;

	size_t start = ring_index(ring, at);
	size_t first = ring->capacity - start;

	if (first > size)
		first = size;
	out[0] = (struct ring_span){ .data = ring->memory + start, .size = first };
	if (size == first)
		return 1;
	out[1] = (struct ring_span){ .data = ring->memory, .size = size - first };
	return 2;
}

void ring_trim(struct ring *ring, uint64_t at)
{
	must(at >= ring->head && at <= ring->tail);
	ring->head_at = ring_index(ring, at);
	ring->head = at;
}
