#include "base/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/input.h"

enum { MESSAGE_MAX = 1 << 20 };

static struct input_pools pools;
static struct input in;
static uint8_t buffer[RECEIVE_BUFFER_SIZE];

static int setup(void **state)
{
	(void)state;
	in = (struct input){ 0 };
	return input_pools_init(&pools, 4, 3, 2 * MESSAGE_MAX, MESSAGE_MAX);
}

static int teardown(void **state)
{
	uint32_t number;
	bool lent;

	(void)state;
	input_drop(&in, &pools, &lent, &number);
	assert_int_equal(pools.small.used, 0);
	assert_int_equal(pools.medium.used, 0);
	assert_int_equal(pools.large.reserved, 0);
	input_pools_deinit(&pools);
	return 0;
}

static struct input_wish wish(size_t need)
{
	return (struct input_wish){
		.need = need, .reserve = need, .session = 9, .now_ns = 5, .large = true
	};
}

static int settle(size_t need, bool *ret_lent)
{
	struct input_wish w = wish(need);
	uint32_t number;

	return input_settle(&in, &pools, &w, ret_lent, &number);
}

/* Where a rest of a message goes when its buffer is returned. */
static void the_rest_is_held_by_size(void **state)
{
	static const struct {
		const char *name;
		size_t size, need;
		enum input_place place;
	} rows[] = {
		{ "nothing", 0, 0, INPUT_NOWHERE },
		{ "one byte", 1, 8, INPUT_SMALL },
		{ "small - 1", PARTIAL_SMALL_SIZE - 1, 600, INPUT_SMALL },
		{ "small", PARTIAL_SMALL_SIZE, 600, INPUT_SMALL },
		{ "small + 1", PARTIAL_SMALL_SIZE + 1, 600, INPUT_MEDIUM },
		{ "a buffer's size", 1000, RECEIVE_BUFFER_SIZE, INPUT_MEDIUM },
		{ "more than a buffer", 1000, RECEIVE_BUFFER_SIZE + 1, INPUT_LARGE },
		{ "more, hardly begun", 8, RECEIVE_BUFFER_SIZE + 1, INPUT_SMALL },
		{ "the largest", RECEIVE_BUFFER_SIZE, MESSAGE_MAX, INPUT_LARGE },
	};

	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		bool lent;

		assert_int_equal(setup(state), 0);
		input_receive(&in, buffer, rows[i].size ? rows[i].size : 1, 3);
		if (!rows[i].size)
			input_consume(&in, &pools, 1);
		assert_int_equal(settle(rows[i].need, &lent), 0);
		assert_true(lent);
		if (in.place != rows[i].place || input_size(&in) != rows[i].size)
			fail_msg("%s: place %u, %zu bytes", rows[i].name, in.place,
				 input_size(&in));
		teardown(state);
	}
}

/* No buffer, no address to count from: clang's UBSan watches. */
static void nothing_of_nothing(void **state)
{
	struct input_view view;
	bool lent;

	(void)state;
	input_consume(&in, &pools, 0);
	assert_int_equal(input_size(&in), 0);
	input_receive(&in, buffer, 8, 3);
	assert_int_equal(settle(64, &lent), 0);
	assert_int_equal(in.place, INPUT_SMALL);
	input_view(&in, &pools, 8, &view);
	input_consume(&in, &pools, 8);
	assert_int_equal(input_size(&in), 0);
	assert_int_equal(in.place, INPUT_NOWHERE);
}

static void waits_for_large_memory(void **state)
{
	uint8_t *a = large_acquire(&pools.large, MESSAGE_MAX);
	uint8_t *b = large_acquire(&pools.large, MESSAGE_MAX);
	struct input_view view;
	bool lent;

	(void)state;
	memset(buffer, 'x', sizeof(buffer));
	input_receive(&in, buffer, sizeof(buffer), 0);
	assert_int_equal(settle(MESSAGE_MAX, &lent), -EAGAIN);
	assert_true(lent); /* the receive buffer is free all the same */
	assert_int_equal(in.place, INPUT_MEDIUM);
	assert_int_equal(settle(MESSAGE_MAX, &lent), -EAGAIN);
	assert_false(lent);
	large_release(&pools.large, a);
	assert_int_equal(settle(MESSAGE_MAX, &lent), 0);
	assert_int_equal(in.place, INPUT_LARGE);
	input_view(&in, &pools, MESSAGE_MAX, &view);
	assert_int_equal(view.size, sizeof(buffer));
	assert_memory_equal(view.data, buffer, sizeof(buffer));
	large_release(&pools.large, b);
}

static bool all(void *context, uint32_t session)
{
	return session != *(uint32_t *)context;
}

static void the_oldest_holder(void **state)
{
	struct input inputs[3];
	uint32_t number, none = UINT32_MAX, first = 100;
	bool lent;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		struct input_wish w = wish(2000);

		w.session = 100 + i;
		w.now_ns = 50 + i;
		inputs[i] = (struct input){ 0 };
		input_receive(&inputs[i], buffer, 1000, 0);
		assert_int_equal(input_settle(&inputs[i], &pools, &w, &lent, &number), 0);
	}
	input_receive(&in, buffer, 1000, 0);
	assert_int_equal(settle(2000, &lent), -ENOBUFS);
	assert_int_equal(input_size(&in), 1000); /* nothing has changed */
	assert_int_equal(input_oldest(&pools, all, &none), 100);
	assert_int_equal(input_oldest(&pools, all, &first), 101);
	input_drop(&inputs[0], &pools, &lent, &number);
	assert_int_equal(input_oldest(&pools, all, &none), 101);
	assert_int_equal(settle(2000, &lent), 0);
	input_drop(&inputs[1], &pools, &lent, &number);
	input_drop(&inputs[2], &pools, &lent, &number);
}

/* --- a protocol for the test: u32 size, then so many bytes, each its message's number */

static uint32_t messages;
static size_t need;

static void make_stream(uint8_t *out, size_t room, size_t *ret_size, uint32_t *ret_count)
{
	size_t at = 0;
	uint32_t count = 0;

	for (;;) {
		static const uint32_t sizes[] = { 0, 1, 100, 508, 509, 600,
						  5000, 65532, 65533, 70000, 300000 };
		uint32_t size = random() % 8 ? (uint32_t)random() % 300
					     : sizes[(size_t)random() % COUNT_OF(sizes)];

		if (at + 4 + size > room)
			break;
		memcpy(out + at, &size, 4);
		memset(out + at + 4, (int)(count & 0xff), size);
		at += 4 + size;
		count++;
	}
	*ret_size = at;
	*ret_count = count;
}

/* Take whole messages off the front of the view; as many as there are, or one. */
static size_t eat(const struct input_view *view, bool many)
{
	size_t at = 0;

	need = 4;
	while (view->size - at >= 4) {
		uint32_t size;

		memcpy(&size, view->data + at, 4);
		need = 4 + (size_t)size;
		if (view->size - at < need)
			break;
		for (uint32_t i = 0; i < size; i++)
			assert_int_equal(view->data[at + 4 + i], messages & 0xff);
		at += need;
		messages++;
		need = 4;
		if (!many)
			break;
	}
	return at;
}

static void work(bool many)
{
	struct input_view view;
	bool lent;

	for (;;) {
		size_t eaten;

		input_view(&in, &pools, need, &view);
		eaten = eat(&view, many);
		if (eaten) {
			input_consume(&in, &pools, eaten);
			need = 0;
			continue;
		}
		if (view.whole)
			break;
		struct input_wish w = wish(need);
		assert_int_equal(input_grow(&in, &pools, &w), 0);
	}
	assert_int_equal(settle(need, &lent), 0);
	assert_true(lent);
	assert_true(pools.medium.used + pools.small.used <= 1);
}

static void any_cut_gives_the_same_messages(void **state)
{
	enum { ROOM = 4 << 20 };
	uint8_t *stream = malloc(ROOM);
	size_t size;
	uint32_t count;

	(void)state;
	assert_non_null(stream);
	srandom(11);
	make_stream(stream, ROOM, &size, &count);
	for (unsigned mode = 0; mode < 6; mode++) {
		static const size_t most[] = { RECEIVE_BUFFER_SIZE, 100, 700, 9000, 65535, 3 };
		size_t at = 0, end = mode == 5 ? 200000 : size;

		messages = 0;
		need = 0;
		while (at < end) {
			size_t part = mode == 0 ? most[0] : 1 + (size_t)random() % most[mode];

			if (part > end - at)
				part = end - at;
			memcpy(buffer, stream + at, part);
			input_receive(&in, buffer, part, 0);
			work(mode % 2 == 0);
			memset(buffer, 0xee, part); /* nothing points there any more */
			at += part;
		}
		if (end == size) {
			assert_int_equal(messages, count);
			assert_int_equal(input_size(&in), 0);
		}
		teardown(state);
		assert_int_equal(setup(state), 0);
	}
	free(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rest_is_held_by_size),
		cmocka_unit_test_setup_teardown(nothing_of_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_large_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(the_oldest_holder, setup, teardown),
		cmocka_unit_test_setup_teardown(any_cut_gives_the_same_messages, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
