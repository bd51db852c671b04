#include "base/failure.h"

#include <errno.h>
#include <string.h>

#include "base/test.h"

static void with_a_reason(void **state)
{
	struct failure why;

	(void)state;
	assert_int_equal(
		failure_set(&why, EXIT_LISTEN, EADDRINUSE, "listen %s:%d", "0.0.0.0", 9999),
		-EADDRINUSE);
	assert_int_equal(why.status, EXIT_LISTEN);
	assert_int_equal(why.error, EADDRINUSE);
	assert_string_equal(why.text, "listen 0.0.0.0:9999: Address already in use");
}

static void without_a_reason(void **state)
{
	struct failure why;

	(void)state;
	assert_int_equal(failure_set(&why, EXIT_DATA, 0, "record %d", 7), -EINVAL);
	assert_int_equal(why.error, 0);
	assert_string_equal(why.text, "record 7");
}

/* Whatever is too long, the reason stays readable at the end. */
static void the_reason_is_never_cut_off(void **state)
{
	char path[800];

	(void)state;
	for (size_t size = 500; size < sizeof(path); size++) {
		struct failure why;
		size_t length;

		memset(path, 'p', size);
		path[size] = '\0';
		failure_set(&why, EXIT_CREATE, ENOENT, "%s", path);
		length = strlen(why.text);
		assert_true(length < sizeof(why.text));
		assert_string_equal(why.text + length - 28, "p: No such file or directory");
		failure_set(&why, EXIT_CREATE, 0, "%s", path);
		assert_true(strlen(why.text) < sizeof(why.text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_a_reason),
		cmocka_unit_test(without_a_reason),
		cmocka_unit_test(the_reason_is_never_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
