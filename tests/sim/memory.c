#include "memory.h"

#include <string.h>
#include <sys/mman.h>

#include "base/must.h"
#include "process.h"
#include "world.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);
char *__wrap_strdup(const char *text);

struct block {
	void *start;
	size_t size;
	bool is_pages;
};

struct process_memory {
	struct block *blocks;
	size_t count;
	size_t room;
	size_t used;
	size_t most;
	uint64_t allocations;
	uint64_t fail_at; /* 0: never */
	bool fail_forever;
};

struct process_memory *memory_create(void)
{
	return sim_alloc(sizeof(struct process_memory));
}

static void block_release(const struct block *block)
{
	if (block->is_pages)
		must(munmap(block->start, block->size) == 0);
	else
		__real_free(block->start);
}

void memory_release_all(struct process_memory *memory)
{
	while (memory->count > 0)
		block_release(&memory->blocks[--memory->count]);
	memory->used = 0;
}

void memory_destroy(struct process_memory *memory)
{
	memory_release_all(memory);
	sim_free(memory->blocks);
	sim_free(memory);
}

size_t memory_used(const struct process_memory *memory)
{
	return memory->used;
}

size_t memory_most(const struct process_memory *memory)
{
	return memory->most;
}

uint64_t memory_allocations(const struct process_memory *memory)
{
	return memory->allocations;
}

void memory_fail(struct process_memory *memory, uint64_t n, bool forever)
{
	memory->fail_at = n > 0 ? memory->allocations + n : 0;
	memory->fail_forever = forever;
}

/* --- blocks of the calling process */

static struct process_memory *mine(void)
{
	struct process *process = process_current();

	return process != NULL ? process->memory : NULL;
}

static bool must_fail(struct process_memory *memory)
{
	memory->allocations++;
	if (memory->fail_at == 0 || memory->allocations < memory->fail_at)
		return false;
	return memory->allocations == memory->fail_at || memory->fail_forever;
}

static void *keep(struct process_memory *memory, void *start, size_t size, bool is_pages)
{
	if (start == NULL)
		return NULL;
	if (memory->count == memory->room) {
		memory->room = memory->room > 0 ? 2 * memory->room : 64;
		memory->blocks = sim_resize(memory->blocks, memory->room * sizeof(struct block));
	}
	memory->blocks[memory->count++] = (struct block){ start, size, is_pages };
	memory->used += size;
	if (memory->used > memory->most)
		memory->most = memory->used;
	return start;
}

/* Forget the block, and say how large it was; SIZE_MAX: it is none of ours. */
static size_t drop(struct process_memory *memory, const void *start)
{
	for (size_t i = memory->count; i-- > 0;) {
		size_t size = memory->blocks[i].size;

		if (memory->blocks[i].start != start)
			continue;
		memory->blocks[i] = memory->blocks[--memory->count];
		memory->used -= size;
		return size;
	}
	return SIZE_MAX;
}

void *memory_pages(size_t size)
{
	struct process_memory *memory = mine();
	void *start;

	if (memory != NULL && must_fail(memory))
		return NULL;
	start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	must(start != MAP_FAILED);
	return memory != NULL ? keep(memory, start, size, true) : start;
}

void memory_pages_free(void *pages, size_t size)
{
	struct process_memory *memory = mine();

	if (pages == NULL)
		return;
	if (memory != NULL)
		must(drop(memory, pages) == size);
	must(munmap(pages, size) == 0);
}

void *__wrap_malloc(size_t size)
{
	struct process_memory *memory = mine();

	if (memory == NULL)
		return __real_malloc(size);
	return must_fail(memory) ? NULL : keep(memory, __real_malloc(size), size, false);
}

void *__wrap_calloc(size_t count, size_t size)
{
	struct process_memory *memory = mine();

	if (memory == NULL)
		return __real_calloc(count, size);
	return must_fail(memory) ? NULL
				 : keep(memory, __real_calloc(count, size), count * size, false);
}

void *__wrap_realloc(void *old, size_t size)
{
	struct process_memory *memory = mine();
	size_t before;
	void *start;

	if (memory == NULL)
		return __real_realloc(old, size);
	if (must_fail(memory))
		return NULL;
	before = old != NULL ? drop(memory, old) : 0;
	must(before != SIZE_MAX);
	start = __real_realloc(old, size);
	must(start != NULL);
	return keep(memory, start, size, false);
}

void __wrap_free(void *start)
{
	struct process_memory *memory = mine();

	if (start != NULL && memory != NULL)
		(void)drop(memory, start);
	__real_free(start);
}

char *__wrap_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = __wrap_malloc(size);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}
