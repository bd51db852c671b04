/* memory: what each process has allocated.
 *
 * malloc and its kin of the code under test come here (ld --wrap); large blocks come from mmap, zeroed and untouched, so that a server's
 * staging costs only what it uses. Not counted: what it maps by itself (src/server/large.c), and the loop's receive buffers, which are
 * the simulator's own. What malloc and the kernel add to what was asked for is not counted, either. */
#ifndef ROGER_SIM_MEMORY_H
#define ROGER_SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process_memory;

struct process_memory *memory_create(void);
void memory_destroy(struct process_memory *memory);
void memory_release_all(struct process_memory *memory);
size_t memory_used(const struct process_memory *memory);
size_t memory_most(const struct process_memory *memory);
size_t memory_settled(const struct process_memory *memory); /* what it had when it settled; 0: it has not */
void memory_fail(struct process_memory *memory, uint64_t n, bool forever);
uint64_t memory_allocations(const struct process_memory *memory);

/* From now on it may allocate in so many more turns of its loop (this is the first), and then never again: who does fails the seed. */
void memory_settle(struct process_memory *memory, unsigned turns);
bool memory_is_settled(const struct process_memory *memory);
void memory_turn(struct process_memory *memory); /* another turn begins */

/* For the file door's file_memory: aligned (a power of two), zeroed, the calling process's. kept: nobody but the file door writes into
 * it, and says so with memory_pages_filled (a matter of speed alone). NULL: an allocation that had to fail. */
void *memory_pages(size_t size, size_t alignment, bool is_kept);
void memory_pages_filled(const void *at, size_t size);
void memory_pages_free(void *pages, size_t size);

#endif
