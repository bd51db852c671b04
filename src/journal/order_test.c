/* In which order files are changed. A wrong order is only seen when the power goes at the wrong moment, so it is watched here:
 *
 *   - a file gets a segment's or a snapshot's name when its bytes are flushed, not before;
 *   - nothing is written into a file whose new name is not durable, and no file job ends with such a name;
 *   - opening looks at the directory after it has flushed it, and publishes its new segment after it has flushed what it copied from.
 *
 * Every change passes through here (ld --wrap, see meson.build) and takes effect. */
#include <fcntl.h>
#include <sys/stat.h>

#include "journal/journal_testing.h"
#include "journal/lock_view.h"

enum { FILES_MAX = 100 };

struct seen_file {
	ino_t inode;
	bool unflushed; /* bytes were written since its last flush */
	bool renamed;   /* since the directory's last flush */
};

static struct seen_file files[FILES_MAX];
static unsigned file_count;
static bool directory_flushed; /* since opening began */
static bool is_opening;
static ino_t source;           /* what opening copies from, 0: not of interest */
static unsigned segments_made, snapshots_made;
static unsigned waits;         /* for the disk */

static struct seen_file *seen(ino_t inode)
{
	for (unsigned i = 0; i < file_count; i++)
		if (files[i].inode == inode)
			return &files[i];
	assert_true(file_count < FILES_MAX);
	files[file_count] = (struct seen_file){ .inode = inode };
	return &files[file_count++];
}

static struct seen_file *seen_of(int file)
{
	struct file_stat now;

	assert_int_equal(file_stat(file, &now), 0);
	return seen((ino_t)now.inode);
}

static void check_names(const char *when)
{
	for (unsigned i = 0; i < file_count; i++)
		if (files[i].renamed)
			fail_msg("%s: a name is not durable", when);
}

/* --- the file door */

int __real_file_flush(int file);
int __wrap_file_flush(int file);
int __real_file_flush_directory(int dir);
int __wrap_file_flush_directory(int dir);
int __real_file_list(int dir, int (*each)(void *context, const char *name), void *context);
int __wrap_file_list(int dir, int (*each)(void *context, const char *name), void *context);
int __real_file_rename(int dir, const char *from, const char *to, bool replace);
int __wrap_file_rename(int dir, const char *from, const char *to, bool replace);
int __real_file_write(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset);
int __real_file_write_durable(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_write_durable(int file, const void *data, size_t size, uint64_t offset);

int __wrap_file_flush(int file)
{
	waits++;
	seen_of(file)->unflushed = false;
	return __real_file_flush(file);
}

int __wrap_file_flush_directory(int dir)
{
	waits++;
	for (unsigned i = 0; i < file_count; i++)
		files[i].renamed = false;
	directory_flushed = true;
	return __real_file_flush_directory(dir);
}

int __wrap_file_list(int dir, int (*each)(void *context, const char *name), void *context)
{
	if (is_opening && !directory_flushed)
		fail_msg("opening looks at a directory that it has not flushed");
	return __real_file_list(dir, each, context);
}

int __wrap_file_rename(int dir, const char *from, const char *to, bool replace)
{
	struct stat now;
	struct seen_file *file;

	if (fstatat(dir, from, &now, 0) != 0)
		return -errno;
	file = seen(now.st_ino);
	if (file->unflushed && segment_index_of_name(from) == 0)
		fail_msg("%s becomes %s, and its bytes are not flushed", from, to);
	if (is_opening && source != 0 && seen(source)->unflushed)
		fail_msg("opening publishes %s before it has flushed what it copied from", to);
	file->renamed = true;
	segments_made += segment_index_of_name(to) != 0;
	snapshots_made += strcmp(to, NAME_SNAPSHOT) == 0;
	return __real_file_rename(dir, from, to, replace);
}

int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset)
{
	waits++;
	if (seen_of(file)->renamed)
		fail_msg("written at %llu into a file whose name is not durable",
			 (unsigned long long)offset);
	seen_of(file)->unflushed = true;
	return __real_file_write(file, data, size, offset);
}

int __wrap_file_write_durable(int file, const void *data, size_t size, uint64_t offset)
{
	waits++;
	return __real_file_write_durable(file, data, size, offset);
}

/* --- the tests */

static int set_up_order(void **state)
{
	file_count = 0;
	is_opening = false;
	source = 0;
	segments_made = snapshots_made = 0;
	return set_up(state);
}

static struct journal *open_watched(const struct journal_config *c)
{
	struct journal *j;

	directory_flushed = false;
	is_opening = true;
	j = open_with(c);
	is_opening = false;
	check_names("opening");
	return j;
}

/* What is in flight is finished, a job sees to it that no name is left behind. */
static void finish_all(struct journal *j)
{
	journal_turn(j);
	while (door.write_count != 0)
		finish_write(j, 0);
	if (door.job == NULL)
		return;
	finish_job(j);
	check_names("a file job");
}

static void test_a_life(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;

	(void)state;
	c.keep_bytes = 6 * SEGMENT_SIZE_MIN;
	j = open_watched(&c);
	a = open_stream(j, "a", &s);
	for (int i = 0; i < 20000 && door.reused < 3; i++) {
		(void)append(j, "a", a, 1, 4000, NULL);
		finish_all(j);
	}
	assert_int_equal(door.reused, 3);
	assert_true(segments_made > 6 && snapshots_made > 2);
	kill_it(j);
	stop_it(open_watched(&c));
	kill_it(open_watched(&c));
}

/* Record 3 was written whole, and nothing on the disk says that it is durable: in the cache of a killed server's kernel it may be all the
 * same. */
static void test_what_opening_copies_from(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j = open_watched(&c);

	(void)state;
	a = open_stream(j, "a", &s);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(append(j, "a", a, 1, 10, NULL), 0);
		journal_turn(j);
		finish_write(j, 0);
	}
	source = seen_of(j->store.current.file)->inode;
	assert_true(seen(source)->unflushed); /* the test's door does not flush */
	lock_number_store(j->store.lock, 0); /* nor the lock file */
	kill_it(j);
	j = open_watched(&c);
	assert_int_equal(last_of(j, "a"), 3);
	assert_int_equal(j->store.current.first, 3);
	kill_it(j);
}

/* A disk that takes half a second for each answer: 32 pieces of zeros alone made a start last for 16 seconds. */
static void test_opening_waits_for_the_disk_a_few_times(void **state)
{
	enum { WAITS_MAX = 5 }; /* the lock file, the new segment twice, the directory twice */
	struct journal_config c = config();

	(void)state;
	c.segment_size = SEGMENT_FIRST_SIZE;
	for (int i = 0; i < 2; i++) {
		waits = 0;
		kill_it(open_watched(&c));
		assert_in_range(waits, 1, WAITS_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_life, set_up_order, tear_down),
		cmocka_unit_test_setup_teardown(test_what_opening_copies_from, set_up_order,
						tear_down),
		cmocka_unit_test_setup_teardown(test_opening_waits_for_the_disk_a_few_times,
						set_up_order, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
