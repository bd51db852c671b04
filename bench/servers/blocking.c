/* The floor under a connection for each message: accept, receive, answer, close, one after the other, nothing else.
 * Prints its port and serves until it is stopped. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bench.h"

int main(void)
{
	uint8_t data[4096];
	uint16_t port;
	int listener = bench_listen(&port);

	printf("%u\n", port);
	fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			bench_die("accept");
		if (recv(fd, data, sizeof(data), 0) > 0)
			send(fd, "ACK!", 4, MSG_NOSIGNAL);
		close(fd);
	}
}
