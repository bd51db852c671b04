/* The power cut: what is not on the medium is drawn, or, for enumerations, chosen.
 *
 * The unsynced things, in the order in which they are numbered: of each file (oldest first) its size, then its pages; then the writes in
 * flight; then of each directory its own name and the operations on its names. Files that no name can lead to do not count. */
#include <string.h>

#include "disk_private.h"
#include "fault.h"
#include "world.h"

/* How this cut goes. Each is of a kind of its own: all kept, all lost, or anything between. */
struct cut {
	struct disk *disk;
	unsigned next;      /* number of the next unsynced thing */
	uint32_t keep;      /* per million */
	uint32_t tear;
	uint32_t garbage;
	bool names_in_order;
	unsigned names_left;
};

static uint64_t losses(void)
{
	return fault_counts[FAULT_PAGE_DROPPED] + fault_counts[FAULT_PAGE_TORN] +
	       fault_counts[FAULT_NAME_LOST];
}

void disk_survivors(struct disk *disk, enum disk_survivors which, unsigned one)
{
	disk->survivors = which;
	disk->survivor = one;
	disk->abandoned = 0;
}

static bool leads_to(const struct directory *directory, const struct inode *inode)
{
	for (unsigned i = 0; i < directory->medium.count; i++)
		if (directory->medium.list[i].inode == inode)
			return true;
	for (unsigned i = 0; i < directory->pending_count; i++)
		if (directory->pending[i].inode == inode)
			return true;
	return false;
}

static bool is_reachable(const struct inode *inode)
{
	for (const struct directory *at = inode->disk->directories; at != NULL; at = at->next)
		if (at->there && leads_to(at, inode))
			return true;
	return false;
}

static bool size_is_unsynced(const struct inode *inode)
{
	if (inode->size != inode->size_medium)
		return true;
	for (uint64_t i = 0; i < inode->pending_count; i++)
		if (inode->pages[inode->pending[i]].flags & PAGE_CUT)
			return true;
	return false;
}

static bool page_is_unsynced(const struct page *page)
{
	if (page->flags & (PAGE_LOST | PAGE_CUT) || !(page->flags & (PAGE_DIRTY | PAGE_UNSYNCED)))
		return false;
	return !blob_equal(page_newest(page), page->medium);
}

unsigned disk_unsynced(const struct disk *disk)
{
	unsigned count = 0;

	for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
		if (!is_reachable(inode))
			continue;
		inode_gather(inode);
		count += size_is_unsynced(inode);
		for (uint64_t at = 0; at < inode->page_count; at++)
			count += page_is_unsynced(&inode->pages[at]);
	}
	for (const struct disk_write *write = disk->writes; write != NULL; write = write->next)
		count += write->left > 0 && is_reachable(write->inode);
	for (const struct directory *at = disk->directories; at != NULL; at = at->next)
		if (at->there)
			count += at->pending_count + !at->durable;
	return count;
}

static bool survives(struct cut *cut)
{
	unsigned number = cut->next++;

	switch (cut->disk->survivors) {
	case SURVIVE_ALL:
		return true;
	case SURVIVE_NONE:
		return false;
	case SURVIVE_ONE:
		return number == cut->disk->survivor;
	case SURVIVE_DRAWN:
		break;
	}
	return world_chance(cut->keep);
}

static bool is_drawn(const struct cut *cut)
{
	return cut->disk->survivors == SURVIVE_DRAWN;
}

/* --- pages */

static void put_garbage(uint8_t sector[DISK_SECTOR])
{
	uint64_t bits = world_draw(UINT64_MAX);

	for (size_t i = 0; i < DISK_SECTOR; i++) {
		bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		sector[i] = (uint8_t)(bits >> 56);
	}
	fault_happened(FAULT_SECTOR_GARBAGE);
}

static bool sector_differs(const struct blob *const versions[3], size_t at)
{
	const uint8_t *one = blob_bytes(versions[0]) + at;

	return memcmp(one, blob_bytes(versions[1]) + at, DISK_SECTOR) != 0 ||
	       memcmp(one, blob_bytes(versions[2]) + at, DISK_SECTOR) != 0;
}

/* Each sector the old, the new (in one of its versions), or neither. One that is the same in all of them is not being written. */
static struct blob *torn(const struct cut *cut, const struct page *page)
{
	const struct blob *const versions[3] = { page->medium, page->drive, page_newest(page) };
	uint8_t bytes[DISK_PAGE];

	for (size_t at = 0; at < DISK_PAGE; at += DISK_SECTOR) {
		memcpy(bytes + at, blob_bytes(versions[world_draw(3)]) + at, DISK_SECTOR);
		if (sector_differs(versions, at) && world_chance(cut->garbage))
			put_garbage(bytes + at);
	}
	fault_happened(FAULT_PAGE_TORN);
	return blob_make(bytes);
}

static struct blob *outcome(struct cut *cut, const struct page *page)
{
	if (!page_is_unsynced(page))
		return blob_hold(page->medium);
	if (is_drawn(cut) && world_chance(cut->tear))
		return torn(cut, page);
	if (survives(cut)) {
		fault_happened(FAULT_PAGE_KEPT);
		/* Now and then the one before the newest. */
		if (is_drawn(cut) && world_draw(4) == 0 &&
		    !blob_equal(page->drive, page->medium))
			return blob_hold(page->drive);
		return blob_hold(page_newest(page));
	}
	fault_happened(FAULT_PAGE_DROPPED);
	return blob_hold(page->medium);
}

static void settle_page(struct page *page, struct blob *left)
{
	blob_set(&page->medium, left);
	blob_set(&page->drive, blob_hold(left));
	blob_set(&page->cache, NULL);
	page->flags = 0;
}

static void settle_room(struct inode *inode)
{
	uint64_t pages = (inode->size + DISK_PAGE - 1) / DISK_PAGE;

	if (inode->charged)
		inode->disk->used = inode->disk->used + pages - inode->room;
	inode->room = pages;
}

/* Behind the end of a file there is nothing, also when it grows again. */
static void clear_behind_end(struct inode *inode)
{
	uint64_t last = inode->size / DISK_PAGE;
	uint8_t bytes[DISK_PAGE] = { 0 };

	for (uint64_t at = last; at < inode->page_count; at++) {
		struct page *page = &inode->pages[at];
		struct blob *left = NULL;

		if (page->medium == NULL)
			continue;
		if (at == last) {
			memcpy(bytes, page->medium->bytes, inode->size % DISK_PAGE);
			left = blob_make(bytes);
		}
		settle_page(page, left);
	}
}

static void settle_inode(struct cut *cut, struct inode *inode)
{
	bool keeps_size = true;

	inode_gather(inode);
	if (size_is_unsynced(inode))
		keeps_size = survives(cut);
	for (uint64_t at = 0; at < inode->page_count; at++) {
		struct page *page = &inode->pages[at];

		if (page->flags & PAGE_CUT)
			settle_page(page, keeps_size ? NULL : blob_hold(page->medium));
		else
			settle_page(page, outcome(cut, page));
	}
	inode->pending_count = 0;
	if (!keeps_size)
		inode->size = inode->size_medium;
	inode->size_medium = inode->size;
	clear_behind_end(inode);
	settle_room(inode);
	for (size_t at = 0; at * DISK_PAGE < inode->mapped_size; at++)
		memcpy(inode->mapped + at * DISK_PAGE,
		       blob_bytes(at < inode->page_count ? inode->pages[at].medium : NULL),
		       DISK_PAGE);
}

/* --- writes in flight: the files are settled already */

static void land_torn(struct disk_write *write, size_t at)
{
	struct inode *inode = write->inode;
	uint64_t page = write->offset / DISK_PAGE + at;
	uint64_t which = world_draw(255) + 1;

	if (page * DISK_PAGE < write->offset ||
	    (page + 1) * DISK_PAGE > write->offset + write->size)
		return;
	for (size_t sector = 0; sector < DISK_PAGE / DISK_SECTOR; sector++)
		if (which >> sector & 1)
			inode_write(inode,
				    write->data + (page * DISK_PAGE - write->offset) +
					    sector * DISK_SECTOR,
				    DISK_SECTOR, page * DISK_PAGE + sector * DISK_SECTOR, true);
	fault_happened(FAULT_PAGE_TORN);
}

static void settle_write(struct cut *cut, struct disk_write *write)
{
	struct inode *inode = write->inode;
	bool whole = !is_drawn(cut) && survives(cut);

	for (size_t at = 0; at < write->pages; at++) {
		if (write->landed[at] || write->error != 0)
			continue;
		if (is_drawn(cut) && world_chance(cut->tear)) {
			land_torn(write, at);
		} else if (whole || (is_drawn(cut) && survives(cut))) {
			write_land(write, at);
			fault_happened(FAULT_PAGE_KEPT);
		} else {
			fault_happened(FAULT_PAGE_DROPPED);
		}
	}
	(void)inode_flush(inode, 0, INODE_ALL, false);
	settle_room(inode);
}

/* --- names */

static bool name_survives(void *context)
{
	struct cut *cut = context;

	if (!is_drawn(cut) || !cut->names_in_order)
		return survives(cut);
	if (cut->names_left == 0)
		return false;
	cut->names_left--;
	return true;
}

static void settle_names(struct cut *cut, struct directory *directory)
{
	const struct directory *parent = directory_parent(cut->disk, directory->path);
	bool there = directory->there;

	if (!there)
		return;
	if (!directory->durable && !survives(cut))
		there = false;
	if (directory != cut->disk->directories && parent == NULL)
		there = false;
	cut->names_left = (unsigned)world_draw(directory->pending_count + 1);
	directory_settle(directory, there, name_survives, cut);
}

bool disk_power_cut(struct disk *disk)
{
	static const uint32_t shares[] = { 0, 200000, 500000, 800000, 1000000 };
	struct cut cut = { .disk = disk };
	uint64_t before = losses();

	cut.keep = shares[world_draw(5)];
	cut.tear = shares[world_draw(3)];
	cut.garbage = shares[world_draw(2)] / 4;
	cut.names_in_order = world_draw(2) == 0;
	world_trace("disk: power cut", disk->operations, cut.keep);
	for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
		if (is_reachable(inode))
			settle_inode(&cut, inode);
	while (disk->writes != NULL) {
		struct disk_write *write = disk->writes;

		if (!write->abandoned)
			world_fail("a power cut, and a process lives and waits for a write");
		if (write->left > 0 && is_reachable(write->inode))
			settle_write(&cut, write);
		write_forget(write);
	}
	for (struct directory *at = disk->directories; at != NULL; at = at->next)
		settle_names(&cut, at);
	return losses() != before;
}
