#include "load/schedule.h"

#include "base/limits.h"
#include "base/must.h"

#define LATE_NS (1 * SECOND_NS) /* a server that is so far behind does not keep up */

void schedule_start(struct schedule *s, uint64_t count, uint64_t duration_ns, uint64_t rate,
		    uint64_t now_ns)
{
	*s = (struct schedule){
		.count = count == 0 ? UINT64_MAX : count,
		.rate = rate,
		.started_ns = now_ns,
		.end_ns = NEVER_NS,
		.late_ns = NEVER_NS,
	};
	if (duration_ns == 0 || duration_ns >= NEVER_NS - LATE_NS - now_ns)
		return;
	s->end_ns = now_ns + duration_ns;
	s->late_ns = s->end_ns + (rate > 0 ? LATE_NS : 0);
}

void schedule_stop(struct schedule *s, uint64_t now_ns)
{
	if (now_ns < s->end_ns)
		s->end_ns = now_ns;
	if (now_ns < s->late_ns)
		s->late_ns = now_ns;
}

/* When the next message is due, with a rate. Whole seconds apart, so that nothing overflows or drifts. */
static uint64_t next_ns(const struct schedule *s)
{
	uint64_t seconds = s->taken / s->rate;
	uint64_t rest = s->taken % s->rate;

	return s->started_ns + seconds * SECOND_NS + rest * SECOND_NS / s->rate;
}

bool schedule_is_over(const struct schedule *s, uint64_t now_ns)
{
	return s->taken >= s->count || now_ns >= s->late_ns ||
	       (s->rate > 0 && next_ns(s) >= s->end_ns);
}

bool schedule_is_due(const struct schedule *s, uint64_t now_ns)
{
	return !schedule_is_over(s, now_ns) && (s->rate == 0 || now_ns >= next_ns(s));
}

uint64_t schedule_take(struct schedule *s, uint64_t now_ns, uint64_t begin_ns)
{
	uint64_t due_ns = s->rate == 0 ? begin_ns : next_ns(s);

	must(schedule_is_due(s, now_ns));
	s->taken++;
	return due_ns;
}

uint64_t schedule_left(const struct schedule *s)
{
	must(s->rate == 0);
	return s->count - s->taken;
}

void schedule_take_many(struct schedule *s, uint64_t now_ns, uint64_t count)
{
	must(schedule_is_due(s, now_ns) && count <= schedule_left(s));
	s->taken += count;
}

uint64_t schedule_deadline(const struct schedule *s, uint64_t now_ns, bool somebody)
{
	uint64_t due_ns;

	if (schedule_is_over(s, now_ns))
		return NEVER_NS;
	if (s->rate == 0 || !somebody)
		return s->late_ns;
	due_ns = next_ns(s);
	return due_ns < s->late_ns ? due_ns : s->late_ns;
}

uint64_t schedule_behind(const struct schedule *s)
{
	struct schedule all = *s;
	uint64_t passed_ns = s->end_ns - s->started_ns;

	if (s->rate == 0 || s->end_ns == NEVER_NS)
		return 0;
	/* So many are due before the end, but for the rounding of the last one's time. */
	all.taken = passed_ns / SECOND_NS * s->rate + passed_ns % SECOND_NS * s->rate / SECOND_NS;
	if (next_ns(&all) < s->end_ns)
		all.taken++;
	if (all.taken > s->count)
		all.taken = s->count;
	return all.taken > s->taken ? all.taken - s->taken : 0;
}
