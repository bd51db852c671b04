#include "load/stamps.h"

#include "base/must.h"

void stamps_init(struct stamps *s, struct stamp *ring, uint32_t capacity)
{
	must(capacity > 0);
	*s = (struct stamps){ .ring = ring, .capacity = capacity };
}

bool stamps_has_room(const struct stamps *s)
{
	return s->tail - s->head < s->capacity;
}

void stamps_put(struct stamps *s, uint64_t last, uint64_t at_ns)
{
	must(stamps_has_room(s));
	must(last > (s->tail == s->head ? s->acked : s->ring[(s->tail - 1) % s->capacity].last));
	s->ring[s->tail % s->capacity] = (struct stamp){ .last = last, .at_ns = at_ns };
	s->tail++;
}

void stamps_ack(struct stamps *s, uint64_t acked, uint64_t now_ns, struct histogram *latency)
{
	while (s->acked < acked) {
		const struct stamp *oldest = &s->ring[s->head % s->capacity];
		uint64_t upto;

		must(s->head < s->tail);
		upto = oldest->last < acked ? oldest->last : acked;
		histogram_add(latency, now_ns > oldest->at_ns ? now_ns - oldest->at_ns : 0,
			      upto - s->acked);
		s->acked = upto;
		if (upto == oldest->last)
			s->head++;
	}
}
