/* For the tests of the disk: a world with one disk; what a test does runs in a process, or in the world itself. */
#ifndef ROGER_SIM_DISK_TESTING_H
#define ROGER_SIM_DISK_TESTING_H

#include "base/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "disk.h"
#include "disk_private.h"
#include "fault.h"
#include "file/file.h"
#include "process.h"
#include "world.h"

#define MIB (UINT64_C(1) << 20)
#define SECOND UINT64_C(1000000000)

/* What the rest of the simulator would do. */
void sim_io_process_ended(struct process *process, enum process_death how)
{
	(void)process;
	(void)how;
}

void sim_io_signalled(struct process *process)
{
	(void)process;
}

static __attribute__((unused)) unsigned corruptions;

void check_corrupted(void)
{
	corruptions++;
}

static __attribute__((unused)) unsigned io_errors;

void check_io_error(struct process *server)
{
	(void)server;
	io_errors++;
}

static __attribute__((unused)) struct disk *disk;
static __attribute__((unused)) struct host *host;

static __attribute__((unused)) void begin(uint64_t seed, uint64_t capacity)
{
	world_begin(seed);
	faults_draw(MODE_CRASH);
	faults_stop();
	disk = disk_create(capacity, true);
	disk_default(disk);
	host = host_create("server", disk);
}

static __attribute__((unused)) void end(void)
{
	processes_forget();
	hosts_forget();
	disk_destroy(disk);
	world_end();
}

static __attribute__((unused)) void run_all(void)
{
	while (world_step())
		continue;
}

static __attribute__((unused)) void run_until(uint64_t ns)
{
	while (world_next() <= ns)
		world_step();
}

struct work {
	int (*run)(void);
};

static __attribute__((unused)) int run_work(void *argument)
{
	return ((struct work *)argument)->run();
}

/* To its end. */
static __attribute__((unused)) void in_process(int (*run)(void))
{
	struct work work = { run };

	process_start(host, "test", run_work, &work, NULL);
	run_all();
}

static __attribute__((unused)) int open_data(void)
{
	int directory = -1;

	assert_int_equal(file_open_directory("/data", &directory), 0);
	return directory;
}

static __attribute__((unused)) int open_named(int directory, const char *name, unsigned flags)
{
	int file = -1;

	assert_int_equal(file_open(directory, name, flags, &file), 0);
	return file;
}

static __attribute__((unused)) uint8_t *page_of(uint8_t value)
{
	static uint8_t page[4][DISK_PAGE] __attribute__((aligned(4096)));
	static unsigned next;
	uint8_t *at = page[next++ % 4];

	memset(at, value, DISK_PAGE);
	return at;
}

/* The first byte of the file, -1: it is empty, -2: it is not there. */
static __attribute__((unused)) int look(const char *name, bool direct)
{
	static uint8_t bytes[DISK_PAGE] __attribute__((aligned(4096)));
	int directory = open_data();
	int file = -1;
	int result = -2;

	if (file_open(directory, name, FILE_READ | (direct ? FILE_DIRECT : 0), &file) == 0) {
		result = file_read(file, bytes, DISK_PAGE, 0) > 0 ? bytes[0] : -1;
		file_close(file);
	}
	file_close(directory);
	return result;
}

#endif
