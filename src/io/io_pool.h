/* The pool of receive buffers: a fixed number of equal ones, handed out last-in first-out, so that few of them stay warm and
 * only as much is ever touched as was once in use. */
#ifndef ROGER_IO_IO_POOL_H
#define ROGER_IO_IO_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_pool {
	uint8_t *memory;
	uint32_t *free; /* a stack of numbers */
	bool *lent;
	uint32_t free_count;
	uint32_t count;
	uint32_t size; /* of each */
};

int io_pool_init(struct io_pool *pool, uint32_t count, uint32_t size);
void io_pool_deinit(struct io_pool *pool);

/* False when all are out. */
bool io_pool_take(struct io_pool *pool, uint32_t *ret_buffer);

/* It must be out (asserted). */
void io_pool_return(struct io_pool *pool, uint32_t buffer);

uint8_t *io_pool_data(const struct io_pool *pool, uint32_t buffer);

#endif
