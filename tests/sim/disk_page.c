/* One file's pages and their three truths.
 *
 *      buffered write --> cache --+                     the kernel may carry a page on at any time, and so may the drive;
 *                                 | flush               a power cut shows whether they have (disk_cut.c)
 *      direct write ----> drive <-+
 *                           | flush, dsync
 *                         medium
 *
 * What direct I/O touches is written back from the cache first, and the cache lets go of it, as Linux does it. */
#include <errno.h>
#include <string.h>

#include "disk_private.h"
#include "fault.h"
#include "memory.h"
#include "world.h"

/* --- blobs */

static const uint8_t zeros[DISK_PAGE];

static bool is_zero(const uint8_t bytes[DISK_PAGE])
{
	return memcmp(bytes, zeros, DISK_PAGE) == 0;
}

struct blob *blob_make(const uint8_t bytes[DISK_PAGE])
{
	struct blob *blob;

	if (is_zero(bytes))
		return NULL;
	blob = sim_alloc(sizeof(*blob));
	blob->references = 1;
	memcpy(blob->bytes, bytes, DISK_PAGE);
	return blob;
}

struct blob *blob_hold(struct blob *blob)
{
	if (blob != NULL)
		blob->references++;
	return blob;
}

void blob_release(struct blob *blob)
{
	if (blob != NULL && --blob->references == 0)
		sim_free(blob);
}

const uint8_t *blob_bytes(const struct blob *blob)
{
	return blob == NULL ? zeros : blob->bytes;
}

bool blob_equal(const struct blob *a, const struct blob *b)
{
	return a == b || memcmp(blob_bytes(a), blob_bytes(b), DISK_PAGE) == 0;
}

void blob_set(struct blob **place, struct blob *blob)
{
	blob_release(*place);
	*place = blob;
}

struct blob *page_newest(const struct page *page)
{
	return page->flags & PAGE_CACHED ? page->cache : page->drive;
}

/* --- files */

struct inode *inode_create(struct disk *disk)
{
	struct inode *inode = sim_alloc(sizeof(*inode));

	inode->disk = disk;
	inode->number = ++disk->inode_last;
	inode->charged = true;
	*disk->inodes_end = inode;
	disk->inodes_end = &inode->next;
	return inode;
}

static void destroy(struct inode *inode)
{
	struct disk *disk = inode->disk;
	struct inode **place = &disk->inodes;

	while (*place != inode)
		place = &(*place)->next;
	*place = inode->next;
	if (disk->inodes_end == &inode->next)
		disk->inodes_end = place;
	for (uint64_t i = 0; i < inode->page_count; i++) {
		blob_release(inode->pages[i].cache);
		blob_release(inode->pages[i].drive);
		blob_release(inode->pages[i].medium);
	}
	sim_free(inode->pages);
	sim_free(inode->pending);
	sim_free(inode->mapped);
	sim_free(inode);
}

void inode_hold(struct inode *inode, bool live)
{
	inode->references++;
	if (!live)
		return;
	inode->live++;
	if (!inode->charged) { /* a power cut has brought its name back */
		inode->charged = true;
		inode->disk->used += inode->room;
	}
}

void inode_release(struct inode *inode, bool live)
{
	if (live && --inode->live == 0) {
		inode->charged = false;
		inode->disk->used -= inode->room;
	}
	if (--inode->references == 0)
		destroy(inode);
}

static struct page *page_at(struct inode *inode, uint64_t at)
{
	if (at >= inode->page_count) {
		uint64_t count = at + 1 + at / 2;

		inode->pages = sim_resize(inode->pages, count * sizeof(*inode->pages));
		memset(inode->pages + inode->page_count, 0,
		       (count - inode->page_count) * sizeof(*inode->pages));
		inode->page_count = count;
	}
	return &inode->pages[at];
}

static void list_pending(struct inode *inode, struct page *page)
{
	if (page->flags & PAGE_LISTED)
		return;
	if (inode->pending_count == inode->pending_room) {
		inode->pending_room = inode->pending_room == 0 ? 16 : inode->pending_room * 2;
		inode->pending = sim_resize(inode->pending,
					    inode->pending_room * sizeof(*inode->pending));
	}
	inode->pending[inode->pending_count++] = (uint64_t)(page - inode->pages);
	page->flags |= PAGE_LISTED;
}

/* --- the cache and the drive */

static void set_cache(struct inode *inode, struct page *page, struct blob *blob)
{
	blob_set(&page->cache, blob);
	page->flags |= PAGE_CACHED | PAGE_DIRTY;
	page->flags &= (uint8_t) ~(PAGE_LOST | PAGE_CUT);
	list_pending(inode, page);
}

static void set_drive(struct inode *inode, struct page *page, struct blob *blob)
{
	/* The version that is overwritten may have gone to the medium by itself. */
	if ((page->flags & PAGE_UNSYNCED) && !(page->flags & PAGE_CUT) && !faults_stopped() &&
	    world_chance(250000))
		blob_set(&page->medium, blob_hold(page->drive));
	blob_set(&page->drive, blob);
	page->flags |= PAGE_UNSYNCED;
	page->flags &= (uint8_t) ~(PAGE_LOST | PAGE_CUT);
	list_pending(inode, page);
}

static void write_back(struct inode *inode, struct page *page)
{
	if (!(page->flags & PAGE_DIRTY))
		return;
	page->flags &= (uint8_t)~PAGE_DIRTY;
	if (!blob_equal(page->cache, page->drive) || !blob_equal(page->cache, page->medium))
		set_drive(inode, page, blob_hold(page->cache));
}

static void drop_cache(struct page *page)
{
	blob_set(&page->cache, NULL);
	page->flags &= (uint8_t) ~(PAGE_CACHED | PAGE_DIRTY);
}

static void show_in_mapping(struct inode *inode, uint64_t at)
{
	size_t offset = at * DISK_PAGE;

	if (inode->mapped != NULL && offset < inode->mapped_size)
		memcpy(inode->mapped + offset, blob_bytes(page_newest(&inode->pages[at])),
		       DISK_PAGE);
}

void inode_gather(struct inode *inode)
{
	if (inode->mapped == NULL)
		return;
	for (uint64_t at = 0; at * DISK_PAGE < inode->mapped_size; at++) {
		struct page *page = page_at(inode, at);
		const uint8_t *bytes = inode->mapped + at * DISK_PAGE;

		if (memcmp(bytes, blob_bytes(page_newest(page)), DISK_PAGE) != 0)
			set_cache(inode, page, blob_make(bytes));
	}
}

/* One page, or a part of it. True when it is different now. */
static bool write_page(struct inode *inode, uint64_t at, size_t from, const uint8_t *data,
		       size_t size, bool direct)
{
	const uint8_t *whole = data;
	uint8_t merged[DISK_PAGE];
	struct page *page;
	const struct blob *before;

	if (at >= inode->page_count && memcmp(data, zeros, size) == 0)
		return false;
	page = page_at(inode, at);
	if (direct)
		write_back(inode, page);
	before = direct ? page->drive : page_newest(page);
	if (memcmp(blob_bytes(before) + from, data, size) == 0 &&
	    !(page->flags & (PAGE_LOST | PAGE_CUT))) {
		if (direct)
			drop_cache(page);
		return false;
	}
	if (size != DISK_PAGE) {
		memcpy(merged, blob_bytes(before), DISK_PAGE);
		memcpy(merged + from, data, size);
		whole = merged;
	}
	if (direct) {
		set_drive(inode, page, blob_make(whole));
		drop_cache(page);
	} else {
		set_cache(inode, page, blob_make(whole));
	}
	show_in_mapping(inode, at);
	return true;
}

unsigned inode_write(struct inode *inode, const uint8_t *data, size_t size, uint64_t offset,
		     bool direct)
{
	unsigned changed = 0;

	inode_gather(inode);
	while (size > 0) {
		uint64_t page = offset / DISK_PAGE;
		size_t from = offset % DISK_PAGE;
		size_t part = DISK_PAGE - from < size ? DISK_PAGE - from : size;

		changed += write_page(inode, page, from, data, part, direct);
		data += part;
		offset += part;
		size -= part;
	}
	if (offset > inode->size)
		inode->size = offset;
	return changed;
}

size_t inode_read(struct inode *inode, void *out, size_t size, uint64_t offset, bool direct)
{
	uint8_t *to = out;
	size_t count;

	if (offset >= inode->size)
		return 0;
	if (size > inode->size - offset)
		size = inode->size - offset;
	count = size;
	memory_pages_filled(out, size);
	inode_gather(inode);
	while (size > 0) {
		uint64_t at = offset / DISK_PAGE;
		size_t from = offset % DISK_PAGE;
		size_t part = DISK_PAGE - from < size ? DISK_PAGE - from : size;

		if (at >= inode->page_count) {
			memset(to, 0, size);
			break;
		}
		if (direct)
			write_back(inode, &inode->pages[at]);
		__asm__("" : "+r"(part)); /* gcc would copy a page in line, and slowly, knowing that it is one at most */
		memcpy(to,
		       blob_bytes(direct ? inode->pages[at].drive :
					   page_newest(&inode->pages[at])) +
			       from,
		       part);
		to += part;
		offset += part;
		size -= part;
	}
	return count;
}

static void cut_page(struct inode *inode, uint64_t at)
{
	struct page *page = &inode->pages[at];

	drop_cache(page);
	if (page->drive != NULL || page->medium != NULL || (page->flags & PAGE_UNSYNCED)) {
		blob_set(&page->drive, NULL);
		page->flags |= PAGE_UNSYNCED | PAGE_CUT;
		page->flags &= (uint8_t)~PAGE_LOST;
		list_pending(inode, page);
	}
	show_in_mapping(inode, at);
}

void inode_truncate(struct inode *inode, uint64_t size)
{
	uint64_t pages = (size + DISK_PAGE - 1) / DISK_PAGE;

	inode_gather(inode);
	for (uint64_t at = pages; at < inode->page_count; at++)
		cut_page(inode, at);
	if (size % DISK_PAGE != 0 && size < inode->size)
		write_page(inode, size / DISK_PAGE, size % DISK_PAGE, zeros,
			   DISK_PAGE - size % DISK_PAGE, false);
	if (pages < inode->room) {
		if (inode->charged)
			inode->disk->used -= inode->room - pages;
		inode->room = pages;
	}
	inode->size = size;
}

/* --- flushing */

static bool wants_flush(const struct inode *inode, uint64_t at, uint64_t first, uint64_t end)
{
	return at >= first && at < end &&
	       (inode->pages[at].flags & (PAGE_DIRTY | PAGE_UNSYNCED)) != 0;
}

static uint64_t count_wanting(const struct inode *inode, uint64_t first, uint64_t end)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < inode->pending_count; i++)
		count += wants_flush(inode, inode->pending[i], first, end);
	return count;
}

/* The next flush finds nothing to do, and these pages, or some of them, never reach the medium. The cache still shows them; direct reads
 * do not (so it was seen on ext4 over a device that failed). */
static void lose(struct inode *inode, uint64_t first, uint64_t end, uint64_t count)
{
	uint64_t certain = world_draw(count);

	for (uint64_t i = 0, k = 0; i < inode->pending_count; i++) {
		struct page *page = &inode->pages[inode->pending[i]];

		if (!wants_flush(inode, inode->pending[i], first, end))
			continue;
		if (k++ != certain && world_chance(300000))
			continue;
		blob_set(&page->drive, blob_hold(page->medium));
		page->flags &= (uint8_t) ~(PAGE_DIRTY | PAGE_UNSYNCED | PAGE_CUT);
		page->flags |= PAGE_LOST;
	}
}

/* A flush that fails honestly: some of it has been done, and nobody knows. */
static void flush_some(struct inode *inode, uint64_t first, uint64_t end)
{
	for (uint64_t i = 0; i < inode->pending_count; i++) {
		struct page *page = &inode->pages[inode->pending[i]];

		if (!wants_flush(inode, inode->pending[i], first, end) || world_chance(500000))
			continue;
		write_back(inode, page);
		if (!(page->flags & PAGE_CUT))
			blob_set(&page->medium, blob_hold(page->drive));
	}
}

static int flush_error(struct inode *inode, uint64_t first, uint64_t end)
{
	struct disk *disk = inode->disk;
	uint64_t count = count_wanting(inode, first, end);

	if (faults_stopped())
		disk->writes_broken = disk->flushes_broken = false;
	if (!disk->broken && !disk->flushes_broken) {
		if (count > 0 && fault_happens(FAULT_FLUSH_LOST)) {
			lose(inode, first, end, count);
			return -EIO;
		}
		if (fault_happens(FAULT_FLUSH_ERROR_FOREVER)) {
			disk->flushes_broken = true;
			disk->heal_after = (unsigned)world_between(0, 2);
		} else if (!fault_happens(FAULT_FLUSH_ERROR)) {
			return 0;
		}
	}
	flush_some(inode, first, end);
	return -EIO;
}

static void flush_page(struct inode *inode, struct page *page)
{
	write_back(inode, page);
	if (page->flags & PAGE_UNSYNCED)
		blob_set(&page->medium, blob_hold(page->drive));
	page->flags &= (uint8_t) ~(PAGE_UNSYNCED | PAGE_CUT);
}

static void flush_pages(struct inode *inode, uint64_t first, uint64_t end)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < inode->pending_count; i++) {
		uint64_t at = inode->pending[i];
		struct page *page = &inode->pages[at];

		if (at < first || at >= end) {
			inode->pending[kept++] = at;
			continue;
		}
		page->flags &= (uint8_t)~PAGE_LISTED;
		if (wants_flush(inode, at, first, end))
			flush_page(inode, page);
	}
	inode->pending_count = kept;
}

int inode_flush(struct inode *inode, uint64_t first, uint64_t end, bool faults)
{
	int error;

	inode_gather(inode);
	if (faults) {
		error = flush_error(inode, first, end);
		if (error != 0)
			return error;
	}
	inode->size_medium = inode->size;
	flush_pages(inode, first, end);
	return 0;
}

/* --- what is certain */

/* Sector by sector: those that are the same in all versions are certain, whatever becomes of their page. */
static bool part_certain(const struct inode *inode, uint64_t at, size_t from, size_t end)
{
	const struct page *page = at < inode->page_count ? &inode->pages[at] : NULL;
	const uint8_t *medium = blob_bytes(page == NULL ? NULL : page->medium);

	from = from / DISK_SECTOR * DISK_SECTOR;
	end = (end + DISK_SECTOR - 1) / DISK_SECTOR * DISK_SECTOR;
	if (write_touches(inode, at, from, end, medium))
		return false;
	if (page == NULL)
		return true;
	if ((page->flags & PAGE_DIRTY) &&
	    memcmp(blob_bytes(page->cache) + from, medium + from, end - from) != 0)
		return false;
	return !(page->flags & PAGE_UNSYNCED) ||
	       memcmp(blob_bytes(page->drive) + from, medium + from, end - from) == 0;
}

bool inode_certain(const struct inode *inode, uint64_t offset, uint64_t size)
{
	uint64_t least = inode->size < inode->size_medium ? inode->size : inode->size_medium;

	if (offset > least || size > least - offset)
		return false;
	while (size > 0) {
		size_t from = offset % DISK_PAGE;
		size_t part = DISK_PAGE - from < size ? DISK_PAGE - from : size;

		if (!part_certain(inode, offset / DISK_PAGE, from, from + part))
			return false;
		offset += part;
		size -= part;
	}
	return true;
}
