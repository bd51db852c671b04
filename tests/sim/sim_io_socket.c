/* The loop: listeners and connections, and standard input. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "check.h"
#include "fault.h"
#include "sim_io_inside.h"

/* --- what the network says */

static void on_connected(void *context, int result)
{
	struct slot *slot = context;

	slot->connecting = false;
	slot->has_connected = true;
	slot->connected = result;
	if (result) {
		slot->armed = false;
		slot->ended = true;
	}
	loop_poke(slot->io);
}

static void on_readable(void *context)
{
	struct slot *slot = context;

	if (slot->armed)
		loop_poke(slot->io);
}

static void on_writable(void *context)
{
	struct slot *slot = context;

	if (slot->send.busy && slot->send.begun && !slot->send.done)
		send_begin(slot);
}

static const struct net_calls stream_calls = {
	.connected = on_connected,
	.readable = on_readable,
	.writable = on_writable,
};

static const struct net_calls waiting_calls = { .accepted = NULL };

static void on_accepted(void *context, struct net_end *end)
{
	struct slot *slot = context;

	net_calls_set(end, &waiting_calls, NULL);
	slot->queue[slot->queue_count++] = end;
	if (slot->queue_count == QUEUE_MAX)
		net_listener_accept(slot->listener, false);
	loop_poke(slot->io);
}

static const struct net_calls listener_calls = { .accepted = on_accepted };

/* --- making */

static unsigned host_of(const struct io *io, const struct peer *peer)
{
	static const uint8_t ipv6_loopback[16] = { [15] = 1 };
	const uint8_t *a = peer->address;

	if (peer->family == PEER_IPV6)
		return memcmp(a, ipv6_loopback, 16) == 0 ? io->process->host->number : 0;
	if (a[0] == 10 && a[1] == 0 && a[2] == 0)
		return a[3];
	return a[0] == 127 || a[0] == 0 ? io->process->host->number : 0;
}

int io_listen(struct io *io, const struct io_endpoint *at, void *owner, io_socket *ret_socket,
	      struct io_endpoint *ret_bound)
{
	struct net_listener *listener = NULL;
	uint16_t port = at->peer.port;
	int error;

	if (at->peer.family != PEER_IPV4 && at->peer.family != PEER_IPV6)
		return -EAFNOSUPPORT;
	if (host_of(io, &at->peer) != io->process->host->number)
		return -EADDRNOTAVAIL;
	struct slot *slot = loop_slot_take(io, SLOT_LISTENER, owner);
	if (slot == NULL)
		return -EMFILE;
	do {
		if (at->peer.port == 0)
			port = (uint16_t)world_between(20000, 30000);
		error = net_listen(io->process->host, port, &listener_calls, slot, &listener);
	} while (error == -EADDRINUSE && at->peer.port == 0);
	if (error) {
		loop_slot_free(slot);
		return error;
	}
	slot->listener = listener;
	slot->port = port;
	slot->family = at->peer.family;
	slot->armed = true;
	*ret_socket = loop_handle(slot);
	*ret_bound = *at;
	ret_bound->peer.port = port;
	return 0;
}

void io_accept(struct io *io, io_socket listener, bool armed)
{
	struct slot *slot = loop_slot(io, listener);

	must(slot->kind == SLOT_LISTENER);
	slot->armed = armed;
	net_listener_accept(slot->listener, armed && slot->queue_count < QUEUE_MAX);
}

int io_connect(struct io *io, const struct io_endpoint *to, void *owner, io_socket *ret_socket)
{
	if (to->peer.family != PEER_IPV4 && to->peer.family != PEER_IPV6)
		return -EAFNOSUPPORT;
	struct slot *slot = loop_slot_take(io, SLOT_STREAM, owner);
	if (slot == NULL)
		return -EMFILE;
	slot->connecting = true;
	slot->end = net_connect(io->process->host, host_of(io, &to->peer), to->peer.port,
				&stream_calls, slot);
	slot->connection = net_connection(slot->end);
	*ret_socket = loop_handle(slot);
	return 0;
}

int io_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket)
{
	if (io->used == io->config.sockets_max)
		return -EMFILE;
	if (descriptor != 0 || io->process->script == NULL)
		return -EBADF;
	struct slot *slot = loop_slot_take(io, SLOT_SCRIPT, owner);
	*ret_socket = loop_handle(slot);
	return 0;
}

void io_set_owner(struct io *io, io_socket socket, void *owner)
{
	loop_slot(io, socket)->owner = owner;
}

void io_tune(struct io *io, io_socket socket, enum io_tuning what, int value)
{
	struct slot *slot = loop_slot(io, socket);

	if (what != IO_USER_TIMEOUT_MS)
		return;
	if (slot->kind == SLOT_STREAM)
		net_user_timeout(slot->end, (uint64_t)value * MS_NS);
	else
		slot->user_timeout_ns = (uint64_t)value * MS_NS;
}

/* --- accepting */

static bool may_accept(const struct slot *slot)
{
	const struct io *io = slot->io;

	return slot->armed && slot->queue_count > 0 && io->used < io->config.sockets_max &&
	       world_now() >= io->paused_until;
}

static bool accept_fails(struct io *io, struct io_event *ret)
{
	static const int errors[] = { -EMFILE, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM };

	if (!fault_happens(FAULT_ACCEPT_EMFILE))
		return false;
	io->pause_ns = io->pause_ns == 0 ? ACCEPT_BACKOFF_MIN_NS : 2 * io->pause_ns;
	if (io->pause_ns > ACCEPT_BACKOFF_MAX_NS)
		io->pause_ns = ACCEPT_BACKOFF_MAX_NS;
	io->paused_until = world_now() + io->pause_ns;
	ret->kind = IO_ACCEPT_FAILED;
	ret->result = errors[world_draw(sizeof(errors) / sizeof(errors[0]))];
	return true;
}

/* A host's connection to itself comes from its loopback address. */
static struct peer peer_of(const struct slot *listener, const struct net_end *end)
{
	struct peer peer = { .family = listener->family };
	unsigned host;

	net_peer(end, &host, &peer.port);
	if (listener->family == PEER_IPV6) {
		peer.address[15] = 1;
	} else {
		bool own = host == listener->io->process->host->number;

		peer.address[0] = own ? 127 : 10;
		peer.address[3] = own ? 1 : (uint8_t)host;
	}
	return peer;
}

static bool accept_event(struct slot *slot, struct io_event *ret, bool *ret_more)
{
	if (slot->closing || !may_accept(slot))
		return false;
	if (accept_fails(slot->io, ret))
		return true;
	slot->io->pause_ns = 0;
	struct net_end *end = slot->queue[0];
	slot->queue_count--;
	memmove(slot->queue, slot->queue + 1, slot->queue_count * sizeof(slot->queue[0]));
	net_listener_accept(slot->listener, slot->armed);
	struct slot *accepted = loop_slot_take(slot->io, SLOT_STREAM, NULL);
	accepted->accepted = true;
	accepted->end = end;
	accepted->connection = net_connection(end);
	net_calls_set(end, &stream_calls, accepted);
	if (slot->user_timeout_ns > 0)
		net_user_timeout(end, slot->user_timeout_ns);
	ret->kind = IO_ACCEPTED;
	ret->socket = loop_handle(accepted);
	if (slot->io->process->is_server)
		check_accepted(slot->io->process, accepted->connection, slot->port);
	ret->peer = peer_of(slot, end);
	*ret_more = true;
	return true;
}

/* --- what is ready */

unsigned slot_ready(struct slot *slot)
{
	unsigned bits = 0;

	if (slot->closing) {
		if (world_now() >= slot->closed_ns)
			return READY_CLOSED;
		loop_retry(slot->io, slot->closed_ns);
		return 0;
	}
	if (slot->kind == SLOT_LISTENER) {
		if (may_accept(slot))
			return READY_ACCEPTED;
		if (slot->queue_count > 0 && slot->io->paused_until > world_now())
			loop_retry(slot->io, slot->io->paused_until);
		return 0;
	}
	if (slot->has_connected)
		return READY_CONNECTED;
	if (slot->connecting)
		return 0;
	if (slot->send.busy && !slot->send.begun)
		send_begin(slot);
	if (send_ready(slot))
		bits |= READY_SENT;
	if (receive_ready(slot))
		bits |= READY_RECEIVED;
	return bits;
}

bool slot_event(struct slot *slot, unsigned bit, struct io_event *ret, bool *ret_more)
{
	ret->owner = slot->owner;
	ret->socket = loop_handle(slot);
	if (bit == READY_CLOSED) {
		ret->kind = IO_CLOSED;
		send_check(slot);
		send_forget(slot);
		loop_slot_free(slot);
		return true;
	}
	if (slot->closing)
		return false;
	switch (bit) {
	case READY_CONNECTED:
		slot->has_connected = false;
		ret->kind = IO_CONNECTED;
		ret->result = slot->connected;
		return true;
	case READY_SENT: send_event(slot, ret); return true;
	case READY_RECEIVED: return receive_event(slot, ret);
	default: return accept_event(slot, ret, ret_more);
	}
}

/* --- ending */

static void end_listener(struct slot *slot, enum slot_end how)
{
	for (unsigned i = 0; i < slot->queue_count; i++) {
		if (how == SLOT_END_VANISHED)
			net_vanish(slot->queue[i]);
		else
			net_close(slot->queue[i], true);
	}
	slot->queue_count = 0;
	if (how == SLOT_END_VANISHED)
		net_listener_vanish(slot->listener);
	else
		net_listener_close(slot->listener);
	slot->listener = NULL;
}

/* What the outside world sees of it ends. */
static void end_outside(struct slot *slot, enum slot_end how, bool reset)
{
	if (slot->closing)
		return;
	if (slot->kind == SLOT_LISTENER)
		end_listener(slot, how);
	if (slot->kind != SLOT_STREAM)
		return;
	if (how == SLOT_END_VANISHED)
		net_vanish(slot->end);
	else if (how == SLOT_END_ABANDONED)
		net_abandon(slot->end);
	else
		net_close(slot->end, reset);
	slot->end = NULL;
	if (slot->accepted && slot->io->process->is_server)
		check_closed(slot->io->process, slot->connection);
}

void slot_drop(struct slot *slot, enum slot_end how)
{
	end_outside(slot, how, false);
	receive_forget(slot);
	send_forget(slot);
	loop_slot_free(slot);
}

void io_shutdown(struct io *io, io_socket socket)
{
	struct slot *slot = loop_slot(io, socket);

	must(slot->kind == SLOT_STREAM);
	slot->shut = true;
	if (!slot->send.busy || slot->send.done)
		net_shutdown(slot->end);
}

void io_close(struct io *io, io_socket socket, bool reset)
{
	struct slot *slot = loop_slot(io, socket);
	bool racing = slot->has_connected || slot->has_ahead || slot->send.busy;

	if (racing)
		fault_happened(FAULT_CANCEL_RACE);
	/* A send that was only asked for goes out before an orderly end, and before a reset it may. */
	if (slot->send.busy && !slot->send.begun && (!reset || world_draw(2) == 0))
		send_begin(slot);
	end_outside(slot, SLOT_END_CLOSED, reset);
	receive_forget(slot);
	slot->armed = false;
	slot->closing = true;
	slot->closed_ns = world_now();
	if (slot->send.busy && !slot->send.done)
		slot->closed_ns += world_span(0, 100000, 2 * SECOND_NS);
	else if (world_draw(4) == 0)
		slot->closed_ns += world_draw(100000);
}
