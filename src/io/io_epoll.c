/* A poller by epoll; the journal's writes on a thread of their own, one at a time. epoll tells by level: what nobody wants to hear of is
 * taken out of its set when it is first told, not when it is disarmed, so that parking a session for a moment costs no system call. */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"
#include "clock/clock.h"
#include "io/io_loop.h"
#include "io/io_writer.h"

/* Taken from epoll at once; the rest come with the next turn, in order. */
enum { REPORTS_MAX = 256 };

/* What epoll gives back with a report: a handle, or one of these. */
enum { REPORT_WAKE = 0 };
#define REPORT_SIGNAL UINT64_MAX

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
		       EPOLLHUP == POLLHUP,
	       "epoll's events are poll's");

struct epoll_loop {
	struct loop loop;
	int epoll;
	bool coarse; /* no epoll_pwait2: milliseconds */
	struct io_writer writer;
};

static struct epoll_loop *of(struct loop *loop)
{
	return (struct epoll_loop *)loop;
}

static int open_epoll(struct loop *loop)
{
	of(loop)->epoll = epoll_create1(EPOLL_CLOEXEC);
	return of(loop)->epoll < 0 ? -errno : 0;
}

static void shut(struct loop *loop)
{
	if (of(loop)->writer.worker.name)
		io_writer_deinit(&of(loop)->writer);
	if (of(loop)->epoll >= 0)
		close(of(loop)->epoll);
}

/* --- watching */

static int watch(struct loop *loop, struct slot *slot, uint16_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = loop_handle(loop, slot) };

	/* Not even registered for nothing: a hang-up would be reported all the same, again and again. */
	int what = !slot->watched ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
	if (epoll_ctl(of(loop)->epoll, what, slot->descriptor, &event) == 0 ||
	    what == EPOLL_CTL_DEL)
		return 0;
	return -errno;
}

static bool forget(struct loop *loop, struct slot *slot)
{
	/* What is ours is closed now, and so is out of the set. */
	if (slot->kind == SLOT_ADOPTED && slot->watched)
		(void)watch(loop, slot, 0);
	return true;
}

static int watch_own(struct loop *loop, int descriptor)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = REPORT_SIGNAL };

	if (descriptor == loop->wake) {
		event.data.u64 = REPORT_WAKE;
		io_writer_init(&of(loop)->writer, loop->wake);
	}
	return epoll_ctl(of(loop)->epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

/* --- for the ring */

int epoll_set_create(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	return set < 0 ? -errno : set;
}

int epoll_set_add(int set, int listener)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(set, EPOLL_CTL_ADD, listener, &event) < 0 ? -errno : 0;
}

/* --- waiting */

static int wait_ms(struct epoll_loop *loop, struct epoll_event *events, uint64_t sleep_ns)
{
	uint64_t sleep_ms = sleep_ns / MS_NS + (sleep_ns % MS_NS != 0);
	int timeout = sleep_ns == NEVER_NS ? -1 : sleep_ms > INT32_MAX ? INT32_MAX : (int)sleep_ms;

	return epoll_wait(loop->epoll, events, REPORTS_MAX, timeout);
}

static int wait_ns(struct epoll_loop *loop, struct epoll_event *events, uint64_t sleep_ns)
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

static void report_wake(struct loop *loop)
{
	loop_report_wake(loop);
	struct io_write *write = io_writer_take(&of(loop)->writer);
	if (write)
		loop_report_written(loop, write, write->result);
}

static int wait_epoll(struct loop *loop, uint64_t sleep_ns)
{
	struct epoll_event events[REPORTS_MAX];
	int count = wait_ns(of(loop), events, sleep_ns);

	if (count < 0 && errno != EINTR)
		return -errno;
	loop->io.now_ns = clock_monotonic_ns();
	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 == REPORT_WAKE)
			report_wake(loop);
		else if (events[i].data.u64 == REPORT_SIGNAL)
			loop_report_signal(loop);
		else
			loop_report(loop, &loop->slots[events[i].data.u64 - 1], events[i].events);
	}
	return 0;
}

/* --- writing */

static void write_epoll(struct loop *loop, struct io_write *write)
{
	io_writer_give(&of(loop)->writer, write);
}

static const struct poller poller = {
	.size = sizeof(struct epoll_loop),
	.writes_max = 1,
	.backend = &io_epoll_backend,
	.open = open_epoll,
	.shut = shut,
	.wait = wait_epoll,
	.watch = watch,
	.forget = forget,
	.watch_own = watch_own,
	.write = write_epoll,
};

static int create(const struct io_config *config, struct io **ret_io)
{
	return loop_create(&poller, config, ret_io);
}

const struct io_backend io_epoll_backend = LOOP_BACKEND("epoll", create);
