/* What direct I/O wants in a directory.
 *
 * The kernel is asked (statx, STATX_DIOALIGN, Linux 6.1) about a file there; whether open(O_DIRECT) succeeds says nothing, since
 * some file systems take it and go through the page cache all the same. The file is a nameless one; where these are
 * not to be had a named one; and where nothing may be made, one that is there. */
#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK_SIZE_MIN = 4096,
	BLOCK_SIZE_MAX = 65536,
	/* Two fields of struct statx that headers before Linux 6.1 do not name. The struct has had 256 bytes from the start. */
	DIO_MEMORY_AT = 0x98,
	DIO_OFFSET_AT = 0x9c,
};

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000U
#endif

_Static_assert(sizeof(struct statx) == 256, "the fields' places hold for this size");

static const char geometry_name[] = "geometry.tmp";

static bool is_power_of_two(uint32_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

static uint32_t read_number(const char *path)
{
	char text[32];
	ssize_t size = -1;

	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0) {
		size = read(file, text, sizeof(text) - 1);
		close(file);
	}
	if (size <= 0)
		return 0;
	text[size] = '\0';
	unsigned long value = strtoul(text, NULL, 10);
	return value <= UINT32_MAX ? (uint32_t)value : 0;
}

/* 0 when it cannot be known (a file system without a device of its own). */
static uint32_t physical_block_size(uint32_t major, uint32_t minor)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/physical_block_size", major,
		 minor);
	uint32_t size = read_number(path);
	if (size == 0) {
		/* A partition has no queue; the disk above it has. */
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../queue/physical_block_size",
			 major, minor);
		size = read_number(path);
	}
	return size;
}

/* Ask about an open file, or a directory (which says nothing of direct I/O). Sets O_DIRECT on `file` to see that it can. */
static int ask(int file, struct file_geometry *ret)
{
	struct statx now;
	struct file_geometry found = { .memory_alignment = BLOCK_SIZE_MIN,
				       .offset_alignment = BLOCK_SIZE_MIN,
				       .block_size = BLOCK_SIZE_MIN };
	uint32_t memory, offset;

	if (statx(file, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &now) < 0)
		return -errno;
	if (now.stx_mask & STATX_DIOALIGN) {
		memcpy(&memory, (const uint8_t *)&now + DIO_MEMORY_AT, sizeof(memory));
		memcpy(&offset, (const uint8_t *)&now + DIO_OFFSET_AT, sizeof(offset));
		int flags = fcntl(file, F_GETFL);
		if (is_power_of_two(memory) && is_power_of_two(offset) &&
		    offset <= BLOCK_SIZE_MAX && flags >= 0 &&
		    fcntl(file, F_SETFL, flags | O_DIRECT) == 0) {
			found.direct = true;
			found.memory_alignment = memory;
			found.offset_alignment = offset;
		}
	}
	if (found.offset_alignment > found.block_size)
		found.block_size = found.offset_alignment;
	uint32_t physical = physical_block_size(now.stx_dev_major, now.stx_dev_minor);
	if (is_power_of_two(physical) && physical <= BLOCK_SIZE_MAX && physical > found.block_size)
		found.block_size = physical;
	*ret = found;
	return 0;
}

static int make_probe(int directory, int *ret_file)
{
	int file = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file >= 0) {
		*ret_file = file;
		return 0;
	}
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	int error = file_open(directory, geometry_name, FILE_WRITE | FILE_CREATE | FILE_NEW, &file);
	if (error)
		return error;
	file_remove(directory, geometry_name);
	*ret_file = file;
	return 0;
}

struct search {
	int directory;
	int file;
};

static int open_any(void *context, const char *name)
{
	struct search *search = context;

	return file_open(search->directory, name, FILE_READ, &search->file) == 0;
}

int file_geometry(int directory, struct file_geometry *ret)
{
	struct search search = { .directory = directory, .file = -1 };

	int made = make_probe(directory, &search.file);
	if (made && made != -EACCES && made != -EPERM && made != -EROFS && made != -EEXIST &&
	    made != -ENOSPC && made != -EDQUOT)
		return made;
	if (made) {
		int found = file_list(directory, open_any, &search);
		if (found < 0)
			return found;
		if (!found && (made == -ENOSPC || made == -EDQUOT))
			return made;
		if (!found)
			return ask(directory, ret);
	}
	int error = ask(search.file, ret);
	file_close(search.file);
	return error;
}
