#include "base/test.h"

#include <string.h>

#include "base/limits.h"
#include "server/large.h"

static void the_budget_is_kept(void **state)
{
	struct large large;
	uint8_t *a, *b, *c;

	(void)state;
	assert_int_equal(large_init(&large, 2 * MIB, MIB), 0);
	a = large_acquire(&large, MIB);
	b = large_acquire(&large, MIB);
	assert_non_null(a);
	assert_non_null(b);
	assert_null(large_acquire(&large, 1));
	memset(a, 1, MIB);
	memset(b, 2, MIB);
	assert_int_equal(a[MIB - 1], 1);
	large_release(&large, a);
	c = large_acquire(&large, MIB);
	assert_non_null(c);
	large_release(&large, b);
	large_release(&large, c);
	assert_int_equal(large.reserved, 0);
	large_deinit(&large);
}

/* Many that need little fit where few that need much do, and what the large ones had touched is given back. */
static void smaller_ones_are_more(void **state)
{
	uint8_t *pieces[64];
	struct large large;
	unsigned count = 0;

	(void)state;
	assert_int_equal(large_init(&large, 4 * MIB, MIB), 0);
	for (unsigned i = 0; i < 4; i++)
		pieces[i] = large_acquire(&large, MIB);
	for (unsigned i = 0; i < 4; i++)
		large_release(&large, pieces[i]);
	while (count < COUNT_OF(pieces)) {
		pieces[count] = large_acquire(&large, 100 * KIB);
		if (!pieces[count])
			break;
		memset(pieces[count], 3, 100 * KIB);
		assert_int_equal(large_size(&large, pieces[count]), 100 * KIB);
		assert_true(large.touched <= large.budget);
		count++;
	}
	assert_int_equal(count, 4 * MIB / (100 * KIB));
	for (unsigned i = 0; i < count; i++)
		large_release(&large, pieces[i]);
	for (unsigned i = 0; i < 4; i++) {
		pieces[i] = large_acquire(&large, MIB);
		assert_non_null(pieces[i]);
		assert_true(large.touched <= large.budget);
	}
	large_deinit(&large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_budget_is_kept),
		cmocka_unit_test(smaller_ones_are_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
