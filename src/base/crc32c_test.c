#include "base/crc32c.h"

#include <string.h>

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

/* Every size and every alignment, so that each path through the instruction's loop is taken. */
static void instruction_and_table_agree(void **state)
{
	uint8_t data[320];
	uint32_t random = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++) {
		random = random * 1664525 + 1013904223;
		data[i] = (uint8_t)(random >> 24);
	}
	for (size_t start = 0; start < 9; start++)
		for (size_t size = 0; size + start <= 300; size++)
			assert_int_equal(
				crc32c((uint32_t)size * 0x9e3779b9, data + start, size),
				crc32c_by_table((uint32_t)size * 0x9e3779b9, data + start, size));
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
		cmocka_unit_test(instruction_and_table_agree),
		cmocka_unit_test(it_goes_on_where_it_ended),
		cmocka_unit_test(every_flipped_bit_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
