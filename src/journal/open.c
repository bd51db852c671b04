/* Opening a journal (J3 to J7), in this order, each step only after the one before:
 *
 *      lock -> flush the directory -> choose a snapshot -> headers of all segments
 *      -> D, the highest record that anything claims durable -> the walk, from the snapshot's end to the first record not found
 *      -> that record <= D? damage: refuse, change nothing
 *      -> flush every segment that holds a record above D, and believe what was read before that flush
 *      -> remove our temporary files; one new segment: copies of the batches above D, a seal; flush, rename, flush the directory
 *      -> delete what holds no live record
 *
 * Appending never goes on in an old segment: writes of a killed server may still land there. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/mutant.h"
#include "clock/clock.h"
#include "journal/lock_view.h"
#include "journal/opening.h"

/* --- what is there */

static int note_index(void *context, const char *name)
{
	struct opening *o = context;
	uint64_t index = segment_index_of_name(name);

	if (index > o->index_max)
		o->index_max = index;
	return 0;
}

static int damage(struct opening *o, const char *what)
{
	return failure_set(o->why, EXIT_DATA, 0, "journal %s is damaged: %s", o->j->config.path,
			   what);
}

static int choose_snapshot(struct opening *o)
{
	struct snapshot_file newest = { 0 };
	struct snapshot_file older = { 0 };
	int directory = o->j->store.directory;
	int error = snapshot_read(directory, NAME_SNAPSHOT, &newest);

	if (error == 0)
		error = snapshot_read(directory, NAME_SNAPSHOT_OLD, &older);
	if (error != 0) {
		free(newest.entries);
		free(older.entries);
		return failure_set(o->why, EXIT_IO, -error, "read snapshot of journal %s",
				   o->j->config.path);
	}
	/* The one that opening can do without would be overwritten, and count as one of ours until then. */
	if (newest.valid && older.valid &&
	    memcmp(newest.header.journal_id, older.header.journal_id, sizeof(o->j->id)) != 0) {
		free(newest.entries);
		free(older.entries);
		return damage(o, "its snapshots belong to different journals");
	}
	o->newest_is_bad = !newest.valid;
	if (newest.valid &&
	    (!older.valid || newest.header.segment_index >= older.header.segment_index)) {
		o->snapshot = newest;
		o->snapshot_old_index = older.valid ? older.header.segment_index : 0;
		free(older.entries);
	} else {
		o->snapshot = older;
		free(newest.entries);
	}
	if (o->snapshot.valid && o->snapshot.header.segment_index > o->index_max)
		o->index_max = o->snapshot.header.segment_index;
	return 0;
}

uint64_t opening_covered(const struct opening *o)
{
	return o->snapshot.valid ? o->snapshot.header.segment_index : 0;
}

static int damage_at(struct opening *o, const struct walk_place *place)
{
	char text[WALK_PLACE_TEXT_SIZE];

	return failure_set(o->why, EXIT_DATA, 0,
			   "journal %s is damaged: %s; records up to %" PRIu64 " were durable%s",
			   o->j->config.path, walk_place_text(place, 0, text), o->claim,
			   place->segment_index != 0 ? " (roger repair saves the rest)" : "");
}

int opening_unreadable(struct opening *o, int error, const char *what)
{
	return failure_set(o->why, EXIT_IO, -error, "journal %s: %s", o->j->config.path, what);
}

static int load_segments(struct opening *o)
{
	int directory = o->j->store.directory;
	uint32_t count;
	int error = file_list(directory, note_index, o);

	if (error != 0)
		return opening_unreadable(o, error, "list its directory");
	error = choose_snapshot(o);
	if (error != 0)
		return error;
	error = segments_load(directory, &o->set, o->why);
	if (error != 0)
		return error;
	o->set_loaded = true;
	count = o->set.count;
	o->live_end = calloc(count + 1, sizeof(*o->live_end));
	o->dirty = calloc(count + 1, sizeof(*o->dirty));
	o->removed = calloc(count + 1, sizeof(*o->removed));
	if (o->live_end == NULL || o->dirty == NULL || o->removed == NULL)
		return failure_set(o->why, EXIT_IO, ENOMEM, "opening");
	return 0;
}

/* J4: D and every f that opening needs: all of the segments behind the snapshot, to their ends. */
static int find_claims(struct opening *o)
{
	uint64_t number = lock_number_load(o->j->store.lock);

	o->claim = o->snapshot.valid ? o->snapshot.header.record : 0;
	if (number > o->claim)
		o->claim = number;
	for (uint32_t i = 0; i < o->set.count; i++) {
		struct segment *segment = &o->set.list[i];
		char name[SEGMENT_NAME_SIZE];
		int error;

		if (segment->header_fault != FORMAT_OK)
			continue;
		if (segment->index <= opening_covered(o) && segment->first != 0)
			continue;
		error = segment_search(&o->set, segment, 0);
		segment_leave(&o->set, segment);
		if (error != 0) {
			segment_name(segment->index, name);
			return failure_set(o->why, EXIT_IO, -error, "journal %s: read segment %s",
					   o->j->config.path, name);
		}
		if (segment->claim > o->claim)
			o->claim = segment->claim;
	}
	return 0;
}

/* Can this segment, whose header is bad, be done without? Only if a later one's f leaves no record that may have stood in it; or if the
 * snapshot covers it: then verify and read tell. With nothing behind it, whatever it held would be lost quietly. */
static bool may_miss(const struct opening *o, uint32_t at)
{
	const struct segment *segment = &o->set.list[at];
	uint64_t bound = segments_bound(&o->set, at);

	if (segment->index <= opening_covered(o))
		return bound != UINT64_MAX;
	return bound <= segment->doubt;
}

static int check_headers(struct opening *o)
{
	char text[200];
	char name[SEGMENT_NAME_SIZE];

	for (uint32_t i = 0; i < o->set.count; i++) {
		const struct segment *segment = &o->set.list[i];

		if (segment->header_fault == FORMAT_OK) {
			if (memcmp(segment->header.journal_id, o->j->id, sizeof(o->j->id)) == 0)
				continue;
			segment_name(segment->index, name);
			snprintf(text, sizeof(text), "segment %s belongs to another journal", name);
			return damage(o, text);
		}
		if (may_miss(o, i))
			continue;
		segment_name(segment->index, name);
		snprintf(text, sizeof(text), "segment %s offset 0: segment header: %s", name,
			 format_fault_text(segment->header_fault));
		return damage(o, text);
	}
	return 0;
}

/* The journal's id is what its snapshot and segments agree on; a new journal gets a new one. */
static void choose_id(struct opening *o)
{
	if (o->snapshot.valid) {
		memcpy(o->j->id, o->snapshot.header.journal_id, sizeof(o->j->id));
		return;
	}
	for (uint32_t i = o->set.count; i > 0; i--) {
		if (o->set.list[i - 1].header_fault == FORMAT_OK) {
			memcpy(o->j->id, o->set.list[i - 1].header.journal_id, sizeof(o->j->id));
			return;
		}
	}
	random_bytes(o->j->id, sizeof(o->j->id));
}

/* With a snapshot, records may only be missing up to its last one: the segment that goes on from there is never deleted before a later
 * snapshot covers it. What stands behind such a hole must not pass for what came behind the end. */
static int check_snapshot(struct opening *o)
{
	uint64_t next = o->snapshot.header.record + 1;
	char text[200];

	/* The segment that was current when it was written is never deleted before a later one is published. */
	if (o->set.count == 0 || o->set.list[o->set.count - 1].index <= opening_covered(o))
		return damage(o, "there is a snapshot, but no segment behind it");
	if (o->lowest == UINT64_MAX || o->lowest <= next)
		return 0;
	snprintf(text, sizeof(text),
		 "records %" PRIu64 "..%" PRIu64
		 ": their segments are gone, and no valid snapshot covers them",
		 next, o->lowest - 1);
	return damage(o, text);
}

/* Without a snapshot the table can be rebuilt only when the records are there from the first one on. */
static int check_beginning(struct opening *o)
{
	o->lowest = UINT64_MAX;
	for (uint32_t i = 0; i < o->set.count; i++)
		if (o->set.list[i].first != 0 && o->set.list[i].first < o->lowest)
			o->lowest = o->set.list[i].first;
	if (o->snapshot.valid)
		return check_snapshot(o);
	if (o->set.count == 0 || o->lowest == 1 ||
	    (o->lowest == UINT64_MAX && o->set.list[0].index == 1))
		return 0;
	return damage(o, "no valid snapshot, and its first segments are gone");
}

/* --- the stream table */

static int grow_table(struct journal *j)
{
	struct streams larger;
	int error = streams_init(&larger, j->streams.capacity * 2, j->streams.hash_seed);

	if (error != 0)
		return error;
	for (uint32_t i = 0; i < j->streams.fresh; i++) {
		const struct stream_entry *entry = &j->streams.entries[i];
		uint32_t at;

		if (!entry->used)
			continue;
		at = streams_take(&larger, &entry->id, entry->ephemeral);
		streams_advance(&larger, at, entry->last_seq, entry->record, entry->writer,
				entry->time_ns, entry->h);
	}
	streams_deinit(&j->streams);
	j->streams = larger;
	return 0;
}

static int find_or_take(struct journal *j, const struct stream_id *id, bool ephemeral,
			uint32_t *ret)
{
	uint32_t at = streams_find(&j->streams, id);

	if (at == STREAM_NONE) {
		if (j->streams.known + j->config.connections_max >= j->streams.capacity &&
		    grow_table(j) != 0)
			return -ENOMEM;
		at = streams_take(&j->streams, id, ephemeral);
		must(at != STREAM_NONE);
	}
	*ret = at;
	return 0;
}

static int load_table(struct opening *o)
{
	struct journal *j = o->j;
	uint64_t seed;
	uint32_t at;

	random_bytes(&seed, sizeof(seed));
	if (streams_init(&j->streams, j->config.streams_max + j->config.connections_max, seed) != 0)
		return failure_set(o->why, EXIT_IO, ENOMEM, "stream table");
	for (uint64_t i = 0; o->snapshot.valid && i < o->snapshot.header.count; i++) {
		struct snapshot_entry entry;

		snapshot_entry_decode(o->snapshot.entries + i * SNAPSHOT_ENTRY_SIZE, &entry);
		if (!snapshot_entry_makes_sense(&entry, o->snapshot.header.record) ||
		    streams_find(&j->streams, &entry.stream) != STREAM_NONE)
			return damage(o, "snapshot: an entry makes no sense");
		if (find_or_take(j, &entry.stream, (entry.flags & BATCH_EPHEMERAL) != 0, &at) != 0)
			return failure_set(o->why, EXIT_IO, ENOMEM, "stream table");
		streams_advance(&j->streams, at, entry.last_seq, entry.record, entry.writer,
				entry.time_ns, entry.h);
	}
	return 0;
}

static bool begins_anew(const struct batch_header *header)
{
	bool is_gap = (header->flags & BATCH_GAP) != 0;

	return header->h_before == 0 && (is_gap ? header->gap_last == 0 : header->first_seq == 1);
}

static bool follows(const struct batch_header *header, const struct stream_entry *entry)
{
	if ((header->flags & BATCH_GAP) != 0)
		return header->first_seq > entry->last_seq && header->gap_last == entry->last_seq;
	return header->first_seq == entry->last_seq + 1 && header->h_before == entry->h;
}

/* 0; -EBADMSG: the batch does not follow from the stream's last one; -ENOMEM. */
static int apply_batch(struct opening *o, const struct batch_header *header)
{
	struct journal *j = o->j;
	uint64_t last_seq = header->first_seq + header->count - 1;
	const struct stream_entry *entry;
	uint32_t at;

	if (header->count == 0 && (header->flags & BATCH_FORGET) != 0) {
		at = streams_find(&j->streams, &header->stream);
		if (at != STREAM_NONE)
			streams_free(&j->streams, at);
		return 0;
	}
	if (header->count == 0 || stream_id_is_plain(&header->stream))
		return 0;
	if (find_or_take(j, &header->stream, (header->flags & BATCH_EPHEMERAL) != 0, &at) != 0)
		return -ENOMEM;
	entry = &j->streams.entries[at];
	/* A stream that was forgotten for its age begins anew; nothing on the disk says so but this. */
	if (entry->last_seq != 0 && begins_anew(header) &&
	    (entry->ephemeral || entry->record < o->lowest)) {
		streams_free(&j->streams, at);
		at = streams_take(&j->streams, &header->stream,
				  (header->flags & BATCH_EPHEMERAL) != 0);
		must(at != STREAM_NONE);
		entry = &j->streams.entries[at];
	}
	if (!follows(header, entry))
		return -EBADMSG;
	streams_advance(&j->streams, at, last_seq, header->record + header->count - 1,
			header->writer, header->time_ns, header->h_after);
	return 0;
}

/* --- the walk */

static int keep_copy(struct opening *o, const struct walk_batch *batch)
{
	uint64_t size = BATCH_HEADER_SIZE + (uint64_t)batch->header.bytes;
	static const uint8_t no_salt[SALT_SIZE];

	if (o->copies_size + size > o->copies_room) {
		uint64_t room = (o->copies_room + size) * 2;
		uint8_t *larger = realloc(o->copies, room);

		if (larger == NULL)
			return -ENOMEM;
		o->copies = larger;
		o->copies_room = room;
	}
	batch_header_encode(o->copies + o->copies_size, &batch->header, no_salt, 0);
	if (batch->header.bytes != 0)
		memcpy(o->copies + o->copies_size + BATCH_HEADER_SIZE, batch->frames,
		       batch->header.bytes);
	o->copies_size += size;
	return 0;
}

/* The table as it is before the first batch above D is the state that a snapshot may hold. */
static void copy_table_at_claim(struct opening *o)
{
	struct journal *j = o->j;

	free(j->store.snapshot_entries);
	j->store.snapshot_entries = malloc(((uint64_t)j->streams.capacity) * SNAPSHOT_ENTRY_SIZE);
	if (j->store.snapshot_entries == NULL)
		return;
	j->store.snapshot_pending = false;
	snapshot_copy(j, o->index_max, o->first_copied - 1);
}

static int take_batch(struct opening *o, const struct walk_batch *batch)
{
	const struct batch_header *header = &batch->header;
	bool is_above = header->count != 0 && header->record + header->count - 1 > o->claim;
	int error = 0;

	if (is_above && o->first_copied == 0) {
		o->first_copied = header->record;
		copy_table_at_claim(o);
	}
	if (is_above)
		o->dirty[batch->position] = 1;
	if (is_above || ((header->flags & BATCH_FORGET) != 0 && header->record > o->claim))
		error = keep_copy(o, batch);
	if (error == 0)
		error = apply_batch(o, header);
	if (o->first_copied == 0)
		o->live_end[batch->position] = batch->end;
	return error;
}

static int walk_live(struct opening *o)
{
	uint64_t from = o->snapshot.valid ? o->snapshot.header.record + 1 : 1;
	struct walk_batch batch;
	struct walk_place place = { 0 };
	struct walk *walk;
	int result = walk_create(&o->set, from, opening_covered(o), &walk);

	if (result != 0)
		return failure_set(o->why, EXIT_IO, -result, "opening");
	while ((result = walk_next(walk, &batch, &place)) == 1) {
		result = take_batch(o, &batch);
		if (result == -EBADMSG) {
			place = (struct walk_place){
				.record = batch.header.record,
				.last_record = batch.header.record + batch.header.count - 1,
				.offset = batch.offset,
				.segment_index = o->set.list[batch.position].index
			};
			snprintf(place.what, sizeof(place.what), "does not follow from its stream");
			result = damage_at(o, &place);
			goto out;
		}
		if (result != 0) {
			result = failure_set(o->why, EXIT_IO, -result, "opening");
			goto out;
		}
	}
	o->next = walk_record(walk);
	if (walk_claim(walk) > o->claim)
		o->claim = walk_claim(walk);
	if (result < 0)
		result = opening_unreadable(o, result, place.what);
	else if (o->next <= (MUTANT(8) ? walk_claim(walk) : o->claim))
		result = damage_at(o, &place);
out:
	walk_destroy(walk);
	return result;
}

/* The last segment that holds records is checked in full also when the snapshot covers it. */
static int check_last_covered(struct opening *o)
{
	struct walk_batch batch;
	struct walk_place place = { 0 };
	struct walk *walk;
	uint32_t at = o->set.count;
	int result;

	if (!o->snapshot.valid || o->next != o->snapshot.header.record + 1)
		return 0;
	while (at > 0) {
		const struct segment *segment = &o->set.list[--at];

		if (segment->index <= opening_covered(o) && segment->first != 0 &&
		    segment->first < o->next && segment->first < segments_bound(&o->set, at))
			break;
		if (at == 0)
			return 0;
	}
	if (o->set.count == 0)
		return 0;
	result = walk_create(&o->set, o->set.list[at].first, o->set.list[at].index - 1, &walk);
	if (result != 0)
		return failure_set(o->why, EXIT_IO, -result, "opening");
	while (walk_record(walk) < o->next && (result = walk_next(walk, &batch, &place)) == 1)
		o->live_end[batch.position] = batch.end;
	if (walk_record(walk) < o->next)
		result = result < 0 ? opening_unreadable(o, result, place.what)
				    : damage_at(o, &place);
	else
		result = 0;
	walk_destroy(walk);
	return result;
}

/* What was read may only have been in the page cache of a killed server's kernel: make it durable, and go by what was read before
 * (a flush that fails may leave good-looking pages). */
static int flush_sources(struct opening *o)
{
	for (uint32_t i = 0; i < o->set.count; i++) {
		char name[SEGMENT_NAME_SIZE];
		int error;

		if (!o->dirty[i] || MUTANT(29))
			continue;
		error = segment_open(&o->set, &o->set.list[i]);
		if (error == 0)
			error = file_flush(o->set.list[i].file);
		segment_leave(&o->set, &o->set.list[i]);
		if (error == 0)
			continue;
		segment_name(o->set.list[i].index, name);
		return failure_set(o->why, EXIT_IO, -error, "journal %s: flush segment %s",
				   o->j->config.path, name);
	}
	return 0;
}

static int recover(struct opening *o)
{
	int error = load_segments(o);

	if (error == 0) {
		choose_id(o);
		error = find_claims(o);
	}
	if (error == 0)
		error = check_headers(o);
	if (error == 0)
		error = check_beginning(o);
	if (error == 0)
		error = load_table(o);
	if (error == 0)
		error = walk_live(o);
	if (error == 0)
		error = check_last_covered(o);
	if (error == 0)
		error = flush_sources(o);
	if (error == 0 && o->first_copied == 0) {
		o->first_copied = o->next;
		copy_table_at_claim(o);
	}
	return error;
}

int open_journal(struct journal *j, struct failure *why)
{
	struct opening o = { .j = j, .why = why };
	int error = opening_lock(&o);

	if (error == 0)
		error = recover(&o);
	if (error == 0)
		error = opening_prepare_store(&o);
	if (error == 0)
		error = opening_make_new_segment(&o);
	if (error == 0)
		error = opening_sort_segments(&o);
	if (error == 0)
		error = opening_finish_snapshots(&o);
	if (error == 0)
		opening_hand_over(&o);
	if (o.set_loaded)
		segments_free(&o.set);
	free(o.snapshot.entries);
	free(o.copies);
	free(o.live_end);
	free(o.dirty);
	free(o.removed);
	if (error != 0)
		opening_unlock(&o);
	return error;
}
