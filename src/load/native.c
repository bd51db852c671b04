/* Connections that last, in the native protocol, each with a client's session machine (client/sender.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/must.h"
#include "client/client.h"
#include "clock/clock.h"
#include "load/line.h"

enum {
	/* Runs of messages under way, all connections together: 16 MiB of times. */
	STAMPS_MAX = 1024 * 1024,
	STAMPS_EACH_MAX = 64 * 1024,
	STAMPS_EACH_MIN = 64,
};

/* --- messages */

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

	while (count < left && line_can_take(l, line) && put(l, line))
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

		if (!line_can_take(l, line))
			continue;
		if (!stamps_has_room(&line->stamps))
			line->full = true;
		else if (l->config->rate > 0)
			feed_one(l, line);
		else
			feed_many(l, line);
		line_send(l, line);
		line_ready(l, line);
	}
}

/* --- opening */

static void open_more(struct load *l)
{
	struct native *n = l->own;
	uint32_t count = l->config->connections;

	while (n->begun < count && n->opening < LOAD_OPENING_MAX && l->phase == LOAD_OPENING) {
		struct line *line = &n->lines[n->begun++];

		n->opening++;
		line->phase = LINE_CONNECT;
		line->began_ns = clock_monotonic_ns();
		line_connect(l, line);
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

static void on_event(struct load *l, const struct io_event *event)
{
	line_event(l, event->owner, event);
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
			line_hang_up(l, line);
			continue;
		}
		line->phase = LINE_BYE;
		sender_bye(&line->sender);
		line_send(l, line);
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
