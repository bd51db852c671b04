#include "memory_io.h"

#include "base/limits.h"
#include "base/must.h"
#include "file/file.h"

enum { WRITES = 4, TURNS_MAX = 2000 };

struct io {
	uint64_t now;
	struct io_write *writes[WRITES];
	unsigned write_count;
	struct io_job *job;
};

static struct io door;

struct io *memory_io_reset(void)
{
	door = (struct io){ .now = SECOND_NS };
	return &door;
}

uint64_t io_now(const struct io *io)
{
	return io->now;
}

unsigned io_writes_max(const struct io *io)
{
	(void)io;
	return 1;
}

void io_write(struct io *io, struct io_write *write)
{
	must(io->write_count < WRITES);
	io->writes[io->write_count++] = write;
}

void io_job(struct io *io, struct io_job *job)
{
	must(io->job == NULL);
	io->job = job;
}

static bool finish_one(struct journal *j)
{
	struct io_write *write = door.write_count > 0 ? door.writes[--door.write_count] : NULL;
	struct io_job *job = door.job;

	if (write != NULL) {
		must(file_write(write->file, write->data, write->size, write->offset) == 0);
		journal_written(j, write, 0);
		return true;
	}
	if (job == NULL)
		return false;
	door.job = NULL;
	job->result = job->run(job);
	journal_job_done(j, job);
	return true;
}

void memory_io_settle(struct journal *j)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		(void)journal_turn(j);
		door.now += MS_NS;
		if (!finish_one(j))
			return;
	}
	must(false); /* it does not settle */
}
