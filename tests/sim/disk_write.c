/* Writes in flight: begun, landing page by page, ended; and those that their process did not live to see end.
 *
 *      begin ----> some pages land ----> the rest lands, flush, done(result)
 *         \__ abandoned: none, some or all of it lands, at once or after seconds, and nobody is told
 *
 * The world's actions know a write by its number, which is never used again, so that they find out when it has gone. */
#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "disk_private.h"
#include "fault.h"
#include "process.h"
#include "world.h"

#define MICROSECOND UINT64_C(1000)
#define MILLISECOND UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static uint64_t number_last;

static void on_end(void *context, uint64_t number);

static struct disk_write *find(uint64_t number)
{
	for (const struct disk *disk = disks; disk != NULL; disk = disk->next)
		for (struct disk_write *write = disk->writes; write != NULL; write = write->next)
			if (write->number == number)
				return write;
	return NULL;
}

static uint64_t first_page(const struct disk_write *write)
{
	return write->offset / DISK_PAGE;
}

/* The bytes that it has for this part of the page `at` of the file, and where they begin and end there; false: none. */
static bool overlap(const struct disk_write *write, uint64_t at, size_t *from, size_t *end,
		    const uint8_t **ret_data)
{
	uint64_t start = at * DISK_PAGE + *from;
	uint64_t stop = at * DISK_PAGE + *end;

	if (start < write->offset)
		start = write->offset;
	if (stop > write->offset + write->size)
		stop = write->offset + write->size;
	if (start >= stop || write->landed[at - first_page(write)])
		return false;
	*from = (size_t)(start - at * DISK_PAGE);
	*end = (size_t)(stop - at * DISK_PAGE);
	*ret_data = write->data + (start - write->offset);
	return true;
}

bool write_touches(const struct inode *inode, uint64_t page, size_t from, size_t end,
		   const uint8_t *now)
{
	for (const struct disk_write *write = inode->disk->writes; write; write = write->next) {
		size_t start = from, stop = end;
		const uint8_t *data;

		if (write->inode == inode && overlap(write, page, &start, &stop, &data) &&
		    memcmp(now + start, data, stop - start) != 0)
			return true;
	}
	return false;
}

/* Which bytes of the write lie in its page `at`. */
static void part_of(const struct disk_write *write, size_t at, size_t *ret_from, size_t *ret_size)
{
	size_t before = write->offset % DISK_PAGE;
	size_t from = at == 0 ? 0 : at * DISK_PAGE - before;
	size_t end = (at + 1) * DISK_PAGE - before;

	*ret_from = from;
	*ret_size = (end < write->size ? end : write->size) - from;
}

static unsigned put(struct disk_write *write, size_t from, size_t size)
{
	struct inode *inode = write->inode;

	if (inode->recycled) {
		inode->recycled = false;
		fault_happened(FAULT_SEGMENT_REUSED);
	}
	return inode_write(inode, write->data + from, size, write->offset + from, write->direct);
}

unsigned write_land(struct disk_write *write, size_t at)
{
	size_t from, size;

	if (write->landed[at])
		return 0;
	write->landed[at] = true;
	write->left--;
	part_of(write, at, &from, &size);
	if (size == DISK_PAGE &&
	    corrupt_landing(write->inode, first_page(write) + at, write->data + from))
		return 0;
	return put(write, from, size) != 0;
}

/* Some sectors of a page, while the rest is still on its way. */
static unsigned land_sectors(struct disk_write *write, size_t at)
{
	uint64_t which = world_draw(255) + 1;
	size_t from, size;
	unsigned changed = 0;

	part_of(write, at, &from, &size);
	for (size_t sector = 0; (sector + 1) * DISK_SECTOR <= size; sector++)
		if (which >> sector & 1)
			changed += put(write, from + sector * DISK_SECTOR, DISK_SECTOR);
	return changed != 0;
}

static unsigned land_rest(struct disk_write *write)
{
	unsigned changed = 0;

	for (size_t at = 0; at < write->pages && write->left > 0; at++)
		changed += write_land(write, at);
	return changed;
}

/* Any of the pages that have not landed, each with an even chance; and perhaps a part of one more. */
static unsigned land_some(struct disk_write *write)
{
	unsigned changed = 0;
	size_t torn = world_draw(write->pages);
	uint64_t which = 0;

	for (size_t at = 0; at < write->pages; at++, which >>= 1) {
		if (at % 64 == 0)
			which = world_draw(UINT64_MAX);
		if (!write->landed[at] && (which & 1) && at != torn)
			changed += write_land(write, at);
	}
	if (!write->landed[torn] && write->direct)
		changed += land_sectors(write, torn);
	return changed;
}

void write_forget(struct disk_write *write)
{
	struct disk *disk = write->disk;
	struct disk_write **place = &disk->writes;
	struct inode *inode = write->inode;

	while (*place != write)
		place = &(*place)->next;
	*place = write->next;
	if (disk->writes_end == &write->next)
		disk->writes_end = place;
	inode_release(inode, false);
	sim_free(write->landed);
	sim_free(write->copy);
	sim_free(write);
}

/* --- the end of a write that somebody waits for */

static int land_part(struct disk_write *write)
{
	uint64_t sectors = write->size / DISK_SECTOR;
	size_t size = sectors > 1 ? (size_t)(world_between(1, sectors - 1) * DISK_SECTOR) : 0;

	if (size > 0)
		put(write, 0, size);
	return -EIO;
}

static int land(struct disk_write *write)
{
	int error = write->error != 0 ? write->error : disk_write_error(write->disk);

	if (error == -ENOSPC && write->error == error)
		return error;
	if (error != 0) {
		if (world_chance(500000))
			land_some(write);
		return error;
	}
	if (write->size > DISK_SECTOR && fault_happens(FAULT_WRITE_SHORT))
		return land_part(write);
	land_rest(write);
	return 0;
}

static int make_durable(struct disk_write *write)
{
	uint64_t first = first_page(write);

	if (write->kind == WRITE_PLAIN)
		return 0;
	if (write->kind == WRITE_FLUSH)
		return inode_flush(write->inode, 0, INODE_ALL, true);
	return inode_flush(write->inode, first, first + write->pages, true);
}

static void end(struct disk_write *write)
{
	void (*done)(void *context, int result) = write->done;
	void *context = write->context;
	struct disk *disk = write->disk;
	uint64_t operation = write->operation;
	int result;

	if (write->journal && crc32c(0, write->data, write->size) != write->checksum)
		world_fail("the bytes of a write changed while it was in flight");
	result = land(write);
	if (result == 0)
		result = make_durable(write);
	world_trace("disk: write ended", write->inode->number, (uint64_t)(unsigned)-result);
	write_forget(write);
	disk_operation_done(disk, operation);
	done(context, result);
}

/* An earlier write of the same process, or NULL. */
static struct disk_write *earlier(const struct disk_write *write)
{
	struct disk_write *other = write->disk->writes;

	while (other != write && (!other->journal || other->abandoned ||
				  other->process != write->process))
		other = other->next;
	return other == write ? NULL : other;
}

static void end_due(struct disk *disk, const struct process *process)
{
	for (struct disk_write *write = disk->writes; write != NULL; write = write->next) {
		if (!write->journal || write->abandoned || write->process != process)
			continue;
		if (write->due)
			world_at(world_now() + world_between(0, 20 * MICROSECOND), on_end, NULL,
				 write->number);
		return;
	}
}

static void on_end(void *context, uint64_t number)
{
	struct disk_write *write = find(number);
	struct disk *disk;
	const struct process *process;

	(void)context;
	if (write == NULL)
		return;
	disk = write->disk;
	process = write->process;
	if (write->journal && earlier(write) != NULL) {
		if (!world_chance(disk->reorder)) {
			write->due = true;
			return;
		}
		fault_happened(FAULT_WRITE_REORDERED);
	}
	end(write);
	end_due(disk, process);
}

static void on_land(void *context, uint64_t number)
{
	struct disk_write *write = find(number);

	(void)context;
	if (write != NULL && write->error == 0 && write->left > 0)
		land_some(write);
}

struct disk_write *write_begin(struct inode *inode, const void *data, size_t size, uint64_t offset,
			       enum write_kind kind, bool direct,
			       void (*done)(void *context, int result), void *context)
{
	struct disk *disk = inode->disk;
	struct disk_write *write = sim_alloc(sizeof(*write));
	uint64_t span = world_span(10 * MICROSECOND, 150 * MICROSECOND, 5 * MILLISECOND);

	write->number = ++number_last;
	write->disk = disk;
	write->inode = inode;
	write->process = process_current();
	write->kind = kind;
	write->direct = direct;
	write->data = data;
	write->size = size;
	write->offset = offset;
	write->pages = (size_t)((offset + size + DISK_PAGE - 1) / DISK_PAGE - offset / DISK_PAGE);
	write->left = write->pages;
	write->landed = sim_alloc((write->pages + 1) * sizeof(*write->landed));
	write->done = done;
	write->context = context;
	write->error = disk_operation(disk, &write->operation);
	if (write->error == 0 && offset + size > inode->room * DISK_PAGE &&
	    fault_happens(FAULT_NO_SPACE))
		write->error = -ENOSPC;
	if (write->error == 0)
		write->error = inode_charge(inode, offset + size);
	inode_hold(inode, false);
	*disk->writes_end = write;
	disk->writes_end = &write->next;
	if (fault_happens(FAULT_WRITE_SLOW))
		span += world_between(SECOND / 2, 5 * SECOND);
	if (world_draw(2) == 0)
		world_at(world_now() + world_draw(span + 1), on_land, NULL, write->number);
	if (write->pages > 1 && world_draw(2) == 0)
		world_at(world_now() + world_draw(span + 1), on_land, NULL, write->number);
	world_at(world_now() + span, on_end, NULL, write->number);
	return write;
}

struct disk_write *disk_write_begin(int file, const void *data, size_t size, uint64_t offset,
				    bool dsync, void (*done)(void *context, int result),
				    void *context)
{
	const struct open_file *open = open_file_find(file);
	struct disk_write *write;

	if (open == NULL || open->inode == NULL)
		world_fail("a write of the journal to a descriptor that is not open: %d", file);
	write = write_begin(open->inode, data, size, offset, dsync ? WRITE_DSYNC : WRITE_FLUSH,
			    open->direct, done, context);
	write->journal = true;
	write->checksum = crc32c(0, data, size);
	if (!open->writable)
		write->error = -EBADF;
	else if (open->direct && !disk_aligned(data, size, offset))
		write->error = -EINVAL;
	return write;
}

/* --- nobody waits for it any more */

static void count_late(struct disk_write *write, unsigned changed)
{
	if (changed == 0 || write->counted || world_now() == write->abandoned_ns)
		return;
	write->counted = true;
	fault_happened(FAULT_WRITE_LATE);
	if (write->disk->server_starts > write->server_starts)
		fault_happened(FAULT_WRITE_VERY_LATE);
	world_trace("disk: late write", write->inode->number, write->offset);
}

static void on_late_some(void *context, uint64_t number)
{
	struct disk_write *write = find(number);

	(void)context;
	if (write != NULL)
		count_late(write, land_some(write));
}

static void on_late_whole(void *context, uint64_t number)
{
	struct disk_write *write = find(number);

	(void)context;
	if (write == NULL)
		return;
	count_late(write, land_rest(write));
	if (write->kind == WRITE_DSYNC && world_draw(2) == 0)
		(void)inode_flush(write->inode, first_page(write),
				  first_page(write) + write->pages, false);
	write_forget(write);
}

static void on_late_never(void *context, uint64_t number)
{
	struct disk_write *write = find(number);

	(void)context;
	if (write != NULL)
		write_forget(write);
}

enum fate { FATE_NOTHING, FATE_PART, FATE_WHOLE };

static enum fate choose_fate(struct disk *disk)
{
	static const enum fate fates[] = { FATE_NOTHING, FATE_PART, FATE_WHOLE, FATE_WHOLE };
	enum fate drawn = fates[world_draw(4)];
	unsigned number = disk->abandoned++;

	switch (disk->survivors) {
	case SURVIVE_ALL:
		return FATE_WHOLE;
	case SURVIVE_NONE:
		return FATE_NOTHING;
	case SURVIVE_ONE:
		return number == disk->survivor ? FATE_WHOLE : FATE_NOTHING;
	case SURVIVE_DRAWN:
		break;
	}
	return drawn;
}

static bool may_land(const struct disk_write *write)
{
	return write->error == 0 && write->left > 0;
}

unsigned disk_in_flight(const struct disk *disk)
{
	unsigned count = 0;

	for (const struct disk_write *write = disk->writes; write != NULL; write = write->next)
		count += !write->abandoned && may_land(write);
	return count;
}

void disk_write_abandon(struct disk_write *write)
{
	enum fate fate;
	uint64_t span;

	if (write->abandoned)
		return;
	span = world_draw(world_draw(2) == 0 ? MILLISECOND : 5 * SECOND);
	fate = may_land(write) ? choose_fate(write->disk) : FATE_NOTHING;
	write->abandoned = true;
	write->abandoned_ns = world_now();
	write->server_starts = write->disk->server_starts;
	write->copy = sim_alloc(write->size + 1);
	memcpy(write->copy, write->data, write->size);
	write->data = write->copy;
	write->done = NULL;
	write->number = ++number_last;
	/* What goes through the cache is copied there at once, or not at all: the call has come back with its process' end. */
	if (!write->direct)
		span = 0;
	if (fate != FATE_NOTHING)
		world_at(world_now() + world_draw(span + 1), on_late_some, NULL, write->number);
	world_at(world_now() + span, fate == FATE_WHOLE ? on_late_whole : on_late_never, NULL,
		 write->number);
}

void writes_abandon(struct process *process)
{
	for (struct disk *disk = disks; disk != NULL; disk = disk->next)
		for (struct disk_write *write = disk->writes; write; write = write->next)
			if (write->process == process)
				disk_write_abandon(write);
}
