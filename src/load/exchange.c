/* The classic exchange with a plain server: connect, send, read ACK!, close. A connection for each message. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/text.h"
#include "clock/clock.h"
#include "load/private.h"

static const char ack[] = "ACK!";

enum {
	ACK_SIZE = sizeof(ack) - 1,
	/* Less than this comes in one piece on any network, so that ACK! covers all of it; more is half-closed first. */
	ONE_PIECE_SIZE = 512,
};

/* Room for one exchange at a time. */
struct place {
	io_socket socket;    /* 0: none */
	unsigned endpoint;
	uint64_t began_ns;   /* when it began, or was due */
	uint64_t acked_ns;   /* 0: not yet */
	uint32_t sent;       /* of the message, so many bytes were taken */
	bool sending;
	uint32_t answer_size;
	uint8_t answer[LOAD_ANSWER_SHOWN];
	uint8_t *message;
	struct place *next_free;
};

struct exchange {
	struct place *places;
	uint8_t *messages;
	struct place *free;
};

static void release(struct exchange *x, struct place *p)
{
	p->next_free = x->free;
	x->free = p;
}

static int create(struct load *l, struct failure *why)
{
	uint32_t count = l->config->connections;
	struct exchange *x = calloc(1, sizeof(*x));

	l->own = x;
	if (x != NULL) {
		x->places = calloc(count, sizeof(*x->places));
		x->messages = calloc(count, l->config->size);
	}
	if (x == NULL || x->places == NULL || x->messages == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "memory for the connections");
	for (uint32_t i = count; i-- > 0;) {
		x->places[i].message = x->messages + (size_t)i * l->config->size;
		release(x, &x->places[i]);
	}
	return 0;
}

static void destroy(struct load *l)
{
	struct exchange *x = l->own;

	if (x == NULL)
		return;
	free(x->places);
	free(x->messages);
	free(x);
}

static void connect_place(struct load *l, struct place *p)
{
	struct failure why;
	int result;

	do {
		result = load_connect(l, p, &p->socket, &p->endpoint);
	} while (result < 0 && load_connect_again(l, p->endpoint, -result, &why));
	if (result < 0)
		load_fail(l, &why);
}

static void begin(struct load *l, struct place *p)
{
	struct exchange *x = l->own;

	must(x->free == p);
	x->free = p->next_free;
	p->began_ns = schedule_take(&l->schedule, l->now_ns, clock_monotonic_ns());
	p->acked_ns = 0;
	p->sent = 0;
	p->sending = false;
	p->answer_size = 0;
	memcpy(p->message, content_next(&l->content), l->config->size);
	content_take(&l->content);
	l->result->sent++;
	connect_place(l, p);
}

static void go(struct load *l)
{
	struct exchange *x = l->own;

	while (x->free != NULL && l->phase == LOAD_RUNNING &&
	       schedule_is_due(&l->schedule, l->now_ns))
		begin(l, x->free);
}

static bool is_free(const struct load *l)
{
	const struct exchange *x = l->own;

	return x->free != NULL;
}

static void send_more(struct load *l, struct place *p)
{
	struct io_span rest = { p->message + p->sent, l->config->size - p->sent };

	if (rest.size > 0) {
		p->sending = true;
		io_send(l->io, p->socket, &rest, 1);
	} else if (l->config->size > ONE_PIECE_SIZE) {
		io_shutdown(l->io, p->socket);
	}
}

/* The whole answer is there, and all of the message is sent. */
static void conclude(struct load *l, struct place *p)
{
	struct failure why;

	if (p->sent < l->config->size) {
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s took only %u of %u bytes", l->text,
			    p->sent, l->config->size);
		load_fail(l, &why);
		return;
	}
	histogram_add(&l->result->latency,
		      p->acked_ns > p->began_ns ? p->acked_ns - p->began_ns : 0, 1);
	load_acked(l, 1, p->acked_ns);
	io_close(l->io, p->socket, false);
	p->socket = 0;
	release(l->own, p);
}

static void on_answer(struct load *l, struct place *p, const uint8_t *data, size_t size)
{
	char shown[LOAD_ANSWER_SHOWN * 4 + 8];
	struct failure why;

	if (size > sizeof(p->answer) - p->answer_size)
		size = sizeof(p->answer) - p->answer_size;
	memcpy(p->answer + p->answer_size, data, size);
	p->answer_size += (uint32_t)size;
	if (p->answer_size > ACK_SIZE || memcmp(p->answer, ack, p->answer_size) != 0) {
		text_escape(shown, sizeof(shown), p->answer, p->answer_size, LOAD_ANSWER_SHOWN);
		failure_set(&why, EXIT_UNAVAILABLE, 0, "%s answered \"%s\", not \"%s\"", l->text,
			    shown, ack);
		load_fail(l, &why);
		return;
	}
	if (p->answer_size < ACK_SIZE)
		return;
	p->acked_ns = clock_monotonic_ns();
	/* The loop may hear of the answer before it hears that the message has gone. */
	if (!p->sending)
		conclude(l, p);
}

static void on_end(struct load *l, struct place *p, int error)
{
	struct failure why;

	if (p->acked_ns != 0)
		return; /* what it has to say is said */
	if (error == 0)
		failure_set(&why, EXIT_UNAVAILABLE, 0,
			    "%s closed the connection without an answer", l->text);
	else
		load_lost(l, error, &why);
	load_fail(l, &why);
}

static void on_connected(struct load *l, struct place *p, int result)
{
	struct failure why;

	if (result == 0) {
		l->reached = true;
		io_receive(l->io, p->socket, true);
		send_more(l, p);
		return;
	}
	io_close(l->io, p->socket, true);
	p->socket = 0;
	if (load_connect_again(l, p->endpoint, -result, &why))
		connect_place(l, p);
	else
		load_fail(l, &why);
}

static void on_sent(struct load *l, struct place *p, int result)
{
	p->sending = false;
	if (result > 0)
		p->sent += (uint32_t)result;
	if (p->acked_ns != 0)
		conclude(l, p);
	else if (result > 0)
		send_more(l, p);
	/* Else receiving will say why it is broken: an answer may have come before that. */
}

static void on_event(struct load *l, const struct io_event *event)
{
	struct place *p = event->owner;

	switch (event->kind) {
	case IO_CONNECTED: on_connected(l, p, event->result); break;
	case IO_SENT: on_sent(l, p, event->result); break;
	case IO_RECEIVED:
		if (event->result <= 0) {
			on_end(l, p, -event->result);
			break;
		}
		on_answer(l, p, event->data, (size_t)event->result);
		io_buffer_return(l->io, event->buffer);
		break;
	case IO_CLOSED: /* its place may have another connection by now */
	case IO_ACCEPTED:
	case IO_ACCEPT_FAILED:
	case IO_WRITTEN:
	case IO_JOB_DONE:
	case IO_SIGNAL: break;
	}
}

static void end(struct load *l)
{
	(void)l; /* each connection has ended with its answer */
}

static bool has_ended(const struct load *l)
{
	(void)l;
	return true;
}

const struct load_kind load_exchange = {
	.create = create,
	.destroy = destroy,
	.event = on_event,
	.go = go,
	.is_free = is_free,
	.end = end,
	.has_ended = has_ended,
};
