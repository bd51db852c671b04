/* Who is the live session of a stream: the stream's entry in the journal -> item (the index of a session). At most one: a HELLO puts
 * itself in the place of the one before it. All sessions of a stream have the same entry while one of them is open. */
#ifndef ROGER_SERVER_FENCE_H
#define ROGER_SERVER_FENCE_H

#include <stdint.h>

#define FENCE_NONE UINT32_MAX

struct fence {
	uint32_t *items; /* of each entry: item + 1; 0: none */
	uint32_t entry_count;
};

/* Bytes of memory that an entry takes. */
enum { FENCE_ENTRY_SIZE = sizeof(uint32_t) };

/* Entries are 0 .. entry_count - 1. 0 or -ENOMEM. */
int fence_init(struct fence *fence, uint32_t entry_count);
void fence_deinit(struct fence *fence);

/* From now on `item` (which has no stream yet) is the session of the stream. Returns the one that was, which has none any more,
 * or FENCE_NONE. */
uint32_t fence_put(struct fence *fence, uint32_t entry, uint32_t item);

/* `item` is gone. Nothing happens if another one has taken the stream over. */
void fence_remove(struct fence *fence, uint32_t entry, uint32_t item);

#endif
