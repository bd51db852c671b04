/* The one walk over a journal's records (J3, J4).
 *
 * It stands at a place (segment, offset) and expects a record number there. What is read lies in a window: one aligned piece of the
 * file, which grows to the batch that it must hold whole.
 *
 * It is one concept, a little above the usual length: window, place and batch are one machine.
 *
 *      segment 3  | header | 10 11 12 | 13 14 | dead 15 ... |       bound(3) = 15
 *      segment 4  | header | 15 ...                                 f(4) = 15 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/mutant.h"
#include "journal/walk.h"

enum {
	WINDOW_FIRST = 64 << 10, /* the first read at a place: somebody may be polling the end of a live journal */
	WINDOW_LARGE = 1 << 20,  /* doubling up to this: beyond, reads do not get faster */
};

struct window {
	uint8_t *memory;
	size_t capacity;
	uint64_t start; /* offset in the file */
	size_t size;    /* bytes that are valid; 0: none */
	bool at_end;    /* the file ended there */
	size_t chunk;   /* how much the next read takes, if the file has it */
};

struct walk {
	struct segments *set;
	uint64_t from;
	uint64_t skip_to;
	uint64_t expected;
	uint64_t claim;
	uint64_t bound;  /* of the segment at `position` */
	uint64_t offset; /* the next place in it */
	uint64_t reads;
	uint32_t position;
	bool started;
	bool in_commit; /* a batch of the same commit is expected, directly behind the one before */
	struct window window;
	/* What walk_next has found in the place of the next record. */
	bool broken;          /* a whole header of the expected record, but frames that are wrong */
	bool mended;          /* ... or whole but for one bit */
	uint32_t frames_size; /* how much of the frames is there */
	uint64_t search_at;   /* where walk_resync begins */
	struct batch_header header;
};

int walk_create(struct segments *set, uint64_t from, uint64_t skip_to, struct walk **ret_walk)
{
	struct walk *walk = calloc(1, sizeof(*walk));

	must(from > 0);
	if (walk == NULL)
		return -ENOMEM;
	walk->set = set;
	walk->from = from;
	walk->skip_to = skip_to;
	walk->expected = from;
	walk->window.chunk = WINDOW_FIRST;
	*ret_walk = walk;
	return 0;
}

void walk_destroy(struct walk *walk)
{
	if (walk == NULL)
		return;
	file_memory_free(walk->window.memory, walk->window.capacity);
	free(walk);
}

uint64_t walk_record(const struct walk *walk)
{
	return walk->expected;
}

uint64_t walk_claim(const struct walk *walk)
{
	return walk->claim;
}

uint32_t walk_position(const struct walk *walk)
{
	return walk->started ? walk->position : walk->set->count;
}

uint64_t walk_offset(const struct walk *walk)
{
	return walk->offset;
}

uint64_t walk_reads(const struct walk *walk)
{
	return walk->reads;
}

/* --- the window */

static uint64_t window_unit(const struct walk *walk)
{
	uint64_t unit = walk->set->geometry.offset_alignment;

	return unit > COMMIT_BLOCK_MIN ? unit : COMMIT_BLOCK_MIN;
}

static int window_grow(struct walk *walk, size_t size)
{
	struct window *w = &walk->window;
	uint8_t *memory;

	if (size <= w->capacity)
		return 0;
	memory = file_memory(size, walk->set->geometry.memory_alignment);
	if (memory == NULL)
		return -ENOMEM;
	file_memory_free(w->memory, w->capacity);
	w->memory = memory;
	w->capacity = size;
	w->size = 0;
	return 0;
}

static int64_t window_read(struct walk *walk, uint64_t start, size_t size)
{
	struct window *w = &walk->window;
	int64_t count = window_grow(walk, size);

	if (count < 0)
		return count;
	w->size = 0;
	walk->reads++;
	count = segment_read(walk->set, &walk->set->list[walk->position], w->memory, size, start);
	if (count < 0)
		return count;
	w->start = start;
	w->size = (size_t)count;
	w->at_end = (size_t)count < size;
	return count;
}

/* Bring `need` bytes at `offset` of the current segment into memory. Returns how many there are from `offset` on: at least `need`, or
 * less at the end of the file; -errno. */
static int64_t window_get(struct walk *walk, uint64_t offset, size_t need, const uint8_t **ret)
{
	struct window *w = &walk->window;
	uint64_t unit = window_unit(walk);
	uint64_t start = offset / unit * unit;
	size_t least = (size_t)round_up(offset - start + need, unit);
	int64_t count;

	if (w->size == 0 || offset < w->start ||
	    (offset + need > w->start + w->size && !w->at_end)) {
		if (least > w->chunk && w->chunk < WINDOW_LARGE)
			w->chunk = WINDOW_LARGE;
		count = window_read(walk, start, least > w->chunk ? least : w->chunk);
		if (count == -EIO && least < w->chunk)
			count = window_read(walk, start, least); /* perhaps only what lies behind cannot be read */
		if (count < 0)
			return count;
		if (w->chunk < WINDOW_LARGE)
			w->chunk *= 2;
	}
	if (offset >= w->start + w->size)
		return 0;
	*ret = w->memory + (offset - w->start);
	return (int64_t)(w->start + w->size - offset);
}

static void window_drop(struct walk *walk)
{
	walk->window.size = 0;
	walk->window.chunk = WINDOW_FIRST;
}

void walk_retry(struct walk *walk)
{
	window_drop(walk);
}

/* --- from segment to segment */

static struct segment *current(const struct walk *walk)
{
	return &walk->set->list[walk->position];
}

/* The first live segment at or behind `position`, count if there is none. */
static uint32_t next_live(const struct walk *walk, uint32_t position)
{
	const struct segments *set = walk->set;

	for (; position < set->count; position++) {
		const struct segment *s = &set->list[position];

		if (s->index > walk->skip_to && s->first != 0 &&
		    s->first < segments_bound(set, position))
			break;
	}
	return position;
}

static void enter(struct walk *walk, uint32_t position)
{
	if (walk->position < walk->set->count && walk->position != position)
		segment_leave(walk->set, current(walk));
	walk->position = position;
	walk->in_commit = false;
	window_drop(walk);
	if (position < walk->set->count) {
		walk->bound = segments_bound(walk->set, position);
		walk->offset = current(walk)->header.block_size;
	}
}

static const char *unread_text(int error)
{
	return error == -ENOENT ? "the segment is gone" : strerror(-error);
}

static void place_set(const struct walk *walk, struct walk_place *place, uint32_t position,
		      uint64_t offset, const char *what)
{
	*place = (struct walk_place){
		.record = walk->expected,
		.last_record = walk->expected,
		.position = position,
		.offset = offset,
		.segment_index = position < walk->set->count ? walk->set->list[position].index : 0,
	};
	snprintf(place->what, sizeof(place->what), "%s", what);
}

/* A record that is not found at the end of a segment, or in none, may have stood in a segment whose header is bad: that is the place to
 * name. `from`: the segments behind this position, up to the next live one. */
static void blame_header(const struct walk *walk, uint32_t from, struct walk_place *place)
{
	const struct segments *set = walk->set;
	uint32_t end = next_live(walk, from);
	uint64_t index;
	size_t size;

	for (uint32_t i = from; i < end; i++) {
		const struct segment *s = &set->list[i];

		if (s->header_fault == FORMAT_OK || s->index <= walk->skip_to)
			continue;
		place_set(walk, place, i, 0, "");
		snprintf(place->what, sizeof(place->what), "segment header: %s",
			 format_fault_text(s->header_fault));
		return;
	}
	/* Or in one that somebody has removed. */
	if (from == 0 || from >= set->count || end >= set->count)
		return;
	index = set->list[from - 1].index + 1;
	size = strlen(place->what);
	if (set->list[from].index == index + 1)
		snprintf(place->what + size, sizeof(place->what) - size,
			 ", and segment %" PRIu64 " is missing", index);
	else if (set->list[from].index > index)
		snprintf(place->what + size, sizeof(place->what) - size,
			 ", and segments %" PRIu64 "..%" PRIu64 " are missing", index,
			 set->list[from].index - 1);
}

/* A segment whose first batch is broken still tells its f by the ones behind. Then: where does the first wanted record live? */
static int start(struct walk *walk, struct walk_place *place)
{
	struct segments *set = walk->set;
	uint32_t chosen = set->count;

	for (uint32_t i = 0; i < set->count; i++) {
		struct segment *s = &set->list[i];
		int error;

		if (s->index <= walk->skip_to || s->header_fault != FORMAT_OK || s->first != 0 ||
		    s->searched)
			continue;
		error = segment_search(set, s, 0);
		segment_leave(set, s);
		if (error != 0) {
			place_set(walk, place, i, s->error_offset, unread_text(error));
			return error;
		}
	}
	for (uint32_t i = next_live(walk, 0); i < set->count; i = next_live(walk, i + 1)) {
		if (set->list[i].first > walk->from)
			break;
		chosen = i;
	}
	walk->position = set->count;
	enter(walk, chosen);
	if (chosen < set->count)
		walk->expected = current(walk)->first;
	walk->started = true;
	return 0;
}

/* --- from batch to batch */

enum step {
	STEP_BATCH,  /* a whole header of the next record, or of count 0, at the right place */
	STEP_OTHER,  /* something else; place->what */
	STEP_FAILED, /* cannot be read */
};

/* What the record number of a whole header means here. */
static enum step judge(struct walk *walk, const struct batch_header *h, struct walk_place *place)
{
	bool first = (h->flags & BATCH_FIRST) != 0;

	walk->search_at = h->record > walk->expected ? walk->offset
						     : walk->offset + BATCH_HEADER_SIZE + h->bytes;
	if (first == walk->in_commit) {
		walk->search_at = walk->offset;
		snprintf(place->what, sizeof(place->what), "%s",
			 first ? "a commit begins inside another"
			       : "a commit's first batch is missing");
		return STEP_OTHER;
	}
	if (h->count == 0) {
		/* One with another number would do now, and be dead behind the next opening's bound. A FORGET at the bound may have landed
		 * late, from a killed server, when its stream has gone on since. */
		if (h->record == walk->expected &&
		    (h->record < walk->bound || (h->record == walk->bound && batch_is_seal(h))))
			return STEP_BATCH;
		snprintf(place->what, sizeof(place->what),
			 "an empty batch of record %" PRIu64 " stands there", h->record);
		return STEP_OTHER;
	}
	if (h->record != walk->expected || (h->record >= walk->bound && !MUTANT(6))) {
		snprintf(place->what, sizeof(place->what), "record %" PRIu64 " stands there",
			 h->record);
		return STEP_OTHER;
	}
	if (h->count > walk->bound - h->record && !MUTANT(6)) {
		snprintf(place->what, sizeof(place->what),
			 "the batch reaches beyond record %" PRIu64
			 ", where the next segment begins",
			 walk->bound);
		return STEP_OTHER;
	}
	return STEP_BATCH;
}

static enum step read_failed(struct walk *walk, int error, struct walk_place *place)
{
	snprintf(place->what, sizeof(place->what), "%s", unread_text(error));
	if (error == -ENOENT)
		return STEP_OTHER;
	walk->search_at = walk->offset;
	return STEP_FAILED;
}

/* Look at the place where the walk stands. On STEP_FAILED *ret_error is set. */
static enum step step_header(struct walk *walk, struct walk_place *place, int *ret_error)
{
	struct segment *segment = current(walk);
	enum format_fault fault;
	const uint8_t *at;
	int64_t count = window_get(walk, walk->offset, BATCH_HEADER_SIZE, &at);

	walk->search_at = walk->offset + 1;
	place->nothing = false;
	*ret_error = (int)(count < 0 ? count : 0);
	if (count < 0)
		return read_failed(walk, *ret_error, place);
	if (count < BATCH_HEADER_SIZE) {
		place->nothing = true;
		snprintf(place->what, sizeof(place->what), "end of file");
		return STEP_OTHER;
	}
	fault = segment_batch_header(walk->set, segment, at, (size_t)count, &walk->header,
				     &walk->mended);
	if (fault == FORMAT_OK) {
		if (walk->header.durable > walk->claim)
			walk->claim = walk->header.durable;
		return judge(walk, &walk->header, place);
	}
	place->nothing = fault == FORMAT_MAGIC && bytes_are_zero(at, BATCH_HEADER_SIZE);
	if (place->nothing)
		snprintf(place->what, sizeof(place->what), "zeros");
	else if (fault == FORMAT_MAGIC)
		snprintf(place->what, sizeof(place->what), "no batch header here");
	else
		snprintf(place->what, sizeof(place->what), "batch header: %s",
			 format_fault_text(fault));
	return STEP_OTHER;
}

/* As window_get, to salvage: zeros stand for what cannot be read. */
static int64_t window_salvage(struct walk *walk, uint64_t offset, size_t need, const uint8_t **ret)
{
	struct window *w = &walk->window;
	uint64_t start = offset / window_unit(walk) * window_unit(walk);
	size_t size = (size_t)round_up(offset - start + need, window_unit(walk));
	int64_t count = window_grow(walk, size);

	w->size = 0;
	if (count == 0)
		count = segment_read_blocks(walk->set, current(walk), w->memory, size, start);
	if (count < 0)
		return count;
	w->start = start;
	w->size = (size_t)count;
	w->at_end = (size_t)count < size;
	*ret = w->memory + (offset - start);
	return count - (int64_t)(offset - start);
}

/* Bring what is there of the batch whose header is in walk->header into memory. 0 or -errno; -EIO also when, to salvage, zeros stand for
 * some of it. */
static int get_frames(struct walk *walk, const uint8_t **ret_frames)
{
	/* The header has been read, so at least that is there: the file may have grown since its size was asked for. */
	uint64_t least = walk->offset + BATCH_HEADER_SIZE;
	uint64_t size = current(walk)->size;
	uint64_t left = (size > least ? size : least) - walk->offset;
	size_t need = BATCH_HEADER_SIZE + (size_t)walk->header.bytes;
	const uint8_t *at = NULL;
	int64_t count;
	int error = 0;

	if (need > left)
		need = (size_t)left; /* before so much memory is asked for: the file must have it */
	count = window_get(walk, walk->offset, need, &at);
	if (count == -EIO && walk->set->salvage) {
		error = -EIO;
		count = window_salvage(walk, walk->offset, need, &at);
	}
	if (count < 0)
		return (int)count;
	walk->frames_size = 0;
	if (count > BATCH_HEADER_SIZE)
		walk->frames_size = (uint32_t)((size_t)count < need ? (size_t)count : need) -
				    BATCH_HEADER_SIZE;
	*ret_frames = at + BATCH_HEADER_SIZE;
	return error;
}

/* The frames of the batch whose header is in walk->header. */
static enum step step_frames(struct walk *walk, struct walk_place *place,
			     const uint8_t **ret_frames, int *ret_error)
{
	struct batch_header h = walk->header;
	uint32_t frame, frame_at;

	place->last_record = h.record + h.count - 1;
	*ret_error = get_frames(walk, ret_frames);
	if (*ret_error != 0 && !(*ret_error == -EIO && walk->set->salvage)) {
		enum step step = read_failed(walk, *ret_error, place);

		walk->search_at = walk->offset + BATCH_HEADER_SIZE; /* its header is whole: it would be found again */
		return step;
	}
	h.bytes = walk->frames_size;
	frame = batch_frames_check(&h, *ret_frames, &frame_at);
	if (frame == 0 && h.bytes == walk->header.bytes)
		return STEP_BATCH;
	walk->broken = true;
	if (frame != 0 && frame <= h.count) {
		place->bad_record = h.record + frame - 1;
		place->bad_offset = walk->offset + BATCH_HEADER_SIZE + frame_at;
	}
	if (*ret_error != 0) {
		snprintf(place->what, sizeof(place->what), "%s", unread_text(*ret_error));
		return STEP_FAILED;
	}
	snprintf(place->what, sizeof(place->what), "%s",
		 h.bytes < walk->header.bytes ? "end of file"
		 : frame > h.count            ? "history checksum of the batch"
					      : "frame checksum");
	return STEP_OTHER;
}

static void pass(struct walk *walk)
{
	const struct batch_header *h = &walk->header;
	uint64_t end = walk->offset + BATCH_HEADER_SIZE + h->bytes;

	walk->in_commit = (h->flags & BATCH_LAST) == 0;
	walk->offset = walk->in_commit ? end : round_up(end, current(walk)->header.block_size);
	if (h->count > 0)
		walk->expected = h->record + h->count;
}

static void give(struct walk *walk, const uint8_t *frames, struct walk_batch *ret)
{
	ret->header = walk->header;
	ret->frames = frames;
	ret->position = walk->position;
	ret->offset = walk->offset;
	ret->end = walk->offset + BATCH_HEADER_SIZE + walk->header.bytes;
	ret->frames_size = walk->header.bytes;
	ret->mended = walk->mended;
}

int walk_next(struct walk *walk, struct walk_batch *ret, struct walk_place *ret_place)
{
	const uint8_t *frames = NULL;
	int error = 0;

	walk->broken = false;
	if (!walk->started) {
		error = start(walk, ret_place);
		if (error != 0)
			return error;
	}
	for (;;) {
		enum step step;

		place_set(walk, ret_place, walk->position, walk->offset, "no segment has it");
		if (walk->position >= walk->set->count) {
			ret_place->offset = 0;
			ret_place->nothing = true;
			blame_header(walk, 0, ret_place);
			return 0;
		}
		step = step_header(walk, ret_place, &error);
		if (step == STEP_BATCH && walk->header.count > 0 &&
		    walk->expected + walk->header.count > walk->from)
			step = step_frames(walk, ret_place, &frames, &error);
		if (step == STEP_FAILED)
			return error;
		if (step == STEP_OTHER) {
			if (walk->expected != walk->bound) {
				if (ret_place->nothing)
					blame_header(walk, walk->position + 1, ret_place);
				return 0;
			}
			/* All of this segment's live part has been met: what stands here is dead, or nothing. */
			enter(walk, next_live(walk, walk->position + 1));
			continue;
		}
		if (walk->header.record + walk->header.count > walk->from ||
		    (walk->header.count == 0 && walk->header.record >= walk->from)) {
			give(walk, frames, ret);
			pass(walk);
			return 1;
		}
		pass(walk);
	}
}

/* --- what comes behind a bad place */

bool walk_broken(const struct walk *walk, struct walk_batch *ret)
{
	const struct window *w = &walk->window;

	if (!walk->broken)
		return false;
	give((struct walk *)(uintptr_t)walk,
	     w->memory + (walk->offset - w->start) + BATCH_HEADER_SIZE, ret);
	ret->frames_size = walk->frames_size;
	return true;
}

void walk_pass_broken(struct walk *walk)
{
	must(walk->broken);
	walk->broken = false;
	pass(walk);
	if (walk->set->salvage)
		walk->window.size = 0; /* zeros may stand in it for what cannot be read */
}

/* A batch of messages in the live part, not before the record that is expected. */
static bool is_wanted(const struct walk *walk, const struct batch_header *h)
{
	return h->count > 0 && h->record >= walk->expected && h->record < walk->bound &&
	       h->count <= walk->bound - h->record;
}

/* Look at every byte from search_at on for the header of a wanted batch; batches inside a commit do not begin at blocks. */
static bool find_batch(struct walk *walk, struct batch_header *ret)
{
	const struct segment *segment = current(walk);
	uint64_t at = walk->search_at;
	bool mended;

	while (at < segment->size) {
		const uint8_t *data, *hit;
		int64_t count = window_get(walk, at, BATCH_HEADER_SIZE, &data);

		if (count < 0) {
			at = at / window_unit(walk) * window_unit(walk) + window_unit(walk);
			continue;
		}
		if (count < BATCH_HEADER_SIZE)
			return false;
		hit = memmem(data, (size_t)count, "RBAT", 4);
		if (hit == NULL) {
			at += (uint64_t)count - 3;
		} else if (count - (hit - data) < BATCH_HEADER_SIZE) {
			at += (uint64_t)(hit - data);
		} else if (segment_batch_header(walk->set, segment, hit, BATCH_HEADER_SIZE, ret,
						&mended) == FORMAT_OK &&
			   is_wanted(walk, ret)) {
			walk->offset = at + (uint64_t)(hit - data);
			return true;
		} else {
			at += (uint64_t)(hit - data) + 1;
		}
	}
	return false;
}

int walk_resync(struct walk *walk)
{
	struct batch_header header;
	uint32_t position;

	walk->broken = false;
	if (walk->started && walk->position < walk->set->count && find_batch(walk, &header)) {
		walk->in_commit = (header.flags & BATCH_FIRST) == 0;
		walk->expected = header.record;
		return 1;
	}
	/* Not in this segment: go on where the next one begins. */
	for (position = walk->position >= walk->set->count ? 0 : walk->position + 1;; position++) {
		position = next_live(walk, position);
		if (position >= walk->set->count)
			return 0;
		if (walk->set->list[position].first >= walk->expected)
			break;
	}
	enter(walk, position);
	walk->expected = current(walk)->first;
	return 1;
}
