/* Each invariant is shown to fire when it is broken, and not to fire when all is well: plain connections. The rest: check_test.c. */
#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "check_testing.h"

/* --- plain connections */

static void plain_scene(uint16_t port, uint8_t protocol, const char *came, const char *stored,
			const char *more)
{
	struct test_stream stream = test_plain(protocol, 1);

	test_begin(MODE_CRASH, 0, false);
	test_first = test_segment(1, 1);
	check_accepted(&test_server, 1, port);
	test_receive(1, came);
	if (stored != NULL)
		test_commit(test_first, &stream, 1, &stored, 1);
	if (more != NULL)
		test_commit(test_first, &stream, 2, &more, 1);
}

static void raw_good(void)
{
	plain_scene(9999, 2, "Hello World!", "Hello ", "World!");
	test_send(1, "AC");
	test_send(1, "K!");
}

static void raw_beginning(void)
{
	plain_scene(9999, 2, "ROGER", "ROGER", NULL);
	test_send(1, "ACK!");
}

/* The preface, byte by byte, in more than a second: it is raw, and the server says so. */
static void raw_slow_preface(void)
{
	struct test_stream stream = test_plain(2, 1);
	const char *text = "ROGER/1\n";

	test_begin(MODE_CRASH, 0, false);
	test_first = test_segment(1, 1);
	check_accepted(&test_server, 1, 9999);
	test_receive(1, "R");
	test_now = 900 * 1000 * 1000;
	test_receive(1, "OGER");
	test_now = 1000 * 1000 * 1000;
	test_receive(1, "/1\n");
	test_commit(test_first, &stream, 1, &text, 1);
	test_send(1, "ACK!");
}

static void raw_part(void)
{
	plain_scene(9999, 2, "Hello World!", "Hello ", NULL);
	test_send(1, "ACK!");
}

static void raw_other(void)
{
	plain_scene(9999, 2, "Hello World!", "Hello ", "world!");
	test_send(1, "ACK!");
}

static void raw_twice(void)
{
	struct test_stream again = test_plain(2, 2);
	const char *text = "Hello";
	struct check_record shown;

	plain_scene(9999, 2, "Hello", "Hello", NULL);
	test_commit(test_first, &again, 2, &text, 1);
	test_send(1, "ACK!");
	shown = test_shown(2, &again, 1, text);
	check_seen(&shown);
}

/* Sent again after a lost connection: two connections, two streams, whichever is stored first. */
static void raw_again(void)
{
	struct test_stream again = test_plain(2, 2);
	const char *text = "Hello World!";

	plain_scene(9999, 2, "Hello", "Hello", NULL);
	check_accepted(&test_server, 2, 9999);
	test_receive(2, text);
	test_commit(test_first, &again, 2, &text, 1);
	test_send(2, "ACK!");
	test_send(1, "ACK!");
}

/* Two connections that began alike, and both were read. */
static void alike_scene(struct test_stream *first, struct test_stream *second)
{
	const char *text = "Hello";

	*first = test_plain(2, 1);
	*second = test_plain(2, 2);
	test_begin(MODE_CRASH, 0, false);
	test_first = test_segment(1, 1);
	for (uint64_t i = 1; i <= 2; i++) {
		check_accepted(&test_server, i, 9999);
		test_receive(i, text);
	}
	test_commit(test_first, first, 1, &text, 1);
	test_commit(test_first, second, 2, &text, 1);
}

/* Whichever of the two streams goes on, that is the connection by which more came. */
static void raw_alike(bool is_first, uint64_t connection)
{
	struct test_stream streams[2];
	const char *more = " World!";

	alike_scene(&streams[0], &streams[1]);
	test_send(connection, "ACK!");
	test_receive(connection, more);
	test_commit(test_first, &streams[is_first ? 0 : 1], 3, &more, 1);
	test_send(3 - connection, "ACK!");
}

static void raw_alike_1(void)
{
	raw_alike(true, 1);
}

static void raw_alike_2(void)
{
	raw_alike(true, 2);
}

static void raw_alike_3(void)
{
	raw_alike(false, 1);
}

static void raw_alike_4(void)
{
	raw_alike(false, 2);
}

/* More came by one of them, and the streams of both go on. */
static void raw_alike_both(void)
{
	struct test_stream streams[2];
	const char *more = " World!";
	struct check_record shown;

	alike_scene(&streams[0], &streams[1]);
	test_send(2, "ACK!");
	test_receive(2, more);
	test_commit(test_first, &streams[0], 3, &more, 1);
	test_commit(test_first, &streams[1], 4, &more, 1);
	shown = test_shown(4, &streams[1], 2, more);
	check_seen(&shown);
}

/* Both were told ACK!, and a third one, of which nothing is stored. */
static void raw_alike_third(void)
{
	struct test_stream streams[2];

	alike_scene(&streams[0], &streams[1]);
	check_accepted(&test_server, 3, 9999);
	test_receive(3, "Hello");
	test_send(2, "ACK!");
	test_send(1, "ACK!");
	test_send(3, "ACK!");
}

/* What has been there before the connection was made is not its own. */
static void raw_before(void)
{
	const char *text = "Hello";
	struct test_stream stream = test_plain(2, 1);
	struct check_record shown = test_shown(1, &stream, 1, text);

	plain_scene(9999, 2, text, text, NULL);
	check_seen(&shown);
	check_accepted(&test_server, 2, 9999);
	test_receive(2, text);
	test_send(2, "ACK!");
}

/* Each of the first two could be the third's; only one way is left when all have gone on. */
static void raw_chain(void)
{
	static const char *const came[] = { "ab", "abc", "abcd" };
	const char *first = "ab", *more[] = { "c", "cd" };
	struct test_stream streams[3];
	struct check_record shown;

	test_begin(MODE_CRASH, 0, false);
	test_first = test_segment(1, 1);
	for (uint64_t i = 0; i < 3; i++) {
		check_accepted(&test_server, i + 1, 9999);
		test_receive(i + 1, came[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		streams[i] = test_plain(2, i + 1);
		test_commit(test_first, &streams[i], i + 1, &first, 1);
	}
	test_commit(test_first, &streams[1], 4, &more[0], 1);
	test_commit(test_first, &streams[0], 5, &more[1], 1);
	shown = test_shown(5, &streams[0], 2, more[1]);
	check_seen(&shown);
	for (uint64_t i = 1; i <= 3; i++)
		test_send(i, "ACK!");
}

static void raw_answer_twice(void)
{
	plain_scene(9999, 2, "Hello", "Hello", NULL);
	test_send(1, "ACK!");
	test_send(1, "ACK!");
}

static void raw_nothing(void)
{
	plain_scene(9999, 2, "", NULL, NULL);
	test_send(1, "ACK!");
}

static void whole_good(void)
{
	plain_scene(9997, 3, "a file\n", "a file\n", NULL);
	test_send(1, "ACK!");
}

static void whole_cut(void)
{
	plain_scene(9997, 3, "a file\n", "a file", NULL);
	test_send(1, "ACK!");
}

static void line_good(void)
{
	plain_scene(9998, 4, "one\r\n\ntwo", "one", "");
	test_send(1, "ACK 1\nACK ");
	test_send(1, "2\n");
}

/* A last line without its end is stored from one connection, and in the other one there is more to come. */
static void line_alike(void)
{
	struct test_stream streams[2] = { test_plain(4, 1), test_plain(4, 2) };
	const char *first = "one", *second = "two";

	test_begin(MODE_CRASH, 0, false);
	test_first = test_segment(1, 1);
	check_accepted(&test_server, 1, 9998);
	test_receive(1, "one\r\ntwo\r\n");
	check_accepted(&test_server, 2, 9998);
	test_receive(2, "one");
	test_commit(test_first, &streams[0], 1, &first, 1);
	test_commit(test_first, &streams[1], 2, &first, 1);
	test_send(2, "ACK 2\n");
	test_commit(test_first, &streams[0], 3, &second, 1);
	test_send(1, "ACK 1\nACK 3\n");
}

static void line_other(void)
{
	plain_scene(9998, 4, "one\ntwo\n", "one", "two");
	test_send(1, "ACK 2\n");
}

static void line_early(void)
{
	plain_scene(9998, 4, "one\ntwo\n", "one", NULL);
	test_send(1, "ACK 1\nACK 2\n");
}

static void line_garbage(void)
{
	plain_scene(9998, 4, "one\n", "one", NULL);
	test_send(1, "ACK x\n");
}

static void line_with_return(void)
{
	plain_scene(9998, 4, "one\r\n", "one\r", NULL);
	test_send(1, "ACK 1\n");
}

/* --- their clients */

/* Sender 4's message comes by this port, `cut` bytes of it missing; it is stored, and its client ends with 0. */
static void client_scene(uint16_t port, uint8_t protocol, size_t cut)
{
	char text[200];

	snprintf(text, sizeof(text), "%s", test_message(4, 1, 1));
	text[strlen(text) - cut] = '\0';
	plain_scene(port, protocol, text, text, NULL);
	check_sender(4, NULL, 1, 1, false);
	test_send(1, "ACK!");
	check_client_ended(4, 1, 1, 0);
}

static void client_raw(void)
{
	client_scene(9999, 2, 0);
}

static void client_raw_early(void)
{
	client_scene(9999, 2, 20); /* the rest may come when ACK! is out already */
}

static void client_whole(void)
{
	client_scene(9997, 3, 0);
}

static void client_whole_early(void)
{
	client_scene(9997, 3, 1);
}

/* --- all of them */

static const struct test_row rows[] = {
	{ "raw good", raw_good, NULL },
	{ "raw beginning", raw_beginning, NULL },
	{ "raw slow preface", raw_slow_preface, NULL },
	{ "raw part", raw_part, "are not on the medium" },
	{ "raw other", raw_other, "nobody has sent" },
	{ "raw twice", raw_twice, "that are there already" },
	{ "raw again", raw_again, NULL },
	{ "raw alike, first goes on, 1 told", raw_alike_1, NULL },
	{ "raw alike, first goes on, 2 told", raw_alike_2, NULL },
	{ "raw alike, second goes on, 1 told", raw_alike_3, NULL },
	{ "raw alike, second goes on, 2 told", raw_alike_4, NULL },
	{ "raw alike, both go on", raw_alike_both, "nobody has sent" },
	{ "raw alike, a third one", raw_alike_third, "are not on the medium" },
	{ "raw before", raw_before, "are not on the medium" },
	{ "raw chain", raw_chain, NULL },
	{ "raw answer twice", raw_answer_twice, "not of an answer" },
	{ "raw nothing", raw_nothing, "for nothing" },
	{ "whole good", whole_good, NULL },
	{ "whole cut", whole_cut, "nobody has sent" },
	{ "line good", line_good, NULL },
	{ "line alike", line_alike, NULL },
	{ "line other", line_other, "line 1 is not record 2" },
	{ "line early", line_early, "record 2 is not certain" },
	{ "line garbage", line_garbage, "not an answer" },
	{ "client raw", client_raw, NULL },
	{ "client raw early", client_raw_early, NULL },
	{ "client whole", client_whole, NULL },
	{ "client whole early", client_whole_early, "was accepted, and it is not there" },
	{ "line with return", line_with_return, "nobody has sent" },
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
