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

/* roger read, with --follow or without; over again when it must. Who follows does so until he is killed. */
static int reader_main(void *argument)
{
	struct reader_actor *actor = argument;
	struct reader *reader = NULL;
	struct record record;
	struct failure why;
	uint64_t began = check_reader_began();

	actor->pass = 0;
	actor->shown = 0;
	while (true) {
		int result = reader != NULL
				     ? reader_next(reader, &record, &why)
				     : reader_open(JOURNAL_PATH, actor->from, &reader, &why);

		if (result == -EBADMSG || (result < 0 && why.status == EXIT_DATA))
			check_damage_told("reader", why.text);
		else if (result < 0)
			check_reader_failed(began, (int)why.status, why.text);
		if (result < 0) {
			if (reader != NULL)
				reader_close(reader);
			reader = NULL;
			began = check_reader_began();
			actor->pass = 0;
			actor->shown = 0;
		} else if (actor->pass == 0) {
			actor->pass = ++actor->stage->passes;
		}
		if (result == 1) {
			reader_show(actor->pass, &record);
			actor->shown = record.number;
			continue;
		}
		if (result == 0)
			check_seen_all(actor->pass);
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

bool stage_readers_are_through(const struct stage *stage)
{
	for (unsigned i = 0; i < stage->reader_count; i++) {
		const struct reader_actor *actor = &stage->readers[i];

		if (actor->process != NULL && actor->follows && actor->shown < check_told())
			return false;
	}
	return true;
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
