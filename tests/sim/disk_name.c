/* Directories and names: as the kernel shows them, as the medium has them, and what lies between.
 *
 * Each operation is a thing of its own (a rename is one, never half), which a flush of the directory carries to the medium and which
 * until then may be there after a power cut, or not. Directories are few, and known by their whole path. */
#include <errno.h>
#include <string.h>

#include "disk_private.h"
#include "fault.h"
#include "world.h"

enum { PENDING_MAX = 64, SEGMENT_NAME_LENGTH = 24 };

/* --- a list of names */

static struct entry *look(const struct names *names, const char *name)
{
	for (unsigned i = 0; i < names->count; i++)
		if (strcmp(names->list[i].name, name) == 0)
			return &names->list[i];
	return NULL;
}

static void take_out(struct names *names, struct entry *entry)
{
	struct inode *inode = entry->inode;
	size_t behind = (size_t)(names->list + names->count - (entry + 1));

	memmove(entry, entry + 1, behind * sizeof(*entry));
	names->count--;
	inode_release(inode, names->live);
}

static void put_in(struct names *names, const char *name, struct inode *inode)
{
	struct entry *entry = look(names, name);

	inode_hold(inode, names->live);
	if (entry != NULL) {
		inode_release(entry->inode, names->live);
		entry->inode = inode;
		return;
	}
	if (names->count == names->room) {
		names->room = names->room == 0 ? 8 : names->room * 2;
		names->list = sim_resize(names->list, names->room * sizeof(*names->list));
	}
	entry = &names->list[names->count++];
	memset(entry->name, 0, sizeof(entry->name));
	memcpy(entry->name, name, strlen(name));
	entry->inode = inode;
}

static void empty(struct names *names)
{
	while (names->count > 0)
		take_out(names, &names->list[names->count - 1]);
}

static void apply(struct names *names, const struct name_operation *operation)
{
	struct entry *from;

	if (operation->kind != NAME_REMOVED)
		put_in(names, operation->to, operation->inode);
	if (operation->kind == NAME_MADE)
		return;
	from = look(names, operation->from);
	if (from != NULL && from->inode == operation->inode)
		take_out(names, from);
}

/* --- directories */

/* The length of `path` without slashes at its end. */
static size_t trimmed(const char *path)
{
	size_t size = strlen(path);

	while (size > 1 && path[size - 1] == '/')
		size--;
	return size;
}

static size_t parent_size(const char *path)
{
	size_t size = trimmed(path);

	while (size > 0 && path[size - 1] != '/')
		size--;
	while (size > 1 && path[size - 1] == '/')
		size--;
	return size;
}

static struct directory *find(const struct disk *disk, const char *path, size_t size, bool gone)
{
	for (struct directory *at = disk->directories; at != NULL; at = at->next)
		if (strlen(at->path) == size && memcmp(at->path, path, size) == 0 &&
		    (at->there || gone))
			return at;
	return NULL;
}

struct directory *directory_find(const struct disk *disk, const char *path)
{
	return find(disk, path, trimmed(path), false);
}

struct directory *directory_parent(const struct disk *disk, const char *path)
{
	return find(disk, path, parent_size(path), false);
}

bool directory_holds(const struct directory *directory, const char *name)
{
	size_t size = strlen(directory->path);

	for (const struct directory *at = directory->disk->directories; at != NULL; at = at->next)
		if (at->there && strncmp(at->path, directory->path, size) == 0 &&
		    at->path[size] == '/' && strcmp(at->path + size + 1, name) == 0)
			return true;
	return false;
}

int directory_make(struct disk *disk, const char *path)
{
	size_t size = trimmed(path);
	struct directory *parent = directory_parent(disk, path);
	struct directory *directory;

	if (directory_find(disk, path) != NULL)
		return 0;
	if (parent == NULL && disk->directories != NULL)
		return -ENOENT;
	if (size >= DISK_NAME_SIZE)
		return -ENAMETOOLONG;
	if (parent != NULL && look(&parent->now, path + parent_size(path) + 1) != NULL)
		return -ENOTDIR;
	directory = find(disk, path, size, true);
	if (directory == NULL) {
		directory = sim_alloc(sizeof(*directory));
		directory->disk = disk;
		memcpy(directory->path, path, size);
		directory->now.live = true;
		*disk->directories_end = directory;
		disk->directories_end = &directory->next;
	}
	directory->there = true;
	return 0;
}

struct inode *directory_look(const struct directory *directory, const char *name)
{
	const struct entry *entry = look(&directory->now, name);

	return entry == NULL ? NULL : entry->inode;
}

/* The file system writes its own journal down now and then, unasked: only so many operations are ever in doubt. */
static void settle_oldest(struct directory *directory)
{
	apply(&directory->medium, &directory->pending[0]);
	inode_release(directory->pending[0].inode, false);
	directory->pending_count--;
	memmove(directory->pending, directory->pending + 1,
		directory->pending_count * sizeof(*directory->pending));
}

/* Do it, and remember that it is not durable. */
static void change(struct directory *directory, enum name_kind kind, const char *from,
		   const char *to, struct inode *inode)
{
	struct name_operation *operation;

	if (directory->pending_count == PENDING_MAX)
		settle_oldest(directory);
	if (directory->pending_count == directory->pending_room) {
		directory->pending_room =
			directory->pending_room == 0 ? 8 : directory->pending_room * 2;
		directory->pending =
			sim_resize(directory->pending,
				   directory->pending_room * sizeof(*directory->pending));
	}
	operation = &directory->pending[directory->pending_count++];
	memset(operation, 0, sizeof(*operation));
	operation->kind = kind;
	operation->inode = inode;
	memcpy(operation->from, from, strlen(from));
	memcpy(operation->to, to, strlen(to));
	inode_hold(inode, false);
	apply(&directory->now, operation);
	directory->disk->name_changes++;
	world_trace("disk: name", inode->number, kind);
}

void directory_add(struct directory *directory, const char *name, struct inode *inode)
{
	change(directory, NAME_MADE, "", name, inode);
}

void directory_move(struct directory *directory, const char *from, const char *to)
{
	struct inode *inode = directory_look(directory, from);

	if (strcmp(from, to) == 0)
		return;
	if (corrupt_name(from) && !corrupt_name(to))
		inode->recycled = true;
	change(directory, NAME_MOVED, from, to, inode);
}

void directory_remove(struct directory *directory, const char *name)
{
	change(directory, NAME_REMOVED, name, "", directory_look(directory, name));
}

static void forget_pending(struct directory *directory)
{
	for (unsigned i = 0; i < directory->pending_count; i++)
		inode_release(directory->pending[i].inode, false);
	directory->pending_count = 0;
}

const char *inode_name(const struct inode *inode)
{
	for (const struct directory *dir = inode->disk->directories; dir; dir = dir->next)
		for (unsigned i = 0; i < dir->now.count; i++)
			if (dir->now.list[i].inode == inode)
				return dir->now.list[i].name;
	return NULL;
}

bool is_segment_name(const char *name)
{
	size_t size = strlen(name);

	return size == SEGMENT_NAME_LENGTH && strcmp(name + size - 4, ".seg") == 0;
}

bool inode_is_published(const struct inode *inode)
{
	const char *name = inode_name(inode);

	return name != NULL && is_segment_name(name);
}

/* Directories in this one have names in it too. */
static void children_durable(const struct directory *directory)
{
	for (struct directory *at = directory->disk->directories; at != NULL; at = at->next)
		if (at->there && directory_parent(directory->disk, at->path) == directory)
			at->durable = true;
}

/* A failed flush leaves everything pending, and may have carried the first of it. (Not modelled: names that a later flush passes over in
 * silence. A file system that has failed to write its own journal stops.) */
static int flush_error(struct directory *directory)
{
	struct disk *disk = directory->disk;

	if (faults_stopped())
		disk->writes_broken = disk->flushes_broken = false;
	if (disk->broken || disk->flushes_broken)
		return -EIO;
	if (fault_happens(FAULT_FLUSH_ERROR_FOREVER)) {
		disk->flushes_broken = true;
		disk->heal_after = (unsigned)world_between(0, 2);
		return -EIO;
	}
	return fault_happens(FAULT_FLUSH_ERROR) ? -EIO : 0;
}

int directory_flush(struct directory *directory, bool faults)
{
	int error = faults ? flush_error(directory) : 0;

	if (error != 0)
		return error;
	for (unsigned i = 0; i < directory->pending_count; i++)
		apply(&directory->medium, &directory->pending[i]);
	forget_pending(directory);
	children_durable(directory);
	world_trace("disk: names flushed", directory->medium.count, 0);
	return 0;
}

/* --- the power cut */

static void count_lost(const struct names *now, const struct names *medium)
{
	for (unsigned i = 0; i < now->count; i++) {
		const struct entry *other = look(medium, now->list[i].name);

		if (other == NULL || other->inode != now->list[i].inode)
			fault_happened(FAULT_NAME_LOST);
	}
	for (unsigned i = 0; i < medium->count; i++)
		if (look(now, medium->list[i].name) == NULL)
			fault_happened(FAULT_NAME_LOST);
}

void directory_settle(struct directory *directory, bool there, bool (*keep)(void *context),
		      void *context)
{
	struct names before;

	for (unsigned i = 0; i < directory->pending_count; i++)
		if (keep(context) && there)
			apply(&directory->medium, &directory->pending[i]);
	if (!there)
		empty(&directory->medium);
	count_lost(&directory->now, &directory->medium);
	/* The medium's names first: what both have must not go in between. */
	before = directory->now;
	directory->now = (struct names){ .live = true };
	for (unsigned i = 0; i < directory->medium.count; i++)
		put_in(&directory->now, directory->medium.list[i].name,
		       directory->medium.list[i].inode);
	empty(&before);
	sim_free(before.list);
	forget_pending(directory);
	directory->there = there;
	directory->durable = there;
}

void directory_forget(struct directory *directory)
{
	forget_pending(directory);
	empty(&directory->now);
	empty(&directory->medium);
	sim_free(directory->pending);
	sim_free(directory->now.list);
	sim_free(directory->medium.list);
	sim_free(directory);
}
