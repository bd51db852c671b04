/* One connection's life.
 *
 *   OPENING --HELLO--> WELCOMING --WELCOME sent--> RUNNING --half-close--> ENDING --all acknowledged--> closed     native
 *   OPENING --------- first byte -------------->   RUNNING --half-close--> ENDING --answered----------> closed     plain
 *                                                  RUNNING, ENDING --ACK!--> LINGERING --peer closes--> closed     raw
 *   any --ERROR, or the server stops--> FAREWELL --peer closes, or 5 s--> closed                                   native */
#include <errno.h>
#include <inttypes.h>

#include "base/must.h"
#include "base/mutant.h"
#include "server/room.h"

uint32_t session_index(const struct server *server, const struct session *s)
{
	return (uint32_t)(s - server->sessions);
}

bool session_is_native(const struct session *s)
{
	return s->protocol == PROTOCOL_NATIVE;
}

struct journal_stream session_stream(const struct session *s)
{
	return (struct journal_stream){ .entry = s->stream_entry, .epoch = s->native.epoch };
}

static struct session_input *input_of(const struct server *server, const struct session *s)
{
	return slab_piece(&server->inputs, s->input);
}

size_t session_bytes(const struct server *server, const struct session *s)
{
	return s->input ? input_size(&input_of(server, s)->input) : 0;
}

/* --- queues */

static struct session_list *list_of(struct server *server, enum session_queue queue)
{
	switch (queue) {
	case QUEUE_PARKED: return &server->parked;
	case QUEUE_MEMORY: return &server->memory_queue;
	case QUEUE_READY: return &server->ready;
	case QUEUE_NONE: break;
	}
	return NULL;
}

void session_enqueue(struct server *server, struct session *s, enum session_queue queue,
		     bool front)
{
	struct session_list *list = list_of(server, queue);
	uint32_t index = session_index(server, s);

	must(s->queue == QUEUE_NONE);
	s->queue = (uint8_t)queue;
	s->previous = front ? SESSION_NONE : list->last;
	s->next = front ? list->first : SESSION_NONE;
	if (s->previous == SESSION_NONE)
		list->first = index;
	else
		server->sessions[s->previous].next = index;
	if (s->next == SESSION_NONE)
		list->last = index;
	else
		server->sessions[s->next].previous = index;
	list->count++;
}

void session_dequeue(struct server *server, struct session *s)
{
	struct session_list *list = list_of(server, (enum session_queue)s->queue);

	if (!list)
		return;
	if (s->previous == SESSION_NONE)
		list->first = s->next;
	else
		server->sessions[s->previous].next = s->next;
	if (s->next == SESSION_NONE)
		list->last = s->previous;
	else
		server->sessions[s->next].previous = s->previous;
	list->count--;
	s->queue = QUEUE_NONE;
}

/* --- beginning */

static struct session *take_place(struct server *server)
{
	struct session *s;

	if (server->free_list != SESSION_NONE) {
		s = &server->sessions[server->free_list];
		server->free_list = s->next;
	} else if (server->fresh < server->session_count) {
		s = &server->sessions[server->fresh++];
	} else {
		return NULL;
	}
	*s = (struct session){ .generation = s->generation };
	server->live++;
	return s;
}

void session_accepted(struct server *server, const struct listener *listener,
		      const struct io_event *event)
{
	struct session *s = server->draining ? NULL : take_place(server);

	if (!s) {
		/* It was on its way when accepting was stopped. */
		io_close(server->io, event->socket, true);
		return;
	}
	s->socket = event->socket;
	s->peer = event->peer;
	s->state = SESSION_OPENING;
	s->protocol = listener->protocol;
	s->begun_ns = s->last_ns = io_now(server->io);
	if (session_is_native(s))
		s->beat_ns = NEVER_NS;
	if (s->protocol != PROTOCOL_NONE)
		wire_init(&s->wire, (enum protocol)s->protocol,
			  server->config->journal.message_max);
	io_set_owner(server->io, s->socket, s);
	notes_accepted(&server->notes, io_now(server->io), &s->peer);
	if (server->live == server->session_count)
		listeners_accept(server, false);
	session_update(server, s);
}

/* --- ending */

void session_return_buffer(struct server *server, struct session *s, uint32_t buffer)
{
	io_buffer_return(server->io, buffer);
	if (s->flags & FLAG_LENT)
		server->lent--;
	s->flags &= (uint16_t)~FLAG_LENT;
}

static void drop_input(struct server *server, struct session *s)
{
	struct session_input *in = input_of(server, s);
	bool lent;
	uint32_t buffer;

	if (!in)
		return;
	input_drop(&in->input, &server->pools, &lent, &buffer);
	slab_release(&server->inputs, in);
	s->input = 0;
	if (lent && MUTANT(21))
		io_buffer_return(server->io, buffer);
	if (lent)
		session_return_buffer(server, s, buffer);
}

/* Has the peer been told everything that it will be told? */
static bool is_answered(const struct session *s)
{
	return !s->output && !s->wants && s->appended_seq == s->sent_seq && !(s->flags & FLAG_RUN);
}

/* What it has in the server's other parts goes: nothing more of it is stored or acknowledged. */
static void end_service(struct server *server, struct session *s)
{
	session_dequeue(server, s);
	drop_input(server, s);
	if (s->flags & FLAG_STREAM) {
		fence_remove(&server->fence, s->stream_entry, session_index(server, s));
		journal_stream_close(server->journal, session_stream(s));
	}
	s->flags &= (uint16_t) ~(FLAG_STREAM | FLAG_PARTIAL | FLAG_RUN);
	s->frozen_ns = 0;
	s->generation++; /* its entries at the gate are nobody's */
}

void session_leave(struct server *server, struct session *s)
{
	end_service(server, s);
	s->state = SESSION_FAREWELL;
	s->begun_ns = io_now(server->io);
	session_answer(server, s);
}

static void note_refused(struct server *server, struct session *s, uint64_t seq, const char *text)
{
	if (seq)
		notes_peer(&server->notes, io_now(server->io), "refused", &s->peer,
			   "%s (message %" PRIu64 ")", text, seq);
	else
		notes_peer(&server->notes, io_now(server->io), "refused", &s->peer, "%s", text);
}

static void leave_with_error(struct server *server, struct session *s)
{
	s->wants = WANT_ERROR;
	session_leave(server, s);
}

void session_refuse(struct server *server, struct session *s, enum wire_fault fault, uint64_t seq,
		    const char *text)
{
	note_refused(server, s, seq, text ? text : wire_fault_text(fault));
	if (!session_is_native(s)) {
		session_close(server, s, false);
		return;
	}
	s->fault = (uint8_t)fault;
	s->fault_seq = seq;
	leave_with_error(server, s);
}

void session_refuse_last(struct server *server, struct session *s, enum wire_fault fault,
			 uint64_t seq)
{
	bool answers_each = session_is_native(s) || s->protocol == PROTOCOL_LINE;

	if (!answers_each || s->state != SESSION_RUNNING || is_answered(s)) {
		session_refuse(server, s, fault, seq, NULL);
		return;
	}
	note_refused(server, s, seq, wire_fault_text(fault));
	drop_input(server, s);
	s->fault = (uint8_t)fault;
	s->fault_seq = seq;
	s->state = SESSION_ENDING;
}

void session_close(struct server *server, struct session *s, bool reset)
{
	if (s->protocol == PROTOCOL_RAW && s->plain.more_bytes)
		notes_more_bytes(&server->notes, io_now(server->io), &s->peer,
				 s->plain.more_bytes);
	end_service(server, s);
	timers_set(&server->timers, session_index(server, s), NEVER_NS);
	s->state = SESSION_CLOSING;
	io_close(server->io, s->socket, reset);
}

void session_closed(struct server *server, struct session *s)
{
	must(s->state == SESSION_CLOSING);
	if (s->output)
		slab_release(&server->outputs, slab_piece(&server->outputs, s->output));
	s->output = 0;
	s->state = SESSION_FREE;
	s->next = server->free_list;
	server->free_list = session_index(server, s);
	server->live--;
	if (!server->draining)
		listeners_accept(server, true);
}

/* Nothing is left to be done. */
static bool is_done(const struct server *server, const struct session *s)
{
	bool ended = s->flags & FLAG_ENDED, broken = s->flags & FLAG_BROKEN;

	if (s->queue != QUEUE_NONE)
		return false;
	switch ((enum session_state)s->state) {
	case SESSION_ENDING: return broken || is_answered(s);
	case SESSION_LINGERING:
		return session_bytes(server, s) == 0 &&
		       (broken || ((s->flags & FLAG_SHUT) && (ended || server->draining)));
	case SESSION_FAREWELL: return broken || (ended && (s->flags & FLAG_SHUT));
	case SESSION_OPENING: return server->draining;
	case SESSION_RUNNING: return server->draining && !session_is_native(s) && is_answered(s);
	case SESSION_FREE:
	case SESSION_WELCOMING:
	case SESSION_CLOSING: break;
	}
	return false;
}

/* --- deadlines */

static uint64_t later(uint64_t begin_ns, uint64_t by_ns)
{
	return by_ns < NEVER_NS - begin_ns ? begin_ns + by_ns : NEVER_NS;
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

/* Until when the message that has begun must be complete. */
static uint64_t message_deadline(const struct server *server, const struct session *s)
{
	/* whole: what is sent may well be made while it is sent. */
	uint64_t base_ns = s->protocol == PROTOCOL_WHOLE ? server->config->idle_ns
							 : server->config->message_ns;
	uint64_t need = s->input ? input_of(server, s)->need : 0;
	uint64_t size_ns = need * (SECOND_NS / DEADLINE_MESSAGE_RATE);

	return later(later(s->begun_ns, base_ns), size_ns);
}

static uint64_t deadline(const struct server *server, const struct session *s)
{
	const struct server_config *config = server->config;

	if (s->frozen_ns)
		return NEVER_NS;
	switch ((enum session_state)s->state) {
	case SESSION_OPENING:
		if (s->protocol == PROTOCOL_NONE && session_bytes(server, s))
			return earlier(s->last_ns + DEADLINE_PREFACE_NS,
				       later(s->begun_ns, config->first_ns));
		return later(s->begun_ns, config->first_ns);
	case SESSION_RUNNING:
		if (s->flags & FLAG_PARTIAL)
			return message_deadline(server, s);
		if (session_is_native(s) || s->appended_seq != s->sent_seq)
			return NEVER_NS;
		return later(s->last_ns, config->idle_ns);
	case SESSION_LINGERING:
		return earlier(later(s->last_ns, config->linger_ns),
			       s->begun_ns + LINGER_TOTAL_NS);
	case SESSION_FAREWELL: return s->begun_ns + LINGER_QUIET_NS;
	case SESSION_FREE:
	case SESSION_WELCOMING:
	case SESSION_ENDING:
	case SESSION_CLOSING: break;
	}
	return NEVER_NS;
}

/* Until when the peer must take something of what is being sent. TCP gives up by itself; a unix socket does not. */
static uint64_t output_deadline(const struct server *server, const struct session *s)
{
	const struct session_output *out = slab_piece(&server->outputs, s->output);

	return out ? out->taken_ns + USER_TIMEOUT_MS * MS_NS : NEVER_NS;
}

static uint64_t beat_deadline(const struct session *s)
{
	return session_is_native(s) ? s->beat_ns : NEVER_NS;
}

/* A deadline has passed that the peer should have kept. */
static void give_up(struct server *server, struct session *s)
{
	switch ((enum session_state)s->state) {
	case SESSION_OPENING:
		if (s->protocol == PROTOCOL_NONE && session_bytes(server, s))
			session_take_as_raw(server, s);
		else
			session_refuse(server, s, FAULT_DEADLINE, 0,
				       session_bytes(server, s) ? "HELLO was not complete in time"
								: "silent for too long");
		break;
	case SESSION_RUNNING:
		session_refuse(server, s, FAULT_DEADLINE,
			       session_is_native(s) ? s->appended_seq + 1 : 0,
			       s->flags & FLAG_PARTIAL ? "a message was not complete in time"
						       : "silent for too long");
		break;
	case SESSION_LINGERING:
		notes_peer(&server->notes, io_now(server->io), "reset", &s->peer,
			   "still not closed after ACK!: reset");
		session_close(server, s, true);
		break;
	case SESSION_FAREWELL: session_close(server, s, true); break;
	case SESSION_FREE:
	case SESSION_WELCOMING:
	case SESSION_ENDING:
	case SESSION_CLOSING: must(s->state == SESSION_OPENING); /* these have no deadline */
	}
}

void session_expired(struct server *server, struct session *s)
{
	uint64_t now_ns = io_now(server->io);

	if (output_deadline(server, s) <= now_ns) {
		notes_peer(&server->notes, now_ns, "reset", &s->peer,
			   "does not take its answers: reset");
		session_close(server, s, true);
		return;
	}
	if (beat_deadline(s) <= now_ns) {
		s->beat_ns = now_ns + server->config->heartbeat_ns;
		s->wants |= WANT_BEAT;
		session_answer(server, s);
	}
	if (deadline(server, s) <= now_ns)
		give_up(server, s);
	session_update(server, s);
}

/* --- after everything */

/* It is not listened to, so that buffers are left for those who want to know that we are there. raw: what is stored of an
 * exchange may only be answered when nothing is readable, so that one goes on. */
static bool is_crowded_out(const struct server *server, const struct session *s)
{
	return server->crowded && s->state == SESSION_RUNNING &&
	       !(s->protocol == PROTOCOL_RAW && s->appended_seq);
}

/* Its peer waits for us, not we for it. */
static bool is_frozen(const struct server *server, const struct session *s)
{
	return s->queue != QUEUE_NONE || s->state == SESSION_WELCOMING ||
	       (s->flags & (FLAG_RUN | FLAG_STUCK)) || is_crowded_out(server, s);
}

static void update_clock(struct server *server, struct session *s)
{
	uint64_t now_ns = io_now(server->io);

	if (is_frozen(server, s)) {
		if (!s->frozen_ns)
			s->frozen_ns = now_ns;
	} else if (s->frozen_ns) {
		s->begun_ns += now_ns - s->frozen_ns;
		if (!session_is_native(s))
			s->last_ns += now_ns - s->frozen_ns;
		s->frozen_ns = 0;
	}
}

static bool wants_bytes(const struct server *server, const struct session *s)
{
	if ((s->flags & FLAG_ENDED) || is_frozen(server, s))
		return false;
	if (s->state == SESSION_FAREWELL)
		return true;
	if (server->draining) /* raw: ACK! needs to know that nothing is readable */
		return s->protocol == PROTOCOL_RAW && s->state == SESSION_RUNNING;
	return s->state == SESSION_OPENING || s->state == SESSION_RUNNING ||
	       s->state == SESSION_LINGERING;
}

static void update_armed(struct server *server, struct session *s)
{
	bool armed = wants_bytes(server, s);

	if (armed == !!(s->flags & FLAG_ARMED))
		return;
	s->flags ^= FLAG_ARMED;
	io_receive(server->io, s->socket, armed);
}

/* A peer that waits for something of ours must hear from us, so that it can tell a slow disk from a dead server; and so must one whose
 * message takes long to come in: it waits for our ack of it. */
static void update_beat(struct server *server, struct session *s)
{
	if (!session_is_native(s))
		return;

	bool waits = s->state == SESSION_WELCOMING ||
		     (s->state == SESSION_OPENING && s->queue != QUEUE_NONE) ||
		     ((s->state == SESSION_RUNNING || s->state == SESSION_ENDING) &&
		      (s->appended_seq != s->sent_seq || s->queue != QUEUE_NONE ||
		       is_crowded_out(server, s) || (s->flags & (FLAG_STUCK | FLAG_PARTIAL))));

	if (!waits)
		s->beat_ns = NEVER_NS;
	else if (s->beat_ns == NEVER_NS)
		s->beat_ns = later(io_now(server->io), server->config->heartbeat_ns);
}

void session_update(struct server *server, struct session *s)
{
	if (s->state == SESSION_FREE || s->state == SESSION_CLOSING)
		return;
	if (server->draining && session_is_native(s) && s->queue == QUEUE_NONE &&
	    s->state == SESSION_RUNNING && is_answered(s))
		session_leave(server, s);
	if (s->state == SESSION_ENDING && s->fault && is_answered(s)) {
		if (!session_is_native(s)) {
			session_close(server, s, false);
			return;
		}
		leave_with_error(server, s);
	}
	if (is_done(server, s)) {
		if (s->state == SESSION_RUNNING && session_bytes(server, s))
			session_note_dropped(server, s, "the server stops",
					     session_bytes(server, s));
		session_close(server, s, s->flags & FLAG_BROKEN);
		return;
	}
	update_clock(server, s);
	update_armed(server, s);
	update_beat(server, s);
	timers_set(&server->timers, session_index(server, s),
		   earlier(earlier(deadline(server, s), output_deadline(server, s)),
			   beat_deadline(s)));
}

void session_crowd(struct server *server)
{
	uint32_t count = server->plan.buffer_count;
	uint32_t enough = server->crowded ? count - count / 4 : count / 2;
	bool crowded = server->parked.count && io_buffers_free(server->io) < enough;

	if (crowded == server->crowded)
		return;
	server->crowded = crowded;
	for (uint32_t i = 0; i < server->fresh; i++)
		session_update(server, &server->sessions[i]);
}
