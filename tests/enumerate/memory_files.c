#include "memory_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "file/file.h"
#include "journal/format.h"

/* Descriptors: 1 + the place in the list. The directory has the one behind. */
enum { DIRECTORY = MEMORY_FILES_MAX + 1, CACHE_MAX = 16 };

struct memory_file memory_files[MEMORY_FILES_MAX];
static uint64_t largest;

static void give_up(const char *what, const char *name)
{
	fprintf(stderr, "memory_files: %s %s: %s\n", what, name, strerror(errno));
	exit(74);
}

static void load_one(const char *path, const char *name, struct memory_file *file)
{
	char full[4096];
	FILE *in;

	must(strlen(name) < sizeof(file->name));
	snprintf(full, sizeof(full), "%s/%s", path, name);
	in = fopen(full, "rb");
	file->data = calloc(1, MEMORY_FILE_MAX);
	if (in == NULL || file->data == NULL)
		give_up("open", full);
	strcpy(file->name, name);
	file->present = true;
	file->size = fread(file->data, 1, MEMORY_FILE_MAX, in);
	if (ferror(in) || file->size == MEMORY_FILE_MAX)
		give_up("read", full);
	fclose(in);
	if (file->size > largest)
		largest = file->size;
}

void memory_files_load(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	if (directory == NULL)
		give_up("open", path);
	while ((entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		must(count < MEMORY_FILES_MAX - 1); /* one place is for the lock file */
		load_one(path, entry->d_name, &memory_files[count++]);
	}
	closedir(directory);
	if (memory_files_find(NAME_LOCK) == NULL) {
		strcpy(memory_files[count].name, NAME_LOCK);
		memory_files[count].data = calloc(1, MEMORY_FILE_MAX);
		must(memory_files[count].data != NULL);
	}
}

struct memory_file *memory_files_find(const char *name)
{
	for (unsigned i = 0; i < MEMORY_FILES_MAX; i++)
		if (strcmp(memory_files[i].name, name) == 0)
			return &memory_files[i];
	return NULL;
}

void memory_files_refuse(const char *what)
{
	fprintf(stderr, "memory_files: %s, where nothing may be changed\n", what);
	abort();
}

static struct memory_file *of(int file)
{
	must(file >= 1 && file <= MEMORY_FILES_MAX && memory_files[file - 1].present);
	return &memory_files[file - 1];
}

/* --- file.h */

int file_open_directory(const char *path, int *ret_directory)
{
	(void)path;
	*ret_directory = DIRECTORY;
	return 0;
}

int file_make_directory(const char *path)
{
	(void)path;
	return 0;
}

int file_list(int directory, int (*each)(void *context, const char *name), void *context)
{
	int result = 0;

	must(directory == DIRECTORY);
	for (unsigned i = 0; i < MEMORY_FILES_MAX && result == 0; i++)
		if (memory_files[i].present)
			result = each(context, memory_files[i].name);
	return result;
}

int file_open(int directory, const char *name, unsigned flags, int *ret_file)
{
	struct memory_file *file = memory_files_find(name);

	must(directory == DIRECTORY);
	must((flags & FILE_WRITE) == 0 || strcmp(name, NAME_LOCK) == 0);
	if (file == NULL || (!file->present && (flags & FILE_CREATE) == 0))
		return -ENOENT;
	file->present = true;
	*ret_file = 1 + (int)(file - memory_files);
	return 0;
}

void file_close(int file)
{
	must(file >= 1 && file <= DIRECTORY);
}

int file_stat(int file, struct file_stat *ret)
{
	*ret = (struct file_stat){ .size = of(file)->size, .inode = (uint64_t)file };
	return 0;
}

/* As on a file system with direct I/O. */
int file_geometry(int directory, struct file_geometry *ret)
{
	must(directory == DIRECTORY);
	*ret = (struct file_geometry){ .direct = true,
				       .memory_alignment = 4096,
				       .offset_alignment = 4096,
				       .block_size = 4096 };
	return 0;
}

int64_t file_read(int file, void *data, size_t size, uint64_t offset)
{
	const struct memory_file *f = of(file);
	uint64_t left = offset < f->size ? f->size - offset : 0;

	if (left < size)
		size = left;
	memcpy(data, f->data + offset, size);
	return (int64_t)size;
}

int file_write(int file, const void *data, size_t size, uint64_t offset)
{
	(void)file, (void)data, (void)size, (void)offset;
	memory_files_refuse("a write");
}

/* A lock file that is too short is filled. */
int file_write_durable(int file, const void *data, size_t size, uint64_t offset)
{
	struct memory_file *f = of(file);

	must(strcmp(f->name, NAME_LOCK) == 0 && offset == 0 && f->size < LOCK_SIZE &&
	     size == LOCK_SIZE);
	memcpy(f->data, data, size);
	f->size = size;
	return 0;
}

int file_reserve(int file, uint64_t size)
{
	(void)file, (void)size;
	memory_files_refuse("a reservation");
}

int file_truncate(int file, uint64_t size)
{
	(void)file, (void)size;
	memory_files_refuse("a truncation");
}

int file_flush(int file)
{
	(void)of(file);
	return 0;
}

int file_flush_directory(int directory)
{
	must(directory == DIRECTORY);
	return 0;
}

int file_rename(int directory, const char *from, const char *to, bool replace)
{
	(void)directory, (void)from, (void)to, (void)replace;
	memory_files_refuse("a rename");
}

int file_remove(int directory, const char *name)
{
	(void)directory, (void)name;
	memory_files_refuse("a removal");
}

/* Nobody else is here. */
int file_lock(int file, bool exclusive)
{
	(void)exclusive;
	(void)of(file);
	return 0;
}

int file_unlock(int file)
{
	(void)of(file);
	return 0;
}

int file_map(int file, size_t size, bool writable, void **ret_memory)
{
	(void)writable;
	must(of(file)->size >= size);
	*ret_memory = of(file)->data;
	return 0;
}

void file_unmap(void *memory, size_t size)
{
	(void)memory, (void)size;
}

int file_space(int directory, struct file_space *ret)
{
	must(directory == DIRECTORY);
	*ret = (struct file_space){ .free = UINT64_C(1) << 40, .total = UINT64_C(1) << 41 };
	return 0;
}

/* Buffers are used again. Only file_read writes into them, from their beginning on, so there is not more to be cleared than the largest
 * file has. */
static struct {
	void *memory;
	size_t size;
} cache[CACHE_MAX];

void *file_memory(size_t size, size_t alignment)
{
	void *memory;

	for (unsigned i = 0; i < CACHE_MAX; i++) {
		if (cache[i].size == size) {
			memory = cache[i].memory;
			cache[i].size = 0;
			return memory;
		}
	}
	memory = aligned_alloc(COMMIT_BLOCK_MAX, (size + COMMIT_BLOCK_MAX - 1) / COMMIT_BLOCK_MAX *
							 COMMIT_BLOCK_MAX);
	must(alignment <= COMMIT_BLOCK_MAX);
	if (memory != NULL)
		memset(memory, 0, size);
	return memory;
}

void file_memory_free(void *memory, size_t size)
{
	if (memory == NULL)
		return;
	memset(memory, 0, size < largest ? size : largest);
	for (unsigned i = 0; i < CACHE_MAX; i++) {
		if (cache[i].size == 0) {
			cache[i].memory = memory;
			cache[i].size = size;
			return;
		}
	}
	free(memory);
}
