/* The journal against real files in a temporary directory; writes and jobs complete, and fail, when the test says so. */
#include "journal/journal_testing.h"

#include <stdlib.h>

static int each_name(void *context, const char *name)
{
	(void)name;
	++*(unsigned *)context;
	return 0;
}

static unsigned names(void)
{
	unsigned count = 0;
	int fd;

	assert_int_equal(file_open_directory(path, &fd), 0);
	assert_int_equal(file_list(fd, each_name, &count), 0);
	file_close(fd);
	return count;
}

/* --- tests */

static void test_durable_only_when_written(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);
	uint64_t record = 0;

	(void)state;
	assert_int_equal(s.last, 0);
	assert_int_equal(append(j, "a", stream, 3, 10, &record), 0);
	assert_int_equal(record, 3);
	assert_int_equal(journal_durable(j), 0);
	journal_turn(j);
	assert_int_equal(door.write_count, 1);
	assert_int_equal(journal_durable(j), 0);
	assert_int_equal(append(j, "a", stream, 1, 10, &record), 0); /* goes into the next commit */
	journal_turn(j);
	assert_int_equal(door.write_count, 1); /* one in flight */
	finish_write(j, 0);
	assert_int_equal(journal_durable(j), 3);
	journal_turn(j);
	finish_write(j, 0);
	assert_int_equal(journal_durable(j), 4);
	kill_it(j);
	j = open_it();
	assert_int_equal(journal_durable(j), 4);
	assert_int_equal(last_of(j, "a"), 4);
	kill_it(j);
}

static void test_order_and_fences(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream old = open_stream(j, "a", &s);
	struct journal_stream stream = open_stream(j, "a", &s);
	struct journal_batch batch = {
		.stream = stream, .count = 1, .protocol = PROTOCOL_NATIVE, .frames_size = 8
	};
	static const uint8_t frame[8];
	uint64_t record;

	(void)state;
	batch.frames = frame;
	assert_int_equal(append(j, "a", old, 1, 10, NULL), -ESTALE);
	batch.first_seq = 2;
	assert_int_equal(journal_append(j, &batch, &record), -EPROTO);
	batch.first_seq = 1;
	batch.h_before = 5;
	assert_int_equal(journal_append(j, &batch, &record), -EPROTO);
	assert_int_equal(append(j, "a", stream, 1, 10, NULL), 0);
	batch.h_before = 0;
	assert_int_equal(journal_append(j, &batch, &record), -EPROTO); /* number 1 again */
	batch.gap = true;
	batch.first_seq = 2;
	assert_int_equal(journal_append(j, &batch, &record), -EPROTO); /* no gap there */
	journal_stream_close(j, old);
	assert_int_equal(append(j, "a", stream, 1, 10, NULL), 0); /* closing the fenced one fences nobody */
	journal_stream_close(j, stream);
	settle(j);
	kill_it(j);
}

/* Two sessions at once, and no message yet: whether the stream is ephemeral is what the newer one says. */
static void test_newest_says_if_ephemeral(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream older = open_ephemeral(j, "a", &s), newer;

	(void)state;
	assert_true(s.ephemeral);
	newer = open_stream(j, "a", &s);
	assert_int_equal(newer.entry, older.entry);
	assert_false(s.ephemeral);
	journal_stream_close(j, older);
	assert_int_equal(append(j, "a", newer, 1, 1, NULL), 0);
	settle(j);
	assert_int_equal(journal_stream_forget(j, newer), -EPERM);
	older = open_ephemeral(j, "a", &s); /* now it has one: it stays what it was */
	assert_false(s.ephemeral);
	journal_stream_close(j, newer);
	journal_stream_close(j, older);
	kill_it(j);
}

static void test_gap_survives(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);

	(void)state;
	assert_int_equal(append(j, "a", stream, 2, 5, NULL), 0);
	assert_int_equal(append_gap(j, "a", stream, 10), 0);
	settle(j);
	kill_it(j);
	j = open_it();
	assert_int_equal(last_of(j, "a"), 10);
	kill_it(j);
}

static void test_staging_full(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);
	uint64_t progress;
	int result = 0;
	int count = 0;

	(void)state;
	settle(j); /* so that a spare is there */
	while (result == 0 && count++ < 1000) {
		result = append(j, "a", stream, 1, 4096, NULL);
		journal_turn(j);
	}
	assert_int_equal(result, -ENOBUFS);
	progress = journal_progress(j);
	settle(j);
	assert_true(journal_progress(j) != progress);
	assert_int_equal(append(j, "a", stream, 1, 4096, NULL), 0);
	settle(j);
	kill_it(j);
	j = open_it();
	assert_int_equal(last_of(j, "a"), count);
	kill_it(j);
}

static void test_failed_write_is_final(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);
	enum journal_notice_kind kind;
	struct failure notice;

	(void)state;
	assert_int_equal(append(j, "a", stream, 1, 10, NULL), 0);
	journal_turn(j);
	finish_write(j, -EIO);
	assert_int_equal(journal_durable(j), 0);
	assert_int_equal(journal_failed(j), -EIO);
	assert_int_equal(append(j, "a", stream, 1, 10, NULL), -EROFS);
	assert_int_equal(journal_notice(j, &kind, &notice), 1);
	assert_int_equal(kind, JOURNAL_FAILED);
	assert_non_null(strstr(notice.text, ": segment 00000000000000000001.seg offset 8192: "));
	assert_non_null(strstr(notice.text, "Input/output error"));
	door.now += 10 * SECOND_NS;
	journal_turn(j);
	assert_int_equal(door.write_count, 0); /* nothing is tried again */
	kill_it(j);
}

static void test_written_but_not_claimed_is_copied(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);

	(void)state;
	assert_int_equal(append(j, "a", stream, 2, 10, NULL), 0);
	journal_turn(j);
	finish_write(j, 0); /* claimed by nothing that comes later */
	kill_it(j);
	for (int i = 0; i < 3; i++) {
		j = open_it();
		assert_int_equal(last_of(j, "a"), 2);
		assert_int_equal(journal_next_record(j), 3);
		kill_it(j);
	}
}

static void test_seal(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);
	uint64_t deadline;

	(void)state;
	settle(j);
	assert_true(journal_turn(j) == NEVER_NS); /* an empty journal is sealed already */
	assert_int_equal(append(j, "a", stream, 1, 10, NULL), 0);
	settle(j);
	deadline = journal_turn(j);
	assert_int_equal(deadline, door.now + SEAL_IDLE_NS);
	assert_int_equal(door.write_count, 0);
	door.now = deadline;
	journal_turn(j);
	assert_int_equal(door.write_count, 1);
	finish_write(j, 0);
	assert_true(journal_turn(j) == NEVER_NS); /* a seal never calls for another */
	assert_int_equal(append(j, "a", stream, 1, 10, NULL), 0);
	settle(j);
	assert_int_equal(journal_turn(j), deadline + SEAL_PAUSE_NS); /* at most one a second */
	kill_it(j);
}

static void test_many_segments(void **state)
{
	struct journal_config c = config();
	struct journal *j;
	struct stream_state s;
	struct journal_stream a;
	struct journal_stream b;

	(void)state;
	c.segment_size = 2 * SEGMENT_SIZE_MIN;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	b = open_stream(j, "b", &s);
	for (int i = 0; i < 600; i++) {
		append_ok(j, "a", a, 1, 4000);
		if (i % 100 == 7)
			append_ok(j, "b", b, 3, 100);
		if (i % 3 == 0)
			settle(j);
	}
	settle(j);
	assert_true(names() > 5);
	assert_true(j->store.snapshot_index > 1 && j->store.snapshot_old_index != 0);
	kill_it(j);
	for (int i = 0; i < 2; i++) {
		j = open_with(&c);
		assert_int_equal(last_of(j, "a"), 600);
		assert_int_equal(last_of(j, "b"), 18);
		assert_int_equal(journal_next_record(j), 619);
		settle(j);
		if (i == 0)
			kill_it(j);
		else
			stop_it(j);
	}
}

static void test_retention(void **state)
{
	struct journal_config c = config();
	struct journal *j;
	struct stream_state s;
	struct journal_stream a;
	struct journal_info info;

	(void)state;
	c.keep_bytes = 6 * SEGMENT_SIZE_MIN;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	for (int i = 0; i < 2000; i++) {
		append_ok(j, "a", a, 1, 4000);
		if (i % 3 == 0)
			settle(j);
	}
	settle(j);
	journal_info(j, &info);
	assert_true(info.first_record > 1000);
	assert_true(door.reused != 0);
	assert_true(names() < 12);
	kill_it(j);
	j = open_with(&c);
	assert_int_equal(last_of(j, "a"), 2000);
	journal_info(j, &info);
	assert_true(info.first_record > 1000);
	assert_int_equal(info.first_record + info.records, 2001);
	kill_it(j);
}

static void test_streams_max(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream;
	struct stream_id id = named("eleventh");
	char name[16];

	(void)state;
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		append_ok(j, name, open_stream(j, name, &s), 1, 10);
	}
	assert_int_equal(journal_stream_open(j, &id, false, &stream, &s), -EBUSY);
	settle(j);
	kill_it(j);
	j = open_it();
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		assert_int_equal(last_of(j, name), 1);
	}
	assert_int_equal(journal_stream_open(j, &id, false, &stream, &s), -EBUSY);
	kill_it(j);
}

static void test_forget(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream;
	struct stream_id id = named("e");

	(void)state;
	for (int i = 0; i < 30; i++) { /* three times the table */
		assert_int_equal(journal_stream_open(j, &id, true, &stream, &s), 0);
		assert_int_equal(s.last, 0);
		append_ok(j, "e", stream, 2, 10);
		assert_int_equal(journal_stream_forget(j, stream), -EBUSY); /* not durable yet */
		settle(j);
		assert_int_equal(journal_stream_forget(j, stream), 0);
		journal_stream_close(j, stream);
		id.bytes[1] = 'e';
	}
	settle(j);
	assert_int_equal(j->streams.known, 0);
	kill_it(j);
	j = open_it();
	assert_int_equal(j->streams.known, 0);
	assert_int_equal(journal_next_record(j), 61);
	kill_it(j);
}

static void test_damage_is_refused(void **state)
{
	struct journal *j = open_it();
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);
	struct failure why = { 0 };
	char name[200];
	FILE *file;
	unsigned before;

	(void)state;
	assert_int_equal(append(j, "a", stream, 3, 100, NULL), 0);
	settle(j);
	stop_it(j);
	snprintf(name, sizeof(name), "%s/00000000000000000001.seg", path);
	file = fopen(name, "r+");
	assert_non_null(file);
	fseek(file, 8192 + BATCH_HEADER_SIZE + 50, SEEK_SET); /* the first message of the second commit block */
	fputc('!', file);
	fclose(file);
	before = names();
	assert_int_equal(journal_open(&c, &door, &j, &why), -EINVAL);
	assert_int_equal(why.status, EXIT_DATA);
	assert_non_null(strstr(why.text, "00000000000000000001.seg offset 8320: record "));
	assert_int_equal(names(), before);
}

/* The snapshot covers it: the server starts, as often as it likes; what is lost is for verify and read to say. */
static void loss_below_the_snapshot(bool header)
{
	struct journal *j;
	struct stream_state s;
	char name[200];
	FILE *file;

	for (int i = 0; i < 3; i++) {
		j = open_it();
		append_ok(j, "a", open_stream(j, "a", &s), 3, 100);
		settle(j);
		stop_it(j);
	}
	snprintf(name, sizeof(name), "%s/00000000000000000001.seg", path);
	file = fopen(name, "r+");
	assert_non_null(file);
	for (int i = 0; i < 4096 && header; i++)
		fputc(0, file);
	fclose(file);
	if (!header)
		assert_int_equal(truncate(name, 4096), 0);
	for (int i = 0; i < 3; i++) {
		j = open_it();
		assert_int_equal(last_of(j, "a"), 9);
		settle(j);
		stop_it(j);
	}
	assert_int_equal(access(name, F_OK), 0);
}

static void test_bad_header_below_the_snapshot(void **state)
{
	(void)state;
	loss_below_the_snapshot(true);
}

static void test_no_batches_below_the_snapshot(void **state)
{
	(void)state;
	loss_below_the_snapshot(false);
}

static void test_one_server(void **state)
{
	struct journal *j = open_it();
	struct journal_config c = config();
	struct journal *second;
	struct failure why = { 0 };
	char pid[32];

	(void)state;
	assert_true(journal_open(&c, &door, &second, &why) < 0);
	assert_int_equal(why.status, EXIT_CREATE);
	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(why.text, pid));
	kill_it(j);
}

static void test_empty_starts_leave_nothing(void **state)
{
	unsigned count = 0;

	(void)state;
	for (int i = 0; i < 30; i++) {
		struct journal *j = open_it();

		settle(j);
		kill_it(j);
		if (i == 1)
			count = names();
	}
	assert_int_equal(names(), count);
}

static void test_sizes_that_do_not_fit(void **state)
{
	static const struct {
		const char *name;
		uint64_t segment_size;
		uint32_t message_max;
	} rows[] = {
		{ "segment too small", SEGMENT_SIZE_MIN - 1, 100 },
		{ "segment too large", SEGMENT_SIZE_MAX + 1, 100 },
		{ "message above segment", SEGMENT_SIZE_MIN, 1 << 20 },
		{ "message above staging", DEFAULT_SEGMENT_SIZE, 8 << 20 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct journal_config c = config();
		struct failure why = { 0 };
		struct journal *j;

		c.segment_size = rows[i].segment_size;
		c.message_max = rows[i].message_max;
		if (journal_open(&c, &door, &j, &why) == 0 || why.status != EXIT_USAGE)
			fail_msg("%s", rows[i].name);
		assert_int_not_equal(access(path, F_OK), 0); /* nothing was made */
	}
}

/* What a snapshot covers counts as durable: it must not be written before it is. */
static void test_snapshot_waits_for_durable(void **state)
{
	struct journal *j = open_it();
	struct stream_state s;
	struct journal_stream stream = open_stream(j, "a", &s);
	uint64_t index;

	(void)state;
	settle(j); /* a spare is there */
	index = j->store.current.index;
	while (j->store.current.index == index)
		assert_int_equal(append(j, "a", stream, 1, 4000, NULL), 0);
	assert_true(j->store.snapshot_pending);
	for (int i = 0; i < 200; i++) {
		journal_turn(j); /* its write stays in flight */
		assert_int_not_equal(j->store.job_running ? j->store.job.kind : JOB_NONE,
				     JOB_SNAPSHOT);
		if (door.job != NULL)
			finish_job(j);
	}
	assert_int_equal(j->store.snapshot_index, 0);
	settle(j);
	assert_int_equal(j->store.snapshot_index, index);
	kill_it(j);
}

static void test_volatile(void **state)
{
	struct journal_config c = config();
	struct journal *j;
	struct stream_state s;
	uint64_t record = 0;

	(void)state;
	c.path = NULL;
	j = open_with(&c);
	assert_int_equal(append(j, "a", open_stream(j, "a", &s), 5, 10, &record), 0);
	assert_int_equal(record, 5);
	assert_int_equal(journal_durable(j), 5);
	assert_true(journal_turn(j) == NEVER_NS);
	assert_true(journal_stopped(j));
	journal_close(j);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(durable_only_when_written),
		ROW(order_and_fences),
		ROW(newest_says_if_ephemeral),
		ROW(gap_survives),
		ROW(staging_full),
		ROW(failed_write_is_final),
		ROW(written_but_not_claimed_is_copied),
		ROW(seal),
		ROW(many_segments),
		ROW(retention),
		ROW(streams_max),
		ROW(forget),
		ROW(damage_is_refused),
		ROW(bad_header_below_the_snapshot),
		ROW(no_batches_below_the_snapshot),
		ROW(one_server),
		ROW(empty_starts_leave_nothing),
		ROW(sizes_that_do_not_fit),
		ROW(snapshot_waits_for_durable),
		ROW(volatile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
