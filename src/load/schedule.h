/* Which message may begin when: at once, as soon as somebody is free; or, with a rate, each at its own time. Until there were
 * enough, or the time is over; what was due by then and could not begin yet may for a second more. Pure. */
#ifndef ROGER_LOAD_SCHEDULE_H
#define ROGER_LOAD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
	uint64_t count;      /* in all; UINT64_MAX: no limit */
	uint64_t rate;       /* a second; 0: none */
	uint64_t started_ns;
	uint64_t end_ns;     /* none is due, or without a rate begins, at or after this; NEVER_NS: no limit */
	uint64_t late_ns;    /* with a rate: none begins at or after this */
	uint64_t taken;      /* so many have begun */
};

/* It begins now. count and duration_ns: 0 is no limit. */
void schedule_start(struct schedule *s, uint64_t count, uint64_t duration_ns, uint64_t rate,
		    uint64_t now_ns);

/* No message begins from now on. */
void schedule_stop(struct schedule *s, uint64_t now_ns);

/* Will no message begin any more? */
bool schedule_is_over(const struct schedule *s, uint64_t now_ns);

/* May a message begin now? */
bool schedule_is_due(const struct schedule *s, uint64_t now_ns);

/* One begins; it was due (asserted). With a rate: when it was due, which may be long ago. Without one: `begin_ns`. */
uint64_t schedule_take(struct schedule *s, uint64_t now_ns, uint64_t begin_ns);

/* Without a rate: how many may still begin, now if any may; and `count` of these begin (asserted). */
uint64_t schedule_left(const struct schedule *s);
void schedule_take_many(struct schedule *s, uint64_t now_ns, uint64_t count);

/* When something changes by itself: the next one is due (if `somebody` is free to begin it), or the time is over. NEVER_NS: never,
 * or it is over. */
uint64_t schedule_deadline(const struct schedule *s, uint64_t now_ns, bool somebody);

/* With a rate and an end, once it is over: how many were due before the end and have not begun. */
uint64_t schedule_behind(const struct schedule *s);

#endif
