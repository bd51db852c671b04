/* The epoll backend: listeners. */
#include "io/io_epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"

/* Of one listener: the connections that are there get their turn between them. */
enum { ACCEPTS_PER_TURN = 64 };

int eloop_listen(struct io *io, const struct io_endpoint *at, void *owner, io_socket *ret_socket,
		 struct io_endpoint *ret_bound)
{
	struct eloop *loop = eloop_of(io);
	struct io_path_id path = { .inode = 0 };
	int descriptor = -1;

	if (loop->slots_free == 0)
		return -EMFILE;
	int error = io_socket_listen(at, &descriptor, ret_bound, &path);
	if (error)
		return error;
	struct slot *slot = eloop_slot_take(loop, SLOT_LISTENER, descriptor, owner);
	slot->listen.path = path;
	slot->armed = true;
	link_add(&loop->listeners, &slot->waiting);
	eloop_watch(loop, slot);
	*ret_socket = eloop_handle(loop, slot);
	return 0;
}

void eloop_accept(struct io *io, io_socket listener, bool armed)
{
	struct eloop *loop = eloop_of(io);
	struct slot *slot = eloop_slot(loop, listener);

	must(slot->kind == SLOT_LISTENER);
	slot->armed = armed;
	if (armed)
		eloop_watch(loop, slot);
}

/* With all slots in use, or while accepting is paused, connections wait in the backlog. */
bool eloop_may_accept(const struct eloop *loop)
{
	return loop->slots_free > 0 && loop->paused_until == NEVER_NS;
}

void eloop_accept_report(struct eloop *loop, struct slot *slot)
{
	if (slot->armed && eloop_may_accept(loop)) {
		slot->listen.budget = ACCEPTS_PER_TURN;
		eloop_later(loop, slot, PENDING_READABLE);
	}
}

/* Accepting never takes the process' last descriptor: one is held back, and given up when descriptors have run out, so that
 * the journal can open a file while accepting waits. It must be had again before anything is accepted. */
bool eloop_spare_take(struct eloop *loop)
{
	if (loop->spare < 0)
		loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return loop->spare >= 0;
}

void eloop_accept_pause(struct eloop *loop)
{
	loop->pause_ns = loop->pause_ns == 0 ? ACCEPT_BACKOFF_MIN_NS : 2 * loop->pause_ns;
	if (loop->pause_ns > ACCEPT_BACKOFF_MAX_NS)
		loop->pause_ns = ACCEPT_BACKOFF_MAX_NS;
	loop->paused_until = loop->io.now_ns + loop->pause_ns;
	if (loop->spare >= 0)
		close(loop->spare);
	loop->spare = -1;
}

void eloop_accept_resume(struct eloop *loop)
{
	for (struct link *at = loop->listeners.next; at != &loop->listeners; at = at->next)
		eloop_watch(loop, LINK_SLOT(at, waiting));
}

bool eloop_accept_next(struct eloop *loop, struct slot *slot, struct io_event *ret)
{
	int descriptor = -1;
	int error;

	do {
		if (!slot->armed || !eloop_may_accept(loop) || slot->listen.budget == 0)
			return false;
		slot->listen.budget--;
		error = eloop_spare_take(loop)
				? io_socket_accept(slot->descriptor, &descriptor, &ret->peer)
				: -EMFILE;
	} while (error && io_socket_accept_goes_on(error));
	if (error == -EAGAIN)
		return false;
	if (error) {
		ret->kind = IO_ACCEPT_FAILED;
		ret->result = error;
		eloop_accept_pause(loop);
		return true;
	}
	loop->pause_ns = 0;
	struct slot *accepted = eloop_slot_take(loop, SLOT_STREAM, descriptor, NULL);
	ret->kind = IO_ACCEPTED;
	ret->socket = eloop_handle(loop, accepted);
	slot->pending |= PENDING_READABLE;
	return true;
}
