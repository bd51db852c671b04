/* Messages that describe themselves. */
#include <string.h>

#include "base/test.h"
#include "check.h"

enum { MOST = 60000 };

static uint8_t data[MOST + 1];
static uint8_t again[MOST + 1];

static void test_sizes(void **state)
{
	static const size_t mosts[] = { MESSAGE_HEAD + 1, MESSAGE_HEAD + 2, 100, 2000, MOST };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(mosts); i++) {
		bool has_most = false, has_least = false;

		for (uint64_t number = 1; number <= 300; number++) {
			struct message message = { 3, (uint32_t)i, number }, read;
			size_t size = message_make(&message, mosts[i], data);

			assert_in_range(size, MESSAGE_HEAD, mosts[i]);
			assert_int_equal(message_size(&message, mosts[i]), size);
			has_most |= size == mosts[i];
			has_least |= size == MESSAGE_HEAD;
			for (size_t k = 0; k < size; k++)
				assert_in_range(data[k], ' ' + 1, '~');
			assert_true(message_read(data, size, &read));
			assert_int_equal(read.sender, 3);
			assert_int_equal(read.run, i);
			assert_int_equal(read.number, number);
			assert_int_equal(message_make(&message, mosts[i], again), size);
			assert_memory_equal(data, again, size);
		}
		assert_true(has_most);
		assert_true(has_least);
	}
}

static void test_changed(void **state)
{
	struct message message = { 4095, 1048575, 68719476735 }, read;
	size_t size = message_make(&message, 200, data);

	(void)state;
	assert_true(message_read(data, size, &read));
	assert_int_equal(read.sender, message.sender);
	assert_int_equal(read.run, message.run);
	assert_int_equal(read.number, message.number);
	for (size_t i = 0; i < size; i++) {
		data[i] ^= 1;
		assert_false(message_read(data, size, &read));
		data[i] ^= 1;
	}
	for (size_t cut = 0; cut < size; cut++)
		assert_false(message_read(data, cut, &read));
	data[size] = 'x';
	assert_false(message_read(data, size + 1, &read));
	for (size_t cut = 1; cut <= size; cut++)
		assert_true(message_begins(&message, data, cut));
	message.number--;
	assert_false(message_begins(&message, data, size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
