/* The loop: sending. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "check.h"
#include "fault.h"
#include "sim_io_inside.h"

static uint64_t hash_of(const struct sending *send)
{
	uint64_t hash = send->size;

	for (unsigned i = 0; i < send->count; i++)
		hash = hash_lent(hash, send->spans[i].data, send->spans[i].size);
	return hash;
}

void send_check(const struct slot *slot)
{
	if (slot->send.busy && hash_of(&slot->send) != slot->send.hash)
		world_fail("%s has changed bytes that were being sent on socket %u",
			   slot->io->process->name, (unsigned)loop_handle(slot));
}

void send_forget(struct slot *slot)
{
	sim_free(slot->send.rest);
	slot->send = (struct sending){ .busy = false };
}

/* --- the tap: each byte of the stream once, in order */

static bool is_tapped(const struct slot *slot)
{
	return slot->accepted && slot->io->process->is_server;
}

static void tap(struct slot *slot)
{
	struct sending *send = &slot->send;
	size_t known = 0;

	for (unsigned i = 0; i < send->count; i++) {
		const uint8_t *data = send->spans[i].data;
		size_t size = send->spans[i].size;
		size_t skip = send->rest_size - known < size ? send->rest_size - known : size;

		if (skip > 0 && memcmp(data, send->rest + known, skip) != 0)
			world_fail("%s goes on after a partial send with other bytes",
				   slot->io->process->name);
		known += skip;
		if (skip < size)
			check_sending(slot->io->process, slot->connection, data + skip,
				      size - skip);
	}
	/* What was claimed before and is not said again yet stays expected. */
	if (known < send->rest_size)
		memmove(send->rest, send->rest + known, send->rest_size - known);
	send->rest_size -= known;
}

/* Of what was claimed, all behind the first `taken` bytes is expected again. */
static void tap_rest(struct slot *slot, size_t taken)
{
	struct sending *send = &slot->send;
	size_t left = send->size - taken;
	size_t at = left;

	send->rest = sim_resize(send->rest, left + send->rest_size);
	memmove(send->rest + left, send->rest, send->rest_size);
	send->rest_size += left;
	for (unsigned i = send->count; i-- > 0 && at > 0;) {
		size_t size = send->spans[i].size < at ? send->spans[i].size : at;
		const uint8_t *end = (const uint8_t *)send->spans[i].data + send->spans[i].size;

		at -= size;
		memcpy(send->rest + at, end - size, size);
	}
}

/* --- the network */

static void done(struct slot *slot, int result)
{
	struct sending *send = &slot->send;

	send->done = true;
	send->result = result;
	send->ready_ns = world_now();
	if (!faults_stopped() && world_draw(8) == 0)
		send->ready_ns += world_span(0, 100000, SECOND_NS);
	if (send->last && result == (int)send->size)
		slot->shut = true;
	if (slot->shut && !slot->closing)
		net_shutdown(slot->end);
	loop_poke(slot->io);
}

/* How many bytes the network takes; 0: none for now; -errno. */
static int64_t offer(struct slot *slot)
{
	const struct sending *send = &slot->send;
	size_t taken = 0;

	for (unsigned i = 0; i < send->count && taken < send->most; i++) {
		size_t left = send->most - taken;
		size_t size = send->spans[i].size < left ? send->spans[i].size : left;
		int64_t count = size > 0 ? net_write(slot->end, send->spans[i].data, size) : 0;

		if (count < 0 && taken == 0)
			return count == -EAGAIN ? 0 : count;
		if (count > 0)
			taken += (size_t)count;
		if (count < (int64_t)size)
			break;
	}
	return (int64_t)taken;
}

void send_begin(struct slot *slot)
{
	struct sending *send = &slot->send;

	if (!send->begun) {
		send->begun = true;
		if (fault_happens(FAULT_SEND_ENOBUFS)) {
			done(slot, -ENOBUFS);
			return;
		}
		if (send->size > 1 && fault_happens(FAULT_SEND_PARTIAL))
			send->most = (size_t)world_between(1, send->size - 1);
	}
	int64_t count = offer(slot);
	if (count != 0)
		done(slot, (int)count);
}

bool send_ready(struct slot *slot)
{
	if (!slot->send.busy || !slot->send.done)
		return false;
	if (slot->send.ready_ns > world_now()) {
		loop_retry(slot->io, slot->send.ready_ns);
		return false;
	}
	return true;
}

void send_event(struct slot *slot, struct io_event *ret)
{
	struct sending *send = &slot->send;

	send_check(slot);
	ret->kind = IO_SENT;
	ret->result = send->result;
	if (is_tapped(slot) && send->result >= 0 && (size_t)send->result < send->size)
		tap_rest(slot, (size_t)send->result);
	send->busy = false;
}

static void send_start(struct io *io, io_socket socket, const struct io_span *spans, unsigned count,
		       bool last)
{
	struct slot *slot = loop_slot(io, socket);
	struct sending *send = &slot->send;

	must(count > 0 && count <= IO_SPANS_MAX);
	if (slot->kind != SLOT_STREAM || slot->connecting || slot->has_connected || send->busy)
		world_fail("%s may not send on socket %u now", io->process->name,
			   (unsigned)socket);
	memcpy(send->spans, spans, count * sizeof(*spans));
	send->count = count;
	send->last = last;
	send->size = 0;
	for (unsigned i = 0; i < count; i++)
		send->size += spans[i].size;
	must(send->size > 0);
	send->most = send->size;
	send->busy = true;
	send->begun = send->done = false;
	send->hash = hash_of(send);
	if (is_tapped(slot))
		tap(slot);
	if (world_draw(4) >= io->deferred)
		send_begin(slot);
}

void io_send(struct io *io, io_socket socket, const struct io_span *spans, unsigned count)
{
	send_start(io, socket, spans, count, false);
}

/* What the network has taken at once is told at once, or later. */
bool io_send_answer(struct io *io, io_socket socket, const void *data, size_t size, bool is_last)
{
	struct slot *slot = loop_slot(io, socket);
	struct sending *send = &slot->send;
	struct io_span span = { data, size };

	send_start(io, socket, &span, 1, is_last);
	if (!send->done || send->result != (int)size || world_draw(4) == 0)
		return false;
	send->busy = false;
	return true;
}
