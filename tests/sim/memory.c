#include "memory.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/must.h"
#include "process.h"
#include "world.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED true
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
void __wrap_free(void *memory);
char *__wrap_strdup(const char *text);

enum source { HEAP, PAGES, KEPT_PAGES };

struct block {
	void *start;
	size_t size;
	enum source source;
	size_t filled; /* of kept pages: what is behind is zero as ever */
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
	bool is_settled;
	bool is_spent;       /* something was allocated in this turn */
	unsigned turns_left; /* once it is settled: those in which it may still allocate */
	size_t settled;
};

/* What code in the world's own context has of pages (the readers of the end); its heap is not written down. */
static struct process_memory of_world;

/* --- blocks of pages */

/* To give and to take a buffer costs the kernel more than filling it costs its user: those that files are read into are kept, for whoever
 * asks for the same size. ASan is to see who uses a block that he has given back: it gets none that was used. */
enum { KEPT_MOST = 32, KEPT_SIZE_MOST = 2 << 20 };

static struct block kept[KEPT_MOST];
static unsigned kept_count;

static void *pages_new(size_t size)
{
	void *start = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(start != MAP_FAILED);
	return start;
}

/* More than a page's alignment: what stands out at both ends is given back, as the real door does. */
static void *pages_aligned(size_t size, size_t alignment)
{
	enum { PAGE = 4096 };
	size_t rounded = (size + PAGE - 1) / PAGE * PAGE;
	size_t before;
	uint8_t *start;

	if (alignment <= PAGE)
		return pages_new(size);
	start = pages_new(rounded + alignment);
	before = (alignment - (uintptr_t)start % alignment) % alignment;
	must(before == 0 || munmap(start, before) == 0);
	must(munmap(start + before + rounded, alignment - before) == 0);
	return start + before;
}

static void *pages_kept(size_t size)
{
	for (unsigned i = kept_count; i-- > 0;) {
		struct block block = kept[i];

		if (block.size != size)
			continue;
		kept[i] = kept[--kept_count];
		return memset(block.start, 0, block.filled);
	}
	return pages_new(size);
}

static void pages_keep(const struct block *block)
{
	if (kept_count == KEPT_MOST) {
		must(munmap(kept[0].start, kept[0].size) == 0);
		memmove(kept, kept + 1, --kept_count * sizeof(kept[0]));
	}
	kept[kept_count++] = *block;
}

/* Nobody but the file door has written into it. */
static bool is_zero_behind(const struct block *block)
{
	const uint8_t *at = block->start;

	for (size_t i = block->filled; i < block->size; i++)
		if (at[i] != 0)
			return false;
	return true;
}

static void block_release(const struct block *block)
{
	must(!IS_SANITIZED || block->source != KEPT_PAGES || is_zero_behind(block));
	if (block->source == HEAP)
		__real_free(block->start);
	else if (block->source == KEPT_PAGES && block->size <= KEPT_SIZE_MOST && !IS_SANITIZED)
		pages_keep(block);
	else
		must(munmap(block->start, block->size) == 0);
}

/* --- what a process has */

struct process_memory *memory_create(void)
{
	return sim_alloc(sizeof(struct process_memory));
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

size_t memory_settled(const struct process_memory *memory)
{
	return memory->settled;
}

bool memory_is_settled(const struct process_memory *memory)
{
	return memory->is_settled;
}

void memory_settle(struct process_memory *memory, unsigned turns)
{
	memory->is_settled = true;
	memory->settled = memory->used;
	memory->turns_left = turns;
	memory->is_spent = false;
}

void memory_turn(struct process_memory *memory)
{
	if (memory->is_spent)
		memory->turns_left--;
	memory->is_spent = false;
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

/* Who was it? For addr2line -e tests/sim/sim -f. */
static void show_stack(void)
{
	enum { FRAMES_MOST = 24 };
	void *frames[FRAMES_MOST];
	int count = backtrace(frames, FRAMES_MOST);

	fprintf(stderr, "allocated late, at");
	for (int i = 0; i < count; i++) {
		Dl_info where;

		if (dladdr(frames[i], &where) != 0)
			fprintf(stderr, " 0x%zx",
				(size_t)((uintptr_t)frames[i] - (uintptr_t)where.dli_fbase));
	}
	fprintf(stderr, "\n");
}

static void check_late(struct process_memory *memory, size_t size)
{
	if (!memory->is_settled)
		return;
	if (memory->turns_left == 0) {
		show_stack();
		world_fail("%s allocates %zu bytes, long after its start", process_current()->name,
			   size);
	}
	memory->is_spent = true;
}

static bool must_fail(struct process_memory *memory, size_t size)
{
	check_late(memory, size);
	memory->allocations++;
	if (memory->fail_at == 0 || memory->allocations < memory->fail_at)
		return false;
	return memory->allocations == memory->fail_at || memory->fail_forever;
}

static void *keep(struct process_memory *memory, void *start, size_t size, enum source source)
{
	if (start == NULL)
		return NULL;
	if (memory->count == memory->room) {
		memory->room = memory->room > 0 ? 2 * memory->room : 64;
		memory->blocks = sim_resize(memory->blocks, memory->room * sizeof(struct block));
	}
	memory->blocks[memory->count++] = (struct block){ start, size, source, 0 };
	memory->used += size;
	if (memory->used > memory->most)
		memory->most = memory->used;
	return start;
}

/* Forget the block; start NULL: it is none of ours. */
static struct block drop(struct process_memory *memory, const void *start)
{
	for (size_t i = memory->count; i-- > 0;) {
		struct block block = memory->blocks[i];

		if (block.start != start)
			continue;
		memory->blocks[i] = memory->blocks[--memory->count];
		memory->used -= block.size;
		return block;
	}
	return (struct block){ NULL, 0, HEAP, 0 };
}

void *memory_pages(size_t size, size_t alignment, bool is_kept)
{
	struct process_memory *memory = mine();

	if (memory != NULL && must_fail(memory, size))
		return NULL;
	return keep(memory != NULL ? memory : &of_world,
		    is_kept ? pages_kept(size) : pages_aligned(size, alignment), size,
		    is_kept ? KEPT_PAGES : PAGES);
}

void memory_pages_filled(const void *at, size_t size)
{
	struct process_memory *memory = mine() != NULL ? mine() : &of_world;

	for (size_t i = memory->count; i-- > 0;) {
		struct block *block = &memory->blocks[i];
		size_t from = (size_t)((uintptr_t)at - (uintptr_t)block->start);

		if (block->source != KEPT_PAGES || from >= block->size)
			continue;
		must(size <= block->size - from);
		if (block->filled < from + size)
			block->filled = from + size;
		return;
	}
}

void memory_pages_free(void *pages, size_t size)
{
	struct process_memory *memory = mine();
	struct block block;

	if (pages == NULL)
		return;
	block = drop(memory != NULL ? memory : &of_world, pages);
	must(block.start != NULL && block.size == size);
	block_release(&block);
}

void *__wrap_malloc(size_t size)
{
	struct process_memory *memory = mine();

	if (memory == NULL)
		return __real_malloc(size);
	return must_fail(memory, size) ? NULL : keep(memory, __real_malloc(size), size, HEAP);
}

/* Large ones are tables, mostly, and hardly touched: the kernel's zeros cost only where they are. */
void *__wrap_calloc(size_t count, size_t size)
{
	enum { LARGE = 256 * 1024 };
	struct process_memory *memory = mine();
	size_t whole;

	if (__builtin_mul_overflow(count, size, &whole) ||
	    (memory != NULL && must_fail(memory, whole)))
		return NULL;
	if (whole >= LARGE && !IS_SANITIZED)
		return keep(memory != NULL ? memory : &of_world, pages_new(whole), whole, PAGES);
	if (memory == NULL)
		return __real_calloc(count, size);
	return keep(memory, __real_calloc(count, size), whole, HEAP);
}

static void *heap_resize(struct process_memory *memory, void *old, size_t size)
{
	struct block block = drop(memory, old);
	void *start;

	must(block.start != NULL);
	if (block.source == HEAP)
		return __real_realloc(old, size);
	start = __real_malloc(size);
	must(start != NULL);
	memcpy(start, old, block.size < size ? block.size : size);
	block_release(&block);
	return start;
}

void *__wrap_realloc(void *old, size_t size)
{
	struct process_memory *memory = mine();
	void *start;

	if (memory == NULL)
		return __real_realloc(old, size);
	if (must_fail(memory, size))
		return NULL;
	start = old != NULL ? heap_resize(memory, old, size) : __real_malloc(size);
	must(start != NULL);
	return keep(memory, start, size, HEAP);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	size_t whole;

	return __builtin_mul_overflow(count, size, &whole) ? NULL : __wrap_realloc(old, whole);
}

void __wrap_free(void *start)
{
	struct process_memory *memory = mine();
	struct block block;

	if (start == NULL)
		return;
	block = drop(memory != NULL ? memory : &of_world, start);
	if (block.start != NULL)
		block_release(&block);
	else
		__real_free(start);
}

char *__wrap_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = __wrap_malloc(size);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}
