#include "journal/salvage.h"

#include <errno.h>
#include <stdlib.h>

/* Last. */
#include "base/test.h"

enum { FRAMES_MAX = 64,
       ROOM = 1 << 16 };

/* A batch, and what is spoiled of it. */
struct made {
	struct batch_header header;
	uint8_t frames[ROOM];
	uint32_t at[FRAMES_MAX + 1];
};

static struct made m;

static void make(uint64_t first_seq, uint32_t count, uint32_t size, uint32_t more)
{
	uint32_t at = 0;

	memset(&m, 0, sizeof(m));
	m.header = (struct batch_header){ .record = 100, .first_seq = first_seq, .count = count };
	m.header.stream.bytes[0] = 0x80;
	m.header.stream.bytes[15] = 7;
	for (uint32_t i = 0; i < count; i++) {
		struct frame_header frame = { .size = size + i * more };
		uint8_t *payload = m.frames + at + FRAME_HEADER_SIZE;

		for (uint32_t k = 0; k < frame.size; k++)
			payload[k] = (uint8_t)(i * 31 + k * k);
		frame.checksum = frame_checksum(frame_seed(&m.header.stream), first_seq + i,
						frame.size, payload);
		frame_put_header(m.frames + at, frame);
		m.at[i] = at;
		at += FRAME_HEADER_SIZE + frame.size;
	}
	m.at[count] = at;
	m.header.bytes = at;
}

/* The frames that are lost, as a mask. Runs are in order, and those that are good stand where they were put. */
static uint64_t lost_of(uint32_t size)
{
	struct salvage s;
	struct salvage_run run;
	uint64_t lost = 0;
	uint32_t next = 0;
	int result;

	salvage_begin(&s, &m.header, m.frames, size);
	while ((result = salvage_next(&s, &run)) == 1) {
		assert_int_equal(run.index, next);
		assert_true(run.count > 0);
		next += run.count;
		for (uint32_t i = run.index; i < next && !run.good; i++)
			lost |= (uint64_t)1 << i;
		if (run.good)
			assert_true(run.at == m.at[run.index] && run.bytes == m.at[next] - run.at);
	}
	assert_int_equal(result, 0);
	assert_int_equal(next, m.header.count);
	salvage_end(&s);
	return lost;
}

static void expect(uint64_t lost)
{
	uint64_t got = lost_of(m.header.bytes);

	if (got != lost)
		fail_msg("lost %llx instead of %llx", (unsigned long long)got,
			 (unsigned long long)lost);
}

/* Any bit anywhere, also of a size or a checksum: only its frame is lost. */
static void one_bit_anywhere(void **state)
{
	static const struct {
		uint64_t first_seq;
		uint32_t count, size, more;
	} rows[] = {
		{ 1, 20, 3, 0 },
		{ 1, 20, 0, 0 },
		{ 1, 9, 0, 7 },
		{ 0xfffffffa, 12, 30, 1 }, /* the number's upper half changes */
		{ 0x7ffffffffffffff0, 15, 17, 3 },
		{ 5, 2, 100, 1 },
		{ 5, 1, 100, 1 },
	};

	(void)state;
	for (size_t k = 0; k < COUNT_OF(rows); k++) {
		uint32_t frame = 0;

		make(rows[k].first_seq, rows[k].count, rows[k].size, rows[k].more);
		expect(0);
		for (uint32_t bit = 0; bit < 8 * m.header.bytes; bit++) {
			while (bit / 8 >= m.at[frame + 1])
				frame++;
			m.frames[bit / 8] ^= (uint8_t)(1u << bit % 8);
			expect((uint64_t)1 << frame);
			m.frames[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

static uint64_t mask_of(uint32_t from, uint32_t end)
{
	uint64_t mask = 0;

	for (uint32_t i = 0; i < m.header.count; i++)
		if (m.at[i] < end && m.at[i + 1] > from)
			mask |= (uint64_t)1 << i;
	return mask;
}

/* A sector of zeros, or of something else, anywhere: only what it touches is lost. */
static void a_bad_sector(void **state)
{
	static struct made whole;

	(void)state;
	for (int fill = 0; fill < 256; fill += 85) {
		make(1000, 60, 20, 3);
		whole = m;
		for (uint32_t at = 0; at < m.header.bytes; at += 97) {
			uint32_t end = at + 512 < m.header.bytes ? at + 512 : m.header.bytes;

			memset(m.frames + at, fill, end - at);
			expect(mask_of(at, end));
			m = whole;
		}
	}
}

/* Frames side by side, and one good frame between two damaged ones. */
static void several(void **state)
{
	(void)state;
	make(1, 20, 50, 1);
	for (unsigned i = 4; i < 7; i++)
		m.frames[m.at[i] + 20] ^= 1;
	expect(0x70);
	for (unsigned i = 8; i < 20; i += 2)
		m.frames[m.at[i] + 20] ^= 1;
	expect(0x55570);
	make(1, 20, 50, 1);
	m.frames[m.at[3]] ^= 1; /* its size; the only proof of frame 4 is what comes behind frame 5 */
	m.frames[m.at[5] + 30] ^= 1;
	expect(0x28);
	m.frames[m.at[3]] ^= 1;
	m.frames[m.at[18]] ^= 1; /* of frame 19 it is the batch's end */
	expect(0x40020);
}

/* Behind the place where the file ends all is lost. */
static void a_batch_that_is_cut(void **state)
{
	(void)state;
	make(1, 20, 50, 1);
	for (uint32_t size = 0; size <= m.header.bytes; size++) {
		uint64_t lost = 0;

		for (uint32_t i = 0; i < 20; i++)
			if (m.at[i + 1] > size)
				lost |= (uint64_t)1 << i;
		if (lost_of(size) != lost)
			fail_msg("cut at %u", size);
	}
}

/* A frame that could be one, but with nothing behind it that says so, is none; nor is one that there is no room for. */
static void a_frame_that_is_none(void **state)
{
	struct frame_header frame = { .size = 10 };
	uint8_t *inside;

	(void)state;
	make(1, 6, 200, 0);
	inside = m.frames + m.at[1] + 40;
	frame.checksum = frame_checksum(frame_seed(&m.header.stream), 4, 10, inside + 8);
	frame_put_header(inside, frame);
	m.frames[m.at[1]] ^= 4;
	expect(2);
	/* With one behind it, it passes, if it could stand there: 2 ... 5 have no room before it. */
	make(1, 12, 200, 0);
	inside = m.frames + m.at[1] + 24;
	for (unsigned seq = 11; seq <= 12; seq++) {
		frame.checksum = frame_checksum(frame_seed(&m.header.stream), seq, 10, inside + 8);
		frame_put_header(inside, frame);
		inside += 18;
	}
	m.frames[m.at[1]] ^= 4;
	expect(2);
}

/* The work does not grow with the sizes that stand everywhere: a batch full of them comes to an end soon. */
static void sizes_everywhere(void **state)
{
	static uint8_t frames[4 << 20];
	struct batch_header header = { .record = 1,
				       .first_seq = 1,
				       .count = 100000,
				       .bytes = sizeof(frames) };
	struct salvage s;
	struct salvage_run run;

	(void)state;
	header.stream.bytes[0] = 1;
	for (size_t i = 0; i < sizeof(frames); i++)
		frames[i] = i % 4 == 2 ? 31 : (uint8_t)(i * i % 7);
	salvage_begin(&s, &header, frames, sizeof(frames));
	assert_int_equal(salvage_next(&s, &run), 1);
	assert_true(!run.good && run.count == header.count);
	assert_int_equal(salvage_next(&s, &run), 0);
	salvage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_bit_anywhere),
		cmocka_unit_test(a_bad_sector),
		cmocka_unit_test(several),
		cmocka_unit_test(a_batch_that_is_cut),
		cmocka_unit_test(a_frame_that_is_none),
		cmocka_unit_test(sizes_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
