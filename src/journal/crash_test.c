/* Random histories: appends on a few streams, kills at any moment, writes in flight that land whole, in part, late or never, file jobs cut
 * off between their steps' beginning and end. After each opening everything that was durable is there, once, in order, intact; and nothing
 * that was not appended. The seed is printed when it fails; SEED=n N=count repeats. */
#include "journal/journal_testing.h"

#include <stdlib.h>

enum { STREAMS = 3, BLOCK = 4096 };

static const char *const stream_names[STREAMS] = { "a", "b", "c" };

struct late_write {
	char name[SEGMENT_NAME_SIZE]; /* of the file, so that a deleted one takes it along */
	uint8_t *data;
	uint64_t size;
	uint64_t offset;
	bool done[64];
};

struct history {
	uint64_t random;
	uint64_t acked[STREAMS];   /* the highest number known durable */
	uint64_t appended[STREAMS];/* ... appended in this life */
	uint64_t records[STREAMS]; /* record of the last appended one */
	struct journal_stream streams[STREAMS];
	struct late_write late;
	bool has_late;
};

static uint64_t draw(struct history *h, uint64_t below)
{
	h->random = h->random * 6364136223846793005u + 1442695040888963407u;
	return (h->random >> 33) % below;
}

static void note_acks(struct history *h, struct journal *j)
{
	for (int i = 0; i < STREAMS; i++)
		if (h->appended[i] > h->acked[i] && h->records[i] <= journal_durable(j))
			h->acked[i] = h->appended[i];
}

static void land_blocks(struct history *h, int file, const uint8_t *data, uint64_t size, uint64_t offset, bool *done)
{
	for (uint64_t at = 0, i = 0; at < size && i < 64; at += BLOCK, i++) {
		if (draw(h, 2) == 0)
			continue;
		done[i] = true;
		assert_int_equal(file_write(file, data + at, BLOCK, offset + at), 0);
	}
}

/* kill -9: a write in flight may have landed in part, and what has not may land later. */
static void kill_randomly(struct history *h, struct journal *j)
{
	if (door.write_count != 0) {
		const struct io_write *write = door.writes[0];

		free(h->late.data);
		memset(&h->late, 0, sizeof(h->late));
		h->late.data = malloc(write->size);
		assert_non_null(h->late.data);
		memcpy(h->late.data, write->data, write->size);
		h->late.size = write->size;
		h->late.offset = write->offset;
		segment_name(((const struct staging *)write)->segment_index, h->late.name);
		h->has_late = true;
		land_blocks(h, write->file, write->data, write->size, write->offset, h->late.done);
	}
	if (door.job != NULL && draw(h, 2) == 0)
		(void)door.job->run(door.job); /* done, but nobody has learned of it */
	kill_it(j);
}

static void land_late(struct history *h)
{
	int dir;
	int file;

	if (!h->has_late)
		return;
	h->has_late = false;
	assert_int_equal(file_open_directory(path, &dir), 0);
	if (file_open(dir, h->late.name, FILE_WRITE, &file) == 0) {
		for (uint64_t at = 0, i = 0; at < h->late.size; at += BLOCK, i++)
			if (i >= 64 || !h->late.done[i])
				assert_int_equal(file_write(file, h->late.data + at, BLOCK, h->late.offset + at), 0);
		file_close(file);
	}
	file_close(dir);
}

/* The whole journal as its readers see it: each stream's numbers 1, 2, 3 ... once, payloads as they were made. */
static void check_records(struct history *h, struct journal *j, const uint64_t last[STREAMS])
{
	uint64_t seen[STREAMS] = { 0 };
	struct segments set;
	struct failure why;
	struct walk_batch batch;
	struct walk_place place;
	struct walk *walk;
	int dir;
	int result;

	(void)h;
	assert_int_equal(file_open_directory(path, &dir), 0);
	assert_int_equal(segments_load(dir, &set, &why), 0);
	assert_int_equal(walk_create(&set, 1, 0, &walk), 0);
	while ((result = walk_next(walk, &batch, &place)) == 1) {
		const uint8_t *frame = batch.frames;

		for (uint32_t k = 0; k < batch.header.count; k++) {
			struct frame_header header = frame_get_header(frame);
			int i = batch.header.stream.bytes[1] - 'a';

			assert_true(i >= 0 && i < STREAMS);
			assert_int_equal(batch.header.first_seq + k, ++seen[i]);
			for (uint32_t b = 0; b < header.size; b++)
				assert_int_equal(frame[FRAME_HEADER_SIZE + b], (uint8_t)seen[i]);
			frame += FRAME_HEADER_SIZE + header.size;
		}
	}
	assert_int_equal(result, 0);
	assert_int_equal(walk_record(walk), journal_next_record(j));
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(seen[i], last[i]);
	walk_destroy(walk);
	segments_free(&set);
	file_close(dir);
}

static struct journal *open_and_check(struct history *h)
{
	struct journal_config c = config();
	struct stream_state state;
	uint64_t last[STREAMS];
	struct journal *j;

	c.segment_size = SEGMENT_SIZE_MIN;
	j = open_with(&c);
	assert_int_equal(journal_durable(j) + 1, journal_next_record(j));
	for (int i = 0; i < STREAMS; i++) {
		h->streams[i] = open_stream(j, stream_names[i], &state);
		if (state.last < h->acked[i] || state.last > h->appended[i])
			fail_msg("stream %s: last %llu, acked %llu, appended %llu", stream_names[i],
				 (unsigned long long)state.last, (unsigned long long)h->acked[i],
				 (unsigned long long)h->appended[i]);
		last[i] = state.last;
		h->appended[i] = state.last;
		h->acked[i] = state.last; /* WELCOME says so */
		h->records[i] = state.record;
	}
	check_records(h, j, last);
	return j;
}

static void step(struct history *h, struct journal *j)
{
	int i = (int)draw(h, STREAMS);
	unsigned count = 1 + (unsigned)draw(h, 20);

	switch (draw(h, 5)) {
	case 0:
	case 1:
		if (append(j, stream_names[i], h->streams[i], count, (uint32_t)draw(h, 3000), &h->records[i]) == 0)
			h->appended[i] += count;
		break;
	case 2:
		journal_turn(j);
		break;
	case 3:
		if (door.write_count != 0) {
			finish_write(j, 0);
			note_acks(h, j);
		}
		break;
	default:
		if (door.job != NULL)
			finish_job(j);
		else
			door.now += draw(h, 60) * MS_NS;
		break;
	}
}

static void run_history(uint64_t seed)
{
	struct history h = { .random = seed * 77 + 1 };
	struct journal *j;

	for (int life = 0; life < 6; life++) {
		uint64_t steps = 20 + draw(&h, 400);

		j = open_and_check(&h);
		if (draw(&h, 2) == 0)
			land_late(&h);
		for (uint64_t n = 0; n < steps; n++) {
			if (n == 10)
				land_late(&h);
			step(&h, j);
		}
		if (draw(&h, 4) == 0) {
			stop_it(j); /* everything that was appended is durable then */
			memcpy(h.acked, h.appended, sizeof(h.acked));
		} else {
			kill_randomly(&h, j);
		}
		if (draw(&h, 4) == 0)
			land_late(&h);
	}
	j = open_and_check(&h);
	settle(j);
	stop_it(j);
	j = open_and_check(&h);
	kill_it(j);
	free(h.late.data);
}

static void test_random_histories(void **state)
{
	uint64_t first = getenv("SEED") != NULL ? strtoull(getenv("SEED"), NULL, 10) : 1;
	uint64_t count = getenv("N") != NULL ? strtoull(getenv("N"), NULL, 10) : 25;

	for (uint64_t seed = first; seed < first + count; seed++) {
		if (seed != first) {
			tear_down(state);
			set_up(state);
		}
		fprintf(stderr, "\rseed %llu ", (unsigned long long)seed);
		run_history(seed);
	}
	fprintf(stderr, "\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_histories, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
