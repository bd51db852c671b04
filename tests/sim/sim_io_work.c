/* The loop: durable writes and file jobs. */
#include "base/must.h"
#include "check.h"
#include "disk.h"
#include "sim_io_inside.h"

/* --- writes */

static void written(void *context, int result)
{
	struct flight *flight = context;

	if (hash_lent(0, flight->write->data, flight->write->size) != flight->hash)
		world_fail("%s has changed bytes that were being written",
			   flight->io->process->name);
	flight->running = NULL;
	flight->done = true;
	flight->result = result;
	loop_poke(flight->io);
}

unsigned io_writes_max(const struct io *io)
{
	return io->writes_max;
}

void io_write(struct io *io, struct io_write *write)
{
	struct flight *flight = sim_alloc(sizeof(*flight));
	struct flight **at = &io->flights;

	if (io->flight_count == io->writes_max)
		world_fail("%s has more than %u writes in flight", io->process->name,
			   io->writes_max);
	flight->io = io;
	flight->write = write;
	flight->hash = hash_lent(0, write->data, write->size);
	while (*at != NULL)
		at = &(*at)->next;
	*at = flight;
	io->flight_count++;
	flight->running = disk_write_begin(write->file, write->data, write->size, write->offset,
					   write->durable == IO_WRITE_DSYNC, written, flight);
}

static void flight_remove(struct flight *flight)
{
	struct io *io = flight->io;
	struct flight **at = &io->flights;

	while (*at != flight)
		at = &(*at)->next;
	*at = flight->next;
	io->flight_count--;
	sim_free(flight);
}

void flight_event(struct flight *flight, struct io_event *ret)
{
	struct process *process = flight->io->process;

	ret->kind = IO_WRITTEN;
	ret->write = flight->write;
	ret->owner = flight->write->owner;
	ret->result = flight->write->result = flight->result;
	if (flight->result < 0 && process->is_server)
		check_io_error(process);
	flight_remove(flight);
}

/* --- jobs, on a fiber of their own */

static void job_add(struct io_job **list, struct io_job *job)
{
	job->next = NULL;
	while (*list != NULL)
		list = &(*list)->next;
	*list = job;
}

static void work(void *argument)
{
	struct io *io = argument;

	for (;;) {
		while (io->jobs == NULL && !io->worker_stopping) {
			io->worker_parked = true;
			fiber_park();
			io->worker_parked = false;
		}
		if (io->worker_stopping)
			break;
		struct io_job *job = io->jobs;
		io->jobs = job->next;
		io->job_running = true;
		fiber_sleep(world_span(1000, 20000, 5000000));
		job->result = job->run(job);
		io->job_running = false;
		if (disk_job_has_failed(io->process) && io->job_failed == NULL)
			io->job_failed = job;
		job_add(&io->jobs_done, job);
		loop_poke(io);
	}
	io->worker = NULL;
	loop_poke(io);
}

void io_job(struct io *io, struct io_job *job)
{
	job_add(&io->jobs, job);
	if (io->worker == NULL)
		io->worker = fiber_start(work, io);
	else if (io->worker_parked)
		fiber_wake(io->worker, world_now() + world_draw(20000));
}

void job_event(struct io *io, struct io_event *ret)
{
	struct io_job *job = io->jobs_done;

	io->jobs_done = job->next;
	if (job == io->job_failed)
		check_io_error(io->process);
	ret->kind = IO_JOB_DONE;
	ret->job = job;
	ret->owner = job->owner;
	ret->result = job->result;
}

/* --- the end */

static bool is_under_way(const struct io *io)
{
	for (const struct flight *flight = io->flights; flight != NULL; flight = flight->next)
		if (!flight->done)
			return true;
	return io->worker != NULL;
}

static void forget_flights(struct io *io)
{
	while (io->flights != NULL)
		flight_remove(io->flights);
}

void work_finish(struct io *io)
{
	io->worker_stopping = true;
	if (io->worker_parked)
		fiber_wake(io->worker, world_now());
	while (is_under_way(io)) {
		io->loop = fiber_current();
		io->parked = true;
		fiber_park();
		io->parked = false;
	}
	forget_flights(io);
}

void work_abandon(struct io *io)
{
	for (struct flight *flight = io->flights; flight != NULL; flight = flight->next)
		if (flight->running != NULL)
			disk_write_abandon(flight->running);
	forget_flights(io);
}
