/* What the files of this room share: the server and its sessions. Not for others: their door is server.h.
 *
 *      server.c     start, loop, dispatch            listener.c   listening, accepting
 *      drain.c      the clean stop                   memory.c     how --memory is divided
 *      session.c    one connection's life            receive.c    what its bytes mean, and what is done about it
 *      stream.c     HELLO and BYE                    append.c     messages into the journal
 *      answer.c     what is told to the peer, and when
 *      gate.c fence.c timers.c input.c large.c notes.c: parts that know nothing of the others
 *
 * The order within a turn: events; what waited for room; deadlines; one commit; the gate. Nothing here calls itself again:
 * a session that may go on is put into the queue `ready`, which the loop empties. */
#ifndef ROGER_SERVER_ROOM_H
#define ROGER_SERVER_ROOM_H

#include "io/io.h"
#include "server/fence.h"
#include "server/gate.h"
#include "server/input.h"
#include "server/memory.h"
#include "server/notes.h"
#include "server/server.h"
#include "server/timers.h"
#include "wire/wire.h"

#define SESSION_NONE UINT32_MAX

enum session_state {
	SESSION_FREE,
	SESSION_OPENING,   /* nothing yet (plain), or HELLO not complete */
	SESSION_WELCOMING, /* native: HELLO taken, WELCOME waits at the gate or is being sent */
	SESSION_RUNNING,
	SESSION_ENDING,    /* half-closed: what is stored is acknowledged, then close */
	SESSION_LINGERING, /* raw: ACK! is on its way; what still comes is stored */
	SESSION_FAREWELL,  /* native: a last word (ERROR, DRAIN); what still comes is discarded */
	SESSION_CLOSING,   /* until IO_CLOSED */
};

/* A session stands in at most one queue: it waits for one thing at a time. */
enum session_queue {
	QUEUE_NONE,
	QUEUE_PARKED, /* for room in the journal */
	QUEUE_MEMORY, /* for large memory */
	QUEUE_READY,  /* for its turn */
};

enum session_flags {
	FLAG_ARMED = 1,        /* receiving */
	FLAG_ENDED = 2,        /* nothing will be received any more */
	FLAG_BROKEN = 4,       /* ... since the connection has broken */
	FLAG_DRAINED = 8,      /* nothing more was readable at the last receive */
	FLAG_PARTIAL = 16,     /* a message has begun; begun_ns says when */
	FLAG_OPENED = 32,      /* something has been sent */
	FLAG_SHUT = 64,        /* our sending side is shut */
	FLAG_STREAM = 128,     /* `stream` is open in the journal */
	FLAG_GAP = 256,        /* the next batch stands behind a gap that the peer accepted */
	FLAG_ACKED = 512,      /* native: an ack has been sent */
	FLAG_RUN = 1024,       /* line: lines are not answered yet; nothing is read until then */
	FLAG_STUCK = 2048,     /* the journal takes nothing any more: left unanswered */
	FLAG_EPHEMERAL = 4096, /* native: as HELLO said */
	FLAG_LENT = 8192,      /* it keeps a receive buffer while it waits for memory */
};

/* What the peer is to be told next. */
enum session_want {
	WANT_WELCOME = 1,
	WANT_ACK = 2,  /* raw, whole: the one answer */
	WANT_BEAT = 4, /* the last ACK again, or WAIT */
	WANT_DRAIN = 8,
	WANT_ERROR = 16,
};

/* What a session has only while there are bytes of its peer. */
struct session_input {
	struct input input;
	uint32_t need; /* what the message that has begun is known to need */
};

/* What a session has only while something is being sent. */
struct session_output {
	uint64_t taken_ns; /* when the peer last took something of it */
	uint16_t size;
	uint16_t sent;
	bool last; /* our sending side is shut with it */
	uint8_t bytes[OUTPUT_SLOT_SIZE];
};
_Static_assert(sizeof(struct session_output) % 16 == 0,
	       "a slab would round it up, and memory_plan does not");

/* One connection. Every idle one has this, so it is small: memory that is not always needed lies elsewhere, and what only some
 * protocols or states need shares its place. */
struct session {
	struct wire wire;
	struct peer peer;
	io_socket socket;
	uint64_t begun_ns;  /* of the state or message that has a deadline */
	uint64_t frozen_ns; /* since when this and last_ns stand still, 0: they do not */
	union {
		uint64_t last_ns; /* plain, or not known yet: last byte or answer */
		uint64_t beat_ns; /* native: next heartbeat */
	};

	uint64_t appended_seq;   /* the last message in the journal ... */
	uint64_t durable_seq;    /* ... the last that may be acknowledged (from the gate) ... */
	uint64_t durable_record; /* ... and its record; line: of any of its lines */
	uint64_t sent_seq;       /* the last that was acknowledged */
	union {
		uint64_t gate_position; /* while messages are taken */
		uint64_t fault_seq;     /* with a fault: which message */
	};
	union {
		struct {
			uint64_t epoch; /* of the stream in the journal; see session_stream */
			uint64_t writer;
		} native;
		struct {
			uint64_t first_record; /* of the connection: its id */
			union {
				uint64_t record_from; /* line: the first that is not answered */
				uint64_t more_bytes;  /* raw: after ACK! */
			};
		} plain;
	};
	union {
		uint32_t stream_entry; /* native: in the journal */
		uint32_t h; /* plain: history checksum behind the last appended message */
	};
	uint32_t input;      /* number of a struct session_input, 0: none */
	uint32_t output;     /* number of a struct session_output, 0: none */
	uint32_t generation; /* counts the connections that had this place */
	uint32_t previous;   /* in its queue; next also of the free list */
	uint32_t next;
	uint16_t flags;
	uint8_t state;
	uint8_t protocol; /* enum protocol; PROTOCOL_NONE: not known yet */
	uint8_t queue;
	uint8_t wants;
	uint8_t fault;
};

struct session_list {
	uint32_t first;
	uint32_t last;
	uint32_t count;
};

enum { ADDRESSES_MAX = 8 }; /* of one name: more are not looked at */

/* Where to listen. */
struct listener_place {
	const struct address *address;
	struct io_endpoint found[ADDRESSES_MAX];
	unsigned count;
};

struct listener {
	io_socket socket;
	uint8_t protocol;
	struct io_endpoint bound;
};

struct server {
	const struct server_config *config;
	struct memory_plan plan;
	struct io *io;
	struct journal *journal;
	uint8_t journal_id[JOURNAL_ID_SIZE];
	bool not_durable;
	struct notes notes;

	struct listener_place places[LISTENERS_MAX];
	unsigned place_count;
	struct listener listeners[LISTENERS_MAX];
	unsigned listener_count;
	bool accepting;

	struct session *sessions;
	uint32_t session_count; /* places */
	uint32_t live;          /* taken ones */
	uint32_t fresh;         /* places from here on were never taken */
	uint32_t free_list;
	struct session_list parked;
	struct session_list memory_queue;
	struct session_list ready;
	struct slab inputs;  /* struct session_input */
	struct slab outputs; /* struct session_output */
	struct input_pools pools;
	struct fence fence;
	struct gate gate;
	struct timers timers;

	uint64_t progress; /* of the journal, when parked sessions last tried */
	bool resuming;     /* parked sessions are having their turn: they may append */
	bool gate_was_full;
	bool crowded; /* parked sessions keep half of the receive buffers: others that are running wait, too */
	bool granting;           /* the head of the memory queue is having its turn */
	uint64_t large_reserved; /* large memory, and medium pieces, in use when it last tried */
	uint32_t medium_used;
	uint32_t lent; /* receive buffers that sessions in that queue keep */
	bool appended;           /* since the last journal_turn */
	unsigned signals;
	bool draining;
	bool stopping;     /* journal_stop was called */
	uint64_t drain_ns; /* when draining began */
};

/* --- listener.c */

/* Look up where to listen: what is not found is told before a journal is made. 0 or -errno with *why. */
int listeners_find(struct server *server, struct failure *why);
/* Listen on all that was found. 0 or -errno with *why. */
int listeners_open(struct server *server, struct failure *why);
void listeners_banner(struct server *server);
void listeners_accept(struct server *server, bool armed);
void listeners_close(struct server *server);
struct listener *listener_of(struct server *server, void *owner);

/* --- session.c
 *
 * session_update is called once after everything that was done to a session; the others do not call it. */

uint32_t session_index(const struct server *server, const struct session *s);
bool session_is_native(const struct session *s);
struct journal_stream session_stream(const struct session *s); /* native, with FLAG_STREAM */

/* How many bytes of its peer there are that nothing has been done with. */
size_t session_bytes(const struct server *server, const struct session *s);

/* Say that the beginning of a message is not kept; why: "the connection ended". */
void session_note_dropped(struct server *server, struct session *s, const char *why, size_t size);

void session_accepted(struct server *server, const struct listener *listener,
		      const struct io_event *event);
void session_closed(struct server *server, struct session *s);

/* End it, with a line in the log; native: and with ERROR. Nothing more of it is stored or acknowledged. text: NULL, or why in
 * other words than wire_fault_text's. */
void session_refuse(struct server *server, struct session *s, enum wire_fault fault, uint64_t seq,
		    const char *text);

/* The same for what its bytes said last: what was stored before is acknowledged first. */
void session_refuse_last(struct server *server, struct session *s, enum wire_fault fault,
			 uint64_t seq);

/* Into the farewell: say what is wanted, shut, discard what still comes, close. */
void session_leave(struct server *server, struct session *s);
void session_close(struct server *server, struct session *s, bool reset);

/* Arm or disarm receiving, set its deadline, close it when it is done. */
void session_update(struct server *server, struct session *s);

/* Has what the parked ones keep become too much, or little again? Then all are updated. */
void session_crowd(struct server *server);

/* Its deadline has come. */
void session_expired(struct server *server, struct session *s);

/* Put it into a queue (it is in none) at the end or at the front; or take it out of the one that it is in, if any. */
void session_enqueue(struct server *server, struct session *s, enum session_queue queue,
		     bool front);
void session_dequeue(struct server *server, struct session *s);

/* A receive buffer goes back to the loop. */
void session_return_buffer(struct server *server, struct session *s, uint32_t buffer);

/* --- receive.c */

void session_received(struct server *server, struct session *s, const struct io_event *event);

/* Do with the received bytes what can be done now. */
void session_work(struct server *server, struct session *s);

/* The first bytes are done with. */
void session_consume(struct server *server, struct session *s, size_t size);

/* What looked like the native preface went no further: it is raw. */
void session_take_as_raw(struct server *server, struct session *s);

/* --- stream.c */

/* 0, or -ENOBUFS: later. It may have been refused. */
int session_hello(struct server *server, struct session *s, const struct wire_event *event);
/* The stream is forgotten. 0, or -ENOBUFS: later. */
int session_bye(struct server *server, struct session *s);

/* --- append.c */

/* Append what the event says, and hold its ack at the gate. 0, or as journal_append. */
int session_append_frames(struct server *server, struct session *s,
			  const struct wire_event *event);
int session_append_message(struct server *server, struct session *s,
			   const struct wire_event *event);

/* --- answer.c */

/* The gate has let it through: everything up to entry->seq is durable. */
void session_released(struct server *server, struct session *s, const struct gate_entry *entry);

/* Send what is due, if nothing is being sent. */
void session_answer(struct server *server, struct session *s);
void session_sent(struct server *server, struct session *s, int result);

/* raw: is it time for ACK! ? */
void session_raw_answer(struct server *server, struct session *s);

/* --- drain.c */

void drain_begin(struct server *server);
/* Every turn while draining; true when all is done. */
bool drain_turn(struct server *server);
uint64_t drain_deadline(const struct server *server);
/* Is there a session whose peer has sent what was read, and is not stored? */
bool drain_is_owing(const struct server *server);

#endif
