/* The one walk over a journal's records, for opening, readers, verify and repair (J3, J4).
 *
 * A segment ends where a later one begins: with f the first record of a segment, everything at or above f in segments of
 * lower index is dead. The walk goes from a record over the live parts in index order, block after block; it stops at the first
 * place where the next record is not found, for whatever reason. Whether that is the end or damage is decided by the highest
 * `durable` that anything on the disk claims (segments_claim), by the caller.
 *
 * Uses the file door, blocks, allocates. Reads directly where that is to be had. */
#ifndef ROGER_JOURNAL_WALK_H
#define ROGER_JOURNAL_WALK_H

#include "base/failure.h"
#include "file/file.h"
#include "journal/format.h"

struct segment {
	uint64_t index;
	int file; /* -1: not open now; segment_open opens it (again) */
	bool direct;
	uint64_t size;
	uint64_t inode;
	uint64_t modified_ns;
	enum format_fault header_fault;
	struct segment_header header; /* valid with FORMAT_OK */
	bool mended;                  /* to salvage: one bit of its header was flipped */
	uint64_t first;               /* f, 0: not known (unused, or its batches are not found) */
	uint64_t bound;               /* what segments_bound says */
	uint64_t doubt;               /* bad header, or segments_lost_first: records from this one on may have stood in it; else 0 */
	uint64_t claim;               /* the highest `durable` that segment_search has found in it, 0 */
	bool searched;                /* to its end */
	bool written;                 /* ... and found anything but zeros behind the header */
	uint64_t error_offset;        /* where a read failed, when segment_search has returned -EIO */
};

struct segments {
	int directory;
	struct file_geometry geometry;
	bool quick;           /* set by a reader beside a running server: a segment whose first batch is not found is searched for
	                               * f near its start only (the server's spare is that, and large) */
	bool salvage;         /* set by segments_load_salvage: what cannot be read is passed over, and a header with one flipped
	                               * bit is as good as a whole one */
	struct segment *list; /* by index, ascending */
	uint32_t count;
	uint8_t *buffer; /* for searching */
	size_t buffer_size;
};

/* List, open and read the headers of all segments of a journal directory (borrowed, stays open). Also looks at each one's first
 * batch, so that `first` is known where that is whole. A segment that disappears meanwhile is left out.
 * 0, or -errno with *why set (EIO: exit 74; an unreadable directory: 66 or 74). */
int segments_load(int directory, struct segments *ret, struct failure *why);
/* As segments_load for repair: a segment whose header cannot be read (EIO) is in the list all the same, with a header_fault. */
int segments_load_salvage(int directory, struct segments *ret, struct failure *why);
/* As segments_load, but what `old` knows of all but its newest segments is believed and not read again. `old` stays the caller's, its open
 * files do not. */
int segments_load_again(struct segments *old, struct segments *ret, struct failure *why);
void segments_free(struct segments *set);

/* Has the journal got a segment since the set was loaded? (New ones always have the highest index.) 1, 0 or -errno. */
int segments_changed(struct segments *set);

/* Make sure that segment->file is open: only the last some hundred files stay open, since descriptors are few. 0, -ENOENT when it
 * is not there any more (or another file of that name is), or -errno. */
int segment_open(struct segments *set, struct segment *segment);

/* Done with it for now: its file may be closed. */
void segment_leave(struct segments *set, struct segment *segment);

/* Read up to `size` bytes at `offset`, aligned for direct I/O as set->geometry says. The count (less only at the end of the file), or
 * -errno, as segment_open too. */
int64_t segment_read(struct segments *set, struct segment *segment, void *data, size_t size,
		     uint64_t offset);

/* batch_header_decode for this segment; to salvage also batch_header_mend, which *ret_mended tells. */
enum format_fault segment_batch_header(const struct segments *set, const struct segment *segment,
				       const uint8_t *in, size_t size, struct batch_header *ret,
				       bool *ret_mended);

/* As segment_read, for whoever salvages: block by block, with zeros in the place of those that cannot be read (EIO). */
int64_t segment_read_blocks(struct segments *set, struct segment *segment, void *data, size_t size,
			    uint64_t offset);

/* Look at every block boundary from `from_offset` (0: behind the header) to the end of the file for batch headers that fit
 * this segment: sets first (if still 0) and claim. This is for `durable` and f only. To salvage, blocks that cannot be read are passed
 * over. 0 or -errno. */
int segment_search(struct segments *set, struct segment *segment, uint64_t from_offset);

/* The lowest f of the segments behind position `at` in the list, UINT64_MAX when none is known: from there on, records in
 * list[at] are dead. */
uint64_t segments_bound(const struct segments *set, uint32_t at);

/* The lowest f that is known of any segment, 0 when none is. */
uint64_t segments_lowest(const struct segments *set);

/* The segment at `at` is of no use: it counts as one with a bad header. */
void segments_leave_out(struct segments *set, uint32_t at);

/* Has the segment at `at` lost records of before the lowest f? It yields none, not even its f, though its index is lower than that of the
 * last one that begins there; with a good header, than that of all that do: an unused one never has such a place. Its `doubt` is set
 * then: the first record that may have stood in it. Every f must be known. 1, 0, or -errno where claims cannot be read. */
int segments_lost_first(struct segments *set, uint32_t at);

/* A batch as the walk meets it; frames and header are borrowed until the next call. */
struct walk_batch {
	struct batch_header header;
	const uint8_t *frames;
	uint32_t position;    /* in the list of segments */
	uint64_t offset;      /* of the batch header in its file */
	uint64_t end;         /* behind its last frame */
	uint32_t frames_size; /* header.bytes; less in a broken one where the file ends */
	bool mended;          /* to salvage: one bit of its header was flipped */
};

struct walk_place {
	uint64_t record;   /* the record that was not found there */
	uint32_t position; /* in the list; == count when there is no segment where it could be */
	uint64_t offset;
	uint64_t segment_index; /* 0 when there is none */
	uint64_t last_record;   /* the last record of the batch that is broken there, when its header is whole; else == record */
	uint64_t bad_record;    /* 0, or the record of the first frame that is wrong in that batch ... */
	uint64_t bad_offset;    /* ... and where that stands in the file */
	bool nothing;           /* no batch stands there, not even a broken one: zeros, or the end of the file */
	char what[200];         /* "frame checksum", "batch header checksum", "zeros", "end of file", "no segment" ... */
};

/* "segment 00000000000000000003.seg offset 8192: records 17..20: zeros"; `last` is the last record that is missing (at least
 * place->last_record is named). Where a frame is known to be wrong, that is named and no other: "segment 00000000000000000003.seg offset
 * 8372: record 18: frame checksum". Without a segment: "record 17: no segment has it". Returns out. */
enum { WALK_PLACE_TEXT_SIZE = 400,
       RECORDS_TEXT_SIZE = 60 };
const char *walk_place_text(const struct walk_place *place, uint64_t last,
			    char out[WALK_PLACE_TEXT_SIZE]);

/* "record 17", or "records 17..20". Returns out. */
const char *records_text(uint64_t first, uint64_t last, char out[RECORDS_TEXT_SIZE]);

struct walk;

/* Begin at record `from` (1 ...), the first that is wanted: batches wholly below it are passed over with only their headers checked.
 * `skip_to`: segments with an index at or below this are not looked at (0: none; opening passes the snapshot's). */
int walk_create(struct segments *set, uint64_t from, uint64_t skip_to, struct walk **ret_walk);
void walk_destroy(struct walk *walk);

/* The next batch, in record order, also of count 0 (seals and ends of streams, where they stand in live parts).
 * 1: *ret is set. 0: the next record was not found, *ret_place says where; call again only after walk_retry. -errno: a block could not be
 * read (J4: never an end), *ret_place says where. */
int walk_next(struct walk *walk, struct walk_batch *ret, struct walk_place *ret_place);

/* Look at the same place again, with fresh reads (a reader of a live journal; segments that came meanwhile are found when the
 * caller has reloaded the set and created a new walk). */
void walk_retry(struct walk *walk);

/* The record that the walk expects next. */
uint64_t walk_record(const struct walk *walk);

/* The highest `durable` in any header that the walk has met. */
uint64_t walk_claim(const struct walk *walk);

/* Where the walk stands, in the list of segments; == count: in none. */
uint32_t walk_position(const struct walk *walk);

/* The offset from which segment_search must go on to see everything of segment `position` that the walk has not. */
uint64_t walk_offset(const struct walk *walk);

/* Counts the reads of the disk that the walk has made. A batch that walk_next has returned came whole from the last one. */
uint64_t walk_reads(const struct walk *walk);

/* --- for verify and repair: what comes behind a bad place */

/* After walk_next has returned 0 or -EIO: the batch that is broken there, when its header is whole and it is the next record's. Its
 * frames (some of them are wrong; to salvage, zeros stand where a block could not be read) are borrowed until the next call. False:
 * nothing to be had. */
bool walk_broken(const struct walk *walk, struct walk_batch *ret);

/* After walk_broken has returned true: go on right behind that batch, as if it had been found. */
void walk_pass_broken(struct walk *walk);

/* After walk_next has returned 0 or -EIO: go on at the next batch header, anywhere in the live parts, that is whole and not of an earlier
 * record; walk_record then says where it goes on. Unreadable blocks are passed over. 1, or 0 when there is none. */
int walk_resync(struct walk *walk);

#endif
