#include "base/peer.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

static size_t put_ipv4(char *out, size_t at, const uint8_t *address)
{
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			out[at++] = '.';
		at += text_u64(address[i], out + at);
	}
	return at;
}

static size_t put_group(char *out, size_t at, unsigned value)
{
	bool begun = false;

	for (int shift = 12; shift >= 0; shift -= 4) {
		unsigned digit = value >> shift & 15;

		if (digit == 0 && !begun && shift > 0)
			continue;
		begun = true;
		out[at++] = "0123456789abcdef"[digit];
	}
	return at;
}

/* RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::". */
static size_t put_ipv6(char *out, size_t at, const uint8_t *address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	unsigned best = 8, best_count = 1;
	unsigned run = 0;

	if (memcmp(address, mapped, sizeof(mapped)) == 0)
		return put_ipv4(out, text_put(out, at, "::ffff:"), address + 12);

	for (unsigned i = 0; i < 8; i++) {
		bool zero = bytes_are_zero(address + (size_t)2 * i, 2);

		run = zero ? run + 1 : 0;
		if (run > best_count) {
			best_count = run;
			best = i + 1 - run;
		}
	}
	for (unsigned i = 0; i < 8; i++) {
		if (i == best) {
			at = text_put(out, at, "::");
			i += best_count - 1;
			continue;
		}
		if (i > 0 && out[at - 1] != ':')
			out[at++] = ':';
		at = put_group(out, at, (unsigned)(address[2 * i] << 8 | address[2 * i + 1]));
	}
	return at;
}

bool peer_equal(const struct peer *a, const struct peer *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

const char *peer_text(const struct peer *peer, char out[PEER_TEXT_SIZE])
{
	size_t at = 0;

	switch (peer->family) {
	case PEER_UNIX:
		text_put(out, 0, "unix");
		return out;
	case PEER_IPV4:
		at = put_ipv4(out, at, peer->address);
		break;
	case PEER_IPV6:
		out[at++] = '[';
		at = put_ipv6(out, at, peer->address);
		out[at++] = ']';
		break;
	default: /* none, or a family that a newer version knows */
		text_put(out, 0, "-");
		return out;
	}
	out[at++] = ':';
	text_u64(peer->port, out + at);
	return out;
}
