#include "journal/lock_view.h"

#include <endian.h>
#include <errno.h>
#include <stddef.h>

#include "file/file.h"
#include "journal/format.h"

enum { LOAD_TRIES = 1000 };

static int map(struct lock_view *view, int file)
{
	struct file_stat stat;
	void *memory = NULL;
	int error = file_stat(file, &stat);

	if (error != 0)
		return error;
	/* A server that is just making it has not written it yet; touching what is not there would be a bus error. */
	if (stat.size >= LOCK_SIZE) {
		error = file_map(file, LOCK_SIZE, false, &memory);
		if (error != 0)
			return error;
	}
	view->file = file;
	view->memory = memory;
	view->inode = stat.inode;
	return 0;
}

int lock_view_open(struct lock_view *view, int directory)
{
	int file;
	int error;

	*view = (struct lock_view){ .directory = directory, .file = -1 };
	error = file_open(directory, NAME_LOCK, FILE_READ, &file);
	if (error == -ENOENT)
		return 0;
	if (error == -EACCES || error == -EPERM) {
		view->refused = true;
		return 0;
	}
	if (error != 0)
		return error;
	error = map(view, file);
	if (error != 0)
		file_close(file);
	return error;
}

void lock_view_close(struct lock_view *view)
{
	if (view->memory != NULL)
		file_unmap(view->memory, LOCK_SIZE);
	if (view->file >= 0)
		file_close(view->file);
	*view = (struct lock_view){ .directory = view->directory, .file = -1 };
}

int lock_view_renew(struct lock_view *view)
{
	struct lock_view now;
	int error = lock_view_open(&now, view->directory);

	if (error != 0)
		return error;
	if ((now.file >= 0) == (view->file >= 0) &&
	    (now.memory != NULL) == (view->memory != NULL) && now.inode == view->inode &&
	    now.refused == view->refused) {
		lock_view_close(&now);
		return 0;
	}
	lock_view_close(view);
	*view = now;
	return 1;
}

static uint64_t load(const uint8_t *lock, size_t at)
{
	return le64toh(
		__atomic_load_n((const uint64_t *)(uintptr_t)(lock + at), __ATOMIC_ACQUIRE));
}

static void store(uint8_t *lock, size_t at, uint64_t value)
{
	__atomic_store_n((uint64_t *)(uintptr_t)(lock + at), htole64(value), __ATOMIC_RELEASE);
}

void lock_number_store(uint8_t *lock, uint64_t number)
{
	/* What it vouches for was on the disk before. */
	store(lock, LOCK_DURABLE_AT, number);
	store(lock, LOCK_CHECK_AT, ~number);
}

uint64_t lock_number_load(const uint8_t *lock)
{
	/* Between the server's two stores they do not fit for a moment. */
	for (unsigned i = 0; i < LOAD_TRIES; i++) {
		uint64_t number = load(lock, LOCK_DURABLE_AT);

		if (load(lock, LOCK_CHECK_AT) == ~number)
			return number;
	}
	return 0;
}

uint64_t lock_view_number(const struct lock_view *view)
{
	return view->memory != NULL ? lock_number_load(view->memory) : 0;
}

uint64_t lock_view_holder(const struct lock_view *view)
{
	return view->memory != NULL ? load(view->memory, LOCK_HOLDER_AT) : 0;
}

int lock_view_take(struct lock_view *view)
{
	int error = 0;

	if (view->taken)
		return 1;
	if (view->file < 0)
		error = lock_view_renew(view);
	if (error < 0)
		return error;
	if (view->refused)
		return 0;
	if (view->file >= 0)
		error = file_lock(view->file, false);
	if (error == -EWOULDBLOCK)
		return 0;
	if (error < 0)
		return error;
	view->taken = true;
	return 1;
}

void lock_view_give(struct lock_view *view)
{
	if (view->taken && view->file >= 0)
		(void)file_unlock(view->file);
	view->taken = false;
}
