/* The loop: receiving, and the pool of buffers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "check.h"
#include "fault.h"
#include "sim_io_inside.h"

enum {
	TOKEN_SIZE = 64,
	GARBAGE = 0xDB, /* what a buffer holds when it is not lent */
};

/* --- the pool */

int pool_init(struct io *io)
{
	uint32_t count = io->config.buffer_count;

	io->token = malloc(TOKEN_SIZE);
	if (io->token == NULL)
		return -ENOMEM;
	io->buffers = sim_alloc(count * sizeof(*io->buffers));
	io->lent = sim_alloc(count * sizeof(*io->lent));
	io->filled = sim_alloc(count * sizeof(*io->filled));
	io->buffers_free = sim_alloc(count * sizeof(*io->buffers_free));
	for (uint32_t i = 0; i < count; i++)
		io->buffers_free[i] = count - 1 - i;
	io->buffers_free_count = count;
	return 0;
}

void pool_deinit(struct io *io)
{
	for (uint32_t i = 0; i < io->config.buffer_count; i++)
		sim_free(io->buffers[i]);
	sim_free(io->buffers);
	sim_free(io->lent);
	sim_free(io->filled);
	sim_free(io->buffers_free);
	free(io->token);
}

static uint8_t *buffer_take(struct io *io, uint32_t *ret_buffer)
{
	uint32_t buffer = io->buffers_free[--io->buffers_free_count];

	if (io->buffers[buffer] == NULL)
		io->buffers[buffer] = sim_alloc(io->config.buffer_size);
	io->lent[buffer] = true;
	*ret_buffer = buffer;
	return io->buffers[buffer];
}

void io_buffer_return(struct io *io, uint32_t buffer)
{
	if (buffer >= io->config.buffer_count || !io->lent[buffer])
		world_fail("%s returns buffer %u, which it does not have", io->process->name,
			   (unsigned)buffer);
	memset(io->buffers[buffer], GARBAGE, io->filled[buffer]);
	io->filled[buffer] = 0;
	io->lent[buffer] = false;
	io->buffers_free[io->buffers_free_count++] = buffer;
}

uint32_t io_buffers_free(const struct io *io)
{
	return io->buffers_free_count;
}

/* --- what is there */

static struct io_script *script_of(const struct slot *slot)
{
	return slot->io->process->script;
}

static bool source_has(const struct slot *slot)
{
	if (slot->kind == SLOT_SCRIPT)
		return script_of(slot)->next_ns <= world_now();
	return net_available(slot->end) > 0 || net_at_end(slot->end);
}

bool io_readable(struct io *io, io_socket socket)
{
	const struct slot *slot = loop_slot(io, socket);

	return !slot->ended && !slot->connecting && !slot->has_connected &&
	       (slot->has_ahead || source_has(slot));
}

void io_receive(struct io *io, io_socket socket, bool armed)
{
	struct slot *slot = loop_slot(io, socket);

	must(slot->kind == SLOT_STREAM || slot->kind == SLOT_SCRIPT);
	if (slot->armed && !armed && slot->has_ahead)
		fault_happened(FAULT_CANCEL_RACE);
	slot->armed = armed && !slot->ended;
	if (!armed)
		slot->starved = 0;
}

/* From the script: how many bytes, 0 at the end, -EAGAIN. */
static int64_t script_read(struct slot *slot, uint8_t *out, size_t size, bool *ret_drained)
{
	struct io_script *script = script_of(slot);
	bool end = false;
	size_t count = script->read(script->context, out, size, &end);

	if (end && count > 0) /* the end is for the next time */
		script->next_ns = 0;
	*ret_drained = script->next_ns > world_now();
	return count > 0 || end ? (int64_t)count : -EAGAIN;
}

static int64_t stream_take(struct slot *slot, uint8_t *out, size_t size, bool *ret_drained)
{
	size_t there = net_available(slot->end);
	size_t most = there < size ? there : size;

	if (most > 1 && fault_happens(FAULT_RECEIVE_PARTIAL))
		size = (size_t)world_between(1, most - 1);
	int64_t count = net_read(slot->end, out, size);
	/* Whether the end counts as something that is readable behind bytes depends on the kernel. */
	*ret_drained = net_available(slot->end) == 0 &&
		       (count <= 0 || !net_at_end(slot->end) || world_draw(2) == 0);
	return count;
}

/* -EAGAIN: nothing after all. */
static int take(struct slot *slot, uint8_t *out, size_t size, bool *ret_drained)
{
	return (int)(slot->kind == SLOT_SCRIPT ? script_read(slot, out, size, ret_drained)
					       : stream_take(slot, out, size, ret_drained));
}

static void take_ahead(struct slot *slot)
{
	size_t size = slot->io->config.buffer_size;

	if (slot->kind == SLOT_STREAM && net_available(slot->end) < size)
		size = net_available(slot->end) > 0 ? net_available(slot->end) : 1;
	slot->ahead = sim_alloc(size);
	slot->ahead_result = take(slot, slot->ahead, size, &slot->ahead_drained);
	slot->has_ahead = slot->ahead_result != -EAGAIN;
	if (!slot->has_ahead) {
		sim_free(slot->ahead);
		slot->ahead = NULL;
	}
}

void receive_forget(struct slot *slot)
{
	sim_free(slot->ahead);
	slot->ahead = NULL;
	slot->has_ahead = false;
	slot->starved = 0;
}

/* Whoever has waited longest for a buffer gets the next one. */
static bool may_take(const struct slot *slot)
{
	const struct io *io = slot->io;
	uint32_t ahead = 0;

	for (uint32_t i = 0; i < io->fresh && ahead < io->buffers_free_count; i++) {
		const struct slot *other = &io->slots[i];

		if (other->kind != SLOT_FREE && other != slot && other->starved > 0 &&
		    (slot->starved == 0 || other->starved < slot->starved))
			ahead++;
	}
	return ahead < io->buffers_free_count;
}

/* Or it gets in line. */
static bool has_buffer(struct slot *slot)
{
	if (may_take(slot))
		return true;
	if (slot->starved == 0) {
		fault_happened(FAULT_POOL_EMPTY);
		slot->starved = ++slot->io->starved_next;
	}
	return false;
}

/* Without a buffer nothing is received; now and then it only looks so. */
static bool may_receive(struct slot *slot)
{
	if (!has_buffer(slot))
		return false;
	if (fault_happens(FAULT_POOL_EMPTY)) {
		loop_retry(slot->io, world_now() + world_span(1000, 100000, 100 * MS_NS));
		return false;
	}
	return true;
}

bool receive_ready(struct slot *slot)
{
	if (!slot->armed)
		return false;
	if (slot->kind == SLOT_SCRIPT && !slot->has_ahead && !source_has(slot))
		loop_retry(slot->io, script_of(slot)->next_ns);
	if ((!slot->has_ahead && !source_has(slot)) || !may_receive(slot))
		return false;
	if (!slot->has_ahead && world_draw(4) < slot->io->early) {
		take_ahead(slot);
		return slot->has_ahead;
	}
	return true;
}

static void deliver(struct slot *slot, int result, bool drained, struct io_event *ret)
{
	const struct io *io = slot->io;

	ret->kind = IO_RECEIVED;
	ret->result = result;
	ret->drained = drained;
	if (result <= 0) {
		slot->ended = true;
		slot->armed = false;
	} else if (slot->accepted && io->process->is_server) {
		check_received(io->process, slot->connection, ret->data, (size_t)result);
	}
}

bool receive_event(struct slot *slot, struct io_event *ret)
{
	struct io *io = slot->io;
	uint32_t buffer = 0;
	int result;
	bool drained;

	if (!slot->armed || (!slot->has_ahead && !source_has(slot)) || !has_buffer(slot))
		return false;
	slot->starved = 0;
	uint8_t *data = buffer_take(io, &buffer);
	if (slot->has_ahead) {
		result = slot->ahead_result;
		drained = slot->ahead_drained;
		if (result > 0)
			memcpy(data, slot->ahead, (size_t)result);
		receive_forget(slot);
	} else {
		result = take(slot, data, io->config.buffer_size, &drained);
	}
	if (result <= 0) {
		io_buffer_return(io, buffer);
		if (result == -EAGAIN)
			return false;
	} else {
		io->filled[buffer] = (uint32_t)result;
		ret->data = data;
		ret->buffer = buffer;
	}
	deliver(slot, result, drained, ret);
	return true;
}
