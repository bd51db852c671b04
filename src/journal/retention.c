/* Retention: which segment may go, and when. It only says so; the file jobs that delete a segment, or make it the next spare, are
 * store.c's. */
#include "base/mutant.h"
#include "clock/clock.h"
#include "journal/private.h"

static uint64_t bytes_on_disk(const struct store *store)
{
	return store->list_bytes + store->current.size +
	       (store->spare_ready ? store->spare.size : 0);
}

/* The oldest segment, when retention wants it gone; `more` bytes are about to come. */
static struct store_segment *unwanted(struct journal *j, uint64_t more)
{
	struct store *store = &j->store;
	struct store_segment *oldest;
	uint64_t now_ns = clock_realtime_ns();

	if (store->list_start == store->list_count)
		return NULL;
	oldest = &store->list[store->list_start];
	if (!oldest->closed || oldest->index == store->closing.index)
		return NULL;
	if (store->keep_bytes != 0 && bytes_on_disk(store) + more > store->keep_bytes)
		return oldest;
	if (store->keep_age_ns != 0 && now_ns > oldest->modified_ns &&
	    now_ns - oldest->modified_ns > store->keep_age_ns)
		return oldest;
	return NULL;
}

struct store_segment *retention_candidate(struct journal *j, uint64_t more)
{
	struct store_segment *oldest = unwanted(j, more);

	if (oldest == NULL || (!MUTANT(16) && oldest->index > j->store.snapshot_index) ||
	    (!MUTANT(16) && !MUTANT(32) && oldest->index > j->store.snapshot_old_index))
		return NULL;
	return oldest;
}

bool retention_needs_snapshot(struct journal *j)
{
	struct store *store = &j->store;
	const struct store_segment *oldest;

	if (j->stopping || store->snapshot_pending || store->snapshot_index == 0 ||
	    store->snapshot.segment_index != store->snapshot_index)
		return false;
	oldest = unwanted(j, store->spare_ready ? 0 : store->next_size);
	return oldest != NULL && oldest->index <= store->snapshot_index &&
	       oldest->index > store->snapshot_old_index;
}

bool retention_may_reuse(const struct store *store, const struct store_segment *oldest)
{
	return (oldest->mine || MUTANT(17)) && store->next_size == store->segment_size_max &&
	       oldest->size <= store->next_size && oldest->size >= store->next_size / 2;
}
