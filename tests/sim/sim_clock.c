/* The door of clock and randomness: virtual time, as the calling process's host sees it, and chance from the seed. */
#include "base/limits.h"
#include "clock/clock.h"
#include "process.h"
#include "world.h"

/* A machine has been running for a while before a world begins, and its wall clock shows a date. */
#define UP_BEFORE_NS (1000 * SECOND_NS)
#define BEGIN_NS ((uint64_t)1790000000 * SECOND_NS)

static const struct host *here(void)
{
	const struct process *process = process_current();

	return process != NULL ? process->host : NULL;
}

uint64_t clock_monotonic_ns(void)
{
	const struct host *host = here();

	return UP_BEFORE_NS + world_now() - (host != NULL ? host->booted_ns : 0);
}

uint64_t clock_boottime_ns(void)
{
	const struct host *host = here();

	return clock_monotonic_ns() + (host != NULL ? host->slept_ns : 0);
}

uint64_t clock_realtime_ns(void)
{
	const struct host *host = here();
	uint64_t now_ns = BEGIN_NS + world_now();

	return host != NULL ? now_ns + (uint64_t)host->clock_ahead : now_ns;
}

void clock_sleep_ns(uint64_t ns)
{
	if (process_current() != NULL)
		fiber_sleep(ns);
}

void random_bytes(void *out, size_t size)
{
	uint8_t *bytes = out;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)world_draw(256);
}
