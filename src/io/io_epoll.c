/* The epoll backend: the loop. io_epoll.h says how it works. */
#include "io/io_epoll.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"
#include "clock/clock.h"

/* Taken from epoll at once; the rest come with the next turn, in order. */
enum { REPORTS_MAX = 256 };

/* What epoll gives back with a report: a handle, or one of these. */
enum { REPORT_WAKE = 0 };
#define REPORT_SIGNAL UINT64_MAX

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

io_socket eloop_handle(const struct eloop *loop, const struct slot *slot)
{
	return (io_socket)(slot - loop->slots) + 1;
}

struct slot *eloop_slot(struct eloop *loop, io_socket socket)
{
	must(socket > 0 && socket <= loop->slots_fresh);
	struct slot *slot = &loop->slots[socket - 1];
	must(slot->kind != SLOT_FREE && !slot->closing);
	return slot;
}

struct slot *eloop_slot_take(struct eloop *loop, enum slot_kind kind, int descriptor, void *owner)
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

void eloop_slot_free(struct eloop *loop, struct slot *slot)
{
	bool was_full = loop->slots_free == 0;

	must(!slot->turn.next && !slot->waiting.next && !slot->buffer);
	slot->kind = SLOT_FREE;
	slot->free_next = loop->free_first;
	loop->free_first = eloop_handle(loop, slot);
	loop->slots_free++;
	if (was_full)
		eloop_accept_resume(loop);
}

void eloop_later(struct eloop *loop, struct slot *slot, unsigned pending)
{
	slot->pending |= (uint8_t)pending;
	if (!slot->turn.next)
		link_add(&loop->later, &slot->turn);
}

/* --- what epoll watches */

static uint32_t wanted(const struct eloop *loop, const struct slot *slot)
{
	if (slot->closing || slot->kind == SLOT_FILE)
		return 0;
	if (slot->kind == SLOT_LISTENER)
		return slot->armed && eloop_may_accept(loop) ? EPOLLIN : 0;
	if (slot->connecting)
		return EPOLLOUT;
	return (slot->armed && !slot->waiting.next ? EPOLLIN : 0) |
	       (slot->send.blocked ? EPOLLOUT : 0);
}

void eloop_watch(struct eloop *loop, struct slot *slot)
{
	struct epoll_event event = { .events = wanted(loop, slot),
				     .data.u64 = eloop_handle(loop, slot) };

	if (event.events == slot->watched)
		return;
	/* Not even registered for nothing: a hang-up would be reported all the same, again and again. */
	int what = !slot->watched ? EPOLL_CTL_ADD : event.events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
	if (epoll_ctl(loop->epoll, what, slot->descriptor, &event) == 0 || what == EPOLL_CTL_DEL) {
		slot->watched = event.events;
		return;
	}
	slot->watched = 0;
	if (errno == EPERM && slot->kind == SLOT_ADOPTED) {
		slot->kind = SLOT_FILE;
		eloop_later(loop, slot, PENDING_READABLE);
	} else if (slot->kind == SLOT_LISTENER) {
		eloop_accept_pause(loop); /* no memory: after the pause it is tried again */
	} else {
		eloop_broken(loop, slot, -errno);
	}
}

static void report(struct eloop *loop, struct slot *slot, uint32_t events)
{
	if (slot->kind == SLOT_LISTENER) {
		eloop_accept_report(loop, slot);
	} else if (slot->connecting) {
		eloop_connect_report(loop, slot);
	} else {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			eloop_send_report(loop, slot);
		if (wanted(loop, slot) & EPOLLIN && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			eloop_later(loop, slot, PENDING_READABLE);
	}
	eloop_watch(loop, slot);
}

static void report_wake(struct eloop *loop)
{
	uint64_t count;

	if (read(loop->wake, &count, sizeof(count)) < 0)
		return;
	must(!loop->written && !loop->jobs_done);
	loop->written = io_writer_take(&loop->writer);
	loop->jobs_done = io_worker_take(&loop->worker);
}

/* --- a turn */

static bool has_events(const struct eloop *loop)
{
	return !link_is_empty(&loop->later) || loop->written || loop->jobs_done ||
	       loop->signals_ready;
}

static int wait_ms(struct eloop *loop, struct epoll_event *events, uint64_t sleep_ns)
{
	uint64_t sleep_ms = sleep_ns / MS_NS + (sleep_ns % MS_NS != 0);
	int timeout = sleep_ns == NEVER_NS ? -1 : sleep_ms > INT32_MAX ? INT32_MAX : (int)sleep_ms;

	return epoll_wait(loop->epoll, events, REPORTS_MAX, timeout);
}

/* Sleep at most so long; NEVER_NS: without limit. */
static int wait_ns(struct eloop *loop, struct epoll_event *events, uint64_t sleep_ns)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
	if (!loop->coarse && sleep_ns != 0) {
		struct timespec sleep = { .tv_sec = (time_t)(sleep_ns / SECOND_NS),
					  .tv_nsec = (long)(sleep_ns % SECOND_NS) };
		int count = epoll_pwait2(loop->epoll, events, REPORTS_MAX,
					 sleep_ns == NEVER_NS ? NULL : &sleep, NULL);
		/* Before Linux 5.11, or behind a filter that does not know it. */
		if (count >= 0 || (errno != ENOSYS && errno != EPERM))
			return count;
		loop->coarse = true;
	}
#endif
	return wait_ms(loop, events, sleep_ns);
}

static int poll_once(struct eloop *loop, uint64_t deadline_ns)
{
	struct epoll_event events[REPORTS_MAX];
	uint64_t sleep_ns = deadline_ns;

	if (deadline_ns != 0 && deadline_ns != NEVER_NS) {
		uint64_t now_ns = clock_monotonic_ns();
		sleep_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	}
	int count = wait_ns(loop, events, sleep_ns);
	if (count < 0 && errno != EINTR)
		return -errno;
	loop->io.now_ns = clock_monotonic_ns();
	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 == REPORT_WAKE)
			report_wake(loop);
		else if (events[i].data.u64 == REPORT_SIGNAL)
			loop->signals_ready = true;
		else
			report(loop, &loop->slots[events[i].data.u64 - 1], events[i].events);
	}
	return 0;
}

static int eloop_wait(struct io *io, uint64_t deadline_ns)
{
	struct eloop *loop = eloop_of(io);

	must(link_is_empty(&loop->now) && !loop->written && !loop->jobs_done);
	do {
		uint64_t until =
			deadline_ns < loop->paused_until ? deadline_ns : loop->paused_until;
		int error = poll_once(loop, has_events(loop) ? 0 : until);
		if (error)
			return error;
		if (loop->io.now_ns >= loop->paused_until) {
			loop->paused_until = NEVER_NS;
			eloop_accept_resume(loop);
		}
	} while (!has_events(loop) && loop->io.now_ns < deadline_ns);
	link_move_all(&loop->later, &loop->now);
	return 0;
}

static bool next_signal(struct eloop *loop, struct io_event *ret)
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
static bool next_done(struct eloop *loop, struct io_event *ret)
{
	if (loop->written) {
		ret->kind = IO_WRITTEN;
		ret->write = loop->written;
		ret->owner = loop->written->owner;
		ret->result = loop->written->result;
		loop->written = NULL;
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
static bool next_of(struct eloop *loop, struct slot *slot, struct io_event *ret)
{
	ret->owner = slot->owner;
	ret->socket = eloop_handle(loop, slot);
	if (slot->pending & PENDING_CONNECTED) {
		slot->pending &= (uint8_t)~PENDING_CONNECTED;
		ret->kind = IO_CONNECTED;
		ret->result = slot->connected;
		if (slot->armed && !slot->ended)
			eloop_watch(loop, slot);
		return true;
	}
	if (slot->pending & PENDING_READABLE) {
		slot->pending &= (uint8_t)~PENDING_READABLE;
		if (slot->kind == SLOT_LISTENER ? eloop_accept_next(loop, slot, ret)
						: eloop_receive_next(loop, slot, ret))
			return true;
	}
	if (slot->pending & PENDING_SENT) {
		slot->pending &= (uint8_t)~PENDING_SENT;
		slot->send.busy = false;
		ret->kind = IO_SENT;
		ret->result = slot->send.result;
		return true;
	}
	if (slot->pending & PENDING_CLOSED) {
		slot->pending = 0;
		ret->kind = IO_CLOSED;
		eloop_slot_free(loop, slot);
		return true;
	}
	return false;
}

static bool eloop_next(struct io *io, struct io_event *ret)
{
	struct eloop *loop = eloop_of(io);
	struct io_event event = { .result = 0 };
	bool found = next_done(loop, &event);

	while (!found && !link_is_empty(&loop->now)) {
		struct slot *slot = LINK_SLOT(loop->now.next, turn);
		link_remove(&slot->turn);
		found = next_of(loop, slot, &event);
		if (slot->pending && !slot->turn.next)
			link_add(&loop->now, &slot->turn);
	}
	if (found)
		*ret = event;
	return found;
}

/* --- the rest of the door */

static void eloop_set_owner(struct io *io, io_socket socket, void *owner)
{
	eloop_slot(eloop_of(io), socket)->owner = owner;
}

static void eloop_tune(struct io *io, io_socket socket, enum io_tuning what, int value)
{
	io_socket_tune(eloop_slot(eloop_of(io), socket)->descriptor, what, value);
}

static uint32_t eloop_buffers_free(const struct io *io)
{
	return ((const struct eloop *)io)->pool.free_count;
}

static void eloop_write(struct io *io, struct io_write *write)
{
	struct eloop *loop = eloop_of(io);

	must(!loop->written);
	io_writer_give(&loop->writer, write);
}

static unsigned eloop_writes_max(const struct io *io)
{
	(void)io;
	return 1;
}

static void eloop_job(struct io *io, struct io_job *job)
{
	io_worker_give(&eloop_of(io)->worker, job);
}

static int eloop_signals(struct io *io)
{
	struct eloop *loop = eloop_of(io);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = REPORT_SIGNAL };
	sigset_t ours;

	if (loop->signals >= 0)
		return 0;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	loop->signals = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signals < 0)
		return -errno;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->signals, &event) < 0)
		return -errno;
	/* The threads of this room block all signals anyway. */
	int error = pthread_sigmask(SIG_BLOCK, &ours, &loop->signals_before);
	loop->signals_restore = error == 0;
	return -error;
}

static void close_if(int descriptor)
{
	if (descriptor >= 0)
		close(descriptor);
}

static void eloop_destroy(struct io *io)
{
	struct eloop *loop = eloop_of(io);

	io_writer_deinit(&loop->writer);
	io_worker_deinit(&loop->worker);
	for (uint32_t i = 0; i < loop->slots_fresh; i++)
		if (loop->slots[i].kind != SLOT_FREE && !loop->slots[i].closing)
			eloop_close(io, i + 1, false);
	close_if(loop->signals);
	if (loop->signals_restore)
		pthread_sigmask(SIG_SETMASK, &loop->signals_before, NULL);
	close_if(loop->spare);
	close_if(loop->wake);
	close_if(loop->epoll);
	io_pool_deinit(&loop->pool);
	free(loop->slots);
	free(loop);
}

static int eloop_create(const struct io_config *config, struct io **ret_io)
{
	struct epoll_event wake = { .events = EPOLLIN, .data.u64 = REPORT_WAKE };
	struct eloop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->io = (struct io){ .backend = &io_epoll_backend, .now_ns = clock_monotonic_ns() };
	loop->signals = loop->spare = -1;
	loop->slots_max = loop->slots_free = config->sockets_max;
	loop->paused_until = NEVER_NS;
	link_init(&loop->now);
	link_init(&loop->later);
	link_init(&loop->starved);
	link_init(&loop->listeners);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	io_writer_init(&loop->writer, loop->wake);
	io_worker_init(&loop->worker, "roger-jobs", true, loop->wake);

	int error = 0;
	if (loop->epoll < 0 || loop->wake < 0 || !eloop_spare_take(loop) ||
	    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &wake) < 0)
		error = -errno;
	if (!error)
		error = io_pool_init(&loop->pool, config->buffer_count, config->buffer_size);
	if (!error) {
		loop->slots = calloc(config->sockets_max, sizeof(*loop->slots));
		error = loop->slots ? 0 : -ENOMEM;
	}
	if (error) {
		eloop_destroy(&loop->io);
		return error;
	}
	*ret_io = &loop->io;
	return 0;
}

const struct io_backend io_epoll_backend = {
	.name = "epoll",
	.create = eloop_create,
	.destroy = eloop_destroy,
	.wait = eloop_wait,
	.next = eloop_next,
	.listen = eloop_listen,
	.accept = eloop_accept,
	.connect = eloop_connect,
	.adopt = eloop_adopt,
	.set_owner = eloop_set_owner,
	.tune = eloop_tune,
	.receive = eloop_receive,
	.buffer_return = eloop_buffer_return,
	.buffers_free = eloop_buffers_free,
	.readable = eloop_readable,
	.send = eloop_send,
	.shutdown = eloop_shutdown,
	.close = eloop_close,
	.write = eloop_write,
	.writes_max = eloop_writes_max,
	.job = eloop_job,
	.signals = eloop_signals,
};
