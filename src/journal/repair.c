/* repair: copy what is good into a new journal.
 *
 * Records keep their numbers: in the place of what is lost stands a batch that says so (BATCH_LOST). Streams keep their sequence
 * numbers; where one lost messages it goes on with a recorded gap, and its history checksum begins again there, so that a client that
 * asks finds out. Where one has a number twice it ends (BATCH_FORGET) and begins again. Of a batch with broken frames the others are
 * saved, and one flipped bit in a header is mended.
 *
 * It is one concept, a little above the usual length: what a stream becomes depends on what was lost before it, however that was met. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "clock/clock.h"
#include "journal/beginning.h"
#include "journal/continuity.h"
#include "journal/lock_view.h"
#include "journal/private.h"
#include "journal/repair_out.h"
#include "journal/salvage.h"
#include "journal/verify.h"

struct repair {
	const char *from;
	void (*line)(void *context, const char *text);
	void *context;
	struct failure *why;
	int directory;
	struct lock_view lock;
	struct segments set;
	struct walk *walk;
	struct repair_out *out;
	uint8_t journal_id[16];
	struct stream_map streams; /* as they stand in the new journal */
	struct stream_note *plain; /* as continuity.h */
	/* When the oldest records were given up: the streams' state before the first one that is kept. */
	struct snapshot_entry *seam;
	uint64_t seam_count;
	uint64_t seam_room;
	bool seamless; /* nothing has been lost so far: a stream met in its middle went on from before the seam */
	uint64_t lowest;
	uint64_t claim;
	uint64_t saved;
	uint64_t lost;
};

__attribute__((format(printf, 2, 3))) static void tell(struct repair *r, const char *format, ...)
{
	char text[600];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	r->line(r->context, text);
}

static int failed(struct repair *r, int error, const char *what)
{
	return failure_set(r->why, EXIT_IO, -error, "repair journal %s: %s", r->from, what);
}

static void tell_lost(struct repair *r, const struct walk_place *place, uint64_t last)
{
	char text[WALK_PLACE_TEXT_SIZE];

	tell(r, "lost: %s", walk_place_text(place, last, text));
}

/* --- into the new journal */

/* Up to record `last`, nothing is there. */
static int put_places(struct repair *r, uint64_t last)
{
	while (repair_out_next(r->out) <= last) {
		uint64_t next = repair_out_next(r->out);
		uint64_t count = last - next + 1;
		struct batch_header header = {
			.record = next,
			.stream = stream_id_plain(next),
			.first_seq = 1,
			.count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count,
			.time_ns = clock_realtime_ns(),
			.flags = BATCH_LOST,
		};
		int error = repair_out_batch(r->out, &header, NULL, r->why);

		if (error != 0)
			return error;
		r->lost += header.count;
	}
	return 0;
}

static int put_lost(struct repair *r, uint64_t last)
{
	if (repair_out_next(r->out) <= last)
		r->seamless = false;
	return put_places(r, last);
}

static int add_seam(struct repair *r, const struct snapshot_entry *entry)
{
	if (r->seam_count == r->seam_room) {
		uint64_t room = r->seam_room == 0 ? 256 : r->seam_room * 2;
		struct snapshot_entry *larger = reallocarray(r->seam, room, sizeof(*larger));

		if (larger == NULL)
			return -ENOMEM;
		r->seam = larger;
		r->seam_room = room;
	}
	r->seam[r->seam_count++] = *entry;
	return 0;
}

static struct stream_note *note_of(struct repair *r, const struct stream_id *id)
{
	struct stream_note *note;

	if (!stream_id_is_plain(id))
		return stream_map_take(&r->streams, id);
	note = &r->plain[get_u64(id->bytes + 8) % PLAIN_NOTES];
	if (note->now.last_seq == 0 || !stream_id_equal(&note->now.stream, id))
		*note = (struct stream_note){ .now.stream = *id };
	return note;
}

/* A stream that is not known is met in its middle: its last number was `last`. 1: it goes on from before the seam; 0: what went before is
 * lost; -ENOMEM. */
static int meet_in_middle(struct repair *r, struct stream_note *note, const struct batch_header *h,
			  uint64_t last)
{
	if (stream_id_is_plain(&h->stream)) {
		note->now.h = h->h_before;
		return r->seamless;
	}
	if (!r->seamless || r->lowest <= 1)
		return 0;
	note->now.h = h->h_before;
	note->now.last_seq = last;
	note->now.record = r->lowest - 1;
	note->now.writer = h->writer;
	note->now.time_ns = h->time_ns;
	note->now.flags = h->flags & BATCH_EPHEMERAL;
	return add_seam(r, &note->now) == 0 ? 1 : -ENOMEM;
}

/* The stream has this number already; where a segment is missing, what it had taken over is there again. Which one was acknowledged is not
 * known, so both are kept: the stream ends here, and begins again. */
static int end_stream(struct repair *r, const struct stream_note *note,
		      const struct batch_header *h)
{
	char text[STREAM_TEXT_SIZE];
	struct batch_header end = {
		.record = h->record,
		.stream = h->stream,
		.time_ns = h->time_ns,
		.flags = BATCH_FORGET,
	};

	tell(r, "record %" PRIu64 ": stream %s begins again at number %" PRIu64 ", it had %" PRIu64,
	     h->record, stream_text(&h->stream, text), h->first_seq, note->now.last_seq);
	return stream_id_is_plain(&h->stream) ? 0 : repair_out_batch(r->out, &end, NULL, r->why);
}

/* How the run in `h` follows what the new journal has of its stream: sets gap and h_before. 0 or -errno with *why. */
static int link_run(struct repair *r, struct stream_note *note, struct batch_header *h)
{
	uint64_t last = note->forgotten ? 0 : note->now.last_seq;
	bool gap = (h->flags & BATCH_GAP) != 0;
	uint64_t before = gap ? h->gap_last : h->first_seq - 1;
	int result;

	/* The server had forgotten it; nothing on the disk says so but this. */
	if (before == 0 &&
	    ((note->now.flags & BATCH_EPHEMERAL) != 0 || note->now.record < r->lowest))
		last = 0;
	if (last == 0 && before > 0 && !note->forgotten) {
		result = meet_in_middle(r, note, h, before);
		if (result < 0)
			return failed(r, result, "copy");
		if (result == 1)
			last = before;
	}
	if (h->first_seq <= last) {
		result = end_stream(r, note, h);
		if (result != 0)
			return result;
		last = 0;
	}
	h->flags &= ~(uint32_t)BATCH_GAP;
	h->gap_last = 0;
	h->h_before = 0;
	if (!gap && h->first_seq == last + 1) {
		h->h_before = last == 0 ? 0 : note->now.h;
		return 0;
	}
	h->flags |= BATCH_GAP;
	h->gap_last = last;
	return 0;
}

/* `count` good frames of a batch, from its frame `index` on. */
static int put_run(struct repair *r, const struct walk_batch *batch, uint32_t index, uint32_t count,
		   uint32_t at, uint32_t bytes)
{
	struct batch_header h = batch->header;
	struct stream_note *note;
	int result;

	/* A block may stand in its segment twice (a write that went astray): what was found first has been decided. */
	for (; count > 0 && h.record + index < repair_out_next(r->out); index++, count--) {
		uint32_t size = FRAME_HEADER_SIZE + frame_get_header(batch->frames + at).size;

		at += size;
		bytes -= size;
	}
	if (count == 0)
		return 0;
	h.record += index;
	h.first_seq += index;
	h.count = count;
	h.bytes = bytes;
	if (index > 0)
		h.flags &= ~(uint32_t)BATCH_GAP;
	result = put_lost(r, h.record - 1);
	if (result != 0)
		return result;
	note = note_of(r, &h.stream);
	if (note == NULL)
		return failed(r, -ENOMEM, "copy");
	result = link_run(r, note, &h);
	if (result != 0)
		return result;
	h.h_after = h.h_before;
	for (uint32_t i = 0, k = at; i < count; i++) {
		struct frame_header frame = frame_get_header(batch->frames + k);

		h.h_after = history_next(h.h_after, frame.checksum);
		k += FRAME_HEADER_SIZE + frame.size;
	}
	note->now.last_seq = h.first_seq + count - 1;
	note->now.record = h.record + count - 1;
	note->now.h = h.h_after;
	note->now.flags = h.flags & BATCH_EPHEMERAL;
	note->forgotten = false;
	r->saved += count;
	return repair_out_batch(r->out, &h, batch->frames + at, r->why);
}

static int put_batch(struct repair *r, const struct walk_batch *batch)
{
	const struct batch_header *h = &batch->header;
	struct batch_header end = *h;
	struct stream_note *note;
	char records[RECORDS_TEXT_SIZE];

	if ((h->flags & BATCH_LOST) != 0) {
		/* That repair has marked the streams that lost something by it. */
		tell(r, "lost before an earlier repair: %s",
		     records_text(h->record, h->record + h->count - 1, records));
		return put_places(r, h->record + h->count - 1);
	}
	if (h->count > 0)
		return put_run(r, batch, 0, h->count, 0, h->bytes);
	if (batch_is_seal(h))
		return 0;
	note = stream_map_find(&r->streams, &h->stream);
	if (note == NULL || h->record < repair_out_next(r->out))
		return 0;
	note->forgotten = true;
	end.record = repair_out_next(r->out);
	return repair_out_batch(r->out, &end, NULL, r->why);
}

/* --- a batch with broken frames */

static void tell_mended(struct repair *r, uint64_t index, uint64_t offset)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(index, name);
	tell(r, "segment %s offset %" PRIu64 ": one flipped bit in the header mended", name,
	     offset);
}

static void tell_lost_run(struct repair *r, const struct walk_place *bad,
			  const struct walk_batch *batch, const struct salvage_run *run)
{
	struct walk_place place = *bad;

	place.record = batch->header.record + run->index;
	place.last_record = place.record + run->count - 1;
	place.offset = batch->offset + BATCH_HEADER_SIZE + run->at;
	place.bad_record = 0;
	tell_lost(r, &place, 0);
}

static int save_frames(struct repair *r, const struct walk_batch *batch,
		       const struct walk_place *bad)
{
	const struct batch_header *h = &batch->header;
	struct salvage salvage;
	struct salvage_run run;
	int error = 0;
	int more;

	salvage_begin(&salvage, h, batch->frames, batch->frames_size);
	while (error == 0 && (more = salvage_next(&salvage, &run)) != 0) {
		if (more < 0)
			error = failed(r, more, "copy");
		else if (run.good)
			error = put_run(r, batch, run.index, run.count, run.at, run.bytes);
		else
			tell_lost_run(r, bad, batch, &run);
	}
	salvage_end(&salvage);
	return error == 0 ? put_lost(r, h->record + h->count - 1) : error;
}

/* --- the walk */

/* D, and every f, as far as the disk can be read. */
static void search_claims(struct repair *r)
{
	for (uint32_t i = 0; i < r->set.count; i++) {
		struct segment *s = &r->set.list[i];

		if (!s->searched)
			(void)segment_search(&r->set, s, 0);
		s->searched = true; /* or not to be had */
		segment_leave(&r->set, s);
		if (s->claim > r->claim)
			r->claim = s->claim;
	}
}

/* The walk has stopped at `place`. 1: it goes on behind; 0: the end; -errno. */
static int pass_bad_place(struct repair *r, const struct walk_place *place, bool unreadable)
{
	struct walk_batch broken;
	uint64_t next;
	int error;
	int more;

	if (walk_claim(r->walk) > r->claim)
		r->claim = walk_claim(r->walk);
	if (place->record > r->claim && !unreadable)
		return 0; /* the end: nobody was promised what stands there */
	if (walk_broken(r->walk, &broken)) {
		if (broken.mended)
			tell_mended(r, place->segment_index, broken.offset);
		error = save_frames(r, &broken, place);
		walk_pass_broken(r->walk);
		return error == 0 ? 1 : error;
	}
	more = walk_resync(r->walk);
	next = more == 1 ? walk_record(r->walk) : r->claim + 1;
	if (next > place->record)
		tell_lost(r, place, next - 1);
	error = put_lost(r, next - 1);
	return error != 0 ? error : more;
}

static int walk_all(struct repair *r)
{
	struct walk_batch batch;
	struct walk_place place;
	int result = 1;

	while (result == 1) {
		result = walk_next(r->walk, &batch, &place);
		if (result == 1) {
			if (batch.mended)
				tell_mended(r, r->set.list[batch.position].index, batch.offset);
			result = put_batch(r, &batch);
			result = result == 0 ? 1 : result;
		} else if (result == 0 || result == -EIO) {
			result = pass_bad_place(r, &place, result == -EIO);
		} else {
			return failed(r, result, place.what);
		}
	}
	return result;
}

/* --- the beginning */

static const char *const snapshot_names[] = { NAME_SNAPSHOT, NAME_SNAPSHOT_OLD };

/* The journal is the one that most segments belong to. What is of another one is none of ours, segments and snapshots alike. */
static void choose_id(struct repair *r, struct snapshot_file snapshots[2])
{
	uint32_t votes = 0;
	bool known = false;

	for (uint32_t i = 0; i < r->set.count; i++) {
		const struct segment *s = &r->set.list[i];

		if (s->header_fault != FORMAT_OK)
			continue;
		if (votes == 0)
			memcpy(r->journal_id, s->header.journal_id, 16);
		known = true;
		if (memcmp(r->journal_id, s->header.journal_id, 16) == 0)
			votes++;
		else
			votes--;
	}
	for (uint32_t i = 0; i < r->set.count; i++) {
		const struct segment *s = &r->set.list[i];
		char name[SEGMENT_NAME_SIZE];

		if (s->header_fault != FORMAT_OK ||
		    memcmp(r->journal_id, s->header.journal_id, 16) == 0)
			continue;
		segment_name(s->index, name);
		tell(r, "left out: segment %s: belongs to another journal", name);
		segments_leave_out(&r->set, i);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!snapshots[i].valid)
			continue;
		if (!known)
			memcpy(r->journal_id, snapshots[i].header.journal_id, 16);
		known = true;
		if (memcmp(r->journal_id, snapshots[i].header.journal_id, 16) == 0)
			continue;
		tell(r, "left out: %s: belongs to another journal", snapshot_names[i]);
		snapshots[i].valid = false;
	}
	if (!known)
		random_bytes(r->journal_id, 16);
}

/* The streams' state before the first kept record, as far as a snapshot has it: one of that very place, else those of its entries that
 * are older. */
static int seed(struct repair *r, const struct snapshot_file *snapshot)
{
	for (uint64_t i = 0; i < snapshot->header.count; i++) {
		struct snapshot_entry entry;
		struct stream_note *note;

		snapshot_entry_decode(snapshot->entries + i * SNAPSHOT_ENTRY_SIZE, &entry);
		if (!snapshot_entry_makes_sense(&entry, snapshot->header.record) ||
		    entry.record >= r->lowest ||
		    stream_map_find(&r->streams, &entry.stream) != NULL)
			continue; /* opening would refuse what makes no sense */
		note = stream_map_take(&r->streams, &entry.stream);
		if (note == NULL || add_seam(r, &entry) != 0)
			return -ENOMEM;
		note->now = entry;
	}
	return 0;
}

/* Where the new journal begins, and with which streams. */
static int begin_out(struct repair *r, const char *to, struct snapshot_file snapshots[2])
{
	struct beginning begin;
	const struct snapshot_file *best = NULL;
	uint64_t first = 1;
	uint64_t covered;
	char records[RECORDS_TEXT_SIZE];
	int error;

	for (uint32_t i = 0; i < r->set.count; i++)
		if (r->set.list[i].mended)
			tell_mended(r, r->set.list[i].index, 0);
	choose_id(r, snapshots);
	for (unsigned i = 0; i < 2; i++) {
		if (!snapshots[i].valid)
			continue;
		if (snapshots[i].header.record > r->claim)
			r->claim = snapshots[i].header.record;
		if (best == NULL || snapshots[i].header.record > best->header.record)
			best = &snapshots[i];
	}
	covered = best != NULL ? best->header.record : 0;
	search_claims(r);
	error = beginning_find(&r->set, &begin);
	if (error != 0)
		return failed(r, error, "read its snapshots");
	r->lowest = begin.lowest != 0 ? begin.lowest : covered + 1;
	r->seamless = covered >= r->lowest - 1;
	if (r->seamless)
		first = r->lowest;
	for (unsigned i = 0; i < 2; i++)
		if (snapshots[i].valid && snapshots[i].header.record == r->lowest - 1)
			best = &snapshots[i];
	if (first > 1 && seed(r, best) != 0)
		return failed(r, -ENOMEM, "copy");
	error = repair_out_create(to, r->journal_id, first, &r->out, r->why);
	if (error != 0)
		return error;
	if (begin.place.what[0] != '\0')
		tell_lost(r, &begin.place, 0);
	else if (!r->seamless) /* only a snapshot of another journal covers them */
		tell(r, "lost: %s", records_text(1, r->lowest - 1, records));
	error = put_lost(r, r->lowest - 1);
	if (error != 0)
		return error;
	error = walk_create(&r->set, r->lowest, 0, &r->walk);
	return error == 0 ? 0 : failed(r, error, "copy");
}

/* FROM is not touched, so the new journal is made neither in it nor in its place. */
static int check_to(struct repair *r, const char *to)
{
	int within = file_is_within(to, r->from);

	if (within == 1)
		return failure_set(r->why, EXIT_CREATE, 0,
				   "make journal %s: it would be inside %s, which is not touched",
				   to, r->from);
	return 0; /* whatever else is wrong with it is told when it is made */
}

static int open_from(struct repair *r)
{
	int error = file_open_directory(r->from, &r->directory);
	int taken;

	if (error != 0) {
		r->directory = -1;
		return failure_set(r->why, error == -EIO ? EXIT_IO : EXIT_NO_INPUT, -error,
				   "journal %s", r->from);
	}
	error = lock_view_open(&r->lock, r->directory);
	if (error != 0)
		return failed(r, error, "open its lock file");
	taken = lock_view_take(&r->lock);
	if (taken < 0)
		return failed(r, taken, "take its lock");
	if (taken == 0 && !r->lock.refused)
		return failure_set(r->why, EXIT_CREATE, 0, "journal %s: in use by process %" PRIu64,
				   r->from, lock_view_holder(&r->lock));
	error = segments_load_salvage(r->directory, &r->set, r->why);
	if (error != 0)
		return error;
	if (r->set.count == 0 && r->lock.file < 0)
		return failure_set(r->why, EXIT_NO_INPUT, 0, "journal %s: no journal is there",
				   r->from);
	r->claim = lock_view_number(&r->lock);
	r->plain = calloc(PLAIN_NOTES, sizeof(*r->plain));
	if (r->plain == NULL || stream_map_init(&r->streams) != 0)
		return failed(r, -ENOMEM, "copy");
	return 0;
}

static int finish(struct repair *r)
{
	uint8_t *entries = malloc(r->seam_count * SNAPSHOT_ENTRY_SIZE + 1);
	int error;

	if (entries == NULL)
		return failed(r, -ENOMEM, "copy");
	for (uint64_t i = 0; i < r->seam_count; i++)
		snapshot_entry_encode(entries + i * SNAPSHOT_ENTRY_SIZE, &r->seam[i]);
	error = repair_out_finish(r->out, entries, r->seam_count, r->why);
	free(entries);
	if (error == 0)
		tell(r, "%" PRIu64 " record%s saved, %" PRIu64 " lost", r->saved,
		     r->saved == 1 ? "" : "s", r->lost);
	return error;
}

static int copy_all(struct repair *r, const char *to)
{
	struct snapshot_file snapshots[2] = { 0 };
	int error = snapshot_read(r->directory, snapshot_names[0], &snapshots[0]);

	if (error == 0 || error == -EIO) /* one that cannot be read is as good as none */
		error = snapshot_read(r->directory, snapshot_names[1], &snapshots[1]);
	if (error == 0 || error == -EIO)
		error = begin_out(r, to, snapshots);
	else
		failed(r, error, "read its snapshots");
	if (error == 0)
		error = walk_all(r);
	if (error == 0)
		error = finish(r);
	free(snapshots[0].entries);
	free(snapshots[1].entries);
	return error;
}

int journal_repair(const char *from, const char *to, void (*line)(void *context, const char *text),
		   void *context, struct failure *why)
{
	struct repair r = {
		.from = from, .line = line, .context = context, .why = why, .directory = -1
	};
	int error;

	r.lock.file = -1;
	r.set.directory = -1;
	error = open_from(&r);
	if (error == 0)
		error = check_to(&r, to);
	if (error == 0)
		error = copy_all(&r, to);
	repair_out_destroy(r.out);
	walk_destroy(r.walk);
	stream_map_deinit(&r.streams);
	free(r.plain);
	free(r.seam);
	segments_free(&r.set);
	lock_view_give(&r.lock);
	lock_view_close(&r.lock);
	if (r.directory >= 0)
		file_close(r.directory);
	return error;
}
