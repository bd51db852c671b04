/* disk: files as the medium has them, as the drive shows them, and as the kernel shows them.
 *
 * Three truths about each page of 4 KiB of a file: the page cache (what buffered reads see), the drive (what direct reads see) and the
 * medium (what a power cut leaves). Buffered writes change the cache; direct ones the drive; a flush carries both to the medium, and
 * a durable write (DSYNC) its own pages. At a power cut each page of which the medium has not got the newest version is drawn: kept,
 * dropped, or torn (each sector of 512 bytes old, new or garbage). Names are the same: what was made, renamed and removed since the
 * last flush of the directory may be so after a power cut, or not, each operation for itself (at every other cut: in order, a journalling
 * file system). A kill changes nothing of this; but the writes that were in flight go on, and some land long afterwards.
 *
 * sim_file.c is the file door over this; sim_io.c hands it the journal's writes. */
#ifndef ROGER_SIM_DISK_H
#define ROGER_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_PAGE = 4096, DISK_SECTOR = 512 };

struct disk;
struct process;

/* An empty file system of so many bytes, with one directory in it, "/data". direct: is direct I/O to be had? */
struct disk *disk_create(uint64_t capacity, bool direct);
void disk_destroy(struct disk *disk);

/* The disk that the file door has in the world's own context, where no process is running, no time passes and nothing goes wrong. NULL:
 * none. */
void disk_default(struct disk *disk);

/* A server process has begun on this disk's host: writes of the ones before it are very late from now on. (Errors that are there for good
 * end with a disk_break(.., false), and sometimes here.) */
void disk_server_started(struct disk *disk);

/* Room that somebody else takes, or gives back; bytes. For exhaustion. */
void disk_occupy(struct disk *disk, uint64_t bytes);
void disk_enlarge(struct disk *disk, uint64_t bytes);

/* The power is gone: what is not on the medium is drawn now. Writes in flight are cut. Call it after the processes are dead. True when
 * anything is not as it was: something was lost, torn, or has not come to its end. */
bool disk_power_cut(struct disk *disk);

/* What a power cut keeps, for enumerations: instead of drawing, keep everything, nothing, or only the one unsynced thing with this number
 * (they are numbered 0, 1, ... in a fixed order). disk_unsynced tells how many there are. And what of the writes in flight lands, sooner or
 * later, when their process is killed: all, none, or only the one with this number; disk_in_flight tells how many there are. */
enum disk_survivors { SURVIVE_DRAWN, SURVIVE_ALL, SURVIVE_NONE, SURVIVE_ONE };
void disk_survivors(struct disk *disk, enum disk_survivors which, unsigned one);
unsigned disk_unsynced(const struct disk *disk);
unsigned disk_in_flight(const struct disk *disk);

/* From here on every write and flush of the disk fails (-EIO), or none again (those that a fault has made fail for good, too). */
void disk_break(struct disk *disk, bool broken);
bool disk_is_broken(const struct disk *disk);

/* Corruption (its mode only): damage up to four sectors on the medium, drawn among what is there; true when there was something. Counts
 * its own fault kinds (bit flipped, sector zeroed; lock file damaged: that in any way). Misdirected and stale blocks happen to writes by
 * themselves. */
bool disk_corrupt(struct disk *disk);

/* The n-th operation from now on (reads, writes, flushes, names: each call of the file door and each io_write) fails with `error`;
 * forever: and all after it. 0: none. The count so far is disk_operations. */
void disk_fail_operation(struct disk *disk, uint64_t n, int error, bool forever);
uint64_t disk_operations(const struct disk *disk);

/* Names made, renamed and removed so far. */
uint64_t disk_name_changes(const struct disk *disk);

/* Called after each operation with its number: for crash enumeration. NULL: nobody. */
void disk_on_operation(struct disk *disk, void (*call)(void *context, uint64_t number),
		       void *context);

/* --- the journal's writes (from sim_io.c) */

struct disk_write;

/* Begin one: write, then make durable (dsync: its own pages; else a flush of the file). It ends at a time that is drawn, and may end before
 * an earlier one. `done` is called from the world, with 0 or -errno. The data are borrowed until then, and must not change. */
struct disk_write *disk_write_begin(int file, const void *data, size_t size, uint64_t offset,
				    bool dsync, void (*done)(void *context, int result),
				    void *context);

/* Nobody waits for it any more (its process has been killed): it takes a copy of its data, and lands, wholly, in part or not, perhaps
 * after the next server has started. */
void disk_write_abandon(struct disk_write *write);

/* --- for the checks: what is certain */

/* Read what a power cut right now would certainly leave. false: not certain, or not there. */
bool disk_medium_read(const struct disk *disk, uint64_t inode, uint64_t offset, void *out,
		      size_t size);

/* Read what a process that reads right now gets. false: it is not so long, or not there. */
bool disk_read(const struct disk *disk, uint64_t inode, uint64_t offset, void *out, size_t size);

/* Is the file found, after a power cut right now, under a name of this directory for certain? The name goes to ret. */
bool disk_medium_name(const struct disk *disk, const char *directory, uint64_t inode,
		      char ret[256]);

/* The kernel's view of a directory: `each` for every name. */
void disk_list(const struct disk *disk, const char *directory,
	       void (*each)(void *context, const char *name, uint64_t inode, uint64_t size),
	       void *context);

/* Has a file job of this server met, since it was asked last, an error that no acknowledgement may follow: of a write or flush of a
 * published segment, or of a flush of a directory? (What is not published yet, segment.tmp or a snapshot, may fail and be tried
 * again; the rest of what is final its first thread is told by the call itself, and check_io_error at once.) */
bool disk_job_has_failed(struct process *process);

/* Descriptors that a process has open. */
unsigned disk_descriptors(const struct process *process);

#endif
