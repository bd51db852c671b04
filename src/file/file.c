/* The door to files, on Linux. What a file system wants for direct I/O is in file_geometry.c. */
#include "file/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE_SIZE_MIN = 4096 };

/* openat that goes on after a signal. */
static int open_at(int directory, const char *path, int flags, mode_t mode)
{
	for (;;) {
		int file = openat(directory, path, flags | O_CLOEXEC, mode);
		if (file >= 0)
			return file;
		if (errno != EINTR)
			return -errno;
	}
}

int file_open_directory(const char *path, int *ret_directory)
{
	int directory = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (directory < 0)
		return directory;
	*ret_directory = directory;
	return 0;
}

/* The directory that holds the last component of `path`: "a/b/" -> "a", "b" -> ".", "/b" -> "/". */
static int path_parent(const char *path, char out[PATH_MAX])
{
	size_t size = strlen(path);

	if (size == 0)
		return -ENOENT;
	if (size >= PATH_MAX)
		return -ENAMETOOLONG;
	while (size > 1 && path[size - 1] == '/')
		size--;
	while (size > 0 && path[size - 1] != '/')
		size--;
	while (size > 1 && path[size - 1] == '/')
		size--;
	if (size == 0) {
		memcpy(out, ".", 2);
		return 0;
	}
	memcpy(out, path, size);
	out[size] = '\0';
	return 0;
}

static int flush_parent(const char *path)
{
	char parent[PATH_MAX];
	int directory = -1;

	int error = path_parent(path, parent);
	if (error)
		return error;
	error = file_open_directory(parent, &directory);
	if (error == -EACCES) {
		/* A parent that may be entered but not read cannot be flushed by itself: flush its whole file system. */
		error = file_open_directory(path, &directory);
		if (error)
			return error;
		error = syncfs(directory) < 0 ? -errno : 0;
		file_close(directory);
		return error;
	}
	if (error)
		return error;
	error = file_flush_directory(directory);
	file_close(directory);
	return error;
}

int file_make_directory(const char *path)
{
	struct stat stat_now;

	if (mkdir(path, 0700) < 0) {
		if (errno != EEXIST)
			return -errno;
		if (stat(path, &stat_now) < 0)
			return -errno;
		if (!S_ISDIR(stat_now.st_mode))
			return -ENOTDIR;
	}
	/* Also when it was there: whoever made it may have been killed before its name was durable. */
	return flush_parent(path);
}

int file_is_within(const char *path, const char *directory)
{
	char parent[PATH_MAX], real[PATH_MAX], outer[PATH_MAX];
	size_t size;
	int error;

	if (realpath(directory, outer) == NULL)
		return -errno;
	if (realpath(path, real) == NULL) {
		error = path_parent(path, parent);
		if (error)
			return error;
		if (realpath(parent, real) == NULL)
			return -errno;
	}
	size = strlen(outer);
	if (size == 1)
		return 1; /* all is in the root */
	return strlen(real) >= size && memcmp(real, outer, size) == 0 &&
	       (real[size] == '\0' || real[size] == '/');
}

int file_list(int directory, int (*each)(void *context, const char *name), void *context)
{
	int result = 0;

	/* A new open file: a duplicate would share its position with `directory`, and so with another thread's listing. */
	int copy = open_at(directory, ".", O_RDONLY | O_DIRECTORY, 0);
	if (copy < 0)
		return copy;
	DIR *list = fdopendir(copy);
	if (!list) {
		result = -errno;
		file_close(copy);
		return result;
	}
	while (result == 0) {
		errno = 0;
		const struct dirent *entry = readdir(list);
		if (!entry) {
			result = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = each(context, entry->d_name);
	}
	closedir(list);
	return result;
}

int file_open(int directory, const char *name, unsigned flags, int *ret_file)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its other side. */
	int how = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (flags & FILE_WRITE ? O_RDWR : O_RDONLY);
	struct stat stat_now;

	if (strchr(name, '/') != NULL)
		return -EINVAL;
	if (flags & FILE_CREATE)
		how |= O_CREAT | (flags & FILE_NEW ? O_EXCL : 0);
	if (flags & FILE_DIRECT)
		how |= O_DIRECT;

	int file = open_at(directory, name, how, 0600);
	if (file == -ELOOP || file == -EISDIR || file == -ENXIO) /* a link; a directory; a socket */
		return -EINVAL;
	if (file < 0)
		return file;

	int error = 0;
	if (fstat(file, &stat_now) < 0)
		error = -errno;
	else if (!S_ISREG(stat_now.st_mode))
		error = -EINVAL;
	if (!error) {
		/* io_uring takes O_NONBLOCK seriously on regular files too, and fails with -EAGAIN what would wait. */
		int now = fcntl(file, F_GETFL);
		if (now < 0 || fcntl(file, F_SETFL, now & ~O_NONBLOCK) < 0)
			error = -errno;
	}
	if (error) {
		file_close(file);
		return error;
	}
	*ret_file = file;
	return 0;
}

void file_close(int file)
{
	/* Linux has freed the descriptor whatever close says; errors of writes are reported by flushes. */
	close(file);
}

int file_stat(int file, struct file_stat *ret)
{
	struct stat now;

	if (fstat(file, &now) < 0)
		return -errno;
	ret->size = (uint64_t)now.st_size;
	ret->allocated = (uint64_t)now.st_blocks * 512;
	ret->modified_ns = 0;
	if (now.st_mtim.tv_sec >= 0)
		ret->modified_ns = (uint64_t)now.st_mtim.tv_sec * 1000000000 +
				   (uint64_t)now.st_mtim.tv_nsec;
	ret->inode = now.st_ino;
	return 0;
}

/* A block that the medium does not give back. Which of these it is depends on the disk, the driver and the file system (a direct read of
 * a bad sector is mostly ENODATA); to whoever reads they are all the same. */
static int read_error(int error)
{
	switch (error) {
	case ENODATA:
	case EREMOTEIO:
	case EILSEQ:
	case EBADMSG:
	case EUCLEAN:
	case ETIMEDOUT: return -EIO;
	default: return -error;
	}
}

int64_t file_read(int file, void *data, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t count =
			pread(file, (uint8_t *)data + done, size - done, (off_t)(offset + done));
		if (count > 0) {
			done += (size_t)count;
			continue;
		}
		if (count == 0)
			break;
		if (errno == EINTR)
			continue;
		/* A direct read that stopped at an unaligned end of the file cannot go on from there: it was the end. */
		if (errno == EINVAL && done > 0)
			break;
		return read_error(errno);
	}
	return (int64_t)done;
}

static int write_all(int file, const void *data, size_t size, uint64_t offset, int flags)
{
	size_t done = 0;

	while (done < size) {
		struct iovec part = { .iov_base = (uint8_t *)(uintptr_t)data + done,
				      .iov_len = size - done };
		ssize_t count = pwritev2(file, &part, 1, (off_t)(offset + done), flags);
		if (count > 0) {
			done += (size_t)count;
			continue;
		}
		if (count == 0)
			return -EIO;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int file_write(int file, const void *data, size_t size, uint64_t offset)
{
	return write_all(file, data, size, offset, 0);
}

int file_write_durable(int file, const void *data, size_t size, uint64_t offset)
{
	return write_all(file, data, size, offset, RWF_DSYNC);
}

int file_reserve(int file, uint64_t size)
{
	struct stat now;

	while (fallocate(file, 0, 0, (off_t)size) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EOPNOTSUPP)
			return -errno;
		/* No reservations on this file system: the size at least. */
		if (fstat(file, &now) < 0)
			return -errno;
		return (uint64_t)now.st_size >= size ? 0 : file_truncate(file, size);
	}
	return 0;
}

int file_truncate(int file, uint64_t size)
{
	while (ftruncate(file, (off_t)size) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int file_flush(int file)
{
	/* Once: after a failed flush a second one would report success. */
	return fdatasync(file) < 0 ? -errno : 0;
}

int file_flush_directory(int directory)
{
	return fsync(directory) < 0 ? -errno : 0;
}

int file_rename(int directory, const char *from, const char *to, bool replace)
{
	if (replace)
		return renameat(directory, from, directory, to) < 0 ? -errno : 0;
	if (renameat2(directory, from, directory, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(directory, from, directory, to, 0) < 0)
		return -errno;
	return file_remove(directory, from);
}

int file_remove(int directory, const char *name)
{
	return unlinkat(directory, name, 0) < 0 ? -errno : 0;
}

static int lock(int file, int how)
{
	while (flock(file, how) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int file_lock(int file, bool exclusive)
{
	return lock(file, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
}

int file_unlock(int file)
{
	return lock(file, LOCK_UN);
}

int file_map(int file, size_t size, bool writable, void **ret_memory)
{
	void *memory =
		mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, file, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_memory = memory;
	return 0;
}

void file_unmap(void *memory, size_t size)
{
	munmap(memory, size);
}

int file_space(int directory, struct file_space *ret)
{
	struct statvfs now;

	while (fstatvfs(directory, &now) < 0)
		if (errno != EINTR)
			return -errno;
	ret->free = (uint64_t)now.f_bavail * now.f_frsize;
	ret->total = (uint64_t)now.f_blocks * now.f_frsize;
	return 0;
}

void *file_memory(size_t size, size_t alignment)
{
	size_t whole;

	if (size == 0 || alignment & (alignment - 1))
		return NULL;
	if (alignment <= PAGE_SIZE_MIN) {
		void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);
		return memory == MAP_FAILED ? NULL : memory;
	}
	/* More than a page's alignment: map more, and give back what stands out at both ends. */
	if (__builtin_add_overflow(size, PAGE_SIZE_MIN - 1, &size))
		return NULL;
	size &= ~(size_t)(PAGE_SIZE_MIN - 1);
	if (__builtin_add_overflow(size, alignment, &whole))
		return NULL;
	uint8_t *memory =
		mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	size_t before = (alignment - (uintptr_t)memory % alignment) % alignment;
	if (before > 0)
		munmap(memory, before);
	if (alignment - before > 0)
		munmap(memory + before + size, alignment - before);
	return memory + before;
}

void file_memory_free(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}
