/* The gate: what may be told to a peer, and when.
 *
 * Everything that says "I have it" (an ack, WELCOME's resume point) waits here until its record is durable. This is the one
 * place that decides it (rule J1): nothing above reads journal_durable().
 *
 *      head                                  tail
 *      [ entry | entry | entry | entry | ... ]        in the order of the commits
 *                        ^ commit_begin: from here on, entries of the commit that is still open
 *
 * Entries of one commit become durable at the same instant, so one that belongs to the open commit may be raised in place: a
 * session has at most one entry a commit. Fixed capacity; full means: append nothing, wait. Pure, but for its memory. */
#ifndef ROGER_SERVER_GATE_H
#define ROGER_SERVER_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct gate_entry {
	uint32_t session;
	uint32_t generation; /* of the session: an entry may outlive it */
	uint64_t record;     /* may be released once this is durable */
	uint64_t seq;        /* what is then acknowledged */
};

struct gate {
	struct gate_entry *entries;
	uint32_t capacity; /* a power of two */
	uint64_t head;     /* positions count from 1 and never wrap */
	uint64_t tail;
	uint64_t base;     /* the position that is in entries[0]: an empty gate begins there again, where the cache is warm */
	uint64_t commit;       /* of the newest entry */
	uint64_t commit_begin; /* position of that commit's first entry */
};

/* capacity: rounded up to a power of two. 0 or -ENOMEM. */
uint64_t gate_memory(uint32_t capacity); /* bytes that gate_init allocates */
int gate_init(struct gate *gate, uint32_t capacity);
void gate_deinit(struct gate *gate);

bool gate_is_full(const struct gate *gate);

/* May what depends on `record` be told at once? */
bool gate_is_open(uint64_t record, uint64_t durable);

/* Hold `entry` back; it belongs to commit number `commit` (journal_commit, right after the append). `previous` is what this
 * returned for the same session and generation before, 0: nothing. Returns the entry's position. The gate is not full (asserted).
 * Records and commits of successive calls do not go backwards (asserted). */
uint64_t gate_hold(struct gate *gate, struct gate_entry entry, uint64_t commit,
		   uint64_t previous);

/* The next entry whose record is durable; false when there is none. */
bool gate_release(struct gate *gate, uint64_t durable, struct gate_entry *ret);

#endif
