/* The server's stream table, and the map of verify and repair. */
#include "journal/streams.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "journal/stream_map.h"
/* Last. */
#include "base/test.h"

static struct stream_id id_of(uint64_t number)
{
	struct stream_id id = { { 0x80 } };

	put_u64(id.bytes + 8, number);
	return id;
}

static uint32_t take(struct streams *s, uint64_t number, bool ephemeral)
{
	struct stream_id id = id_of(number);

	return streams_take(s, &id, ephemeral);
}

static uint32_t find(const struct streams *s, uint64_t number)
{
	struct stream_id id = id_of(number);

	return streams_find(s, &id);
}

/* --- the table */

/* More streams than buckets, so that every bucket has a chain; freed from its front, middle and end. */
static void test_table_full_and_freed(void **state)
{
	enum { CAPACITY = 40 };
	struct streams s;
	uint32_t at[CAPACITY];

	(void)state;
	assert_int_equal(streams_init(&s, CAPACITY, 7), 0);
	for (uint64_t i = 0; i < CAPACITY; i++) {
		assert_int_equal(find(&s, i), STREAM_NONE);
		at[i] = take(&s, i, false);
		assert_true(at[i] != STREAM_NONE);
		streams_advance(&s, at[i], 1, i + 1, 5, 100, 9);
	}
	assert_int_equal(take(&s, CAPACITY, false), STREAM_NONE);
	assert_int_equal(s.known, CAPACITY);
	for (uint64_t i = 0; i < CAPACITY; i += 3)
		streams_free(&s, at[i]);
	for (uint64_t i = 0; i < CAPACITY; i++)
		assert_int_equal(find(&s, i), i % 3 == 0 ? STREAM_NONE : at[i]);
	assert_int_equal(s.known, CAPACITY - 14);
	for (uint64_t i = 0; i < CAPACITY; i += 3)
		assert_true(take(&s, i + 1000, true) != STREAM_NONE);
	assert_int_equal(take(&s, CAPACITY, false), STREAM_NONE);
	assert_int_equal(s.known, CAPACITY - 14); /* none of the new ones has a message */
	streams_deinit(&s);
}

/* Ids whose hashes meet in one bucket must be told apart by all of their bytes. */
static void test_small_table_of_one_bucket_chain(void **state)
{
	struct streams s;
	uint32_t first, second;

	(void)state;
	assert_int_equal(streams_init(&s, 2, 0), 0);
	first = take(&s, 1, false);
	second = take(&s, 2, false);
	assert_int_equal(find(&s, 1), first);
	assert_int_equal(find(&s, 2), second);
	streams_free(&s, first);
	assert_int_equal(find(&s, 1), STREAM_NONE);
	assert_int_equal(find(&s, 2), second);
	assert_int_equal(take(&s, 3, false), first);
	streams_deinit(&s);
}

static void test_what_is_forgotten(void **state)
{
	enum { NOW = 1000, FIRST = 50 };
	static const struct {
		const char *name;
		bool ephemeral;
		bool open;
		uint64_t last_seq;
		uint64_t time_ns;
		uint64_t record;
		bool ephemeral_too;
		uint64_t named_age_ns;
		bool forgotten;
	} rows[] = {
		{ "ephemeral, old", true, false, 1, 900, 60, true, 0, true },
		{ "ephemeral, one too young", true, false, 1, 901, 60, true, 0, false },
		{ "ephemeral, the process is young", true, false, 1, 900, 60, false, 0, false },
		{ "ephemeral, open", true, true, 1, 900, 60, true, 0, false },
		{ "ephemeral, from the future", true, false, 1, 2000, 60, true, 0, false },
		{ "without a message", true, false, 0, 900, 0, true, 0, false },
		{ "named", false, false, 1, 1, 10, true, 0, false },
		{ "named, an age is set", false, false, 1, 500, 49, true, 500, true },
		{ "named, too young", false, false, 1, 501, 49, true, 500, false },
		{ "named, its record is kept", false, false, 1, 500, 50, true, 500, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct streams_age age = {
			.now_ns = NOW,
			.ephemeral_too = rows[i].ephemeral_too,
			.ephemeral_age_ns = 100,
			.named_age_ns = rows[i].named_age_ns,
			.first_record = FIRST,
		};
		struct streams s;
		uint32_t at;

		assert_int_equal(streams_init(&s, 4, 1), 0);
		streams_free(&s, take(&s, 7, true)); /* an unused entry before it */
		(void)take(&s, 8, false);
		at = take(&s, 9, rows[i].ephemeral);
		s.entries[at].open_count = rows[i].open;
		if (rows[i].last_seq != 0)
			streams_advance(&s, at, rows[i].last_seq, rows[i].record, 0,
					rows[i].time_ns, 0);
		if (streams_forget_old(&s, &age) != rows[i].forgotten ||
		    (find(&s, 9) == STREAM_NONE) != rows[i].forgotten)
			fail_msg("%s", rows[i].name);
		streams_deinit(&s);
	}
}

static void test_encoded_are_those_with_messages(void **state)
{
	uint8_t out[4 * SNAPSHOT_ENTRY_SIZE];
	struct snapshot_entry entry;
	struct streams s;

	(void)state;
	assert_int_equal(streams_init(&s, 4, 1), 0);
	(void)take(&s, 1, false);
	streams_free(&s, take(&s, 2, false));
	streams_advance(&s, take(&s, 3, true), 17, 99, 55, 44, 33);
	(void)take(&s, 4, false);
	assert_int_equal(streams_encode(&s, out), 1);
	snapshot_entry_decode(out, &entry);
	assert_int_equal(get_u64(entry.stream.bytes + 8), 3);
	assert_int_equal(entry.last_seq, 17);
	assert_int_equal(entry.record, 99);
	assert_int_equal(entry.writer, 55);
	assert_int_equal(entry.time_ns, 44);
	assert_int_equal(entry.h, 33);
	assert_int_equal(entry.flags, BATCH_EPHEMERAL);
	streams_deinit(&s);
}

static void test_memory_grows_with_the_capacity(void **state)
{
	static const struct {
		uint32_t capacity;
		uint64_t buckets;
	} rows[] = {
		{ 1, 16 }, { 16, 16 }, { 17, 32 }, { 100000, 131072 }, { UINT32_MAX, 1u << 30 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_true(streams_memory(rows[i].capacity) ==
			    (uint64_t)rows[i].capacity * sizeof(struct stream_entry) +
				    rows[i].buckets * sizeof(uint32_t));
}

/* --- the map */

/* Far more than it begins with: it grows, and loses none. */
static void test_map_grows(void **state)
{
	enum { COUNT = 5000 };
	struct stream_map map;

	(void)state;
	assert_int_equal(stream_map_init(&map), 0);
	for (uint64_t i = 0; i < COUNT; i++) {
		struct stream_id id = id_of(i);
		struct stream_note *note;

		assert_null(stream_map_find(&map, &id));
		note = stream_map_take(&map, &id);
		assert_non_null(note);
		assert_int_equal(note->now.last_seq, 0);
		note->now.last_seq = i + 1;
	}
	assert_int_equal(map.count, COUNT);
	assert_true(map.room >= COUNT);
	for (uint64_t i = 0; i < COUNT; i++) {
		struct stream_id id = id_of(i);

		assert_int_equal(stream_map_find(&map, &id)->now.last_seq, i + 1);
		assert_ptr_equal(stream_map_take(&map, &id), stream_map_find(&map, &id));
	}
	assert_int_equal(map.count, COUNT);
	stream_map_deinit(&map);
}

static void test_text(void **state)
{
	struct stream_id id;
	char text[STREAM_TEXT_SIZE];

	(void)state;
	for (unsigned i = 0; i < STREAM_ID_SIZE; i++)
		id.bytes[i] = (uint8_t)(i * 17);
	assert_string_equal(stream_text(&id, text), "00112233445566778899aabbccddeeff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_full_and_freed),
		cmocka_unit_test(test_small_table_of_one_bucket_chain),
		cmocka_unit_test(test_what_is_forgotten),
		cmocka_unit_test(test_encoded_are_those_with_messages),
		cmocka_unit_test(test_memory_grows_with_the_capacity),
		cmocka_unit_test(test_map_grows),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
