/* Opening, first of all: the directory, its lock, and the lock file that readers map. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mutant.h"
#include "clock/clock.h"
#include "journal/opening.h"

/* Half a second in all: a killed server has let go long before, and who starts a second one by mistake learns of it soon. */
enum { LOCK_TRIES = 50, LOCK_PAUSE_NS = 10000000 };

static int lock_refused(struct opening *o, int file)
{
	uint8_t content[LOCK_SIZE] = { 0 };
	const char *path = o->j->config.path;

	if (file_lock(file, false) == 0)
		return failure_set(o->why, EXIT_CREATE, 0, "journal %s: a reader holds its lock",
				   path);
	(void)file_read(file, content, sizeof(content), 0);
	return failure_set(o->why, EXIT_CREATE, 0, "journal %s: in use by process %llu", path,
			   (unsigned long long)get_u64(content + LOCK_HOLDER_AT));
}

/* Who holds it may let go in a moment: a reader that shows what no claim covers, and a server that has been killed and is not quite dead
 * yet. Wait for that. */
static int take_lock(struct opening *o, int file)
{
	int error = -EWOULDBLOCK;

	for (int i = 0; i < LOCK_TRIES && error == -EWOULDBLOCK; i++) {
		if (i != 0)
			clock_sleep_ns(LOCK_PAUSE_NS);
		error = file_lock(file, true);
	}
	if (error == -EWOULDBLOCK)
		return lock_refused(o, file);
	if (error != 0)
		return failure_set(o->why, EXIT_CREATE, -error, "lock journal %s",
				   o->j->config.path);
	return 0;
}

bool opening_wait_for_room(struct opening *o, const char *step, bool *announced)
{
	const struct journal_config *config = &o->j->config;
	char text[300];

	if (config->stop != NULL && config->stop(config->context))
		return false;
	if (!*announced && config->notice != NULL) {
		snprintf(text, sizeof(text), "journal %s: %s: no room on the disk, waiting",
			 config->path, step);
		config->notice(config->context, text);
	}
	*announced = true;
	clock_sleep_ns(FULL_RETRY_NS);
	return config->stop == NULL || !config->stop(config->context);
}

/* Its bytes must exist before it is mapped: a store into a hole of a full disk would be a bus error. */
static int fill_lock_file(struct opening *o, int file)
{
	static const uint8_t zeros[LOCK_SIZE];
	struct file_stat stat;
	bool announced = false;
	int error = file_stat(file, &stat);

	while (error == 0 && stat.size < LOCK_SIZE) {
		error = file_write_durable(file, zeros, LOCK_SIZE, 0);
		if (error == -EOPNOTSUPP) { /* no such writes here */
			error = file_write(file, zeros, LOCK_SIZE, 0);
			if (error == 0)
				error = file_flush(file);
		}
		if (error == 0)
			break;
		if (!store_is_no_room(error))
			break;
		if (!opening_wait_for_room(o, "make its lock file", &announced))
			return failure_set(o->why, EXIT_DONE, EINTR, "journal %s",
					   o->j->config.path);
		error = 0;
	}
	if (error != 0)
		return failure_set(o->why, EXIT_IO, -error, "write lock file of journal %s",
				   o->j->config.path);
	return 0;
}

int opening_lock(struct opening *o)
{
	struct store *store = &o->j->store;
	const char *path = o->j->config.path;
	void *memory;
	int error;

	error = file_make_directory(path);
	if (error != 0)
		return failure_set(o->why, EXIT_CREATE, -error, "%sjournal %s",
				   error == -ENOTDIR ? "" : "make ", path); /* it is a file */
	error = file_open_directory(path, &store->directory);
	if (error != 0)
		return failure_set(o->why, EXIT_CREATE, -error, "open journal %s", path);
	error = file_open(store->directory, NAME_LOCK, FILE_WRITE | FILE_CREATE, &store->lock_file);
	if (error != 0)
		return failure_set(o->why, EXIT_CREATE, -error, "open lock file of journal %s",
				   path);
	error = take_lock(o, store->lock_file);
	if (error != 0)
		return error;
	error = fill_lock_file(o, store->lock_file);
	if (error != 0)
		return error;
	error = file_map(store->lock_file, LOCK_SIZE, true, &memory);
	if (error != 0)
		return failure_set(o->why, EXIT_IO, -error, "map lock file of journal %s", path);
	store->lock = memory;
	o->former_holder = __atomic_load_n((uint64_t *)(uintptr_t)(store->lock + LOCK_HOLDER_AT),
					   __ATOMIC_RELAXED);
	__atomic_store_n((uint64_t *)(uintptr_t)(store->lock + LOCK_HOLDER_AT), (uint64_t)getpid(),
			 __ATOMIC_RELAXED);
	error = MUTANT(30) ? 0 : file_flush_directory(store->directory);
	if (error != 0)
		return failure_set(o->why, EXIT_IO, -error, "flush directory of journal %s", path);
	return 0;
}

/* A refused opening changes nothing, not even this. */
void opening_unlock(struct opening *o)
{
	struct store *store = &o->j->store;

	if (store->lock == NULL)
		return;
	__atomic_store_n((uint64_t *)(uintptr_t)(store->lock + LOCK_HOLDER_AT), o->former_holder,
			 __ATOMIC_RELAXED);
	file_unmap((void *)(uintptr_t)store->lock, LOCK_SIZE);
	store->lock = NULL;
}
