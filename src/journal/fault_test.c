/* The n-th step of a server's journal fails, for every n, once and for good: of opening, of appends and turns with changes of segment,
 * snapshots, retention and reuse, and of a clean stop. A step is a call of the file door, a durable write or a piece of memory.
 *
 * What must hold whatever fails: a clean error with its reason, no descriptor and no memory lost, a stop that comes to an end, nothing
 * acknowledged after a failed write; and the next opening, without a fault, has everything that was acknowledged. */
#include "journal/journal_faults.h"
#include "journal/journal_testing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "journal/reader.h"
#include "journal/verify.h"

enum {
	STREAMS = 3,
	MESSAGES = 15,     /* of an append ... */
	MESSAGE = 4000,    /* ... of this size: four appends fill a segment */
	APPENDS = 26,      /* of a life: far enough for both snapshots, retention and reuse */
	TURNS_MAX = 400,
	CROWD = 9,         /* streams with one message each, so that the table must grow at opening */
};

static const char *const names[STREAMS] = { "a", "b", "x" };

/* What the server's peers know. */
struct ledger {
	uint64_t appended[STREAMS];
	uint64_t acked[STREAMS];
	uint64_t record[STREAMS]; /* of the last appended message */
};

static unsigned stop_asked;

/* Somebody gives up waiting for room after a while. */
static bool stop_later(void *context)
{
	(void)context;
	return stop_asked++ > 2;
}

static void be_noticed(void *context, const char *text)
{
	(void)context;
	assert_non_null(strstr(text, "no room on the disk"));
}

static struct journal_config small_config(void)
{
	struct journal_config c = config();

	c.streams_max = 2;
	c.connections_max = 2;
	c.keep_bytes = 4 * SEGMENT_SIZE_MIN;
	c.stop = stop_later;
	c.notice = be_noticed;
	return c;
}

/* --- a server's life */

static void note_acks(const struct journal *j, struct ledger *l)
{
	for (int i = 0; i < STREAMS; i++)
		if (l->record[i] <= journal_durable(j))
			l->acked[i] = l->appended[i];
}

/* One turn; one thing that is in flight completes. False: nothing was. */
static bool turn(struct journal *j, struct ledger *l)
{
	uint64_t durable = journal_durable(j);
	bool had_failed = journal_failed(j) != 0;
	bool something = true;

	journal_turn(j);
	if (door.write_count != 0) {
		struct io_write *write = door.writes[0];

		memmove(door.writes, door.writes + 1, --door.write_count * sizeof(write));
		journal_written(
			j, write,
			file_write(write->file, write->data, write->size, write->offset));
	} else if (door.job != NULL) {
		finish_job(j);
	} else {
		something = false;
	}
	if (had_failed)
		assert_int_equal(journal_durable(j), durable);
	note_acks(j, l);
	door.now += 5 * MS_NS;
	return something;
}

static void append_some(struct journal *j, struct ledger *l, int i, struct journal_stream stream)
{
	for (int tries = 0; tries < 6 && journal_failed(j) == 0; tries++) {
		int result = append(j, names[i], stream, MESSAGES, MESSAGE, &l->record[i]);

		if (result == 0) {
			l->appended[i] += MESSAGES;
			return;
		}
		assert_int_equal(result, -ENOBUFS);
		while (turn(j, l))
			continue;
		door.now += SECOND_NS;
	}
}

static void check_notices(struct journal *j)
{
	enum journal_notice_kind kind;
	struct failure why;
	bool told = false;

	while (journal_notice(j, &kind, &why) == 1) {
		told = told || kind == JOURNAL_FAILED;
		assert_true(strlen(why.text) > 10);
		if (kind != JOURNAL_ROOM)
			assert_non_null(strstr(why.text, strerror(why.error)));
	}
	assert_true(told == (journal_failed(j) != 0));
}

static void stop_and_close(struct journal *j, struct ledger *l)
{
	int turns = 0;

	journal_stop(j);
	for (; turns < TURNS_MAX && !journal_stopped(j); turns++)
		if (!turn(j, l))
			door.now += SECOND_NS;
	if (turns == TURNS_MAX)
		fail_msg("%s: the stop does not come to an end", faults_text());
	if (journal_failed(j) == 0)
		for (int i = 0; i < STREAMS; i++)
			assert_int_equal(l->acked[i], l->appended[i]);
	check_notices(j);
	journal_close(j);
}

static void live(struct journal *j, struct ledger *l, int appends)
{
	struct journal_stream streams[2];
	struct stream_state state;

	for (int i = 0; i < 2; i++) {
		streams[i] = open_stream(j, names[i], &state);
		assert_in_range(state.last, l->acked[i], l->appended[i]);
		l->acked[i] = l->appended[i] = state.last; /* WELCOME says so */
	}
	for (int n = 0; n < appends && journal_failed(j) == 0; n++) {
		append_some(j, l, n % 2, streams[n % 2]);
		for (int k = 0; k < 4; k++)
			turn(j, l);
	}
	if (journal_failed(j) != 0)
		assert_int_equal(append(j, names[0], streams[0], 1, 1, NULL), -EROFS);
}

/* --- what is there before */

static char prepared[96];
static struct ledger prepared_ledger;

static int copy_one(void *context, const char *name)
{
	static uint8_t bytes[4 << 20];
	const int *from_and_to = context;
	int64_t size;
	int file;

	assert_int_equal(file_open(from_and_to[0], name, FILE_READ, &file), 0);
	size = file_read(file, bytes, sizeof(bytes), 0);
	assert_in_range(size, 0, sizeof(bytes) - 1);
	file_close(file);
	assert_int_equal(file_open(from_and_to[1], name, FILE_WRITE | FILE_CREATE, &file), 0);
	assert_int_equal(file_write(file, bytes, (size_t)size, 0), 0);
	file_close(file);
	return 0;
}

static int remove_each(void *context, const char *name)
{
	return file_remove(*(int *)context, name);
}

/* path is as prepared again; not there when nothing is. */
static void begin_again(void)
{
	int from_and_to[2];

	if (file_open_directory(path, &from_and_to[1]) == 0) {
		assert_int_equal(file_list(from_and_to[1], remove_each, &from_and_to[1]), 0);
		file_close(from_and_to[1]);
		assert_int_equal(rmdir(path), 0);
	}
	if (file_open_directory(prepared, &from_and_to[0]) != 0)
		return;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_open_directory(path, &from_and_to[1]), 0);
	assert_int_equal(file_list(from_and_to[0], copy_one, from_and_to), 0);
	file_close(from_and_to[0]);
	file_close(from_and_to[1]);
}

static void prepare_nothing(void)
{
}

static void litter(const char *name)
{
	char where[200];
	int file;

	snprintf(where, sizeof(where), "%s/%s", path, name);
	file = open(where, O_WRONLY | O_CREAT, 0600);
	assert_true(file >= 0);
	assert_int_equal(write(file, "litter", 6), 6);
	close(file);
}

/* Killed in the middle: two snapshots, records that nobody has been promised, temporary files, an unused spare, the end of a stream. */
static void prepare_killed(void)
{
	struct journal_config c = small_config();
	struct journal_stream stream;
	struct stream_state state;
	struct ledger *l = &prepared_ledger;
	struct journal *j;
	char name[16];

	c.streams_max = c.connections_max = CROWD + STREAMS;
	j = open_with(&c);
	for (int i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		append_ok(j, name, open_stream(j, name, &state), 1, 10);
	}
	live(j, l, APPENDS);
	while (turn(j, l))
		continue;
	stream = open_ephemeral(j, "x", &state);
	append_ok(j, "x", stream, 1, 10);
	settle(j);
	assert_int_equal(journal_stream_forget(j, stream), 0);
	append_some(j, l, 0, open_stream(j, "a", &state));
	append_some(j, l, 1, open_stream(j, "b", &state));
	journal_turn(j);
	assert_int_equal(door.write_count, 1);
	assert_int_equal(file_write(door.writes[0]->file, door.writes[0]->data,
				    door.writes[0]->size, door.writes[0]->offset),
			 0);
	assert_true(j->store.snapshot_old_index != 0 && door.reused != 0);
	kill_it(j);
	litter(NAME_SEGMENT_NEW);
	litter(NAME_SNAPSHOT_NEW);
}

/* As above, and the newer snapshot is not valid. */
static void prepare_bad_snapshot(void)
{
	prepare_killed();
	litter(NAME_SNAPSHOT);
}

/* Stopped cleanly while the journal was small: everything is in the first segment. */
static void prepare_stopped(void)
{
	struct journal_config c = small_config();
	struct journal *j = open_with(&c);

	live(j, &prepared_ledger, 2);
	stop_and_close(j, &prepared_ledger);
}

struct scenario {
	const char *name;
	void (*prepare)(void);
	int appends; /* of the life that meets the faults; 0: only opening and closing */
	enum flush_mode flush;
};

static const struct scenario scenarios[] = {
	{ "a new journal's life", prepare_nothing, APPENDS, FLUSH_FDATASYNC },
	{ "opening after a kill", prepare_killed, 0, FLUSH_DSYNC },
	{ "opening with a bad snapshot", prepare_bad_snapshot, 0, FLUSH_FDATASYNC },
	{ "opening after a stop", prepare_stopped, 1, FLUSH_AUTO },
};

/* --- one fault */

static void reset_door(void)
{
	memset(&door, 0, sizeof(door));
	door.now = SECOND_NS;
	door.writes_max = 2;
}

static void set_scene(const struct scenario *s)
{
	reset_door();
	memset(&prepared_ledger, 0, sizeof(prepared_ledger));
	prepared[0] = '\0';
	begin_again();
	s->prepare();
	snprintf(prepared, sizeof(prepared), "%s/prepared", directory);
	if (access(path, F_OK) == 0)
		assert_int_equal(rename(path, prepared), 0);
}

static void drop_scene(void)
{
	strcpy(path, prepared);
	prepared[0] = '\0';
	begin_again();
	snprintf(path, sizeof(path), "%s/j", directory);
	begin_again();
}

static void check_refusal(int error, const struct failure *why)
{
	if (error == -EINTR && faults.row.kind == FAULT_ROOM)
		return; /* somebody has given up waiting */
	if (why->status != EXIT_IO && why->status != EXIT_CREATE)
		fail_msg("%s: status %d: %s", faults_text(), why->status, why->text);
	if (error != -why->error || strstr(why->text, strerror(why->error)) == NULL ||
	    faults.fired == 0)
		fail_msg("%s: %d: %s", faults_text(), error, why->text);
}

/* What retention has left of each stream, without a hole and intact. */
static void read_all(const struct ledger *l)
{
	uint64_t seen[STREAMS] = { 0 };
	struct reader *reader;
	struct failure why;
	struct record record;
	int result;

	if (reader_open(path, 0, &reader, &why) != 0)
		fail_msg("%s: %s", faults_text(), why.text);
	while ((result = reader_next(reader, &record, &why)) == 1) {
		int i = 0;

		while (i < STREAMS && names[i][0] != record.stream.bytes[1])
			i++;
		if (i >= 2)
			continue;
		if (seen[i] != 0)
			assert_int_equal(record.seq, seen[i] + 1);
		seen[i] = record.seq;
		for (uint32_t b = 0; b < record.size; b++)
			assert_int_equal(record.payload[b], (uint8_t)record.seq);
	}
	if (result != 0)
		fail_msg("%s: %s", faults_text(), why.text);
	reader_close(reader);
	for (int i = 0; i < 2; i++)
		assert_in_range(seen[i], l->acked[i], l->appended[i]);
}

static void no_line(void *context, const char *text)
{
	(void)context;
	(void)text;
}

/* The next process, with nothing in its way. */
static void check_next_opening(const struct ledger *l)
{
	struct journal_config c = small_config();
	struct stream_state state;
	struct failure why = { 0 };
	struct journal *j;

	stop_asked = 0;
	c.flush = FLUSH_FDATASYNC;
	if (journal_open(&c, &door, &j, &why) != 0)
		fail_msg("%s: the next opening: %s", faults_text(), why.text);
	for (int i = 0; i < 2; i++) {
		uint64_t last = last_of(j, names[i]);

		if (last < l->acked[i] || last > l->appended[i])
			fail_msg("%s: stream %s: last %llu, acked %llu, appended %llu",
				 faults_text(), names[i], (unsigned long long)last,
				 (unsigned long long)l->acked[i],
				 (unsigned long long)l->appended[i]);
	}
	append_ok(j, "b", open_stream(j, "b", &state), 1, 0);
	stop_it(j);
	if (journal_verify(path, no_line, NULL, &why) != 0)
		fail_msg("%s: %s", faults_text(), why.text);
}

/* False: so many steps are not made. */
static bool run_with_fault(const struct scenario *s, const struct fault_row *row, uint64_t at)
{
	struct journal_config c = small_config();
	struct ledger ledger = prepared_ledger;
	struct failure why = { 0 };
	unsigned descriptors;
	int64_t memory;
	struct journal *j;
	int error;

	begin_again();
	reset_door();
	stop_asked = 0;
	c.flush = s->flush;
	memory = faults.memory;
	descriptors = descriptors_open();
	faults_arm(row, at);
	error = journal_open(&c, &door, &j, &why);
	if (error == 0) {
		uint64_t steps = faults.steps;

		live(j, &ledger, s->appends);
		stop_and_close(j, &ledger);
		if (row->kind == FAULT_MEMORY) /* an open journal never allocates */
			assert_int_equal(faults.steps, steps);
	}
	faults_disarm();
	if (error != 0)
		check_refusal(error, &why);
	if (descriptors_open() != descriptors)
		fail_msg("%s: a descriptor stays open", faults_text());
	if (faults.memory != memory)
		fail_msg("%s: %lld pieces of memory stay", faults_text(),
			 (long long)(faults.memory - memory));
	check_next_opening(&ledger);
	ledger.appended[1]++;
	read_all(&ledger);
	return faults.fired != 0;
}

/* In memory, where there is room: what a disk does is not what is tested here. */
static int set_up_in_memory(void **state)
{
	char in_memory[] = "/dev/shm/roger-journal-test.XXXXXX";
	int result = set_up(state);

	if (result != 0 || mkdtemp(in_memory) == NULL)
		return result;
	assert_int_equal(rmdir(directory), 0);
	strcpy(directory, in_memory);
	snprintf(path, sizeof(path), "%s/j", directory);
	return 0;
}

static void test_every_step_fails(void **state)
{
	const struct scenario *s = *state;

	set_scene(s);
	for (size_t i = 0; i < FAULT_ROWS; i++) {
		uint64_t n = 1;

		while (n < FAULT_STEPS_MAX && run_with_fault(s, &fault_rows[i], n))
			n += FAULT_STRIDE;
		assert_in_range(n, 2, FAULT_STEPS_MAX - 1);
		print_message("%s: %llu steps, %s\n", s->name, (unsigned long long)n - 1,
			      fault_rows[i].name);
	}
	drop_scene();
}

int main(void)
{
	struct CMUnitTest tests[COUNT_OF(scenarios)];

	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		tests[i] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = test_every_step_fails,
			.setup_func = set_up_in_memory,
			.teardown_func = tear_down,
			.initial_state = (void *)(uintptr_t)&scenarios[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
