/* The loop of a run: time, signals, how it ends. */
#include "load/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/limits.h"
#include "base/must.h"
#include "clock/clock.h"
#include "load/private.h"

#define ENDING_NS (1 * SECOND_NS) /* all is measured: the end of the streams is a courtesy */

enum {
	BUFFER_SIZE = 4096,       /* an ack is 24 bytes: more come together only when this program is slow */
	BUFFERS_MIN = 16,
	BUFFERS_MAX = 1024,       /* 4 MiB: so many connections have something to say in one turn */
	DESCRIPTORS_SPARE = 32,
};

void load_fail(struct load *l, const struct failure *why)
{
	if (l->failed)
		return;
	l->why = *why;
	l->failed = true;
	l->phase = LOAD_DONE;
}

void load_start(struct load *l)
{
	const struct load_config *c = l->config;

	must(l->phase == LOAD_OPENING);
	l->phase = LOAD_RUNNING;
	l->started_ns = l->acked_ns = clock_monotonic_ns();
	l->result->begun = true;
	l->result->opening_ns = l->started_ns - l->begun_ns;
	schedule_start(&l->schedule, c->count, c->duration_ns, c->rate, l->started_ns);
	/* A deadline that has passed meanwhile is seen in this turn. */
	l->now_ns = l->started_ns;
	load_moved(l);
	progress_init(&l->progress, l->now_ns);
}

void load_moved(struct load *l)
{
	l->moved_ns = l->now_ns;
}

void load_acked(struct load *l, uint64_t count, uint64_t now_ns)
{
	l->result->acked += count;
	l->acked_ns = now_ns;
	load_moved(l);
}

/* --- connecting */

static int resolve(struct load *l, struct failure *why)
{
	const struct address *to = &l->config->address;
	struct address bare = *to;
	const char *reason = "";

	bare.protocol = PROTOCOL_NONE;
	address_text(&bare, l->text);
	if (to->is_unix) {
		struct io_endpoint *at = &l->endpoints[0];

		at->peer.family = PEER_UNIX;
		must(strlen(to->path) < sizeof(at->path));
		memcpy(at->path, to->path, strlen(to->path) + 1);
		l->endpoint_count = 1;
		return 0;
	}
	if (io_resolve(to->host, to->port, false, l->endpoints, LOAD_ENDPOINTS_MAX,
		       &l->endpoint_count, &reason) < 0)
		return failure_set(why, EXIT_UNAVAILABLE, 0, "connect %s: %s", l->text, reason);
	return 0;
}

int load_connect(struct load *l, void *owner, io_socket *ret_socket, unsigned *ret_endpoint)
{
	*ret_endpoint = l->endpoint;
	return io_connect(l->io, &l->endpoints[l->endpoint], owner, ret_socket);
}

bool load_connect_again(struct load *l, unsigned endpoint, int error, struct failure *why)
{
	if (!l->reached && endpoint < l->endpoint)
		return true; /* somebody else has found out before us */
	if (!l->reached && l->endpoint + 1 < l->endpoint_count) {
		l->endpoint++;
		return true;
	}
	failure_set(why, EXIT_UNAVAILABLE, error, "connect %s", l->text);
	return false;
}

void load_lost(const struct load *l, int error, struct failure *why)
{
	failure_set(why, EXIT_UNAVAILABLE, error,
		    error == 0 ? "%s: the server closed the connection"
			       : "%s: the connection to the server is lost",
		    l->text);
}

/* --- time */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool waits(const struct load *l)
{
	return l->phase == LOAD_OPENING ||
	       (l->phase == LOAD_RUNNING && l->result->sent > l->result->acked);
}

/* The timeout is for acks. */
static uint64_t patience_ns(const struct load *l)
{
	bool opening = l->phase == LOAD_OPENING || !l->reached;

	return opening ? CONNECT_NS : l->config->timeout_ns;
}

static void on_timeout(struct load *l)
{
	double seconds = (double)patience_ns(l) / (double)SECOND_NS;
	const struct load_result *r = l->result;
	struct failure why;

	if (l->phase == LOAD_OPENING && r->up > 0)
		failure_set(&why, EXIT_UNAVAILABLE, 0,
			    "only %" PRIu32 " of %" PRIu32
			    " connections are up: no answer from %s within %g s",
			    r->up, l->config->connections, l->text, seconds);
	else if (l->phase == LOAD_OPENING || !l->reached)
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: no answer within %g s", l->text,
			    seconds);
	else
		failure_set(&why, EXIT_TIMEOUT, 0,
			    "%" PRIu64 " of %" PRIu64
			    " acknowledged: no new ack from %s for %g s",
			    r->acked, r->sent, l->text, seconds);
	load_fail(l, &why);
}

/* What is not waited for does not count as silence: up to now, and before anything that happens in this turn. */
static void note_time(struct load *l)
{
	if (!waits(l))
		load_moved(l);
}

static void check_time(struct load *l)
{
	if (l->phase == LOAD_ENDING && l->now_ns >= l->ending_ns + ENDING_NS)
		l->phase = LOAD_DONE;
	if (waits(l) && l->now_ns - l->moved_ns >= patience_ns(l))
		on_timeout(l);
}

static bool shows_progress(const struct load *l)
{
	return l->phase == LOAD_RUNNING && l->config->mode != LOAD_IDLE;
}

static uint64_t next_deadline(const struct load *l)
{
	uint64_t deadline = NEVER_NS;

	if (l->phase == LOAD_ENDING)
		return l->ending_ns + ENDING_NS;
	if (waits(l) && patience_ns(l) < NEVER_NS - l->moved_ns)
		deadline = l->moved_ns + patience_ns(l);
	if (l->phase != LOAD_RUNNING)
		return deadline;
	deadline =
		earlier(deadline, schedule_deadline(&l->schedule, l->now_ns, l->kind->is_free(l)));
	return shows_progress(l) ? earlier(deadline, progress_deadline(&l->progress)) : deadline;
}

/* --- the end */

static void on_signal(struct load *l)
{
	const struct load_result *r = l->result;
	struct failure why;

	if (l->phase != LOAD_OPENING && l->phase != LOAD_RUNNING) {
		l->phase = LOAD_DONE;
		return;
	}
	l->result->interrupted = true;
	if (l->phase == LOAD_RUNNING && l->signals++ == 0) {
		schedule_stop(&l->schedule, l->now_ns);
		return;
	}
	if (l->phase == LOAD_OPENING)
		failure_set(&why, EXIT_TIMEOUT, 0, "interrupted before anything was sent");
	else
		failure_set(&why, EXIT_TIMEOUT, 0,
			    "interrupted: %" PRIu64 " of %" PRIu64 " acknowledged", r->acked,
			    r->sent);
	load_fail(l, &why);
}

/* All that should be sent is acknowledged. */
static void check_end(struct load *l)
{
	if (l->phase == LOAD_RUNNING && l->result->acked == l->result->sent &&
	    schedule_is_over(&l->schedule, l->now_ns)) {
		l->phase = LOAD_ENDING;
		l->ending_ns = l->now_ns;
		l->kind->end(l);
	}
	if (l->phase == LOAD_ENDING && l->kind->has_ended(l))
		l->phase = LOAD_DONE;
}

static void measure_end(struct load *l)
{
	struct load_result *r = l->result;

	if (!r->begun)
		return;
	r->elapsed_ns = (r->acked > 0 ? l->acked_ns : l->now_ns) - l->started_ns;
	r->not_sent = schedule_behind(&l->schedule);
}

/* --- the loop */

static void turn(struct load *l)
{
	struct progress_state state = { .total = l->config->count, .connected = true };
	struct io_event event;
	struct failure why;
	int result = io_wait(l->io, next_deadline(l));

	if (result < 0) {
		failure_set(&why, EXIT_IO, -result, "waiting for events");
		load_fail(l, &why);
		return;
	}
	l->now_ns = io_now(l->io);
	note_time(l);
	while (io_next(l->io, &event)) {
		if (event.kind == IO_SIGNAL)
			on_signal(l);
		else
			l->kind->event(l, &event);
	}
	if (l->phase == LOAD_OPENING || l->phase == LOAD_RUNNING)
		l->kind->go(l);
	check_end(l);
	check_time(l);
	state.acked = l->result->acked;
	state.sent = l->result->sent;
	if (shows_progress(l))
		progress_update(&l->progress, &state, l->now_ns);
}

static void run(struct load *l)
{
	l->now_ns = l->begun_ns = clock_monotonic_ns();
	load_moved(l);
	if (l->config->mode == LOAD_CONNECT)
		load_start(l);
	/* The first connections, before there is anything to wait for. */
	l->kind->go(l);
	while (l->phase != LOAD_DONE)
		turn(l);
	progress_clear(&l->progress);
	measure_end(l);
}

/* As many descriptors as may be had. */
static int raise_descriptors(uint32_t connections, struct failure *why)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = { limit.rlim_max, limit.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit.rlim_cur = limit.rlim_max;
	}
	if (limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= (rlim_t)connections + DESCRIPTORS_SPARE)
		return 0;
	return failure_set(why, EXIT_IO, EMFILE,
			   "%" PRIu32 " connections need more than the %" PRIu64
			   " descriptors that this process may have (ulimit -n)",
			   connections, (uint64_t)limit.rlim_cur);
}

static int create_io(struct load *l, struct failure *why)
{
	uint32_t connections = l->config->connections;
	struct io_config config = {
		.sockets_max = 2 * connections, /* one that is closed counts until its IO_CLOSED */
		.buffer_count = connections < BUFFERS_MIN   ? BUFFERS_MIN
				: connections > BUFFERS_MAX ? BUFFERS_MAX
							    : connections,
		.buffer_size = BUFFER_SIZE,
	};
	int result = io_create(&config, &l->io);

	if (result == 0)
		result = io_signals(l->io);
	if (result < 0)
		return failure_set(why, EXIT_IO, -result, "event loop");
	return 0;
}

int load_run(const struct load_config *config, struct load_result *ret, struct failure *why)
{
	struct load l = { .config = config, .result = ret };
	int result;

	memset(ret, 0, sizeof(*ret));
	histogram_init(&ret->latency);
	l.kind = config->mode == LOAD_CONNECT ? &load_exchange : &load_native;
	result = raise_descriptors(config->connections, why);
	if (result == 0)
		result = resolve(&l, why);
	if (result == 0 && content_init(&l.content, config->size) < 0)
		result = failure_set(why, EXIT_IO, ENOMEM, "memory for a message");
	if (result == 0)
		result = create_io(&l, why);
	if (result == 0)
		result = l.kind->create(&l, why);
	if (result == 0) {
		run(&l);
		if (l.failed) {
			*why = l.why;
			result = why->error != 0 ? -why->error : -EINVAL;
		}
	}
	if (l.io != NULL)
		io_destroy(l.io);
	l.kind->destroy(&l);
	content_deinit(&l.content);
	return result;
}
