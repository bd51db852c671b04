#include "io/io_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- adopted descriptors */

static struct end *adopt(struct world *world, int descriptor)
{
	struct end *end = world_new_end(world);

	assert_int_equal(io_adopt(world->io, descriptor, end, &end->socket), 0);
	end->text = true;
	return end;
}

static void test_adopt_pipe(void **state)
{
	struct world *world = *state;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	struct end *end = adopt(world, pipes[0]);
	end_arm(end, true);
	world_idle(world, 50 * MS_NS);
	assert_int_equal(write(pipes[1], "Hello", 5), 5);
	UNTIL(world, end->received == 5);
	assert_true(end->drained);
	end_arm(end, false);
	assert_int_equal(write(pipes[1], " World!", 7), 7);
	world_idle(world, 50 * MS_NS);
	assert_true(io_readable(world->io, end->socket));
	close(pipes[1]);
	world_idle(world, 50 * MS_NS); /* hung up, and nobody listens */
	end_arm(end, true);
	UNTIL(world, end->end != NOT_YET);
	assert_int_equal(end->end, 0);
	assert_memory_equal(end->first, "Hello World!", 12);
	world_idle(world, 50 * MS_NS);
	end_close(end, false);
	UNTIL(world, end->closed);
	assert_int_equal(fcntl(pipes[0], F_GETFL) & O_NONBLOCK, 0); /* untouched, and still open */
	close(pipes[0]);
}

/* Somebody else reads from it, too, and was first: the loop must not wait in a read. */
static void test_adopt_shared_pipe(void **state)
{
	struct world *world = *state;
	char byte;
	int pipes[2];

	world_again(world, 8, 1, 100);
	struct pair holder = world_pair(world);
	holder.server->keep = true;
	end_arm(holder.server, true);
	end_send(holder.client, 1);
	UNTIL(world, holder.server->kept_count == 1);

	assert_int_equal(pipe(pipes), 0);
	struct end *end = adopt(world, pipes[0]);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	end_arm(end, true);
	world_idle(world, 20 * MS_NS); /* it waits for a buffer */
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	alarm(10);
	end_return(holder.server, 1);
	world_idle(world, 20 * MS_NS);
	alarm(0);
	assert_int_equal(end->receives, 0);
	assert_int_equal(io_buffers_free(world->io), 1);
	assert_int_equal(write(pipes[1], "y", 1), 1);
	UNTIL(world, end->received == 1);
	assert_int_equal(end->first[0], 'y');
	end_close(end, false);
	UNTIL(world, end->closed);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_adopt_files(void **state)
{
	struct world *world = *state;
	static uint8_t bytes[3 * BUFFER_SIZE + 10];
	io_socket socket = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = pattern(i);
	int file = open(world_path("file"), O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(file, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	struct end *end = adopt(world, file);
	end->text = false;
	end_arm(end, true);
	UNTIL(world, end->receives == 1);
	assert_false(end->drained);
	end_arm(end, false);
	world_idle(world, 20 * MS_NS);
	assert_int_equal(end->receives, 1);
	end_arm(end, true);
	UNTIL(world, end->end != NOT_YET);
	assert_int_equal(end->end, 0);
	assert_int_equal(end->received, sizeof(bytes));
	world_idle(world, 20 * MS_NS);
	end_close(end, false);
	UNTIL(world, end->closed);
	assert_true(fcntl(file, F_GETFD) >= 0);
	close(file);

	file = open("/dev/null", O_RDONLY);
	end = adopt(world, file);
	end_arm(end, true);
	UNTIL(world, end->end != NOT_YET);
	assert_int_equal(end->end, 0);
	assert_int_equal(end->received, 0);
	end_close(end, false);
	UNTIL(world, end->closed);
	close(file);

	file = open("/var/tmp", O_RDONLY | O_DIRECTORY);
	end = adopt(world, file);
	end_arm(end, true);
	UNTIL(world, end->end != NOT_YET);
	assert_int_equal(end->end, -EISDIR);
	end_close(end, false);
	UNTIL(world, end->closed);
	close(file);
	assert_int_equal(io_adopt(world->io, file, NULL, &socket), -EBADF);
}

/* A file has always something to be read: it must wait for a buffer like everybody. */
static void test_adopt_file_without_buffers(void **state)
{
	struct world *world = *state;

	world_again(world, 8, 1, 4);
	int file = open(world_path("file"), O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(file, "12345678", 8), 8);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	struct end *end = adopt(world, file);
	end->keep = true;
	end_arm(end, true);
	UNTIL(world, end->receives == 1);
	world_idle(world, 50 * MS_NS);
	end_return(end, 1);
	UNTIL(world, end->receives == 2);
	end_return(end, 1);
	UNTIL(world, end->end == 0);
	assert_int_equal(end->received, 8);
	close(file);
}

/* --- durable writes */

static void write_one(struct world *world, struct io_write *one)
{
	unsigned count = world->written_count;

	one->owner = one;
	io_write(world->io, one);
	UNTIL(world, world->written_count == count + 1);
	assert_ptr_equal(world->written, one);
}

static void test_writes(void **state)
{
	struct world *world = *state;
	char text[32];

	assert_true(io_writes_max(world->io) >= 1);
	int file = open(world_path("journal"), O_RDWR | O_CREAT, 0600);
	struct io_write one = {
		.file = file, .durable = IO_WRITE_DSYNC, .data = "Hello ", .size = 6, .offset = 0
	};
	write_one(world, &one);
	assert_int_equal(one.result, 0);
	one = (struct io_write){
		.file = file, .durable = IO_WRITE_FLUSH, .data = "World!", .size = 6, .offset = 6
	};
	write_one(world, &one);
	assert_int_equal(one.result, 0);
	assert_int_equal(pread(file, text, sizeof(text), 0), 12);
	assert_memory_equal(text, "Hello World!", 12);
	for (int i = 0; i < 50; i++) {
		one = (struct io_write){
			.file = file, .data = "x", .size = 1, .offset = (uint64_t)i
		};
		write_one(world, &one);
		assert_int_equal(one.result, 0);
	}
	close(file);
	for (int durable = IO_WRITE_DSYNC; durable <= IO_WRITE_FLUSH; durable++) {
		one = (struct io_write){ .file = file, .data = "x", .size = 1 };
		one.durable = (enum io_durable)durable;
		write_one(world, &one);
		assert_int_equal(one.result, -EBADF);
	}
	int read_only = open("/dev/null", O_RDONLY);
	one = (struct io_write){ .file = read_only, .data = "x", .size = 1 };
	write_one(world, &one);
	assert_int_equal(one.result, -EBADF);
	close(read_only);
}

/* As many as may be in flight, each with its own end. */
static void test_writes_together(void **state)
{
	struct world *world = *state;
	enum { WRITES = 16,
	       SIZE = 4096 };
	static uint8_t blocks[WRITES][SIZE], back[SIZE];
	struct io_write writes[WRITES];
	unsigned max = io_writes_max(world->io), rounds = 8;

	max = max > WRITES ? WRITES : max;
	int file = open(world_path("journal"), O_RDWR | O_CREAT, 0600);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned count = world->written_count;
		/* In every other round one of them can't be written, and that is no business of the others. */
		unsigned bad = round % 2 ? round % max : WRITES;
		for (unsigned i = 0; i < max; i++) {
			memset(blocks[i], (int)(1 + round * WRITES + i), SIZE);
			writes[i] =
				(struct io_write){ .file = i == bad ? -1 : file,
						   .durable = (i + round / 2) % 2 ? IO_WRITE_FLUSH
										  : IO_WRITE_DSYNC,
						   .data = blocks[i],
						   .size = SIZE,
						   .offset = (uint64_t)i * SIZE };
			io_write(world->io, &writes[i]);
		}
		UNTIL(world, world->written_count == count + max);
		for (unsigned i = 0; i < max; i++) {
			assert_int_equal(writes[i].result, i == bad ? -EBADF : 0);
			if (i == bad)
				continue;
			assert_int_equal(pread(file, back, SIZE, (off_t)i * SIZE), SIZE);
			assert_memory_equal(back, blocks[i], SIZE);
		}
	}
	close(file);
}

/* What did not all get there has failed. */
static void test_short_writes(void **state)
{
	struct world *world = *state;
	static const uint8_t block[8192];
	struct rlimit before, small;

	signal(SIGXFSZ, SIG_IGN);
	int file = open(world_path("journal"), O_RDWR | O_CREAT, 0600);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 4096;
	const struct {
		const char *name;
		enum io_durable durable;
		uint64_t offset;
		int result;
	} rows[] = {
		{ "half, dsync", IO_WRITE_DSYNC, 0, -EIO },
		{ "half, flush", IO_WRITE_FLUSH, 0, -EIO },
		{ "nothing, dsync", IO_WRITE_DSYNC, 4096, -EFBIG },
		{ "nothing, flush", IO_WRITE_FLUSH, 4096, -EFBIG },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("row %s\n", rows[i].name);
		struct io_write one = { .file = file,
					.durable = rows[i].durable,
					.data = block,
					.size = sizeof(block),
					.offset = rows[i].offset };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		write_one(world, &one);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_int_equal(one.result, rows[i].result);
	}
	close(file);
}

/* /dev/null takes everything, and cannot be flushed. */
static void test_flush_fails(void **state)
{
	struct world *world = *state;
	int file = open("/dev/null", O_RDWR);
	struct io_write one = {
		.file = file, .durable = IO_WRITE_FLUSH, .data = "x", .size = 1
	};

	write_one(world, &one);
	assert_int_equal(one.result, -EINVAL);
	close(file);
}

/* A flush that is begun before its write has ended flushes nothing. A pipe that is full makes the write wait, and cannot be flushed, so
 * that such a flush would be the first to fail. (A backend that cannot write to a pipe at all says so.) */
static void test_flush_comes_after_the_write(void **state)
{
	struct world *world = *state;
	static const uint8_t bytes[4096];
	unsigned count = world->written_count;
	struct io_write one = {
		.durable = IO_WRITE_FLUSH, .data = bytes, .size = sizeof(bytes)
	};
	int pipes[2];
	int flags;

	assert_int_equal(pipe(pipes), 0);
	one.file = pipes[1];
	flags = fcntl(one.file, F_GETFL);
	assert_int_equal(fcntl(one.file, F_SETFL, flags | O_NONBLOCK), 0);
	while (write(one.file, bytes, sizeof(bytes)) > 0)
		;
	assert_int_equal(fcntl(one.file, F_SETFL, flags), 0);
	io_write(world->io, &one);
	world_turn(world, clock_monotonic_ns() + 20 * MS_NS);
	close(pipes[0]);
	UNTIL(world, world->written_count == count + 1);
	assert_true(one.result == -EPIPE || one.result == -ESPIPE);
	close(pipes[1]);
}

/* Has the page of the file's first byte still to be written to the disk? */
static bool is_dirty(int file)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	volatile const uint8_t *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	unsigned long from, size;
	bool found = false, dirty = false;
	char line[400];

	assert_non_null(maps);
	assert_true(memory != MAP_FAILED);
	(void)memory[0];
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%*x ", &from) == 1 && strchr(line, '-'))
			found = from == (unsigned long)(uintptr_t)memory;
		else if (found && (sscanf(line, "Shared_Dirty: %lu", &size) == 1 ||
				   sscanf(line, "Private_Dirty: %lu", &size) == 1))
			dirty = dirty || size > 0;
	}
	fclose(maps);
	munmap((void *)(uintptr_t)memory, 4096);
	return dirty;
}

/* A write that has ended is on the disk, and not in the page cache alone. */
static void test_writes_are_durable(void **state)
{
	struct world *world = *state;
	static const uint8_t block[4096];
	int file = open(world_path("journal"), O_RDWR | O_CREAT, 0600);

	for (int durable = IO_WRITE_DSYNC; durable <= IO_WRITE_FLUSH; durable++) {
		struct io_write one = { .file = file, .data = block, .size = sizeof(block) };

		assert_int_equal(pwrite(file, block, sizeof(block), 0), sizeof(block));
		if (!is_dirty(file)) {
			print_message("it cannot be seen here what is on the disk\n");
			break;
		}
		one.durable = (enum io_durable)durable;
		write_one(world, &one);
		assert_int_equal(one.result, 0);
		if (is_dirty(file) && fdatasync(file) == 0 && is_dirty(file)) {
			print_message("here nothing is ever on a disk\n");
			break;
		}
		assert_int_equal(pwrite(file, block, sizeof(block), 0), sizeof(block));
		write_one(world, &one);
		assert_false(is_dirty(file));
	}
	close(file);
}

static void test_destroy_waits_for_the_write(void **state)
{
	struct world *world = *state;
	static uint8_t block[1 << 20];
	uint8_t last = 0;

	memset(block, 'x', sizeof(block));
	int file = open(world_path("journal"), O_RDWR | O_CREAT, 0600);
	struct io_write one = { .file = file, .data = block, .size = sizeof(block) };
	io_write(world->io, &one);
	world_again(world, 1, 1, 1);
	/* Either not begun, or all of it. */
	if (lseek(file, 0, SEEK_END) > 0) {
		assert_int_equal(pread(file, &last, 1, sizeof(block) - 1), 1);
		assert_int_equal(last, 'x');
	}
	close(file);
}

/* --- jobs */

struct counted {
	struct io_job job; /* first */
	unsigned *counter;
	unsigned order;
	pthread_t thread;
	int gate; /* wait until something can be read from it; -1: do not */
};

static int count(struct io_job *job)
{
	struct counted *counted = (struct counted *)job;
	char byte;

	if (counted->gate >= 0 && read(counted->gate, &byte, 1) != 1)
		return -EIO;
	counted->order = (*counted->counter)++;
	counted->thread = pthread_self();
	return (int)counted->order + 100;
}

static void test_jobs_in_order(void **state)
{
	struct world *world = *state;
	struct counted jobs[20];
	unsigned counter = 0;

	for (unsigned i = 0; i < COUNT_OF(jobs); i++) {
		jobs[i] = (struct counted){ .job.run = count, .counter = &counter, .gate = -1 };
		io_job(world->io, &jobs[i].job);
	}
	UNTIL(world, world->job_count == COUNT_OF(jobs));
	for (unsigned i = 0; i < COUNT_OF(jobs); i++) {
		assert_ptr_equal(world->jobs[i], &jobs[i].job);
		assert_int_equal(jobs[i].order, i);
		assert_int_equal(jobs[i].job.result, i + 100);
		assert_false(pthread_equal(jobs[i].thread, pthread_self()));
	}
	/* The same struct again. */
	io_job(world->io, &jobs[0].job);
	UNTIL(world, world->job_count == COUNT_OF(jobs) + 1);
	assert_int_equal(jobs[0].order, COUNT_OF(jobs));
}

/* A job that waits holds up neither the loop nor the writes. */
static void test_slow_job(void **state)
{
	struct world *world = *state;
	struct counted job;
	unsigned counter = 0;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	job = (struct counted){ .job.run = count, .counter = &counter, .gate = pipes[0] };
	io_job(world->io, &job.job);
	struct pair pair = world_pair(world);
	end_send(pair.client, 10);
	end_arm(pair.server, true);
	UNTIL(world, pair.server->received == 10);
	int file = open(world_path("journal"), O_RDWR | O_CREAT, 0600);
	struct io_write one = { .file = file, .data = "x", .size = 1 };
	write_one(world, &one);
	close(file);
	world_idle(world, 50 * MS_NS);
	assert_int_equal(world->job_count, 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	UNTIL(world, world->job_count == 1);
	assert_int_equal(job.job.result, 100);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_destroy_with_jobs_waiting(void **state)
{
	struct world *world = *state;
	struct counted jobs[5];
	unsigned counter = 0;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	for (unsigned i = 0; i < COUNT_OF(jobs); i++) {
		jobs[i] = (struct counted){ .job.run = count,
					    .counter = &counter,
					    .gate = i == 0 ? pipes[0] : -1 };
		io_job(world->io, &jobs[i].job);
	}
	assert_int_equal(write(pipes[1], "x", 1), 1);
	world_again(world, 1, 1, 1);
	assert_true(counter <= COUNT_OF(jobs));
	close(pipes[0]);
	close(pipes[1]);
}

/* --- signals and time */

static void test_signals(void **state)
{
	struct world *world = *state;
	sigset_t before, after;

	pthread_sigmask(SIG_BLOCK, NULL, &before);
	assert_int_equal(io_signals(world->io), 0);
	assert_int_equal(io_signals(world->io), 0);
	assert_int_equal(raise(SIGTERM), 0);
	UNTIL(world, world->signal_count == 1);
	assert_int_equal(world->signals[0], SIGTERM);
	assert_int_equal(kill(getpid(), SIGINT), 0);
	UNTIL(world, world->signal_count == 2);
	assert_int_equal(world->signals[1], SIGINT);
	assert_int_equal(kill(getpid(), SIGINT), 0);
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	UNTIL(world, world->signal_count == 4);
	world_idle(world, 20 * MS_NS);
	world_again(world, 1, 1, 1);
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

static void on_alarm(int number)
{
	(void)number;
}

/* A signal that is not ours interrupts nothing. */
static void test_interrupted(void **state)
{
	struct world *world = *state;
	struct sigaction action = { .sa_handler = on_alarm };

	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(ualarm(10000, 0), 0);
	uint64_t deadline_ns = clock_monotonic_ns() + 50 * MS_NS;
	world_turn(world, deadline_ns);
	assert_true(io_now(world->io) >= deadline_ns);
}

static void test_deadlines(void **state)
{
	struct world *world = *state;
	static const uint64_t sleeps_ns[] = { 1, 1000, 100000, MS_NS, 5 * MS_NS, 30 * MS_NS };

	for (size_t i = 0; i < COUNT_OF(sleeps_ns); i++) {
		uint64_t deadline_ns = clock_monotonic_ns() + sleeps_ns[i];
		world_turn(world, deadline_ns);
		assert_true(io_now(world->io) >= deadline_ns);
		assert_true(io_now(world->io) < deadline_ns + SECOND_NS);
		assert_true(io_now(world->io) <= clock_monotonic_ns());
	}
	uint64_t before_ns = clock_monotonic_ns();
	for (unsigned i = 0; i < 100; i++)
		world_turn(world, i % 2 ? 0 : before_ns); /* the past */
	assert_true(io_now(world->io) < before_ns + SECOND_NS);
	assert_true(io_now(world->io) >= before_ns);
	assert_int_equal(world->events, 0);

	/* An event comes before its deadline. */
	struct pair pair = world_pair(world);
	end_send(pair.client, 1);
	before_ns = clock_monotonic_ns();
	world_turn(world, before_ns + 10 * SECOND_NS);
	assert_true(clock_monotonic_ns() < before_ns + 5 * SECOND_NS);
	assert_int_equal(pair.client->sents, 1);
}

const struct CMUnitTest file_tests[] = {
	CONTRACT(test_adopt_pipe),
	CONTRACT(test_adopt_shared_pipe),
	CONTRACT(test_adopt_files),
	CONTRACT(test_adopt_file_without_buffers),
	CONTRACT(test_writes),
	CONTRACT(test_writes_together),
	CONTRACT(test_short_writes),
	CONTRACT(test_flush_fails),
	CONTRACT(test_flush_comes_after_the_write),
	CONTRACT(test_writes_are_durable),
	CONTRACT(test_destroy_waits_for_the_write),
	CONTRACT(test_jobs_in_order),
	CONTRACT(test_slow_job),
	CONTRACT(test_destroy_with_jobs_waiting),
	CONTRACT(test_signals),
	CONTRACT(test_interrupted),
	CONTRACT(test_deadlines),
};
const size_t file_tests_count = COUNT_OF(file_tests);
