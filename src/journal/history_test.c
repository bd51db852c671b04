/* Random histories of a journal and what can go wrong around it: appends, ends of streams and retention; processes that are killed at any
 * moment, between any two steps of a file job and of opening, too; writes in flight that land whole, in part, late, or never; file
 * operations that find no room or no descriptor; power cuts that take names of files along which no flush of the directory had kept.
 *
 * After each opening everything that was acknowledged is there, once, in order, intact; and nothing that was not appended.
 *
 * Every change that the journal makes to files passes through here (ld --wrap, see meson.build), which makes the faults; flushes only
 * count, since what a flush of data promises is decided by which writes land. The seed is printed when it fails; SEED=n N=count
 * repeats. */
#include "journal/journal_testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
	STREAMS = 5,
	NAMED = 3,              /* the first ones; the others are ephemeral */
	LIVES = 8,              /* of a history: processes, one after the other */
	HISTORIES = 10,         /* unless N says so */
	BLOCK = 4096,           /* what of a write lands, or not, on its own */
	WRITE_BLOCKS_MAX = 128,
	LATE_MAX = 16,
};

/* In the order of their ids. */
static const char *const stream_names[STREAMS] = { "a", "b", "c", "x", "y" };

struct stream_fate {
	struct journal_stream handle;
	uint64_t acked;    /* the highest number known durable */
	uint64_t appended; /* ... appended in this life */
	uint64_t record;   /* of the last appended one */
	uint64_t ended;    /* its last number when it was ended in this life: it may be there again if the end is lost. 0: it was not */
};

/* A write that was in flight when its process was killed. */
struct late_write {
	int file;
	uint8_t *data;
	uint64_t size;
	uint64_t offset;
	bool landed[WRITE_BLOCKS_MAX];
};

/* One history. */
struct world {
	uint64_t random;
	char durable_names[120]; /* a directory with links to the files as they would be found after a power cut */
	uint64_t segment_size;
	uint64_t keep_bytes;
	struct stream_fate streams[STREAMS];
	struct late_write late[LATE_MAX];
	unsigned late_count;
	bool is_mortal;          /* the process dies ... */
	uint64_t steps_left;     /* ... after so many more changes to files: */
	bool is_dead;            /* from then on it changes nothing */
	unsigned fault_percent;  /* of the changes that can fail for want of room or descriptors */
};

static struct world world;

/* What has happened at least once, over all histories; otherwise the test tests less than it says. */
enum event {
	KILLED_IDLE,
	KILLED_IN_JOB,
	KILLED_IN_OPENING,
	STOPPED,
	LANDED_IN_PART,
	LANDED_LATE,
	LANDED_OUT_OF_ORDER,
	NEVER_LANDED,
	POWER_CUT,
	NAMES_LOST,
	NO_ROOM,
	NO_DESCRIPTOR,
	STATE_FULL,
	SEGMENT_DELETED,
	SEGMENT_REUSED,
	STREAM_ENDED,
	END_LOST,
	EVENTS,
};

static const char *const event_names[EVENTS] = {
	[KILLED_IDLE] = "killed without a job under way",
	[KILLED_IN_JOB] = "killed in a file job",
	[KILLED_IN_OPENING] = "killed in opening",
	[STOPPED] = "stopped cleanly",
	[LANDED_IN_PART] = "a write landed in part",
	[LANDED_LATE] = "a write landed after its process",
	[LANDED_OUT_OF_ORDER] = "a write landed before an older one",
	[NEVER_LANDED] = "a part of a write never landed",
	[POWER_CUT] = "power cut",
	[NAMES_LOST] = "power cut with unflushed names",
	[NO_ROOM] = "no room",
	[NO_DESCRIPTOR] = "no descriptor",
	[STATE_FULL] = "state full",
	[SEGMENT_DELETED] = "a segment deleted by retention",
	[SEGMENT_REUSED] = "a segment reused",
	[STREAM_ENDED] = "a stream ended",
	[END_LOST] = "the end of a stream lost",
};

static uint64_t events[EVENTS];

static uint64_t draw(uint64_t below)
{
	world.random = world.random * 6364136223846793005u + 1442695040888963407u;
	return (world.random >> 33) % below;
}

static bool toss(void)
{
	return draw(2) == 0;
}

/* --- faults: the file door */

static void die_after(uint64_t steps)
{
	world.is_mortal = true;
	world.steps_left = steps;
}

/* The next process lives. Was this one dead? */
static bool revive(void)
{
	bool was_dead = world.is_dead;

	world.is_mortal = false;
	world.is_dead = false;
	return was_dead;
}

/* Before each change to files: 0, or what it fails with. A dead process has no effect any more, whatever it still does here. */
static int step_error(void)
{
	if (world.is_mortal && world.steps_left == 0)
		world.is_dead = true;
	if (world.is_dead)
		return -EIO;
	if (world.is_mortal)
		world.steps_left--;
	return 0;
}

/* The same, for one that may also fail with `error`. */
static int step_error_or(int error)
{
	int result = step_error();

	if (result != 0 || world.fault_percent == 0 || draw(100) >= world.fault_percent)
		return result;
	events[error == ENOSPC ? NO_ROOM : NO_DESCRIPTOR]++;
	return -error;
}

int __real_file_reserve(int file, uint64_t size);
int __wrap_file_reserve(int file, uint64_t size);
int __real_file_truncate(int file, uint64_t size);
int __wrap_file_truncate(int file, uint64_t size);
int __real_file_rename(int dir, const char *from, const char *to, bool replace);
int __wrap_file_rename(int dir, const char *from, const char *to, bool replace);
int __real_file_remove(int dir, const char *name);
int __wrap_file_remove(int dir, const char *name);
int __real_file_write(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset);
int __wrap_file_flush(int file);
int __wrap_file_flush_directory(int dir);

int __wrap_file_reserve(int file, uint64_t size)
{
	int error = step_error_or(ENOSPC);

	return error != 0 ? error : __real_file_reserve(file, size);
}

int __wrap_file_truncate(int file, uint64_t size)
{
	int error = step_error_or(ENOSPC);

	return error != 0 ? error : __real_file_truncate(file, size);
}

int __wrap_file_rename(int dir, const char *from, const char *to, bool replace)
{
	int error = step_error_or(ENOSPC);

	return error != 0 ? error : __real_file_rename(dir, from, to, replace);
}

int __wrap_file_remove(int dir, const char *name)
{
	int error = step_error_or(EMFILE);

	return error != 0 ? error : __real_file_remove(dir, name);
}

int __wrap_file_write(int file, const void *data, size_t size, uint64_t offset)
{
	int error = step_error();

	return error != 0 ? error : __real_file_write(file, data, size, offset);
}

int __wrap_file_flush(int file)
{
	(void)file;
	return step_error();
}

/* Names in `to` become those in `from`. The lock file is not of interest: it is made once and never renamed. */
static void copy_names(const char *from, const char *to)
{
	struct dirent *entry;
	DIR *source = opendir(from);
	DIR *target = opendir(to);

	assert_true(source != NULL && target != NULL);
	while ((entry = readdir(target)) != NULL)
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, NAME_LOCK) != 0)
			assert_int_equal(unlinkat(dirfd(target), entry->d_name, 0), 0);
	while ((entry = readdir(source)) != NULL)
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, NAME_LOCK) != 0)
			assert_int_equal(linkat(dirfd(source), entry->d_name, dirfd(target),
						entry->d_name, 0),
					 0);
	closedir(source);
	closedir(target);
}

int __wrap_file_flush_directory(int dir)
{
	int error = step_error();

	(void)dir; /* the journal's: there is no other */
	if (error == 0)
		copy_names(path, world.durable_names);
	return error;
}

/* --- faults: writes in flight when their process is killed */

static unsigned missing_blocks(const struct late_write *late)
{
	unsigned missing = 0;

	for (uint64_t i = 0; i < late->size / BLOCK; i++)
		missing += !late->landed[i];
	return missing;
}

/* Each block that has not landed does now, or, unless `all`, perhaps. */
static void land_blocks(struct late_write *late, bool all)
{
	for (uint64_t i = 0; i < late->size / BLOCK; i++) {
		uint64_t at = i * BLOCK;

		if (late->landed[i] || !(all || toss()))
			continue;
		late->landed[i] = true;
		assert_int_equal(
			file_write(late->file, late->data + at, BLOCK, late->offset + at), 0);
	}
}

/* The file is opened once more, since its process closes it: what lands late lands in it also when it has got another name, or none. */
static void write_becomes_late(const struct io_write *write)
{
	struct late_write *late = &world.late[world.late_count];
	char name[64];

	if (world.late_count == LATE_MAX)
		return; /* never lands */
	assert_true(write->size % BLOCK == 0 && write->size / BLOCK <= WRITE_BLOCKS_MAX);
	*late = (struct late_write){ .size = write->size, .offset = write->offset };
	snprintf(name, sizeof(name), "/proc/self/fd/%d", write->file);
	late->file = open(name, O_RDWR | O_CLOEXEC);
	assert_true(late->file >= 0);
	late->data = malloc(write->size);
	assert_non_null(late->data);
	memcpy(late->data, write->data, write->size);
	world.late_count++;
	land_blocks(late, false);
	if (missing_blocks(late) != 0)
		events[LANDED_IN_PART]++;
}

static void land_late(bool all)
{
	for (unsigned i = 0; i < world.late_count; i++) {
		unsigned missing = missing_blocks(&world.late[i]);

		land_blocks(&world.late[i], all);
		if (missing_blocks(&world.late[i]) < missing)
			events[LANDED_LATE]++;
	}
}

/* What has not landed by now never will. */
static void drop_late(void)
{
	for (unsigned i = 0; i < world.late_count; i++) {
		struct late_write *late = &world.late[i];

		if (missing_blocks(late) != 0)
			events[NEVER_LANDED]++;
		file_close(late->file);
		free(late->data);
	}
	world.late_count = 0;
}

/* --- faults: ends of processes */

static void run_job_and_die(struct journal *j)
{
	struct store_job *job = &j->store.job;

	die_after(draw(9)); /* perhaps when it is done, but before anybody has learned of it */
	(void)door.job->run(door.job);
	(void)revive();
	if ((job->kind == JOB_SPARE || job->kind == JOB_REUSE) && job->file >= 0)
		file_close(job->file);
	events[KILLED_IN_JOB]++;
}

static void kill_randomly(struct journal *j)
{
	for (unsigned i = 0; i < door.write_count; i++)
		write_becomes_late(door.writes[i]);
	if (door.job != NULL)
		run_job_and_die(j);
	else
		events[KILLED_IDLE]++;
	kill_it(j);
}

static void power_cut(void)
{
	land_late(false);
	drop_late();
	events[POWER_CUT]++;
	if (toss()) {
		copy_names(world.durable_names, path);
		events[NAMES_LOST]++;
	}
}

/* Everything that was appended is durable then. */
static void stop_and_note(struct journal *j)
{
	stop_it(j);
	for (int i = 0; i < STREAMS; i++)
		world.streams[i].acked = world.streams[i].appended;
	events[STOPPED]++;
}

/* --- what must hold after each opening */

static bool is_ephemeral(int stream)
{
	return stream >= NAMED;
}

static void check_stream(int i, uint64_t last)
{
	const struct stream_fate *stream = &world.streams[i];
	bool end_is_lost = stream->ended != 0 && stream->acked == 0 && last == stream->ended;

	if (end_is_lost)
		events[END_LOST]++;
	else if (last < stream->acked || last > stream->appended)
		fail_msg("stream %s: last %llu, acked %llu, appended %llu, ended %llu",
			 stream_names[i], (unsigned long long)last,
			 (unsigned long long)stream->acked, (unsigned long long)stream->appended,
			 (unsigned long long)stream->ended);
}

/* The numbers of a stream follow one another, from 1 on when nothing has been deleted; an ephemeral one may begin anew. */
static void check_batch(const struct walk_batch *batch, uint64_t seen[STREAMS])
{
	const uint8_t *frame = batch->frames;
	int i = 0;

	while (i < STREAMS && stream_names[i][0] != batch->header.stream.bytes[1])
		i++;
	assert_true(i < STREAMS);
	for (uint32_t k = 0; k < batch->header.count; k++) {
		struct frame_header header = frame_get_header(frame);
		uint64_t seq = batch->header.first_seq + k;
		bool may_begin = (seen[i] == 0 && world.keep_bytes != 0) ||
				 (seq == 1 && is_ephemeral(i));

		if (!may_begin)
			assert_int_equal(seq, seen[i] + 1);
		seen[i] = seq;
		for (uint32_t b = 0; b < header.size; b++)
			assert_int_equal(frame[FRAME_HEADER_SIZE + b], (uint8_t)seq);
		frame += FRAME_HEADER_SIZE + header.size;
	}
}

/* The whole journal as its readers see it. */
static void check_records(struct journal *j, const uint64_t last[STREAMS])
{
	uint64_t seen[STREAMS] = { 0 };
	struct segments set;
	struct failure why;
	struct walk_batch batch;
	struct walk_place place;
	char text[WALK_PLACE_TEXT_SIZE];
	struct walk *walk;
	uint64_t from = 1;
	int dir;
	int result;

	assert_int_equal(file_open_directory(path, &dir), 0);
	assert_int_equal(segments_load(dir, &set, &why), 0);
	for (uint32_t i = 0; i < set.count; i++)
		if (set.list[i].header_fault == FORMAT_OK && set.list[i].first == 0)
			assert_int_equal(segment_search(&set, &set.list[i], 0), 0);
	if (world.keep_bytes != 0 && segments_lowest(&set) != 0)
		from = segments_lowest(&set);
	assert_int_equal(walk_create(&set, from, 0, &walk), 0);
	while ((result = walk_next(walk, &batch, &place)) == 1)
		if (batch.header.count != 0)
			check_batch(&batch, seen);
	assert_int_equal(result, 0);
	if (walk_record(walk) != journal_next_record(j))
		fail_msg("%s", walk_place_text(&place, place.record, text));
	for (int i = 0; i < STREAMS; i++)
		if (last[i] != 0 && (seen[i] != 0 || world.keep_bytes == 0))
			assert_int_equal(seen[i], last[i]);
	walk_destroy(walk);
	segments_free(&set);
	file_close(dir);
}

/* --- a history */

static int try_to_open(struct journal **ret, struct failure *why)
{
	struct journal_config c = config();

	c.segment_size = world.segment_size;
	c.keep_bytes = world.keep_bytes;
	c.flush = FLUSH_DSYNC; /* no trials of the disk, whose number would depend on its speed */
	return journal_open(&c, &door, ret, why);
}

/* One try after the other is killed on its way. Killed it may be, but never of another opinion than that all is well. */
static void die_while_opening(void)
{
	while (draw(4) == 0) {
		struct failure why = { 0 };
		struct journal *j;
		int error;

		die_after(draw(40));
		error = try_to_open(&j, &why);
		if (!revive() && error != 0)
			fail_msg("opening: %s", why.text);
		if (error == 0) {
			kill_it(j);
			continue;
		}
		if (why.status == EXIT_DATA)
			fail_msg("damage: %s", why.text);
		events[KILLED_IN_OPENING]++;
		if (toss())
			power_cut();
	}
}

static struct journal *open_and_check(void)
{
	uint64_t last[STREAMS];
	struct failure why = { 0 };
	struct journal *j;

	die_while_opening();
	if (try_to_open(&j, &why) != 0)
		fail_msg("opening: %s", why.text);
	assert_int_equal(journal_durable(j) + 1, journal_next_record(j));
	for (int i = 0; i < STREAMS; i++) {
		struct stream_fate *stream = &world.streams[i];
		struct stream_state state;

		stream->handle = is_ephemeral(i) ? open_ephemeral(j, stream_names[i], &state)
						 : open_stream(j, stream_names[i], &state);
		check_stream(i, state.last);
		last[i] = state.last;
		stream->acked = stream->appended = state.last; /* WELCOME says so */
		stream->record = state.record;
		stream->ended = 0;
	}
	check_records(j, last);
	return j;
}

static void append_some(struct journal *j)
{
	int i = (int)draw(STREAMS);
	struct stream_fate *stream = &world.streams[i];
	unsigned count = 1 + (unsigned)draw(20);
	uint32_t size = (uint32_t)draw(3000);

	if (append(j, stream_names[i], stream->handle, count, size, &stream->record) == 0)
		stream->appended += count;
}

/* Any of those in flight: the backend may complete them in any order. */
static void finish_any_write(struct journal *j)
{
	unsigned at;
	struct io_write *write;

	if (door.write_count == 0)
		return;
	at = (unsigned)draw(door.write_count);
	write = door.writes[at];
	memmove(door.writes + 1, door.writes, at * sizeof(door.writes[0]));
	door.writes[0] = write;
	finish_write(j, 0);
	if (at != 0)
		events[LANDED_OUT_OF_ORDER]++;
	for (int i = 0; i < STREAMS; i++) {
		struct stream_fate *stream = &world.streams[i];

		if (stream->appended > stream->acked && stream->record <= journal_durable(j))
			stream->acked = stream->appended;
	}
}

static void finish_the_job(struct journal *j)
{
	enum job_kind kind = j->store.job.kind;

	world.fault_percent = draw(4) == 0 ? 10 : 0;
	finish_job(j);
	world.fault_percent = 0;
	if (journal_failed(j) != 0) /* nothing that fails here is a write or flush of what was promised */
		fail_msg("the journal has failed: %s", strerror(-journal_failed(j)));
	if (j->store.full)
		events[STATE_FULL]++;
	if (kind == JOB_RETIRE && j->store.job.job.result == 0)
		events[SEGMENT_DELETED]++;
	if (kind == JOB_REUSE && j->store.job.job.result == 0)
		events[SEGMENT_REUSED]++;
}

static void end_a_stream(struct journal *j)
{
	struct stream_fate *stream = &world.streams[NAMED + draw(STREAMS - NAMED)];
	uint64_t last = stream->appended;

	if (last == 0 || journal_stream_forget(j, stream->handle) != 0)
		return;
	stream->ended = last;
	stream->appended = stream->acked = stream->record = 0;
	events[STREAM_ENDED]++;
}

static void do_something(struct journal *j)
{
	switch (draw(10)) {
	case 0:
	case 1:
	case 2:
	case 3:
		append_some(j);
		break;
	case 4:
	case 5:
		journal_turn(j);
		break;
	case 6:
	case 7:
		finish_any_write(j);
		break;
	case 8:
		if (door.job != NULL)
			finish_the_job(j);
		else
			door.now += draw(1200) * MS_NS;
		break;
	default:
		if (draw(6) == 0)
			end_a_stream(j);
		break;
	}
}

static void live(void)
{
	uint64_t steps = 20 + draw(1500);
	struct journal *j = open_and_check();

	if (toss())
		land_late(toss());
	for (uint64_t n = 0; n < steps; n++) {
		if (n == 10)
			land_late(toss());
		do_something(j);
	}
	if (draw(4) == 0) {
		stop_and_note(j);
	} else {
		kill_randomly(j);
		if (draw(3) == 0)
			power_cut();
	}
	if (draw(4) == 0)
		land_late(toss());
}

static void run_history(uint64_t seed)
{
	struct journal *j;

	world = (struct world){ .random = seed * 77 + 1 };
	snprintf(world.durable_names, sizeof(world.durable_names), "%s/durable", directory);
	assert_int_equal(mkdir(world.durable_names, 0700), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	door.writes_max = 1 + (unsigned)draw(WRITES_MAX);
	world.segment_size = toss() ? SEGMENT_SIZE_MIN : 2 * SEGMENT_SIZE_MIN;
	world.keep_bytes = toss() ? 5 * world.segment_size : 0;
	for (int i = 0; i < LIVES; i++)
		live();
	j = open_and_check();
	settle(j);
	stop_and_note(j);
	kill_it(open_and_check());
	drop_late();
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_histories(void **state)
{
	uint64_t first = number_from_environment("SEED", 1);
	uint64_t count = number_from_environment("N", HISTORIES);

	for (uint64_t seed = first; seed < first + count; seed++) {
		if (seed != first) {
			tear_down(state);
			set_up(state);
		}
		fprintf(stderr, "\rseed %llu ", (unsigned long long)seed);
		run_history(seed);
	}
	fprintf(stderr, "\n");
	for (int i = 0; i < EVENTS; i++)
		print_message("%8llu %s\n", (unsigned long long)events[i], event_names[i]);
	if (getenv("SEED") != NULL)
		return; /* somebody looks for something, and gets what the seed brings */
	for (int i = 0; i < EVENTS; i++)
		if (events[i] == 0)
			fail_msg("it has never happened: %s", event_names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_histories, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
