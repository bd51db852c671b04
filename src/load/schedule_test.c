#include <string.h>

#include "base/limits.h"
#include "base/test.h"
#include "load/schedule.h"

enum { START = 1000 };

static void test_count(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 2, 0, 0, START);
	assert_int_equal(schedule_left(&s), 2);
	assert_true(schedule_is_due(&s, START));
	assert_int_equal(schedule_take(&s, START, START + 5), START + 5);
	assert_true(schedule_is_due(&s, NEVER_NS - 1));
	assert_true(schedule_deadline(&s, START, true) == NEVER_NS);
	schedule_take_many(&s, START, 1);
	assert_false(schedule_is_due(&s, START));
	assert_true(schedule_is_over(&s, START));
	assert_int_equal(schedule_behind(&s), 0);
}

static void test_duration(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, 100, 0, START);
	assert_true(schedule_is_due(&s, START + 99));
	assert_int_equal(schedule_deadline(&s, START + 99, true), START + 100);
	assert_true(schedule_is_over(&s, START + 100));
	assert_false(schedule_is_due(&s, START + 100));
	/* What is over is not waited for. */
	assert_true(schedule_deadline(&s, START + 100, true) == NEVER_NS);
}

static void test_duration_without_end(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, NEVER_NS - START - 1, 7, START);
	assert_true(s.end_ns == NEVER_NS && s.late_ns == NEVER_NS);
	assert_false(schedule_is_over(&s, NEVER_NS - 1));
}

/* 3 a second: at 0, 333333333, 666666666, 1 s: nothing drifts. */
static void test_rate(void **state)
{
	static const uint64_t due[] = { 0, 333333333, 666666666, SECOND_NS, SECOND_NS + 333333333 };
	struct schedule s;

	(void)state;
	schedule_start(&s, COUNT_OF(due), 0, 3, START);
	for (size_t i = 0; i < COUNT_OF(due); i++) {
		if (due[i] > 0) {
			assert_false(schedule_is_due(&s, START + due[i] - 1));
			assert_int_equal(schedule_deadline(&s, START + due[i] - 1, true),
					 START + due[i]);
		}
		assert_true(schedule_deadline(&s, START, false) == NEVER_NS);
		/* Late: it counts from when it was due. */
		assert_int_equal(schedule_take(&s, START + due[i] + 7777, 1), START + due[i]);
	}
	assert_true(schedule_is_over(&s, START + 2 * SECOND_NS));
}

/* After a hundred years at the highest rate the arithmetic still holds. */
static void test_rate_far_away(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, 0, 100000000, START);
	s.taken = (uint64_t)100000000 * 3600 * 24 * 365 * 100 + 99999999;
	assert_true(schedule_deadline(&s, START, true) ==
		    START + (uint64_t)3600 * 24 * 365 * 100 * SECOND_NS + 999999990);
}

static void test_behind(void **state)
{
	static const struct {
		const char *name;
		uint64_t count, duration_ns, rate, taken, behind;
	} rows[] = {
		{ "all begun", 0, SECOND_NS, 10, 10, 0 },
		{ "one missing", 0, SECOND_NS, 10, 9, 1 },
		{ "none begun", 0, SECOND_NS, 10, 0, 10 },
		{ "the first is due at once", 0, 1, 10, 0, 1 },
		{ "one is due at the end: too late", 0, SECOND_NS / 10, 10, 0, 1 },
		{ "one is due right before the end", 0, SECOND_NS / 10 + 1, 10, 0, 2 },
		{ "rounded down, so right before the end", 0, 333333334, 3, 0, 2 },
		{ "rounded down, so right at the end", 0, 333333333, 3, 0, 1 },
		{ "no more than were asked for", 4, SECOND_NS, 10, 1, 3 },
		{ "no rate", 0, SECOND_NS, 0, 0, 0 },
		{ "no end", 1000, 0, 10, 3, 0 },
	};
	struct schedule s;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("%s\n", rows[i].name);
		schedule_start(&s, rows[i].count, rows[i].duration_ns, rows[i].rate, START);
		s.taken = rows[i].taken;
		assert_int_equal(schedule_behind(&s), rows[i].behind);
	}
}

/* With a rate, what was due before the end may still begin for a second; what was due later may not. */
static void test_late(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, SECOND_NS, 2, START);
	assert_int_equal(schedule_take(&s, START + SECOND_NS, 0), START);
	assert_false(schedule_is_over(&s, START + 2 * SECOND_NS - 1));
	assert_true(schedule_is_over(&s, START + 2 * SECOND_NS));
	assert_int_equal(schedule_take(&s, START + 2 * SECOND_NS - 1, 0), START + SECOND_NS / 2);
	assert_true(schedule_is_over(&s, START + 2 * SECOND_NS - 1));
	assert_int_equal(schedule_behind(&s), 0);
}

static void test_stop(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, 0, 10 * SECOND_NS, 4, START);
	schedule_take(&s, START, 0);
	schedule_stop(&s, START + SECOND_NS);
	assert_true(schedule_is_over(&s, START + SECOND_NS));
	assert_int_equal(schedule_behind(&s), 3);
	/* Later does not take it back. */
	schedule_stop(&s, START + 2 * SECOND_NS);
	assert_int_equal(s.end_ns, START + SECOND_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_duration_without_end),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_far_away),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
