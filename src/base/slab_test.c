#include "base/slab.h"

#include <errno.h>
#include <string.h>

#include "base/test.h"

static void all_pieces_are_distinct(void **state)
{
	static const size_t sizes[] = { 1, 8, 15, 16, 17, 1000 };

	(void)state;
	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		struct slab slab;
		uint8_t *pieces[20];

		assert_int_equal(slab_init(&slab, sizes[s], 20), 0);
		for (unsigned i = 0; i < 20; i++) {
			pieces[i] = slab_acquire(&slab);
			assert_non_null(pieces[i]);
			assert_int_equal((uintptr_t)pieces[i] % 16, 0);
			assert_int_equal(slab.used, i + 1);
			assert_int_equal(slab_number(&slab, pieces[i]), i + 1);
			assert_ptr_equal(slab_piece(&slab, i + 1), pieces[i]);
			memset(pieces[i], (int)i, sizes[s]);
		}
		assert_null(slab_acquire(&slab));
		assert_null(slab_piece(&slab, 0));
		assert_int_equal(slab.used, 20);
		for (unsigned i = 0; i < 20; i++)
			for (size_t b = 0; b < sizes[s]; b++)
				assert_int_equal(pieces[i][b], i);
		slab_deinit(&slab);
	}
}

static void last_in_first_out(void **state)
{
	struct slab slab;
	void *a, *b, *c;

	(void)state;
	assert_int_equal(slab_init(&slab, 24, 8), 0);
	a = slab_acquire(&slab);
	b = slab_acquire(&slab);
	c = slab_acquire(&slab);
	slab_release(&slab, a);
	slab_release(&slab, c);
	slab_release(&slab, b);
	assert_int_equal(slab.used, 0);
	assert_ptr_equal(slab_acquire(&slab), b);
	assert_ptr_equal(slab_acquire(&slab), c);
	assert_ptr_equal(slab_acquire(&slab), a);
	/* Only three were ever in use at the same time: the rest has not been touched. */
	assert_int_equal(slab.fresh, 3);
	slab_deinit(&slab);
}

static void the_last_piece_comes_back(void **state)
{
	struct slab slab;
	void *only;

	(void)state;
	assert_int_equal(slab_init(&slab, 1, 1), 0);
	for (unsigned i = 0; i < 100; i++) {
		only = slab_acquire(&slab);
		assert_non_null(only);
		assert_null(slab_acquire(&slab));
		slab_release(&slab, only);
	}
	slab_deinit(&slab);
}

static void what_cannot_be_had_is_an_error(void **state)
{
	struct slab slab;

	(void)state;
	assert_int_equal(slab_init(&slab, SIZE_MAX, 1), -ENOMEM);
	assert_int_equal(slab_init(&slab, SIZE_MAX / 4, UINT32_MAX), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_pieces_are_distinct),
		cmocka_unit_test(last_in_first_out),
		cmocka_unit_test(the_last_piece_comes_back),
		cmocka_unit_test(what_cannot_be_had_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
