/* The processes of a seed, and who starts them again. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "clock/clock.h"
#include "journal/reader.h"
#include "stage.h"
#include "world.h"

/* --- servers */

static int server_main(void *argument)
{
	const struct server_actor *actor = argument;

	return server_run(&actor->stage->config);
}

static void server_again(void *context, uint64_t starts)
{
	struct server_actor *actor = context;

	if (actor->starts == starts && !actor->is_second && !actor->stage->is_closing)
		server_start(actor);
}

static void server_ended(struct process *process)
{
	struct server_actor *actor = process->script;
	uint64_t pause_ns = world_span(0, 20 * MS_NS, 3 * SECOND_NS);

	check_server_ended(process);
	actor->process = NULL;
	/* An operator looks at a disk that fails: it gets mended. */
	if (process->state == PROCESS_RETURNED &&
	    (process->status == EXIT_IO || process->status == EXIT_CREATE)) {
		disk_break(actor->stage->disk, false);
		pause_ns += world_span(0, 100 * MS_NS, 3 * SECOND_NS);
	}
	if (process->state == PROCESS_RETURNED && process->status == EXIT_DATA)
		actor->stage->is_damaged = true;
	if (!actor->stage->is_closing && !actor->stage->is_damaged)
		world_at(world_now() + pause_ns, server_again, actor, actor->starts);
}

void server_start(struct server_actor *actor)
{
	struct host *host = actor->stage->server_host;

	if (actor->process != NULL || host->off)
		return;
	actor->starts++;
	actor->process = process_start(host, actor->is_second ? "second server" : "server",
				       server_main, actor, server_ended);
	actor->process->script = actor;
	actor->process->is_server = true;
	disk_server_started(actor->stage->disk);
	check_server_started(actor->process);
}

bool stage_server_is_up(const struct stage *stage)
{
	/* Whichever of the two has the journal. */
	for (unsigned i = 0; i < SERVERS; i++) {
		const struct process *process = stage->servers[i].process;

		if (process != NULL && sim_io_is_listening(process))
			return true;
	}
	return stage->is_damaged;
}

/* --- clients */

static bool is_plain(const struct client_actor *actor)
{
	return actor->kind >= CLIENT_RAW;
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

static void client_ended(struct process *process)
{
	struct client_actor *actor = process->script;
	bool is_finished = process->state == PROCESS_RETURNED && process->status == EXIT_DONE;

	actor->process = NULL;
	if (process->state == PROCESS_RETURNED)
		check_client_ended(actor->sender, actor->run, actor->last, process->status);
	if (is_finished && actor->stage->is_closing)
		actor->is_done = true;
	/* A run that has ended otherwise, or was killed, is begun again: with --resume as the same, else as the next one. */
	if (actor->is_done || actor->is_out)
		return;
	world_at(world_now() + world_span(0, 20 * MS_NS, 2 * SECOND_NS), client_again, actor, 0);
}

/* What this run sends. */
static void plan_run(struct client_actor *actor)
{
	uint64_t count = world_draw(8) == 0 ? world_between(1, 400) : world_between(1, 40);

	if (is_plain(actor))
		count = world_between(1, ARGUMENTS_MAX);
	if (actor->count > 0)
		count = actor->count;
	if (actor->kind == CLIENT_RESUME) {
		if (actor->last == 0 || !actor->stage->is_closing)
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

void client_start(struct client_actor *actor)
{
	if (actor->process != NULL || actor->host->off || actor->is_done || actor->is_out)
		return;
	plan_run(actor);
	plan_input(actor);
	announce(actor);
	actor->process = process_start(actor->host, "client", client_main, actor, client_ended);
	actor->process->script = actor;
}

void client_clear(struct client_actor *actor)
{
	arguments_forget(actor);
}

bool stage_clients_done(const struct stage *stage)
{
	for (unsigned i = 0; i < stage->client_count; i++)
		if (!stage->clients[i].is_done && !stage->clients[i].is_out)
			return false;
	return true;
}

/* --- readers */

static void reader_show(unsigned pass, const struct record *record)
{
	struct check_record seen = {
		.reader = pass,
		.number = record->number,
		.stream = record->stream.bytes,
		.seq = record->seq,
		.payload = record->payload,
		.size = record->size,
		.gap = record->gap,
	};

	check_seen(&seen);
}

/* roger read --follow, over again when it must. */
static int reader_main(void *argument)
{
	struct reader_actor *actor = argument;
	struct reader *reader = NULL;
	struct record record;
	struct failure why;
	unsigned pass = 0;

	while (!actor->stage->is_closing) {
		int result = reader != NULL
				     ? reader_next(reader, &record, &why)
				     : reader_open(JOURNAL_PATH, actor->from, &reader, &why);

		if (result == -EBADMSG || (result < 0 && why.status == EXIT_DATA))
			check_damage_told("reader", why.text);
		if (result < 0) {
			if (reader != NULL)
				reader_close(reader);
			reader = NULL;
			pass = 0;
		} else if (pass == 0) {
			pass = ++actor->stage->passes;
		}
		if (result == 1) {
			reader_show(pass, &record);
			continue;
		}
		if (reader != NULL)
			reader_release(reader);
		clock_sleep_ns(world_span(0, 30 * MS_NS, 2 * SECOND_NS));
	}
	if (reader != NULL)
		reader_close(reader);
	return 0;
}

static void reader_again(void *context, uint64_t number)
{
	struct reader_actor *actor = context;

	(void)number;
	if (!actor->stage->is_closing)
		reader_start(actor);
}

static void reader_ended(struct process *process)
{
	struct reader_actor *actor = process->script;

	actor->process = NULL;
	if (!actor->stage->is_closing)
		world_at(world_now() + world_span(0, 50 * MS_NS, 2 * SECOND_NS), reader_again,
			 actor, 0);
}

void reader_start(struct reader_actor *actor)
{
	struct host *host = actor->stage->server_host;

	if (actor->process != NULL || host->off)
		return;
	actor->from = world_draw(3) == 0 ? -(int64_t)world_between(1, 20) : 0;
	actor->process = process_start(host, "reader", reader_main, actor, reader_ended);
	actor->process->script = actor;
}
