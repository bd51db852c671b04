/* Each invariant is shown to fire when it is broken, and not to fire when all is well: clients and readers that give up. The rest:
 * check_test.c. */
#include "base/test.h"
#include "check_testing.h"

/* Begun after its server let somebody in; what happens then; `after_s` later it has given up. */
static void give_up(enum fault kind, unsigned after_s, bool tries_again, int status)
{
	const struct check_attempt terms = { .tries_again = tries_again,
					     .patience_ns = UINT64_C(60000000000) };

	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_now = UINT64_C(200000000000);
	check_client_started(1, 1, &terms);
	if (kind != FAULTS)
		fault_counts[kind]++;
	test_now += after_s * UINT64_C(1000000000);
	check_client_ended(1, 1, 8, status);
}

static void client_timeout(void)
{
	give_up(FAULT_WRITE_SLOW, 60, true, 75);
}

static void client_early_timeout(void)
{
	give_up(FAULT_WRITE_SLOW, 59, true, 75);
}

static void client_idle_timeout(void)
{
	give_up(FAULT_READER_KILLED, 60, true, 75);
}

static void client_refused(void)
{
	give_up(FAULT_NET_REFUSED, 0, false, 69);
}

static void client_gives_up(void)
{
	give_up(FAULTS, 0, false, 69);
}

static void client_gives_up_retry(void)
{
	give_up(FAULT_NET_REFUSED, 0, true, 69);
}

static void client_fenced_by_the_past(void)
{
	const struct check_attempt terms = { .tries_again = true };

	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_hello(3, &test_orders, 2, 1);
	test_welcome(3, 3, 3, test_orders.h);
	check_client_started(1, 1, &terms);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 3, 3, test_orders.h);
	check_client_ended(1, 1, 8, 69);
}

static void client_fenced(void)
{
	const struct check_attempt terms = { .tries_again = true };

	test_scene(MODE_CRASH, 0);
	check_client_started(1, 1, &terms);
	check_sender_doubled(1);
	check_client_ended(1, 1, 8, 69);
}

/* The server is killed, and comes back, while it tries; or long before. */
static void client_and_server(bool is_before)
{
	const struct check_attempt terms = { .patience_ns = 0 };

	test_scene(MODE_CRASH, 0);
	if (is_before) {
		test_restart();
		test_hello(2, &test_orders, 2, 1);
		check_client_started(2, 1, &terms);
		test_now = UINT64_C(61000000000);
	}
	check_client_started(1, 1, &terms);
	if (!is_before)
		test_restart();
	check_client_ended(1, 1, 8, 69);
}

static void client_server_killed(void)
{
	client_and_server(false);
}

static void client_server_killed_before(void)
{
	client_and_server(true);
}

static void end_reader(enum fault kind, int status)
{
	uint64_t began;

	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	began = check_reader_began();
	if (kind != FAULTS)
		fault_counts[kind]++;
	check_reader_failed(began, status, "why");
}

static void reader_read_error(void)
{
	end_reader(FAULT_READ_ERROR, 74);
}

static void reader_fails(void)
{
	end_reader(FAULTS, 74);
}

static void reader_no_journal(void)
{
	test_begin(MODE_CRASH, 0, false);
	check_reader_failed(check_reader_began(), 66, "why");
}

static void reader_no_journal_more(void)
{
	end_reader(FAULT_READ_ERROR, 66);
}

/* --- all of them */

static const struct test_row rows[] = {
	{ "client timeout", client_timeout, NULL },
	{ "client timeout too early", client_early_timeout, "exit status 75" },
	{ "client timeout for nothing", client_idle_timeout, "exit status 75" },
	{ "client refused", client_refused, NULL },
	{ "client gives up", client_gives_up, "exit status 69" },
	{ "client gives up, and was to try again", client_gives_up_retry, "exit status 69" },
	{ "client fenced", client_fenced, NULL },
	{ "client fenced by the run before", client_fenced_by_the_past, NULL },
	{ "client, and the server is killed", client_server_killed, NULL },
	{ "client, and the server was killed", client_server_killed_before, "exit status 69" },
	{ "reader, read error", reader_read_error, NULL },
	{ "reader fails", reader_fails, "a reader gives up" },
	{ "reader, no journal yet", reader_no_journal, NULL },
	{ "reader, no journal any more", reader_no_journal_more, "a reader gives up" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_true(test_row(&rows[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
