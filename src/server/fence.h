/* Who is the live session of a stream: stream id -> item (the index of a session). At most one: a HELLO puts itself in the
 * place of the one before it. Open addressing with a secret in the hash, since peers choose the ids. */
#ifndef ROGER_SERVER_FENCE_H
#define ROGER_SERVER_FENCE_H

#include <stdint.h>

#include "base/frame.h"

#define FENCE_NONE UINT32_MAX

struct fence {
	struct stream_id *ids; /* of each item */
	uint32_t *slots;       /* item + 1, 0: empty */
	uint32_t slot_count;   /* a power of two, at least twice the items */
	uint64_t secret[2];
};

/* Bytes of memory that an item takes, at most. */
enum { FENCE_ITEM_SIZE = sizeof(struct stream_id) + 4 * sizeof(uint32_t) };

/* Items are 0 .. item_count - 1. 0 or -ENOMEM. */
int fence_init(struct fence *fence, uint32_t item_count, const uint64_t secret[2]);
void fence_deinit(struct fence *fence);

/* From now on `item` (which has no stream yet) is the session of stream `id`. Returns the one that was, which has none any more,
 * or FENCE_NONE. */
uint32_t fence_put(struct fence *fence, const struct stream_id *id, uint32_t item);

/* `item` is gone. Nothing happens if another one has taken its stream over. */
void fence_remove(struct fence *fence, uint32_t item);

#endif
