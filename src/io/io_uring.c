/* The backend that makes the journal's writes on a ring shared with the kernel (io_uring), several at a time: so a message crosses no
 * thread on its way to the disk and back.
 *
 * What sockets have to tell comes from epoll's set, as with the other backend. With nothing being written the loop sleeps in epoll, too;
 * otherwise in the ring, where a poll of the set lies meanwhile. Nothing else of a process is held by the ring, for the kernel ends a
 * killed process' polls only some time after the process is gone, and until then a listener's port would be in use
 * (docs/decisions/0013).
 *
 * Writes are handed over with the one system call in which the loop sleeps. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/mutant.h"
#include "clock/clock.h"
#include "io/io_loop.h"

enum {
	WRITES_MAX = 4,
	SUBMISSIONS = 16,  /* two for each write, one for the set */
	COMPLETIONS = 64,
};

/* What an operation is for: in the upper half of its user data. The lower one is the number of a write. */
enum operation {
	OPERATION_SET = 1,
	OPERATION_WRITE,
	OPERATION_FLUSH,
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
	bool is_watching; /* a poll of epoll's set is under way, and has not ended: nothing is ready there */
	struct uring_write writes[WRITES_MAX];
};

static struct uring_loop *of(struct loop *loop)
{
	return (struct uring_loop *)loop;
}

/* --- the ring */

static void mark(struct io_uring_sqe *sqe, enum operation operation, uint32_t number)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)operation << 32 | number);
}

/* There is always room: what may be under way is bounded, and all of it fits. */
static struct io_uring_sqe *submission(struct uring_loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	must(sqe);
	return sqe;
}

static void watch_set(struct uring_loop *loop)
{
	struct io_uring_sqe *sqe = submission(loop);

	io_uring_prep_poll_add(sqe, loop->loop.epoll, POLLIN);
	mark(sqe, OPERATION_SET, 0);
	loop->is_watching = true;
}

/* By feature, not by version: EXT_ARG is sleeping with a deadline. */
static bool can_all(struct io_uring *ring)
{
	static const unsigned char operations[] = { IORING_OP_POLL_ADD, IORING_OP_WRITE,
						    IORING_OP_FSYNC };
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool can = probe && ring->features & IORING_FEAT_EXT_ARG &&
		   ring->features & IORING_FEAT_NODROP;

	for (size_t i = 0; can && i < sizeof(operations); i++)
		can = io_uring_opcode_supported(probe, operations[i]);
	io_uring_free_probe(probe);
	return can;
}

static int open_ring(struct loop *loop)
{
	struct io_uring *ring = &of(loop)->ring;
	/* Without the last three (before Linux 6.1) a completion interrupts whatever the loop is doing, and a thread is as good. */
	struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE |
						   IORING_SETUP_SINGLE_ISSUER |
						   IORING_SETUP_DEFER_TASKRUN |
						   IORING_SETUP_TASKRUN_FLAG,
					  .cq_entries = COMPLETIONS };
	int error = io_uring_queue_init_params(SUBMISSIONS, ring, &params);

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

/* --- what has been completed */

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
	loop_report_written(&loop->loop, write, one->result);
}

static void completed(struct uring_loop *loop, const struct io_uring_cqe *cqe)
{
	struct uring_write *one = &loop->writes[(uint32_t)cqe->user_data % WRITES_MAX];

	switch ((enum operation)(cqe->user_data >> 32)) {
	case OPERATION_SET: loop->is_watching = false; break;
	case OPERATION_WRITE: written(loop, one, cqe->res, false); break;
	case OPERATION_FLUSH: written(loop, one, cqe->res, true); break;
	}
}

static void take_completions(struct uring_loop *loop)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	io_uring_for_each_cqe(&loop->ring, head, cqe)
	{
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

/* With nothing being written the ring would only be a second system call. But a poll that lies there is waited for: it would end the
 * next sleep for nothing. */
static int wait_in_ring(struct loop *loop, uint64_t sleep_ns)
{
	struct uring_loop *uring = of(loop);

	if (loop->writes == 0 && !uring->is_watching)
		return epoll_take(loop, sleep_ns);
	if (sleep_ns > 0 && !uring->is_watching)
		watch_set(uring);
	int result = enter(&uring->ring, sleep_ns);
	loop->io.now_ns = clock_monotonic_ns();
	/* -EBUSY, -EAGAIN: there is something to take first. */
	if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY &&
	    result != -EAGAIN)
		return result;
	take_completions(uring);
	return uring->is_watching ? 0 : epoll_take(loop, 0);
}

/* --- writing */

static void write_on_ring(struct loop *loop, struct io_write *write)
{
	struct uring_loop *uring = of(loop);
	bool flush = write->durable == IO_WRITE_FLUSH;
	uint32_t number = 0;

	while (number < WRITES_MAX && uring->writes[number].write)
		number++;
	must(number < WRITES_MAX && write->size <= INT32_MAX);
	uring->writes[number] = (struct uring_write){ .write = write, .left = flush ? 2 : 1 };
	struct io_uring_sqe *sqe = submission(uring);
	io_uring_prep_write(sqe, write->file, write->data, (unsigned)write->size, write->offset);
	mark(sqe, OPERATION_WRITE, number);
	if (!flush) {
		sqe->rw_flags = RWF_DSYNC;
		return;
	}
	sqe->flags |= IOSQE_IO_LINK; /* a short write breaks the chain, too */
	sqe = submission(uring);
	io_uring_prep_fsync(sqe, write->file, IORING_FSYNC_DATASYNC);
	mark(sqe, OPERATION_FLUSH, number);
}

static void shut_ring(struct loop *loop)
{
	struct uring_loop *uring = of(loop);

	if (!uring->is_open)
		return;
	while (loop->writes > 0) {
		(void)enter(&uring->ring, NEVER_NS);
		take_completions(uring);
	}
	io_uring_queue_exit(&uring->ring);
}

static const struct sleeper sleeper = {
	.size = sizeof(struct uring_loop),
	.writes_max = WRITES_MAX,
	.backend = &io_uring_backend,
	.open = open_ring,
	.shut = shut_ring,
	.wait = wait_in_ring,
	.write = write_on_ring,
};

static int create(const struct io_config *config, struct io **ret_io)
{
	return loop_create(&sleeper, config, ret_io);
}

const struct io_backend io_uring_backend = LOOP_BACKEND("uring", create);
