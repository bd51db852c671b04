/* The native protocol's sending side, as a pure machine: messages and received bytes in, bytes to send and events out.
 *
 * No I/O, no clock, no heap, no log. It keeps the promise on the client's side (docs/protocol.md): it holds every message until
 * the server says that it is durable, sends again from where the server says that it stands, and believes nothing that does not
 * fit what it knows itself.
 *
 *        acked + 1             (partly) sent                          put
 *      ring.head          sent        offered                      ring.tail
 *         [ frame | frame | frame | fra:me | frame | frame | frame ]
 *            kept for resending   in io's hands     waiting to be sent
 *
 * There is no list of frames: where one ends, its header says. Those that an ack covers have long left the cache, so they are not walked
 * over: it is enough to know of a few frames (marks), evenly spread, where they end and what the history is there. The ring's head moves on
 * to the last of them that is acknowledged; the few frames between it and acked + 1 are walked over when somebody must know exactly.
 *
 * A connection: sender_opened, then sender_output and sender_sent as the socket takes bytes, sender_feed and sender_next as it
 * brings some, sender_closed at its end, which may come at any time; then the next one. The first WELCOME says where the stream
 * stands, so nothing can be put before. */
#ifndef ROGER_CLIENT_SENDER_H
#define ROGER_CLIENT_SENDER_H

#include "base/failure.h"
#include "base/frame.h"
#include "base/ring.h"
#include "wire/native_client.h"

enum sender_mode {
	SENDER_EPHEMERAL, /* a random stream of this run alone */
	SENDER_NEXT,      /* a named stream: the input is its next messages */
	SENDER_RESUME,    /* a named stream: the input, from its first message, is the stream */
};

struct sender_config {
	struct stream_id stream;
	uint64_t writer;          /* 64 random bits, made once per run */
	enum sender_mode mode;
	bool accept_gap;
};

/* Why a sender can not go on, ever. */
enum sender_end {
	SENDER_GOING = 0,
	END_LOST,      /* the server has lost what it had acknowledged; end_seq: its last, end_count: how many */
	END_GAP,       /* ERROR gap: the same, as the server saw it; end_seq: the number that it expects */
	END_AHEAD,     /* the server has messages under our numbers that we never sent; end_seq: its last */
	END_WRITER,    /* another sender wrote beyond our acks; end_count: messages in doubt */
	END_HISTORY,   /* the server's messages are not what we sent; end_seq: its last, end_count: in doubt */
	END_DIFFERENT, /* --resume: the input is not what the stream holds; end_seq: the stream's last */
	END_SHORTER,   /* --resume: the input ends before the stream does; end_count: messages in the input */
	END_CHECKSUM,  /* twice a failed checksum at the same number end_seq */
	END_TOO_BIG,   /* message end_seq is larger than the server takes (now) */
	END_FENCED,    /* another sender has taken the stream over; end_count: in doubt */
	END_REFUSED,   /* the server takes what we said for a mistake; `end_fault` */
	END_SEQ,       /* sequence numbers are used up */
	END_EXPIRED,   /* an ephemeral stream that must not be resumed any more; end_count: in doubt */
	END_COUNT,
};

enum sender_event_kind {
	SENDER_MORE,     /* nothing more to report */
	SENDER_WELCOMED, /* `first`: the first one of this run; `forgotten`: acknowledged messages that the server does not have */
	SENDER_ACKED,    /* sender.acked has moved on */
	SENDER_ALIVE,    /* a heartbeat */
	SENDER_DRAIN,    /* the server goes away: come back after wait_ms. Nothing more is sent on this connection */
	SENDER_CLOSE,    /* end this connection and try again; `reason` */
	SENDER_FINAL,    /* end it for good; sender.end */
};

enum sender_reason {
	REASON_FOREIGN, /* no Roger server; `text` is what it answered, as far as it has come */
	REASON_BROKEN,  /* bytes that fit no message, or a message where none may be */
	REASON_ACK,     /* an ack of what was not sent, or going backwards */
	REASON_ERROR,   /* ERROR; `fault` and `text` */
};

struct sender_event {
	enum sender_event_kind kind;
	bool first;
	uint64_t forgotten;
	uint32_t wait_ms;
	enum sender_reason reason;
	uint32_t fault;      /* enum wire_fault, or a number that a newer server knows */
	const uint8_t *text; /* a peer's: to be escaped; until the next call of the sender */
	size_t text_size;
};

enum {
	SENDER_INPUT_SIZE = 256, /* room for the largest message of a server, with the preface */
	SENDER_MARKS = 64,       /* memory is given back by 64ths to 32nds of it */
};

/* Where a frame ends. */
struct sender_place {
	uint64_t seq; /* its number */
	uint64_t at;  /* the ring position behind it */
	uint32_t h;   /* history checksum there */
};

/* To be read from outside only where this says so. */
struct sender {
	struct sender_config config;
	uint32_t seed;

	/* the stream; may be read */
	uint64_t base;         /* its last number before this run */
	uint64_t put;          /* the last number put */
	uint64_t acked;        /* durable up to here ... */
	uint64_t acked_record; /* ... which is this record */
	uint32_t message_max;  /* as the last WELCOME said */
	bool welcomed;         /* there was a WELCOME in this run */
	bool is_volatile;      /* the last WELCOME said "not durable" */
	bool connected;        /* between this connection's WELCOME and its end: frames may be sent */
	enum sender_end end;
	uint64_t end_seq;
	uint64_t end_count;
	uint32_t end_fault;

	/* its own */
	struct ring ring;      /* frames kept.seq + 1 ... put */
	struct sender_place kept; /* acked, or close before it */
	uint32_t put_h;        /* history checksum at put */
	uint64_t window;
	unsigned mark_shift;
	struct sender_place marks[SENDER_MARKS]; /* [n % SENDER_MARKS]: the last frame that ends at a position p, p >> mark_shift == n */
	uint64_t offered_max;  /* ring position: bytes before it were handed to some connection */
	uint64_t compare_left; /* --resume: messages of the input still to be compared */
	uint32_t compare_h;
	uint32_t compare_want; /* h(base), as the first WELCOME said */
	uint64_t bad_seq;      /* the number of the last ERROR checksum */
	uint64_t forgotten_at; /* acked, when forgotten messages were last reported */
	uint64_t used_ns;      /* boot time when something was last sent */

	/* this connection */
	bool open;
	bool opened;           /* the server's preface has come */
	bool draining;
	bool closing;          /* SENDER_CLOSE has been reported */
	bool gap_accepted;     /* as its HELLO said */
	uint64_t sent;         /* ring position: taken by the socket */
	uint64_t offered;      /* ring position: handed out by sender_output */
	uint64_t late_seq;     /* an ack that came before sender_sent told of what it covers; 0: none */
	uint64_t late_record;
	uint8_t head[NATIVE_HELLO_SIZE]; /* HELLO or BYE, which go out alone */
	uint32_t head_size;
	uint32_t head_sent;
	uint8_t in[SENDER_INPUT_SIZE];
	uint32_t in_size;
};

void sender_init(struct sender *s, const struct sender_config *config);

/* Memory for what is sent and not yet acknowledged; the caller's, for as long as the sender lives. Once, after the first WELCOME and
 * before the first put. The largest message and its FRAME_HEADER_SIZE bytes must fit. More than one message is held only while
 * all of it is at most `window` bytes. What an ack covers is given back a little late, in pieces of up to a 32nd of `size`; but all of
 * it when all is acknowledged. */
void sender_window(struct sender *s, uint8_t *memory, size_t size, uint64_t window);

/* --- messages in, after the first WELCOME, connected or not */

/* Put the next message; its bytes are copied (or, while an input is compared with the stream, only looked at).
 * 0. -ENOBUFS: the window is full, try again after SENDER_ACKED. -EMSGSIZE: larger than the server takes, or than the window.
 * -EBADMSG: the input is not what the stream holds: `end` is set. -EOVERFLOW: numbers are used up. Nothing is kept on failure. */
int sender_put(struct sender *s, const uint8_t *data, size_t size);

/* The input has ended. 0, or -EBADMSG: before the stream does; `end` is set. */
int sender_put_end(struct sender *s);

/* Are messages still compared with what the server has (--resume)? */
static inline bool sender_comparing(const struct sender *s)
{
	return s->compare_left > 0;
}

/* --- a connection */

/* Open. HELLO is the first thing to send. Not when the numbers are used up (sender_used_up): HELLO could not say where to go on. */
void sender_opened(struct sender *s);

/* What is to be sent next: up to two spans, which stay where they are until sender_sent or sender_closed. Returns their number.
 * Not to be called again before sender_sent. */
unsigned sender_output(struct sender *s, struct ring_span out[2]);

/* The socket has taken `size` bytes of that (the rest is offered again). boot_ns: clock_boottime_ns(). */
void sender_sent(struct sender *s, size_t size, uint64_t boot_ns);

/* Received bytes. Returns how many were taken; then sender_next until SENDER_MORE makes room for the rest. */
size_t sender_feed(struct sender *s, const uint8_t *data, size_t size);

/* The next event. After SENDER_CLOSE and SENDER_FINAL nothing is sent any more; SENDER_CLOSE comes once (then SENDER_MORE until
 * sender_closed), SENDER_FINAL again and again. What a foreign server goes on to say may still be fed, and lies in sender_answer. */
void sender_next(struct sender *s, struct sender_event *ret);

/* What has come of an answer that is not (yet) understood; until the next call of the sender. */
const uint8_t *sender_answer(const struct sender *s, size_t *ret_size);

/* The connection has ended; no bytes of ours are read any more. */
void sender_closed(struct sender *s);

/* All is acknowledged: send BYE. Only on a connection, with an ephemeral stream. */
void sender_bye(struct sender *s);

/* --- questions */

uint64_t sender_unacked(const struct sender *s); /* put, not acknowledged */
uint64_t sender_doubt(const struct sender *s);   /* of these, handed to a connection at least in part */
bool sender_waits(const struct sender *s);       /* for anything from the server: WELCOME, acks, the end of a drain */

/* Must this stream not be resumed any more? (Ephemeral, and nothing was sent on it for EPHEMERAL_RESUME_NS.) With nothing
 * unacknowledged a new stream does as well. */
bool sender_expired(const struct sender *s, uint64_t boot_ns);

/* Is number SEQ_MAX acknowledged? Then no connection is of use any more. */
bool sender_used_up(const struct sender *s);

/* Give up with this end (END_EXPIRED, END_SEQ). */
void sender_give_up(struct sender *s, enum sender_end end);

/* What `end` means, in words: fills *why with the exit status and the text, which begins with `peer`. */
void sender_describe(const struct sender *s, const char *peer, struct failure *why);

#endif
