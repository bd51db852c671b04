/* The third door: clock and randomness. Everything above it is deterministic, so a simulator links its own. */
#ifndef ROGER_CLOCK_CLOCK_H
#define ROGER_CLOCK_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_monotonic_ns(void);
uint64_t clock_boottime_ns(void); /* monotonic, and goes on while the machine sleeps */
uint64_t clock_realtime_ns(void); /* since the epoch; may jump */

/* Sleep at least so long. For start-up and tools, never for a loop. */
void clock_sleep_ns(uint64_t ns);

/* Fill with random bytes from the kernel. Never fails (aborts if the kernel refuses). */
void random_bytes(void *out, size_t size);

#endif
