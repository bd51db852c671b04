/* Does every stream go on where it stopped? For verify: numbers, recorded gaps, history checksums, snapshots. */
#ifndef ROGER_JOURNAL_CONTINUITY_H
#define ROGER_JOURNAL_CONTINUITY_H

#include "journal/stream_map.h"

enum { PLAIN_NOTES = 1 << 16 }; /* plain connections that are remembered: more than may be open at the same time by default */

struct continuity {
	struct stream_map map;
	struct stream_note *plain; /* by hash; a later connection takes an earlier one's place */
	bool complete;             /* all streams are known: the walk began at record 1, or behind a snapshot */
	uint64_t lowest;           /* the oldest record that is kept */
	uint64_t losses;           /* damaged places so far: what was known before one may have gone on there */
};

enum continuity_result {
	CONTINUITY_OK,
	CONTINUITY_GAP,    /* a recorded gap, or records that a repair did not find: text */
	CONTINUITY_BROKEN, /* text says how */
};

enum { CONTINUITY_TEXT_SIZE = 200 };

/* The walk begins at record `lowest`. 0 or -ENOMEM. */
int continuity_init(struct continuity *c, uint64_t lowest);
void continuity_deinit(struct continuity *c);

/* The walk begins behind a snapshot. 0 or -ENOMEM. */
int continuity_seed(struct continuity *c, const uint8_t *entries, uint64_t count);

/* A batch that the walk has met. Negative: -ENOMEM. */
int continuity_take(struct continuity *c, const struct batch_header *header,
		    char text[CONTINUITY_TEXT_SIZE]);

/* The entries of a snapshot up to record `record`, by themselves: does each make sense, and is each stream there once? A snapshot that is
 * CONTINUITY_BROKEN is not to be seeded from or compared. Negative: -ENOMEM. */
int continuity_check(const uint8_t *entries, uint64_t count, uint64_t record,
		     char text[CONTINUITY_TEXT_SIZE]);

/* Something is missing here. */
void continuity_lost(struct continuity *c);

/* A snapshot, compared where the walk has come to its last record. */
enum continuity_result continuity_compare(struct continuity *c, const uint8_t *entries,
					  uint64_t count, uint64_t record,
					  char text[CONTINUITY_TEXT_SIZE]);

#endif
