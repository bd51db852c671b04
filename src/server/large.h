/* Memory for large messages: pieces of one size in address space, a fixed budget in real memory.
 *
 * A piece may be acquired for less than its size; it counts with what was asked for, and with what earlier users have touched of it,
 * until that is given back to the kernel. So many messages that are only somewhat large can be under way at once, and the
 * real memory never exceeds the budget. */
#ifndef ROGER_SERVER_LARGE_H
#define ROGER_SERVER_LARGE_H

#include <stddef.h>
#include <stdint.h>

struct large {
	uint8_t *memory;
	size_t piece_size; /* a multiple of the page size */
	uint32_t piece_count;
	uint64_t budget;
	uint64_t reserved; /* by pieces in use */
	uint64_t touched;  /* sum of touched_sizes */
	uint32_t *sizes;   /* of each piece: reserved, 0 when it is free */
	uint32_t *touched_sizes;
	uint32_t *free_list;
	uint32_t free_count;
};

/* Bytes that large_init allocates beside the budget for each RECEIVE_BUFFER_SIZE of it, at most. */
enum { LARGE_ITEM_SIZE = 3 * sizeof(uint32_t) };

/* budget >= piece_size, which is rounded up to pages. 0 or -ENOMEM. */
int large_init(struct large *large, uint64_t budget, size_t piece_size);
void large_deinit(struct large *large);

/* A piece for `size` bytes (at most piece_size), undefined contents; NULL: the budget or the pieces are used up. */
uint8_t *large_acquire(struct large *large, size_t size);
void large_release(struct large *large, uint8_t *piece);

/* How many bytes it was acquired for. */
size_t large_size(const struct large *large, const uint8_t *piece);

#endif
