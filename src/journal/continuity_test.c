/* Continuity of streams, as verify judges it: tables of batches one after the other, and what is said of the last one. */
#include "journal/continuity.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
/* Last. */
#include "base/test.h"

enum { BATCHES_MAX = 4 };

/* One batch; count 0 and forget: the end of the stream; count 0 without: something was lost here. */
struct step {
	uint64_t record;
	uint64_t first_seq;
	uint32_t count;
	uint32_t h_before;
	uint32_t h_after;
	uint32_t flags;
	uint64_t gap_last;
};

static struct stream_id named(uint8_t name)
{
	struct stream_id id = { { 0x80 } };

	id.bytes[15] = name;
	return id;
}

static int take(struct continuity *c, const struct stream_id *id, const struct step *step,
		char text[CONTINUITY_TEXT_SIZE])
{
	struct batch_header h = {
		.record = step->record,
		.stream = *id,
		.first_seq = step->first_seq,
		.count = step->count,
		.h_before = step->h_before,
		.h_after = step->h_after,
		.flags = step->flags,
		.gap_last = step->gap_last,
		.writer = 3,
	};

	if (step->record == 0) {
		continuity_lost(c);
		return CONTINUITY_OK;
	}
	return continuity_take(c, &h, text);
}

struct row {
	const char *name;
	uint64_t lowest; /* where the walk begins */
	struct step steps[BATCHES_MAX];
	unsigned count;
	int result;
	const char *text; /* a part of what is said */
};

static void run(const struct row *row, const struct stream_id *id)
{
	struct continuity c;
	char text[CONTINUITY_TEXT_SIZE] = "";
	int result = CONTINUITY_OK;

	assert_int_equal(continuity_init(&c, row->lowest), 0);
	for (unsigned i = 0; i < row->count; i++) {
		if (result != CONTINUITY_OK && result != CONTINUITY_GAP)
			fail_msg("%s: step %u: %s", row->name, i - 1, text);
		text[0] = '\0';
		result = take(&c, id, &row->steps[i], text);
	}
	if (result != row->result || strstr(text, row->text) == NULL)
		fail_msg("%s: %d, \"%s\"", row->name, result, text);
	continuity_deinit(&c);
}

enum { GAP = BATCH_GAP, EPH = BATCH_EPHEMERAL };
enum { OK = CONTINUITY_OK, ACCEPTED = CONTINUITY_GAP, BROKEN = CONTINUITY_BROKEN };

/* Numbers 1 and 2 in records 1 and 2; the stream's end behind them; something missing. */
#define TWO                         \
	{                           \
		1, 1, 2, 0, 7, 0, 0 \
	}
#define END                                    \
	{                                      \
		3, 0, 0, 0, 0, BATCH_FORGET, 0 \
	}
#define LOSS                        \
	{                           \
		0, 0, 0, 0, 0, 0, 0 \
	}

static const struct row native_rows[] = {
	{ "begins", 1, { { 1, 1, 2, 0, 7, 0, 0 } }, 1, OK, "" },
	{ "begins in its middle", 1, { { 1, 4, 1, 0, 7, 0, 0 } }, 1, BROKEN, "follows number 0" },
	{ "begins in its middle behind what was given up", 5, { { 5, 4, 1, 9, 7, 0, 0 } }, 1, OK, "" },
	{ "begins with a history", 1, { { 1, 1, 1, 9, 7, 0, 0 } }, 1, BROKEN, "that is not 0" },
	{ "begins with a history behind what was given up", 5, { { 5, 1, 1, 9, 7, 0, 0 } }, 1, BROKEN, "that is not 0" },
	{ "goes on", 1, { TWO, { 3, 3, 1, 7, 8, 0, 0 } }, 2, OK, "" },
	{ "leaves one out", 1, { TWO, { 3, 4, 1, 7, 8, 0, 0 } }, 2, BROKEN, "follows number 2" },
	{ "repeats one", 1, { TWO, { 3, 2, 1, 7, 8, 0, 0 } }, 2, BROKEN, "follows number 2" },
	{ "another history", 1, { TWO, { 3, 3, 1, 6, 8, 0, 0 } }, 2, BROKEN, "history checksum of the one before" },
	{ "begins again", 1, { TWO, { 3, 1, 1, 0, 8, 0, 0 } }, 2, BROKEN, "follows number 2" },
	{ "ephemeral, begins again", 1, { { 1, 1, 2, 0, 7, EPH, 0 }, { 3, 1, 1, 0, 8, EPH, 0 } }, 2, OK, "" },
	{ "ended, begins again", 1, { TWO, END, { 3, 1, 1, 0, 8, 0, 0 } }, 3, OK, "" },
	{ "ended, goes on", 1, { TWO, END, { 3, 4, 1, 8, 8, 0, 0 } }, 3, BROKEN, "follows number 0" },
	{ "an end of nothing", 1, { { 1, 0, 0, 0, 0, BATCH_FORGET, 0 } }, 1, OK, "" },
	{ "a seal", 1, { { 1, 0, 0, 0, 0, 0, 0 } }, 1, OK, "" },
	{ "a gap", 1, { TWO, { 3, 9, 1, 0, 8, GAP, 2 } }, 2, ACCEPTED, "number 9 follows number 2, with a recorded gap" },
	{ "a gap from elsewhere", 1, { TWO, { 3, 9, 1, 0, 8, GAP, 3 } }, 2, BROKEN, "after number 3, but the last one is 2" },
	{ "a gap from the beginning", 1, { { 1, 9, 1, 0, 8, GAP, 0 } }, 1, ACCEPTED, "follows number 0" },
	{ "a gap of an unknown stream", 1, { { 1, 9, 1, 0, 8, GAP, 4 } }, 1, BROKEN, "the last one is 0" },
	{ "a gap of an unknown stream behind what was given up", 5, { { 5, 9, 1, 0, 8, GAP, 4 } }, 1, ACCEPTED, "follows number 4" },
	{ "a gap after an end", 1, { TWO, END, { 3, 5, 1, 0, 8, GAP, 0 } }, 3, ACCEPTED, "follows number 0" },
	{ "behind a loss", 1, { TWO, LOSS, { 9, 6, 1, 99, 8, 0, 0 } }, 3, OK, "" },
	{ "behind a loss, going on", 1, { TWO, LOSS, { 9, 6, 1, 99, 8, 0, 0 }, { 10, 8, 1, 8, 9, 0, 0 } }, 4, BROKEN, "follows number 6" },
	{ "lost before a repair", 1, { { 1, 1, 3, 0, 0, BATCH_LOST, 0 } }, 1, ACCEPTED, "3 records lost before a repair" },
};

static void test_native(void **state)
{
	struct stream_id id = named(1);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(native_rows); i++)
		run(&native_rows[i], &id);
}

static const struct row plain_rows[] = {
	{ "begins", 1, { { 4, 1, 1, 0, 7, 0, 0 } }, 1, OK, "" },
	{ "begins later than its id", 1, { { 9, 1, 1, 0, 7, 0, 0 } }, 1, OK, "" },
	{ "before its first record", 1, { { 3, 1, 1, 0, 7, 0, 0 } }, 1, BROKEN, "stands in record 3, before" },
	{ "begins with a history", 1, { { 4, 1, 1, 5, 7, 0, 0 } }, 1, BROKEN, "that is not 0" },
	{ "goes on", 1, { { 4, 1, 2, 0, 7, 0, 0 }, { 6, 3, 1, 7, 8, 0, 0 } }, 2, OK, "" },
	{ "leaves one out", 1, { { 4, 1, 2, 0, 7, 0, 0 }, { 6, 4, 1, 7, 8, 0, 0 } }, 2, BROKEN, "follows number 2" },
	{ "another history", 1, { { 4, 1, 2, 0, 7, 0, 0 }, { 6, 3, 1, 6, 8, 0, 0 } }, 2, BROKEN, "history checksum of the one before" },
	{ "behind a loss", 1, { { 4, 1, 2, 0, 7, 0, 0 }, LOSS, { 9, 8, 1, 5, 8, 0, 0 } }, 3, OK, "" },
	{ "a gap that a repair has made", 1, { { 4, 1, 2, 0, 7, 0, 0 }, { 9, 6, 1, 0, 8, GAP, 2 } }, 2, ACCEPTED, "between them is lost" },
	{ "a gap before its first record", 1, { { 3, 6, 1, 0, 8, GAP, 2 } }, 1, BROKEN, "before its connection's first one" },
};

static void test_plain(void **state)
{
	struct stream_id id = stream_id_plain(4);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(plain_rows); i++)
		run(&plain_rows[i], &id);
}

/* --- snapshots */

struct compared {
	const char *name;
	uint64_t lowest;
	uint64_t record;              /* that the snapshot covers */
	struct snapshot_entry entry;  /* of stream 1; last_seq 0: it has none */
	bool lost;                    /* something, before */
	bool forgotten;
	int result;
	const char *text;
};

/* The records: stream 1, two messages, record 1 and 2, writer 3, history 7. */
static const struct compared compared_rows[] = {
	{ "the same", 1, 2, { .last_seq = 2, .record = 2, .writer = 3, .h = 7 }, false, false, OK, "" },
	{ "another number", 1, 2, { .last_seq = 1, .record = 2, .writer = 3, .h = 7 }, false, false, BROKEN, "number 1, record 2 in it" },
	{ "another record", 1, 2, { .last_seq = 2, .record = 1, .writer = 3, .h = 7 }, false, false, BROKEN, "number 2, record 1 in it" },
	{ "another writer", 1, 2, { .last_seq = 2, .record = 2, .writer = 4, .h = 7 }, false, false, BROKEN, "in the records" },
	{ "another history", 1, 2, { .last_seq = 2, .record = 2, .writer = 3, .h = 8 }, false, false, BROKEN, "in the records" },
	{ "missing", 1, 2, { .last_seq = 0 }, false, false, BROKEN, "is missing in it" },
	{ "missing, it came later", 1, 1, { .last_seq = 0 }, false, false, OK, "" },
	{ "missing, forgotten", 1, 2, { .last_seq = 0 }, false, true, OK, "" },
	{ "missing, something was lost", 1, 2, { .last_seq = 0 }, true, false, OK, "" },
	{ "another number, something was lost", 1, 2, { .last_seq = 1, .record = 2 }, true, false, OK, "" },
	{ "another number, forgotten", 1, 2, { .last_seq = 1, .record = 2 }, false, true, OK, "" },
};

static void test_compare(void **state)
{
	static const struct step batch = { 1, 1, 2, 0, 7, 0, 0 };
	static const struct step end = { 3, 0, 0, 0, 0, BATCH_FORGET, 0 };
	struct stream_id id = named(1);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(compared_rows); i++) {
		const struct compared *row = &compared_rows[i];
		struct snapshot_entry entry = row->entry;
		uint8_t entries[SNAPSHOT_ENTRY_SIZE];
		char text[CONTINUITY_TEXT_SIZE] = "";
		struct continuity c;
		int result;

		assert_int_equal(continuity_init(&c, row->lowest), 0);
		assert_int_equal(take(&c, &id, &batch, text), CONTINUITY_OK);
		if (row->forgotten)
			assert_int_equal(take(&c, &id, &end, text), CONTINUITY_OK);
		if (row->lost)
			continuity_lost(&c);
		entry.stream = id;
		snapshot_entry_encode(entries, &entry);
		result = (int)continuity_compare(&c, entries, entry.last_seq != 0, row->record,
						 text);
		if (result != row->result || strstr(text, row->text) == NULL)
			fail_msg("%s: %d, \"%s\"", row->name, result, text);
		continuity_deinit(&c);
	}
}

/* A stream that is in a snapshot and in no record: only where everything is known is that wrong. */
static void test_compare_unknown(void **state)
{
	static const struct {
		uint64_t lowest;
		bool lost;
		int result;
	} rows[] = { { 1, false, CONTINUITY_BROKEN },
		     { 1, true, CONTINUITY_OK },
		     { 5, false, CONTINUITY_OK } };
	struct snapshot_entry entry = { .stream = named(1), .last_seq = 2, .record = 2 };
	uint8_t entries[SNAPSHOT_ENTRY_SIZE];

	(void)state;
	snapshot_entry_encode(entries, &entry);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[CONTINUITY_TEXT_SIZE] = "";
		struct continuity c;

		assert_int_equal(continuity_init(&c, rows[i].lowest), 0);
		if (rows[i].lost)
			continuity_lost(&c);
		assert_int_equal(continuity_compare(&c, entries, 1, 9, text), rows[i].result);
		assert_true((strstr(text, "is in it, but in no record") != NULL) ==
			    (rows[i].result == CONTINUITY_BROKEN));
		continuity_deinit(&c);
	}
}

/* Behind a snapshot all streams are known: those in it go on, others begin. */
static void test_seed(void **state)
{
	static const struct step goes_on = { 5, 3, 1, 7, 8, 0, 0 };
	static const struct step another = { 6, 3, 1, 7, 8, 0, 0 };
	struct snapshot_entry two[2] = {
		{ .stream = named(1), .last_seq = 2, .record = 4, .h = 7 },
		{ .stream = named(2), .last_seq = 0 }, /* makes no sense, and is passed over */
	};
	uint8_t entries[2 * SNAPSHOT_ENTRY_SIZE];
	char text[CONTINUITY_TEXT_SIZE] = "";
	struct stream_id id = named(1);
	struct continuity c;

	(void)state;
	snapshot_entry_encode(entries, &two[0]);
	snapshot_entry_encode(entries + SNAPSHOT_ENTRY_SIZE, &two[1]);
	assert_int_equal(continuity_init(&c, 5), 0);
	assert_false(c.complete);
	assert_int_equal(continuity_seed(&c, entries, 2), 0);
	assert_true(c.complete);
	assert_int_equal(take(&c, &id, &goes_on, text), CONTINUITY_OK);
	id = named(2);
	assert_int_equal(take(&c, &id, &another, text), CONTINUITY_BROKEN);
	assert_non_null(strstr(text, "follows number 0"));
	continuity_deinit(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_native),	       cmocka_unit_test(test_plain),
		cmocka_unit_test(test_compare),	       cmocka_unit_test(test_compare_unknown),
		cmocka_unit_test(test_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
