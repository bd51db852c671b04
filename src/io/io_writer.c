#include "io/io_writer.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/must.h"
#include "base/mutant.h"

/* What was not written and flushed in one go has failed, for good: a second flush would report success for what the first one
 * lost. Only a write that a signal stopped before its first byte is begun again. */
static int write_durably(const struct io_write *write)
{
	const struct iovec all = { .iov_base = (void *)(uintptr_t)write->data,
				   .iov_len = write->size };
	ssize_t written;

	do {
		if (write->durable == IO_WRITE_DSYNC)
			written = pwritev2(write->file, &all, 1, (off_t)write->offset, RWF_DSYNC);
		else
			written =
				pwrite(write->file, write->data, write->size, (off_t)write->offset);
	} while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	if ((size_t)written != write->size && !MUTANT(5))
		return -EIO;
	if (write->durable == IO_WRITE_FLUSH && fdatasync(write->file) < 0)
		return -errno;
	return 0;
}

static int run(struct io_job *job)
{
	const struct io_writer *writer = (const struct io_writer *)job;

	return write_durably(writer->write);
}

void io_writer_init(struct io_writer *writer, int wake)
{
	writer->job = (struct io_job){ .run = run };
	writer->write = NULL;
	io_worker_init(&writer->worker, "roger-write", false, wake);
}

void io_writer_deinit(struct io_writer *writer)
{
	io_worker_deinit(&writer->worker);
}

void io_writer_give(struct io_writer *writer, struct io_write *write)
{
	must(writer->write == NULL);
	writer->write = write;
	io_worker_give(&writer->worker, &writer->job);
}

struct io_write *io_writer_take(struct io_writer *writer)
{
	if (!io_worker_take(&writer->worker))
		return NULL;
	struct io_write *write = writer->write;
	write->result = writer->job.result;
	writer->write = NULL;
	return write;
}
