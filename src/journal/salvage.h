/* What is good in a batch of which something is not: its header is whole, some of its frames are damaged. No I/O.
 *
 *      | frame 0 | frame 1 | damaged ......... | frame 4 | frame 5 | damaged |
 *        good, 2 from 0     lost, 2 from 2       good, 2 from 4      lost, 1 from 6
 *
 * Behind a damaged frame the next one stands where its size says, if its size is right; else at any byte behind it. A frame's checksum is
 * over its number, so run backwards from the checksum over payload and size it tells the number that the frame would have, and mostly that
 * is none of this batch. Where it is, the frame behind it, or the batch's end, must agree: among millions of places one will fit by chance.
 *
 * Each byte is looked at once, in a time that does not depend on the size that stands there: at worst some seconds for a batch of 4 MiB.
 *
 * A sender that puts whole frames of its own stream, with numbers of the same batch, into a message can make those pass for the messages,
 * where the size of that message is damaged. Nobody else can. */
#ifndef ROGER_JOURNAL_SALVAGE_H
#define ROGER_JOURNAL_SALVAGE_H

#include "journal/format.h"

struct salvage {
	const struct batch_header *header;
	const uint8_t *frames;
	uint32_t size;  /* of the frames that are there; less than header->bytes where the file ends */
	uint32_t index; /* the next frame ... */
	uint32_t at;    /* ... and where it should begin */
	uint32_t seed;
	uint32_t *marks; /* the checksum's remainder of the first 0, 64, 128 ... bytes; NULL: not needed so far */
	uint32_t back[32];
};

struct salvage_run {
	bool good;
	uint32_t index; /* the first frame of the run, 0 ... */
	uint32_t count;
	uint32_t at;    /* where it begins, in the frames ... */
	uint32_t bytes; /* ... and how long it is */
};

/* `header` and `frames` are borrowed until salvage_end. Of the frames, `size` bytes are there. */
void salvage_begin(struct salvage *s, const struct batch_header *header, const uint8_t *frames,
		   uint32_t size);

/* The next run of frames that are all good, or all lost; together the runs are the whole batch. 1, 0 behind the last one, or -ENOMEM. */
int salvage_next(struct salvage *s, struct salvage_run *ret);
void salvage_end(struct salvage *s);

#endif
