/* A thread that runs jobs, one after the other, in the order in which they were given. It is started with the first one, blocks all
 * signals, and says that a job is done by adding 1 to an eventfd. */
#ifndef ROGER_IO_IO_WORKER_H
#define ROGER_IO_IO_WORKER_H

#include <pthread.h>

#include "io/io.h"

struct io_worker_list {
	struct io_job *first;
	struct io_job *last;
};

struct io_worker {
	pthread_mutex_t mutex; /* for the lists and `stopping` */
	pthread_cond_t given;
	struct io_worker_list waiting;
	struct io_worker_list done;
	bool stopping;
	bool started;
	bool low_priority; /* the processor is for others first */
	const char *name;  /* static, at most 15 bytes */
	int wake;          /* the eventfd, borrowed */
	pthread_t thread;
};

void io_worker_init(struct io_worker *worker, const char *name, bool low_priority, int wake);

/* Waits for the job that is being run; those behind it are not run. */
void io_worker_deinit(struct io_worker *worker);

/* job->run and what it needs are the caller's until io_worker_take has returned it. If the thread cannot be started the job
 * is done at once, with that as its result. */
void io_worker_give(struct io_worker *worker, struct io_job *job);

/* All jobs that are done, oldest first, linked by `next`; NULL when there is none. */
struct io_job *io_worker_take(struct io_worker *worker);

#endif
