/* What opening makes of journals as they may be found: those that it must take, and those that it must refuse with the place and the
 * reason, changing nothing. Journals are built by hand. */
#include "journal/journal_build.h"
#include "journal/journal_testing.h"

#include "journal/reader.h"

static struct build b;

static const char first_segment[] = "00000000000000000001.seg";
static const char second_segment[] = "00000000000000000002.seg";
static const char third_segment[] = "00000000000000000003.seg";

static void remove_file(const char *name)
{
	assert_int_equal(file_remove(b.directory, name), 0);
}

/* Records 1 to 3 in segment 1, 4 and 5 in segment 2, behind each a snapshot; 6 in segment 3. Claimed: up to 5. */
static void build_three(void)
{
	build_segment(&b, 1);
	build_one(&b, 0, 2, 100);
	build_one(&b, 1, 1, 100);
	build_save(&b, 1);
	build_snapshot(&b, NAME_SNAPSHOT_OLD, 1);
	b.durable = b.record - 1;
	build_segment(&b, 2);
	build_one(&b, 0, 1, 100);
	build_one(&b, 1, 1, 100);
	build_save(&b, 1);
	build_snapshot(&b, NAME_SNAPSHOT, 2);
	b.durable = b.record - 1;
	build_segment(&b, 3);
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
}

static void without_snapshots(void)
{
	build_three();
	remove_file(NAME_SNAPSHOT);
	remove_file(NAME_SNAPSHOT_OLD);
}

/* The names are the wrong way round, as after a power cut between two renames. */
static void snapshots_swapped(void)
{
	build_three();
	assert_int_equal(file_rename(b.directory, NAME_SNAPSHOT, "x", false), 0);
	assert_int_equal(file_rename(b.directory, NAME_SNAPSHOT_OLD, NAME_SNAPSHOT, false), 0);
	assert_int_equal(file_rename(b.directory, "x", NAME_SNAPSHOT_OLD, false), 0);
}

static void only_older_snapshot(void)
{
	build_three();
	remove_file(NAME_SNAPSHOT);
}

static void bytes_behind_snapshot(void)
{
	uint8_t data[SNAPSHOT_HEADER_SIZE + SNAPSHOT_ENTRY_SIZE + 1] = { 0 };
	struct snapshot_header header = { .segment_index = 2, .record = 5, .count = 1 };

	build_three();
	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	header.entries_checksum = crc32c(0, data + SNAPSHOT_HEADER_SIZE, SNAPSHOT_ENTRY_SIZE);
	snapshot_header_encode(data, &header);
	build_file(&b, NAME_SNAPSHOT, data, sizeof(data));
}

static void write_snapshot(const struct snapshot_entry *entries, uint64_t count)
{
	uint8_t data[SNAPSHOT_HEADER_SIZE + 4 * SNAPSHOT_ENTRY_SIZE];
	struct snapshot_header header = { .segment_index = 2, .record = 5, .count = count };
	uint8_t *at = data + SNAPSHOT_HEADER_SIZE;

	for (uint64_t i = 0; i < count; i++, at += SNAPSHOT_ENTRY_SIZE)
		snapshot_entry_encode(at, &entries[i]);
	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	header.entries_checksum =
		crc32c(0, data + SNAPSHOT_HEADER_SIZE, count * SNAPSHOT_ENTRY_SIZE);
	snapshot_header_encode(data, &header);
	build_file(&b, NAME_SNAPSHOT, data, (size_t)(at - data));
}

static void snapshot_says_twice(void)
{
	struct snapshot_entry twice[2] = {
		{ .stream = build_stream(0), .last_seq = 3, .record = 3 },
		{ .stream = build_stream(0), .last_seq = 3, .record = 3 }
	};

	build_three();
	write_snapshot(twice, 2);
}

static void snapshot_says_number_0(void)
{
	struct snapshot_entry entry = { .stream = build_stream(0), .record = 3 };

	build_three();
	write_snapshot(&entry, 1);
}

static void snapshot_says_too_much(void)
{
	struct snapshot_entry entry = { .stream = build_stream(0),
					.last_seq = (uint64_t)SEQ_MAX + 1,
					.record = 3 };

	build_three();
	write_snapshot(&entry, 1);
}

static void snapshot_says_record_0(void)
{
	struct snapshot_entry entry = { .stream = build_stream(0), .last_seq = 3 };

	build_three();
	write_snapshot(&entry, 1);
}

/* A client would be told of a record that nothing covers. */
static void snapshot_says_later_record(void)
{
	struct snapshot_entry entry = { .stream = build_stream(0), .last_seq = 3, .record = 6 };

	build_three();
	write_snapshot(&entry, 1);
}

static void first_segment_gone(void)
{
	without_snapshots();
	remove_file(first_segment);
}

static void first_segment_rightly_gone(void)
{
	build_three();
	remove_file(first_segment);
}

/* Nothing claims what is missing; but the snapshot ends before it. */
static void more_gone_than_the_snapshot_covers(void)
{
	build_segment(&b, 1);
	build_one(&b, 0, 3, 100);
	build_save(&b, 1);
	build_snapshot(&b, NAME_SNAPSHOT, 1);
	build_segment(&b, 2);
	build_one(&b, 0, 2, 100); /* 4-5: not saved */
	build_segment(&b, 3);
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
	remove_file(first_segment);
}

static void middle_segment_gone(void)
{
	without_snapshots();
	remove_file(second_segment);
}

static void nothing_behind_snapshot(void)
{
	build_three();
	remove_file(third_segment);
}

static void of_another_journal(void)
{
	struct segment_header header;
	uint8_t block[BUILD_BLOCK];
	int file;

	without_snapshots();
	assert_int_equal(file_open(b.directory, second_segment, FILE_WRITE, &file), 0);
	assert_int_equal(file_read(file, block, sizeof(block), 0), sizeof(block));
	assert_int_equal(segment_header_decode(block, sizeof(block), &header), FORMAT_OK);
	header.journal_id[3] ^= 1;
	memset(block, 0, sizeof(block));
	segment_header_encode(block, &header);
	assert_int_equal(file_write(file, block, sizeof(block), 0), 0);
	file_close(file);
}

static void older_snapshot_of_another_journal(void)
{
	struct snapshot_header header;
	uint8_t data[SNAPSHOT_HEADER_SIZE];
	int file;

	build_three();
	assert_int_equal(file_open(b.directory, NAME_SNAPSHOT_OLD, FILE_WRITE, &file), 0);
	assert_int_equal(file_read(file, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(snapshot_header_decode(data, sizeof(data), &header), FORMAT_OK);
	header.journal_id[15] ^= 1;
	snapshot_header_encode(data, &header);
	assert_int_equal(file_write(file, data, sizeof(data), 0), 0);
	file_close(file);
}

static void bad_last_header(void)
{
	without_snapshots();
	build_flip(&b, 3, 30, 1);
}

static void does_not_follow(void)
{
	without_snapshots();
	b.seq[0]++;
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
}

static void history_does_not_follow(void)
{
	without_snapshots();
	b.h[0]++;
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
}

static void gap_does_not_follow(void)
{
	without_snapshots();
	b.seq[0] += 5;
	b.flags = BATCH_GAP;
	b.gap_last = 1;
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
}

static void gap_follows(void)
{
	without_snapshots();
	b.flags = BATCH_GAP;
	b.gap_last = b.seq[0];
	b.seq[0] += 5;
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
}

/* Segment 3 holds a seal, and the last records are those that the snapshot covers. */
static void only_seal_behind_snapshot(void)
{
	build_three();
	b.record = 6;
	build_segment(&b, 3);
	build_seal(&b);
	build_save(&b, 1);
}

static void last_covered_is_damaged(void)
{
	only_seal_behind_snapshot();
	build_flip(&b, 2, b.batches[3].offset + BATCH_HEADER_SIZE + 20, 1);
}

static void covered_is_damaged(void)
{
	build_three();
	build_flip(&b, 1, b.batches[0].offset + BATCH_HEADER_SIZE + 20, 1);
}

/* The first messages of an ephemeral stream again, as after it was forgotten for its age. */
static void begins_anew(void)
{
	build_segment(&b, 1);
	b.flags = BATCH_EPHEMERAL;
	build_one(&b, 0, 2, 10);
	b.seq[0] = b.h[0] = 0;
	b.flags = BATCH_EPHEMERAL;
	build_one(&b, 0, 1, 10);
	build_save(&b, 1);
}

static void named_begins_anew(void)
{
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	b.seq[0] = b.h[0] = 0;
	build_one(&b, 0, 1, 10);
	build_save(&b, 1);
}

static void ends_unknown_stream(void)
{
	build_segment(&b, 1);
	build_forget(&b, 5);
	build_one(&b, 0, 1, 10);
	build_save(&b, 1);
}

static void unused_only(void)
{
	build_segment(&b, 1);
	build_save(&b, 4);
}

static void later_unused_only(void)
{
	build_segment(&b, 2);
	build_save(&b, 4);
}

static void not_a_journal(void)
{
	build_file(&b, "README", "hello", 5);
	build_file(&b, "1.seg", "hello", 5);
}

struct row {
	const char *name;
	void (*build)(void);
	uint64_t next;    /* the next record; 0: it is refused */
	const char *text; /* how */
};

static const struct row rows[] = {
	{ "whole", build_three, 7, NULL },
	{ "without snapshots", without_snapshots, 7, NULL },
	{ "snapshots the wrong way round", snapshots_swapped, 7, NULL },
	{ "the newer snapshot is missing", only_older_snapshot, 7, NULL },
	{ "the newer snapshot has a byte too much", bytes_behind_snapshot, 7, NULL },
	{ "a stream twice in a snapshot", snapshot_says_twice, 0, "snapshot: an entry makes no sense" },
	{ "number 0 in a snapshot", snapshot_says_number_0, 0, "snapshot: an entry makes no sense" },
	{ "no number in a snapshot", snapshot_says_too_much, 0, "snapshot: an entry makes no sense" },
	{ "record 0 in a snapshot", snapshot_says_record_0, 0, "snapshot: an entry makes no sense" },
	{ "a record behind a snapshot", snapshot_says_later_record, 0, "snapshot: an entry makes no sense" },
	{ "the first segment gone", first_segment_gone, 0, "its first segments are gone" },
	{ "the first segment given up", first_segment_rightly_gone, 7, NULL },
	{ "more gone than the snapshot covers", more_gone_than_the_snapshot_covers, 0, "records 4..5: their segments are gone" },
	{ "a segment in the middle gone", middle_segment_gone, 0,
	  "1.seg offset 12288: record 4: zeros, and segment 2 is missing; records up to 5" },
	{ "nothing behind the snapshot", nothing_behind_snapshot, 0, "no segment behind it" },
	{ "a segment of another journal", of_another_journal, 0, "00000000000000000002.seg belongs to another journal" },
	{ "an older snapshot of another journal", older_snapshot_of_another_journal, 0, "snapshots belong to different journals" },
	{ "a bad header, nothing behind it", bad_last_header, 0, "00000000000000000003.seg offset 0: segment header" },
	{ "a number left out", does_not_follow, 0, "does not follow from its stream" },
	{ "another history", history_does_not_follow, 0, "does not follow from its stream" },
	{ "a gap from elsewhere", gap_does_not_follow, 0, "does not follow from its stream" },
	{ "a gap", gap_follows, 8, NULL },
	{ "only a seal behind the snapshot", only_seal_behind_snapshot, 6, NULL },
	{ "the last covered record is damaged", last_covered_is_damaged, 0,
	  "00000000000000000002.seg offset 8320: record 5: frame checksum" },
	{ "a covered record is damaged", covered_is_damaged, 7, NULL }, /* found by verify and read */
	{ "an ephemeral stream begins anew", begins_anew, 4, NULL },
	{ "a named stream begins anew", named_begins_anew, 0, "does not follow from its stream" },
	{ "the end of an unknown stream", ends_unknown_stream, 2, NULL },
	{ "an unused segment", unused_only, 1, NULL },
	{ "an unused segment, not the first", later_unused_only, 0, "its first segments are gone" },
	{ "other files", not_a_journal, 1, NULL },
};

/* A checksum over names and contents, whatever the order; without the lock file. */
static int add_file(void *context, const char *name)
{
	static uint8_t bytes[1 << 20];
	uint64_t *sum = context;
	int64_t size;
	int file;

	if (strcmp(name, NAME_LOCK) == 0)
		return 0;
	assert_int_equal(file_open(b.directory, name, FILE_READ, &file), 0);
	size = file_read(file, bytes, sizeof(bytes), 0);
	assert_true(size >= 0);
	file_close(file);
	*sum += crc32c(crc32c(0, name, strlen(name)), bytes, (size_t)size);
	return 0;
}

static uint64_t content(void)
{
	uint64_t sum = 0;

	assert_int_equal(file_list(b.directory, add_file, &sum), 0);
	return sum;
}

static void check_refused(const struct row *row, int error, const struct failure *why,
			  uint64_t before)
{
	if (error == 0 || why->status != EXIT_DATA || strstr(why->text, row->text) == NULL)
		fail_msg("%s: %d: %s", row->name, error, why->text);
	if (content() != before)
		fail_msg("%s: refused, and changed", row->name);
}

static void check_taken(const struct row *row, struct journal *j)
{
	struct stream_state state;

	if (journal_next_record(j) != row->next || journal_durable(j) + 1 != row->next)
		fail_msg("%s: the next is %llu, durable %llu", row->name,
			 (unsigned long long)journal_next_record(j),
			 (unsigned long long)journal_durable(j));
	append_ok(j, "new", open_stream(j, "new", &state), 2, 10);
	stop_it(j);
	j = open_it();
	assert_int_equal(journal_next_record(j), row->next + 2);
	kill_it(j);
}

static void test_opening(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct failure why = { 0 };
		struct journal_config c;
		struct journal *j;
		uint64_t before;
		int error;

		build_init(&b);
		strcpy(path, b.path);
		c = config();
		rows[i].build();
		before = content();
		error = journal_open(&c, &door, &j, &why);
		if (rows[i].next == 0)
			check_refused(&rows[i], error, &why, before);
		else if (error != 0)
			fail_msg("%s: %s", rows[i].name, why.text);
		else
			check_taken(&rows[i], j);
		build_deinit(&b);
	}
}

/* Somebody who reads what no claim covers has the lock for a moment; who keeps it is told of. */
static void test_a_reader_holds_the_lock(void **state)
{
	struct journal_config c;
	struct failure why = { 0 };
	struct journal *j;
	int file;

	(void)state;
	build_init(&b);
	strcpy(path, b.path);
	c = config();
	build_three();
	build_lock(&b, 0);
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_READ, &file), 0);
	assert_int_equal(file_lock(file, false), 0);
	assert_true(journal_open(&c, &door, &j, &why) < 0);
	assert_int_equal(why.status, EXIT_CREATE);
	assert_non_null(strstr(why.text, "a reader holds its lock"));
	assert_int_equal(file_unlock(file), 0);
	file_close(file);
	kill_it(open_it());
	build_deinit(&b);
}

/* A bad header is no damage as long as the claims of a dead segment below say so: opening deletes both, or the next one would refuse. */
static void test_a_bad_header_goes_with_its_excuse(void **state)
{
	(void)state;
	build_init(&b);
	strcpy(path, b.path);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 0);
	b.durable = 3;
	for (uint64_t index = 2; index <= 3; index++) {
		build_segment(&b, index);
		build_seal(&b);
		build_save(&b, 0);
	}
	build_flip(&b, 3, 20, 1);
	build_segment(&b, 4);
	build_one(&b, 0, 1, 10);
	build_save(&b, 0);
	for (int i = 0; i < 3; i++) {
		struct journal *j = open_it();

		assert_int_equal(journal_next_record(j), 5);
		kill_it(j);
	}
	build_deinit(&b);
}

/* keep-free: a number of bytes, a part of the file system, or the default of 5 %, at most 1 GiB. */
static void test_keep_free(void **state)
{
	struct file_space space;
	static const struct {
		uint64_t bytes;
		uint32_t percent;
	} cases[] = { { 12345, 0 }, { 0, 10 }, { 0, 0 }, { UINT64_MAX, 0 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct journal_config c = config();
		uint64_t expected = cases[i].bytes;
		struct journal *j;

		c.keep_free_bytes = cases[i].bytes;
		c.keep_free_percent = cases[i].percent;
		j = open_with(&c);
		assert_int_equal(file_space(j->store.directory, &space), 0);
		if (cases[i].bytes == 0)
			expected = space.total / 100 * cases[i].percent;
		if (cases[i].bytes == UINT64_MAX)
			expected = space.total / 20 < GIB ? space.total / 20 : GIB;
		assert_int_equal(j->store.keep_free, expected);
		kill_it(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_opening, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_reader_holds_the_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_bad_header_goes_with_its_excuse, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_keep_free, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
