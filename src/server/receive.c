/* What received bytes mean, and what is done about it: the session's side of wire_next. */
#include <errno.h>
#include <inttypes.h>

#include "base/must.h"
#include "server/room.h"

enum { LINE_ROOM = 16 }; /* around a plain message: line ends */

void session_note_dropped(struct server *server, struct session *s, const char *why, size_t size)
{
	notes_peer(&server->notes, io_now(server->io), "dropped", &s->peer,
		   "%s inside a message: %zu byte%s dropped", why, size, size == 1 ? "" : "s");
}

/* --- its bytes */

/* NULL: there are none. */
static struct session_input *input_of(struct server *server, const struct session *s)
{
	return slab_piece(&server->inputs, s->input);
}

static struct session_input *input_make(struct server *server, struct session *s)
{
	struct session_input *in = slab_acquire(&server->inputs);

	must(in); /* one for each session */
	*in = (struct session_input){ 0 };
	s->input = slab_number(&server->inputs, in);
	return in;
}

static void input_give_back(struct server *server, struct session *s)
{
	struct session_input *in = input_of(server, s);

	if (!in || !input_is_empty(&in->input))
		return;
	slab_release(&server->inputs, in);
	s->input = 0;
}

void session_consume(struct server *server, struct session *s, size_t size)
{
	struct session_input *in = input_of(server, s);

	must(in || size == 0);
	if (!in)
		return;
	input_consume(&in->input, &server->pools, size);
	in->need = 0;
}

/* --- events of wire; each returns whether to look for the next one */

static void accept_event(struct server *server, struct session *s, const struct wire_event *event)
{
	wire_accept(&s->wire, event);
	session_consume(server, s, event->consumed);
}

static struct input_wish wish_of(struct server *server, const struct session *s,
				 const struct session_input *in)
{
	return (struct input_wish){
		.need = in->need,
		.reserve = session_is_native(s) ? in->need
						: server->config->journal.message_max + LINE_ROOM,
		.session = session_index(server, s),
		.now_ns = io_now(server->io),
		.large = server->granting || server->memory_queue.count == 0,
	};
}

static bool on_more(struct server *server, struct session *s, const struct wire_event *event,
		    bool whole)
{
	struct session_input *in = input_of(server, s);
	struct input_wish wish;

	if (!in)
		return false;
	in->need = event->need < UINT32_MAX ? (uint32_t)event->need : UINT32_MAX;
	if (whole)
		return false;
	wish = wish_of(server, s, in);
	return input_grow(&in->input, &server->pools, &wish) == 0;
}

/* The journal takes it later, or not at all. */
static bool on_not_appended(struct server *server, struct session *s,
			    const struct wire_event *event, int error)
{
	switch (error) {
	case -ENOBUFS:
		/* A run of lines is answered first; then it goes on from here. */
		if (!(s->flags & FLAG_RUN))
			session_enqueue(server, s, QUEUE_PARKED, server->resuming);
		break;
	case -EROFS: s->flags |= FLAG_STUCK; break;
	case -EBUSY: session_refuse(server, s, FAULT_BUSY, 0, NULL); break;
	case -EMSGSIZE: session_refuse(server, s, FAULT_TOO_BIG, event->first_seq, NULL); break;
	default: /* -ESTALE; -EPROTO cannot be, wire counts */
		session_refuse(server, s, FAULT_FENCED, event->first_seq, NULL);
		break;
	}
	return false;
}

static bool on_frames(struct server *server, struct session *s, const struct wire_event *event)
{
	int r = session_append_frames(server, s, event);

	if (r)
		return on_not_appended(server, s, event, r);
	accept_event(server, s, event);
	return true;
}

static bool on_message(struct server *server, struct session *s, const struct wire_event *event)
{
	int r = session_append_message(server, s, event);

	if (r)
		return on_not_appended(server, s, event, r);
	accept_event(server, s, event);
	return true;
}

static bool on_hello(struct server *server, struct session *s, const struct wire_event *event)
{
	int r = session_hello(server, s, event);

	/* Whatever it came to, nothing more is looked at until WELCOME is on its way. */
	return r ? on_not_appended(server, s, event, r) : false;
}

static bool on_bye(struct server *server, struct session *s, const struct wire_event *event)
{
	int r = session_bye(server, s);

	if (r == -EPERM) { /* HELLO said ephemeral, but the stream was named before */
		session_refuse(server, s, FAULT_BYE, 0, NULL);
		return false;
	}
	if (r)
		return on_not_appended(server, s, event, r);
	accept_event(server, s, event);
	if (!session_bytes(server, s)) /* else there is something behind it, which wire refuses */
		s->state = SESSION_ENDING;
	return true;
}

static bool on_end(struct server *server, struct session *s, const struct wire_event *event)
{
	if (event->size)
		session_note_dropped(server, s, "the connection ended", event->size);
	session_consume(server, s, session_bytes(server, s));
	if (s->state != SESSION_LINGERING)
		s->state = SESSION_ENDING;
	if (s->protocol == PROTOCOL_RAW)
		session_raw_answer(server, s);
	return false;
}

static bool act(struct server *server, struct session *s, const struct wire_event *event,
		bool whole)
{
	switch (event->kind) {
	case WIRE_MORE: return on_more(server, s, event, whole);
	case WIRE_HELLO: return on_hello(server, s, event);
	case WIRE_FRAMES: return on_frames(server, s, event);
	case WIRE_MESSAGE: return on_message(server, s, event);
	case WIRE_BYE: return on_bye(server, s, event);
	case WIRE_END: return on_end(server, s, event);
	case WIRE_REFUSED:
		session_refuse_last(server, s, event->fault, event->first_seq);
		return false;
	}
	return false;
}

/* --- the work on what is there */

static void set_protocol(struct server *server, struct session *s, enum protocol protocol)
{
	s->protocol = (uint8_t)protocol;
	wire_init(&s->wire, protocol, server->config->journal.message_max);
	if (protocol == PROTOCOL_NATIVE)
		s->beat_ns = NEVER_NS;
}

/* A default listener's connection: native or raw? False: not known yet. */
static bool decide(struct server *server, struct session *s, const struct input_view *view)
{
	int native = wire_is_native(view->data, view->size);

	if (native < 0 && !(s->flags & FLAG_ENDED))
		return false;
	set_protocol(server, s, native > 0 ? PROTOCOL_NATIVE : PROTOCOL_RAW);
	return true;
}

static unsigned input_flags(struct server *server, struct session *s,
			    const struct input_view *view)
{
	unsigned flags = 0;

	if (!view->whole)
		return 0;
	/* A receive that filled its buffer to the brim may have been the last, without a sign of it. */
	if (s->protocol == PROTOCOL_RAW && view->size &&
	    !(s->flags & (FLAG_DRAINED | FLAG_ENDED)) && !io_readable(server->io, s->socket))
		s->flags |= FLAG_DRAINED;
	if (s->flags & FLAG_DRAINED)
		flags |= WIRE_DRAINED;
	if (s->flags & FLAG_ENDED)
		flags |= WIRE_ENDED;
	return flags;
}

static bool is_at_work(const struct session *s)
{
	return s->queue == QUEUE_NONE && !(s->flags & FLAG_STUCK) &&
	       (s->state == SESSION_OPENING || s->state == SESSION_RUNNING ||
		s->state == SESSION_LINGERING);
}

/* One event; returns whether to go on. */
static bool step(struct server *server, struct session *s)
{
	struct session_input *in = input_of(server, s);
	struct input_view view = { .whole = true };
	struct wire_event event;
	unsigned flags;

	if (in)
		input_view(&in->input, &server->pools, in->need, &view);
	if (!view.size && !(s->flags & FLAG_ENDED))
		return false;
	if (s->protocol == PROTOCOL_NONE && !decide(server, s, &view))
		return false;
	if (s->state == SESSION_OPENING && !session_is_native(s) && view.size)
		s->state = SESSION_RUNNING;
	flags = input_flags(server, s, &view);
	wire_next(&s->wire, view.data, view.size, flags, &event);
	return act(server, s, &event, view.whole);
}

static bool may_evict(void *context, uint32_t session)
{
	struct server *server = context;
	struct session *s = &server->sessions[session];

	return s->flags & FLAG_ARMED; /* it waits for its peer, not for us */
}

static void wait_for_memory(struct server *server, struct session *s)
{
	if (s->queue != QUEUE_NONE)
		return;
	if (server->granting || !server->memory_queue.count) { /* it is the first */
		server->large_reserved = server->pools.large.reserved;
		server->medium_used = server->pools.medium.used;
	}
	session_enqueue(server, s, QUEUE_MEMORY, server->granting);
}

/* No medium piece to be had, and all who have one wait for us: this one waits with its receive buffer, as long as half
 * of those remain for all others (whoever has large memory already needs them to come to an end). */
static void wait_with_buffer(struct server *server, struct session *s)
{
	if (!(s->flags & FLAG_LENT)) {
		if (server->lent >= server->plan.buffer_count / 2) {
			session_refuse(server, s, FAULT_BUSY, 0,
				       "no buffer for the rest of a message");
			return;
		}
		s->flags |= FLAG_LENT;
		server->lent++;
	}
	wait_for_memory(server, s);
}

/* Make a medium piece free: the session goes that has had one for longest and whose peer is slow. */
static bool evict(struct server *server)
{
	uint32_t victim = input_oldest(&server->pools, may_evict, server);

	if (victim == SESSION_NONE)
		return false;
	session_refuse(server, &server->sessions[victim], FAULT_BUSY, 0,
		       "too many messages have begun: this one for longest");
	session_update(server, &server->sessions[victim]);
	return true;
}

/* Hold what is left, and give the receive buffer back. */
static void settle(struct server *server, struct session *s)
{
	struct session_input *in = input_of(server, s);
	struct input_wish wish;
	uint32_t buffer;
	bool lent;
	int r;

	if (!in)
		return;
	wish = wish_of(server, s, in);
	/* A parked session keeps what it has where it is: nothing more comes until it goes on. One that the journal takes nothing
	 * from any more, too: that is a whole message, and behind it as much as there was, which may fit no piece at all. */
	if ((s->queue == QUEUE_PARKED || (s->flags & FLAG_STUCK)) &&
	    (in->input.held || input_size(&in->input) > PARTIAL_SMALL_SIZE))
		return;
	r = input_settle(&in->input, &server->pools, &wish, &lent, &buffer);
	while (r == -ENOBUFS && evict(server)) {
		if (!s->input) /* it was this one that went */
			return;
		r = input_settle(&in->input, &server->pools, &wish, &lent, &buffer);
	}
	if (r == -ENOBUFS) {
		/* Otherwise those who have medium pieces and wait for large memory could keep it from the one that
		 * stands before them in the queue and lacks a medium piece. */
		wish.instead = true;
		r = input_settle(&in->input, &server->pools, &wish, &lent, &buffer);
	}
	if (r == -ENOBUFS) {
		wait_with_buffer(server, s);
		return;
	}
	if (lent)
		session_return_buffer(server, s, buffer);
	input_give_back(server, s);
	if (r == -EAGAIN)
		wait_for_memory(server, s);
}

/* Note when the message at the front began. */
static void note_begin(struct server *server, struct session *s, uint64_t seq_before)
{
	if (s->state != SESSION_RUNNING)
		return;
	if (!session_bytes(server, s)) {
		s->flags &= (uint16_t)~FLAG_PARTIAL;
	} else if (!(s->flags & FLAG_PARTIAL) || s->appended_seq != seq_before) {
		s->flags |= FLAG_PARTIAL;
		s->begun_ns = io_now(server->io);
		s->frozen_ns = 0;
	}
}

void session_work(struct server *server, struct session *s)
{
	uint64_t seq_before = s->appended_seq;

	if (!(s->flags & FLAG_RUN)) {
		while (is_at_work(s) && step(server, s))
			;
	}
	if (s->state != SESSION_CLOSING && s->state != SESSION_FAREWELL) {
		settle(server, s);
		note_begin(server, s, seq_before);
	}
	session_update(server, s);
}

void session_take_as_raw(struct server *server, struct session *s)
{
	set_protocol(server, s, PROTOCOL_RAW);
	s->flags |= FLAG_DRAINED;
	s->state = SESSION_RUNNING;
	session_enqueue(server, s, QUEUE_READY, false);
}

/* --- from the loop */

static void on_bytes(struct server *server, struct session *s, const struct io_event *event)
{
	struct session_input *in;

	if (s->state == SESSION_FAREWELL) { /* nothing was promised, and it has been told */
		io_buffer_return(server->io, event->buffer);
		return;
	}
	if (s->state == SESSION_LINGERING)
		s->plain.more_bytes += (uint64_t)event->result;
	/* The first bytes of what may be the preface: a byte a second does not put its deadline off. */
	if (!session_is_native(s) && (s->protocol != PROTOCOL_NONE || !session_bytes(server, s)))
		s->last_ns = io_now(server->io);
	s->flags &= (uint16_t)~FLAG_DRAINED;
	if (event->drained)
		s->flags |= FLAG_DRAINED;
	in = s->input ? input_of(server, s) : input_make(server, s);
	input_receive(&in->input, event->data, (size_t)event->result, event->buffer);
	session_work(server, s);
}

void session_received(struct server *server, struct session *s, const struct io_event *event)
{
	if (event->result > 0) {
		on_bytes(server, s, event);
		return;
	}
	s->flags &= (uint16_t)~FLAG_ARMED;
	s->flags |= event->result ? FLAG_ENDED | FLAG_BROKEN : FLAG_ENDED;
	if (event->result && s->protocol != PROTOCOL_RAW) {
		if (session_bytes(server, s) && s->state == SESSION_RUNNING)
			session_note_dropped(server, s, "the connection ended",
					     session_bytes(server, s));
		session_close(server, s, true);
		return;
	}
	/* raw: what was read is a message, also when the connection then broke. */
	session_work(server, s);
}
