/* The journal's durable writes on a thread of their own: one at a time, the one honest way to wait for a disk where the kernel
 * has no asynchronous one for us. */
#ifndef ROGER_IO_IO_WRITER_H
#define ROGER_IO_IO_WRITER_H

#include "io/io_worker.h"

struct io_writer {
	struct io_job job;      /* first: the thread finds the writer by it */
	struct io_write *write; /* NULL: none is under way */
	struct io_worker worker;
};

void io_writer_init(struct io_writer *writer, int wake);

/* Waits for the write that is under way. */
void io_writer_deinit(struct io_writer *writer);

/* One at a time: until io_writer_take has returned it (asserted). */
void io_writer_give(struct io_writer *writer, struct io_write *write);

/* The write that is done, its result set; NULL when there is none. */
struct io_write *io_writer_take(struct io_writer *writer);

#endif
