#include "base/test.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "server/room.h"

static struct server_config config(uint64_t memory, uint32_t message_max)
{
	struct server_config config;

	server_config_default(&config);
	config.memory = memory;
	config.journal.message_max = message_max;
	config.journal.connections_max = config.connections_max;
	return config;
}

/* Whatever is planned, it is not more than was given, and each part can do its work. */
static void never_more_than_given(void **state)
{
	static const struct {
		const char *name;
		uint64_t memory;
		uint32_t message_max, connections;
	} rows[] = {
		{ "defaults", DEFAULT_MEMORY, DEFAULT_MESSAGE_MAX, DEFAULT_CONNECTIONS_MAX },
		{ "one connection", DEFAULT_MEMORY, DEFAULT_MESSAGE_MAX, 1 },
		{ "tiny messages", DEFAULT_MEMORY, 1, 100 },
		{ "plenty", 16 * GIB, DEFAULT_MESSAGE_MAX, DEFAULT_CONNECTIONS_MAX },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		struct server_config c = config(rows[i].memory, rows[i].message_max);
		struct memory_plan plan;
		struct failure why;

		if (memory_plan(&c, rows[i].connections, 1, &plan, &why) != 0)
			fail_msg("%s: %s", rows[i].name, why.text);
		assert_int_equal(plan.total, rows[i].memory);
		assert_true(plan.journal + plan.sessions + plan.receive + plan.large <=
			    plan.total);
		assert_true(plan.buffer_count >= RECEIVE_BUFFERS_MIN);
		assert_true(plan.medium_count >= 1);
		assert_true(plan.buffer_count * (RECEIVE_BUFFER_SIZE + IO_BUFFER_MEMORY) +
				    plan.medium_count *
					    (INPUT_MEDIUM_SIZE + sizeof(struct input_holder)) <=
			    plan.receive);
		assert_true(plan.large_budget +
				    plan.large_budget / RECEIVE_BUFFER_SIZE * LARGE_ITEM_SIZE <=
			    plan.large);
		assert_true(plan.large_size > rows[i].message_max + FRAME_HEADER_SIZE);
		assert_true(plan.large_budget >= plan.large_size);
		assert_true(plan.gate_capacity >= rows[i].connections);
	}
}

/* The number that it asks for is enough, and a MiB less is not. */
static void says_what_it_needs(void **state)
{
	struct server_config c = config(MIB, DEFAULT_MESSAGE_MAX);
	struct memory_plan plan;
	struct failure why;
	unsigned long long mib;
	const char *at;

	(void)state;
	assert_int_not_equal(memory_plan(&c, 1000, 1, &plan, &why), 0);
	assert_int_equal(why.status, EXIT_USAGE);
	at = strstr(why.text, "at least ");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "at least %lluMiB", &mib), 1);
	c.memory = mib * MIB;
	assert_int_equal(memory_plan(&c, 1000, 1, &plan, &why), 0);
	c.memory = (mib - 1) * MIB;
	assert_int_not_equal(memory_plan(&c, 1000, 1, &plan, &why), 0);
}

/* An idle connection is cheap. What is not always needed does not lie in the session. */
static void a_session_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct session) <= 160);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_more_than_given),
		cmocka_unit_test(says_what_it_needs),
		cmocka_unit_test(a_session_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
