/* The disk at rest: truths, power cuts, names, locks, errors. */
#include "disk_testing.h"

/* --- the truths */

enum step { BUFFERED, DIRECT, DSYNC, FLUSH, DIRECTORY };

static void do_step(int directory, int buffered, int direct, enum step step, uint8_t value)
{
	switch (step) {
	case BUFFERED:
		assert_int_equal(file_write(buffered, page_of(value), DISK_PAGE, 0), 0);
		break;
	case DIRECT:
		assert_int_equal(file_write(direct, page_of(value), DISK_PAGE, 0), 0);
		break;
	case DSYNC:
		assert_int_equal(file_write_durable(direct, page_of(value), DISK_PAGE, 0), 0);
		break;
	case FLUSH:
		assert_int_equal(file_flush(buffered), 0);
		break;
	case DIRECTORY:
		assert_int_equal(file_flush_directory(directory), 0);
		break;
	}
}

static const struct truth_row {
	const char *name;
	enum step steps[6];
	unsigned count;
	enum disk_survivors survivors;
	int after; /* the power cut: the number of the step whose bytes are there; -1 empty, -2 no file */
} truth_rows[] = {
	{ "nothing flushed", { DIRECT }, 1, SURVIVE_NONE, -2 },
	{ "nothing flushed, all kept", { DIRECT }, 1, SURVIVE_ALL, 1 },
	{ "the name alone", { DIRECTORY, DIRECT }, 2, SURVIVE_NONE, -1 },
	{ "the data alone", { DSYNC }, 1, SURVIVE_NONE, -2 },
	{ "direct and flushed", { DIRECTORY, DIRECT, FLUSH }, 3, SURVIVE_NONE, 2 },
	{ "buffered and flushed", { DIRECTORY, BUFFERED, FLUSH }, 3, SURVIVE_NONE, 2 },
	{ "dsync", { DIRECTORY, DSYNC }, 2, SURVIVE_NONE, 2 },
	{ "direct over flushed", { DIRECTORY, BUFFERED, FLUSH, DIRECT }, 4, SURVIVE_NONE, 2 },
	{ "direct over flushed, kept", { DIRECTORY, BUFFERED, FLUSH, DIRECT }, 4, SURVIVE_ALL, 4 },
	{ "buffered over dsync", { DIRECTORY, DSYNC, BUFFERED }, 3, SURVIVE_NONE, 2 },
	{ "buffered over dsync, kept", { DIRECTORY, DSYNC, BUFFERED }, 3, SURVIVE_ALL, 3 },
	{ "direct over buffered", { DIRECTORY, BUFFERED, DSYNC }, 3, SURVIVE_NONE, 3 },
};

static const struct truth_row *row;

static int run_truth(void)
{
	int directory = open_data();
	int buffered = open_named(directory, "f", FILE_WRITE | FILE_CREATE | FILE_NEW);
	int direct = open_named(directory, "f", FILE_WRITE | FILE_DIRECT);

	for (unsigned i = 0; i < row->count; i++) {
		bool writes = row->steps[i] != FLUSH && row->steps[i] != DIRECTORY;

		do_step(directory, buffered, direct, row->steps[i], (uint8_t)(i + 1));
		if (writes) {
			assert_int_equal(look("f", false), i + 1);
			assert_int_equal(look("f", true), i + 1);
		}
	}
	file_close(buffered);
	file_close(direct);
	file_close(directory);
	return 0;
}

static void test_truths(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(truth_rows); i++) {
		row = &truth_rows[i];
		print_message("row %s\n", row->name);
		for (uint64_t seed = 1; seed <= 20; seed++) {
			begin(seed, 16 * MIB);
			in_process(run_truth);
			disk_survivors(disk, row->survivors, 0);
			disk_power_cut(disk);
			/* An overwritten version may have gone to the medium by itself; there is no such row. */
			assert_int_equal(look("f", true), row->after);
			assert_int_equal(look("f", false), row->after);
			assert_int_equal(disk_unsynced(disk), 0);
			end();
		}
	}
}

/* --- power cuts, drawn */

static int run_unsynced_pages(void)
{
	int directory = open_data();
	int file = open_named(directory, "f", FILE_WRITE | FILE_CREATE | FILE_DIRECT);

	for (unsigned at = 0; at < 64; at++)
		assert_int_equal(file_write(file, page_of(1), DISK_PAGE, at * DISK_PAGE), 0);
	assert_int_equal(file_flush(file), 0);
	assert_int_equal(file_flush_directory(directory), 0);
	for (unsigned at = 0; at < 64; at++)
		assert_int_equal(file_write(file, page_of(2), DISK_PAGE, at * DISK_PAGE), 0);
	file_close(file);
	file_close(directory);
	return 0;
}

static void test_power_cut_draws(void **state)
{
	static const enum fault kinds[] = { FAULT_PAGE_KEPT, FAULT_PAGE_DROPPED, FAULT_PAGE_TORN,
					    FAULT_SECTOR_GARBAGE };
	static uint8_t bytes[64 * DISK_PAGE] __attribute__((aligned(4096)));
	uint64_t before[COUNT_OF(kinds)];
	unsigned old = 0, new = 0, neither = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		before[i] = fault_counts[kinds[i]];
	for (uint64_t seed = 1; seed <= 50; seed++) {
		begin(seed, 16 * MIB);
		in_process(run_unsynced_pages);
		assert_int_equal(disk_unsynced(disk), 64);
		disk_power_cut(disk);
		int directory = open_data();
		int file = open_named(directory, "f", FILE_READ);
		assert_int_equal(file_read(file, bytes, sizeof(bytes), 0), sizeof(bytes));
		for (size_t at = 0; at < sizeof(bytes); at += DISK_SECTOR) {
			old += bytes[at] == 1;
			new += bytes[at] == 2;
			neither += bytes[at] != 1 && bytes[at] != 2;
		}
		file_close(file);
		file_close(directory);
		end();
	}
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		assert_true(fault_counts[kinds[i]] > before[i]);
	assert_true(old > 1000 && new > 1000 && neither > 100);
}

static void test_each_one_survives(void **state)
{
	(void)state;
	for (unsigned one = 0; one < 64; one++) {
		begin(7, 16 * MIB);
		in_process(run_unsynced_pages);
		disk_survivors(disk, SURVIVE_ONE, one);
		disk_power_cut(disk);
		int directory = open_data();
		int file = open_named(directory, "f", FILE_READ);
		for (unsigned at = 0; at < 64; at++) {
			uint8_t byte;

			assert_int_equal(file_read(file, &byte, 1, at * DISK_PAGE), 1);
			/* The rest is old, or went by itself while it was being overwritten (each page only once here: never). */
			assert_int_equal(byte, at == one ? 2 : 1);
		}
		file_close(file);
		file_close(directory);
		end();
	}
}

/* --- names */

static int run_names(void)
{
	int directory = open_data();
	int file = open_named(directory, "tmp", FILE_WRITE | FILE_CREATE | FILE_NEW);

	assert_int_equal(file_write(file, page_of(1), DISK_PAGE, 0), 0);
	assert_int_equal(file_flush(file), 0);
	file_close(file);
	assert_int_equal(file_flush_directory(directory), 0);
	file = open_named(directory, "b", FILE_WRITE | FILE_CREATE);
	assert_int_equal(file_open(directory, "b", FILE_WRITE | FILE_CREATE | FILE_NEW, &file),
			 -EEXIST);
	file_close(file);
	assert_int_equal(file_rename(directory, "tmp", "b", false), -EEXIST);
	assert_int_equal(file_rename(directory, "missing", "c", true), -ENOENT);
	assert_int_equal(file_rename(directory, "tmp", "b", true), 0);
	assert_int_equal(file_remove(directory, "tmp"), -ENOENT);
	assert_int_equal(file_open(directory, "a/b", FILE_READ, &file), -EINVAL);
	file_close(directory);
	return 0;
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		enum disk_survivors survivors;
		unsigned one;
		int tmp, b;
	} rows[] = {
		{ "nothing stays", SURVIVE_NONE, 0, 1, -2 },
		{ "all stays", SURVIVE_ALL, 0, -2, 1 },
		{ "only b was made", SURVIVE_ONE, 0, 1, -1 },
		{ "only the rename", SURVIVE_ONE, 1, -2, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("row %s\n", rows[i].name);
		begin(i, 16 * MIB);
		in_process(run_names);
		assert_int_equal(look("tmp", false), -2);
		assert_int_equal(look("b", false), 1);
		assert_int_equal(disk_unsynced(disk), 2);
		disk_survivors(disk, rows[i].survivors, rows[i].one);
		disk_power_cut(disk);
		assert_int_equal(look("tmp", false), rows[i].tmp);
		assert_int_equal(look("b", false), rows[i].b);
		end();
	}
}

static int run_directory(void)
{
	int directory = -1;
	int file;

	assert_int_equal(file_make_directory("/data/journal/"), 0);
	assert_int_equal(file_make_directory("/data/journal"), 0);
	assert_int_equal(file_make_directory("/data/none/journal"), -ENOENT);
	assert_int_equal(file_open_directory("/data/journal", &directory), 0);
	file = open_named(directory, "f", FILE_WRITE | FILE_CREATE);
	assert_int_equal(file_write_durable(file, page_of(3), DISK_PAGE, 0), 0);
	assert_int_equal(file_flush_directory(directory), 0);
	file_close(file);
	file_close(directory);
	return 0;
}

static void test_directory(void **state)
{
	uint8_t byte;
	char name[256];

	(void)state;
	begin(3, 16 * MIB);
	in_process(run_directory);
	assert_true(disk_medium_name(disk, "/data/journal", 1, name));
	assert_string_equal(name, "f");
	assert_true(disk_medium_read(disk, 1, 5, &byte, 1));
	assert_int_equal(byte, 3);
	assert_false(disk_medium_read(disk, 1, DISK_PAGE, &byte, 1));
	disk_survivors(disk, SURVIVE_NONE, 0);
	disk_power_cut(disk);
	assert_true(disk_medium_name(disk, "/data/journal", 1, name));
	end();
}

/* --- locks, mappings, descriptors */

static int run_locks(void)
{
	int directory = open_data();
	int one = open_named(directory, "lock", FILE_WRITE | FILE_CREATE);
	int two = open_named(directory, "lock", FILE_READ);

	assert_int_equal(directory, 1000);
	assert_int_equal(one, 1001);
	assert_int_equal(file_lock(one, true), 0);
	assert_int_equal(file_lock(two, true), -EWOULDBLOCK);
	assert_int_equal(file_lock(two, false), -EWOULDBLOCK);
	assert_int_equal(file_unlock(one), 0);
	assert_int_equal(file_lock(two, false), 0);
	assert_int_equal(file_lock(one, false), 0);
	assert_int_equal(file_lock(one, true), -EWOULDBLOCK);
	file_close(two);
	assert_int_equal(file_lock(one, true), 0);
	two = open_named(directory, "lock", FILE_READ);
	assert_int_equal(two, 1002);
	assert_int_equal(file_lock(two, false), -EWOULDBLOCK);
	return 0; /* the process' end closes what is left */
}

static uint8_t *shared;

static int run_mapping(void)
{
	int directory = open_data();
	int file = open_named(directory, "lock", FILE_WRITE | FILE_CREATE);
	void *memory = NULL;

	assert_int_equal(file_lock(file, true), 0); /* the one before has gone, and its lock with it */
	assert_int_equal(file_write(file, page_of(0), 16, 0), 0);
	assert_int_equal(file_map(file, 16, true, &memory), 0);
	shared = memory;
	shared[8] = 9;
	fiber_sleep(10 * SECOND);
	return 0;
}

static int run_reader(void)
{
	int directory = open_data();
	int file = open_named(directory, "lock", FILE_READ);
	void *memory = NULL;
	uint8_t byte;

	assert_int_equal(file_map(file, 16, false, &memory), 0);
	assert_ptr_equal(memory, shared);
	assert_int_equal(file_read(file, &byte, 1, 8), 1);
	assert_int_equal(byte, 9);
	file_unmap(memory, 16);
	return 0;
}

static void test_locks_and_mappings(void **state)
{
	static struct work mapping = { run_mapping }, reading = { run_reader };
	struct process *first, *second;
	int byte;

	(void)state;
	begin(1, 16 * MIB);
	in_process(run_locks);
	first = process_start(host, "server", run_work, &mapping, NULL);
	run_until(world_now() + SECOND);
	second = process_start(host, "reader", run_work, &reading, NULL);
	run_until(world_now() + SECOND);
	assert_int_equal(disk_descriptors(first), 2);
	assert_int_equal(second->state, PROCESS_RETURNED);
	process_kill(first, DEATH_KILL);
	assert_int_equal(disk_descriptors(first), 0);
	byte = look("lock", false);
	assert_int_equal(byte, 0);
	run_all();
	end();
}

/* --- errors */

static int run_full(void)
{
	int directory = open_data();
	int file = open_named(directory, "f", FILE_WRITE | FILE_CREATE);
	int other = open_named(directory, "g", FILE_WRITE | FILE_CREATE | FILE_DIRECT);
	struct file_space space;
	struct file_stat stat;

	assert_int_equal(file_reserve(file, 64 * DISK_PAGE + 1), -ENOSPC);
	assert_int_equal(file_reserve(file, 60 * DISK_PAGE), 0);
	assert_int_equal(file_write(other, page_of(1), DISK_PAGE, 3 * DISK_PAGE), 0);
	assert_int_equal(file_write(other, page_of(1), DISK_PAGE, 4 * DISK_PAGE), -ENOSPC);
	assert_int_equal(file_write(file, page_of(1), DISK_PAGE, 60 * DISK_PAGE), -ENOSPC);
	assert_int_equal(file_write(file, page_of(1), DISK_PAGE, 59 * DISK_PAGE), 0);
	assert_int_equal(file_space(directory, &space), 0);
	assert_int_equal(space.free, 0);
	assert_int_equal(file_stat(file, &stat), 0);
	assert_int_equal(stat.allocated, 60 * DISK_PAGE);
	assert_int_equal(file_truncate(file, 10 * DISK_PAGE), 0);
	assert_int_equal(file_space(directory, &space), 0);
	assert_int_equal(space.free, 50 * DISK_PAGE);
	assert_int_equal(file_remove(directory, "f"), 0); /* still open */
	assert_int_equal(file_space(directory, &space), 0);
	assert_int_equal(space.free, 50 * DISK_PAGE);
	file_close(file);
	assert_int_equal(file_space(directory, &space), 0);
	assert_int_equal(space.free, 60 * DISK_PAGE);
	return 0;
}

static void test_full(void **state)
{
	(void)state;
	begin(1, 64 * DISK_PAGE);
	in_process(run_full);
	end();
}

static int run_errors(void)
{
	int directory = open_data();
	int file = open_named(directory, "f", FILE_WRITE | FILE_CREATE | FILE_DIRECT);
	uint64_t count = disk_operations(disk);

	disk_fail_operation(disk, 2, -EIO, false);
	assert_int_equal(file_write(file, page_of(1), DISK_PAGE, 0), 0);
	assert_int_equal(file_flush(file), -EIO);
	assert_int_equal(file_flush(file), 0);
	assert_int_equal(disk_operations(disk), count + 3);
	disk_fail_operation(disk, 1, EDQUOT, true);
	assert_int_equal(file_write(file, page_of(2), DISK_PAGE, 0), -EDQUOT);
	assert_int_equal(file_rename(directory, "f", "g", true), -EDQUOT);
	disk_fail_operation(disk, 0, 0, false);
	disk_break(disk, true);
	assert_int_equal(file_write(file, page_of(2), DISK_PAGE, 0), -EIO);
	assert_int_equal(file_flush(file), -EIO);
	assert_int_equal(file_flush_directory(directory), -EIO);
	disk_break(disk, false);
	assert_int_equal(file_write(file, page_of(2), DISK_PAGE, 0), 0);
	return 0;
}

static void test_errors(void **state)
{
	(void)state;
	begin(1, 16 * MIB);
	in_process(run_errors);
	end();
}

/* A flush that fails and loses: the next one has nothing to do, and a power cut shows it. */
static void test_flush_that_lies(void **state)
{
	uint64_t before = fault_counts[FAULT_FLUSH_LOST];
	unsigned lies = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 3000 && lies == 0; seed++) {
		begin(seed, 16 * MIB);
		faults_draw(MODE_CRASH);
		int directory = open_data();
		int file = open_named(directory, "f", FILE_WRITE | FILE_CREATE);
		struct inode *inode = open_file_find(file)->inode;
		assert_int_equal(file_write(file, page_of(1), DISK_PAGE, 0), 0);
		assert_int_equal(file_flush_directory(directory), 0);
		for (unsigned i = 0; i < 20 && fault_counts[FAULT_FLUSH_LOST] == before; i++) {
			assert_int_equal(file_write(file, page_of((uint8_t)(i + 2)), DISK_PAGE, 0),
					 0);
			(void)inode_flush(inode, 0, INODE_ALL, true);
		}
		if (fault_counts[FAULT_FLUSH_LOST] > before) {
			int seen = look("f", false);

			faults_stop();
			assert_int_equal(inode_flush(inode, 0, INODE_ALL, true), 0);
			disk_survivors(disk, SURVIVE_ALL, 0);
			disk_power_cut(disk);
			assert_int_not_equal(look("f", false), seen);
			lies++;
		}
		file_close(file);
		file_close(directory);
		end();
	}
	assert_int_equal(lies, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truths),
		cmocka_unit_test(test_power_cut_draws),
		cmocka_unit_test(test_each_one_survives),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_locks_and_mappings),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_flush_that_lies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
