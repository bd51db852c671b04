/* The inside of a disk, shared by disk*.c and sim_file*.c.
 *
 *      disk.c          the disk itself: room, counters, what is switched on from outside
 *      disk_page.c     one file's pages and their three truths; flushes; what is certain
 *      disk_name.c     directories and names
 *      disk_write.c    writes in flight, and those that nobody waits for any more
 *      disk_cut.c      the power cut
 *      disk_corrupt.c  damage on purpose
 *      sim_file.c      the file door: how a call goes, and data
 *      sim_file_name.c the file door: directories and names
 *      sim_file_open.c the file door: descriptors, locks, mappings, memory, and what is left when a process ends */
#ifndef ROGER_SIM_DISK_PRIVATE_H
#define ROGER_SIM_DISK_PRIVATE_H

#include "disk.h"

enum { DISK_NAME_SIZE = 256, DISK_DESCRIPTOR_FIRST = 1000 };

/* --- pages */

/* The bytes of a page; shared by its truths, never changed once they are. A page of zeros is NULL. */
struct blob {
	uint32_t references;
	uint8_t bytes[DISK_PAGE];
};

enum page_flags {
	PAGE_CACHED = 1,   /* `cache` counts; else the cache has not got the page */
	PAGE_DIRTY = 2,    /* ... and is newer than the drive */
	PAGE_UNSYNCED = 4, /* the drive may be newer than the medium */
	PAGE_LOST = 8,     /* ... and never gets there: a flush has failed, and the next one thinks that it has nothing to do */
	PAGE_LISTED = 16,  /* it is among `pending` */
	PAGE_CUT = 32,     /* given back by truncate; comes back with the old size, when a power cut undoes that */
};

struct page {
	struct blob *cache;
	struct blob *drive;
	struct blob *medium;
	uint8_t flags;
};

struct inode {
	struct disk *disk;
	uint64_t number;
	uint64_t size;        /* as the kernel has it */
	uint64_t size_medium;
	uint64_t room;        /* pages that are taken for it, from its beginning */
	struct page *pages;   /* behind the last one all is zeros, on all three */
	uint64_t page_count;
	uint64_t *pending;    /* pages that a flush has to look at */
	uint64_t pending_count;
	uint64_t pending_room;
	uint64_t modified_ns;
	unsigned live;        /* names in the kernel's view, open files: while there are any, it takes room */
	unsigned references;  /* ... and names on the medium, in operations that are not flushed, writes in flight */
	bool charged;
	bool recycled;        /* renamed away from a segment's name, and not written since */
	uint8_t *mapped;      /* while it is mapped: its first bytes, at a fixed address */
	size_t mapped_size;
	unsigned mappings;
	struct inode *next;
	bool is_damaged;         /* on purpose (disk_corrupt.c) */
};

struct inode *inode_create(struct disk *disk);
void inode_hold(struct inode *inode, bool live);
void inode_release(struct inode *inode, bool live);

/* Room up to `end` bytes. 0 or -ENOSPC. */
int inode_charge(struct inode *inode, uint64_t end);

/* Read what is there, as far as the file goes. direct: from the drive. */
size_t inode_read(struct inode *inode, void *out, size_t size, uint64_t offset, bool direct);

/* Change the drive (direct) or the cache. How many pages are different now. The room must be there. */
unsigned inode_write(struct inode *inode, const uint8_t *data, size_t size, uint64_t offset,
		     bool direct);
void inode_truncate(struct inode *inode, uint64_t size);

/* Carry the pages from `first` up to (not including) `end` to the medium, or fail as it was drawn (`faults`). 0 or -errno. */
int inode_flush(struct inode *inode, uint64_t first, uint64_t end, bool faults);
#define INODE_ALL UINT64_MAX

/* What has been written through mappings is seen by comparing. Before anything that wants to know. */
void inode_gather(struct inode *inode);

/* Would a power cut leave these bytes as they are on the medium? */
bool inode_certain(const struct inode *inode, uint64_t offset, uint64_t size);

struct blob *blob_make(const uint8_t bytes[DISK_PAGE]);
struct blob *blob_hold(struct blob *blob);
void blob_release(struct blob *blob);
const uint8_t *blob_bytes(const struct blob *blob);
bool blob_equal(const struct blob *a, const struct blob *b);
void blob_set(struct blob **place, struct blob *blob); /* takes over the caller's hold of `blob` */

/* The newest there is. Borrowed. */
struct blob *page_newest(const struct page *page);

/* --- names */

struct entry {
	char name[DISK_NAME_SIZE];
	struct inode *inode;
};

struct names {
	struct entry *list; /* in the order in which they came */
	unsigned count;
	unsigned room;
	bool live;          /* the kernel's, which keeps files alive */
};

enum name_kind { NAME_MADE, NAME_MOVED, NAME_REMOVED };

struct name_operation {
	enum name_kind kind;
	char from[DISK_NAME_SIZE];
	char to[DISK_NAME_SIZE];
	struct inode *inode;
};

struct directory {
	struct disk *disk;
	char path[DISK_NAME_SIZE];
	struct names now;
	struct names medium;
	struct name_operation *pending;
	unsigned pending_count;
	unsigned pending_room;
	bool there;
	bool durable; /* its own name has been flushed */
	struct directory *next;
};

/* NULL: not there. */
struct directory *directory_find(const struct disk *disk, const char *path);
int directory_make(struct disk *disk, const char *path);     /* 0, -ENOENT, -ENOTDIR; 0 also if it is there */
struct directory *directory_parent(const struct disk *disk, const char *path);
bool directory_holds(const struct directory *directory, const char *name); /* another directory */
struct inode *directory_look(const struct directory *directory, const char *name);
void directory_add(struct directory *directory, const char *name, struct inode *inode);
void directory_move(struct directory *directory, const char *from, const char *to);
void directory_remove(struct directory *directory, const char *name);
int directory_flush(struct directory *directory, bool faults);
void directory_forget(struct directory *directory); /* at the disk's end */

/* The file's name, as the kernel has it; NULL: none. A published segment is one that has a segment's name. */
const char *inode_name(const struct inode *inode);
bool is_segment_name(const char *name);
bool inode_is_published(const struct inode *inode);

/* Undo or do: for the power cut. `keep` says of each pending operation in turn whether it stays. */
void directory_settle(struct directory *directory, bool there,
		      bool (*keep)(void *context), void *context);

/* --- the disk */

struct disk {
	uint64_t number;         /* of this process' disks: tells actions of one that has gone */
	uint64_t capacity;
	uint64_t used;           /* pages */
	uint64_t occupied;       /* bytes */
	bool direct;
	bool broken;             /* disk_break */
	bool writes_broken;      /* FAULT_WRITE_ERROR_FOREVER */
	bool flushes_broken;     /* FAULT_FLUSH_ERROR_FOREVER */
	uint32_t reorder;        /* how often a write may end before an earlier one: per million */
	unsigned heal_after;     /* writes_broken and flushes_broken end when so many more servers have started */
	struct inode *inodes;    /* oldest first */
	struct inode **inodes_end;
	uint64_t inode_last;
	struct directory *directories;
	struct directory **directories_end;
	struct disk_write *writes; /* in flight, oldest first */
	struct disk_write **writes_end;
	uint64_t server_starts;
	uint64_t operations;
	uint64_t name_changes;
	uint64_t fail_at;
	int fail_error;
	bool fail_forever;
	void (*on_operation)(void *context, uint64_t number);
	void *operation_context;
	enum disk_survivors survivors;
	unsigned survivor;
	unsigned abandoned;      /* writes, since the survivors were chosen */
	struct disk *next;
};

extern struct disk *disks; /* all of this process */

uint64_t disk_free(const struct disk *disk); /* pages */

/* Count an operation, and see whether it is the one that shall fail: 0 or -errno. */
int disk_operation(struct disk *disk, uint64_t *ret_number);
void disk_operation_done(struct disk *disk, uint64_t number);

/* Shall a write fail now? 0 or -errno (counted). */
int disk_write_error(struct disk *disk);

/* --- writes in flight */

enum write_kind {
	WRITE_PLAIN,  /* not durable */
	WRITE_DSYNC,
	WRITE_FLUSH,
};

struct disk_write {
	uint64_t number;     /* changes when it is abandoned */
	struct disk *disk;
	struct inode *inode;
	struct process *process;
	enum write_kind kind;
	bool direct;
	bool journal;        /* from sim_io.c: checked, and kept in order */
	bool due;            /* could end, and waits for an earlier one */
	bool abandoned;
	bool counted;        /* as late */
	int error;           /* it was to fail from the start */
	uint32_t checksum;
	const uint8_t *data;
	uint8_t *copy;
	size_t size;
	uint64_t offset;
	uint64_t operation;
	uint64_t server_starts; /* when it was abandoned */
	uint64_t abandoned_ns;
	size_t pages;        /* as many as it touches */
	size_t left;         /* not yet landed */
	bool *landed;        /* of each */
	void (*done)(void *context, int result);
	void *context;
	struct disk_write *next;
};

struct disk_write *write_begin(struct inode *inode, const void *data, size_t size, uint64_t offset,
			       enum write_kind kind, bool direct,
			       void (*done)(void *context, int result), void *context);

/* Land page `at` of the write (or only some of its sectors). How many pages are different now. */
unsigned write_land(struct disk_write *write, size_t at);

/* It is over, without a word to anybody. */
void write_forget(struct disk_write *write);

/* Will a write in flight change these bytes of a page (from what is there now)? */
bool write_touches(const struct inode *inode, uint64_t page, size_t from, size_t end,
		   const uint8_t *now);

void writes_abandon(struct process *process);

/* --- corruption, as a write lands: true when this page shall not land here */
bool corrupt_landing(struct inode *inode, uint64_t page, const uint8_t *data);

/* ... and as a server starts: what its predecessor has left in the lock file (a live one makes good what is damaged there). */
void corrupt_at_start(struct disk *disk);

/* Is it a file whose content matters (a segment, a snapshot), by its name? */
bool corrupt_name(const char *name);

/* --- open files */

enum lock_kind { LOCK_NONE, LOCK_SHARED, LOCK_EXCLUSIVE };

struct open_file {
	struct inode *inode;         /* or ... */
	struct directory *directory;
	bool writable;
	bool direct;
	enum lock_kind lock;
};

/* Everything that a process has of the file door. */
struct files;

/* The calling process' (or the world's own) open file of that number; NULL. */
struct open_file *open_file_find(int number);

/* A descriptor for it, the lowest free. */
int open_file_add(struct open_file open);

/* 0; -EWOULDBLOCK; -EBADF for a directory. */
int open_file_lock(struct open_file *file, bool exclusive);
int open_file_map(struct open_file *file, size_t size, bool writable, void **ret_memory);

/* A disk goes: the world's own table too, when nothing is open in it. */
void files_forget_disk(const struct disk *disk);

/* The disk that the calling process has; NULL. */
struct disk *disk_here(void);

/* A list of names that is walked: freed with the process. */
struct listing {
	char (*names)[DISK_NAME_SIZE];
	unsigned count;
	struct listing *next;
};
struct listing *listing_begin(const struct directory *directory);
void listing_end(struct listing *listing);

/* --- the frame of a call of the file door: counted, failing where it was asked to, and taking time. The world's own calls do not. */

enum {
	SHORT_CALL_PAUSE = 30000, /* per million: how often a call that only looks takes time */
	READ_PAUSE = 100000,
};

struct call {
	struct disk *disk;
	uint64_t number; /* 0: the world's own */
};

bool call_by_process(void);
int call_enter(struct call *call, struct disk *disk); /* 0 or -errno */
int call_leave(const struct call *call, int result);  /* returns the result */
void call_looks(uint32_t per_million);

/* Changing something always takes time, before the effect or behind it: what call_changes returns is for call_changed. */
unsigned call_changes(uint64_t usual_ns);
void call_changed(unsigned when, uint64_t usual_ns);

/* Is the calling thread another one than its process' first (the job thread)? */
bool thread_is_second(void);

/* The error that the calling thread is about to be told is one that no acknowledgement may follow. */
void call_failed_for_good(void);

/* Check alignment for direct I/O. */
bool disk_aligned(const void *data, size_t size, uint64_t offset);

#endif
