/* Where the kept records begin, and whether what is missing before them was given up rightly; and whether the segments are there that must
 * be there beside a snapshot. */
#ifndef ROGER_JOURNAL_BEGINNING_H
#define ROGER_JOURNAL_BEGINNING_H

#include "journal/walk.h"

struct beginning {
	uint64_t lowest;         /* the lowest f, 0 when no segment has one */
	uint64_t snapshot;       /* the last record that any valid snapshot covers, 0: none */
	bool has_snapshot;       /* a valid one ... */
	uint64_t covered;        /* ... and the last segment that any of them covers */
	struct walk_place place; /* when records are missing: the first place that says so; what[0] == '\0' otherwise */
};

/* Segments may have been deleted only when a snapshot covers them (J5), and a segment below the lowest f whose header is bad has lost what
 * it held. Sets `first` of segments by searching where needed. 0, or -errno with ret->place set where it is a segment. */
int beginning_find(struct segments *set, struct beginning *ret);

/* Is the segment gone that was the newest one when the snapshots were made? It is never deleted before a later one is there. `set` must
 * have been listed after the snapshots were read. On true *ret is the place to tell of; `record` is the one that the walk did not find. */
bool beginning_lacks_newest(const struct segments *set, const struct beginning *begin,
			    uint64_t record, struct walk_place *ret);

#endif
