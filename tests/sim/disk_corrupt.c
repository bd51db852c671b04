/* Damage on purpose, in a mode of its own: the medium lies. Only where the content matters: segments and snapshots, each file once (what
 * vouches for a segment stands in several of its blocks, and it is not promised that the loss of all of them is noticed), and the lock
 * file. */
#include <string.h>

#include "check.h"
#include "disk_private.h"
#include "fault.h"
#include "world.h"

enum { SECTORS = DISK_PAGE / DISK_SECTOR };

bool corrupt_name(const char *name)
{
	return is_segment_name(name) || strcmp(name, "streams.snap") == 0 ||
	       strcmp(name, "streams.snap.old") == 0;
}

static bool is_worth_it(const struct page *page)
{
	return page->medium != NULL && !(page->flags & (PAGE_DIRTY | PAGE_UNSYNCED | PAGE_LOST));
}

/* Go over all pages that may be damaged; the one with number `which` is returned. Their count goes to ret_count. */
static struct page *candidate(const struct disk *disk, uint64_t which, uint64_t *ret_count,
			      struct inode **ret_inode)
{
	uint64_t count = 0;

	for (struct directory *dir = disk->directories; dir != NULL; dir = dir->next)
		for (unsigned i = 0; i < dir->now.count; i++) {
			struct inode *inode = dir->now.list[i].inode;

			if (inode->is_damaged || !corrupt_name(dir->now.list[i].name))
				continue;
			for (uint64_t at = 0; at < inode->page_count; at++) {
				if (!is_worth_it(&inode->pages[at]))
					continue;
				if (count++ != which)
					continue;
				*ret_inode = inode;
				return &inode->pages[at];
			}
		}
	*ret_count = count;
	return NULL;
}

static struct page *choose(const struct disk *disk, struct inode **ret_inode)
{
	uint64_t count = 0;

	(void)candidate(disk, UINT64_MAX, &count, ret_inode);
	return count == 0 ? NULL : candidate(disk, world_draw(count), &count, ret_inode);
}

/* The page on the medium, and as the drive shows it. The cache may go on with the good one. */
static void replace(struct page *page, const uint8_t bytes[DISK_PAGE])
{
	blob_set(&page->medium, blob_make(bytes));
	blob_set(&page->drive, blob_hold(page->medium));
	if ((page->flags & PAGE_CACHED) && world_draw(2) == 0) {
		blob_set(&page->cache, NULL);
		page->flags &= (uint8_t)~PAGE_CACHED;
	}
}

static size_t written_sector(const struct page *page)
{
	static const uint8_t zeros[DISK_SECTOR];
	size_t at = world_draw(SECTORS);

	while (memcmp(page->medium->bytes + at * DISK_SECTOR, zeros, DISK_SECTOR) == 0)
		at = (at + 1) % SECTORS;
	return at * DISK_SECTOR;
}

static bool damage_sector(struct disk *disk)
{
	struct inode *inode;
	struct page *page = choose(disk, &inode);
	uint8_t bytes[DISK_PAGE];
	size_t at;

	if (page == NULL)
		return false;
	at = written_sector(page);
	memcpy(bytes, page->medium->bytes, DISK_PAGE);
	if (world_draw(2) == 0) {
		at += world_draw(DISK_SECTOR);
		bytes[at] ^= (uint8_t)(1U << world_draw(8));
		fault_happened(FAULT_BIT_FLIPPED);
	} else {
		memset(bytes + at, 0, DISK_SECTOR);
		fault_happened(FAULT_SECTOR_ZEROED);
	}
	inode->is_damaged = true;
	world_trace("disk: damaged", inode->number, (uint64_t)(page - inode->pages));
	check_corrupted();
	replace(page, bytes);
	return true;
}

/* --- the lock file: it is mapped and never flushed, so that the kernel alone decides when its page goes to the disk, and when it is read
 * from there again */

static struct inode *find_lock(const struct disk *disk)
{
	for (const struct directory *dir = disk->directories; dir != NULL; dir = dir->next) {
		struct inode *inode = directory_look(dir, "lock");

		if (inode == NULL)
			continue;
		inode_gather(inode);
		return inode->size > 0 && inode->page_count > 0 ? inode : NULL;
	}
	return NULL;
}

/* What the disk has now is what everybody sees from now on. */
static void read_lock_again(struct inode *inode, const uint8_t bytes[DISK_PAGE])
{
	struct page *page = &inode->pages[0];

	blob_set(&page->medium, blob_make(bytes));
	blob_set(&page->drive, blob_hold(page->medium));
	blob_set(&page->cache, NULL);
	page->flags &= PAGE_LISTED;
	inode->size_medium = inode->size;
	if (inode->mapped != NULL)
		memcpy(inode->mapped, bytes, DISK_PAGE);
}

/* Now and then what it has now is only written, and so may be there again later, as something stale. */
static bool damage_lock(struct disk *disk)
{
	struct inode *inode = find_lock(disk);
	uint64_t way = world_draw(4);
	uint8_t bytes[DISK_PAGE];
	const struct page *page;

	if (inode == NULL)
		return false;
	page = &inode->pages[0];
	memcpy(bytes, blob_bytes(page_newest(page)), DISK_PAGE);
	if (way == 0)
		bytes[world_draw(inode->size)] ^= (uint8_t)(1U << world_draw(8));
	else if (way == 1)
		memset(bytes, 0, DISK_SECTOR);
	else if (way == 2)
		memcpy(bytes, blob_bytes(page->medium), DISK_PAGE);
	if (memcmp(bytes, blob_bytes(page_newest(page)), DISK_PAGE) == 0) {
		read_lock_again(inode, bytes);
		return false;
	}
	world_trace("disk: lock file damaged", inode->number, way);
	fault_happened(FAULT_LOCK_DAMAGED);
	check_corrupted();
	read_lock_again(inode, bytes);
	return true;
}

void corrupt_at_start(struct disk *disk)
{
	if (fault_strikes(FAULT_LOCK_DAMAGED))
		(void)damage_lock(disk);
}

bool disk_corrupt(struct disk *disk)
{
	uint64_t most = world_between(1, 4);
	uint64_t done = world_draw(2) == 0 && damage_lock(disk);

	while (done < most && damage_sector(disk))
		done++;
	return done > 0;
}

static bool has_name_that_matters(const struct inode *inode)
{
	const char *name = inode_name(inode);

	return name != NULL && corrupt_name(name);
}

bool corrupt_landing(struct inode *inode, uint64_t at, const uint8_t *data)
{
	const struct page *here = at < inode->page_count ? &inode->pages[at] : NULL;
	struct inode *other;
	struct page *page;
	uint64_t count;

	if (here == NULL ? data[0] == 0 : memcmp(blob_bytes(here->drive), data, DISK_PAGE) == 0)
		return false;
	if (faults_stopped() || inode->is_damaged || !has_name_that_matters(inode))
		return false;
	if (fault_happens(FAULT_BLOCK_STALE)) {
		inode->is_damaged = true;
		check_corrupted();
		return true;
	}
	page = candidate(inode->disk, 0, &count, &other);
	if (page == here)
		page = candidate(inode->disk, 1, &count, &other);
	if (page == NULL || !fault_happens(FAULT_BLOCK_MISDIRECTED))
		return false;
	for (unsigned i = 0; i < 8; i++) {
		struct inode *another_inode = other;
		struct page *another = choose(inode->disk, &another_inode);

		if (another == here)
			continue;
		page = another;
		other = another_inode;
	}
	inode->is_damaged = other->is_damaged = true;
	check_corrupted();
	replace(page, data);
	return true;
}
