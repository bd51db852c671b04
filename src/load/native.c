/* Connections that last, in the native protocol: each with a client's session machine (client/sender.h) and a stream of its own. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "client/client.h"
#include "client/sender.h"
#include "clock/clock.h"
#include "load/private.h"
#include "load/stamps.h"

enum {
	/* Frames are made only so far ahead of the socket: they are sent while they are in the cache, and do not wait here. */
	AHEAD_SIZE = 256 * 1024,
	/* Runs of messages under way, all connections together: 16 MiB of times. */
	STAMPS_MAX = 1024 * 1024,
	STAMPS_EACH_MAX = 64 * 1024,
	STAMPS_EACH_MIN = 64,
};

enum line_phase {
	LINE_NONE,    /* not begun, or over */
	LINE_CONNECT,
	LINE_HELLO,   /* until WELCOME */
	LINE_OPEN,
	LINE_BYE,
	LINE_ENDED,
};

/* One connection. */
struct line {
	struct sender sender;
	struct stamps stamps;
	io_socket socket;     /* 0: none */
	unsigned endpoint;
	enum line_phase phase;
	bool sending;
	bool broken;          /* sending has failed; receiving will say why */
	bool full;            /* the window is, or the stamps are: until the next ack */
	bool is_ready;        /* in the list */
	uint32_t hello_left;  /* of HELLO, so many bytes have not been taken */
	uint64_t unsent;      /* of frames */
	uint64_t began_ns;
	uint8_t *window;
	struct line *next_ready;
};

struct native {
	struct line *lines;
	uint8_t *windows;
	struct stamp *stamps;
	size_t window_size;   /* of the memory of each */
	uint64_t window;
	uint32_t begun;       /* lines whose connection was begun */
	uint32_t opening;     /* and that are not up yet */
	uint32_t open;        /* with a socket */
	struct line *ready;   /* that can take a message now, longest first ... */
	struct line **ready_end;
	struct failure first; /* LOAD_IDLE: why the first line was lost */
};

/* --- lines that can take a message */

static bool can_take(const struct load *l, const struct line *line)
{
	if (line->phase != LINE_OPEN || line->full || line->broken)
		return false;
	switch (l->config->mode) {
	case LOAD_STREAM: return line->unsent < AHEAD_SIZE;
	case LOAD_LOOP: return sender_unacked(&line->sender) == 0;
	case LOAD_CONNECT:
	case LOAD_IDLE: break;
	}
	return false;
}

static void ready_check(struct load *l, struct line *line)
{
	struct native *n = l->own;

	if (line->is_ready || !can_take(l, line))
		return;
	line->is_ready = true;
	line->next_ready = NULL;
	*n->ready_end = line;
	n->ready_end = &line->next_ready;
}

static struct line *ready_take(struct native *n)
{
	struct line *line = n->ready;

	n->ready = line->next_ready;
	if (n->ready == NULL)
		n->ready_end = &n->ready;
	line->is_ready = false;
	return line;
}

static bool is_free(const struct load *l)
{
	const struct native *n = l->own;

	return n->ready != NULL;
}

/* --- the end of a line */

static void hang_up(struct load *l, struct line *line)
{
	struct native *n = l->own;

	if (line->socket != 0) {
		io_close(l->io, line->socket, false);
		n->open--;
	}
	if (line->phase == LINE_CONNECT || line->phase == LINE_HELLO)
		n->opening--;
	line->socket = 0;
	line->phase = LINE_ENDED;
}

/* A connection that was lost ends the run, or counts, if holding connections is what is tried. */
static void lose(struct load *l, struct line *line, const struct failure *why)
{
	struct native *n = l->own;
	bool was_up = line->phase == LINE_OPEN;

	if (line->phase == LINE_BYE || line->phase == LINE_ENDED) {
		hang_up(l, line);
		return;
	}
	if (l->config->mode != LOAD_IDLE || (!was_up && l->result->up == 0)) {
		load_fail(l, why);
		return;
	}
	hang_up(l, line);
	if (was_up)
		l->result->up--;
	if (l->result->lost++ == 0)
		n->first = *why;
	load_moved(l);
}

/* --- out */

static void send_more(struct load *l, struct line *line)
{
	struct ring_span spans[2];
	struct io_span out[2];
	unsigned count;

	if (line->sending || line->broken || line->socket == 0)
		return;
	count = sender_output(&line->sender, spans);
	if (count == 0)
		return;
	for (unsigned i = 0; i < count; i++)
		out[i] = (struct io_span){ spans[i].data, spans[i].size };
	line->sending = true;
	io_send(l->io, line->socket, out, count);
}

static void fail_size(struct load *l, const struct line *line)
{
	struct failure why;

	failure_set(&why, EXIT_DATA, 0,
		    "%s takes no messages of %" PRIu32 " bytes (at most %" PRIu32 ")", l->text,
		    l->config->size, line->sender.message_max);
	load_fail(l, &why);
}

/* Put the next message, which is due. False: there is no room. */
static bool put(struct load *l, struct line *line)
{
	int result = sender_put(&line->sender, content_next(&l->content), l->config->size);

	if (result == -ENOBUFS) {
		line->full = true;
		return false;
	}
	must(result == 0); /* the size was checked, and 2^63 messages are out of reach */
	content_take(&l->content);
	line->unsent += FRAME_HEADER_SIZE + (uint64_t)l->config->size;
	l->result->sent++;
	return true;
}

/* Without a rate: as many messages as there may be, which all began now. */
static void feed_many(struct load *l, struct line *line)
{
	uint64_t left = schedule_left(&l->schedule);
	uint64_t begin_ns = clock_monotonic_ns();
	uint64_t count = 0;

	while (count < left && can_take(l, line) && put(l, line))
		count++;
	if (count == 0)
		return;
	schedule_take_many(&l->schedule, l->now_ns, count);
	stamps_put(&line->stamps, line->sender.put - line->sender.base, begin_ns);
}

/* With a rate: the one that is due. */
static void feed_one(struct load *l, struct line *line)
{
	if (put(l, line))
		stamps_put(&line->stamps, line->sender.put - line->sender.base,
			   schedule_take(&l->schedule, l->now_ns, 0));
}

static void feed(struct load *l)
{
	struct native *n = l->own;

	while (n->ready != NULL && schedule_is_due(&l->schedule, l->now_ns)) {
		struct line *line = ready_take(n);

		if (!can_take(l, line))
			continue;
		if (!stamps_has_room(&line->stamps))
			line->full = true;
		else if (l->config->rate > 0)
			feed_one(l, line);
		else
			feed_many(l, line);
		send_more(l, line);
		ready_check(l, line);
	}
}

/* --- opening */

static void connect_line(struct load *l, struct line *line)
{
	struct native *n = l->own;
	struct failure why;
	int result;

	do {
		result = load_connect(l, line, &line->socket, &line->endpoint);
	} while (result < 0 && load_connect_again(l, line->endpoint, -result, &why));
	if (result < 0)
		lose(l, line, &why);
	else
		n->open++;
}

static void open_more(struct load *l)
{
	struct native *n = l->own;
	uint32_t count = l->config->connections;

	while (n->begun < count && n->opening < LOAD_OPENING_MAX && l->phase == LOAD_OPENING) {
		struct line *line = &n->lines[n->begun++];

		n->opening++;
		line->phase = LINE_CONNECT;
		line->began_ns = clock_monotonic_ns();
		connect_line(l, line);
	}
	if (l->phase != LOAD_OPENING || l->result->up + l->result->lost < count)
		return;
	load_start(l);
	if (l->config->mode == LOAD_IDLE)
		fprintf(stderr, "%" PRIu32 " of %" PRIu32 " connections are up\n", l->result->up,
			count);
}

static void go(struct load *l)
{
	if (l->phase == LOAD_OPENING)
		open_more(l);
	if (l->phase == LOAD_RUNNING)
		feed(l);
}

static void on_connected(struct load *l, struct line *line, int result)
{
	struct native *n = l->own;
	struct failure why;

	if (result == 0) {
		l->reached = true;
		load_moved(l);
		line->phase = LINE_HELLO;
		line->hello_left = NATIVE_HELLO_SIZE;
		sender_opened(&line->sender);
		io_receive(l->io, line->socket, true);
		send_more(l, line);
		return;
	}
	io_close(l->io, line->socket, true);
	line->socket = 0;
	n->open--;
	if (load_connect_again(l, line->endpoint, -result, &why))
		connect_line(l, line);
	else
		lose(l, line, &why);
}

/* --- in */

static void on_welcome(struct load *l, struct line *line)
{
	struct native *n = l->own;

	if (line->phase != LINE_HELLO)
		return;
	line->phase = LINE_OPEN;
	n->opening--;
	l->result->up++;
	load_moved(l);
	if (line->sender.is_volatile)
		l->result->not_durable = true;
	if (l->config->mode == LOAD_IDLE)
		histogram_add(&l->result->latency, clock_monotonic_ns() - line->began_ns, 1);
	else if (l->config->size > line->sender.message_max)
		fail_size(l, line);
	else
		sender_window(&line->sender, line->window, n->window_size, n->window);
}

static void on_refusal(struct load *l, struct line *line, const struct sender_event *event)
{
	char shown[NATIVE_TEXT_MAX * 4 + 8];
	struct failure why;
	bool foreign = event->reason == REASON_FOREIGN;

	text_escape(shown, sizeof(shown), event->text_size > 0 ? event->text : (const uint8_t *)"",
		    event->text_size, foreign ? (size_t)LOAD_ANSWER_SHOWN : NATIVE_TEXT_MAX);
	switch (event->reason) {
	case REASON_FOREIGN:
		failure_set(
			&why, EXIT_UNAVAILABLE, 0,
			"%s is not a Roger server (it answered \"%s\"); for a plain server use "
			"--mode connect",
			l->text, shown);
		break;
	case REASON_BROKEN:
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: the server's bytes make no sense",
			    l->text);
		break;
	case REASON_ACK:
		failure_set(&why, EXIT_UNAVAILABLE, 0,
			    "%s: the server acknowledged what it can not have", l->text);
		break;
	case REASON_ERROR:
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: the server refused us: %s", l->text,
			    event->text_size > 0 ? shown : "no reason given");
		break;
	}
	lose(l, line, &why);
}

static void on_drain(struct load *l, struct line *line)
{
	struct failure why;

	failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: the server is going away", l->text);
	lose(l, line, &why);
}

static void on_final(struct load *l, struct line *line)
{
	struct failure why;

	sender_describe(&line->sender, l->text, &why);
	lose(l, line, &why);
}

/* What has been acknowledged meanwhile. */
static void take_acks(struct load *l, struct line *line)
{
	uint64_t acked = line->sender.acked - line->sender.base;
	uint64_t now_ns;

	if (acked == line->stamps.acked)
		return;
	now_ns = clock_monotonic_ns();
	load_acked(l, acked - line->stamps.acked, now_ns);
	stamps_ack(&line->stamps, acked, now_ns, &l->result->latency);
	line->full = false;
}

static void pump(struct load *l, struct line *line)
{
	struct sender_event event;

	do {
		sender_next(&line->sender, &event);
		switch (event.kind) {
		case SENDER_MORE:
		case SENDER_ACKED:
		case SENDER_ALIVE: break;
		case SENDER_WELCOMED: on_welcome(l, line); break;
		case SENDER_DRAIN: on_drain(l, line); break;
		case SENDER_CLOSE: on_refusal(l, line, &event); break;
		case SENDER_FINAL: on_final(l, line); break;
		}
	} while (line->socket != 0 && l->phase != LOAD_DONE && event.kind != SENDER_MORE &&
		 event.kind != SENDER_CLOSE);
	take_acks(l, line);
	ready_check(l, line);
}

static void on_end(struct load *l, struct line *line, int error)
{
	struct failure why;

	if (error == 0 && !line->sender.opened)
		failure_set(&why, EXIT_UNAVAILABLE, 0,
			    "%s is not a Roger server (it closed the connection without an answer)",
			    l->text);
	else
		load_lost(l, error, &why);
	lose(l, line, &why);
}

static void on_received(struct load *l, struct line *line, const struct io_event *event)
{
	const uint8_t *data = event->data;
	size_t left;

	if (event->result <= 0) {
		on_end(l, line, -event->result);
		return;
	}
	left = (size_t)event->result;
	while (left > 0 && line->socket != 0 && l->phase != LOAD_DONE) {
		size_t taken = sender_feed(&line->sender, data, left);

		data += taken;
		left -= taken;
		pump(l, line);
		if (taken == 0)
			break;
	}
	io_buffer_return(l->io, event->buffer);
}

static void on_sent(struct load *l, struct line *line, int result)
{
	uint64_t frames;
	uint32_t hello;

	line->sending = false;
	if (result < 0) {
		line->broken = true;
		return;
	}
	hello = (uint32_t)result < line->hello_left ? (uint32_t)result : line->hello_left;
	frames = (uint64_t)(uint32_t)result - hello;
	line->hello_left -= hello;
	line->unsent -= frames < line->unsent ? frames : line->unsent; /* BYE is no frame of a message */
	sender_sent(&line->sender, (size_t)result, clock_boottime_ns());
	pump(l, line); /* an ack may have come before this */
	if (l->phase == LOAD_DONE || line->socket == 0)
		return;
	send_more(l, line);
	if (line->phase == LINE_BYE && !line->sending)
		io_shutdown(l->io, line->socket);
}

static void on_event(struct load *l, const struct io_event *event)
{
	struct line *line = event->owner;

	switch (event->kind) {
	case IO_CONNECTED: on_connected(l, line, event->result); break;
	case IO_RECEIVED: on_received(l, line, event); break;
	case IO_SENT: on_sent(l, line, event->result); break;
	case IO_CLOSED:
	case IO_ACCEPTED:
	case IO_ACCEPT_FAILED:
	case IO_WRITTEN:
	case IO_JOB_DONE:
	case IO_SIGNAL: break;
	}
}

/* --- the end: BYE on every stream, so that the server need not keep it in mind */

static void end(struct load *l)
{
	struct native *n = l->own;
	struct failure why;

	for (uint32_t i = 0; i < l->config->connections; i++) {
		struct line *line = &n->lines[i];

		if (line->phase != LINE_OPEN)
			continue;
		if (line->sender.acked == line->sender.base || line->sending || line->broken) {
			hang_up(l, line);
			continue;
		}
		line->phase = LINE_BYE;
		sender_bye(&line->sender);
		send_more(l, line);
	}
	if (l->result->lost == 0)
		return;
	failure_set(&why, n->first.status, 0,
		    "only %" PRIu32 " of %" PRIu32 " connections are up: %s", l->result->up,
		    l->config->connections, n->first.text);
	load_fail(l, &why);
}

static bool has_ended(const struct load *l)
{
	const struct native *n = l->own;

	return n->open == 0;
}

/* --- memory */

static uint32_t stamps_each(const struct load_config *config)
{
	uint32_t each = STAMPS_MAX / config->connections;

	if (config->mode != LOAD_STREAM)
		return 1;
	return each > STAMPS_EACH_MAX   ? STAMPS_EACH_MAX
	       : each < STAMPS_EACH_MIN ? STAMPS_EACH_MIN
					: each;
}

static void make_line(struct line *line)
{
	struct sender_config config = { .mode = SENDER_EPHEMERAL };

	random_bytes(&config.writer, sizeof(config.writer));
	client_stream_random(&config.stream);
	sender_init(&line->sender, &config);
}

static int create(struct load *l, struct failure *why)
{
	const struct load_config *c = l->config;
	struct native *n = calloc(1, sizeof(*n));
	uint64_t frame = FRAME_HEADER_SIZE + (uint64_t)c->size;
	uint32_t stamps = stamps_each(c);

	l->own = n;
	if (n != NULL) {
		n->ready_end = &n->ready;
		n->window = c->mode == LOAD_STREAM && c->window > frame ? c->window : frame;
		n->window_size = (size_t)n->window + 1; /* more than a header alone */
		n->lines = calloc(c->connections, sizeof(*n->lines));
		n->stamps = calloc((size_t)c->connections * stamps, sizeof(*n->stamps));
		/* Touched only as far as it is used. */
		n->windows = c->mode == LOAD_IDLE ? calloc(1, 1)
						  : calloc(c->connections, n->window_size);
	}
	if (n == NULL || n->lines == NULL || n->stamps == NULL || n->windows == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "memory for %" PRIu32 " connections",
				   c->connections);
	for (uint32_t i = 0; i < c->connections; i++) {
		make_line(&n->lines[i]);
		stamps_init(&n->lines[i].stamps, n->stamps + (size_t)i * stamps, stamps);
		n->lines[i].window = c->mode == LOAD_IDLE ? NULL : n->windows + i * n->window_size;
	}
	return 0;
}

static void destroy(struct load *l)
{
	struct native *n = l->own;

	if (n == NULL)
		return;
	free(n->lines);
	free(n->stamps);
	free(n->windows);
	free(n);
}

const struct load_kind load_native = {
	.create = create,
	.destroy = destroy,
	.event = on_event,
	.go = go,
	.is_free = is_free,
	.end = end,
	.has_ended = has_ended,
};
