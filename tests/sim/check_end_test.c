/* Each invariant is shown to fire when it is broken, and not to fire when all is well: readers, retention, servers and clients that
 * end. The rest: check_test.c. */
#include <string.h>

#include "base/test.h"
#include "check_testing.h"

/* --- readers */

static void show(uint64_t record, uint64_t number)
{
	struct check_record shown = test_number(number);

	shown.number = record;
	shown.reader = 5;
	check_seen(&shown);
}

static void seen_good(void)
{
	test_scene(MODE_CRASH, 0);
	show(2, 2);
	show(3, 3);
	test_ack(1, 3, 3);
}

static void seen_early(void)
{
	test_scene(MODE_CRASH, 0);
	test_doubt(test_first);
	show(1, 1);
}

static void seen_hole(void)
{
	test_scene(MODE_CRASH, 0);
	show(1, 1);
	show(3, 3);
}

static void seen_other(void)
{
	struct check_record shown;

	test_scene(MODE_CRASH, 0);
	shown = test_shown(1, &test_orders, 1, test_message(1, 1, 2));
	check_seen(&shown);
}

static void seen_other_number(void)
{
	test_scene(MODE_CRASH, 0);
	show(2, 1);
}

static void seen_gap(void)
{
	struct check_record shown;

	test_scene(MODE_CRASH, 0);
	shown = test_number(1);
	shown.gap = true;
	check_seen(&shown);
}

/* What a reader has shown must stay, though nobody was told anything over the wire. */
static void seen_and_lost(void)
{
	test_scene(MODE_CRASH, 0);
	show(3, 3);
	test_restart();
	test_doubt(test_first);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 0, 0, 0);
}

static void whole_twice(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 2, 2);
	test_whole(1, 3);
	test_whole(1, 3);
}

/* The journal has three messages of a stream, of which one was acknowledged. Another server opens it, and is asked. */
static void asked_scene(bool knows_all)
{
	uint32_t index = 0, h;

	test_begin(MODE_CRASH, 0, false);
	test_orders = test_native(1);
	check_sender(1, test_orders.id, 1, 8, false);
	test_first = test_segment(1, 1);
	test_hello(1, &test_orders, 2, 1);
	test_welcome(1, 0, 0, 0);
	test_messages(test_first, &test_orders, 1, 1, 1, 1, 2);
	h = test_orders.h;
	test_messages(test_first, &test_orders, 3, 1, 1, 3, 3);
	test_ack(1, 1, 1);
	test_restart();
	assert_memory_equal(check_stream(&index), test_orders.id, sizeof(test_orders.id));
	assert_null(check_stream(&index));
	test_hello(2, &test_orders, 2, 1);
	if (knows_all)
		test_welcome(2, 3, 3, test_orders.h);
	else
		test_welcome(2, 2, 2, h);
	test_whole(1, 3);
}

static void asked_good(void)
{
	asked_scene(true);
}

static void asked_less(void)
{
	asked_scene(false);
}

static void whole_shorter(void)
{
	test_scene(MODE_CRASH, 0);
	test_whole(1, 3);
	test_whole(1, 2);
}

static void whole_without_first(void)
{
	test_scene(MODE_CRASH, 0);
	test_whole(2, 3);
}

static void whole_with_hole(void)
{
	struct check_record shown;

	test_scene(MODE_CRASH, 0);
	check_whole_begin();
	shown = test_number(1);
	check_whole_record(&shown);
	shown = test_number(3);
	check_whole_record(&shown);
}

/* --- retention */

static void keep_scene(uint64_t keep_bytes)
{
	struct test_file *second;

	test_scene(MODE_CRASH, keep_bytes);
	test_ack(1, 3, 3);
	second = test_segment(2, 4);
	test_messages(second, &test_orders, 4, 1, 1, 4, 5);
	test_first->is_listed = test_first->is_name_certain = false;
	test_restart();
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 5, 5, test_orders.h);
}

static void kept(void)
{
	keep_scene(1);
	test_whole(4, 5);
}

static void kept_all(void)
{
	keep_scene(0);
}

static void kept_not_shown(void)
{
	keep_scene(1);
	test_whole(5, 5);
}

/* Given up before anybody has looked at them: what comes behind is taken as it is. */
static void kept_unseen(void)
{
	struct test_file *second;

	test_scene(MODE_CRASH, 1);
	second = test_segment(2, 4);
	test_messages(second, &test_orders, 4, 1, 1, 4, 5);
	test_first->is_listed = test_first->is_name_certain = false;
	test_ack(1, 5, 5);
	test_ack(1, 5, 5);
	test_messages(second, &test_orders, 6, 1, 1, 6, 6);
	test_ack(1, 6, 6);
}

/* --- servers and clients */

static void ack_after_error(void)
{
	test_scene(MODE_CRASH, 0);
	check_io_error(&test_server);
	test_ack(1, 3, 3);
}

static void ends_unasked(void)
{
	test_scene(MODE_CRASH, 0);
	test_end_server(0);
}

static void ends_asked(void)
{
	test_scene(MODE_CRASH, 0);
	test_seal(test_first, 4, 3, NULL);
	check_server_asked(&test_server);
	test_end_server(0);
}

static void ends_unsealed(void)
{
	test_scene(MODE_CRASH, 0);
	check_server_asked(&test_server);
	test_end_server(0);
}

static void ends_late(void)
{
	test_scene(MODE_CRASH, 0);
	check_server_asked(&test_server);
	test_end_server(75);
}

static void ends_late_slow(void)
{
	test_scene(MODE_CRASH, 0);
	fault_counts[FAULT_JOB_SLOW]++;
	check_server_asked(&test_server);
	test_end_server(75);
}

static void ends_damaged(void)
{
	test_scene(MODE_CRASH, 0);
	test_end_server(65);
}

static void ends_locked(void)
{
	test_scene(MODE_CRASH, 0);
	test_end_server(73);
}

static void ends_locked_rival(void)
{
	test_scene(MODE_CRASH, 0);
	check_server_started(&test_rival);
	test_rival.state = PROCESS_RETURNED;
	test_rival.status = 73;
	check_server_ended(&test_rival);
	test_ack(1, 3, 3);
}

static void ends_broken(void)
{
	test_scene(MODE_CRASH, 0);
	test_end_server(74);
}

static void ends_broken_told(void)
{
	test_scene(MODE_CRASH, 0);
	check_io_error(&test_server);
	test_end_server(74);
}

static void ends_broken_read(void)
{
	test_scene(MODE_CRASH, 0);
	fault_counts[FAULT_READ_ERROR]++;
	test_end_server(74);
}

static void takes_memory(void)
{
	test_scene(MODE_CRASH, 0);
	test_settled = 1001;
	check_server_asked(&test_server);
	test_end_server(0);
}

static void takes_memory_to_open(void)
{
	test_scene(MODE_CRASH, 0);
	test_memory = 1051;
	check_server_asked(&test_server);
	test_end_server(0);
}

static void takes_descriptors(void)
{
	test_scene(MODE_CRASH, 0);
	test_descriptors = 9;
	check_accepted(&test_server, 2, 9999);
}

static void gives_descriptors_back(void)
{
	test_scene(MODE_CRASH, 0);
	test_descriptors = 9;
	check_closed(&test_server, 1);
	check_accepted(&test_server, 2, 9999);
}

static void end_client(enum sim_mode mode, int status)
{
	test_scene(mode, 0);
	test_ack(1, 3, 3);
	check_client_ended(1, 1, 8, status);
}

static void client_not_all(void)
{
	end_client(MODE_LIVENESS, 0);
}

static void client_loss(void)
{
	end_client(MODE_CRASH, 65);
}

static void client_trouble(void)
{
	end_client(MODE_CRASH, 74);
}

static void no_journal_scene(uint64_t again)
{
	uint8_t body[52] = { 1, 0, 0, 0, 0, 0, 1 };

	test_begin(MODE_CRASH, 0, true);
	test_orders = test_native(1);
	check_sender(1, test_orders.id, 1, 8, false);
	test_hello(1, &test_orders, 2, 1);
	test_say(1, 1, body, sizeof(body));
	test_ack(1, 3, 3);
	test_ack(1, again, again);
	check_client_ended(1, 1, 8, 0);
}

static void no_journal(void)
{
	no_journal_scene(8);
}

static void no_journal_backwards(void)
{
	no_journal_scene(2);
}

/* --- what may happen to a disk without direct I/O, and to everything */

static void cache_may_lie(bool is_buffered)
{
	struct check_config config = { .mode = MODE_CRASH, .is_buffered = is_buffered };

	test_scene(MODE_CRASH, 0);
	check_end();
	test_begin_with(&config);
	test_orders = test_native(1);
	test_first = test_segment(1, 1);
	test_messages(test_first, &test_orders, 1, 1, 1, 1, 3);
	test_doubt(test_first);
	fault_counts[FAULT_FLUSH_LOST]++;
	show(1, 1);
}

static void cache_lies(void)
{
	cache_may_lie(true);
}

static void drive_lies(void)
{
	cache_may_lie(false);
}

static void injected(void)
{
	test_scene(MODE_CRASH, 0);
	check_fault_injected();
	check_client_ended(1, 1, 8, 71);
	test_end_server(70);
}

static void injected_damage(void)
{
	test_scene(MODE_CRASH, 0);
	check_fault_injected();
	test_end_server(65);
}

/* --- all of them */

static const struct test_row rows[] = {
	{ "seen good", seen_good, NULL },
	{ "seen early", seen_early, "shows record 1: record 1 is not certain" },
	{ "seen hole", seen_hole, "record 3 after record 1" },
	{ "seen other", seen_other, "other bytes" },
	{ "seen other number", seen_other_number, "it was number 2" },
	{ "seen gap", seen_gap, "behind a gap" },
	{ "seen and lost", seen_and_lost, "is not certain" },
	{ "whole twice", whole_twice, NULL },
	{ "asked good", asked_good, NULL },
	{ "asked less", asked_less, "WELCOME 2 of stream" },
	{ "whole shorter", whole_shorter, "ends at record 2" },
	{ "whole without first", whole_without_first, "begins at record 2" },
	{ "whole with hole", whole_with_hole, "record 3 comes after record 1" },
	{ "kept", kept, NULL },
	{ "kept all", kept_all, "nothing may be given up" },
	{ "kept not shown", kept_not_shown, "and 4 is kept" },
	{ "kept unseen", kept_unseen, NULL },
	{ "ack after error", ack_after_error, "after a write or flush has failed" },
	{ "ends unasked", ends_unasked, "status 0" },
	{ "ends asked", ends_asked, NULL },
	{ "ends unsealed", ends_unsealed, "nothing on the medium says that record 3 was there" },
	{ "ends late", ends_late, "status 75" },
	{ "ends late, slow disk", ends_late_slow, NULL },
	{ "ends damaged", ends_damaged, "honest crash damage" },
	{ "ends locked", ends_locked, "status 73" },
	{ "ends locked rival", ends_locked_rival, NULL },
	{ "ends broken", ends_broken, "status 74" },
	{ "ends broken told", ends_broken_told, NULL },
	{ "ends broken read", ends_broken_read, NULL },
	{ "takes memory", takes_memory, "1001 bytes" },
	{ "takes memory to open the journal", takes_memory_to_open, "1051 bytes" },
	{ "takes descriptors", takes_descriptors, "11 descriptors" },
	{ "gives descriptors back", gives_descriptors_back, NULL },
	{ "client not all", client_not_all, "it is there up to 3" },
	{ "client loss", client_loss, "exit status 65" },
	{ "client trouble", client_trouble, "exit status 74" },
	{ "no journal", no_journal, NULL },
	{ "no journal backwards", no_journal_backwards, "ACK 2 after 3" },
	{ "cache lies", cache_lies, NULL },
	{ "drive lies", drive_lies, "is not certain" },
	{ "injected", injected, NULL },
	{ "injected damage", injected_damage, "honest crash damage" },
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
