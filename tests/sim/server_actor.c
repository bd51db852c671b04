/* Servers, and who starts them again: an operator, or what he has set up. */
#include "base/limits.h"
#include "stage.h"
#include "world.h"

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
	/* Mostly at once; sometimes it takes so long that whoever looks at the journal finds no server. */
	uint64_t pause_ns = world_draw(4) == 0 ? world_span(0, 2 * SECOND_NS, 10 * SECOND_NS)
					       : world_span(0, 20 * MS_NS, 3 * SECOND_NS);

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
