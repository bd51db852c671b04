/* Commits on their way to the disk.
 *
 *      open ----> ready ----> flying ----> written ----> free
 *      (grows)    (queue, oldest first; durable advances along its written prefix)
 *
 * A commit is bound to its segment and offset when it is opened. So an append knows how much room is left in the segment, and the
 * moment of rolling over is exactly the old segment's end. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/mutant.h"
#include "journal/lock_view.h"
#include "journal/private.h"

int staging_init(struct journal *j)
{
	j->writes_max = io_writes_max(j->io) < WRITES_MAX ? io_writes_max(j->io) : WRITES_MAX;
	j->staging_count = j->writes_max + 2;
	for (unsigned i = 0; i < j->staging_count; i++) {
		struct staging *s = &j->staging[i];

		s->memory = file_memory(j->staging_size, COMMIT_BLOCK_MAX);
		if (s->memory == NULL)
			return -ENOMEM;
		s->write.owner = j;
	}
	return 0;
}

void staging_deinit(struct journal *j)
{
	for (unsigned i = 0; i < j->staging_count; i++)
		if (j->staging[i].memory != NULL)
			file_memory_free(j->staging[i].memory, j->staging_size);
}

static struct staging *free_staging(struct journal *j)
{
	for (unsigned i = 0; i < j->staging_count; i++)
		if (j->staging[i].state == STAGING_FREE)
			return &j->staging[i];
	return NULL;
}

/* Bytes that one more commit may have in the current segment. The last block is kept for a seal. */
static uint64_t segment_room(const struct journal *j, bool is_seal)
{
	const struct write_segment *segment = &j->store.current;
	uint64_t kept = is_seal ? 0 : j->store.geometry.block_size;
	uint64_t room;

	if (segment->position + kept >= segment->size)
		return 0;
	room = segment->size - segment->position - kept;
	return room < j->staging_size ? room : j->staging_size;
}

/* Open a commit that can hold `need` bytes. 0 or -ENOBUFS. */
static int open_commit(struct journal *j, uint64_t need, bool is_seal)
{
	struct staging *s = free_staging(j);
	struct write_segment *segment = &j->store.current;

	must(j->open == NULL);
	if (s == NULL)
		return -ENOBUFS;
	if (segment_room(j, is_seal) < need && !store_roll(j, j->next_record))
		return -ENOBUFS;
	must(segment_room(j, is_seal) >= need);
	if (segment->first == 0)
		segment->first = j->next_record;
	s->state = STAGING_OPEN;
	s->size = 0;
	s->room = segment_room(j, is_seal);
	s->commit = j->commit;
	s->last_record = j->next_record - 1;
	s->segment_index = segment->index;
	s->segment_first = segment->first;
	memcpy(s->salt, segment->salt, SALT_SIZE);
	s->offset = segment->position;
	s->write.file = segment->file;
	s->batch_open = false;
	j->open = s;
	return 0;
}

/* The growing batch is complete: its header goes in front of its frames. `durable` is filled in by staging_submit. */
static void finish_batch(struct staging *s)
{
	if (!s->batch_open)
		return;
	if (s->batch_at == 0)
		s->batch.flags |= BATCH_FIRST;
	s->batch.segment_first = s->segment_first;
	s->batch.durable = 0;
	batch_header_encode(s->memory + s->batch_at, &s->batch, s->salt, s->segment_index);
	s->batch_open = false;
}

static void begin_batch(struct staging *s, const struct batch_header *header)
{
	finish_batch(s);
	s->batch = *header;
	s->batch.count = 0;
	s->batch.bytes = 0;
	s->batch_at = s->size;
	s->batch_open = true;
	s->size += BATCH_HEADER_SIZE;
}

/* Does `header` simply go on where the growing batch stops? Not when the clock has been set back: the table has the time of the stream's
 * last message, which must not be before its batch's (a snapshot's entry, section 10 of docs/journal.md). */
static bool goes_on(const struct staging *s, const struct batch_header *header)
{
	const struct batch_header *b = &s->batch;

	return s->batch_open && b->count != 0 && header->count != 0 &&
	       (header->flags & BATCH_GAP) == 0 && stream_id_equal(&b->stream, &header->stream) &&
	       b->first_seq + b->count == header->first_seq && b->writer == header->writer &&
	       b->protocol == header->protocol && peer_equal(&b->peer, &header->peer) &&
	       b->time_ns <= header->time_ns;
}

static void put_bytes(struct staging *s, const void *data, uint32_t size)
{
	if (size != 0)
		memcpy(s->memory + s->size, data, size);
	s->size += size;
	s->batch.bytes += size;
}

int staging_put(struct journal *j, const struct batch_header *header, const uint8_t *frame_header,
		const uint8_t *frames, uint32_t frames_size)
{
	uint32_t head = frame_header != NULL ? FRAME_HEADER_SIZE : 0;
	uint64_t need = BATCH_HEADER_SIZE + (uint64_t)head + frames_size;
	struct staging *s = j->open;
	int result;

	must(need <= j->commit_max);
	/* A new batch header is counted even where the batch only grows: simpler, and wrong by 128 bytes in 4 MiB at most. */
	if (s != NULL && s->size + need > s->room) {
		staging_close(j);
		s = NULL;
	}
	if (s == NULL) {
		result = open_commit(j, need, false);
		if (result != 0)
			return result;
		s = j->open;
	}
	if (!goes_on(s, header))
		begin_batch(s, header);
	put_bytes(s, frame_header, head);
	put_bytes(s, frames, frames_size);
	s->batch.count += header->count;
	s->batch.h_after = header->h_after;
	if (header->count != 0)
		s->last_record = header->record + header->count - 1;
	return 0;
}

int staging_put_seal(struct journal *j)
{
	struct batch_header seal = { .record = j->next_record, .time_ns = 0 };
	int result;

	must(staging_is_idle(j));
	if (MUTANT(24)) {
		j->claimed = j->durable;
		return 0;
	}
	result = open_commit(j, BATCH_HEADER_SIZE, true);
	if (result != 0)
		return result;
	begin_batch(j->open, &seal);
	staging_close(j);
	return 0;
}

/* From here on the commit is whole: padded with zeros to a block's end, its place in the segment taken. */
void staging_close(struct journal *j)
{
	struct staging *s = j->open;
	uint64_t padded;

	if (s == NULL)
		return;
	must(s->size != 0);
	finish_batch(s);
	padded = round_up(s->size, j->store.geometry.block_size);
	must(padded <= j->staging_size);
	memset(s->memory + s->size, 0, padded - s->size);
	s->state = STAGING_READY;
	s->write.data = s->memory;
	s->write.size = padded;
	s->write.offset = s->offset;
	s->write.durable = j->how;
	must(s->offset + padded <= j->store.current.size &&
	     s->segment_index == j->store.current.index);
	j->store.current.position += padded;
	j->queue[j->queue_count++] = s;
	j->open = NULL;
	j->commit++;
}

/* Every batch of a commit says what is known durable now (J1), and the last one that it is the last. */
static void stamp(struct journal *j, struct staging *s)
{
	uint64_t at = 0;
	struct batch_header header;

	while (at < s->size) {
		must(batch_header_decode(s->memory + at, s->size - at, s->salt, s->segment_index,
					 &header) == FORMAT_OK);
		header.durable = MUTANT(109) ? header.record - 1 : j->durable;
		if (at + BATCH_HEADER_SIZE + header.bytes == s->size)
			header.flags |= BATCH_LAST;
		batch_header_encode(s->memory + at, &header, s->salt, s->segment_index);
		at += BATCH_HEADER_SIZE + header.bytes;
	}
	must(at == s->size);
	s->claim = j->durable;
}

static struct staging *oldest_ready(struct journal *j)
{
	for (unsigned i = 0; i < j->queue_count; i++)
		if (j->queue[i]->state == STAGING_READY)
			return j->queue[i];
	return NULL;
}

/* A flush that fails may take with it what another commit has written and not flushed yet, whose own flush then succeeds, and tells of it
 * perhaps before the failure is known. So where a commit is a write and a flush of the whole file, only one is in flight (J1, J2). Through
 * the page cache any commit is that: an error of writing back is told once for each open file, to whoever asks first. */
static unsigned flying_max(const struct journal *j)
{
	return j->how == IO_WRITE_FLUSH || !j->store.geometry.direct ? 1 : j->writes_max;
}

/* A write costs the same processor time whether it has one message in it or a hundred, and one of the next few completions comes soon. */
static bool is_worth_it(const struct journal *j)
{
	return j->flying < COMMITS_SMALL || (j->open != NULL && j->open->size >= COMMIT_WORTH);
}

void staging_submit(struct journal *j)
{
	struct staging *s = oldest_ready(j);

	if (j->flying >= flying_max(j))
		return;
	if (s == NULL && is_worth_it(j)) {
		staging_close(j);
		s = oldest_ready(j);
	}
	if (s == NULL || !store_may_submit(j, s->segment_index))
		return;
	stamp(j, s);
	s->state = STAGING_FLYING;
	j->flying++;
	io_write(j->io, &s->write);
}

void staging_complete(struct journal *j, struct staging *done)
{
	unsigned taken = 0;

	must(done->state == STAGING_FLYING);
	done->state = STAGING_WRITTEN;
	j->flying--;
	while (taken < j->queue_count && j->queue[taken]->state == STAGING_WRITTEN) {
		struct staging *s = j->queue[taken++];

		must(s->last_record >= j->durable);
		if (s->last_record > j->durable)
			j->committed_ns = io_now(j->io);
		j->durable = s->last_record;
		if (s->claim > j->claimed)
			j->claimed = s->claim;
		if (s->segment_index == j->store.current.index)
			j->store.current_begun = true;
		s->state = STAGING_FREE;
	}
	if (MUTANT(2) && done->last_record > j->durable)
		j->durable = done->last_record;
	j->queue_count -= taken;
	memmove(j->queue, j->queue + taken, j->queue_count * sizeof(j->queue[0]));
	if (taken != 0) {
		j->progress++;
		if (j->store.lock != NULL)
			lock_number_store(j->store.lock, j->durable);
	}
}

bool staging_is_idle(const struct journal *j)
{
	return j->open == NULL && j->queue_count == 0;
}
