#include "base/protocol.h"

#include "base/test.h"

static void names_and_numbers(void **state)
{
	(void)state;
	assert_string_equal(protocol_name(PROTOCOL_NATIVE), "roger");
	assert_string_equal(protocol_name(PROTOCOL_LINE), "line");
	assert_string_equal(protocol_name(PROTOCOL_NONE), "unknown");
	assert_string_equal(protocol_name(PROTOCOL_COUNT), "unknown");
	assert_string_equal(protocol_name(255), "unknown");
	for (uint8_t i = PROTOCOL_NATIVE; i < PROTOCOL_COUNT; i++)
		assert_int_equal(protocol_of_name(protocol_name(i)), i);
}

static void other_names_are_none(void **state)
{
	static const char *const names[] = {
		"",
		"unknown",
		"Roger",
		"rogers",
		"roge",
		"native",
		"line ",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_int_equal(protocol_of_name(names[i]), PROTOCOL_NONE);
}

/* They are kept on disk with every batch. */
static void numbers_never_change(void **state)
{
	(void)state;
	assert_int_equal(PROTOCOL_NATIVE, 1);
	assert_int_equal(PROTOCOL_RAW, 2);
	assert_int_equal(PROTOCOL_WHOLE, 3);
	assert_int_equal(PROTOCOL_LINE, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers),
		cmocka_unit_test(other_names_are_none),
		cmocka_unit_test(numbers_never_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
