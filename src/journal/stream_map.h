/* What verify and repair know of streams while they walk: a hash table that grows. */
#ifndef ROGER_JOURNAL_STREAM_MAP_H
#define ROGER_JOURNAL_STREAM_MAP_H

#include <stdbool.h>

#include "journal/format.h"

struct stream_note {
	struct snapshot_entry now; /* as a snapshot at this place would hold it; last_seq 0: an empty place of the table */
	uint64_t losses;           /* the caller's count of damaged places when this was noted */
	bool forgotten;            /* the stream has ended */
	bool seen;                 /* free for the caller */
};

struct stream_map {
	struct stream_note *list;
	uint64_t room;  /* a power of two */
	uint64_t count;
	uint64_t seed;
};

/* 0 or -ENOMEM. */
int stream_map_init(struct stream_map *map);
void stream_map_deinit(struct stream_map *map);

/* NULL when it is not there. Good until the next stream_map_take. */
struct stream_note *stream_map_find(struct stream_map *map, const struct stream_id *id);

/* Find or make it; a new one has last_seq 0, which the caller must set to something else. NULL: no memory. */
struct stream_note *stream_map_take(struct stream_map *map, const struct stream_id *id);

/* "80010203...", 32 digits. Returns out. */
enum { STREAM_TEXT_SIZE = 2 * STREAM_ID_SIZE + 1 };
const char *stream_text(const struct stream_id *id, char out[STREAM_TEXT_SIZE]);

#endif
