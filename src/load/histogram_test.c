#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "load/histogram.h"

#define VALUE_MAX (((uint64_t)1 << HISTOGRAM_BITS_MAX) - 1)

static int setup(void **state)
{
	struct histogram *h = malloc(sizeof(*h));

	if (h == NULL)
		return -1;
	histogram_init(h);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* The bucket that the one value went to. */
static unsigned only_bucket(const struct histogram *h)
{
	unsigned found = HISTOGRAM_BUCKETS;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->counts[i] == 0)
			continue;
		assert_int_equal(found, HISTOGRAM_BUCKETS);
		found = i;
	}
	assert_true(found < HISTOGRAM_BUCKETS);
	return found;
}

static void test_buckets(void **state)
{
	static const struct {
		const char *name;
		uint64_t value;
		unsigned index;
		uint64_t highest;
	} rows[] = {
		{ "zero", 0, 0, 0 },
		{ "one", 1, 1, 1 },
		{ "the last with a bucket of its own", 2047, 2047, 2047 },
		{ "the first of two", 2048, 2048, 2049 },
		{ "the second of two", 2049, 2048, 2049 },
		{ "the next two", 2050, 2049, 2051 },
		{ "the last of width two", 4095, 3071, 4095 },
		{ "the first of width four", 4096, 3072, 4099 },
		{ "a second in ns", 1000000000, 21363, 1000341503 },
		{ "the highest", VALUE_MAX, HISTOGRAM_BUCKETS - 1, VALUE_MAX },
		{ "above the highest", VALUE_MAX + 1, HISTOGRAM_BUCKETS - 1, VALUE_MAX },
		{ "far above", UINT64_MAX, HISTOGRAM_BUCKETS - 1, VALUE_MAX },
	};
	struct histogram *h = *state;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("%s\n", rows[i].name);
		histogram_init(h);
		histogram_add(h, rows[i].value, 3);
		assert_int_equal(only_bucket(h), rows[i].index);
		assert_int_equal(h->counts[rows[i].index], 3);
		assert_int_equal(histogram_bucket_max(rows[i].index), rows[i].highest);
		assert_int_equal(h->total, 3);
		assert_int_equal(h->min, rows[i].value);
		assert_int_equal(h->max, rows[i].value);
	}
}

/* Buckets follow one another without a gap, and none is wider than a thousandth of its values. */
static void test_three_digits(void **state)
{
	uint64_t below = 0;

	(void)state;
	for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t highest = histogram_bucket_max(i);

		assert_true(highest > below);
		assert_true((highest - below - 1) * 1000 <= below + 1);
		below = highest;
	}
	assert_int_equal(below, VALUE_MAX);
}

static void test_bucket_holds_its_edges(void **state)
{
	struct histogram *h = *state;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i += 7) {
		histogram_init(h);
		histogram_add(h, histogram_bucket_max(i), 1);
		assert_int_equal(h->counts[i], 1);
		histogram_add(h, histogram_bucket_max(i) + 1, 1);
		assert_int_equal(h->counts[i + 1], 1);
	}
}

static void test_quantiles(void **state)
{
	static const struct {
		const char *name;
		double fraction;
		uint64_t value;
	} rows[] = {
		{ "none", 0, 1 },      { "the first", 0.01, 1 }, { "just above", 0.011, 2 },
		{ "half", 0.5, 50 },   { "99 of 100", 0.99, 99 },
		{ "more", 0.991, 100 }, { "all", 1, 100 },
	};
	struct histogram *h = *state;

	for (uint64_t value = 100; value >= 1; value--)
		histogram_add(h, value, 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(histogram_quantile(h, rows[i].fraction), rows[i].value);
	}
	assert_true(histogram_mean(h) > 50.49 && histogram_mean(h) < 50.51);
}

/* A quantile is its bucket's highest value, but never one that was not reached. */
static void test_quantile_rounds_up(void **state)
{
	struct histogram *h = *state;

	histogram_add(h, 1000000, 9);
	histogram_add(h, 5000000, 1);
	assert_int_equal(histogram_quantile(h, 0.5), 1000447);
	assert_int_equal(histogram_quantile(h, 0.95), 5000000);
	histogram_add(h, UINT64_MAX, 90);
	assert_true(histogram_quantile(h, 0.5) == UINT64_MAX);
}

static void test_empty(void **state)
{
	struct histogram *h = *state;

	assert_int_equal(histogram_quantile(h, 0.5), 0);
	assert_true(histogram_mean(h) == 0);
	histogram_add(h, 17, 0);
	assert_int_equal(h->total, 0);
	assert_int_equal(h->max, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_buckets, setup, teardown),
		cmocka_unit_test(test_three_digits),
		cmocka_unit_test_setup_teardown(test_bucket_holds_its_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quantiles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quantile_rounds_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
