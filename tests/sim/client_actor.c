/* Senders: what each run of one sends, and who starts it again, as a script would. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "stage.h"
#include "world.h"

static bool is_plain(const struct client_actor *actor)
{
	return actor->kind >= CLIENT_RAW;
}

/* Is one of its messages larger than the server takes? */
static bool is_too_large(const struct client_actor *actor)
{
	uint32_t limit = actor->stage->config.journal.message_max;

	if (actor->message_most <= limit || actor->kind == CLIENT_RAW)
		return false; /* raw: it is stored in pieces */
	for (uint64_t i = 1; i <= actor->last; i++) {
		struct message message = { actor->sender, actor->run, i };

		if (message_size(&message, actor->message_most) > limit)
			return true;
	}
	return false;
}

static size_t make_message(const struct client_actor *actor, uint64_t number, uint8_t *out)
{
	struct message message = { actor->sender, actor->run, number };

	return message_make(&message, actor->message_most, out);
}

/* Its standard input: lines, in pieces as they may come. */
static size_t script_read(void *context, void *out, size_t size, bool *ret_end)
{
	struct client_actor *actor = context;
	size_t want = size < 64 || world_draw(4) > 0 ? size : world_between(1, size);
	size_t done = 0;

	while (done < want) {
		size_t part = actor->line_size - actor->line_read;

		if (part == 0 && actor->next > actor->last)
			break;
		if (part == 0) {
			actor->line_size = make_message(actor, actor->next++, actor->line);
			actor->line[actor->line_size++] = '\n';
			actor->line_read = 0;
			continue;
		}
		if (part > want - done)
			part = want - done;
		memcpy((uint8_t *)out + done, actor->line + actor->line_read, part);
		actor->line_read += part;
		done += part;
		if (world_draw(32) == 0)
			break;
	}
	*ret_end = actor->line_read == actor->line_size && actor->next > actor->last;
	actor->script.next_ns =
		world_now() + (world_draw(8) == 0 ? world_span(0, 5 * MS_NS, SECOND_NS) : 0);
	return done;
}

/* The first WELCOME says how large a message may be: only then has a sender its window, and room for the largest line. */
static const struct process_thrift window_later = { .turns = 1 };
static const struct process_thrift nothing_later = { .turns = 0 };

static int client_main(void *argument)
{
	const struct client_actor *actor = argument;

	return is_plain(actor) ? client_send_raw(&actor->config) : client_send(&actor->config);
}

static void arguments_forget(struct client_actor *actor)
{
	for (unsigned i = 0; i < ARGUMENTS_MAX; i++) {
		sim_free(actor->arguments[i]);
		actor->arguments[i] = NULL;
	}
}

static void client_again(void *context, uint64_t number)
{
	(void)number;
	client_start(context);
}

static void begin_anew(struct client_actor *actor)
{
	if (actor->sender + RENEWED > SENDER_MOST) {
		actor->is_out = true; /* a message could not say whose it is */
		return;
	}
	actor->sender += RENEWED;
	actor->last = 0;
	snprintf(actor->stream_name, sizeof(actor->stream_name), "stream %u", actor->sender);
}

/* Now and then another stream, which nobody knows yet. */
static void renew(struct client_actor *actor)
{
	if (actor->kind != CLIENT_RESUME || actor->shares || actor->stage->is_closing ||
	    actor->count > 0 || world_draw(2) == 0)
		return;
	begin_anew(actor);
}

/* What it can not send it must not call sent. */
static void check_end_of_run(const struct client_actor *actor, int status)
{
	if (!is_too_large(actor)) {
		check_client_ended(actor->sender, actor->run, actor->last, status);
		return;
	}
	world_trace("too large", actor->sender, (uint64_t)status);
	if (status == EXIT_DONE)
		world_fail("client %u, run %u: a message is too large, and it was accepted",
			   actor->sender, actor->run);
	if (status != EXIT_DATA || is_plain(actor))
		check_client_ended(actor->sender, actor->run, actor->last, status);
}

static void client_ended(struct process *process)
{
	struct client_actor *actor = process->script;
	bool is_finished = process->state == PROCESS_RETURNED && process->status == EXIT_DONE;
	uint64_t pause_ns = 0;

	actor->process = NULL;
	actor->is_through = is_finished;
	if (process->state == PROCESS_RETURNED)
		check_end_of_run(actor, process->status);
	if (is_finished && actor->stage->is_closing)
		actor->is_done = true;
	/* Somebody else has sent other messages there: they will not change. */
	if (actor->shares && actor->kind == CLIENT_RESUME && process->state == PROCESS_RETURNED &&
	    process->status == EXIT_DATA)
		actor->is_out = true;
	/* A server without a journal has forgotten the beginning, and the stream is not the input any more; or that can not be sent. */
	if ((actor->stage->is_volatile || is_too_large(actor)) && actor->kind == CLIENT_RESUME &&
	    !actor->shares && !actor->is_twin && process->state == PROCESS_RETURNED &&
	    process->status == EXIT_DATA)
		begin_anew(actor);
	/* A run that has ended otherwise, or was killed, is begun again: with --resume as the same, else as the next one. */
	if (actor->is_done || actor->is_out || actor->is_twin)
		return;
	if (is_finished)
		renew(actor);
	if (process->state != PROCESS_KILLED || world_draw(2) == 0)
		pause_ns = world_span(0, 20 * MS_NS, 2 * SECOND_NS);
	world_at(world_now() + pause_ns, client_again, actor, 0);
}

/* Its input grows when it has been through, and sometimes before; but not for ever: all of it is compared each time. */
static bool may_grow(const struct client_actor *actor)
{
	return actor->last < MESSAGES_ENOUGH && actor->last * actor->message_most < BYTES_ENOUGH &&
	       (actor->is_through || world_draw(4) == 0);
}

/* What this run sends. */
static void plan_run(struct client_actor *actor)
{
	uint64_t count = world_draw(8) == 0 ? world_between(1, 400) : world_between(1, 40);

	if (is_plain(actor))
		count = world_between(1, ARGUMENTS_MAX);
	if (actor->kind == CLIENT_EPHEMERAL)
		count *= 3; /* it takes a while, so that things happen in the midst of it */
	if (actor->message_most > MESSAGE_MOST)
		count = world_between(1, 3);
	if (actor->count > 0)
		count = actor->count;
	if (actor->is_twin) {
		;
	} else if (actor->kind == CLIENT_RESUME) {
		if (actor->last == 0 || (may_grow(actor) && !actor->stage->is_closing))
			actor->last += count;
	} else {
		actor->run++;
		actor->last = count;
	}
	actor->next = 1;
	actor->line_size = actor->line_read = 0;
}

static void plan_input(struct client_actor *actor)
{
	struct client_input *input = &actor->config.input;

	arguments_forget(actor);
	*input = (struct client_input){ 0 };
	if (!is_plain(actor)) {
		input->standard_input = true;
		actor->script = (struct io_script){
			.read = script_read,
			.context = actor,
			.next_ns = world_now(),
		};
		return;
	}
	for (uint64_t i = 0; i < actor->last; i++) {
		size_t size = make_message(actor, i + 1, actor->line);

		actor->arguments[i] = sim_alloc(size + 1);
		memcpy(actor->arguments[i], actor->line, size);
	}
	input->messages = actor->arguments;
	input->message_count = (unsigned)actor->last;
}

static void announce(const struct client_actor *actor)
{
	struct stream_id id;

	if (is_plain(actor) || actor->kind == CLIENT_EPHEMERAL) {
		check_sender(actor->sender, NULL, actor->run, actor->last, false);
		return;
	}
	client_stream_id(actor->stream_name, &id);
	check_sender(actor->sender, id.bytes, actor->run, actor->last,
		     actor->kind == CLIENT_RESUME);
}

/* When it may give up. */
static void say_patience(const struct client_actor *actor)
{
	uint64_t usual_ns = is_plain(actor) ? RAW_REPLY_NS : DEFAULT_CLIENT_TIMEOUT_NS;
	struct check_attempt attempt = {
		.tries_again = actor->config.retry && !is_plain(actor),
		.is_too_large = is_too_large(actor),
		.patience_ns = actor->config.timeout_ns > 0 ? actor->config.timeout_ns : usual_ns,
	};

	check_client_started(actor->sender, actor->run, &attempt);
}

void client_start(struct client_actor *actor)
{
	if (actor->process != NULL || actor->host->off || actor->is_done || actor->is_out)
		return;
	plan_run(actor);
	plan_input(actor);
	announce(actor);
	say_patience(actor);
	actor->process = process_start(actor->host, "client", client_main, actor, client_ended);
	actor->process->script = actor;
	actor->process->thrift = is_plain(actor) ? &nothing_later : &window_later;
}

void client_clear(struct client_actor *actor)
{
	arguments_forget(actor);
	sim_free(actor->line);
	actor->line = NULL;
}

void twin_start(struct client_actor *of)
{
	struct stage *stage = of->stage;
	struct client_actor *twin = &stage->twin;
	struct host *host = twin->host;

	if (twin->process != NULL || of->kind != CLIENT_RESUME || of->last == 0 || of->count > 0)
		return;
	if (host == NULL)
		host = host_create("twin", NULL);
	client_clear(twin);
	*twin = (struct client_actor){
		.line = sim_alloc(of->message_most + 1),
		.stage = stage,
		.sender = of->sender,
		.kind = CLIENT_RESUME,
		.host = host,
		.config = of->config,
		.message_most = of->message_most,
		.last = world_draw(2) == 0 ? of->last : world_between(1, of->last),
		.shares = of->shares,
		.is_twin = true,
	};
	memcpy(twin->stream_name, of->stream_name, sizeof(twin->stream_name));
	twin->config.stream_name = twin->stream_name;
	check_sender_doubled(twin->sender);
	client_start(twin);
}

void stage_stop_clients(struct stage *stage)
{
	for (unsigned i = 0; i <= stage->client_count; i++) {
		struct client_actor *actor = i < stage->client_count ? &stage->clients[i]
								     : &stage->twin;

		actor->is_out = true;
		if (actor->process != NULL)
			process_kill(actor->process, DEATH_KILL);
	}
}

bool stage_clients_done(const struct stage *stage)
{
	for (unsigned i = 0; i < stage->client_count; i++)
		if (!stage->clients[i].is_done && !stage->clients[i].is_out)
			return false;
	return true;
}
