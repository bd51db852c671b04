#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/test.h"

/* RFC 3720, B.4, and the check value of the catalogues. */
static void known_values(void **state)
{
	uint8_t zeros[32], ones[32], up[32], down[32];
	static const uint8_t scsi_read[48] = {
		0x01,
		0xc0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0x14,
		0,
		0,
		0,
		0,
		0,
		0x04,
		0,
		0,
		0,
		0,
		0x14,
		0,
		0,
		0,
		0x18,
		0x28,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		0x02,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
	};
	const struct {
		const char *name;
		const void *data;
		size_t size;
		uint32_t want;
	} rows[] = {
		{ "nothing", "", 0, 0 },
		{ "digits", "123456789", 9, 0xe3069283 },
		{ "zeros", zeros, 32, 0x8a9136aa },
		{ "ones", ones, 32, 0x62a8ab43 },
		{ "up", up, 32, 0x46dd794e },
		{ "down", down, 32, 0x113fdb5c },
		{ "scsi read", scsi_read, 48, 0xd9963a56 },
	};

	(void)state;
	memset(zeros, 0, sizeof(zeros));
	memset(ones, 0xff, sizeof(ones));
	for (unsigned i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(crc32c(0, rows[i].data, rows[i].size), rows[i].want);
		assert_int_equal(crc32c_by_table(0, rows[i].data, rows[i].size), rows[i].want);
	}
}

/* Every way that there is here, against the table. */
static void agree(uint32_t crc, const uint8_t *data, size_t size)
{
	uint32_t want = crc32c_by_table(crc, data, size);
	uint32_t got = crc;

	assert_int_equal(crc32c(crc, data, size), want);
	if (crc32c_by_instruction(&got, data, size))
		assert_int_equal(got, want);
	got = crc;
	if (crc32c_by_library(&got, data, size))
		assert_int_equal(got, want);
}

/* Memory that ends where the data does, so that a sanitizer sees a byte too many. */
static uint8_t *make_random(size_t size)
{
	uint8_t *data = malloc(size);
	uint32_t random = 1;

	assert_non_null(data);
	for (size_t i = 0; i < size; i++) {
		random = random * 1664525 + 1013904223;
		data[i] = (uint8_t)(random >> 24);
	}
	return data;
}

/* Each path through the instruction's loop and the library's is taken, on both sides of where one hands over to the other. */
static void all_ways_agree_at_every_size_and_alignment(void **state)
{
	enum { SIZE_MAX_HERE = 5000 };
	uint8_t *data = make_random(SIZE_MAX_HERE);

	(void)state;
	for (size_t size = 0; size <= SIZE_MAX_HERE; size++)
		agree((uint32_t)size * 0x9e3779b9, data + SIZE_MAX_HERE - size, size);
	for (size_t start = 0; start < 64; start++)
		for (size_t size = 0; size <= 320; size++)
			agree((uint32_t)size * 0x9e3779b9, data + start, size);
	free(data);
}

/* A remainder of all zeros or all ones goes on rightly, too. */
static void all_ways_agree_at_every_remainder(void **state)
{
	static const uint32_t remainders[] = { 0, 1, 0x80000000, 0x12345678, UINT32_MAX };
	uint8_t *data = make_random(300);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(remainders); i++)
		for (size_t size = 0; size <= 300; size++)
			agree(remainders[i], data, size);
	free(data);
}

static void numbers_before_the_data(void **state)
{
	static const struct {
		uint64_t first;
		uint32_t second;
	} rows[] = {
		{ 0, 0 },
		{ 1, 2 },
		{ UINT64_C(0x0102030405060708), 0x090a0b0c },
		{ UINT64_MAX, UINT32_MAX },
	};
	uint8_t *data = make_random(1000);
	uint8_t head[12];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		put_u64(head, rows[i].first);
		put_u32(head + 8, rows[i].second);
		for (size_t size = 0; size <= 1000; size++) {
			uint32_t want = crc32c_by_table(0x5a5a, head, sizeof(head));

			want = crc32c_by_table(want, data, size);
			assert_int_equal(
				crc32c_headed(0x5a5a, rows[i].first, rows[i].second, data, size),
				want);
		}
		assert_int_equal(crc32c_headed(7, rows[i].first, rows[i].second, NULL, 0),
				 crc32c_by_table(7, head, sizeof(head)));
		assert_int_equal(crc32c_u32(7, rows[i].second), crc32c_by_table(7, head + 8, 4));
	}
	free(data);
}

static void it_goes_on_where_it_ended(void **state)
{
	const char text[] = "acknowledged, durable delivery of messages";
	size_t size = sizeof(text) - 1;
	uint32_t whole = crc32c(0, text, size);

	(void)state;
	for (size_t cut = 0; cut <= size; cut++) {
		assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, size - cut), whole);
		assert_int_equal(
			crc32c_by_table(crc32c_by_table(0, text, cut), text + cut, size - cut),
			whole);
	}
}

static void every_flipped_bit_shows(void **state)
{
	uint8_t data[40] = { 0 };
	uint32_t whole = crc32c(0, data, sizeof(data));

	(void)state;
	for (size_t bit = 0; bit < sizeof(data) * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(crc32c(0, data, sizeof(data)), whole);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(all_ways_agree_at_every_size_and_alignment),
		cmocka_unit_test(all_ways_agree_at_every_remainder),
		cmocka_unit_test(numbers_before_the_data),
		cmocka_unit_test(it_goes_on_where_it_ended),
		cmocka_unit_test(every_flipped_bit_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
