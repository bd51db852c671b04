/* The contract of io.h (src/io/io_contract.h), for the simulator: the same tests as for the other backends, as a process of a world whose
 * network takes no time. Loops differ from seed to seed, so all is done with several. What a test needs of a real kernel is
 * not here, and said so. */
#include "io/io_contract.h"

#include <string.h>

#include "check.h"
#include "disk.h"
#include "fault.h"
#include "net.h"
#include "net_inside.h"
#include "process.h"
#include "sim_io.h"
#include "world.h"

enum { TESTS_MAX = 100, SEEDS = 8 };

static const struct {
	const char *name;
	const char *reason;
} skipped[] = {
	{ "test_exchange_unix", "no unix sockets" },
	{ "test_connect_refused", "no unix sockets" },
	{ "test_listen_refused", "no unix sockets" },
	{ "test_unix_paths", "no unix sockets" },
	{ "test_destroy_with_all_open", "no unix sockets" },
	{ "test_resolve", "other names" },
	{ "test_no_descriptors", "descriptors without a limit" },
	{ "test_no_descriptors_for_a_loop", "descriptors without a limit" },
	{ "test_no_descriptors_then_closed", "descriptors without a limit" },
	{ "test_adopt_pipe", "real descriptors" },
	{ "test_adopt_shared_pipe", "real descriptors" },
	{ "test_adopt_files", "real descriptors" },
	{ "test_adopt_file_without_buffers", "real descriptors" },
	{ "test_busy_loop", "real descriptors" },
	{ "test_writes", "real files" },
	{ "test_writes_together", "real files" },
	{ "test_flush_fails", "real files" },
	{ "test_flush_comes_after_the_write", "real files" },
	{ "test_writes_are_durable", "real files" },
	{ "test_short_writes", "real files" },
	{ "test_destroy_waits_for_the_write", "real files" },
	{ "test_jobs_in_order", "real threads" },
	{ "test_slow_job", "real threads" },
	{ "test_signals", "real signals" },
	{ "test_interrupted", "real signals" },
};

/* --- what these tests do without */

void check_received(struct process *server, uint64_t connection, const uint8_t *data, size_t size)
{
	(void)server, (void)connection, (void)data, (void)size;
}

void check_sending(struct process *server, uint64_t connection, const uint8_t *data, size_t size)
{
	(void)server, (void)connection, (void)data, (void)size;
}

void check_accepted(struct process *server, uint64_t connection, uint16_t port)
{
	(void)server, (void)connection, (void)port;
}

void check_closed(struct process *server, uint64_t connection)
{
	(void)server, (void)connection;
}

void check_io_error(struct process *server)
{
	(void)server;
}

struct disk_write *disk_write_begin(int file, const void *data, size_t size, uint64_t offset,
				    bool dsync, void (*done)(void *context, int result),
				    void *context)
{
	(void)file, (void)data, (void)size, (void)offset, (void)dsync, (void)done, (void)context;
	return NULL;
}

void disk_write_abandon(struct disk_write *write)
{
	(void)write;
}

bool disk_job_has_failed(struct process *process)
{
	(void)process;
	return false;
}

void sim_file_process_ended(struct process *process, enum process_death how)
{
	(void)process;
	(void)how;
}

/* --- */

static struct CMUnitTest tests[TESTS_MAX];
static size_t test_count;
static int failed;
static bool ended;

static void choose(const struct CMUnitTest *from, size_t count, bool loud)
{
	for (size_t i = 0; i < count; i++) {
		const char *reason = NULL;

		for (size_t s = 0; s < COUNT_OF(skipped); s++)
			if (strcmp(from[i].name, skipped[s].name) == 0)
				reason = skipped[s].reason;
		if (reason == NULL)
			tests[test_count++] = from[i];
		else if (loud)
			print_message("not here: %s (%s)\n", from[i].name, reason);
	}
}

static int test_main(void *argument)
{
	(void)argument;
	failed += _cmocka_run_group_tests("sim", tests, test_count, NULL, NULL);
	return 0;
}

static void on_ended(struct process *process)
{
	(void)process;
	ended = true;
}

static void run_with(uint64_t seed)
{
	world_begin(seed);
	net_begin();
	sim_io_begin();
	faults_stop();
	/* As a loopback: at once, in one piece, with room. */
	net_world.usual_ns = 0;
	net_world.cuts_pieces = false;
	net_world.window_kind = 5;
	ended = false;
	process_start(host_create("host", NULL), "contract", test_main, NULL, on_ended);
	while (!ended && world_step())
		continue;
	if (!ended) {
		print_message("seed %llu: nothing happens any more\n", (unsigned long long)seed);
		failed++;
	}
	net_end();
	sim_io_end();
	processes_forget();
	hosts_forget();
	world_end();
}

int main(void)
{
	contract_backend = "sim";
	choose(socket_tests, socket_tests_count, true);
	choose(limit_tests, limit_tests_count, true);
	choose(file_tests, file_tests_count, true);
	for (uint64_t seed = 1; seed <= SEEDS && failed == 0; seed++)
		run_with(seed);
	return failed > 0;
}
