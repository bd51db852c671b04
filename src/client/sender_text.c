/* Why a sender can not go on, in words for people, and the exit status that goes with it. */
#include <inttypes.h>

#include "client/sender.h"
#include "wire/wire.h"

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void lost(const struct sender *s, const char *peer, struct failure *why)
{
	if (s->end == END_GAP)
		failure_set(
			why, EXIT_DATA, 0,
			"%s: the server has lost messages that it had acknowledged: it expects"
			" number %" PRIu64 ", and number %" PRIu64
			" was acknowledged (--accept-gap goes on without them)",
			peer, s->end_seq, s->end_count);
	else
		failure_set(why, EXIT_DATA, 0,
			    "%s: the server has lost %" PRIu64
			    " message%s that it had acknowledged: its last is number %" PRIu64
			    " (--accept-gap goes on without them)",
			    peer, s->end_count, plural(s->end_count), s->end_seq);
}

static void foreign_messages(const struct sender *s, const char *peer, struct failure *why)
{
	if (s->end == END_WRITER)
		failure_set(why, EXIT_DATA, 0,
			    "%s: another sender has written to this stream; of ours, %" PRIu64
			    " message%s in doubt",
			    peer, s->end_count, s->end_count == 1 ? " is" : "s are");
	else if (s->end == END_HISTORY)
		failure_set(why, EXIT_DATA, 0,
			    "%s: the server's messages up to number %" PRIu64
			    " are not what was sent; %" PRIu64 " message%s in doubt",
			    peer, s->end_seq, s->end_count, s->end_count == 1 ? " is" : "s are");
	else
		failure_set(why, EXIT_DATA, 0,
			    "%s: the server has message number %" PRIu64
			    " of this stream, which was never sent",
			    peer, s->end_seq);
}

static void different_input(const struct sender *s, const char *peer, struct failure *why)
{
	if (s->end == END_SHORTER)
		failure_set(why, EXIT_DATA, 0,
			    "%s: --resume: the input has %" PRIu64 " message%s, the stream %" PRIu64
			    "; nothing was sent",
			    peer, s->end_count, plural(s->end_count), s->end_seq);
	else
		failure_set(
			why, EXIT_DATA, 0,
			"%s: --resume: the input is not what the stream holds (its first %" PRIu64
			" message%s); nothing was sent",
			peer, s->end_seq, plural(s->end_seq));
}

void sender_describe(const struct sender *s, const char *peer, struct failure *why)
{
	switch (s->end) {
	case END_LOST:
	case END_GAP: lost(s, peer, why); break;
	case END_AHEAD:
	case END_WRITER:
	case END_HISTORY: foreign_messages(s, peer, why); break;
	case END_DIFFERENT:
	case END_SHORTER: different_input(s, peer, why); break;
	case END_CHECKSUM:
		failure_set(why, EXIT_DATA, 0,
			    "%s: message number %" PRIu64 " arrived damaged twice; giving up", peer,
			    s->end_seq);
		break;
	case END_TOO_BIG:
		failure_set(why, EXIT_DATA, 0,
			    "%s: message number %" PRIu64 " is larger than the server takes", peer,
			    s->end_seq);
		break;
	case END_FENCED:
		failure_set(why, EXIT_UNAVAILABLE, 0,
			    "%s: another sender has taken the stream over; of ours, %" PRIu64
			    " message%s in doubt",
			    peer, s->end_count, s->end_count == 1 ? " is" : "s are");
		break;
	case END_REFUSED:
		failure_set(why, EXIT_UNAVAILABLE, 0, "%s: the server refused us: %s", peer,
			    wire_fault_text((enum wire_fault)s->end_fault));
		break;
	case END_SEQ:
		failure_set(why, EXIT_DATA, 0, "%s: the stream's numbers are used up", peer);
		break;
	case END_EXPIRED:
		failure_set(
			why, EXIT_TIMEOUT, 0,
			"%s: too late to go on with this stream (12 h without a connection); "
			"%" PRIu64 " message%s in doubt",
			peer, s->end_count, s->end_count == 1 ? " is" : "s are");
		break;
	case SENDER_GOING:
	case END_COUNT: failure_set(why, EXIT_IO, 0, "%s: no reason", peer); break;
	}
}
