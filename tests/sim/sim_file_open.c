/* The file door's half that knows processes: descriptors, locks, mappings, memory, and what is left when one ends.
 *
 * Descriptors belong to a process, the lowest free one is taken, from 1000 on. The world itself (the final checks, when no process is
 * running) has a table too, and the disk that disk_default has named. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "disk_private.h"
#include "file/file.h"
#include "memory.h"
#include "process.h"
#include "world.h"

struct mapping {
	void *memory;
	size_t size;
	struct inode *inode;
	struct mapping *next;
};

/* What file_memory has given. */
struct area {
	void *memory;
	size_t size;
	struct area *next;
};

struct files {
	struct process *process;  /* NULL: the world itself */
	struct fiber *first;      /* the thread that came here first */
	struct open_file **open;  /* by descriptor, from DISK_DESCRIPTOR_FIRST on */
	unsigned room;
	unsigned count;
	struct mapping *mappings;
	struct area *areas;
	struct listing *listings; /* being walked */
	bool has_failed;          /* for good, in a thread that is not the first, and nobody has asked yet */
	struct files *next;
};

static struct files *tables;
static struct disk *world_disk;

void disk_default(struct disk *disk)
{
	world_disk = disk;
}

struct disk *disk_here(void)
{
	const struct process *process = process_current();

	return process == NULL ? world_disk : process->host->disk;
}

static struct files *table_of(const struct process *process)
{
	struct files *files = tables;

	while (files != NULL && files->process != process)
		files = files->next;
	return files;
}

static struct files *mine(void)
{
	struct process *process = process_current();
	struct files *files = table_of(process);

	if (files == NULL) {
		files = sim_alloc(sizeof(*files));
		files->process = process;
		files->first = fiber_current();
		files->next = tables;
		tables = files;
	}
	return files;
}

bool thread_is_second(void)
{
	return process_current() != NULL && mine()->first != fiber_current();
}

void call_failed_for_good(void)
{
	struct process *process = process_current();

	if (process == NULL || !process->is_server)
		return;
	if (thread_is_second())
		mine()->has_failed = true;
	else
		check_io_error(process);
}

bool disk_job_has_failed(struct process *process)
{
	struct files *files = table_of(process);
	bool has_failed = files != NULL && files->has_failed;

	if (has_failed)
		files->has_failed = false;
	return has_failed;
}

bool disk_aligned(const void *data, size_t size, uint64_t offset)
{
	return (uintptr_t)data % DISK_SECTOR == 0 && size % DISK_SECTOR == 0 &&
	       offset % DISK_SECTOR == 0;
}

/* --- descriptors */

struct open_file *open_file_find(int number)
{
	const struct files *files = mine();
	unsigned at = (unsigned)(number - DISK_DESCRIPTOR_FIRST);

	return number >= DISK_DESCRIPTOR_FIRST && at < files->room ? files->open[at] : NULL;
}

int open_file_add(struct open_file open)
{
	struct files *files = mine();
	struct open_file *file = sim_alloc(sizeof(*file));
	unsigned at = 0;

	*file = open;
	if (open.inode != NULL)
		inode_hold(open.inode, true);
	while (at < files->room && files->open[at] != NULL)
		at++;
	if (at == files->room) {
		unsigned room = files->room == 0 ? 16 : files->room * 2;

		files->open = sim_resize(files->open, room * sizeof(files->open[0]));
		memset(files->open + files->room, 0,
		       (room - files->room) * sizeof(files->open[0]));
		files->room = room;
	}
	files->open[at] = file;
	files->count++;
	return (int)at + DISK_DESCRIPTOR_FIRST;
}

static void close_at(struct files *files, unsigned at)
{
	struct open_file *file = files->open[at];

	files->open[at] = NULL;
	files->count--;
	if (file->inode != NULL)
		inode_release(file->inode, true);
	sim_free(file);
}

void file_close(int file)
{
	if (open_file_find(file) == NULL)
		world_fail("descriptor %d is closed, and was not open", file);
	close_at(mine(), (unsigned)(file - DISK_DESCRIPTOR_FIRST));
}

unsigned disk_descriptors(const struct process *process)
{
	const struct files *files = table_of(process);

	return files == NULL ? 0 : files->count;
}

/* --- locks */

static bool is_held(const struct inode *inode, const struct open_file *but, bool exclusive)
{
	for (const struct files *files = tables; files != NULL; files = files->next)
		for (unsigned i = 0; i < files->room; i++) {
			const struct open_file *other = files->open[i];

			if (other == NULL || other == but || other->inode != inode)
				continue;
			if (other->lock == LOCK_EXCLUSIVE ||
			    (exclusive && other->lock != LOCK_NONE))
				return true;
		}
	return false;
}

int open_file_lock(struct open_file *file, bool exclusive)
{
	enum lock_kind kind = exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED;

	if (file->inode == NULL)
		return -EBADF;
	if (file->lock == kind)
		return 0;
	if (!is_held(file->inode, file, exclusive)) {
		file->lock = kind;
		return 0;
	}
	/* Linux gives an old lock up before it looks whether it can have the new one. Nobody may count on that, or on the contrary. */
	if (file->lock != LOCK_NONE && process_current() != NULL && world_draw(2) == 0)
		file->lock = LOCK_NONE;
	return -EWOULDBLOCK;
}

/* --- mappings: all of a file's show the same memory, which is a part of its page cache */

static int map_inode(struct inode *inode, size_t size)
{
	size_t whole = (size + DISK_PAGE - 1) / DISK_PAGE * DISK_PAGE;

	if (inode->mapped == NULL) {
		uint8_t *memory = sim_alloc(whole);

		inode_read(inode, memory, whole, 0, false);
		inode->mapped = memory;
		inode->mapped_size = whole;
	}
	return whole <= inode->mapped_size ? 0 : -ENOMEM;
}

int open_file_map(struct open_file *file, size_t size, bool writable, void **ret_memory)
{
	struct files *files = mine();
	struct inode *inode = file->inode;
	struct mapping *mapping;
	int error;

	if (inode == NULL)
		return -ENODEV;
	if (size == 0)
		return -EINVAL;
	if (writable && !file->writable)
		return -EACCES;
	if (size > inode->size)
		world_fail("a mapping reaches beyond the end of its file");
	error = map_inode(inode, size);
	if (error != 0)
		return error;
	inode_hold(inode, true);
	inode->mappings++;
	mapping = sim_alloc(sizeof(*mapping));
	*mapping = (struct mapping){ inode->mapped, size, inode, files->mappings };
	files->mappings = mapping;
	*ret_memory = inode->mapped;
	return 0;
}

static void unmap(struct mapping **place)
{
	struct mapping *mapping = *place;
	struct inode *inode = mapping->inode;

	*place = mapping->next;
	inode_gather(inode);
	if (--inode->mappings == 0) {
		sim_free(inode->mapped);
		inode->mapped = NULL;
		inode->mapped_size = 0;
	}
	inode_release(inode, true);
	sim_free(mapping);
}

void file_unmap(void *memory, size_t size)
{
	struct mapping **place = &mine()->mappings;

	while (*place != NULL && ((*place)->memory != memory || (*place)->size != size))
		place = &(*place)->next;
	if (*place == NULL)
		world_fail("a mapping is given back, and there is none");
	unmap(place);
}

/* --- memory */

void *file_memory(size_t size, size_t alignment)
{
	struct files *files = mine();
	struct area *area;
	void *pages;

	if (size == 0 || (alignment & (alignment - 1)) != 0)
		return NULL;
	pages = memory_pages(size, alignment, alignment <= DISK_PAGE); /* buffers to read into */
	if (pages == NULL)
		return NULL;
	area = sim_alloc(sizeof(*area));
	*area = (struct area){ pages, size, files->areas };
	files->areas = area;
	return pages;
}

void file_memory_free(void *memory, size_t size)
{
	struct area **place = &mine()->areas;
	struct area *area;

	if (memory == NULL)
		return;
	while (*place != NULL && (*place)->memory != memory)
		place = &(*place)->next;
	area = *place;
	if (area == NULL)
		world_fail("file_memory_free: this was not from file_memory");
	if (area->size != size)
		world_fail("file_memory_free: %zu bytes, and there were %zu", size, area->size);
	*place = area->next;
	memory_pages_free(area->memory, area->size);
	sim_free(area);
}

/* --- lists of names */

struct listing *listing_begin(const struct directory *directory)
{
	struct files *files = mine();
	struct listing *listing = sim_alloc(sizeof(*listing));
	unsigned others = 0;

	listing->next = files->listings;
	files->listings = listing;
	listing->names = sim_alloc((directory->now.count + 8) * sizeof(listing->names[0]));
	for (unsigned i = 0; i < directory->now.count; i++)
		memcpy(listing->names[listing->count++], directory->now.list[i].name,
		       DISK_NAME_SIZE);
	for (struct directory *at = directory->disk->directories; at && others < 8; at = at->next)
		if (at->there && at != directory &&
		    directory_parent(at->disk, at->path) == directory) {
			const char *name = strrchr(at->path, '/') + 1;

			memcpy(listing->names[listing->count++], name, strlen(name));
			others++;
		}
	if (process_current() == NULL)
		return listing;
	for (unsigned i = listing->count; i > 1; i--) {
		unsigned other = (unsigned)world_draw(i);
		char name[DISK_NAME_SIZE];

		memcpy(name, listing->names[i - 1], sizeof(name));
		memcpy(listing->names[i - 1], listing->names[other], sizeof(name));
		memcpy(listing->names[other], name, sizeof(name));
	}
	return listing;
}

void listing_end(struct listing *listing)
{
	struct listing **place = &mine()->listings;

	while (*place != listing)
		place = &(*place)->next;
	*place = listing->next;
	sim_free(listing->names);
	sim_free(listing);
}

/* --- the end of a process: the kernel tidies up, whichever way it ended */

static void forget_table(struct files **place)
{
	struct files *files = *place;

	*place = files->next;
	while (files->mappings != NULL)
		unmap(&files->mappings);
	for (unsigned i = 0; i < files->room; i++)
		if (files->open[i] != NULL)
			close_at(files, i);
	while (files->areas != NULL) { /* the memory itself goes with all of the process' memory */
		struct area *area = files->areas;

		files->areas = area->next;
		sim_free(area);
	}
	while (files->listings != NULL) {
		struct listing *listing = files->listings;

		files->listings = listing->next;
		sim_free(listing->names);
		sim_free(listing);
	}
	sim_free(files->open);
	sim_free(files);
}

void sim_file_process_ended(struct process *process, enum process_death how)
{
	struct files **place = &tables;

	(void)how;
	writes_abandon(process);
	while (*place != NULL && (*place)->process != process)
		place = &(*place)->next;
	if (*place != NULL)
		forget_table(place);
}

/* The world's own table goes with the disk; nothing of the world may still be open. */
void files_forget_disk(const struct disk *disk)
{
	struct files **place = &tables;

	if (world_disk == disk)
		world_disk = NULL;
	while (*place != NULL && (*place)->process != NULL)
		place = &(*place)->next;
	if (*place == NULL || (*place)->count > 0 || (*place)->mappings != NULL ||
	    (*place)->areas != NULL)
		return;
	forget_table(place);
}
