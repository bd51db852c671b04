/* Rules that a journal keeps while it runs, each in a situation that is made for it: what counts as durable when commits finish out of
 * order, what a commit may claim, what retention may delete, and what it may make anew. */
#include <fcntl.h>

#include "clock/clock.h"
#include "journal/journal_testing.h"
#include "journal/verify.h"

/* Last. */
#include "base/test.h"

static uint64_t clock_back_ns; /* how far the wall clock has been set back (linked with --wrap, see meson.build) */

uint64_t __real_clock_realtime_ns(void);
uint64_t __wrap_clock_realtime_ns(void);

uint64_t __wrap_clock_realtime_ns(void)
{
	return __real_clock_realtime_ns() - clock_back_ns;
}

static bool segment_exists(uint64_t index)
{
	char name[SEGMENT_NAME_SIZE];
	char whole[200];

	segment_name(index, name);
	snprintf(whole, sizeof(whole), "%s/%s", path, name);
	return access(whole, F_OK) == 0;
}

/* Large messages, until `count` more segments are full. */
static void fill_segments(struct journal *j, struct journal_stream stream, uint64_t count)
{
	uint64_t end = j->store.current.index + count;

	while (j->store.current.index < end)
		append_ok(j, "a", stream, 1, 4000);
	settle(j);
}

/* Three commits of one message each are in flight. */
static void send_three(struct journal *j, struct journal_stream stream)
{
	j->store.geometry.direct = true; /* also where this disk knows no direct I/O */
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(append(j, "a", stream, 1, COMMIT_WORTH, NULL), 0);
		journal_turn(j);
		assert_int_equal(door.write_count, i);
	}
}

/* The newest of those in flight is done first. */
static void finish_newest(struct journal *j)
{
	struct io_write *write = door.writes[door.write_count - 1];

	memmove(door.writes + 1, door.writes, (door.write_count - 1) * sizeof(door.writes[0]));
	door.writes[0] = write;
	finish_write(j, 0);
}

/* J1: durable goes along the commits that stand before it, whichever finishes first. */
static void test_a_commit_that_overtakes(void **state)
{
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;

	(void)state;
	door.writes_max = 3;
	j = open_it();
	a = open_stream(j, "a", &s);
	send_three(j, a);
	finish_newest(j);
	assert_int_equal(journal_durable(j), 0);
	finish_newest(j);
	assert_int_equal(journal_durable(j), 0);
	finish_newest(j);
	assert_int_equal(journal_durable(j), 3);
	kill_it(j);
}

/* Small messages beside commits in flight share one; a large one, or the end of one that is in flight, sends them off. */
static void test_small_commits_grow(void **state)
{
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;

	(void)state;
	door.writes_max = 4;
	j = open_it();
	j->store.geometry.direct = true;
	a = open_stream(j, "a", &s);
	for (unsigned i = 1; i <= 6; i++) {
		assert_int_equal(append(j, "a", a, 1, 10, NULL), 0);
		journal_turn(j);
		assert_int_equal(door.write_count, i < COMMITS_SMALL ? i : COMMITS_SMALL);
	}
	finish_write(j, 0);
	journal_turn(j);
	assert_int_equal(door.write_count, COMMITS_SMALL);
	assert_int_equal(append(j, "a", a, 1, 10, NULL), 0);
	journal_turn(j);
	assert_int_equal(door.write_count, COMMITS_SMALL);
	assert_int_equal(append(j, "a", a, 1, COMMIT_WORTH, NULL), 0);
	journal_turn(j);
	assert_int_equal(door.write_count, COMMITS_SMALL + 1);
	while (door.write_count != 0)
		finish_write(j, 0);
	assert_int_equal(journal_durable(j), 8);
	kill_it(j);
}

/* Where a flush is of the whole file, or an error of writing back is told once for it, there is one at a time: when it fails, no other
 * one's data can go with it and then pass for flushed. */
static void test_one_flush_at_a_time(void **state)
{
	static const struct {
		const char *name;
		enum flush_mode flush;
		bool direct;
		unsigned flying;
	} rows[] = {
		{ "durable by itself", FLUSH_DSYNC, true, 3 },
		{ "a write and a flush", FLUSH_FDATASYNC, true, 1 },
		{ "through the page cache", FLUSH_DSYNC, false, 1 },
		{ "a flush, through the page cache", FLUSH_FDATASYNC, false, 1 },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct journal_config c = config();
		struct stream_state s;
		struct journal_stream a;
		struct journal *j;

		print_message("%s\n", rows[i].name);
		door.writes_max = 3;
		c.flush = rows[i].flush;
		j = open_with(&c);
		j->store.geometry.direct = rows[i].direct; /* whatever this disk is */
		a = open_stream(j, "a", &s);
		for (unsigned n = 1; n <= 3; n++) {
			append_ok(j, "a", a, 1, COMMIT_WORTH);
			journal_turn(j);
			assert_int_equal(door.write_count,
					 n < rows[i].flying ? n : rows[i].flying);
		}
		finish_write(j, 0);
		assert_int_equal(journal_durable(j), 1);
		journal_turn(j);
		while (door.write_count != 0)
			finish_write(j, 0);
		assert_int_equal(journal_durable(j), 3);
		kill_it(j);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

/* A commit claims what was durable when it was submitted, not what stands before it. */
static void test_what_a_commit_claims(void **state)
{
	struct batch_header header;
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;

	(void)state;
	door.writes_max = 3;
	j = open_it();
	a = open_stream(j, "a", &s);
	send_three(j, a);
	for (int i = 0; i < 3; i++) {
		const struct staging *commit = (const struct staging *)door.writes[i];

		assert_int_equal(batch_header_decode(commit->memory, commit->size, commit->salt,
						     commit->segment_index, &header),
				 FORMAT_OK);
		assert_int_equal(header.record, i + 1);
		assert_int_equal(header.durable, 0);
	}
	kill_it(j);
}

/* Everything that there is to do, but nothing of retention, until there is a snapshot. */
static void do_jobs(struct journal *j, const uint64_t *snapshot)
{
	for (int i = 0; i < 100 && *snapshot == 0; i++) {
		journal_turn(j);
		if (door.write_count != 0)
			finish_write(j, 0);
		if (door.job != NULL) {
			assert_true(j->store.job.kind != JOB_RETIRE &&
				    j->store.job.kind != JOB_REUSE);
			finish_job(j);
		}
		door.now += SECOND_NS;
	}
}

/* Retention waits for two generations of the snapshot: were the newest damaged, the older one still reaches what is left. */
static void test_retention_waits_for_both_snapshots(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;
	char name[200];
	uint64_t last;
	int file;

	(void)state;
	c.keep_bytes = 1; /* as little as may be */
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	settle(j); /* the spare is there */
	while (j->store.current.index == 1)
		if (append(j, "a", a, 1, 4000, NULL) != 0) {
			journal_turn(j);
			finish_write(j, 0);
		}
	do_jobs(j, &j->store.snapshot_index);
	assert_true(j->store.snapshot_index == 1 && j->store.snapshot_old_index == 0);
	assert_true(segment_exists(1));
	/* Without another segment that is full, the same is written once more. */
	do_jobs(j, &j->store.snapshot_old_index);
	assert_true(j->store.snapshot_index == 1 && j->store.snapshot_old_index == 1);
	assert_true(segment_exists(1));
	fill_segments(j, a, 4);
	assert_false(segment_exists(1));
	assert_true(j->store.list_start == j->store.list_count ||
		    j->store.list[j->store.list_start].index > j->store.snapshot_old_index);
	journal_stream_state(j, a, &s);
	last = s.last;
	stop_it(j);

	snprintf(name, sizeof(name), "%s/%s", path, NAME_SNAPSHOT);
	file = open(name, O_RDWR | O_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(file_write(file, "damaged", 7, 0), 0);
	file_close(file);
	j = open_with(&c);
	assert_int_equal(last_of(j, "a"), last);
	kill_it(j);
}

/* No snapshot can be written: nothing is deleted. */
static void test_retention_waits_for_a_snapshot(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;

	(void)state;
	c.keep_bytes = 1;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	settle(j); /* the spare is there */
	while (j->store.current.index == 1)
		if (append(j, "a", a, 1, 4000, NULL) != 0) {
			journal_turn(j);
			finish_write(j, 0);
		}
	/* Every job but the snapshot's is done. */
	for (int i = 0; i < 100; i++) {
		journal_turn(j);
		if (door.write_count != 0)
			finish_write(j, 0);
		else if (door.job != NULL && j->store.job.kind != JOB_SNAPSHOT)
			finish_job(j);
		assert_true(j->store.job.kind != JOB_RETIRE && j->store.job.kind != JOB_REUSE);
	}
	assert_true(segment_exists(1));
	kill_it(j);
}

/* J7: late writes of a killed server may still land in what it made. */
static void test_segments_of_others_are_not_reused(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;
	uint64_t mine;

	(void)state;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	fill_segments(j, a, 8);
	kill_it(j);

	c.keep_bytes = 12 * SEGMENT_SIZE_MIN;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	mine = j->store.current.index;
	while (door.reused == 0) {
		journal_turn(j);
		if (door.job != NULL && j->store.job.kind == JOB_REUSE)
			assert_true(j->store.job.old_index >= mine);
		if (door.write_count != 0)
			finish_write(j, 0);
		else if (door.job != NULL)
			finish_job(j);
		else
			(void)append(j, "a", a, 1, 4000, NULL);
	}
	kill_it(j);
}

/* A spare that is needed before it is full of zeros is used as it is: no step is begun on it from then on. */
static void test_no_zeros_behind_a_commit(void **state)
{
	struct stream_state s;
	struct journal_stream a;
	struct journal *j = open_it();
	uint64_t spare;

	(void)state;
	a = open_stream(j, "a", &s);
	if (!j->store.geometry.direct) {
		kill_it(j);
		skip(); /* zeros are only written where direct I/O is to be had */
	}
	while (door.job == NULL || j->store.job.kind != JOB_ZERO) {
		if (door.job != NULL)
			finish_job(j);
		journal_turn(j);
	}
	spare = j->store.job.index;
	while (j->store.current.index != spare) {
		(void)append(j, "a", a, 1, 4000, NULL);
		journal_turn(j);
		if (door.write_count != 0)
			finish_write(j, 0);
	}
	finish_job(j);
	for (int i = 0; i < 100; i++) {
		door.now += 10 * MS_NS;
		journal_turn(j);
		if (door.job != NULL) {
			assert_true(j->store.job.kind != JOB_ZERO || j->store.job.index != spare);
			finish_job(j);
		}
		if (door.write_count != 0)
			finish_write(j, 0);
	}
	assert_true(j->store.current_begun);
	kill_it(j);
}

static void print_line(void *context, const char *text)
{
	(void)context;
	print_message("%s\n", text);
}

/* What goes on in the same commit is one batch, with the time of its first message. Were that later than the time of its last one, a
 * snapshot would say of the stream what verify takes for damage. */
static void test_a_clock_that_is_set_back(void **state)
{
	struct failure why = { 0 };
	struct stream_state s;
	struct journal_stream a, b;
	struct journal *j;

	(void)state;
	j = open_it();
	a = open_stream(j, "a", &s);
	b = open_stream(j, "b", &s);
	assert_int_equal(append(j, "b", b, 1, 10, NULL), 0);
	clock_back_ns = 60 * SECOND_NS;
	assert_int_equal(append(j, "b", b, 1, 10, NULL), 0);
	settle(j);
	fill_segments(j, a, 1);
	assert_int_equal(j->store.snapshot_index, 1);
	stop_it(j);
	clock_back_ns = 0;
	if (journal_verify(path, print_line, NULL, &why) != 0)
		fail_msg("%s", why.text);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_a_commit_that_overtakes),
		ROW(test_small_commits_grow),
		ROW(test_one_flush_at_a_time),
		ROW(test_what_a_commit_claims),
		ROW(test_retention_waits_for_both_snapshots),
		ROW(test_retention_waits_for_a_snapshot),
		ROW(test_segments_of_others_are_not_reused),
		ROW(test_no_zeros_behind_a_commit),
		ROW(test_a_clock_that_is_set_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
