/* The floor under one answer: a message of 108 bytes to another process over loopback and 28 bytes back, both blocking. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bench.h"

enum { THERE = 108, BACK = 28 }; /* a frame of 100 bytes; an ACK */

static int answer(int listener)
{
	uint8_t data[THERE];
	int fd = accept(listener, NULL, NULL);

	while (recv(fd, data, THERE, MSG_WAITALL) == THERE)
		bench_send_all(fd, data, BACK);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option names[] = { { "seconds", 1, NULL, 't' }, { NULL, 0, NULL, 0 } };
	static struct bench_times times;
	uint64_t seconds = 5, until, began;
	uint8_t data[THERE] = { 0 };
	uint16_t port;
	pid_t child;
	int listener, fd;

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (c != 't')
			bench_usage("floor_round [--seconds N]");
		seconds = bench_number(optarg);
	}
	listener = bench_listen(&port);
	child = fork();
	if (child < 0)
		bench_die("fork");
	if (!child)
		return answer(listener);
	fd = bench_connect_port(port);
	began = bench_now();
	until = began + seconds * 1000000000u;
	while (bench_now() < until) {
		uint64_t start = bench_now();
		bench_send_all(fd, data, THERE);
		if (recv(fd, data, BACK, MSG_WAITALL) != BACK)
			bench_die("recv");
		bench_times_add(&times, bench_now() - start, 1);
	}
	printf("{\"rounds_per_second\": %.0f, \"size\": %d, ",
	       (double)times.count / ((double)(bench_now() - began) / 1e9), THERE);
	bench_times_print(&times);
	printf("}\n");
	shutdown(fd, SHUT_RDWR);
	waitpid(child, NULL, 0);
	return 0;
}
