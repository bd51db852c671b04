/* The loop. sim_io_inside.h says how it works. */
#include "sim_io.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "check.h"
#include "clock/clock.h"
#include "fault.h"
#include "sim_io_inside.h"

static struct io *all;
static uint64_t completions;

uint64_t sim_io_completions(void)
{
	return completions;
}

void sim_io_begin(void)
{
	must(all == NULL);
	completions = 0;
}

void sim_io_end(void)
{
	must(all == NULL);
}

/* Of much data samples do: a client hands over its whole window again and again. */
uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t step = size > 8192 ? 8 * (size / 8192) : 8;
	uint64_t lanes[4] = { 0 }; /* the processor multiplies them all at once */

	for (; step == 8 && size >= 32; size -= 32, bytes += 32)
		for (unsigned k = 0; k < 4; k++) {
			uint64_t word;

			memcpy(&word, bytes + 8 * k, 8);
			lanes[k] = (lanes[k] ^ word) * 0x9e3779b97f4a7c15;
			lanes[k] ^= lanes[k] >> 32;
		}
	for (unsigned k = 0; k < 4; k++)
		hash = (hash ^ lanes[k]) * (lanes[k] | 1);
	for (; size >= step; size -= step, bytes += step) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
	}
	for (; size > 0; size--, bytes++)
		hash = (hash ^ *bytes) * 0x100000001b3;
	return hash;
}

uint64_t hash_lent(uint64_t hash, const void *data, size_t size)
{
	enum { END_SIZE = 2048 };

	if (size <= 2 * END_SIZE)
		return hash_bytes(hash, data, size);
	hash = hash_bytes(hash, data, END_SIZE);
	return hash_bytes(hash, (const uint8_t *)data + size - END_SIZE, END_SIZE);
}

/* --- slots */

io_socket loop_handle(const struct slot *slot)
{
	return (io_socket)(slot - slot->io->slots) + 1;
}

struct slot *loop_slot(struct io *io, io_socket socket)
{
	if (process_current() != io->process)
		world_fail("%s uses a loop that is not its own", io->process->name);
	if (socket == 0 || socket > io->fresh || io->slots[socket - 1].kind == SLOT_FREE ||
	    io->slots[socket - 1].closing)
		world_fail("%s uses socket %u, which is closed", io->process->name,
			   (unsigned)socket);
	return &io->slots[socket - 1];
}

struct slot *loop_slot_take(struct io *io, enum slot_kind kind, void *owner)
{
	struct slot *slot;

	if (io->used == io->config.sockets_max)
		return NULL;
	io->used++;
	if (io->free_first > 0) {
		slot = &io->slots[io->free_first - 1];
		io->free_first = slot->free_next;
		fault_happened(FAULT_HANDLE_REUSED);
	} else {
		slot = &io->slots[io->fresh++];
	}
	*slot = (struct slot){ .io = io, .kind = kind, .owner = owner };
	return slot;
}

void loop_slot_free(struct slot *slot)
{
	struct io *io = slot->io;

	slot->kind = SLOT_FREE;
	slot->free_next = io->free_first;
	io->free_first = loop_handle(slot);
	io->used--;
}

/* --- loops */

/* The same for all: whoever asks a small loop first believes it, and how little memory is enough goes by it. */
unsigned sim_io_writes_max(void)
{
	static const char what[] = "writes in flight";

	return 1 + (unsigned)(hash_bytes(world_seed(), what, sizeof(what)) >> 13 & 3);
}

int io_create(const struct io_config *config, struct io **ret_io)
{
	struct process *process = process_current();

	must(process != NULL && config->sockets_max > 0 && config->buffer_count > 0 &&
	     config->buffer_size > 0);
	if (config->backend != NULL && strcmp(config->backend, "auto") != 0 &&
	    strcmp(config->backend, "sim") != 0 && strcmp(config->backend, "epoll") != 0)
		return -ENOSYS;
	struct io *io = sim_alloc(sizeof(*io));
	io->process = process;
	io->config = *config;
	io->slots = sim_alloc(config->sockets_max * sizeof(*io->slots));
	int error = pool_init(io);
	if (error) {
		sim_free(io->slots);
		sim_free(io);
		return error;
	}
	io->now_ns = clock_monotonic_ns();
	io->retry_ns = NEVER_NS;
	io->early = (unsigned)world_draw(5);
	io->deferred = (unsigned)world_draw(5);
	io->gather_ns = world_draw(2) == 0 ? 0 : world_between(1, 200000);
	io->writes_max = sim_io_writes_max();
	io->next = all;
	all = io;
	*ret_io = io;
	return 0;
}

static void loop_free(struct io *io)
{
	struct io **at = &all;

	while (*at != io)
		at = &(*at)->next;
	*at = io->next;
	pool_deinit(io);
	sim_free(io->entries);
	sim_free(io->slots);
	sim_free(io);
}

static void drop_all(struct io *io, enum slot_end how)
{
	for (uint32_t i = 0; i < io->fresh; i++)
		if (io->slots[i].kind != SLOT_FREE)
			slot_drop(&io->slots[i], how);
}

void io_destroy(struct io *io)
{
	if (io == NULL)
		return;
	work_finish(io);
	drop_all(io, SLOT_END_CLOSED);
	loop_free(io);
}

void sim_io_process_ended(struct process *process, enum process_death how)
{
	struct io *next;

	for (struct io *io = all; io != NULL; io = next) {
		next = io->next;
		if (io->process != process)
			continue;
		work_abandon(io);
		drop_all(io, how == DEATH_POWER ? SLOT_END_VANISHED : SLOT_END_ABANDONED);
		/* The process's memory goes by itself. */
		io->token = NULL;
		loop_free(io);
	}
}

const char *io_backend(const struct io *io)
{
	(void)io;
	return "sim";
}

uint64_t io_now(const struct io *io)
{
	return io->now_ns;
}

/* --- waking */

void loop_poke(struct io *io)
{
	if (io->parked)
		fiber_wake(io->loop, world_now() + world_draw(20000));
}

void loop_retry(struct io *io, uint64_t at_ns)
{
	if (at_ns < io->retry_ns)
		io->retry_ns = at_ns;
}

void sim_io_signalled(struct process *process)
{
	for (struct io *io = all; io != NULL; io = io->next)
		if (io->process == process && io->signals)
			loop_poke(io);
}

static bool has_listener(const struct io *io)
{
	for (uint32_t i = 0; i < io->fresh; i++)
		if (io->slots[i].kind == SLOT_LISTENER && !io->slots[i].closing)
			return true;
	return false;
}

bool sim_io_is_listening(const struct process *process)
{
	for (const struct io *io = all; io != NULL; io = io->next)
		if (io->process == process && has_listener(io))
			return true;
	return false;
}

int io_signals(struct io *io)
{
	io->signals = true;
	return 0;
}

/* --- a turn */

static void entry_add(struct io *io, struct entry entry)
{
	if (io->entry_count == io->entry_room) {
		io->entry_room = io->entry_room > 0 ? 2 * io->entry_room : 16;
		io->entries = sim_resize(io->entries, io->entry_room * sizeof(*io->entries));
	}
	io->entries[io->entry_count++] = entry;
}

static void reorder(struct io *io)
{
	if (io->entry_count < 2 || !fault_happens(FAULT_COMPLETION_REORDERED))
		return;
	for (size_t i = io->entry_count - 1; i > 0; i--) {
		size_t j = (size_t)world_draw(i + 1);
		struct entry moved = io->entries[i];

		io->entries[i] = io->entries[j];
		io->entries[j] = moved;
	}
	/* The rest comes with the next turn. */
	if (world_draw(2) == 0)
		io->entry_count = (size_t)world_between(1, io->entry_count);
}

static bool gather(struct io *io)
{
	io->entry_count = io->entry_at = 0;
	io->retry_ns = NEVER_NS;
	for (struct flight *flight = io->flights; flight != NULL; flight = flight->next)
		if (flight->done)
			entry_add(io, (struct entry){ .kind = ENTRY_WRITE, .flight = flight });
	if (io->jobs_done != NULL)
		entry_add(io, (struct entry){ .kind = ENTRY_JOB });
	if (io->signals && io->process->signal_count > 0)
		entry_add(io, (struct entry){ .kind = ENTRY_SIGNAL });
	for (uint32_t i = 0; i < io->fresh; i++) {
		unsigned bits = io->slots[i].kind != SLOT_FREE ? slot_ready(&io->slots[i]) : 0;

		if (bits != 0)
			entry_add(io, (struct entry){ .kind = ENTRY_SLOT,
						      .slot = &io->slots[i],
						      .bits = bits });
	}
	return io->entry_count > 0;
}

static void park_until(struct io *io, uint64_t at_ns)
{
	io->loop = fiber_current();
	io->parked = true;
	if (at_ns != NEVER_NS)
		fiber_wake(io->loop, at_ns);
	fiber_park();
	io->parked = false;
}

/* The deadline in true time. */
static uint64_t true_deadline(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_monotonic_ns();

	if (deadline_ns == NEVER_NS)
		return NEVER_NS;
	return world_now() + (deadline_ns > now_ns ? deadline_ns - now_ns : 0);
}

int io_wait(struct io *io, uint64_t deadline_ns)
{
	uint64_t until_ns = true_deadline(deadline_ns);

	if (process_current() != io->process)
		world_fail("%s waits on a loop that is not its own", io->process->name);
	if (io->entry_at < io->entry_count)
		world_fail("%s waits with events not taken", io->process->name);
	process_turn(io->process, has_listener(io));
	/* A turn takes time, so that nobody turns for ever at the same instant. */
	fiber_sleep(world_between(200, 3000));
	while (!gather(io) && world_now() < until_ns)
		park_until(io, until_ns < io->retry_ns ? until_ns : io->retry_ns);
	if (io->entry_count > 0 && io->gather_ns > 0 && deadline_ns != 0 && world_draw(4) == 0) {
		fiber_sleep(world_draw(io->gather_ns));
		gather(io);
	}
	reorder(io);
	io->now_ns = clock_monotonic_ns();
	return 0;
}

static void signal_event(struct io *io, struct io_event *ret)
{
	struct process *process = io->process;

	ret->kind = IO_SIGNAL;
	ret->result = process->signals[0];
	process->signal_count--;
	memmove(process->signals, process->signals + 1,
		process->signal_count * sizeof(process->signals[0]));
}

/* Of the bits of a slot, connecting comes first and closing last; the order of the others is open. */
static unsigned next_bit(unsigned bits)
{
	if (bits & READY_CONNECTED)
		return READY_CONNECTED;
	if ((bits & READY_SENT) && (bits & READY_RECEIVED))
		return world_draw(2) == 0 ? READY_SENT : READY_RECEIVED;
	return bits & (~bits + 1);
}

static bool entry_event(struct io *io, struct entry *entry, struct io_event *ret)
{
	switch (entry->kind) {
	case ENTRY_WRITE: flight_event(entry->flight, ret); return true;
	case ENTRY_JOB: job_event(io, ret); return true;
	case ENTRY_SIGNAL: signal_event(io, ret); return true;
	case ENTRY_SLOT: break;
	}
	while (entry->bits != 0) {
		unsigned bit = next_bit(entry->bits);
		bool more = false;
		bool found = slot_event(entry->slot, bit, ret, &more);

		if (!more)
			entry->bits &= ~bit;
		if (found)
			return true;
	}
	return false;
}

bool io_next(struct io *io, struct io_event *ret)
{
	struct io_event event = { .result = 0 };

	while (io->entry_at < io->entry_count) {
		struct entry *entry = &io->entries[io->entry_at];
		bool found = entry_event(io, entry, &event);

		if (entry->bits == 0)
			io->entry_at++;
		if (!found)
			continue;
		completions++;
		world_trace("event", (uint64_t)io->process->number << 32 | event.socket,
			    (uint64_t)event.kind << 32 | (uint32_t)event.result);
		*ret = event;
		return true;
	}
	return false;
}
