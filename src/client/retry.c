#include "client/retry.h"

#include "base/limits.h"

uint64_t retry_delay_ns(unsigned attempt, uint32_t random)
{
	uint64_t most = RECONNECT_MIN_NS;
	uint64_t delay;

	while (attempt > 0 && most < RECONNECT_MAX_NS) {
		most *= 2;
		attempt--;
	}
	if (most > RECONNECT_MAX_NS)
		most = RECONNECT_MAX_NS;
	delay = most / UINT32_MAX * random + most % UINT32_MAX * random / UINT32_MAX;
	return delay < MS_NS ? MS_NS : delay;
}
