#include "journal/verify.h"

#include "base/failure.h"
#include "journal/journal_build.h"
#include "journal/reader.h"

struct lines {
	char text[20000];
	size_t size;
};

static void keep_line(void *context, const char *text)
{
	struct lines *lines = context;
	int size = snprintf(lines->text + lines->size, sizeof(lines->text) - lines->size, "%s\n",
			    text);

	assert_true(size > 0 && lines->size + (size_t)size < sizeof(lines->text));
	assert_null(strchr(text, '\n'));
	lines->size += (size_t)size;
}

static int verify(const char *path, struct lines *lines, struct failure *why)
{
	lines->size = 0;
	lines->text[0] = '\0';
	memset(why, 0, sizeof(*why));
	return journal_verify(path, keep_line, lines, why);
}

static void has(const struct lines *lines, const char *text)
{
	if (strstr(lines->text, text) == NULL)
		fail_msg("'%s' is not in\n%s", text, lines->text);
}

static void expect_good(const struct build *b, const char *text)
{
	struct lines lines;
	struct failure why;

	if (verify(b->path, &lines, &why) != 0)
		fail_msg("%s\n%s", lines.text, why.text);
	has(&lines, text);
	has(&lines, "no damage");
}

static void expect_damage(const struct build *b, const char *text)
{
	struct lines lines;
	struct failure why;

	assert_int_equal(verify(b->path, &lines, &why), -EBADMSG);
	assert_int_equal(why.status, EXIT_DATA);
	has(&lines, text);
	assert_null(strstr(lines.text, "no damage"));
}

static void three_segments(struct build *b)
{
	build_segment(b, 1);
	build_one(b, 0, 3, 10); /* 1-3 */
	b->durable = 3;
	build_one(b, 1, 2, 0); /* 4-5 */
	build_save(b, 1);
	b->durable = 5;
	build_segment(b, 2);
	build_one(b, 0, 1, 5000); /* 6 */
	b->durable = 6;
	build_batch(b, 0, 2, 100); /* 7-8 */
	build_batch(b, 1, 1, 1);   /* 9 */
	build_commit(b);
	build_save(b, 1);
	b->durable = 9;
	build_segment(b, 3);
	build_one(b, 2, 4, 20); /* 10-13 */
	build_seal(b);
	build_save(b, 1);
}

static void a_good_journal(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	three_segments(&b);
	build_segment(&b, 4);
	build_save(&b, 5);
	expect_good(&b, "00000000000000000001.seg: records 1..5, 16384 bytes, ok\n"
			"00000000000000000002.seg: records 6..9, 20480 bytes, ok\n"
			"00000000000000000003.seg: records 10..13, 16384 bytes, ok\n"
			"00000000000000000004.seg: 24576 bytes, unused\n"
			"13 records in 4 segments, 77824 bytes, no damage\n");
	build_lock(&b, 13);
	expect_good(&b, "13 records in 4 segments");
	/* The number is a promise. */
	build_lock(&b, 14);
	expect_damage(&b,
		      "damage: segment 00000000000000000003.seg offset 12288: record 14: zeros");
	build_deinit(&b);
}

static void nothing_to_verify(void **state)
{
	struct build b;
	struct lines lines;
	struct failure why;

	(void)state;
	build_init(&b);
	assert_true(verify("/none", &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_NO_INPUT);
	assert_true(verify(b.path, &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_NO_INPUT);
	build_lock(&b, 0);
	expect_good(&b, "0 records in 0 segments, 0 bytes, no damage");
	build_deinit(&b);
}

static void dead_segments_are_no_damage(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_one(&b, 0, 1, 10); /* 4: dead */
	build_save(&b, 1);
	b.durable = 3;
	build_segment(&b, 2);
	build_one(&b, 0, 1, 10); /* 5: dead with its segment */
	build_save(&b, 1);
	b.record = 4;
	b.seq[0] = 0;
	b.h[0] = 0;
	build_segment(&b, 3);
	build_one(&b, 1, 1, 10);
	build_save(&b, 1);
	build_flip(&b, 1, b.batches[1].offset + 130, 1);
	build_flip(&b, 2, b.batches[2].offset + 130, 1);
	expect_good(&b, "00000000000000000001.seg: records 1..3, 16384 bytes, ok\n"
			"00000000000000000002.seg: 12288 bytes, dead\n"
			"00000000000000000003.seg: record 4, 12288 bytes, ok\n"
			"4 records in 3 segments");
	build_deinit(&b);
}

/* Every damaged place is told, and what comes behind is still checked. */
static void all_places_are_told(void **state)
{
	struct build b;
	struct lines lines;
	struct failure why;

	(void)state;
	build_init(&b);
	three_segments(&b);
	build_flip(&b, 1, b.batches[0].offset + 5, 1);
	build_flip(&b, 2, b.batches[3].offset + 130, 1);
	build_flip(&b, 3, 20, 1);
	build_lock(&b, 13);
	assert_int_equal(verify(b.path, &lines, &why), -EBADMSG);
	assert_string_equal(
		lines.text,
		"damage: segment 00000000000000000001.seg offset 4096: "
		"records 1..3: batch header: checksum\n"
		"00000000000000000001.seg: records 4..5, 16384 bytes, damaged\n"
		"damage: segment 00000000000000000002.seg offset 12416: "
		"record 7: frame checksum\n"
		"damage: segment 00000000000000000003.seg offset 0: "
		"records 10..13: segment header: checksum\n"
		"00000000000000000002.seg: records 6..9, 20480 bytes, damaged\n"
		"00000000000000000003.seg: 16384 bytes, segment header: checksum\n");
	assert_non_null(
		strstr(why.text, "3 places, 8 records missing; 5 good records in 3 segments"));
	build_deinit(&b);
}

static void expect_summary(const struct build *b, const char *lines_text, const char *summary)
{
	struct lines lines;
	struct failure why;

	assert_int_equal(verify(b->path, &lines, &why), -EBADMSG);
	has(&lines, lines_text);
	if (strstr(why.text, summary) == NULL)
		fail_msg("'%s' is not in '%s'", summary, why.text);
}

/* Frames by their own places and numbers; those that are good count, also behind the damage. Repair loses as many. */
static void damaged_frames(void **state)
{
	struct build b;
	const uint64_t frames = 2 * BUILD_BLOCK + BATCH_HEADER_SIZE;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);  /* 1-3 */
	build_one(&b, 0, 20, 10); /* 4-23, 18 bytes each */
	build_save(&b, 1);
	b.durable = 23;
	build_segment(&b, 2);
	build_save(&b, 2);
	build_lock(&b, 23);
	build_flip(&b, 1, frames + 4 * 18, 1);
	build_flip(&b, 1, frames + 9 * 18 + 9, 1);
	build_flip(&b, 1, frames + 10 * 18 + 9, 1);
	expect_summary(&b,
		       "damage: segment 00000000000000000001.seg offset 8392: record 8: frame "
		       "checksum\n"
		       "damage: segment 00000000000000000001.seg offset 8482: records 13..14: "
		       "frame checksum\n"
		       "00000000000000000001.seg: records 1..23, 16384 bytes, damaged\n"
		       "00000000000000000002.seg: 12288 bytes, unused\n",
		       "2 places, 3 records missing; 20 good records in 2 segments");
	build_deinit(&b);
}

/* How many are missing where a header is bad follows from what was promised; a spare behind it is one. */
static void a_damaged_batch_at_the_end(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_one(&b, 0, 20, 10);
	build_save(&b, 1);
	build_segment(&b, 2);
	build_save(&b, 2);
	build_lock(&b, 23);
	build_flip(&b, 1, 2 * BUILD_BLOCK + 1, 1);
	expect_summary(&b,
		       "damage: segment 00000000000000000001.seg offset 8192: records 4..23: no "
		       "batch header here\n"
		       "00000000000000000001.seg: records 1..3, 16384 bytes, damaged\n"
		       "00000000000000000002.seg: 12288 bytes, unused\n",
		       "1 place, 20 records missing; 3 good records in 2 segments");
	build_deinit(&b);
}

static void a_damaged_seal(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_seal(&b);
	b.durable = 3;
	build_one(&b, 0, 2, 10);
	build_save(&b, 0);
	build_lock(&b, 5);
	build_flip(&b, 1, 2 * BUILD_BLOCK + 1, 1);
	expect_summary(&b,
		       "offset 8192: record 4: no batch header here; no record is missing "
		       "here\n",
		       "1 place, 0 records missing; 5 good records in 1 segment");
	build_deinit(&b);
}

static void a_missing_segment(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	three_segments(&b);
	segment_name(2, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_summary(&b, "offset 12288: records 6..9: zeros, and segment 2 is missing\n",
		       "1 place, 4 records missing; 9 good records in 2 segments");
	build_deinit(&b);
}

/* Every bit that is promised: never "no damage" with fewer records. */
static void one_bit_anywhere(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 3);
	b.durable = 2;
	build_batch(&b, 0, 1, 2);
	build_batch(&b, 1, 1, 5);
	build_commit(&b);
	build_seal(&b);
	build_save(&b, 1);
	for (unsigned k = 0; k + 1 < b.batch_count; k++) {
		for (uint64_t at = b.batches[k].offset; at < b.batches[k].end; at++) {
			uint64_t offset;
			char text[200];

			(void)build_frame_at(&b.batches[k], at, &offset);
			snprintf(text, sizeof(text),
				 "damage: segment 00000000000000000001.seg offset %llu: record",
				 (unsigned long long)offset);
			build_flip(&b, 1, at, (uint8_t)(1u << at % 8));
			expect_damage(&b, text);
			build_flip(&b, 1, at, (uint8_t)(1u << at % 8));
		}
	}
	for (uint64_t at = 0; at < SEGMENT_HEADER_SIZE; at++) {
		build_flip(&b, 1, at, 1);
		expect_damage(&b, "damage: segment 00000000000000000001.seg offset 0: record");
		build_flip(&b, 1, at, 1);
	}
	expect_good(&b, "4 records in 1 segment");
	build_deinit(&b);
}

static void streams_must_go_on(void **state)
{
	static const struct {
		const char *name;
		uint64_t seq; /* of the batch behind number 3 of stream 0 */
		uint32_t h_xor;
		uint32_t flags;
		uint64_t gap_last;
		const char *text; /* NULL: good */
	} rows[] = {
		{ "goes on", 4, 0, 0, 0, NULL },
		{ "skips", 5, 0, 0, 0, "number 5 follows number 3" },
		{ "again", 3, 0, 0, 0, "number 3 follows number 3" },
		{ "history", 4, 1, 0, 0, "does not go on with the history checksum" },
		{ "begins anew", 1, 0, 0, 0, "history checksum" },
		{ "gap", 9, 0, BATCH_GAP, 3, NULL },
		{ "gap from elsewhere", 9, 0, BATCH_GAP, 4, "a gap after number 4, but the last one is 3" },
		{ "gap after forgetting", 9, 0, BATCH_GAP | BATCH_EPHEMERAL, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct build b;

		print_message("%s\n", rows[i].name);
		build_init(&b);
		build_segment(&b, 1);
		b.flags = rows[i].flags & BATCH_EPHEMERAL;
		build_one(&b, 0, 3, 10);
		b.seq[0] = rows[i].seq - 1;
		b.h[0] ^= rows[i].h_xor;
		b.flags = rows[i].flags;
		b.gap_last = rows[i].gap_last;
		build_one(&b, 0, 1, 10);
		build_save(&b, 1);
		if (rows[i].text == NULL)
			expect_good(&b, (rows[i].flags & BATCH_GAP) != 0
						? "with a recorded gap"
						: "4 records");
		else
			expect_damage(&b, rows[i].text);
		build_deinit(&b);
	}
}

static void snapshots_are_compared(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_one(&b, 1, 1, 10);
	build_save(&b, 0);
	build_snapshot(&b, NAME_SNAPSHOT_OLD, 1);
	b.durable = 4;
	build_segment(&b, 2);
	build_one(&b, 0, 1, 10);
	build_save(&b, 0);
	build_snapshot(&b, NAME_SNAPSHOT, 2);
	b.durable = 5;
	build_segment(&b, 3);
	build_one(&b, 1, 1, 10);
	build_save(&b, 1);
	expect_good(&b, "streams.snap.old: 2 streams up to record 4, ok");
	expect_good(&b, "streams.snap: 2 streams up to record 5, ok");
	/* One that says something else. */
	b.seq[0]++;
	b.record = 6;
	b.batch_count--; /* record 6 is none of its own */
	build_snapshot(&b, NAME_SNAPSHOT, 2);
	expect_damage(&b,
		      "damage: streams.snap: stream 80000000000000000000000000000001: number 5");
	b.seq[0]--;
	build_snapshot(&b, NAME_SNAPSHOT, 2);
	/* Not needed, not valid: told, but no damage. */
	build_file(&b, NAME_SNAPSHOT, "x", 1);
	expect_good(&b, "streams.snap: not valid");
	/* The first segment given up: the older snapshot is where it begins. */
	segment_name(1, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_good(&b, "2 records in 2 segments");
	/* ... and needed. */
	build_file(&b, NAME_SNAPSHOT_OLD, "x", 1);
	expect_damage(
		&b,
		"damage: "
		"records 1..4: the first segments are gone, and no valid snapshot covers them");
	build_deinit(&b);
}

/* What opening refuses, verify finds: also where the records begin behind the snapshot, and nothing else says what the streams are. */
static void snapshots_make_sense(void **state)
{
	const struct stream_id id = build_stream(0);
	struct {
		const char *name;
		struct snapshot_entry entries[2];
		unsigned count;
		const char *text; /* NULL: it makes sense */
	} rows[] = {
		{ "good", { { .stream = id, .last_seq = 3, .record = 3 } }, 1, NULL },
		{ "highest", { { .stream = id, .last_seq = SEQ_MAX, .record = 3 } }, 1, NULL },
		{ "number 0", { { .stream = id, .record = 3 } }, 1, "an entry makes no sense" },
		{ "no number",
		  { { .stream = id, .last_seq = (uint64_t)SEQ_MAX + 1, .record = 3 } },
		  1,
		  "an entry makes no sense" },
		{ "record 0", { { .stream = id, .last_seq = 3 } }, 1, "an entry makes no sense" },
		{ "a later record",
		  { { .stream = id, .last_seq = 3, .record = 4 } },
		  1,
		  "an entry makes no sense" },
		{ "twice",
		  { { .stream = id, .last_seq = 3, .record = 3 },
		    { .stream = id, .last_seq = 3, .record = 3 } },
		  2,
		  "it is there twice" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char all[200];
		struct build b;

		build_init(&b);
		b.record = 4;
		build_snapshot_of(&b, NAME_SNAPSHOT, 1, rows[i].entries, rows[i].count);
		b.durable = 3;
		build_segment(&b, 2);
		build_one(&b, 1, 1, 10);
		build_save(&b, 0);
		snprintf(all, sizeof(all),
			 "damage: streams.snap: stream 80000000000000000000000000000001: %s",
			 rows[i].text != NULL ? rows[i].text : "");
		if (rows[i].text == NULL)
			expect_good(&b, "where the records begin");
		else
			expect_damage(&b, all);
		build_deinit(&b);
	}
}

/* The first kept segment yields nothing any more: its records have not been given up, though a snapshot covers them. */
static void a_first_segment_without_batches(void **state)
{
	static const struct {
		const char *name;
		bool seal_before; /* it began at the same record as the next one, and held none */
		const char *text; /* NULL: good */
	} rows[] = {
		{ "held records", false,
		  "segment 00000000000000000002.seg offset 0: records 4..5: no batch header "
		  "is whole" },
		{ "held none", true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct build b;

		print_message("%s\n", rows[i].name);
		build_init(&b);
		build_segment(&b, 1);
		build_one(&b, 0, 3, 10);
		build_snapshot(&b, NAME_SNAPSHOT_OLD, 1);
		build_segment(&b, 2);
		if (rows[i].seal_before)
			build_seal(&b);
		else
			build_one(&b, 0, 2, 10);
		build_snapshot(&b, NAME_SNAPSHOT, rows[i].seal_before ? 1 : 2);
		build_save_size(&b, BUILD_BLOCK);
		b.durable = b.record - 1;
		build_segment(&b, 3);
		build_one(&b, 0, 1, 10);
		build_save(&b, 1);
		if (rows[i].text == NULL) {
			expect_good(&b, "1 record in 2 segments");
			expect_good(&b, "00000000000000000002.seg: 4096 bytes, unused\n");
		} else {
			expect_damage(&b, rows[i].text);
			expect_damage(
				&b,
				"00000000000000000002.seg: 4096 bytes, no batch header is whole\n");
		}
		build_deinit(&b);
	}
}

/* A segment in which nothing is found is a spare only when no record is missing that may have stood there. */
static void a_later_segment_without_batches(void **state)
{
	static const struct {
		const char *name;
		bool covered;    /* by a snapshot */
		bool followed;   /* by a segment with records */
		uint64_t number; /* in the lock file, 0 none */
		const char *line;
	} rows[] = {
		{ "held records", false, true, 0, "no batch header is whole" },
		{ "held records that a snapshot covers", true, true, 0, "no batch header is whole" },
		{ "the last one held records", false, false, 5, "no batch header is whole" },
		{ "a spare", false, false, 3, "unused" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char line[100];
		struct build b;

		print_message("%s\n", rows[i].name);
		build_init(&b);
		build_segment(&b, 1);
		build_one(&b, 0, 3, 10);
		build_save(&b, 0);
		build_segment(&b, 2);
		build_one(&b, 0, 2, 10);
		build_save_size(&b, BUILD_BLOCK);
		if (rows[i].covered)
			build_snapshot(&b, NAME_SNAPSHOT, 2);
		b.durable = 5;
		build_segment(&b, 3);
		build_one(&b, 0, 1, 10);
		if (rows[i].followed)
			build_save(&b, 1);
		if (rows[i].number != 0)
			build_lock(&b, rows[i].number);
		snprintf(line, sizeof(line), "00000000000000000002.seg: 4096 bytes, %s\n",
			 rows[i].line);
		if (rows[i].number == 3) {
			expect_good(&b, line);
		} else {
			expect_damage(&b, "records 4..5: end of file");
			expect_damage(&b, line);
		}
		build_deinit(&b);
	}
}

/* Nothing is found in the only segment, and records were promised. */
static void the_only_segment_without_batches(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_save(&b, 1);
	expect_good(&b, "00000000000000000001.seg: 8192 bytes, unused\n");
	build_lock(&b, 2);
	expect_damage(&b, "00000000000000000001.seg: 8192 bytes, no batch header is whole\n");
	build_deinit(&b);
}

/* One with another number than the record that comes next is none that a server has written: here nothing claims what is behind it. */
static void a_seal_in_a_wrong_place(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	b.durable = 3;
	build_wrong_seal(&b, 6);
	build_one(&b, 0, 1, 10);
	build_save(&b, 1);
	expect_good(&b, "3 records in 1 segment");
	build_deinit(&b);
}

/* Opening would take the snapshot's journal for the right one, and refuse the segments. */
static void a_snapshot_of_another_journal(void **state)
{
	struct build b;
	struct snapshot_header header;
	uint8_t data[SNAPSHOT_HEADER_SIZE];
	int file;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 0);
	build_snapshot(&b, NAME_SNAPSHOT, 1);
	build_segment(&b, 2);
	build_save(&b, 0);
	expect_good(&b, "streams.snap: 1 stream up to record 3, ok");
	assert_int_equal(file_open(b.directory, NAME_SNAPSHOT, FILE_WRITE, &file), 0);
	assert_int_equal(file_read(file, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(snapshot_header_decode(data, sizeof(data), &header), FORMAT_OK);
	header.journal_id[15] ^= 1;
	snapshot_header_encode(data, &header);
	assert_int_equal(file_write(file, data, sizeof(data), 0), 0);
	file_close(file);
	expect_damage(&b, "damage: streams.snap: belongs to another journal");
	build_deinit(&b);
}

/* The stream's first kept batch must go on where the snapshot says. */
static void the_seam_behind_a_snapshot(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 0);
	build_snapshot(&b, NAME_SNAPSHOT, 1);
	b.durable = 3;
	b.seq[0]++;
	build_segment(&b, 2);
	build_one(&b, 0, 1, 10);
	build_save(&b, 0);
	segment_name(1, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_damage(&b, "number 5 follows number 3");
	build_deinit(&b);
}

static void remove_segment(struct build *b, uint64_t index)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(index, name);
	assert_int_equal(file_remove(b->directory, name), 0);
}

/* Behind a snapshot there is always a segment; opening refuses without one, though it may have held nothing. */
static void the_segment_behind_a_snapshot(void **state)
{
	struct build b;
	int file;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 0);
	build_segment(&b, 2);
	build_one(&b, 0, 2, 10);
	build_save(&b, 0);
	build_snapshot(&b, NAME_SNAPSHOT_OLD, 1);
	build_snapshot(&b, NAME_SNAPSHOT, 2);
	build_segment(&b, 3);
	build_save(&b, 1);
	build_lock(&b, 5);
	expect_good(&b, "5 records in 3 segments");
	remove_segment(&b, 3);
	expect_damage(&b, "damage: record 6: there is a snapshot, but no segment behind it\n");
	/* A server may be making it. */
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_WRITE, &file), 0);
	assert_int_equal(file_lock(file, true), 0);
	expect_good(&b, "5 records in 2 segments");
	file_close(file);
	/* The older snapshot alone has one behind it. */
	assert_int_equal(file_remove(b.directory, NAME_SNAPSHOT), 0);
	expect_good(&b, "5 records in 2 segments");
	remove_segment(&b, 1);
	remove_segment(&b, 2);
	build_lock(&b, 0);
	expect_damage(&b, "there is a snapshot, but no segment behind it\n");
	build_deinit(&b);
}

/* The first segment has index 1, and records or a seal: it does not go without a trace. */
static void unused_segments_alone(void **state)
{
	struct build b;
	int file;

	(void)state;
	build_init(&b);
	build_segment(&b, 2);
	build_save(&b, 1);
	expect_damage(&b, "damage: record 1: the first segments are gone");
	build_lock(&b, 0);
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_WRITE, &file), 0);
	assert_int_equal(file_lock(file, true), 0);
	expect_good(&b, "0 records in 1 segment");
	file_close(file);
	build_segment(&b, 1);
	build_save(&b, 1);
	expect_good(&b, "0 records in 2 segments");
	build_deinit(&b);
}

static void beside_a_server(void **state)
{
	struct build b;
	int file;

	(void)state;
	build_init(&b);
	three_segments(&b);
	build_lock(&b, 6);
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_WRITE, &file), 0);
	assert_int_equal(file_lock(file, true), 0);
	expect_good(&b, "6 records in 3 segments");
	/* What is not promised yet may look as it likes. */
	build_flip(&b, 2, b.batches[3].offset + 130, 1);
	expect_good(&b, "6 records in 3 segments");
	build_flip(&b, 2, b.batches[2].offset + 130, 1);
	expect_damage(&b, "record 6: frame checksum");
	file_close(file);
	build_deinit(&b);
}

/* A server is there, and its lock file says nothing yet: it is opening, after a power cut perhaps. What headers claim is promised all
 * the same. */
static void beside_a_server_without_a_number(void **state)
{
	static const uint8_t nothing[LOCK_SIZE];
	struct build b;
	int file;

	(void)state;
	build_init(&b);
	three_segments(&b);
	build_file(&b, NAME_LOCK, nothing, sizeof(nothing));
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_WRITE, &file), 0);
	assert_int_equal(file_lock(file, true), 0);
	expect_good(&b, "13 records in 3 segments");
	build_flip(&b, 1, b.batches[0].offset + 130, 1);
	expect_damage(&b, "offset 4224: record 1: frame checksum");
	file_close(file);
	build_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_journal),
		cmocka_unit_test(nothing_to_verify),
		cmocka_unit_test(dead_segments_are_no_damage),
		cmocka_unit_test(all_places_are_told),
		cmocka_unit_test(damaged_frames),
		cmocka_unit_test(a_damaged_batch_at_the_end),
		cmocka_unit_test(a_damaged_seal),
		cmocka_unit_test(a_missing_segment),
		cmocka_unit_test(one_bit_anywhere),
		cmocka_unit_test(streams_must_go_on),
		cmocka_unit_test(snapshots_are_compared),
		cmocka_unit_test(snapshots_make_sense),
		cmocka_unit_test(a_first_segment_without_batches),
		cmocka_unit_test(a_later_segment_without_batches),
		cmocka_unit_test(the_only_segment_without_batches),
		cmocka_unit_test(a_seal_in_a_wrong_place),
		cmocka_unit_test(a_snapshot_of_another_journal),
		cmocka_unit_test(the_seam_behind_a_snapshot),
		cmocka_unit_test(the_segment_behind_a_snapshot),
		cmocka_unit_test(unused_segments_alone),
		cmocka_unit_test(beside_a_server),
		cmocka_unit_test(beside_a_server_without_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
