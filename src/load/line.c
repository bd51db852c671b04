/* One connection: HELLO and WELCOME, frames out, acks in, and how it may end. */
#include "load/line.h"

#include <inttypes.h>

#include "base/limits.h"
#include "base/text.h"
#include "clock/clock.h"

/* Frames are made only so far ahead of the socket: they are sent while they are in the cache, and do not wait here. */
enum { AHEAD_SIZE = 256 * 1024 };

bool line_can_take(const struct load *l, const struct line *line)
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

void line_ready(struct load *l, struct line *line)
{
	struct native *n = l->own;

	if (line->is_ready || !line_can_take(l, line))
		return;
	line->is_ready = true;
	line->next_ready = NULL;
	*n->ready_end = line;
	n->ready_end = &line->next_ready;
}

/* --- the end of a line */

void line_hang_up(struct load *l, struct line *line)
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
		line_hang_up(l, line);
		return;
	}
	if (l->config->mode != LOAD_IDLE || (!was_up && l->result->up == 0)) {
		load_fail(l, why);
		return;
	}
	line_hang_up(l, line);
	if (was_up)
		l->result->up--;
	if (l->result->lost++ == 0)
		n->first = *why;
	load_moved(l);
}

/* --- out */

void line_send(struct load *l, struct line *line)
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

void line_connect(struct load *l, struct line *line)
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
		line_send(l, line);
		return;
	}
	io_close(l->io, line->socket, true);
	line->socket = 0;
	n->open--;
	if (load_connect_again(l, line->endpoint, -result, &why))
		line_connect(l, line);
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
	line_ready(l, line);
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
	line_send(l, line);
	if (line->phase == LINE_BYE && !line->sending)
		io_shutdown(l->io, line->socket);
}

void line_event(struct load *l, struct line *line, const struct io_event *event)
{
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

