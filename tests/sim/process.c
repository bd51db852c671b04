#include "process.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "fiber.h"
#include "memory.h"
#include "world.h"

static struct host *hosts[HOSTS_MAX];
static unsigned host_count;
static struct process *all;
static unsigned number_next;

/* --- hosts */

struct host *host_create(const char *name, struct disk *disk)
{
	struct host *host = sim_alloc(sizeof(*host));

	must(host_count < HOSTS_MAX);
	snprintf(host->name, sizeof(host->name), "%s", name);
	host->disk = disk;
	hosts[host_count++] = host;
	host->number = host_count;
	return host;
}

void hosts_forget(void)
{
	while (host_count > 0)
		sim_free(hosts[--host_count]);
}

struct host *host_numbered(unsigned number)
{
	return number > 0 && number <= host_count ? hosts[number - 1] : NULL;
}

/* --- processes */

struct process *process_current(void)
{
	const struct fiber *fiber = fiber_current();

	return fiber != NULL ? fiber_process(fiber) : NULL;
}

/* Its code has stopped for good: the doors tidy up, then the memory goes. */
static void bury(struct process *process, enum process_death how)
{
	fibers_abandon(process);
	sim_io_process_ended(process, how);
	sim_file_process_ended(process, how);
	memory_release_all(process->memory);
	world_trace("process ended", process->number, (uint64_t)process->status);
	if (process->ended != NULL)
		process->ended(process);
}

static void main_ended(struct process *process, struct fiber *fiber)
{
	(void)fiber;
	bury(process, DEATH_EXIT);
}

static void run_main(void *argument)
{
	struct process *process = argument;

	process->status = process->main(process->argument);
	process->state = PROCESS_RETURNED;
	if (memory_used(process->memory) > 0)
		world_fail("%s has ended and left %zu bytes allocated", process->name,
			   memory_used(process->memory));
}

struct process *process_start(struct host *host, const char *name, int (*main)(void *argument),
			      void *argument, void (*ended)(struct process *process))
{
	struct process *process = sim_alloc(sizeof(*process));

	must(!host->off);
	process->number = 100 + number_next++;
	snprintf(process->name, sizeof(process->name), "%s", name);
	process->host = host;
	process->started_ns = world_now();
	process->main = main;
	process->argument = argument;
	process->ended = ended;
	process->memory = memory_create();
	process->next = all;
	all = process;
	world_trace("process starts", process->number, host->number);
	fiber_create(process, run_main, process, main_ended);
	return process;
}

void process_kill(struct process *process, enum process_death how)
{
	must(process_current() != process);
	if (process->state != PROCESS_RUNNING)
		return;
	process->state = PROCESS_KILLED;
	bury(process, how);
}

void process_pause(struct process *process, uint64_t until_ns)
{
	if (until_ns > process->paused_until_ns)
		process->paused_until_ns = until_ns;
}

void process_signal(struct process *process, int signal)
{
	if (process->state != PROCESS_RUNNING || process->signal_count == 4)
		return;
	process->signals[process->signal_count++] = signal;
	sim_io_signalled(process);
}

size_t process_memory_most(const struct process *process)
{
	return memory_most(process->memory);
}

size_t process_memory_settled(const struct process *process)
{
	return memory_settled(process->memory);
}

void process_turn(struct process *process, bool is_listening)
{
	const struct process_thrift *thrift = process->thrift;

	if (thrift == NULL)
		return;
	if (memory_is_settled(process->memory))
		memory_turn(process->memory);
	else if (is_listening || !thrift->until_listening)
		memory_settle(process->memory, thrift->turns);
}

void process_fail_allocation(struct process *process, uint64_t n, bool forever)
{
	memory_fail(process->memory, n, forever);
}

struct fiber *fiber_start(void (*run)(void *argument), void *argument)
{
	return fiber_create(process_current(), run, argument, NULL);
}

void processes_forget(void)
{
	for (struct process *process = all; process != NULL; process = process->next)
		must(process->state != PROCESS_RUNNING);
	fibers_forget();
	while (all != NULL) {
		struct process *process = all;

		all = process->next;
		memory_destroy(process->memory);
		sim_free(process);
	}
	number_next = 0;
}

/* --- what the code under test asks of its kernel (ld --wrap) */

#include <sys/resource.h>
#include <sys/types.h>

_Noreturn void __wrap__exit(int status);
_Noreturn void __real__exit(int status);
pid_t __wrap_getpid(void);
int __wrap_getrlimit(int what, struct rlimit *ret);
int __wrap_setrlimit(int what, const struct rlimit *limit);

_Noreturn void __wrap__exit(int status)
{
	struct process *process = process_current();

	if (process == NULL)
		__real__exit(status);
	process->status = status;
	process->state = PROCESS_RETURNED;
	fiber_leave();
}

pid_t __wrap_getpid(void)
{
	const struct process *process = process_current();

	return process != NULL ? (pid_t)process->number : 1;
}

/* The runtime of ASan asks, too, before anything of it works. */
__attribute__((no_sanitize("address"))) int __wrap_getrlimit(int what, struct rlimit *ret)
{
	(void)what;
	*ret = (struct rlimit){ 65536, 65536 };
	return 0;
}

int __wrap_setrlimit(int what, const struct rlimit *limit)
{
	(void)what;
	(void)limit;
	return 0;
}
