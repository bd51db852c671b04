#include "base/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/test.h"

static void known_peers(void **state)
{
	static const struct {
		struct peer peer;
		const char *want;
	} rows[] = {
		{ { .family = PEER_NONE }, "-" },
		{ { .family = PEER_UNIX, .port = 7 }, "unix" },
		{ { .family = 2, .port = 7 }, "-" },
		{ { .family = 255 }, "-" },
		{ { .family = PEER_IPV4, .port = 55760, .address = { 127, 0, 0, 1 } }, "127.0.0.1:55760" },
		{ { .family = PEER_IPV4, .port = 65535, .address = { 255, 255, 255, 255 } }, "255.255.255.255:65535" },
		{ { .family = PEER_IPV4 }, "0.0.0.0:0" },
		{ { .family = PEER_IPV6, .port = 55760, .address = { [15] = 1 } }, "[::1]:55760" },
		{ { .family = PEER_IPV6, .port = 1 }, "[::]:1" },
		{ { .family = PEER_IPV6, .port = 80, .address = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } }, "[2001:db8::1]:80" },
		{ { .family = PEER_IPV6, .port = 80, .address = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 } },
		  "[::ffff:192.0.2.1]:80" },
	};
	char text[PEER_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(peer_text(&rows[i].peer, text), rows[i].want);
}

/* All 256 patterns of zero and non-zero groups, against the C library. */
static void ipv6_as_the_c_library_writes_it(void **state)
{
	(void)state;
	for (unsigned pattern = 0; pattern < 256; pattern++) {
		struct peer peer = { .family = PEER_IPV6, .port = 65535 };
		char address[INET6_ADDRSTRLEN], want[PEER_TEXT_SIZE], text[PEER_TEXT_SIZE];

		/* The library writes ::1.2.3.4 for what was once an IPv4-compatible address; nobody has one. */
		if ((pattern & 0x3f) == 0 && pattern != 0)
			continue;
		for (unsigned i = 0; i < 8; i++) {
			if ((pattern >> i & 1) != 0) {
				peer.address[2 * i] = (uint8_t)(i % 2 == 0 ? 0xab : 0);
				peer.address[2 * i + 1] = (uint8_t)(i % 3 == 0 ? 0x0c : 0xf0);
			}
		}
		inet_ntop(AF_INET6, peer.address, address, sizeof(address));
		snprintf(want, sizeof(want), "[%s]:65535", address);
		assert_string_equal(peer_text(&peer, text), want);
	}
}

static void the_longest_fits(void **state)
{
	struct peer peer = { .family = PEER_IPV6, .port = 65535 };
	char text[PEER_TEXT_SIZE];

	(void)state;
	memset(peer.address, 0xff, sizeof(peer.address));
	assert_string_equal(peer_text(&peer, text),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_peers),
		cmocka_unit_test(ipv6_as_the_c_library_writes_it),
		cmocka_unit_test(the_longest_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
