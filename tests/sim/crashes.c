/* crashes: a crash after every single I/O operation of some scripted workloads, and a recovery from each.
 *
 * A workload runs as a seed does, without faults. After each operation on the disk the process forks: the children crash there, a server
 * recovers, everything is checked; the parent goes on to the next operation. The crashes: a power cut that keeps all, none, or a single
 * one of the unsynced things; a kill after which all, none, or a single one of the writes in flight land, before the next server is
 * started, or at any time from its start on. (What would be the same crash once more is left out.) And the same workloads
 * once more for each n with the n-th operation, or the n-th allocation, failing: once, and for good. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"
#include "finale.h"
#include "memory.h"
#include "net.h"
#include "stage.h"
#include "world.h"

_Noreturn void __real__exit(int status);

enum {
	RUN_STEPS_MOST = 200000,
	CHILD_SECONDS = 30,
	FAILURES_SHOWN = 20,
	RECOVERIES_LEAST = 50000,
};

/* One sender of a workload. */
struct part {
	enum client_kind kind;
	uint64_t messages;
	size_t most;
};

struct workload {
	const char *name;
	struct part parts[3];
	unsigned part_count;
	uint64_t keep_bytes;
	bool is_buffered;    /* no direct I/O */
	enum flush_mode flush;
	unsigned lives;      /* servers that are killed before the one that is watched; each after some messages */
};

static const struct workload workloads[] = {
	{ .name = "first start, nothing sent" },
	{ .name = "one raw message", .parts = { { CLIENT_RAW, 1, 100 } }, .part_count = 1 },
	{ .name = "a stream", .parts = { { CLIENT_RESUME, 30, 300 } }, .part_count = 1 },
	{ .name = "flush, not dsync", .parts = { { CLIENT_RESUME, 30, 300 } }, .part_count = 1,
	  .flush = FLUSH_FDATASYNC },
	{ .name = "no direct I/O", .parts = { { CLIENT_RESUME, 30, 300 } }, .part_count = 1,
	  .is_buffered = true },
	{ .name = "three streams", .parts = { { CLIENT_RESUME, 20, 3000 }, { CLIENT_NEXT, 20, 300 },
	  { CLIENT_EPHEMERAL, 20, 300 } }, .part_count = 3, .flush = FLUSH_DSYNC },
	{ .name = "an ephemeral stream and its end", .parts = { { CLIENT_EPHEMERAL, 5, 100 } },
	  .part_count = 1, .flush = FLUSH_DSYNC },
	{ .name = "lines", .parts = { { CLIENT_LINE, 8, 200 } }, .part_count = 1 },
	{ .name = "segments change", .parts = { { CLIENT_RESUME, 40, 50000 } }, .part_count = 1,
	  .flush = FLUSH_DSYNC },
	{ .name = "retention", .parts = { { CLIENT_RESUME, 60, 50000 } }, .part_count = 1,
	  .keep_bytes = 3 * SEGMENT_SIZE_MIN, .flush = FLUSH_DSYNC },
	{ .name = "a second life", .parts = { { CLIENT_RESUME, 30, 3000 } }, .part_count = 1,
	  .lives = 1 },
	{ .name = "a fourth life", .parts = { { CLIENT_RESUME, 30, 3000 }, { CLIENT_RAW, 6, 300 } },
	  .part_count = 2, .lives = 3, .keep_bytes = 4 * SEGMENT_SIZE_MIN },
	{ .name = "segments and lives", .parts = { { CLIENT_RESUME, 40, 50000 }, { CLIENT_NEXT, 20, 3000 } },
	  .part_count = 2, .lives = 2, .keep_bytes = 4 * SEGMENT_SIZE_MIN },
};

enum {
	WORKLOADS = sizeof(workloads) / sizeof(workloads[0]),
	VARIANTS = 7, /* each workload with so many seeds: other latencies, other numbers of writes in flight */
};

struct shared {
	_Atomic uint64_t next;
	_Atomic uint64_t recoveries;
	_Atomic uint64_t faults;
	_Atomic uint64_t failed;
};

static struct shared *shared;
static FILE *report;             /* the screen: what the programs under test print goes elsewhere */
static uint64_t mine_recoveries; /* of this worker */
static uint64_t mine_faults;

static void count_recovery(void)
{
	mine_recoveries++;
	shared->recoveries++;
}

static void count_fault(void)
{
	mine_faults++;
	shared->faults++;
}

/* --- a workload under way */

static struct stage *stage;
static const struct workload *workload;
static bool is_watched;          /* each operation from now on is a place to crash at */
static bool has_stopped_here;    /* the operation that has just ended is one */

static void operation_done(void *context, uint64_t number)
{
	(void)context;
	(void)number;
	if (!is_watched)
		return;
	has_stopped_here = true;
	if (fiber_current() != NULL)
		fiber_sleep(0); /* control goes to the world, which looks at has_stopped_here before anything else */
}

static void begin(uint64_t seed)
{
	struct check_config check = { .mode = MODE_CRASH, .directory = JOURNAL_PATH };

	stage = sim_alloc(sizeof(*stage));
	world_begin(seed);
	net_begin();
	sim_io_begin();
	faults_draw(MODE_CRASH);
	faults_stop();
	stage->mode = MODE_CRASH;
	stage_cast(stage);
	disk_destroy(stage->disk);
	stage->disk = stage->server_host->disk = disk_create(GIB, !workload->is_buffered);
	disk_default(stage->disk);
	stage->reader_count = 0;
	stage->config.journal.segment_size = SEGMENT_SIZE_MIN;
	stage->config.journal.message_max = 64 * KIB;
	stage->config.journal.keep_bytes = workload->keep_bytes;
	stage->config.journal.flush = workload->flush;
	stage->config.connections_max = 16;
	must(stage->client_count >= 2);
	stage->client_count = workload->part_count;
	for (unsigned i = 0; i < workload->part_count; i++)
		client_cast(stage, i, workload->parts[i].kind, workload->parts[i].most,
			    workload->parts[i].messages);
	check.disk = stage->disk;
	check.keep_bytes = workload->keep_bytes;
	check.memory_budget = stage_memory_budget(stage);
	check.opening_budget = stage_opening_budget(stage);
	check.descriptors_budget = 128;
	check_begin(&check);
	disk_on_operation(stage->disk, operation_done, NULL);
}

/* --- a crash, and what comes after it (in a child) */

struct crash {
	bool is_power;
	bool is_late; /* a kill: the next server is started before what was in flight has landed */
	enum disk_survivors survivors;
	unsigned one;
};

static void recover(const struct crash *crash)
{
	uint64_t records;

	is_watched = false;
	disk_on_operation(stage->disk, NULL, NULL);
	disk_survivors(stage->disk, crash->survivors, crash->one);
	stage->is_closing = true;
	if (crash->is_power) {
		stage_power_cut(stage);
	} else if (stage->servers[0].process != NULL) {
		process_kill(stage->servers[0].process, DEATH_KILL);
	}
	disk_survivors(stage->disk, SURVIVE_DRAWN, 0);
	if (crash->is_late)
		server_start(&stage->servers[0]);
	finale_look_once(stage, &records);
}

/* What the child has said last: why it failed. */
static void show_failure(const char *what, uint64_t number)
{
	char line[1200] = "";
	char told[1200] = "";

	rewind(stderr);
	while (fgets(line, sizeof(line), stderr) != NULL)
		if (strncmp(line, "seed ", 5) == 0 || strstr(line, "broken invariant") != NULL ||
		    strstr(line, "ERROR: AddressSanitizer") != NULL)
			memcpy(told, line, sizeof(told));
	fprintf(report, "%s: %s %" PRIu64 ": %s", workload->name, what, number,
		told[0] != '\0' ? told : "failed\n");
	fflush(report);
}

static uint64_t in_child(void (*run)(const void *argument), const void *argument, const char *what,
			 uint64_t number)
{
	static unsigned shown;
	int status;
	pid_t pid;

	if (ftruncate(STDERR_FILENO, 0) == 0)
		rewind(stderr);
	pid = fork();
	if (pid == 0) {
		alarm(CHILD_SECONDS);
		run(argument);
		__real__exit(0); /* what the parent has buffered is the parent's */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("crashes: fork");
		exit(2);
	}
	if (status == 0)
		return 0;
	shared->failed++;
	if (shown++ < FAILURES_SHOWN)
		show_failure(what, number);
	return 1;
}

static void recover_in_child(const void *argument)
{
	recover(argument);
}

static void crash_so(const struct crash *crash, uint64_t number)
{
	char what[80];

	snprintf(what, sizeof(what), "%s, %s (%u), after operation",
		 crash->is_power  ? "power cut"
		 : crash->is_late ? "kill, late writes"
				  : "kill",
		 crash->survivors == SURVIVE_ALL    ? "all stays"
		 : crash->survivors == SURVIVE_NONE ? "nothing stays"
						    : "one stays",
		 crash->one);
	in_child(recover_in_child, crash, what, number);
	count_recovery();
}

/* count: of the things that may stay or go. */
static void crash_in_each_way(struct crash crash, unsigned count, uint64_t number)
{
	crash.survivors = SURVIVE_ALL;
	crash_so(&crash, number);
	crash.survivors = SURVIVE_NONE;
	if (count > 0)
		crash_so(&crash, number);
	crash.survivors = SURVIVE_ONE;
	for (crash.one = 0; count > 1 && crash.one < count; crash.one++)
		crash_so(&crash, number);
}

static void crash_here(uint64_t number)
{
	unsigned in_flight = disk_in_flight(stage->disk);

	crash_in_each_way((struct crash){ .is_power = true }, disk_unsynced(stage->disk), number);
	crash_in_each_way((struct crash){ .is_late = false }, in_flight, number);
	if (in_flight > 0)
		crash_in_each_way((struct crash){ .is_late = true }, in_flight, number);
}

/* --- the workload itself */

static bool step(void)
{
	if (!world_step())
		return false;
	if (has_stopped_here) {
		has_stopped_here = false;
		if (is_watched)
			crash_here(disk_operations(stage->disk));
	}
	return true;
}

static bool is_over(void)
{
	return stage->servers[0].process == NULL && stage->is_closing;
}

/* Servers that live for a while and are killed, then one that is watched from its start to its end. */
static void run_lives(bool watch)
{
	uint64_t steps = 0;

	for (unsigned life = 0; life <= workload->lives; life++) {
		is_watched = watch && life == workload->lives;
		server_start(&stage->servers[0]);
		for (unsigned i = 0; life == 0 && i < stage->client_count; i++)
			client_start(&stage->clients[i]);
		if (life == workload->lives)
			break;
		for (uint64_t i = 0; i < 600 + 300 * life; i++)
			step();
		if (stage->servers[0].process != NULL)
			process_kill(stage->servers[0].process, DEATH_KILL);
	}
	stage->is_closing = true;
	while (steps++ < RUN_STEPS_MOST && !stage_clients_done(stage) && step())
		;
	while (steps++ < RUN_STEPS_MOST && !stage_server_is_up(stage) && step())
		;
	if (stage->servers[0].process != NULL) {
		check_server_asked(stage->servers[0].process);
		process_signal(stage->servers[0].process, SIGTERM);
	}
	while (steps++ < RUN_STEPS_MOST && !is_over() && step())
		;
	if (watch && !is_over())
		world_fail("%s: does not come to its end", workload->name);
	is_watched = false;
}

/* --- the n-th operation or allocation fails */

struct failing {
	uint64_t n;
	bool is_allocation;
	bool is_client;
	bool forever;
};

static void run_failing(const void *argument)
{
	const struct failing *f = argument;
	uint64_t records;

	begin(1);
	server_start(&stage->servers[0]);
	for (unsigned i = 0; i < stage->client_count; i++)
		client_start(&stage->clients[i]);
	if (!f->is_allocation)
		disk_fail_operation(stage->disk, f->n, -EIO, f->forever);
	else if (!f->is_client)
		process_fail_allocation(stage->servers[0].process, f->n, f->forever);
	else
		process_fail_allocation(stage->clients[0].process, f->n, f->forever);
	check_fault_injected();
	for (unsigned i = 0; i < 3000 && world_step(); i++)
		;
	disk_fail_operation(stage->disk, 0, 0, false);
	stage->is_closing = true;
	if (stage->servers[0].process != NULL)
		process_kill(stage->servers[0].process, DEATH_KILL);
	finale_look_once(stage, &records);
	stage_clear(stage);
}

static void fail_each(bool is_allocation, bool is_client, uint64_t most, const char *what)
{
	for (uint64_t n = 1; n <= most; n++) {
		for (int forever = 0; forever < 2; forever++, count_fault()) {
			struct failing f = { n, is_allocation, is_client, forever };

			in_child(run_failing, &f, what, n);
		}
	}
}

/* How many operations and allocations there are to fail: counted in a run without faults, in a child's place. */
static void count_all(uint64_t *ret_operations, uint64_t *ret_server, uint64_t *ret_client)
{
	begin(1);
	server_start(&stage->servers[0]);
	for (unsigned i = 0; i < stage->client_count; i++)
		client_start(&stage->clients[i]);
	*ret_server = *ret_client = 0;
	for (unsigned i = 0; i < 3000 && world_step(); i++) {
		const struct process *server = stage->servers[0].process;
		const struct process *client = stage->client_count > 0 ? stage->clients[0].process
								       : NULL;

		if (server != NULL)
			*ret_server = memory_allocations(server->memory);
		if (client != NULL && memory_allocations(client->memory) > *ret_client)
			*ret_client = memory_allocations(client->memory);
	}
	*ret_operations = disk_operations(stage->disk);
	stage->is_closing = true;
	for (unsigned i = 0; i < stage->client_count; i++)
		if (stage->clients[i].process != NULL)
			process_kill(stage->clients[i].process, DEATH_KILL);
	if (stage->servers[0].process != NULL)
		process_kill(stage->servers[0].process, DEATH_KILL);
	stage_clear(stage);
}

static void run_faults(void)
{
	uint64_t operations, server, client;

	count_all(&operations, &server, &client);
	fail_each(false, false, operations, "failed operation");
	fail_each(true, false, server, "server's failed allocation");
	if (workload->part_count > 0)
		fail_each(true, true, client, "client's failed allocation");
}

static void run_workload(unsigned number, unsigned variant)
{
	uint64_t recoveries = mine_recoveries;
	uint64_t faults = mine_faults;

	workload = &workloads[number];
	begin(1 + variant);
	run_lives(true);
	stage_clear(stage);
	if (variant == 0 && workload->lives == 0 && workload->keep_bytes == 0)
		run_faults();
	fprintf(report, "%-34s %u %8" PRIu64 " recoveries %8" PRIu64 " faults\n", workload->name,
		variant, mine_recoveries - recoveries, mine_faults - faults);
	fflush(report);
}

static void work(void)
{
	report = fdopen(dup(STDOUT_FILENO), "w");
	if (report == NULL || freopen("/dev/null", "w", stdout) == NULL || !(stderr = tmpfile()) ||
	    dup2(fileno(stderr), STDERR_FILENO) < 0)
		exit(2);
	for (;;) {
		uint64_t number = atomic_fetch_add(&shared->next, 1);

		if (number >= WORKLOADS * VARIANTS)
			exit(0);
		run_workload((unsigned)(number % WORKLOADS), (unsigned)(number / WORKLOADS));
	}
}

/* One fault again, with everything that happens on the screen. */
static int repeat(char **words)
{
	struct failing f = {
		.n = strtoull(words[1], NULL, 10),
		.is_allocation = strcmp(words[0], "operation") != 0,
		.is_client = strcmp(words[0], "client") == 0,
		.forever = strcmp(words[2], "forever") == 0,
	};

	world_verbose(true);
	run_failing(&f);
	return 0;
}

static void usage(void)
{
	fputs("usage: crashes [JOBS]\n"
	      "       crashes repeat WORKLOAD operation|server|client N once|forever\n",
	      stderr);
	exit(64);
}

int main(int count, char **words)
{
	unsigned jobs = count > 1 ? (unsigned)strtoul(words[1], NULL, 10) : 1;
	int status;

	if (count > 1 && strcmp(words[1], "repeat") == 0) {
		for (unsigned i = 0; count == 6 && i < WORKLOADS; i++)
			if (strcmp(words[2], workloads[i].name) == 0)
				workload = &workloads[i];
		if (workload == NULL)
			usage();
		return repeat(words + 3);
	}
	if (jobs == 0 || count > 2)
		usage();

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	for (unsigned i = 0; i < jobs; i++)
		if (fork() == 0)
			work();
	while (wait(&status) > 0)
		if (status != 0)
			shared->failed++;
	printf("%" PRIu64 " failed operations and allocations\n", (uint64_t)shared->faults);
	if (shared->recoveries < RECOVERIES_LEAST) {
		printf("too few recoveries: at least %u are wanted\n", RECOVERIES_LEAST);
		shared->failed++;
	}
	printf("%" PRIu64 " recoveries, %" PRIu64 " failed\n", (uint64_t)shared->recoveries,
	       (uint64_t)shared->failed);
	return shared->failed > 0;
}
