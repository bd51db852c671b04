#include "base/test.h"

#include "server/fence.h"

static void the_newest_takes_it_over(void **state)
{
	enum { A, B, ENTRIES };
	struct fence fence;

	(void)state;
	assert_int_equal(fence_init(&fence, ENTRIES), 0);
	assert_int_equal(fence_put(&fence, A, 10), FENCE_NONE);
	assert_int_equal(fence_put(&fence, B, 11), FENCE_NONE);
	assert_int_equal(fence_put(&fence, A, 12), 10);
	fence_remove(&fence, A, 10); /* has none any more: 12 keeps it */
	assert_int_equal(fence_put(&fence, A, 13), 12);
	fence_remove(&fence, A, 13);
	assert_int_equal(fence_put(&fence, A, 10), FENCE_NONE);
	assert_int_equal(fence_put(&fence, B, 12), 11);
	fence_deinit(&fence);
}

static void the_first_item_and_the_last(void **state)
{
	static const uint32_t items[] = { 0, 1, FENCE_NONE - 1 };
	struct fence fence;

	(void)state;
	assert_int_equal(fence_init(&fence, 1), 0);
	for (unsigned i = 0; i < COUNT_OF(items); i++) {
		assert_int_equal(fence_put(&fence, 0, items[i]), FENCE_NONE);
		fence_remove(&fence, 0, items[i]);
		fence_remove(&fence, 0, items[i]);
	}
	fence_deinit(&fence);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_takes_it_over),
		cmocka_unit_test(the_first_item_and_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
