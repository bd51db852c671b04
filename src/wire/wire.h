/* wire: the protocols, as pure machines. Bytes in, events out; replies in, bytes out.
 *
 * No descriptor, clock, heap, log, errno or global state. One file a protocol, one row of a table each.
 *
 * The server's side of a connection is a struct wire. Its owner (a session) holds the received bytes in one contiguous
 * piece and asks what they are:
 *
 *      wire_next(w, data, size, flags, &event)      looks, changes nothing
 *      ... the session acts on it (appends to the journal, which may refuse for now) ...
 *      wire_accept(w, &event)                       "done": the machine moves on, event.consumed bytes are gone
 *
 * so that a session that must wait drops the event and asks again later with the same bytes. Whatever an event points
 * to lies in the caller's `data`. Replies are encoded by wire_reply() from numbers, so nothing is queued here.
 *
 * The client's side of the native protocol is wire/native_client.h. Layouts: docs/protocol.md. */
#ifndef ROGER_WIRE_WIRE_H
#define ROGER_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/frame.h"
#include "base/protocol.h"

enum { JOURNAL_ID_SIZE = 16 };

/* What is known about the bytes handed to wire_next. */
enum wire_input {
	WIRE_DRAINED = 1, /* nothing more was readable when they were received */
	WIRE_ENDED = 2,   /* the peer has shut its sending side: nothing will follow */
};

enum wire_event_kind {
	WIRE_MORE,    /* nothing to do until `need` bytes lie here (counted from data[0]; > size), or flags change */
	WIRE_HELLO,   /* native: the peer has introduced itself; `hello` */
	WIRE_FRAMES,  /* native: `count` whole frames, checked, in `data`; numbers first_seq ... */
	WIRE_MESSAGE, /* plain: one message, its payload in `data` */
	WIRE_BYE,     /* native: an ephemeral stream ends */
	WIRE_END,     /* half-close, and nothing complete is left. `size` bytes of a partial frame are dropped */
	WIRE_REFUSED, /* the peer's mistake: `fault`. The session answers wire_reply ERROR (native) and closes */
};

/* Codes of ERROR, on the wire too (docs/protocol.md, "ERROR"). */
enum wire_fault {
	FAULT_NONE = 0,
	FAULT_PREFACE = 1,  /* the connection does not open with the preface, or HELLO's checksum is wrong */
	FAULT_HELLO = 2,    /* unknown flags, stream id 0 or plain, first = 0 or beyond SEQ_MAX */
	FAULT_CHECKSUM = 3, /* a frame's checksum does not fit: bytes changed, or not the number that was expected */
	FAULT_TOO_BIG = 4,  /* a message above max-message */
	FAULT_GAP = 5,      /* the client's oldest message is not the stream's next, and it does not accept a gap */
	FAULT_FENCED = 6,   /* another sender has taken the stream over. Final */
	FAULT_BUSY = 7,     /* no room for a new stream, or no buffer to be had. Try later */
	FAULT_BYE = 8,      /* BYE on a named stream, or something after it */
	FAULT_SEQ = 9,      /* sequence numbers are used up */
	FAULT_DEADLINE = 10,/* the peer was too slow */
	FAULT_COUNT,
};

/* A short text for people, such as "checksum does not fit". */
const char *wire_fault_text(enum wire_fault fault);

enum hello_flags {
	HELLO_ACCEPT_GAP = 1, /* a gap before `first` is accepted, and recorded */
	HELLO_NEXT = 2,       /* whatever `last` is, my messages are the next ones; `first` is 1 */
	HELLO_EPHEMERAL = 4,  /* the stream ends with BYE and may be forgotten after a day */
	HELLO_FLAGS_ALL = 7,
};

struct wire_hello {
	uint32_t flags;
	struct stream_id stream;
	uint64_t writer;
	uint64_t first; /* the oldest sequence number that the client can still send, 1 ... SEQ_MAX */
};

struct wire_event {
	enum wire_event_kind kind;
	size_t consumed;     /* bytes of the input that wire_accept takes */
	size_t need;         /* WIRE_MORE */
	const uint8_t *data; /* WIRE_FRAMES: frames; WIRE_MESSAGE: payload */
	size_t size;
	uint32_t count;      /* WIRE_FRAMES; 1 for WIRE_MESSAGE */
	uint64_t first_seq;  /* WIRE_FRAMES: number of the first one; WIRE_REFUSED: the number that was expected */
	uint32_t h_before;   /* WIRE_FRAMES: history checksum before the first one ... */
	uint32_t h_after;    /* ... and behind the last one */
	struct wire_hello hello;
	enum wire_fault fault;
};

/* Not to be touched from outside; about 50 bytes, since every idle connection has one. */
struct wire {
	uint8_t protocol;      /* enum protocol */
	uint8_t state;
	uint8_t hello_flags;
	uint32_t message_max;
	uint32_t seed;         /* native: frame_seed of the stream */
	uint32_t h;            /* native: history checksum behind next_seq - 1 */
	uint64_t next_seq;     /* native: the number of the next frame */
};

/* message_max: the largest payload taken, 1 ... 2^31. */
void wire_init(struct wire *w, enum protocol protocol, uint32_t message_max);

/* Is a connection that opened with these `size` bytes native? 1 yes (all 8 bytes of the preface), 0 no,
 * -1 not known yet: a proper prefix of it (or nothing). */
int wire_is_native(const uint8_t *data, size_t size);

/* What do these bytes mean? Always sets *ret. The event at the front of `data` only; call again after wire_accept with
 * what follows. At most one event of kind MORE, END or REFUSED ends a round. `size` may be 0.
 * native: WIRE_FRAMES takes as many whole frames as there are, and stops before a bad one, which the next call refuses.
 * After WIRE_HELLO was accepted, wire_welcomed() must be called before the next wire_next. */
void wire_next(const struct wire *w, const uint8_t *data, size_t size, unsigned flags,
	       struct wire_event *ret);
void wire_accept(struct wire *w, const struct wire_event *event);

/* native: the stream that HELLO named goes on at number next_seq, behind history checksum h. */
void wire_welcomed(struct wire *w, const struct stream_id *stream, uint64_t next_seq, uint32_t h);

enum wire_reply_kind {
	REPLY_WELCOME, /* native: welcome */
	REPLY_ACK,     /* everything up to seq / record is durable */
	REPLY_ERROR,   /* native: fault, seq */
	REPLY_WAIT,    /* native: still here */
	REPLY_DRAIN,   /* native: going away, come back after `wait_ms` */
};

enum welcome_flags {
	WELCOME_NOT_DURABLE = 1, /* --no-journal: an ack means "received" */
};

struct wire_welcome {
	uint32_t flags;
	uint32_t message_max;
	uint8_t journal_id[JOURNAL_ID_SIZE];
	uint64_t last;   /* the stream's last sequence number, 0 for an unknown stream */
	uint64_t record; /* its record number */
	uint64_t writer; /* who wrote it */
	uint32_t h;      /* history checksum h(last) */
};

struct wire_reply {
	enum wire_reply_kind kind;
	bool with_preface;   /* native: nothing has been sent on this connection yet, so the preface goes first */
	uint64_t seq;        /* ACK, ERROR */
	uint64_t record;     /* ACK: the record number of message seq */
	uint64_t record_from;/* line: the first record that is not yet answered; wire_reply moves it on */
	enum wire_fault fault;
	uint32_t wait_ms;
	struct wire_welcome welcome;
};

/* Encode a reply: the bytes to send, 0 when this protocol says nothing here. `room` is at least OUTPUT_SLOT_SIZE, and
 * enough for any reply of native, raw and whole. line answers one "ACK r\n" for each record from record_from to record,
 * as many as fit; record_from is then the first that did not, and the caller calls again until it is above `record`. */
size_t wire_reply(const struct wire *w, struct wire_reply *reply, uint8_t *out, size_t room);

/* What the session does when the answer to everything has been sent. */
enum wire_after {
	AFTER_GO_ON,    /* more may come (native, line) */
	AFTER_CLOSE,    /* whole */
	AFTER_SHUT,     /* raw: shut the sending side, then take what still arrives */
};
enum wire_after wire_after_ack(const struct wire *w);

#endif
