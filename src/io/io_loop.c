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

void link_init(struct link *head)
{
	head->previous = head->next = head;
}

bool link_is_empty(const struct link *head)
{
	return head->next == head;
}

void link_add(struct link *head, struct link *link)
{
	must(link->next == NULL);
	link->previous = head->previous;
	link->next = head;
	head->previous->next = link;
	head->previous = link;
}

void link_remove(struct link *link)
{
	if (!link->next)
		return;
	link->previous->next = link->next;
	link->next->previous = link->previous;
	link->previous = link->next = NULL;
}

/* All of `from` to the empty `to`. */
static void link_move_all(struct link *from, struct link *to)
{
	must(link_is_empty(to));
	if (link_is_empty(from))
		return;
	*to = *from;
	to->next->previous = to;
	to->previous->next = to;
	link_init(from);
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

	must(!slot->turn.next && !slot->waiting.next && !slot->buffer);
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
	if (!slot->turn.next)
		link_add(&loop->later, &slot->turn);
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
	return (uint16_t)((slot->armed && !slot->waiting.next ? POLLIN : 0) |
			  (slot->send.blocked ? POLLOUT : 0));
}

void loop_watch(struct loop *loop, struct slot *slot)
{
	uint16_t events = wanted(loop, slot);

	if (events == slot->watched)
		return;
	int error = epoll_watch(loop, slot, events);
	slot->watched = error ? 0 : events;
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
		if (events & (POLLRDHUP | POLLERR | POLLHUP))
			slot->hung = true;
		if (wanted(loop, slot) & POLLIN &&
		    events & (POLLIN | POLLRDHUP | POLLERR | POLLHUP))
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
	write->result = result;
	write->next = NULL;
	*loop->written_last = write;
	loop->written_last = &write->next;
}

/* --- a turn */

static bool has_events(const struct loop *loop)
{
	return !link_is_empty(&loop->later) || loop->written || loop->jobs_done ||
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

	must(link_is_empty(&loop->now) && !loop->written && !loop->jobs_done);
	do {
		uint64_t until =
			deadline_ns < loop->paused_until ? deadline_ns : loop->paused_until;
		int error = poll_once(loop, has_events(loop) ? 0 : until);
		if (error)
			return error;
		if (loop->io.now_ns >= loop->paused_until) {
			loop->paused_until = NEVER_NS;
			loop_accept_resume(loop);
		}
	} while (!has_events(loop) && loop->io.now_ns < deadline_ns);
	link_move_all(&loop->later, &loop->now);
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
		slot->send.busy = false;
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

	while (!found && !link_is_empty(&loop->now)) {
		struct slot *slot = LINK_SLOT(loop->now.next, turn);
		link_remove(&slot->turn);
		if (!slot->pending) {
			slot->pending = slot->later;
			slot->later = 0;
		}
		found = next_of(loop, slot, &event);
		link_remove(&slot->turn);
		if (slot->pending || slot->later)
			link_add(slot->pending ? &loop->now : &loop->later, &slot->turn);
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
	link_init(&loop->now);
	link_init(&loop->later);
	link_init(&loop->starved);
	link_init(&loop->listeners);
	int error = set_up(loop, config);
	if (error) {
		loop_destroy(&loop->io);
		return error;
	}
	*ret_io = &loop->io;
	return 0;
}
