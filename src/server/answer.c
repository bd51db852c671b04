/* What is told to the peer, and when: one answer at a time, always the newest. */
#include <errno.h>

#include "base/must.h"
#include "server/room.h"

/* How long a peer should wait before it comes back to a server that stops: about what a restart takes. */
enum { DRAIN_WAIT_MS = 500 };

static void welcome(struct server *server, struct session *s, struct wire_reply *reply)
{
	struct wire_welcome *w = &reply->welcome;
	struct stream_state state;

	/* Nothing can have been appended since HELLO: it has fenced all others. */
	journal_stream_state(server->journal, session_stream(s), &state);
	*w = (struct wire_welcome){
		.flags = server->not_durable ? WELCOME_NOT_DURABLE : 0,
		.message_max = server->config->journal.message_max,
		.last = state.last,
		.record = state.record,
		.writer = state.writer,
		.h = state.h,
	};
	for (unsigned i = 0; i < JOURNAL_ID_SIZE; i++)
		w->journal_id[i] = server->journal_id[i];
	reply->kind = REPLY_WELCOME;
	s->wants &= (uint8_t)~WANT_WELCOME;
	s->state = SESSION_RUNNING;
	if (s->queue == QUEUE_NONE && (session_bytes(server, s) || (s->flags & FLAG_ENDED)))
		session_enqueue(server, s, QUEUE_READY, false);
}

static bool ack_is_due(const struct session *s)
{
	if (session_is_native(s))
		return (s->state == SESSION_RUNNING || s->state == SESSION_ENDING) &&
		       s->durable_seq > s->sent_seq;
	if (s->protocol == PROTOCOL_LINE)
		return (s->flags & FLAG_RUN) && s->durable_seq > s->sent_seq &&
		       s->plain.record_from <= s->durable_record;
	return s->wants & WANT_ACK;
}

static void ack(struct session *s, struct wire_reply *reply)
{
	reply->kind = REPLY_ACK;
	reply->seq = s->durable_seq;
	reply->record = s->durable_record;
	if (s->protocol == PROTOCOL_LINE) {
		reply->record_from = s->plain.record_from;
	} else {
		s->sent_seq = s->durable_seq;
		s->flags |= FLAG_ACKED;
	}
	s->wants &= (uint8_t) ~(WANT_ACK | WANT_BEAT);
}

/* The last ACK again; where there was none, just a sign of life. */
static void beat(struct session *s, struct wire_reply *reply)
{
	s->wants &= (uint8_t)~WANT_BEAT;
	if (s->flags & FLAG_ACKED)
		ack(s, reply);
	else
		reply->kind = REPLY_WAIT;
}

/* What is due next; false: nothing. */
static bool pick(struct server *server, struct session *s, struct wire_reply *reply)
{
	if (s->wants & WANT_WELCOME) {
		welcome(server, s, reply);
	} else if (ack_is_due(s)) {
		ack(s, reply);
	} else if (s->wants & WANT_ERROR) {
		s->wants = 0;
		reply->kind = REPLY_ERROR;
		reply->fault = (enum wire_fault)s->fault;
		reply->seq = s->fault_seq;
	} else if (s->wants & WANT_DRAIN) {
		s->wants &= (uint8_t)~WANT_DRAIN;
		reply->kind = REPLY_DRAIN;
		reply->wait_ms = DRAIN_WAIT_MS;
	} else if (s->wants & WANT_BEAT) {
		beat(s, reply);
	} else {
		return false;
	}
	reply->with_preface = !(s->flags & FLAG_OPENED);
	return true;
}

static void all_is_sent(struct server *server, struct session *s, struct session_output *out)
{
	if (out->last)
		s->flags |= FLAG_SHUT;
	slab_release(&server->outputs, out);
	s->output = 0;
	if (!session_is_native(s))
		s->last_ns = io_now(server->io);
}

/* False: something is still under way. */
static bool send_out(struct server *server, struct session *s, struct session_output *out)
{
	struct io_span span = { out->bytes + out->sent, (size_t)(out->size - out->sent) };

	out->taken_ns = io_now(server->io);
	/* line: a long run is told in many pieces, one a turn, so that nobody has to wait for all of it. */
	if (s->protocol == PROTOCOL_LINE && ack_is_due(s)) {
		io_send(server->io, s->socket, &span, 1);
		return false;
	}
	if (!io_send_answer(server->io, s->socket, span.data, span.size, out->last))
		return false;
	all_is_sent(server, s, out);
	return true;
}

/* All has been said for now. */
static void fall_silent(struct server *server, struct session *s)
{
	if (s->state == SESSION_FAREWELL || s->state == SESSION_LINGERING) {
		if (!(s->flags & FLAG_SHUT))
			io_shutdown(server->io, s->socket);
		s->flags |= FLAG_SHUT;
	}
	if ((s->flags & FLAG_RUN) && s->sent_seq == s->appended_seq) {
		s->flags &= (uint16_t)~FLAG_RUN;
		if (s->state == SESSION_RUNNING && s->queue == QUEUE_NONE &&
		    (session_bytes(server, s) || (s->flags & FLAG_ENDED)))
			session_enqueue(server, s, QUEUE_READY, false);
	}
}

static void encode(struct session *s, struct wire_reply *reply, struct session_output *out)
{
	size_t size = wire_reply(&s->wire, reply, out->bytes, OUTPUT_SLOT_SIZE);

	must(size > 0 && size <= OUTPUT_SLOT_SIZE);
	if (s->protocol == PROTOCOL_LINE) {
		s->sent_seq += reply->record_from - s->plain.record_from; /* one record a line, in a row */
		s->plain.record_from = reply->record_from;
		must(s->sent_seq <= s->durable_seq);
	}
	s->flags |= FLAG_OPENED;
	out->size = (uint16_t)size;
	out->sent = 0;
	out->last = (s->state == SESSION_FAREWELL || s->state == SESSION_LINGERING) && !s->wants;
}

void session_answer(struct server *server, struct session *s)
{
	struct session_output *out;

	/* Of a journal that has failed nothing more is told, not even what had been durable before: the server ends with this turn. */
	if (s->output || journal_failed(server->journal))
		return;
	do {
		struct wire_reply reply = { .kind = REPLY_WAIT };

		if (!pick(server, s, &reply)) {
			fall_silent(server, s);
			return;
		}
		out = slab_acquire(&server->outputs);
		must(out); /* one for each session */
		s->output = slab_number(&server->outputs, out);
		encode(s, &reply, out);
	} while (send_out(server, s, out));
}

/* raw: what has been read is stored, though nobody is there to hear of it. */
static void cannot_answer(struct server *server, struct session *s)
{
	s->wants = 0;
	s->flags |= FLAG_ENDED | FLAG_BROKEN;
	if (s->protocol != PROTOCOL_RAW || !session_bytes(server, s))
		session_close(server, s, true);
	else
		session_update(server, s);
}

void session_sent(struct server *server, struct session *s, int result)
{
	struct session_output *out = slab_piece(&server->outputs, s->output);

	if (result <= 0) {
		slab_release(&server->outputs, out);
		s->output = 0;
		cannot_answer(server, s);
		return;
	}
	out->sent = (uint16_t)(out->sent + result);
	if (out->sent == out->size)
		all_is_sent(server, s, out);
	else if (!send_out(server, s, out))
		return;
	session_answer(server, s);
	session_update(server, s);
}

void session_raw_answer(struct server *server, struct session *s)
{
	if ((s->state != SESSION_RUNNING && s->state != SESSION_ENDING) ||
	    (s->flags & FLAG_BROKEN) || s->queue != QUEUE_NONE || session_bytes(server, s) ||
	    !s->appended_seq || s->durable_seq != s->appended_seq)
		return;
	/* What is readable arrived before the answer, so it belongs to what the answer covers. */
	if (!(s->flags & FLAG_ENDED) && io_readable(server->io, s->socket))
		return;
	s->state = SESSION_LINGERING;
	s->begun_ns = s->last_ns = io_now(server->io);
	s->sent_seq = s->durable_seq;
	s->wants |= WANT_ACK;
	session_answer(server, s);
}

void session_released(struct server *server, struct session *s, const struct gate_entry *entry)
{
	if (s->state == SESSION_WELCOMING) {
		s->wants |= WANT_WELCOME;
	} else {
		must(entry->seq >= s->durable_seq && entry->seq <= s->appended_seq);
		s->durable_seq = entry->seq;
		s->durable_record = entry->record;
	}
	if (s->protocol == PROTOCOL_RAW) {
		session_raw_answer(server, s);
	} else {
		if (s->protocol == PROTOCOL_WHOLE && s->durable_seq == s->appended_seq)
			s->wants |= WANT_ACK;
		session_answer(server, s);
	}
	session_update(server, s);
}
