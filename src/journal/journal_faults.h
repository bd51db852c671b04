/* For tests: the file door whose n-th call fails (base/faults.h). Flushes are not carried out, and direct I/O goes through the page cache:
 * what these promise is not what is tested here, and they are slow.
 *
 * Included once by a test program that is linked with --wrap of all that has a __wrap_ here (see meson.build). */
#ifndef ROGER_JOURNAL_JOURNAL_FAULTS_H
#define ROGER_JOURNAL_JOURNAL_FAULTS_H

#include <unistd.h>

#include "clock/clock.h"
#include "file/file.h"
/* Last. */
#include "base/faults.h"

void *__real_file_memory(size_t size, size_t alignment);
void *__wrap_file_memory(size_t size, size_t alignment);
void __real_file_memory_free(void *memory, size_t size);
void __wrap_file_memory_free(void *memory, size_t size);

void *__wrap_file_memory(size_t size, size_t alignment)
{
	return memory_is_refused("file_memory")
		       ? NULL
		       : memory_noted(__real_file_memory(size, alignment));
}

void __wrap_file_memory_free(void *memory, size_t size)
{
	faults.memory -= memory != NULL;
	__real_file_memory_free(memory, size);
}

int __real_file_open_directory(const char *path, int *ret_directory);
int __wrap_file_open_directory(const char *path, int *ret_directory);
int __real_file_make_directory(const char *path);
int __wrap_file_make_directory(const char *path);
int __real_file_list(int dir, int (*each)(void *context, const char *name), void *context);
int __wrap_file_list(int dir, int (*each)(void *context, const char *name), void *context);
int __real_file_open(int dir, const char *name, unsigned flags, int *ret_file);
int __wrap_file_open(int dir, const char *name, unsigned flags, int *ret_file);
int __real_file_stat(int file, struct file_stat *ret);
int __wrap_file_stat(int file, struct file_stat *ret);
int __wrap_file_geometry(int dir, struct file_geometry *ret);
int64_t __real_file_read(int file, void *data, size_t size, uint64_t offset);
int64_t __wrap_file_read(int file, void *data, size_t size, uint64_t offset);
int __real_file_write(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_write_durable(int file, const void *data, size_t size, uint64_t offset);
int __real_file_reserve(int file, uint64_t size);
int __wrap_file_reserve(int file, uint64_t size);
int __real_file_truncate(int file, uint64_t size);
int __wrap_file_truncate(int file, uint64_t size);
int __wrap_file_flush(int file);
int __wrap_file_flush_directory(int dir);
int __real_file_rename(int dir, const char *from, const char *to, bool replace);
int __wrap_file_rename(int dir, const char *from, const char *to, bool replace);
int __real_file_remove(int dir, const char *name);
int __wrap_file_remove(int dir, const char *name);
int __real_file_lock(int file, bool exclusive);
int __wrap_file_lock(int file, bool exclusive);
int __real_file_map(int file, size_t size, bool writable, void **ret_memory);
int __wrap_file_map(int file, size_t size, bool writable, void **ret_memory);
int __real_file_space(int dir, struct file_space *ret);
int __wrap_file_space(int dir, struct file_space *ret);
void __wrap_clock_sleep_ns(uint64_t ns);

int __wrap_file_open_directory(const char *path, int *ret_directory)
{
	int error = fault_step(FAULT_IO | FAULT_DESCRIPTORS, "file_open_directory");

	return error != 0 ? -error : __real_file_open_directory(path, ret_directory);
}

int __wrap_file_make_directory(const char *path)
{
	int error = fault_step(FAULT_IO | FAULT_ROOM | FAULT_DESCRIPTORS, "file_make_directory");

	return error != 0 ? -error : __real_file_make_directory(path);
}

int __wrap_file_list(int dir, int (*each)(void *context, const char *name), void *context)
{
	int error = fault_step(FAULT_IO | FAULT_DESCRIPTORS | FAULT_MEMORY, "file_list");

	return error != 0 ? -error : __real_file_list(dir, each, context);
}

int __wrap_file_open(int dir, const char *name, unsigned flags, int *ret_file)
{
	unsigned kinds = FAULT_IO | FAULT_DESCRIPTORS | ((flags & FILE_CREATE) ? FAULT_ROOM : 0);
	int error = fault_step(kinds, "file_open");

	flags &= ~(unsigned)FILE_DIRECT;
	return error != 0 ? -error : __real_file_open(dir, name, flags, ret_file);
}

int __wrap_file_stat(int file, struct file_stat *ret)
{
	int error = fault_step(FAULT_IO, "file_stat");

	return error != 0 ? -error : __real_file_stat(file, ret);
}

int __wrap_file_geometry(int dir, struct file_geometry *ret)
{
	int error = fault_step(FAULT_IO | FAULT_ROOM | FAULT_DESCRIPTORS, "file_geometry");

	(void)dir;
	if (error != 0)
		return -error;
	*ret = (struct file_geometry){ .direct = true,
				       .memory_alignment = 4096,
				       .offset_alignment = 4096,
				       .block_size = 4096 };
	return 0;
}

/* The file that only reads of are to fail. */
static bool is_the_file(int file)
{
	char link[64];
	char name[400];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	size = readlink(link, name, sizeof(name) - 1);
	assert_true(size > 0);
	name[size] = '\0';
	return strcmp(strrchr(name, '/') + 1, faults.file) == 0;
}

int64_t __wrap_file_read(int file, void *data, size_t size, uint64_t offset)
{
	int error = fault_step(FAULT_IO, "file_read");

	if (faults.armed && faults.file != NULL && offset < faults.end &&
	    offset + size > faults.from && is_the_file(file))
		error = EIO;
	return error != 0 ? -error : __real_file_read(file, data, size, offset);
}

int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset)
{
	int error = fault_step(FAULT_IO | FAULT_ROOM, "file_write");

	return error != 0 ? -error : __real_file_write(file, data, size, offset);
}

int __wrap_file_write_durable(int file, const void *data, size_t size, uint64_t offset)
{
	int error = fault_step(FAULT_IO | FAULT_ROOM, "file_write_durable");

	return error != 0 ? -error : __real_file_write(file, data, size, offset);
}

int __wrap_file_reserve(int file, uint64_t size)
{
	int error = fault_step(FAULT_IO | FAULT_ROOM, "file_reserve");

	return error != 0 ? -error : __real_file_reserve(file, size);
}

int __wrap_file_truncate(int file, uint64_t size)
{
	int error = fault_step(FAULT_IO | FAULT_ROOM, "file_truncate");

	return error != 0 ? -error : __real_file_truncate(file, size);
}

int __wrap_file_flush(int file)
{
	(void)file;
	return -fault_step(FAULT_IO | FAULT_ROOM, "file_flush");
}

int __wrap_file_flush_directory(int dir)
{
	(void)dir;
	return -fault_step(FAULT_IO | FAULT_ROOM, "file_flush_directory");
}

int __wrap_file_rename(int dir, const char *from, const char *to, bool replace)
{
	int error = fault_step(FAULT_IO | FAULT_ROOM, "file_rename");

	return error != 0 ? -error : __real_file_rename(dir, from, to, replace);
}

int __wrap_file_remove(int dir, const char *name)
{
	int error = fault_step(FAULT_IO, "file_remove");

	return error != 0 ? -error : __real_file_remove(dir, name);
}

int __wrap_file_lock(int file, bool exclusive)
{
	int error = fault_step(FAULT_IO | FAULT_MEMORY, "file_lock");

	return error != 0 ? -error : __real_file_lock(file, exclusive);
}

int __wrap_file_map(int file, size_t size, bool writable, void **ret_memory)
{
	int error = fault_step(FAULT_MEMORY, "file_map");

	return error != 0 ? -error : __real_file_map(file, size, writable, ret_memory);
}

int __wrap_file_space(int dir, struct file_space *ret)
{
	int error = fault_step(FAULT_IO, "file_space");

	return error != 0 ? -error : __real_file_space(dir, ret);
}

/* Who waits for room, or for a lock, does not make the test wait. */
void __wrap_clock_sleep_ns(uint64_t ns)
{
	(void)ns;
}

#endif
