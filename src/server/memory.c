#include "server/memory.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/text.h"
#include "server/room.h"

enum {
	/* Entries at the gate for a session: one for each commit that is not durable, and some for sessions
	 * that went while theirs waited. When there are more, appending waits. */
	GATE_ENTRIES = 4,
	GATE_MIN = 1024,
	/* More receive buffers than this are never in use at once in one turn. */
	BUFFERS_MAX = 4096,
	/* Around a plain message in its piece: line ends. */
	LARGE_ROOM = 64,
};

static uint64_t session_size(void)
{
	return sizeof(struct session) + sizeof(struct session_input) + PARTIAL_SMALL_SIZE +
	       sizeof(struct session_output) + TIMERS_ITEM_SIZE +
	       GATE_ENTRIES * sizeof(struct gate_entry) + IO_SOCKET_SIZE;
}

int memory_plan(const struct server_config *config, uint32_t connections, unsigned writes_max,
		struct memory_plan *ret, struct failure *why)
{
	struct memory_plan plan = { .total = config->memory };
	uint64_t receive_min, fixed, left;
	char total[TEXT_SIZE_SIZE], message[TEXT_SIZE_SIZE];

	plan.large_size = config->journal.message_max + FRAME_HEADER_SIZE + LARGE_ROOM;
	if (plan.large_size < INPUT_MEDIUM_SIZE)
		plan.large_size = INPUT_MEDIUM_SIZE;
	plan.large_size = (size_t)round_up(plan.large_size, 4096);
	plan.journal = journal_memory(&config->journal, writes_max);
	plan.gate_capacity = GATE_ENTRIES * connections;
	if (plan.gate_capacity < GATE_MIN)
		plan.gate_capacity = GATE_MIN;
	plan.stream_entries = config->journal.streams_max + connections;
	plan.sessions = session_size() * connections + GATE_MIN * sizeof(struct gate_entry) +
			(uint64_t)plan.stream_entries * FENCE_ENTRY_SIZE;
	receive_min = RECEIVE_BUFFERS_MIN * 2 * RECEIVE_BUFFER_SIZE;

	fixed = plan.journal + plan.sessions;
	if (config->memory < fixed + receive_min + plan.large_size)
		return failure_set(why, EXIT_USAGE, 0,
				   "--memory %s: %" PRIu32 " connections, %" PRIu32
				   " streams and messages of %s need at least %" PRIu64 "MiB",
				   text_size(config->memory, total), connections,
				   config->journal.streams_max,
				   text_size(config->journal.message_max, message),
				   (fixed + receive_min + plan.large_size + MIB - 1) / MIB);

	left = config->memory - fixed;
	plan.receive = left / 2 > receive_min ? left / 2 : receive_min;
	if (plan.receive > left - plan.large_size)
		plan.receive = left - plan.large_size;
	if (plan.receive > BUFFERS_MAX * 2 * RECEIVE_BUFFER_SIZE)
		plan.receive = BUFFERS_MAX * 2 * RECEIVE_BUFFER_SIZE;
	plan.large_budget = left - plan.receive;
	plan.buffer_count = (uint32_t)(plan.receive / 2 / RECEIVE_BUFFER_SIZE);
	plan.medium_count = (uint32_t)(plan.receive / 2 / INPUT_MEDIUM_SIZE);
	*ret = plan;
	return 0;
}
