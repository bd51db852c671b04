#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
_Noreturn void __real__exit(int status);

struct event {
	uint64_t at_ns;
	uint64_t order;
	world_action action;
	void *context;
	uint64_t argument;
};

static struct {
	uint64_t seed;
	uint64_t random[4];
	uint64_t now_ns;
	struct event *heap; /* the earliest first */
	size_t count;
	size_t room;
	uint64_t order;
	uint64_t hash;
	bool verbose;
} world;

/* --- memory */

void *sim_alloc(size_t size)
{
	void *memory = __real_calloc(1, size > 0 ? size : 1);

	must(memory != NULL);
	return memory;
}

void *sim_resize(void *memory, size_t size)
{
	memory = __real_realloc(memory, size > 0 ? size : 1);
	must(memory != NULL);
	return memory;
}

void sim_free(void *memory)
{
	__real_free(memory);
}

/* --- chance: xoshiro256** */

static uint64_t turned(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static uint64_t random_next(void)
{
	uint64_t *s = world.random;
	uint64_t result = turned(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = turned(s[3], 45);
	return result;
}

static void random_begin(uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++) { /* splitmix64: neighbours among the seeds have nothing in common */
		uint64_t z = seed += 0x9e3779b97f4a7c15;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		world.random[i] = z ^ z >> 31;
	}
}

uint64_t world_draw(uint64_t below)
{
	must(below > 0);
	return random_next() % below;
}

uint64_t world_between(uint64_t least, uint64_t most)
{
	return least + world_draw(most - least + 1);
}

bool world_chance(uint32_t per_million)
{
	return per_million > 0 && world_draw(1000000) < per_million;
}

uint64_t world_span(uint64_t least, uint64_t usual, uint64_t most)
{
	uint64_t width = 2 * usual + 1;
	uint64_t kind = world_draw(256);
	uint64_t span;

	if (kind == 0)
		width = most;
	else if (kind < 16)
		width *= 16;
	span = least + world_draw(width + 1);
	return span < most ? span : most;
}

/* --- events */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void world_at(uint64_t at_ns, world_action action, void *context, uint64_t argument)
{
	struct event event = {
		.at_ns = at_ns > world.now_ns ? at_ns : world.now_ns,
		.order = world.order++,
		.action = action,
		.context = context,
		.argument = argument,
	};
	size_t i = world.count++;

	if (world.count > world.room) {
		world.room = world.room > 0 ? 2 * world.room : 256;
		world.heap = sim_resize(world.heap, world.room * sizeof(*world.heap));
	}
	for (; i > 0 && is_before(&event, &world.heap[(i - 1) / 2]); i = (i - 1) / 2)
		world.heap[i] = world.heap[(i - 1) / 2];
	world.heap[i] = event;
}

static struct event take_first(void)
{
	struct event first = world.heap[0];
	struct event last = world.heap[--world.count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < world.count &&
		    is_before(&world.heap[child + 1], &world.heap[child]))
			child++;
		if (child >= world.count || !is_before(&world.heap[child], &last))
			break;
		world.heap[i] = world.heap[child];
		i = child;
	}
	world.heap[i] = last;
	return first;
}

bool world_step(void)
{
	struct event event;

	if (world.count == 0)
		return false;
	event = take_first();
	world.now_ns = event.at_ns;
	event.action(event.context, event.argument);
	return true;
}

uint64_t world_next(void)
{
	return world.count > 0 ? world.heap[0].at_ns : NEVER_NS;
}

uint64_t world_now(void)
{
	return world.now_ns;
}

/* --- the trace */

static void mix(uint64_t value)
{
	world.hash = (world.hash ^ value) * 0x9e3779b97f4a7c15;
	world.hash ^= world.hash >> 29;
}

void world_trace(const char *what, uint64_t a, uint64_t b)
{
	mix(world.now_ns);
	for (const char *c = what; *c != '\0'; c++)
		world.hash = (world.hash ^ (uint8_t)*c) * 0x100000001b3;
	mix(a);
	mix(b);
	if (world.verbose)
		fprintf(stderr, "%14.6f ms  %-28s %llu %llu\n", (double)world.now_ns / 1e6, what,
			(unsigned long long)a, (unsigned long long)b);
}

uint64_t world_trace_hash(void)
{
	return world.hash;
}

void world_verbose(bool verbose)
{
	world.verbose = verbose;
}

/* --- a world */

void world_begin(uint64_t seed)
{
	bool verbose = world.verbose;

	world.count = 0;
	world.seed = seed;
	world.now_ns = 0;
	world.order = 0;
	world.hash = 0xcbf29ce484222325;
	world.verbose = verbose;
	random_begin(seed);
}

void world_calm(void)
{
	world.count = 0;
}

void world_end(void)
{
	world.count = 0;
	sim_free(world.heap);
	world.heap = NULL;
	world.room = 0;
}

uint64_t world_seed(void)
{
	return world.seed;
}

_Noreturn void world_fail(const char *format, ...)
{
	va_list arguments;
	char why[1000];

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	fflush(stdout);
	fprintf(stderr, "seed %llu failed: %s (at %.6f ms)\n", (unsigned long long)world.seed, why,
		(double)world.now_ns / 1e6);
	fflush(stderr);
	__real__exit(1);
}
