/* For the tests of the writing half of the journal: an io door of the test's own, over real files in a temporary directory. Writes and
 * jobs complete when the test says so, and fail when it says so. Included once by a test program. */
#ifndef ROGER_JOURNAL_JOURNAL_TESTING_H
#define ROGER_JOURNAL_JOURNAL_TESTING_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/must.h"
#include "journal/private.h"

/* --- the test's io door */

struct io {
	uint64_t now;
	unsigned writes_max; /* in flight at the same time */
	struct io_write *writes[8];
	unsigned write_count;
	struct io_job *job;
	unsigned reused; /* segments that were turned into the next spare */
};

static struct io door;

uint64_t io_now(const struct io *io)
{
	return io->now;
}

unsigned io_writes_max(const struct io *io)
{
	return io->writes_max;
}

void io_write(struct io *io, struct io_write *write)
{
	assert_true(io->write_count < 8);
	io->writes[io->write_count++] = write;
}

void io_job(struct io *io, struct io_job *job)
{
	assert_null(io->job);
	io->job = job;
}

/* --- helpers; inline are those that not every program needs */

static char directory[64];
static char path[96];

static int set_up(void **state)
{
	(void)state;
	memset(&door, 0, sizeof(door));
	door.now = SECOND_NS;
	door.writes_max = 1;
	strcpy(directory, "/var/tmp/roger-journal-test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/j", directory);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command);
}

static struct journal_config config(void)
{
	return (struct journal_config){
		.path = path,
		.flush = FLUSH_DSYNC, /* several in flight, whatever is faster on this disk */
		.streams_max = 10,
		.connections_max = 10,
		.message_max = 4096,
		.segment_size = SEGMENT_SIZE_MIN,
		.keep_free_bytes = 1,
	};
}

static inline struct journal *open_with(const struct journal_config *c)
{
	struct failure why = { 0 };
	struct journal *j = NULL;
	int error = journal_open(c, &door, &j, &why);

	if (error != 0)
		print_error("journal_open: %s\n", why.text);
	assert_int_equal(error, 0);
	return j;
}

static inline struct journal *open_it(void)
{
	struct journal_config c = config();

	return open_with(&c);
}

static void finish_write(struct journal *j, int result)
{
	struct io_write *write = door.writes[0];

	assert_true(door.write_count > 0);
	door.write_count--;
	memmove(door.writes, door.writes + 1, door.write_count * sizeof(door.writes[0]));
	if (result == 0)
		assert_int_equal(file_write(write->file, write->data, write->size, write->offset),
				 0);
	journal_written(j, write, result);
}

static void finish_job(struct journal *j)
{
	struct io_job *job = door.job;

	door.job = NULL;
	door.reused += j->store.job.kind == JOB_REUSE;
	job->result = job->run(job);
	journal_job_done(j, job);
}

/* Turns until nothing is in flight and nothing wants to start. */
static void settle(struct journal *j)
{
	for (int i = 0; i < 2000; i++) {
		journal_turn(j);
		if (door.write_count != 0)
			finish_write(j, 0);
		else if (door.job != NULL)
			finish_job(j);
		else
			return;
	}
	fail_msg("the journal does not settle");
}

/* As a killed process leaves it: nothing is written any more. */
static void kill_it(struct journal *j)
{
	door.write_count = 0;
	door.job = NULL;
	j->flying = 0;
	j->store.job_running = false;
	journal_close(j);
}

static void stop_it(struct journal *j)
{
	journal_stop(j);
	settle(j);
	assert_true(journal_stopped(j));
	journal_close(j);
}

static struct stream_id named(const char *name)
{
	struct stream_id id = { { 0x80 } };

	for (int i = 0; i < 15 && name[i] != '\0'; i++)
		id.bytes[1 + i] = (uint8_t)name[i];
	return id;
}

static inline struct journal_stream open_stream(struct journal *j, const char *name,
						struct stream_state *ret)
{
	struct stream_id id = named(name);
	struct journal_stream stream;

	assert_int_equal(journal_stream_open(j, &id, false, &stream, ret), 0);
	return stream;
}

static inline struct journal_stream open_ephemeral(struct journal *j, const char *name,
						   struct stream_state *ret)
{
	struct stream_id id = named(name);
	struct journal_stream stream;

	assert_int_equal(journal_stream_open(j, &id, true, &stream, ret), 0);
	return stream;
}

static inline uint64_t last_of(struct journal *j, const char *name)
{
	struct stream_state state;
	struct journal_stream stream = open_stream(j, name, &state);

	journal_stream_close(j, stream);
	return state.last;
}

/* Append `count` messages of `size` bytes each; the payload of number n is filled with the byte n. */
static int append(struct journal *j, const char *name, struct journal_stream stream, unsigned count,
		  uint32_t size, uint64_t *ret_record)
{
	static uint8_t frames[200000];
	struct stream_id id = named(name);
	struct stream_state state;
	struct journal_batch batch = {
		.stream = stream, .count = count, .protocol = PROTOCOL_NATIVE, .frames = frames
	};
	uint32_t seed = frame_seed(&id);
	uint64_t record;
	int result;

	journal_stream_state(j, stream, &state);
	batch.first_seq = state.last + 1;
	batch.h_before = state.h;
	for (unsigned i = 0; i < count; i++) {
		uint8_t *frame = frames + batch.frames_size;
		struct frame_header header = { .size = size };

		memset(frame + FRAME_HEADER_SIZE, (int)(batch.first_seq + i), size);
		header.checksum =
			frame_checksum(seed, batch.first_seq + i, size, frame + FRAME_HEADER_SIZE);
		frame_put_header(frame, header);
		state.h = history_next(state.h, header.checksum);
		batch.frames_size += FRAME_HEADER_SIZE + size;
	}
	batch.h_after = state.h;
	result = journal_append(j, &batch, &record);
	if (result == 0 && ret_record != NULL)
		*ret_record = record;
	return result;
}

static inline void append_ok(struct journal *j, const char *name, struct journal_stream stream,
			     unsigned count, uint32_t size)
{
	for (int i = 0; i < 1000; i++) {
		int result = append(j, name, stream, count, size, NULL);

		if (result == 0)
			return;
		assert_int_equal(result, -ENOBUFS);
		settle(j);
	}
	fail_msg("no room ever");
}

/* One empty message with the number `seq`, whose sender has accepted that those before it are missing. */
static inline int append_gap(struct journal *j, const char *name, struct journal_stream stream,
			     uint64_t seq)
{
	struct stream_id id = named(name);
	struct frame_header header = { .checksum = frame_checksum(frame_seed(&id), seq, 0, NULL) };
	uint8_t frame[FRAME_HEADER_SIZE];
	struct journal_batch batch = {
		.stream = stream,
		.first_seq = seq,
		.count = 1,
		.gap = true,
		.h_after = history_next(0, header.checksum),
		.protocol = PROTOCOL_NATIVE,
		.frames = frame,
		.frames_size = sizeof(frame),
	};
	uint64_t record;

	frame_put_header(frame, header);
	return journal_append(j, &batch, &record);
}

#endif
