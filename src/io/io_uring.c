/* A poller by io_uring; the journal's writes on the same ring, several at a time, so that a message crosses no thread on its way to the
 * disk and back.
 *
 * A descriptor has at most two polls under way: one for POLLIN that goes on by itself (multishot) until the slot is closed,
 * parked or not, and one for POLLOUT that ends with what it tells. Both tell by edge (io_loop.h). A poll holds its descriptor's file:
 * a slot's descriptor is closed when its polls have ended, or there would be no FIN. And when a process is killed the kernel
 * ends its polls only some time after the process is gone. For connections that does no harm; but a listener's port (or path) would
 * be in use when the next server starts. So listeners are watched through an epoll set, which holds none of them.
 *
 * What is asked of the kernel during a turn is collected and handed over with the one system call in which the loop sleeps; when it need
 * not sleep and has nothing to hand over, there is none. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/mutant.h"
#include "clock/clock.h"
#include "io/io_loop.h"

enum {
	SUBMISSIONS = 256,  /* handed over earlier when there are more */
	COMPLETIONS = 4096, /* the kernel keeps what does not fit */
	WRITES_MAX = 4,
};

/* What an operation is for: in the upper half of its user data. The lower one is a handle, or the number of a write. */
enum operation {
	OPERATION_POLL_IN = 1,
	OPERATION_POLL_OUT,
	OPERATION_LISTENERS,
	OPERATION_WAKE,
	OPERATION_SIGNAL,
	OPERATION_WRITE,
	OPERATION_FLUSH,
	OPERATION_CANCEL,
};

/* In slot.polls: under way. */
enum {
	IN_POLL = 1,
	OUT_POLL = 2,
	LISTENER_POLL = 4, /* in the set */
};

struct uring_write {
	struct io_write *write; /* NULL: free */
	int result;
	unsigned left; /* of its operations */
};

struct uring_loop {
	struct loop loop;
	struct io_uring ring;
	bool is_open;
	int listeners; /* an epoll set; -1: there was none yet */
	uint32_t polls; /* of slots, under way */
	unsigned writes_under_way;
	struct uring_write writes[WRITES_MAX];
};

static struct uring_loop *of(struct loop *loop)
{
	return (struct uring_loop *)loop;
}

/* --- the ring */

static int open_ring(struct io_uring *ring, unsigned flags)
{
	struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | flags,
					  .cq_entries = COMPLETIONS };

	return io_uring_queue_init_params(SUBMISSIONS, ring, &params);
}

/* All that is used here is older than the flags of the first attempt but these: EXT_ARG (sleeping with a deadline), NODROP. */
static bool can_all(struct io_uring *ring)
{
	static const unsigned char operations[] = { IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
						    IORING_OP_WRITE, IORING_OP_FSYNC };
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool can = probe && ring->features & IORING_FEAT_EXT_ARG &&
		   ring->features & IORING_FEAT_NODROP;

	for (size_t i = 0; can && i < sizeof(operations); i++)
		can = io_uring_opcode_supported(probe, operations[i]);
	io_uring_free_probe(probe);
	return can;
}

static int open_uring(struct loop *loop)
{
	struct io_uring *ring = &of(loop)->ring;

	of(loop)->listeners = -1;
	int error = open_ring(ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
					    IORING_SETUP_TASKRUN_FLAG);

	/* Without them (before Linux 6.1) a completion interrupts whatever the loop is doing, and epoll is as good. */
	if (error == -EMFILE || error == -ENFILE)
		return error;
	if (error)
		return -ENOSYS;
	of(loop)->is_open = true;
	if (!can_all(ring))
		return -ENOSYS;
	(void)io_uring_register_ring_fd(ring); /* a little faster */
	return 0;
}

/* Room for so many operations that are handed over together. */
static void make_room(struct uring_loop *loop, unsigned count)
{
	while (io_uring_sq_space_left(&loop->ring) < count) {
		int submitted = io_uring_submit(&loop->ring);
		/* Too much is told already that the loop has not looked at: it is put into memory by this. */
		if (submitted == -EBUSY || submitted == -EAGAIN)
			submitted = io_uring_get_events(&loop->ring);
		must(submitted >= 0 || submitted == -EINTR);
	}
}

static void mark(struct io_uring_sqe *sqe, enum operation operation, uint32_t number)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)operation << 32 | number);
}

static struct io_uring_sqe *submission(struct uring_loop *loop)
{
	make_room(loop, 1);
	return io_uring_get_sqe(&loop->ring);
}

/* --- watching */

static void poll_slot(struct uring_loop *loop, struct slot *slot, unsigned poll)
{
	struct io_uring_sqe *sqe = submission(loop);
	uint32_t handle = loop_handle(&loop->loop, slot);

	if (poll == IN_POLL) {
		io_uring_prep_poll_multishot(sqe, slot->descriptor, POLLIN | POLLRDHUP);
		mark(sqe, OPERATION_POLL_IN, handle);
	} else {
		io_uring_prep_poll_add(sqe, slot->descriptor, POLLOUT);
		mark(sqe, OPERATION_POLL_OUT, handle);
	}
	slot->polls |= (uint8_t)poll;
	loop->polls++;
}

static void watch_own_again(struct uring_loop *loop, enum operation operation, int descriptor)
{
	struct io_uring_sqe *sqe = submission(loop);

	io_uring_prep_poll_multishot(sqe, descriptor, POLLIN);
	mark(sqe, operation, 0);
}

static int watch_own(struct loop *loop, int descriptor)
{
	watch_own_again(of(loop), descriptor == loop->wake ? OPERATION_WAKE : OPERATION_SIGNAL,
			descriptor);
	return 0;
}

static int watch_listener(struct uring_loop *loop, struct slot *slot)
{
	if (slot->polls)
		return 0;
	if (loop->listeners < 0) {
		int set = epoll_set_create();
		if (set < 0)
			return set;
		loop->listeners = set;
		watch_own_again(loop, OPERATION_LISTENERS, set);
	}
	int error = epoll_set_add(loop->listeners, slot->descriptor);
	if (!error)
		slot->polls = LISTENER_POLL;
	return error;
}

static int watch(struct loop *loop, struct slot *slot, uint16_t events)
{
	if (slot->kind == SLOT_LISTENER)
		return events ? watch_listener(of(loop), slot) : 0;
	unsigned wanted = (events & POLLIN ? IN_POLL : 0) | (events & POLLOUT ? OUT_POLL : 0);

	/* What is not wanted goes on: it tells of a change, once, and the slot may be armed again soon. */
	for (unsigned poll = IN_POLL; poll <= OUT_POLL; poll <<= 1)
		if (wanted & poll & ~slot->polls)
			poll_slot(of(loop), slot, poll);
	return 0;
}

static void cancel(struct uring_loop *loop, enum operation operation, uint32_t handle)
{
	struct io_uring_sqe *sqe = submission(loop);

	/* Not POLL_REMOVE: that gives up (-EALREADY) where the poll has just something to tell. */
	io_uring_prep_cancel64(sqe, (uint64_t)operation << 32 | handle, 0);
	mark(sqe, OPERATION_CANCEL, 0);
}

static bool forget(struct loop *loop, struct slot *slot)
{
	uint32_t handle = loop_handle(loop, slot);

	if (slot->polls & IN_POLL)
		cancel(of(loop), OPERATION_POLL_IN, handle);
	if (slot->polls & OUT_POLL)
		cancel(of(loop), OPERATION_POLL_OUT, handle);
	return slot->polls == 0 || slot->kind == SLOT_LISTENER; /* closed, it is out of the set */
}

/* --- what has been completed */

static void polled(struct uring_loop *loop, const struct io_uring_cqe *cqe, unsigned poll,
		   uint32_t handle)
{
	struct slot *slot = &loop->loop.slots[handle - 1];
	bool goes_on = cqe->flags & IORING_CQE_F_MORE;

	must(slot->polls & poll);
	if (!goes_on) {
		slot->polls &= (uint8_t)~poll;
		slot->watched &= (uint16_t) ~(poll == IN_POLL ? POLLIN : POLLOUT);
		loop->polls--;
	}
	if (slot->closing) {
		if (slot->polls == 0)
			loop_forgotten(&loop->loop, slot);
	} else if (cqe->res >= 0) {
		loop_report(&loop->loop, slot, (uint32_t)cqe->res);
	} else {
		loop_report_failed(&loop->loop, slot, cqe->res);
	}
}

/* An operation of a write has ended. What was not written and flushed in one go has failed, for good. */
static void written(struct uring_loop *loop, struct uring_write *one, int result, bool is_flush)
{
	if (!is_flush && result >= 0)
		result = (size_t)result == one->write->size || MUTANT(5) ? 0 : -EIO;
	/* The flush behind a write that failed is only cancelled. */
	if (result < 0 && (one->result == 0 || one->result == -ECANCELED))
		one->result = result;
	if (--one->left > 0)
		return;
	struct io_write *write = one->write;
	one->write = NULL;
	loop->writes_under_way--;
	loop_report_written(&loop->loop, write, one->result);
}

static void completed(struct uring_loop *loop, const struct io_uring_cqe *cqe)
{
	uint32_t number = (uint32_t)cqe->user_data;
	bool ended = !(cqe->flags & IORING_CQE_F_MORE);

	switch ((enum operation)(cqe->user_data >> 32)) {
	case OPERATION_POLL_IN: polled(loop, cqe, IN_POLL, number); break;
	case OPERATION_POLL_OUT: polled(loop, cqe, OUT_POLL, number); break;
	case OPERATION_WRITE: written(loop, &loop->writes[number], cqe->res, false); break;
	case OPERATION_FLUSH: written(loop, &loop->writes[number], cqe->res, true); break;
	case OPERATION_LISTENERS:
		loop_report_listeners(&loop->loop);
		if (ended)
			watch_own_again(loop, OPERATION_LISTENERS, loop->listeners);
		break;
	case OPERATION_WAKE:
		loop_report_wake(&loop->loop);
		if (ended)
			watch_own_again(loop, OPERATION_WAKE, loop->loop.wake);
		break;
	case OPERATION_SIGNAL:
		loop_report_signal(&loop->loop);
		if (ended)
			watch_own_again(loop, OPERATION_SIGNAL, loop->loop.signals);
		break;
	case OPERATION_CANCEL: break; /* what it was for tells that it has ended */
	}
}

static void take_completions(struct uring_loop *loop)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	io_uring_for_each_cqe(&loop->ring, head, cqe) {
		completed(loop, cqe);
		count++;
	}
	io_uring_cq_advance(&loop->ring, count);
}

/* --- waiting */

static bool kernel_has_more(const struct io_uring *ring)
{
	return IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static int enter(struct io_uring *ring, uint64_t sleep_ns)
{
	struct __kernel_timespec sleep = { .tv_sec = (int64_t)(sleep_ns / SECOND_NS),
					   .tv_nsec = (long long)(sleep_ns % SECOND_NS) };
	struct io_uring_cqe *cqe;

	if (sleep_ns == 0) {
		if (io_uring_sq_ready(ring) == 0 && !kernel_has_more(ring))
			return 0;
		return io_uring_submit_and_get_events(ring);
	}
	if (sleep_ns == NEVER_NS)
		return io_uring_submit_and_wait(ring, 1);
	return io_uring_submit_and_wait_timeout(ring, &cqe, 1, &sleep, NULL);
}

static int wait_uring(struct loop *loop, uint64_t sleep_ns)
{
	int result = enter(&of(loop)->ring, sleep_ns);

	loop->io.now_ns = clock_monotonic_ns();
	/* -EBUSY, -EAGAIN: there is something to take first. */
	if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY &&
	    result != -EAGAIN)
		return result;
	take_completions(of(loop));
	return 0;
}

/* --- writing */

static void write_uring(struct loop *loop, struct io_write *write)
{
	struct uring_loop *uring = of(loop);
	bool flush = write->durable == IO_WRITE_FLUSH;
	uint32_t number = 0;

	while (number < WRITES_MAX && uring->writes[number].write)
		number++;
	must(number < WRITES_MAX && write->size <= INT32_MAX);
	uring->writes[number] = (struct uring_write){ .write = write, .left = flush ? 2 : 1 };
	uring->writes_under_way++;
	make_room(uring, 2); /* a chain must not be cut */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
	io_uring_prep_write(sqe, write->file, write->data, (unsigned)write->size, write->offset);
	mark(sqe, OPERATION_WRITE, number);
	if (!flush) {
		sqe->rw_flags = RWF_DSYNC;
		return;
	}
	sqe->flags |= IOSQE_IO_LINK; /* a short write breaks the chain, too */
	sqe = io_uring_get_sqe(&uring->ring);
	io_uring_prep_fsync(sqe, write->file, IORING_FSYNC_DATASYNC);
	mark(sqe, OPERATION_FLUSH, number);
}

/* --- the end */

static void shut(struct loop *loop)
{
	struct uring_loop *uring = of(loop);
	int error = 0;

	if (!uring->is_open)
		return;
	/* Sockets whose polls the kernel ended only after the ring is closed would be open until then: ports in use. */
	while (!error && (uring->polls > 0 || uring->writes_under_way > 0))
		error = wait_uring(loop, NEVER_NS);
	io_uring_queue_exit(&uring->ring);
	if (uring->listeners >= 0)
		close(uring->listeners);
}

static const struct poller poller = {
	.size = sizeof(struct uring_loop),
	.writes_max = WRITES_MAX,
	.backend = &io_uring_backend,
	.open = open_uring,
	.shut = shut,
	.wait = wait_uring,
	.watch = watch,
	.forget = forget,
	.watch_own = watch_own,
	.write = write_uring,
};

static int create(const struct io_config *config, struct io **ret_io)
{
	return loop_create(&poller, config, ret_io);
}

const struct io_backend io_uring_backend = LOOP_BACKEND("uring", create);
