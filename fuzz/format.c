/* Headers of segments, batches and snapshots, lock and names: what decodes encodes to the same bytes, and nothing is believed whose
 * checksum does not fit. Half of the inputs get the checksum that they lack, so that what lies behind it is reached. */
#include "journal/format.h"
#include "base/crc32c.h"
#include "fuzz.h"

enum { PAGE_CHECKSUM_AT = 12, BATCH_CHECKSUM_AT = 4, FRAMES_SIZE = 2048 };

/* The checksums as docs/journal.md says them, by other code than the one that is tested. */
static uint32_t page_checksum(const uint8_t *page)
{
	return crc32c_by_table(crc32c_by_table(0, page, 12), page + 16, 64);
}

static uint32_t batch_checksum(const uint8_t *batch, const uint8_t *salt, uint64_t index)
{
	uint8_t number[8];

	put_u64(number, index);
	return crc32c_by_table(crc32c_by_table(crc32c_by_table(0, salt, SALT_SIZE), number, 8),
			       batch + 8, BATCH_HEADER_SIZE - 8);
}

static void try_segment(struct fuzz *f, bool mended)
{
	uint8_t page[SEGMENT_HEADER_SIZE];
	uint8_t again[SEGMENT_HEADER_SIZE];
	struct segment_header header;
	enum format_fault fault;
	size_t size = fuzz_bytes(f, page, sizeof(page));

	if (mended) {
		memcpy(page, "ROGERSEG\1\0\0", 12);
		put_u32(page + PAGE_CHECKSUM_AT, page_checksum(page));
		size = sizeof(page);
	}
	fault = segment_header_decode(page, size, &header);
	must(!mended || fault == FORMAT_OK || fault == FORMAT_VALUE);
	if (fault != FORMAT_OK)
		return;
	must(size == sizeof(page));
	must(get_u32(page + PAGE_CHECKSUM_AT) == page_checksum(page));
	must(header.index != 0);
	must(header.block_size >= COMMIT_BLOCK_MIN && header.block_size <= COMMIT_BLOCK_MAX);
	segment_header_encode(again, &header);
	must(memcmp(page, again, sizeof(page)) == 0);
}

static void try_snapshot(struct fuzz *f, bool mended)
{
	uint8_t page[SNAPSHOT_HEADER_SIZE];
	uint8_t again[SNAPSHOT_HEADER_SIZE];
	uint8_t entry[SNAPSHOT_ENTRY_SIZE];
	struct snapshot_header header;
	struct snapshot_entry decoded;
	enum format_fault fault;
	size_t size = fuzz_bytes(f, page, sizeof(page));

	if (mended) {
		memcpy(page, "ROGERSNP\1\0\0", 12);
		put_u32(page + PAGE_CHECKSUM_AT, page_checksum(page));
		size = sizeof(page);
	}
	fault = snapshot_header_decode(page, size, &header);
	must(!mended || fault == FORMAT_OK || fault == FORMAT_VALUE);
	if (fault == FORMAT_OK) {
		must(size == sizeof(page));
		must(get_u32(page + PAGE_CHECKSUM_AT) == page_checksum(page));
		snapshot_header_encode(again, &header);
		must(memcmp(page, again, sizeof(page)) == 0);
	}
	fuzz_bytes(f, entry, sizeof(entry));
	memset(entry + 56, 0, 8);
	snapshot_entry_decode(entry, &decoded);
	snapshot_entry_encode(again, &decoded);
	must(memcmp(entry, again, sizeof(entry)) == 0);
}

/* Frames as docs/journal.md 5 says: true when all are right. */
static bool frames_are_good(const struct batch_header *h, const uint8_t *frames)
{
	uint32_t history = h->h_before;
	uint64_t at = 0;

	for (uint32_t i = 0; i < h->count; i++) {
		uint8_t number[8];
		uint32_t crc, size;

		if (h->bytes - at < FRAME_HEADER_SIZE)
			return false;
		size = get_u32(frames + at);
		if (size > h->bytes - at - FRAME_HEADER_SIZE)
			return false;
		put_u64(number, h->first_seq + i);
		crc = crc32c_by_table(0, h->stream.bytes, STREAM_ID_SIZE);
		crc = crc32c_by_table(crc, number, 8);
		crc = crc32c_by_table(crc, frames + at, 4);
		crc = crc32c_by_table(crc, frames + at + FRAME_HEADER_SIZE, size);
		if (crc != get_u32(frames + at + 4))
			return false;
		history = crc32c_by_table(history, frames + at + 4, 4);
		at += FRAME_HEADER_SIZE + (uint64_t)size;
	}
	return at == h->bytes && (h->count == 0 || history == h->h_after);
}

/* Give the frames their checksums, and the header its sizes and history. */
static void mend_frames(uint8_t *batch, uint8_t *frames)
{
	struct stream_id stream;
	uint32_t count = get_u32(batch + 80) % 32;
	uint32_t history = get_u32(batch + 88);
	uint32_t at = 0;

	memcpy(stream.bytes, batch + 32, STREAM_ID_SIZE);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = get_u32(frames + at) % 40;
		struct frame_header header = { .size = size };

		header.checksum = frame_checksum(frame_seed(&stream), get_u64(batch + 48) + i, size,
						 frames + at + FRAME_HEADER_SIZE);
		frame_put_header(frames + at, header);
		history = history_next(history, header.checksum);
		at += FRAME_HEADER_SIZE + size;
	}
	put_u32(batch + 80, count);
	put_u32(batch + 84, at);
	put_u32(batch + 92, history);
}

static void check_frames(const struct batch_header *header, const uint8_t *frames)
{
	uint32_t offset = UINT32_MAX;
	uint32_t wrong = batch_frames_check(header, frames, &offset);

	if ((header->flags & BATCH_LOST) != 0) {
		must(wrong == 0);
		return;
	}
	must((wrong == 0) == frames_are_good(header, frames));
	must(offset <= header->bytes && wrong <= header->count + 1);
}

static void try_batch(struct fuzz *f, bool mended)
{
	uint8_t salt[SALT_SIZE];
	uint8_t batch[BATCH_HEADER_SIZE];
	uint8_t again[BATCH_HEADER_SIZE];
	uint8_t frames[FRAMES_SIZE];
	struct batch_header header;
	enum format_fault fault;
	uint64_t index = fuzz_u8(f);
	uint8_t spoil = fuzz_u8(f);
	size_t size = fuzz_bytes(f, batch, sizeof(batch));

	memset(salt, 0x5a, sizeof(salt));
	fuzz_bytes(f, frames, sizeof(frames));
	if (mended) {
		memcpy(batch, "RBAT", 4);
		mend_frames(batch, frames);
		if (spoil >= 0xc0)
			frames[spoil - 0xc0] ^= 1;
		else if (spoil >= 0x80)
			batch[92] ^= spoil; /* the history behind the frames */
		put_u32(batch + BATCH_CHECKSUM_AT, batch_checksum(batch, salt, index));
		size = sizeof(batch);
	}
	fault = batch_header_decode(batch, size, salt, index, &header);
	must(!mended || fault == FORMAT_OK || fault == FORMAT_VALUE);
	if (fault != FORMAT_OK)
		return;
	must(size == sizeof(batch));
	must(get_u32(batch + BATCH_CHECKSUM_AT) == batch_checksum(batch, salt, index));
	must(header.segment_first >= 1 && header.segment_first <= header.record);
	must(header.durable < header.record && header.record <= INT64_MAX);
	must(header.record + header.count - (header.count > 0) <= INT64_MAX);
	batch_header_encode(again, &header, salt, index);
	must(memcmp(batch, again, sizeof(batch)) == 0);
	must(batch_header_decode(batch, size, salt, index + 1, &header) == FORMAT_CHECKSUM);
	if (header.bytes <= sizeof(frames))
		check_frames(&header, frames);
}

static void try_name(struct fuzz *f)
{
	char name[64];
	char again[SEGMENT_NAME_SIZE];
	uint64_t index;

	fuzz_bytes(f, name, sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)name_is_temporary(name);
	index = segment_index_of_name(name);
	if (index != 0) {
		segment_name(index, again);
		must(strcmp(name, again) == 0);
		must(!name_is_temporary(name));
	}
	index = fuzz_u64(f);
	segment_name(index, again);
	must(segment_index_of_name(again) == index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	bool mend = (how & 4) != 0;

	switch (how & 3) {
	case 0: try_segment(&f, mend); break;
	case 1: try_snapshot(&f, mend); break;
	case 2: try_batch(&f, mend); break;
	default: try_name(&f); break;
	}
	return 0;
}
