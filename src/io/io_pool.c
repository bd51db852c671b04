#include "io/io_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/must.h"
#include "io/io.h"

_Static_assert(sizeof(*((struct io_pool *)0)->free) + sizeof(*((struct io_pool *)0)->lent) <=
		       IO_BUFFER_MEMORY,
	       "as io.h says");

int io_pool_init(struct io_pool *pool, uint32_t count, uint32_t size)
{
	*pool = (struct io_pool){ .count = count, .size = size, .free_count = count };
	pool->free = calloc(count, sizeof(*pool->free));
	pool->lent = calloc(count, sizeof(*pool->lent));
	/* Lazily backed: buffers that are never needed cost nothing. */
	void *memory = mmap(NULL, (size_t)count * size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory != MAP_FAILED)
		pool->memory = memory;
	if (!pool->free || !pool->lent || !pool->memory) {
		io_pool_deinit(pool);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		pool->free[i] = count - 1 - i;
	return 0;
}

void io_pool_deinit(struct io_pool *pool)
{
	if (pool->memory)
		munmap(pool->memory, (size_t)pool->count * pool->size);
	free(pool->free);
	free(pool->lent);
	*pool = (struct io_pool){ .count = 0 };
}

bool io_pool_take(struct io_pool *pool, uint32_t *ret_buffer)
{
	if (pool->free_count == 0)
		return false;
	*ret_buffer = pool->free[--pool->free_count];
	pool->lent[*ret_buffer] = true;
	return true;
}

void io_pool_return(struct io_pool *pool, uint32_t buffer)
{
	must(buffer < pool->count && pool->lent[buffer]);
	pool->lent[buffer] = false;
	pool->free[pool->free_count++] = buffer;
}

uint8_t *io_pool_data(const struct io_pool *pool, uint32_t buffer)
{
	return pool->memory + (size_t)buffer * pool->size;
}
