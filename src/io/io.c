/* The door: finds the backend and hands every call on to it. */
#include "io/io.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/must.h"
#include "io/io_backend.h"

int io_create(const struct io_config *config, struct io **ret_io)
{
	bool any = config->backend == NULL || strcmp(config->backend, "auto") == 0;
	int error = -ENOSYS;

	must(config->sockets_max > 0 && config->sockets_max < UINT32_MAX);
	must(config->buffer_count > 0 && config->buffer_count < UINT32_MAX);
	must(config->buffer_size > 0);
	/* A peer that is gone is an error of the send, not of the process. */
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; io_backends[i] && error == -ENOSYS; i++)
		if (any || strcmp(config->backend, io_backends[i]->name) == 0)
			error = io_backends[i]->create(config, ret_io);
	return error;
}

void io_destroy(struct io *io)
{
	if (io)
		io->backend->destroy(io);
}

const char *io_backend(const struct io *io)
{
	return io->backend->name;
}

uint64_t io_now(const struct io *io)
{
	return io->now_ns;
}

int io_wait(struct io *io, uint64_t deadline_ns)
{
	return io->backend->wait(io, deadline_ns);
}

bool io_next(struct io *io, struct io_event *ret)
{
	return io->backend->next(io, ret);
}

int io_listen(struct io *io, const struct io_endpoint *at, void *owner, io_socket *ret_socket,
	      struct io_endpoint *ret_bound)
{
	return io->backend->listen(io, at, owner, ret_socket, ret_bound);
}

void io_accept(struct io *io, io_socket listener, bool armed)
{
	io->backend->accept(io, listener, armed);
}

int io_connect(struct io *io, const struct io_endpoint *to, void *owner, io_socket *ret_socket)
{
	return io->backend->connect(io, to, owner, ret_socket);
}

int io_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket)
{
	return io->backend->adopt(io, descriptor, owner, ret_socket);
}

void io_set_owner(struct io *io, io_socket socket, void *owner)
{
	io->backend->set_owner(io, socket, owner);
}

void io_tune(struct io *io, io_socket socket, enum io_tuning what, int value)
{
	io->backend->tune(io, socket, what, value);
}

void io_receive(struct io *io, io_socket socket, bool armed)
{
	io->backend->receive(io, socket, armed);
}

void io_buffer_return(struct io *io, uint32_t buffer)
{
	io->backend->buffer_return(io, buffer);
}

uint32_t io_buffers_free(const struct io *io)
{
	return io->backend->buffers_free(io);
}

bool io_readable(struct io *io, io_socket socket)
{
	return io->backend->readable(io, socket);
}

void io_send(struct io *io, io_socket socket, const struct io_span *spans, unsigned count)
{
	must(count > 0 && count <= IO_SPANS_MAX);
	io->backend->send(io, socket, spans, count);
}

bool io_send_answer(struct io *io, io_socket socket, const void *data, size_t size, bool is_last)
{
	must(size > 0);
	return io->backend->send_answer(io, socket, data, size, is_last);
}

void io_shutdown(struct io *io, io_socket socket)
{
	io->backend->shutdown(io, socket);
}

void io_close(struct io *io, io_socket socket, bool reset)
{
	io->backend->close(io, socket, reset);
}

void io_write(struct io *io, struct io_write *write)
{
	io->backend->write(io, write);
}

unsigned io_writes_max(const struct io *io)
{
	return io->backend->writes_max(io);
}

void io_job(struct io *io, struct io_job *job)
{
	io->backend->job(io, job);
}

int io_signals(struct io *io)
{
	return io->backend->signals(io);
}
