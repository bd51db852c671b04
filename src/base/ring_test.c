#include "base/ring.h"

#include <string.h>

#include "base/test.h"

/* The ring must behave as a window onto one endless file: byte number i is always pattern(i). */
static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8));
}

static void check(const struct ring *ring)
{
	uint8_t out[64];
	struct ring_span spans[2];

	for (uint64_t at = ring->head; at <= ring->tail; at++) {
		for (size_t size = 0; size <= ring->tail - at; size++) {
			size_t seen = 0;
			unsigned count = ring_spans(ring, at, size, spans);

			ring_get(ring, at, out, size);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(out[i], pattern(at + i));
			assert_true(count <= 2);
			for (unsigned s = 0; s < count; s++) {
				assert_true(spans[s].size > 0);
				for (size_t i = 0; i < spans[s].size; i++)
					assert_int_equal(spans[s].data[i], pattern(at + seen + i));
				seen += spans[s].size;
			}
			assert_int_equal(seen, size);
			if (count == 2)
				assert_null(ring_see(ring, at, size));
			else if (count == 1)
				assert_ptr_equal(ring_see(ring, at, size), spans[0].data);
		}
	}
}

static void put(struct ring *ring, size_t size)
{
	uint8_t data[64];

	for (size_t i = 0; i < size; i++)
		data[i] = pattern(ring->tail + i);
	ring_put(ring, data, size);
}

/* The same, written in place where that is possible. */
static void put_in_place(struct ring *ring, size_t size)
{
	uint64_t tail = ring->tail;
	uint8_t *to = ring_extend(ring, size);

	if (to == NULL) {
		assert_true(tail % ring->capacity + size > ring->capacity);
		assert_int_equal(ring->tail, tail);
		put(ring, size);
		return;
	}
	assert_int_equal(ring->tail, tail + size);
	assert_true(to + size <= ring->memory + ring->capacity);
	for (size_t i = 0; i < size; i++)
		to[i] = pattern(tail + i);
}

static void a_window_onto_an_endless_file(void **state)
{
	static const size_t capacities[] = { 1, 2, 3, 7, 8, 13 };

	(void)state;
	for (size_t c = 0; c < COUNT_OF(capacities); c++) {
		/* One byte more than it may use, to see that it does not. */
		uint8_t memory[14];
		struct ring ring;
		uint32_t random = 7;

		memory[capacities[c]] = 0xab;
		ring_init(&ring, memory, capacities[c]);
		assert_int_equal(ring_used(&ring), 0);
		assert_int_equal(ring_room(&ring), capacities[c]);
		for (unsigned step = 0; step < 300; step++) {
			random = random * 1664525 + 1013904223;
			if (step % 2 == 0)
				put(&ring, (random >> 16) % (ring_room(&ring) + 1));
			else
				put_in_place(&ring, (random >> 16) % (ring_room(&ring) + 1));
			check(&ring);
			random = random * 1664525 + 1013904223;
			ring_trim(&ring, ring.head + (random >> 16) % (ring_used(&ring) + 1));
			check(&ring);
			assert_int_equal(ring_used(&ring) + ring_room(&ring), capacities[c]);
		}
		assert_true(ring.tail > capacities[c]);
		assert_int_equal(memory[capacities[c]], 0xab);
	}
}

static void full_and_empty_are_told_apart(void **state)
{
	uint8_t memory[8];
	struct ring ring;

	(void)state;
	ring_init(&ring, memory, sizeof(memory));
	put(&ring, 8);
	assert_int_equal(ring_used(&ring), 8);
	assert_int_equal(ring_room(&ring), 0);
	put(&ring, 0);
	check(&ring);
	ring_trim(&ring, 8);
	assert_int_equal(ring_used(&ring), 0);
	assert_int_equal(ring_room(&ring), 8);
}

static void spans_are_limited_to_what_is_there(void **state)
{
	uint8_t memory[8];
	struct ring ring;
	struct ring_span spans[2];

	(void)state;
	ring_init(&ring, memory, sizeof(memory));
	put(&ring, 6);
	ring_trim(&ring, 5);
	put(&ring, 4); /* positions 5 ... 9, wrapping at 8 */
	assert_int_equal(ring_spans(&ring, 5, 100, spans), 2);
	assert_int_equal(spans[0].size, 3);
	assert_int_equal(spans[1].size, 2);
	assert_int_equal(ring_spans(&ring, 5, 3, spans), 1);
	assert_int_equal(ring_spans(&ring, 8, 100, spans), 1);
	assert_ptr_equal(spans[0].data, memory);
	assert_int_equal(ring_spans(&ring, 10, 100, spans), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_onto_an_endless_file),
		cmocka_unit_test(full_and_empty_are_told_apart),
		cmocka_unit_test(spans_are_limited_to_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
