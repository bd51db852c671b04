#include "base/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "server/notes.h"

static const struct peer peer = { .family = PEER_IPV4,
				  .port = 55760,
				  .address = { 127, 0, 0, 1 } };

static int out[2];
static int err[2];
static struct notes notes;
static char text[1 << 16];

static void begin(bool quiet, bool json)
{
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	notes_init(&notes, out[1], err[1], quiet, json);
}

/* What has been written to the pipe, which is then closed. */
static const char *all_of(int way[2])
{
	size_t size = 0;
	ssize_t n;

	close(way[1]);
	while ((n = read(way[0], text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	close(way[0]);
	text[size] = 0;
	return text;
}

static void received(uint64_t now_ns, const char *payload)
{
	notes_received(&notes, now_ns, &peer, (const uint8_t *)payload, strlen(payload));
}

static void lines_as_text(void **state)
{
	static const char long_line[] = "0123456789012345678901234567890123456789"
					"0123456789012345678901234567890123456789+";

	(void)state;
	begin(false, false);
	notes_listening(&notes, "0.0.0.0:9999", "roger, raw");
	notes_listening(&notes, "line://127.0.0.1:9998", NULL);
	notes_banner(&notes, "journal", "journal %s: %d records", "x", 12);
	notes_accepted(&notes, SECOND_NS, &peer);
	received(SECOND_NS, "Hello World!");
	received(SECOND_NS, "x");
	received(SECOND_NS, "\x1b[31m\n");
	received(SECOND_NS, long_line);
	notes_more_bytes(&notes, SECOND_NS, &peer, 3456);
	notes_peer(&notes, SECOND_NS, "refused", &peer, "too %s", "slow");
	assert_string_equal(all_of(out), "listening on 0.0.0.0:9999 (roger, raw)\n"
					 "listening on line://127.0.0.1:9998\n"
					 "journal x: 12 records\n"
					 "accepted 127.0.0.1:55760\n"
					 "received 12 bytes from 127.0.0.1:55760: Hello World!\n"
					 "received 1 byte from 127.0.0.1:55760: x\n"
					 "received 6 bytes from 127.0.0.1:55760: \\x1b[31m\\n\n"
					 "received 81 bytes from 127.0.0.1:55760: "
					 "0123456789012345678901234567890123456789"
					 "0123456789012345678901234567890123456789...\n"
					 "3456 more bytes from 127.0.0.1:55760 after ACK!\n");
	assert_string_equal(all_of(err), "roger: 127.0.0.1:55760: too slow\n");
}

static void quiet_leaves_the_listening_lines(void **state)
{
	(void)state;
	begin(true, false);
	notes_listening(&notes, "0.0.0.0:9999", "roger, raw");
	notes_banner(&notes, "journal", "journal");
	notes_accepted(&notes, SECOND_NS, &peer);
	received(SECOND_NS, "x");
	notes_skip(&notes, SECOND_NS, 7);
	notes_turn(&notes, 3 * SECOND_NS);
	notes_say(&notes, "full", "disk full");
	assert_string_equal(all_of(out), "listening on 0.0.0.0:9999 (roger, raw)\n");
	assert_string_equal(all_of(err), "roger: disk full\n");
}

static void lines_as_json(void **state)
{
	static const struct {
		const char *name;
		const char *payload;
		size_t size;
		const char *json;
	} rows[] = {
		{ "plain", "Hi", 2, "\"size\":2,\"payload\":\"Hi\"}\n" },
		{ "empty", "", 0, "\"size\":0,\"payload\":\"\"}\n" },
		{ "quotes and control", "\"\\\n\x01", 4,
		  "\"payload\":\"\\\"\\\\\\n\\u0001\"}\n" },
		{ "not UTF-8", "\xff\xfe", 2, "\"size\":2,\"payload_base64\":\"//4=\"}\n" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		begin(false, true);
		notes_received(&notes, SECOND_NS, &peer, (const uint8_t *)rows[i].payload,
			       rows[i].size);
		all_of(out);
		if (!strstr(text, rows[i].json) || strncmp(text, "{\"time\":\"", 9) != 0 ||
		    !strstr(text, "\"event\":\"received\",\"peer\":\"127.0.0.1:55760\","))
			fail_msg("%s: %s", rows[i].name, text);
		all_of(err);
	}
}

/* 79 bytes and a letter of two: the letter is not cut in two, so it stays UTF-8. */
static void json_does_not_cut_a_letter(void **state)
{
	char payload[100];

	(void)state;
	memset(payload, 'a', sizeof(payload));
	memcpy(payload + SHOWN_BYTES - 1, "\xc3\xa9", 2);
	begin(false, true);
	notes_received(&notes, SECOND_NS, &peer, (const uint8_t *)payload, sizeof(payload));
	all_of(out);
	assert_non_null(strstr(text, "aaa\",\"cut\":true}\n"));
	assert_null(strstr(text, "base64"));
	all_of(err);
}

static unsigned count_lines(const char *of)
{
	unsigned count = 0;

	for (; *of; of++)
		count += *of == '\n';
	return count;
}

static void at_most_so_many_a_second(void **state)
{
	(void)state;
	begin(false, false);
	for (unsigned i = 0; i < LINES_PER_SECOND + 5; i++)
		received(SECOND_NS, "x");
	assert_int_equal(notes_deadline(&notes), 2 * SECOND_NS);
	notes_turn(&notes, 2 * SECOND_NS - 1);
	notes_turn(&notes, 2 * SECOND_NS);
	assert_int_equal(notes_deadline(&notes), NEVER_NS);
	received(2 * SECOND_NS, "y");
	all_of(out);
	assert_int_equal(count_lines(text), LINES_PER_SECOND + 2);
	assert_non_null(
		strstr(text, ": x\n5 lines left out\nreceived 1 byte from 127.0.0.1:55760: y\n"));
	all_of(err);
}

static void what_is_left_out_on_stderr_is_told_by_name(void **state)
{
	(void)state;
	for (unsigned json = 0; json < 2; json++) {
		begin(false, json);
		for (unsigned i = 0; i < LINES_PER_SECOND + 5; i++)
			notes_peer(&notes, SECOND_NS, "refused", &peer, "x");
		notes_turn(&notes, 2 * SECOND_NS);
		all_of(err);
		assert_int_equal(count_lines(text), LINES_PER_SECOND + 1);
		assert_non_null(strstr(text, json ? "\"event\":\"left_out\",\"lines\":5}\n"
						  : ": x\nroger: 5 lines left out\n"));
		all_of(out);
	}
}

/* Paths may be anything: each line stays one line. */
static void paths_are_harmless(void **state)
{
	(void)state;
	begin(false, false);
	notes_listening(&notes, "line+unix:s\033[31m\n\xff\\", NULL);
	notes_listening(&notes, "unix:\n", "roger, raw");
	notes_banner(&notes, "journal", "journal %s: 1 record", "\x1b\n");
	notes_say(&notes, "failed", "journal %s", "\x1b\n");
	assert_string_equal(all_of(out), "listening on line+unix:s\\x1b[31m\\n\\xff\\\n"
					 "listening on unix:\\n (roger, raw)\n"
					 "journal \\x1b\\n: 1 record\n");
	assert_string_equal(all_of(err), "roger: journal \\x1b\\n\n");
}

static void what_is_left_out_is_told_at_the_end(void **state)
{
	(void)state;
	begin(false, false);
	for (unsigned i = 0; i < LINES_PER_SECOND + 1; i++)
		received(SECOND_NS, "x");
	notes_end(&notes);
	assert_non_null(strstr(all_of(out), ": x\n1 line left out\n"));
	all_of(err);
}

static void a_reader_that_does_not_read(void **state)
{
	char page[4096] = { 0 };
	unsigned pages = 0;

	(void)state;
	begin(false, false);
	fcntl(out[1], F_SETFL, O_NONBLOCK);
	while (write(out[1], page, sizeof(page)) > 0)
		pages++;
	fcntl(out[1], F_SETFL, 0); /* from here on a write would block for ever */
	alarm(10);
	for (unsigned i = 0; i < 10; i++)
		received(SECOND_NS, "x");
	notes_turn(&notes, 2 * SECOND_NS);
	assert_int_equal(notes.out.left_out, 10);
	while (pages--)
		assert_int_equal(read(out[0], page, sizeof(page)), sizeof(page));
	notes_turn(&notes, 3 * SECOND_NS);
	received(3 * SECOND_NS, "y");
	alarm(0);
	assert_string_equal(all_of(out),
			    "10 lines left out\nreceived 1 byte from 127.0.0.1:55760: y\n");
	all_of(err);
}

/* Once it serves, also a line that is never left out for the limit does not wait. */
static void news_do_not_wait(void **state)
{
	char page[4096] = { 0 };

	(void)state;
	begin(false, false);
	notes_serve(&notes);
	fcntl(err[1], F_SETFL, O_NONBLOCK);
	while (write(err[1], page, sizeof(page)) > 0)
		;
	fcntl(err[1], F_SETFL, 0);
	alarm(10);
	notes_say(&notes, "full", "disk full");
	alarm(0);
	assert_int_equal(notes.err.left_out, 1);
	all_of(err);
	all_of(out);
}

/* The other end of a new terminal, whose end for programs is put in the place of stdout. */
static int begin_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int slave;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	begin(false, false);
	close(out[0]);
	assert_int_equal(dup2(slave, out[1]), out[1]);
	close(slave);
	return master;
}

/* A full terminal takes a part of a line and then waits: we do not, and no line is cut. */
static void fill_terminal(bool is_refused)
{
	int master = begin_terminal();
	uint64_t now_ns = SECOND_NS;
	unsigned lines = 0;
	size_t size = 0, length;
	char payload[SHOWN_BYTES + 1];
	const char *at;
	ssize_t n;

	memset(payload, 1, SHOWN_BYTES); /* a long line: \x01\x01... */
	payload[SHOWN_BYTES] = text[0] = 0;
	if (is_refused)
		assert_int_equal(seteuid(65534), 0);
	notes_serve(&notes);
	if (is_refused)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(notes.out.bytewise, is_refused);
	alarm(10);
	while (!notes.out.left_out) {
		received(now_ns, payload);
		now_ns += SECOND_NS / 50;
		lines++;
	}
	assert_true(notes.out.rest_size > 0);
	assert_int_equal(notes_deadline(&notes), notes.out.window_ns + SECOND_NS);
	assert_int_equal(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
	fcntl(master, F_SETFL, O_NONBLOCK);
	while (!strstr(text, "1 line left out\r\n")) {
		n = read(master, text + size, sizeof(text) - 1 - size);
		if (n > 0)
			size += (size_t)n;
		text[size] = 0;
		notes_turn(&notes, now_ns += SECOND_NS);
	}
	alarm(0);
	length = strcspn(text, "\n") + 1;
	for (at = text; strncmp(at, text, length) == 0; at += length)
		lines--;
	assert_string_equal(at, "1 line left out\r\n");
	assert_int_equal(lines, 1);
	notes_end(&notes);
	close(master);
	close(out[1]);
	all_of(err);
}

static void a_terminal_that_is_not_read(void **state)
{
	(void)state;
	fill_terminal(false);
}

/* The same when it may not be opened again: the server runs as another user than the one whose terminal it is. */
static void a_terminal_of_somebody_else(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	fill_terminal(true);
}

/* A full disk is not the end: the lines come again when there is room. */
static void a_write_that_fails_for_now(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(full >= 0);
	begin(false, false);
	notes.out.descriptor = full;
	notes_banner(&notes, "journal", "journal");
	notes_serve(&notes);
	received(SECOND_NS, "x");
	assert_false(notes.out.closed);
	assert_int_equal(notes.out.left_out, 2);
	notes.out.descriptor = out[1];
	notes_turn(&notes, 3 * SECOND_NS);
	received(3 * SECOND_NS, "y");
	assert_string_equal(all_of(out),
			    "2 lines left out\nreceived 1 byte from 127.0.0.1:55760: y\n");
	all_of(err);
	close(full);
}

static void a_reader_that_has_gone(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	begin(false, false);
	close(out[0]);
	for (unsigned i = 0; i < 3; i++)
		received(SECOND_NS, "x");
	notes_listening(&notes, "0.0.0.0:9999", NULL);
	assert_true(notes.out.closed);
	assert_false(notes_wanted(&notes, SECOND_NS));
	assert_int_equal(notes_deadline(&notes), NEVER_NS);
	close(out[1]);
	all_of(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_as_text),
		cmocka_unit_test(quiet_leaves_the_listening_lines),
		cmocka_unit_test(lines_as_json),
		cmocka_unit_test(json_does_not_cut_a_letter),
		cmocka_unit_test(at_most_so_many_a_second),
		cmocka_unit_test(what_is_left_out_on_stderr_is_told_by_name),
		cmocka_unit_test(paths_are_harmless),
		cmocka_unit_test(what_is_left_out_is_told_at_the_end),
		cmocka_unit_test(a_reader_that_does_not_read),
		cmocka_unit_test(news_do_not_wait),
		cmocka_unit_test(a_terminal_that_is_not_read),
		cmocka_unit_test(a_terminal_of_somebody_else),
		cmocka_unit_test(a_write_that_fails_for_now),
		cmocka_unit_test(a_reader_that_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
