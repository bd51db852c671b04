/* What the backends for a real kernel share, inside: the table of sockets, and turns.
 *
 *   io_loop.c           the table, the lists, the turns: what is reported becomes pending, what is pending becomes events
 *   io_loop_accept.c    listeners
 *   io_loop_stream.c    connections and adopted descriptors
 *   io_epoll.c          tells what has become ready; and the backend that sleeps in epoll and writes on a thread
 *   io_uring.c          the backend that writes on a ring shared with the kernel, and sleeps in it meanwhile
 *
 * A turn goes from one io_wait to the next. What becomes pending during a turn is put into the list `later` and delivered in the
 * turn after it, so every turn ends; io_wait does not sleep while `later` holds anything. A slot is in one of the two lists at
 * most once, however much is pending of it: nothing can overflow.
 *
 * Receiving and accepting are done when the event is asked for, not when readiness is reported: so one buffer is lent at a
 * time, a warm one, and nothing has to be undone when a socket is disarmed or closed in between.
 *
 * Whoever begins to want bytes or connections tries first, and is watched only when it has found nothing (drained, -EAGAIN): often
 * something is there already. And what was not taken, or not wanted, is tried again by itself: that it is there is told once,
 * perhaps, and not again (connections over TCP are watched by edge). What nobody wants to hear of is taken out of epoll's set when it is
 * first reported, not when it is disarmed: a session that is parked for a moment costs no system call. */
#ifndef ROGER_IO_IO_LOOP_H
#define ROGER_IO_IO_LOOP_H

#include <signal.h>

#include "io/io_backend.h"
#include "io/io_pool.h"
#include "io/io_socket.h"
#include "io/io_worker.h"

/* Slots by their handles; 0: none. */
struct slot_list {
	uint32_t first;
	uint32_t last;
};

struct loop;

enum slot_kind {
	SLOT_FREE = 0,
	SLOT_LISTENER,
	SLOT_STREAM,  /* a connection */
	SLOT_ADOPTED, /* a descriptor that is not ours; may block, so it is read only after poll() */
	SLOT_FILE,    /* one that cannot be watched: always readable */
};

enum slot_pending {
	PENDING_CONNECTED = 1,
	PENDING_READABLE = 2, /* or acceptable */
	PENDING_SENT = 4,
	PENDING_CLOSED = 8,
};

/* A socket. Every idle connection has one, so it is small: what belongs to one state of it only shares its place. */
struct slot {
	void *owner;
	union {
		struct {
			const void *data; /* blocked: what is sent when the kernel has room */
			uint32_t size;
			int result; /* until IO_SENT is taken */
		} send;
		struct io_path_id path; /* listeners */
		int connected;          /* until IO_CONNECTED is taken */
		uint32_t free_next;
	};
	int descriptor;
	uint32_t turn_next; /* in loop.now or loop.later */
	union {
		struct {
			uint32_t previous;
			uint32_t next;
		} waiting;
		uint32_t buffer; /* kept for this slot, which had to wait for one */
	};
	union {
		int16_t broken; /* what a send or epoll found: receiving ends with it. -errno */
		struct {
			uint8_t left;     /* how many more in this turn */
			uint8_t quarters; /* four times as many as in a turn */
		} accepts; /* listeners */
	};
	uint8_t kind;    /* enum slot_kind */
	uint8_t pending; /* enum slot_pending: what this turn has still to deliver */
	uint8_t later;   /* the same for the turn in which it is taken up next */
	uint8_t watched; /* what epoll has been asked for: POLLIN, POLLOUT; 0: not in its set */
	bool in_turn : 1;    /* it is in loop.now or loop.later, or is being delivered */
	bool is_waiting : 1; /* streams: in loop.starved; listeners: in loop.listeners */
	bool has_buffer : 1;
	bool armed : 1;
	bool closing : 1;
	bool connecting : 1;
	bool ended : 1;   /* the end or an error has been received */
	bool hung : 1;    /* the peer's end, an error or an urgent mark is there: a read that was not full is not the last */
	bool sending : 1; /* io_send was called and IO_SENT not yet taken */
	bool blocked : 1; /* ... and the kernel has no room: waits for it */
	bool shut : 1;    /* then shut the sending side */
	bool last : 1;    /* ... if all was taken */
	bool is_tuned : 1; /* listeners: what they accept needs no tuning of its own */
	bool is_tcp : 1;   /* streams: watched by edge */
};
_Static_assert(sizeof(struct slot) <= IO_SOCKET_SIZE, "what io.h says of it");

/* What differs between the backends: where the loop sleeps, and how the journal's writes are made. */
struct sleeper {
	size_t size;         /* of its loop, which begins with a struct loop */
	unsigned writes_max; /* in flight */
	const struct io_backend *backend;
	int (*open)(struct loop *loop);  /* 0; -ENOSYS: not here. loop->epoll and loop->wake are there */
	void (*shut)(struct loop *loop); /* waits for writes that are under way. Called after an `open` that failed, too */

	/* Sleep at most so long (NEVER_NS: without limit), unless something is there; tell what has happened by epoll_take and
	 * loop_report_written. */
	int (*wait)(struct loop *loop, uint64_t sleep_ns);
	void (*write)(struct loop *loop, struct io_write *write);
};

struct loop {
	struct io io;
	const struct sleeper *sleeper;
	int epoll;
	bool coarse; /* no epoll_pwait2: milliseconds */
	bool is_asking; /* epoll, in this turn */
	int wake;    /* eventfd: something is done on another thread */
	int signals; /* signalfd or -1 */
	bool signals_ready;
	bool signals_restore;
	sigset_t signals_before; /* what was blocked before io_signals */

	struct slot *slots; /* handle - 1 */
	uint32_t slots_max;
	uint32_t slots_free;
	uint32_t slots_fresh; /* slots from here on have never been used */
	uint32_t free_first;  /* handle of the first free one, 0 */

	struct slot_list now;
	struct slot_list later;
	struct slot_list starved; /* streams that have something to receive, but no buffer */
	struct slot_list listeners;
	struct io_pool pool;

	int spare;         /* a descriptor held back, -1: given up for now */
	uint64_t pause_ns; /* how long the last pause of accepting was; 0 since one was accepted */
	uint64_t paused_until; /* NEVER_NS: not paused */

	struct io_worker worker;
	unsigned writes;          /* in flight */
	struct io_write *written; /* done, not yet taken, in the order in which they ended */
	struct io_write **written_last;
	struct io_job *jobs_done;
};

static inline struct loop *loop_of(struct io *io)
{
	return (struct loop *)io;
}

io_socket loop_handle(const struct loop *loop, const struct slot *slot);

/* The slot of a handle that is open (asserted). */
struct slot *loop_slot(struct loop *loop, io_socket socket);

/* Into loop.starved or loop.listeners, at the end; out of it (harmless when it is not there). */
void loop_waiting_add(struct loop *loop, struct slot *slot);
void loop_waiting_remove(struct loop *loop, struct slot *slot);

/* A slot for a descriptor; NULL when all are in use. */
struct slot *loop_slot_take(struct loop *loop, enum slot_kind kind, int descriptor, void *owner);
void loop_slot_free(struct loop *loop, struct slot *slot);

/* Something is pending of the slot: put it into the next turn. */
void loop_later(struct loop *loop, struct slot *slot, unsigned pending);

/* Bring what epoll watches of the slot in line with what it wants to hear. */
void loop_watch(struct loop *loop, struct slot *slot);

/* --- for backends */

/* The function `create` of a backend. */
int loop_create(const struct sleeper *sleeper, const struct io_config *config, struct io **ret_io);

/* A write has ended. */
void loop_report_written(struct loop *loop, struct io_write *write, int result);

/* --- io_epoll.c */
int epoll_open(struct loop *loop); /* 0 or -errno */
void epoll_shut(struct loop *loop);

/* Tell when the slot's descriptor becomes one of `events` (POLLIN, POLLOUT); 0: no more. 0 or -errno. */
int epoll_watch(struct loop *loop, const struct slot *slot, uint16_t events);

/* Tell when the loop's own descriptor (`wake`, `signals`) is readable. 0 or -errno. */
int epoll_watch_own(struct loop *loop, int descriptor);

/* Sleep at most so long, and report what is ready, as much as fits; nothing when the set is not asked in this turn. 0 or -errno. Sets
 * the time. */
int epoll_take(struct loop *loop, uint64_t sleep_ns);

/* What it calls. */
void loop_report(struct loop *loop, struct slot *slot, uint32_t events); /* POLLIN, ... */
void loop_report_wake(struct loop *loop);
void loop_report_signal(struct loop *loop);

/* --- io_loop_accept.c */
int loop_listen(struct io *io, const struct io_endpoint *at, void *owner, io_socket *ret_socket,
		struct io_endpoint *ret_bound);
void loop_accept(struct io *io, io_socket listener, bool armed);
bool loop_may_accept(const struct loop *loop);
void loop_accept_report(struct loop *loop, struct slot *slot);
bool loop_accept_next(struct loop *loop, struct slot *slot, struct io_event *ret);
void loop_accept_pause(struct loop *loop);
void loop_accept_resume(struct loop *loop); /* the pause is over, or a slot has become free */
void loop_accept_try(struct loop *loop, struct slot *slot);
bool loop_spare_take(struct loop *loop);

/* --- io_loop_stream.c */
int loop_connect(struct io *io, const struct io_endpoint *to, void *owner, io_socket *ret_socket);
int loop_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket);
void loop_receive(struct io *io, io_socket socket, bool armed);
void loop_buffer_return(struct io *io, uint32_t buffer);
bool loop_readable(struct io *io, io_socket socket);
void loop_send(struct io *io, io_socket socket, const struct io_span *spans, unsigned count);
bool loop_send_answer(struct io *io, io_socket socket, const void *data, size_t size, bool is_last);
void loop_shutdown(struct io *io, io_socket socket);
void loop_close(struct io *io, io_socket socket, bool reset);
void loop_connect_report(struct loop *loop, struct slot *slot);
void loop_send_report(struct loop *loop, struct slot *slot);
void loop_broken(struct loop *loop, struct slot *slot, int error);
bool loop_receive_next(struct loop *loop, struct slot *slot, struct io_event *ret);

/* --- what every backend's table of functions is made of (LOOP_BACKEND below), but for `create` */
void loop_destroy(struct io *io);
int loop_wait(struct io *io, uint64_t deadline_ns);
bool loop_next(struct io *io, struct io_event *ret);
void loop_set_owner(struct io *io, io_socket socket, void *owner);
void loop_tune(struct io *io, io_socket socket, enum io_tuning what, int value);
uint32_t loop_buffers_free(const struct io *io);
void loop_write(struct io *io, struct io_write *write);
unsigned loop_writes_max(const struct io *io);
void loop_job(struct io *io, struct io_job *job);
int loop_signals(struct io *io);

#define LOOP_BACKEND(its_name, its_create)                                               \
	{                                                                                \
		.name = (its_name), .create = (its_create), .destroy = loop_destroy,     \
		.wait = loop_wait, .next = loop_next, .listen = loop_listen,             \
		.accept = loop_accept, .connect = loop_connect, .adopt = loop_adopt,     \
		.set_owner = loop_set_owner, .tune = loop_tune, .receive = loop_receive, \
		.buffer_return = loop_buffer_return, .buffers_free = loop_buffers_free,  \
		.readable = loop_readable, .send = loop_send,                            \
		.send_answer = loop_send_answer, .shutdown = loop_shutdown,              \
		.close = loop_close, .write = loop_write, .writes_max = loop_writes_max, \
		.job = loop_job, .signals = loop_signals,                                \
	}

#endif
