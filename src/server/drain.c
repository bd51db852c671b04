/* The clean stop: nothing new is accepted or read; what was read is stored and acknowledged; then everybody is let go.
 *
 *   drain_begin       listeners closed, native peers told (DRAIN), receiving ends
 *   until all that was read is appended (or half the time is over)
 *   journal_stop      the last commit, and a seal
 *   until journal_stopped, and all sessions are closed (or the time is over) */
#include "server/room.h"

void drain_begin(struct server *server)
{
	server->draining = true;
	server->drain_ns = io_now(server->io);
	listeners_close(server);
	for (uint32_t i = 0; i < server->fresh; i++) {
		struct session *s = &server->sessions[i];

		if (s->state == SESSION_FREE || s->state == SESSION_CLOSING)
			continue;
		if (session_is_native(s) && s->state != SESSION_FAREWELL) {
			s->wants |= WANT_DRAIN;
			if (s->state == SESSION_OPENING || s->state == SESSION_WELCOMING) {
				s->wants = WANT_DRAIN; /* no WELCOME any more */
				session_leave(server, s);
			} else {
				session_answer(server, s);
			}
		}
		/* What may have become the preface will not any more. */
		if (s->state == SESSION_OPENING && s->protocol == PROTOCOL_NONE &&
		    s->queue == QUEUE_NONE && session_bytes(server, s))
			session_take_as_raw(server, s);
		session_update(server, s);
	}
}

/* Is there something that was read, or belongs to a raw exchange that has begun, and is not stored? */
static bool is_waiting(const struct server *server)
{
	if (server->parked.count || server->memory_queue.count || server->ready.count)
		return true;
	for (uint32_t i = 0; i < server->fresh; i++) {
		const struct session *s = &server->sessions[i];

		if (s->protocol == PROTOCOL_RAW && s->state == SESSION_RUNNING)
			return true;
	}
	return false;
}

bool drain_is_owing(const struct server *server)
{
	for (uint32_t i = 0; i < server->fresh; i++) {
		const struct session *s = &server->sessions[i];

		if (s->state == SESSION_FREE || s->state == SESSION_CLOSING)
			continue;
		if (s->queue != QUEUE_NONE || (s->flags & FLAG_STUCK) ||
		    (s->protocol == PROTOCOL_RAW && session_bytes(server, s)))
			return true;
	}
	return false;
}

bool drain_turn(struct server *server)
{
	uint64_t past_ns = io_now(server->io) - server->drain_ns;

	if (!server->stopping && (past_ns >= DRAIN_NS / 2 || !is_waiting(server))) {
		server->stopping = true;
		server->appended = true; /* one more turn of the journal, at once */
		journal_stop(server->journal);
	}
	if (!server->stopping)
		return false;
	return past_ns >= DRAIN_NS || (journal_stopped(server->journal) && server->live == 0);
}

uint64_t drain_deadline(const struct server *server)
{
	if (!server->draining)
		return NEVER_NS;
	return server->drain_ns + (server->stopping ? DRAIN_NS : DRAIN_NS / 2);
}
