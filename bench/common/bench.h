/* What the programs of `make bench` share. They measure: whatever goes wrong ends the process (status 74), and nothing of
 * Roger's own rooms is in the way but little-endian integers and the table of CRC-32C.
 *
 * Everything is on loopback, and every socket uses the congestion control "reno": the default of some systems (bbr) makes
 * loopback several times slower, and floors and peers must not differ by that. */
#ifndef ROGER_BENCH_H
#define ROGER_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Print `what` and errno's text (if errno is not 0), and exit 74. */
_Noreturn void bench_die(const char *what);

/* Print `usage` and exit 64. */
_Noreturn void bench_usage(const char *usage);

/* Nanoseconds of a clock that only goes forward. */
uint64_t bench_now(void);

/* Nanoseconds of processor time, user and system, that this process (all threads, no children) has used. */
uint64_t bench_cpu(void);

/* "20G", "64M", "4K" or a plain number; the units are powers of 1024. Anything else exits 64. */
uint64_t bench_number(const char *text);

/* A socket that listens on 127.0.0.1, on a free port that is returned. What it accepts inherits "reno" and TCP_NODELAY. */
int bench_listen(uint16_t *ret_port);

/* A blocking connection to HOST:PORT (an IPv4 address), and to a port of 127.0.0.1. "reno", TCP_NODELAY. */
int bench_connect(const char *address);
int bench_connect_port(uint16_t port);

/* All of it, or the process ends. */
void bench_send_all(int fd, const void *data, size_t size);

/* Raise the soft limit of descriptors to the hard one. */
void bench_raise_descriptors(void);

/* The frame checksum of docs/protocol.md: stream seed, number, size and payload. */
uint32_t bench_checksum(uint32_t seed, uint64_t seq, uint32_t size, const uint8_t *payload);

/* CRC-32C as fast as this machine does it: the instruction for what is short, ISA-L (if it was there at build) for the rest. */
uint32_t bench_crc32c(uint32_t crc, const void *data, size_t size);

/* Durations in ns, in buckets of at most 1.6 % width: 64 for each power of two. */
enum { BENCH_BUCKETS = 64 * 64 };

struct bench_times {
	uint64_t count;
	uint64_t max;
	uint64_t buckets[BENCH_BUCKETS];
};

void bench_times_add(struct bench_times *times, uint64_t ns, uint64_t count);

/* The duration that `part` (0 .. 1) of all do not exceed, in ns: the upper edge of its bucket. 0 when there are none. */
uint64_t bench_times_part(const struct bench_times *times, double part);

/* Prints `"latency_us": {"p50": ..., ...}`, in the form that `roger bench --json` has. */
void bench_times_print(const struct bench_times *times);

#endif
