/* A connection for each message, served with libuv, as its guide shows it. Nothing is stored. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "common/bench.h"

struct connection {
	uv_tcp_t tcp;
	uv_write_t write;
	char data[4096];
};

static uv_loop_t *loop;

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_room)
{
	struct connection *c = (struct connection *)handle;

	(void)suggested;
	*ret_room = uv_buf_init(c->data, sizeof(c->data));
}

static void on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status;
	uv_close((uv_handle_t *)write->handle, on_closed);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *room)
{
	static char ack[] = "ACK!";
	struct connection *c = (struct connection *)stream;
	uv_buf_t answer = uv_buf_init(ack, 4);

	(void)room;
	if (size == 0)
		return;
	uv_read_stop(stream);
	if (size < 0 || uv_write(&c->write, stream, &answer, 1, on_written))
		uv_close((uv_handle_t *)stream, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct connection *c = malloc(sizeof(*c));

	errno = 0;
	if (status || !c || uv_tcp_init(loop, &c->tcp) ||
	    uv_accept(listener, (uv_stream_t *)&c->tcp) ||
	    uv_read_start((uv_stream_t *)&c->tcp, give_room, on_read))
		bench_die("uv accept");
}

int main(void)
{
	uv_tcp_t listener;
	uint16_t port;
	int fd = bench_listen(&port);

	errno = 0;
	loop = uv_default_loop();
	if (uv_tcp_init(loop, &listener) || uv_tcp_open(&listener, fd) ||
	    uv_listen((uv_stream_t *)&listener, 4096, on_connection))
		bench_die("uv listen");
	printf("%u\n", port);
	fflush(stdout);
	return uv_run(loop, UV_RUN_DEFAULT);
}
