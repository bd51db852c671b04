/* The n-th step of those who only read fails, for every n, once and for good: readers, verify and repair, over journals that are whole,
 * damaged, cut by retention, left by a killed server, and beside a running one. A step is a call of the file door or a piece of memory.
 *
 * What must hold whatever fails: a clean error with its reason, no descriptor and no memory lost, nothing shown that is not in the
 * journal, nothing out of order, and a fault never taken for an end or for damage. Afterwards all is as it would have been. */
#include "journal/journal_build.h"
#include "journal/journal_faults.h"

#include <sys/stat.h>

#include "journal/reader.h"
#include "journal/verify.h"

enum { LINES_SIZE = 40000 };

/* --- the journals */

static struct build b;
static int lock_of_server = -1;

/* Three segments with two streams, a gap, an end, a plain connection, both snapshots; the last records are claimed by the lock file
 * up to `number` only. */
static void build_three(uint64_t number)
{
	build_segment(&b, 1);
	for (int i = 0; i < 4; i++) {
		build_batch(&b, 0, 2, 500);
		if (i == 3)
			build_forget(&b, 1);
		build_batch(&b, 1, 1, 3000);
		build_commit(&b);
	}
	build_save(&b, 2);
	build_snapshot(&b, NAME_SNAPSHOT_OLD, 1);
	b.durable = b.record - 1;
	build_segment(&b, 2);
	b.flags = BATCH_GAP;
	b.gap_last = b.seq[0];
	b.seq[0] += 3;
	build_one(&b, 0, 3, 700);
	build_one(&b, 1, 2, 20000);
	build_save(&b, 0);
	build_snapshot(&b, NAME_SNAPSHOT, 2);
	b.durable = b.record - 1;
	build_segment(&b, 3);
	build_one(&b, 0, 1, 100);
	build_one(&b, 1, 5, 9000);
	build_one(&b, 0, 1, 0);
	build_save(&b, 3);
	build_lock(&b, number);
}

static void build_whole(void)
{
	build_three(24);
}

static void build_killed(void)
{
	build_three(18);
}

/* No lock file, no snapshots: claims stand in headers only. */
static void build_bare(void)
{
	build_three(0);
	assert_int_equal(file_remove(b.directory, NAME_LOCK), 0);
	assert_int_equal(file_remove(b.directory, NAME_SNAPSHOT), 0);
	assert_int_equal(file_remove(b.directory, NAME_SNAPSHOT_OLD), 0);
}

static void build_retained(void)
{
	build_three(24);
	assert_int_equal(file_remove(b.directory, "00000000000000000001.seg"), 0);
}

/* A server holds the lock and has a spare. */
static void build_served(void)
{
	build_three(20);
	build_segment(&b, 4);
	build_save(&b, 20);
	assert_int_equal(file_open(b.directory, NAME_LOCK, FILE_WRITE, &lock_of_server), 0);
	assert_int_equal(file_lock(lock_of_server, true), 0);
}

/* The header of a segment that held nothing which a later one does not have. */
static void build_odd_header(void)
{
	build_three(24);
	build_seal(&b);
	build_save(&b, 3);
	build_segment(&b, 4);
	build_save(&b, 1);
	build_flip(&b, 4, 20, 1);
	build_segment(&b, 5);
	b.durable = b.record - 1;
	build_one(&b, 0, 1, 10);
	build_save(&b, 0);
}

static void build_damaged(void)
{
	build_three(24);
	build_flip(&b, 2, b.batches[10].offset + BATCH_HEADER_SIZE + FRAME_HEADER_SIZE + 3, 4);
}

/* The first segment's first batch does not tell its f. */
static void build_first_batch_damaged(void)
{
	build_three(24);
	build_flip(&b, 3, BUILD_BLOCK + 5, 1);
}

/* --- what is done with them */

struct outcome {
	int result;
	struct failure why;
	uint64_t records; /* shown, or those of the repaired journal */
	char lines[LINES_SIZE];
	size_t size;
};

static void add_line(void *context, const char *text)
{
	struct outcome *o = context;

	o->size += (size_t)snprintf(o->lines + o->size, sizeof(o->lines) - o->size, "%s\n", text);
	assert_true(o->size < sizeof(o->lines));
}

/* What a record is, so that two runs can be compared. */
static void add_record(struct outcome *o, const struct record *r)
{
	char text[100];

	for (uint32_t i = 0; i < r->size; i++)
		assert_int_equal(r->payload[i], build_byte(r->number, i));
	snprintf(text, sizeof(text), "%llu %u %llu %u %d %llu", (unsigned long long)r->number,
		 r->stream.bytes[15], (unsigned long long)r->seq, r->size, r->gap,
		 (unsigned long long)r->gap_last);
	add_line(o, text);
	o->records++;
}

/* An error need not be the end: a reader that is asked again shows more, or fails again. */
static void read_from(const char *path, int64_t from, struct outcome *o)
{
	struct reader *reader = NULL;
	struct record record;
	struct failure why;
	int failures = 0;
	int result;

	o->result = reader_open(path, from, &reader, &o->why);
	while (o->result == 0 && failures < 3) {
		result = reader_next(reader, &record, &why);
		if (result == 1) {
			add_record(o, &record);
			continue;
		}
		reader_release(reader);
		if (result == 0)
			break;
		if (failures++ == 0)
			o->why = why;
	}
	if (failures != 0)
		o->result = -o->why.error;
	if (failures != 0 && o->why.status == EXIT_DATA)
		o->result = -EBADMSG;
	reader_close(reader);
}

static void read_it(struct outcome *o)
{
	read_from(b.path, 0, o);
}

static void read_last(struct outcome *o)
{
	read_from(b.path, -4, o);
}

static void read_middle(struct outcome *o)
{
	read_from(b.path, 14, o);
}

static void verify_it(struct outcome *o)
{
	o->result = journal_verify(b.path, add_line, o, &o->why);
}

static char target[100];

static void repair_it(struct outcome *o)
{
	o->result = journal_repair(b.path, target, add_line, o, &o->why);
}

struct scenario {
	const char *name;
	void (*build)(void);
	void (*run)(struct outcome *o);
	int result; /* without a fault */
};

static const struct scenario scenarios[] = {
	{ "read a whole journal", build_whole, read_it, 0 },
	{ "read the last ones", build_whole, read_last, 0 },
	{ "read from the middle", build_retained, read_middle, 0 },
	{ "read what a killed server left", build_killed, read_it, 0 },
	{ "read without a lock file", build_bare, read_it, 0 },
	{ "read the last ones without a lock file", build_bare, read_last, 0 },
	{ "read after retention", build_retained, read_it, 0 },
	{ "read beside a server", build_served, read_it, 0 },
	{ "read past an odd header", build_odd_header, read_it, 0 },
	{ "read up to damage", build_damaged, read_it, -EBADMSG },
	{ "verify a whole journal", build_whole, verify_it, 0 },
	{ "verify what a killed server left", build_killed, verify_it, 0 },
	{ "verify without a lock file", build_bare, verify_it, 0 },
	{ "verify after retention", build_retained, verify_it, 0 },
	{ "verify beside a server", build_served, verify_it, 0 },
	{ "verify past an odd header", build_odd_header, verify_it, 0 },
	{ "verify a damaged journal", build_damaged, verify_it, -EBADMSG },
	{ "verify with a damaged first batch", build_first_batch_damaged, verify_it, -EBADMSG },
	{ "repair a whole journal", build_whole, repair_it, 0 },
	{ "repair after retention", build_retained, repair_it, 0 },
	{ "repair a damaged journal", build_damaged, repair_it, 0 },
	{ "repair with a damaged first batch", build_first_batch_damaged, repair_it, 0 },
};

/* --- one fault */

static bool is_repair(const struct scenario *s)
{
	return s->run == repair_it;
}

static void remove_target(void)
{
	if (access(target, F_OK) != 0)
		return;
	build_remove_all(target);
	assert_int_equal(rmdir(target), 0);
}

static void check_error(const struct outcome *o, const struct outcome *expected)
{
	const struct failure *why = &o->why;

	if (o->result == expected->result && o->why.status == expected->why.status)
		return;
	if (why->status != EXIT_IO && why->status != EXIT_NO_INPUT && why->status != EXIT_CREATE)
		fail_msg("%s: %d, status %d: %s", faults_text(), o->result, why->status, why->text);
	if (o->result != -why->error || strstr(why->text, strerror(why->error)) == NULL)
		fail_msg("%s: %d, errno %d: %s", faults_text(), o->result, why->error, why->text);
}

/* What has been read with a fault in between is what is there, up to some place. */
static void check_shown(const struct scenario *s, const struct outcome *o,
			const struct outcome *expected)
{
	bool is_complete = o->result == expected->result;

	if (s->run == verify_it || is_repair(s))
		return;
	if (o->size > expected->size || memcmp(o->lines, expected->lines, o->size) != 0)
		fail_msg("%s: shown:\n%s\ninstead of\n%s", faults_text(), o->lines,
			 expected->lines);
	if (is_complete && o->size != expected->size)
		fail_msg("%s: %llu records shown, without an error", faults_text(),
			 (unsigned long long)o->records);
}

/* A repair that has failed can be repeated; one that has not leaves a journal without damage that has all that it says. */
static void check_target(const struct outcome *o)
{
	struct outcome *again = calloc(1, sizeof(*again));
	struct outcome *verified = calloc(1, sizeof(*verified));
	const char *path = target;

	assert_true(again != NULL && verified != NULL);
	if (o->result != 0 && faults.row.for_good)
		remove_target(); /* what it could not remove either */
	if (o->result != 0) {
		again->result = journal_repair(b.path, path, add_line, again, &again->why);
		if (again->result != 0)
			fail_msg("%s: repeated: %s", faults_text(), again->why.text);
	}
	verified->result = journal_verify(path, add_line, verified, &verified->why);
	if (verified->result != 0)
		fail_msg("%s: repaired: %s", faults_text(), verified->why.text);
	remove_target();
	free(verified);
	free(again);
}

/* False: so many steps are not made. */
static bool run_with_fault(const struct scenario *s, const struct outcome *expected,
			   const struct fault_row *row, uint64_t at)
{
	unsigned descriptors = descriptors_open();
	int64_t memory = faults.memory;
	static struct outcome o;

	memset(&o, 0, sizeof(o));
	faults_arm(row, at);
	s->run(&o);
	faults_disarm();
	if (descriptors_open() != descriptors)
		fail_msg("%s: a descriptor stays open", faults_text());
	if (faults.memory != memory)
		fail_msg("%s: %lld pieces of memory stay", faults_text(),
			 (long long)(faults.memory - memory));
	check_error(&o, expected);
	check_shown(s, &o, expected);
	if (is_repair(s))
		check_target(&o);
	return faults.fired != 0;
}

static void test_every_step_fails(void **state)
{
	const struct scenario *s = *state;
	struct outcome *expected = calloc(2, sizeof(*expected));

	assert_non_null(expected);
	build_init(&b);
	snprintf(target, sizeof(target), "%s.repaired", b.path);
	s->build();
	s->run(&expected[0]);
	remove_target();
	if (expected->result != s->result)
		fail_msg("without a fault: %d: %s", expected->result, expected->why.text);
	for (size_t i = 0; i < FAULT_ROWS; i++) {
		uint64_t n = 1;

		while (n < FAULT_STEPS_MAX && run_with_fault(s, expected, &fault_rows[i], n))
			n += FAULT_STRIDE;
		assert_true(n < FAULT_STEPS_MAX);
	}
	s->run(&expected[1]);
	remove_target();
	assert_int_equal(expected[1].result, expected[0].result);
	assert_string_equal(expected[1].lines, expected[0].lines);
	if (lock_of_server >= 0)
		file_close(lock_of_server);
	lock_of_server = -1;
	build_deinit(&b);
	free(expected);
}

/* It was taken for none at first, and for an error later. */
static void test_repair_does_without_a_snapshot_it_cannot_read(void **state)
{
	static const char *const names[] = { NAME_SNAPSHOT, NAME_SNAPSHOT_OLD };
	struct outcome *o = calloc(1, sizeof(*o));

	(void)state;
	assert_non_null(o);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		build_init(&b);
		snprintf(target, sizeof(target), "%s.repaired", b.path);
		build_whole();
		memset(o, 0, sizeof(*o));
		faults_arm_bytes(names[i], 0, UINT64_MAX);
		repair_it(o);
		faults_disarm();
		if (o->result != 0)
			fail_msg("%s: %s", names[i], o->why.text);
		assert_non_null(strstr(o->lines, "24 records saved, 0 lost"));
		remove_target();
		build_deinit(&b);
	}
	free(o);
}

/* "24 records saved, 0 lost" */
static uint64_t saved_of(const struct outcome *o)
{
	const char *at = strstr(o->lines, " saved, ");

	assert_non_null(at);
	while (at > o->lines && at[-1] != '\n')
		at--;
	return strtoull(at, NULL, 10);
}

/* How many records a block of zeros costs: all frames that it touches, or, with its header, the batch. */
static uint64_t lost_with_block(uint64_t index, uint64_t at)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < b.batch_count; i++) {
		const struct build_batch *batch = &b.batches[i];
		uint64_t frames = batch->offset + BATCH_HEADER_SIZE;
		uint64_t size;

		if (batch->index != index || batch->header.count == 0 || batch->end <= at ||
		    batch->offset >= at + BUILD_BLOCK)
			continue;
		size = batch->header.bytes / batch->header.count;
		for (uint32_t k = 0; k < batch->header.count; k++)
			lost += frames > at || (frames + (k + 1) * size > at &&
						frames + k * size < at + BUILD_BLOCK);
	}
	return lost;
}

/* One block of any segment cannot be read: repair comes to an end, and saves all that does not touch it. */
static void test_repair_passes_a_block_it_cannot_read(void **state)
{
	struct outcome *o = calloc(1, sizeof(*o));

	(void)state;
	assert_non_null(o);
	build_init(&b);
	snprintf(target, sizeof(target), "%s.repaired", b.path);
	build_whole();
	for (uint64_t index = 1; index <= 3; index++) {
		char name[SEGMENT_NAME_SIZE];

		segment_name(index, name);
		for (uint64_t at = BUILD_BLOCK; at < 20 * BUILD_BLOCK; at += BUILD_BLOCK) {
			memset(o, 0, sizeof(*o));
			faults_arm_bytes(name, at, at + BUILD_BLOCK);
			repair_it(o);
			faults_disarm();
			if (o->result != 0)
				fail_msg("%s at %llu: %s", name, (unsigned long long)at,
					 o->why.text);
			if (saved_of(o) != 24 - lost_with_block(index, at))
				fail_msg("%s at %llu:\n%s", name, (unsigned long long)at, o->lines);
			remove_target();
		}
	}
	build_deinit(&b);
	free(o);
}

int main(void)
{
	struct CMUnitTest tests[COUNT_OF(scenarios) + 2] = {
		cmocka_unit_test(test_repair_does_without_a_snapshot_it_cannot_read),
		cmocka_unit_test(test_repair_passes_a_block_it_cannot_read),
	};

	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		tests[i + 2] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = test_every_step_fails,
			.initial_state = (void *)(uintptr_t)&scenarios[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
