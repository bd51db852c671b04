/* Reading a journal, also beside a running server (J11).
 *
 * A record is shown when it is found valid by the walk and is known durable: `vouched` is the highest record number that the lock file's
 * number or a batch header has claimed. The number speaks of the journal as it is now, so it only counts together with a set of segments
 * that was listed after it was read (a server that was started anew may have made a segment that takes records over).
 *
 *      found valid, <= vouched          show
 *      found valid, above               no server: take the lock shared, list and read again, flush, show. A server: wait
 *      not found,   <= vouched          list and read again, twice; still not there: damage, behind the good frames of its batch
 *      not found,   above               no server: search the rest for claims, then it is the end. A server: wait
 *
 * It is one concept, a little above the usual length: each of these cases is a few lines, and they only make sense side by side. */
#include "journal/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/mutant.h"
#include "clock/clock.h"
#include "journal/beginning.h"
#include "journal/lock_view.h"
#include "journal/walk.h"

/* How often a reader that waits looks whether its server is gone, or the lock file another one: this tells of a killed server's
 * unacknowledged rest only, so seldom; where there is no number yet everything else depends on it. */
#define RECHECK_NS SECOND_NS
#define RECHECK_NUMBERLESS_NS (40 * MS_NS)

enum missing_stage {
	MISSING_NEW,      /* not looked at again yet */
	MISSING_READ,     /* read again, begun after the claim was read; listed again if there is a new segment */
	MISSING_LISTED,   /* every segment opened and read again */
	MISSING_SEARCHED, /* ... and searched for its f */
};

struct reader {
	char *path;
	int directory;
	struct lock_view lock;
	struct segments set;
	bool set_loaded;
	struct beginning begin; /* as it was when the reader was opened */
	struct walk *walk;
	uint64_t next;  /* the record that comes next */
	uint64_t first; /* the first one to show: those before it are only passed over */
	uint64_t vouched;
	struct walk_batch batch; /* while `holding`: its records from `index` on are still to be shown */
	bool holding;
	uint32_t index;
	uint32_t frame_at;
	bool broken; /* the batch is damaged, and `broken_place` says where; it holds what is good in front of that */
	struct walk_place broken_place;
	uint64_t batch_reads;     /* the walk's count of reads when it gave the batch ... */
	uint64_t flushed_reads;   /* ... and up to which a flush by this reader, under its lock, has come after them */
	enum missing_stage stage; /* of the record stage_record */
	uint64_t stage_record;
	bool idle;            /* reader_next has returned 0, and would again unless something changes: */
	uint64_t idle_number; /* the lock file's number ... */
	bool idle_held;       /* ... or that a server holds the lock */
	uint64_t recheck_ns;
	uint64_t last_index; /* of the segment that the last batch stood in, 0: none yet */
	int final;           /* an error after which nothing is shown any more: damage, or a flush that has failed. 0: none */
	struct failure final_why;
};

static int io_failure(const struct reader *r, struct failure *why, int error, const char *what)
{
	return failure_set(why, EXIT_IO, -error, "journal %s: %s", r->path, what);
}

static int unreadable(const struct reader *r, struct failure *why, int error,
		      struct walk_place *place)
{
	char text[WALK_PLACE_TEXT_SIZE];

	failure_set(why, EXIT_IO, 0, "journal %s: %s", r->path,
		    walk_place_text(place, 0, text));
	why->error = -error;
	return error;
}

static int damage_at(struct reader *r, struct failure *why, const struct walk_place *place,
		     uint64_t last)
{
	char text[WALK_PLACE_TEXT_SIZE];

	failure_set(&r->final_why, EXIT_DATA, 0, "journal %s is damaged: %s", r->path,
		    walk_place_text(place, last, text));
	r->final = -EBADMSG;
	*why = r->final_why;
	return r->final;
}

/* Everything that the record number `number` is known by. */
static void vouch(struct reader *r, uint64_t number)
{
	if (number > r->vouched)
		r->vouched = number;
}

static void stop_walk(struct reader *r)
{
	walk_destroy(r->walk);
	r->walk = NULL;
	r->holding = false;
	r->broken = false;
	r->batch_reads = 0;
	r->flushed_reads = 0;
}

enum reload {
	RELOAD_NEWEST, /* believe what is known of older segments */
	RELOAD_QUICK,  /* read all headers again; see struct segments for quick */
	RELOAD_FULL,
};

/* List the segments anew, and begin to walk at the next record to show. 0 or -errno with *why: then the reader stands where it stood. */
static int reload(struct reader *r, enum reload how, struct failure *why)
{
	struct segments set;
	struct walk *walk;
	bool quick = how == RELOAD_QUICK || (how == RELOAD_NEWEST && r->set.quick);
	int error = walk_create(&r->set, r->next, 0, &walk);

	if (error != 0)
		return io_failure(r, why, error, "read");
	error = how == RELOAD_NEWEST && r->set_loaded ? segments_load_again(&r->set, &set, why)
						      : segments_load(r->directory, &set, why);
	if (error != 0) {
		walk_destroy(walk);
		return error;
	}
	set.quick = quick;
	stop_walk(r);
	if (r->set_loaded)
		segments_free(&r->set);
	r->set = set;
	r->set_loaded = true;
	for (uint32_t i = 0; MUTANT(227) && i < set.count; i++)
		vouch(r, set.list[i].first != 0 ? set.list[i].first - 1 : 0);
	r->walk = walk;
	return 0;
}

/* Take the lock file's number as vouched for; 1 when that told something new, 0, or -errno with *why. */
static int take_number(struct reader *r, struct failure *why)
{
	uint64_t number = lock_view_number(&r->lock);
	int changed;

	r->idle_number = number;
	if (number <= r->vouched)
		return 0;
	changed = segments_changed(&r->set); /* begun after the number was read */
	if (changed == 0 || changed == 1)
		changed = changed ? reload(r, RELOAD_NEWEST, why) : 0;
	else
		return io_failure(r, why, changed, "list its directory");
	if (changed < 0)
		return changed;
	vouch(r, number);
	return 1;
}

/* There is no lock file, or a server is just making it. */
static bool is_numberless(const struct reader *r)
{
	return r->lock.memory == NULL;
}

static uint64_t recheck_time(const struct reader *r)
{
	return clock_monotonic_ns() + (is_numberless(r) ? RECHECK_NUMBERLESS_NS : RECHECK_NS);
}

static int wait_here(struct reader *r, bool held)
{
	r->idle = true;
	r->idle_held = held;
	r->recheck_ns = recheck_time(r);
	return 0;
}

/* Take the lock, and read again what was read without it. 1: go on; 0: a server has it, wait; -errno with *why. */
static int lock_and_reload(struct reader *r, struct failure *why)
{
	int taken = lock_view_take(&r->lock);

	if (taken < 0)
		return io_failure(r, why, taken, "take its lock");
	if (taken == 0)
		return wait_here(r, true);
	taken = reload(r, RELOAD_FULL, why);
	return taken < 0 ? taken : 1;
}

/* A record has been found that nothing vouches for yet. 1: look again; 0: wait; -errno with *why. */
static int vouch_for(struct reader *r, struct failure *why)
{
	uint64_t before = r->vouched;
	int result = take_number(r, why);

	if (result != 0)
		return result;
	vouch(r, walk_claim(r->walk));
	if (r->vouched > before)
		return 1;
	if (!r->lock.taken && !MUTANT(127))
		return lock_and_reload(r, why);
	/* What was read under the lock is on the disk once a flush that came after has succeeded. Never tried twice (J2). */
	result = segment_open(&r->set, &r->set.list[r->batch.position]);
	if (result != 0)
		return io_failure(r, why, result, "open a segment");
	result = file_flush(r->set.list[r->batch.position].file);
	if (result != 0) {
		r->final = io_failure(r, &r->final_why, result, "flush");
		*why = r->final_why;
		return r->final;
	}
	r->flushed_reads = MUTANT(27) ? UINT64_MAX : r->batch_reads;
	return 1;
}

/* D, with no server running: what stands behind the place where the walk has ended, to the end of everything. */
static int search_claims(struct reader *r, struct failure *why)
{
	uint32_t position = walk_position(r->walk);
	uint32_t i = position < r->set.count ? position : 0;

	for (; i < r->set.count; i++) {
		struct segment *s = &r->set.list[i];
		int error = 0;

		if (!s->searched)
			error = segment_search(&r->set, s,
					       i == position ? walk_offset(r->walk) : 0);
		segment_leave(&r->set, s);
		if (error != 0) {
			struct walk_place place = { .record = r->next,
						    .last_record = r->next,
						    .segment_index = s->index,
						    .offset = s->error_offset };

			snprintf(place.what, sizeof(place.what), "%s", strerror(-error));
			return unreadable(r, why, error, &place);
		}
		vouch(r, s->claim);
	}
	return 0;
}

/* It is damage; the walk still holds what its last read, begun after the claim was read, has found. Of a batch the frames before the first
 * bad one are shown first, as far as they are vouched for: 1. Else -EBADMSG. */
static int damaged_here(struct reader *r, const struct walk_place *place, struct failure *why)
{
	uint64_t end = place->bad_record < r->vouched + 1 ? place->bad_record : r->vouched + 1;
	uint64_t last = place->last_record;

	if (walk_broken(r->walk, &r->batch) && end > r->next && end > r->batch.header.record) {
		r->batch.header.count = (uint32_t)(end - r->batch.header.record);
		r->holding = true;
		r->index = 0;
		r->frame_at = 0;
		r->broken = true;
		r->broken_place = *place;
		return 1;
	}
	/* How much is missing is known by where it goes on, or else by what was promised. */
	if (walk_resync(r->walk) == 0)
		last = r->vouched > last ? r->vouched : last;
	else if (walk_record(r->walk) > last)
		last = walk_record(r->walk) - 1;
	return damage_at(r, why, place, last);
}

/* If retention has deleted the record meanwhile: go on with the oldest kept. 1: look again; -errno with *why. */
static int skip_deleted(struct reader *r, uint64_t record, struct failure *why)
{
	struct beginning begin;
	int error;

	if (segments_lowest(&r->set) <= record)
		return 1;
	error = beginning_find(&r->set, &begin);
	if (error != 0)
		return begin.place.segment_index != 0
			       ? unreadable(r, why, error, &begin.place)
			       : io_failure(r, why, error, "read its snapshots");
	if (begin.place.what[0] != '\0')
		return r->stage == MISSING_SEARCHED ? damage_at(r, why, &begin.place, 0) : 1;
	if (begin.lowest <= record)
		return 1; /* every f is known only now: it has not been deleted */
	r->next = begin.lowest;
	error = reload(r, RELOAD_NEWEST, why);
	return error == 0 ? 1 : error;
}

/* The record at `place` is not there, though it is durable. 1: look again; -EBADMSG; other -errno. */
static int missing(struct reader *r, const struct walk_place *place, struct failure *why)
{
	uint64_t record = place->record;
	enum missing_stage stage;
	int error;

	if (r->stage_record != record)
		r->stage = MISSING_NEW;
	r->stage_record = record;
	if (r->stage == MISSING_SEARCHED)
		return damaged_here(r, place, why);
	stage = r->stage + 1; /* reached once it has succeeded */
	if (stage == MISSING_READ) {
		error = segments_changed(&r->set);
		if (error == 0) {
			r->stage = stage;
			walk_retry(r->walk);
			return 1;
		}
		if (error < 0)
			return io_failure(r, why, error, "list its directory");
		error = reload(r, RELOAD_NEWEST, why);
	} else {
		bool quick = stage == MISSING_LISTED && !r->lock.taken;

		error = reload(r, quick ? RELOAD_QUICK : RELOAD_FULL, why);
	}
	if (error != 0)
		return error;
	r->stage = stage;
	return skip_deleted(r, record, why);
}

/* The walk has not found its next record. 1: look again; 0: nothing more for now; -errno with *why. */
static int not_found(struct reader *r, const struct walk_place *place, struct failure *why)
{
	uint64_t number = lock_view_number(&r->lock);
	struct walk_place gone;
	int result;

	vouch(r, walk_claim(r->walk));
	r->idle_number = number;
	if (place->record <= r->vouched || place->record <= number) {
		result = missing(r, place, why);
		if (result == 1)
			vouch(r, number); /* the set has been listed since it was read */
		return result;
	}
	if (!r->lock.taken)
		return lock_and_reload(r, why);
	result = search_claims(r, why);
	if (result != 0)
		return result;
	if (place->record <= r->vouched)
		return missing(r, place, why);
	/* A bad header with nothing behind it: whatever the segment held would be lost quietly. */
	if (place->position < r->set.count &&
	    r->set.list[place->position].header_fault != FORMAT_OK)
		return damage_at(r, why, place, 0);
	if (beginning_lacks_newest(&r->set, &r->begin, place->record, &gone))
		return damage_at(r, why, &gone, 0);
	return wait_here(r, false);
}

static bool may_show(const struct reader *r, uint64_t number)
{
	return number <= r->vouched ||
	       ((r->lock.taken || MUTANT(127)) && r->batch_reads <= r->flushed_reads);
}

/* The record at the reader's place in its batch; its frames have been checked. */
static void show(struct reader *r, struct record *ret)
{
	const struct batch_header *h = &r->batch.header;
	struct frame_header frame = frame_get_header(r->batch.frames + r->frame_at);

	*ret = (struct record){
		.number = h->record + r->index,
		.stream = h->stream,
		.seq = h->first_seq + r->index,
		.time_ns = h->time_ns,
		.peer = h->peer,
		.protocol = h->protocol,
		.gap = (h->flags & BATCH_GAP) != 0 && r->index == 0,
		.payload = r->batch.frames + r->frame_at + FRAME_HEADER_SIZE,
		.size = frame.size,
	};
	if (ret->gap)
		ret->gap_last = h->gap_last;
	r->index++;
	r->frame_at += FRAME_HEADER_SIZE + frame.size;
	r->next = ret->number + 1;
}

/* Pass over what stands before the record to show. False when the batch is used up. */
static bool find_in_batch(struct reader *r)
{
	const struct batch_header *h = &r->batch.header;

	while (r->index < h->count && h->record + r->index < r->next) {
		r->frame_at +=
			FRAME_HEADER_SIZE + frame_get_header(r->batch.frames + r->frame_at).size;
		r->index++;
	}
	r->holding = r->index < h->count;
	return r->holding;
}

/* The reader waits: is there anything that could have changed? Costs no system call most of the time. */
static int wake(struct reader *r, struct failure *why)
{
	bool awake = lock_view_number(&r->lock) != r->idle_number;
	int result;

	if (!awake && clock_monotonic_ns() < r->recheck_ns)
		return 0;
	if (!awake) {
		r->recheck_ns = recheck_time(r);
		result = r->lock.taken ? 0 : lock_view_renew(&r->lock);
		if (result == 0 && r->idle_held) {
			result = lock_view_take(&r->lock); /* our server is gone */
			lock_view_give(&r->lock);
		}
		if (result == 0 && is_numberless(r))
			result = segments_changed(&r->set);
		if (result < 0)
			return io_failure(r, why, result, "look for its server");
		awake = result != 0;
	}
	if (awake) {
		r->idle = false;
		r->stage = MISSING_NEW;
		if (!r->holding)
			walk_retry(r->walk);
	}
	return awake;
}

/* The walk has met a batch. What a repair has marked as lost is passed over; so is a seal. */
static void take(struct reader *r)
{
	const struct batch_header *h = &r->batch.header;

	r->holding = h->count > 0 && (h->flags & BATCH_LOST) == 0;
	if (!r->holding && h->count > 0 && h->record + h->count > r->next)
		r->next = h->record + h->count;
	r->index = 0;
	r->frame_at = 0;
	r->batch_reads = walk_reads(r->walk);
	vouch(r, walk_claim(r->walk));
}

/* Has the walk got past a segment with a bad header that may have held records? Then what a lower segment showed of them may be
 * dead. 1: no; -EBADMSG. */
static int pass_headers(struct reader *r, struct failure *why)
{
	uint64_t index = r->set.list[r->batch.position].index;

	for (uint32_t i = 0; i < r->batch.position && index != r->last_index; i++) {
		const struct segment *s = &r->set.list[i];
		struct walk_place place = { .record = s->doubt,
					    .last_record = s->doubt,
					    .segment_index = s->index };

		if (s->header_fault == FORMAT_OK || r->last_index == 0 ||
		    s->index <= r->last_index || segments_bound(&r->set, i) <= s->doubt)
			continue;
		snprintf(place.what, sizeof(place.what), "segment header: %s",
			 format_fault_text(s->header_fault));
		return damage_at(r, why, &place, 0);
	}
	r->last_index = index;
	return 1;
}

int reader_next(struct reader *r, struct record *ret, struct failure *why)
{
	struct walk_place place;
	int result = 1;

	if (r->final != 0) {
		*why = r->final_why;
		return r->final;
	}
	if (r->idle)
		result = wake(r, why);
	while (result == 1) {
		if (r->holding && find_in_batch(r)) {
			if (!may_show(r, r->next)) {
				result = vouch_for(r, why);
				continue;
			}
			if (r->next <= r->vouched)
				lock_view_give(&r->lock);
			show(r, ret);
			if (ret->number < r->first)
				continue;
			return 1;
		}
		if (r->broken)
			return damage_at(r, why, &r->broken_place, 0);
		result = walk_next(r->walk, &r->batch, &place);
		if (result == 1) {
			take(r);
			result = pass_headers(r, why);
		} else if (result == 0) {
			result = not_found(r, &place, why);
		} else {
			return unreadable(r, why, result, &place);
		}
	}
	return result;
}

void reader_release(struct reader *r)
{
	lock_view_give(&r->lock);
	/* What is held in memory above `vouched` is read again, under the lock, before it is shown. */
	r->flushed_reads = 0;
}

/* --- opening */

/* Does a server hold the journal now? 1, 0 or -errno with *why. */
static int is_held(struct reader *r, struct failure *why)
{
	int taken = lock_view_take(&r->lock);

	lock_view_give(&r->lock);
	return taken < 0 ? io_failure(r, why, taken, "take its lock") : !taken;
}

/* The number of the last record that may be shown, for "the last n". */
static int find_last(struct reader *r, uint64_t lowest, bool held, uint64_t *ret,
		     struct failure *why)
{
	uint64_t last = lock_view_number(&r->lock);
	uint64_t from = lowest;
	struct walk_place place;
	int result;

	*ret = last;
	if (held && last >= lowest)
		return 0; /* the server says it */
	for (uint32_t i = 0; i < r->set.count; i++)
		if (r->set.list[i].first > from &&
		    r->set.list[i].first < segments_bound(&r->set, i))
			from = r->set.list[i].first;
	if (from > r->vouched + 1) /* what nothing vouches for ends at the first hole, also if that is in an older segment */
		from = r->vouched + 1 > lowest ? r->vouched + 1 : lowest;
	r->next = from;
	result = reload(r, RELOAD_NEWEST, why);
	if (result != 0)
		return result;
	while ((result = walk_next(r->walk, &r->batch, &place)) == 1)
		continue;
	if (result < 0)
		return unreadable(r, why, result, &place);
	if (walk_claim(r->walk) > last)
		last = walk_claim(r->walk);
	if (!held && walk_record(r->walk) > last)
		last = walk_record(r->walk) - 1;
	*ret = last;
	return 0;
}

/* Without a lock file's number nothing vouches for the first records until later headers have been read: look ahead, so that the lock
 * is not held all the time. */
static int look_ahead(struct reader *r, struct failure *why)
{
	struct segment *s = r->set.count > 0 ? &r->set.list[r->set.count - 1] : NULL;
	int error;

	if (s == NULL || r->vouched > 0)
		return 0;
	while (s > r->set.list && s->first == 0)
		s--;
	error = segment_search(&r->set, s, 0);
	if (error != 0)
		return io_failure(r, why, error, "read its last segment");
	vouch(r, s->claim);
	return 0;
}

/* Which record to show first. */
static int choose_first(struct reader *r, int64_t from, struct failure *why)
{
	struct beginning begin;
	uint64_t number = lock_view_number(&r->lock);
	uint64_t last = 0;
	int held = is_held(r, why);
	int error = held < 0 ? held : reload(r, held ? RELOAD_QUICK : RELOAD_FULL, why);

	if (error != 0)
		return error;
	vouch(r, number);
	if (r->set.count == 0 && r->lock.file < 0 && !r->lock.refused)
		return failure_set(why, EXIT_NO_INPUT, 0, "journal %s: no journal is there",
				   r->path);
	error = beginning_find(&r->set, &begin);
	if (error != 0)
		return begin.place.segment_index != 0
			       ? unreadable(r, why, error, &begin.place)
			       : io_failure(r, why, error, "read its snapshots");
	r->begin = begin;
	if (begin.lowest == 0)
		begin.lowest = begin.snapshot + 1;
	vouch(r, begin.snapshot); /* the segments are listed again below */
	error = look_ahead(r, why);
	if (error != 0)
		return error;
	r->next = from > 0 ? (uint64_t)from : 1;
	if (from < 0) {
		uint64_t count = (uint64_t)0 - (uint64_t)from;

		error = find_last(r, begin.lowest, held, &last, why);
		if (error != 0)
			return error;
		r->next = last > count ? last - count + 1 : 1;
	}
	/* What is gone was asked for: was it given up rightly? */
	if ((r->next < begin.lowest || r->begin.lowest == 0) && begin.place.what[0] != '\0')
		return damage_at(r, why, &begin.place, 0);
	/* Above what is vouched for each record stands on all before it, so these are walked over, too. */
	r->first = r->next;
	if (r->next > r->vouched + 1)
		r->next = r->vouched + 1;
	if (r->next < begin.lowest)
		r->next = begin.lowest;
	return reload(r, RELOAD_NEWEST, why);
}

int reader_open(const char *path, int64_t from, struct reader **ret, struct failure *why)
{
	struct reader *r = calloc(1, sizeof(*r));
	int error;

	if (r == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "read journal %s", path);
	r->directory = -1;
	r->lock.file = -1;
	r->next = 1;
	r->path = strdup(path);
	if (r->path == NULL) {
		error = failure_set(why, EXIT_IO, ENOMEM, "read journal %s", path);
		goto close_reader;
	}
	error = file_open_directory(path, &r->directory);
	if (error != 0) {
		r->directory = -1;
		failure_set(why, error == -EIO ? EXIT_IO : EXIT_NO_INPUT, -error, "journal %s",
			    path);
		goto close_reader;
	}
	error = lock_view_open(&r->lock, r->directory);
	if (error != 0) {
		io_failure(r, why, error, "open its lock file");
		goto close_reader;
	}
	error = choose_first(r, from, why);
	if (error != 0)
		goto close_reader;
	*ret = r;
	return 0;

close_reader:
	reader_close(r);
	return error;
}

void reader_close(struct reader *r)
{
	if (r == NULL)
		return;
	stop_walk(r);
	if (r->set_loaded)
		segments_free(&r->set);
	lock_view_give(&r->lock);
	lock_view_close(&r->lock);
	if (r->directory >= 0)
		file_close(r->directory);
	free(r->path);
	free(r);
}
