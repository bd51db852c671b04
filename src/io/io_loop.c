/* The loop: slots, and turns. io_loop.h says how it works. */
#include "io/io_loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"
#include "clock/clock.h"

/* --- lists */

static struct slot *slot_at(const struct loop *loop, uint32_t handle)
{
	return &loop->slots[handle - 1];
}

/* The lists of turns are only taken from at the front. */
static void turn_add(struct loop *loop, struct slot_list *list, struct slot *slot)
{
	uint32_t handle = loop_handle(loop, slot);

	slot->in_turn = true;
	slot->turn_next = 0;
	if (list->last)
		slot_at(loop, list->last)->turn_next = handle;
	else
		list->first = handle;
	list->last = handle;
}

/* It stays `in_turn`: what becomes pending of it meanwhile is found when it has been looked at. */
static struct slot *turn_take(struct loop *loop, struct slot_list *list)
{
	struct slot *slot = slot_at(loop, list->first);

	list->first = slot->turn_next;
	if (!list->first)
		list->last = 0;
	return slot;
}

static struct slot_list *waiting_list(struct loop *loop, const struct slot *slot)
{
	return slot->kind == SLOT_LISTENER ? &loop->listeners : &loop->starved;
}

void loop_waiting_add(struct loop *loop, struct slot *slot)
{
	struct slot_list *list = waiting_list(loop, slot);
	uint32_t handle = loop_handle(loop, slot);

	must(!slot->is_waiting && !slot->has_buffer);
	slot->is_waiting = true;
	slot->waiting.previous = list->last;
	slot->waiting.next = 0;
	if (list->last)
		slot_at(loop, list->last)->waiting.next = handle;
	else
		list->first = handle;
	list->last = handle;
}

void loop_waiting_remove(struct loop *loop, struct slot *slot)
{
	struct slot_list *list = waiting_list(loop, slot);

	if (!slot->is_waiting)
		return;
	slot->is_waiting = false;
	if (slot->waiting.previous)
		slot_at(loop, slot->waiting.previous)->waiting.next = slot->waiting.next;
	else
		list->first = slot->waiting.next;
	if (slot->waiting.next)
		slot_at(loop, slot->waiting.next)->waiting.previous = slot->waiting.previous;
	else
		list->last = slot->waiting.previous;
}

/* --- the table */

io_socket loop_handle(const struct loop *loop, const struct slot *slot)
{
	return (io_socket)(slot - loop->slots) + 1;
}

struct slot *loop_slot(struct loop *loop, io_socket socket)
{
	must(socket > 0 && socket <= loop->slots_fresh);
	struct slot *slot = &loop->slots[socket - 1];
	must(slot->kind != SLOT_FREE && !slot->closing);
	return slot;
}

struct slot *loop_slot_take(struct loop *loop, enum slot_kind kind, int descriptor, void *owner)
{
	struct slot *slot;

	if (loop->slots_free == 0)
		return NULL;
	loop->slots_free--;
	if (loop->free_first) {
		slot = &loop->slots[loop->free_first - 1];
		loop->free_first = slot->free_next;
	} else {
		slot = &loop->slots[loop->slots_fresh++];
	}
	*slot = (struct slot){ .kind = (uint8_t)kind, .descriptor = descriptor, .owner = owner };
	return slot;
}

void loop_slot_free(struct loop *loop, struct slot *slot)
{
	bool was_full = loop->slots_free == 0;

	must(!slot->pending && !slot->later && !slot->is_waiting && !slot->has_buffer);
	slot->kind = SLOT_FREE;
	slot->free_next = loop->free_first;
	loop->free_first = loop_handle(loop, slot);
	loop->slots_free++;
	if (was_full)
		loop_accept_resume(loop);
}

void loop_later(struct loop *loop, struct slot *slot, unsigned pending)
{
	slot->later |= (uint8_t)pending;
	if (!slot->in_turn)
		turn_add(loop, &loop->later, slot);
}

/* --- what is watched, and what is told */

static uint16_t wanted(const struct loop *loop, const struct slot *slot)
{
	if (slot->closing || slot->kind == SLOT_FILE)
		return 0;
	if (slot->kind == SLOT_LISTENER)
		return slot->armed && loop_may_accept(loop) ? POLLIN : 0;
	if (slot->connecting)
		return POLLOUT;
	return (uint16_t)((slot->armed && !slot->is_waiting ? POLLIN : 0) |
			  (slot->blocked ? POLLOUT : 0));
}

void loop_watch(struct loop *loop, struct slot *slot)
{
	uint16_t events = wanted(loop, slot);

	if (events == slot->watched)
		return;
	int error = epoll_watch(loop, slot, events);
	slot->watched = error ? 0 : (uint8_t)events;
	if (!error)
		return;
	if (error == -EPERM && slot->kind == SLOT_ADOPTED) {
		slot->kind = SLOT_FILE;
		loop_later(loop, slot, PENDING_READABLE);
	} else if (slot->kind == SLOT_LISTENER) {
		loop_accept_pause(loop); /* no memory: after the pause it is tried again */
	} else {
		loop_broken(loop, slot, error);
	}
}

void loop_report(struct loop *loop, struct slot *slot, uint32_t events)
{
	if (slot->kind == SLOT_LISTENER) {
		loop_accept_report(loop, slot);
	} else if (slot->connecting) {
		loop_connect_report(loop, slot);
	} else {
		if (events & (POLLOUT | POLLERR | POLLHUP))
			loop_send_report(loop, slot);
		if (events & (POLLRDHUP | POLLPRI | POLLERR | POLLHUP))
			slot->hung = true;
		if (wanted(loop, slot) & POLLIN &&
		    events & (POLLIN | POLLRDHUP | POLLPRI | POLLERR | POLLHUP))
			loop_later(loop, slot, PENDING_READABLE);
	}
	loop_watch(loop, slot);
}

void loop_report_wake(struct loop *loop)
{
	struct io_job **last = &loop->jobs_done;
	uint64_t count;

	if (read(loop->wake, &count, sizeof(count)) < 0)
		return;
	while (*last)
		last = &(*last)->next;
	*last = io_worker_take(&loop->worker);
}

void loop_report_signal(struct loop *loop)
{
	loop->signals_ready = true;
}

void loop_report_written(struct loop *loop, struct io_write *write, int result)
{
	loop->writes--;
	write->result = result;
	write->next = NULL;
	*loop->written_last = write;
	loop->written_last = &write->next;
}

/* --- a turn */

static bool has_events(const struct loop *loop)
{
	return loop->later.first || loop->written || loop->jobs_done ||
	       loop->signals_ready;
}

static int poll_once(struct loop *loop, uint64_t deadline_ns)
{
	uint64_t sleep_ns = deadline_ns;

	if (deadline_ns != 0 && deadline_ns != NEVER_NS) {
		uint64_t now_ns = clock_monotonic_ns();
		sleep_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	}
	return loop->sleeper->wait(loop, sleep_ns);
}

int loop_wait(struct io *io, uint64_t deadline_ns)
{
	struct loop *loop = loop_of(io);

	must(!loop->now.first && !loop->written && !loop->jobs_done);
	do {
		uint64_t until =
			deadline_ns < loop->paused_until ? deadline_ns : loop->paused_until;
		bool is_busy = has_events(loop);
		/* Most turns only deliver what the one before has left: with that at hand, epoll is asked in every other one. */
		loop->is_asking = !is_busy || !loop->is_asking;
		int error = poll_once(loop, is_busy ? 0 : until);
		if (error)
			return error;
		if (loop->io.now_ns >= loop->paused_until) {
			loop->paused_until = NEVER_NS;
			loop_accept_resume(loop);
		}
	} while (!has_events(loop) && loop->io.now_ns < deadline_ns);
	loop->now = loop->later;
	loop->later = (struct slot_list){ 0 };
	return 0;
}

static bool next_signal(struct loop *loop, struct io_event *ret)
{
	struct signalfd_siginfo info;

	if (!loop->signals_ready)
		return false;
	if (read(loop->signals, &info, sizeof(info)) != sizeof(info)) {
		loop->signals_ready = false;
		return false;
	}
	ret->kind = IO_SIGNAL;
	ret->result = (int)info.ssi_signo;
	return true;
}

/* What the threads have done comes first: acknowledgements wait for it. */
static bool next_done(struct loop *loop, struct io_event *ret)
{
	if (loop->written) {
		ret->kind = IO_WRITTEN;
		ret->write = loop->written;
		ret->owner = loop->written->owner;
		ret->result = loop->written->result;
		loop->written = loop->written->next;
		if (!loop->written)
			loop->written_last = &loop->written;
		return true;
	}
	if (loop->jobs_done) {
		ret->kind = IO_JOB_DONE;
		ret->job = loop->jobs_done;
		ret->owner = loop->jobs_done->owner;
		ret->result = loop->jobs_done->result;
		loop->jobs_done = loop->jobs_done->next;
		return true;
	}
	return next_signal(loop, ret);
}

/* The first of what is pending of the slot that turns out to be an event. */
static bool next_of(struct loop *loop, struct slot *slot, struct io_event *ret)
{
	ret->owner = slot->owner;
	ret->socket = loop_handle(loop, slot);
	if (slot->pending & PENDING_CONNECTED) {
		slot->pending &= (uint8_t)~PENDING_CONNECTED;
		ret->kind = IO_CONNECTED;
		ret->result = slot->connected;
		if (slot->armed && !slot->ended)
			loop_watch(loop, slot);
		return true;
	}
	/* Before what is received: the answer to something comes after it was sent. */
	if (slot->pending & PENDING_SENT) {
		slot->pending &= (uint8_t)~PENDING_SENT;
		slot->sending = false;
		ret->kind = IO_SENT;
		ret->result = slot->send.result;
		return true;
	}
	if (slot->pending & PENDING_READABLE) {
		slot->pending &= (uint8_t)~PENDING_READABLE;
		if (slot->kind == SLOT_LISTENER ? loop_accept_next(loop, slot, ret)
						: loop_receive_next(loop, slot, ret))
			return true;
	}
	if (slot->pending & PENDING_CLOSED) {
		slot->pending = slot->later = 0;
		ret->kind = IO_CLOSED;
		loop_slot_free(loop, slot);
		return true;
	}
	return false;
}

bool loop_next(struct io *io, struct io_event *ret)
{
	struct loop *loop = loop_of(io);
	struct io_event event = { .result = 0 };
	bool found = next_done(loop, &event);

	while (!found && loop->now.first) {
		struct slot *slot = turn_take(loop, &loop->now);
		if (!slot->pending) {
			slot->pending = slot->later;
			slot->later = 0;
		}
		found = next_of(loop, slot, &event);
		slot->in_turn = false;
		if (slot->pending || slot->later)
			turn_add(loop, slot->pending ? &loop->now : &loop->later, slot);
	}
	if (found)
		*ret = event;
	return found;
}

/* --- the rest of the door */

void loop_set_owner(struct io *io, io_socket socket, void *owner)
{
	loop_slot(loop_of(io), socket)->owner = owner;
}

void loop_tune(struct io *io, io_socket socket, enum io_tuning what, int value)
{
	io_socket_tune(loop_slot(loop_of(io), socket)->descriptor, what, value);
}

uint32_t loop_buffers_free(const struct io *io)
{
	return ((const struct loop *)io)->pool.free_count;
}

void loop_write(struct io *io, struct io_write *write)
{
	loop_of(io)->writes++;
	loop_of(io)->sleeper->write(loop_of(io), write);
}

unsigned loop_writes_max(const struct io *io)
{
	return ((const struct loop *)io)->sleeper->writes_max;
}

void loop_job(struct io *io, struct io_job *job)
{
	io_worker_give(&loop_of(io)->worker, job);
}

int loop_signals(struct io *io)
{
	struct loop *loop = loop_of(io);
	sigset_t ours;

	if (loop->signals >= 0)
		return 0;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	loop->signals = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signals < 0)
		return -errno;
	int error = epoll_watch_own(loop, loop->signals);
	if (error)
		return error;
	/* The threads of this room block all signals anyway. */
	error = pthread_sigmask(SIG_BLOCK, &ours, &loop->signals_before);
	loop->signals_restore = error == 0;
	return -error;
}

static void close_if(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
}

void loop_destroy(struct io *io)
{
	struct loop *loop = loop_of(io);

	io_worker_deinit(&loop->worker);
	for (uint32_t i = 0; i < loop->slots_fresh; i++)
		if (loop->slots[i].kind != SLOT_FREE && !loop->slots[i].closing)
			loop_close(io, i + 1, false);
	loop->sleeper->shut(loop);
	epoll_shut(loop);
	close_if(loop->signals);
	if (loop->signals_restore)
		pthread_sigmask(SIG_SETMASK, &loop->signals_before, NULL);
	close_if(loop->spare);
	close_if(loop->wake);
	io_pool_deinit(&loop->pool);
	free(loop->slots);
	free(loop);
}

static int set_up(struct loop *loop, const struct io_config *config)
{
	int error = epoll_open(loop);

	if (!error && loop->wake < 0)
		error = -EMFILE;
	if (!error)
		error = epoll_watch_own(loop, loop->wake);
	if (!error)
		error = loop->sleeper->open(loop);
	if (!error && !loop_spare_take(loop))
		error = -errno;
	if (!error)
		error = io_pool_init(&loop->pool, config->buffer_count, config->buffer_size);
	if (error)
		return error;
	loop->slots = calloc(config->sockets_max, sizeof(*loop->slots));
	return loop->slots ? 0 : -ENOMEM;
}

int loop_create(const struct sleeper *sleeper, const struct io_config *config, struct io **ret_io)
{
	struct loop *loop = calloc(1, sleeper->size);

	if (!loop)
		return -ENOMEM;
	loop->io = (struct io){ .backend = sleeper->backend, .now_ns = clock_monotonic_ns() };
	loop->sleeper = sleeper;
	loop->signals = loop->spare = loop->epoll = -1;
	loop->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	io_worker_init(&loop->worker, "roger-jobs", true, loop->wake);
	loop->slots_max = loop->slots_free = config->sockets_max;
	loop->paused_until = NEVER_NS;
	loop->written_last = &loop->written;
	int error = set_up(loop, config);
	if (error) {
		loop_destroy(&loop->io);
		return error;
	}
	*ret_io = &loop->io;
	return 0;
}
