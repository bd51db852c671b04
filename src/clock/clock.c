#include "clock/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/limits.h"
#include "base/must.h"

static uint64_t read_clock(clockid_t id)
{
	struct timespec now;

	must(clock_gettime(id, &now) == 0);
	/* A clock before the epoch is as good as the epoch: times are unsigned everywhere. */
	if (now.tv_sec < 0)
		return 0;
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_boottime_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

uint64_t clock_realtime_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

void random_bytes(void *out, size_t size)
{
	uint8_t *at = out;

	while (size > 0) {
		ssize_t got = getrandom(at, size, 0);

		if (got < 0) {
			must(errno == EINTR);
			continue;
		}
		at += got;
		size -= (size_t)got;
	}
}

void clock_sleep_ns(uint64_t ns)
{
	struct timespec left = { .tv_sec = (time_t)(ns / 1000000000u),
				 .tv_nsec = (long)(ns % 1000000000u) };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}
