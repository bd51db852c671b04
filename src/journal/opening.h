/* What opening knows on its way, shared by its parts: open_lock.c, open.c (find out what is there; nothing is changed) and
 * open_publish.c (one new segment; then clean up). */
#ifndef ROGER_JOURNAL_OPENING_H
#define ROGER_JOURNAL_OPENING_H

#include "journal/private.h"

struct opening {
	struct journal *j;
	struct failure *why;
	uint64_t former_holder;           /* what the lock file said */
	struct segments set;
	bool set_loaded;
	struct snapshot_file snapshot;    /* the chosen one */
	uint64_t snapshot_old_index;      /* of the other generation, 0: none */
	bool newest_is_bad;
	uint64_t claim;                   /* D */
	uint64_t next;                    /* E: the first record that is not there */
	uint64_t lowest;                  /* the lowest f that is known, UINT64_MAX: none */
	uint64_t index_max;               /* of all names on the disk and the snapshot */
	uint64_t first_copied;            /* the first record above D, or `next` */
	uint8_t *copies;                  /* batches above D: headers (old) and frames, one behind the other */
	uint64_t copies_size;
	uint64_t copies_room;
	uint64_t *live_end;               /* of each segment in the set: behind its last live batch, 0 none */
	uint8_t *dirty;                   /* of each: holds a record above D */
	uint8_t *removed;                 /* of each: deleted for its room */
};

/* --- open_lock.c */
/* Make and lock the journal (J12), map its lock file, flush its directory. */
int opening_lock(struct opening *o);
void opening_unlock(struct opening *o);
/* Wait a second for room on the disk, saying so once. False: the user wants to stop. */
bool opening_wait_for_room(struct opening *o, const char *step, bool *announced);

/* --- open.c */
int opening_unreadable(struct opening *o, int error, const char *what);
/* The last segment that the snapshot covers, 0. */
uint64_t opening_covered(const struct opening *o);

/* --- open_publish.c */
int opening_prepare_store(struct opening *o);
int opening_make_new_segment(struct opening *o);
int opening_sort_segments(struct opening *o);
int opening_finish_snapshots(struct opening *o);
void opening_hand_over(struct opening *o);

#endif
