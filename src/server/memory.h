/* How --memory is divided. Everything is allocated at start, from this plan; nothing grows.
 *
 *      --memory   = journal + sessions + receive + large       what the server has allocated once it listens is never more
 *      sessions   = sessions, gate, fence, timers, the server's own, and the loop with its sockets
 *      receive    = buffer_count receive buffers, medium_count medium pieces
 *      large      = large_budget for large messages, and the tables for them
 *
 * Beside it are the program, its stacks and the kernel's sockets; and while the journal is opened, before anybody can connect, what
 * that needs (journal_memory). Nothing of receive, large and the staging is in use then. */
#ifndef ROGER_SERVER_MEMORY_H
#define ROGER_SERVER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/failure.h"

struct server_config;

/* In `sessions`: what malloc and the kernel add, up to a page for each of a dozen tables. */
enum { MEMORY_ROUNDING = 64 * 1024 };

struct memory_plan {
	uint64_t total;
	uint64_t journal;  /* staging and stream table: what the journal allocates */
	uint64_t sessions; /* sessions and all that each of them may need, and the loop */
	uint64_t loop;     /* the loop's share of that: what io_create allocates but for its buffers */
	uint64_t
		receive; /* the loop's receive buffers, and the medium pieces for partial messages */
	uint64_t large;        /* partial messages that are larger: tables, and ... */
	uint64_t large_budget; /* ... the messages themselves */
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
