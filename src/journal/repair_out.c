#include "journal/repair_out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/must.h"
#include "clock/clock.h"
#include "file/file.h"

enum { TEMPORARY_NAME_SIZE = 40 };

struct pending {
	size_t at;
	struct batch_header header;
};

struct repair_out {
	char *path;
	int directory;
	uint32_t block_size;
	uint8_t journal_id[16];
	uint64_t first;
	uint64_t next;
	uint64_t first_index;
	uint64_t index;            /* of the open segment, or of the next one */
	int file;                  /* -1: none is open */
	uint64_t offset;
	uint64_t segment_first;
	uint8_t salt[SALT_SIZE];
	/* the commit that is collected */
	uint8_t *commit;
	size_t commit_size;
	size_t commit_room;
	struct pending *pending;
	size_t pending_count;
	size_t pending_room;
	bool finished;
};

static int failed(const struct repair_out *out, struct failure *why, int error, const char *what)
{
	return failure_set(why, EXIT_IO, -error, "write journal %s: %s", out->path, what);
}

static void temporary_name(uint64_t index, char name[TEMPORARY_NAME_SIZE])
{
	snprintf(name, TEMPORARY_NAME_SIZE, NAME_SEGMENT_NEW ".%020" PRIu64, index);
}

static int found_something(void *context, const char *name)
{
	(void)context;
	(void)name;
	return 1;
}

static int open_directory(struct repair_out *out, struct failure *why)
{
	struct file_geometry geometry;
	int error = file_make_directory(out->path);

	if (error == 0)
		error = file_open_directory(out->path, &out->directory);
	if (error != 0) {
		out->directory = -1;
		return failure_set(why, EXIT_CREATE, -error, "make journal %s", out->path);
	}
	error = file_list(out->directory, found_something, NULL);
	if (error > 0)
		return failure_set(why, EXIT_CREATE, ENOTEMPTY, "make journal %s", out->path);
	if (error == 0)
		error = file_geometry(out->directory, &geometry);
	if (error != 0)
		return failure_set(why, EXIT_CREATE, -error, "make journal %s", out->path);
	out->block_size = geometry.block_size;
	return 0;
}

int repair_out_create(const char *path, const uint8_t journal_id[16], uint64_t first,
		      struct repair_out **ret, struct failure *why)
{
	struct repair_out *out = calloc(1, sizeof(*out));
	int error;

	must(first > 0);
	if (out == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "make journal %s", path);
	out->directory = -1;
	out->file = -1;
	out->first = first;
	out->next = first;
	/* With a snapshot before it, an index that the snapshot covers must be left free. */
	out->first_index = first == 1 ? 1 : 2;
	out->index = out->first_index;
	memcpy(out->journal_id, journal_id, 16);
	out->path = strdup(path);
	error = out->path == NULL ? failure_set(why, EXIT_IO, ENOMEM, "make journal %s", path)
				  : open_directory(out, why);
	if (error != 0) {
		out->finished = true; /* nothing of it is ours */
		repair_out_destroy(out);
		return error;
	}
	*ret = out;
	return 0;
}

/* All of it is ours: the directory was empty. What stayed would be in the way of the next try. */
static void remove_all(struct repair_out *out)
{
	for (uint64_t i = out->first_index; i <= out->index; i++) {
		char temporary[TEMPORARY_NAME_SIZE];
		char name[SEGMENT_NAME_SIZE];

		temporary_name(i, temporary);
		segment_name(i, name);
		(void)file_remove(out->directory, temporary);
		(void)file_remove(out->directory, name);
	}
	(void)file_remove(out->directory, NAME_SNAPSHOT_NEW);
	(void)file_remove(out->directory, NAME_SNAPSHOT);
	(void)file_remove(out->directory, NAME_LOCK);
}

void repair_out_destroy(struct repair_out *out)
{
	if (out == NULL)
		return;
	if (out->file >= 0)
		file_close(out->file);
	if (!out->finished)
		remove_all(out);
	if (out->directory >= 0)
		file_close(out->directory);
	free(out->commit);
	free(out->pending);
	free(out->path);
	free(out);
}

uint64_t repair_out_next(const struct repair_out *out)
{
	return out->next;
}

/* --- segments */

static int begin_segment(struct repair_out *out, uint64_t first, struct failure *why)
{
	struct segment_header header = {
		.index = out->index,
		.block_size = out->block_size,
		.created_ns = clock_realtime_ns(),
	};
	char name[TEMPORARY_NAME_SIZE];
	uint8_t *block = calloc(1, out->block_size);
	int error = block == NULL ? -ENOMEM : 0;

	temporary_name(out->index, name);
	random_bytes(out->salt, SALT_SIZE);
	memcpy(header.salt, out->salt, SALT_SIZE);
	memcpy(header.journal_id, out->journal_id, 16);
	if (error == 0)
		error = file_open(out->directory, name, FILE_WRITE | FILE_CREATE | FILE_NEW,
				  &out->file);
	if (error == 0) {
		segment_header_encode(block, &header);
		error = file_write(out->file, block, out->block_size, 0);
	}
	free(block);
	out->offset = out->block_size;
	out->segment_first = first;
	return error == 0 ? 0 : failed(out, why, error, name);
}

static int end_segment(struct repair_out *out, struct failure *why)
{
	int error = file_flush(out->file);

	file_close(out->file);
	out->file = -1;
	out->index++;
	return error == 0 ? 0 : failed(out, why, error, "flush segment");
}

/* Write what has been collected as one commit, in a new segment if this one is full. */
static int write_commit(struct repair_out *out, uint64_t durable, struct failure *why)
{
	size_t size = (size_t)round_up(out->commit_size, out->block_size);
	int error = 0;

	if (out->commit_size == 0)
		return 0;
	must(size <= out->commit_room);
	memset(out->commit + out->commit_size, 0, size - out->commit_size);
	if (out->file >= 0 && out->offset + size > DEFAULT_SEGMENT_SIZE)
		error = end_segment(out, why);
	if (error == 0 && out->file < 0)
		error = begin_segment(out, out->pending[0].header.record, why);
	if (error != 0)
		return error;
	for (size_t i = 0; i < out->pending_count; i++) {
		struct batch_header *h = &out->pending[i].header;

		h->segment_first = out->segment_first;
		h->durable = durable;
		h->flags &= ~(uint32_t)(BATCH_FIRST | BATCH_LAST);
		h->flags |= i == 0 ? BATCH_FIRST : 0;
		h->flags |= i + 1 == out->pending_count ? BATCH_LAST : 0;
		batch_header_encode(out->commit + out->pending[i].at, h, out->salt, out->index);
	}
	error = file_write(out->file, out->commit, size, out->offset);
	out->offset += size;
	out->commit_size = 0;
	out->pending_count = 0;
	return error == 0 ? 0 : failed(out, why, error, "write segment");
}

/* Room for one more batch of `size` bytes and the padding of its commit. */
static int make_room(struct repair_out *out, size_t size)
{
	if (out->commit_size + size + out->block_size > out->commit_room) {
		size_t room = (out->commit_size + size + out->block_size) * 2;
		uint8_t *larger = realloc(out->commit, room);

		if (larger == NULL)
			return -ENOMEM;
		out->commit = larger;
		out->commit_room = room;
	}
	if (out->pending_count == out->pending_room) {
		size_t room = out->pending_room == 0 ? 64 : out->pending_room * 2;
		struct pending *larger = reallocarray(out->pending, room, sizeof(*larger));

		if (larger == NULL)
			return -ENOMEM;
		out->pending = larger;
		out->pending_room = room;
	}
	return 0;
}

int repair_out_batch(struct repair_out *out, const struct batch_header *header,
		     const uint8_t *frames, struct failure *why)
{
	size_t size = BATCH_HEADER_SIZE + (size_t)header->bytes;
	int error = 0;

	must(header->record == out->next);
	if (out->commit_size > 0 && out->commit_size + size > STAGING_SIZE)
		error = write_commit(out, out->first - 1, why);
	if (error != 0)
		return error;
	if (make_room(out, size) != 0)
		return failed(out, why, -ENOMEM, "write segment");
	out->pending[out->pending_count++] =
		(struct pending){ .at = out->commit_size, .header = *header };
	if (header->bytes > 0)
		memcpy(out->commit + out->commit_size + BATCH_HEADER_SIZE, frames, header->bytes);
	out->commit_size += size;
	out->next += header->count;
	return 0;
}

/* --- the end */

/* What has been flushed before may be claimed now, so that damage of it can never pass for an end. */
static int write_seal(struct repair_out *out, struct failure *why)
{
	struct batch_header seal = { .record = out->next, .time_ns = clock_realtime_ns() };
	int error = write_commit(out, out->first - 1, why);

	if (error != 0)
		return error;
	if (out->file >= 0 && file_flush(out->file) != 0)
		return failed(out, why, -EIO, "flush segment");
	error = repair_out_batch(out, &seal, NULL, why);
	if (error == 0)
		error = write_commit(out, out->next - 1, why);
	return error == 0 ? end_segment(out, why) : error;
}

static int write_file(struct repair_out *out, const char *name, const uint8_t *head,
		      size_t head_size, const uint8_t *rest, size_t rest_size)
{
	int file;
	int error = file_open(out->directory, name, FILE_WRITE | FILE_CREATE | FILE_NEW, &file);

	if (error != 0)
		return error;
	error = file_write(file, head, head_size, 0);
	if (error == 0 && rest_size > 0)
		error = file_write(file, rest, rest_size, head_size);
	if (error == 0)
		error = file_flush(file);
	file_close(file);
	return error;
}

static int write_snapshot(struct repair_out *out, const uint8_t *entries, uint64_t count)
{
	uint8_t head[SNAPSHOT_HEADER_SIZE];
	size_t size = count * SNAPSHOT_ENTRY_SIZE;
	struct snapshot_header header = {
		.segment_index = out->first_index - 1,
		.record = out->first - 1,
		.count = count,
		.entries_checksum = crc32c(0, entries, size),
	};
	int error;

	memcpy(header.journal_id, out->journal_id, 16);
	snapshot_header_encode(head, &header);
	error = write_file(out, NAME_SNAPSHOT_NEW, head, sizeof(head), entries, size);
	return error == 0 ? file_rename(out->directory, NAME_SNAPSHOT_NEW, NAME_SNAPSHOT, false)
			  : error;
}

int repair_out_finish(struct repair_out *out, const uint8_t *entries, uint64_t count,
		      struct failure *why)
{
	uint8_t lock[LOCK_SIZE] = { 0 };
	int error = write_seal(out, why);

	if (error != 0)
		return error;
	if (out->first != 1) {
		error = write_snapshot(out, entries, count);
		if (error != 0)
			return failed(out, why, error, NAME_SNAPSHOT);
	}
	/* The last one first: as long as the first one has no name, what is there does not pass for a whole journal. */
	for (uint64_t i = out->index - 1; i >= out->first_index; i--) {
		char from[TEMPORARY_NAME_SIZE];
		char to[SEGMENT_NAME_SIZE];

		temporary_name(i, from);
		segment_name(i, to);
		error = file_rename(out->directory, from, to, false);
		if (error != 0)
			return failed(out, why, error, to);
	}
	lock_encode(lock, out->next - 1, 0);
	error = write_file(out, NAME_LOCK, lock, sizeof(lock), NULL, 0);
	if (error != 0)
		return failed(out, why, error, NAME_LOCK);
	error = file_flush_directory(out->directory);
	if (error != 0)
		return failed(out, why, error, "flush its directory");
	out->finished = true;
	return 0;
}
