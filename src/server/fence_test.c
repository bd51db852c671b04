#include "base/test.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "server/fence.h"

enum { ITEMS = 100, IDS = 60 };

static const uint64_t secret[2] = { 1, 2 };

static struct stream_id id_of(uint64_t number)
{
	struct stream_id id = { 0 };

	put_u64(id.bytes, number);
	put_u64(id.bytes + 8, 7);
	return id;
}

static void the_newest_takes_it_over(void **state)
{
	struct stream_id a = id_of(1), b = id_of(2);
	struct fence fence;

	(void)state;
	assert_int_equal(fence_init(&fence, ITEMS, secret), 0);
	assert_int_equal(fence_put(&fence, &a, 10), FENCE_NONE);
	assert_int_equal(fence_put(&fence, &b, 11), FENCE_NONE);
	assert_int_equal(fence_put(&fence, &a, 12), 10);
	fence_remove(&fence, 10); /* has none any more: 12 keeps it */
	assert_int_equal(fence_put(&fence, &a, 13), 12);
	fence_remove(&fence, 13);
	assert_int_equal(fence_put(&fence, &a, 10), FENCE_NONE);
	assert_int_equal(fence_put(&fence, &b, 12), 11);
	fence_deinit(&fence);
}

static void one_item_and_the_last_item(void **state)
{
	struct stream_id a = id_of(1);
	struct fence fence;

	(void)state;
	assert_int_equal(fence_init(&fence, 1, secret), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fence_put(&fence, &a, 0), FENCE_NONE);
		fence_remove(&fence, 0);
	}
	fence_remove(&fence, 0);
	fence_deinit(&fence);
}

/* Against a plain table, with many collisions and removals. */
static void as_a_plain_table(void **state)
{
	uint32_t owner[IDS];
	uint32_t stream[ITEMS];
	struct fence fence;

	(void)state;
	srandom(3);
	assert_int_equal(fence_init(&fence, ITEMS, secret), 0);
	for (uint32_t i = 0; i < IDS; i++)
		owner[i] = FENCE_NONE;
	for (uint32_t i = 0; i < ITEMS; i++)
		stream[i] = IDS;
	for (unsigned round = 0; round < 50000; round++) {
		uint32_t item = (uint32_t)random() % ITEMS, number = (uint32_t)random() % IDS;
		struct stream_id id = id_of(number);

		if (stream[item] != IDS || random() % 3 == 0) {
			fence_remove(&fence, item);
			if (stream[item] != IDS)
				owner[stream[item]] = FENCE_NONE;
			stream[item] = IDS;
			continue;
		}
		assert_int_equal(fence_put(&fence, &id, item), owner[number]);
		if (owner[number] != FENCE_NONE)
			stream[owner[number]] = IDS;
		owner[number] = item;
		stream[item] = number;
	}
	fence_deinit(&fence);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_takes_it_over),
		cmocka_unit_test(one_item_and_the_last_item),
		cmocka_unit_test(as_a_plain_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
