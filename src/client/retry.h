/* How long to wait before the next attempt to connect. */
#ifndef ROGER_CLIENT_RETRY_H
#define ROGER_CLIENT_RETRY_H

#include <stdint.h>

/* Exponential back-off with full jitter: a random part of RECONNECT_MIN_NS doubled `attempt` times, at most of RECONNECT_MAX_NS,
 * so that senders that lost the same server do not come back together. `random`: any number, uniform. ns, at least 1 ms. */
uint64_t retry_delay_ns(unsigned attempt, uint32_t random);

#endif
