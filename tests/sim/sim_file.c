/* The door to files, over the simulated disk of the calling process's host: how a call goes, and the calls on files. (Names:
 * sim_file_name.c; descriptors: sim_file_open.c.)
 *
 * Calls of a process take time: before their effect, behind it, or both, so that a kill hits before or after. fiber_sleep does not come
 * back then: nothing of the simulator's own may be half-changed, or held by this stack alone, across it. In the world's own context (no
 * process) no time passes, and nothing goes wrong. */
#include "file/file.h"

#include <errno.h>
#include <string.h>

#include "clock/clock.h"
#include "disk_private.h"
#include "fault.h"
#include "process.h"
#include "world.h"

#define MICROSECOND UINT64_C(1000)
#define MILLISECOND UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* --- the frame of a call */

bool call_by_process(void)
{
	return process_current() != NULL;
}

int call_enter(struct call *call, struct disk *disk)
{
	*call = (struct call){ .disk = disk };
	return call_by_process() ? disk_operation(disk, &call->number) : 0;
}

int call_leave(const struct call *call, int result)
{
	if (call->number != 0)
		disk_operation_done(call->disk, call->number);
	return result;
}

void call_looks(uint32_t per_million)
{
	if (call_by_process() && world_chance(per_million))
		fiber_sleep(world_span(0, 20 * MICROSECOND, 5 * MILLISECOND));
}

enum moment { BEFORE = 1, BEHIND = 2 };

unsigned call_changes(uint64_t usual)
{
	unsigned when;

	if (!call_by_process())
		return 0;
	when = (unsigned)world_between(1, 3);
	if (when & BEFORE)
		fiber_sleep(world_span(0, usual, 20 * MILLISECOND));
	if (thread_is_second() && fault_happens(FAULT_JOB_SLOW))
		fiber_sleep(world_between(100 * MILLISECOND, 5 * SECOND));
	return when;
}

void call_changed(unsigned when, uint64_t usual)
{
	if (when & BEHIND)
		fiber_sleep(world_span(0, usual, 20 * MILLISECOND));
}

static struct open_file *find_file(int number)
{
	struct open_file *file = open_file_find(number);

	return file != NULL && file->inode != NULL ? file : NULL;
}

/* --- what is known of a file; locks */

int file_stat(int file, struct file_stat *ret)
{
	struct open_file *open = open_file_find(file);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	*ret = (struct file_stat){ 0 };
	if (open->inode == NULL)
		return 0;
	error = call_enter(&call, open->inode->disk);
	if (error != 0)
		return call_leave(&call, error);
	call_looks(SHORT_CALL_PAUSE);
	*ret = (struct file_stat){ .size = open->inode->size,
				   .allocated = open->inode->room * DISK_PAGE,
				   .modified_ns = open->inode->modified_ns,
				   .inode = open->inode->number };
	return call_leave(&call, 0);
}

int file_lock(int file, bool exclusive)
{
	struct open_file *open = find_file(file);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = call_enter(&call, open->inode->disk);
	if (error == 0) {
		call_looks(READ_PAUSE);
		error = open_file_lock(open, exclusive);
	}
	return call_leave(&call, error);
}

int file_unlock(int file)
{
	struct open_file *open = find_file(file);

	if (open == NULL)
		return -EBADF;
	open->lock = LOCK_NONE;
	return 0;
}

int file_map(int file, size_t size, bool writable, void **ret_memory)
{
	struct open_file *open = find_file(file);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = call_enter(&call, open->inode->disk);
	if (error == 0)
		error = open_file_map(open, size, writable, ret_memory);
	return call_leave(&call, error);
}

/* --- reading */

static int64_t read_now(const struct open_file *open, void *data, size_t size, uint64_t offset)
{
	size_t half = size / 2 / DISK_PAGE * DISK_PAGE;
	uint8_t *to = data;
	size_t count = 0;

	/* A large read takes time in its middle too: what it shows need not have been so at any one instant. */
	if (call_by_process() && half > 0 && world_chance(READ_PAUSE)) {
		count = inode_read(open->inode, to, half, offset, open->direct);
		fiber_sleep(world_span(0, 50 * MICROSECOND, 5 * MILLISECOND));
		if (count < half)
			return (int64_t)count;
	}
	count += inode_read(open->inode, to + count, size - count, offset + count, open->direct);
	return (int64_t)count;
}

int64_t file_read(int file, void *data, size_t size, uint64_t offset)
{
	struct open_file *open = open_file_find(file);
	struct call call;
	int64_t count;
	int error;

	if (open == NULL)
		return -EBADF;
	if (open->inode == NULL)
		return -EISDIR;
	error = call_enter(&call, open->inode->disk);
	if (error == 0 && open->direct && !disk_aligned(data, size, offset))
		error = -EINVAL;
	if (error != 0)
		return call_leave(&call, error);
	call_looks(READ_PAUSE);
	if (call_by_process() && fault_happens(FAULT_READ_ERROR))
		return call_leave(&call, -EIO);
	count = read_now(open, data, size, offset);
	(void)call_leave(&call, 0);
	return count;
}

/* --- writing */

struct waiter {
	struct fiber *fiber;
	int result;
	bool is_done;
};

static void written(void *context, int result)
{
	struct waiter *waiter = context;

	waiter->result = result;
	waiter->is_done = true;
	fiber_wake(waiter->fiber, world_now());
}

/* Past the cache: in flight like the journal's own writes, and goes on when its process is killed. It counts as an operation there. */
static int write_directly(const struct open_file *open, const void *data, size_t size,
			  uint64_t offset, bool durable)
{
	struct waiter waiter = { .fiber = fiber_current() };

	if (thread_is_second() && fault_happens(FAULT_JOB_SLOW))
		fiber_sleep(world_between(100 * MILLISECOND, 5 * SECOND));
	(void)write_begin(open->inode, data, size, offset, durable ? WRITE_DSYNC : WRITE_PLAIN,
			  true, written, &waiter);
	while (!waiter.is_done)
		fiber_park();
	return waiter.result;
}

/* A kill stops a buffered write between two pages, never later. */
static int write_to_cache(const struct open_file *open, const void *data, size_t size,
			  uint64_t offset)
{
	struct inode *inode = open->inode;
	const uint8_t *bytes = data;
	size_t first = 0;
	int error = 0;

	if (offset + size > inode->room * DISK_PAGE && call_by_process() &&
	    fault_happens(FAULT_NO_SPACE))
		return -ENOSPC;
	if (call_by_process())
		error = disk_write_error(inode->disk);
	if (error == 0)
		error = inode_charge(inode, offset + size);
	if (error != 0)
		return error;
	if (call_by_process() && size > DISK_PAGE && world_draw(8) == 0) {
		first = world_between(1, (size - 1) / DISK_PAGE) * DISK_PAGE;
		inode_write(inode, bytes, first, offset, false);
		fiber_sleep(world_span(0, 20 * MICROSECOND, 5 * MILLISECOND));
	}
	inode_write(inode, bytes + first, size - first, offset + first, false);
	return 0;
}

static int write_buffered(const struct open_file *open, const void *data, size_t size,
			  uint64_t offset, bool durable)
{
	unsigned when = call_changes(10 * MICROSECOND);
	int error = write_to_cache(open, data, size, offset);

	if (error == 0 && durable)
		error = inode_flush(open->inode, offset / DISK_PAGE,
				    (offset + size + DISK_PAGE - 1) / DISK_PAGE, call_by_process());
	call_changed(when, (durable ? 100 : 10) * MICROSECOND);
	return error;
}

static void note_written(const struct open_file *open)
{
	open->inode->modified_ns = clock_realtime_ns();
	if (!open->inode->recycled)
		return;
	open->inode->recycled = false;
	fault_happened(FAULT_SEGMENT_REUSED);
}

/* A failed write or flush is for good, if the file is published. */
static int told(const struct open_file *open, int error)
{
	if (error != 0 && inode_is_published(open->inode))
		call_failed_for_good();
	return error;
}

static int write_data(int file, const void *data, size_t size, uint64_t offset, bool durable)
{
	struct open_file *open = find_file(file);
	struct call call;
	int error;

	if (open == NULL || !open->writable)
		return -EBADF;
	if (open->direct && !disk_aligned(data, size, offset))
		return -EINVAL;
	if (size == 0)
		return 0;
	note_written(open);
	if (open->direct && call_by_process())
		return told(open, write_directly(open, data, size, offset, durable));
	error = call_enter(&call, open->inode->disk);
	if (error == 0)
		error = write_buffered(open, data, size, offset, durable);
	return call_leave(&call, told(open, error));
}

int file_write(int file, const void *data, size_t size, uint64_t offset)
{
	return write_data(file, data, size, offset, false);
}

int file_write_durable(int file, const void *data, size_t size, uint64_t offset)
{
	return write_data(file, data, size, offset, true);
}

/* --- sizes, and flushes */

static int reserve_now(struct inode *inode, uint64_t size)
{
	int error;

	if (size > inode->room * DISK_PAGE && call_by_process() && fault_happens(FAULT_NO_SPACE))
		return -ENOSPC;
	error = inode_charge(inode, size);
	if (error == 0 && size > inode->size)
		inode->size = size;
	return error;
}

int file_reserve(int file, uint64_t size)
{
	struct open_file *open = find_file(file);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL || !open->writable)
		return -EBADF;
	error = call_enter(&call, open->inode->disk);
	if (error != 0)
		return call_leave(&call, error);
	when = call_changes(20 * MICROSECOND);
	error = reserve_now(open->inode, size);
	call_changed(when, 20 * MICROSECOND);
	return call_leave(&call, error);
}

int file_truncate(int file, uint64_t size)
{
	struct open_file *open = find_file(file);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	if (!open->writable)
		return -EINVAL;
	error = call_enter(&call, open->inode->disk);
	if (error != 0)
		return call_leave(&call, error);
	when = call_changes(20 * MICROSECOND);
	inode_truncate(open->inode, size);
	open->inode->modified_ns = clock_realtime_ns();
	call_changed(when, 20 * MICROSECOND);
	return call_leave(&call, 0);
}

int file_flush(int file)
{
	struct open_file *open = find_file(file);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	error = call_enter(&call, open->inode->disk);
	if (error != 0)
		return call_leave(&call, told(open, error));
	when = call_changes(100 * MICROSECOND);
	error = inode_flush(open->inode, 0, INODE_ALL, call_by_process());
	call_changed(when, 50 * MICROSECOND);
	return call_leave(&call, told(open, error));
}
