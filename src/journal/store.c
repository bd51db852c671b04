/* The segments on the disk: rolling over, the spare, zeros, retention. Slow work is one file job at a time.
 *
 * A segment's life here:
 *
 *      made as "segment.tmp" (reserve, header, flush) -> renamed, directory flushed = the spare
 *      -> zero steps -> current (commits) -> closing (tail given back once all of it is durable) -> list
 *      -> deleted, or renamed to "segment.tmp" and made into the next spare
 *
 * Two rules that a late write must not break (asserted): no commit is submitted to a segment that has a zero step
 * outstanding, and no zero step is started on a segment that is not a spare any more. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/mutant.h"
#include "clock/clock.h"
#include "journal/private.h"

/* --- the pieces that run on the job's thread, or in opening */

static int failed_at(struct store_job *job, const char *step, int error)
{
	job->failed_step = step;
	return error;
}

int store_publish_segment(struct store_job *job)
{
	char name[SEGMENT_NAME_SIZE];
	int error;

	error = MUTANT(7) ? 0 : file_flush(job->file);
	if (error != 0)
		return failed_at(job, "flush new segment", error);
	segment_name(job->header.index, name);
	error = file_rename(job->directory, NAME_SEGMENT_NEW, name, false);
	if (error != 0 || MUTANT(3) || (MUTANT(28) && job->kind == JOB_SPARE))
		return failed_at(job, "rename new segment", error);
	error = file_flush_directory(job->directory);
	if (error != 0) {
		job->fatal = true;
		return failed_at(job, "flush journal directory", error);
	}
	return 0;
}

bool store_is_no_room(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* Make "segment.tmp" of job->size bytes, or half of it and so on down to size_min where there is no room. */
int store_make_segment(struct store_job *job)
{
	unsigned flags = FILE_WRITE | FILE_CREATE | FILE_NEW | (job->direct ? FILE_DIRECT : 0);
	struct file_space space;
	int error = file_remove(job->directory, NAME_SEGMENT_NEW);

	if (error != 0 && error != -ENOENT)
		return failed_at(job, "remove segment.tmp", error);
	error = file_open(job->directory, NAME_SEGMENT_NEW, flags, &job->file);
	if (error != 0)
		return failed_at(job, "make segment.tmp", error);
	for (;; job->size = job->size / 2 / job->block_size * job->block_size) {
		error = file_space(job->directory, &space);
		if (error == 0 &&
		    (space.free < job->size || space.free - job->size < job->keep_free))
			error = -ENOSPC;
		if (error == 0)
			error = file_reserve(job->file, job->size);
		if (!store_is_no_room(error) || job->size / 2 < job->size_min)
			break;
	}
	if (error == 0)
		return 0;
	file_close(job->file);
	job->file = -1;
	(void)file_remove(job->directory, NAME_SEGMENT_NEW);
	return failed_at(job, "reserve room for a segment", error);
}

/* Write the header into job->file, which is reserved and empty or old; nothing in it may pass for a batch of this segment, since
 * the salt is new. Then publish it. */
static int publish_empty(struct store_job *job)
{
	int error;

	memset(job->block, 0, job->block_size);
	segment_header_encode(job->block, &job->header);
	error = file_write(job->file, job->block, job->block_size, 0);
	if (error != 0)
		return failed_at(job, "write segment header", error);
	return store_publish_segment(job);
}

static int run_spare(struct store_job *job)
{
	int error = store_make_segment(job);

	if (error == 0)
		error = publish_empty(job);
	if (error != 0 && job->file >= 0) {
		file_close(job->file);
		job->file = -1;
		if (!job->fatal)
			(void)file_remove(job->directory, NAME_SEGMENT_NEW);
	}
	return error;
}

/* The oldest segment, made by this process, becomes the next spare: the old name goes and that is made durable, only then may the header
 * change (J7; a power cut in between must not find a new header under the old name). */
static int run_reuse(struct store_job *job)
{
	char name[SEGMENT_NAME_SIZE];
	int error;

	segment_name(job->old_index, name);
	error = file_rename(job->directory, name, NAME_SEGMENT_NEW, true);
	if (error != 0)
		return failed_at(job, "rename old segment", error);
	job->gone = true;
	error = MUTANT(31) ? 0 : file_flush_directory(job->directory);
	if (error != 0) {
		job->fatal = true;
		return failed_at(job, "flush journal directory", error);
	}
	error = file_open(job->directory, NAME_SEGMENT_NEW,
			  FILE_WRITE | (job->direct ? FILE_DIRECT : 0), &job->file);
	if (error != 0)
		return failed_at(job, "open segment.tmp", error);
	error = file_reserve(job->file, job->size);
	if (error != 0)
		failed_at(job, "reserve room for a segment", error);
	else
		error = publish_empty(job);
	if (error != 0) {
		file_close(job->file);
		job->file = -1;
		if (!job->fatal)
			(void)file_remove(job->directory, NAME_SEGMENT_NEW);
	}
	return error;
}

static int run_zero(struct store_job *job)
{
	int error = file_write(job->file, job->zeros, job->size, job->offset);

	if (error != 0) {
		job->fatal = true; /* a write of a published segment (J2) */
		return failed_at(job, "write zeros", error);
	}
	if (job->last)
		error = file_flush(job->file);
	if (error != 0) {
		job->fatal = true;
		return failed_at(job, "flush zeros", error);
	}
	return 0;
}

static int run_close(struct store_job *job)
{
	int error = file_truncate(job->file, job->offset);

	file_close(job->file);
	job->file = -1;
	return error == 0 ? 0 : failed_at(job, "give back the tail of a segment", error);
}

static int run_retire(struct store_job *job)
{
	char name[SEGMENT_NAME_SIZE];
	int error;

	segment_name(job->index, name);
	error = file_remove(job->directory, name);
	if (error != 0 && error != -ENOENT)
		return failed_at(job, "delete old segment", error);
	error = file_flush_directory(job->directory);
	if (error != 0) {
		job->fatal = true;
		return failed_at(job, "flush journal directory", error);
	}
	return 0;
}

static int run_job(struct io_job *io_job)
{
	struct store_job *job = (struct store_job *)io_job;

	switch (job->kind) {
	case JOB_SPARE:
		return run_spare(job);
	case JOB_REUSE:
		return run_reuse(job);
	case JOB_ZERO:
		return run_zero(job);
	case JOB_SNAPSHOT:
		return snapshot_write(job);
	case JOB_CLOSE:
		return run_close(job);
	case JOB_RETIRE:
		return run_retire(job);
	case JOB_NONE:
	case JOB_KINDS:
		break;
	}
	must(false);
	return -EINVAL;
}

/* --- the loop's side */

static void start_job(struct journal *j, enum job_kind kind)
{
	struct store *store = &j->store;

	must(!store->job_running);
	store->job.kind = kind;
	store->job.failed_step = "start a file job"; /* until it runs: there may be no thread for it */
	store->job.fatal = false;
	store->job.gone = false;
	store->job.job.run = run_job;
	store->job.job.owner = j;
	store->job_running = true;
	io_job(j->io, &store->job.job);
}

static bool zero_is_outstanding(const struct store *store)
{
	return store->job_running && store->job.kind == JOB_ZERO;
}

bool store_may_submit(const struct journal *j, uint64_t segment_index)
{
	/* A zero step was begun on the spare, which may have become the current segment meanwhile. */
	return !zero_is_outstanding(&j->store) || j->store.job.index != segment_index;
}

uint64_t store_first_record(const struct journal *j)
{
	const struct store *store = &j->store;

	for (uint32_t i = store->list_start; i < store->list_count; i++)
		if (store->list[i].first != 0)
			return store->list[i].first;
	return store->current.first != 0 ? store->current.first : j->next_record;
}

static void pack_list(struct store *store)
{
	store->list_count -= store->list_start;
	memmove(store->list, store->list + store->list_start,
		store->list_count * sizeof(store->list[0]));
	store->list_start = 0;
}

bool store_roll(struct journal *j, uint64_t f)
{
	struct store *store = &j->store;

	if (store->list_count == STORE_SEGMENTS_MAX && store->list_start != 0)
		pack_list(store);
	if (!store->spare_ready || store->closing.file >= 0 ||
	    store->list_count == STORE_SEGMENTS_MAX)
		return false;
	store->closing = store->current;
	store->current_begun = false;
	store->closing_last = f - 1;
	store->list[store->list_count++] = (struct store_segment){
		.index = store->current.index,
		.first = store->current.first != 0 ? store->current.first : f,
		.last = f - 1,
		.size = store->current.size,
		.modified_ns = clock_realtime_ns(),
		.mine = true,
		.closed = true,
	};
	store->list_bytes += store->current.size;
	snapshot_copy(j, store->current.index, f - 1);
	store->current = store->spare;
	store->current.first = f;
	store->spare_ready = false;
	store->zero_wanted = MUTANT(25) && store->zero_wanted;
	return true;
}

/* The list is kept packed at its front now and then, so that it can go on for ever. */
static void drop_oldest(struct store *store)
{
	store->list_bytes -= store->list[store->list_start].size;
	store->list_start++;
	if (store->list_start >= STORE_SEGMENTS_MAX / 2)
		pack_list(store);
}

static void start_spare(struct journal *j)
{
	struct store *store = &j->store;
	struct store_job *job = &store->job;
	struct store_segment *oldest = retention_candidate(j, store->next_size);

	job->header = (struct segment_header){
		.index = store->next_index,
		.block_size = store->geometry.block_size,
		.created_ns = clock_realtime_ns(),
	};
	memcpy(job->header.journal_id, j->id, sizeof(j->id));
	random_bytes(job->header.salt, SALT_SIZE);
	job->index = store->next_index;
	job->size = store->next_size;
	job->size_min =
		store->next_size < SEGMENT_FIRST_SIZE ? store->next_size : SEGMENT_FIRST_SIZE;
	job->keep_free = store->keep_free;
	job->file = -1;
	store->next_index++;
	if (oldest != NULL && !store->retire_failed && retention_may_reuse(store, oldest)) {
		job->old_index = oldest->index;
		job->offset = oldest->size; /* behind it are no written blocks */
		start_job(j, JOB_REUSE);
	} else {
		job->offset = store->geometry.block_size;
		start_job(j, JOB_SPARE);
	}
}

static bool may_zero(const struct journal *j)
{
	const struct store *store = &j->store;
	uint64_t now = io_now(j->io);

	return (store->spare_ready || MUTANT(25)) && store->zero_wanted && !j->stopping &&
	       now >= store->zero_retry_ns && (j->flying == 0 || now >= store->zero_pause_ns);
}

static void start_zero(struct journal *j)
{
	struct store *store = &j->store;
	struct store_job *job = &store->job;
	uint64_t left = store->spare.size - store->spare.zeroed;

	must(store->spare_ready && store->spare.first == 0 && left != 0);
	job->index = store->spare.index;
	job->file = store->spare.file;
	job->offset = store->spare.zeroed;
	job->size = left < ZERO_STEP_SIZE ? left : ZERO_STEP_SIZE;
	job->last = left <= ZERO_STEP_SIZE;
	start_job(j, JOB_ZERO);
}

static void start_snapshot(struct journal *j)
{
	struct store *store = &j->store;

	store->job.snapshot = store->snapshot;
	store->job.entries = store->snapshot_entries;
	store->job.keep_old = store->snapshot_keep_old;
	start_job(j, JOB_SNAPSHOT);
}

/* All of the closing segment is durable when `durable` has reached its last record and no seal of it is in flight. */
static bool may_close(const struct journal *j)
{
	const struct store *store = &j->store;

	if (store->closing.file < 0 || j->durable < store->closing_last)
		return false;
	for (unsigned i = 0; i < j->queue_count; i++)
		if (j->queue[i]->segment_index == store->closing.index)
			return false;
	return store->current_begun; /* so its f stands in the new segment, on the disk */
}

static void start_close(struct journal *j)
{
	struct store *store = &j->store;

	store->job.index = store->closing.index;
	store->job.file = store->closing.file;
	store->job.offset = store->closing.position;
	start_job(j, JOB_CLOSE);
}

static bool snapshot_is_due(struct journal *j)
{
	if (!j->store.snapshot_pending)
		return retention_needs_snapshot(j);
	return MUTANT(15) || j->durable >= j->store.snapshot.record;
}

void store_turn(struct journal *j)
{
	struct store *store = &j->store;
	uint64_t now = io_now(j->io);
	struct store_segment *oldest;

	if (j->is_volatile || store->job_running)
		return;
	if (may_close(j)) {
		start_close(j);
		return;
	}
	if (may_zero(j)) { /* has pauses of its own */
		start_zero(j);
		return;
	}
	if (now < store->job_pause_ns)
		return;
	oldest = j->stopping || store->retire_failed
			 ? NULL
			 : retention_candidate(j, store->spare_ready ? 0 : store->next_size);
	if (oldest != NULL && (store->spare_ready || !retention_may_reuse(store, oldest))) {
		store->job.index = oldest->index;
		start_job(j, JOB_RETIRE);
		return;
	}
	if (!store->spare_ready && !j->stopping &&
	    !(store->full && snapshot_is_due(j) && !store->snapshot_tried)) {
		store->snapshot_tried = false;
		start_spare(j);
	} else if (snapshot_is_due(j)) {
		store->snapshot_pending = true;
		store->snapshot_tried = true;
		start_snapshot(j);
	} else {
		store->age_check_ns = now + SECOND_NS;
	}
	store->retire_failed = false;
}

uint64_t store_deadline(const struct journal *j)
{
	const struct store *store = &j->store;
	uint64_t deadline = NEVER_NS;

	if (j->is_volatile || store->job_running)
		return NEVER_NS;
	if (store->spare_ready && store->zero_wanted && !j->stopping)
		deadline = store->zero_pause_ns > store->zero_retry_ns ? store->zero_pause_ns
								       : store->zero_retry_ns;
	if ((!store->spare_ready && !j->stopping) ||
	    (store->snapshot_pending && j->durable >= store->snapshot.record))
		deadline = store->job_pause_ns;
	if (store->keep_age_ns != 0 && store->list_start != store->list_count &&
	    store->age_check_ns < deadline)
		deadline = store->age_check_ns > store->job_pause_ns ? store->age_check_ns
								     : store->job_pause_ns;
	return deadline;
}

static void set_full(struct journal *j, bool full, const char *step, int error)
{
	if (full == j->store.full)
		return;
	j->store.full = full;
	if (full) {
		journal_note(j, JOURNAL_FULL, error, step);
	} else {
		journal_note(j, JOURNAL_ROOM, 0, "there is room again, going on");
		j->progress++;
	}
}

static void spare_made(struct journal *j)
{
	struct store *store = &j->store;
	struct store_job *job = &store->job;

	store->spare = (struct write_segment){
		.index = job->header.index,
		.file = job->file,
		.size = job->size,
		.position = job->block_size,
		.zeroed = job->offset,
	};
	memcpy(store->spare.salt, job->header.salt, SALT_SIZE);
	store->spare_ready = true;
	store->zero_wanted = job->direct && store->spare.zeroed < store->spare.size;
	if (job->size == store->next_size && store->next_size < store->segment_size_max) {
		store->next_size *= 2;
		if (store->next_size > store->segment_size_max)
			store->next_size = store->segment_size_max;
	}
	if (job->kind == JOB_REUSE)
		drop_oldest(store);
	set_full(j, false, NULL, 0);
}

/* To delete the oldest segment and to make the next one of it are one trouble. */
static int *trouble_of(struct store *store)
{
	return &store->trouble[store->job.kind == JOB_REUSE ? JOB_RETIRE : store->job.kind];
}

static void job_failed(struct journal *j)
{
	struct store *store = &j->store;
	struct store_job *job = &store->job;
	int error = job->job.result;

	if (job->fatal) {
		journal_fail(j, -error, job->failed_step);
		return;
	}
	if (job->kind == JOB_ZERO)
		store->zero_retry_ns = io_now(j->io) + FULL_RETRY_NS;
	else
		store->job_pause_ns = io_now(j->io) + FULL_RETRY_NS;
	if (job->kind == JOB_REUSE && job->gone)
		drop_oldest(store);
	if (job->kind == JOB_CLOSE) {
		if (job->file >= 0) /* it never ran */
			file_close(job->file);
		store->closing.file = -1;
	}
	if (job->kind == JOB_RETIRE || job->kind == JOB_REUSE)
		store->retire_failed = true;
	if (job->kind == JOB_SPARE || (job->kind == JOB_REUSE && store_is_no_room(error)))
		set_full(j, true, job->failed_step, -error);
	else if (*trouble_of(store) != error)
		journal_note(j, JOURNAL_TROUBLE, -error, job->failed_step);
	*trouble_of(store) = error;
}

static void snapshot_written(struct store *store)
{
	if (!store->snapshot_keep_old)
		store->snapshot_old_index = store->snapshot_index;
	store->snapshot_index = store->snapshot.segment_index;
	store->snapshot_record = store->snapshot.record;
	store->snapshot_keep_old = false;
	store->snapshot_pending = false;
}

static void tail_given_back(struct store *store)
{
	for (uint32_t i = store->list_start; i < store->list_count; i++)
		if (store->list[i].index == store->closing.index) {
			store->list_bytes -= store->list[i].size - store->closing.position;
			store->list[i].size = store->closing.position;
		}
	store->closing.file = -1;
	store->closing.index = 0;
}

void store_job_done(struct journal *j)
{
	struct store *store = &j->store;

	must(store->job_running);
	store->job_running = false;
	j->progress++; /* whoever waits to roll over may have waited for this: a spare, the closing segment, room in the list */
	if (store->job.job.result != 0) {
		job_failed(j);
		return;
	}
	*trouble_of(store) = 0;
	switch (store->job.kind) {
	case JOB_SPARE:
	case JOB_REUSE:
		spare_made(j);
		break;
	case JOB_ZERO:
		if (store->spare_ready && store->spare.index == store->job.index) {
			store->spare.zeroed = store->job.offset + store->job.size;
			store->zero_wanted = store->spare.zeroed < store->spare.size;
		}
		store->zero_pause_ns = io_now(j->io) + ZERO_STEP_PAUSE_NS;
		break;
	case JOB_SNAPSHOT:
		snapshot_written(store);
		break;
	case JOB_CLOSE:
		tail_given_back(store);
		break;
	case JOB_RETIRE:
		drop_oldest(store);
		break;
	case JOB_NONE:
	case JOB_KINDS:
		break;
	}
}

void store_deinit(struct journal *j)
{
	struct store *store = &j->store;

	must(!store->job_running);
	if (store->closing.file >= 0)
		file_close(store->closing.file);
	if (store->spare_ready)
		file_close(store->spare.file);
	if (store->current.file >= 0)
		file_close(store->current.file);
}
