/* J2: after an error of a write or a flush nobody knows what the disk has. In what has a name that counts it is the end: no acknowledgement
 * any more, and no second try, which might pass for the first. In a file that nobody needs yet it is trouble, and done again.
 *
 * One call of one file job fails here, each in turn. Direct I/O goes through the page cache, so that zeros are written everywhere. */
#include <fcntl.h>

#include "journal/journal_testing.h"

/* Last. */
#include "base/test.h"

enum call {
	WRITE,
	FLUSH,
	FLUSH_DIRECTORY,
	RENAME,
	REMOVE,
	TRUNCATE,
};

static bool armed;         /* the job under test is running */
static enum call the_call; /* what fails ... */
static unsigned the_nth;   /* ... when it is called for the n-th time in the job */
static unsigned called;

static bool is_hit(enum call call)
{
	return armed && call == the_call && ++called == the_nth;
}

int __wrap_file_geometry(int dir, struct file_geometry *ret);
int __real_file_open(int dir, const char *name, unsigned flags, int *ret_file);
int __wrap_file_open(int dir, const char *name, unsigned flags, int *ret_file);
int __real_file_write(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_write_durable(int file, const void *data, size_t size, uint64_t offset);
int __real_file_flush(int file);
int __wrap_file_flush(int file);
int __real_file_flush_directory(int dir);
int __wrap_file_flush_directory(int dir);
int __real_file_rename(int dir, const char *from, const char *to, bool replace);
int __wrap_file_rename(int dir, const char *from, const char *to, bool replace);
int __real_file_remove(int dir, const char *name);
int __wrap_file_remove(int dir, const char *name);
int __real_file_truncate(int file, uint64_t size);
int __wrap_file_truncate(int file, uint64_t size);

int __wrap_file_geometry(int dir, struct file_geometry *ret)
{
	(void)dir;
	*ret = (struct file_geometry){ .direct = true,
				       .memory_alignment = 4096,
				       .offset_alignment = 4096,
				       .block_size = 4096 };
	return 0;
}

int __wrap_file_open(int dir, const char *name, unsigned flags, int *ret_file)
{
	return __real_file_open(dir, name, flags & ~(unsigned)FILE_DIRECT, ret_file);
}

int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset)
{
	return is_hit(WRITE) ? -EIO : __real_file_write(file, data, size, offset);
}

int __wrap_file_write_durable(int file, const void *data, size_t size, uint64_t offset)
{
	return __real_file_write(file, data, size, offset);
}

int __wrap_file_flush(int file)
{
	return is_hit(FLUSH) ? -EIO : __real_file_flush(file);
}

int __wrap_file_flush_directory(int dir)
{
	return is_hit(FLUSH_DIRECTORY) ? -EIO : __real_file_flush_directory(dir);
}

int __wrap_file_rename(int dir, const char *from, const char *to, bool replace)
{
	return is_hit(RENAME) ? -EIO : __real_file_rename(dir, from, to, replace);
}

int __wrap_file_remove(int dir, const char *name)
{
	return is_hit(REMOVE) ? -EIO : __real_file_remove(dir, name);
}

int __wrap_file_truncate(int file, uint64_t size)
{
	return is_hit(TRUNCATE) ? -EIO : __real_file_truncate(file, size);
}

/* --- the test */

struct final_row {
	const char *step; /* as the notice names it */
	enum job_kind kind;
	enum call call;
	unsigned nth;
	bool is_final;
};

static const struct final_row rows[] = {
	/* A new segment has no name that counts until it is whole. */
	{ "remove segment.tmp", JOB_SPARE, REMOVE, 1, false },
	{ "write segment header", JOB_SPARE, WRITE, 1, false },
	{ "flush new segment", JOB_SPARE, FLUSH, 1, false },
	{ "rename new segment", JOB_SPARE, RENAME, 1, false },
	{ "flush journal directory", JOB_SPARE, FLUSH_DIRECTORY, 1, true },
	/* Of an old one the name goes first. */
	{ "rename old segment", JOB_REUSE, RENAME, 1, false },
	{ "flush journal directory", JOB_REUSE, FLUSH_DIRECTORY, 1, true },
	{ "write segment header", JOB_REUSE, WRITE, 1, false },
	{ "flush new segment", JOB_REUSE, FLUSH, 1, false },
	{ "rename new segment", JOB_REUSE, RENAME, 2, false },
	{ "flush journal directory", JOB_REUSE, FLUSH_DIRECTORY, 2, true },
	/* The spare has its name. */
	{ "write zeros", JOB_ZERO, WRITE, 1, true },
	{ "flush zeros", JOB_ZERO, FLUSH, 1, true },
	{ "write snapshot", JOB_SNAPSHOT, WRITE, 1, false },
	{ "write snapshot", JOB_SNAPSHOT, WRITE, 2, false },
	{ "flush snapshot", JOB_SNAPSHOT, FLUSH, 1, false },
	{ "rename older snapshot", JOB_SNAPSHOT, RENAME, 1, false },
	{ "rename snapshot", JOB_SNAPSHOT, RENAME, 2, false },
	{ "flush journal directory", JOB_SNAPSHOT, FLUSH_DIRECTORY, 1, true },
	{ "give back the tail of a segment", JOB_CLOSE, TRUNCATE, 1, false },
	{ "delete old segment", JOB_RETIRE, REMOVE, 1, false },
	{ "flush journal directory", JOB_RETIRE, FLUSH_DIRECTORY, 1, true },
};

/* Appends and completes what there is to complete, until a job of this kind has been started. It is not run. */
static void reach_job(struct journal *j, struct journal_stream stream, enum job_kind kind)
{
	for (int i = 0; i < 20000; i++) {
		journal_turn(j);
		if (door.job != NULL && j->store.job.kind == kind)
			return;
		if (door.write_count != 0)
			finish_write(j, 0);
		else if (door.job != NULL)
			finish_job(j);
		else
			(void)append(j, "a", stream, 1, 4000, NULL);
		door.now += 5 * MS_NS; /* zeros want a pause */
	}
	fail_msg("the job is never started");
}

/* Nothing is promised, started or taken any more. */
static void check_the_end(struct journal *j, struct journal_stream stream)
{
	uint64_t durable = journal_durable(j);

	assert_int_equal(journal_failed(j), -EIO);
	assert_int_equal(append(j, "a", stream, 1, 10, NULL), -EROFS);
	for (int i = 0; i < 10; i++) {
		door.now += 2 * SECOND_NS;
		journal_turn(j);
		assert_null(door.job);
		if (door.write_count != 0)
			finish_write(j, 0);
	}
	assert_int_equal(journal_durable(j), durable);
}

/* It goes on, and does such a job again. */
static void check_it_goes_on(struct journal *j, struct journal_stream stream,
			     const struct final_row *row)
{
	uint64_t durable = journal_durable(j);

	assert_int_equal(journal_failed(j), 0);
	door.now += 2 * SECOND_NS;
	reach_job(j, stream, row->kind);
	finish_job(j);
	append_ok(j, "a", stream, 1, 10);
	settle(j);
	assert_true(journal_durable(j) > durable);
	assert_int_equal(journal_failed(j), 0);
}

static void check_row(const struct final_row *row)
{
	struct journal_config c = config();
	enum journal_notice_kind kind;
	enum journal_notice_kind wanted = JOURNAL_TROUBLE;
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;
	struct failure why;
	uint64_t durable;

	if (row->is_final)
		wanted = JOURNAL_FAILED;
	else if (row->kind == JOB_SPARE) /* what fails to be reused is done without */
		wanted = JOURNAL_FULL;
	c.keep_bytes = row->kind == JOB_RETIRE  ? 1
		       : row->kind == JOB_REUSE ? 6 * SEGMENT_SIZE_MIN
						: 0;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	reach_job(j, a, row->kind);
	if (row->kind == JOB_SNAPSHOT) { /* the first one finds no older one to rename */
		finish_job(j);
		reach_job(j, a, row->kind);
	}
	the_call = row->call;
	the_nth = row->nth;
	called = 0;
	armed = true;
	finish_job(j);
	armed = false;
	assert_int_equal(called, row->nth);
	assert_int_equal(journal_notice(j, &kind, &why), 1);
	assert_int_equal(kind, wanted);
	assert_non_null(strstr(why.text, row->step));
	if (row->is_final)
		check_the_end(j, a);
	else
		check_it_goes_on(j, a, row);
	durable = journal_durable(j);
	kill_it(j);
	j = open_with(&c); /* the disk has recovered */
	assert_true(last_of(j, "a") >= durable);
	stop_it(j);
}

static void a_job_that_fails(void **state)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("job %d, %s\n", rows[i].kind, rows[i].step);
		check_row(&rows[i]);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

/* --- no thread for it */

static unsigned descriptor_count(void)
{
	unsigned count = 0;

	for (int file = 0; file < 1024; file++)
		count += fcntl(file, F_GETFD) >= 0;
	return count;
}

static const struct final_row thread_rows[] = {
	{ .step = "make a spare", .kind = JOB_SPARE },
	{ .step = "reuse a segment", .kind = JOB_REUSE },
	{ .step = "write zeros", .kind = JOB_ZERO },
	{ .step = "write a snapshot", .kind = JOB_SNAPSHOT },
	{ .step = "close a segment", .kind = JOB_CLOSE },
	{ .step = "retire a segment", .kind = JOB_RETIRE },
};

/* The job's thread could not be started: nothing of the job was done, and what the one before has left says nothing about it. */
static void check_no_thread(const struct final_row *row)
{
	unsigned descriptors = descriptor_count();
	struct journal_config c = config();
	enum journal_notice_kind kind;
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;
	struct failure why;
	struct io_job *job;
	uint64_t oldest;

	c.keep_bytes = row->kind == JOB_RETIRE  ? 1
		       : row->kind == JOB_REUSE ? 6 * SEGMENT_SIZE_MIN
						: 0;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	reach_job(j, a, row->kind);
	finish_job(j); /* one that is done */
	reach_job(j, a, row->kind);
	oldest = j->store.list_start != j->store.list_count
			 ? j->store.list[j->store.list_start].index
			 : 0;
	job = door.job;
	door.job = NULL;
	job->result = -EAGAIN;
	journal_job_done(j, job);
	assert_int_equal(journal_notice(j, &kind, &why), 1);
	assert_int_equal(kind, row->kind == JOB_SPARE ? JOURNAL_FULL : JOURNAL_TROUBLE);
	assert_non_null(strstr(why.text, "start a file job"));
	if (oldest != 0)
		assert_int_equal(j->store.list[j->store.list_start].index, oldest);
	journal_turn(j);
	assert_true(door.job == NULL || j->store.job.kind != row->kind);
	check_it_goes_on(j, a, row);
	kill_it(j);
	assert_int_equal(descriptor_count(), descriptors);
}

static void a_job_without_a_thread(void **state)
{
	for (size_t i = 0; i < COUNT_OF(thread_rows); i++) {
		print_message("%s\n", thread_rows[i].step);
		check_no_thread(&thread_rows[i]);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_job_that_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_job_without_a_thread, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
