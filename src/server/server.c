/* Start, loop, dispatch, stop. */
#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/must.h"
#include "base/mutant.h"
#include "base/text.h"
#include "clock/clock.h"
#include "server/room.h"

enum {
	/* Descriptors beside the connections: listeners, journal, the loop's own, standard ones. */
	DESCRIPTORS_SPARE = LISTENERS_MAX + 64,
};

void server_config_default(struct server_config *config)
{
	*config = (struct server_config){
		.journal = {
			.path = "./roger-journal",
			.streams_max = DEFAULT_STREAMS_MAX,
			.message_max = DEFAULT_MESSAGE_MAX,
			.segment_size = DEFAULT_SEGMENT_SIZE,
			.keep_free_bytes = UINT64_MAX,
		},
		.connections_max = DEFAULT_CONNECTIONS_MAX,
		.memory = DEFAULT_MEMORY,
		.io_backend = "auto",
		.first_ns = DEADLINE_FIRST_NS,
		.message_ns = DEADLINE_MESSAGE_NS,
		.idle_ns = DEADLINE_IDLE_NS,
		.linger_ns = LINGER_QUIET_NS,
		.heartbeat_ns = HEARTBEAT_NS,
	};
}

/* --- start */

/* As many descriptors as may be had; returns for how many connections they do. */
static uint32_t connections_possible(struct server *server)
{
	uint32_t wanted = server->config->connections_max;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return wanted;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = { limit.rlim_max, limit.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit.rlim_cur = limit.rlim_max;
	}
	if (limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= (rlim_t)wanted + DESCRIPTORS_SPARE)
		return wanted;
	wanted = limit.rlim_cur > DESCRIPTORS_SPARE
			 ? (uint32_t)(limit.rlim_cur - DESCRIPTORS_SPARE)
			 : 1;
	notes_say(&server->notes, "limit",
		  "at most %" PRIu32 " connections, not %" PRIu32
		  ": this process may have %" PRIu64 " descriptors (ulimit -n)",
		  wanted, server->config->connections_max, (uint64_t)limit.rlim_cur);
	return wanted;
}

static int create_io(const struct server_config *config, uint32_t sockets, uint32_t buffers,
		     struct io **ret_io, struct failure *why)
{
	struct io_config io = {
		.sockets_max = sockets,
		.buffer_count = buffers,
		.buffer_size = RECEIVE_BUFFER_SIZE,
		.backend = config->io_backend,
	};
	int r = io_create(&io, ret_io);

	if (r == -ENOSYS)
		return failure_set(why, EXIT_USAGE, 0, "--io %s: not to be had here",
				   config->io_backend);
	if (r)
		return failure_set(why, EXIT_IO, -r, "the event loop");
	return 0;
}

/* How memory is divided depends on how many writes the loop can have in flight: ask a small loop. */
static int make_plan(struct server *server, uint32_t connections, struct failure *why)
{
	struct io *probe;
	unsigned writes_max;
	int r = create_io(server->config, 1, 1, &probe, why);

	if (r)
		return r;
	writes_max = io_writes_max(probe);
	io_destroy(probe);
	return memory_plan(server->config, connections, writes_max, &server->plan, why);
}

static int allocate(struct server *server, uint32_t connections, struct failure *why)
{
	const struct memory_plan *plan = &server->plan;
	int r;

	server->session_count = connections;
	server->sessions = calloc(connections, sizeof(*server->sessions));
	r = server->sessions ? 0 : -ENOMEM;
	if (!r)
		r = slab_init(&server->inputs, sizeof(struct session_input), connections);
	if (!r)
		r = slab_init(&server->outputs, sizeof(struct session_output), connections);
	if (!r)
		r = input_pools_init(&server->pools, connections, plan->medium_count,
				     plan->large_budget, plan->large_size);
	if (!r)
		r = fence_init(&server->fence, plan->stream_entries);
	if (!r)
		r = gate_init(&server->gate, plan->gate_capacity);
	if (!r)
		r = timers_init(&server->timers, connections);
	if (r)
		return failure_set(why, EXIT_IO, -r, "memory");
	return create_io(server->config, connections + LISTENERS_MAX, plan->buffer_count,
			 &server->io, why);
}

static void give_back(struct server *server)
{
	if (server->journal)
		journal_close(server->journal);
	io_destroy(server->io);
	timers_deinit(&server->timers);
	gate_deinit(&server->gate);
	fence_deinit(&server->fence);
	input_pools_deinit(&server->pools);
	slab_deinit(&server->outputs);
	slab_deinit(&server->inputs);
	free(server->sessions);
	free(server);
}

/* Opening waits for room on a full disk: a signal ends that. */
static bool opening_should_stop(void *context)
{
	struct server *server = context;
	struct io_event event;

	if (io_wait(server->io, 0))
		return true;
	while (io_next(server->io, &event)) {
		if (event.kind == IO_SIGNAL)
			server->signals++;
	}
	return server->signals > 0;
}

static void opening_notice(void *context, const char *text)
{
	struct server *server = context;

	notes_say(&server->notes, "opening", "%s", text);
}

static int open_journal(struct server *server, struct failure *why)
{
	struct journal_config config = server->config->journal;
	struct journal_info info;
	int r;

	config.connections_max = server->session_count;
	config.stop = opening_should_stop;
	config.notice = opening_notice;
	config.context = server;
	r = journal_open(&config, server->io, &server->journal, why);
	if (r)
		return r;
	journal_info(server->journal, &info);
	for (unsigned i = 0; i < JOURNAL_ID_SIZE; i++)
		server->journal_id[i] = info.id[i];
	server->not_durable = info.volatile_only;
	return 0;
}

static void banner(struct server *server)
{
	const struct memory_plan *plan = &server->plan;
	char total[TEXT_SIZE_SIZE], a[TEXT_SIZE_SIZE], b[TEXT_SIZE_SIZE], c[TEXT_SIZE_SIZE],
		d[TEXT_SIZE_SIZE];
	struct journal_info info;

	listeners_banner(server);
	journal_info(server->journal, &info);
	if (info.volatile_only)
		notes_banner(&server->notes, "journal",
			     "no journal: nothing is stored, an ack means \"received\"");
	else
		notes_banner(
			&server->notes, "journal", "journal %s: %" PRIu64 " record%s, %s free%s",
			server->config->journal.path, info.records, info.records == 1 ? "" : "s",
			text_size(info.free_bytes, total),
			info.direct ? "" : "; no direct I/O here: buffered writes and fdatasync");
	notes_banner(&server->notes, "memory",
		     "memory %s (%s): journal %s, %" PRIu32
		     " connections %s, receive buffers %s, large messages %s",
		     text_size(plan->total, total), io_backend(server->io),
		     text_size(plan->journal, a), server->session_count,
		     text_size(plan->sessions, b), text_size(plan->receive, c),
		     text_size(plan->large, d));
}

static int start(struct server *server, struct failure *why)
{
	uint32_t connections = connections_possible(server);
	int r = make_plan(server, connections, why);

	if (!r)
		r = allocate(server, connections, why);
	if (!r) {
		r = io_signals(server->io);
		if (r)
			return failure_set(why, EXIT_IO, -r, "signals");
	}
	if (!r)
		r = listeners_find(server, why);
	if (!r)
		r = open_journal(server, why);
	if (!r)
		r = listeners_open(server, why);
	return r;
}

/* --- loop */

static void on_signal(struct server *server)
{
	server->signals++;
	if (server->signals == 1)
		drain_begin(server);
	else
		_exit(EXIT_TIMEOUT); /* at once: not even for the write that is under way */
}

static void on_closed(struct server *server, const struct io_event *event)
{
	/* Without an owner: a connection that was closed as soon as it came. */
	if (event->owner && !listener_of(server, event->owner))
		session_closed(server, event->owner);
}

static void dispatch(struct server *server, const struct io_event *event)
{
	switch (event->kind) {
	case IO_ACCEPTED: session_accepted(server, event->owner, event); break;
	case IO_ACCEPT_FAILED:
		notes_say(&server->notes, "accept", "accept: %s; trying again",
			  strerror(-event->result));
		break;
	case IO_RECEIVED: session_received(server, event->owner, event); break;
	case IO_SENT: session_sent(server, event->owner, event->result); break;
	case IO_CLOSED: on_closed(server, event); break;
	case IO_WRITTEN: journal_written(server->journal, event->write, event->result); break;
	case IO_JOB_DONE: journal_job_done(server->journal, event->job); break;
	case IO_SIGNAL: on_signal(server); break;
	case IO_CONNECTED: must(event->kind != IO_CONNECTED); /* nobody here connects */
	}
}

/* The gate was full, and is not any more: sessions that are parked for it may go on. */
static bool gate_has_room(const struct server *server)
{
	return server->gate_was_full && !gate_is_full(&server->gate);
}

/* Sessions that wait for room in the journal, oldest first, until it is full again. */
static void resume_parked(struct server *server)
{
	uint64_t progress = journal_progress(server->journal);

	if (!server->parked.count || MUTANT(20) ||
	    (progress == server->progress && !gate_has_room(server)))
		return;
	server->progress = progress;
	server->gate_was_full = false;
	server->resuming = true;
	/* Others may leave the queue meanwhile: a HELLO fences the session that had its stream. */
	for (uint32_t i = server->parked.count; i > 0 && server->parked.count; i--) {
		struct session *s = &server->sessions[server->parked.first];

		session_dequeue(server, s);
		session_work(server, s);
		if (s->queue == QUEUE_PARKED)
			break;
	}
	server->resuming = false;
}

/* Sessions that wait for memory, oldest first. */
static void resume_large(struct server *server)
{
	while (server->memory_queue.count &&
	       (server->pools.large.reserved < server->large_reserved ||
		server->pools.medium.used < server->medium_used)) {
		struct session *s = &server->sessions[server->memory_queue.first];

		session_dequeue(server, s);
		server->granting = true;
		session_work(server, s);
		server->granting = false;
	}
}

static void resume_ready(struct server *server)
{
	for (uint32_t i = server->ready.count; i > 0 && server->ready.count; i--) {
		struct session *s = &server->sessions[server->ready.first];

		session_dequeue(server, s);
		session_work(server, s);
	}
}

static void expire(struct server *server)
{
	uint32_t item;

	while (timers_due(&server->timers, io_now(server->io), &item))
		session_expired(server, &server->sessions[item]);
}

static void open_gate(struct server *server)
{
	uint64_t durable = journal_durable(server->journal);
	struct gate_entry entry;

	while (gate_release(&server->gate, durable, &entry)) {
		struct session *s = &server->sessions[entry.session];

		if (s->generation == entry.generation)
			session_released(server, s, &entry);
	}
}

/* What the journal has to say. Its failure is returned: no ack may follow. */
static int journal_news(struct server *server)
{
	enum journal_notice_kind kind;
	struct failure news;

	while (journal_notice(server->journal, &kind, &news)) {
		static const char *const events[] = {
			[JOURNAL_FULL] = "full",
			[JOURNAL_ROOM] = "room",
			[JOURNAL_FAILED] = "failed",
			[JOURNAL_TROUBLE] = "trouble",
		};

		notes_say(&server->notes, events[kind], "%s%s", news.text,
			  kind == JOURNAL_FULL ? "; full: senders wait" : "");
	}
	return journal_failed(server->journal);
}

static uint64_t first_of(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

static int serve(struct server *server)
{
	uint64_t journal_ns = 0;

	for (;;) {
		struct io_event event;
		uint64_t until_ns = first_of(timers_next(&server->timers), journal_ns);

		until_ns = first_of(until_ns, notes_deadline(&server->notes));
		until_ns = first_of(until_ns, drain_deadline(server));
		/* Whatever came after the journal's last turn must not wait for an event. */
		if (server->appended || server->ready.count ||
		    (server->parked.count && gate_has_room(server)))
			until_ns = 0;
		if (io_wait(server->io, until_ns)) {
			notes_say(&server->notes, "failed", "the event loop has failed");
			return EXIT_IO;
		}
		while (io_next(server->io, &event)) {
			dispatch(server, &event);
			if (server->parked.count && !server->crowded)
				session_crowd(server);
		}
		resume_large(server);
		resume_parked(server);
		resume_ready(server);
		session_crowd(server);
		expire(server);
		server->appended = false;
		journal_ns = journal_turn(server->journal);
		if (journal_news(server))
			return EXIT_IO;
		open_gate(server);
		notes_turn(&server->notes, io_now(server->io));
		if (server->draining && drain_turn(server))
			return EXIT_DONE;
	}
}

/* --- stop */

/* Wait for what the journal has in flight, so that it can be closed. */
static bool settle_journal(struct server *server)
{
	uint64_t end_ns = clock_monotonic_ns() + DRAIN_NS;

	while (!journal_stopped(server->journal)) {
		struct io_event event;

		if (clock_monotonic_ns() >= end_ns || io_wait(server->io, end_ns))
			return false;
		while (io_next(server->io, &event)) {
			if (event.kind == IO_WRITTEN)
				journal_written(server->journal, event.write, event.result);
			else if (event.kind == IO_JOB_DONE)
				journal_job_done(server->journal, event.job);
			else if (event.kind == IO_SIGNAL)
				return false;
		}
	}
	return true;
}

static int stop(struct server *server, int status)
{
	bool owing = drain_is_owing(server);

	listeners_close(server); /* paths of unix sockets go */
	for (uint32_t i = 0; i < server->fresh; i++) {
		struct session *s = &server->sessions[i];

		if (s->state != SESSION_FREE && s->state != SESSION_CLOSING)
			session_close(server, s, true);
	}
	if (status == EXIT_DONE && (owing || !journal_stopped(server->journal))) {
		notes_say(&server->notes, "stop",
			  "not everything that was received became durable in time");
		status = EXIT_TIMEOUT;
	}
	if (!settle_journal(server))
		_exit(status); /* the disk hangs: closing would, too */
	return status;
}

int server_run(const struct server_config *config)
{
	struct server *server = calloc(1, sizeof(*server));
	struct failure why = { .status = EXIT_IO };
	int status;

	if (!server) {
		/* There are no notes yet that could say it. */
		dprintf(STDERR_FILENO, "roger: memory: %s\n", strerror(ENOMEM));
		return EXIT_IO;
	}
	server->config = config;
	server->accepting = true;
	server->free_list = SESSION_NONE;
	server->parked = server->memory_queue = server->ready =
		(struct session_list){ .first = SESSION_NONE, .last = SESSION_NONE };
	notes_init(&server->notes, STDOUT_FILENO, STDERR_FILENO, config->quiet, config->log_json);
	if (start(server, &why)) {
		status = server->signals ? EXIT_DONE : (int)why.status;
		server->notes.json = false; /* what ends a command is for people */
		if (!server->signals)
			notes_say(&server->notes, "failed", "%s", why.text);
		if (server->io)
			listeners_close(server);
	} else {
		banner(server);
		notes_serve(&server->notes);
		status = stop(server, serve(server));
		notes_end(&server->notes);
	}
	give_back(server);
	return status;
}
