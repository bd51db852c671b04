/* When the messages under way on one connection began: a ring of runs of messages that began together, oldest first.
 *
 *      head                                     tail
 *      [ up to 17: t0 | up to 20: t1 | up to 31: t2 ]        acked = 15: 16 and 17 are the rest of the first run
 *
 * The caller owns the memory. Pure. */
#ifndef ROGER_LOAD_STAMPS_H
#define ROGER_LOAD_STAMPS_H

#include <stdbool.h>
#include <stdint.h>

#include "load/histogram.h"

struct stamp {
	uint64_t last;  /* the last message of the run */
	uint64_t at_ns;
};

struct stamps {
	struct stamp *ring;
	uint32_t capacity;
	uint64_t head;
	uint64_t tail;
	uint64_t acked;
};

void stamps_init(struct stamps *s, struct stamp *ring, uint32_t capacity);

/* Room for another run? */
bool stamps_has_room(const struct stamps *s);

/* All messages after those of the newest run, up to number `last`, began at `at_ns`. There is room (asserted). */
void stamps_put(struct stamps *s, uint64_t last, uint64_t at_ns);

/* Everything up to number `acked` was acknowledged at `now_ns`: one entry of the histogram for each. They were put (asserted). */
void stamps_ack(struct stamps *s, uint64_t acked, uint64_t now_ns, struct histogram *latency);

#endif
