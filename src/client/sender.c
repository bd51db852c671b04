#include "client/sender.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/mutant.h"

void sender_init(struct sender *s, const struct sender_config *config)
{
	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->seed = frame_seed(&config->stream);
	s->forgotten_at = UINT64_MAX;
}

void sender_window(struct sender *s, uint8_t *memory, size_t size, uint64_t window)
{
	must(s->welcomed && s->ring.capacity == 0 && size > FRAME_HEADER_SIZE);
	ring_init(&s->ring, memory, size);
	/* Frames that are kept have different marks, wherever they begin. */
	while ((size >> s->mark_shift) + 2 > SENDER_MARKS)
		s->mark_shift++;
	s->window = window;
	s->sent = s->offered = s->offered_max = s->ring.head;
}

/* --- messages in */

static void end(struct sender *s, enum sender_end why, uint64_t seq, uint64_t count)
{
	if (s->end != SENDER_GOING)
		return;
	s->end = why;
	s->end_seq = seq;
	s->end_count = count;
}

/* One message of the input that the server should have already. Only its checksum is kept. */
static int compare(struct sender *s, const uint8_t *data, uint32_t size)
{
	uint64_t seq = s->base - s->compare_left + 1;

	s->compare_h = history_next(s->compare_h, frame_checksum(s->seed, seq, size, data));
	s->compare_left--;
	if (s->compare_left == 0 && s->compare_h != s->compare_want && !MUTANT(214)) {
		end(s, END_DIFFERENT, s->base, 0);
		return -EBADMSG;
	}
	return 0;
}

static bool has_room(const struct sender *s, size_t frame_size)
{
	size_t used = ring_used(&s->ring);

	if (frame_size > ring_room(&s->ring))
		return false;
	return used == 0 || (used < s->window && frame_size <= s->window - used);
}

/* A frame ends here: remembered until another one that ends close behind. */
static void mark(struct sender *s, const struct sender_place *place)
{
	s->marks[(place->at >> s->mark_shift) % SENDER_MARKS] = *place;
}

/* Across the end of the ring's memory. */
static void put_in_pieces(struct sender *s, struct frame_header header, const uint8_t *data)
{
	uint8_t head[FRAME_HEADER_SIZE];

	frame_put_header(head, header);
	ring_put(&s->ring, head, sizeof(head));
	ring_put(&s->ring, data, header.size);
}

static void put_frame(struct sender *s, struct frame_header header, const uint8_t *data)
{
	uint8_t *to = ring_extend(&s->ring, FRAME_HEADER_SIZE + (size_t)header.size);

	if (to == NULL) {
		put_in_pieces(s, header, data);
		return;
	}
	frame_put_header(to, header);
	if (header.size > 0)
		memcpy(to + FRAME_HEADER_SIZE, data, header.size);
}

int sender_put(struct sender *s, const uint8_t *data, size_t size)
{
	struct frame_header header;

	must(s->welcomed && s->ring.capacity > 0);
	if (s->end != SENDER_GOING)
		return -EBADMSG;
	if (size > s->message_max || size > s->ring.capacity - FRAME_HEADER_SIZE)
		return -EMSGSIZE;
	if (sender_comparing(s))
		return compare(s, data, (uint32_t)size);
	if (s->put >= SEQ_MAX)
		return -EOVERFLOW;
	if (!has_room(s, size + FRAME_HEADER_SIZE))
		return -ENOBUFS;

	header.size = (uint32_t)size;
	header.checksum = frame_checksum(s->seed, s->put + 1, header.size, data);
	put_frame(s, header, data);
	s->put++;
	s->put_h = history_next(s->put_h, header.checksum);
	mark(s, &(struct sender_place){ .seq = s->put, .at = s->ring.tail, .h = s->put_h });
	return 0;
}

int sender_put_end(struct sender *s)
{
	if (s->end != SENDER_GOING)
		return -EBADMSG;
	if (!sender_comparing(s))
		return 0;
	end(s, END_SHORTER, s->base, s->base - s->compare_left);
	return -EBADMSG;
}

/* --- walking over the frames that are kept */

/* Step over the next frame; false when there is none. */
static bool place_step(const struct sender *s, struct sender_place *place, struct frame_header *ret)
{
	uint8_t head[FRAME_HEADER_SIZE];
	const uint8_t *in;

	if (place->at == s->ring.tail)
		return false;
	in = ring_see(&s->ring, place->at, FRAME_HEADER_SIZE);
	if (in == NULL) {
		ring_get(&s->ring, place->at, head, sizeof(head));
		in = head;
	}
	*ret = frame_get_header(in);
	place->at += FRAME_HEADER_SIZE + (uint64_t)ret->size;
	place->seq++;
	place->h = history_next(place->h, ret->checksum);
	must(place->at <= s->ring.tail && place->seq <= s->put);
	return true;
}

/* The last known place at or before frame `seq` (kept.seq ... put), and the first one at or behind it. A mark is no more once
 * its frame was given back, or another one took its place. */
static void place_around(const struct sender *s, uint64_t seq, struct sender_place *before,
			 struct sender_place *behind)
{
	uint64_t first = s->ring.head >> s->mark_shift;

	*before = s->kept;
	*behind = (struct sender_place){ .seq = s->put, .at = s->ring.tail, .h = s->put_h };
	for (uint64_t n = (s->ring.tail >> s->mark_shift) + 1; n-- > first;) {
		const struct sender_place *place = &s->marks[n % SENDER_MARKS];

		if (place->at >> s->mark_shift != n || place->at <= s->ring.head)
			continue;
		if (place->seq <= seq) {
			*before = *place;
			break;
		}
		*behind = *place;
	}
	if (before->seq == seq)
		*behind = *before;
}

/* The end of frame `seq`; false when it lies beyond ring position `limit`. */
static bool place_find(const struct sender *s, uint64_t seq, uint64_t limit,
		       struct sender_place *ret)
{
	struct sender_place place, behind;
	struct frame_header header;

	if (seq > s->put)
		return false;
	place_around(s, seq, &place, &behind);
	while (place.seq < seq) {
		if (place.at > limit || !place_step(s, &place, &header))
			return false;
	}
	*ret = place;
	return place.at <= limit;
}

static struct sender_place place_acked(const struct sender *s)
{
	struct sender_place place;
	bool found = place_find(s, s->acked, s->ring.tail, &place);

	must(found);
	return place;
}

/* Give back what is before `place`, which is at most `acked`. */
static void keep_from(struct sender *s, const struct sender_place *place)
{
	must(place->seq <= s->acked);
	s->kept = *place;
	ring_trim(&s->ring, place->at);
}

static void acknowledge(struct sender *s, uint64_t seq, uint64_t record)
{
	must(seq >= s->acked);
	s->acked = seq;
	s->acked_record = record;
}

/* The history begins anew behind what is acknowledged. */
static void chain_anew(struct sender *s)
{
	struct sender_place place = place_acked(s);
	struct frame_header header;

	place.h = 0;
	keep_from(s, &place);
	while (place_step(s, &place, &header))
		mark(s, &place);
	s->put_h = place.h;
}

/* --- a connection: out */

void sender_opened(struct sender *s)
{
	struct wire_hello hello = { .stream = s->config.stream,
				    .writer = s->config.writer,
				    .first = s->acked + 1 };

	must(!s->open && s->end == SENDER_GOING && !sender_used_up(s));
	/* A server that said "not durable" may forget; its acks promised no more. */
	s->gap_accepted = s->config.accept_gap || s->is_volatile;
	if (s->gap_accepted)
		hello.flags |= HELLO_ACCEPT_GAP;
	if (s->config.mode == SENDER_EPHEMERAL)
		hello.flags |= HELLO_EPHEMERAL;
	/* Until the first WELCOME nothing of ours has a number. From then on "next" would hide what got lost. */
	if (s->config.mode == SENDER_NEXT && !s->welcomed)
		hello.flags |= HELLO_NEXT;
	native_put_hello(s->head, &hello);
	s->head_size = NATIVE_HELLO_SIZE;
	s->head_sent = 0;
	s->open = true;
}

unsigned sender_output(struct sender *s, struct ring_span out[2])
{
	must(s->offered == s->sent);
	if (!s->open || s->closing || s->end != SENDER_GOING)
		return 0;
	if (s->head_sent < s->head_size) {
		out[0] = (struct ring_span){ s->head + s->head_sent, s->head_size - s->head_sent };
		return 1;
	}
	if (!s->connected || s->draining || s->sent == s->ring.tail)
		return 0;
	s->offered = s->ring.tail;
	if (s->offered > s->offered_max)
		s->offered_max = s->offered;
	return ring_spans(&s->ring, s->sent, (size_t)(s->offered - s->sent), out);
}

static bool apply_ack(struct sender *s, uint64_t seq, uint64_t record);

void sender_sent(struct sender *s, size_t size, uint64_t boot_ns)
{
	if (!s->open)
		return;
	if (s->head_sent < s->head_size) {
		must(size <= s->head_size - s->head_sent);
		s->head_sent += (uint32_t)size;
		return;
	}
	must(size <= s->offered - s->sent);
	s->used_ns = boot_ns;
	s->sent += size;
	s->offered = s->sent;
	if (s->late_seq != 0 && !apply_ack(s, s->late_seq, s->late_record))
		return; /* still beyond what was sent: sender_next ends the connection */
	s->late_seq = 0;
}

void sender_bye(struct sender *s)
{
	struct frame_header header = { .size = FRAME_SIZE_BYE };

	must(s->connected && s->config.mode == SENDER_EPHEMERAL && s->acked == s->put);
	if (s->head_sent < s->head_size)
		return; /* it has welcomed us without our HELLO: no Roger server, and nothing to end there */
	header.checksum = frame_checksum(s->seed, s->put + 1, header.size, NULL);
	frame_put_header(s->head, header);
	s->head_size = FRAME_HEADER_SIZE;
	s->head_sent = 0;
}

void sender_closed(struct sender *s)
{
	s->open = false;
	s->opened = false;
	s->connected = false;
	s->draining = false;
	s->closing = false;
	s->late_seq = 0;
	s->head_size = 0;
	s->head_sent = 0;
	s->in_size = 0;
	s->sent = s->offered = s->ring.head;
}

/* --- a connection: in */

size_t sender_feed(struct sender *s, const uint8_t *data, size_t size)
{
	size_t room = sizeof(s->in) - s->in_size;

	if (size > room)
		size = room;
	memcpy(s->in + s->in_size, data, size);
	s->in_size += (uint32_t)size;
	return size;
}

/* What ends a connection stays in `in`, at the front, so that its text can be lent. */
static void set_close(struct sender_event *ret, enum sender_reason reason)
{
	ret->kind = SENDER_CLOSE;
	ret->reason = reason;
}

/* The first WELCOME of a run says where the stream stands; our own chain begins here. */
static void welcome_first(struct sender *s, const struct wire_welcome *welcome)
{
	if (s->config.mode == SENDER_EPHEMERAL && welcome->last != 0) {
		end(s, END_AHEAD, welcome->last, 0);
		return;
	}
	s->base = s->put = s->acked = welcome->last;
	s->acked_record = welcome->record;
	s->kept = (struct sender_place){ .seq = welcome->last, .h = welcome->h };
	s->put_h = welcome->h;
	if (s->config.mode == SENDER_RESUME) {
		s->compare_left = welcome->last;
		s->compare_want = welcome->h;
	}
}

/* Every later WELCOME must fit what we know. */
static void welcome_again(struct sender *s, const struct wire_welcome *welcome,
			  struct sender_event *ret)
{
	struct sender_place place;

	if (welcome->last < s->acked) {
		if (!s->gap_accepted) {
			end(s, END_LOST, welcome->last, s->acked - welcome->last);
			return;
		}
		if (s->forgotten_at != s->acked)
			ret->forgotten = s->acked - welcome->last;
		s->forgotten_at = s->acked;
		/* A gap: the server goes on at `first`, and the history begins anew there. */
		s->acked_record = welcome->record;
		chain_anew(s);
		return;
	}
	if (welcome->last > s->acked && welcome->writer != s->config.writer && !MUTANT(26)) {
		end(s, END_WRITER, welcome->last, sender_doubt(s));
		return;
	}
	if (!place_find(s, welcome->last, s->offered_max, &place)) {
		end(s, END_AHEAD, welcome->last, sender_doubt(s));
		return;
	}
	if (place.h != welcome->h && !MUTANT(114)) {
		end(s, END_HISTORY, welcome->last, sender_doubt(s));
		return;
	}
	acknowledge(s, place.seq, welcome->record);
	keep_from(s, &place);
}

/* Nothing is sent that this server (which may have been started anew, with another limit) does not take. */
static void check_sizes(struct sender *s, uint32_t message_max)
{
	struct sender_place place = place_acked(s);
	struct frame_header header;

	while (place_step(s, &place, &header)) {
		if (header.size > message_max) {
			end(s, END_TOO_BIG, place.seq, 0);
			return;
		}
	}
}

static void on_welcome(struct sender *s, const struct wire_welcome *welcome,
		       struct sender_event *ret)
{
	if (s->connected || welcome->last > SEQ_MAX) {
		set_close(ret, REASON_BROKEN);
		return;
	}
	ret->kind = SENDER_WELCOMED;
	ret->first = !s->welcomed;
	if (s->welcomed)
		welcome_again(s, welcome, ret);
	else
		welcome_first(s, welcome);
	if (s->end != SENDER_GOING)
		return;
	s->welcomed = true;
	s->is_volatile = (welcome->flags & WELCOME_NOT_DURABLE) != 0;
	if (welcome->message_max < s->message_max)
		check_sizes(s, welcome->message_max);
	s->message_max = welcome->message_max;
	s->connected = true;
	s->sent = s->offered = s->ring.head;
}

/* False: it covers what has not been sent. */
static bool apply_ack(struct sender *s, uint64_t seq, uint64_t record)
{
	uint64_t limit = MUTANT(22) ? s->ring.tail : s->sent;
	struct sender_place before, behind;

	if (seq > s->put)
		return false;
	place_around(s, seq, &before, &behind);
	if (behind.at > limit && !place_find(s, seq, limit, &before))
		return false;
	acknowledge(s, seq, record);
	keep_from(s, &before);
	return true;
}

static void on_ack(struct sender *s, uint64_t seq, uint64_t record, struct sender_event *ret)
{
	if (!s->connected) {
		set_close(ret, REASON_BROKEN);
		return;
	}
	if (seq == s->acked) {
		ret->kind = SENDER_ALIVE;
		return;
	}
	/* Records are distinct and in order, so each message takes at least one number. */
	if (seq < s->acked || seq > s->put || record < s->acked_record ||
	    record - s->acked_record < seq - s->acked) {
		set_close(ret, REASON_ACK);
		return;
	}
	if (apply_ack(s, seq, record)) {
		ret->kind = SENDER_ACKED;
		return;
	}
	/* The server may be faster than our own loop, which has not yet heard that the bytes are gone. Until then
	 * they must stay where they are. */
	if (s->offered > s->sent && seq >= s->late_seq) {
		s->late_seq = seq;
		s->late_record = record;
		ret->kind = SENDER_ALIVE;
		return;
	}
	set_close(ret, REASON_ACK);
}

static void on_error(struct sender *s, const struct native_answer *answer, struct sender_event *ret)
{
	switch (answer->fault) {
	case FAULT_CHECKSUM:
		if (s->bad_seq == answer->seq && answer->seq != 0)
			end(s, END_CHECKSUM, answer->seq, 0);
		s->bad_seq = answer->seq;
		break;
	case FAULT_GAP: end(s, END_GAP, answer->seq, s->acked); break;
	case FAULT_FENCED: end(s, END_FENCED, answer->seq, sender_doubt(s)); break;
	case FAULT_TOO_BIG: end(s, END_TOO_BIG, answer->seq, 0); break;
	case FAULT_SEQ: end(s, END_SEQ, answer->seq, 0); break;
	case FAULT_HELLO:
	case FAULT_BYE:
		end(s, END_REFUSED, answer->seq, 0);
		s->end_fault = answer->fault;
		break;
	default: break; /* busy, too slow, or what a newer server says: try again */
	}
	set_close(ret, REASON_ERROR);
	ret->fault = answer->fault;
	ret->text = answer->text;
	ret->text_size = answer->text_size;
}

static void act(struct sender *s, const struct native_answer *answer, struct sender_event *ret)
{
	switch (answer->kind) {
	case ANSWER_MORE: ret->kind = SENDER_MORE; break;
	case ANSWER_FOREIGN:
		set_close(ret, REASON_FOREIGN);
		ret->text = s->in;
		ret->text_size = s->in_size;
		break;
	case ANSWER_BROKEN: set_close(ret, REASON_BROKEN); break;
	case ANSWER_WELCOME: on_welcome(s, &answer->welcome, ret); break;
	case ANSWER_ACK: on_ack(s, answer->seq, answer->record, ret); break;
	case ANSWER_ERROR: on_error(s, answer, ret); break;
	case ANSWER_WAIT: ret->kind = SENDER_ALIVE; break;
	case ANSWER_DRAIN:
		s->draining = true;
		ret->kind = SENDER_DRAIN;
		ret->wait_ms = answer->wait_ms;
		break;
	}
}

void sender_next(struct sender *s, struct sender_event *ret)
{
	struct native_answer answer;

	memset(ret, 0, sizeof(*ret));
	if (s->end != SENDER_GOING) {
		ret->kind = SENDER_FINAL;
		return;
	}
	if (s->closing)
		return;
	if (s->late_seq != 0 && s->sent == s->offered) {
		set_close(ret, REASON_ACK);
		s->closing = true;
		return;
	}
	native_answer_next(s->opened, s->in, s->in_size, &answer);
	act(s, &answer, ret);
	if (s->end != SENDER_GOING)
		ret->kind = SENDER_FINAL;
	if (ret->kind == SENDER_CLOSE)
		s->closing = true;
	if (ret->kind == SENDER_MORE || ret->kind == SENDER_CLOSE || ret->kind == SENDER_FINAL)
		return;
	must(answer.consumed <= s->in_size);
	s->opened = true;
	s->in_size -= (uint32_t)answer.consumed;
	memmove(s->in, s->in + answer.consumed, s->in_size);
}

const uint8_t *sender_answer(const struct sender *s, size_t *ret_size)
{
	*ret_size = s->in_size;
	return s->in;
}

/* --- questions */

uint64_t sender_unacked(const struct sender *s)
{
	return s->put - s->acked;
}

uint64_t sender_doubt(const struct sender *s)
{
	struct sender_place place = place_acked(s);
	struct frame_header header;
	uint64_t count = 0;

	while (place.at < s->offered_max && place_step(s, &place, &header))
		count++;
	return count;
}

bool sender_waits(const struct sender *s)
{
	return s->open && (!s->connected || s->draining || sender_unacked(s) > 0);
}

bool sender_expired(const struct sender *s, uint64_t boot_ns)
{
	if (s->config.mode != SENDER_EPHEMERAL || !s->welcomed || s->used_ns == 0)
		return false;
	return boot_ns - s->used_ns >= EPHEMERAL_RESUME_NS && !MUTANT(23);
}

bool sender_used_up(const struct sender *s)
{
	return s->acked >= SEQ_MAX;
}

void sender_give_up(struct sender *s, enum sender_end why)
{
	end(s, why, s->acked, sender_doubt(s));
}
