/* verify: check every byte that is promised, beside a running server too, and say what is damaged and where.
 *
 * The same walk as everybody's; where it stops, and a claim says that the record was durable, verify reports the place and goes on behind
 * it (walk_resync). What the walk does not read (dead parts, tails, spares) is read for claims.
 *
 * It is one concept, a little above the usual length: what is told in lines follows the walk's order, and shares its state. */
#include "journal/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "journal/beginning.h"
#include "journal/continuity.h"
#include "journal/lock_view.h"
#include "journal/private.h"
#include "journal/salvage.h"

enum { RECHECKS_MAX = 2 }; /* a place that is bad is read again, the second time after all headers: a server may be at it */

static const char *const snapshot_names[] = { NAME_SNAPSHOT, NAME_SNAPSHOT_OLD };

struct verify {
	const char *path;
	void (*line)(void *context, const char *text);
	void *context;
	struct failure *why;
	int directory;
	struct lock_view lock;
	struct segments set;
	struct walk *walk;
	struct continuity continuity;
	struct beginning begin;
	struct snapshot_file snapshots[2];
	bool compared[2];
	uint64_t reported_index; /* the last damaged place that was reported: none is reported twice */
	uint64_t reported_offset;
	uint64_t next;  /* the record that comes next */
	uint64_t limit; /* beside a server: what it had promised when verify began; else UINT64_MAX */
	uint64_t claim;
	uint64_t recheck_record;
	unsigned rechecks;
	bool searched; /* all that the walk has not met has been read for claims */
	uint64_t records;
	uint64_t lost;
	unsigned damages;
	/* the segment that the walk is in, and what has been said of it */
	uint64_t index;
	uint64_t end; /* behind the last batch met */
	uint64_t first_record;
	uint64_t last_record;
	unsigned segment_damages;
	uint64_t hole_after;  /* records are missing that may have stood in segments above this index ... */
	uint64_t hole_before; /* ... and below this one */
	bool hole_is_empty;   /* where they are missing stands nothing: what is gone may have been the next segment's */
	uint64_t bad_header;  /* the highest index of a segment whose header has been reported */
	uint64_t told_index;  /* segments up to this one have got their line */
	uint64_t segments;
	uint64_t bytes;
};

__attribute__((format(printf, 2, 3))) static void tell(struct verify *v, const char *format, ...)
{
	char text[600];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	v->line(v->context, text);
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void damage(struct verify *v, const struct walk_place *place, uint64_t last)
{
	char text[WALK_PLACE_TEXT_SIZE];

	tell(v, "damage: %s", walk_place_text(place, last, text));
	v->damages++;
	if (place->segment_index == v->index)
		v->segment_damages++;
	if (place->offset == 0 && place->segment_index > v->bad_header)
		v->bad_header = place->segment_index; /* a batch never stands at 0 */
}

/* The next record stands right behind the bad place: that was a seal, or the end of a stream. */
static void damage_without_loss(struct verify *v, const struct walk_place *place)
{
	struct walk_place here = *place;
	size_t size = strlen(here.what);

	snprintf(here.what + size, sizeof(here.what) - size, "; no record is missing here");
	damage(v, &here, 0);
}

static int unreadable(struct verify *v, int error, const struct walk_place *place)
{
	char text[WALK_PLACE_TEXT_SIZE];

	failure_set(v->why, EXIT_IO, 0, "journal %s: %s", v->path, walk_place_text(place, 0, text));
	v->why->error = -error;
	return error;
}

static int failed(struct verify *v, int error, const char *what)
{
	return failure_set(v->why, EXIT_IO, -error, "journal %s: %s", v->path, what);
}

static void claim(struct verify *v, uint64_t number)
{
	if (number > v->claim)
		v->claim = number;
}

/* --- segments: what the walk has not read is read here, and each gets its line */

static int read_rest(struct verify *v, struct segment *s, uint64_t from)
{
	int error = 0;

	if (!s->searched)
		error = segment_search(&v->set, s, from);
	segment_leave(&v->set, s);
	claim(v, s->claim);
	if (error != 0) {
		char name[SEGMENT_NAME_SIZE];

		segment_name(s->index, name);
		return failure_set(v->why, EXIT_IO, -error,
				   "journal %s: segment %s offset %" PRIu64, v->path, name,
				   s->error_offset);
	}
	return 0;
}

/* Nothing is found in it. That is how a spare looks, and how one looks that has lost all that stood in it. */
static const char *emptiness(const struct verify *v, const struct segment *s)
{
	if (s->index <= v->hole_after || s->index >= v->hole_before)
		return "unused";
	/* A spare, behind a bad place in the last segment that has records. */
	if (!s->written && v->hole_before == UINT64_MAX && !v->hole_is_empty)
		return "unused";
	return "no batch header is whole";
}

static void tell_segment(struct verify *v, const struct segment *s)
{
	char name[SEGMENT_NAME_SIZE];
	char records[RECORDS_TEXT_SIZE];
	const char *what = v->segment_damages > 0 ? "damaged" : "ok";

	segment_name(s->index, name);
	v->segments++;
	v->bytes += s->size;
	if (s->index == v->index && v->first_record != 0)
		tell(v, "%s: %s, %" PRIu64 " bytes, %s", name,
		     records_text(v->first_record, v->last_record, records), s->size, what);
	else if (s->header_fault != FORMAT_OK)
		tell(v, "%s: %" PRIu64 " bytes, segment header: %s", name, s->size,
		     format_fault_text(s->header_fault));
	else if (s->index == v->index)
		tell(v, "%s: no records, %" PRIu64 " bytes, %s", name, s->size, what);
	else
		tell(v, "%s: %" PRIu64 " bytes, %s", name, s->size,
		     s->first != 0 ? "dead" : emptiness(v, s));
}

/* Lines for the segments up to position `end`, which the walk has left. 0 or -errno. */
static int tell_segments(struct verify *v, uint32_t end)
{
	for (uint32_t i = 0; i < end; i++) {
		struct segment *s = &v->set.list[i];
		int error;

		if (s->index <= v->told_index)
			continue;
		error = read_rest(v, s, s->index == v->index ? v->end : 0);
		if (error != 0)
			return error;
		tell_segment(v, s);
		v->told_index = s->index;
	}
	return 0;
}

static int enter(struct verify *v, uint32_t position)
{
	const struct segment *s = &v->set.list[position];
	int error;

	if (s->index == v->index)
		return 0;
	error = tell_segments(v, position);
	v->index = s->index;
	v->end = s->header.block_size;
	v->first_record = 0;
	v->last_record = 0;
	v->segment_damages = 0;
	return error;
}

/* --- snapshots */

/* Opening refuses a snapshot with an entry that makes no sense; there is nothing to compare then. */
static int check_entries(struct verify *v, unsigned which)
{
	const struct snapshot_file *s = &v->snapshots[which];
	char text[CONTINUITY_TEXT_SIZE];
	int result = continuity_check(s->entries, s->header.count, s->header.record, text);

	if (result < 0)
		return failed(v, result, "verify");
	if (result == CONTINUITY_OK)
		return 0;
	tell(v, "damage: %s: %s", snapshot_names[which], text);
	v->damages++;
	v->compared[which] = true;
	return 0;
}

static int load_snapshots(struct verify *v)
{
	for (unsigned i = 0; i < 2; i++) {
		struct snapshot_file *snapshot = &v->snapshots[i];
		int error = snapshot_read(v->directory, snapshot_names[i], snapshot);

		if (error != 0)
			return failed(v, error, snapshot_names[i]);
		if (snapshot->valid &&
		    !(v->limit != UINT64_MAX && snapshot->header.record > v->limit))
			claim(v, snapshot->header.record);
		if (snapshot->present && !snapshot->valid)
			tell(v, "%s: not valid", snapshot_names[i]);
		if (snapshot->valid)
			error = check_entries(v, i);
		if (error != 0)
			return error;
	}
	return 0;
}

/* The walk stands behind record v->next - 1: a snapshot of that place says the same of all streams. */
static int compare_snapshots(struct verify *v, uint64_t lowest)
{
	for (unsigned i = 0; i < 2; i++) {
		struct snapshot_file *s = &v->snapshots[i];
		char text[CONTINUITY_TEXT_SIZE];

		if (!s->valid || v->compared[i] || v->next <= s->header.record)
			continue;
		v->compared[i] = true;
		if (v->next != s->header.record + 1 || s->header.record + 1 < lowest)
			continue;
		if (s->header.record + 1 == lowest && !v->continuity.complete) {
			if (continuity_seed(&v->continuity, s->entries, s->header.count) != 0)
				return failed(v, -ENOMEM, "verify");
			tell(v,
			     "%s: %" PRIu64 " stream%s up to record %" PRIu64
			     ", where the records begin",
			     snapshot_names[i], s->header.count, plural(s->header.count),
			     s->header.record);
			continue;
		}
		if (continuity_compare(&v->continuity, s->entries, s->header.count,
				       s->header.record, text) != CONTINUITY_OK) {
			tell(v, "damage: %s: %s", snapshot_names[i], text);
			v->damages++;
		} else {
			tell(v, "%s: %" PRIu64 " stream%s up to record %" PRIu64 ", ok",
			     snapshot_names[i], s->header.count, plural(s->header.count),
			     s->header.record);
		}
	}
	return 0;
}

/* --- the walk */

static int restart_walk(struct verify *v, bool list_again)
{
	struct segments set;
	int error;

	walk_destroy(v->walk);
	v->walk = NULL;
	if (list_again) {
		error = segments_load(v->directory, &set, v->why);
		if (error != 0)
			return error;
		segments_free(&v->set);
		v->set = set;
	}
	error = walk_create(&v->set, v->next, 0, &v->walk);
	return error == 0 ? 0 : failed(v, error, "verify");
}

/* The batch with these records has been met, good or not. */
static void pass_batch(struct verify *v, const struct batch_header *h)
{
	if (v->first_record == 0)
		v->first_record = h->record;
	v->last_record = h->record + h->count - 1;
	v->next = v->last_record + 1;
}

static int take_batch(struct verify *v, const struct walk_batch *batch, uint64_t lowest)
{
	const struct batch_header *h = &batch->header;
	char text[CONTINUITY_TEXT_SIZE];
	struct walk_place place = { .record = h->record,
				    .last_record = h->record + h->count - 1,
				    .offset = batch->offset };
	int error = enter(v, batch->position);
	int result;

	v->end = batch->end;
	claim(v, h->durable);
	if (error == 0 && h->count == 0)
		return continuity_take(&v->continuity, h, text); /* it moves no record number */
	if (error != 0 || h->record + h->count <= v->next)
		return error;
	error = compare_snapshots(v, lowest);
	if (error != 0)
		return error;
	result = continuity_take(&v->continuity, h, text);
	if (result < 0)
		return failed(v, result, "verify");
	if (result == CONTINUITY_GAP) {
		tell(v, "record %" PRIu64 ": %s", h->record, text);
	} else if (result == CONTINUITY_BROKEN) {
		place.segment_index = v->index;
		snprintf(place.what, sizeof(place.what), "%s", text);
		damage(v, &place, 0);
	}
	if ((h->flags & BATCH_LOST) == 0)
		v->records += h->count;
	pass_batch(v, h);
	return 0;
}

static int search_claims(struct verify *v)
{
	uint32_t position = walk_position(v->walk);

	for (uint32_t i = position < v->set.count ? position : 0; i < v->set.count && !v->searched;
	     i++) {
		int error = read_rest(v, &v->set.list[i], i == position ? walk_offset(v->walk) : 0);

		if (error != 0)
			return error;
	}
	v->searched = true;
	return 0;
}

/* UINT64_MAX where there is no segment. */
static uint64_t index_at(const struct verify *v, uint32_t position)
{
	return position < v->set.count ? v->set.list[position].index : UINT64_MAX;
}

/* A batch whose header is whole: name the frames that are not, and count the others as good. 1 or -errno. */
static int report_frames(struct verify *v, const struct walk_place *bad,
			 const struct walk_batch *batch)
{
	struct salvage salvage;
	struct salvage_run run;
	bool told = false;
	int more;

	salvage_begin(&salvage, &batch->header, batch->frames, batch->frames_size);
	while ((more = salvage_next(&salvage, &run)) == 1) {
		struct walk_place place = *bad;

		place.record = batch->header.record + run.index;
		place.last_record = place.record + run.count - 1;
		place.offset = batch->offset + BATCH_HEADER_SIZE + run.at;
		place.bad_record = 0;
		if (run.good) {
			v->records += run.count;
			continue;
		}
		damage(v, &place, 0);
		v->lost += run.count;
		told = true;
	}
	salvage_end(&salvage);
	if (more < 0)
		return failed(v, more, "verify");
	if (!told)
		damage(v, bad, 0);
	v->end = batch->end;
	v->hole_after = v->index;
	v->hole_before = UINT64_MAX;
	v->hole_is_empty = false;
	pass_batch(v, &batch->header);
	continuity_lost(&v->continuity);
	walk_pass_broken(v->walk);
	return 1;
}

/* It is damage. Report it and go on behind it: 1; 0 when nothing comes any more. */
static int report(struct verify *v, const struct walk_place *place)
{
	struct walk_batch broken;
	uint64_t before = v->next;
	int more;

	if (place->position < v->set.count) {
		int error = enter(v, walk_position(v->walk) < v->set.count ? walk_position(v->walk)
									   : place->position);

		if (error != 0)
			return error;
	}
	if (walk_broken(v->walk, &broken))
		return report_frames(v, place, &broken);
	more = walk_resync(v->walk);
	if (place->segment_index == v->reported_index && place->offset == v->reported_offset &&
	    place->offset != 0)
		return 0; /* met again, and nothing has come behind it */
	v->next = more == 1 ? walk_record(v->walk) : v->claim + 1;
	if (v->next < before)
		v->next = before;
	v->reported_index = place->segment_index;
	v->reported_offset = place->offset;
	v->hole_after = v->index;
	v->hole_before = index_at(v, more == 1 ? walk_position(v->walk) : v->set.count);
	v->hole_is_empty = place->nothing;
	if (v->next > v->limit)
		more = 0;
	if (more == 1 && v->next == before)
		damage_without_loss(v, place);
	else
		damage(v, place, v->next - 1);
	v->lost += v->next > before ? v->next - before : 0;
	continuity_lost(&v->continuity);
	return more;
}

/* Retention has deleted what comes next: go on with the oldest kept. */
static int skip_deleted(struct verify *v, uint64_t *lowest)
{
	struct beginning begin;
	int error;

	if (segments_lowest(&v->set) <= v->next)
		return 0;
	error = beginning_find(&v->set, &begin);
	if (error != 0)
		return unreadable(v, error, &begin.place);
	/* Only now every f is known: nothing may have been deleted after all. */
	if (begin.place.what[0] != '\0' || v->next <= *lowest || begin.lowest <= v->next)
		return 0;
	v->next = begin.lowest;
	*lowest = begin.lowest;
	continuity_lost(&v->continuity);
	return restart_walk(v, false);
}

/* The walk has not found record v->next. 1: go on; 0: the end; -errno. */
static int not_found(struct verify *v, const struct walk_place *place, uint64_t *lowest)
{
	int error = 0;

	/* Begun anew, the walk meets again what has been reported. */
	if (place->record < v->next && walk_resync(v->walk) == 1)
		return 1;
	if (v->limit == UINT64_MAX)
		claim(v, lock_view_number(&v->lock));
	claim(v, walk_claim(v->walk));
	if (v->next > v->claim && v->limit == UINT64_MAX)
		error = search_claims(v);
	if (error != 0)
		return error;
	if (v->next > v->claim || v->next > v->limit)
		return 0;
	if (v->recheck_record != v->next) {
		v->recheck_record = v->next;
		v->rechecks = 0;
	}
	if (v->rechecks++ >= RECHECKS_MAX)
		return report(v, place);
	error = restart_walk(v, v->rechecks == RECHECKS_MAX || segments_changed(&v->set) == 1);
	if (error == 0)
		error = skip_deleted(v, lowest);
	v->searched = false;
	return error == 0 ? 1 : error;
}

static int walk_all(struct verify *v, uint64_t *lowest)
{
	struct walk_batch batch;
	struct walk_place place;
	int result = 1;

	while (result == 1) {
		result = walk_next(v->walk, &batch, &place);
		if (result < 0)
			return unreadable(v, result, &place);
		if (result == 0) {
			result = not_found(v, &place, lowest);
		} else if (v->limit != UINT64_MAX && v->next > v->limit) {
			return 0; /* what comes is a matter of the running server's */
		} else {
			result = take_batch(v, &batch, *lowest);
			result = result < 0 ? result : 1;
		}
	}
	return result;
}

/* --- what is not a matter of the walk */

/* All segments and valid snapshots are of one journal. */
static void check_ids(struct verify *v)
{
	const uint8_t *id = NULL;

	for (uint32_t i = 0; i < v->set.count; i++) {
		const struct segment *s = &v->set.list[i];
		char name[SEGMENT_NAME_SIZE];

		if (s->header_fault != FORMAT_OK)
			continue;
		if (id == NULL)
			id = s->header.journal_id;
		if (memcmp(s->header.journal_id, id, 16) == 0)
			continue;
		segment_name(s->index, name);
		tell(v, "damage: segment %s offset 0: belongs to another journal", name);
		v->damages++;
	}
	for (unsigned i = 0; i < 2; i++) {
		const struct snapshot_file *s = &v->snapshots[i];

		if (!s->valid)
			continue;
		if (id == NULL)
			id = s->header.journal_id;
		if (memcmp(s->header.journal_id, id, 16) == 0)
			continue;
		tell(v, "damage: %s: belongs to another journal", snapshot_names[i]);
		v->damages++;
	}
}

/* A bad header that the walk has got past, or that has nothing behind it: whatever the segment held is lost, and what a lower one holds of
 * it may be dead. */
static void check_last_headers(struct verify *v)
{
	for (uint32_t i = v->set.count; i > 0; i--) {
		const struct segment *s = &v->set.list[i - 1];
		struct walk_place place = { .record = s->index > v->index ? v->next : s->doubt,
					    .segment_index = s->index };

		place.last_record = place.record;
		if (s->header_fault == FORMAT_OK || segments_bound(&v->set, i - 1) <= s->doubt ||
		    s->index <= v->bad_header)
			continue;
		snprintf(place.what, sizeof(place.what), "segment header: %s",
			 format_fault_text(s->header_fault));
		damage(v, &place, 0);
	}
}

/* The segment in which the records begin. */
static uint64_t index_of_first(const struct verify *v, uint64_t lowest)
{
	uint32_t position = 0;

	while (position < v->set.count && v->set.list[position].first != lowest)
		position++;
	return index_at(v, position);
}

/* A server is there, and its lock file says nothing: it is opening, or between two stores. Then what is claimed in headers is promised. */
static int find_limit(struct verify *v)
{
	int error = 0;

	for (uint32_t i = 0; i < v->set.count && error == 0; i++)
		error = read_rest(v, &v->set.list[i], 0);
	v->limit = v->claim;
	return error;
}

static int begin(struct verify *v, uint64_t *ret_lowest)
{
	struct beginning *begin = &v->begin;
	int held = lock_view_take(&v->lock);
	int error;

	lock_view_give(&v->lock);
	if (held < 0)
		return failed(v, held, "take its lock");
	v->limit = held == 0 ? lock_view_number(&v->lock) : UINT64_MAX;
	claim(v, lock_view_number(&v->lock));
	error = segments_load(v->directory, &v->set, v->why);
	if (error == 0 && v->limit == 0)
		error = find_limit(v);
	if (error != 0)
		return error;
	v->set.quick = held == 0;
	if (v->set.count == 0 && v->lock.file < 0 && !v->lock.refused)
		return failure_set(v->why, EXIT_NO_INPUT, 0, "journal %s: no journal is there",
				   v->path);
	error = beginning_find(&v->set, begin);
	if (error != 0)
		return begin->place.segment_index != 0 ? unreadable(v, error, &begin->place)
						       : failed(v, error, "read its snapshots");
	v->next = begin->lowest != 0 ? begin->lowest : begin->snapshot + 1;
	*ret_lowest = v->next;
	if (begin->place.what[0] != '\0') {
		damage(v, &begin->place, 0);
		if (begin->lowest != 0) {
			v->hole_before = index_of_first(v, begin->lowest);
			v->lost += begin->place.last_record - begin->place.record + 1;
		}
	}
	if (continuity_init(&v->continuity, v->next) != 0)
		return failed(v, -ENOMEM, "verify");
	error = load_snapshots(v);
	if (error != 0)
		return error;
	check_ids(v);
	return restart_walk(v, false);
}

static int check_newest(struct verify *v)
{
	struct walk_place place;
	int changed;

	if (!beginning_lacks_newest(&v->set, &v->begin, v->next, &place))
		return 0;
	/* A server may have been started meanwhile, and the snapshot be its. */
	changed = segments_changed(&v->set);
	if (changed < 0)
		return failed(v, changed, "list its directory");
	if (changed == 0)
		damage(v, &place, 0);
	return 0;
}

static int finish(struct verify *v, uint64_t lowest)
{
	int error = compare_snapshots(v, lowest);

	if (error == 0 && v->limit == UINT64_MAX)
		error = check_newest(v);
	if (error == 0 && v->limit == UINT64_MAX)
		check_last_headers(v);
	if (error == 0)
		error = tell_segments(v, v->set.count);
	if (error != 0)
		return error;
	if (v->damages == 0) {
		tell(v,
		     "%" PRIu64 " record%s in %" PRIu64 " segment%s, %" PRIu64 " bytes, no damage",
		     v->records, plural(v->records), v->segments, plural(v->segments), v->bytes);
		return 0;
	}
	failure_set(v->why, EXIT_DATA, 0,
		    "journal %s is damaged: %u place%s, %" PRIu64 " record%s missing; %" PRIu64
		    " good record%s in %" PRIu64 " segment%s",
		    v->path, v->damages, plural(v->damages), v->lost, plural(v->lost), v->records,
		    plural(v->records), v->segments, plural(v->segments));
	return -EBADMSG;
}

int journal_verify(const char *path, void (*line)(void *context, const char *text), void *context,
		   struct failure *why)
{
	struct verify v = { .path = path, .line = line, .context = context, .why = why };
	uint64_t lowest = 1;
	int error = file_open_directory(path, &v.directory);

	if (error != 0)
		return failure_set(why, error == -EIO ? EXIT_IO : EXIT_NO_INPUT, -error,
				   "journal %s", path);
	v.set.directory = -1;
	error = lock_view_open(&v.lock, v.directory);
	if (error != 0)
		failed(&v, error, "open its lock file");
	if (error == 0)
		error = begin(&v, &lowest);
	if (error == 0)
		error = walk_all(&v, &lowest);
	if (error == 0)
		error = finish(&v, lowest);
	walk_destroy(v.walk);
	continuity_deinit(&v.continuity);
	free(v.snapshots[0].entries);
	free(v.snapshots[1].entries);
	segments_free(&v.set);
	lock_view_close(&v.lock);
	file_close(v.directory);
	return error;
}
