/* The journal's bytes on disk. Pure: no descriptor, clock, heap or log. Normative prose: docs/journal.md.
 *
 * A segment file, in commit blocks (4096 bytes, or what direct I/O and the disk want if that is more):
 *
 *      block 0        1 ...
 *      +--------+---------------------------------------------+-----------+--------
 *      | header | commit: batch batch ... batch, zero padding | commit    | zeros, or what an earlier use left
 *      +--------+---------------------------------------------+-----------+--------
 *
 * A commit is one write: batches one directly behind the other, the first at a block's start, zero-padded to a block's end.
 * A batch is a header of BATCH_HEADER_SIZE bytes and `bytes` bytes of frames. A batch of count 0 has no frames: it is a
 * seal (stream id 0), which only says that all before it is durable, or it ends a stream (BATCH_FORGET).
 * All integers little-endian. */
#ifndef ROGER_JOURNAL_FORMAT_H
#define ROGER_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/frame.h"
#include "base/peer.h"

enum {
	SALT_SIZE = 16,
	SEGMENT_HEADER_SIZE = 80, /* what is used of block 0; the rest is zero */
	BATCH_HEADER_SIZE = 128,
	SNAPSHOT_HEADER_SIZE = 80,
	SNAPSHOT_ENTRY_SIZE = 64,
	COMMIT_BLOCK_MIN = 4096,
	COMMIT_BLOCK_MAX = 65536,
	SEGMENT_NAME_SIZE = 25, /* 20 digits, ".seg", NUL */
	FORMAT_VERSION = 1,
};

/* --- segment header
 *   0  magic "ROGERSEG"    8
 *   8  version             4
 *  12  crc32c              4   of bytes 0..11 and 16..79
 *  16  journal id         16
 *  32  index               8
 *  40  salt               16
 *  56  commit block size   4
 *  60  zero                4
 *  64  creation time, ns   8
 *  72  zero                8
 *  80 */
struct segment_header {
	uint8_t journal_id[16];
	uint64_t index;
	uint8_t salt[SALT_SIZE];
	uint32_t block_size; /* a power of two, COMMIT_BLOCK_MIN ... COMMIT_BLOCK_MAX */
	uint64_t created_ns;
};

enum format_fault {
	FORMAT_OK = 0,
	FORMAT_SHORT, /* fewer bytes than it needs */
	FORMAT_MAGIC,
	FORMAT_VERSION_UNKNOWN, /* checksum fits, but another version wrote it */
	FORMAT_CHECKSUM,
	FORMAT_VALUE, /* checksum fits, but a value is out of its range */
};
const char *format_fault_text(enum format_fault fault);

void segment_header_encode(uint8_t out[SEGMENT_HEADER_SIZE], const struct segment_header *header);
enum format_fault segment_header_decode(const uint8_t *in, size_t size, struct segment_header *ret);
/* For repair alone: is this the header of segment `index` with one bit flipped? Its checksum proves which one. On true *ret is the header
 * without it. */
bool segment_header_mend(const uint8_t *in, size_t size, uint64_t index,
			 struct segment_header *ret);

/* --- batch header
 *   0  magic "RBAT"        4
 *   4  crc32c              4   of salt (16), index (u64) of the segment, then bytes 8..127
 *   8  f                   8   the first record number of the segment
 *  16  record              8   the first record number of the batch; for count 0 the next one
 *  24  durable             8   the highest record number known durable when this was written; below `record`
 *  32  stream id          16
 *  48  first seq           8
 *  56  writer              8
 *  64  receive time, ns    8
 *  72  gap last            8   with BATCH_GAP: the stream's last number before the gap; else 0
 *  80  count               4
 *  84  bytes               4   of the frames that follow
 *  88  h before            4
 *  92  h after             4
 *  96  flags               4
 * 100  protocol            1
 * 101  peer family         1
 * 102  peer port           2
 * 104  peer address       16
 * 120  zero                8
 * 128 */
enum batch_flags {
	BATCH_FIRST = 1,     /* the first batch of its commit: starts a block */
	BATCH_LAST = 2,      /* the last batch of its commit: zeros follow up to the block's end */
	BATCH_GAP = 4,       /* messages before first_seq are missing, and that is recorded; h before is 0 */
	BATCH_EPHEMERAL = 8, /* of an ephemeral stream */
	BATCH_FORGET = 16,   /* count 0: the stream has ended, its entry is free */
	BATCH_LOST = 32,     /* made by repair: these `count` records were lost. No frames; the stream id is a plain one. Readers pass
	                       * over it, so that all other records keep their numbers */
	BATCH_FLAGS_ALL = 63,
};

struct batch_header {
	uint64_t segment_first; /* f */
	uint64_t record;
	uint64_t durable;
	struct stream_id stream;
	uint64_t first_seq;
	uint64_t writer;
	uint64_t time_ns;
	uint64_t gap_last;
	uint32_t count;
	uint32_t bytes;
	uint32_t h_before;
	uint32_t h_after;
	uint32_t flags;
	uint8_t protocol;
	struct peer peer;
};

void batch_header_encode(uint8_t out[BATCH_HEADER_SIZE], const struct batch_header *header,
			 const uint8_t salt[SALT_SIZE], uint64_t index);
/* Only when it returns FORMAT_OK may anything in *ret be used (J9). Checks magic, checksum, and then that the values hang
 * together: f <= record, durable < record, record >= 1, count and bytes fit (bytes >= 8 * count; count 0 has no bytes), numbers do not
 * overflow, flags are known. */
enum format_fault batch_header_decode(const uint8_t *in, size_t size, const uint8_t salt[SALT_SIZE],
				      uint64_t index, struct batch_header *ret);

/* For repair alone: is this a batch header with one bit flipped? Its checksum proves which one. On true *ret is the header without it. */
bool batch_header_mend(const uint8_t *in, size_t size, const uint8_t salt[SALT_SIZE],
		       uint64_t index, struct batch_header *ret);

/* Check the frames of a batch: sizes within `bytes`, checksums, count, history checksum from h_before to h_after. Returns 0, or the
 * number 1 ... count of the first frame that is wrong, with its offset in *ret_offset (count + 1 when the frames are right but
 * do not fill `bytes` exactly or h_after differs). */
uint32_t batch_frames_check(const struct batch_header *header, const uint8_t *frames,
			    uint32_t *ret_offset);

bool batch_is_seal(const struct batch_header *header);

/* --- names */
void segment_name(uint64_t index, char out[SEGMENT_NAME_SIZE]);
/* The index, 0 when this is not a segment's name. */
uint64_t segment_index_of_name(const char *name);

#define NAME_LOCK "lock"
#define NAME_SNAPSHOT "streams.snap"
#define NAME_SNAPSHOT_OLD "streams.snap.old"
#define NAME_SEGMENT_NEW "segment.tmp" /* a segment that is being made or reused */
#define NAME_SNAPSHOT_NEW "snapshot.tmp"
#define NAME_GEOMETRY_NEW "geometry.tmp" /* where file_geometry must make a named file */
/* True for the temporary files that a killed server may have left, and that opening removes. */
bool name_is_temporary(const char *name);

/* --- lock file: LOCK_SIZE bytes, mapped by the server and by readers (lock_view.h)
 *   0  durable record number  8   always true, so never flushed: after a power cut it may be lower, or garbage ...
 *   8  holder's process id    8   0 when nobody holds it
 *  16  check                  8   ... the number's complement (all bits turned over), without which it says nothing
 *  24 */
enum { LOCK_SIZE = 24,
       LOCK_DURABLE_AT = 0,
       LOCK_HOLDER_AT = 8,
       LOCK_CHECK_AT = 16 };
void lock_encode(uint8_t out[LOCK_SIZE], uint64_t number, uint64_t holder);

/* --- snapshot of the stream table: header, then `count` entries
 *   0  magic "ROGERSNP"      8
 *   8  version               4
 *  12  crc32c                4   of bytes 0..11 and 16..79
 *  16  journal id           16
 *  32  segment index         8   the last segment that it covers
 *  40  record                8   the last record that it covers
 *  48  count                 8
 *  56  crc32c of the entries 4
 *  60  zero                 20
 *  80
 * entry: stream id 16, last seq 8, record of it 8, writer 8, receive time 8, h 4, flags 4 (BATCH_EPHEMERAL), zero 8 */
struct snapshot_header {
	uint8_t journal_id[16];
	uint64_t segment_index;
	uint64_t record;
	uint64_t count;
	uint32_t entries_checksum;
};
struct snapshot_entry {
	struct stream_id stream;
	uint64_t last_seq;
	uint64_t record;
	uint64_t writer;
	uint64_t time_ns;
	uint32_t h;
	uint32_t flags;
};
void snapshot_header_encode(uint8_t out[SNAPSHOT_HEADER_SIZE],
			    const struct snapshot_header *header);
enum format_fault snapshot_header_decode(const uint8_t *in, size_t size,
					 struct snapshot_header *ret);
void snapshot_entry_encode(uint8_t out[SNAPSHOT_ENTRY_SIZE], const struct snapshot_entry *entry);
void snapshot_entry_decode(const uint8_t in[SNAPSHOT_ENTRY_SIZE], struct snapshot_entry *ret);

/* Can this stand in a snapshot up to record `covers`? One that can not is damage (section 10), and so is a stream that stands there twice,
 * which the caller looks for. */
bool snapshot_entry_makes_sense(const struct snapshot_entry *entry, uint64_t covers);

#endif
