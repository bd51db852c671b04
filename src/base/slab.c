#include "base/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

/* What malloc gives any type; and enough for the free list's pointer. */
#define PIECE_ALIGN 16

int slab_init(struct slab *slab, size_t piece_size, uint32_t count)
{
	must(piece_size > 0 && count > 0);
	if (piece_size > SIZE_MAX / 2)
		return -ENOMEM;
	piece_size = (size_t)round_up(piece_size, PIECE_ALIGN);
	if (piece_size > SIZE_MAX / count)
		return -ENOMEM;
	*slab = (struct slab){ .piece_size = piece_size, .count = count };
	/* Not calloc: it would touch the memory when it reuses some. */
	slab->memory = malloc(piece_size * count);
	return slab->memory == NULL ? -ENOMEM : 0;
}

void slab_deinit(struct slab *slab)
{
	free(slab->memory);
	*slab = (struct slab){ 0 };
}

void *slab_acquire(struct slab *slab)
{
	void *piece = slab->free_list;

	if (piece != NULL) {
		memcpy(&slab->free_list, piece, sizeof(slab->free_list));
	} else {
		if (slab->fresh == slab->count)
			return NULL;
		piece = slab->memory + slab->piece_size * slab->fresh;
		slab->fresh++;
	}
	slab->used++;
	must(slab->used <= slab->count);
	return piece;
}

void slab_release(struct slab *slab, void *piece)
{
	uintptr_t at = (uintptr_t)piece;
	uintptr_t first = (uintptr_t)slab->memory;

	must(slab->used > 0);
	must(at >= first && at < first + slab->piece_size * slab->fresh);
	must((at - first) % slab->piece_size == 0);
	memcpy(piece, &slab->free_list, sizeof(slab->free_list));
	slab->free_list = piece;
	slab->used--;
}

uint32_t slab_number(const struct slab *slab, const void *piece)
{
	return (uint32_t)((size_t)((const uint8_t *)piece - slab->memory) / slab->piece_size) + 1;
}
