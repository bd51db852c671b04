#include "base/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/test.h"

static const struct stream_id stream = {
	{ 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
};

static void kinds_of_stream_ids(void **state)
{
	static const struct {
		const char *name;
		struct stream_id id;
		bool zero, plain;
	} rows[] = {
		{ "zero", { { 0 } }, true, false },
		{ "plain 1", { { [8] = 1 } }, false, true },
		{ "plain 2^56", { { [15] = 1 } }, false, true },
		{ "last byte of the first half", { { [7] = 1 } }, false, false },
		{ "both halves", { { [7] = 1, [8] = 1 } }, false, false },
		{ "first byte", { { 0x80 } }, false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(stream_id_is_zero(&rows[i].id), rows[i].zero);
		assert_int_equal(stream_id_is_plain(&rows[i].id), rows[i].plain);
		for (size_t k = 0; k < COUNT_OF(rows); k++)
			assert_int_equal(stream_id_equal(&rows[i].id, &rows[k].id), i == k);
	}
}

static void plain_ids_carry_the_record(void **state)
{
	static const uint64_t records[] = { 1, 255, 256, UINT64_C(1) << 63, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(records); i++) {
		struct stream_id id = stream_id_plain(records[i]);

		assert_true(stream_id_is_plain(&id));
		assert_true(get_u64(id.bytes + 8) == records[i]);
	}
}

/* Computed with Python's hashlib: sha256(b"roger stream " + name)[:16], bit 7 of byte 0 set. */
static void ids_of_names(void **state)
{
	static const struct {
		const char *name;
		uint8_t id[STREAM_ID_SIZE];
	} rows[] = {
		{ "",
		  { 0xd1, 0x18, 0xfd, 0x53, 0x97, 0x0f, 0xa2, 0xab, 0x12, 0x96, 0x37, 0x3c, 0x18, 0xac, 0xfd, 0x2e } },
		{ "a",
		  { 0x83, 0xc1, 0x77, 0x70, 0x20, 0x7e, 0x0c, 0xf4, 0x06, 0x13, 0xf1, 0x3e, 0xf5, 0xdf, 0x0d, 0xb6 } },
		{ "orders",
		  { 0x94, 0x22, 0x66, 0x2a, 0xcb, 0xea, 0x81, 0x19, 0xa5, 0x32, 0xc5, 0x80, 0xa0, 0x0b, 0xcb, 0xdf } },
		{ "Gr\303\274\303\237e",
		  { 0xb0, 0x99, 0xe0, 0xfd, 0x87, 0x3b, 0x5d, 0xea, 0x89, 0xe6, 0x78, 0x65, 0x67, 0x13, 0x59, 0x1b } },
		{ "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		  { 0xcc, 0x82, 0x88, 0x75, 0xd8, 0x08, 0x0d, 0x01, 0x8d, 0x66, 0x66, 0x32, 0xc6, 0x2d, 0x98, 0x3f } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct stream_id id;

		stream_id_of_name(rows[i].name, &id);
		assert_memory_equal(id.bytes, rows[i].id, STREAM_ID_SIZE);
	}
}

static void random_ids_are_never_plain(void **state)
{
	uint8_t random[STREAM_ID_SIZE] = { 0 };
	struct stream_id id;

	(void)state;
	stream_id_of_random(random, &id);
	assert_false(stream_id_is_zero(&id));
	assert_false(stream_id_is_plain(&id));
	memset(random, 0x7f, sizeof(random));
	stream_id_of_random(random, &id);
	assert_int_equal(id.bytes[0], 0xff);
	assert_memory_equal(id.bytes + 1, random + 1, STREAM_ID_SIZE - 1);
}

/* The definition, written out: one checksum over stream, number, size and payload laid behind one another. */
static uint32_t by_definition(uint64_t seq, uint32_t size, const void *payload, size_t payload_size)
{
	uint8_t bytes[256];

	memcpy(bytes, stream.bytes, 16);
	put_u64(bytes + 16, seq);
	put_u32(bytes + 24, size);
	memcpy(bytes + 28, payload, payload_size);
	return crc32c_by_table(0, bytes, 28 + payload_size);
}

static void checksum_is_as_defined(void **state)
{
	static const uint64_t numbers[] = { 1, 2, 0x0102030405060708, SEQ_MAX };
	uint32_t seed = frame_seed(&stream);
	const uint8_t payload[] = "Hello World! and some more that is behind it";

	(void)state;
	for (size_t n = 0; n < COUNT_OF(numbers); n++) {
		for (uint32_t size = 0; size < sizeof(payload); size++)
			assert_int_equal(frame_checksum(seed, numbers[n], size, payload),
					 by_definition(numbers[n], size, payload, size));
		assert_int_equal(frame_checksum(seed, numbers[n], 0, NULL),
				 by_definition(numbers[n], 0, "", 0));
		assert_int_equal(frame_checksum(seed, numbers[n], FRAME_SIZE_BYE, NULL),
				 by_definition(numbers[n], UINT32_MAX, "", 0));
	}
}

static void checksum_depends_on_everything(void **state)
{
	struct stream_id other = stream;
	const uint8_t payload[] = "ab";
	uint32_t want = frame_checksum(frame_seed(&stream), 5, 2, payload);

	(void)state;
	other.bytes[15] ^= 1;
	assert_int_not_equal(frame_checksum(frame_seed(&other), 5, 2, payload), want);
	assert_int_not_equal(frame_checksum(frame_seed(&stream), 6, 2, payload), want);
	assert_int_not_equal(frame_checksum(frame_seed(&stream), 5, 1, payload), want);
	assert_int_not_equal(frame_checksum(frame_seed(&stream), 5, 2, (const uint8_t *)"aa"),
			     want);
}

static void header_comes_back(void **state)
{
	uint8_t bytes[FRAME_HEADER_SIZE];
	struct frame_header header = { .size = 0x01020304, .checksum = 0xa5b6c7d8 }, back;

	(void)state;
	frame_put_header(bytes, header);
	assert_memory_equal(bytes, "\x04\x03\x02\x01\xd8\xc7\xb6\xa5", 8);
	back = frame_get_header(bytes);
	assert_int_equal(back.size, header.size);
	assert_int_equal(back.checksum, header.checksum);
}

static void history_is_a_checksum_of_checksums(void **state)
{
	uint8_t all[12];
	uint32_t h = 0;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		put_u32(all + (size_t)4 * i, 0xc0ffee00 + i);
		h = history_next(h, 0xc0ffee00 + i);
	}
	assert_int_equal(h, crc32c_by_table(0, all, sizeof(all)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_of_stream_ids),
		cmocka_unit_test(plain_ids_carry_the_record),
		cmocka_unit_test(ids_of_names),
		cmocka_unit_test(random_ids_are_never_plain),
		cmocka_unit_test(checksum_is_as_defined),
		cmocka_unit_test(checksum_depends_on_everything),
		cmocka_unit_test(header_comes_back),
		cmocka_unit_test(history_is_a_checksum_of_checksums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
