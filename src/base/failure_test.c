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
		assert_string_equal(why.text + length - 27, ": No such file or directory");
		failure_set(&why, EXIT_CREATE, 0, "%s", path);
		assert_true(strlen(why.text) < sizeof(why.text));
	}
}

/* Whatever a path holds, it is one line that does nothing to a terminal. */
static void paths_are_harmless(void **state)
{
	struct failure why;

	(void)state;
	failure_set(&why, EXIT_CREATE, ENOENT, "make journal %s", "a\nb\\/\033[31m\xff");
	assert_string_equal(why.text,
			    "make journal a\\nb\\/\\x1b[31m\\xff: No such file or directory");
	failure_set(&why, EXIT_CREATE, 0, "it answered \"%s\"", "a\\nb\\x1b");
	assert_string_equal(why.text, "it answered \"a\\nb\\x1b\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_a_reason),
		cmocka_unit_test(without_a_reason),
		cmocka_unit_test(the_reason_is_never_cut_off),
		cmocka_unit_test(paths_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
