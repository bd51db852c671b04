/* The disk itself: its room, its counters, and what can be switched on from outside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_private.h"
#include "fault.h"
#include "world.h"

struct disk *disks;
static uint64_t disk_last;

struct disk *disk_create(uint64_t capacity, bool direct)
{
	struct disk *disk = sim_alloc(sizeof(*disk));

	disk->number = ++disk_last;
	disk->capacity = capacity;
	disk->direct = direct;
	disk->reorder = (uint32_t)world_draw(4) * 250000;
	disk->inodes_end = &disk->inodes;
	disk->directories_end = &disk->directories;
	disk->writes_end = &disk->writes;
	disk->next = disks;
	disks = disk;
	(void)directory_make(disk, "/data");
	disk->directories->durable = true;
	return disk;
}

void disk_destroy(struct disk *disk)
{
	struct disk **place = &disks;

	if (disk == NULL)
		return;
	files_forget_disk(disk);
	while (disk->writes != NULL)
		write_forget(disk->writes);
	while (disk->directories != NULL) {
		struct directory *directory = disk->directories;

		disk->directories = directory->next;
		directory_forget(directory);
	}
	if (disk->inodes != NULL)
		world_fail("a file of a disk is still open at the disk's end");
	while (*place != disk)
		place = &(*place)->next;
	*place = disk->next;
	sim_free(disk);
}

/* --- room */

uint64_t disk_free(const struct disk *disk)
{
	uint64_t taken = disk->used * DISK_PAGE + disk->occupied;

	return taken < disk->capacity ? (disk->capacity - taken) / DISK_PAGE : 0;
}

void disk_occupy(struct disk *disk, uint64_t bytes)
{
	disk->occupied = bytes;
}

void disk_enlarge(struct disk *disk, uint64_t bytes)
{
	disk->capacity += bytes;
}

int inode_charge(struct inode *inode, uint64_t end)
{
	uint64_t pages = (end + DISK_PAGE - 1) / DISK_PAGE;

	if (pages <= inode->room)
		return 0;
	if (inode->charged) {
		if (pages - inode->room > disk_free(inode->disk)) {
			fault_happened(FAULT_NO_SPACE);
			return -ENOSPC;
		}
		inode->disk->used += pages - inode->room;
	}
	inode->room = pages;
	return 0;
}

/* --- what goes wrong on request */

void disk_break(struct disk *disk, bool broken)
{
	disk->broken = broken;
	if (!broken)
		disk->writes_broken = disk->flushes_broken = false;
}

bool disk_is_broken(const struct disk *disk)
{
	return disk->broken || disk->writes_broken || disk->flushes_broken;
}

void disk_server_started(struct disk *disk)
{
	disk->server_starts++;
	corrupt_at_start(disk);
	if (disk->heal_after == 0)
		disk->writes_broken = disk->flushes_broken = false;
	else
		disk->heal_after--;
}

void disk_fail_operation(struct disk *disk, uint64_t n, int error, bool forever)
{
	disk->fail_at = n == 0 ? 0 : disk->operations + n;
	disk->fail_error = -abs(error);
	disk->fail_forever = forever;
}

uint64_t disk_operations(const struct disk *disk)
{
	return disk->operations;
}

uint64_t disk_name_changes(const struct disk *disk)
{
	return disk->name_changes;
}

void disk_on_operation(struct disk *disk, void (*call)(void *context, uint64_t number),
		       void *context)
{
	disk->on_operation = call;
	disk->operation_context = context;
}

int disk_operation(struct disk *disk, uint64_t *ret_number)
{
	uint64_t number = ++disk->operations;

	*ret_number = number;
	if (disk->fail_at == 0)
		return 0;
	if (number == disk->fail_at || (number > disk->fail_at && disk->fail_forever))
		return disk->fail_error;
	return 0;
}

void disk_operation_done(struct disk *disk, uint64_t number)
{
	if (disk->on_operation != NULL)
		disk->on_operation(disk->operation_context, number);
}

int disk_write_error(struct disk *disk)
{
	if (faults_stopped())
		disk->writes_broken = disk->flushes_broken = false;
	if (disk->broken || disk->writes_broken)
		return -EIO;
	if (fault_happens(FAULT_WRITE_ERROR_FOREVER)) {
		disk->writes_broken = true;
		disk->heal_after = (unsigned)world_between(0, 2);
		return -EIO;
	}
	if (fault_happens(FAULT_WRITE_ERROR))
		return world_chance(250000) ? -ENOSPC : -EIO;
	return 0;
}

/* --- for the checks */

static struct inode *find_inode(const struct disk *disk, uint64_t number)
{
	for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
		if (inode->number == number)
			return inode;
	return NULL;
}

bool disk_medium_read(const struct disk *disk, uint64_t number, uint64_t offset, void *out,
		      size_t size)
{
	struct inode *inode = find_inode(disk, number);
	uint8_t *to = out;

	if (inode == NULL)
		return false;
	inode_gather(inode);
	if (!inode_certain(inode, offset, size))
		return false;
	while (size > 0) {
		uint64_t page = offset / DISK_PAGE;
		size_t at = offset % DISK_PAGE;
		size_t part = DISK_PAGE - at < size ? DISK_PAGE - at : size;

		if (page < inode->page_count)
			memcpy(to, blob_bytes(inode->pages[page].medium) + at, part);
		else
			memset(to, 0, part);
		to += part;
		offset += part;
		size -= part;
	}
	return true;
}

bool disk_read(const struct disk *disk, uint64_t number, uint64_t offset, void *out, size_t size)
{
	struct inode *inode = find_inode(disk, number);

	return inode != NULL && inode_read(inode, out, size, offset, false) == size;
}

bool disk_medium_name(const struct disk *disk, const char *path, uint64_t number, char ret[256])
{
	const struct directory *directory = directory_find(disk, path);

	if (directory == NULL || !directory->durable)
		return false;
	for (unsigned i = 0; i < directory->medium.count; i++) {
		const struct entry *entry = &directory->medium.list[i];
		bool pending = false;

		if (entry->inode->number != number)
			continue;
		for (unsigned k = 0; k < directory->pending_count; k++)
			if (strcmp(directory->pending[k].from, entry->name) == 0 ||
			    strcmp(directory->pending[k].to, entry->name) == 0)
				pending = true;
		if (pending)
			continue;
		memcpy(ret, entry->name, DISK_NAME_SIZE);
		return true;
	}
	return false;
}

void disk_list(const struct disk *disk, const char *path,
	       void (*each)(void *context, const char *name, uint64_t inode, uint64_t size),
	       void *context)
{
	const struct directory *directory = directory_find(disk, path);

	for (unsigned i = 0; directory != NULL && i < directory->now.count; i++) {
		const struct entry *entry = &directory->now.list[i];

		each(context, entry->name, entry->inode->number, entry->inode->size);
	}
}
