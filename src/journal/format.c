/* The journal's bytes on disk: put and get, one field at a time, as format.h draws them. */
#include "journal/format.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "base/mutant.h"

enum {
	SEGMENT_CHECKSUM_AT = 12, /* of a segment header and of a snapshot header */
	BATCH_CHECKSUM_AT = 4,
	INDEX_DIGITS = 20, /* UINT64_MAX has 20 digits, so names sort as numbers do */
};

static const uint8_t segment_magic[8] = { 'R', 'O', 'G', 'E', 'R', 'S', 'E', 'G' };
static const uint8_t snapshot_magic[8] = { 'R', 'O', 'G', 'E', 'R', 'S', 'N', 'P' };
static const uint8_t batch_magic[4] = { 'R', 'B', 'A', 'T' };

const char *format_fault_text(enum format_fault fault)
{
	switch (fault) {
	case FORMAT_OK: return "ok";
	case FORMAT_SHORT: return "too short";
	case FORMAT_MAGIC: return "not there";
	case FORMAT_VERSION_UNKNOWN: return "written by another version";
	case FORMAT_CHECKSUM: return "checksum";
	case FORMAT_VALUE: return "a value is out of range";
	}
	return "unknown";
}

/* The checksum of a segment or snapshot header: all 80 bytes but its own four. */
static uint32_t page_checksum(const uint8_t *in)
{
	uint32_t crc = crc32c(0, in, SEGMENT_CHECKSUM_AT);

	return crc32c(crc, in + SEGMENT_CHECKSUM_AT + 4,
		      SEGMENT_HEADER_SIZE - SEGMENT_CHECKSUM_AT - 4);
}

/* What segment and snapshot headers have in common: magic, checksum, version, in that order (J9). */
static enum format_fault page_check(const uint8_t *in, size_t size, const uint8_t magic[8])
{
	if (size < SEGMENT_HEADER_SIZE)
		return FORMAT_SHORT;
	if (memcmp(in, magic, 8) != 0)
		return FORMAT_MAGIC;
	if (get_u32(in + SEGMENT_CHECKSUM_AT) != page_checksum(in))
		return FORMAT_CHECKSUM;
	if (get_u32(in + 8) != FORMAT_VERSION)
		return FORMAT_VERSION_UNKNOWN;
	return FORMAT_OK;
}

void segment_header_encode(uint8_t out[SEGMENT_HEADER_SIZE], const struct segment_header *header)
{
	must(header->index > 0);
	memset(out, 0, SEGMENT_HEADER_SIZE);
	memcpy(out, segment_magic, sizeof(segment_magic));
	put_u32(out + 8, FORMAT_VERSION);
	memcpy(out + 16, header->journal_id, 16);
	put_u64(out + 32, header->index);
	memcpy(out + 40, header->salt, SALT_SIZE);
	put_u32(out + 56, header->block_size);
	put_u64(out + 64, header->created_ns);
	put_u32(out + SEGMENT_CHECKSUM_AT, page_checksum(out));
}

enum format_fault segment_header_decode(const uint8_t *in, size_t size, struct segment_header *ret)
{
	enum format_fault fault = page_check(in, size, segment_magic);
	uint32_t block;

	if (fault != FORMAT_OK)
		return fault;
	block = get_u32(in + 56);
	if (get_u64(in + 32) == 0 || block < COMMIT_BLOCK_MIN || block > COMMIT_BLOCK_MAX ||
	    (block & (block - 1)) != 0)
		return FORMAT_VALUE;
	if (get_u32(in + 60) != 0 || get_u64(in + 72) != 0)
		return FORMAT_VALUE;
	memcpy(ret->journal_id, in + 16, 16);
	ret->index = get_u64(in + 32);
	memcpy(ret->salt, in + 40, SALT_SIZE);
	ret->block_size = block;
	ret->created_ns = get_u64(in + 64);
	return FORMAT_OK;
}

/* How many bits differ? */
static unsigned bits_between(const uint8_t *a, const uint8_t *b, size_t size)
{
	unsigned count = 0;

	for (size_t i = 0; i < size; i++)
		count += (unsigned)__builtin_popcount((unsigned)(a[i] ^ b[i]));
	return count;
}

bool segment_header_mend(const uint8_t *in, size_t size, uint64_t index, struct segment_header *ret)
{
	uint8_t copy[SEGMENT_HEADER_SIZE];
	struct segment_header header;

	if (size < sizeof(copy) || bits_between(in, segment_magic, sizeof(segment_magic)) > 1)
		return false;
	memcpy(copy, in, sizeof(copy));
	for (size_t bit = 0; bit < 8 * sizeof(copy); bit++) {
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (segment_header_decode(copy, sizeof(copy), &header) == FORMAT_OK &&
		    header.index == index) {
			*ret = header;
			return true;
		}
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	return false;
}

/* A batch belongs to its segment: salt and index go into the checksum, so that what an earlier use of the file's
 * blocks left behind, or a block that stands in the wrong place, never passes. */
static uint32_t batch_checksum(const uint8_t *in, const uint8_t salt[SALT_SIZE], uint64_t index)
{
	uint8_t number[8];
	uint32_t crc;

	put_u64(number, index);
	crc = MUTANT(18) ? 0 : crc32c(0, salt, SALT_SIZE);
	crc = crc32c(crc, number, sizeof(number));
	return crc32c(crc, in + BATCH_CHECKSUM_AT + 4, BATCH_HEADER_SIZE - BATCH_CHECKSUM_AT - 4);
}

void batch_header_encode(uint8_t out[BATCH_HEADER_SIZE], const struct batch_header *header,
			 const uint8_t salt[SALT_SIZE], uint64_t index)
{
	memset(out, 0, BATCH_HEADER_SIZE);
	memcpy(out, batch_magic, sizeof(batch_magic));
	put_u64(out + 8, header->segment_first);
	put_u64(out + 16, header->record);
	put_u64(out + 24, header->durable);
	memcpy(out + 32, header->stream.bytes, STREAM_ID_SIZE);
	put_u64(out + 48, header->first_seq);
	put_u64(out + 56, header->writer);
	put_u64(out + 64, header->time_ns);
	put_u64(out + 72, header->gap_last);
	put_u32(out + 80, header->count);
	put_u32(out + 84, header->bytes);
	put_u32(out + 88, header->h_before);
	put_u32(out + 92, header->h_after);
	put_u32(out + 96, header->flags);
	out[100] = header->protocol;
	out[101] = header->peer.family;
	put_u16(out + 102, header->peer.port);
	memcpy(out + 104, header->peer.address, 16);
	put_u32(out + BATCH_CHECKSUM_AT, batch_checksum(out, salt, index));
}

static void batch_get(const uint8_t *in, struct batch_header *out)
{
	out->segment_first = get_u64(in + 8);
	out->record = get_u64(in + 16);
	out->durable = get_u64(in + 24);
	memcpy(out->stream.bytes, in + 32, STREAM_ID_SIZE);
	out->first_seq = get_u64(in + 48);
	out->writer = get_u64(in + 56);
	out->time_ns = get_u64(in + 64);
	out->gap_last = get_u64(in + 72);
	out->count = get_u32(in + 80);
	out->bytes = get_u32(in + 84);
	out->h_before = get_u32(in + 88);
	out->h_after = get_u32(in + 92);
	out->flags = get_u32(in + 96);
	out->protocol = in[100];
	out->peer.family = in[101];
	out->peer.port = get_u16(in + 102);
	memcpy(out->peer.address, in + 104, 16);
}

/* The values of a batch that holds messages. */
static bool batch_run_fits(const struct batch_header *h)
{
	bool gap = (h->flags & BATCH_GAP) != 0;

	if (stream_id_is_zero(&h->stream) || (h->flags & BATCH_FORGET) != 0)
		return false;
	if (h->first_seq == 0 || h->first_seq > (uint64_t)SEQ_MAX ||
	    h->count - 1 > (uint64_t)SEQ_MAX - h->first_seq)
		return false;
	if (h->count - 1 > (uint64_t)INT64_MAX - h->record)
		return false;
	if ((h->flags & BATCH_LOST) != 0)
		return h->bytes == 0 && !gap && h->gap_last == 0 && stream_id_is_plain(&h->stream);
	if (h->bytes / FRAME_HEADER_SIZE < h->count)
		return false;
	if (gap)
		return h->gap_last < h->first_seq && h->h_before == 0;
	return h->gap_last == 0;
}

static bool batch_fits(const struct batch_header *h)
{
	bool forget = (h->flags & BATCH_FORGET) != 0;

	if (h->segment_first == 0 || h->segment_first > h->record ||
	    h->record > (uint64_t)INT64_MAX)
		return false;
	if ((h->durable >= h->record && !MUTANT(9)) ||
	    (h->flags & ~(uint32_t)BATCH_FLAGS_ALL) != 0)
		return false;
	if (h->count > 0)
		return batch_run_fits(h);
	/* A seal names no stream; the end of a stream does. */
	return h->bytes == 0 && (h->flags & (BATCH_GAP | BATCH_LOST)) == 0 && h->gap_last == 0 &&
	       forget != stream_id_is_zero(&h->stream);
}

enum format_fault batch_header_decode(const uint8_t *in, size_t size, const uint8_t salt[SALT_SIZE],
				      uint64_t index, struct batch_header *ret)
{
	struct batch_header header;

	if (size < BATCH_HEADER_SIZE)
		return FORMAT_SHORT;
	if (memcmp(in, batch_magic, sizeof(batch_magic)) != 0)
		return FORMAT_MAGIC;
	if (get_u32(in + BATCH_CHECKSUM_AT) != batch_checksum(in, salt, index))
		return FORMAT_CHECKSUM;
	batch_get(in, &header);
	if (get_u64(in + 120) != 0 || !batch_fits(&header))
		return FORMAT_VALUE;
	*ret = header;
	return FORMAT_OK;
}

bool batch_header_mend(const uint8_t *in, size_t size, const uint8_t salt[SALT_SIZE],
		       uint64_t index, struct batch_header *ret)
{
	uint8_t copy[BATCH_HEADER_SIZE];

	/* Only a place that looks like one is worth the work. */
	if (size < sizeof(copy) || bits_between(in, batch_magic, sizeof(batch_magic)) > 1)
		return false;
	memcpy(copy, in, sizeof(copy));
	for (size_t bit = 0; bit < 8 * sizeof(copy); bit++) {
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (batch_header_decode(copy, sizeof(copy), salt, index, ret) == FORMAT_OK)
			return true;
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	return false;
}

uint32_t batch_frames_check(const struct batch_header *header, const uint8_t *frames,
			    uint32_t *ret_offset)
{
	uint32_t seed = frame_seed(&header->stream);
	uint32_t h = header->h_before;
	uint32_t at = 0;
	uint32_t i;

	if ((header->flags & BATCH_LOST) != 0) {
		*ret_offset = 0;
		return 0;
	}
	for (i = 0; i < header->count; i++) {
		struct frame_header frame;
		uint32_t room = header->bytes - at;

		*ret_offset = at;
		if (room < FRAME_HEADER_SIZE)
			return i + 1;
		frame = frame_get_header(frames + at);
		if (frame.size > room - FRAME_HEADER_SIZE && !MUTANT(19))
			return i + 1;
		if (frame.checksum != frame_checksum(seed, header->first_seq + i, frame.size,
						     frames + at + FRAME_HEADER_SIZE))
			return i + 1;
		h = history_next(h, frame.checksum);
		at += FRAME_HEADER_SIZE + frame.size;
	}
	*ret_offset = at;
	if (at != header->bytes ||
	    (header->count > 0 && h != header->h_after && !MUTANT(14)))
		return header->count + 1;
	return 0;
}

bool batch_is_seal(const struct batch_header *header)
{
	return header->count == 0 && (header->flags & BATCH_FORGET) == 0;
}

void segment_name(uint64_t index, char out[SEGMENT_NAME_SIZE])
{
	int i;

	for (i = INDEX_DIGITS - 1; i >= 0; i--) {
		out[i] = (char)('0' + index % 10);
		index /= 10;
	}
	memcpy(out + INDEX_DIGITS, ".seg", 5);
}

/* The number that 20 digits at `name` make, 0 when they are not digits or do not fit. */
static uint64_t index_parse(const char *name)
{
	uint64_t index = 0;
	int i;

	for (i = 0; i < INDEX_DIGITS; i++) {
		uint64_t digit;

		if (name[i] < '0' || name[i] > '9')
			return 0;
		digit = (uint64_t)(name[i] - '0');
		if (index > (UINT64_MAX - digit) / 10)
			return 0;
		index = index * 10 + digit;
	}
	return index;
}

uint64_t segment_index_of_name(const char *name)
{
	uint64_t index = index_parse(name);

	if (index == 0 || strcmp(name + INDEX_DIGITS, ".seg") != 0)
		return 0;
	return index;
}

bool name_is_temporary(const char *name)
{
	size_t size = sizeof(NAME_SEGMENT_NEW) - 1;

	if (strcmp(name, NAME_SEGMENT_NEW) == 0 || strcmp(name, NAME_SNAPSHOT_NEW) == 0 ||
	    strcmp(name, NAME_GEOMETRY_NEW) == 0)
		return true;
	/* segment.tmp.NNNNNNNNNNNNNNNNNNNN: repair makes several before it renames the first. */
	return strncmp(name, NAME_SEGMENT_NEW, size) == 0 && name[size] == '.' &&
	       index_parse(name + size + 1) != 0 && name[size + 1 + INDEX_DIGITS] == '\0';
}

void snapshot_header_encode(uint8_t out[SNAPSHOT_HEADER_SIZE], const struct snapshot_header *header)
{
	memset(out, 0, SNAPSHOT_HEADER_SIZE);
	memcpy(out, snapshot_magic, sizeof(snapshot_magic));
	put_u32(out + 8, FORMAT_VERSION);
	memcpy(out + 16, header->journal_id, 16);
	put_u64(out + 32, header->segment_index);
	put_u64(out + 40, header->record);
	put_u64(out + 48, header->count);
	put_u32(out + 56, header->entries_checksum);
	put_u32(out + SEGMENT_CHECKSUM_AT, page_checksum(out));
}

enum format_fault snapshot_header_decode(const uint8_t *in, size_t size,
					 struct snapshot_header *ret)
{
	enum format_fault fault = page_check(in, size, snapshot_magic);

	if (fault != FORMAT_OK)
		return fault;
	if (!bytes_are_zero(in + 60, 20) || get_u64(in + 40) > (uint64_t)INT64_MAX)
		return FORMAT_VALUE;
	if (get_u64(in + 48) > (UINT64_MAX - SNAPSHOT_HEADER_SIZE) / SNAPSHOT_ENTRY_SIZE)
		return FORMAT_VALUE;
	memcpy(ret->journal_id, in + 16, 16);
	ret->segment_index = get_u64(in + 32);
	ret->record = get_u64(in + 40);
	ret->count = get_u64(in + 48);
	ret->entries_checksum = get_u32(in + 56);
	return FORMAT_OK;
}

void snapshot_entry_encode(uint8_t out[SNAPSHOT_ENTRY_SIZE], const struct snapshot_entry *entry)
{
	memset(out, 0, SNAPSHOT_ENTRY_SIZE);
	memcpy(out, entry->stream.bytes, STREAM_ID_SIZE);
	put_u64(out + 16, entry->last_seq);
	put_u64(out + 24, entry->record);
	put_u64(out + 32, entry->writer);
	put_u64(out + 40, entry->time_ns);
	put_u32(out + 48, entry->h);
	put_u32(out + 52, entry->flags);
}

void snapshot_entry_decode(const uint8_t in[SNAPSHOT_ENTRY_SIZE], struct snapshot_entry *ret)
{
	memcpy(ret->stream.bytes, in, STREAM_ID_SIZE);
	ret->last_seq = get_u64(in + 16);
	ret->record = get_u64(in + 24);
	ret->writer = get_u64(in + 32);
	ret->time_ns = get_u64(in + 40);
	ret->h = get_u32(in + 48);
	ret->flags = get_u32(in + 52);
}

bool snapshot_entry_makes_sense(const struct snapshot_entry *entry, uint64_t covers)
{
	return entry->last_seq != 0 && entry->last_seq <= SEQ_MAX && entry->record != 0 &&
	       entry->record <= covers;
}

/* --- the lock file */

void lock_encode(uint8_t out[LOCK_SIZE], uint64_t number, uint64_t holder)
{
	put_u64(out + LOCK_DURABLE_AT, number);
	put_u64(out + LOCK_HOLDER_AT, holder);
	put_u64(out + LOCK_CHECK_AT, ~number);
}
