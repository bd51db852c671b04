#include <stdlib.h>

#include "base/test.h"
#include "load/stamps.h"

enum { CAPACITY = 3 };

struct world {
	struct stamps stamps;
	struct stamp ring[CAPACITY];
	struct histogram latency;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -1;
	stamps_init(&w->stamps, w->ring, CAPACITY);
	histogram_init(&w->latency);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void test_acks_across_runs(void **state)
{
	struct world *w = *state;

	stamps_put(&w->stamps, 17, 100);
	stamps_put(&w->stamps, 20, 200);
	stamps_put(&w->stamps, 31, 300);
	/* In the middle of the first run. */
	stamps_ack(&w->stamps, 15, 1000, &w->latency);
	assert_int_equal(w->latency.total, 15);
	assert_int_equal(w->latency.counts[900], 15);
	/* Its rest, all of the second, one of the third. */
	stamps_ack(&w->stamps, 21, 1100, &w->latency);
	assert_int_equal(w->latency.total, 21);
	assert_int_equal(w->latency.counts[1000], 2);
	assert_int_equal(w->latency.counts[900], 15 + 3);
	assert_int_equal(w->latency.counts[800], 1);
	/* The same once more counts nothing. */
	stamps_ack(&w->stamps, 21, 1200, &w->latency);
	assert_int_equal(w->latency.total, 21);
	stamps_ack(&w->stamps, 31, 1300, &w->latency);
	assert_int_equal(w->latency.total, 31);
	assert_int_equal(w->latency.counts[1000], 2 + 10);
}

static void test_room(void **state)
{
	struct world *w = *state;

	for (uint64_t round = 0; round < 5; round++) {
		for (uint64_t i = 1; i <= CAPACITY; i++) {
			assert_true(stamps_has_room(&w->stamps));
			stamps_put(&w->stamps, round * CAPACITY + i, round);
		}
		assert_false(stamps_has_room(&w->stamps));
		stamps_ack(&w->stamps, round * CAPACITY + 1, round, &w->latency);
		assert_true(stamps_has_room(&w->stamps));
		stamps_ack(&w->stamps, (round + 1) * CAPACITY, round, &w->latency);
	}
	assert_int_equal(w->latency.total, 5 * CAPACITY);
	assert_int_equal(w->latency.counts[0], 5 * CAPACITY);
}

/* With a rate a message may be sent a little before the clock says that it is due. */
static void test_never_below_zero(void **state)
{
	struct world *w = *state;

	stamps_put(&w->stamps, 1, 500);
	stamps_ack(&w->stamps, 1, 499, &w->latency);
	assert_int_equal(w->latency.counts[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_acks_across_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_below_zero, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
