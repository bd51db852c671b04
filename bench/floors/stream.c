/* The floor for durable messages on one connection: receives, checks, writes durably, and nothing else.
 *
 * One process receives frames (size | checksum | payload, docs/protocol.md) from a loopback socket straight into aligned
 * staging, checks each one's CRC-32C, writes staging with O_DIRECT and RWF_DSYNC through io_uring, a few writes in flight,
 * and answers with the number of messages that are durable: 8 bytes whenever that has grown. There is no journal format, no
 * stream, no recovery, no second connection; the file has no name. Its child makes frames as fast as it can, with at most
 * the window unanswered.
 *
 * The disk blocks are fallocated and never written (--over fallocated), or have been written with zeros before the clock
 * starts and are used again from the beginning when the end is reached (--over zeros).
 *
 *      staging ring:   [ in flight ][ in flight ][ open: parsed | half a frame ][ free ][ free ]
 *                                                  a commit ^     ^ moves to the next one
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "common/bench.h"
#include "floors/stream.h"

enum {
	BLOCK = 4096,
	HEADER = 8,
	SLOTS = 16,             /* staging buffers: more than writes in flight, so that receiving never waits for a free one */
	RECEIVE = 256 * 1024,   /* at a time, so that the checksums find it in the cache */
	TAG_POLL = SLOTS,       /* user_data: a slot's index, or this */
	SPARE_SPACE = 64 << 20, /* behind --bytes, for padding */
};

struct slot {
	uint8_t *data;
	size_t filled;     /* bytes received */
	size_t parsed;     /* of them, whole frames that were checked */
	size_t written;    /* size of the write: parsed, rounded up */
	uint64_t messages; /* all up to the end of this slot */
	bool done;
};

struct floor {
	const struct stream_options *options;
	struct io_uring ring;
	struct slot slots[SLOTS];
	unsigned head; /* oldest write in flight; slots count up and are used modulo SLOTS */
	unsigned open;
	int fd, file;
	uint64_t offset, file_size;
	uint64_t messages, durable;
	uint64_t wire_bytes, commits, wraps;
	bool poll_armed, ended;
};

static uint8_t zeros[1 << 20] __attribute__((aligned(BLOCK)));

/* A file without a name: it is gone with this process, however that ends. */
static void prepare_file(struct floor *f)
{
	const struct stream_options *o = f->options;

	f->file_size = o->over_zeros ? o->ring_bytes : o->bytes + o->bytes / 50 + SPARE_SPACE;
	f->file_size = round_up(f->file_size, 1 << 20);
	f->file = open(o->dir, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (f->file < 0)
		bench_die(o->dir);
	if (fallocate(f->file, 0, 0, (off_t)f->file_size))
		bench_die("fallocate");
	if (o->over_zeros)
		for (uint64_t at = 0; at < f->file_size; at += sizeof(zeros))
			if (pwrite(f->file, zeros, sizeof(zeros), (off_t)at) !=
			    (ssize_t)sizeof(zeros))
				bench_die("writing zeros");
	if (fsync(f->file))
		bench_die("fsync");
}

static void prepare(struct floor *f, const struct stream_options *options)
{
	memset(f, 0, sizeof(*f));
	f->options = options;
	prepare_file(f);
	for (unsigned i = 0; i < SLOTS; i++) {
		f->slots[i].data = aligned_alloc(BLOCK, options->commit + RECEIVE);
		if (!f->slots[i].data)
			bench_die("staging");
		memset(f->slots[i].data, 0, options->commit + RECEIVE);
	}
}

/* Checks the whole frames behind `parsed`. */
static void check(struct floor *f, struct slot *slot)
{
	const uint8_t *at = slot->data + slot->parsed, *end = slot->data + slot->filled;
	const uint32_t size_max = (uint32_t)f->options->commit / 2;
	uint64_t seq = f->messages;

	errno = 0;
	while (end - at >= HEADER) {
		uint32_t size = get_u32(at);
		if (size > size_max)
			bench_die("a frame is too large");
		if ((size_t)(end - at) < HEADER + size)
			break;
		if (bench_checksum(STREAM_SEED, ++seq, size, at + HEADER) != get_u32(at + 4))
			bench_die("a frame's checksum is wrong");
		at += HEADER + size;
	}
	slot->parsed = (size_t)(at - slot->data);
	f->messages = slot->messages = seq;
}

/* Closes the open slot and submits its write; what is not a whole frame yet moves to the next slot. */
static void commit(struct floor *f)
{
	struct slot *slot = &f->slots[f->open % SLOTS], *next = &f->slots[(f->open + 1) % SLOTS];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&f->ring);
	size_t rest = slot->filled - slot->parsed;

	errno = 0;
	if (!sqe)
		bench_die("submission queue");
	memcpy(next->data, slot->data + slot->parsed, rest);
	next->filled = rest;
	next->parsed = 0;
	next->messages = f->messages;
	slot->written = (size_t)round_up(slot->parsed, BLOCK);
	memset(slot->data + slot->parsed, 0, slot->written - slot->parsed);
	slot->done = false;
	if (f->offset + slot->written > f->file_size) {
		f->offset = 0;
		f->wraps++;
	}
	io_uring_prep_write(sqe, f->file, slot->data, (unsigned)slot->written, f->offset);
	sqe->rw_flags = RWF_DSYNC;
	sqe->user_data = f->open % SLOTS;
	f->offset += slot->written;
	f->wire_bytes += slot->parsed;
	f->commits++;
	f->open++;
	if (io_uring_submit(&f->ring) < 0)
		bench_die("submit");
}

/* Takes what has completed. Returns whether more messages are durable than before. */
static bool complete(struct floor *f)
{
	struct io_uring_cqe *cqe;
	uint64_t before = f->durable;
	unsigned index, seen = 0;

	errno = 0;
	io_uring_for_each_cqe(&f->ring, index, cqe)
	{
		seen++;
		if (cqe->user_data == TAG_POLL) {
			f->poll_armed = false;
			continue;
		}
		if (cqe->res != (int)f->slots[cqe->user_data].written) {
			errno = cqe->res < 0 ? -cqe->res : 0;
			bench_die("a durable write");
		}
		f->slots[cqe->user_data].done = true;
	}
	io_uring_cq_advance(&f->ring, seen);
	for (; f->head != f->open && f->slots[f->head % SLOTS].done; f->head++)
		f->durable = f->slots[f->head % SLOTS].messages;
	return f->durable != before;
}

static void answer(struct floor *f)
{
	uint8_t count[8];

	put_u64(count, f->durable);
	bench_send_all(f->fd, count, sizeof(count));
}

/* Returns false when nothing could be received: no bytes are there, or no staging is free. */
static bool receive(struct floor *f)
{
	struct slot *slot = &f->slots[f->open % SLOTS];
	size_t room = f->options->commit + RECEIVE - slot->filled;
	ssize_t got;

	if (f->ended || slot->parsed >= f->options->commit || room < RECEIVE / 2)
		return false;
	got = recv(f->fd, slot->data + slot->filled, room < RECEIVE ? room : RECEIVE, MSG_DONTWAIT);
	if (got < 0 && errno != EAGAIN)
		bench_die("recv");
	if (got == 0)
		f->ended = true;
	if (got <= 0)
		return false;
	slot->filled += (size_t)got;
	check(f, slot);
	return true;
}

static void sleep_until_something(struct floor *f)
{
	struct io_uring_cqe *cqe;

	if (!f->poll_armed && !f->ended && f->slots[f->open % SLOTS].parsed < f->options->commit) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&f->ring);
		if (!sqe)
			bench_die("submission queue");
		io_uring_prep_poll_add(sqe, f->fd, POLLIN);
		sqe->user_data = TAG_POLL;
		f->poll_armed = true;
	}
	if (io_uring_submit(&f->ring) < 0 || io_uring_wait_cqe(&f->ring, &cqe) < 0)
		bench_die("wait");
}

static void serve(struct floor *f)
{
	while (!f->ended || f->head != f->open || f->slots[f->open % SLOTS].parsed) {
		bool received = receive(f);
		struct slot *slot = &f->slots[f->open % SLOTS];
		unsigned in_flight;

		if (complete(f))
			answer(f);
		in_flight = f->open - f->head;
		/* A full slot goes when it may; a small one only when the disk has nothing else to do. */
		if (slot->parsed && in_flight < f->options->flight &&
		    (slot->parsed >= f->options->commit || (!received && in_flight == 0)))
			commit(f);
		else if (!received && !(f->ended && !in_flight && !slot->parsed))
			sleep_until_something(f);
	}
}

static void print(const struct floor *f, uint64_t ns, uint64_t cpu)
{
	double seconds = (double)ns / 1e9, messages = (double)f->durable;

	printf("{\"messages_per_second\": %.0f, \"acknowledged\": %llu, "
	       "\"seconds\": %.6f, \"size\": %u, "
	       "\"over\": \"%s\", \"bytes_per_second\": %.0f, \"cpu_us_per_message\": %.6f, "
	       "\"commits\": %llu, \"wraps\": %llu}\n",
	       messages / seconds, (unsigned long long)f->durable, seconds, f->options->size,
	       f->options->over_zeros ? "zeros" : "fallocated", (double)f->wire_bytes / seconds,
	       messages > 0 ? (double)cpu / 1e3 / messages : 0, (unsigned long long)f->commits,
	       (unsigned long long)f->wraps);
}

static const char usage[] =
	"floor_stream --dir DIR [--over fallocated|zeros] [--size N] [--bytes N | --seconds N]\n"
	"                    [--window N] [--commit N] [--flight N] [--ring N]";

static void take_options(int argc, char **argv, struct stream_options *o)
{
	static const struct option names[] = {
		{ "dir", 1, NULL, 'd' }, { "over", 1, NULL, 'o' }, { "size", 1, NULL, 's' }, { "bytes", 1, NULL, 'b' },
		{ "seconds", 1, NULL, 't' }, { "window", 1, NULL, 'w' }, { "commit", 1, NULL, 'c' }, { "flight", 1, NULL, 'f' },
		{ "ring", 1, NULL, 'r' }, { NULL, 0, NULL, 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;)
		switch (c) {
		case 'd': o->dir = optarg; break;
		case 'o': o->over_zeros = !strcmp(optarg, "zeros"); break;
		case 's': o->size = (uint32_t)bench_number(optarg); break;
		case 'b': o->bytes = bench_number(optarg); break;
		case 't': o->seconds = bench_number(optarg); break;
		case 'w': o->window = bench_number(optarg); break;
		case 'c': o->commit = (size_t)round_up(bench_number(optarg), BLOCK); break;
		case 'f': o->flight = (unsigned)bench_number(optarg); break;
		case 'r': o->ring_bytes = bench_number(optarg); break;
		default: bench_usage(usage);
		}
	if (!o->dir || !o->size || o->size > o->commit / 2 || !o->flight || o->flight > SLOTS - 2)
		bench_usage(usage);
}

int main(int argc, char **argv)
{
	struct stream_options options = {
		.size = 100, .bytes = 1 << 30, .window = 64 << 20, .commit = 1 << 20, .flight = 4,
		.ring_bytes = UINT64_C(2) << 30,
	};
	static struct floor f;
	uint64_t began, cpu;
	uint16_t port;
	pid_t child;
	int listener, status;

	take_options(argc, argv, &options);
	prepare(&f, &options);
	listener = bench_listen(&port);
	child = fork();
	if (child < 0)
		bench_die("fork");
	if (!child)
		return stream_send(&options, port);
	f.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (f.fd < 0)
		bench_die("accept");
	if (io_uring_queue_init(64, &f.ring,
				IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER))
		bench_die("io_uring");
	cpu = bench_cpu();
	began = bench_now();
	serve(&f);
	print(&f, bench_now() - began, bench_cpu() - cpu);
	shutdown(f.fd, SHUT_WR);
	if (waitpid(child, &status, 0) != child || status) {
		errno = 0;
		bench_die("the sender failed");
	}
	return 0;
}
