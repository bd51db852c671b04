#include <sys/stat.h>

#include "base/failure.h"
#include "journal/journal_build.h"
#include "journal/reader.h"
#include "journal/verify.h"

struct lines {
	char text[20000];
	size_t size;
};

static void keep_line(void *context, const char *text)
{
	struct lines *lines = context;

	lines->size += (size_t)snprintf(lines->text + lines->size,
					sizeof(lines->text) - lines->size, "%s\n", text);
	assert_true(lines->size < sizeof(lines->text));
}

static void has(const struct lines *lines, const char *text)
{
	if (strstr(lines->text, text) == NULL)
		fail_msg("'%s' is not in\n%s", text, lines->text);
}

struct target {
	char path[100];
	struct lines lines;
};

static void repair_fresh(const struct build *b, struct target *t)
{
	struct failure why = { 0 };

	snprintf(t->path, sizeof(t->path), "%s.repaired", b->path);
	t->lines.size = 0;
	t->lines.text[0] = '\0';
	if (journal_repair(b->path, t->path, keep_line, &t->lines, &why) != 0)
		fail_msg("%s", why.text);
}

static void remove_target(struct target *t)
{
	build_remove_all(t->path);
	assert_int_equal(rmdir(t->path), 0);
}

/* The new journal is without damage, and has just the records of which `kept` has the bit (1 << number). */
static void expect_records(struct target *t, uint64_t kept, const char *verified)
{
	struct lines lines = { .size = 0 };
	struct failure why = { 0 };
	struct reader *reader;
	struct record record;
	uint64_t got = 0;
	int result;

	if (journal_verify(t->path, keep_line, &lines, &why) != 0)
		fail_msg("%s\n%s", lines.text, why.text);
	has(&lines, "no damage");
	if (verified != NULL)
		has(&lines, verified);
	assert_int_equal(reader_open(t->path, 0, &reader, &why), 0);
	while ((result = reader_next(reader, &record, &why)) == 1) {
		got |= (uint64_t)1 << record.number;
		for (uint32_t i = 0; i < record.size; i++)
			assert_int_equal(record.payload[i], build_byte(record.number, i));
	}
	assert_int_equal(result, 0);
	reader_close(reader);
	if (got != kept)
		fail_msg("records %llx instead of %llx\n%s", (unsigned long long)got,
			 (unsigned long long)kept, t->lines.text);
}

static void expect(const struct build *b, uint64_t kept, const char *told, const char *verified)
{
	struct target t;

	repair_fresh(b, &t);
	has(&t.lines, told);
	expect_records(&t, kept, verified);
	/* What has been repaired is repaired: doing it again changes nothing. */
	struct build again = *b;
	struct target t2;
	memcpy(again.path, t.path, sizeof(again.path));
	repair_fresh(&again, &t2);
	expect_records(&t2, kept, verified);
	remove_target(&t2);
	remove_target(&t);
}

enum { ALL = 0x3ffe,
       LAST = 13 };

static uint64_t without(uint64_t first, uint64_t last)
{
	uint64_t kept = ALL;

	for (uint64_t i = first; i <= last; i++)
		kept &= ~((uint64_t)1 << i);
	return kept;
}

static void three_segments(struct build *b)
{
	build_segment(b, 1);
	build_one(b, 0, 3, 10); /* 1-3 */
	b->durable = 3;
	build_one(b, 1, 2, 0); /* 4-5 */
	build_save(b, 1);
	build_snapshot(b, NAME_SNAPSHOT_OLD, 1);
	b->durable = 5;
	build_segment(b, 2);
	build_one(b, 0, 1, 5000); /* 6 */
	b->durable = 6;
	build_batch(b, 0, 3, 100); /* 7-9 */
	build_batch(b, 1, 1, 1);   /* 10 */
	build_commit(b);
	build_save(b, 1);
	b->durable = 10;
	build_segment(b, 3);
	build_one(b, 0, 3, 20); /* 11-13 */
	build_seal(b);
	build_save(b, 1);
}

static void nothing_is_lost_of_a_good_journal(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	three_segments(&b);
	expect(&b, ALL, "13 records saved, 0 lost\n", "13 records in 1 segment");
	build_deinit(&b);
}

/* One byte anywhere: only what it belongs to is lost, and FROM stays as it is. */
static void one_byte_anywhere(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	three_segments(&b);
	for (unsigned k = 0; k + 1 < b.batch_count; k++) {
		const struct build_batch *batch = &b.batches[k];
		uint64_t first = batch->header.record;

		for (uint64_t at = batch->offset;
		     at<batch->end; at += at> batch->offset + 400 ? 997 : at % 61 + 7) {
			struct target t;
			struct lines lines = { .size = 0 };
			struct failure why;

			build_flip(&b, batch->index, at, 0x20);
			repair_fresh(&b, &t);
			uint64_t frame = batch->header.bytes / batch->header.count;
			bool in_header = at < batch->offset + BATCH_HEADER_SIZE;
			uint64_t n =
				in_header ? 0 : (at - batch->offset - BATCH_HEADER_SIZE) / frame;
			/* Of a header it is mended; a wrong size hides nothing but its frame. */
			has(&t.lines, in_header ? "offset" : "lost: segment");
			if (in_header)
				has(&t.lines, ": one flipped bit in the header mended\n"
					      "13 records saved, 0 lost\n");
			expect_records(&t, in_header ? ALL : without(first + n, first + n), NULL);
			remove_target(&t);
			assert_int_equal(journal_verify(b.path, keep_line, &lines, &why), -EBADMSG);
			build_flip(&b, batch->index, at, 0x20);
		}
	}
	build_deinit(&b);
}

/* Any bit of a header: whoever salvages does without it, and nobody else does. */
static void one_bit_of_a_header(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	three_segments(&b);
	for (unsigned k = 0; k < b.batch_count; k += 3) {
		for (unsigned bit = 0; bit < 8 * BATCH_HEADER_SIZE; bit += 23) {
			uint64_t at = b.batches[k].offset + bit / 8;
			struct target t;
			char text[150];

			build_flip(&b, b.batches[k].index, at, (uint8_t)(1u << bit % 8));
			repair_fresh(&b, &t);
			snprintf(text, sizeof(text),
				 "segment %020llu.seg offset %llu: one flipped bit in the header "
				 "mended\n13 records saved, 0 lost\n",
				 (unsigned long long)b.batches[k].index,
				 (unsigned long long)b.batches[k].offset);
			assert_string_equal(t.lines.text, text);
			remove_target(&t);
			build_flip(&b, b.batches[k].index, at, (uint8_t)(1u << bit % 8));
		}
	}
	for (unsigned bit = 0; bit < 8 * SEGMENT_HEADER_SIZE; bit += 7) {
		uint64_t index = 1 + bit % 3;
		struct target t;
		char text[150];

		build_flip(&b, index, bit / 8, (uint8_t)(1u << bit % 8));
		repair_fresh(&b, &t);
		snprintf(text, sizeof(text),
			 "segment %020llu.seg offset 0: one flipped bit in the header mended\n"
			 "13 records saved, 0 lost\n",
			 (unsigned long long)index);
		assert_string_equal(t.lines.text, text);
		remove_target(&t);
		build_flip(&b, index, bit / 8, (uint8_t)(1u << bit % 8));
	}
	build_deinit(&b);
}

/* The only batch of a segment: without its header nothing tells that the segment begins there. */
static void the_only_header_of_a_segment(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 0);
	b.durable = 3;
	build_segment(&b, 2);
	build_one(&b, 0, 2, 10);
	build_save(&b, 0);
	b.durable = 5;
	build_segment(&b, 3);
	build_one(&b, 0, 1, 10);
	build_seal(&b);
	build_save(&b, 0);
	build_flip(&b, 2, b.batches[1].offset + 30, 8);
	build_flip(&b, 2, b.batches[1].offset + BATCH_HEADER_SIZE, 8);
	expect(&b, 0x6e,
	       "segment 00000000000000000002.seg offset 4096: one flipped bit in the header "
	       "mended\n"
	       "lost: segment 00000000000000000002.seg offset 4224: record 4: frame checksum\n"
	       "5 records saved, 1 lost\n",
	       NULL);
	build_deinit(&b);
}

/* Sectors of zeros, and frames side by side: what they touch is lost, and is told with its numbers. */
static void several_frames(void **state)
{
	static const uint8_t zeros[512];
	struct build b;
	char name[SEGMENT_NAME_SIZE];
	int file;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 60, 22); /* 1-60, of 30 bytes */
	build_seal(&b);
	build_save(&b, 0);
	segment_name(1, name);
	assert_int_equal(file_open(b.directory, name, FILE_WRITE, &file), 0);
	assert_int_equal(file_write(file, zeros, sizeof(zeros), BUILD_BLOCK + 512), 0);
	file_close(file);
	build_flip(&b, 1, BUILD_BLOCK + BATCH_HEADER_SIZE + 50 * 30 + 2, 1);
	build_flip(&b, 1, BUILD_BLOCK + BATCH_HEADER_SIZE + 51 * 30 + 12, 1);
	/* 384 ... 895 of the frames: 12 (from 0) ... 29 */
	expect(&b, 0x1fe7ffff80001ffe,
	       "lost: segment 00000000000000000001.seg offset 4584: records 13..30: frame "
	       "checksum\n"
	       "lost: segment 00000000000000000001.seg offset 5724: records 51..52: frame "
	       "checksum\n"
	       "40 records saved, 20 lost\n",
	       NULL);
	build_deinit(&b);
}

static void what_is_lost_is_told(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	three_segments(&b);
	/* The middle one of three frames: the stream has a gap there. */
	build_flip(&b, 2, b.batches[3].offset + BATCH_HEADER_SIZE + 108 + 50, 1);
	expect(&b, without(8, 8),
	       "lost: segment 00000000000000000002.seg offset 12524: record 8: frame checksum",
	       "record 9: stream 80000000000000000000000000000001: number 7 follows number 5, "
	       "with a recorded gap");
	expect(&b, without(8, 8), "12 records saved, 1 lost",
	       "record 8: 1 record lost before a repair");
	build_flip(&b, 2, b.batches[3].offset + BATCH_HEADER_SIZE + 108 + 50, 1);
	/* A header inside a commit: only its batch. */
	build_flip(&b, 2, b.batches[4].offset + 20, 3);
	expect(&b, without(10, 10), "record 10: batch header: checksum", NULL);
	build_flip(&b, 2, b.batches[4].offset + 20, 3);
	/* A segment's header, with another segment behind it. */
	build_flip(&b, 2, 20, 3);
	expect(&b, without(6, 10),
	       "00000000000000000002.seg offset 0: records 6..10: segment header: checksum", NULL);
	build_flip(&b, 2, 20, 3);
	/* The last batch, promised by a seal. */
	build_flip(&b, 3, b.batches[5].offset + 20, 3);
	expect(&b, without(11, 13),
	       "00000000000000000003.seg offset 4096: records 11..13: batch header", NULL);
	build_flip(&b, 3, b.batches[5].offset + 20, 3);
	segment_name(2, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect(&b, without(6, 10), "offset 12288: records 6..10: zeros", NULL);
	build_deinit(&b);
}

/* What was given up, and what is lost before the first record. */
static void the_beginning(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	three_segments(&b);
	segment_name(1, name);
	/* A bad header with a snapshot that covers it: the records are lost, what the streams are is not. */
	build_flip(&b, 1, 20, 3);
	expect(&b, without(1, 5),
	       "lost: segment 00000000000000000001.seg offset 0: "
	       "records 1..5: segment header: checksum",
	       "streams.snap: 2 streams up to record 5");
	build_flip(&b, 1, 20, 3);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect(&b, without(1, 5), "8 records saved, 0 lost", NULL);
	/* Only a later snapshot: the streams' state before record 6 is found from their first batches. */
	assert_int_equal(file_remove(b.directory, NAME_SNAPSHOT_OLD), 0);
	build_snapshot(&b, NAME_SNAPSHOT, 3);
	expect(&b, without(1, 5), "8 records saved, 0 lost", NULL);
	/* None: all that is before is lost, and streams that went on from there have a gap. */
	assert_int_equal(file_remove(b.directory, NAME_SNAPSHOT), 0);
	expect(&b, without(1, 5), "lost: records 1..5: the first segments are gone",
	       "number 4 follows number 0, with a recorded gap");
	build_deinit(&b);
}

/* What opening would refuse is not copied, and the rest of the snapshot is. */
static void a_snapshot_that_makes_no_sense(void **state)
{
	const struct snapshot_entry entries[] = {
		{ .stream = build_stream(0), .last_seq = 3, .record = 3 },
		{ .stream = build_stream(0), .last_seq = 2, .record = 2 },
		{ .stream = build_stream(1), .last_seq = (uint64_t)SEQ_MAX + 1, .record = 1 },
		{ .stream = build_stream(2), .last_seq = 1, .record = 4 },
	};
	struct build b;

	(void)state;
	build_init(&b);
	b.record = 4;
	build_snapshot_of(&b, NAME_SNAPSHOT, 1, entries, sizeof(entries) / sizeof(entries[0]));
	b.durable = 3;
	build_segment(&b, 2);
	build_one(&b, 1, 1, 10);
	build_save(&b, 0);
	expect(&b, 0x10, "1 record saved, 0 lost", "streams.snap: 1 stream up to record 3");
	build_deinit(&b);
}

/* A torn tail that nobody was promised is not lost, it never was; what is whole of it is saved. */
/* It must not make strangers of the segments, and vouches for nothing. */
static void a_snapshot_of_another_journal(void **state)
{
	struct build b;
	struct snapshot_header header;
	uint8_t data[SNAPSHOT_HEADER_SIZE];
	char name[SEGMENT_NAME_SIZE];
	int file;

	(void)state;
	build_init(&b);
	three_segments(&b);
	assert_int_equal(file_open(b.directory, NAME_SNAPSHOT_OLD, FILE_WRITE, &file), 0);
	assert_int_equal(file_read(file, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(snapshot_header_decode(data, sizeof(data), &header), FORMAT_OK);
	header.journal_id[0] ^= 1;
	snapshot_header_encode(data, &header);
	assert_int_equal(file_write(file, data, sizeof(data), 0), 0);
	file_close(file);
	expect(&b, ALL,
	       "left out: streams.snap.old: belongs to another journal\n"
	       "13 records saved, 0 lost\n",
	       "13 records in 1 segment");
	segment_name(1, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect(&b, without(1, 5), "lost: records 1..5", NULL);
	build_deinit(&b);
}

/* Somebody has copied it here, or it has taken the place of ours: either way it is not copied, and that is told. */
static void a_segment_of_another_journal(void **state)
{
	struct build b;
	struct segment_header header;
	uint8_t data[SEGMENT_HEADER_SIZE];
	char name[SEGMENT_NAME_SIZE];
	int file;

	(void)state;
	build_init(&b);
	three_segments(&b);
	segment_name(2, name);
	assert_int_equal(file_open(b.directory, name, FILE_WRITE, &file), 0);
	assert_int_equal(file_read(file, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(segment_header_decode(data, sizeof(data), &header), FORMAT_OK);
	header.journal_id[0] ^= 1;
	segment_header_encode(data, &header);
	assert_int_equal(file_write(file, data, sizeof(data), 0), 0);
	file_close(file);
	expect(&b, without(6, 10),
	       "left out: segment 00000000000000000002.seg: belongs to another journal\n"
	       "lost: ",
	       NULL);
	/* One too many, in which nothing of ours has ever been. */
	build_segment(&b, 4);
	header.index = 4;
	segment_header_encode(b.image, &header);
	build_save(&b, 1);
	expect(&b, without(6, 10),
	       "left out: segment 00000000000000000002.seg: belongs to another journal\n"
	       "left out: segment 00000000000000000004.seg: belongs to another journal\n",
	       NULL);
	build_deinit(&b);
}

static void the_end(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	b.durable = 2;
	build_one(&b, 0, 2, 10);
	build_one(&b, 0, 2, 10);
	build_save(&b, 1);
	build_flip(&b, 1, b.batches[2].offset + 140, 1);
	expect(&b, 0x1e, "4 records saved, 0 lost", NULL);
	build_lock(&b, 6);
	expect(&b, 0x5e,
	       "lost: segment 00000000000000000001.seg offset 12416: record 5: frame checksum",
	       NULL);
	build_deinit(&b);
}

static void streams_that_end(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	b.flags = BATCH_EPHEMERAL;
	build_one(&b, 0, 2, 10);
	build_forget(&b, 0);
	b.flags = BATCH_EPHEMERAL;
	build_one(&b, 0, 2, 10); /* begins anew */
	b.seq[0] = 0;
	b.h[0] = 0;
	b.flags = BATCH_EPHEMERAL;
	build_one(&b, 0, 1, 10); /* forgotten for its age */
	build_one(&b, 0, 1, 10);
	build_save(&b, 1);
	expect(&b, 0x7e, "6 records saved, 0 lost", NULL);
	build_deinit(&b);
}

/* An ephemeral stream that the server had forgotten; its sender begins with number 3, and has accepted the gap before it. */
static void a_forgotten_stream_that_begins_with_a_gap(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	b.flags = BATCH_EPHEMERAL;
	build_one(&b, 0, 5, 10); /* 1-5 */
	b.durable = 5;
	b.seq[0] = 2;
	b.gap_last = 0;
	b.flags = BATCH_EPHEMERAL | BATCH_GAP;
	build_one(&b, 0, 1, 10); /* 6 */
	build_seal(&b);
	build_save(&b, 0);
	expect(&b, 0x7e, "6 records saved, 0 lost", "number 3 follows number 0");
	build_deinit(&b);
}

/* The oldest records have been given up, and with them what stream 0 was before; the snapshot is of later. */
static void begin_in_the_middle(struct build *b)
{
	build_init(b);
	b->record = 7;
	b->seq[0] = 3;
	b->h[0] = 0x1234;
	build_segment(b, 2);
}

static void end_in_the_middle(struct build *b)
{
	build_save(b, 0);
	build_snapshot(b, NAME_SNAPSHOT, 2);
	build_segment(b, 3);
	build_seal(b);
	build_save(b, 0);
}

/* What an earlier repair lost it has marked, where a stream lost by it: no stream has lost anything since. */
static void repaired_again_without_its_beginning(void **state)
{
	struct build b;
	struct target t;
	struct lines lines = { .size = 0 };
	struct failure why;

	(void)state;
	begin_in_the_middle(&b);
	build_lost(&b, 4);       /* 7-10 */
	build_one(&b, 0, 2, 10); /* 11-12: numbers 4 and 5 */
	end_in_the_middle(&b);
	expect(&b, 0x1800, "lost before an earlier repair: records 7..10\n", "records 7..12");
	repair_fresh(&b, &t);
	assert_int_equal(journal_verify(t.path, keep_line, &lines, &why), 0);
	if (strstr(lines.text, "follows number") != NULL)
		fail_msg("a gap that nobody accepted: %s", lines.text);
	remove_target(&t);
	build_deinit(&b);
}

/* A gap says what came before it, also where nothing else does any more. */
static void a_gap_behind_the_beginning(void **state)
{
	struct build b;

	(void)state;
	begin_in_the_middle(&b);
	b.seq[0] = 5;
	b.gap_last = 3;
	b.flags = BATCH_GAP;
	build_one(&b, 0, 2, 10); /* 7-8: numbers 6 and 7 */
	end_in_the_middle(&b);
	expect(&b, 0x180, "2 records saved, 0 lost\n",
	       "number 6 follows number 3, with a recorded gap");
	build_deinit(&b);
}

/* Two records have the same number: neither is thrown away. */
static void a_number_twice(void **state)
{
	static const struct {
		const char *name;
		uint64_t seq;
		uint32_t flags;
		const char *told;
	} rows[] = {
		{ "the last one", 3, 0, "begins again at number 3, it had 3\n" },
		{ "from the middle", 2, 0, "begins again at number 2, it had 3\n" },
		{ "from the beginning", 1, 0, "begins again at number 1, it had 3\n" },
		{ "with a gap", 2, BATCH_GAP, "begins again at number 2, it had 3\n" },
		{ "of an ephemeral stream", 2, BATCH_EPHEMERAL, "begins again at number 2, it had" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct build b;

		print_message("%s\n", rows[i].name);
		build_init(&b);
		build_segment(&b, 1);
		b.flags = rows[i].flags & BATCH_EPHEMERAL;
		build_one(&b, 0, 3, 10); /* 1-3 */
		build_one(&b, 1, 1, 10); /* 4 */
		b.seq[0] = rows[i].seq - 1;
		b.gap_last = 1;
		b.flags = rows[i].flags;
		build_one(&b, 0, 4, 10); /* 5-8 */
		build_seal(&b);
		build_save(&b, 0);
		expect(&b, 0x1fe, rows[i].told, "8 records");
		build_deinit(&b);
	}
}

/* A block that stands in the segment a second time, behind the place where it belongs and is broken. */
static void a_block_that_went_astray(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10); /* 1-3 */
	build_one(&b, 0, 2, 10); /* 4-5 */
	memcpy(b.image + b.at, b.image + b.batches[1].offset, BUILD_BLOCK);
	b.at += BUILD_BLOCK;
	build_one(&b, 0, 1, 10); /* 6 */
	build_seal(&b);
	build_save(&b, 0);
	build_flip(&b, 1, b.batches[1].offset + BATCH_HEADER_SIZE + FRAME_HEADER_SIZE, 1);
	expect(&b, 0x6e, "record 4", NULL);
	build_deinit(&b);
}

static void refusals(void **state)
{
	struct build b, other;
	struct lines lines = { .size = 0 };
	struct failure why;
	char path[100];
	int file;

	(void)state;
	build_init(&b);
	build_init(&other);
	snprintf(path, sizeof(path), "%s/deep/deeper", other.path);
	assert_true(journal_repair(b.path, path, keep_line, &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_NO_INPUT);
	three_segments(&b);
	assert_true(journal_repair(b.path, path, keep_line, &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_CREATE);
	build_file(&other, "x", "y", 1);
	assert_true(journal_repair(b.path, other.path, keep_line, &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_CREATE);
	assert_true(journal_repair(b.path, b.path, keep_line, &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_CREATE);
	snprintf(path, sizeof(path), "%s/below", b.path);
	assert_true(journal_repair(b.path, path, keep_line, &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_CREATE);
	assert_non_null(strstr(why.text, "it would be inside "));
	assert_int_equal(access(path, F_OK), -1);
	/* A server is on it. */
	build_lock(&b, 13);
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_WRITE, &file), 0);
	assert_int_equal(file_lock(file, true), 0);
	assert_int_equal(file_remove(other.directory, "x"), 0);
	assert_true(journal_repair(b.path, other.path, keep_line, &lines, &why) < 0);
	assert_int_equal(why.status, EXIT_CREATE);
	file_close(file);
	/* An empty directory will do. */
	assert_int_equal(journal_repair(b.path, other.path, keep_line, &lines, &why), 0);
	build_deinit(&b);
	build_deinit(&other);
}

/* More than a commit, more than one batch's size. */
static void large_journals(void **state)
{
	struct build b;
	struct target t;
	struct lines lines = { .size = 0 };
	struct failure why;

	(void)state;
	build_init(&b);
	for (uint64_t index = 1; index <= 8; index++) {
		b.durable = b.record - 1;
		build_segment(&b, index);
		for (int i = 0; i < 9; i++)
			build_one(&b, 0, 1, 100000);
		build_save(&b, 0);
	}
	repair_fresh(&b, &t);
	has(&t.lines, "72 records saved, 0 lost");
	assert_int_equal(journal_verify(t.path, keep_line, &lines, &why), 0);
	has(&lines, "72 records in 1 segment");
	remove_target(&t);
	build_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_of_a_good_journal),
		cmocka_unit_test(one_byte_anywhere),
		cmocka_unit_test(one_bit_of_a_header),
		cmocka_unit_test(the_only_header_of_a_segment),
		cmocka_unit_test(several_frames),
		cmocka_unit_test(what_is_lost_is_told),
		cmocka_unit_test(a_snapshot_that_makes_no_sense),
		cmocka_unit_test(the_beginning),
		cmocka_unit_test(a_snapshot_of_another_journal),
		cmocka_unit_test(a_segment_of_another_journal),
		cmocka_unit_test(the_end),
		cmocka_unit_test(streams_that_end),
		cmocka_unit_test(a_forgotten_stream_that_begins_with_a_gap),
		cmocka_unit_test(repaired_again_without_its_beginning),
		cmocka_unit_test(a_gap_behind_the_beginning),
		cmocka_unit_test(a_number_twice),
		cmocka_unit_test(a_block_that_went_astray),
		cmocka_unit_test(refusals),
		cmocka_unit_test(large_journals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
