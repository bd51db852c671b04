/* The door to files at rest: open, read, make, rename, lock, flush. Blocking; for start-up, readers, tools and file
 * jobs, never for the loop's thread once it serves. A simulator links its own.
 *
 * Every function returns 0 (or a count) or -errno. Files and directories are descriptors. Interrupted calls go on.
 * Any thread. */
#ifndef ROGER_FILE_FILE_H
#define ROGER_FILE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum file_flags {
	FILE_READ = 0,
	FILE_WRITE = 1,  /* read and write */
	FILE_CREATE = 2, /* make it if it is not there (mode 0600 before umask) */
	FILE_NEW = 4,    /* with CREATE: -EEXIST if it is there */
	FILE_DIRECT = 8, /* past the page cache; buffers, offsets and sizes must be aligned (file_geometry) */
};

enum { FILE_NAME_SIZE = 256 };

/* Open a directory. -ENOENT, -ENOTDIR ... */
int file_open_directory(const char *path, int *ret_directory);

/* Make a directory (mode 0700 before umask) and flush its parent, so that its name is durable. 0 also if it is there
 * already. -ENOENT: its parent is not there; -ENOTDIR: something else has that name. */
int file_make_directory(const char *path);

/* Is `path`, which need not be there yet, the directory `directory`, or in it, however deep? Symbolic links are followed. 1, 0, or -errno
 * (also when the parent of `path` is not there). */
int file_is_within(const char *path, const char *directory);

/* Call `each` for every name in the directory but "." and ".."; stops at the first non-zero result and returns it.
 * In no particular order. */
int file_list(int directory, int (*each)(void *context, const char *name), void *context);

/* Open `name` in `directory` (close-on-exec, no symbolic link followed, regular files only: -EINVAL otherwise, and for a name
 * with a slash in it). */
int file_open(int directory, const char *name, unsigned flags, int *ret_file);
void file_close(int file);

struct file_stat {
	uint64_t size;
	uint64_t allocated;   /* bytes on the disk */
	uint64_t modified_ns; /* since the epoch */
	uint64_t inode;       /* tells two files of one name apart */
};
int file_stat(int file, struct file_stat *ret);

struct file_geometry {
	bool direct;              /* direct I/O is to be had (STATX_DIOALIGN), and opening with it worked */
	uint32_t memory_alignment;/* for direct I/O: of buffers ... */
	uint32_t offset_alignment;/* ... and of offsets and sizes */
	uint32_t block_size;      /* the largest of 4096, offset_alignment and the physical block size where it can be
	                           * known (/sys/dev/block): the journal's commit block. A power of two, at most 64 KiB */
};

/* What direct I/O wants in this directory; makes, asks and removes a nameless or temporary file there. Where none can be made
 * (no write access, a full disk) any regular file that is there is asked; there being none, `direct` is false, or, on a full
 * disk, -ENOSPC or -EDQUOT. Other -errno only for real I/O errors. */
int file_geometry(int directory, struct file_geometry *ret);

/* Read up to `size` bytes at `offset`; less only at the end of the file. Returns the count, or -errno. What cannot be read for the
 * medium's sake is -EIO, whatever the kernel calls it: ENODATA, EREMOTEIO, EILSEQ, EBADMSG, EUCLEAN and ETIMEDOUT too. */
int64_t file_read(int file, void *data, size_t size, uint64_t offset);

/* Write all of it: a short write goes on, and fails with what the rest fails with. 0 or -errno. */
int file_write(int file, const void *data, size_t size, uint64_t offset);

/* As file_write, durable on return (RWF_DSYNC). */
int file_write_durable(int file, const void *data, size_t size, uint64_t offset);

int file_reserve(int file, uint64_t size);  /* fallocate from 0 to size: -ENOSPC now rather than later (the size alone where
					     * the file system cannot reserve) */
int file_truncate(int file, uint64_t size);
int file_flush(int file);                   /* data and what is needed to find it (fdatasync) */
int file_flush_directory(int directory);    /* fsync: names */

/* Rename within the directory. replace = false: -EEXIST if `to` is there (RENAME_NOREPLACE; where a file system lacks
 * it, link + unlink). */
int file_rename(int directory, const char *from, const char *to, bool replace);
int file_remove(int directory, const char *name);

/* Take a lock on the whole file (flock), never waits: -EWOULDBLOCK when another open file holds it. A lock ends with
 * file_close or file_unlock. */
int file_lock(int file, bool exclusive);
int file_unlock(int file);

/* Map the first `size` bytes shared, for reading (and writing when `writable`). */
int file_map(int file, size_t size, bool writable, void **ret_memory);
void file_unmap(void *memory, size_t size);

struct file_space {
	uint64_t free;  /* bytes for this user */
	uint64_t total;
};
int file_space(int directory, struct file_space *ret);

/* Memory aligned for direct I/O (to `alignment`, at least 4096), zeroed, lazily backed; free with file_memory_free. NULL: none. */
void *file_memory(size_t size, size_t alignment);
void file_memory_free(void *memory, size_t size);

#endif
