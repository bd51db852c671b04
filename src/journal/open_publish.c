/* Opening, second half: the new segment is made under a temporary name and published; then what holds no live record goes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "clock/clock.h"
#include "journal/lock_view.h"
#include "journal/opening.h"

/* --- the new segment */

/* The new segment from its first byte on: header, copies, a seal, and zeros up to `size`. Only what is not zero takes memory. */
static uint8_t *lay_out(struct opening *o, const struct store_job *job, uint64_t size)
{
	static const uint8_t no_salt[SALT_SIZE];
	uint8_t *whole = file_memory(size, COMMIT_BLOCK_MAX);
	uint8_t *memory;
	struct batch_header header;

	if (whole == NULL)
		return NULL;
	segment_header_encode(whole, &job->header);
	memory = whole + job->block_size;
	for (uint64_t at = 0; at < o->copies_size;) {
		must(batch_header_decode(o->copies + at, o->copies_size - at, no_salt, 0,
					 &header) == FORMAT_OK);
		header.segment_first = o->first_copied;
		header.durable = o->first_copied - 1;
		header.flags &= (uint32_t) ~(BATCH_FIRST | BATCH_LAST);
		header.flags |= at == 0 ? BATCH_FIRST : 0;
		header.flags |=
			at + BATCH_HEADER_SIZE + header.bytes == o->copies_size ? BATCH_LAST : 0;
		batch_header_encode(memory + at, &header, job->header.salt, job->header.index);
		if (header.bytes != 0)
			memcpy(memory + at + BATCH_HEADER_SIZE, o->copies + at + BATCH_HEADER_SIZE,
			       header.bytes);
		at += BATCH_HEADER_SIZE + header.bytes;
	}
	header = (struct batch_header){
		.segment_first = o->first_copied,
		.record = o->next,
		.durable = o->next - 1,
		.time_ns = clock_realtime_ns(),
		.flags = BATCH_FIRST | BATCH_LAST,
	};
	batch_header_encode(memory + round_up(o->copies_size, job->block_size), &header,
			    job->header.salt, job->header.index);
	return whole;
}

/* One write of zeros, on blocks that are zero already, made durable one way or the other. Keeps the fastest: whatever else the disk has to
 * do only adds. */
static int try_write(const struct store_job *job, bool dsync, uint64_t at, uint64_t *best_ns)
{
	uint64_t start_ns = clock_monotonic_ns();
	uint64_t took_ns;
	int error;

	if (dsync) {
		error = file_write_durable(job->file, job->zeros, job->block_size, at);
	} else {
		error = file_write(job->file, job->zeros, job->block_size, at);
		if (error == 0)
			error = file_flush(job->file);
	}
	took_ns = clock_monotonic_ns() - start_ns;
	if (took_ns < *best_ns)
		*best_ns = took_ns;
	return error;
}

/* A write with DSYNC needs no second step, and four can be in flight (decision 11); but on some disks it is much slower. */
static bool is_dsync_better(uint64_t dsync_ns, uint64_t flush_ns)
{
	return dsync_ns <= flush_ns + flush_ns / 2;
}

/* --flush auto: some of each, in turns. */
static int try_flush(struct journal *j, const struct store_job *job, uint64_t offset)
{
	uint64_t end_ns = clock_monotonic_ns() + 2 * FLUSH_TRIAL_NS;
	uint64_t dsync_ns = UINT64_MAX / 2, flush_ns = UINT64_MAX / 2;
	unsigned count = 0;
	int error = 0;

	do {
		uint64_t at = offset + (uint64_t)(count % 4) * job->block_size;

		error = try_write(job, true, at, &dsync_ns);
		if (error == 0)
			error = try_write(job, false, at, &flush_ns);
	} while (error == 0 && ++count < FLUSH_TRIALS && clock_monotonic_ns() < end_ns);
	if (error == 0 && is_dsync_better(dsync_ns, flush_ns))
		j->how = IO_WRITE_DSYNC;
	return error;
}

static int choose_flush(struct journal *j, const struct store_job *job, uint64_t offset)
{
	j->how = IO_WRITE_FLUSH;
	if (j->config.flush == FLUSH_DSYNC)
		j->how = IO_WRITE_DSYNC;
	if (j->config.flush != FLUSH_AUTO || !job->direct ||
	    offset + 4 * (uint64_t)job->block_size > job->size)
		return 0;
	return try_flush(j, job, offset);
}

/* With real zeros under the first commits: a flush is then one flush, and not two and some metadata. All of it is one write, since a disk
 * that is slow to answer makes the start wait for each. `position`: where the first commit goes. */
static int write_new_segment(struct opening *o, struct store_job *job, uint64_t position)
{
	uint64_t zeroed = job->size < SEGMENT_FIRST_SIZE ? job->size : SEGMENT_FIRST_SIZE;
	uint64_t size = job->direct && zeroed > position ? zeroed : position;
	uint8_t *memory = lay_out(o, job, size);
	int error;

	job->failed_step = "lay out a new segment";
	if (memory == NULL)
		return -ENOMEM;
	job->failed_step = "write new segment";
	error = file_write(job->file, memory, size, 0);
	file_memory_free(memory, size);
	if (error == 0)
		error = choose_flush(o->j, job, position);
	if (error == 0)
		error = store_publish_segment(job);
	return error;
}

/* Something must stay behind the snapshot: opening takes a snapshot without it for damage (check_beginning). */
static bool may_go(const struct opening *o, uint32_t at)
{
	for (uint32_t i = 0; i < o->set.count; i++)
		if (i != at && o->set.list[i].index > opening_covered(o) &&
		    o->set.list[i].first != 0)
			return true;
	return !o->snapshot.valid;
}

/* Some of what the snapshot covers stands in front of it (what is dead goes with this opening, and does not count). An unused spare
 * never has such a place: the opening that came after it has deleted it before its own snapshot could cover it. */
static bool is_amid_covered(const struct opening *o, uint32_t at)
{
	if (o->set.list[at].index > opening_covered(o))
		return false;
	for (uint32_t i = 0; i < at; i++)
		if (o->set.list[i].first != 0 &&
		    o->set.list[i].first < segments_bound(&o->set, i))
			return true;
	return false;
}

/* An unused spare of an earlier process. One that has lost what stood in it looks the same, and is for verify and read to tell of. */
static bool is_unused(struct opening *o, uint32_t at)
{
	const struct segment *segment = &o->set.list[at];

	return segment->header_fault == FORMAT_OK && segment->first == 0 &&
	       !is_amid_covered(o, at) && segments_lost_first(&o->set, at) == 0;
}

/* It may go when its room is needed. 1: one has gone; 0: there is none; -errno. */
static int remove_unused(struct opening *o)
{
	for (uint32_t i = o->set.count; i > 0; i--) {
		struct segment *segment = &o->set.list[i - 1];
		char name[SEGMENT_NAME_SIZE];

		if (!is_unused(o, i - 1) || !segment->searched || o->removed[i - 1] ||
		    !may_go(o, i - 1))
			continue;
		segment_name(segment->index, name);
		if (segment->file >= 0) /* while it is open, its room is not given back */
			file_close(segment->file);
		segment->file = -1;
		o->removed[i - 1] = 1;
		int error = file_remove(o->j->store.directory, name);
		if (error == 0)
			error = file_flush_directory(o->j->store.directory);
		return error == 0 ? 1 : error;
	}
	return 0;
}

int opening_make_new_segment(struct opening *o)
{
	struct journal *j = o->j;
	struct store *store = &j->store;
	struct store_job *job = &store->job;
	uint64_t content = round_up(o->copies_size, job->block_size) + job->block_size;
	uint64_t least = job->block_size + content + round_up(j->commit_max, job->block_size) +
			 job->block_size;
	uint64_t usual = j->config.segment_size < SEGMENT_FIRST_SIZE ? j->config.segment_size
								     : SEGMENT_FIRST_SIZE;
	bool announced = false;
	int error;

	usual = usual / job->block_size * job->block_size;
	job->index = o->index_max + 1;
	job->header = (struct segment_header){
		.index = job->index,
		.block_size = job->block_size,
		.created_ns = clock_realtime_ns(),
	};
	memcpy(job->header.journal_id, j->id, sizeof(j->id));
	random_bytes(job->header.salt, SALT_SIZE);
	for (;;) {
		job->size = usual > least ? usual : least;
		job->size_min = job->size;
		job->keep_free = 0;
		error = store_make_segment(job);
		if (error == 0)
			error = write_new_segment(o, job, job->block_size + content);
		if (error == 0)
			break;
		if (job->file >= 0)
			file_close(job->file);
		job->file = -1;
		if (job->fatal || !store_is_no_room(error))
			return opening_unreadable(o, error, job->failed_step);
		(void)file_remove(store->directory, NAME_SEGMENT_NEW);
		error = remove_unused(o);
		if (error < 0)
			return opening_unreadable(o, error, "delete an unused segment");
		if (error == 0 &&
		    !opening_wait_for_room(o, "make a new segment", &announced))
			return failure_set(o->why, EXIT_DONE, EINTR, "journal %s", j->config.path);
	}
	store->current = (struct write_segment){
		.index = job->index,
		.file = job->file,
		.size = job->size,
		.position = job->block_size + content,
		.first = o->first_copied,
		.zeroed = job->size,
	};
	memcpy(store->current.salt, job->header.salt, SALT_SIZE);
	job->file = -1;
	return 0;
}

/* --- after it is published */

static int delete_segment(struct opening *o, const struct segment *segment)
{
	char name[SEGMENT_NAME_SIZE];
	int error;

	segment_name(segment->index, name);
	error = file_remove(o->j->store.directory, name);
	if (error == 0)
		error = file_flush_directory(o->j->store.directory);
	if (error != 0)
		return failure_set(o->why, EXIT_IO, -error, "journal %s: delete segment %s",
				   o->j->config.path, name);
	return 0;
}

/* The blocks behind the last live batch were reserved by an earlier process. A failure only costs room. */
static uint64_t give_back_tail(struct opening *o, uint32_t at)
{
	const struct segment *segment = &o->set.list[at];
	uint64_t end = o->live_end[at];
	char name[SEGMENT_NAME_SIZE];
	int file;

	if (end == 0) /* also where the header is bad: nothing is known of it */
		return segment->size;
	end = round_up(end, segment->header.block_size);
	if (end >= segment->size)
		return segment->size;
	segment_name(segment->index, name);
	if (file_open(o->j->store.directory, name, FILE_WRITE, &file) != 0)
		return segment->size;
	if (file_truncate(file, end) != 0)
		end = segment->size;
	file_close(file);
	return end;
}

/* Where the live part of a segment ends, now that the new one is there. */
static uint64_t live_bound(const struct opening *o, uint32_t at)
{
	uint64_t bound = segments_bound(&o->set, at);

	return bound < o->first_copied ? bound : o->first_copied;
}

static bool is_live(struct opening *o, uint32_t at)
{
	const struct segment *segment = &o->set.list[at];

	if (segment->first != 0)
		return segment->first < live_bound(o, at);
	/* What its header would tell of is dead, as the claims in lower segments show. These may go now, so it must, too. */
	if (segment->header_fault != FORMAT_OK && live_bound(o, at) <= segment->doubt)
		return false;
	return !is_unused(o, at);
}

/* J7: what holds no live record goes. The newest first: whatever fails from here on, this opening leaves its new segment behind, and the
 * next one must get as far as to delete it, however often that is tried. And a bad header goes before the claims that excuse it. */
static int delete_dead(struct opening *o)
{
	int error = 0;

	for (uint32_t i = o->set.count; i > 0 && error == 0; i--)
		if (!o->removed[i - 1] && !is_live(o, i - 1)) {
			error = delete_segment(o, &o->set.list[i - 1]);
			o->removed[i - 1] = 1;
		}
	return error;
}

/* The rest is kept for retention to see. */
int opening_sort_segments(struct opening *o)
{
	struct store *store = &o->j->store;
	int error = delete_dead(o);

	for (uint32_t i = 0; i < o->set.count && error == 0; i++) {
		const struct segment *segment = &o->set.list[i];

		if (o->removed[i])
			continue;
		if (store->list_count == STORE_SEGMENTS_MAX)
			return failure_set(o->why, EXIT_IO, 0, "journal %s: too many segments",
					   o->j->config.path);
		store->list[store->list_count++] = (struct store_segment){
			.index = segment->index,
			.first = segment->first,
			.last = live_bound(o, i) - 1,
			.size = give_back_tail(o, i),
			.modified_ns = segment->modified_ns,
			.closed = true,
		};
		store->list_bytes += store->list[store->list_count - 1].size;
	}
	return error;
}

static uint64_t keep_free(const struct journal *j)
{
	const struct journal_config *config = &j->config;
	struct file_space space;
	uint64_t keep;

	if (config->keep_free_bytes != UINT64_MAX && config->keep_free_bytes != 0)
		return config->keep_free_bytes;
	if (file_space(j->store.directory, &space) != 0)
		return 0;
	if (config->keep_free_bytes == 0)
		return space.total / 100 * config->keep_free_percent;
	keep = space.total / 20 < KEEP_FREE_MAX ? space.total / 20 : KEEP_FREE_MAX;
	return keep < space.total / 4 ? keep : space.total / 4;
}

static int remove_one(void *context, const char *name)
{
	struct opening *o = context;

	return name_is_temporary(name) ? file_remove(o->j->store.directory, name) : 0;
}

int opening_prepare_store(struct opening *o)
{
	struct journal *j = o->j;
	struct store *store = &j->store;
	struct store_job *job = &store->job;
	int error = file_list(store->directory, remove_one, o);

	if (error != 0)
		return opening_unreadable(o, error, "remove temporary files");
	store->geometry = o->set.geometry;
	store->segment_size_max =
		j->config.segment_size / store->geometry.block_size * store->geometry.block_size;
	store->keep_bytes = j->config.keep_bytes;
	store->keep_age_ns = j->config.keep_age_ns;
	store->keep_free = keep_free(j);
	store->list = calloc(STORE_SEGMENTS_MAX, sizeof(*store->list));
	job->block = file_memory(COMMIT_BLOCK_MAX, COMMIT_BLOCK_MAX);
	job->zeros = file_memory(ZERO_STEP_SIZE, COMMIT_BLOCK_MAX);
	if (store->list == NULL || job->block == NULL || job->zeros == NULL)
		return failure_set(o->why, EXIT_IO, ENOMEM, "journal");
	job->directory = store->directory;
	job->direct = store->geometry.direct;
	job->block_size = store->geometry.block_size;
	return 0;
}

/* The copy of the table made in passing becomes a snapshot, unless the one on the disk says the same. Later copies need room for as many
 * streams as there can ever be. */
int opening_finish_snapshots(struct opening *o)
{
	struct journal *j = o->j;
	struct store *store = &j->store;
	uint8_t *room;

	store->snapshot_index = opening_covered(o);
	store->snapshot_old_index = o->snapshot_old_index;
	store->snapshot_record = o->snapshot.valid ? o->snapshot.header.record : 0;
	store->snapshot_keep_old = o->newest_is_bad;
	if (store->snapshot_pending && o->snapshot.valid &&
	    store->snapshot.record == o->snapshot.header.record)
		store->snapshot_pending = false;
	if (j->streams.known > j->streams_max)
		j->streams_max = j->streams.known;
	room = realloc(store->snapshot_entries,
		       (uint64_t)j->streams.capacity * SNAPSHOT_ENTRY_SIZE);
	if (room == NULL)
		return failure_set(o->why, EXIT_IO, ENOMEM, "snapshot");
	store->snapshot_entries = room;
	return 0;
}

void opening_hand_over(struct opening *o)
{
	struct journal *j = o->j;
	struct store *store = &j->store;

	j->next_record = o->next;
	j->durable = o->next - 1;
	j->claimed = j->durable;
	store->next_index = store->current.index + 1;
	store->next_size = store->current.size * 2;
	if (store->next_size > store->segment_size_max)
		store->next_size = store->segment_size_max;
	lock_number_store(store->lock, j->durable);
}
