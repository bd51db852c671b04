/* Sending to plain servers: each message on a connection of its own. All of it is sent, the sending side is shut, and whatever the
 * peer answers until it closes goes to standard output. Nothing is sent twice, and nothing is promised. */
#include "client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "client/dial.h"
#include "client/input.h"
#include "client/reply.h"
#include "client/retry.h"
#include "clock/clock.h"

#define LARGEST_MESSAGE (64 * MIB) /* it is held whole, so that a slow input does not make a slow peer */

enum {
	BUFFER_COUNT = 8,
	BUFFER_SIZE = 64 * 1024,
	SOCKETS_MAX = 4,
};

enum raw_phase {
	RAW_NEXT,    /* waiting for a message, or for retry_ns */
	RAW_CONNECT,
	RAW_OPEN,
	RAW_CLOSE,
	RAW_DONE,
};

struct raw {
	const struct client_config *config;
	struct io *io;
	struct dial dial;
	struct input input;
	struct reply reply;
	enum raw_phase phase;
	size_t sent;         /* of the message, with its line end */
	bool sending;
	bool shut;
	bool send_broken;
	bool answer_ended;
	int answer_error;    /* positive errno that ended it */
	unsigned attempts;
	bool trouble_shown;
	uint64_t now_ns;
	uint64_t retry_ns;
	uint64_t moved_ns;   /* when a byte of ours was last taken; what the peer says does not prolong the wait */
	uint64_t wait_ns;
	bool taken;          /* the message is done with, once the connection is closed */
	bool failed;
	struct failure why;
};

static size_t message_size(const struct raw *r)
{
	return r->input.size + (r->config->address.protocol == PROTOCOL_LINE ? 1 : 0);
}

static void hang_up(struct raw *r)
{
	r->phase = RAW_CLOSE;
	if (!dial_close(&r->dial, false))
		r->phase = r->failed ? RAW_DONE : RAW_NEXT;
}

static void fail(struct raw *r, const struct failure *why)
{
	if (!r->failed)
		r->why = *why;
	r->failed = true;
	hang_up(r);
}

/* The answer is over, or will not come: what does that mean? */
static void conclude(struct raw *r, bool too_late)
{
	struct failure why;
	bool answered = r->reply.size > 0;
	double seconds = (double)r->wait_ns / (double)SECOND_NS;
	int result = reply_end(&r->reply);

	r->taken = true;
	if (result < 0)
		failure_set(&why, EXIT_IO, -result, "write standard output");
	else if (answered && r->sent < message_size(r))
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s took only %zu of %zu bytes",
			    r->dial.text, r->sent, message_size(r));
	else if (answered) {
		if (too_late)
			fprintf(stderr, "roger: %s has not ended its answer within %g s\n",
				r->dial.text, seconds);
		hang_up(r);
		return;
	} else if (too_late)
		failure_set(&why, EXIT_TIMEOUT, 0, "%s: no answer within %g s", r->dial.text,
			    seconds);
	else
		failure_set(&why, EXIT_UNAVAILABLE, r->answer_error,
			    "%s closed the connection without an answer", r->dial.text);
	fail(r, &why);
}

/* --- a connection */

static void on_dial(struct raw *r, enum dial_result result, const struct failure *why)
{
	uint32_t random;

	switch (result) {
	case DIAL_WAIT: break;
	case DIAL_UP:
		r->phase = RAW_OPEN;
		r->moved_ns = r->now_ns;
		io_receive(r->io, r->dial.socket, true);
		break;
	case DIAL_FAILED:
		if (!r->config->retry) {
			fail(r, why);
			break;
		}
		if (!r->trouble_shown)
			fprintf(stderr, "roger: %s; trying again\n", why->text);
		r->trouble_shown = true;
		random_bytes(&random, sizeof(random));
		r->retry_ns = r->now_ns + retry_delay_ns(r->attempts++, random);
		r->phase = RAW_NEXT;
		break;
	case DIAL_CLOSED:
		if (r->taken)
			input_take(&r->input);
		r->taken = false;
		r->phase = r->failed ? RAW_DONE : RAW_NEXT;
		break;
	}
}

static void start(struct raw *r)
{
	struct failure why;

	r->sent = 0;
	r->sending = false;
	r->shut = false;
	r->send_broken = false;
	r->answer_ended = false;
	r->answer_error = 0;
	r->phase = RAW_CONNECT;
	reply_init(&r->reply, stdout, isatty(STDOUT_FILENO) == 1);
	on_dial(r, dial_start(&r->dial, &why), &why);
}

static void on_received(struct raw *r, const struct io_event *event)
{
	if (event->result > 0) {
		reply_put(&r->reply, event->data, (size_t)event->result);
		io_buffer_return(r->io, event->buffer);
		return;
	}
	/* A reset behind the answer is an end like any other. */
	r->answer_ended = true;
	r->answer_error = -event->result;
	if (event->result < 0)
		r->send_broken = true;
}

static void on_dial_event(struct raw *r, const struct io_event *event)
{
	struct failure why;

	switch (event->kind) {
	case IO_CONNECTED:
	case IO_CLOSED: on_dial(r, dial_event(&r->dial, event, &why), &why); break;
	case IO_RECEIVED: on_received(r, event); break;
	case IO_SENT:
		r->sending = false;
		if (event->result < 0)
			r->send_broken = true; /* an answer may have come before that */
		else {
			r->sent += (size_t)event->result;
			r->moved_ns = r->now_ns;
		}
		break;
	case IO_ACCEPTED:
	case IO_ACCEPT_FAILED:
	case IO_WRITTEN:
	case IO_JOB_DONE:
	case IO_SIGNAL: break;
	}
}

static void send_more(struct raw *r)
{
	struct io_span rest[2];
	unsigned count = 0;
	size_t size = r->input.size;

	if (r->sending || r->send_broken)
		return;
	if (r->sent == message_size(r)) {
		if (!r->shut)
			io_shutdown(r->io, r->dial.socket);
		r->shut = true;
		return;
	}
	if (r->sent < size)
		rest[count++] = (struct io_span){ r->input.data + r->sent, size - r->sent };
	if (message_size(r) > size)
		rest[count++] = (struct io_span){ "\n", 1 };
	r->sending = true;
	io_send(r->io, r->dial.socket, rest, count);
}

/* --- messages */

static int fail_line_end(uint64_t number, struct failure *why)
{
	return failure_set(why, EXIT_DATA, 0,
			   "message %" PRIu64 " holds a line end, which line:// can not carry",
			   number);
}

static void next_message(struct raw *r)
{
	struct failure why;

	switch (input_next(&r->input)) {
	case INPUT_WAIT: return;
	case INPUT_END: r->phase = RAW_DONE; return;
	case INPUT_FAILED: fail(r, &r->input.why); return;
	case INPUT_READY: break;
	}
	if (r->config->address.protocol == PROTOCOL_LINE &&
	    memchr(r->input.data, '\n', r->input.size) != NULL) {
		fail_line_end(r->input.number, &why);
		fail(r, &why);
		return;
	}
	start(r);
}

static void advance(struct raw *r)
{
	dial_tick(&r->dial, r->now_ns);
	if (r->phase == RAW_NEXT && r->now_ns >= r->retry_ns)
		next_message(r);
	if (r->phase == RAW_OPEN)
		send_more(r);
	if (r->phase != RAW_OPEN)
		return;
	if (r->answer_ended && (r->sent == message_size(r) || r->send_broken))
		conclude(r, false);
	else if (r->now_ns >= r->moved_ns + r->wait_ns)
		conclude(r, true);
}

static uint64_t next_deadline(const struct raw *r)
{
	if (r->phase == RAW_NEXT && r->retry_ns > r->now_ns)
		return r->retry_ns;
	if (r->phase == RAW_OPEN)
		return r->moved_ns + r->wait_ns;
	return dial_deadline(&r->dial);
}

static void run(struct raw *r)
{
	struct io_event event;
	int result;

	while (r->phase != RAW_DONE) {
		advance(r);
		if (r->phase == RAW_DONE)
			break;
		result = io_wait(r->io, next_deadline(r));
		if (result < 0) {
			failure_set(&r->why, EXIT_IO, -result, "waiting for events");
			r->failed = true;
			return;
		}
		r->now_ns = io_now(r->io);
		while (io_next(r->io, &event)) {
			if (event.owner == &r->dial)
				on_dial_event(r, &event);
			else if (event.owner == &r->input)
				input_event(&r->input, &event);
		}
	}
}

/* What line:// can not carry is found before anything is sent, where that is possible. */
static int check_arguments(const struct client_config *config, struct failure *why)
{
	if (config->address.protocol != PROTOCOL_LINE)
		return 0;
	for (unsigned i = 0; i < config->input.message_count; i++) {
		if (strchr(config->input.messages[i], '\n') != NULL)
			return fail_line_end(i + 1, why);
	}
	return 0;
}

static int prepare(struct raw *r, struct failure *why)
{
	const struct io_config io_config = {
		.sockets_max = SOCKETS_MAX,
		.buffer_count = BUFFER_COUNT,
		.buffer_size = BUFFER_SIZE,
	};
	int result = check_arguments(r->config, why);

	if (result < 0)
		return result;
	result = io_create(&io_config, &r->io);
	if (result < 0)
		return failure_set(why, EXIT_IO, -result, "event loop");
	result = input_init(&r->input, &r->config->input, r->io, why);
	if (result < 0)
		return result;
	return input_set_limit(&r->input, LARGEST_MESSAGE, "roger sends to a plain server", why);
}

int client_send_raw(const struct client_config *config)
{
	struct raw r = { .config = config, .phase = RAW_NEXT };

	r.wait_ns = config->timeout_ns > 0 ? config->timeout_ns : RAW_REPLY_NS;
	r.now_ns = clock_monotonic_ns();
	if (prepare(&r, &r.why) < 0)
		r.failed = true;
	if (!r.failed) {
		dial_init(&r.dial, r.io, &config->address);
		run(&r);
	}
	if (r.failed)
		fprintf(stderr, "roger: %s\n", r.why.text);
	if (r.io != NULL) {
		io_destroy(r.io);
		input_deinit(&r.input);
	}
	return r.failed ? (int)r.why.status : EXIT_DONE;
}
