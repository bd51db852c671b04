/* For tests: journals built by hand, with the format's own encoders, in a temporary directory. */
#ifndef ROGER_JOURNAL_JOURNAL_BUILD_H
#define ROGER_JOURNAL_JOURNAL_BUILD_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "file/file.h"
#include "journal/format.h"
/* Last. */
#include "base/test.h"

enum {
	BUILD_BLOCK = 4096,
	BUILD_ROOM = 1 << 20,
	BUILD_STREAMS = 8,
	BUILD_BATCHES = 256,
};

struct build_batch {
	uint64_t index;
	uint64_t offset; /* of its header in the file */
	uint64_t end;    /* behind its frames */
	uint64_t padded; /* behind its commit's padding, when it is the last of it; else == end */
	struct batch_header header;
};

struct build {
	char path[64];
	int directory;
	uint8_t *image; /* the segment that is being built */
	size_t at;
	uint64_t index;
	uint8_t salt[SALT_SIZE];
	uint64_t f;
	uint64_t record;  /* the next one */
	uint64_t durable; /* what the next commits will claim */
	uint32_t flags;   /* added to the next batch */
	uint64_t gap_last;
	size_t commit_at;
	bool in_commit;
	uint64_t seq[BUILD_STREAMS];
	uint32_t h[BUILD_STREAMS];
	struct build_batch batches[BUILD_BATCHES];
	unsigned batch_count;
};

static inline void build_init(struct build *b)
{
	const char *where = getenv("TMPDIR");

	memset(b, 0, sizeof(*b));
	snprintf(b->path, sizeof(b->path), "%s/journal-test-XXXXXX",
		 where != NULL && strlen(where) < 30 ? where : "/tmp");
	assert_non_null(mkdtemp(b->path));
	assert_int_equal(file_open_directory(b->path, &b->directory), 0);
	b->image = malloc(BUILD_ROOM);
	assert_non_null(b->image);
	b->record = 1;
}

static inline int build_remove_each(void *context, const char *name)
{
	return file_remove(*(int *)context, name);
}

static inline void build_remove_all(const char *path)
{
	int directory;

	assert_int_equal(file_open_directory(path, &directory), 0);
	assert_int_equal(file_list(directory, build_remove_each, &directory), 0);
	file_close(directory);
}

static inline void build_deinit(struct build *b)
{
	build_remove_all(b->path);
	file_close(b->directory);
	assert_int_equal(rmdir(b->path), 0);
	free(b->image);
}

static inline struct stream_id build_stream(unsigned stream)
{
	struct stream_id id = { { 0x80 } };

	id.bytes[15] = (uint8_t)(stream + 1);
	return id;
}

/* The payload's byte `i` of record `record`. */
static inline uint8_t build_byte(uint64_t record, uint32_t i)
{
	return (uint8_t)(record * 31 + i);
}

/* Begin segment `index`; f is the record that comes next. */
static inline void build_segment(struct build *b, uint64_t index)
{
	struct segment_header header = { .index = index,
					 .block_size = BUILD_BLOCK,
					 .created_ns = 1000 + index };

	memset(b->image, 0, BUILD_ROOM);
	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	memset(b->salt, (int)(0x40 + index), SALT_SIZE);
	memcpy(header.salt, b->salt, SALT_SIZE);
	segment_header_encode(b->image, &header);
	b->index = index;
	b->f = b->record;
	b->at = BUILD_BLOCK;
	b->in_commit = false;
}

static inline struct build_batch *build_put(struct build *b, struct batch_header *header)
{
	struct build_batch *batch = &b->batches[b->batch_count++];

	assert_true(b->batch_count <= BUILD_BATCHES);
	header->segment_first = b->f;
	header->record = b->record;
	header->durable = b->durable;
	header->time_ns = 1700000000000000000u + b->record;
	header->flags |= b->flags;
	if (!b->in_commit)
		header->flags |= BATCH_FIRST;
	b->in_commit = true;
	b->flags = 0;
	*batch = (struct build_batch){ .index = b->index, .offset = b->at, .header = *header };
	batch->end = batch->padded = b->at + BATCH_HEADER_SIZE + header->bytes;
	assert_true(batch->end <= BUILD_ROOM);
	batch_header_encode(b->image + b->at, header, b->salt, b->index);
	b->at = batch->end;
	return batch;
}

/* The next `count` messages of a stream, `size` bytes each. */
static inline void build_batch(struct build *b, unsigned stream, uint32_t count, uint32_t size)
{
	struct batch_header header = {
		.stream = build_stream(stream),
		.first_seq = b->seq[stream] + 1,
		.count = count,
		.bytes = count * (FRAME_HEADER_SIZE + size),
		.h_before = b->h[stream],
		.writer = 42,
		.protocol = 1,
		.peer = { .family = PEER_IPV4, .port = 1234, .address = { 127, 0, 0, 1 } },
	};
	uint8_t *out = b->image + b->at + BATCH_HEADER_SIZE;

	if ((b->flags & BATCH_GAP) != 0) {
		header.gap_last = b->gap_last;
		header.h_before = 0;
		b->h[stream] = 0;
	}
	assert_true(b->at + BATCH_HEADER_SIZE + header.bytes <= BUILD_ROOM);
	for (uint32_t i = 0; i < count; i++) {
		struct frame_header frame = { .size = size };

		for (uint32_t k = 0; k < size; k++)
			out[FRAME_HEADER_SIZE + k] = build_byte(b->record + i, k);
		frame.checksum = frame_checksum(frame_seed(&header.stream), header.first_seq + i,
						size, out + FRAME_HEADER_SIZE);
		frame_put_header(out, frame);
		b->h[stream] = history_next(b->h[stream], frame.checksum);
		out += FRAME_HEADER_SIZE + size;
	}
	header.h_after = b->h[stream];
	build_put(b, &header);
	b->seq[stream] += count;
	b->record += count;
}

/* The commit ends: the last batch says so, zeros up to the block's end. */
static inline void build_commit(struct build *b)
{
	struct build_batch *last = &b->batches[b->batch_count - 1];

	last->header.flags |= BATCH_LAST;
	batch_header_encode(b->image + last->offset, &last->header, b->salt, b->index);
	b->at = round_up(b->at, BUILD_BLOCK);
	last->padded = b->at;
	b->in_commit = false;
}

/* A commit with one batch. */
static inline void build_one(struct build *b, unsigned stream, uint32_t count, uint32_t size)
{
	build_batch(b, stream, count, size);
	build_commit(b);
}

static inline void build_seal(struct build *b)
{
	struct batch_header header = { 0 };
	uint64_t durable = b->durable;

	b->durable = b->record - 1;
	build_put(b, &header);
	b->durable = durable;
	build_commit(b);
}

/* A seal that says that record `record` comes next, whatever does. */
static inline void build_wrong_seal(struct build *b, uint64_t record)
{
	struct batch_header header = { 0 };
	uint64_t next = b->record;

	b->record = record;
	build_put(b, &header);
	b->record = next;
	build_commit(b);
}

static inline void build_forget(struct build *b, unsigned stream)
{
	struct batch_header header = { .stream = build_stream(stream), .flags = BATCH_FORGET };

	build_put(b, &header);
	build_commit(b);
	b->seq[stream] = 0;
	b->h[stream] = 0;
}

/* The places of `count` records that a repair did not find. */
static inline void build_lost(struct build *b, uint32_t count)
{
	struct batch_header header = { .stream = stream_id_plain(b->record),
				       .first_seq = 1,
				       .count = count,
				       .flags = BATCH_LOST };

	build_put(b, &header);
	build_commit(b);
	b->record += count;
}

/* Write `size` bytes of the image (0: what is used, and `spare` zero blocks more) as the segment's file. */
static inline void build_save_size(struct build *b, size_t size)
{
	char name[SEGMENT_NAME_SIZE];
	int file;

	segment_name(b->index, name);
	assert_int_equal(file_open(b->directory, name, FILE_WRITE | FILE_CREATE, &file), 0);
	assert_int_equal(file_truncate(file, 0), 0);
	assert_int_equal(file_write(file, b->image, size, 0), 0);
	file_close(file);
}

static inline void build_save(struct build *b, unsigned spare)
{
	build_save_size(b, b->at + spare * (size_t)BUILD_BLOCK);
}

/* Change the file of a segment: xor `mask` into the byte at `offset`. */
static inline void build_flip(struct build *b, uint64_t index, uint64_t offset, uint8_t mask)
{
	char name[SEGMENT_NAME_SIZE];
	uint8_t byte;
	int file;

	segment_name(index, name);
	assert_int_equal(file_open(b->directory, name, FILE_WRITE, &file), 0);
	assert_int_equal(file_read(file, &byte, 1, offset), 1);
	byte ^= mask;
	assert_int_equal(file_write(file, &byte, 1, offset), 0);
	file_close(file);
}

/* The frame (0 ...) of a batch whose frames are all of one size that the byte at `at` is in; -1: its header. *ret_offset: where the frame
 * begins, or the header. */
static inline int build_frame_at(const struct build_batch *batch, uint64_t at, uint64_t *ret_offset)
{
	uint64_t frames = batch->offset + BATCH_HEADER_SIZE;
	uint64_t size = batch->header.count == 0 ? 1 : batch->header.bytes / batch->header.count;
	uint64_t index = at < frames ? 0 : (at - frames) / size;

	*ret_offset = at < frames ? batch->offset : frames + index * size;
	return at < frames ? -1 : (int)index;
}

/* A file of the directory with this content. */
static inline void build_file(struct build *b, const char *name, const void *data, size_t size)
{
	int file;

	assert_int_equal(file_open(b->directory, name, FILE_WRITE | FILE_CREATE, &file), 0);
	assert_int_equal(file_truncate(file, 0), 0);
	assert_int_equal(file_write(file, data, size, 0), 0);
	file_close(file);
}

/* A snapshot of the builder's streams as they are now, up to the last record of segment `index`. */
static inline void build_snapshot(struct build *b, const char *name, uint64_t index)
{
	uint8_t data[SNAPSHOT_HEADER_SIZE + BUILD_STREAMS * SNAPSHOT_ENTRY_SIZE];
	struct snapshot_header header = { .segment_index = index, .record = b->record - 1 };
	uint8_t *at = data + SNAPSHOT_HEADER_SIZE;

	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	for (unsigned i = 0; i < BUILD_STREAMS; i++) {
		struct snapshot_entry entry = {
			.stream = build_stream(i), .last_seq = b->seq[i], .writer = 42, .h = b->h[i]
		};

		for (unsigned k = 0; k < b->batch_count; k++) {
			const struct batch_header *batch = &b->batches[k].header;

			if (batch->count == 0 || !stream_id_equal(&batch->stream, &entry.stream))
				continue;
			entry.record = batch->record + batch->count - 1;
			entry.time_ns = batch->time_ns;
		}
		if (b->seq[i] == 0)
			continue;
		snapshot_entry_encode(at, &entry);
		at += SNAPSHOT_ENTRY_SIZE;
		header.count++;
	}
	header.entries_checksum =
		crc32c(0, data + SNAPSHOT_HEADER_SIZE, (size_t)(at - data) - SNAPSHOT_HEADER_SIZE);
	snapshot_header_encode(data, &header);
	build_file(b, name, data, (size_t)(at - data));
}

/* A snapshot up to the last record, with these entries (as many as there are streams, at most). */
static inline void build_snapshot_of(struct build *b, const char *name, uint64_t index,
				     const struct snapshot_entry *entries, unsigned count)
{
	uint8_t data[SNAPSHOT_HEADER_SIZE + BUILD_STREAMS * SNAPSHOT_ENTRY_SIZE];
	size_t size = count * SNAPSHOT_ENTRY_SIZE;
	struct snapshot_header header = { .segment_index = index,
					  .record = b->record - 1,
					  .count = count };

	assert_true(count <= BUILD_STREAMS);
	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	for (unsigned i = 0; i < count; i++)
		snapshot_entry_encode(data + SNAPSHOT_HEADER_SIZE + i * SNAPSHOT_ENTRY_SIZE,
				      &entries[i]);
	header.entries_checksum = crc32c(0, data + SNAPSHOT_HEADER_SIZE, size);
	snapshot_header_encode(data, &header);
	build_file(b, name, data, SNAPSHOT_HEADER_SIZE + size);
}

static inline void build_lock(struct build *b, uint64_t number)
{
	uint8_t data[LOCK_SIZE] = { 0 };

	lock_encode(data, number, 0);
	build_file(b, NAME_LOCK, data, sizeof(data));
}

#endif
