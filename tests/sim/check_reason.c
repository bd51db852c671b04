/* Reasons: whoever gives up, a client or a reader, must have met something that could have made him.
 *
 * What he has met can not be seen from here; but where nothing has happened to anybody, nothing has happened to him. What happened a while
 * before he began may still have gone on then (a black hole, a pause, a disk without space). */
#include <string.h>

#include "check_private.h"

/* No fault that the scenario draws lasts longer. */
#define LASTS_NS UINT64_C(60000000000)

/* So many things had happened then. */
struct moment {
	uint64_t at_ns;
	uint64_t troubles;
};

struct attempt {
	uint32_t sender;
	uint32_t run;
	struct check_attempt terms;
	uint64_t began_ns;
	uint64_t troubles;   /* a while before it began */
	uint64_t late_hellos; /* when it began */
	bool was_reachable;
};

/* The newest connection that has said HELLO of a stream. */
struct newest {
	uint8_t id[STREAM_ID];
	uint64_t connection;
};

static struct {
	struct moment *moments;
	size_t moment_count;
	size_t moment_capacity;
	struct attempt *attempts;
	size_t attempt_count;
	size_t attempt_capacity;
	struct newest *newest;
	size_t newest_count;
	size_t newest_capacity;
	uint64_t late_hellos;
	uint64_t changes;    /* servers that have come, gone, or been asked to go */
} reasons;

void reasons_begin(void)
{
	memset(&reasons, 0, sizeof(reasons));
}

void reasons_end(void)
{
	sim_free(reasons.moments);
	sim_free(reasons.attempts);
	sim_free(reasons.newest);
	memset(&reasons, 0, sizeof(reasons));
}

void reasons_server_changed(void)
{
	reasons.changes++;
}

void reasons_said_hello(const uint8_t *id, uint64_t connection)
{
	struct newest *newest = NULL;

	for (size_t i = reasons.newest_count; i-- > 0 && newest == NULL;)
		if (memcmp(reasons.newest[i].id, id, STREAM_ID) == 0)
			newest = &reasons.newest[i];
	if (newest == NULL) {
		reasons.newest = check_grow(reasons.newest, reasons.newest_count,
					    &reasons.newest_capacity, sizeof(*newest));
		newest = &reasons.newest[reasons.newest_count++];
		*newest = (struct newest){ .connection = connection };
		memcpy(newest->id, id, STREAM_ID);
	}
	if (connection < newest->connection)
		reasons.late_hellos++;
	else
		newest->connection = connection;
}

/* --- what has happened so far */

static uint64_t disk_troubles(void)
{
	uint64_t count = 0;

	for (int kind = FAULT_WRITE_SHORT; kind <= FAULT_NO_SPACE; kind++)
		count += fault_counts[kind];
	return count;
}

static uint64_t troubles(void)
{
	static const enum fault kinds[] = {
		FAULT_SEND_ENOBUFS,	FAULT_ACCEPT_EMFILE,	FAULT_NET_DELAY,
		FAULT_NET_CUT,		FAULT_NET_RESET,	FAULT_NET_BLACKHOLE_ONE,
		FAULT_NET_BLACKHOLE_BOTH, FAULT_NET_ACK_LOST,	FAULT_NET_REFUSED,
		FAULT_NET_CONNECT_TIMEOUT, FAULT_WRITE_SLOW,	FAULT_JOB_SLOW,
		FAULT_PAUSE,
	};
	uint64_t count = reasons.changes + disk_troubles();

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		count += fault_counts[kinds[i]];
	return count;
}

/* How many there were a while ago. */
static uint64_t troubles_before(void)
{
	uint64_t now = world_now(), count = 0;

	for (size_t i = reasons.moment_count; i-- > 0;) {
		count = reasons.moments[i].troubles;
		if (reasons.moments[i].at_ns + LASTS_NS <= now)
			return count;
	}
	/* The seed is young: whatever has happened in it counts. */
	return reasons.moment_count > 0 ? count : troubles();
}

static void note_moment(void)
{
	reasons.moments = check_grow(reasons.moments, reasons.moment_count,
				     &reasons.moment_capacity, sizeof(reasons.moments[0]));
	reasons.moments[reasons.moment_count++] = (struct moment){ world_now(), troubles() };
}

/* --- clients */

static struct attempt *find_attempt(uint32_t sender, uint32_t run)
{
	for (size_t i = reasons.attempt_count; i-- > 0;)
		if (reasons.attempts[i].sender == sender && reasons.attempts[i].run == run)
			return &reasons.attempts[i];
	return NULL;
}

void check_client_started(uint32_t sender, uint32_t run, const struct check_attempt *terms)
{
	struct attempt *attempt = find_attempt(sender, run);

	if (attempt == NULL) {
		reasons.attempts = check_grow(reasons.attempts, reasons.attempt_count,
					      &reasons.attempt_capacity, sizeof(*attempt));
		attempt = &reasons.attempts[reasons.attempt_count++];
	}
	note_moment();
	*attempt = (struct attempt){
		.sender = sender,
		.run = run,
		.terms = *terms,
		.began_ns = world_now(),
		.troubles = troubles_before(),
		.late_hellos = reasons.late_hellos,
		.was_reachable = check_server_is_there(),
	};
}

bool reasons_to_give_up(uint32_t sender, uint32_t run, int status)
{
	const struct attempt *attempt = find_attempt(sender, run);

	if (attempt == NULL)
		return false;
	if (status == 75 && world_now() - attempt->began_ns < attempt->terms.patience_ns)
		return false;
	if (attempt->terms.is_too_large)
		return true;
	/* The run before it was killed, and its HELLO comes after this one's: it looks like another sender's. */
	if (status == 69 && reasons.late_hellos != attempt->late_hellos)
		return true;
	if (status == 69 && attempt->terms.tries_again)
		return false;
	/* There may be no room for it: for its connection, its stream, its messages. And on a disk that is broken for good no segment
	 * can be made any more: the server waits as if that were full. */
	return checks.config.mode == MODE_EXHAUSTION || !attempt->was_reachable ||
	       disk_is_broken(checks.config.disk) || troubles() != attempt->troubles;
}

/* --- readers */

uint64_t check_reader_began(void)
{
	return disk_troubles();
}

void check_reader_failed(uint64_t began, int status, const char *text)
{
	world_trace("reader failed", (uint64_t)status, began);
	if (check_is_corrupt() || checks.is_injected)
		return;
	/* No journal is there: so nobody can have been promised anything of it. */
	if (status == 66 && ledger_last() == 0)
		return;
	if (status == 74 && (disk_troubles() != began || disk_is_broken(checks.config.disk)))
		return;
	world_fail("a reader gives up, and there was no reason for it: %s", text);
}
