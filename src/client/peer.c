/* A client's connections, one after the other, and what the server says on them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"
#include "client/private.h"
#include "client/retry.h"
#include "clock/clock.h"

#define FOREIGN_ANSWER_NS (200 * MS_NS)       /* the rest of a foreign answer, to be shown in one piece */
#define BYE_NS (1 * SECOND_NS)                /* all is acknowledged: the end of an ephemeral stream is a courtesy */
#define STEADY_NS (5 * SECOND_NS)             /* a connection that lasted so long begins the back-off anew */
#define OUTAGE_SHOWN_NS (1 * SECOND_NS)       /* shorter ones are not worth a line */
#define DRAIN_WAIT_MAX_NS (60 * SECOND_NS)    /* a server that wants to be left alone for longer is asked again */
#define LARGEST_MESSAGE (64 * MIB)            /* whatever a server says that it takes: our own memory has a limit, too */

enum { FOREIGN_SHOWN = 60 }; /* bytes of a foreign answer */

uint64_t client_acked(const struct client *c)
{
	return c->carried + c->sender.acked - c->sender.base;
}

uint64_t client_put(const struct client *c)
{
	return c->carried + c->sender.put - c->sender.base;
}

/* --- ends */

void client_enter(struct client *c, enum client_phase phase)
{
	c->phase = phase;
	c->phase_ns = c->now_ns;
}

void client_hang_up(struct client *c)
{
	client_enter(c, PHASE_CLOSE);
	/* What is given up must not arrive after all, as it might for as long as the kernel goes on sending. */
	if (dial_close(&c->dial, sender_unacked(&c->sender) > 0))
		return;
	if (c->finished)
		client_enter(c, PHASE_DONE);
	else
		client_enter(c, PHASE_PAUSE);
}

void client_fail(struct client *c, const struct failure *why)
{
	if (c->finished)
		return;
	c->why = *why;
	c->failed = true;
	c->finished = true;
	client_hang_up(c);
}

void client_fail_sender(struct client *c)
{
	struct failure why;

	sender_describe(&c->sender, c->dial.text, &why);
	client_fail(c, &why);
}

static void notice(struct client *c, const char *text, const char *after)
{
	progress_clear(&c->progress);
	fprintf(stderr, "roger: %s%s\n", text, after);
}

/* This connection, or the attempt to make one, has come to nothing. */
static void try_again(struct client *c, const struct failure *why)
{
	uint32_t random;

	if (c->finished)
		return;
	if (!c->welcomed && !c->config->retry) {
		client_fail(c, why);
		return;
	}
	c->trouble = *why;
	if (c->phase == PHASE_OPEN && c->now_ns - c->phase_ns >= STEADY_NS)
		c->attempts = 0;
	if (!c->down_shown && (!c->welcomed || c->now_ns - c->down_ns >= OUTAGE_SHOWN_NS)) {
		notice(c, why->text, "; trying again");
		c->down_shown = true;
	}
	random_bytes(&random, sizeof(random));
	c->retry_ns = (c->drain_ns > c->now_ns ? c->drain_ns : c->now_ns) +
		      retry_delay_ns(c->attempts, random);
	c->attempts++;
	client_hang_up(c);
}

static void end_foreign(struct client *c, const char *what, const uint8_t *answer, size_t size)
{
	struct address plain = c->config->address;
	char plain_text[ADDRESS_TEXT_SIZE];
	char shown[FOREIGN_SHOWN * 4 + 8];
	struct failure why;

	plain.protocol = PROTOCOL_RAW;
	address_text(&plain, plain_text);
	if (size > 0) {
		text_escape(shown, sizeof(shown), answer, size, FOREIGN_SHOWN);
		failure_set(
			&why, EXIT_UNAVAILABLE, 0,
			"%s is not a Roger server (it answered \"%s\"); for a plain server use %s",
			c->dial.text, shown, plain_text);
	} else {
		failure_set(&why, EXIT_UNAVAILABLE, 0,
			    "%s is not a Roger server (%s); for a plain server use %s",
			    c->dial.text, what, plain_text);
	}
	try_again(c, &why);
}

/* The peer has closed, or broken, the connection. error: a positive errno, 0 for an orderly end. */
static void connection_ended(struct client *c, int error)
{
	struct failure why;
	const uint8_t *answer;
	size_t size;

	if (c->phase == PHASE_BYE) {
		client_hang_up(c);
		return;
	}
	answer = sender_answer(&c->sender, &size);
	if (c->phase == PHASE_FOREIGN ||
	    (error == 0 && !c->sender.opened && !c->welcomed && size == 0)) {
		end_foreign(c, "it closed the connection without an answer", answer, size);
		return;
	}
	/* An answer that has differed nowhere yet may have been a Roger server's, and a reset is nobody's answer. */
	failure_set(&why, EXIT_UNAVAILABLE, error,
		    error == 0 ? "%s: the server closed the connection"
			       : "%s: the connection to the server is lost",
		    c->dial.text);
	try_again(c, &why);
}

/* --- what the server says */

static void set_window(struct client *c)
{
	struct failure why;
	uint64_t limit = c->sender.message_max;
	uint64_t largest = input_largest(&c->input);
	uint64_t size = c->config->window;

	if (c->window == NULL) {
		if (limit > LARGEST_MESSAGE)
			limit = LARGEST_MESSAGE;
		if (input_set_limit(&c->input, (size_t)limit, c->taker, &why) < 0) {
			client_fail(c, &why);
			return;
		}
		if (largest > limit)
			largest = limit;
		if (size < largest + FRAME_HEADER_SIZE)
			size = largest + FRAME_HEADER_SIZE;
		c->window_size = (size_t)size + 1;
		c->window = malloc(c->window_size); /* touched only as far as it is used */
	}
	if (c->window == NULL) {
		failure_set(&why, EXIT_IO, ENOMEM, "memory for the window");
		client_fail(c, &why);
		return;
	}
	sender_window(&c->sender, c->window, c->window_size, c->config->window);
}

static void on_welcome(struct client *c, const struct sender_event *event)
{
	struct failure text;

	c->welcomed = true;
	c->down_shown = false;
	c->drain_ns = 0;
	if (event->first)
		set_window(c);
	if (c->sender.is_volatile && !c->volatile_shown) {
		notice(c, c->dial.text, " keeps nothing on disk: an ack means \"received\"");
		c->volatile_shown = true;
	}
	if (event->forgotten == 0)
		return;
	failure_set(&text, EXIT_DATA, 0, "%s has forgotten %" PRIu64 " acknowledged message%s%s",
		    c->dial.text, event->forgotten, event->forgotten == 1 ? "" : "s",
		    c->sender.is_volatile ? " (it keeps nothing on disk)" : "");
	notice(c, text.text, "; going on");
}

static void on_refusal(struct client *c, const struct sender_event *event)
{
	struct failure why;
	char shown[NATIVE_TEXT_MAX * 4 + 8];

	switch (event->reason) {
	case REASON_FOREIGN:
		if (c->welcomed)
			failure_set(&why, EXIT_UNAVAILABLE, 0, "%s is no Roger server any more",
				    c->dial.text);
		break;
	case REASON_BROKEN:
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: the server's bytes make no sense",
			    c->dial.text);
		break;
	case REASON_ACK:
		failure_set(&why, EXIT_UNAVAILABLE, 0,
			    "%s: the server acknowledged what it can not have", c->dial.text);
		break;
	case REASON_ERROR:
		text_escape(shown, sizeof(shown), event->text, event->text_size, NATIVE_TEXT_MAX);
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: the server refused us: %s",
			    c->dial.text, event->text_size > 0 ? shown : "no reason given");
		break;
	}
	if (event->reason == REASON_FOREIGN && !c->welcomed)
		client_enter(c, PHASE_FOREIGN);
	else
		try_again(c, &why);
}

static void on_drain(struct client *c, uint32_t wait_ms)
{
	uint64_t wait_ns = wait_ms * MS_NS;

	c->drain_ns = c->now_ns + (wait_ns < DRAIN_WAIT_MAX_NS ? wait_ns : DRAIN_WAIT_MAX_NS);
}

/* Act on everything that the sender has to report. */
static void pump(struct client *c)
{
	struct sender_event event;

	do {
		sender_next(&c->sender, &event);
		switch (event.kind) {
		case SENDER_MORE:
		case SENDER_ACKED:
		case SENDER_ALIVE: break;
		case SENDER_WELCOMED: on_welcome(c, &event); break;
		case SENDER_DRAIN: on_drain(c, event.wait_ms); break;
		case SENDER_CLOSE: on_refusal(c, &event); break;
		case SENDER_FINAL: client_fail_sender(c); break;
		}
	} while (c->phase == PHASE_OPEN && event.kind != SENDER_MORE && event.kind != SENDER_CLOSE);
	if (c->sender.acked != c->acked_seen) {
		c->acked_seen = c->sender.acked;
		c->acked_ns = c->now_ns;
		c->attempts = 0;
		c->trouble.text[0] = '\0';
	}
}

static void on_received(struct client *c, const struct io_event *event)
{
	const uint8_t *data = event->data;
	size_t left;

	if (event->result <= 0) {
		connection_ended(c, -event->result);
		return;
	}
	c->heard_ns = c->now_ns;
	left = (size_t)event->result;
	while (left > 0 && (c->phase == PHASE_OPEN || c->phase == PHASE_FOREIGN)) {
		size_t taken = sender_feed(&c->sender, data, left);

		data += taken;
		left -= taken;
		pump(c);
		if (taken == 0)
			break; /* as much of a foreign answer as anybody wants to see */
	}
	io_buffer_return(c->io, event->buffer);
}

/* --- connecting */

static void give_up(struct client *c, enum sender_end why)
{
	sender_give_up(&c->sender, why);
	client_fail_sender(c);
}

/* An ephemeral stream is not taken up again after half of the time that a server must keep it. */
static bool renew_stream(struct client *c)
{
	struct sender_config config = c->sender.config;

	if (sender_used_up(&c->sender)) {
		give_up(c, END_SEQ);
		return false;
	}
	if (!sender_expired(&c->sender, clock_boottime_ns()))
		return true;
	if (sender_unacked(&c->sender) > 0) {
		give_up(c, END_EXPIRED);
		return false;
	}
	c->carried = client_acked(c);
	client_stream_random(&config.stream);
	sender_init(&c->sender, &config);
	c->acked_seen = 0;
	return true;
}

static void on_dial(struct client *c, enum dial_result result, const struct failure *why)
{
	switch (result) {
	case DIAL_WAIT: break;
	case DIAL_UP:
		client_enter(c, PHASE_OPEN);
		c->heard_ns = c->now_ns;
		c->send_broken = false;
		/* The machine may have slept for half a day while we connected. */
		if (!renew_stream(c))
			break;
		io_tune(c->io, c->dial.socket, IO_KEEPALIVE_S, KEEPALIVE_IDLE_S);
		io_receive(c->io, c->dial.socket, true);
		sender_opened(&c->sender);
		break;
	case DIAL_FAILED: try_again(c, why); break;
	case DIAL_CLOSED:
		c->sending = false;
		sender_closed(&c->sender);
		client_enter(c, c->finished ? PHASE_DONE : PHASE_PAUSE);
		break;
	}
}

void client_connect(struct client *c)
{
	struct failure why;

	if (!renew_stream(c))
		return;
	client_enter(c, PHASE_CONNECT);
	on_dial(c, dial_start(&c->dial, &why), &why);
}

void client_peer_event(struct client *c, const struct io_event *event)
{
	struct failure why;

	switch (event->kind) {
	case IO_CONNECTED:
	case IO_CLOSED: on_dial(c, dial_event(&c->dial, event, &why), &why); break;
	case IO_RECEIVED: on_received(c, event); break;
	case IO_SENT:
		c->sending = false;
		/* What the server has to say about it may still be on its way: its end is seen by receiving. */
		if (event->result < 0) {
			c->send_broken = true;
			break;
		}
		sender_sent(&c->sender, (size_t)event->result, clock_boottime_ns());
		if (c->phase == PHASE_OPEN)
			pump(c);
		else if (c->phase == PHASE_BYE)
			io_shutdown(c->io, c->dial.socket);
		break;
	case IO_ACCEPTED:
	case IO_ACCEPT_FAILED:
	case IO_WRITTEN:
	case IO_JOB_DONE:
	case IO_SIGNAL: break;
	}
}

/* --- silence */

uint64_t client_silence_deadline(const struct client *c)
{
	switch (c->phase) {
	case PHASE_FOREIGN: return c->phase_ns + FOREIGN_ANSWER_NS;
	case PHASE_BYE: return c->phase_ns + BYE_NS;
	case PHASE_OPEN:
		if (!c->welcomed && !c->sender.opened)
			return c->phase_ns + PEER_SILENT_NS;
		return sender_waits(&c->sender) ? c->heard_ns + PEER_SILENT_NS : NEVER_NS;
	case PHASE_PAUSE:
	case PHASE_CONNECT:
	case PHASE_CLOSE:
	case PHASE_DONE: break;
	}
	return NEVER_NS;
}

void client_silence(struct client *c)
{
	bool first = !c->welcomed && !c->sender.opened;
	struct failure why;
	const uint8_t *answer;
	size_t size;

	answer = sender_answer(&c->sender, &size);
	if (c->phase == PHASE_BYE)
		client_hang_up(c);
	else if (c->phase == PHASE_FOREIGN)
		end_foreign(c, "", answer, size);
	else if (first) {
		/* What has come of it, if anything, differs nowhere from a Roger server's. */
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: no %sanswer within %d s%s",
			    c->dial.text, size > 0 ? "whole " : "",
			    (int)(PEER_SILENT_NS / SECOND_NS),
			    size > 0 ? "" : " (it is full, has stopped, or is no Roger server)");
		try_again(c, &why);
	} else {
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s: nothing heard for %d s", c->dial.text,
			    (int)(PEER_SILENT_NS / SECOND_NS));
		try_again(c, &why);
	}
}
