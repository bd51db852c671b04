#include "clock/clock.h"

#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/test.h"

static void clocks_go_forward(void **state)
{
	uint64_t before = clock_monotonic_ns();
	uint64_t boot_before = clock_boottime_ns();

	(void)state;
	assert_true(before > 0);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = clock_monotonic_ns();
		uint64_t boot_now = clock_boottime_ns();

		assert_true(now >= before);
		assert_true(boot_now >= boot_before);
		before = now;
		boot_before = boot_now;
	}
	assert_true(boot_before >= before - MS_NS);
}

static void realtime_is_the_time_of_day(void **state)
{
	uint64_t low = (uint64_t)time(NULL);
	uint64_t now = clock_realtime_ns();
	uint64_t high = (uint64_t)time(NULL);

	(void)state;
	/* time() may lag behind by a tick. */
	assert_true(now / SECOND_NS >= low && now / SECOND_NS <= high + 1);
}

/* Every byte is reached, and nothing beyond: over 64 rounds each byte changes, but with chance 2^-512. */
static void random_fills_exactly(void **state)
{
	static const size_t sizes[] = { 0, 1, 16, 300 };

	(void)state;
	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		uint8_t bytes[302] = { 0 }, seen[302] = { 0 };

		for (unsigned round = 0; round < 64; round++) {
			random_bytes(bytes + 1, sizes[s]);
			for (size_t i = 0; i < sizeof(bytes); i++)
				seen[i] |= bytes[i];
		}
		for (size_t i = 0; i < sizeof(bytes); i++)
			assert_int_equal(seen[i] != 0, i >= 1 && i < 1 + sizes[s]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_go_forward),
		cmocka_unit_test(realtime_is_the_time_of_day),
		cmocka_unit_test(random_fills_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
