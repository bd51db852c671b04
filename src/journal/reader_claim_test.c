/* What a reader may show (J11): what a claim covers; above that only what it has read and then flushed, under the lock, with no server
 * there. Three ways to get it wrong, each of which shows a record that a power cut may take away again. */
#include "journal/reader.h"

#include "base/limits.h"
#include "clock/clock.h"
#include "journal/journal_build.h"

static unsigned clock_now; /* counts reads and flushes */
static unsigned read_at, flushed_at;
static unsigned reads, flushes;
static void (*before_read)(struct build *b); /* once, before the next read */
static struct build *before_read_of;

static uint64_t monotonic_ns;

uint64_t __wrap_clock_monotonic_ns(void);

uint64_t __wrap_clock_monotonic_ns(void)
{
	return monotonic_ns;
}

int64_t __real_file_read(int file, void *data, size_t size, uint64_t offset);
int64_t __wrap_file_read(int file, void *data, size_t size, uint64_t offset);
int __real_file_flush(int file);
int __wrap_file_flush(int file);

int64_t __wrap_file_read(int file, void *data, size_t size, uint64_t offset)
{
	void (*before)(struct build * b) = before_read;

	before_read = NULL;
	if (before != NULL)
		before(before_read_of);
	read_at = ++clock_now;
	reads++;
	return __real_file_read(file, data, size, offset);
}

int __wrap_file_flush(int file)
{
	flushed_at = ++clock_now;
	flushes++;
	return __real_file_flush(file);
}

static struct reader *open_at_first(struct build *b)
{
	struct failure why = { 0 };
	struct reader *reader;

	if (reader_open(b->path, 0, &reader, &why) != 0)
		fail_msg("%s", why.text);
	return reader;
}

/* 1, 0, or the test fails. */
static int next(struct reader *reader, struct record *ret)
{
	struct failure why = { 0 };
	int result = reader_next(reader, ret, &why);

	if (result < 0)
		fail_msg("%s", why.text);
	return result;
}

static int hold_lock(struct build *b, uint64_t number)
{
	int file;

	build_lock(b, number);
	assert_int_equal(file_open(b->directory, NAME_LOCK, FILE_WRITE, &file), 0);
	assert_int_equal(file_lock(file, true), 0);
	return file;
}

/* Nothing claims anything, and it takes several reads: each is flushed after it was made. A flush before it says nothing of it, since a
 * killed server's write may land in between. */
static void each_read_is_flushed_behind_it(void **state)
{
	enum { BATCHES = 100 };
	struct record record;
	struct reader *reader;
	struct build b;
	uint64_t count = 0;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	for (int i = 0; i < BATCHES; i++)
		build_one(&b, 0, 1, 7000);
	build_save(&b, 1);
	reads = flushes = 0;
	reader = open_at_first(&b);
	while (next(reader, &record) == 1) {
		count++;
		assert_int_equal(record.number, count);
		assert_true(flushed_at > read_at);
	}
	assert_int_equal(count, BATCHES);
	assert_true(flushes >= 2 && reads > flushes);
	reader_close(reader);
	build_deinit(&b);
}

/* A server holds the lock: what it has written, but not yet called durable, is not shown, whatever the reader could flush. */
static void not_beside_a_server(void **state)
{
	struct record record;
	struct reader *reader;
	struct build b;
	int lock;

	(void)state;
	build_init(&b);
	lock = hold_lock(&b, 1);
	build_segment(&b, 1);
	for (int i = 0; i < 3; i++)
		build_one(&b, 0, 1, 100);
	build_save(&b, 1);
	reader = open_at_first(&b);
	assert_int_equal(next(reader, &record), 1);
	assert_int_equal(record.number, 1);
	assert_int_equal(next(reader, &record), 0);
	assert_int_equal(next(reader, &record), 0);
	reader_close(reader);
	file_close(lock);
	build_deinit(&b);
}

/* The server has begun the next segment while the last commits of the one before are in flight: that it begins at record 4 does not say
 * that 3 is durable. */
static void a_segment_is_no_claim(void **state)
{
	struct record record;
	struct reader *reader;
	struct build b;
	int lock;

	(void)state;
	build_init(&b);
	lock = hold_lock(&b, 1);
	build_segment(&b, 1);
	for (int i = 0; i < 3; i++)
		build_one(&b, 0, 1, 100);
	build_save(&b, 1);
	b.durable = 1;
	build_segment(&b, 2);
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
	reader = open_at_first(&b);
	assert_int_equal(next(reader, &record), 1);
	assert_int_equal(record.number, 1);
	assert_int_equal(next(reader, &record), 0);
	reader_close(reader);
	file_close(lock);
	build_deinit(&b);
}

/* As the server does it: the old name goes, then the file gets a new header. */
static void reuse_first_segment(struct build *b)
{
	struct segment_header header = { .index = 4, .block_size = BUILD_BLOCK };
	uint8_t block[BUILD_BLOCK] = { 0 };
	char name[SEGMENT_NAME_SIZE];
	int file;

	segment_name(1, name);
	assert_int_equal(file_rename(b->directory, name, NAME_SEGMENT_NEW, true), 0);
	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	memset(header.salt, 0x44, SALT_SIZE);
	segment_header_encode(block, &header);
	assert_int_equal(file_open(b->directory, NAME_SEGMENT_NEW, FILE_WRITE, &file), 0);
	assert_int_equal(file_write(file, block, sizeof(block), 0), 0);
	file_close(file);
}

/* Retention has given up the first segment, which is being made into the next spare: a reader has opened it just before, and reads what is
 * the header of another one. */
static void reused_while_it_is_opened(void **state)
{
	struct record record;
	struct reader *reader;
	struct build b;
	int lock;

	(void)state;
	build_init(&b);
	lock = hold_lock(&b, 4);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 100);
	build_save(&b, 0);
	build_snapshot(&b, NAME_SNAPSHOT, 1);
	b.durable = 3;
	build_segment(&b, 2);
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
	before_read_of = &b;
	before_read = reuse_first_segment;
	reader = open_at_first(&b);
	assert_null(before_read);
	assert_int_equal(next(reader, &record), 1);
	assert_int_equal(record.number, 4);
	reader_close(reader);
	file_close(lock);
	build_deinit(&b);
}

/* A server is just making its lock file, which says nothing yet. What it acknowledges soon after is there within 100 ms, as always. */
static void a_lock_file_that_is_being_made(void **state)
{
	static const uint8_t half[LOCK_SIZE / 2];
	uint8_t whole[LOCK_SIZE];
	struct record record;
	struct reader *reader;
	struct build b;
	int lock;

	(void)state;
	build_init(&b);
	build_file(&b, NAME_LOCK, half, sizeof(half));
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_WRITE, &lock), 0);
	assert_int_equal(file_lock(lock, true), 0);
	build_segment(&b, 1);
	build_save(&b, 1);
	reader = open_at_first(&b);
	assert_int_equal(next(reader, &record), 0);
	build_one(&b, 0, 1, 100);
	build_save(&b, 1);
	lock_encode(whole, 1, 1);
	assert_int_equal(file_write(lock, whole, sizeof(whole), 0), 0);
	monotonic_ns += 50 * MS_NS;
	assert_int_equal(next(reader, &record), 1);
	reader_close(reader);
	file_close(lock);
	build_deinit(&b);
}

/* Nothing claims anything, record 3 is not whole, and segment 2 goes on behind it: a commit that landed before an older one. The next
 * server will not find it, wherever a reader begins. */
static void not_behind_a_hole(void **state)
{
	static const struct {
		int64_t from;
		uint64_t first; /* 0: nothing is shown */
	} rows[] = { { 0, 1 }, { 1, 1 },  { 2, 2 },  { 3, 0 }, { 4, 0 },
		     { 5, 0 }, { -1, 2 }, { -2, 1 }, { -9, 1 } };
	struct failure why = { 0 };
	struct record record;
	struct reader *reader;
	struct build b;

	(void)state;
	build_init(&b);
	for (unsigned segment = 1; segment <= 2; segment++) {
		build_segment(&b, segment);
		for (unsigned i = 0; i < 3; i++)
			build_one(&b, 0, 1, 100);
		build_save(&b, 1);
	}
	build_flip(&b, 1, b.batches[2].offset + BATCH_HEADER_SIZE + FRAME_HEADER_SIZE, 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(reader_open(b.path, rows[i].from, &reader, &why), 0);
		for (uint64_t n = rows[i].first; n != 0 && n < 3; n++) {
			assert_int_equal(next(reader, &record), 1);
			assert_int_equal(record.number, n);
		}
		assert_int_equal(next(reader, &record), 0);
		reader_close(reader);
	}
	build_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_read_is_flushed_behind_it),
		cmocka_unit_test(not_beside_a_server),
		cmocka_unit_test(a_segment_is_no_claim),
		cmocka_unit_test(reused_while_it_is_opened),
		cmocka_unit_test(a_lock_file_that_is_being_made),
		cmocka_unit_test(not_behind_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
