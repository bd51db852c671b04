/* The audit: the journal as it would be found after a power cut right now. Written from docs/journal.md alone.
 *
 * It walks over what is certain on the medium, as far as somebody has been told, batch after batch, and never goes back within the
 * life of a server; when a server starts, everything is walked again from its beginning. So each byte is looked at once, and again after
 * each crash. Names that a power cut could take away do not count. */
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "base/crc32c.h"

enum {
	SNAPSHOT_HEADER = 80,
	SNAPSHOT_ENTRY = 64,
	LOCK = 24,
	NAMES_MAX = 4096, /* a simulated journal never has more */
};

static const uint64_t NO_BOUND = UINT64_MAX;

struct listed {
	uint64_t inode;
	uint64_t size;
};

static struct {
	struct listed listed[NAMES_MAX];
	size_t listed_count;
	uint64_t lock;                            /* the lock file's inode; 0: there is none */
	struct audit_segment segments[NAMES_MAX]; /* by index */
	size_t segment_count;
	bool is_stale;    /* walk again from the beginning */
	bool is_blind;    /* the medium has lied, and there is no way on */
	bool is_inside;   /* the place is within a commit */
	bool is_looking;  /* what is met does not go into the ledger */
	uint64_t current; /* index of the segment where the walk is; 0: nowhere */
	uint64_t place;
	uint64_t e;     /* the record that comes next */
	uint32_t front; /* the good frames of the batch that is damaged there, in front of the first bad one */
	uint8_t *batch; /* its bytes */
	size_t batch_size;
	char why[200];
} audit;

void audit_begin(void)
{
	memset(&audit, 0, sizeof(audit));
	audit.is_stale = true;
	audit.e = 1;
}

void audit_end(void)
{
	sim_free(audit.batch);
	audit.batch = NULL;
}

void audit_restart(void)
{
	audit.is_stale = true;
	audit.is_blind = false;
}

/* --- segments */

static void take_name(void *context, const char *name, uint64_t inode, uint64_t size)
{
	(void)context;
	if (strcmp(name, "lock") == 0)
		audit.lock = inode;
	if (audit.listed_count == NAMES_MAX)
		world_fail("more than %d names in the journal", NAMES_MAX);
	audit.listed[audit.listed_count++] = (struct listed){ inode, size };
}

static struct audit_segment *segment_of(uint64_t index)
{
	for (size_t i = 0; i < audit.segment_count; i++)
		if (audit.segments[i].index == index)
			return &audit.segments[i];
	return NULL;
}

static void insert_segment(const struct audit_segment *segment)
{
	size_t i = audit.segment_count++;

	for (; i > 0 && audit.segments[i - 1].index > segment->index; i--)
		audit.segments[i] = audit.segments[i - 1];
	audit.segments[i] = *segment;
}

/* All names that are certain. What was found out about a segment stays, as long as it is the same file with the same index. */
static void list_segments(bool anew)
{
	static struct audit_segment before[NAMES_MAX];
	struct disk *disk = checks.config.disk;
	size_t before_count = anew ? 0 : audit.segment_count;
	char name[256];

	memcpy(before, audit.segments, before_count * sizeof(before[0]));
	audit.segment_count = audit.listed_count = 0;
	audit.lock = 0;
	disk_list(disk, checks.config.directory, take_name, NULL);
	for (size_t i = 0; i < audit.listed_count; i++) {
		struct audit_segment segment = { .inode = audit.listed[i].inode };

		if (!disk_medium_name(disk, checks.config.directory, segment.inode, name) ||
		    !audit_segment_name(name, &segment.index))
			continue;
		segment.size = audit.listed[i].size;
		for (size_t k = 0; k < before_count; k++) {
			if (before[k].inode == segment.inode && before[k].index == segment.index) {
				segment = before[k];
				segment.size = audit.listed[i].size;
			}
		}
		insert_segment(&segment);
	}
}

static void refresh(bool anew)
{
	uint64_t bound = NO_BOUND;

	list_segments(anew);
	for (size_t i = audit.segment_count; i-- > 0;) {
		struct audit_segment *segment = &audit.segments[i];

		if (!segment->is_valid)
			audit_segment_header(segment);
		if (segment->is_valid && segment->f == 0)
			audit_segment_first(segment, anew);
		segment->bound = bound;
		if (segment->f != 0 && segment->f < bound)
			bound = segment->f;
	}
	if (audit.current != 0 && segment_of(audit.current) == NULL)
		audit.current = 0;
}

/* Where a record lives: docs/journal.md 7. */
static struct audit_segment *home_of(uint64_t record)
{
	for (size_t i = audit.segment_count; i-- > 0;) {
		struct audit_segment *segment = &audit.segments[i];

		if (segment->f != 0 && segment->f <= record)
			return record < segment->bound ? segment : NULL;
	}
	return NULL;
}

static uint64_t lowest_f(void)
{
	uint64_t lowest = NO_BOUND;

	for (size_t i = 0; i < audit.segment_count; i++)
		if (audit.segments[i].f != 0 && audit.segments[i].f < lowest)
			lowest = audit.segments[i].f;
	return lowest;
}

/* --- the walk */

static void enter(const struct audit_segment *segment)
{
	audit.current = segment->index;
	audit.place = segment->block;
	audit.is_inside = false;
	audit.e = segment->f;
}

static void go_on(const struct audit_segment *segment, const struct audit_batch *batch)
{
	audit.place += AUDIT_BATCH_HEADER + (uint64_t)batch->bytes;
	audit.is_inside = !batch->is_last;
	if (batch->is_last)
		audit.place = (audit.place + segment->block - 1) / segment->block * segment->block;
}

static bool read_frames(const struct audit_segment *segment, const struct audit_batch *batch)
{
	if (batch->bytes > segment->size)
		return false;
	if (batch->bytes > audit.batch_size) {
		audit.batch = sim_resize(audit.batch, batch->bytes);
		audit.batch_size = batch->bytes;
	}
	return batch->bytes == 0 ||
	       disk_medium_read(checks.config.disk, segment->inode,
				audit.place + AUDIT_BATCH_HEADER, audit.batch, batch->bytes);
}

static void put_records(const struct audit_batch *batch)
{
	struct ledger_record record = {
		.id = batch->id,
		.writer = batch->writer,
		.h = batch->h_before,
		.talk = batch->talk,
		.is_ephemeral = batch->is_ephemeral,
		.gap = batch->gap,
		.gap_last = batch->gap_last,
	};
	const uint8_t *at = audit.batch;

	for (uint32_t i = 0; i < batch->count; i++) {
		record.record = batch->record + i;
		record.seq = batch->first_seq + i;
		record.size = check_u32(at);
		record.payload = at + AUDIT_FRAME_HEADER;
		record.h_before = record.h;
		record.h = crc32c(record.h_before, at + 4, 4);
		ledger_put(&record);
		record.gap = false;
		record.gap_last = 0;
		at += AUDIT_FRAME_HEADER + record.size;
	}
}

/* One batch of this segment; false: the next record is not found here. */
static bool step(const struct audit_segment *segment)
{
	uint8_t header[AUDIT_BATCH_HEADER];
	struct audit_batch batch;

	audit.front = 0;
	if (!disk_medium_read(checks.config.disk, segment->inode, audit.place, header,
			      sizeof(header)) ||
	    !audit_batch_read(segment, header, &batch) || batch.is_first == audit.is_inside)
		return false;
	if (batch.f != segment->f)
		return false;
	if (batch.count == 0) {
		if (batch.record != audit.e || batch.record > segment->bound - batch.is_forget)
			return false;
		if (batch.is_forget && !audit.is_looking)
			ledger_forget(batch.id, batch.record);
		go_on(segment, &batch);
		return true;
	}
	if (batch.record != audit.e || batch.record + batch.count > segment->bound ||
	    !read_frames(segment, &batch) ||
	    !audit_batch_is_good(&batch, audit.batch, &audit.front))
		return false;
	if (batch.is_lost)
		world_fail("record %llu: a LOST batch, and nobody has repaired anything",
			   (unsigned long long)batch.record);
	if (!audit.is_looking)
		put_records(&batch);
	audit.e += batch.count;
	go_on(segment, &batch);
	return true;
}

/* Where the walk is, is its name still sure? */
static bool is_here(const struct audit_segment *segment)
{
	char name[256];
	uint64_t index;

	return segment != NULL &&
	       disk_medium_name(checks.config.disk, checks.config.directory, segment->inode,
				name) &&
	       audit_segment_name(name, &index) && index == segment->index;
}

static bool not_found(const char *what)
{
	snprintf(audit.why, sizeof(audit.why),
		 "record %llu is not certain on the medium (%s; segment %llu, place %llu)",
		 (unsigned long long)audit.e, what, (unsigned long long)audit.current,
		 (unsigned long long)audit.place);
	return false;
}

/* Retention may take the oldest, and nothing else. */
static bool begin_at_lowest(void)
{
	uint64_t first = lowest_f();

	if (first == NO_BOUND) {
		audit.e = 1;
		return not_found("no segment has records");
	}
	if (first > 1 && checks.config.keep_bytes == 0) {
		audit.e = 1;
		return not_found("the first records are gone, and nothing may be given up");
	}
	if (first > ledger_last() + 1)
		ledger_given_up(first);
	enter(home_of(first));
	return true;
}

/* The segment in which the next record should be: another one than now. */
static bool change_segment(void)
{
	struct audit_segment *home;
	uint64_t before = audit.current;

	refresh(false);
	if (audit.current == 0)
		return begin_at_lowest();
	home = home_of(audit.e);
	if (home == NULL)
		return not_found("no segment for it");
	if (home->index == before)
		return not_found("not good, or not there");
	enter(home);
	return true;
}

static bool begin_again(void)
{
	refresh(true);
	audit.is_stale = false;
	audit.current = 0;
	return begin_at_lowest();
}

/* From where the walk is. */
static bool walk_to(uint64_t record)
{
	struct audit_segment *here;

	if (!is_here(segment_of(audit.current)) && !change_segment())
		return false;
	while (audit.e <= record) {
		here = segment_of(audit.current);
		if ((here == NULL || !step(here)) && !change_segment())
			return false;
	}
	return true;
}

static bool reach(uint64_t record)
{
	if (audit.is_stale) {
		/* Whatever was promised must be there again. */
		if (record < ledger_last())
			record = ledger_last();
		if (record == 0)
			return true; /* nothing was promised; there may be no segment */
		if (!begin_again())
			return false;
	}
	return walk_to(record);
}

const char *audit_reach(uint64_t record)
{
	if (audit.is_blind)
		return audit.why;
	if (reach(record))
		return NULL;
	audit.is_stale = true;
	audit.is_blind = check_is_corrupt();
	return audit.why;
}

bool audit_further(void)
{
	struct audit_segment *here;

	if (audit_reach(ledger_last()) != NULL)
		return false;
	if (audit.is_stale && !begin_again())
		return false;
	here = segment_of(audit.current);
	if (here != NULL && step(here))
		return true;
	if (!change_segment())
		return false;
	here = segment_of(audit.current);
	return here != NULL && step(here);
}

uint64_t audit_place(void)
{
	return audit.e;
}

uint64_t audit_bad_place(void)
{
	return audit.e + audit.front;
}

uint64_t audit_first(void)
{
	uint64_t first;

	refresh(false);
	first = lowest_f();
	return first == NO_BOUND ? 0 : first;
}

/* --- what the medium claims (docs/journal.md 9) */

static uint64_t snapshot_claim(uint64_t inode, uint64_t size)
{
	uint8_t header[SNAPSHOT_HEADER], entry[SNAPSHOT_ENTRY];
	uint32_t crc = 0;
	uint64_t count;

	if (!disk_medium_read(checks.config.disk, inode, 0, header, sizeof(header)) ||
	    memcmp(header, "ROGERSNP", 8) != 0 || check_u32(header + 8) != 1 ||
	    crc32c(crc32c(0, header, 12), header + 16, 64) != check_u32(header + 12))
		return 0;
	count = check_u64(header + 48);
	if (size < SNAPSHOT_HEADER || count != (size - SNAPSHOT_HEADER) / SNAPSHOT_ENTRY)
		return 0;
	for (uint64_t i = 0; i < count; i++) {
		if (!disk_medium_read(checks.config.disk, inode,
				      SNAPSHOT_HEADER + i * SNAPSHOT_ENTRY, entry, sizeof(entry)))
			return 0;
		crc = crc32c(crc, entry, sizeof(entry));
	}
	return crc == check_u32(header + 56) ? check_u64(header + 40) : 0;
}

/* The number in the lock file is never flushed, but whoever opens the journal while it is there counts it. */
static uint64_t lock_claim(void)
{
	uint8_t lock[LOCK];
	uint64_t number;

	if (audit.lock == 0 || !disk_read(checks.config.disk, audit.lock, 0, lock, sizeof(lock)))
		return 0;
	number = check_u64(lock);
	return check_u64(lock + 16) == ~number ? number : 0;
}

static uint64_t highest_claim(void)
{
	uint64_t highest = 0;
	char name[256];

	for (size_t i = 0; i < audit.segment_count; i++) {
		uint64_t claim = audit_segment_claim(&audit.segments[i]);

		highest = claim > highest ? claim : highest;
	}
	for (size_t i = 0; i < audit.listed_count; i++) {
		uint64_t claim;

		if (!disk_medium_name(checks.config.disk, checks.config.directory,
				      audit.listed[i].inode, name) ||
		    strncmp(name, "streams.snap", 12) != 0)
			continue;
		claim = snapshot_claim(audit.listed[i].inode, audit.listed[i].size);
		highest = claim > highest ? claim : highest;
	}
	return highest;
}

void audit_must_be_sealed(void)
{
	audit_restart();
	while (audit_further())
		;
	if (!audit.is_stale && audit.e > 1 && highest_claim() < audit.e - 1)
		world_fail("a server has stopped, and nothing on the medium says that record %llu "
			   "was there",
			   (unsigned long long)audit.e - 1);
}

/* The first live segment that begins behind a record. */
static const struct audit_segment *next_behind(uint64_t record)
{
	for (size_t i = 0; i < audit.segment_count; i++)
		if (audit.segments[i].f > record && audit.segments[i].f < audit.segments[i].bound)
			return &audit.segments[i];
	return NULL;
}

/* The walk stands at a record that is damaged. A server that begins at a snapshot's end does not look there: it goes by what it finds from
 * a later segment on. */
static void look_behind(uint64_t wanted)
{
	const struct audit_segment *next;

	audit.is_looking = true;
	while ((next = next_behind(audit.e)) != NULL && next->f <= wanted) {
		enter(next);
		if (walk_to(wanted))
			break;
	}
	audit.is_looking = false;
}

void audit_cut(void)
{
	uint64_t wanted = check_owed() > ledger_last() ? check_owed() : ledger_last();
	uint64_t claim;
	bool is_damaged;

	if (!check_is_corrupt() || wanted == 0)
		return;
	audit_restart();
	if (audit_reach(wanted) == NULL || audit.e > wanted) {
		check_forgive(1, wanted); /* it has turned up */
		return;
	}
	check_found(audit_bad_place());
	claim = highest_claim();
	if (claim < lock_claim())
		claim = lock_claim();
	is_damaged = audit.e <= claim;
	if (is_damaged)
		look_behind(wanted);
	if (audit.e > claim && audit.e <= wanted) {
		/* What is missing before it stays owed, and so does all that was owed because of that. */
		if (!is_damaged)
			check_forgive(audit.e, wanted);
		if (audit.e <= ledger_last())
			ledger_cut(audit.e);
	}
	if (checks.config.keep_bytes != 0 && audit_first() > 1)
		check_found(audit_first()); /* what is missing before it has been given up */
	audit_restart();
}
