/* Each invariant is shown to fire when it is broken, and not to fire when all is well: what a damaged medium excuses, and what it does
 * not. The rest: check_test.c. */
#include <string.h>

#include "base/test.h"
#include "check_testing.h"

enum claim { NO_CLAIM, SEAL, LOCK, BROKEN_LOCK };

static void corrupt_scene(enum claim claim, bool is_told)
{
	test_scene(MODE_CORRUPTION, 0);
	test_ack(1, 3, 3);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5);
	test_ack(1, 5, 5);
	if (claim == SEAL)
		test_seal(test_first, 6, 5, NULL);
	if (claim == LOCK || claim == BROKEN_LOCK)
		test_lock(5, claim == LOCK);
	test_first->bytes[2 * 4096 + 130] ^= 1;
	check_corrupted();
	test_restart();
	if (is_told)
		check_damage_told("verify", "record 4");
}

static void corrupt_told(void)
{
	corrupt_scene(SEAL, true);
	test_whole(1, 3);
}

static void corrupt_not_told(void)
{
	corrupt_scene(SEAL, false);
	test_whole(1, 3);
}

/* Only the number in the lock file says that it was there. */
static void corrupt_not_told_by_lock(void)
{
	corrupt_scene(LOCK, false);
	test_whole(1, 3);
}

static void corrupt_told_by_lock(void)
{
	corrupt_scene(LOCK, true);
	test_whole(1, 3);
}

/* Nothing on the medium says that it was ever there: it passes for an end, and its numbers are used again. */
static void goes_on_without(enum claim claim)
{
	struct test_file *second;

	corrupt_scene(claim, false);
	second = test_segment(2, 4);
	test_orders = test_native(1);
	test_messages(&test_files[7], &test_orders, 1, 1, 1, 1, 3);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 3, 3, test_orders.h);
	check_sender(1, test_orders.id, 2, 1, false);
	test_messages(second, &test_orders, 4, 1, 2, 1, 1);
	test_ack(2, 4, 4);
	check_client_ended(1, 2, 1, 0);
}

static void corrupt_lawful(void)
{
	goes_on_without(NO_CLAIM);
}

static void corrupt_lawful_by_lock(void)
{
	goes_on_without(BROKEN_LOCK);
}

static void corrupt_goes_on(void)
{
	goes_on_without(LOCK);
}

/* A write that the drive has misplaced, or left out: claimed, and not there; then there after all, since the server wrote it again. */
static void corrupt_turns_up(bool it_does)
{
	test_scene(MODE_CORRUPTION, 0);
	test_ack(1, 3, 3);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5);
	test_doubt(test_first);
	check_corrupted();
	test_ack(1, 5, 5);
	if (it_does)
		memset(test_first->is_certain, true, sizeof(test_first->is_certain));
	else
		test_seal(test_first, 6, 5, NULL);
	test_whole(1, it_does ? 5 : 3);
}

static void corrupt_there_after_all(void)
{
	corrupt_turns_up(true);
}

static void corrupt_never_there(void)
{
	corrupt_turns_up(false);
}

static void corrupt_other_bytes(void)
{
	struct check_record shown;

	corrupt_scene(SEAL, true);
	shown = test_shown(4, &test_orders, 4, "changed");
	check_seen(&shown);
}

/* A reader may show what is dead, if it tells of the damage that kept it from knowing. */
static void corrupt_shown_wrong(void)
{
	struct check_record shown;

	corrupt_scene(true, true);
	shown = test_shown(4, &test_orders, 4, "changed");
	shown.reader = 1;
	check_seen(&shown);
}

static void corrupt_shown_wrong_only(void)
{
	corrupt_shown_wrong();
	check_seen_all(1);
}

static void corrupt_server_says(void)
{
	corrupt_scene(SEAL, false);
	test_end_server(65);
	test_whole(1, 3);
}

static void damage_without_lies(void)
{
	test_scene(MODE_CORRUPTION, 0);
	check_damage_told("verify", "record 4");
}

static void corrupt_told_at(const char *place)
{
	corrupt_scene(SEAL, false);
	check_damage_told("verify", place);
	test_whole(1, 3);
}

static void corrupt_told_here(void)
{
	corrupt_told_at("segment 1 offset 8192: records 4..5: is bad");
}

static void corrupt_told_before(void)
{
	corrupt_told_at(
		"segment 1 offset 4096: records 3..3: is bad; records up to 5 were durable");
}

static void corrupt_told_behind(void)
{
	corrupt_told_at("segment 1 offset 12288: records 5..8: is bad");
}

static void corrupt_told_nowhere(void)
{
	corrupt_told_at("segment 1 offset 0: segment header: not there");
}

static void corrupt_in_crash(void)
{
	test_scene(MODE_CRASH, 0);
	check_corrupted();
}

/* --- damage, and behind it a loss that nothing claims */

/* Two segments, 1 to 3 and 4 to 5; all acknowledged. */
static struct test_file *two_segments(void)
{
	struct test_file *second;

	test_scene(MODE_CORRUPTION, 1);
	test_ack(1, 3, 3);
	second = test_segment(2, 4);
	test_seal(second, 4, 3, NULL);
	test_messages(second, &test_orders, 4, 1, 1, 4, 5);
	test_ack(1, 5, 5);
	return second;
}

static void damage(struct test_file *file, unsigned block)
{
	file->bytes[block * 4096 + 130] ^= 1;
	check_corrupted();
}

static void give_up(struct test_file *file)
{
	file->is_listed = file->is_name_certain = false;
}

/* A server that begins at a snapshot's end does not meet the damage, and uses the numbers 4 and 5 again; then what was damaged is given
 * up. */
static void behind_damage(bool is_claimed)
{
	struct test_file *second = two_segments(), *third;

	if (is_claimed)
		test_seal(second, 6, 5, NULL);
	damage(test_first, 1);
	damage(second, 2);
	test_restart();
	third = test_segment(3, 4);
	test_orders = test_native(1);
	test_messages(&test_files[7], &test_orders, 1, 1, 1, 1, 3);
	check_sender(1, test_orders.id, 2, 1, false);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 3, 3, test_orders.h);
	test_messages(third, &test_orders, 4, 1, 2, 1, 1);
	test_ack(2, 4, 4);
	give_up(test_first);
	test_restart();
	check_client_ended(1, 2, 1, 0);
}

static void behind_damage_lawful(void)
{
	behind_damage(false);
}

static void behind_damage_claimed(void)
{
	behind_damage(true);
}

/* What is owed because of the damage stays so. */
static void behind_damage_owed(void)
{
	struct test_file *second = two_segments();

	damage(test_first, 1);
	test_restart();
	test_ack(1, 5, 5);
	damage(second, 2);
	test_restart();
}

/* 5 turns up, 6 is lost lawfully. */
static void turned_up_and_lost(void)
{
	test_scene(MODE_CORRUPTION, 0);
	test_ack(1, 3, 3);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5);
	test_doubt(test_first);
	check_corrupted();
	test_ack(1, 5, 5);
	test_messages(test_first, &test_orders, 6, 1, 1, 6, 6);
	test_ack(1, 6, 6);
	test_first->bytes[3 * 4096] ^= 1;
	memset(test_first->is_certain, true, sizeof(test_first->is_certain));
	test_restart();
}

/* --- where the audit sees nothing, it can not tell what was before a WELCOME; but what comes behind all that was acknowledged by then is
 * behind it */

static void fence_unseen(bool is_behind)
{
	struct test_file *second = two_segments();

	damage(test_first, 1);
	test_restart();
	test_messages(second, &test_orders, 6, 1, 1, 6, 7);
	test_ack(1, 7, 7);
	test_writer = 78;
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 0, 0, 0);
	if (is_behind)
		test_messages(second, &test_orders, 8, 1, 1, 8, 8);
	give_up(test_first);
	test_restart();
	test_hello(3, &test_orders, 2, 1);
	test_welcome(3, is_behind ? 8 : 7, is_behind ? 8 : 7, test_orders.h);
}

static void fence_before(void)
{
	fence_unseen(false);
}

static void fence_behind(void)
{
	fence_unseen(true);
}

/* --- all of them */

static const struct test_row rows[] = {
	{ "corrupt told", corrupt_told, NULL },
	{ "corrupt not told", corrupt_not_told, "nobody has said so" },
	{ "corrupt not told, and the lock has it", corrupt_not_told_by_lock, "nobody has said so" },
	{ "corrupt told, and the lock has it", corrupt_told_by_lock, NULL },
	{ "corrupt lawful", corrupt_lawful, NULL },
	{ "corrupt lawful, the lock is broken", corrupt_lawful_by_lock, NULL },
	{ "corrupt goes on, and the lock has it", corrupt_goes_on, "nobody has said so" },
	{ "corrupt there after all", corrupt_there_after_all, NULL },
	{ "corrupt never there", corrupt_never_there, "nobody has said so" },
	{ "corrupt other bytes", corrupt_other_bytes, "other bytes" },
	{ "corrupt shown wrong", corrupt_shown_wrong, NULL },
	{ "corrupt shown wrong only", corrupt_shown_wrong_only, "tells of no damage" },
	{ "corrupt server says", corrupt_server_says, NULL },
	{ "damage without lies", damage_without_lies, "honest crash damage" },
	{ "corrupt told here", corrupt_told_here, NULL },
	{ "corrupt told before", corrupt_told_before, NULL },
	{ "corrupt told behind", corrupt_told_behind, "nobody has said so" },
	{ "corrupt told nowhere", corrupt_told_nowhere, NULL },
	{ "corrupt in crash", corrupt_in_crash, "in which it is honest" },
	{ "behind damage, lawful", behind_damage_lawful, NULL },
	{ "behind damage, claimed", behind_damage_claimed, "other bytes than it had" },
	{ "behind damage, owed", behind_damage_owed, "nobody has said so" },
	{ "turned up and lost", turned_up_and_lost, NULL },
	{ "fence before", fence_before, NULL },
	{ "fence behind", fence_behind, "of a run that was fenced at 0" },
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
