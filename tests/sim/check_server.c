/* Servers: when they may acknowledge, how they may end, what they may take. */
#include <string.h>

#include "check_private.h"

enum {
	STATUS_DONE = 0,
	STATUS_DAMAGE = 65,
	STATUS_LISTEN = 71,
	STATUS_LOCKED = 73,
	STATUS_IO = 74,
	STATUS_LATE = 75
};

struct server {
	struct process *process;
	bool is_running;
	bool is_asked;        /* to stop */
	bool is_urged;        /* ... twice */
	bool is_early;        /* ... before it had opened the journal */
	bool has_failed;      /* a write or flush of its journal has */
	bool has_accepted;
	bool had_company;     /* another one was running at some time of its life */
	uint64_t disk_faults; /* before it began */
	uint64_t delays;      /* ... too */
};

static struct {
	struct server *list;
	size_t count;
	size_t capacity;
} servers;

void servers_begin(void)
{
	memset(&servers, 0, sizeof(servers));
}

void servers_end(void)
{
	sim_free(servers.list);
	memset(&servers, 0, sizeof(servers));
}

static struct server *find(const struct process *process)
{
	for (size_t i = servers.count; i-- > 0;)
		if (servers.list[i].process == process)
			return &servers.list[i];
	world_fail("a server that nobody has started");
}

/* Everything that can make a server fail honestly. */
static uint64_t disk_faults(void)
{
	uint64_t count = 0;

	for (int kind = FAULT_WRITE_SHORT; kind <= FAULT_NO_SPACE; kind++)
		count += fault_counts[kind];
	return count;
}

/* Everything that can make it late. */
static uint64_t delays(void)
{
	return fault_counts[FAULT_WRITE_SLOW] + fault_counts[FAULT_JOB_SLOW] +
	       fault_counts[FAULT_NO_SPACE] + fault_counts[FAULT_PAUSE];
}

void check_server_started(struct process *process)
{
	bool has_company = false;

	reasons_server_changed();
	for (size_t i = 0; i < servers.count; i++) {
		if (!servers.list[i].is_running)
			continue;
		has_company = true;
		servers.list[i].had_company = true;
	}
	servers.list =
		check_grow(servers.list, servers.count, &servers.capacity, sizeof(servers.list[0]));
	servers.list[servers.count++] = (struct server){
		.process = process,
		.is_running = true,
		.had_company = has_company,
		.disk_faults = disk_faults(),
		.delays = delays(),
	};
	if (!checks.config.no_journal && !has_company) {
		audit_cut();
		audit_restart();
	}
}

static void check_status(const struct server *server, int status)
{
	bool had_faults = checks.is_injected || disk_faults() != server->disk_faults ||
			  disk_is_broken(checks.config.disk);

	switch (status) {
	case STATUS_DONE:
		if (!server->is_asked)
			break;
		if (!checks.config.no_journal && !had_faults && !check_is_corrupt() &&
		    (!server->is_early || server->has_accepted))
			audit_must_be_sealed();
		return;
	case STATUS_DAMAGE:
		if (!check_is_corrupt())
			world_fail("a server calls an honest crash damage");
		check_told_from(1); /* from where, it has told its operator */
		return;
	case STATUS_LISTEN:
		if (server->had_company || checks.is_injected)
			return;
		break;
	case STATUS_LOCKED:
		if (server->had_company || had_faults)
			return;
		break;
	case STATUS_IO:
		if (server->has_failed || had_faults)
			return;
		break;
	case STATUS_LATE:
		if (server->is_asked &&
		    (server->is_urged || delays() != server->delays || had_faults ||
		     checks.config.mode == MODE_EXHAUSTION))
			return;
		break;
	default:
		if (checks.is_injected)
			return;
		break;
	}
	world_fail("a server ended with status %d, and there was no reason for it", status);
}

static void check_memory(const struct process *process)
{
	const struct check_config *config = &checks.config;
	size_t most = process_memory_most(process);
	size_t settled = process_memory_settled(process);

	if (config->memory_budget == 0)
		return;
	if (settled > config->memory_budget)
		world_fail("a server has %zu bytes of memory when it listens; it may have %llu",
			   settled, (unsigned long long)config->memory_budget);
	if (most > config->memory_budget + config->opening_budget)
		world_fail("a server has taken %zu bytes of memory to open the journal; it may "
			   "take %llu",
			   most,
			   (unsigned long long)(config->memory_budget + config->opening_budget));
}

void check_server_ended(struct process *process)
{
	struct server *server = find(process);

	server->is_running = false;
	reasons_server_changed();
	tap_server_ended(process);
	check_memory(process);
	if (process->state == PROCESS_RETURNED)
		check_status(server, process->status);
}

void check_server_asked(struct process *process)
{
	struct server *server = find(process);

	reasons_server_changed();
	server->is_urged = server->is_asked;
	server->is_asked = true;
}

void check_server_asked_early(struct process *process)
{
	check_server_asked(process);
	find(process)->is_early = true;
}

bool check_server_is_there(void)
{
	for (size_t i = 0; i < servers.count; i++)
		if (servers.list[i].is_running && servers.list[i].has_accepted &&
		    !servers.list[i].is_asked)
			return true;
	return false;
}

bool check_was_asked(const struct process *process)
{
	return find(process)->is_asked;
}

void check_io_error(struct process *process)
{
	find(process)->has_failed = true;
}

void check_may_claim(const struct process *process)
{
	const struct server *server = find(process);

	if (!server->is_running)
		world_fail("a server that has ended acknowledges something");
	if (server->has_failed)
		world_fail("a server acknowledges something after a write or flush has failed");
}

void check_accepted(struct process *process, uint64_t connection, uint16_t port)
{
	static const struct {
		uint16_t port;
		enum talk talk;
	} listeners[] = { { 9998, TALK_LINE }, { 9997, TALK_WHOLE } };
	struct server *server = find(process);
	enum talk talk = TALK_UNKNOWN;
	unsigned open;

	for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++)
		if (listeners[i].port == port)
			talk = listeners[i].talk;
	/* What its opening has left is where acknowledgements go on from. */
	if (!server->has_accepted)
		audit_restart();
	server->has_accepted = true;
	tap_add(process, connection, talk);
	open = disk_descriptors(process) + tap_open(process);
	if (checks.config.descriptors_budget != 0 && open > checks.config.descriptors_budget)
		world_fail("a server has %u descriptors open; it may have %u", open,
			   checks.config.descriptors_budget);
}
