/* The journal's face towards the server: streams, appends, turns. Contract: journal.h. */
#include "journal/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/mutant.h"
#include "base/text.h"
#include "clock/clock.h"
#include "journal/private.h"

enum { PAGE = 4096 }; /* the lock file's, which is mapped */

/* --- making */

static uint64_t default_staging_size(const struct journal_config *config)
{
	uint64_t room = config->segment_size < SEGMENT_FIRST_SIZE ? config->segment_size
								  : SEGMENT_FIRST_SIZE;

	/* A quarter of the smallest segment is left: its header, the block kept for a seal, and room to spare. */
	room -= room / 4;
	return (room < STAGING_SIZE ? room : STAGING_SIZE) / COMMIT_BLOCK_MAX * COMMIT_BLOCK_MAX;
}

static uint32_t table_capacity(const struct journal_config *config)
{
	return config->streams_max + config->connections_max;
}

uint64_t journal_memory(const struct journal_config *config, unsigned writes_max)
{
	uint64_t total = sizeof(struct journal) + streams_memory(table_capacity(config));

	if (config->path == NULL)
		return total;
	if (writes_max > WRITES_MAX)
		writes_max = WRITES_MAX;
	return total + (writes_max + 2) * default_staging_size(config) +
	       (uint64_t)table_capacity(config) * SNAPSHOT_ENTRY_SIZE +
	       STORE_SEGMENTS_MAX * sizeof(struct store_segment) + ZERO_STEP_SIZE +
	       COMMIT_BLOCK_MAX + PAGE;
}

static int check_sizes(struct journal *j, struct failure *why)
{
	const struct journal_config *config = &j->config;
	uint64_t payload = config->message_max > RECEIVE_BUFFER_SIZE ? config->message_max
								     : RECEIVE_BUFFER_SIZE;
	char message[TEXT_SIZE_SIZE], segment[TEXT_SIZE_SIZE], least[TEXT_SIZE_SIZE],
		most[TEXT_SIZE_SIZE];

	if (config->segment_size < SEGMENT_SIZE_MIN || config->segment_size > SEGMENT_SIZE_MAX)
		return failure_set(why, EXIT_USAGE, 0,
				   "--segment-size %s: must lie between %s and %s",
				   text_size(config->segment_size, segment),
				   text_size(SEGMENT_SIZE_MIN, least),
				   text_size(SEGMENT_SIZE_MAX, most));
	j->staging_size = default_staging_size(config);
	j->commit_max = j->staging_size - COMMIT_BLOCK_MAX;
	if (BATCH_HEADER_SIZE + FRAME_HEADER_SIZE + payload > j->commit_max)
		return failure_set(
			why, EXIT_USAGE, 0,
			"--max-message %s: does not fit; with --segment-size %s at most %s",
			text_size(config->message_max, message),
			text_size(config->segment_size, segment),
			text_size(j->commit_max - BATCH_HEADER_SIZE - FRAME_HEADER_SIZE, most));
	return 0;
}

static int open_volatile(struct journal *j, struct failure *why)
{
	uint64_t seed;

	j->is_volatile = true;
	j->next_record = 1;
	random_bytes(j->id, sizeof(j->id));
	random_bytes(&seed, sizeof(seed));
	if (streams_init(&j->streams, table_capacity(&j->config), seed) != 0)
		return failure_set(why, EXIT_IO, ENOMEM, "stream table");
	return 0;
}

int journal_open(const struct journal_config *config, struct io *io, struct journal **ret,
		 struct failure *why)
{
	struct journal *j = calloc(1, sizeof(*j));
	int error;

	if (j == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "journal");
	j->config = *config;
	j->io = io;
	j->streams_max = config->streams_max;
	j->opened_ns = clock_monotonic_ns();
	j->commit = 1;
	j->store.directory = -1;
	j->store.lock_file = -1;
	j->store.current.file = -1;
	j->store.spare.file = -1;
	j->store.closing.file = -1;
	j->store.job.file = -1;
	error = config->path == NULL ? open_volatile(j, why) : check_sizes(j, why);
	if (error == 0 && config->path != NULL)
		error = open_journal(j, why);
	if (error == 0 && config->path != NULL && staging_init(j) != 0)
		error = failure_set(why, EXIT_IO, ENOMEM, "staging");
	if (error != 0) {
		journal_close(j);
		return error;
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	struct store *store = &j->store;

	must(j->flying == 0);
	staging_deinit(j);
	store_deinit(j);
	streams_deinit(&j->streams);
	if (store->job.block != NULL)
		file_memory_free(store->job.block, COMMIT_BLOCK_MAX);
	if (store->job.zeros != NULL)
		file_memory_free((void *)(uintptr_t)store->job.zeros, ZERO_STEP_SIZE);
	free(store->list);
	free(store->snapshot_entries);
	if (store->lock != NULL) {
		__atomic_store_n((uint64_t *)(uintptr_t)(store->lock + LOCK_HOLDER_AT), 0,
				 __ATOMIC_RELAXED);
		file_unmap((void *)(uintptr_t)store->lock, LOCK_SIZE);
	}
	if (store->lock_file >= 0)
		file_close(store->lock_file);
	if (store->directory >= 0)
		file_close(store->directory);
	free(j);
}

void journal_info(struct journal *j, struct journal_info *ret)
{
	struct file_space space;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->id, j->id, sizeof(ret->id));
	ret->streams = j->streams.known;
	ret->memory = journal_memory(&j->config, j->writes_max);
	ret->volatile_only = j->is_volatile;
	ret->direct = j->store.geometry.direct;
	ret->durable = j->how;
	if (j->is_volatile)
		return;
	ret->first_record = store_first_record(j);
	ret->records = j->next_record - ret->first_record;
	if (ret->records == 0)
		ret->first_record = 0;
	if (file_space(j->store.directory, &space) == 0)
		ret->free_bytes = space.free;
}

/* --- streams */

static void make_room(struct journal *j)
{
	uint64_t now = clock_monotonic_ns();
	struct streams_age age = {
		.now_ns = clock_realtime_ns(),
		.ephemeral_too = now - j->opened_ns >= EPHEMERAL_AGE_NS,
		.ephemeral_age_ns = EPHEMERAL_AGE_NS,
		.named_age_ns = j->config.stream_age_ns,
		.first_record = j->is_volatile ? 0 : store_first_record(j),
	};

	/* It looks at the whole table: at most once a second, whatever clients do. */
	if (j->forget_checked_ns != 0 && now - j->forget_checked_ns < SECOND_NS)
		return;
	j->forget_checked_ns = now;
	streams_forget_old(&j->streams, &age);
}

static void stream_state(const struct stream_entry *entry, struct stream_state *ret)
{
	ret->last = entry->last_seq;
	ret->record = entry->record;
	ret->writer = entry->writer;
	ret->h = entry->h;
	ret->ephemeral = entry->ephemeral;
}

int journal_stream_open(struct journal *j, const struct stream_id *id, bool ephemeral,
			struct journal_stream *ret_stream, struct stream_state *ret_state)
{
	uint32_t at = streams_find(&j->streams, id);

	if (at == STREAM_NONE) {
		if (j->streams.known >= j->streams_max)
			make_room(j);
		if (j->streams.known >= j->streams_max)
			return -EBUSY;
		at = streams_take(&j->streams, id, ephemeral);
		if (at == STREAM_NONE)
			return -EBUSY;
	} else if (j->streams.entries[at].last_seq == 0) {
		j->streams.entries[at].ephemeral = ephemeral; /* the session that it was taken for has sent nothing */
	}
	j->streams.entries[at].open_count++;
	j->streams.entries[at].epoch = ++j->epoch;
	ret_stream->entry = at;
	ret_stream->epoch = j->epoch;
	stream_state(&j->streams.entries[at], ret_state);
	return 0;
}

void journal_stream_state(const struct journal *j, struct journal_stream stream,
			  struct stream_state *ret)
{
	stream_state(&j->streams.entries[stream.entry], ret);
}

void journal_stream_close(struct journal *j, struct journal_stream stream)
{
	struct stream_entry *entry = &j->streams.entries[stream.entry];

	must(stream.epoch != 0 && entry->used && entry->open_count != 0);
	entry->open_count--;
	if (entry->epoch == stream.epoch)
		entry->epoch = 0;
	if (entry->open_count == 0 && entry->last_seq == 0)
		streams_free(&j->streams, stream.entry);
}

/* Frees the messages' part of the entry; the session's part goes with journal_stream_close. The end is written too, behind the
 * stream's records, so that opening does not bring the entry back. It asks for no flush of its own: lost, it costs an entry. */
int journal_stream_forget(struct journal *j, struct journal_stream stream)
{
	struct stream_entry *entry = &j->streams.entries[stream.entry];
	struct batch_header end = {
		.record = j->next_record,
		.stream = entry->id,
		.first_seq = entry->last_seq,
		.writer = entry->writer,
		.time_ns = clock_realtime_ns(),
		.flags = BATCH_FORGET | BATCH_EPHEMERAL,
		.protocol = PROTOCOL_NATIVE,
	};

	if (entry->epoch != stream.epoch)
		return -ESTALE;
	if (!entry->ephemeral)
		return -EPERM;
	if (entry->record > j->durable)
		return -EBUSY;
	if (entry->last_seq == 0)
		return 0;
	if (!j->is_volatile && j->failed == 0 && !j->stopping)
		(void)staging_put(j, &end, NULL, NULL, 0);
	entry->last_seq = 0;
	entry->record = 0;
	entry->h = 0;
	j->streams.known--;
	return 0;
}

/* --- appending */

static int check_stream(struct journal *j, const struct journal_batch *batch)
{
	const struct stream_entry *entry = &j->streams.entries[batch->stream.entry];

	if (entry->epoch != batch->stream.epoch && !MUTANT(12) &&
	    !(MUTANT(10) && entry->last_seq == 0))
		return -ESTALE;
	if (batch->gap) {
		if (batch->first_seq <= entry->last_seq + 1 || batch->h_before != 0)
			return -EPROTO;
	} else if (batch->first_seq != entry->last_seq + 1 || batch->h_before != entry->h) {
		return -EPROTO;
	}
	if (entry->last_seq == 0 && j->streams.known >= j->streams_max) {
		make_room(j);
		if (j->streams.known >= j->streams_max)
			return -EBUSY;
	}
	return 0;
}

static void fill_header(const struct journal *j, const struct journal_batch *batch,
			struct batch_header *ret)
{
	bool is_native = batch->stream.epoch != 0;
	const struct stream_entry *entry =
		is_native ? &j->streams.entries[batch->stream.entry] : NULL;

	*ret = (struct batch_header){
		.record = j->next_record,
		.stream = is_native ? entry->id : batch->plain,
		.first_seq = batch->first_seq,
		.writer = batch->writer,
		.time_ns = clock_realtime_ns(),
		.gap_last = batch->gap ? entry->last_seq : 0,
		.count = batch->count,
		.bytes = batch->frames_size + (batch->header != NULL ? FRAME_HEADER_SIZE : 0),
		.h_before = batch->h_before,
		.h_after = batch->h_after,
		.flags = (batch->gap ? BATCH_GAP : 0) |
			 (is_native && entry->ephemeral ? BATCH_EPHEMERAL : 0),
		.protocol = (uint8_t)batch->protocol,
		.peer = batch->peer,
	};
}

int journal_append(struct journal *j, const struct journal_batch *batch, uint64_t *ret_record)
{
	bool is_native = batch->stream.epoch != 0;
	uint64_t last_seq = batch->first_seq + batch->count - 1;
	struct batch_header header;
	int result;

	must(batch->count != 0 && batch->first_seq != 0 && (is_native || !batch->gap));
	if (j->failed != 0 || j->stopping)
		return -EROFS;
	if (is_native && (result = check_stream(j, batch)) != 0)
		return result;
	fill_header(j, batch, &header);
	if (!j->is_volatile) {
		if (BATCH_HEADER_SIZE + (uint64_t)header.bytes > j->commit_max)
			return -EMSGSIZE;
		if (j->store.full)
			return -ENOBUFS;
		result = staging_put(j, &header, batch->header, batch->frames, batch->frames_size);
		if (result != 0)
			return result;
	}
	j->next_record += batch->count;
	if (is_native)
		streams_advance(&j->streams, batch->stream.entry, last_seq, j->next_record - 1,
				batch->writer, header.time_ns, batch->h_after);
	if (j->is_volatile)
		j->durable = j->next_record - 1;
	*ret_record = j->next_record - 1;
	return 0;
}

uint64_t journal_next_record(const struct journal *j)
{
	return j->next_record;
}

uint64_t journal_durable(const struct journal *j)
{
	return MUTANT(1) ? j->next_record - 1 : j->durable;
}

uint64_t journal_progress(const struct journal *j)
{
	return j->progress;
}

uint64_t journal_commit(const struct journal *j)
{
	return j->commit;
}

/* --- turns */

static uint64_t seal_deadline(const struct journal *j)
{
	uint64_t idle = j->committed_ns + SEAL_IDLE_NS;
	uint64_t pause = j->sealed_ns + SEAL_PAUSE_NS;

	if (j->claimed >= j->durable || !staging_is_idle(j))
		return NEVER_NS;
	if (j->stopping)
		return 0;
	return j->sealed_ns != 0 && pause > idle ? pause : idle;
}

uint64_t journal_turn(struct journal *j)
{
	uint64_t seal_ns;
	uint64_t store_ns;

	if (j->is_volatile || j->failed != 0)
		return NEVER_NS;
	staging_submit(j);
	if (seal_deadline(j) <= io_now(j->io) && staging_put_seal(j) == 0) {
		j->sealed_ns = io_now(j->io);
		staging_submit(j);
	}
	store_turn(j);
	seal_ns = seal_deadline(j);
	store_ns = store_deadline(j);
	return seal_ns < store_ns ? seal_ns : store_ns;
}

static void fail_write(struct journal *j, const struct staging *s, int error)
{
	char name[SEGMENT_NAME_SIZE];
	char what[100];

	segment_name(s->segment_index, name);
	snprintf(what, sizeof(what), "segment %s offset %" PRIu64 ": %s", name, s->offset,
		 j->how == IO_WRITE_DSYNC ? "durable write" : "write and flush");
	journal_fail(j, error, what);
}

void journal_written(struct journal *j, struct io_write *write, int result)
{
	struct staging *s = (struct staging *)write;

	if (MUTANT(4) && result != 0)
		result = file_flush(write->file);
	if (result != 0) {
		/* J2: final, whatever a second try would say. */
		j->flying--;
		s->state = STAGING_WRITTEN; /* never taken from the queue: the journal has failed */
		fail_write(j, s, -result);
		return;
	}
	if (j->failed != 0) {
		j->flying--;
		return;
	}
	staging_complete(j, s);
}

void journal_job_done(struct journal *j, struct io_job *job)
{
	must(job == &j->store.job.job);
	store_job_done(j);
}

void journal_note(struct journal *j, enum journal_notice_kind kind, int error, const char *what)
{
	if (j->notice_count == NOTICES_MAX)
		return; /* nobody has asked for a while: the first ones tell more than the last */
	j->notices[j->notice_count].kind = kind;
	(void)failure_set(&j->notices[j->notice_count].failure, EXIT_IO, error, "journal %s: %s",
			  j->config.path != NULL ? j->config.path : "", what);
	j->notice_count++;
}

void journal_fail(struct journal *j, int error, const char *what)
{
	if (j->failed != 0)
		return;
	j->failed = -error;
	j->notice_count = 0;
	journal_note(j, JOURNAL_FAILED, error, what);
}

int journal_notice(struct journal *j, enum journal_notice_kind *ret_kind, struct failure *ret)
{
	if (j->notice_count == 0)
		return 0;
	*ret_kind = j->notices[0].kind;
	*ret = j->notices[0].failure;
	j->notice_count--;
	memmove(j->notices, j->notices + 1, j->notice_count * sizeof(j->notices[0]));
	return 1;
}

int journal_failed(const struct journal *j)
{
	return j->failed;
}

void journal_stop(struct journal *j)
{
	j->stopping = true;
}

bool journal_stopped(const struct journal *j)
{
	if (j->is_volatile)
		return true;
	if (j->store.job_running || j->flying != 0)
		return false;
	return j->failed != 0 || (staging_is_idle(j) && j->claimed >= j->durable);
}
