/* The epoll backend, inside: the table of sockets and the lists that its three files share.
 *
 *   io_epoll.c          the loop: what epoll reports becomes pending, what is pending becomes events
 *   io_epoll_accept.c   listeners
 *   io_epoll_stream.c   connections and adopted descriptors
 *
 * A turn goes from one io_wait to the next. What becomes pending during a turn is put into the list `next` and delivered in the turn
 * after it, so every turn ends; io_wait does not sleep while `next` holds anything. A slot is in one of the two lists at most
 * once, however much is pending of it: nothing can overflow.
 *
 * Receiving and accepting are done when the event is asked for, not when epoll reports: so one buffer is lent at a time, and
 * nothing has to be undone when a socket is disarmed or closed in between. epoll reports by level, so what was not taken is
 * reported again. What nobody wants to hear of is taken out of the epoll set when it is first reported, not when it is
 * disarmed: a session that is parked for a moment costs no system call. */
#ifndef ROGER_IO_IO_EPOLL_H
#define ROGER_IO_IO_EPOLL_H

#include <signal.h>
#include <sys/uio.h>

#include "io/io_backend.h"
#include "io/io_pool.h"
#include "io/io_socket.h"
#include "io/io_writer.h"

/* A place in a ring of them, whose head is one of them, too. next == NULL: in none. */
struct link {
	struct link *previous;
	struct link *next;
};

enum slot_kind {
	SLOT_FREE = 0,
	SLOT_LISTENER,
	SLOT_STREAM,  /* a connection */
	SLOT_ADOPTED, /* a descriptor that is not ours; may block, so it is read only after poll() */
	SLOT_FILE,    /* one that epoll does not take: always readable */
};

enum slot_pending {
	PENDING_CONNECTED = 1,
	PENDING_READABLE = 2, /* or acceptable */
	PENDING_SENT = 4,
	PENDING_CLOSED = 8,
};

/* In the middle of sending. */
struct slot_send {
	struct iovec spans[IO_SPANS_MAX];
	unsigned count;
	int result;
	bool busy;    /* io_send was called and IO_SENT not yet taken */
	bool blocked; /* the kernel has no room: waits for it */
	bool shut;    /* then shut the sending side */
};

struct slot {
	struct link turn;    /* in eloop.now or eloop.later */
	struct link waiting; /* streams: in eloop.starved; listeners: in eloop.listeners */
	void *owner;
	int descriptor;
	uint8_t kind;    /* enum slot_kind */
	uint8_t pending; /* enum slot_pending */
	bool armed;
	bool closing;
	bool connecting;
	bool ended;       /* the end or an error has been received */
	uint32_t watched; /* what epoll has been asked for; 0: not in its set */
	uint32_t buffer;  /* kept for this slot, which had to wait for one: number + 1 */
	int broken;       /* what a send or epoll found: receiving ends with it. -errno */
	union {
		int connected; /* until IO_CONNECTED is taken */
		uint32_t free_next;
	};
	union {
		struct slot_send send;
		struct {
			unsigned budget; /* of accepts in this turn */
			struct io_path_id path;
		} listen;
	};
};

struct eloop {
	struct io io;
	int epoll;
	int wake;    /* eventfd: something is done on another thread */
	int signals; /* signalfd or -1 */
	bool signals_ready;
	bool signals_restore;
	bool coarse;             /* no epoll_pwait2: milliseconds */
	sigset_t signals_before; /* what was blocked before io_signals */

	struct slot *slots; /* handle - 1 */
	uint32_t slots_max;
	uint32_t slots_free;
	uint32_t slots_fresh; /* slots from here on have never been used */
	uint32_t free_first;  /* handle of the first free one, 0 */

	struct link now;
	struct link later;
	struct link starved; /* streams that have something to receive, but no buffer */
	struct link listeners;
	struct io_pool pool;

	int spare;         /* a descriptor held back, -1: given up for now */
	uint64_t pause_ns; /* how long the last pause of accepting was; 0 since one was accepted */
	uint64_t paused_until; /* NEVER_NS: not paused */

	struct io_writer writer;
	struct io_worker worker;
	struct io_write *written; /* done, not yet taken */
	struct io_job *jobs_done;
};

#define LINK_SLOT(at, member) ((struct slot *)((char *)(at)-offsetof(struct slot, member)))

void link_init(struct link *head);
bool link_is_empty(const struct link *head);
void link_add(struct link *head, struct link *link); /* at the tail; it is in no list */
void link_remove(struct link *link);                 /* harmless when it is in none */

static inline struct eloop *eloop_of(struct io *io)
{
	return (struct eloop *)io;
}

io_socket eloop_handle(const struct eloop *loop, const struct slot *slot);

/* The slot of a handle that is open (asserted). */
struct slot *eloop_slot(struct eloop *loop, io_socket socket);

/* A slot for a descriptor; NULL when all are in use. */
struct slot *eloop_slot_take(struct eloop *loop, enum slot_kind kind, int descriptor, void *owner);
void eloop_slot_free(struct eloop *loop, struct slot *slot);

/* Something is pending of the slot: put it into the next turn. */
void eloop_later(struct eloop *loop, struct slot *slot, unsigned pending);

/* Bring what epoll watches of the slot in line with what it wants to hear. */
void eloop_watch(struct eloop *loop, struct slot *slot);

/* --- io_epoll_accept.c */
int eloop_listen(struct io *io, const struct io_endpoint *at, void *owner, io_socket *ret_socket,
		 struct io_endpoint *ret_bound);
void eloop_accept(struct io *io, io_socket listener, bool armed);
bool eloop_may_accept(const struct eloop *loop);
void eloop_accept_report(struct eloop *loop, struct slot *slot);
bool eloop_accept_next(struct eloop *loop, struct slot *slot, struct io_event *ret);
void eloop_accept_pause(struct eloop *loop);
void eloop_accept_resume(struct eloop *loop); /* the pause is over, or a slot has become free */
bool eloop_spare_take(struct eloop *loop);

/* --- io_epoll_stream.c */
int eloop_connect(struct io *io, const struct io_endpoint *to, void *owner, io_socket *ret_socket);
int eloop_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket);
void eloop_receive(struct io *io, io_socket socket, bool armed);
void eloop_buffer_return(struct io *io, uint32_t buffer);
bool eloop_readable(struct io *io, io_socket socket);
void eloop_send(struct io *io, io_socket socket, const struct io_span *spans, unsigned count);
void eloop_shutdown(struct io *io, io_socket socket);
void eloop_close(struct io *io, io_socket socket, bool reset);
void eloop_connect_report(struct eloop *loop, struct slot *slot);
void eloop_send_report(struct eloop *loop, struct slot *slot);
void eloop_broken(struct eloop *loop, struct slot *slot, int error);
bool eloop_receive_next(struct eloop *loop, struct slot *slot, struct io_event *ret);

#endif
