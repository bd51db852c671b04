#include "journal/reader.h"

#include "clock/clock.h"
#include "journal/journal_build.h"

/* The server that a test plays: it holds the lock, and moves the number. */
struct server {
	int file;
	uint8_t *memory;
};

static void server_start(struct build *b, struct server *s)
{
	void *memory;

	assert_int_equal(file_open(b->directory, NAME_LOCK, FILE_WRITE | FILE_CREATE, &s->file), 0);
	assert_int_equal(file_lock(s->file, true), 0);
	assert_int_equal(file_reserve(s->file, LOCK_SIZE), 0);
	assert_int_equal(file_map(s->file, LOCK_SIZE, true, &memory), 0);
	s->memory = memory;
	put_u64(s->memory + LOCK_HOLDER_AT, 4711);
}

static void server_number(struct server *s, uint64_t number)
{
	lock_encode(s->memory, number, 4711);
}

/* As after SIGKILL: everything stays, only the lock is free. */
static void server_kill(struct server *s)
{
	file_unmap(s->memory, LOCK_SIZE);
	file_close(s->file);
}

static bool lock_is_free(struct build *b)
{
	int file;
	int result;

	assert_int_equal(file_open(b->directory, NAME_LOCK, FILE_WRITE | FILE_CREATE, &file), 0);
	result = file_lock(file, true);
	file_close(file);
	return result == 0;
}

static struct reader *open_at(const struct build *b, int64_t from)
{
	struct reader *reader = NULL;
	struct failure why = { 0 };

	if (reader_open(b->path, from, &reader, &why) != 0)
		fail_msg("%s", why.text);
	return reader;
}

static void check_record(const struct record *record)
{
	for (uint32_t i = 0; i < record->size; i++)
		assert_int_equal(record->payload[i], build_byte(record->number, i));
}

/* Read until nothing more comes: what comes first, and how many. Returns what the last call returned. */
static int drain(struct reader *reader, uint64_t *first, uint64_t *count, struct failure *why)
{
	struct record record;
	uint64_t expected = 0;
	int result;

	*count = 0;
	*first = 0;
	while ((result = reader_next(reader, &record, why)) == 1) {
		if (expected == 0)
			*first = record.number;
		else
			assert_true(record.number == expected);
		expected = record.number + 1;
		(*count)++;
		check_record(&record);
	}
	return result;
}

static void expect_drain(struct reader *reader, uint64_t first, uint64_t count)
{
	struct failure why = { 0 };
	uint64_t got_first, got_count;

	if (drain(reader, &got_first, &got_count, &why) != 0)
		fail_msg("%s", why.text);
	assert_true(got_count == count);
	assert_true(count == 0 || got_first == first);
}

static void expect_all(const struct build *b, int64_t from, uint64_t first, uint64_t count)
{
	struct reader *reader = open_at(b, from);

	expect_drain(reader, first, count);
	reader_close(reader);
}

/* `count` records are shown, and then this damage. */
static void expect_damage_from(const struct build *b, int64_t from, uint64_t count,
			       const char *text)
{
	struct reader *reader;
	struct failure why = { 0 };
	uint64_t first, got = 0;
	int result = reader_open(b->path, from, &reader, &why);

	if (result == 0) {
		assert_int_equal(drain(reader, &first, &got, &why), -EBADMSG);
		/* And it stays so. */
		assert_int_equal(drain(reader, &first, &first, &why), -EBADMSG);
		reader_close(reader);
	}
	assert_int_equal(result == 0 ? -EBADMSG : result, -EBADMSG);
	assert_int_equal(why.status, EXIT_DATA);
	assert_true(got == count);
	if (strstr(why.text, text) == NULL)
		fail_msg("'%s' is not in '%s'", text, why.text);
}

static void expect_damage(const struct build *b, uint64_t count, const char *text)
{
	expect_damage_from(b, 0, count, text);
}

static void what_is_not_a_journal(void **state)
{
	struct build b;
	struct reader *reader;
	struct failure why;
	char path[100];

	(void)state;
	build_init(&b);
	assert_true(reader_open(b.path, 0, &reader, &why) < 0);
	assert_int_equal(why.status, EXIT_NO_INPUT);
	snprintf(path, sizeof(path), "%s/none", b.path);
	assert_true(reader_open(path, 0, &reader, &why) < 0);
	assert_int_equal(why.status, EXIT_NO_INPUT);
	build_file(&b, "none", "x", 1);
	assert_true(reader_open(path, 0, &reader, &why) < 0);
	assert_int_equal(why.status, EXIT_NO_INPUT);
	/* A lock file or a segment make it one. */
	build_lock(&b, 0);
	expect_all(&b, 0, 0, 0);
	assert_int_equal(file_remove(b.directory, NAME_LOCK), 0);
	build_segment(&b, 1);
	build_save(&b, 2);
	expect_all(&b, 0, 0, 0);
	build_deinit(&b);
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
	build_save(b, 1);
}

static void all_of_it_from_anywhere(void **state)
{
	static const struct {
		int64_t from;
		uint64_t first, count;
	} rows[] = {
		{ 0, 1, 13 },
		{ 1, 1, 13 },
		{ 2, 2, 12 },
		{ 3, 3, 11 },
		{ 5, 5, 9 },
		{ 6, 6, 8 },
		{ 8, 8, 6 },
		{ 13, 13, 1 },
		{ 14, 0, 0 },
		{ 1000, 0, 0 },
		{ -1, 13, 1 },
		{ -4, 10, 4 },
		{ -5, 9, 5 },
		{ -12, 2, 12 },
		{ -13, 1, 13 },
		{ -14, 1, 13 },
		{ -1000, 1, 13 },
		{ INT64_MIN, 1, 13 },
		{ INT64_MAX, 0, 0 },
	};
	struct build b;

	(void)state;
	build_init(&b);
	three_segments(&b);
	for (int lock = 0; lock < 3; lock++) {
		if (lock == 1)
			build_lock(&b, 13);
		if (lock == 2)
			build_lock(&b, 7);
		for (size_t i = 0; i < COUNT_OF(rows); i++) {
			print_message("lock %d from %lld\n", lock, (long long)rows[i].from);
			expect_all(&b, rows[i].from, rows[i].first, rows[i].count);
		}
	}
	build_deinit(&b);
}

static void what_a_record_says(void **state)
{
	struct build b;
	struct reader *reader;
	struct record record;
	struct failure why;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 3, 2, 4);
	b.seq[3] = 8;
	b.flags = BATCH_GAP;
	b.gap_last = 2;
	build_one(&b, 3, 2, 4);
	build_save(&b, 0);
	reader = open_at(&b, 2);
	assert_int_equal(reader_next(reader, &record, &why), 1);
	assert_true(record.number == 2 && record.seq == 2 && record.size == 4 && !record.gap);
	assert_int_equal(reader_next(reader, &record, &why), 1);
	assert_true(record.number == 3 && record.seq == 9 && record.gap && record.gap_last == 2);
	assert_true(record.time_ns == 1700000000000000003u && record.protocol == 1);
	assert_true(record.peer.family == PEER_IPV4 && record.peer.port == 1234);
	struct stream_id id = build_stream(3);
	assert_true(stream_id_equal(&record.stream, &id));
	assert_int_equal(reader_next(reader, &record, &why), 1);
	assert_true(record.number == 4 && record.seq == 10 && !record.gap && record.gap_last == 0);
	assert_int_equal(reader_next(reader, &record, &why), 0);
	reader_close(reader);
	build_deinit(&b);
}

/* The last commit cut at every byte: a torn tail when nothing promised it, damage when something did. */
static void a_tail_torn_at_every_byte(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	b.durable = 2;
	build_batch(&b, 0, 1, 20);
	build_batch(&b, 1, 2, 3);
	build_commit(&b);
	for (uint64_t cut = b.batches[1].offset; cut <= b.batches[2].end; cut++) {
		uint64_t whole = cut < b.batches[1].end ? 2 : cut < b.batches[2].end ? 3
										     : 5;
		uint64_t offset;
		char text[100];
		int frame;

		build_save_size(&b, cut);
		build_lock(&b, 0);
		expect_all(&b, 0, 1, whole);
		build_lock(&b, 5);
		if (whole == 5) {
			expect_all(&b, 0, 1, 5);
			continue;
		}
		frame = build_frame_at(&b.batches[whole == 2 ? 1 : 2], cut, &offset);
		whole += frame > 0;
		snprintf(text, sizeof(text), "segment 00000000000000000001.seg offset %llu: record",
			 (unsigned long long)offset);
		expect_damage(&b, whole, text);
	}
	build_deinit(&b);
}

/* One flipped bit anywhere in a small journal: what stands before it is shown; then it is damage if any claim that is left covers it. */
static void one_bit_anywhere(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 3); /* 1-2 */
	b.durable = 2;
	build_batch(&b, 0, 1, 2); /* 3 */
	build_batch(&b, 1, 1, 5); /* 4 */
	build_commit(&b);
	b.durable = 4;
	build_save(&b, 1);
	build_segment(&b, 2);
	build_one(&b, 1, 2, 1); /* 5-6, claims 4 */
	build_save(&b, 1);
	for (unsigned k = 0; k < b.batch_count; k++) {
		const struct build_batch *batch = &b.batches[k];
		uint64_t first = batch->header.record;

		for (uint64_t at = batch->offset; at < batch->end; at++) {
			uint64_t offset;
			int frame = build_frame_at(batch, at, &offset);
			uint64_t shown = first - 1 + (frame > 0 ? (uint64_t)frame : 0);
			char text[100];

			build_flip(&b, batch->index, at, (uint8_t)(1u << at % 8));
			snprintf(text, sizeof(text), "segment %020llu.seg offset %llu: record",
				 (unsigned long long)batch->index, (unsigned long long)offset);
			if (first <= 4)
				expect_damage(&b, shown, text);
			else
				expect_all(&b, 0, 1, 4);
			build_flip(&b, batch->index, at, (uint8_t)(1u << at % 8));
		}
		/* Padding is not promised. */
		if (batch->padded > batch->end) {
			build_flip(&b, batch->index, batch->padded - 1, 1);
			expect_all(&b, 0, 1, 6);
			build_flip(&b, batch->index, batch->padded - 1, 1);
		}
	}
	/* Segment headers. */
	for (uint64_t at = 0; at < SEGMENT_HEADER_SIZE; at++) {
		build_flip(&b, 1, at, 0x80);
		expect_damage(
			&b, 0,
			"segment 00000000000000000001.seg offset 0: records 1..4: segment header");
		build_flip(&b, 1, at, 0x80);
		build_flip(&b, 2, at, 0x80);
		expect_damage(
			&b, 4,
			"segment 00000000000000000002.seg offset 0: record 5: segment header");
		build_flip(&b, 2, at, 0x80);
	}
	build_deinit(&b);
}

static void damage_says_what_is_missing(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	three_segments(&b);
	build_flip(&b, 2, b.batches[3].offset + BATCH_HEADER_SIZE + 8, 1);
	expect_damage(
		&b, 6,
		"segment 00000000000000000002.seg offset 12416: record 7: frame checksum");
	build_flip(&b, 2, b.batches[3].offset + BATCH_HEADER_SIZE + 8, 1);
	build_flip(&b, 2, b.batches[2].offset + 5, 1);
	expect_damage(
		&b, 5,
		"segment 00000000000000000002.seg offset 4096: record 6: batch header: checksum");
	segment_name(2, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_damage(&b, 5,
		      "segment 00000000000000000001.seg offset 12288: records 6..9: zeros, and "
		      "segment 2 is missing");
	segment_name(1, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_damage(
		&b, 0,
		"records 1..9: the first segments are gone, and no valid snapshot covers them");
	/* From where there is something, there is no damage to be seen. */
	expect_all(&b, 10, 10, 4);
	expect_all(&b, -4, 10, 4);
	build_deinit(&b);
}

/* What stands in front of the first bad frame is shown, from wherever it is asked for, and no more than is promised. */
static void the_good_frames_of_a_damaged_batch(void **state)
{
	struct build b;
	struct reader *reader;
	struct record record;
	struct failure why;
	const char *text = "segment 00000000000000000001.seg offset 8410: record 9: frame checksum";

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10); /* 1-3 */
	b.flags = BATCH_GAP;
	b.gap_last = 3;
	b.seq[0] = 5;
	build_one(&b, 0, 10, 10); /* 4-13 */
	build_one(&b, 0, 2, 10);  /* 14-15 */
	build_save(&b, 1);
	build_lock(&b, 15);
	build_flip(&b, 1, b.batches[1].offset + BATCH_HEADER_SIZE + 5 * 18 + 12, 1);
	build_flip(&b, 1, b.batches[1].offset + BATCH_HEADER_SIZE + 7 * 18, 1);
	expect_damage(&b, 8, text);
	expect_damage_from(&b, 2, 7, text);
	for (int64_t from = 4; from < 9; from++)
		expect_damage_from(&b, from, (uint64_t)(9 - from), text);
	for (int64_t from = 9; from < 14; from++)
		expect_damage_from(&b, from, 0, text);
	expect_all(&b, 14, 14, 2);
	reader = open_at(&b, 4);
	assert_int_equal(reader_next(reader, &record, &why), 1);
	assert_true(record.number == 4 && record.seq == 6 && record.gap && record.gap_last == 3);
	reader_release(reader);
	assert_int_equal(reader_next(reader, &record, &why), 1);
	assert_true(record.number == 5 && record.seq == 7 && !record.gap);
	reader_close(reader);
	/* Nothing was promised: it is the end, and the whole batch is behind it. */
	build_lock(&b, 3);
	expect_all(&b, 0, 1, 3);
	/* No server promises a part of a batch; somebody who has written into the lock file may. */
	build_lock(&b, 6);
	expect_damage(&b, 6, text);
	build_deinit(&b);
}

/* No frame says that it is wrong, but they are not those that were written: none is shown. */
static void a_batch_with_another_history(void **state)
{
	struct build b;
	struct build_batch *batch;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	b.durable = 3;
	build_one(&b, 0, 3, 10);
	batch = &b.batches[1];
	batch->header.h_after ^= 1;
	batch_header_encode(b.image + batch->offset, &batch->header, b.salt, b.index);
	build_save(&b, 1);
	build_lock(&b, 6);
	expect_damage(&b, 3, "offset 8192: records 4..6: history checksum of the batch");
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
	expect_all(&b, 0, 1, 3);
	build_deinit(&b);
}

/* Looking again at a place behind a seal meets the seal again: that is no progress. */
static void damage_behind_a_seal(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_seal(&b);
	b.durable = 3;
	build_one(&b, 0, 1, 10);
	build_seal(&b);
	build_save(&b, 1);
	build_flip(&b, 1, b.batches[2].offset + 130, 1);
	expect_damage(&b, 3, "offset 12416: record 4: frame checksum");
	build_deinit(&b);
}

/* A snapshot says that the first segments were given up. */
static void retention_is_not_damage(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 1);
	build_snapshot(&b, NAME_SNAPSHOT_OLD, 1);
	b.durable = 3;
	build_segment(&b, 2);
	build_one(&b, 0, 3, 10);
	build_save(&b, 1);
	segment_name(1, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_all(&b, 0, 4, 3);
	expect_all(&b, 1, 4, 3);
	expect_all(&b, 5, 5, 2);
	expect_all(&b, -100, 4, 3);
	build_file(&b, NAME_SNAPSHOT_OLD, "nonsense", 8);
	expect_damage(&b, 0, "records 1..3: the first segments are gone");
	build_deinit(&b);
}

/* As opening and verify say it; what there is, is shown first. */
static void segments_that_must_be_there(void **state)
{
	struct build b;
	struct server server;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	build_segment(&b, 2);
	build_save(&b, 1);
	expect_damage(&b, 0, "record 1: the first segments are gone");
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 1);
	expect_all(&b, 0, 1, 3);
	build_snapshot(&b, NAME_SNAPSHOT, 1);
	expect_all(&b, 0, 1, 3);
	expect_all(&b, 7, 7, 0);
	segment_name(2, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_damage(&b, 3, "record 4: there is a snapshot, but no segment behind it");
	server_start(&b, &server);
	server_number(&server, 3);
	expect_all(&b, 0, 1, 3);
	server_kill(&server);
	segment_name(1, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect_damage(&b, 0, "record 4: there is a snapshot, but no segment behind it");
	build_deinit(&b);
}

/* Below the segment in which the records begin stands one with a bad header, above or without a dead one that begins at the same record.
 * Who asks for what may have stood in it hears of it, unless a snapshot of before says that it held nothing. */
static void a_bad_header_below_the_beginning(void **state)
{
	static const struct {
		const char *name;
		bool dead;        /* there is a segment 1, and it begins where segment 3 does */
		uint64_t covered; /* the last segment that the snapshot covers */
		int64_t from;
		uint64_t first; /* what is shown, up to record 6; 0: damage */
	} rows[] = {
		{ "all", false, 3, 0, 0 },
		{ "all, above a dead one", true, 3, 0, 0 },
		{ "from the last that it may have held", true, 3, 4, 0 },
		{ "from the first that it cannot have held", true, 3, 5, 5 },
		{ "the last one", true, 3, -1, 6 },
		{ "excused", false, 1, 0, 5 },
		{ "excused, above a dead one", true, 1, 0, 5 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct build b;

		print_message("%s\n", rows[i].name);
		build_init(&b);
		b.record = 5;
		if (rows[i].covered == 1)
			build_snapshot(&b, NAME_SNAPSHOT, 1);
		for (uint64_t index = rows[i].dead ? 1 : 2; index <= 3; index++) {
			b.record = 5;
			build_segment(&b, index);
			build_one(&b, (unsigned)index, 2, 10);
			build_save(&b, 1);
		}
		build_flip(&b, 2, 20, 1);
		if (rows[i].covered == 3)
			build_snapshot(&b, NAME_SNAPSHOT, 3);
		build_segment(&b, 4);
		build_save(&b, 1);
		if (rows[i].first != 0)
			expect_all(&b, rows[i].from, rows[i].first, 7 - rows[i].first);
		else
			expect_damage_from(&b, rows[i].from, 0,
					   "segment 00000000000000000002.seg offset 0: "
					   "records 1..4: segment header");
		build_deinit(&b);
	}
}

/* With the lock held, only what the number (or a header) says. */
static void beside_a_server(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 20);
	server_number(&server, 0);
	reader = open_at(&b, 0);
	expect_drain(reader, 0, 0);
	expect_drain(reader, 0, 0);
	server_number(&server, 1); /* (a real one moves by commits) */
	expect_drain(reader, 1, 1);
	server_number(&server, 3);
	expect_drain(reader, 2, 2);
	/* A number inside a batch, and then one that is ahead of what is there: damage, though a server runs. */
	b.durable = 3;
	build_one(&b, 0, 2, 10); /* 4-5 */
	b.durable = 5;
	build_one(&b, 0, 1, 10); /* 6 claims 5 */
	build_save(&b, 20);
	server_number(&server, 4);
	expect_drain(reader, 4, 1);
	expect_drain(reader, 0, 0);
	server_number(&server, 7);
	struct failure why;
	uint64_t first, count;
	assert_int_equal(drain(reader, &first, &count, &why), -EBADMSG);
	assert_true(first == 5 && count == 2);
	reader_close(reader);
	server_kill(&server);
	build_deinit(&b);
}

/* Once the server is gone, the reader finds that out by itself and shows the rest, under the lock. */
static void after_a_server(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	struct record record;
	struct failure why = { 0 };
	int result;

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_one(&b, 0, 1, 10);
	build_save(&b, 2);
	server_number(&server, 3);
	reader = open_at(&b, 0);
	expect_drain(reader, 1, 3);
	server_kill(&server);
	uint64_t limit = clock_monotonic_ns() + 10000000000u;
	while ((result = reader_next(reader, &record, &why)) == 0 && clock_monotonic_ns() < limit) {
		reader_release(reader);
		usleep(5000);
	}
	assert_int_equal(result, 1);
	assert_true(record.number == 4);
	check_record(&record);
	assert_false(lock_is_free(&b)); /* until it has been shown */
	reader_release(reader);
	assert_true(lock_is_free(&b));
	expect_drain(reader, 0, 0);
	reader_release(reader);
	/* Waiting, it never holds the lock. */
	for (int i = 0; i < 20; i++) {
		assert_int_equal(reader_next(reader, &record, &why), 0);
		assert_true(lock_is_free(&b));
	}
	/* The next server starts, copies nothing, and goes on in a new segment. */
	server_start(&b, &server);
	b.durable = 4;
	build_segment(&b, 2);
	build_seal(&b);
	build_save(&b, 3);
	server_number(&server, 4);
	expect_drain(reader, 0, 0);
	build_one(&b, 0, 2, 10);
	build_save(&b, 3);
	server_number(&server, 6);
	expect_drain(reader, 5, 2);
	reader_close(reader);
	server_kill(&server);
	build_deinit(&b);
}

/* A killed server's write lands where a reader already looks, after the next server has taken those record numbers over. */
static void late_writes_are_never_shown(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	struct record record;
	struct failure why;

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_save(&b, 4);
	server_number(&server, 3);
	reader = open_at(&b, 0);
	expect_drain(reader, 1, 3);
	server_kill(&server);
	/* Record 4 of the killed server, as it lands late. */
	struct build late = b;
	late.image = malloc(BUILD_ROOM);
	memcpy(late.image, b.image, BUILD_ROOM);
	late.durable = 3;
	build_one(&late, 1, 1, 77);
	/* The new server did not see it, and begins segment 2 at record 4. */
	server_start(&b, &server);
	b.durable = 3;
	build_segment(&b, 2);
	build_seal(&b);
	build_one(&b, 0, 1, 10);
	build_save(&b, 2);
	build_save(&late, 3);
	server_number(&server, 4);
	assert_int_equal(reader_next(reader, &record, &why), 1);
	assert_true(record.number == 4 && record.size == 10);
	struct stream_id id = build_stream(0);
	assert_true(stream_id_equal(&record.stream, &id));
	expect_drain(reader, 0, 0);
	reader_close(reader);
	/* And the same with the late one read, but not shown, before. */
	reader = open_at(&b, 4);
	expect_drain(reader, 4, 1);
	free(late.image);
	reader_close(reader);
	server_kill(&server);
	build_deinit(&b);
}

static void held_back_then_taken_over(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	struct record record;
	struct failure why;

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_one(&b, 1, 1, 77); /* 4: written, never durable */
	build_save(&b, 4);
	server_number(&server, 3);
	reader = open_at(&b, 0);
	expect_drain(reader, 1, 3); /* it holds 4 in memory now */
	server_kill(&server);
	server_start(&b, &server);
	/* A power cut took it; the new server begins at 4. */
	b.record = 4;
	b.durable = 3;
	build_segment(&b, 2);
	build_one(&b, 0, 1, 10);
	build_save(&b, 2);
	server_number(&server, 4);
	assert_int_equal(reader_next(reader, &record, &why), 1);
	assert_true(record.number == 4 && record.size == 10);
	reader_close(reader);
	server_kill(&server);
	build_deinit(&b);
}

/* From segment to segment as a server fills them, with spares that are not used yet. */
static void across_segments(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	uint64_t shown = 0;

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	build_segment(&b, 1);
	build_save(&b, 4);
	reader = open_at(&b, 0);
	expect_drain(reader, 0, 0);
	for (uint64_t index = 1; index <= 5; index++) {
		if (index > 1) {
			build_segment(&b, index); /* the spare, published unused */
			build_save(&b, 8);
			expect_drain(reader, 0, 0);
		}
		for (unsigned i = 0; i < 4; i++) {
			b.durable = b.record - 1;
			build_one(&b, i % 2, 2, 100);
			build_save(&b, 8);
			server_number(&server, b.record - 1);
			expect_drain(reader, shown + 1, 2);
			shown += 2;
		}
	}
	reader_close(reader);
	server_kill(&server);
	expect_all(&b, 0, 1, 40);
	build_deinit(&b);
}

/* Retention deletes what the reader has not come to: it goes on with the oldest kept. */
static void deletion_under_the_reader(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	struct record record;
	struct failure why;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	for (uint64_t index = 1; index <= 4; index++) {
		build_segment(&b, index);
		build_one(&b, 0, 5, 10);
		build_save(&b, 1);
		b.durable = b.record - 1;
		if (index == 3)
			build_snapshot(&b, NAME_SNAPSHOT, 3);
	}
	server_number(&server, 20);
	reader = open_at(&b, 0);
	assert_int_equal(reader_next(reader, &record, &why), 1);
	for (uint64_t index = 1; index <= 3; index++) {
		segment_name(index, name);
		/* The file is gone and its blocks are used anew: what an open descriptor still shows is no journal. */
		memset(b.image, 0xee, 65536);
		b.index = index;
		build_save_size(&b, 65536);
		assert_int_equal(file_remove(b.directory, name), 0);
	}
	/* What is in memory is still shown; then it goes on with the oldest kept. */
	for (uint64_t number = 2; number <= 20; number = number == 5 ? 16 : number + 1) {
		assert_int_equal(reader_next(reader, &record, &why), 1);
		assert_true(record.number == number);
		check_record(&record);
	}
	assert_int_equal(reader_next(reader, &record, &why), 0);
	reader_close(reader);
	reader = open_at(&b, 0);
	expect_drain(reader, 16, 5);
	reader_close(reader);
	server_kill(&server);
	build_deinit(&b);
}

static void deletion_between_two_records(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	build_segment(&b, 1);
	build_one(&b, 0, 5, 10);
	build_save(&b, 1);
	server_number(&server, 5);
	reader = open_at(&b, 0);
	expect_drain(reader, 1, 5);
	for (uint64_t index = 2; index <= 3; index++) {
		b.durable = b.record - 1;
		build_segment(&b, index);
		build_one(&b, 0, 5, 10);
		build_save(&b, 1);
		if (index == 2)
			build_snapshot(&b, NAME_SNAPSHOT, 2);
	}
	for (uint64_t index = 1; index <= 2; index++) {
		segment_name(index, name);
		assert_int_equal(file_remove(b.directory, name), 0);
	}
	server_number(&server, 15);
	expect_drain(reader, 11, 5);
	reader_close(reader);
	/* The same without a snapshot is damage. */
	assert_int_equal(file_remove(b.directory, NAME_SNAPSHOT), 0);
	expect_damage(&b, 0, "the first segments are gone");
	server_kill(&server);
	build_deinit(&b);
}

/* The same file can be another segment later: what a server reuses gets a new index, salt and name. */
static void a_segment_reused_under_the_reader(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	struct record record;
	struct failure why;
	char one[SEGMENT_NAME_SIZE], three[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	server_start(&b, &server);
	build_segment(&b, 1);
	for (int i = 0; i < 100; i++)
		build_one(&b, 0, 1, 1000);
	build_save(&b, 1);
	build_snapshot(&b, NAME_SNAPSHOT, 1);
	b.durable = 100;
	build_segment(&b, 2);
	build_one(&b, 0, 5, 10); /* 101-105 */
	build_save(&b, 1);
	server_number(&server, 105);
	reader = open_at(&b, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reader_next(reader, &record, &why), 1);
	segment_name(1, one);
	segment_name(3, three);
	assert_int_equal(file_rename(b.directory, one, three, false), 0);
	b.durable = 105;
	build_segment(&b, 3);
	build_one(&b, 0, 1, 10);
	build_save(&b, 100);
	server_number(&server, 106);
	/* What lies in memory already is true and may still be shown; then it goes on at 101. */
	uint64_t number = record.number;
	bool jumped = false;
	int result;
	while ((result = reader_next(reader, &record, &why)) == 1) {
		check_record(&record);
		if (record.number != number + 1) {
			assert_true(!jumped && record.number == 101);
			jumped = true;
		}
		number = record.number;
	}
	assert_int_equal(result, 0);
	assert_true(jumped && number == 106);
	reader_close(reader);
	server_kill(&server);
	build_deinit(&b);
}

/* The first server of a new directory makes the lock file after a follower has come. */
static void a_lock_file_that_comes_later(void **state)
{
	struct build b;
	struct server server;
	struct reader *reader;
	struct record record;
	struct failure why = { 0 };
	int result;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_save(&b, 4);
	reader = open_at(&b, 0);
	expect_drain(reader, 0, 0);
	reader_release(reader);
	server_start(&b, &server);
	build_segment(&b, 2);
	build_one(&b, 0, 1, 10);
	build_save(&b, 4);
	server_number(&server, 1);
	uint64_t limit = clock_monotonic_ns() + 5000000000u;
	while ((result = reader_next(reader, &record, &why)) == 0 && clock_monotonic_ns() < limit)
		usleep(1000);
	assert_int_equal(result, 1);
	assert_true(record.number == 1);
	reader_close(reader);
	server_kill(&server);
	build_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_a_journal),
		cmocka_unit_test(all_of_it_from_anywhere),
		cmocka_unit_test(what_a_record_says),
		cmocka_unit_test(a_tail_torn_at_every_byte),
		cmocka_unit_test(one_bit_anywhere),
		cmocka_unit_test(damage_says_what_is_missing),
		cmocka_unit_test(the_good_frames_of_a_damaged_batch),
		cmocka_unit_test(a_batch_with_another_history),
		cmocka_unit_test(a_seal_in_a_wrong_place),
		cmocka_unit_test(damage_behind_a_seal),
		cmocka_unit_test(retention_is_not_damage),
		cmocka_unit_test(beside_a_server),
		cmocka_unit_test(after_a_server),
		cmocka_unit_test(late_writes_are_never_shown),
		cmocka_unit_test(held_back_then_taken_over),
		cmocka_unit_test(across_segments),
		cmocka_unit_test(deletion_under_the_reader),
		cmocka_unit_test(deletion_between_two_records),
		cmocka_unit_test(a_segment_reused_under_the_reader),
		cmocka_unit_test(a_lock_file_that_comes_later),
		cmocka_unit_test(segments_that_must_be_there),
		cmocka_unit_test(a_bad_header_below_the_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
