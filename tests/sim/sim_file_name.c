/* The file door's calls on directories and names. */
#include <errno.h>
#include <string.h>

#include "clock/clock.h"
#include "disk_private.h"
#include "fault.h"
#include "file/file.h"
#include "world.h"

#define MICROSECOND UINT64_C(1000)

static struct open_file *find_directory(int number)
{
	struct open_file *file = open_file_find(number);

	return file != NULL && file->directory != NULL ? file : NULL;
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
	error = call_enter(&call, disk);
	if (error != 0)
		return call_leave(&call, error);
	call_looks(SHORT_CALL_PAUSE);
	directory = directory_find(disk, path);
	if (directory == NULL)
		return call_leave(&call, -ENOENT);
	*ret_directory = open_file_add((struct open_file){ .directory = directory });
	return call_leave(&call, 0);
}

int file_make_directory(const char *path)
{
	struct disk *disk = disk_here();
	struct call call;
	unsigned when;
	int error;

	if (disk == NULL)
		return -ENOENT;
	error = call_enter(&call, disk);
	if (error != 0)
		return call_leave(&call, error);
	when = call_changes(30 * MICROSECOND);
	error = directory_make(disk, path);
	call_changed(when, 100 * MICROSECOND);
	/* Also when it was there: whoever made it may have been killed before. */
	if (error == 0 && directory_parent(disk, path) != NULL)
		error = directory_flush(directory_parent(disk, path), call_by_process());
	return call_leave(&call, error);
}

int file_list(int directory, int (*each)(void *context, const char *name), void *context)
{
	struct open_file *open = find_directory(directory);
	struct listing *listing;
	struct call call;
	int result;

	if (open == NULL)
		return -EBADF;
	result = call_enter(&call, open->directory->disk);
	if (result != 0)
		return call_leave(&call, result);
	call_looks(READ_PAUSE);
	listing = listing_begin(open->directory);
	for (unsigned i = 0; i < listing->count && result == 0; i++)
		result = each(context, listing->names[i]);
	listing_end(listing);
	return call_leave(&call, result);
}

/* A failed flush of a directory is for good. */
static int told(int error)
{
	if (error != 0)
		call_failed_for_good();
	return error;
}

int file_flush_directory(int directory)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	error = call_enter(&call, open->directory->disk);
	if (error != 0)
		return call_leave(&call, told(error));
	when = call_changes(150 * MICROSECOND);
	error = directory_flush(open->directory, call_by_process());
	call_changed(when, 50 * MICROSECOND);
	return call_leave(&call, told(error));
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
	error = call_enter(&call, open->directory->disk);
	if (error != 0)
		return call_leave(&call, error);
	call_looks(flags & FILE_CREATE ? 500000 : SHORT_CALL_PAUSE);
	error = look_up(open->directory, name, flags, &inode);
	if (error != 0)
		return call_leave(&call, error);
	if (inode == NULL) {
		inode = inode_create(open->directory->disk);
		inode->modified_ns = clock_realtime_ns();
		directory_add(open->directory, name, inode);
	}
	*ret_file = open_file_add((struct open_file){ .inode = inode,
						      .writable = (flags & FILE_WRITE) != 0,
						      .direct = (flags & FILE_DIRECT) != 0 });
	return call_leave(&call, 0);
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
	error = call_enter(&call, open->directory->disk);
	if (error != 0)
		return call_leave(&call, error);
	when = call_changes(20 * MICROSECOND);
	error = rename_now(open->directory, from, to, replace);
	call_changed(when, 20 * MICROSECOND);
	return call_leave(&call, error);
}

int file_remove(int directory, const char *name)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	unsigned when;
	int error;

	if (open == NULL)
		return -EBADF;
	error = call_enter(&call, open->directory->disk);
	if (error != 0)
		return call_leave(&call, error);
	when = call_changes(20 * MICROSECOND);
	if (directory_look(open->directory, name) == NULL)
		error = -ENOENT;
	else
		directory_remove(open->directory, name);
	call_changed(when, 20 * MICROSECOND);
	return call_leave(&call, error);
}

/* --- what is known of the disk */

int file_geometry(int directory, struct file_geometry *ret)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = call_enter(&call, open->directory->disk);
	if (error != 0)
		return call_leave(&call, error);
	call_looks(READ_PAUSE);
	*ret = (struct file_geometry){
		.direct = open->directory->disk->direct,
		.memory_alignment = open->directory->disk->direct ? DISK_SECTOR : DISK_PAGE,
		.offset_alignment = open->directory->disk->direct ? DISK_SECTOR : DISK_PAGE,
		.block_size = DISK_PAGE,
	};
	return call_leave(&call, 0);
}

int file_space(int directory, struct file_space *ret)
{
	struct open_file *open = find_directory(directory);
	struct call call;
	int error;

	if (open == NULL)
		return -EBADF;
	error = call_enter(&call, open->directory->disk);
	if (error != 0)
		return call_leave(&call, error);
	*ret = (struct file_space){ .free = disk_free(open->directory->disk) * DISK_PAGE,
				    .total = open->directory->disk->capacity };
	return call_leave(&call, 0);
}
