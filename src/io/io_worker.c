#include "io/io_worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NICE_LOW = 10 };

static void list_add(struct io_worker_list *list, struct io_job *job)
{
	job->next = NULL;
	if (list->last)
		list->last->next = job;
	else
		list->first = job;
	list->last = job;
}

static struct io_job *list_take(struct io_worker_list *list)
{
	struct io_job *job = list->first;

	if (!job)
		return NULL;
	list->first = job->next;
	if (!list->first)
		list->last = NULL;
	return job;
}

void io_worker_init(struct io_worker *worker, const char *name, bool low_priority, int wake)
{
	*worker = (struct io_worker){ .name = name, .low_priority = low_priority, .wake = wake };
	pthread_mutex_init(&worker->mutex, NULL);
	pthread_cond_init(&worker->given, NULL);
}

static void put_done(struct io_worker *worker, struct io_job *job, int result)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&worker->mutex);
	job->result = result;
	list_add(&worker->done, job);
	pthread_mutex_unlock(&worker->mutex);
	/* Fails only at 2^64 - 2 unread completions. */
	if (write(worker->wake, &one, sizeof(one)) < 0)
		return;
}

static void be_low(void)
{
	struct sched_param none = { .sched_priority = 0 };

	/* As far as the system lets us. For Linux nice is a thread's own. */
	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_LOW);
}

static void *work(void *context)
{
	struct io_worker *worker = context;

	(void)pthread_setname_np(pthread_self(), worker->name);
	if (worker->low_priority)
		be_low();
	for (;;) {
		pthread_mutex_lock(&worker->mutex);
		while (!worker->stopping && !worker->waiting.first)
			pthread_cond_wait(&worker->given, &worker->mutex);
		struct io_job *job = worker->stopping ? NULL : list_take(&worker->waiting);
		pthread_mutex_unlock(&worker->mutex);
		if (!job)
			return NULL;
		put_done(worker, job, job->run(job));
	}
}

static int start(struct io_worker *worker)
{
	sigset_t all, before;

	/* The thread inherits the mask: signals are for the loop alone. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&worker->thread, NULL, work, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	worker->started = error == 0;
	return -error;
}

void io_worker_give(struct io_worker *worker, struct io_job *job)
{
	int error = worker->started ? 0 : start(worker);

	if (error) {
		put_done(worker, job, error);
		return;
	}
	pthread_mutex_lock(&worker->mutex);
	list_add(&worker->waiting, job);
	pthread_mutex_unlock(&worker->mutex);
	pthread_cond_signal(&worker->given);
}

struct io_job *io_worker_take(struct io_worker *worker)
{
	pthread_mutex_lock(&worker->mutex);
	struct io_job *first = worker->done.first;
	worker->done = (struct io_worker_list){ .first = NULL };
	pthread_mutex_unlock(&worker->mutex);
	return first;
}

void io_worker_deinit(struct io_worker *worker)
{
	if (worker->started) {
		pthread_mutex_lock(&worker->mutex);
		worker->stopping = true;
		pthread_mutex_unlock(&worker->mutex);
		pthread_cond_signal(&worker->given);
		pthread_join(worker->thread, NULL);
	}
	pthread_cond_destroy(&worker->given);
	pthread_mutex_destroy(&worker->mutex);
}
