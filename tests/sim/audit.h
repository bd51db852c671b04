/* Segments and batches as bytes on the medium, for audit.c. */
#ifndef ROGER_SIM_AUDIT_H
#define ROGER_SIM_AUDIT_H

#include "check_private.h"

enum { AUDIT_BATCH_HEADER = 128,
       AUDIT_FRAME_HEADER = 8,
       AUDIT_SALT = 16 };

struct audit_segment {
	uint64_t index;
	uint64_t inode;
	uint64_t size;
	bool is_valid; /* its header is good, and certain; then: */
	uint32_t block;
	uint8_t salt[AUDIT_SALT];
	uint64_t f; /* 0: not known */
	uint64_t bound;
};

struct audit_batch {
	uint64_t f;
	uint64_t record;
	uint64_t durable;
	uint8_t id[STREAM_ID];
	uint64_t first_seq;
	uint64_t writer;
	uint64_t gap_last;
	uint32_t count;
	uint32_t bytes;
	uint32_t h_before;
	uint32_t h_after;
	uint8_t talk;
	bool is_first, is_last, gap, is_ephemeral, is_forget, is_lost;
};

/* Is it a segment's name? */
bool audit_segment_name(const char *name, uint64_t *ret_index);

/* Reads its header, if that is certain and good. The journal id must be the same in all. */
void audit_segment_header(struct audit_segment *segment);

/* Finds f: in the first commit, or (thorough) at any block. */
void audit_segment_first(struct audit_segment *segment, bool thorough);

/* The highest number that a batch header in it says is durable. */
uint64_t audit_segment_claim(const struct audit_segment *segment);

/* docs/journal.md 4: is the header valid? */
bool audit_batch_read(const struct audit_segment *segment, const uint8_t *header,
		      struct audit_batch *ret);

/* docs/journal.md 5: are its frames good? If not, *ret_front is how many stand in front of the first bad one. */
bool audit_batch_is_good(const struct audit_batch *batch, const uint8_t *frames,
			 uint32_t *ret_front);

#endif
