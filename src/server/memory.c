#include "server/memory.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "server/room.h"

enum {
	/* Entries at the gate for a session: one for each commit that is not durable, and some for sessions
	 * that went while theirs waited. When there are more, appending waits. */
	GATE_ENTRIES = 4,
	GATE_MIN = 1024,
	/* More receive buffers than this are never in use at once in one turn. */
	BUFFERS_MAX = 4096,
	/* Two receive buffers and a medium piece, with what is kept about them. */
	PAIR_SIZE = 2 * (RECEIVE_BUFFER_SIZE + IO_BUFFER_MEMORY) + INPUT_MEDIUM_SIZE +
		    sizeof(struct input_holder),
	/* Around a plain message in its piece: line ends. */
	LARGE_ROOM = 64,
};

static uint32_t gate_capacity(uint32_t connections)
{
	return connections < GATE_MIN / GATE_ENTRIES ? GATE_MIN : GATE_ENTRIES * connections;
}

static uint64_t sessions_memory(uint32_t connections)
{
	uint64_t each = sizeof(struct session) + sizeof(struct session_input) + PARTIAL_SMALL_SIZE +
			sizeof(struct session_output) + TIMERS_ITEM_SIZE;

	return each * connections + gate_memory(gate_capacity(connections)) +
	       sizeof(struct server) + MEMORY_ROUNDING;
}

static uint64_t loop_memory(uint32_t connections)
{
	return IO_LOOP_MEMORY + ((uint64_t)connections + LISTENERS_MAX) * IO_SOCKET_SIZE;
}

/* Tables for `memory` bytes of large pieces, at most. */
static uint64_t large_tables(uint64_t memory)
{
	return (memory / RECEIVE_BUFFER_SIZE + 1) * LARGE_ITEM_SIZE;
}

int memory_plan(const struct server_config *config, uint32_t connections, unsigned writes_max,
		struct memory_plan *ret, struct failure *why)
{
	struct memory_plan plan = { .total = config->memory };
	uint64_t receive_min, large_min, fixed, left, pairs;
	char total[TEXT_SIZE_SIZE], message[TEXT_SIZE_SIZE];

	plan.large_size = config->journal.message_max + FRAME_HEADER_SIZE + LARGE_ROOM;
	if (plan.large_size < INPUT_MEDIUM_SIZE)
		plan.large_size = INPUT_MEDIUM_SIZE;
	plan.large_size = (size_t)round_up(plan.large_size, 4096);
	plan.journal = journal_memory(&config->journal, writes_max);
	plan.gate_capacity = gate_capacity(connections);
	plan.loop = loop_memory(connections);
	plan.stream_entries = config->journal.streams_max + connections;
	plan.sessions = sessions_memory(connections) + plan.loop +
			(uint64_t)plan.stream_entries * FENCE_ENTRY_SIZE;
	receive_min = RECEIVE_BUFFERS_MIN / 2 * PAIR_SIZE;
	large_min = plan.large_size + large_tables(plan.large_size);

	fixed = plan.journal + plan.sessions;
	if (config->memory < fixed + receive_min + large_min)
		return failure_set(why, EXIT_USAGE, 0,
				   "--memory %s: %" PRIu32 " connections, %" PRIu32
				   " streams and messages of %s need at least %" PRIu64 "MiB",
				   text_size(config->memory, total), connections,
				   config->journal.streams_max,
				   text_size(config->journal.message_max, message),
				   (fixed + receive_min + large_min + MIB - 1) / MIB);

	left = config->memory - fixed;
	plan.receive = left / 2 > receive_min ? left / 2 : receive_min;
	if (plan.receive > left - large_min)
		plan.receive = left - large_min;
	pairs = plan.receive / PAIR_SIZE < BUFFERS_MAX / 2 ? plan.receive / PAIR_SIZE
							   : BUFFERS_MAX / 2;
	plan.receive = pairs * PAIR_SIZE;
	plan.buffer_count = (uint32_t)(2 * pairs);
	plan.medium_count = (uint32_t)pairs;
	plan.large = left - plan.receive;
	plan.large_budget = plan.large - large_tables(plan.large);
	must(plan.large_budget >= plan.large_size);
	*ret = plan;
	return 0;
}
