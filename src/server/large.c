#include "server/large.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/must.h"

enum { PAGE = 4096 };

int large_init(struct large *large, uint64_t budget, size_t piece_size)
{
	size_t size = (size_t)round_up(piece_size, PAGE);
	uint64_t count = budget / RECEIVE_BUFFER_SIZE; /* anything smaller does not come here */
	void *memory;

	must(budget >= size);
	if (count > 4096)
		count = 4096;
	*large = (struct large){ .piece_size = size,
				 .piece_count = (uint32_t)count,
				 .budget = budget };
	large->sizes = calloc(count, sizeof(*large->sizes));
	large->touched_sizes = calloc(count, sizeof(*large->touched_sizes));
	large->free_list = calloc(count, sizeof(*large->free_list));
	memory = mmap(NULL, size * count, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory != MAP_FAILED)
		large->memory = memory;
	if (!large->memory || !large->sizes || !large->touched_sizes || !large->free_list) {
		large_deinit(large);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < large->piece_count; i++)
		large->free_list[large->free_count++] = large->piece_count - 1 - i;
	return 0;
}

void large_deinit(struct large *large)
{
	if (large->memory)
		munmap(large->memory, large->piece_size * large->piece_count);
	free(large->sizes);
	free(large->touched_sizes);
	free(large->free_list);
	*large = (struct large){ 0 };
}

/* Give what the piece has touched beyond `keep` bytes back to the kernel. */
static void trim(struct large *large, uint32_t piece, uint32_t keep)
{
	uint32_t touched = large->touched_sizes[piece];

	if (touched <= keep)
		return;
	madvise(large->memory + piece * large->piece_size + keep, touched - keep, MADV_DONTNEED);
	large->touched -= touched - keep;
	large->touched_sizes[piece] = keep;
}

uint8_t *large_acquire(struct large *large, size_t size)
{
	uint32_t want = (uint32_t)round_up(size, PAGE);
	uint32_t piece;

	must(size > 0 && size <= large->piece_size);
	if (!large->free_count || large->reserved + want > large->budget)
		return NULL;
	piece = large->free_list[--large->free_count];
	trim(large, piece, want);
	large->touched += want - large->touched_sizes[piece];
	large->touched_sizes[piece] = want;
	for (uint32_t i = 0; i < large->free_count && large->touched > large->budget; i++)
		trim(large, large->free_list[i], 0);
	large->sizes[piece] = (uint32_t)size;
	large->reserved += want;
	must(large->reserved <= large->touched && large->touched <= large->budget);
	return large->memory + piece * large->piece_size;
}

static uint32_t piece_of(const struct large *large, const uint8_t *piece)
{
	size_t index = (size_t)(piece - large->memory) / large->piece_size;

	must(index < large->piece_count && large->sizes[index]);
	return (uint32_t)index;
}

void large_release(struct large *large, uint8_t *memory)
{
	uint32_t piece = piece_of(large, memory);

	large->reserved -= round_up(large->sizes[piece], PAGE);
	large->sizes[piece] = 0;
	large->free_list[large->free_count++] = piece;
}

size_t large_size(const struct large *large, const uint8_t *memory)
{
	return large->sizes[piece_of(large, memory)];
}
