#include "scenario.h"

#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "finale.h"
#include "net.h"
#include "stage.h"
#include "world.h"

enum {
	COMPLETIONS_LEAST = 2000, /* what a seed must have seen before it may end */
	STEPS_MOST = 400000,      /* and what it may take until then */
	CRASHES_MOST = 9,
	STEPS_PER_MISCHIEF = 1500,
	FILES_MOST = 16,          /* that a server has open when it listens */
	WAIT_MOST = 3000,         /* steps that a crash waits for its opportunity */
};

#define SLEEPY_NS (30 * SECOND_NS) /* so long has a client no connection before its machine falls asleep */

/* What happens when, counted in steps of the world: so every event may be the last of a process. */
struct plot {
	struct stage *stage;
	uint64_t steps;
	uint64_t crash_at;
	uint64_t names;          /* ... but not before so many names have been changed; 0: at once */
	uint64_t reuses;         /* ... but not before so many segments have been used again; 0: at once */
	bool is_haunted;         /* ... but right after a start, in the midst of opening */
	unsigned crashes_left;
	unsigned starts;         /* of the server: as far as it was looked at */
	uint64_t mischief_at;
};

/* --- crashes */

/* When the next crash comes: after so many steps, soon after a name was changed (segments and snapshots come and go by that), soon after a
 * segment was used again, or as soon as a server opens the journal. */
static void draw_crash(struct plot *plot)
{
	static const uint64_t lives[] = { 20, 100, 300, 1000, 2000, 4000 };

	plot->crash_at = plot->steps + 1 + world_draw(lives[world_draw(6)]);
	plot->is_haunted = world_draw(5) == 0;
	plot->names = plot->reuses = 0;
	if (plot->is_haunted)
		return;
	if (world_draw(4) == 0)
		plot->names = disk_name_changes(plot->stage->disk) + world_between(1, 12);
	else if (plot->stage->config.journal.keep_bytes != 0 && world_draw(4) == 0)
		plot->reuses = fault_counts[FAULT_SEGMENT_REUSED] + world_between(1, 3);
}

static bool is_time(struct plot *plot)
{
	static const uint64_t delays[] = { 4, 20, 100 };
	const struct stage *stage = plot->stage;

	if (plot->is_haunted && stage->servers[0].starts != plot->starts) {
		plot->is_haunted = false;
		plot->crash_at = plot->steps + world_draw(delays[world_draw(3)]);
	} else if (plot->names > 0 && disk_name_changes(stage->disk) >= plot->names) {
		plot->names = 0;
		plot->crash_at = plot->steps + world_draw(delays[world_draw(3)]);
	} else if (plot->reuses > 0 && fault_counts[FAULT_SEGMENT_REUSED] >= plot->reuses) {
		plot->reuses = 0;
		plot->crash_at = plot->steps + world_draw(delays[world_draw(3)]);
	}
	plot->starts = stage->servers[0].starts;
	if (plot->steps < plot->crash_at)
		return false;
	/* What it waits for may never come. */
	return (plot->names == 0 && plot->reuses == 0 && !plot->is_haunted) ||
	       plot->steps >= plot->crash_at + WAIT_MOST;
}

static void boot(void *context, uint64_t unused)
{
	struct stage *stage = context;

	(void)unused;
	stage->server_host->off = false;
	stage->server_host->booted_ns = world_now();
	world_trace("boot", 0, 0);
	if (stage->is_closing)
		return;
	server_start(&stage->servers[0]);
	for (unsigned i = 0; i < stage->reader_count; i++)
		reader_start(&stage->readers[i]);
}

static bool is_opening(const struct process *process)
{
	return process != NULL && !sim_io_is_listening(process);
}

void stage_power_cut(struct stage *stage)
{
	struct host *host = stage->server_host;
	bool was_opening = is_opening(stage->servers[0].process);
	bool was_running = stage->servers[0].process != NULL || stage->servers[1].process != NULL;

	if (host->off)
		return;
	host->off = true;
	for (unsigned i = 0; i < SERVERS; i++)
		if (stage->servers[i].process != NULL)
			process_kill(stage->servers[i].process, DEATH_POWER);
	for (unsigned i = 0; i < stage->reader_count; i++)
		if (stage->readers[i].process != NULL)
			process_kill(stage->readers[i].process, DEATH_POWER);
	/* One that nobody notices does not count. */
	if (disk_power_cut(stage->disk) || was_running)
		fault_happened(was_opening ? FAULT_POWER_CUT_IN_OPENING : FAULT_POWER_CUT);
	world_at(world_now() + world_span(0, 200 * MS_NS, 20 * SECOND_NS), boot, stage, 0);
}

static void kill_server(struct stage *stage)
{
	struct process *process = stage->servers[0].process;

	if (process == NULL)
		return;
	fault_happened(is_opening(process) ? FAULT_KILLED_IN_OPENING : FAULT_SERVER_KILLED);
	process_kill(process, DEATH_KILL);
}

static void crash(struct plot *plot)
{
	struct stage *stage = plot->stage;

	draw_crash(plot);
	if (stage->server_host->off || stage->servers[0].process == NULL)
		return;
	plot->crashes_left--;
	stage->crashes++;
	if (world_draw(2) == 0)
		stage_power_cut(stage);
	else
		kill_server(stage);
}

/* --- mischief of other kinds */

static struct client_actor *somebody(struct stage *stage)
{
	return &stage->clients[world_draw(stage->client_count)];
}

static void kill_client(struct stage *stage)
{
	struct client_actor *actor = somebody(stage);

	if (actor->process == NULL)
		return;
	fault_happened(FAULT_CLIENT_KILLED);
	process_kill(actor->process, DEATH_KILL);
}

static void kill_reader(struct stage *stage)
{
	struct reader_actor *actor = &stage->readers[world_draw(READERS_MAX)];

	if (actor->process == NULL)
		return;
	fault_happened(FAULT_READER_KILLED);
	process_kill(actor->process, DEATH_KILL);
}

static void pause_somebody(struct stage *stage)
{
	uint64_t which = world_draw(stage->client_count + 3);
	struct process *process = which < stage->client_count ? stage->clients[which].process
							      : stage->servers[0].process;

	if (process == NULL)
		return;
	fault_happened(FAULT_PAUSE);
	process_pause(process, world_now() + world_span(MS_NS, 2 * SECOND_NS, 40 * SECOND_NS));
}

static void jump_clock(struct stage *stage)
{
	static const int64_t jumps_s[] = { 1, -1, 60, -60, 3600, -3600, 100000, -100000 };

	fault_happened(FAULT_CLOCK_JUMP);
	stage->server_host->clock_ahead += jumps_s[world_draw(8)] * (int64_t)SECOND_NS;
}

static void make_hole(struct stage *stage)
{
	uint64_t which = world_draw(stage->client_count + 1);
	uint64_t ways = world_draw(3);
	struct host *host = which < stage->client_count ? stage->clients[which].host
							: stage->server_host;

	fault_happened(ways == 2 ? FAULT_NET_BLACKHOLE_BOTH : FAULT_NET_BLACKHOLE_ONE);
	net_blackhole(host, ways != 1, ways != 0,
		      world_now() + world_span(MS_NS, 3 * SECOND_NS, 60 * SECOND_NS));
}

/* Somebody is cut off until he has given up his connection, and meanwhile another process sends in his place. */
static void usurp(struct stage *stage)
{
	struct client_actor *actor = somebody(stage);

	if (actor->kind != CLIENT_RESUME || actor->process == NULL)
		return;
	fault_happened(FAULT_NET_BLACKHOLE_BOTH);
	net_blackhole(actor->host, true, true,
		      world_now() + world_between(20 * SECOND_NS, 35 * SECOND_NS));
	twin_start(actor);
}

/* A machine falls asleep while its client tries to get its connection back. */
static void fall_asleep(void *context, uint64_t run)
{
	struct client_actor *actor = context;

	if (actor->process == NULL || actor->run != run ||
	    actor->process->paused_until_ns + SLEEPY_NS > world_now())
		return;
	actor->host->slept_ns += world_between(13, 40) * HOUR_NS;
	world_trace("asleep", actor->sender, run);
	check_sender_slept(actor->sender, actor->run, net_newest());
}

static void send_to_sleep(struct stage *stage)
{
	for (unsigned i = 0; i < stage->client_count; i++) {
		struct client_actor *actor = &stage->clients[i];

		if (actor->kind != CLIENT_EPHEMERAL || actor->process == NULL)
			continue;
		fault_happened(FAULT_NET_BLACKHOLE_BOTH);
		net_blackhole(actor->host, true, true, world_now() + SLEEPY_NS + 3 * SECOND_NS);
		world_at(world_now() + SLEEPY_NS, fall_asleep, actor, actor->run);
		return;
	}
}

static void start_second(struct stage *stage)
{
	if (stage->servers[1].process != NULL || stage->server_host->off)
		return;
	fault_happened(FAULT_SECOND_SERVER);
	server_start(&stage->servers[1]);
}

static void urge(void *context, uint64_t number)
{
	struct server_actor *actor = context;

	if (actor->asked == number)
		server_urge(actor);
}

/* The server is to stop, in the midst of it all; now and then by somebody who has no patience. */
static void ask_to_stop(struct stage *stage)
{
	struct server_actor *actor = &stage->servers[0];

	server_stop(actor);
	if (world_draw(4) == 0)
		world_at(world_now() + world_span(0, 100 * MS_NS, 8 * SECOND_NS), urge, actor,
			 actor->asked);
}

static void mischief(struct stage *stage)
{
	switch (world_draw(14)) {
	case 0:
	case 1: kill_client(stage); break;
	case 2: kill_reader(stage); break;
	case 3: pause_somebody(stage); break;
	case 4: jump_clock(stage); break;
	case 5: make_hole(stage); break;
	case 6: start_second(stage); break;
	case 7:
		hostile_start(stage->clients[0].host, stage->server_host->number);
		break;
	case 8: twin_start(somebody(stage)); break;
	case 9: usurp(stage); break;
	case 10: send_to_sleep(stage); break;
	case 11:
		/* Not in the middle of an opening: what of it is lost lawfully is looked at when one begins. */
		if (stage->mode == MODE_CORRUPTION && !is_opening(stage->servers[0].process))
			disk_corrupt(stage->disk);
		else if (stage->mode == MODE_EXHAUSTION)
			disk_occupy(stage->disk, world_draw(3) == 0 ? 0 : world_draw(8 * MIB));
		break;
	case 12:
	case 13: ask_to_stop(stage); break;
	default: break;
	}
}

/* --- a seed */

static enum sim_mode draw_mode(void)
{
	uint64_t kind = world_draw(20);

	if (kind < 12)
		return MODE_CRASH;
	if (kind < 14)
		return MODE_CORRUPTION;
	return kind < 17 ? MODE_LIVENESS : MODE_EXHAUSTION;
}

static void begin_checks(const struct stage *stage)
{
	struct check_config config = {
		.mode = stage->mode,
		.disk = stage->disk,
		.directory = JOURNAL_PATH,
		.keep_bytes = stage->config.journal.keep_bytes,
		.is_buffered = stage->is_buffered,
		.no_journal = stage->is_volatile,
		.memory_budget = stage_memory_budget(stage),
		.opening_budget = stage_opening_budget(stage),
		.descriptors_budget = stage->config.connections_max + FILES_MOST,
	};

	check_begin(&config);
}

static void play(struct plot *plot)
{
	struct stage *stage = plot->stage;

	server_start(&stage->servers[0]);
	for (unsigned i = 0; i < stage->client_count; i++)
		client_start(&stage->clients[i]);
	for (unsigned i = 0; i < stage->reader_count; i++)
		reader_start(&stage->readers[i]);
	while (plot->steps < STEPS_MOST && !stage->is_damaged &&
	       (plot->crashes_left > 0 ||
		sim_io_completions() < COMPLETIONS_LEAST)) {
		plot->steps++;
		if (!world_step()) {
			if (!stage_clients_done(stage))
				world_fail("nothing happens any more");
			break; /* everybody has been told to stay away */
		}
		if (plot->crashes_left > 0 && is_time(plot))
			crash(plot);
		if (plot->steps >= plot->mischief_at) {
			plot->mischief_at = plot->steps + 1 + world_draw(2 * STEPS_PER_MISCHIEF);
			mischief(stage);
		}
	}
}

/* One cast and what happens to it, from an empty disk to the last look. */
static void run_act(enum sim_mode mode, struct scenario_result *ret)
{
	struct stage *stage = sim_alloc(sizeof(*stage));
	struct plot plot = { .stage = stage };
	uint64_t records;

	net_begin();
	sim_io_begin();
	stage->mode = mode;
	faults_draw(mode);
	stage_cast(stage);
	begin_checks(stage);
	plot.crashes_left = world_draw(10) == 0 ? (unsigned)world_draw(3)
						: (unsigned)world_between(3, CRASHES_MOST);
	draw_crash(&plot);
	plot.mischief_at = world_draw(STEPS_PER_MISCHIEF);
	play(&plot);
	finale_run(stage, &records);
	ret->crashes += stage->crashes;
	ret->acknowledged += check_acknowledged();
	ret->completions += sim_io_completions();
	ret->records += records;
	stage_clear(stage);
}

void scenario_run(uint64_t seed, enum sim_mode mode, struct scenario_result *ret)
{
	world_begin(seed);
	*ret = (struct scenario_result){ .mode = draw_mode() };
	if (mode != MODES)
		ret->mode = mode;
	/* Where the medium lies a server may refuse to start long before the end: then all begins anew on another disk. */
	do
		run_act(ret->mode, ret);
	while (ret->completions < COMPLETIONS_LEAST);
	ret->hash = world_trace_hash();
	world_end();
}
