/* A connection for each message: connect, send 12 bytes, await `ACK!` and the end, close; --at-once of them at any time.
 * One thread. Prints one JSON object.
 *
 * connect() is a blocking one: over loopback it returns as soon as the kernel has done both sides of the handshake, without
 * a wake-up. The exchange's latency counts from before socket(). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bench.h"

enum { EVENTS = 256, AT_ONCE_MAX = 1024 };

struct exchange {
	int fd;
	uint64_t began;
	char answer[4];
	size_t answer_size;
};

struct load {
	const char *address;
	uint64_t at_once, count, seconds;
	int poll;
	struct exchange exchanges[AT_ONCE_MAX];
	uint64_t begun, done;
	struct bench_times times;
};

static void begin(struct load *load, struct exchange *x)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = x };

	x->began = bench_now();
	x->answer_size = 0;
	x->fd = bench_connect(load->address);
	bench_send_all(x->fd, "Hello World!", 12);
	if (epoll_ctl(load->poll, EPOLL_CTL_ADD, x->fd, &event))
		bench_die("epoll_ctl");
	load->begun++;
}

/* Returns whether the exchange is over. */
static bool go_on(struct load *load, struct exchange *x)
{
	char data[64];
	ssize_t got;

	while ((got = recv(x->fd, data, sizeof(data), MSG_DONTWAIT)) > 0) {
		errno = 0;
		if (x->answer_size + (size_t)got > sizeof(x->answer))
			bench_die("the answer is not ACK!");
		memcpy(x->answer + x->answer_size, data, (size_t)got);
		x->answer_size += (size_t)got;
	}
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got < 0)
		bench_die("recv");
	errno = 0;
	if (x->answer_size != 4 || memcmp(x->answer, "ACK!", 4) != 0)
		bench_die("the answer is not ACK!");
	close(x->fd);
	bench_times_add(&load->times, bench_now() - x->began, 1);
	load->done++;
	return true;
}

static void run(struct load *load)
{
	static struct epoll_event events[EVENTS];
	uint64_t until = load->seconds ? bench_now() + load->seconds * 1000000000u : UINT64_MAX;

	for (uint64_t i = 0; i < load->at_once && load->begun < load->count; i++)
		begin(load, &load->exchanges[i]);
	while (load->done < load->begun) {
		int ready = epoll_wait(load->poll, events, EVENTS, 10000);
		errno = 0;
		if (ready == 0)
			bench_die("no answer for 10 s");
		for (int i = 0; i < ready; i++)
			if (go_on(load, events[i].data.ptr) && load->begun < load->count &&
			    bench_now() < until)
				begin(load, events[i].data.ptr);
	}
}

int main(int argc, char **argv)
{
	static const char usage[] =
		"drive_connect --connect HOST:PORT [--at-once N] [--count N | --seconds N]";
	static const struct option names[] = {
		{ "connect", 1, NULL, 'a' }, { "at-once", 1, NULL, 'c' }, { "count", 1, NULL, 'n' }, { "seconds", 1, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	static struct load load = { .at_once = 32, .count = UINT64_MAX };
	uint64_t began, cpu;
	double seconds;

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;)
		switch (c) {
		case 'a': load.address = optarg; break;
		case 'c': load.at_once = bench_number(optarg); break;
		case 'n': load.count = bench_number(optarg); break;
		case 't': load.seconds = bench_number(optarg); break;
		default: bench_usage(usage);
		}
	if (!load.address || !load.at_once || load.at_once > AT_ONCE_MAX)
		bench_usage(usage);
	if (load.count == UINT64_MAX && !load.seconds)
		load.seconds = 5;
	load.poll = epoll_create1(EPOLL_CLOEXEC);
	if (load.poll < 0)
		bench_die("epoll_create1");
	cpu = bench_cpu();
	began = bench_now();
	run(&load);
	seconds = (double)(bench_now() - began) / 1e9;
	printf("{\"messages_per_second\": %.1f, \"acknowledged\": %llu, "
	       "\"seconds\": %.6f, \"size\": 12, "
	       "\"connections\": %llu, \"client_cpu_us_per_message\": %.4f, ",
	       (double)load.done / seconds, (unsigned long long)load.done, seconds,
	       (unsigned long long)load.at_once,
	       (double)(bench_cpu() - cpu) / 1e3 / (double)(load.done ? load.done : 1));
	bench_times_print(&load.times);
	printf("}\n");
	return 0;
}
