/* The loop that drives a sender: input, output, time. What is promised is decided in sender.c, nothing of it here. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/private.h"
#include "clock/clock.h"

enum {
	BUFFER_COUNT = 8,
	BUFFER_SIZE = 64 * 1024,
	SOCKETS_MAX = 4,
};

/* --- input and output of one turn */

static void end_input(struct client *c)
{
	c->input_done = true;
	if (!c->input.failed && sender_put_end(&c->sender) < 0)
		client_fail_sender(c);
}

static void fill(struct client *c)
{
	int result = 0;

	if (c->finished || c->input_done || !c->sender.welcomed)
		return;
	while (result == 0) {
		switch (input_next(&c->input)) {
		case INPUT_WAIT: return;
		case INPUT_END:
		case INPUT_FAILED: end_input(c); return;
		case INPUT_READY: break;
		}
		result = sender_put(&c->sender, c->input.data, c->input.size);
		if (result == 0)
			input_take(&c->input);
	}
	if (result == -ENOBUFS)
		return; /* the window is full: nothing more is read until there is room */
	if (c->sender.end != SENDER_GOING) {
		client_fail_sender(c);
		return;
	}
	failure_set(&c->input.why, EXIT_DATA, 0,
		    "message %" PRIu64 " (%zu bytes) can not be sent: %s", c->input.number,
		    c->input.size,
		    result == -EMSGSIZE ? "the server takes no such large ones"
					: "numbers are used up");
	c->input.failed = true;
	c->input_done = true;
}

static void send_more(struct client *c)
{
	struct ring_span spans[2];
	struct io_span out[2];
	unsigned count;

	if (c->sending || c->send_broken || (c->phase != PHASE_OPEN && c->phase != PHASE_BYE))
		return;
	count = sender_output(&c->sender, spans);
	if (count == 0)
		return;
	for (unsigned i = 0; i < count; i++)
		out[i] = (struct io_span){ spans[i].data, spans[i].size };
	c->sending = true;
	io_send(c->io, c->dial.socket, out, count);
}

/* Is everything acknowledged? */
static void finish(struct client *c)
{
	struct sender *s = &c->sender;

	if (c->finished || !c->input_done || sender_unacked(s) > 0 || c->sending)
		return;
	c->finished = true;
	c->finished_ns = c->now_ns;
	if (c->input.failed) {
		c->why = c->input.why;
		c->failed = true;
	}
	if (s->connected && !s->draining && !c->send_broken && s->config.mode == SENDER_EPHEMERAL &&
	    s->acked > s->base) {
		client_enter(c, PHASE_BYE);
		sender_bye(s);
	} else {
		client_hang_up(c);
	}
}

/* --- time */

/* A server that only ever says WAIT is alive, and may never let us in. Before it says anything there is
 * client_silence_deadline. */
static bool waits_for_welcome(const struct client *c)
{
	return !c->welcomed && !c->config->retry && c->phase == PHASE_OPEN && c->sender.opened;
}

static uint64_t timeout_deadline(const struct client *c)
{
	if (c->finished || c->timeout_ns == NEVER_NS)
		return NEVER_NS;
	if (waits_for_welcome(c))
		return c->phase_ns + c->timeout_ns;
	if (!c->welcomed || sender_unacked(&c->sender) == 0)
		return NEVER_NS;
	return c->acked_ns + c->timeout_ns;
}

static void on_timeout(struct client *c)
{
	struct failure why;
	uint64_t total = input_total(&c->input);
	double seconds = (double)c->timeout_ns / (double)SECOND_NS;

	if (c->welcomed)
		failure_set(&why, EXIT_TIMEOUT, 0,
			    "%" PRIu64 " of %" PRIu64
			    " acknowledged: no new ack from %s for %g s%s%s",
			    client_acked(c), total > 0 ? total : client_put(c), c->dial.text,
			    seconds, c->trouble.text[0] != '\0' ? "; last: " : "",
			    c->trouble.text);
	else
		failure_set(&why, EXIT_TIMEOUT, 0, "nothing sent: %s has kept us waiting for %g s",
			    c->dial.text, seconds);
	client_fail(c, &why);
}

/* What is not waited for does not count as silence: up to now, and before anything that happens in this turn. */
static void note_time(struct client *c)
{
	if (!sender_waits(&c->sender))
		c->heard_ns = c->now_ns;
	if (sender_unacked(&c->sender) == 0)
		c->acked_ns = c->now_ns;
	if (c->sender.connected || c->phase == PHASE_DONE)
		c->down_ns = c->now_ns;
}

static void check_time(struct client *c)
{
	dial_tick(&c->dial, c->now_ns);
	if (c->phase == PHASE_PAUSE && c->now_ns >= c->retry_ns)
		client_connect(c);
	if (c->now_ns >= client_silence_deadline(c))
		client_silence(c);
	if (c->now_ns >= timeout_deadline(c))
		on_timeout(c);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool shows_progress(const struct client *c)
{
	return c->welcomed && !c->finished;
}

static uint64_t next_deadline(const struct client *c)
{
	uint64_t deadline = c->phase == PHASE_PAUSE ? c->retry_ns : NEVER_NS;

	deadline = earlier(deadline, dial_deadline(&c->dial));
	deadline = earlier(deadline, client_silence_deadline(c));
	deadline = earlier(deadline, timeout_deadline(c));
	return shows_progress(c) ? earlier(deadline, progress_deadline(&c->progress)) : deadline;
}

static void show_progress(struct client *c)
{
	struct progress_state state = {
		.acked = client_acked(c),
		.sent = client_put(c),
		.total = input_total(&c->input),
		.connected = c->sender.connected,
	};

	if (shows_progress(c))
		progress_update(&c->progress, &state, c->now_ns);
}

/* --- the loop */

static int turn(struct client *c)
{
	struct io_event event;
	int result = io_wait(c->io, next_deadline(c));

	if (result < 0)
		return result;
	c->now_ns = io_now(c->io);
	note_time(c);
	while (io_next(c->io, &event)) {
		if (event.owner == &c->dial)
			client_peer_event(c, &event);
		else if (event.owner == &c->input)
			input_event(&c->input, &event);
	}
	fill(c);
	finish(c);
	check_time(c);
	send_more(c);
	show_progress(c);
	return 0;
}

static void run(struct client *c)
{
	struct failure why;
	int result;

	c->now_ns = c->started_ns = clock_monotonic_ns();
	c->down_ns = c->now_ns;
	progress_init(&c->progress, c->now_ns);
	client_enter(c, PHASE_PAUSE); /* of no length */
	while (c->phase != PHASE_DONE) {
		result = turn(c);
		if (result < 0) {
			failure_set(&why, EXIT_IO, -result, "waiting for events");
			c->why = why;
			c->failed = true;
			client_enter(c, PHASE_DONE);
		}
	}
	progress_clear(&c->progress);
}

static int report(const struct client *c)
{
	uint64_t acked = client_acked(c);
	double seconds = (double)(c->finished_ns - c->started_ns) / (double)SECOND_NS;

	if (c->failed) {
		fprintf(stderr, "roger: %s\n", c->why.text);
		if (c->welcomed && acked > 0 && c->why.status != EXIT_TIMEOUT)
			fprintf(stderr, "roger: %" PRIu64 " message%s acknowledged\n", acked,
				acked == 1 ? "" : "s");
		return (int)c->why.status;
	}
	fprintf(stderr, "%" PRIu64 " message%s acknowledged in %.2f s", acked,
		acked == 1 ? "" : "s", seconds);
	if (c->config->resume && c->sender.base > 0)
		fprintf(stderr, " (%" PRIu64 " there before)", c->sender.base);
	fputc('\n', stderr);
	if (c->config->print_record && c->sender.acked_record > 0 &&
	    (acked > 0 || c->config->resume))
		printf("%" PRIu64 "\n", c->sender.acked_record);
	if (fflush(stdout) != 0) {
		fprintf(stderr, "roger: write standard output: %s\n", strerror(errno));
		return EXIT_IO;
	}
	return EXIT_DONE;
}

static void make_sender(struct client *c)
{
	struct sender_config config = { .accept_gap = c->config->accept_gap };

	random_bytes(&config.writer, sizeof(config.writer));
	if (c->config->stream_name != NULL) {
		client_stream_id(c->config->stream_name, &config.stream);
		config.mode = c->config->resume ? SENDER_RESUME : SENDER_NEXT;
	} else {
		client_stream_random(&config.stream);
		config.mode = SENDER_EPHEMERAL;
	}
	sender_init(&c->sender, &config);
}

int client_send(const struct client_config *config)
{
	const struct io_config io_config = {
		.sockets_max = SOCKETS_MAX,
		.buffer_count = BUFFER_COUNT,
		.buffer_size = BUFFER_SIZE,
	};
	struct client c = { .config = config };
	struct failure why;
	int result;

	result = io_create(&io_config, &c.io);
	if (result < 0) {
		fprintf(stderr, "roger: event loop: %s\n", strerror(-result));
		return EXIT_IO;
	}
	if (input_init(&c.input, &config->input, c.io, &why) < 0) {
		fprintf(stderr, "roger: %s\n", why.text);
		io_destroy(c.io);
		return (int)why.status;
	}
	c.timeout_ns = config->timeout_ns > 0 ? config->timeout_ns : DEFAULT_CLIENT_TIMEOUT_NS;
	dial_init(&c.dial, c.io, &config->address);
	snprintf(c.taker, sizeof(c.taker), "%s takes", c.dial.text);
	make_sender(&c);
	run(&c);
	result = report(&c);
	io_destroy(c.io);
	input_deinit(&c.input);
	free(c.window);
	return result;
}
