/* The loop: connections and adopted descriptors. */
#include "io/io_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/must.h"

/* --- making */

static void connect_done(struct loop *loop, struct slot *slot, int result)
{
	slot->connecting = false;
	slot->connected = result;
	if (result) {
		slot->armed = false;
		slot->ended = true;
	}
	loop_later(loop, slot, PENDING_CONNECTED);
}

int loop_connect(struct io *io, const struct io_endpoint *to, void *owner, io_socket *ret_socket)
{
	struct loop *loop = loop_of(io);
	int descriptor = -1, result = 0;

	if (loop->slots_free == 0)
		return -EMFILE;
	int error = io_socket_connect(to, &descriptor, &result);
	if (error)
		return error;
	struct slot *slot = loop_slot_take(loop, SLOT_STREAM, descriptor, owner);
	slot->is_tcp = io_socket_is_tcp(&to->peer);
	if (result == -EINPROGRESS) {
		slot->connecting = true;
		loop_watch(loop, slot);
	} else {
		connect_done(loop, slot, result);
	}
	*ret_socket = loop_handle(loop, slot);
	return 0;
}

void loop_connect_report(struct loop *loop, struct slot *slot)
{
	connect_done(loop, slot, io_socket_connected(slot->descriptor));
}

int loop_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket)
{
	struct loop *loop = loop_of(io);

	if (fcntl(descriptor, F_GETFD) < 0)
		return -errno;
	if (loop->slots_free == 0)
		return -EMFILE;
	struct slot *slot = loop_slot_take(loop, SLOT_ADOPTED, descriptor, owner);
	*ret_socket = loop_handle(loop, slot);
	return 0;
}

/* --- buffers: one that comes back goes to the stream that has waited longest, which keeps it until its turn */

static void buffer_give_back(struct loop *loop, uint32_t buffer)
{
	if (!loop->starved.first) {
		io_pool_return(&loop->pool, buffer);
		return;
	}
	struct slot *slot = &loop->slots[loop->starved.first - 1];
	loop_waiting_remove(loop, slot);
	slot->buffer = buffer;
	slot->has_buffer = true;
	loop_later(loop, slot, PENDING_READABLE);
}

void loop_buffer_return(struct io *io, uint32_t buffer)
{
	struct loop *loop = loop_of(io);

	must(buffer < loop->pool.count && loop->pool.lent[buffer]);
	buffer_give_back(loop, buffer);
}

static void stop_waiting(struct loop *loop, struct slot *slot)
{
	loop_waiting_remove(loop, slot);
	if (slot->has_buffer) {
		slot->has_buffer = false;
		buffer_give_back(loop, slot->buffer);
	}
}

static bool buffer_take(struct loop *loop, struct slot *slot, uint32_t *ret_buffer)
{
	if (slot->has_buffer) {
		slot->has_buffer = false;
		*ret_buffer = slot->buffer;
		return true;
	}
	return io_pool_take(&loop->pool, ret_buffer);
}

/* --- receiving */

void loop_receive(struct io *io, io_socket socket, bool armed)
{
	struct loop *loop = loop_of(io);
	struct slot *slot = loop_slot(loop, socket);

	must(slot->kind != SLOT_LISTENER);
	if (!armed) {
		slot->armed = false;
		stop_waiting(loop, slot);
		return;
	}
	if (slot->armed || slot->ended)
		return;
	slot->armed = true;
	/* Often something is there already: a new connection's first bytes, what came while nobody wanted it. */
	if (!slot->connecting)
		loop_later(loop, slot, PENDING_READABLE);
}

/* How many bytes, 0 at the end, or -errno; -EAGAIN: nothing is there after all. */
static ssize_t receive(const struct slot *slot, void *data, size_t size)
{
	ssize_t count;

	/* Somebody else may read from what we share, and a read would then wait. */
	if (slot->kind == SLOT_ADOPTED && !io_socket_readable(slot->descriptor))
		return -EAGAIN;
	do {
		if (slot->kind == SLOT_STREAM)
			count = recv(slot->descriptor, data, size, MSG_DONTWAIT);
		else
			count = read(slot->descriptor, data, size);
	} while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : count;
}

static bool is_drained(const struct slot *slot, size_t count, size_t size)
{
	int more = 0;

	if (slot->kind == SLOT_STREAM && count < size)
		return true;
	if (ioctl(slot->descriptor, FIONREAD, &more) < 0)
		return !io_socket_readable(slot->descriptor);
	return more == 0;
}

static bool receive_end(struct slot *slot, int result, struct io_event *ret)
{
	slot->ended = true;
	slot->armed = false;
	ret->kind = IO_RECEIVED;
	ret->result = result;
	ret->drained = true;
	return true;
}

bool loop_receive_next(struct loop *loop, struct slot *slot, struct io_event *ret)
{
	uint32_t buffer;

	if (!slot->armed || slot->connecting || slot->is_waiting)
		return false;
	if (!buffer_take(loop, slot, &buffer)) {
		loop_waiting_add(loop, slot);
		return false;
	}
	uint8_t *data = io_pool_data(&loop->pool, buffer);
	ssize_t count = receive(slot, data, loop->pool.size);
	if (count <= 0) {
		buffer_give_back(loop, buffer);
		/* A send has taken the error away; what is left looks like an orderly end, and is not. */
		if ((count == 0 || count == -EAGAIN) && slot->broken)
			count = slot->broken;
		if (count != -EAGAIN)
			return receive_end(slot, (int)count, ret);
	} else {
		ret->kind = IO_RECEIVED;
		ret->result = (int)count;
		ret->data = data;
		ret->buffer = buffer;
		ret->drained = is_drained(slot, (size_t)count, loop->pool.size);
	}
	if (slot->kind == SLOT_FILE || slot->broken || (count > 0 && (slot->hung || !ret->drained)))
		loop_later(loop, slot, PENDING_READABLE);
	else
		loop_watch(loop, slot);
	return count > 0;
}

bool loop_readable(struct io *io, io_socket socket)
{
	const struct slot *slot = loop_slot(loop_of(io), socket);

	return !slot->ended && !slot->connecting && io_socket_readable(slot->descriptor);
}

/* --- sending */

static void send_end(const struct slot *slot)
{
	if (slot->shut)
		shutdown(slot->descriptor, SHUT_WR);
}

static void send_done(struct loop *loop, struct slot *slot, int result)
{
	slot->blocked = false;
	slot->send.result = result;
	if (result < 0 && result != -EPIPE)
		slot->broken = (int16_t)result;
	send_end(slot);
	loop_later(loop, slot, PENDING_SENT);
}

/* One span is sent without sendmsg, which reads its description from us first. */
static ssize_t send_now(const struct slot *slot, struct iovec *spans, unsigned span_count)
{
	struct msghdr message = { .msg_iov = spans, .msg_iovlen = span_count };
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT;

	if (slot->last)
		flags |= MSG_MORE; /* it goes with the end, which follows */
	if (span_count > 1)
		return sendmsg(slot->descriptor, &message, flags);
	return send(slot->descriptor, spans->iov_base, spans->iov_len, flags);
}

/* How many bytes were taken, or -errno; -EAGAIN when the kernel has no room. */
static ssize_t send_try(struct slot *slot, struct iovec *spans, unsigned span_count)
{
	ssize_t count;

	do {
		count = send_now(slot, spans, span_count);
	} while (count < 0 && errno == EINTR);
	if (slot->last && count == (ssize_t)spans->iov_len)
		slot->shut = true;
	return count < 0 ? -errno : count;
}

/* Only the first span is kept: IO_SENT may say less than was given. */
static void send_wait(struct loop *loop, struct slot *slot, const struct iovec *span)
{
	slot->send.data = span->iov_base;
	slot->send.size = span->iov_len < INT32_MAX ? (uint32_t)span->iov_len : INT32_MAX;
	slot->blocked = true;
	loop_watch(loop, slot);
}

static struct slot *sender(struct loop *loop, io_socket socket)
{
	struct slot *slot = loop_slot(loop, socket);

	must(slot->kind == SLOT_STREAM && !slot->connecting && !slot->sending);
	slot->sending = true;
	return slot;
}

void loop_send(struct io *io, io_socket socket, const struct io_span *spans, unsigned count)
{
	struct loop *loop = loop_of(io);
	struct slot *slot = sender(loop, socket);
	struct iovec all[IO_SPANS_MAX];
	unsigned used = 0;

	must(count <= IO_SPANS_MAX);
	for (unsigned i = 0; i < count; i++) {
		if (spans[i].size)
			all[used++] = (struct iovec){ (void *)(uintptr_t)spans[i].data,
						      spans[i].size };
	}
	must(used > 0);
	slot->last = false;
	ssize_t taken = send_try(slot, all, used);
	if (taken == -EAGAIN)
		send_wait(loop, slot, all);
	else
		send_done(loop, slot, (int)taken);
}

bool loop_send_answer(struct io *io, io_socket socket, const void *data, size_t size, bool is_last)
{
	struct loop *loop = loop_of(io);
	struct slot *slot = sender(loop, socket);
	struct iovec all = { (void *)(uintptr_t)data, size };

	slot->last = is_last;
	ssize_t taken = send_try(slot, &all, 1);
	if (taken == (ssize_t)size) {
		slot->sending = false;
		send_end(slot);
		return true;
	}
	if (taken == -EAGAIN)
		send_wait(loop, slot, &all);
	else
		send_done(loop, slot, (int)taken);
	return false;
}

void loop_send_report(struct loop *loop, struct slot *slot)
{
	struct iovec kept = { (void *)(uintptr_t)slot->send.data, slot->send.size };

	if (!slot->blocked)
		return;
	ssize_t taken = send_try(slot, &kept, 1);
	if (taken != -EAGAIN)
		send_done(loop, slot, (int)taken);
}

void loop_shutdown(struct io *io, io_socket socket)
{
	struct slot *slot = loop_slot(loop_of(io), socket);

	must(slot->kind == SLOT_STREAM);
	if (slot->blocked)
		slot->shut = true;
	else
		shutdown(slot->descriptor, SHUT_WR); /* fails when the connection is gone */
}

/* Nothing will be told of it any more. */
void loop_broken(struct loop *loop, struct slot *slot, int error)
{
	slot->broken = (int16_t)error;
	if (slot->connecting)
		connect_done(loop, slot, error);
	if (slot->blocked)
		send_done(loop, slot, error);
	if (slot->armed)
		loop_later(loop, slot, PENDING_READABLE);
}

/* --- the end */

void loop_close(struct io *io, io_socket socket, bool reset)
{
	struct loop *loop = loop_of(io);
	struct slot *slot = loop_slot(loop, socket);

	slot->closing = true;
	slot->armed = false;
	stop_waiting(loop, slot);
	if (slot->kind == SLOT_LISTENER)
		io_socket_path_remove(slot->descriptor, slot->path);
	else if (reset && slot->kind == SLOT_STREAM)
		io_socket_reset(slot->descriptor);
	if (slot->kind == SLOT_ADOPTED || slot->kind == SLOT_FILE)
		loop_watch(loop, slot);
	else
		close(slot->descriptor); /* and so out of epoll's set */
	slot->pending = slot->later = 0;
	loop_later(loop, slot, PENDING_CLOSED);
}
