/* sim_io, inside.
 *
 *   sim_io.c          loops: making and ending them, turns, events
 *   sim_io_socket.c   listeners and connections, and standard input
 *   sim_io_receive.c  receiving, and the pool of buffers
 *   sim_io_send.c     sending
 *   sim_io_work.c     durable writes and file jobs
 *   sim_io_resolve.c  names
 *
 * A turn: io_wait lists what is ready (gather), in an order that is drawn, and perhaps not all of it; io_next takes it from there. What
 * has become obsolete since (closed, disarmed) is passed over. */
#ifndef ROGER_SIM_IO_INSIDE_H
#define ROGER_SIM_IO_INSIDE_H

#include "io/io.h"
#include "net.h"
#include "sim_io.h"
#include "world.h"

enum slot_kind {
	SLOT_FREE = 0,
	SLOT_LISTENER,
	SLOT_STREAM,
	SLOT_SCRIPT, /* standard input */
};

/* What is ready of a slot. */
enum slot_ready {
	READY_CONNECTED = 1,
	READY_RECEIVED = 2,
	READY_SENT = 4,
	READY_CLOSED = 8,
	READY_ACCEPTED = 16,
};

enum { QUEUE_MAX = 4 };

struct sending {
	bool busy;          /* from io_send to IO_SENT taken, or to IO_CLOSED */
	bool begun;         /* the network has been asked */
	bool done;
	bool last;          /* the sending side is shut with it */
	struct io_span spans[IO_SPANS_MAX];
	unsigned count;
	size_t size;
	size_t most;        /* what is offered to the network: less than all for a partial send */
	uint64_t hash;
	int result;
	uint64_t ready_ns;  /* true time at which IO_SENT is there */
	uint8_t *rest;      /* for the tap: what was claimed and not taken; it is expected again */
	size_t rest_size;
};

struct slot {
	struct io *io;
	void *owner;
	enum slot_kind kind;
	bool armed;
	bool connecting;
	bool closing;
	bool ended;         /* the end or an error has been received */
	bool shut;          /* the sending side, once what was handed over is taken */
	bool accepted;      /* it came from a listener */
	uint64_t starved;   /* bytes were there, and no buffer: its place in the queue for one; 0: not in it */
	bool has_connected; /* IO_CONNECTED is to be told */
	int connected;
	uint64_t closed_ns; /* true time at which IO_CLOSED is there */
	uint64_t connection;
	struct net_end *end;
	struct net_listener *listener;
	uint8_t family;     /* of a listener's addresses */
	uint16_t port;      /* of a listener */
	uint64_t user_timeout_ns; /* of a listener: for those that it accepts, 0: none */
	struct net_end *queue[QUEUE_MAX]; /* listeners: handed over by the network, not yet accepted */
	unsigned queue_count;
	bool has_ahead;     /* received early, not yet delivered: bytes, the end or an error */
	uint8_t *ahead;
	int ahead_result;
	bool ahead_drained;
	struct sending send;
	uint32_t free_next;
};

/* A durable write under way, or done and not taken. */
struct flight {
	struct io *io;
	struct io_write *write;
	struct disk_write *running;
	uint64_t hash;
	bool done;
	int result;
	struct flight *next;
};

struct entry {
	enum { ENTRY_SLOT, ENTRY_WRITE, ENTRY_JOB, ENTRY_SIGNAL } kind;
	unsigned bits; /* of enum slot_ready */
	struct slot *slot;
	struct flight *flight;
};

struct io {
	struct process *process;
	struct io_config config;
	void *token;          /* what the process allocates for a loop: so that it can fail */
	struct fiber *loop;
	bool parked;
	uint64_t now_ns;      /* as the process sees it */
	uint64_t retry_ns;    /* true time at which something gets ready by itself */
	/* drawn */
	unsigned early;       /* of 4: how often bytes are taken early */
	unsigned deferred;    /* of 4: how often a send begins with the next turn */
	uint64_t gather_ns;   /* how long a turn may wait for more; 0: not */
	unsigned writes_max;

	struct slot *slots;   /* handle - 1 */
	uint32_t fresh;       /* slots from here on have never been used */
	uint32_t used;
	uint32_t free_first;  /* handle; 0: none */

	uint8_t **buffers;    /* made when first lent */
	bool *lent;
	uint32_t *filled;     /* bytes of each buffer */
	uint32_t *buffers_free;
	uint32_t buffers_free_count;
	uint64_t starved_next;

	struct entry *entries; /* of this turn */
	size_t entry_room;
	size_t entry_count;
	size_t entry_at;

	struct flight *flights;
	unsigned flight_count;

	struct io_job *jobs;
	struct io_job *jobs_done;
	struct io_job *job_failed; /* the first that met an error which no acknowledgement may follow (disk_job_has_failed) */
	struct fiber *worker;
	bool worker_parked;
	bool worker_stopping;
	bool job_running;

	bool signals;
	uint64_t pause_ns;     /* of accepting */
	uint64_t paused_until; /* true time */
	struct io *next;
};

/* The loop is woken if it waits. */
void loop_poke(struct io *io);

/* Something will be ready at that (true) time: io_wait does not sleep longer. */
void loop_retry(struct io *io, uint64_t at_ns);

uint64_t hash_bytes(uint64_t hash, const void *data, size_t size);

/* Of both ends, when it is large: what is lent out for long is looked at often. */
uint64_t hash_lent(uint64_t hash, const void *data, size_t size);

struct slot *loop_slot(struct io *io, io_socket socket); /* an open one: checked */
io_socket loop_handle(const struct slot *slot);
struct slot *loop_slot_take(struct io *io, enum slot_kind kind, void *owner);
void loop_slot_free(struct slot *slot);

/* What is ready of it now, enum slot_ready; does what comes before that (begins sends, receives early). */
unsigned slot_ready(struct slot *slot);

/* The event for one of its bits; false: it has become obsolete. *ret_more: there may be another of the same bit in this turn. */
bool slot_event(struct slot *slot, unsigned bit, struct io_event *ret, bool *ret_more);

/* The process is gone, or the loop is destroyed: what it was to the outside world ends. */
enum slot_end { SLOT_END_CLOSED, SLOT_END_ABANDONED, SLOT_END_VANISHED };
void slot_drop(struct slot *slot, enum slot_end how);

/* --- sim_io_receive.c */
int pool_init(struct io *io);
void pool_deinit(struct io *io);
bool receive_ready(struct slot *slot);
bool receive_event(struct slot *slot, struct io_event *ret);
void receive_forget(struct slot *slot); /* what was received early */

/* --- sim_io_send.c */
void send_begin(struct slot *slot); /* if it has not begun, or goes on */
bool send_ready(struct slot *slot);
void send_event(struct slot *slot, struct io_event *ret);
void send_check(const struct slot *slot); /* the bytes are what they were */
void send_forget(struct slot *slot);

/* --- sim_io_work.c */
void flight_event(struct flight *flight, struct io_event *ret);
void job_event(struct io *io, struct io_event *ret);
void work_finish(struct io *io);  /* waits for what is under way */
void work_abandon(struct io *io); /* the process is gone */

#endif
