/* Servers, and who starts them again: an operator, or what he has set up. */
#include <signal.h>

#include "base/limits.h"
#include "stage.h"
#include "world.h"

/* Draining has a deadline; then what the journal has in flight is waited for, as long again. A second signal waits for nothing. */
#define DRAINS_NS (2 * DRAIN_NS + SECOND_NS)
#define LEAVES_NS SECOND_NS

static const struct process_thrift nothing_later = { .until_listening = true };

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

static void check_time(const struct server_actor *actor, const struct process *process)
{
	uint64_t took_ns;

	if (actor->asked != process->number || actor->asked_ns == NEVER_NS ||
	    process->paused_until_ns > actor->asked_ns || process->state != PROCESS_RETURNED)
		return;
	took_ns = world_now() - actor->asked_ns;
	if (took_ns > (actor->is_urged ? LEAVES_NS : DRAINS_NS))
		world_fail("a server that was asked to stop%s has taken %llu ms for it",
			   actor->is_urged ? " at once" : "",
			   (unsigned long long)(took_ns / MS_NS));
}

static void server_ended(struct process *process)
{
	struct server_actor *actor = process->script;
	/* Mostly at once; sometimes it takes so long that whoever looks at the journal finds no server. */
	uint64_t pause_ns = world_draw(4) == 0 ? world_span(0, 2 * SECOND_NS, 10 * SECOND_NS)
					       : world_span(0, 20 * MS_NS, 3 * SECOND_NS);

	check_server_ended(process);
	check_time(actor, process);
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
	actor->process->thrift = &nothing_later;
	disk_server_started(actor->stage->disk);
	check_server_started(actor->process);
}

static void ask(struct server_actor *actor)
{
	struct process *process = actor->process;

	if (actor->is_urged || sim_io_is_listening(process)) {
		check_server_asked(process);
		if (!actor->is_urged || actor->asked_ns != NEVER_NS)
			actor->asked_ns = world_now();
	} else {
		check_server_asked_early(process);
		actor->asked_ns = NEVER_NS;
	}
	world_trace("server asked to stop", process->number, actor->is_urged);
	process_signal(process, world_draw(2) == 0 ? SIGTERM : SIGINT);
}

void server_stop(struct server_actor *actor)
{
	if (actor->process == NULL || actor->asked == actor->process->number)
		return;
	actor->asked = actor->process->number;
	actor->is_urged = false;
	ask(actor);
}

void server_urge(struct server_actor *actor)
{
	if (actor->process == NULL || actor->asked != actor->process->number || actor->is_urged)
		return;
	actor->is_urged = true;
	ask(actor);
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
