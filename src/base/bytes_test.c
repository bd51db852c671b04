#include "base/bytes.h"

#include "base/test.h"

static void integers_are_little_endian(void **state)
{
	uint8_t bytes[10];

	(void)state;
	memset(bytes, 0xee, sizeof(bytes));
	put_u16(bytes + 1, 0x0102);
	assert_memory_equal(bytes, "\xee\x02\x01\xee", 4);
	assert_int_equal(get_u16(bytes + 1), 0x0102);
	put_u32(bytes + 1, 0x81020384);
	assert_memory_equal(bytes, "\xee\x84\x03\x02\x81\xee", 6);
	assert_int_equal(get_u32(bytes + 1), 0x81020384);
	put_u64(bytes + 1, 0x8102030405060788);
	assert_memory_equal(bytes, "\xee\x88\x07\x06\x05\x04\x03\x02\x81\xee", 10);
	assert_true(get_u64(bytes + 1) == 0x8102030405060788);
}

static void every_bit_survives(void **state)
{
	uint8_t bytes[8];

	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t value = UINT64_C(1) << bit;

		put_u64(bytes, value);
		assert_true(get_u64(bytes) == value);
		put_u32(bytes, (uint32_t)value);
		assert_true(get_u32(bytes) == (uint32_t)value);
		put_u16(bytes, (uint16_t)value);
		assert_true(get_u16(bytes) == (uint16_t)value);
	}
}

static void zero_means_every_byte(void **state)
{
	uint8_t bytes[70] = { 0 };

	(void)state;
	for (size_t size = 0; size <= 64; size++) {
		bytes[1 + size] = 1; /* just behind, and just before: not looked at */
		bytes[0] = 1;
		assert_true(bytes_are_zero(bytes + 1, size));
		bytes[1 + size] = 0;
		for (size_t i = 0; i < size; i++) {
			bytes[1 + i] = 0x80;
			assert_false(bytes_are_zero(bytes + 1, size));
			bytes[1 + i] = 0;
		}
	}
}

static void rounding(void **state)
{
	static const struct {
		uint64_t size, unit, want;
	} rows[] = {
		{ 0, 1, 0 },
		{ 7, 1, 7 },
		{ 0, 4096, 0 },
		{ 1, 4096, 4096 },
		{ 4095, 4096, 4096 },
		{ 4096, 4096, 4096 },
		{ 4097, 4096, 8192 },
		{ UINT64_MAX - 4095, 4096, UINT64_MAX - 4095 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_true(round_up(rows[i].size, rows[i].unit) == rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_little_endian),
		cmocka_unit_test(every_bit_survives),
		cmocka_unit_test(zero_means_every_byte),
		cmocka_unit_test(rounding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
