#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/test.h"

/* Each test has an empty directory of its own. */
struct place {
	char path[64];
	int directory;
};

static int place_setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	strcpy(place->path,
	       "/var/tmp/roger-file-XXXXXX"); /* on a disk, where /tmp may be a tmpfs */
	assert_non_null(mkdtemp(place->path));
	assert_int_equal(file_open_directory(place->path, &place->directory), 0);
	*state = place;
	return 0;
}

static int remove_one(void *context, const char *name)
{
	struct place *place = context;

	if (unlinkat(place->directory, name, 0) < 0)
		assert_int_equal(unlinkat(place->directory, name, AT_REMOVEDIR), 0);
	return 0;
}

static int place_teardown(void **state)
{
	struct place *place = *state;

	file_list(place->directory, remove_one, place);
	file_close(place->directory);
	rmdir(place->path);
	free(place);
	return 0;
}

static int make(struct place *place, const char *name)
{
	int file = -1;

	assert_int_equal(file_open(place->directory, name, FILE_WRITE | FILE_CREATE, &file), 0);
	return file;
}

static void test_directories(void **state)
{
	struct place *place = *state;
	char path[128];
	int directory = -1;
	struct stat now;

	snprintf(path, sizeof(path), "%s/a", place->path);
	assert_int_equal(file_open_directory(path, &directory), -ENOENT);
	assert_int_equal(file_make_directory(path), 0);
	assert_int_equal(file_make_directory(path), 0);
	assert_int_equal(stat(path, &now), 0);
	assert_int_equal(now.st_mode & 077, 0);
	strcat(path, "//");
	assert_int_equal(file_make_directory(path), 0);
	assert_int_equal(file_open_directory(path, &directory), 0);
	file_close(directory);
	strcat(path, "b/c");
	assert_int_equal(file_make_directory(path), -ENOENT);
	assert_int_equal(file_make_directory(""), -ENOENT);
	assert_int_equal(file_make_directory("/"), 0);

	snprintf(path, sizeof(path), "%s/file", place->path);
	file_close(make(place, "file"));
	assert_int_equal(file_make_directory(path), -ENOTDIR);
	assert_int_equal(file_open_directory(path, &directory), -ENOTDIR);
	assert_int_equal(file_flush_directory(place->directory), 0);
}

static void test_relative_directory(void **state)
{
	struct place *place = *state;
	char before[512];

	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(place->path), 0);
	assert_int_equal(file_make_directory("here"), 0);
	assert_int_equal(file_make_directory("here/below/"), 0);
	assert_int_equal(rmdir("here/below"), 0);
	assert_int_equal(chdir(before), 0);
}

struct names {
	unsigned count;
	unsigned seen; /* a bit for "a", "b", "c" */
};

static int count_name(void *context, const char *name)
{
	struct names *names = context;

	assert_int_equal(strlen(name), 1);
	names->seen |= 1u << (name[0] - 'a');
	names->count++;
	return 0;
}

static int stop_at_once(void *context, const char *name)
{
	struct names *names = context;

	(void)name;
	names->count++;
	return 7;
}

static void test_is_within(void **state)
{
	static const struct {
		const char *path;
		int within; /* in "a" */
	} rows[] = {
		{ "a", 1 },
		{ "a/", 1 },
		{ "a/b", 1 },
		{ "a/none", 1 },
		{ "a/b/none/", 1 },
		{ "link/none", 1 },
		{ "aa", 0 },
		{ "none", 0 },
		{ ".", 0 },
		{ "a/../none", 0 },
		{ "no/parent", -ENOENT },
	};
	struct place *place = *state;
	char outer[128], path[200];

	snprintf(outer, sizeof(outer), "%s/a", place->path);
	assert_int_equal(mkdirat(place->directory, "a", 0700), 0);
	assert_int_equal(mkdirat(place->directory, "aa", 0700), 0);
	assert_int_equal(mkdirat(place->directory, "a/b", 0700), 0);
	assert_int_equal(symlinkat("a/b", place->directory, "link"), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		snprintf(path, sizeof(path), "%s/%s", place->path, rows[i].path);
		if (file_is_within(path, outer) != rows[i].within)
			fail_msg("%s", rows[i].path);
	}
	assert_int_equal(file_is_within("/none", "/"), 1);
	assert_int_equal(file_is_within(place->path, "/none"), -ENOENT);
	assert_int_equal(unlinkat(place->directory, "a/b", AT_REMOVEDIR), 0);
}

static void test_list(void **state)
{
	struct place *place = *state;
	struct names names = { 0 };

	assert_int_equal(file_list(place->directory, count_name, &names), 0);
	assert_int_equal(names.count, 0);
	file_close(make(place, "a"));
	file_close(make(place, "b"));
	file_close(make(place, "c"));
	for (int round = 0; round < 2; round++) { /* a listing leaves no position behind */
		names = (struct names){ 0 };
		assert_int_equal(file_list(place->directory, count_name, &names), 0);
		assert_int_equal(names.count, 3);
		assert_int_equal(names.seen, 7);
	}
	names.count = 0;
	assert_int_equal(file_list(place->directory, stop_at_once, &names), 7);
	assert_int_equal(names.count, 1);
}

static void test_open_only_regular_files(void **state)
{
	struct place *place = *state;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int file = -1;

	file_close(make(place, "file"));
	assert_int_equal(symlinkat("file", place->directory, "link"), 0);
	assert_int_equal(mkfifoat(place->directory, "fifo", 0600), 0);
	assert_int_equal(mkdirat(place->directory, "directory", 0700), 0);
	int unix_socket = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/socket", place->path);
	assert_int_equal(bind(unix_socket, (struct sockaddr *)&at, sizeof(at)), 0);

	static const struct {
		const char *name;
		int result;
	} rows[] = {
		{ "missing", -ENOENT },
		{ "link", -EINVAL },
		{ "fifo", -EINVAL },
		{ "directory", -EINVAL },
		{ "socket", -EINVAL },
		{ "./file", -EINVAL },
		{ ".", -EINVAL },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("row %s\n", rows[i].name);
		assert_int_equal(file_open(place->directory, rows[i].name, FILE_READ, &file),
				 rows[i].result);
		assert_int_equal(file_open(place->directory, rows[i].name, FILE_WRITE, &file),
				 rows[i].result);
	}
	assert_int_equal(file, -1);
	assert_int_equal(
		file_open(place->directory, "file", FILE_WRITE | FILE_CREATE | FILE_NEW, &file),
		-EEXIST);
	assert_int_equal(file_open(place->directory, "link", FILE_WRITE | FILE_CREATE, &file),
			 -EINVAL);

	assert_int_equal(file_open(place->directory, "file", FILE_READ, &file), 0);
	assert_int_equal(fcntl(file, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(file, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(file_write(file, "x", 1, 0), -EBADF);
	file_close(file);
	close(unix_socket);
}

static void test_read_and_write(void **state)
{
	struct place *place = *state;
	struct file_stat now;
	char text[32] = "";

	int file = make(place, "file");
	assert_int_equal(file_read(file, text, sizeof(text), 0), 0);
	assert_int_equal(file_write(file, "Hello World!", 12, 0), 0);
	assert_int_equal(file_write_durable(file, "there", 5, 6), 0);
	assert_int_equal(file_write(file, "", 0, 0), 0);
	assert_int_equal(file_read(file, text, sizeof(text), 0), 12);
	assert_memory_equal(text, "Hello there!", 12);
	assert_int_equal(file_read(file, text, 5, 6), 5);
	assert_memory_equal(text, "there", 5);
	assert_int_equal(file_read(file, text, 5, 12), 0);
	assert_int_equal(file_read(file, text, 5, 1000), 0);
	assert_int_equal(file_flush(file), 0);

	assert_int_equal(file_stat(file, &now), 0);
	assert_int_equal(now.size, 12);
	assert_true(now.modified_ns > UINT64_C(1600000000000000000));
	assert_int_equal(file_reserve(file, 1 << 20), 0);
	assert_int_equal(file_stat(file, &now), 0);
	assert_int_equal(now.size, 1 << 20);
	assert_true(now.allocated >= 1 << 20);
	assert_int_equal(file_truncate(file, 5), 0);
	assert_int_equal(file_read(file, text, sizeof(text), 0), 5);

	int other = make(place, "other");
	struct file_stat that;
	assert_int_equal(file_stat(other, &that), 0);
	assert_true(that.inode != now.inode);
	file_close(other);
	file_close(file);

	assert_int_equal(file_read(file, text, 1, 0), -EBADF);
	assert_int_equal(file_write(file, text, 1, 0), -EBADF);
	assert_int_equal(file_flush(file), -EBADF);
	assert_int_equal(file_truncate(file, 1), -EBADF);
	assert_int_equal(file_reserve(file, 1), -EBADF);
	assert_int_equal(file_stat(file, &now), -EBADF);
	assert_int_equal(file_lock(file, true), -EBADF);
}

static void test_rename(void **state)
{
	struct place *place = *state;
	char text[8];
	int file = make(place, "a");

	assert_int_equal(file_write(file, "a", 1, 0), 0);
	file_close(file);
	file_close(make(place, "b"));
	assert_int_equal(file_rename(place->directory, "a", "b", false), -EEXIST);
	assert_int_equal(file_rename(place->directory, "missing", "c", false), -ENOENT);
	assert_int_equal(file_rename(place->directory, "a", "c", false), 0);
	assert_int_equal(file_open(place->directory, "a", FILE_READ, &file), -ENOENT);
	assert_int_equal(file_rename(place->directory, "c", "b", true), 0);
	assert_int_equal(file_open(place->directory, "b", FILE_READ, &file), 0);
	assert_int_equal(file_read(file, text, sizeof(text), 0), 1);
	file_close(file);
	assert_int_equal(file_remove(place->directory, "b"), 0);
	assert_int_equal(file_remove(place->directory, "b"), -ENOENT);
}

static void test_locks(void **state)
{
	struct place *place = *state;
	int one = make(place, "lock");
	int two = make(place, "lock");

	assert_int_equal(file_lock(one, true), 0);
	assert_int_equal(file_lock(two, true), -EWOULDBLOCK);
	assert_int_equal(file_lock(two, false), -EWOULDBLOCK);
	assert_int_equal(file_unlock(one), 0);
	assert_int_equal(file_lock(two, false), 0);
	assert_int_equal(file_lock(one, false), 0);
	assert_int_equal(file_lock(one, true), -EWOULDBLOCK);
	file_close(two);
	assert_int_equal(file_lock(one, true), 0);
	two = make(place, "lock");
	assert_int_equal(file_lock(two, false), -EWOULDBLOCK);
	file_close(one);
	assert_int_equal(file_lock(two, true), 0);
	file_close(two);
}

static void test_map(void **state)
{
	struct place *place = *state;
	void *writing = NULL, *reading = NULL;
	char text[8];
	int file = make(place, "map");

	assert_int_equal(file_truncate(file, 4096), 0);
	assert_int_equal(file_map(file, 8, true, &writing), 0);
	assert_int_equal(file_map(file, 8, false, &reading), 0);
	memcpy(writing, "12345678", 8);
	assert_memory_equal(reading, "12345678", 8);
	assert_int_equal(file_read(file, text, 8, 0), 8);
	assert_memory_equal(text, "12345678", 8);
	file_unmap(writing, 8);
	file_unmap(reading, 8);
	assert_int_equal(file_map(file, 0, false, &reading), -EINVAL);
	file_close(file);
	assert_int_equal(file_map(file, 8, false, &reading), -EBADF);
}

static void test_memory(void **state)
{
	(void)state;
	for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2)
		for (size_t size = 1; size <= 1 << 21; size = size * 3 + 1) {
			uint8_t *memory = file_memory(size, alignment);
			assert_non_null(memory);
			assert_int_equal((uintptr_t)memory % alignment, 0);
			assert_int_equal((uintptr_t)memory % 4096, 0);
			assert_int_equal(memory[0], 0);
			assert_int_equal(memory[size - 1], 0);
			memory[0] = memory[size - 1] = 1;
			file_memory_free(memory, size);
		}
	assert_null(file_memory(0, 4096));
	assert_null(file_memory(4096, 4097));
	assert_null(file_memory(SIZE_MAX, 4096));
	assert_null(file_memory(SIZE_MAX, 65536));
	file_memory_free(NULL, 4096);
}

static void test_space(void **state)
{
	struct place *place = *state;
	struct file_space space;

	assert_int_equal(file_space(place->directory, &space), 0);
	assert_true(space.total > 0);
	assert_true(space.free <= space.total);
	assert_int_equal(file_space(-1, &space), -EBADF);
}

static void check_geometry(const struct file_geometry *geometry)
{
	assert_true(geometry->block_size >= 4096 && geometry->block_size <= 65536);
	assert_int_equal(geometry->block_size & (geometry->block_size - 1), 0);
	assert_true(geometry->block_size >= geometry->offset_alignment);
}

static void test_geometry_leaves_nothing(void **state)
{
	struct place *place = *state;
	struct file_geometry geometry;
	struct names names = { 0 };

	assert_int_equal(file_geometry(place->directory, &geometry), 0);
	check_geometry(&geometry);
	assert_int_equal(file_list(place->directory, stop_at_once, &names), 0);
	assert_int_equal(names.count, 0);
	assert_int_equal(file_geometry(-1, &geometry), -EBADF);
}

static void test_direct(void **state)
{
	struct place *place = *state;
	struct file_geometry geometry;
	int file = -1;

	assert_int_equal(file_geometry(place->directory, &geometry), 0);
	if (!geometry.direct)
		skip();
	size_t unit = geometry.block_size;
	uint8_t *memory = file_memory(4 * unit, geometry.memory_alignment);
	assert_int_equal(file_open(place->directory, "direct",
				   FILE_WRITE | FILE_CREATE | FILE_DIRECT, &file),
			 0);
	memset(memory, 'x', 2 * unit);
	assert_int_equal(file_write_durable(file, memory, 2 * unit, 0), 0);
	assert_int_equal(file_read(file, memory + 2 * unit, 2 * unit, 0), (int64_t)(2 * unit));
	assert_memory_equal(memory, memory + 2 * unit, 2 * unit);
	assert_int_equal(file_read(file, memory + 1, unit, 0),
			 geometry.memory_alignment > 1 ? -EINVAL : (int64_t)unit);
	assert_int_equal(file_read(file, memory, unit, 1), -EINVAL);

	/* Up to an end that is not aligned, and past it. */
	assert_int_equal(file_truncate(file, unit + 100), 0);
	assert_int_equal(file_read(file, memory, 4 * unit, 0), (int64_t)unit + 100);
	assert_int_equal(file_read(file, memory, unit, 2 * unit), 0);
	file_close(file);
	file_memory_free(memory, 4 * unit);
}

/* A file system of 1 MiB, when we may mount one. */
static void test_full_and_without_direct(void **state)
{
	struct place *place = *state;
	struct file_geometry geometry;
	struct file_space space;
	static uint8_t block[65536];
	int directory = -1, file = -1;

	if (mount("roger-test", place->path, "tmpfs", 0, "size=1m") < 0)
		skip();
	assert_int_equal(file_open_directory(place->path, &directory), 0);
	assert_int_equal(file_geometry(directory, &geometry), 0);
	check_geometry(&geometry);
	assert_int_equal(file_space(directory, &space), 0);
	assert_int_equal(space.total, 1 << 20);
	assert_int_equal(file_open(directory, "a", FILE_WRITE | FILE_CREATE, &file), 0);
	assert_int_equal(file_reserve(file, 2 << 20), -ENOSPC);
	int error = 0;
	uint64_t offset = 0;
	for (; !error && offset < 2 << 20; offset += sizeof(block))
		error = file_write(file, block, sizeof(block), offset);
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(file_space(directory, &space), 0);
	assert_int_equal(space.free, 0);
	assert_int_equal(file_geometry(directory, &geometry), 0);
	assert_int_equal(file_write(file, block, 4096, 0),
			 0); /* what is there can be written again */
	file_close(file);
	file_close(directory);
	assert_int_equal(umount2(place->path, MNT_DETACH), 0);
}

/* A reader that may not write gets the same answer, from a file that is there. */
static void test_geometry_read_only(void **state)
{
	struct place *place = *state;
	struct file_geometry writing, reading;
	int directory = -1;
	char path[128];

	file_close(make(place, "segment"));
	assert_int_equal(file_geometry(place->directory, &writing), 0);
	snprintf(path, sizeof(path), "%s/mounted", place->path);
	assert_int_equal(mkdir(path, 0700), 0);
	if (mount(place->path, path, NULL, MS_BIND, NULL) < 0)
		skip();
	assert_int_equal(mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(file_open_directory(path, &directory), 0);
	int file = -1;
	assert_int_equal(file_open(directory, "new", FILE_WRITE | FILE_CREATE, &file), -EROFS);
	int result = file_geometry(directory, &reading);
	file_close(directory);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	assert_int_equal(result, 0);
	assert_int_equal(reading.direct, writing.direct);
	assert_int_equal(reading.memory_alignment, writing.memory_alignment);
	assert_int_equal(reading.offset_alignment, writing.offset_alignment);
	assert_int_equal(reading.block_size, writing.block_size);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_directories),
		TEST(test_relative_directory),
		TEST(test_is_within),
		TEST(test_list),
		TEST(test_open_only_regular_files),
		TEST(test_read_and_write),
		TEST(test_rename),
		TEST(test_locks),
		TEST(test_map),
		cmocka_unit_test(test_memory),
		TEST(test_space),
		TEST(test_geometry_leaves_nothing),
		TEST(test_direct),
		TEST(test_full_and_without_direct),
		TEST(test_geometry_read_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
