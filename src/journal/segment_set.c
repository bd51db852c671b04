/* The segments of a journal directory, as opening, readers and tools see them: listed, opened, their headers and f known. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/must.h"
#include "journal/private.h"
#include "journal/walk.h"

enum {
	SEARCH_SIZE = 1 << 20, /* one read of a search: large enough to run at the disk's speed */
	OPEN_MAX = 256,        /* files that stay open: far below the usual limit of 1024 descriptors */
};

/* How far a quick search looks for f: the first commit is at most a staging buffer, so the second one is within this. */
#define QUICK_SEARCH_SIZE (STAGING_SIZE + 1 * MIB)

struct listing {
	uint64_t *list;
	uint32_t count;
	uint32_t room;
};

static int listing_add(void *context, const char *name)
{
	struct listing *names = context;
	uint64_t index = segment_index_of_name(name);

	if (index == 0)
		return 0;
	if (names->count == names->room) {
		uint32_t room = names->room == 0 ? 64 : names->room * 2;
		uint64_t *list = reallocarray(names->list, room, sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		names->list = list;
		names->room = room;
	}
	names->list[names->count++] = index;
	return 0;
}

static int by_index(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Direct reads are asked for by the directory's geometry; a file that refuses them is read through the page cache. */
static int open_file(struct segments *set, uint64_t index, bool *direct, int *ret_file)
{
	char name[SEGMENT_NAME_SIZE];
	int error;

	segment_name(index, name);
	if (*direct) {
		error = file_open(set->directory, name, FILE_READ | FILE_DIRECT, ret_file);
		if (error != -EINVAL)
			return error;
		*direct = false;
	}
	return file_open(set->directory, name, FILE_READ, ret_file);
}

/* The smallest aligned read that holds a segment header. */
static uint32_t unit(const struct segments *set)
{
	return set->geometry.offset_alignment > COMMIT_BLOCK_MIN ? set->geometry.offset_alignment
								 : COMMIT_BLOCK_MIN;
}

static int64_t read_now(struct segments *set, struct segment *segment, void *data, size_t size,
			uint64_t offset)
{
	int64_t count = file_read(segment->file, data, size, offset);
	bool direct = false;
	int file;

	if (count != -EINVAL || !segment->direct)
		return count;
	/* The file system took O_DIRECT and does not take this alignment. */
	if (open_file(set, segment->index, &direct, &file) != 0)
		return count;
	file_close(segment->file);
	segment->file = file;
	segment->direct = false;
	return file_read(file, data, size, offset);
}

enum format_fault segment_batch_header(const struct segments *set, const struct segment *segment,
				       const uint8_t *in, size_t size, struct batch_header *ret,
				       bool *ret_mended)
{
	enum format_fault fault =
		batch_header_decode(in, size, segment->header.salt, segment->index, ret);

	*ret_mended = fault != FORMAT_OK && set->salvage &&
		      batch_header_mend(in, size, segment->header.salt, segment->index, ret);
	return *ret_mended ? FORMAT_OK : fault;
}

static void decode_header(const struct segments *set, struct segment *segment, size_t size)
{
	segment->header_fault = segment_header_decode(set->buffer, size, &segment->header);
	if (segment->header_fault == FORMAT_OK && segment->header.index != segment->index)
		segment->header_fault = FORMAT_VALUE;
	segment->mended =
		segment->header_fault != FORMAT_OK && set->salvage &&
		segment_header_mend(set->buffer, size, segment->index, &segment->header);
	if (segment->mended)
		segment->header_fault = FORMAT_OK;
}

/* Header and f of an open segment. 0 or -errno. */
static int load_header(struct segments *set, struct segment *segment)
{
	struct batch_header batch;
	size_t size = 2 * (size_t)unit(set);
	int64_t count = read_now(set, segment, set->buffer, size, 0);
	uint64_t at;
	bool mended;

	if (count == -EIO) {
		size /= 2; /* perhaps only the first batch's block cannot be read */
		count = read_now(set, segment, set->buffer, size, 0);
	}
	if (count < 0)
		return (int)count;
	decode_header(set, segment, (size_t)count);
	if (segment->header_fault != FORMAT_OK)
		return 0;
	at = segment->header.block_size;
	if (at + BATCH_HEADER_SIZE > size) {
		count = read_now(set, segment, set->buffer, size, at);
		if (count < 0)
			return count == -EIO ? 0 : (int)count; /* whoever needs f searches for it, and meets this again */
		at = 0;
	}
	if ((uint64_t)count >= at + BATCH_HEADER_SIZE &&
	    segment_batch_header(set, segment, set->buffer + at, BATCH_HEADER_SIZE, &batch,
				 &mended) == FORMAT_OK) {
		segment->first = batch.segment_first;
		segment->claim = batch.durable;
	}
	return 0;
}

static bool is_gone(struct segments *set, uint64_t index)
{
	bool direct = false;
	int file;
	int error = open_file(set, index, &direct, &file);

	if (error == 0)
		file_close(file);
	return error == -ENOENT;
}

static int load_segment(struct segments *set, uint64_t index, struct segment *segment)
{
	struct file_stat stat;
	int error;

	*segment = (struct segment){ .index = index, .file = -1, .direct = set->geometry.direct };
	error = open_file(set, index, &segment->direct, &segment->file);
	if (error != 0)
		return error;
	error = file_stat(segment->file, &stat);
	if (error == 0) {
		segment->size = stat.size;
		segment->inode = stat.inode;
		segment->modified_ns = stat.modified_ns;
		error = load_header(set, segment);
	}
	/* A server that makes the next spare of it takes its name away before it writes the new header. */
	if (error == 0 && segment->header_fault != FORMAT_OK && is_gone(set, index))
		error = -ENOENT;
	if (error != 0) {
		file_close(segment->file);
		segment->file = -1;
	}
	return error;
}

/* The geometry of the directory; readers may have no right to make a file there, and then its segments are tried. */
static int find_geometry(struct segments *set)
{
	int error = file_geometry(set->directory, &set->geometry);

	if (error == -EIO)
		return error;
	if (error != 0)
		set->geometry = (struct file_geometry){ .direct = true,
							.memory_alignment = COMMIT_BLOCK_MIN,
							.offset_alignment = COMMIT_BLOCK_MIN,
							.block_size = COMMIT_BLOCK_MIN };
	return 0;
}

/* The segment as it is known from an earlier listing. The newest ones are always looked at again: they change. */
static struct segment *known_segment(struct segments *old, uint64_t index)
{
	uint32_t low = 0, high = old == NULL || old->count == 0 ? 0 : old->count - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (old->list[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	if (old == NULL || low + 1 >= old->count || old->list[low].index != index ||
	    old->list[low].first == 0)
		return NULL;
	return &old->list[low];
}

static int fill(struct segments *set, const struct listing *names, struct segments *old,
		bool salvage, struct failure *why)
{
	set->list = calloc(names->count == 0 ? 1 : names->count, sizeof(*set->list));
	if (set->list == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "load the journal's segments");
	for (uint32_t i = 0; i < names->count; i++) {
		struct segment *segment = &set->list[set->count];
		struct segment *known = known_segment(old, names->list[i]);
		int error = 0;

		if (known != NULL) {
			*segment = *known;
			known->file = -1;
		} else {
			error = load_segment(set, names->list[i], segment);
		}
		if (error == -ENOENT)
			continue;
		if (error == -EIO && salvage) {
			segment->header_fault = FORMAT_SHORT;
			error = 0;
		}
		if (error != 0) {
			char name[SEGMENT_NAME_SIZE];

			segment_name(names->list[i], name);
			return failure_set(why, EXIT_IO, -error, "read segment %s offset 0", name);
		}
		set->count++;
		if (set->count > OPEN_MAX) {
			segment_leave(set, &set->list[set->count - 1 - OPEN_MAX]);
		}
	}
	return 0;
}

/* What a snapshot that covers only segments below `index` claims, if that is more than *claim. */
static int snapshot_claim(const struct segments *set, const char *name, uint64_t index,
			  uint64_t *claim)
{
	struct snapshot_file file;
	int error = snapshot_read(set->directory, name, &file);

	if (error == 0 && file.valid && file.header.segment_index < index &&
	    file.header.record > *claim)
		*claim = file.header.record;
	free(file.entries);
	return set->salvage ? 0 : error;
}

/* Rare: only where a header is bad, or all batches. 0 or -errno with *why: where claims cannot be read, what could well be done
 * without would pass for damage. (To salvage, what cannot be read claims nothing.) */
static int find_doubt(struct segments *set, uint32_t at, struct failure *why)
{
	uint64_t index = set->list[at].index;
	uint64_t claim = 0;
	int error = snapshot_claim(set, NAME_SNAPSHOT, index, &claim);

	if (error == 0)
		error = snapshot_claim(set, NAME_SNAPSHOT_OLD, index, &claim);
	if (error != 0)
		return failure_set(why, EXIT_IO, -error, "read the journal's snapshots");
	for (uint32_t i = 0; i < at; i++) {
		struct segment *segment = &set->list[i];
		char name[SEGMENT_NAME_SIZE];

		if (segment->header_fault == FORMAT_OK && !segment->searched)
			error = segment_search(set, segment, 0);
		segment_leave(set, segment);
		if (error != 0 && !set->salvage) {
			segment_name(segment->index, name);
			return failure_set(why, EXIT_IO, -error,
					   "read segment %s offset %" PRIu64, name,
					   segment->error_offset);
		}
		if (segment->claim > claim)
			claim = segment->claim;
	}
	set->list[at].doubt = claim + 1;
	return 0;
}

/* The f at `at` is new: it bounds what stands before it, back to where another one already does. */
static void lower_bounds(struct segments *set, uint32_t at)
{
	uint64_t first = set->list[at].first;

	while (at-- > 0 && set->list[at].bound > first)
		set->list[at].bound = first;
}

static void set_bounds(struct segments *set)
{
	uint64_t bound = UINT64_MAX;

	for (uint32_t i = set->count; i-- > 0;) {
		set->list[i].bound = bound;
		if (set->list[i].first != 0 && set->list[i].first < bound)
			bound = set->list[i].first;
	}
}

static int load(int directory, struct segments *old, bool salvage, struct segments *ret,
		struct failure *why)
{
	struct segments set = { .directory = directory,
				.salvage = salvage,
				.buffer_size = SEARCH_SIZE };
	struct listing names = { 0 };
	int error = find_geometry(&set);

	if (error != 0)
		return failure_set(why, EXIT_IO, -error, "read the journal's directory");
	set.buffer = file_memory(set.buffer_size, set.geometry.memory_alignment);
	if (set.buffer == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "load the journal's segments");
	error = file_list(directory, listing_add, &names);
	if (error != 0) {
		failure_set(why, error == -EACCES ? EXIT_NO_INPUT : EXIT_IO, -error,
			    "list the journal's directory");
	} else {
		if (names.count > 1)
			qsort(names.list, names.count, sizeof(names.list[0]), by_index);
		error = fill(&set, &names, old, salvage, why);
		set_bounds(&set);
	}
	for (uint32_t i = 0; error == 0 && i < set.count; i++)
		if (set.list[i].header_fault != FORMAT_OK && set.list[i].doubt == 0)
			error = find_doubt(&set, i, why);
	free(names.list);
	if (error != 0) {
		segments_free(&set);
		return error;
	}
	*ret = set;
	return 0;
}

int segments_load(int directory, struct segments *ret, struct failure *why)
{
	return load(directory, NULL, false, ret, why);
}

int segments_load_salvage(int directory, struct segments *ret, struct failure *why)
{
	return load(directory, NULL, true, ret, why);
}

int segments_load_again(struct segments *old, struct segments *ret, struct failure *why)
{
	return load(old->directory, old, false, ret, why);
}

void segments_free(struct segments *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (set->list[i].file >= 0)
			file_close(set->list[i].file);
	free(set->list);
	file_memory_free(set->buffer, set->buffer_size);
	*set = (struct segments){ .directory = -1 };
}

/* The same segment, in the same file? */
static bool is_same(const struct segment *a, const struct segment *b)
{
	return a->index == b->index && a->header_fault == b->header_fault &&
	       (a->header_fault != FORMAT_OK ||
		memcmp(a->header.salt, b->header.salt, SALT_SIZE) == 0);
}

int segments_changed(struct segments *set)
{
	struct listing names = { 0 };
	struct segment now;
	uint64_t top = 0;
	int error = file_list(set->directory, listing_add, &names);

	for (uint32_t i = 0; i < names.count; i++)
		if (names.list[i] > top)
			top = names.list[i];
	free(names.list);
	if (error != 0)
		return error;
	if (set->count == 0)
		return top != 0;
	if (top != set->list[set->count - 1].index)
		return 1;
	error = load_segment(set, top, &now);
	if (error != 0)
		return error == -ENOENT ? 1 : error;
	file_close(now.file);
	return !is_same(&now, &set->list[set->count - 1]);
}

int segment_open(struct segments *set, struct segment *segment)
{
	struct segment now;
	int error;

	if (segment->file >= 0)
		return 0;
	error = load_segment(set, segment->index, &now);
	if (error != 0)
		return error;
	if (!is_same(&now, segment)) {
		file_close(now.file);
		return -ENOENT;
	}
	segment->file = now.file;
	segment->direct = now.direct;
	segment->size = now.size;
	return 0;
}

void segment_leave(struct segments *set, struct segment *segment)
{
	if (segment->file < 0 || segment - set->list + OPEN_MAX >= (ptrdiff_t)set->count)
		return;
	file_close(segment->file);
	segment->file = -1;
}

int64_t segment_read(struct segments *set, struct segment *segment, void *data, size_t size,
		     uint64_t offset)
{
	int error = segment_open(set, segment);

	return error != 0 ? error : read_now(set, segment, data, size, offset);
}

int64_t segment_read_blocks(struct segments *set, struct segment *segment, void *data, size_t size,
			    uint64_t offset)
{
	uint8_t *out = data;
	size_t block = unit(set);
	size_t done = 0;

	while (done < size && offset + done < segment->size) {
		size_t want = size - done < block ? size - done : block;
		int64_t count = segment_read(set, segment, out + done, want, offset + done);

		if (count < 0 && count != -EIO)
			return count;
		if (count < 0)
			memset(out + done, 0, want);
		if (count >= 0 && (size_t)count < want)
			return (int64_t)done + count;
		done += want;
	}
	return (int64_t)done;
}

/* Take f and claim from whatever batch headers stand at the block boundaries of set->buffer. */
static void search_buffer(struct segments *set, struct segment *segment, size_t size)
{
	struct batch_header batch;
	bool mended;

	segment->written = segment->written || !bytes_are_zero(set->buffer, size);
	for (size_t at = 0; at + BATCH_HEADER_SIZE <= size; at += segment->header.block_size) {
		if (segment_batch_header(set, segment, set->buffer + at, BATCH_HEADER_SIZE, &batch,
					 &mended) != FORMAT_OK)
			continue;
		if (segment->first == 0) {
			segment->first = batch.segment_first;
			lower_bounds(set, (uint32_t)(segment - set->list));
		}
		if (batch.durable > segment->claim)
			segment->claim = batch.durable;
	}
}

int segment_search(struct segments *set, struct segment *segment, uint64_t from_offset)
{
	uint64_t at = from_offset;
	bool quick = set->quick && from_offset == 0;

	if (segment->header_fault != FORMAT_OK)
		return 0; /* without its salt nothing in it can be told from what an earlier use left */
	at = round_up(at == 0 ? segment->header.block_size : at, segment->header.block_size);
	for (;;) {
		int64_t count = segment_read(set, segment, set->buffer, set->buffer_size, at);

		if (count == -EIO && set->salvage)
			count = segment_read_blocks(set, segment, set->buffer, set->buffer_size,
						    at);
		if (count == -ENOENT)
			break;
		if (count < 0) {
			segment->error_offset = at;
			return (int)count;
		}
		search_buffer(set, segment, (size_t)count);
		if ((size_t)count < set->buffer_size)
			break;
		at += (uint64_t)count;
		if (quick && (segment->first != 0 || at > QUICK_SEARCH_SIZE))
			return 0;
	}
	segment->searched = true;
	return 0;
}

void segments_leave_out(struct segments *set, uint32_t at)
{
	set->list[at].header_fault = FORMAT_VALUE;
	set->list[at].first = 0;
	set_bounds(set);
}

uint64_t segments_lowest(const struct segments *set)
{
	uint64_t lowest = UINT64_MAX;

	if (set->count != 0)
		lowest = set->list[0].bound;
	if (set->count != 0 && set->list[0].first != 0 && set->list[0].first < lowest)
		lowest = set->list[0].first;
	return lowest == UINT64_MAX ? 0 : lowest;
}

int segments_lost_first(struct segments *set, uint32_t at)
{
	struct segment *segment = &set->list[at];
	uint64_t lowest = segments_lowest(set);
	struct failure why;
	int error = 0;

	if (segment->first != 0 || segments_bound(set, at) != lowest)
		return 0;
	for (uint32_t i = 0; i < at && segment->header_fault == FORMAT_OK; i++)
		if (set->list[i].first == lowest)
			return 0;
	if (segment->header_fault == FORMAT_OK && !segment->searched)
		return 0;
	if (segment->doubt == 0)
		error = find_doubt(set, at, &why);
	return error != 0 ? error : lowest > segment->doubt;
}

uint64_t segments_bound(const struct segments *set, uint32_t at)
{
	return set->list[at].bound;
}
