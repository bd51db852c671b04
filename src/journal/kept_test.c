/* What must not be given away too early: segments that keep_bytes still covers, streams whose records are kept, the good one of two
 * snapshots, and who has sent a message. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "clock/clock.h"
#include "journal/journal_testing.h"
#include "journal/reader.h"

/* Last. */
#include "base/test.h"

enum { MESSAGE = 4000 };

static uint64_t clock_ahead_ns; /* of the monotonic clock (linked with --wrap, see meson.build) */

uint64_t __real_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void);

uint64_t __wrap_clock_monotonic_ns(void)
{
	return __real_clock_monotonic_ns() + clock_ahead_ns;
}

static int set_up_kept(void **state)
{
	clock_ahead_ns = 0;
	return set_up(state);
}

static void file_path(const char *name, char ret[200])
{
	snprintf(ret, 200, "%s/%s", path, name);
}

/* Asked of the disk: what the store has counted is what is tested here. */
static uint64_t segment_bytes(void)
{
	DIR *list = opendir(path);
	uint64_t bytes = 0;

	assert_non_null(list);
	for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
		struct stat now;

		if (segment_index_of_name(entry->d_name) == 0)
			continue;
		assert_int_equal(fstatat(dirfd(list), entry->d_name, &now, 0), 0);
		bytes += (uint64_t)now.st_size;
	}
	closedir(list);
	return bytes;
}

static bool segment_exists(uint64_t index)
{
	char name[SEGMENT_NAME_SIZE];
	char whole[200];

	segment_name(index, name);
	file_path(name, whole);
	return access(whole, F_OK) == 0;
}

static void fill_segments(struct journal *j, const char *name, struct journal_stream stream,
			  uint64_t count)
{
	uint64_t end = j->store.current.index + count;

	while (j->store.current.index < end)
		append_ok(j, name, stream, 1, MESSAGE);
	settle(j);
}

/* --- retention by size */

/* Appends until `count` more segments are begun, and looks at every job that takes a segment away: was there too much on the disk? */
static unsigned fill_watched(struct journal *j, struct journal_stream stream, uint64_t keep_bytes,
			     uint64_t count)
{
	uint64_t end = j->store.current.index + count;
	unsigned gone = 0;

	for (int i = 0; i < 20000; i++) {
		enum job_kind kind;

		journal_turn(j);
		kind = door.job != NULL ? j->store.job.kind : JOB_NONE;
		if (kind == JOB_RETIRE || kind == JOB_REUSE) {
			uint64_t more = j->store.spare_ready ? 0 : SEGMENT_SIZE_MIN; /* is to come */

			assert_true(segment_bytes() + more > keep_bytes);
			gone++;
		}
		if (door.write_count != 0)
			finish_write(j, 0);
		else if (door.job != NULL)
			finish_job(j);
		else if (j->store.current.index >= end)
			return gone;
		else
			(void)append(j, "a", stream, 1, MESSAGE, NULL);
	}
	fail_msg("the segments are never filled");
	return 0;
}

static void what_keep_bytes_covers_stays(void **state)
{
	static const struct {
		const char *name;
		uint64_t before; /* segments of an earlier process */
		uint64_t keep;   /* segments' worth of bytes, 0: no limit */
		uint64_t count;  /* segments that are filled */
		bool is_reused;  /* what goes is turned into what comes */
		bool any_gone;
	} rows[] = {
		{ "nothing goes while there is less", 0, 20, 14, false, false },
		{ "no limit", 0, 0, 14, false, false },
		{ "the oldest go", 0, 6, 14, true, true },
		{ "what an earlier process has made goes", 14, 6, 1, false, true },
		{ "of an earlier process, and less", 14, 20, 1, false, false },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct journal_config c = config();
		uint64_t keep_bytes = rows[i].keep * SEGMENT_SIZE_MIN;
		struct stream_state s;
		struct journal *j;
		unsigned gone;

		print_message("%s\n", rows[i].name);
		if (rows[i].before != 0) {
			j = open_with(&c);
			fill_segments(j, "a", open_stream(j, "a", &s), rows[i].before);
			stop_it(j);
		}
		door.reused = 0;
		c.keep_bytes = keep_bytes;
		j = open_with(&c);
		gone = fill_watched(j, open_stream(j, "a", &s), keep_bytes, rows[i].count);
		assert_int_equal(gone != 0, rows[i].any_gone);
		assert_int_equal(segment_exists(1), !rows[i].any_gone);
		assert_int_equal(door.reused != 0, rows[i].is_reused);
		if (rows[i].any_gone)
			assert_in_range(segment_bytes(), keep_bytes - 2 * SEGMENT_SIZE_MIN,
					keep_bytes);
		kill_it(j);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up_kept(state), 0);
	}
}

/* --- streams by age */

/* However old: its number, and what has become of its messages, can be asked for as long as any of them is kept. */
static void a_stream_with_kept_records_is_not_forgotten(void **state)
{
	struct journal_config c = config();
	struct stream_id id = named("b");
	struct journal_stream stream;
	struct stream_state s;
	struct journal_stream a, x;
	struct journal *j;

	(void)state;
	c.streams_max = 2;
	c.stream_age_ns = 1;
	c.keep_bytes = 1; /* as little as may be */
	j = open_with(&c);
	a = open_stream(j, "a", &s);
	append_ok(j, "a", a, 1, 10);
	journal_stream_close(j, a);
	x = open_stream(j, "x", &s);
	append_ok(j, "x", x, 1, 10);
	settle(j);
	assert_true(segment_exists(1));
	assert_int_equal(journal_stream_open(j, &id, false, &stream, &s), -EBUSY);
	assert_int_equal(last_of(j, "a"), 1);
	fill_segments(j, "x", x, 1); /* its segment is not the current one any more */
	assert_true(segment_exists(1));
	clock_ahead_ns += 2 * SECOND_NS; /* the table is looked at once a second */
	assert_int_equal(journal_stream_open(j, &id, false, &stream, &s), -EBUSY);
	assert_int_equal(last_of(j, "a"), 1);
	fill_segments(j, "x", x, 4);
	assert_false(segment_exists(1));
	clock_ahead_ns += 2 * SECOND_NS;
	assert_int_equal(journal_stream_open(j, &id, false, &stream, &s), 0);
	assert_int_equal(s.last, 0);
	kill_it(j);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up_kept, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(what_keep_bytes_covers_stays),
		ROW(a_stream_with_kept_records_is_not_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
