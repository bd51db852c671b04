/* Writes in flight, writes that land late, and damage. */
#include "disk_testing.h"

static int journal_file;
static unsigned ended;
static int last_result;

static void on_written(void *context, int result)
{
	(void)context;
	ended++;
	last_result = result;
}

static uint8_t *large;

static int run_flight(void)
{
	int directory = open_data();

	journal_file = open_named(directory, "00000000000000000001.seg",
				  FILE_WRITE | FILE_CREATE | FILE_DIRECT);
	assert_int_equal(file_reserve(journal_file, MIB), 0);
	assert_int_equal(file_flush_directory(directory), 0);
	large = file_memory(64 * DISK_PAGE, 65536);
	assert_int_equal((uintptr_t)large % 65536, 0);
	memset(large, 1, 64 * DISK_PAGE);
	for (unsigned i = 0; i < 4; i++)
		disk_write_begin(journal_file, large + i * 16 * DISK_PAGE, 16 * DISK_PAGE,
				 i * 16 * DISK_PAGE, i % 2 == 0, on_written, NULL);
	fiber_sleep(20 * SECOND);
	file_memory_free(large, 64 * DISK_PAGE);
	return 0;
}

static void check_certain(void *context, const char *name, uint64_t inode, uint64_t size)
{
	static uint8_t bytes[64 * DISK_PAGE];

	(void)context;
	(void)name;
	assert_int_equal(size, MIB);
	assert_true(disk_medium_read(disk, inode, 0, bytes, sizeof(bytes)));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 1);
}

static void test_flight(void **state)
{
	uint64_t reordered = fault_counts[FAULT_WRITE_REORDERED];

	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		begin(seed, 16 * MIB);
		ended = 0;
		in_process(run_flight);
		assert_int_equal(ended, 4);
		assert_int_equal(last_result, 0);
		assert_int_equal(disk_unsynced(disk), 0);
		disk_list(disk, "/data", check_certain, NULL);
		end();
	}
	assert_true(fault_counts[FAULT_WRITE_REORDERED] > reordered);
}

static unsigned pages_landed(void)
{
	static uint8_t bytes[64 * DISK_PAGE] __attribute__((aligned(4096)));
	int directory = open_data();
	int file = open_named(directory, "00000000000000000001.seg", FILE_READ | FILE_DIRECT);
	unsigned count = 0;

	assert_int_equal(file_read(file, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (unsigned at = 0; at < 64; at++)
		count += bytes[at * DISK_PAGE] == 1;
	file_close(file);
	file_close(directory);
	return count;
}

static void test_late_writes(void **state)
{
	static struct work work = { run_flight };
	uint64_t late = fault_counts[FAULT_WRITE_LATE];
	uint64_t very_late = fault_counts[FAULT_WRITE_VERY_LATE];
	unsigned parts = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct process *process;
		unsigned at_kill;

		begin(seed, 16 * MIB);
		ended = 0;
		process = process_start(host, "server", run_work, &work, NULL);
		run_until(world_now() + 400000);
		process_kill(process, DEATH_KILL);
		unsigned ended_then = ended;
		int directory = open_data();
		int file = -1;
		if (file_open(directory, "00000000000000000001.seg", FILE_READ, &file) == 0) {
			file_close(file);
			at_kill = pages_landed();
			run_until(world_now() + 1000000);
			disk_server_started(disk);
			run_all();
			parts += pages_landed() > at_kill;
		}
		file_close(directory);
		run_all();
		assert_int_equal(ended, ended_then); /* nobody is told */
		end();
	}
	assert_true(parts > 5);
	assert_true(fault_counts[FAULT_WRITE_LATE] > late);
	assert_true(fault_counts[FAULT_WRITE_VERY_LATE] > very_late);
}

/* How many pages of the writes in flight at a kill land after it; *ret_in_flight: of how many writes. */
static unsigned land_after_kill(uint64_t seed, enum disk_survivors which, unsigned one,
				unsigned *ret_in_flight)
{
	static struct work work = { run_flight };
	struct process *process;
	unsigned before, landed;

	begin(seed, 16 * MIB);
	process = process_start(host, "server", run_work, &work, NULL);
	while (disk_in_flight(disk) < 4)
		assert_true(world_step());
	run_until(world_now() + 60000);
	*ret_in_flight = disk_in_flight(disk);
	disk_survivors(disk, which, one);
	before = pages_landed();
	process_kill(process, DEATH_KILL);
	assert_int_equal(disk_in_flight(disk), 0);
	run_all();
	landed = pages_landed();
	end();
	if (which == SURVIVE_ALL)
		assert_int_equal(landed, 64);
	return landed - before;
}

static void test_chosen_survivors(void **state)
{
	unsigned most = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		unsigned in_flight, all, each = 0;

		assert_int_equal(land_after_kill(seed, SURVIVE_NONE, 0, &in_flight), 0);
		all = land_after_kill(seed, SURVIVE_ALL, 0, &in_flight);
		most = in_flight > most ? in_flight : most;
		for (unsigned one = 0; one < in_flight; one++)
			each += land_after_kill(seed, SURVIVE_ONE, one, &(unsigned){ 0 });
		assert_int_equal(each, all);
	}
	assert_in_range(most, 2, 4);
}

static void test_power_cut_in_flight(void **state)
{
	static struct work work = { run_flight };
	unsigned some = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct process *process;

		begin(seed, 16 * MIB);
		process = process_start(host, "server", run_work, &work, NULL);
		run_until(world_now() + 500000);
		process_kill(process, DEATH_POWER);
		disk_power_cut(disk);
		assert_int_equal(disk_unsynced(disk), 0);
		run_all(); /* nothing lands any more */
		assert_int_equal(disk_unsynced(disk), 0);
		some += look("00000000000000000001.seg", true) == 1;
		end();
	}
	assert_true(some > 0);
}

/* --- errors that no acknowledgement may follow */

enum step { WRITE, WRITE_DURABLE, FLUSH, FLUSH_NAMES, TRUNCATE };

static const struct {
	const char *what;
	const char *file;
	enum step step;
	bool is_final;
} steps[] = {
	{ "zeros of a spare", "00000000000000000001.seg", WRITE, true },
	{ "a durable write", "00000000000000000001.seg", WRITE_DURABLE, true },
	{ "a flush of a segment", "00000000000000000001.seg", FLUSH, true },
	{ "names", "00000000000000000001.seg", FLUSH_NAMES, true },
	{ "names, of something else", "other", FLUSH_NAMES, true },
	{ "a tail", "00000000000000000001.seg", TRUNCATE, false },
	{ "a new segment's header", "segment.tmp", WRITE, false },
	{ "a new segment", "segment.tmp", FLUSH, false },
	{ "a snapshot", "streams.snap.tmp", FLUSH, false },
	{ "no segment's name", "0000000000000000000.seg", FLUSH, false },
};

static size_t step_at;
static bool is_job;
static bool job_failed;
static bool job_ended;

static void fail_here(void *argument)
{
	int directory = open_data();
	int file = open_named(directory, steps[step_at].file, FILE_WRITE | FILE_CREATE);
	int error = 0;

	(void)argument;
	disk_fail_operation(disk, 1, -EIO, false);
	switch (steps[step_at].step) {
	case WRITE: error = file_write(file, page_of(1), DISK_PAGE, 0); break;
	case WRITE_DURABLE: error = file_write_durable(file, page_of(1), DISK_PAGE, 0); break;
	case FLUSH: error = file_flush(file); break;
	case FLUSH_NAMES: error = file_flush_directory(directory); break;
	case TRUNCATE: error = file_truncate(file, 0); break;
	}
	assert_int_equal(error, -EIO);
	file_close(file);
	file_close(directory);
	job_ended = true;
}

static int run_fail(void)
{
	process_current()->is_server = true;
	file_close(open_data()); /* it has been here first */
	if (!is_job) {
		fail_here(NULL);
	} else {
		fiber_start(fail_here, NULL);
		while (!job_ended)
			fiber_sleep(1000);
	}
	job_failed = disk_job_has_failed(process_current());
	assert_false(disk_job_has_failed(process_current()));
	return 0;
}

static void test_final(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * COUNT_OF(steps); i++) {
		step_at = i / 2;
		is_job = i % 2 == 0;
		job_ended = false;
		io_errors = 0;
		begin(1, 16 * MIB);
		in_process(run_fail);
		assert_true(job_ended);
		if (job_failed != (is_job && steps[step_at].is_final) ||
		    io_errors != (!is_job && steps[step_at].is_final))
			fail_msg("%s: %s", steps[step_at].what, is_job ? "job" : "call");
		end();
	}
}

/* --- corruption */

static void test_corruption(void **state)
{
	static uint8_t before[64 * DISK_PAGE], after[64 * DISK_PAGE];
	uint64_t flipped = fault_counts[FAULT_BIT_FLIPPED];
	uint64_t zeroed = fault_counts[FAULT_SECTOR_ZEROED];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		begin(seed, 16 * MIB);
		assert_false(disk_corrupt(disk));
		in_process(run_flight);
		int directory = open_data();
		int file = open_named(directory, "00000000000000000001.seg", FILE_READ);
		assert_int_equal(file_read(file, before, sizeof(before), 0), sizeof(before));
		corruptions = 0;
		assert_true(disk_corrupt(disk));
		assert_in_range(corruptions, 1, 4);
		assert_int_equal(file_read(file, after, sizeof(after), 0), sizeof(after));
		assert_true(memcmp(before, after, sizeof(after)) != 0);
		file_close(file);
		file_close(directory);
		end();
	}
	assert_true(fault_counts[FAULT_BIT_FLIPPED] > flipped);
	assert_true(fault_counts[FAULT_SECTOR_ZEROED] > zeroed);
}

enum { LOCK_BYTES = 24 };

static unsigned lock_ways[3];

/* The lock file of a server that has it mapped, with another number each time it is looked at. */
static int run_lock(void)
{
	int directory = open_data();
	int file = open_named(directory, "lock", FILE_WRITE | FILE_CREATE);
	uint64_t number = 0, before, *lock;

	assert_int_equal(file_write(file, page_of(0), LOCK_BYTES, 0), 0);
	assert_int_equal(file_map(file, LOCK_BYTES, true, (void **)&lock), 0);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t happened = fault_counts[FAULT_LOCK_DAMAGED];
		uint64_t seen;

		number++;
		before = lock[1] = number << 32 | number;
		corruptions = 0;
		(void)disk_corrupt(disk);
		seen = lock[1];
		assert_int_equal(corruptions, fault_counts[FAULT_LOCK_DAMAGED] - happened);
		if (corruptions == 0)
			assert_true(seen == before);
		else if (seen == 0)
			lock_ways[0]++;
		else if (__builtin_popcountll(seen ^ before) <= 1)
			lock_ways[1]++;
		else
			lock_ways[2]++; /* an older one, perhaps with a bit of its own flipped */
	}
	file_unmap(lock, LOCK_BYTES);
	file_close(file);
	file_close(directory);
	return 0;
}

static void test_lock_damaged(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		begin(seed, 16 * MIB);
		in_process(run_lock);
		end();
	}
	for (unsigned i = 0; i < COUNT_OF(lock_ways); i++)
		assert_true(lock_ways[i] > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flight),
		cmocka_unit_test(test_late_writes),
		cmocka_unit_test(test_chosen_survivors),
		cmocka_unit_test(test_power_cut_in_flight),
		cmocka_unit_test(test_final),
		cmocka_unit_test(test_corruption),
		cmocka_unit_test(test_lock_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
