#include <string.h>

#include "base/bytes.h"
#include "base/test.h"
#include "load/content.h"

static void test_numbers(void **state)
{
	static const uint32_t sizes[] = { 8, 9, 100, 4096, 70000 };
	struct content c;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		assert_int_equal(content_init(&c, sizes[i]), 0);
		for (uint64_t number = 1; number <= 1000; number++) {
			assert_int_equal(get_u64(content_next(&c)), number);
			assert_int_equal(get_u64(content_next(&c)), number); /* until it is taken */
			content_take(&c);
		}
		content_deinit(&c);
	}
}

static void test_small(void **state)
{
	struct content c;

	(void)state;
	for (uint32_t size = 0; size < 8; size++) {
		assert_int_equal(content_init(&c, size), 0);
		for (uint64_t number = 1; number <= 300; number++) {
			const uint8_t *message = content_next(&c);

			for (uint32_t i = 0; i < size; i++)
				assert_int_equal(message[i], (uint8_t)(number >> 8 * i));
			content_take(&c);
		}
		content_deinit(&c);
	}
}

/* Each value of a byte comes about as often as any other, and a message is not its predecessor. */
static void test_does_not_compress(void **state)
{
	enum { SIZE = 256 * 1024 };
	static uint8_t before[SIZE];
	unsigned seen[256] = { 0 };
	struct content c;
	const uint8_t *message;

	(void)state;
	assert_int_equal(content_init(&c, SIZE), 0);
	memcpy(before, content_next(&c), SIZE);
	content_take(&c);
	message = content_next(&c);
	assert_memory_not_equal(message + 8, before + 8, SIZE - 8);
	for (uint32_t i = 0; i < SIZE; i++)
		seen[message[i]]++;
	for (unsigned i = 0; i < 256; i++)
		assert_in_range(seen[i], SIZE / 256 * 3 / 4, SIZE / 256 * 5 / 4);
	content_deinit(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_does_not_compress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
