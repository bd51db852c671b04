/* io: the event loop's door. Sockets, the journal's durable writes, file jobs, signals, time.
 *
 * Completion-shaped, whichever backend is behind it (epoll; io_uring and a simulator fit the same door): you arm or
 * submit, it completes, as an event. Events are pulled:
 *
 *      io_wait(io, deadline)            sleep until something has happened, or the deadline
 *      while (io_next(io, &event))      each event once; never re-entered
 *              ...
 *
 * One loop, one thread: all functions are for the thread that made the loop, but for the bodies of jobs.
 * Handles are small numbers, 0 is none; a closed handle is used again only after its IO_CLOSED has been taken.
 * Each thing has an owner, a pointer that its events carry; the owner lives until IO_CLOSED. Errors are -errno.
 * Memory is allocated by io_create only. */
#ifndef ROGER_IO_IO_H
#define ROGER_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/peer.h"

struct io;
typedef uint32_t io_socket; /* also for listeners and adopted descriptors */

enum { IO_SOCKET_SIZE = 48 }; /* memory that is kept for each, at most */
enum { IO_PATH_SIZE = 108 };

/* Where to listen or connect. */
struct io_endpoint {
	struct peer peer;        /* PEER_IPV4, PEER_IPV6 or PEER_UNIX */
	uint32_t scope;          /* IPv6 scope id */
	char path[IO_PATH_SIZE]; /* PEER_UNIX */
};

/* What io_create allocates besides, at most: for the loop with its rings, and for each buffer beside its bytes. Nothing is allocated
 * later (but by io_resolve, and the stacks of the threads that file jobs and writes may need). */
enum { IO_LOOP_MEMORY = 64 * 1024, IO_BUFFER_MEMORY = 8 };

struct io_config {
	uint32_t sockets_max;  /* listeners, connections and adopted descriptors together */
	uint32_t buffer_count; /* the pool of receive buffers ... */
	uint32_t buffer_size;  /* ... and the size of each */
	const char *backend;   /* "auto", "epoll"; NULL is auto */
};

/* 0; -ENOMEM; -ENOSYS for a backend that is not in this build or refused by the kernel. Starts the writer and the job thread on
 * first use. SIGPIPE is ignored from here on. */
int io_create(const struct io_config *config, struct io **ret_io);

/* Closes what is left. Waits for the write and the job that are under way; jobs that were not begun are not run. */
void io_destroy(struct io *io);

const char *io_backend(const struct io *io);

/* The monotonic time at which the last io_wait returned, ns. Everything in one turn happens at this time. */
uint64_t io_now(const struct io *io);

enum io_event_kind {
	IO_ACCEPTED,      /* owner: of the listener. socket: the new one (without owner, receive not armed); peer */
	IO_ACCEPT_FAILED, /* owner: of the listener. result: -EMFILE ...; accepting goes on by itself after a back-off */
	IO_CONNECTED,     /* result: 0 or -errno (then close it) */
	IO_RECEIVED,      /* result: bytes in data (> 0); 0: the peer has shut its sending side; -errno: the
	                   * connection is broken. At 0 and -errno receiving has ended. data is lent until
	                   * io_buffer_return(buffer) */
	IO_SENT,          /* result: how many bytes were taken (at least 1, maybe not all), or -errno */
	IO_CLOSED,        /* the last event of a socket; its owner may go */
	IO_WRITTEN,       /* write: the struct given to io_write; result: 0, or -errno (a short write is -EIO) */
	IO_JOB_DONE,      /* job: the struct given to io_job; job->result is set */
	IO_SIGNAL,        /* result: the signal's number */
};

struct io_event {
	enum io_event_kind kind;
	void *owner;
	io_socket socket;
	int result;
	const uint8_t *data;    /* IO_RECEIVED */
	uint32_t buffer;        /* IO_RECEIVED with result > 0: give it back */
	bool drained;           /* IO_RECEIVED: nothing more was readable then */
	struct peer peer;       /* IO_ACCEPTED */
	struct io_write *write;
	struct io_job *job;
};

/* Sleep until there is an event or now >= deadline_ns (NEVER_NS: no deadline; 0: do not sleep). 0, or -errno on a broken
 * loop. All events of the last turn must have been taken with io_next. */
int io_wait(struct io *io, uint64_t deadline_ns);

/* The next event of this turn; false when there is none left. Events of a socket that io_close was called on are not
 * delivered any more, but for IO_CLOSED (lent buffers of undelivered events go back by themselves). */
bool io_next(struct io *io, struct io_event *ret);

/* --- listening and connecting. With sockets_max in use io_listen, io_connect and io_adopt are -EMFILE, and connections wait
 * in the backlog. */

/* All addresses of a name, in the resolver's order; at most `max`. Blocks (start-up, client). An empty host is the wildcard
 * (passive) or loopback. 0 with *ret_count > 0, or -errno with *ret_why a static text ("Name or service not known"). */
int io_resolve(const char *host, uint16_t port, bool passive, struct io_endpoint *out, unsigned max,
	       unsigned *ret_count, const char **ret_why);

/* Listen, SO_REUSEADDR and not SO_REUSEPORT; IPv6 listeners are IPv6 only. A stale unix socket is removed first (a live one
 * is -EADDRINUSE). Accepting is armed. *ret_bound has the real port. */
int io_listen(struct io *io, const struct io_endpoint *at, void *owner, io_socket *ret_socket,
	      struct io_endpoint *ret_bound);

/* Stop accepting (connections wait in the backlog), or go on. */
void io_accept(struct io *io, io_socket listener, bool armed);

/* Completes with IO_CONNECTED (-EAGAIN: the backlog of a unix listener is full). -errno at once only when no socket could be
 * made. Receiving may be armed at once; sending begins after IO_CONNECTED. */
int io_connect(struct io *io, const struct io_endpoint *to, void *owner, io_socket *ret_socket);

/* Receive from a descriptor that is not ours (standard input; pipe, terminal or file). io_close leaves it open. */
int io_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket);

void io_set_owner(struct io *io, io_socket socket, void *owner);

enum io_tuning {
	IO_USER_TIMEOUT_MS, /* TCP_USER_TIMEOUT: give a peer up that takes nothing for so long */
	IO_KEEPALIVE_S,     /* TCP keepalive after so much silence */
};
/* Of a listener: all that it accepts from then on are tuned so. Unix sockets ignore it. */
void io_tune(struct io *io, io_socket socket, enum io_tuning what, int value);

/* --- receiving and sending */

/* Arm or disarm receiving. Armed, it stays so over many IO_RECEIVED (at most one a turn), until the end, an error or disarming.
 * With an empty pool nothing is received until a buffer comes back. Arming twice is harmless. After disarming no IO_RECEIVED comes. */
void io_receive(struct io *io, io_socket socket, bool armed);
void io_buffer_return(struct io *io, uint32_t buffer);
uint32_t io_buffers_free(const struct io *io);

/* Is something readable right now (bytes, or the end)? Asks the kernel. */
bool io_readable(struct io *io, io_socket socket);

struct io_span {
	const void *data;
	size_t size;
};
enum { IO_SPANS_MAX = 4 };

/* Send; completes with one IO_SENT. One at a time on a socket (asserted). The bytes (not the spans) stay until then. */
void io_send(struct io *io, io_socket socket, const struct io_span *spans, unsigned count);

/* The same for an answer (at most INT32_MAX bytes): true when the kernel has taken all of it at once, and then no IO_SENT comes.
 * is_last: when all of it was taken (this or IO_SENT says so), the sending side is shut, too; over TCP both go in one packet, so the
 * peer is woken once. */
bool io_send_answer(struct io *io, io_socket socket, const void *data, size_t size, bool is_last);

/* Shut the sending side, after what io_send has taken. */
void io_shutdown(struct io *io, io_socket socket);

/* Close; completes with IO_CLOSED, after which bytes handed to io_send are no longer read. reset: RST instead of FIN.
 * For a unix listener the path is removed. */
void io_close(struct io *io, io_socket socket, bool reset);

/* --- the journal's durable writes */

enum io_durable {
	IO_WRITE_DSYNC, /* one write that is durable when it completes */
	IO_WRITE_FLUSH, /* a write, then fdatasync */
};

/* Filled by the caller, who keeps it and `data` until IO_WRITTEN. */
struct io_write {
	int file;
	enum io_durable durable;
	const void *data;
	size_t size;
	uint64_t offset;
	void *owner;
	struct io_write *next; /* io's own */
	int result;            /* io's own */
};

/* Write and make durable; completes with IO_WRITTEN. At most io_writes_max() in flight (asserted). Never retried. */
void io_write(struct io *io, struct io_write *write);
unsigned io_writes_max(const struct io *io);

/* --- file jobs: slow file operations, one after the other, on one low-priority thread */

struct io_job {
	int (*run)(struct io_job *job); /* on the job thread; may block; uses the file door only. Its result goes to `result` */
	void *owner;
	int result;
	struct io_job *next;            /* io's own */
};

void io_job(struct io *io, struct io_job *job);

/* --- signals */

/* From now on SIGINT and SIGTERM come as IO_SIGNAL. */
int io_signals(struct io *io);

#endif
