/* What must not be given away too early: segments that keep_bytes still covers, streams whose records are kept, the good one of two
 * snapshots, and who has sent a message. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "clock/clock.h"
#include "journal/journal_testing.h"
#include "journal/reader.h"
#include "journal/verify.h"

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

/* --- what is damaged */

static void count_line(void *context, const char *text)
{
	(void)text;
	++*(unsigned *)context;
}

static int verify_it(void)
{
	struct failure why = { 0 };
	unsigned lines = 0;

	return journal_verify(path, count_line, &lines, &why);
}

/* A segment that lost all of its batches looks like an unused spare, but none stands between segments that the snapshot covers. */
static void a_covered_segment_without_batches_stays(void **state)
{
	enum { FROM = COMMIT_BLOCK_MIN };
	struct stream_state s;
	struct journal *j = open_it();
	char name[SEGMENT_NAME_SIZE];
	char whole[200];

	(void)state;
	fill_segments(j, "a", open_stream(j, "a", &s), 5);
	assert_true(j->store.snapshot_index >= 4);
	stop_it(j);
	assert_int_equal(verify_it(), 0);
	segment_name(3, name);
	file_path(name, whole);
	assert_int_equal(truncate(whole, FROM), 0);
	assert_int_equal(truncate(whole, SEGMENT_SIZE_MIN), 0);
	assert_int_equal(verify_it(), -EBADMSG);
	for (int i = 0; i < 2; i++) {
		stop_it(open_it());
		assert_true(segment_exists(3));
		assert_int_equal(verify_it(), -EBADMSG);
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
	c.keep_bytes = 4 * SEGMENT_SIZE_MIN; /* with a spare among them */
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

/* --- the good one of two snapshots */

struct kept_file {
	uint8_t bytes[8192];
	int64_t size; /* -1: it is not there */
};

static void read_file(const char *name, struct kept_file *ret)
{
	char whole[200];
	int file;

	memset(ret, 0, sizeof(*ret));
	ret->size = -1;
	file_path(name, whole);
	file = open(whole, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return;
	ret->size = file_read(file, ret->bytes, sizeof(ret->bytes), 0);
	assert_in_range(ret->size, 1, sizeof(ret->bytes) - 1);
	file_close(file);
}

static bool is_same(const struct kept_file *a, const struct kept_file *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static void damage_header(const char *whole)
{
	int file = open(whole, O_RDWR | O_CLOEXEC);

	assert_true(file >= 0);
	assert_int_equal(file_write(file, "damaged", 7, 0), 0);
	file_close(file);
}

static void damage_entries(const char *whole)
{
	int file = open(whole, O_RDWR | O_CLOEXEC);

	assert_true(file >= 0);
	assert_int_equal(file_write(file, "damaged", 7, SNAPSHOT_HEADER_SIZE + 20), 0);
	file_close(file);
}

static void cut_short(const char *whole)
{
	assert_int_equal(truncate(whole, SNAPSHOT_HEADER_SIZE), 0);
}

static void take_away(const char *whole)
{
	assert_int_equal(unlink(whole), 0);
}

static void leave_alone(const char *whole)
{
	(void)whole;
}

static uint64_t covered_by(const struct kept_file *snapshot)
{
	struct snapshot_header header;

	assert_int_equal(
		snapshot_header_decode(snapshot->bytes, (size_t)snapshot->size, &header),
		FORMAT_OK);
	return header.segment_index;
}

static bool snapshot_is_valid(const struct journal *j, const char *name)
{
	struct snapshot_file snapshot;

	assert_int_equal(snapshot_read(j->store.directory, name, &snapshot), 0);
	free(snapshot.entries);
	return snapshot.valid;
}

/* The bad one goes when the next is written, the good older one stays until there are two good ones again. */
static void a_bad_snapshot_replaces_no_good_one(void **state)
{
	static const struct {
		const char *name;
		void (*harm)(const char *whole); /* to the newest */
		bool is_bad;
	} rows[] = {
		{ "whole", leave_alone, false },
		{ "bad header", damage_header, true },
		{ "bad entries", damage_entries, true },
		{ "cut short", cut_short, true },
		{ "missing", take_away, true },
	};
	static struct kept_file older, newest, now;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct journal_config c = config();
		struct journal_stream a;
		struct stream_state s;
		struct journal *j = open_with(&c);
		char whole[200];
		uint64_t last;

		print_message("%s\n", rows[i].name);
		a = open_stream(j, "a", &s);
		fill_segments(j, "a", a, 3);
		journal_stream_state(j, a, &s);
		last = s.last;
		kill_it(j);
		read_file(NAME_SNAPSHOT_OLD, &older);
		read_file(NAME_SNAPSHOT, &newest);
		assert_true(older.size > 0 && newest.size > 0 && !is_same(&older, &newest));
		file_path(NAME_SNAPSHOT, whole);
		rows[i].harm(whole);

		j = open_with(&c);
		/* What retention goes by: never more than each of the two on the disk covers. */
		assert_int_equal(j->store.snapshot_index,
				 covered_by(rows[i].is_bad ? &older : &newest));
		assert_int_equal(j->store.snapshot_old_index,
				 rows[i].is_bad ? 0 : covered_by(&older));
		assert_int_equal(last_of(j, "a"), last);
		a = open_stream(j, "a", &s);
		for (int n = 0; n < 20000 && !j->store.snapshot_pending; n++)
			append_ok(j, "a", a, 1, MESSAGE);
		settle(j); /* one is written */
		assert_false(j->store.snapshot_pending);
		read_file(NAME_SNAPSHOT_OLD, &now);
		assert_true(is_same(&now, rows[i].is_bad ? &older : &newest));
		assert_true(snapshot_is_valid(j, NAME_SNAPSHOT));
		read_file(NAME_SNAPSHOT, &newest);
		fill_segments(j, "a", a, 1); /* and the next: now both are good, and change places as ever */
		read_file(NAME_SNAPSHOT_OLD, &now);
		assert_true(is_same(&now, &newest));
		assert_true(snapshot_is_valid(j, NAME_SNAPSHOT));
		kill_it(j);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up_kept(state), 0);
	}
}

/* --- who has sent it */

static void append_from(struct journal *j, struct journal_stream stream, const struct peer *peer)
{
	struct stream_id id = named("a");
	struct stream_state s;
	struct frame_header header = { 0 };
	uint8_t frame[FRAME_HEADER_SIZE];
	struct journal_batch batch = { .stream = stream,
				       .count = 1,
				       .protocol = PROTOCOL_NATIVE,
				       .peer = *peer,
				       .frames = frame,
				       .frames_size = sizeof(frame) };
	uint64_t record;

	journal_stream_state(j, stream, &s);
	batch.first_seq = s.last + 1;
	batch.h_before = s.h;
	header.checksum = frame_checksum(frame_seed(&id), batch.first_seq, 0, NULL);
	frame_put_header(frame, header);
	batch.h_after = history_next(s.h, header.checksum);
	assert_int_equal(journal_append(j, &batch, &record), 0);
}

/* A batch has one peer: what the same stream brings from another one, in the same commit, is a batch of its own. */
static void each_message_has_its_peer(void **state)
{
	static const struct peer first = { PEER_IPV4, 1000, { 127, 0, 0, 1 } };
	static const struct {
		const char *name;
		struct peer second;
		unsigned count; /* messages of the first batch */
	} rows[] = {
		{ "same", { PEER_IPV4, 1000, { 127, 0, 0, 1 } }, 2 },
		{ "another port", { PEER_IPV4, 1001, { 127, 0, 0, 1 } }, 1 },
		{ "another address", { PEER_IPV4, 1000, { 127, 0, 0, 2 } }, 1 },
		{ "another family", { PEER_IPV6, 1000, { 127, 0, 0, 1 } }, 1 },
		{ "none", { 0 }, 1 },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct batch_header header;
		const struct staging *commit;
		struct failure why = { 0 };
		struct reader *reader;
		struct record record;
		struct stream_state s;
		struct journal *j = open_it();
		struct journal_stream a = open_stream(j, "a", &s);

		print_message("%s\n", rows[i].name);
		append_from(j, a, &first);
		append_from(j, a, &rows[i].second);
		journal_turn(j);
		assert_int_equal(door.write_count, 1);
		commit = (const struct staging *)door.writes[0];
		assert_int_equal(batch_header_decode(commit->memory, commit->size, commit->salt,
						     commit->segment_index, &header),
				 FORMAT_OK);
		assert_int_equal(header.count, rows[i].count);
		settle(j);
		stop_it(j);
		assert_int_equal(reader_open(path, 1, &reader, &why), 0);
		assert_int_equal(reader_next(reader, &record, &why), 1);
		assert_true(record.seq == 1 && peer_equal(&record.peer, &first));
		assert_int_equal(reader_next(reader, &record, &why), 1);
		assert_true(record.seq == 2 && peer_equal(&record.peer, &rows[i].second));
		assert_int_equal(reader_next(reader, &record, &why), 0);
		reader_close(reader);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up_kept(state), 0);
	}
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up_kept, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(what_keep_bytes_covers_stays),
		ROW(a_covered_segment_without_batches_stays),
		ROW(a_stream_with_kept_records_is_not_forgotten),
		ROW(a_bad_snapshot_replaces_no_good_one),
		ROW(each_message_has_its_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
