#include "base/test.h"

#include "server/gate.h"

static struct gate_entry entry(uint32_t session, uint64_t record, uint64_t seq)
{
	return (struct gate_entry){
		.session = session, .generation = 1, .record = record, .seq = seq
	};
}

static void assert_released(struct gate *gate, uint64_t durable, uint32_t session, uint64_t seq)
{
	struct gate_entry released;

	assert_true(gate_release(gate, durable, &released));
	assert_int_equal(released.session, session);
	assert_int_equal(released.seq, seq);
	assert_true(released.record <= durable);
}

static void nothing_before_it_is_durable(void **state)
{
	static const struct {
		const char *name;
		uint64_t record, durable;
		bool released;
	} rows[] = {
		{ "nothing is durable", 7, 0, false },
		{ "the one before", 7, 6, false },
		{ "this one", 7, 7, true },
		{ "a later one", 7, 8, true },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		struct gate_entry released;
		struct gate gate;

		assert_int_equal(gate_init(&gate, 4), 0);
		gate_hold(&gate, entry(3, rows[i].record, 1), 1, 0);
		if (gate_release(&gate, rows[i].durable, &released) != rows[i].released)
			fail_msg("%s", rows[i].name);
		if (gate_is_open(rows[i].record, rows[i].durable) != rows[i].released)
			fail_msg("%s", rows[i].name);
		gate_deinit(&gate);
	}
}

static void one_entry_a_session_and_commit(void **state)
{
	struct gate_entry released;
	struct gate gate;
	uint64_t a, b;

	(void)state;
	assert_int_equal(gate_init(&gate, 8), 0);
	a = gate_hold(&gate, entry(1, 1, 1), 5, 0);
	b = gate_hold(&gate, entry(2, 2, 1), 5, 0);
	assert_int_equal(gate_hold(&gate, entry(1, 3, 2), 5, a), a);
	assert_int_equal(gate_hold(&gate, entry(1, 4, 3), 5, a), a);
	/* The next commit: an entry of its own, whatever the session had before. */
	assert_int_not_equal(gate_hold(&gate, entry(1, 5, 4), 6, a), a);
	assert_int_not_equal(gate_hold(&gate, entry(2, 6, 2), 6, b), b);
	assert_released(&gate, 4, 1, 3);
	assert_released(&gate, 4, 2, 1);
	assert_false(gate_release(&gate, 4, &released));
	assert_released(&gate, 6, 1, 4);
	assert_released(&gate, 6, 2, 2);
	assert_false(gate_release(&gate, 100, &released));
	gate_deinit(&gate);
}

/* A released position is not written to again, though its commit is still the open one (--no-journal). */
static void a_released_entry_is_gone(void **state)
{
	struct gate gate;
	uint64_t a, next;

	(void)state;
	assert_int_equal(gate_init(&gate, 8), 0);
	a = gate_hold(&gate, entry(1, 1, 1), 1, 0);
	assert_released(&gate, 1, 1, 1);
	next = gate_hold(&gate, entry(1, 2, 2), 1, a);
	assert_int_not_equal(next, a);
	assert_released(&gate, 2, 1, 2);
	gate_deinit(&gate);
}

static void full_at_its_capacity(void **state)
{
	struct gate gate;

	(void)state;
	assert_int_equal(gate_init(&gate, 3), 0);
	assert_int_equal(gate.capacity, 4);
	for (uint64_t round = 0; round < 5; round++) { /* around the ring */
		for (uint32_t i = 0; i < 4; i++) {
			assert_false(gate_is_full(&gate));
			gate_hold(&gate, entry(i, 10 * round + i, round), round, 0);
		}
		assert_true(gate_is_full(&gate));
		for (uint32_t i = 0; i < 4; i++)
			assert_released(&gate, 10 * round + 3, i, round);
		assert_false(gate_is_full(&gate));
	}
	gate_deinit(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_before_it_is_durable),
		cmocka_unit_test(one_entry_a_session_and_commit),
		cmocka_unit_test(a_released_entry_is_gone),
		cmocka_unit_test(full_at_its_capacity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
