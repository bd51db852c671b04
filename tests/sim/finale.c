#include "finale.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "journal/reader.h"
#include "journal/verify.h"
#include "net.h"
#include "world.h"

#define ALL_ARRIVES_NS (60 * SECOND_NS)
#define ALL_SHOWN_NS (10 * SECOND_NS)
#define ALL_ASKED_NS (120 * SECOND_NS)
#define STOPS_NS (30 * SECOND_NS)
#define LATEST_WRITE_NS (6 * SECOND_NS) /* no write of a killed process lands later than that */

/* --- waiting for something, in the world's time */

static bool until(bool (*condition)(const struct stage *stage), const struct stage *stage,
		  uint64_t limit_ns)
{
	uint64_t end_ns = world_now() + limit_ns;

	while (!condition(stage)) {
		if (world_next() > end_ns || !world_step())
			return false;
	}
	return true;
}

static void nothing(void *context, uint64_t unused)
{
	(void)context;
	(void)unused;
}

/* Time goes by, and what was to happen in it happens. */
static void let_pass(uint64_t ns)
{
	uint64_t end_ns = world_now() + ns;

	world_at(end_ns, nothing, NULL, 0);
	while (world_now() < end_ns)
		world_step();
}

static bool servers_are_gone(const struct stage *stage)
{
	return stage->servers[0].process == NULL && stage->servers[1].process == NULL;
}

/* Is one up that has not been asked to stop? */
static bool server_stays(const struct stage *stage)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		const struct server_actor *actor = &stage->servers[i];

		if (actor->process != NULL && actor->asked == actor->process->number)
			return false;
	}
	return stage_server_is_up(stage);
}

static bool host_is_on(const struct stage *stage)
{
	return !stage->server_host->off;
}

/* --- the end of the play */

static void heal(struct stage *stage)
{
	faults_stop();
	net_heal();
	disk_break(stage->disk, false);
	disk_occupy(stage->disk, 0);
	disk_enlarge(stage->disk, GIB);
	world_trace("faults stop", 0, 0);
}

/* Whoever sends may finish: a run that is under way, or was killed and can be begun again. */
static void let_all_arrive(struct stage *stage)
{
	for (unsigned i = 0; i < stage->client_count; i++)
		if (stage->clients[i].process != NULL)
			stage->clients[i].process->paused_until_ns = 0;
	if (stage->twin.process != NULL)
		stage->twin.process->paused_until_ns = 0;
	if (!until(stage_clients_done, stage, ALL_ARRIVES_NS))
		world_fail("not everything arrives within a minute after the last fault");
}

/* Whoever follows sees what has arrived. */
static void let_all_be_shown(struct stage *stage)
{
	for (unsigned i = 0; i < stage->reader_count; i++)
		if (stage->readers[i].process != NULL)
			stage->readers[i].process->paused_until_ns = 0;
	if (!until(stage_readers_are_through, stage, ALL_SHOWN_NS))
		world_fail("a reader that follows does not show everything that was "
			   "acknowledged");
}

static void stop_everybody(struct stage *stage)
{
	stage_stop_clients(stage);
	for (unsigned i = 0; i < stage->reader_count; i++)
		if (stage->readers[i].process != NULL)
			process_kill(stage->readers[i].process, DEATH_KILL);
}

static void stop_servers(struct stage *stage, bool kindly)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		struct server_actor *actor = &stage->servers[i];
		struct process *process = actor->process;
		bool was_paused = process != NULL && process->paused_until_ns > world_now();

		if (process == NULL)
			continue;
		process->paused_until_ns = 0;
		if (!kindly) {
			process_kill(process, DEATH_KILL);
			continue;
		}
		server_stop(actor);
		if (was_paused) /* it may sleep on for a while */
			actor->asked_ns = NEVER_NS;
	}
	if (!until(servers_are_gone, stage, STOPS_NS))
		world_fail("the server does not stop");
}

/* --- the last look */

static void verify_line(void *context, const char *text)
{
	bool *is_told = context;

	if (strncmp(text, "damage: ", 8) != 0)
		return;
	*is_told = true;
	check_damage_told("verify", text);
}

static void verify(void)
{
	struct failure why;
	bool is_told = false;
	int result = journal_verify(JOURNAL_PATH, verify_line, &is_told, &why);

	if (is_told != (result == -EBADMSG))
		world_fail("verify: %s, and %s place is named",
			   result == -EBADMSG ? "damage" : "no damage", is_told ? "a" : "no");
	if (result != 0 && result != -EBADMSG && why.status != EXIT_NO_INPUT)
		world_fail("verify: %s", why.text);
}

static void read_whole(uint64_t *ret_records)
{
	struct reader *reader;
	struct record record;
	struct failure why;
	int result = reader_open(JOURNAL_PATH, 0, &reader, &why);

	check_whole_begin();
	if (result == 0) {
		while ((result = reader_next(reader, &record, &why)) == 1) {
			struct check_record seen = {
				.number = record.number,
				.stream = record.stream.bytes,
				.seq = record.seq,
				.payload = record.payload,
				.size = record.size,
				.gap = record.gap,
			};

			check_whole_record(&seen);
		}
		reader_close(reader);
	}
	if (result == -EBADMSG || (result < 0 && why.status == EXIT_DATA))
		check_damage_told("reader", why.text);
	else if (result < 0 && why.status != EXIT_NO_INPUT)
		world_fail("reader: %s", why.text);
	check_whole_end(ret_records);
}

/* A server opens the journal, and is stopped again. */
static void open_again(struct stage *stage)
{
	if (!until(host_is_on, stage, 3600 * SECOND_NS))
		world_fail("the host does not come back");
	stage->server_host->off = false;
	server_start(&stage->servers[0]);
	if (!until(stage_server_is_up, stage, 120 * SECOND_NS))
		world_fail("the server does not start");
	if (!stage->is_damaged && !stage->is_volatile) {
		asker_start(stage);
		if (!until(asker_is_done, stage, ALL_ASKED_NS))
			world_fail("the server does not say where its streams stand");
	}
	stop_servers(stage, world_draw(2) == 0);
}

void finale_look_once(struct stage *stage, uint64_t *ret_records)
{
	stop_everybody(stage);
	let_pass(LATEST_WRITE_NS);
	open_again(stage);
	verify();
	read_whole(ret_records);
}

static void look_twice(struct stage *stage, uint64_t *ret_records)
{
	finale_look_once(stage, ret_records);
	stage_power_cut(stage);
	open_again(stage);
	verify();
	read_whole(ret_records);
}

void finale_run(struct stage *stage, uint64_t *ret_records)
{
	heal(stage);
	if (!until(host_is_on, stage, 3600 * SECOND_NS))
		world_fail("the host does not come back");
	if (!stage->is_damaged && !until(server_stays, stage, 300 * SECOND_NS))
		world_fail("the server does not come back");
	stage->is_closing = true;
	if (stage->mode == MODE_LIVENESS) {
		let_all_arrive(stage);
		let_all_be_shown(stage);
	}
	if (world_draw(3) == 0)
		stop_servers(stage, true); /* while others are sending */
	stop_everybody(stage);
	if (world_draw(2) == 0)
		stage_power_cut(stage);
	else
		stop_servers(stage, world_draw(4) > 0);
	look_twice(stage, ret_records);
}

void stage_clear(struct stage *stage)
{
	for (unsigned i = 0; i < SERVERS; i++)
		if (stage->servers[i].process != NULL)
			process_kill(stage->servers[i].process, DEATH_POWER);
	hostile_forget();
	asker_forget();
	check_end();
	processes_forget();
	sim_io_end();
	net_end();
	disk_destroy(stage->disk);
	hosts_forget();
	for (unsigned i = 0; i < stage->client_count; i++)
		client_clear(&stage->clients[i]);
	client_clear(&stage->twin);
	sim_free(stage);
	world_calm();
}
