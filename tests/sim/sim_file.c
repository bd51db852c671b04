/* The door to files, over the simulated disk of the calling process's host.
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

enum {
	SHORT_CALL_PAUSE = 30000,  /* per million: how often a call that only looks takes time */
	READ_PAUSE = 100000,
};

/* --- the frame of a call */

struct call {
	struct disk *disk;
	uint64_t number; /* 0: the world's own, which is not counted */
};

static bool is_process(void)
{
	return process_current() != NULL;
}

static int enter(struct call *call, struct disk *disk)
{
	*call = (struct call){ .disk = disk };
	return is_process() ? disk_operation(disk, &call->number) : 0;
}

static int leave(const struct call *call, int result)
{
	if (call->number != 0)
		disk_operation_done(call->disk, call->number);
	return result;
}

static void look_takes_time(uint32_t per_million)
{
	if (is_process() && world_chance(per_million))
		fiber_sleep(world_span(0, 20 * MICROSECOND, 5 * MILLISECOND));
}

enum moment { BEFORE = 1, BEHIND = 2 };

/* Changing something: this one always takes time. Which part of it is to come behind the effect, `change_takes_time_behind` knows. */
static unsigned change_takes_time(uint64_t usual)
{
	unsigned when;

	if (!is_process())
		return 0;
	when = (unsigned)world_between(1, 3);
	if (when & BEFORE)
		fiber_sleep(world_span(0, usual, 20 * MILLISECOND));
	if (thread_is_second() && fault_happens(FAULT_JOB_SLOW))
		fiber_sleep(world_between(100 * MILLISECOND, 5 * SECOND));
	return when;
}

static void change_takes_time_behind(unsigned when, uint64_t usual)
{
	if (when & BEHIND)
		fiber_sleep(world_span(0, usual, 20 * MILLISECOND));
}

static struct open_file *find_directory(int number)
{
	struct open_file *file = open_file_find(number);

	return file != NULL && file->directory != NULL ? file : NULL;
}

static struct open_file *find_file(int number)
{
	struct open_file *file = open_file_find(number);

	return file != NULL && file->inode != NULL ? file : NULL;
}

/* --- directories */

int file_open_directory(const char *path, int *ret_directory)
{
	struct disk *disk = disk_here();
	struct directory *directory;
	struct call call;
	int error;

	if (disk == NULL)
		return -ENOENT;
	error = enter(&call, disk);
	if (error != 0)
		return leave(&call, error);
	look_takes_time(SHORT_CALL_PAUSE);
	directory = directory_find(disk, path);
	if (directory == NULL)
		return leave(&call, -ENOENT);
	*ret_directory = open_file_add((struct open_file){ .directory = directory });
	return leave(&call, 0);
}

int file_make_directory(const char *path)
{
	struct disk *disk = disk_here();
	struct call call;
	unsigned when;
	int error;

	if (disk == NULL)
		return -ENOENT;
	error = enter(&call, disk);
	if (error != 0)
		return leave(&call, error);
	when = change_takes_time(30 * MICROSECOND);
	error = directory_make(disk, path);
	change_takes_time_behind(when, 100 * MICROSECOND);
	/* Also when it was there: whoever made it may have been killed before. */
	if (error == 0 && directory_parent(disk, path) != NULL)
		error = directory_flush(directory_parent(disk, path), is_process());
	return leave(&call, error);
}

int file_list(int directory, int (*each)(void *context, const char *name), void *context)
{
	struct open_file *open = find_directory(directory);
	struct listing *listing;
	struct call call;
	int result;

	if (open == NULL)
		return -EBADF;
	result = enter(&call, open->directory->disk);
	if (result != 0)
		return leave(&call, result);
	look_takes_time(READ_PAUSE);
	listing = listing_begin(open->directory);
	for (unsigned i = 0; i < listing->count && result == 0; i++)
		result = each(context, listing->names[i]);
	listing_end(listing);
	return leave(&call, result);
}

int file_flush_directory(int directory)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->directory->disk);
	if (error != 0)
		return leave(&call, error);
	when = change_takes_time(150 * MICROSECOND);
	error = directory_flush(open->directory, is_process());
	change_takes_time_behind(when, 50 * MICROSECOND);
	return leave(&call, error);
}

/* --- names */

static bool is_name(const char *name)
{
	return strlen(name) < DISK_NAME_SIZE && name[0] != '\0';
}

static int look_up(struct directory *directory, const char *name, unsigned flags,
		   struct inode **ret_inode)
{
	struct inode *inode = directory_look(directory, name);

	if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (!is_name(name))
		return name[0] == '\0' ? -ENOENT : -ENAMETOOLONG;
	if (directory_holds(directory, name))
		return -EINVAL;
	if (inode == NULL && !(flags & FILE_CREATE))
		return -ENOENT;
	if (inode != NULL && (flags & FILE_CREATE) && (flags & FILE_NEW))
		return -EEXIST;
	if ((flags & FILE_DIRECT) && !directory->disk->direct)
		return -EINVAL;
	*ret_inode = inode;
	return 0;
}

int file_open(int directory, const char *name, unsigned flags, int *ret_file)
{
	struct open_file *open = find_directory(directory);
	struct inode *inode = NULL;
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->directory->disk);
	if (error != 0)
		return leave(&call, error);
	look_takes_time(flags & FILE_CREATE ? 500000 : SHORT_CALL_PAUSE);
	error = look_up(open->directory, name, flags, &inode);
	if (error != 0)
		return leave(&call, error);
	if (inode == NULL) {
		inode = inode_create(open->directory->disk);
		inode->modified_ns = clock_realtime_ns();
		directory_add(open->directory, name, inode);
	}
	*ret_file = open_file_add((struct open_file){ .inode = inode,
						      .writable = (flags & FILE_WRITE) != 0,
						      .direct = (flags & FILE_DIRECT) != 0 });
	return leave(&call, 0);
}

static int rename_now(struct directory *directory, const char *from, const char *to, bool replace)
{
	if (!is_name(to) || strchr(to, '/') != NULL)
		return -EINVAL;
	if (directory_look(directory, from) == NULL)
		return -ENOENT;
	if (!replace && directory_look(directory, to) != NULL)
		return -EEXIST;
	directory_move(directory, from, to);
	return 0;
}

int file_rename(int directory, const char *from, const char *to, bool replace)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->directory->disk);
	if (error != 0)
		return leave(&call, error);
	when = change_takes_time(20 * MICROSECOND);
	error = rename_now(open->directory, from, to, replace);
	change_takes_time_behind(when, 20 * MICROSECOND);
	return leave(&call, error);
}

int file_remove(int directory, const char *name)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->directory->disk);
	if (error != 0)
		return leave(&call, error);
	when = change_takes_time(20 * MICROSECOND);
	if (directory_look(open->directory, name) == NULL)
		error = -ENOENT;
	else
		directory_remove(open->directory, name);
	change_takes_time_behind(when, 20 * MICROSECOND);
	return leave(&call, error);
}

/* --- what is known of a file and its disk */

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
	error = enter(&call, open->inode->disk);
	if (error != 0)
		return leave(&call, error);
	look_takes_time(SHORT_CALL_PAUSE);
	*ret = (struct file_stat){ .size = open->inode->size,
				   .allocated = open->inode->room * DISK_PAGE,
				   .modified_ns = open->inode->modified_ns,
				   .inode = open->inode->number };
	return leave(&call, 0);
}

int file_geometry(int directory, struct file_geometry *ret)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->directory->disk);
	if (error != 0)
		return leave(&call, error);
	look_takes_time(READ_PAUSE);
	*ret = (struct file_geometry){
		.direct = open->directory->disk->direct,
		.memory_alignment = open->directory->disk->direct ? DISK_SECTOR : DISK_PAGE,
		.offset_alignment = open->directory->disk->direct ? DISK_SECTOR : DISK_PAGE,
		.block_size = DISK_PAGE,
	};
	return leave(&call, 0);
}

int file_space(int directory, struct file_space *ret)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->directory->disk);
	if (error != 0)
		return leave(&call, error);
	*ret = (struct file_space){ .free = disk_free(open->directory->disk) * DISK_PAGE,
				    .total = open->directory->disk->capacity };
	return leave(&call, 0);
}

int file_lock(int file, bool exclusive)
{
	struct open_file *open = find_file(file);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->inode->disk);
	if (error == 0) {
		look_takes_time(READ_PAUSE);
		error = open_file_lock(open, exclusive);
	}
	return leave(&call, error);
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
	error = enter(&call, open->inode->disk);
	if (error == 0)
		error = open_file_map(open, size, writable, ret_memory);
	return leave(&call, error);
}

/* --- reading */

static int64_t read_now(const struct open_file *open, void *data, size_t size, uint64_t offset)
{
	size_t half = size / 2 / DISK_PAGE * DISK_PAGE;
	uint8_t *to = data;
	size_t count = 0;

	/* A large read takes time in its middle too: what it shows need not have been so at any one instant. */
	if (is_process() && half > 0 && world_chance(READ_PAUSE)) {
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
	error = enter(&call, open->inode->disk);
	if (error == 0 && open->direct && !disk_aligned(data, size, offset))
		error = -EINVAL;
	if (error != 0)
		return leave(&call, error);
	look_takes_time(READ_PAUSE);
	if (is_process() && fault_happens(FAULT_READ_ERROR))
		return leave(&call, -EIO);
	count = read_now(open, data, size, offset);
	(void)leave(&call, 0);
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

	if (offset + size > inode->room * DISK_PAGE && is_process() &&
	    fault_happens(FAULT_NO_SPACE))
		return -ENOSPC;
	if (is_process())
		error = disk_write_error(inode->disk);
	if (error == 0)
		error = inode_charge(inode, offset + size);
	if (error != 0)
		return error;
	if (is_process() && size > DISK_PAGE && world_draw(8) == 0) {
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
	unsigned when = change_takes_time(10 * MICROSECOND);
	int error = write_to_cache(open, data, size, offset);

	if (error == 0 && durable)
		error = inode_flush(open->inode, offset / DISK_PAGE,
				    (offset + size + DISK_PAGE - 1) / DISK_PAGE, is_process());
	change_takes_time_behind(when, (durable ? 100 : 10) * MICROSECOND);
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
	if (open->direct && is_process())
		return write_directly(open, data, size, offset, durable);
	error = enter(&call, open->inode->disk);
	if (error == 0)
		error = write_buffered(open, data, size, offset, durable);
	return leave(&call, error);
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

	if (size > inode->room * DISK_PAGE && is_process() && fault_happens(FAULT_NO_SPACE))
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
	error = enter(&call, open->inode->disk);
	if (error != 0)
		return leave(&call, error);
	when = change_takes_time(20 * MICROSECOND);
	error = reserve_now(open->inode, size);
	change_takes_time_behind(when, 20 * MICROSECOND);
	return leave(&call, error);
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
	error = enter(&call, open->inode->disk);
	if (error != 0)
		return leave(&call, error);
	when = change_takes_time(20 * MICROSECOND);
	inode_truncate(open->inode, size);
	open->inode->modified_ns = clock_realtime_ns();
	change_takes_time_behind(when, 20 * MICROSECOND);
	return leave(&call, 0);
}

int file_flush(int file)
{
	struct open_file *open = find_file(file);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	error = enter(&call, open->inode->disk);
	if (error != 0)
		return leave(&call, error);
	when = change_takes_time(100 * MICROSECOND);
	error = inode_flush(open->inode, 0, INODE_ALL, is_process());
	change_takes_time_behind(when, 50 * MICROSECOND);
	return leave(&call, error);
}
