#include "client/retry.h"

#include "base/limits.h"
#include "base/test.h"

static void full_jitter(void **state)
{
	static const struct {
		const char *name;
		unsigned attempt;
		uint64_t most_ns;
	} rows[] = {
		{ "the first", 0, 50 * MS_NS },
		{ "the second", 1, 100 * MS_NS },
		{ "below the limit", 6, 3200 * MS_NS },
		{ "at the limit", 7, 5 * SECOND_NS },
		{ "long ago", UINT32_MAX, 5 * SECOND_NS },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t half = retry_delay_ns(rows[i].attempt, UINT32_MAX / 2);

		print_message("  %s\n", rows[i].name);
		assert_int_equal(retry_delay_ns(rows[i].attempt, 0), MS_NS);
		assert_int_equal(retry_delay_ns(rows[i].attempt, UINT32_MAX), rows[i].most_ns);
		assert_in_range(half, rows[i].most_ns / 2 - 2, rows[i].most_ns / 2 + 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
