#include "fault.h"

#include "base/must.h"
#include "world.h"

/* How likely each is at one opportunity, per million, in a seed of the usual intensity; 0: it is not drawn, it follows from others or
 * the scenario decides. */
static const struct {
	const char *name;
	uint32_t per_million;
} kinds[FAULTS] = {
	[FAULT_COMPLETION_REORDERED] = { "completions in another order", 200000 },
	[FAULT_RECEIVE_PARTIAL] = { "partial receive", 200000 },
	[FAULT_SEND_PARTIAL] = { "partial send", 200000 },
	[FAULT_SEND_ENOBUFS] = { "send: ENOBUFS", 200 },
	[FAULT_POOL_EMPTY] = { "no receive buffer left", 2000 },
	[FAULT_CANCEL_RACE] = { "closed while completing", 0 },
	[FAULT_HANDLE_REUSED] = { "socket number used again", 0 },
	[FAULT_ACCEPT_EMFILE] = { "accept: EMFILE", 20000 },
	[FAULT_NET_DELAY] = { "bytes delayed", 20000 },
	[FAULT_NET_CUT] = { "connection lost", 1000 },
	[FAULT_NET_RESET] = { "connection reset", 1000 },
	[FAULT_NET_BLACKHOLE_ONE] = { "black hole, one way", 500 },
	[FAULT_NET_BLACKHOLE_BOTH] = { "black hole, both ways", 500 },
	[FAULT_NET_ACK_LOST] = { "delivered, the ack lost", 1000 },
	[FAULT_NET_HALF_CLOSE] = { "half-close", 0 },
	[FAULT_NET_WINDOW_CLOSED] = { "window closed", 0 },
	[FAULT_NET_REFUSED] = { "connect: refused", 20000 },
	[FAULT_NET_CONNECT_TIMEOUT] = { "connect: timed out", 10000 },
	[FAULT_NET_OLD_BYTES] = { "old connection's bytes after the new", 0 },
	[FAULT_WRITE_SLOW] = { "write takes seconds", 2000 },
	[FAULT_WRITE_REORDERED] = { "writes out of order", 0 },
	[FAULT_WRITE_LATE] = { "write lands after the kill", 0 },
	[FAULT_WRITE_VERY_LATE] = { "... after the next server's start", 0 },
	[FAULT_WRITE_SHORT] = { "short write", 800 },
	[FAULT_WRITE_ERROR] = { "write error, once", 800 },
	[FAULT_WRITE_ERROR_FOREVER] = { "write error, for good", 600 },
	[FAULT_FLUSH_ERROR] = { "flush error, once", 500 },
	[FAULT_FLUSH_ERROR_FOREVER] = { "flush error, for good", 600 },
	[FAULT_FLUSH_LOST] = { "flush fails, then lies", 1000 },
	[FAULT_READ_ERROR] = { "read error", 1000 },
	[FAULT_NO_SPACE] = { "no space", 2000 },
	[FAULT_JOB_SLOW] = { "file job late", 10000 },
	[FAULT_PAGE_DROPPED] = { "power cut: page dropped", 0 },
	[FAULT_PAGE_KEPT] = { "power cut: page kept", 0 },
	[FAULT_PAGE_TORN] = { "power cut: page torn", 0 },
	[FAULT_SECTOR_GARBAGE] = { "power cut: sector of garbage", 0 },
	[FAULT_NAME_LOST] = { "power cut: name lost", 0 },
	[FAULT_SEGMENT_REUSED] = { "segment reused", 0 },
	[FAULT_BIT_FLIPPED] = { "bit flipped", 0 },
	[FAULT_SECTOR_ZEROED] = { "sector zeroed", 0 },
	[FAULT_BLOCK_MISDIRECTED] = { "block misdirected", 2000 },
	[FAULT_BLOCK_STALE] = { "block stale", 2000 },
	[FAULT_LOCK_DAMAGED] = { "lock file damaged", 100000 },
	[FAULT_SERVER_KILLED] = { "server killed", 0 },
	[FAULT_POWER_CUT] = { "power cut", 0 },
	[FAULT_KILLED_IN_OPENING] = { "server killed in opening", 0 },
	[FAULT_POWER_CUT_IN_OPENING] = { "power cut in opening", 0 },
	[FAULT_CLIENT_KILLED] = { "client killed", 0 },
	[FAULT_READER_KILLED] = { "reader killed", 0 },
	[FAULT_PAUSE] = { "process paused", 0 },
	[FAULT_CLOCK_JUMP] = { "wall clock jumps", 0 },
	[FAULT_SECOND_SERVER] = { "second server", 0 },
	[FAULT_HOSTILE_CLIENT] = { "hostile client", 0 },
};

uint64_t fault_counts[FAULTS];

static uint32_t rates[FAULTS];
static bool stopped;

const char *fault_name(enum fault kind)
{
	return kinds[kind].name;
}

static bool is_corruption(enum fault kind)
{
	return kind >= FAULT_BIT_FLIPPED && kind <= FAULT_LOCK_DAMAGED;
}

/* Of an error of the disk the server dies: with too many of them nothing else would ever happen. */
static bool is_deadly(enum fault kind)
{
	return kind >= FAULT_WRITE_SHORT && kind <= FAULT_READ_ERROR;
}

void faults_draw(enum sim_mode mode)
{
	static const uint32_t quarters[] = { 0, 0, 1, 4, 4, 16 };
	bool is_deadly_seed = world_draw(3) == 0;

	stopped = false;
	for (unsigned i = 0; i < FAULTS; i++) {
		uint32_t factor = quarters[world_draw(sizeof(quarters) / sizeof(quarters[0]))];

		if (is_corruption(i) && mode != MODE_CORRUPTION)
			factor = 0;
		if (is_deadly(i) && !is_deadly_seed)
			factor = 0;
		rates[i] = kinds[i].per_million / 4 * factor;
		if (rates[i] > 500000)
			rates[i] = 500000;
	}
}

void faults_stop(void)
{
	stopped = true;
}

bool faults_stopped(void)
{
	return stopped;
}

bool fault_strikes(enum fault kind)
{
	must(kind < FAULTS);
	return !stopped && world_chance(rates[kind]);
}

bool fault_happens(enum fault kind)
{
	if (!fault_strikes(kind))
		return false;
	fault_happened(kind);
	return true;
}

void fault_happened(enum fault kind)
{
	fault_counts[kind]++;
	world_trace("fault", (uint64_t)kind, 0);
}
