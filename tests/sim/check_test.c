/* Each invariant is shown to fire when it is broken, and not to fire when all is well: the medium, the order of messages, the wire.
 * Plain connections: check_plain_test.c; readers, retention, the ends of processes: check_end_test.c; corruption: check_corrupt_test.c. */
#include <string.h>

#include "base/test.h"
#include "check_testing.h"

enum { KIND_ERROR = 3, KIND_WAIT, KIND_DRAIN, FLAG_GAP = 4, FLAG_EPHEMERAL = 8 };

static void good(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 2, 2);
	test_ack(1, 3, 3);
	test_ack(1, 3, 3);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 8);
	test_ack(1, 8, 8);
	assert_int_equal(check_acknowledged(), 8);
	check_client_ended(1, 1, 8, 0);
	check_closed(&test_server, 1);
}

/* --- the medium */

static void ack_too_early(void)
{
	test_scene(MODE_CRASH, 0);
	test_doubt(test_first);
	test_ack(1, 3, 3);
}

static void ack_past_hole(void)
{
	test_scene(MODE_CRASH, 0);
	test_doubt(test_first);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5);
	test_ack(1, 5, 5);
}

static void ack_past_seal(void)
{
	test_scene(MODE_CRASH, 0);
	test_seal(test_first, 4, 3, NULL);
	test_doubt(test_first);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5);
	test_ack(1, 5, 5);
}

static void ack_name_unsure(void)
{
	test_scene(MODE_CRASH, 0);
	test_first->is_name_certain = false;
	test_ack(1, 3, 3);
}

static void ack_name_unsure_later(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_first->is_name_certain = false;
	test_ack(1, 3, 3);
}

static void ack_header_unsure(void)
{
	test_scene(MODE_CRASH, 0);
	test_first->is_certain[0] = false;
	test_ack(1, 3, 3);
}

static void second_segment(bool is_name_certain)
{
	struct test_file *second;

	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	second = test_segment(2, 4);
	second->is_name_certain = is_name_certain;
	test_messages(second, &test_orders, 4, 1, 1, 4, 5);
	test_ack(1, 5, 5);
}

static void ack_in_second(void)
{
	second_segment(true);
}

static void ack_in_unsure_spare(void)
{
	second_segment(false);
}

static void ack_in_dead_part(void)
{
	struct test_stream other = test_native(2);
	struct test_file *second;

	test_scene(MODE_CRASH, 0);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5);
	second = test_segment(2, 4);
	test_messages(second, &other, 4, 7, 1, 1, 2);
	test_ack(1, 5, 5);
}

static void ack_other_record(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 2, 3);
}

static void ack_wrong_salt(void)
{
	test_scene(MODE_CRASH, 0);
	test_first->bytes[40] ^= 1;
	test_ack(1, 3, 3);
}

static void survives(void)
{
	struct test_file *second;

	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5); /* nobody was told; dead below */
	test_restart();
	test_orders.last = 3;
	test_orders.h = 0;
	second = test_segment(2, 4);
	test_seal(second, 4, 3, NULL);
	check_sender(1, test_orders.id, 2, 2, false);
	test_hello(2, &test_orders, 2, 1);
	/* The history goes on from record 3, so it is made once more. */
	test_orders = test_native(1);
	test_orders.last = 0;
	test_messages(&test_files[7], &test_orders, 1, 1, 1, 1, 3);
	test_welcome(2, 3, 3, test_orders.h);
	test_messages(second, &test_orders, 4, 1, 2, 1, 2);
	test_ack(2, 5, 5);
	check_client_ended(1, 2, 2, 0);
}

static void lost_at_restart(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_restart();
	test_doubt(test_first);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 3, 3, test_orders.h);
}

static void other_at_restart(void)
{
	struct test_stream again = test_native(1);

	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_restart();
	test_first->end = 4096;
	test_messages(test_first, &again, 1, 1, 1, 1, 2);
	test_messages(test_first, &again, 3, 1, 1, 4, 4);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 3, 3, again.h);
}

/* --- order, doubles, strangers */

static void double_message(void)
{
	test_scene(MODE_CRASH, 0);
	test_messages(test_first, &test_orders, 4, 1, 1, 3, 4);
	test_ack(1, 5, 5);
}

static void left_out(void)
{
	test_scene(MODE_CRASH, 0);
	test_messages(test_first, &test_orders, 4, 1, 1, 5, 5);
	test_ack(1, 4, 4);
}

/* Messages of a peer that nobody knows are these records. */
static void strangers(uint64_t from, uint64_t to)
{
	struct test_stream other = test_native(2);

	test_messages(test_first, &other, from, 7, 1, 1, to + 1 - from);
}

static void left_out_seq(void)
{
	test_scene(MODE_CRASH, 0);
	strangers(4, 5);
	test_orders.last++;
	test_messages(test_first, &test_orders, 6, 1, 1, 4, 4);
	test_ack(1, 5, 6);
}

static void wrong_history(void)
{
	test_scene(MODE_CRASH, 0);
	test_orders.h ^= 1;
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 4);
	test_ack(1, 4, 4);
}

static void never_sent(void)
{
	test_scene(MODE_CRASH, 0);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 9);
	test_ack(1, 9, 9);
}

static void never_sent_text(void)
{
	const char *text = "something else";

	test_scene(MODE_CRASH, 0);
	test_commit(test_first, &test_orders, 4, &text, 1);
	test_ack(1, 4, 4);
}

static void wrong_stream(void)
{
	struct test_stream other = test_native(2);

	test_scene(MODE_CRASH, 0);
	test_messages(test_first, &other, 4, 1, 1, 4, 4);
	test_ack(1, 3, 3);
	test_hello(2, &other, 2, 1);
	test_welcome(2, 1, 4, other.h);
}

static void older_run(void)
{
	test_scene(MODE_CRASH, 0);
	check_sender(1, test_orders.id, 2, 8, false);
	test_messages(test_first, &test_orders, 4, 1, 2, 1, 1);
	test_messages(test_first, &test_orders, 5, 1, 1, 4, 4);
	test_ack(1, 5, 5);
}

static void silent_gap(void)
{
	test_scene(MODE_CRASH, 0);
	test_orders.gap_last = test_orders.last;
	test_orders.last = 5;
	test_orders.h = 0;
	test_orders.flags = FLAG_GAP;
	strangers(4, 7);
	test_messages(test_first, &test_orders, 8, 1, 1, 6, 6);
	test_ack(1, 6, 8);
}

static void resume_scene(uint64_t number)
{
	struct test_stream stream = test_native(3);

	test_begin(MODE_CRASH, 0, false);
	check_sender(3, stream.id, 0, 9, true);
	test_first = test_segment(1, 1);
	test_messages(test_first, &stream, 1, 3, 0, 1, 2);
	test_messages(test_first, &stream, 3, 3, 0, number, number);
	test_hello(1, &stream, 0, 1);
	test_welcome(1, 3, 3, stream.h);
	check_client_ended(3, 0, 3, 0);
}

static void resume_good(void)
{
	resume_scene(3);
}

static void resume_wrong(void)
{
	resume_scene(4);
}

static void ephemeral_scene(uint32_t second_run)
{
	struct test_stream a = test_native(4), b = test_native(5);

	a.flags = b.flags = FLAG_EPHEMERAL;
	test_begin(MODE_CRASH, 0, false);
	check_sender(4, NULL, 1, 2, false);
	check_sender(4, NULL, 2, 2, false);
	test_first = test_segment(1, 1);
	test_messages(test_first, &a, 1, 4, 1, 1, 2);
	test_seal(test_first, 3, 2, &a);
	test_messages(test_first, &b, 3, 4, second_run, 1, 2);
	test_hello(1, &a, 4, 1);
	test_welcome(1, 2, 2, a.h);
	test_hello(2, &a, 4, 1);
	test_welcome(2, 0, 0, 0);
	test_hello(3, &b, 4, 1);
	test_welcome(3, 2, 4, b.h);
	check_client_ended(4, 2, 2, 0);
}

static void ephemeral_good(void)
{
	ephemeral_scene(2);
}

/* It is welcomed again, by a later connection than the one after which its machine fell asleep; or by an earlier one. */
static void ephemeral_sleeps(uint64_t connection)
{
	struct test_stream a = test_native(3);

	test_begin(MODE_CRASH, 0, false);
	check_sender(2, NULL, 1, 3, false);
	test_first = test_segment(1, 1);
	test_hello(1, &a, 4, 1);
	test_welcome(1, 0, 0, 0);
	test_messages(test_first, &a, 1, 2, 1, 1, 1);
	test_ack(1, 1, 1);
	check_sender_slept(2, 1, connection);
	test_hello(2, &a, 4, 2);
	test_welcome(2, 1, 1, a.h);
}

static void ephemeral_too_late(void)
{
	ephemeral_sleeps(1);
}

static void ephemeral_in_time(void)
{
	ephemeral_sleeps(2);
}

/* Number 2 was about to be sent, and another run has sent it. */
static void goes_on(uint64_t first)
{
	test_scene(MODE_CRASH, 0);
	test_writer++;
	test_hello(2, &test_orders, 0, first);
	test_welcome(2, 3, 3, test_orders.h);
	check_received(&test_server, 2, (const uint8_t *)"frame", 5);
}

static void goes_on_behind_another(void)
{
	goes_on(2);
}

static void goes_on_behind_its_own(void)
{
	goes_on(4);
}

static void ephemeral_double(void)
{
	ephemeral_scene(1);
}

/* --- the wire */

/* Another run is welcomed; then something of the first one comes in all the same. */
static void fenced(uint64_t writer)
{
	test_scene(MODE_CRASH, 0);
	test_writer = writer;
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 3, 3, test_orders.h);
	test_messages(test_first, &test_orders, 4, 1, 1, 4, 5);
	test_ack(2, 5, 5);
}

static void fence_same_run(void)
{
	fenced(77);
}

static void fence_forgotten(void)
{
	fenced(78);
}

static void ack_backwards(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_ack(1, 2, 2);
}

static void ack_before_welcome(void)
{
	test_scene(MODE_CRASH, 0);
	test_hello(2, &test_orders, 2, 1);
	test_ack(2, 3, 3);
}

static void welcome_forgets(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 0, 0, 0);
}

static void welcome_low(void)
{
	test_scene(MODE_CRASH, 0);
	test_ack(1, 3, 3);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 2, 2, 0);
}

static void welcome_high(void)
{
	test_scene(MODE_CRASH, 0);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 4, 4, 0);
}

static void welcome_history(void)
{
	test_scene(MODE_CRASH, 0);
	test_hello(2, &test_orders, 2, 1);
	test_welcome(2, 3, 3, test_orders.h ^ 1);
}

static void welcome_no_hello(void)
{
	test_scene(MODE_CRASH, 0);
	check_accepted(&test_server, 2, 9999);
	test_receive(2, "ROGER/1\nnonsense");
	test_preface(2);
	test_welcome(2, 0, 0, 0);
}

static void error_gap(void)
{
	uint8_t body[12] = { 5 };

	test_scene(MODE_CRASH, 0);
	test_hello(2, &test_orders, 0, 9);
	test_say(2, KIND_ERROR, body, sizeof(body));
}

static void after_error(void)
{
	uint8_t body[12] = { 6 };

	test_scene(MODE_CRASH, 0);
	test_say(1, KIND_ERROR, body, sizeof(body));
	test_ack(1, 3, 3);
}

static void other_kinds(void)
{
	uint8_t drain[4] = { 100 }, body[14] = { 10 };

	test_scene(MODE_CRASH, 0);
	test_say(1, KIND_WAIT, "", 0);
	test_say(1, KIND_DRAIN, drain, sizeof(drain));
	test_ack(1, 3, 3);
	test_say(1, KIND_ERROR, body, sizeof(body));
}

static void unknown_kind(void)
{
	test_scene(MODE_CRASH, 0);
	test_say(1, 6, "", 0);
}

static void wrong_size(void)
{
	test_scene(MODE_CRASH, 0);
	test_say(1, KIND_WAIT, "x", 1);
}

static void wrong_checksum(void)
{
	static const uint8_t wait[12] = { 4 };

	test_scene(MODE_CRASH, 0);
	check_sending(&test_server, 1, wait, sizeof(wait));
}

static void no_preface(void)
{
	test_scene(MODE_CRASH, 0);
	check_accepted(&test_server, 2, 9999);
	test_receive(2, "ROGER/1\n");
	test_send(2, "ROGER/2\n");
}

/* --- all of them */

static const struct test_row rows[] = {
	{ "good", good, NULL },
	{ "ack too early", ack_too_early, "record 1 is not certain" },
	{ "ack past hole", ack_past_hole, "record 1 is not certain" },
	{ "ack past seal", ack_past_seal, "record 4 is not certain" },
	{ "ack name unsure", ack_name_unsure, "is not certain" },
	{ "ack name unsure later", ack_name_unsure_later, "is not certain" },
	{ "ack header unsure", ack_header_unsure, "is not certain" },
	{ "ack in second", ack_in_second, NULL },
	{ "ack in unsure spare", ack_in_unsure_spare, "record 4 is not certain" },
	{ "ack in dead part", ack_in_dead_part, "another message" },
	{ "ack other record", ack_other_record, "another message" },
	{ "ack wrong salt", ack_wrong_salt, "is not certain" },
	{ "survives", survives, NULL },
	{ "lost at restart", lost_at_restart, "record 1 is not certain" },
	{ "other at restart", other_at_restart, "other bytes" },
	{ "double message", double_message, "comes after message 3" },
	{ "left out", left_out, "comes after message 3" },
	{ "left out seq", left_out_seq, "which stood at 3" },
	{ "wrong history", wrong_history, "which stood at 3" },
	{ "never sent", never_sent, "nobody has sent message 9" },
	{ "never sent text", never_sent_text, "its sender has not sent" },
	{ "wrong stream", wrong_stream, "another stream than its own" },
	{ "older run", older_run, "message 4 of run 1 comes after" },
	{ "silent gap", silent_gap, "nothing was lost" },
	{ "resume good", resume_good, NULL },
	{ "resume wrong", resume_wrong, "number 3 in its stream" },
	{ "ephemeral good", ephemeral_good, NULL },
	{ "ephemeral too late", ephemeral_too_late, "after half a day" },
	{ "ephemeral in time", ephemeral_in_time, NULL },
	{ "goes on behind another", goes_on_behind_another, "where another run has sent" },
	{ "goes on behind its own", goes_on_behind_its_own, NULL },
	{ "ephemeral double", ephemeral_double, "run 1 is in two streams" },
	{ "fence same run", fence_same_run, NULL },
	{ "fence forgotten", fence_forgotten, "of a run that was fenced at 3" },
	{ "ack backwards", ack_backwards, "ACK 2 after 3" },
	{ "ack before welcome", ack_before_welcome, "before WELCOME" },
	{ "welcome forgets", welcome_forgets, "knows nothing" },
	{ "welcome low", welcome_low, "of which 3 was claimed" },
	{ "welcome high", welcome_high, "record 4 is not certain" },
	{ "welcome history", welcome_history, "another writer or history" },
	{ "welcome no hello", welcome_no_hello, "without a good HELLO" },
	{ "error gap", error_gap, "ERROR gap" },
	{ "after error", after_error, "after ERROR" },
	{ "other kinds", other_kinds, NULL },
	{ "unknown kind", unknown_kind, "kind 6" },
	{ "wrong size", wrong_size, "kind 4 with 1" },
	{ "wrong checksum", wrong_checksum, "wrong checksum" },
	{ "no preface", no_preface, "does not open with the preface" },
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
