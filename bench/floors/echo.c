/* The floor under many connections: one thread, epoll, 28 bytes (an ACK's size) for each message of --size bytes, no disk.
 * Prints its port and serves until it is stopped. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bench.h"

enum { EVENTS = 512, RECEIVE = 64 * 1024, ANSWER = 28, DESCRIPTORS = 65536 };

static uint64_t partial[DESCRIPTORS]; /* by descriptor: bytes of a message that is not whole yet */

static void serve(int fd, uint64_t size)
{
	static uint8_t data[RECEIVE];
	ssize_t got = recv(fd, data, sizeof(data), MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		partial[fd] = 0;
		close(fd);
		return;
	}
	partial[fd] += (uint64_t)got;
	for (; partial[fd] >= size; partial[fd] -= size)
		send(fd, data, ANSWER, MSG_NOSIGNAL);
}

int main(int argc, char **argv)
{
	static const struct option names[] = { { "size", 1, NULL, 's' }, { NULL, 0, NULL, 0 } };
	static struct epoll_event events[EVENTS];
	uint64_t size = 108;
	uint16_t port;
	int listener = bench_listen(&port), poll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (c != 's')
			bench_usage("floor_echo [--size N]");
		size = bench_number(optarg);
	}
	bench_raise_descriptors();
	if (poll < 0 || !size || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event))
		bench_die("epoll");
	printf("%u\n", port);
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poll, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != listener) {
				serve(events[i].data.fd, size);
				continue;
			}
			event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (event.data.fd < 0 || event.data.fd >= DESCRIPTORS ||
			    epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event))
				bench_die("accept");
		}
	}
}
