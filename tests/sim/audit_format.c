/* Segments and batches as bytes: docs/journal.md 3 to 5. */
#include <string.h>

#include "audit.h"
#include "base/crc32c.h"

enum {
	SEGMENT_HEADER = 80,
	NAME_SIZE = 24,
	NAME_DIGITS = 20,
	FLAG_FIRST = 1,
	FLAG_LAST = 2,
	FLAG_GAP = 4,
	FLAG_EPHEMERAL = 8,
	FLAG_FORGET = 16,
	FLAG_LOST = 32,
	FLAGS_ALL = 63,
};

static const uint64_t NUMBER_MAX = INT64_MAX;

static bool is_zero(const uint8_t *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (at[i] != 0)
			return false;
	return true;
}

bool audit_segment_name(const char *name, uint64_t *ret_index)
{
	uint64_t index = 0;

	if (strlen(name) != NAME_SIZE || strcmp(name + NAME_DIGITS, ".seg") != 0)
		return false;
	for (unsigned i = 0; i < NAME_DIGITS; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		index = index * 10 + (uint64_t)(name[i] - '0');
	}
	*ret_index = index;
	return index != 0;
}

void audit_segment_header(struct audit_segment *segment)
{
	uint8_t header[SEGMENT_HEADER];
	uint32_t block;

	if (!disk_medium_read(checks.config.disk, segment->inode, 0, header, sizeof(header)))
		return;
	block = check_u32(header + 56);
	if (memcmp(header, "ROGERSEG", 8) != 0 || check_u32(header + 8) != 1 ||
	    crc32c(crc32c(0, header, 12), header + 16, 64) != check_u32(header + 12) ||
	    check_u64(header + 32) != segment->index || block < 4096 || block > 65536 ||
	    (block & (block - 1)) != 0 || check_u32(header + 60) != 0 ||
	    check_u64(header + 72) != 0)
		return;
	segment->is_valid = true;
	segment->block = block;
	memcpy(segment->salt, header + 40, AUDIT_SALT);
	if (!checks.has_journal_id)
		memcpy(checks.journal_id, header + 16, JOURNAL_ID);
	checks.has_journal_id = true;
	if (memcmp(checks.journal_id, header + 16, JOURNAL_ID) != 0)
		world_fail("segment %llu is of another journal",
			   (unsigned long long)segment->index);
}

/* The batch header that begins at a block, if there is one. */
static bool batch_at(const struct audit_segment *segment, uint64_t place, struct audit_batch *ret)
{
	uint8_t header[AUDIT_BATCH_HEADER];

	return disk_medium_read(checks.config.disk, segment->inode, place, header,
				sizeof(header)) &&
	       audit_batch_read(segment, header, ret);
}

void audit_segment_first(struct audit_segment *segment, bool thorough)
{
	uint64_t end = thorough ? segment->size : 2 * (uint64_t)segment->block;
	struct audit_batch batch;

	for (uint64_t at = segment->block; at < end; at += segment->block) {
		if (batch_at(segment, at, &batch)) {
			segment->f = batch.f;
			return;
		}
	}
}

uint64_t audit_segment_claim(const struct audit_segment *segment)
{
	uint64_t highest = 0;
	struct audit_batch batch;

	if (!segment->is_valid)
		return 0;
	for (uint64_t at = segment->block; at < segment->size; at += segment->block)
		if (batch_at(segment, at, &batch) && batch.durable > highest)
			highest = batch.durable;
	return highest;
}

static bool is_valid_empty(const struct audit_batch *b)
{
	return b->bytes == 0 && b->gap_last == 0 && !b->gap && !b->is_lost &&
	       is_zero(b->id, STREAM_ID) == !b->is_forget;
}

static bool is_valid_full(const struct audit_batch *b)
{
	if (b->is_forget || is_zero(b->id, STREAM_ID) || b->first_seq == 0 ||
	    b->first_seq > NUMBER_MAX || b->first_seq + b->count - 1 > NUMBER_MAX ||
	    b->record + b->count - 1 > NUMBER_MAX)
		return false;
	if (b->is_lost)
		return b->bytes == 0 && !b->gap && b->gap_last == 0 && is_zero(b->id, 8);
	if (b->gap ? b->gap_last >= b->first_seq || b->h_before != 0 : b->gap_last != 0)
		return false;
	return (uint64_t)AUDIT_FRAME_HEADER * b->count <= b->bytes;
}

bool audit_batch_read(const struct audit_segment *segment, const uint8_t *header,
		      struct audit_batch *ret)
{
	uint8_t index[8];
	uint32_t flags, crc;
	struct audit_batch b;

	if (memcmp(header, "RBAT", 4) != 0)
		return false;
	for (unsigned i = 0; i < 8; i++)
		index[i] = (uint8_t)(segment->index >> 8 * i);
	crc = crc32c(crc32c(0, segment->salt, AUDIT_SALT), index, sizeof(index));
	if (crc32c(crc, header + 8, 120) != check_u32(header + 4))
		return false;
	flags = check_u32(header + 96);
	b = (struct audit_batch){
		.f = check_u64(header + 8),
		.record = check_u64(header + 16),
		.durable = check_u64(header + 24),
		.first_seq = check_u64(header + 48),
		.writer = check_u64(header + 56),
		.gap_last = check_u64(header + 72),
		.count = check_u32(header + 80),
		.bytes = check_u32(header + 84),
		.h_before = check_u32(header + 88),
		.h_after = check_u32(header + 92),
		.talk = header[100],
		.is_first = (flags & FLAG_FIRST) != 0,
		.is_last = (flags & FLAG_LAST) != 0,
		.gap = (flags & FLAG_GAP) != 0,
		.is_ephemeral = (flags & FLAG_EPHEMERAL) != 0,
		.is_forget = (flags & FLAG_FORGET) != 0,
		.is_lost = (flags & FLAG_LOST) != 0,
	};
	memcpy(b.id, header + 32, STREAM_ID);
	if ((flags & ~(uint32_t)FLAGS_ALL) != 0 || !is_zero(header + 120, 8) || b.f == 0 ||
	    b.f > b.record || b.record > NUMBER_MAX || b.durable >= b.record)
		return false;
	if (b.count == 0 ? !is_valid_empty(&b) : !is_valid_full(&b))
		return false;
	*ret = b;
	return true;
}

static uint32_t frame_checksum(const struct audit_batch *batch, uint64_t seq,
			       const uint8_t *frame, uint32_t size)
{
	uint8_t number[8];
	uint32_t crc;

	for (unsigned i = 0; i < 8; i++)
		number[i] = (uint8_t)(seq >> 8 * i);
	crc = crc32c(crc32c(0, batch->id, STREAM_ID), number, sizeof(number));
	return crc32c(crc32c(crc, frame, 4), frame + AUDIT_FRAME_HEADER, size);
}

bool audit_batch_is_good(const struct audit_batch *batch, const uint8_t *frames,
			 uint32_t *ret_front)
{
	size_t left = batch->bytes;
	uint32_t h = batch->h_before;

	*ret_front = 0;
	if (batch->is_lost)
		return true;
	for (uint32_t i = 0; i < batch->count; i++) {
		uint32_t size;

		*ret_front = i;
		if (left < AUDIT_FRAME_HEADER)
			return false;
		size = check_u32(frames);
		if (size > left - AUDIT_FRAME_HEADER ||
		    frame_checksum(batch, batch->first_seq + i, frames, size) !=
			    check_u32(frames + 4))
			return false;
		h = crc32c(h, frames + 4, 4);
		frames += AUDIT_FRAME_HEADER + size;
		left -= AUDIT_FRAME_HEADER + size;
	}
	*ret_front = 0; /* if it is not good, then as a whole */
	return left == 0 && h == batch->h_after;
}
