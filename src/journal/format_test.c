#include "journal/format.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/test.h"

static const uint8_t salt[SALT_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static struct segment_header segment_sample(void)
{
	struct segment_header h = { .index = 3,
				    .block_size = 4096,
				    .created_ns = 1700000000123456789u };

	memset(h.journal_id, 0xab, sizeof(h.journal_id));
	memcpy(h.salt, salt, SALT_SIZE);
	return h;
}

static struct batch_header batch_sample(void)
{
	return (struct batch_header){
		.segment_first = 5,
		.record = 17,
		.durable = 16,
		.stream = { { 0x80, 1, 2, 3 } },
		.first_seq = 9,
		.writer = 0x1122334455667788,
		.time_ns = 1700000000123456789u,
		.count = 2,
		.bytes = 16,
		.h_before = 1,
		.h_after = 2,
		.flags = BATCH_FIRST | BATCH_LAST,
		.protocol = 1,
		.peer = { .family = PEER_IPV4, .port = 55760, .address = { 127, 0, 0, 1 } },
	};
}

static void page_seal(uint8_t *page)
{
	put_u32(page + 12, crc32c(crc32c(0, page, 12), page + 16, 64));
}

static void segment_headers_come_back(void **state)
{
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	struct segment_header in = segment_sample(), out;

	(void)state;
	for (uint32_t block = COMMIT_BLOCK_MIN; block <= COMMIT_BLOCK_MAX; block *= 2) {
		in.block_size = block;
		segment_header_encode(bytes, &in);
		memset(&out, 0, sizeof(out));
		assert_int_equal(segment_header_decode(bytes, sizeof(bytes), &out), FORMAT_OK);
		assert_memory_equal(out.journal_id, in.journal_id, 16);
		assert_memory_equal(out.salt, in.salt, SALT_SIZE);
		assert_true(out.index == 3 && out.block_size == block &&
			    out.created_ns == in.created_ns);
	}
	for (size_t size = 0; size < SEGMENT_HEADER_SIZE; size++)
		assert_int_equal(segment_header_decode(bytes, size, &out), FORMAT_SHORT);
}

static void every_bit_of_a_segment_header_counts(void **state)
{
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	struct segment_header in = segment_sample(), out;

	(void)state;
	segment_header_encode(bytes, &in);
	for (unsigned bit = 0; bit < 8 * SEGMENT_HEADER_SIZE; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		enum format_fault fault = segment_header_decode(bytes, sizeof(bytes), &out);
		assert_int_equal(fault, bit < 64 ? FORMAT_MAGIC : FORMAT_CHECKSUM);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void segment_values_are_checked(void **state)
{
	static const struct {
		const char *name;
		unsigned at, size;
		uint64_t value;
		enum format_fault fault;
	} rows[] = {
		{ "version 0", 8, 4, 0, FORMAT_VERSION_UNKNOWN },
		{ "version 2", 8, 4, 2, FORMAT_VERSION_UNKNOWN },
		{ "index 0", 32, 8, 0, FORMAT_VALUE },
		{ "highest index", 32, 8, UINT64_MAX, FORMAT_OK },
		{ "block 0", 56, 4, 0, FORMAT_VALUE },
		{ "block 2048", 56, 4, 2048, FORMAT_VALUE },
		{ "block 4095", 56, 4, 4095, FORMAT_VALUE },
		{ "block 4097", 56, 4, 4097, FORMAT_VALUE },
		{ "block 65536", 56, 4, 65536, FORMAT_OK },
		{ "block 131072", 56, 4, 131072, FORMAT_VALUE },
		{ "reserved 60", 60, 4, 1, FORMAT_VALUE },
		{ "reserved 72", 72, 8, 1, FORMAT_VALUE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint8_t bytes[SEGMENT_HEADER_SIZE];
		struct segment_header in = segment_sample(), out;

		print_message("%s\n", rows[i].name);
		segment_header_encode(bytes, &in);
		if (rows[i].size == 4)
			put_u32(bytes + rows[i].at, (uint32_t)rows[i].value);
		else
			put_u64(bytes + rows[i].at, rows[i].value);
		page_seal(bytes);
		assert_int_equal(segment_header_decode(bytes, sizeof(bytes), &out), rows[i].fault);
	}
}

static void batch_headers_come_back(void **state)
{
	uint8_t bytes[BATCH_HEADER_SIZE], again[BATCH_HEADER_SIZE];
	struct batch_header in = batch_sample(), out;

	(void)state;
	batch_header_encode(bytes, &in, salt, 3);
	memset(&out, 0xee, sizeof(out));
	assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out), FORMAT_OK);
	assert_true(out.segment_first == 5 && out.record == 17 && out.durable == 16 &&
		    out.first_seq == 9);
	assert_true(stream_id_equal(&out.stream, &in.stream));
	assert_true(out.writer == in.writer && out.time_ns == in.time_ns && out.gap_last == 0);
	assert_true(out.count == 2 && out.bytes == 16 && out.h_before == 1 && out.h_after == 2);
	assert_true(out.flags == in.flags && out.protocol == 1);
	assert_true(out.peer.family == PEER_IPV4 && out.peer.port == 55760);
	assert_memory_equal(out.peer.address, in.peer.address, 16);
	batch_header_encode(again, &out, salt, 3);
	assert_memory_equal(again, bytes, sizeof(bytes));
	for (size_t size = 0; size < BATCH_HEADER_SIZE; size++)
		assert_int_equal(batch_header_decode(bytes, size, salt, 3, &out), FORMAT_SHORT);
}

static void a_batch_belongs_to_its_segment(void **state)
{
	uint8_t bytes[BATCH_HEADER_SIZE], other[SALT_SIZE];
	struct batch_header in = batch_sample(), out;

	(void)state;
	batch_header_encode(bytes, &in, salt, 3);
	assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 4, &out), FORMAT_CHECKSUM);
	for (unsigned bit = 0; bit < 8 * SALT_SIZE; bit++) {
		memcpy(other, salt, SALT_SIZE);
		other[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(batch_header_decode(bytes, sizeof(bytes), other, 3, &out),
				 FORMAT_CHECKSUM);
	}
	for (unsigned bit = 0; bit < 8 * BATCH_HEADER_SIZE; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out),
				 bit < 32 ? FORMAT_MAGIC : FORMAT_CHECKSUM);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* Each row is the sample with one field changed. */
static void batch_values_are_checked(void **state)
{
#define FIELD(name) offsetof(struct batch_header, name), sizeof(((struct batch_header *)0)->name)
	static const struct {
		const char *name;
		size_t at, size;
		uint64_t value;
		enum format_fault fault;
	} rows[] = {
		{ "f 0", FIELD(segment_first), 0, FORMAT_VALUE },
		{ "f == record", FIELD(segment_first), 17, FORMAT_OK },
		{ "f > record", FIELD(segment_first), 18, FORMAT_VALUE },
		{ "record 0", FIELD(record), 0, FORMAT_VALUE },
		{ "record at the top", FIELD(record), INT64_MAX - 1, FORMAT_OK },
		{ "record too high for count", FIELD(record), INT64_MAX, FORMAT_VALUE },
		{ "record beyond the top", FIELD(record), (uint64_t)INT64_MAX + 1, FORMAT_VALUE },
		{ "durable 0", FIELD(durable), 0, FORMAT_OK },
		{ "durable == record", FIELD(durable), 17, FORMAT_VALUE },
		{ "durable > record", FIELD(durable), UINT64_MAX, FORMAT_VALUE },
		{ "seq 0", FIELD(first_seq), 0, FORMAT_VALUE },
		{ "seq at the top", FIELD(first_seq), SEQ_MAX - 1, FORMAT_OK },
		{ "seq too high for count", FIELD(first_seq), SEQ_MAX, FORMAT_VALUE },
		{ "seq beyond", FIELD(first_seq), (uint64_t)SEQ_MAX + 1, FORMAT_VALUE },
		{ "gap last without a gap", FIELD(gap_last), 1, FORMAT_VALUE },
		{ "count 3 in 16 bytes", FIELD(count), 3, FORMAT_VALUE },
		{ "count at the top", FIELD(count), UINT32_MAX, FORMAT_VALUE },
		{ "count 0 with bytes", FIELD(count), 0, FORMAT_VALUE },
		{ "15 bytes", FIELD(bytes), 15, FORMAT_VALUE },
		{ "17 bytes", FIELD(bytes), 17, FORMAT_OK },
		{ "unknown flag", FIELD(flags), 64, FORMAT_VALUE },
		{ "lost with frames", FIELD(flags), BATCH_LOST, FORMAT_VALUE },
		{ "forget with messages", FIELD(flags), BATCH_FORGET, FORMAT_VALUE },
		{ "gap with h before", FIELD(flags), BATCH_GAP, FORMAT_VALUE },
		{ "stream 0 with messages", FIELD(stream), 0, FORMAT_VALUE },
		{ "unknown protocol", FIELD(protocol), 250, FORMAT_OK },
	};
#undef FIELD

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint8_t bytes[BATCH_HEADER_SIZE];
		struct batch_header in = batch_sample(), out;

		print_message("%s\n", rows[i].name);
		memset((uint8_t *)&in + rows[i].at, 0, rows[i].size);
		memcpy((uint8_t *)&in + rows[i].at, &rows[i].value,
		       rows[i].size < 8 ? rows[i].size : 8);
		batch_header_encode(bytes, &in, salt, 3);
		assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out),
				 rows[i].fault);
	}
}

static void seals_ends_and_gaps(void **state)
{
	static const struct {
		const char *name;
		uint32_t count, bytes, flags;
		bool stream;
		uint64_t gap_last;
		enum format_fault fault;
		bool seal;
	} rows[] = {
		{ "seal", 0, 0, BATCH_FIRST | BATCH_LAST, false, 0, FORMAT_OK, true },
		{ "seal with bytes", 0, 8, 0, false, 0, FORMAT_VALUE, false },
		{ "seal with a stream", 0, 0, 0, true, 0, FORMAT_VALUE, false },
		{ "seal with a gap", 0, 0, BATCH_GAP, false, 0, FORMAT_VALUE, false },
		{ "end", 0, 0, BATCH_FORGET | BATCH_EPHEMERAL, true, 0, FORMAT_OK, false },
		{ "end of nothing", 0, 0, BATCH_FORGET, false, 0, FORMAT_VALUE, false },
		{ "gap from 8", 1, 16, BATCH_GAP, true, 8, FORMAT_OK, false },
		{ "gap from 9", 1, 16, BATCH_GAP, true, 9, FORMAT_VALUE, false },
		{ "gap from 0", 1, 16, BATCH_GAP, true, 0, FORMAT_OK, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint8_t bytes[BATCH_HEADER_SIZE];
		struct batch_header in = batch_sample(), out;

		print_message("%s\n", rows[i].name);
		in.count = rows[i].count;
		in.bytes = rows[i].bytes;
		in.flags = rows[i].flags;
		in.gap_last = rows[i].gap_last;
		in.h_before = 0;
		if (!rows[i].stream)
			memset(&in.stream, 0, sizeof(in.stream));
		batch_header_encode(bytes, &in, salt, 3);
		assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out),
				 rows[i].fault);
		if (rows[i].fault == FORMAT_OK)
			assert_int_equal(batch_is_seal(&out), rows[i].seal);
	}
}

/* Three frames of 0, 5 and 100 bytes. */
static size_t frames_sample(struct batch_header *batch, uint8_t *out)
{
	static const uint32_t sizes[] = { 0, 5, 100 };
	size_t at = 0;
	uint32_t h = 77;

	*batch = batch_sample();
	batch->h_before = h;
	batch->count = COUNT_OF(sizes);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct frame_header frame = { .size = sizes[i] };

		memset(out + at + FRAME_HEADER_SIZE, 'a' + (int)i, sizes[i]);
		frame.checksum = frame_checksum(frame_seed(&batch->stream), batch->first_seq + i,
						sizes[i], out + at + FRAME_HEADER_SIZE);
		frame_put_header(out + at, frame);
		h = history_next(h, frame.checksum);
		at += FRAME_HEADER_SIZE + sizes[i];
	}
	batch->bytes = (uint32_t)at;
	batch->h_after = h;
	return at;
}

static void frames_are_checked(void **state)
{
	uint8_t frames[256];
	struct batch_header batch;
	uint32_t at;
	size_t size = frames_sample(&batch, frames);

	(void)state;
	assert_int_equal(size, 129);
	assert_int_equal(batch_frames_check(&batch, frames, &at), 0);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		uint32_t frame = bit / 8 < 8 ? 1 : bit / 8 < 21 ? 2 : 3;
		uint32_t start = frame == 1 ? 0 : frame == 2 ? 8 : 21;

		frames[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(batch_frames_check(&batch, frames, &at), frame);
		assert_int_equal(at, start);
		frames[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* Another number, stream, history or count: never right. */
	batch.first_seq++;
	assert_int_equal(batch_frames_check(&batch, frames, &at), 1);
	batch.first_seq--;
	batch.stream.bytes[15] ^= 1;
	assert_int_equal(batch_frames_check(&batch, frames, &at), 1);
	batch.stream.bytes[15] ^= 1;
	batch.h_after ^= 1;
	assert_int_equal(batch_frames_check(&batch, frames, &at), 4);
	assert_int_equal(at, 129);
	batch.h_after ^= 1;
	batch.count = 2;
	assert_int_equal(batch_frames_check(&batch, frames, &at), 3);
	assert_int_equal(at, 21);
	batch.count = 4;
	assert_int_equal(batch_frames_check(&batch, frames, &at), 4);
	batch.count = 3;
	batch.bytes--;
	assert_int_equal(batch_frames_check(&batch, frames, &at), 3);
	assert_int_equal(at, 21);
}

static void lost_records_have_no_frames(void **state)
{
	uint8_t bytes[BATCH_HEADER_SIZE];
	struct batch_header in = { .segment_first = 1,
				   .record = 17,
				   .stream = stream_id_plain(17),
				   .first_seq = 1,
				   .count = UINT32_MAX,
				   .flags = BATCH_LOST },
			    out;
	uint32_t at;

	(void)state;
	batch_header_encode(bytes, &in, salt, 3);
	assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out), FORMAT_OK);
	assert_int_equal(batch_frames_check(&out, bytes, &at), 0);
	in.stream.bytes[0] = 1;
	batch_header_encode(bytes, &in, salt, 3);
	assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out), FORMAT_VALUE);
	in.stream = stream_id_plain(17);
	in.flags |= BATCH_GAP;
	batch_header_encode(bytes, &in, salt, 3);
	assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out), FORMAT_VALUE);
	in.flags = BATCH_LOST;
	in.count = 0;
	batch_header_encode(bytes, &in, salt, 3);
	assert_int_equal(batch_header_decode(bytes, sizeof(bytes), salt, 3, &out), FORMAT_VALUE);
}

static void names_of_segments(void **state)
{
	static const struct {
		const char *name;
		uint64_t index;
	} rows[] = {
		{ "00000000000000000001.seg", 1 },
		{ "00000000000000012345.seg", 12345 },
		{ "18446744073709551615.seg", UINT64_MAX },
		{ "18446744073709551616.seg", 0 },
		{ "99999999999999999999.seg", 0 },
		{ "00000000000000000000.seg", 0 },
		{ "0000000000000000001.seg", 0 },
		{ "000000000000000000001.seg", 0 },
		{ "00000000000000000001.seg.old", 0 },
		{ "00000000000000000001.se", 0 },
		{ "0000000000000000000a.seg", 0 },
		{ " 0000000000000000001.seg", 0 },
		{ "+0000000000000000001.seg", 0 },
		{ "00000000000000000001", 0 },
		{ "lock", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char name[SEGMENT_NAME_SIZE];

		print_message("'%s'\n", rows[i].name);
		assert_true(segment_index_of_name(rows[i].name) == rows[i].index);
		if (rows[i].index != 0) {
			segment_name(rows[i].index, name);
			assert_string_equal(name, rows[i].name);
		}
	}
}

static void names_of_temporary_files(void **state)
{
	static const struct {
		const char *name;
		bool temporary;
	} rows[] = {
		{ "segment.tmp", true },
		{ "snapshot.tmp", true },
		{ "geometry.tmp", true },
		{ "segment.tmp.00000000000000000002", true },
		{ "segment.tmp.0000000000000000002", false },
		{ "segment.tmp.00000000000000000002x", false },
		{ "segment.tmp.00000000000000000000", false },
		{ "segment.tmp.", false },
		{ "segment.tmpx", false },
		{ "segment.tm", false },
		{ "lock", false },
		{ "streams.snap", false },
		{ "00000000000000000001.seg", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("'%s'\n", rows[i].name);
		assert_int_equal(name_is_temporary(rows[i].name), rows[i].temporary);
	}
}

static void snapshots_come_back(void **state)
{
	uint8_t bytes[SNAPSHOT_HEADER_SIZE], entry_bytes[SNAPSHOT_ENTRY_SIZE];
	struct snapshot_header in = { .segment_index = 7,
				      .record = 99,
				      .count = 2,
				      .entries_checksum = 0xdeadbeef },
			       out;
	struct snapshot_entry entry = { .stream = { { 0x80, 9 } },
					.last_seq = 12,
					.record = 34,
					.writer = 56,
					.time_ns = 78,
					.h = 90,
					.flags = BATCH_EPHEMERAL },
			      back;

	(void)state;
	memset(in.journal_id, 0xcd, 16);
	snapshot_header_encode(bytes, &in);
	assert_int_equal(snapshot_header_decode(bytes, sizeof(bytes), &out), FORMAT_OK);
	assert_memory_equal(out.journal_id, in.journal_id, 16);
	assert_true(out.segment_index == 7 && out.record == 99 && out.count == 2 &&
		    out.entries_checksum == 0xdeadbeef);
	for (size_t size = 0; size < sizeof(bytes); size++)
		assert_int_equal(snapshot_header_decode(bytes, size, &out), FORMAT_SHORT);
	for (unsigned bit = 0; bit < 8 * SNAPSHOT_HEADER_SIZE; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(snapshot_header_decode(bytes, sizeof(bytes), &out),
				 bit < 64 ? FORMAT_MAGIC : FORMAT_CHECKSUM);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	put_u64(bytes + 48, UINT64_MAX);
	page_seal(bytes);
	assert_int_equal(snapshot_header_decode(bytes, sizeof(bytes), &out), FORMAT_VALUE);

	snapshot_entry_encode(entry_bytes, &entry);
	snapshot_entry_decode(entry_bytes, &back);
	assert_true(stream_id_equal(&back.stream, &entry.stream));
	assert_true(back.last_seq == 12 && back.record == 34 && back.writer == 56 &&
		    back.time_ns == 78);
	assert_true(back.h == 90 && back.flags == BATCH_EPHEMERAL);
	assert_true(bytes_are_zero(entry_bytes + 56, 8));
}

static void faults_have_texts(void **state)
{
	(void)state;
	for (int fault = FORMAT_OK; fault <= FORMAT_VALUE; fault++)
		assert_true(strcmp(format_fault_text((enum format_fault)fault), "unknown") != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segment_headers_come_back),
		cmocka_unit_test(every_bit_of_a_segment_header_counts),
		cmocka_unit_test(segment_values_are_checked),
		cmocka_unit_test(batch_headers_come_back),
		cmocka_unit_test(a_batch_belongs_to_its_segment),
		cmocka_unit_test(batch_values_are_checked),
		cmocka_unit_test(seals_ends_and_gaps),
		cmocka_unit_test(frames_are_checked),
		cmocka_unit_test(lost_records_have_no_frames),
		cmocka_unit_test(names_of_segments),
		cmocka_unit_test(names_of_temporary_files),
		cmocka_unit_test(snapshots_come_back),
		cmocka_unit_test(faults_have_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
