/* A connection for each message, served as textbooks do it in C: a thread for each connection. Nothing is stored. */
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bench.h"

static void *serve(void *argument)
{
	int fd = (int)(intptr_t)argument;
	uint8_t data[4096];

	if (recv(fd, data, sizeof(data), 0) > 0)
		send(fd, "ACK!", 4, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

int main(void)
{
	pthread_attr_t detached;
	pthread_t thread;
	uint16_t port;
	int listener = bench_listen(&port);

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	printf("%u\n", port);
	fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			bench_die("accept");
		if (pthread_create(&thread, &detached, serve, (void *)(intptr_t)fd))
			bench_die("pthread_create");
	}
}
