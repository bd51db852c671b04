/* What has become ready, told by epoll; and the backend that sleeps in it, with the journal's writes on a thread of their own, one at a
 * time. */
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
		       EPOLLHUP == POLLHUP && EPOLLPRI == POLLPRI && EPOLLRDHUP == POLLRDHUP,
	       "epoll's events are poll's");

int epoll_open(struct loop *loop)
{
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll < 0 ? -errno : 0;
}

void epoll_shut(struct loop *loop)
{
	if (loop->epoll >= 0)
		close(loop->epoll);
}

int epoll_watch(struct loop *loop, const struct slot *slot, uint16_t events)
{
	uint32_t asked = events;

	/* The peer's end is told with what is asked for, since bytes may be in front of it that are all that is seen at first. */
	if (events & POLLIN)
		asked |= EPOLLRDHUP;
	/* By level the set would look at each socket twice: to tell of it, and to find that nothing is left. By edge one must know of
	 * urgent marks, too, in front of which the kernel ends a read, whatever is behind them. */
	if (slot->is_tcp)
		asked |= (uint32_t)EPOLLET | (events & POLLIN ? EPOLLPRI : 0);
	struct epoll_event event = { .events = asked, .data.u64 = loop_handle(loop, slot) };

	/* Not even registered for nothing: a hang-up would be reported all the same, again and again. */
	int what = !slot->watched ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
	if (epoll_ctl(loop->epoll, what, slot->descriptor, &event) == 0 || what == EPOLL_CTL_DEL)
		return 0;
	return -errno;
}

int epoll_watch_own(struct loop *loop, int descriptor)
{
	struct epoll_event event = { .events = EPOLLIN };

	event.data.u64 = descriptor == loop->wake ? REPORT_WAKE : REPORT_SIGNAL;
	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

static int wait_ms(struct loop *loop, struct epoll_event *events, uint64_t sleep_ns)
{
	uint64_t sleep_ms = sleep_ns / MS_NS + (sleep_ns % MS_NS != 0);
	int timeout = sleep_ns == NEVER_NS ? -1 : sleep_ms > INT32_MAX ? INT32_MAX : (int)sleep_ms;

	return epoll_wait(loop->epoll, events, REPORTS_MAX, timeout);
}

/* Sleep at most so long; NEVER_NS: without limit. */
static int wait_ns(struct loop *loop, struct epoll_event *events, uint64_t sleep_ns)
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

int epoll_take(struct loop *loop, uint64_t sleep_ns)
{
	struct epoll_event events[REPORTS_MAX];
	int count = loop->is_asking ? wait_ns(loop, events, sleep_ns) : 0;

	if (count < 0 && errno != EINTR)
		return -errno;
	loop->io.now_ns = clock_monotonic_ns();
	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 == REPORT_WAKE)
			loop_report_wake(loop);
		else if (events[i].data.u64 == REPORT_SIGNAL)
			loop_report_signal(loop);
		else
			loop_report(loop, &loop->slots[events[i].data.u64 - 1], events[i].events);
	}
	return 0;
}

/* --- the backend */

struct epoll_loop {
	struct loop loop;
	struct io_writer writer;
};

static struct io_writer *writer_of(struct loop *loop)
{
	return &((struct epoll_loop *)loop)->writer;
}

static int open_writer(struct loop *loop)
{
	io_writer_init(writer_of(loop), loop->wake);
	return 0;
}

static void shut_writer(struct loop *loop)
{
	if (writer_of(loop)->job.run) /* it was opened */
		io_writer_deinit(writer_of(loop));
}

static int wait_in_epoll(struct loop *loop, uint64_t sleep_ns)
{
	int error = epoll_take(loop, sleep_ns);
	struct io_write *write = io_writer_take(writer_of(loop));

	if (write)
		loop_report_written(loop, write, write->result);
	return error;
}

static void write_on_thread(struct loop *loop, struct io_write *write)
{
	io_writer_give(writer_of(loop), write);
}

static const struct sleeper sleeper = {
	.size = sizeof(struct epoll_loop),
	.writes_max = 1,
	.backend = &io_epoll_backend,
	.open = open_writer,
	.shut = shut_writer,
	.wait = wait_in_epoll,
	.write = write_on_thread,
};

static int create(const struct io_config *config, struct io **ret_io)
{
	return loop_create(&sleeper, config, ret_io);
}

const struct io_backend io_epoll_backend = LOOP_BACKEND("epoll", create);
