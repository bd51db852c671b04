/* native: HELLO and BYE. Who owns a stream, and where it goes on. */
#include <errno.h>

#include "base/mutant.h"
#include "server/room.h"

/* The session that had the stream until now hears of it and goes; what it had not appended is dropped. */
static void fence_older(struct server *server, struct session *s)
{
	uint32_t older = fence_put(&server->fence, s->stream_entry, session_index(server, s));

	if (older == FENCE_NONE || MUTANT(12) ||
	    (MUTANT(10) && server->sessions[older].appended_seq == 0))
		return;
	session_refuse(server, &server->sessions[older], FAULT_FENCED, 0, NULL);
	session_update(server, &server->sessions[older]);
}

/* Where the stream goes on for this peer. False: it has been refused. */
static bool choose_next(struct server *server, struct session *s, const struct wire_hello *hello,
			const struct stream_state *state, uint64_t *ret_next, uint32_t *ret_h)
{
	bool is_next = hello->flags & HELLO_NEXT;
	bool gap = !is_next && hello->first - 1 > state->last;

	if (gap && !(hello->flags & HELLO_ACCEPT_GAP) && !MUTANT(13)) {
		session_refuse(server, s, FAULT_GAP, state->last + 1, NULL);
		return false;
	}
	/* Behind the highest number nothing can come, but a peer may want to know that it arrived. */
	*ret_next = gap ? hello->first : state->last + 1;
	*ret_h = gap ? 0 : state->h;
	if (gap)
		s->flags |= FLAG_GAP;
	return true;
}

int session_hello(struct server *server, struct session *s, const struct wire_event *event)
{
	const struct wire_hello *hello = &event->hello;
	struct journal_stream stream;
	struct stream_state state;
	uint64_t next;
	uint32_t h;
	int r;

	if (gate_is_full(&server->gate)) {
		server->gate_was_full = true;
		return -ENOBUFS;
	}
	r = journal_stream_open(server->journal, &hello->stream, hello->flags & HELLO_EPHEMERAL,
				&stream, &state);
	if (r)
		return r;
	s->flags |= hello->flags & HELLO_EPHEMERAL ? FLAG_STREAM | FLAG_EPHEMERAL : FLAG_STREAM;
	s->stream_entry = stream.entry;
	s->native.epoch = stream.epoch;
	fence_older(server, s);
	s->native.writer = hello->writer;
	if (!choose_next(server, s, hello, &state, &next, &h))
		return 0;

	s->appended_seq = s->durable_seq = s->sent_seq = next - 1;
	s->durable_record = state.record;
	s->state = SESSION_WELCOMING;
	wire_accept(&s->wire, event);
	wire_welcomed(&s->wire, &hello->stream, next, h);
	session_consume(server, s, event->consumed);
	if (gate_is_open(state.record, journal_durable(server->journal)) || MUTANT(11)) {
		s->wants |= WANT_WELCOME;
		session_answer(server, s);
	} else {
		s->gate_position =
			gate_hold(&server->gate,
				  (struct gate_entry){ session_index(server, s), s->generation,
						       state.record, state.last },
				  journal_commit(server->journal), 0);
	}
	return 0;
}

int session_bye(struct server *server, struct session *s)
{
	int r = journal_stream_forget(server->journal, session_stream(s));

	/* Not all durable: the peer has not waited for its acks. Fenced: it is gone anyway. */
	return r == -EBUSY ? -ENOBUFS : r == -EPERM ? r : 0;
}
