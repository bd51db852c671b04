#include "server/timers.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/must.h"

int timers_init(struct timers *timers, uint32_t item_count)
{
	*timers = (struct timers){ .item_count = item_count };
	timers->heap = calloc(item_count, sizeof(*timers->heap));
	timers->position = calloc(item_count, sizeof(*timers->position));
	if (timers->heap && timers->position)
		return 0;
	timers_deinit(timers);
	return -ENOMEM;
}

void timers_deinit(struct timers *timers)
{
	free(timers->heap);
	free(timers->position);
	*timers = (struct timers){ 0 };
}

static void place(struct timers *timers, uint32_t at, struct timer_node node)
{
	timers->heap[at] = node;
	timers->position[node.item] = at + 1;
}

static void move_up(struct timers *timers, uint32_t at, struct timer_node node)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;

		if (timers->heap[parent].when_ns <= node.when_ns)
			break;
		place(timers, at, timers->heap[parent]);
		at = parent;
	}
	place(timers, at, node);
}

static void move_down(struct timers *timers, uint32_t at, struct timer_node node)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= timers->count)
			break;
		if (child + 1 < timers->count &&
		    timers->heap[child + 1].when_ns < timers->heap[child].when_ns)
			child++;
		if (timers->heap[child].when_ns >= node.when_ns)
			break;
		place(timers, at, timers->heap[child]);
		at = child;
	}
	place(timers, at, node);
}

static void drop(struct timers *timers, uint32_t at)
{
	struct timer_node last = timers->heap[--timers->count];

	timers->position[timers->heap[at].item] = 0;
	if (at == timers->count)
		return;
	if (at > 0 && timers->heap[(at - 1) / 2].when_ns > last.when_ns)
		move_up(timers, at, last);
	else
		move_down(timers, at, last);
}

void timers_set(struct timers *timers, uint32_t item, uint64_t when_ns)
{
	struct timer_node node = { when_ns, when_ns, item };

	must(item < timers->item_count);
	uint32_t position = timers->position[item];
	if (when_ns == NEVER_NS) {
		/* Left in the heap it would wake a sleeping server once for nothing: ten thousand of them would. */
		if (position)
			drop(timers, position - 1);
		return;
	}
	if (!position)
		move_up(timers, timers->count++, node);
	else if (when_ns < timers->heap[position - 1].when_ns)
		move_up(timers, position - 1, node);
	else
		timers->heap[position - 1].due_ns = when_ns;
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->heap[0].when_ns : NEVER_NS;
}

bool timers_due(struct timers *timers, uint64_t now_ns, uint32_t *ret_item)
{
	while (timers->count && timers->heap[0].when_ns <= now_ns) {
		struct timer_node node = timers->heap[0];

		if (node.due_ns > now_ns) {
			node.when_ns = node.due_ns;
			move_down(timers, 0, node);
			continue;
		}
		drop(timers, 0);
		*ret_item = node.item;
		return true;
	}
	return false;
}
