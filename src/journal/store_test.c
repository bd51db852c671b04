/* What the store of segments must not do again: each test is a defect that it has had, most of them a wait without end. Files are
 * real; the disk is full, and a rename fails, when the test says so (linked with --wrap, see meson.build). */
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "journal/journal_build.h"
#include "journal/journal_testing.h"

/* Last. */
#include "base/test.h"

static int reserve_error; /* errno that reserving room fails with; 0: it works */
static int rename_error;
static uint64_t kept_index;        /* the segment that nobody may delete; 0: none */
static uint64_t unflushed_without; /* flushing the directory fails when this segment has gone; 0: it works */

int __real_file_reserve(int file, uint64_t size);
int __wrap_file_reserve(int file, uint64_t size);
int __real_file_flush_directory(int dir);
int __wrap_file_flush_directory(int dir);
int __real_file_remove(int dir, const char *name);
int __wrap_file_remove(int dir, const char *name);
int __real_file_rename(int dir, const char *from, const char *to, bool replace);
int __wrap_file_rename(int dir, const char *from, const char *to, bool replace);

int __wrap_file_reserve(int file, uint64_t size)
{
	return reserve_error != 0 ? -reserve_error : __real_file_reserve(file, size);
}

static bool is_kept(const char *name)
{
	return kept_index != 0 && segment_index_of_name(name) == kept_index;
}

int __wrap_file_remove(int dir, const char *name)
{
	return is_kept(name) ? -EPERM : __real_file_remove(dir, name);
}

int __wrap_file_rename(int dir, const char *from, const char *to, bool replace)
{
	if (is_kept(from))
		return -EPERM;
	return rename_error != 0 ? -rename_error : __real_file_rename(dir, from, to, replace);
}

/* --- helpers */

static int set_up_store(void **state)
{
	reserve_error = 0;
	rename_error = 0;
	kept_index = 0;
	unflushed_without = 0;
	return set_up(state);
}

static void segment_path(uint64_t index, char ret[200])
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(index, name);
	snprintf(ret, 200, "%s/%s", path, name);
}

static bool segment_exists(uint64_t index)
{
	char name[200];

	segment_path(index, name);
	return access(name, F_OK) == 0;
}

int __wrap_file_flush_directory(int dir)
{
	return unflushed_without != 0 && !segment_exists(unflushed_without)
		       ? -EIO
		       : __real_file_flush_directory(dir);
}

/* Large messages, until `count` more segments are full. */
static void fill_segments(struct journal *j, const char *name, struct journal_stream stream,
			  uint64_t count)
{
	uint64_t end = j->store.current.index + count;

	while (j->store.current.index < end)
		append_ok(j, name, stream, 1, 4000);
	settle(j);
}

/* The disk has no room for another segment, and the journal has learned of it. */
static void fill_disk(struct journal *j, const char *name, struct journal_stream stream)
{
	reserve_error = ENOSPC;
	for (int i = 0; i < 400 && !j->store.full; i++) {
		(void)append(j, name, stream, 1, 4000, NULL);
		settle(j);
	}
	assert_true(j->store.full);
}

/* Appends and completes what there is to complete, until a job of this kind has been started. It is not run. */
static void reach_job(struct journal *j, const char *name, struct journal_stream stream,
		      enum job_kind kind)
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
			(void)append(j, name, stream, 1, 4000, NULL);
	}
	fail_msg("the job is never started");
}

static bool give_up(void *context)
{
	(void)context;
	return true;
}

/* --- tests */

/* Each turn of a full journal had a deadline in the past, so that the loop span until the disk had room. */
static void test_full_disk_is_waited_for_asleep(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;

	(void)state;
	c.keep_age_ns = 1000 * SECOND_NS; /* so that retention has a time to look at, too */
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	fill_segments(j, "a", a, 3);
	fill_disk(j, "a", a);
	for (int i = 0; i < 5; i++) {
		door.now += 3 * SECOND_NS;
		settle(j);
		assert_true(journal_turn(j) > door.now);
	}
	kill_it(j);
}

/* Nothing was deleted for its age while the journal was full: it tried to make a segment for ever, which only deleting could help. */
static void test_retention_by_age_goes_on_when_full(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j = open_it();

	(void)state;
	fill_segments(j, "a", open_stream(j, "a", &s), 4);
	stop_it(j);
	c.keep_age_ns = 1; /* all are old now, and none can be reused: an earlier process has made them */
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	assert_true(segment_exists(1));
	fill_disk(j, "a", a);
	for (int i = 0; i < 10; i++) {
		door.now += SECOND_NS;
		settle(j);
	}
	assert_true(j->store.full);
	assert_false(segment_exists(1));
	reserve_error = 0;
	door.now += SECOND_NS;
	append_ok(j, "a", a, 1, 10);
	kill_it(j);
}

/* On a full disk opening deleted the one segment behind the snapshot, as unused; the next opening took its absence for damage. */
static void test_opening_on_a_full_disk_keeps_what_the_snapshot_needs(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j = open_it();
	struct failure why = { 0 };
	uint64_t last;

	(void)state;
	a = open_stream(j, "a", &s);
	settle(j);
	reserve_error = ENOSPC; /* so no spare behind the second segment */
	while (j->store.current.index == 1)
		if (append(j, "a", a, 1, 4000, NULL) != 0) {
			journal_turn(j);
			finish_write(j, 0);
		}
	last = j->store.closing_last;
	/* The first segment is durable and gets its snapshot, of the second one nothing is ever written. */
	for (int i = 0; i < 10; i++) {
		journal_turn(j);
		if (door.write_count != 0 &&
		    ((struct staging *)door.writes[0])->segment_index == 1)
			finish_write(j, 0);
		if (door.job != NULL)
			finish_job(j);
		door.now += SECOND_NS;
	}
	assert_int_equal(journal_durable(j), last);
	assert_int_equal(j->store.snapshot_index, 1);
	assert_true(segment_exists(2) && !segment_exists(3));
	kill_it(j);

	c.stop = give_up;
	assert_int_equal(journal_open(&c, &door, &j, &why), -EINTR);
	assert_true(segment_exists(2));
	reserve_error = 0;
	j = open_it();
	assert_int_equal(last_of(j, "a"), last);
	kill_it(j);
}

static unsigned deleted_open;

/* Also counts the segments that are deleted and still open, whose room nobody has. */
static bool give_up_and_count(void *context)
{
	char at[300];
	char target[300];
	DIR *list = opendir("/proc/self/fd");

	(void)context;
	deleted_open = 0;
	assert_non_null(list);
	for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
		snprintf(at, sizeof(at), "/proc/self/fd/%s", entry->d_name);
		ssize_t size = readlink(at, target, sizeof(target) - 1);
		target[size > 0 ? size : 0] = '\0';
		deleted_open += strstr(target, ".seg (deleted)") != NULL;
	}
	closedir(list);
	return true;
}

/* The unused spare was deleted for its room, and kept open, so that the room was never had: opening waited for ever. */
static void test_opening_on_a_full_disk_gives_the_spare_back(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal *j = open_it();
	struct failure why = { 0 };
	unsigned before;

	(void)state;
	append_ok(j, "a", open_stream(j, "a", &s), 1, 10);
	settle(j);
	assert_true(segment_exists(2));
	kill_it(j);
	reserve_error = ENOSPC;
	c.stop = give_up_and_count;
	give_up_and_count(NULL);
	before = deleted_open;
	assert_int_equal(journal_open(&c, &door, &j, &why), -EINTR);
	assert_false(segment_exists(2));
	assert_int_equal(deleted_open, before);
	reserve_error = 0;
	kill_it(open_it());
}

/* That the spare's name could not be flushed away passed for a full disk, and the directory was flushed a second time. */
static void test_opening_on_a_full_disk_flushes_once(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal *j = open_it();
	struct failure why = { 0 };

	(void)state;
	append_ok(j, "a", open_stream(j, "a", &s), 1, 10);
	settle(j);
	assert_true(segment_exists(2));
	kill_it(j);
	reserve_error = ENOSPC;
	c.stop = give_up;
	unflushed_without = 2;
	assert_int_equal(journal_open(&c, &door, &j, &why), -EIO);
	assert_int_equal(why.status, EXIT_IO);
	assert_non_null(strstr(why.text, "delete an unused segment: Input/output error"));
	unflushed_without = 0;
	reserve_error = 0;
	kill_it(open_it());
}

/* A segment that held nothing but ends of streams was never closed, so none after the next one could be begun. */
static void test_segment_of_ends_only_is_closed(void **state)
{
	enum { STREAMS = 200 }; /* a block each: about three segments full */
	struct journal_config c = config();
	struct journal_stream streams[STREAMS];
	struct stream_state s;
	struct journal *j;
	char name[16];

	(void)state;
	c.streams_max = c.connections_max = STREAMS + 1;
	j = open_with(&c);
	for (int i = 0; i < STREAMS; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		streams[i] = open_ephemeral(j, name, &s);
		append_ok(j, name, streams[i], 1, 10);
	}
	settle(j);
	for (int i = 0; i < STREAMS; i++) {
		assert_int_equal(journal_stream_forget(j, streams[i]), 0);
		settle(j);
	}
	append_ok(j, "a", open_stream(j, "a", &s), 1, 10);
	kill_it(j);
}

/* Who waits until the full segment is closed has to learn when it is: nothing else may be under way that would tell. */
static void test_closing_a_segment_is_progress(void **state)
{
	struct stream_state s;
	struct journal *j = open_it();
	struct journal_stream a = open_stream(j, "a", &s);
	uint64_t progress;

	(void)state;
	reach_job(j, "a", a, JOB_CLOSE);
	assert_true(j->store.spare_ready);
	while (append(j, "a", a, 1, 4000, NULL) == 0) {
		journal_turn(j);
		finish_write(j, 0);
	}
	journal_turn(j);
	assert_int_equal(door.write_count, 0);
	assert_int_equal(append(j, "a", a, 1, 4000, NULL), -ENOBUFS);
	progress = journal_progress(j);
	finish_job(j);
	assert_true(journal_progress(j) != progress);
	assert_int_equal(append(j, "a", a, 1, 4000, NULL), 0);
	settle(j);
	kill_it(j);
}

/* The end of a stream was in flight when the process was killed, and lands when the next one has read its place already. */
static void test_end_that_lands_late_ends_nothing(void **state)
{
	struct stream_state s;
	struct journal *j = open_it();
	struct journal_stream e = open_ephemeral(j, "e", &s);
	struct io_write late;
	uint8_t *data;
	char name[200];
	int file;

	(void)state;
	assert_int_equal(append(j, "e", e, 2, 10, NULL), 0);
	settle(j);
	door.now += SECOND_NS;
	settle(j); /* sealed */
	assert_int_equal(journal_stream_forget(j, e), 0);
	journal_turn(j);
	assert_int_equal(door.write_count, 1);
	late = *door.writes[0];
	data = malloc(late.size);
	assert_non_null(data);
	memcpy(data, late.data, late.size);
	segment_path(j->store.current.index, name);
	file = open(name, O_RDWR);
	assert_true(file >= 0);
	kill_it(j);

	j = open_it();
	e = open_ephemeral(j, "e", &s);
	assert_int_equal(s.last, 2);
	assert_int_equal(file_write(file, data, late.size, late.offset), 0);
	file_close(file);
	free(data);
	assert_int_equal(append(j, "e", e, 1, 10, NULL), 0);
	journal_turn(j);
	finish_write(j, 0); /* acknowledged */
	kill_it(j);

	j = open_it();
	(void)open_ephemeral(j, "e", &s);
	assert_int_equal(s.last, 3);
	kill_it(j);
}

/* An end that nothing claims was heeded by the next opening, but not carried over: the one after that brought the stream back. */
static void test_end_survives_openings(void **state)
{
	struct stream_state s;
	struct journal *j = open_it();
	struct journal_stream e = open_ephemeral(j, "e", &s);

	(void)state;
	assert_int_equal(append(j, "e", e, 2, 10, NULL), 0);
	settle(j);
	door.now += SECOND_NS;
	settle(j); /* sealed */
	assert_int_equal(journal_stream_forget(j, e), 0);
	journal_turn(j);
	finish_write(j, 0);
	kill_it(j);
	for (int i = 0; i < 3; i++) {
		j = open_it();
		(void)open_ephemeral(j, "e", &s);
		assert_int_equal(s.last, 0);
		kill_it(j);
	}
}

/* A sender that says EPHEMERAL for a stream that is not could end it. When the end then found no room in any commit, what came next
 * began anew in the table, but not on the disk: damage. */
static void test_named_stream_cannot_be_ended(void **state)
{
	struct stream_state s;
	struct journal *j = open_it();
	struct journal_stream a = open_stream(j, "a", &s);
	struct journal_stream b = open_stream(j, "b", &s);

	(void)state;
	append_ok(j, "a", a, 1, 10);
	settle(j);
	journal_stream_close(j, a);
	a = open_ephemeral(j, "a", &s);
	assert_false(s.ephemeral);
	while (append(j, "b", b, 1, 4000, NULL) == 0)
		if (door.write_count == 0)
			journal_turn(j);
	assert_int_equal(journal_stream_forget(j, a), -EPERM);
	journal_stream_state(j, a, &s);
	assert_int_equal(s.last, 1);
	append_ok(j, "a", a, 1, 10);
	settle(j);
	kill_it(j);
	j = open_it();
	assert_int_equal(last_of(j, "a"), 2);
	kill_it(j);
}

/* A stream that was forgotten for its age, and begins anew with a gap, was damage to opening: only number 1 was a beginning. */
static void test_forgotten_stream_may_begin_with_a_gap(void **state)
{
	const struct streams_age all = { .now_ns = UINT64_MAX,
					 .ephemeral_too = true,
					 .ephemeral_age_ns = EPHEMERAL_AGE_NS };
	struct stream_state s;
	struct journal *j = open_it();
	struct journal_stream e = open_ephemeral(j, "e", &s);

	(void)state;
	append_ok(j, "e", e, 20, 5);
	settle(j);
	journal_stream_close(j, e);
	assert_int_equal(streams_forget_old(&j->streams, &all), 1);
	e = open_ephemeral(j, "e", &s);
	assert_int_equal(s.last, 0);
	assert_int_equal(append_gap(j, "e", e, 10), 0); /* below the last one of its former life */
	settle(j);
	stop_it(j);
	j = open_it();
	(void)open_ephemeral(j, "e", &s);
	assert_int_equal(s.last, 10);
	kill_it(j);
}

/* Opening kept the file of every segment open. */
static void test_opening_needs_few_descriptors(void **state)
{
	enum { SEGMENTS = 340,
	       DESCRIPTORS = 300 };
	struct journal_config c = config();
	struct rlimit usual;
	struct rlimit few;
	struct build *b = malloc(sizeof(*b));
	struct journal *j = NULL;
	struct failure why = { 0 };
	int error;

	(void)state;
	assert_non_null(b);
	build_init(b);
	for (unsigned i = 1; i <= SEGMENTS; i++) {
		build_segment(b, i);
		b->batch_count = 0; /* the builder remembers fewer than these */
		b->durable = b->record - 1;
		build_one(b, 0, 1, 10);
		build_save(b, 0);
	}
	c.path = b->path;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
	few = usual;
	few.rlim_cur = DESCRIPTORS;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	error = journal_open(&c, &door, &j, &why);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
	if (error != 0)
		fail_msg("%s", why.text);
	assert_int_equal(journal_next_record(j), SEGMENTS + 1);
	kill_it(j);
	build_deinit(b);
	free(b);
}

/* A reuse that failed before the old name was gone took the segment off the list, so that it stayed on the disk for ever, with a hole
 * behind it once the next ones were deleted. */
static void test_reuse_that_fails_leaves_no_hole(void **state)
{
	struct journal_config c = config();
	struct stream_state s;
	struct journal_stream a;
	struct journal *j;
	struct journal_info info;
	uint64_t old;
	uint64_t last;

	(void)state;
	c.keep_bytes = 6 * SEGMENT_SIZE_MIN;
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	reach_job(j, "a", a, JOB_REUSE);
	old = j->store.job.old_index;
	rename_error = EIO;
	finish_job(j);
	rename_error = 0;
	assert_true(segment_exists(old));
	assert_int_equal(j->store.list[j->store.list_start].index, old);
	door.now += 2 * SECOND_NS;
	fill_segments(j, "a", a, 8);
	assert_false(segment_exists(old));
	journal_stream_state(j, a, &s);
	last = s.last;
	stop_it(j);
	j = open_with(&c);
	assert_int_equal(last_of(j, "a"), last);
	journal_info(j, &info);
	assert_int_equal(info.first_record + info.records, last + 1);
	kill_it(j);
}

/* Deletes and makes what is due; an hour later is like a second later here. */
static void fill_segments_for_hours(struct journal *j, struct journal_stream stream, uint64_t count)
{
	uint64_t end = j->store.current.index + count;

	for (int i = 0; i < 20000 && j->store.current.index < end; i++) {
		int result = append(j, "a", stream, 1, 4000, NULL);

		assert_true(result == 0 || result == -ENOBUFS);
		settle(j);
		if (result != 0)
			door.now += 3600 * SECOND_NS;
	}
	assert_true(j->store.current.index >= end);
}

/* The oldest segment can not be deleted: that was tried again each second, and no spare was made meanwhile, so that senders waited for
 * ever. It is said once, what cannot go stays, and so does what came after it. */
static void test_what_can_not_be_deleted_holds_nobody_up(void **state)
{
	static const struct {
		const char *name;
		bool mine; /* it would be turned into the next spare */
		const char *text;
	} rows[] = {
		{ "of an earlier process", false, "delete old segment" },
		{ "our own", true, "rename old segment" },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct journal_config c = config();
		struct stream_state s;
		struct journal_stream a;
		struct journal *j;
		enum journal_notice_kind kind;
		struct failure notice;
		uint64_t last;

		print_message("%s\n", rows[i].name);
		c.keep_bytes = 6 * SEGMENT_SIZE_MIN;
		j = open_with(&c);
		if (!rows[i].mine) {
			fill_segments(j, "a", open_stream(j, "a", &s), 4);
			stop_it(j);
			j = open_with(&c);
		}
		a = open_stream(j, "a", &s);
		kept_index = j->store.list_count != 0 ? j->store.list[0].index : 1;
		fill_segments_for_hours(j, a, 20);
		assert_true(segment_exists(kept_index));
		assert_int_equal(journal_notice(j, &kind, &notice), 1);
		assert_int_equal(kind, JOURNAL_TROUBLE);
		assert_non_null(strstr(notice.text, rows[i].text));
		assert_int_equal(journal_notice(j, &kind, &notice), 0);
		assert_true(segment_exists(kept_index + 1)); /* or there would be a hole */

		kept_index = 0; /* now it goes, and all behind it that is too much */
		door.now += 2 * SECOND_NS;
		for (int n = 0; n < 40; n++) {
			append_ok(j, "a", a, 1, 10);
			settle(j);
		}
		assert_true(j->store.list_bytes < c.keep_bytes);
		journal_stream_state(j, a, &s);
		last = s.last;
		stop_it(j);
		j = open_with(&c);
		assert_int_equal(last_of(j, "a"), last);
		kill_it(j);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up_store(state), 0);
	}
}

/* The list of segments was packed too late: with fewer than half of its places retired it could fill up, and no segment was ever begun
 * again. */
static void test_full_list_is_packed(void **state)
{
	struct stream_state s;
	struct journal *j = open_it();
	struct journal_stream a = open_stream(j, "a", &s);
	struct store *store = &j->store;
	enum journal_notice_kind kind;
	struct failure notice;
	uint32_t count;

	(void)state;
	fill_segments(j, "a", a, 5);
	/* As after STORE_SEGMENTS_MAX rolls, all but these few retired. */
	count = store->list_count - store->list_start;
	memmove(store->list + STORE_SEGMENTS_MAX - count, store->list + store->list_start,
		count * sizeof(store->list[0]));
	store->list_start = STORE_SEGMENTS_MAX - count;
	store->list_count = STORE_SEGMENTS_MAX;
	fill_segments(j, "a", a, 5);
	assert_int_equal(store->list_start, 0);
	assert_true(store->list_count > count);
	assert_int_equal(journal_notice(j, &kind, &notice), 0);
	kill_it(j);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up_store, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_full_disk_is_waited_for_asleep),
		ROW(test_retention_by_age_goes_on_when_full),
		ROW(test_opening_on_a_full_disk_keeps_what_the_snapshot_needs),
		ROW(test_opening_on_a_full_disk_gives_the_spare_back),
		ROW(test_opening_on_a_full_disk_flushes_once),
		ROW(test_segment_of_ends_only_is_closed),
		ROW(test_closing_a_segment_is_progress),
		ROW(test_end_that_lands_late_ends_nothing),
		ROW(test_end_survives_openings),
		ROW(test_named_stream_cannot_be_ended),
		ROW(test_forgotten_stream_may_begin_with_a_gap),
		ROW(test_opening_needs_few_descriptors),
		ROW(test_reuse_that_fails_leaves_no_hole),
		ROW(test_what_can_not_be_deleted_holds_nobody_up),
		ROW(test_full_list_is_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
