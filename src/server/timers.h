/* Deadlines: at most one for each item (a session), in one binary heap.
 *
 * Moving a deadline later only notes the new time; the heap finds out when the old one comes up. So a busy session, whose
 * deadline moves with every byte, costs nothing, and a session without a deadline is not in the heap at all. No clock: times
 * are given. Pure, but for the memory that timers_init takes. */
#ifndef ROGER_SERVER_TIMERS_H
#define ROGER_SERVER_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct timer_node {
	uint64_t when_ns; /* its place in the heap: never later than due_ns */
	uint64_t due_ns;  /* the item's deadline */
	uint32_t item;
};

struct timers {
	struct timer_node *heap;
	uint32_t *position; /* of each item in the heap, + 1; 0: it is not there */
	uint32_t count;     /* nodes in the heap */
	uint32_t item_count;
};

/* Bytes of memory that an item takes. */
enum { TIMERS_ITEM_SIZE = sizeof(struct timer_node) + sizeof(uint32_t) };

/* Items are 0 .. item_count - 1, none with a deadline. 0 or -ENOMEM. */
int timers_init(struct timers *timers, uint32_t item_count);
void timers_deinit(struct timers *timers);

/* The item's deadline is now when_ns; NEVER_NS: it has none. */
void timers_set(struct timers *timers, uint32_t item, uint64_t when_ns);

/* When to look again: not later than the earliest deadline (earlier, if that one was moved). NEVER_NS: there is none. */
uint64_t timers_next(const struct timers *timers);

/* An item whose deadline is at or before now_ns, which it then has no longer; false when there is none left. */
bool timers_due(struct timers *timers, uint64_t now_ns, uint32_t *ret_item);

#endif
