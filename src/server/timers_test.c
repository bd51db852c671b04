#include "base/test.h"

#include <stdlib.h>

#include "base/limits.h"
#include "server/timers.h"

enum { ITEMS = 64 };

static void due_in_order(void **state)
{
	static const uint64_t when[] = { 50, 10, 40, 10, 30, 20, 60 };
	struct timers timers;
	uint32_t item;
	uint64_t last = 0;

	(void)state;
	assert_int_equal(timers_init(&timers, ITEMS), 0);
	assert_int_equal(timers_next(&timers), NEVER_NS);
	for (uint32_t i = 0; i < COUNT_OF(when); i++)
		timers_set(&timers, i, when[i]);
	assert_int_equal(timers_next(&timers), 10);
	assert_false(timers_due(&timers, 9, &item));
	for (uint32_t i = 0; i < COUNT_OF(when); i++) {
		assert_true(timers_due(&timers, 60, &item));
		assert_true(when[item] >= last);
		last = when[item];
	}
	assert_false(timers_due(&timers, 1000, &item));
	assert_int_equal(timers_next(&timers), NEVER_NS);
	timers_deinit(&timers);
}

static void moving_later_does_not_touch_the_heap(void **state)
{
	struct timers timers;
	uint32_t item;

	(void)state;
	assert_int_equal(timers_init(&timers, ITEMS), 0);
	timers_set(&timers, 3, 100);
	timers_set(&timers, 3, 200);
	timers_set(&timers, 3, 300);
	assert_int_equal(timers.count, 1);
	assert_int_equal(timers_next(&timers), 100); /* found out only then */
	assert_false(timers_due(&timers, 299, &item));
	assert_int_equal(timers_next(&timers), 300);
	assert_true(timers_due(&timers, 300, &item));
	assert_int_equal(item, 3);
	timers_deinit(&timers);
}

static void moving_earlier_holds_at_once(void **state)
{
	struct timers timers;
	uint32_t item;

	(void)state;
	assert_int_equal(timers_init(&timers, ITEMS), 0);
	timers_set(&timers, 1, 500);
	timers_set(&timers, 2, 400);
	timers_set(&timers, 1, 100);
	assert_int_equal(timers_next(&timers), 100);
	assert_true(timers_due(&timers, 100, &item));
	assert_int_equal(item, 1);
	assert_false(timers_due(&timers, 399, &item));
	timers_deinit(&timers);
}

static void without_a_deadline_nothing_wakes(void **state)
{
	struct timers timers;
	uint32_t item;

	(void)state;
	assert_int_equal(timers_init(&timers, ITEMS), 0);
	for (uint32_t i = 0; i < ITEMS; i++)
		timers_set(&timers, i, 1000 + i);
	for (uint32_t i = 0; i < ITEMS; i++)
		timers_set(&timers, i, NEVER_NS);
	assert_int_equal(timers.count, 0);
	assert_int_equal(timers_next(&timers), NEVER_NS);
	assert_false(timers_due(&timers, NEVER_NS - 1, &item));
	timers_set(&timers, 5, NEVER_NS);
	assert_int_equal(timers.count, 0);
	timers_deinit(&timers);
}

/* Against a plain table of deadlines, with many moves. */
static void as_a_plain_table(void **state)
{
	struct timers timers;
	uint64_t due[ITEMS];
	uint64_t now = 0;
	uint32_t item;

	(void)state;
	srandom(7);
	assert_int_equal(timers_init(&timers, ITEMS), 0);
	for (uint32_t i = 0; i < ITEMS; i++)
		due[i] = NEVER_NS;
	for (unsigned round = 0; round < 20000; round++) {
		uint32_t i = (uint32_t)random() % ITEMS;
		uint64_t earliest = NEVER_NS;

		due[i] = random() % 5 == 0 ? NEVER_NS : now + 1 + (uint64_t)random() % 100;
		timers_set(&timers, i, due[i]);
		now += (uint64_t)random() % 3;
		while (timers_due(&timers, now, &item)) {
			assert_true(due[item] <= now);
			due[item] = NEVER_NS;
		}
		for (uint32_t k = 0; k < ITEMS; k++) {
			assert_true(due[k] > now);
			if (due[k] < earliest)
				earliest = due[k];
		}
		assert_true(timers_next(&timers) <= earliest);
	}
	timers_deinit(&timers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(due_in_order),
		cmocka_unit_test(moving_later_does_not_touch_the_heap),
		cmocka_unit_test(moving_earlier_holds_at_once),
		cmocka_unit_test(without_a_deadline_nothing_wakes),
		cmocka_unit_test(as_a_plain_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
