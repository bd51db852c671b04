/* Readers of the journal, beside its server or without one. */
#include <errno.h>

#include "base/limits.h"
#include "clock/clock.h"
#include "journal/reader.h"
#include "stage.h"
#include "world.h"

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

/* roger read, with --follow or without; over again when it must. */
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
		if (result == 0 && !actor->follows)
			break;
		if (reader != NULL)
			reader_release(reader);
		clock_sleep_ns(world_span(0, actor->pause_ns, 2 * SECOND_NS));
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
		world_at(world_now() + world_span(0, 4 * actor->pause_ns, 2 * SECOND_NS),
			 reader_again, actor, 0);
}

void reader_start(struct reader_actor *actor)
{
	struct host *host = actor->stage->server_host;

	if (actor->process != NULL || host->off)
		return;
	actor->follows = world_draw(2) == 0;
	actor->pause_ns = world_draw(3) == 0 ? 3 * MS_NS : 30 * MS_NS;
	actor->from = world_draw(3) == 0 ? -(int64_t)world_between(1, 20) : 0;
	actor->process = process_start(host, "reader", reader_main, actor, reader_ended);
	actor->process->script = actor;
}
