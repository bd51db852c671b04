/* The floor under one durable message: one 4 KiB write with O_DIRECT and RWF_DSYNC over ready zeros, again and again. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/bench.h"

enum { BLOCK = 4096, AREA = 64 << 20 };

static const char usage[] = "floor_write --dir DIR [--seconds N]";

static int ready_zeros(const char *dir)
{
	uint8_t *zeros = aligned_alloc(BLOCK, 1 << 20);
	int file = open(dir, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

	if (file < 0 || !zeros)
		bench_die(dir);
	memset(zeros, 0, 1 << 20);
	for (off_t at = 0; at < AREA; at += 1 << 20)
		if (pwrite(file, zeros, 1 << 20, at) != 1 << 20)
			bench_die("writing zeros");
	if (fsync(file))
		bench_die("fsync");
	free(zeros);
	return file;
}

int main(int argc, char **argv)
{
	static const struct option names[] = { { "dir", 1, NULL, 'd' },
					       { "seconds", 1, NULL, 't' },
					       { NULL, 0, NULL, 0 } };
	static struct bench_times times;
	const char *dir = NULL;
	uint64_t seconds = 5, until, began;
	struct iovec block = { .iov_base = aligned_alloc(BLOCK, BLOCK), .iov_len = BLOCK };
	int file;

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;)
		switch (c) {
		case 'd': dir = optarg; break;
		case 't': seconds = bench_number(optarg); break;
		default: bench_usage(usage);
		}
	if (!dir)
		bench_usage(usage);
	if (!block.iov_base)
		bench_die("memory");
	memset(block.iov_base, 'r', BLOCK);
	file = ready_zeros(dir);
	began = bench_now();
	until = began + seconds * 1000000000u;
	for (off_t at = 0; bench_now() < until; at = (at + BLOCK) % AREA) {
		uint64_t start = bench_now();
		if (pwritev2(file, &block, 1, at, RWF_DSYNC) != BLOCK)
			bench_die("a durable write");
		bench_times_add(&times, bench_now() - start, 1);
	}
	printf("{\"writes_per_second\": %.0f, \"size\": %d, ",
	       (double)times.count / ((double)(bench_now() - began) / 1e9), BLOCK);
	bench_times_print(&times);
	printf("}\n");
	free(block.iov_base);
	return 0;
}
