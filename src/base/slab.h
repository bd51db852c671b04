/* A fixed number of equal pieces of memory, handed out last-in first-out, so that only as much is ever touched as
 * was once in use at the same time. */
#ifndef ROGER_BASE_SLAB_H
#define ROGER_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab {
	uint8_t *memory;
	size_t piece_size;
	uint32_t count;
	uint32_t fresh;    /* pieces from here on have never been handed out */
	void *free_list;
	uint32_t used;
};

/* Allocates count * piece_size bytes (rounded up to 16 a piece), lazily backed. 0 or -ENOMEM. */
int slab_init(struct slab *slab, size_t piece_size, uint32_t count);
void slab_deinit(struct slab *slab);

/* A piece with undefined contents, or NULL when all are out. */
void *slab_acquire(struct slab *slab);
void slab_release(struct slab *slab, void *piece);

/* A piece that is out by a number, for those who have many: 1 ... count; 0 is NULL. */
uint32_t slab_number(const struct slab *slab, const void *piece);

static inline void *slab_piece(const struct slab *slab, uint32_t number)
{
	return number ? slab->memory + slab->piece_size * (number - 1) : NULL;
}

#endif
