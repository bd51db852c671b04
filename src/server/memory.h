/* How --memory is divided. Everything is allocated at start, from this plan; nothing grows. */
#ifndef ROGER_SERVER_MEMORY_H
#define ROGER_SERVER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/failure.h"

struct server_config;

struct memory_plan {
	uint64_t total;
	uint64_t journal;  /* staging and stream table: what the journal allocates */
	uint64_t sessions; /* sessions and all that each of them may need */
	uint64_t
		receive; /* the loop's receive buffers, and the medium pieces for partial messages */
	uint64_t large_budget; /* partial messages that are larger */
	size_t large_size;     /* the largest of them */
	uint32_t buffer_count; /* receive buffers */
	uint32_t medium_count;
	uint32_t gate_capacity;
	uint32_t stream_entries; /* of the journal's table: of the fence, too */
};

/* The plan for `connections` connections; writes_max: io_writes_max. -EINVAL with *why (exit 64) when --memory is too small. */
int memory_plan(const struct server_config *config, uint32_t connections, unsigned writes_max,
		struct memory_plan *ret, struct failure *why);

#endif
