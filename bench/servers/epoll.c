/* A connection for each message, served by one thread with epoll. Nothing is stored. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bench.h"

enum { EVENTS = 256 };

static void take_connections(int poll, int listener)
{
	struct epoll_event event = { .events = EPOLLIN };

	while ((event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		if (epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event))
			bench_die("epoll_ctl");
	if (errno != EAGAIN)
		bench_die("accept");
}

static void serve(int fd)
{
	uint8_t data[4096];
	ssize_t got = recv(fd, data, sizeof(data), 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0)
		send(fd, "ACK!", 4, MSG_NOSIGNAL);
	close(fd);
}

int main(void)
{
	static struct epoll_event events[EVENTS];
	uint16_t port;
	int listener = bench_listen(&port), poll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };

	if (poll < 0 || fcntl(listener, F_SETFL, O_NONBLOCK) ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event))
		bench_die("epoll");
	printf("%u\n", port);
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poll, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				take_connections(poll, listener);
			else
				serve(events[i].data.fd);
		}
	}
}
