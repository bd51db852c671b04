/* The loop: listeners. */
#include "io/io_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"

/* How many of one listener are accepted in a turn: the connections that are there get their turn between them. Mostly there is one, and an
 * accept that finds nothing is dear: so it begins with one, and grows by a quarter whenever as many as that have come. But with writes
 * under way a turn is dearer than such an accept, and those who come together share a commit: then all are accepted at once. */
enum {
	ACCEPTS_PER_TURN = 63,
	QUARTERS_MIN = 4,
	QUARTERS_MAX = 4 * ACCEPTS_PER_TURN,
};

int loop_listen(struct io *io, const struct io_endpoint *at, void *owner, io_socket *ret_socket,
		struct io_endpoint *ret_bound)
{
	struct loop *loop = loop_of(io);
	struct io_path_id path = { .inode = 0 };
	int descriptor = -1;

	if (loop->slots_free == 0)
		return -EMFILE;
	int error = io_socket_listen(at, &descriptor, ret_bound, &path);
	if (error)
		return error;
	struct slot *slot = loop_slot_take(loop, SLOT_LISTENER, descriptor, owner);
	slot->path = path;
	slot->is_tuned = io_socket_is_loopback(&ret_bound->peer);
	slot->accepts.quarters = QUARTERS_MIN;
	slot->armed = true;
	loop_waiting_add(loop, slot);
	loop_watch(loop, slot);
	*ret_socket = loop_handle(loop, slot);
	return 0;
}

void loop_accept(struct io *io, io_socket listener, bool armed)
{
	struct loop *loop = loop_of(io);
	struct slot *slot = loop_slot(loop, listener);

	must(slot->kind == SLOT_LISTENER);
	slot->armed = armed;
	if (armed)
		loop_accept_try(loop, slot);
}

/* With all slots in use, or while accepting is paused, connections wait in the backlog. */
bool loop_may_accept(const struct loop *loop)
{
	return loop->slots_free > 0 && loop->paused_until == NEVER_NS;
}

void loop_accept_try(struct loop *loop, struct slot *slot)
{
	loop_accept_report(loop, slot);
	loop_watch(loop, slot);
}

void loop_accept_report(struct loop *loop, struct slot *slot)
{
	if (slot->armed && loop_may_accept(loop)) {
		slot->accepts.left =
			loop->writes ? ACCEPTS_PER_TURN : slot->accepts.quarters / 4;
		loop_later(loop, slot, PENDING_READABLE);
	}
}

/* Accepting never takes the process' last descriptor: one is held back, and given up when descriptors have run out, so that
 * the journal can open a file while accepting waits. It must be had again before anything is accepted. */
bool loop_spare_take(struct loop *loop)
{
	if (loop->spare < 0)
		loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return loop->spare >= 0;
}

void loop_accept_pause(struct loop *loop)
{
	loop->pause_ns = loop->pause_ns == 0 ? ACCEPT_BACKOFF_MIN_NS : 2 * loop->pause_ns;
	if (loop->pause_ns > ACCEPT_BACKOFF_MAX_NS)
		loop->pause_ns = ACCEPT_BACKOFF_MAX_NS;
	loop->paused_until = loop->io.now_ns + loop->pause_ns;
	if (loop->spare >= 0)
		close(loop->spare);
	loop->spare = -1;
}

void loop_accept_resume(struct loop *loop)
{
	for (uint32_t at = loop->listeners.first; at; at = loop->slots[at - 1].waiting.next)
		loop_accept_try(loop, &loop->slots[at - 1]);
}

/* All that this turn was to accept has come. Listeners are watched by level: epoll tells of what is left. */
static void accepts_full(struct slot *slot)
{
	unsigned quarters = slot->accepts.quarters + slot->accepts.quarters / 4U;

	slot->accepts.quarters = (uint8_t)(quarters < QUARTERS_MAX ? quarters : QUARTERS_MAX);
}

bool loop_accept_next(struct loop *loop, struct slot *slot, struct io_event *ret)
{
	int descriptor = -1;
	int error;

	do {
		if (!slot->armed || !loop_may_accept(loop))
			return false;
		if (slot->accepts.left == 0) {
			accepts_full(slot);
			return false;
		}
		slot->accepts.left--;
		error = loop_spare_take(loop)
				? io_socket_accept(slot->descriptor, slot->is_tuned, &descriptor,
						   &ret->peer)
				: -EMFILE;
	} while (error && io_socket_accept_goes_on(error));
	if (error == -EAGAIN) {
		slot->accepts.quarters = QUARTERS_MIN;
		return false;
	}
	if (error) {
		ret->kind = IO_ACCEPT_FAILED;
		ret->result = error;
		loop_accept_pause(loop);
		return true;
	}
	loop->pause_ns = 0;
	struct slot *accepted = loop_slot_take(loop, SLOT_STREAM, descriptor, NULL);
	accepted->is_tcp = io_socket_is_tcp(&ret->peer);
	ret->kind = IO_ACCEPTED;
	ret->socket = loop_handle(loop, accepted);
	slot->pending |= PENDING_READABLE;
	return true;
}
