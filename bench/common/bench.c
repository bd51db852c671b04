#include "common/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_die(const char *what)
{
	fprintf(stderr, "bench: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(74);
}

_Noreturn void bench_usage(const char *usage)
{
	fprintf(stderr, "usage: %s\n", usage);
	exit(64);
}

uint64_t bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_cpu(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

uint64_t bench_number(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long number;
	const char *unit;

	errno = 0;
	number = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (end == text || errno || (*end && (!unit || end[1]))) {
		fprintf(stderr, "bench: not a number: %s\n", text);
		exit(64);
	}
	return unit ? (uint64_t)number << (10 * (unit - units + 1)) : (uint64_t)number;
}

static void set_up(int fd)
{
	const int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4))
		bench_die("TCP_CONGESTION reno");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		bench_die("TCP_NODELAY");
}

int bench_listen(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&address, &size))
		bench_die("listen");
	set_up(fd);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_die("socket");
	set_up(fd);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		bench_die("connect");
	return fd;
}

int bench_connect_port(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect_to(&address);
}

int bench_connect(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	const char *colon = strrchr(address, ':');
	char host[64];
	uint64_t port;

	errno = 0;
	if (!colon || (size_t)(colon - address) >= sizeof(host))
		bench_die("an address is HOST:PORT");
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = 0;
	port = bench_number(colon + 1);
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || port > 65535)
		bench_die("an address is HOST:PORT");
	to.sin_port = htons((uint16_t)port);
	return connect_to(&to);
}

void bench_send_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
		if (sent < 0)
			bench_die("send");
		at += sent;
		size -= (size_t)sent;
	}
}

void bench_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		bench_die("RLIMIT_NOFILE");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		bench_die("RLIMIT_NOFILE");
}

/* Bucket i of octave o holds durations whose 7 highest bits are 1iiiiii; below 64 ns each has its own. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned octave;

	if (ns < 64)
		return (unsigned)ns;
	octave = 63 - (unsigned)__builtin_clzll(ns) - 5;
	return octave * 64 + (unsigned)(ns >> (octave - 1)) - 64;
}

static uint64_t upper_edge(unsigned bucket)
{
	unsigned octave = bucket / 64;

	if (!octave)
		return bucket;
	return ((uint64_t)(bucket % 64) + 65) * (UINT64_C(1) << (octave - 1)) - 1;
}

void bench_times_add(struct bench_times *times, uint64_t ns, uint64_t count)
{
	times->count += count;
	times->buckets[bucket_of(ns)] += count;
	if (ns > times->max)
		times->max = ns;
}

uint64_t bench_times_part(const struct bench_times *times, double part)
{
	uint64_t seen = 0;
	double want = part * (double)times->count;

	for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
		seen += times->buckets[i];
		if (seen && (double)seen >= want)
			return upper_edge(i) < times->max ? upper_edge(i) : times->max;
	}
	return times->max;
}

void bench_times_print(const struct bench_times *times)
{
	printf("\"latency_us\": {\"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"p99_9\": %.3f, "
	       "\"max\": %.3f}",
	       (double)bench_times_part(times, 0.5) / 1e3,
	       (double)bench_times_part(times, 0.9) / 1e3,
	       (double)bench_times_part(times, 0.99) / 1e3,
	       (double)bench_times_part(times, 0.999) / 1e3, (double)times->max / 1e3);
}
