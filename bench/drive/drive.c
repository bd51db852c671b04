/* The load generator of `make bench`: messages of any peer's protocol on one or many connections, one thread, epoll.
 *
 * Each connection has at most --window messages unanswered: 1 is a closed loop, many is a pipeline. With --rate messages are
 * due at fixed instants, in turn on all connections, and their latency counts from when they were due. The peers' own
 * messages come prepared (--message FILE, with --messages of one size in it) and are sent over and over; a connection on
 * which somebody has already shaken hands is taken over with --fd. Prints one JSON object.
 *
 * --hold connects (Roger: up to WELCOME), prints a line and stays until its standard input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bench.h"
#include "drive/protocol.h"

enum {
	GATHER = 256 * 1024, /* bytes of messages in one write */
	RECEIVE = 64 * 1024,
	EVENTS = 512,
	MARKS_MAX = 4096,    /* writes whose instant is remembered, per connection */
	DRAIN_SECONDS = 30,  /* how long answers are awaited after the last message */
};

/* Messages up to `upto` were sent (or due) at `ns`. */
struct mark {
	uint64_t upto, ns;
};

struct connection {
	int fd;
	struct talk talk;
	uint8_t *out;
	uint64_t out_size, out_sent, out_room; /* room: messages */
	struct mark *marks;
	unsigned mark_head, mark_tail, mark_room; /* count up; used modulo mark_room, a power of two */
	bool wants_out;
};

struct drive {
	struct protocol protocol;
	const char *address, *message_file;
	int fd;
	bool hold;
	uint64_t connections, window, count, seconds, rate, size;
	struct connection *all;
	int poll;
	uint64_t made, answered, began, last_answer;
	uint64_t next_due, turn;
	struct bench_times times;
};

static const char usage[] =
	"drive --connect HOST:PORT | --fd N  --protocol roger|echo|lines|postgres|amqp [--size N]\n"
	"             [--message FILE --messages N] [--per-answer N] [--lines N]\n"
	"             [--number-from N] [--connections N] [--window N]\n"
	"             [--count N | --seconds N] [--rate N] [--hold]";

static void map_message(struct drive *d)
{
	struct stat about;
	int fd = open(d->message_file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &about))
		bench_die(d->message_file);
	errno = 0;
	if (!d->protocol.prepared_count || !about.st_size ||
	    (uint64_t)about.st_size % d->protocol.prepared_count)
		bench_die("--messages does not divide the file");
	d->protocol.message_size = (uint64_t)about.st_size / d->protocol.prepared_count;
	d->protocol.prepared = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (d->protocol.prepared == MAP_FAILED)
		bench_die(d->message_file);
	close(fd);
}

static void open_connection(struct drive *d, struct connection *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	uint64_t gather = GATHER / d->protocol.message_size ? GATHER / d->protocol.message_size : 1;

	c->fd = d->fd >= 0 ? d->fd : bench_connect(d->address);
	protocol_begin(&d->protocol, &c->talk, c->fd);
	c->out_room = d->window < gather ? d->window : gather;
	for (c->mark_room = 1; c->mark_room < MARKS_MAX && c->mark_room < d->window;)
		c->mark_room *= 2;
	c->out = malloc(c->out_room * d->protocol.message_size);
	c->marks = malloc(c->mark_room * sizeof(*c->marks));
	if (!c->out || !c->marks)
		bench_die("memory");
	if (epoll_ctl(d->poll, EPOLL_CTL_ADD, c->fd, &event))
		bench_die("epoll_ctl");
}

/* Sends what is made. */
static void flush(struct drive *d, struct connection *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	while (c->out_sent < c->out_size) {
		ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0)
			bench_die("send");
		c->out_sent += (uint64_t)sent;
	}
	if ((c->out_sent < c->out_size) != c->wants_out) {
		c->wants_out = !c->wants_out;
		event.events |= c->wants_out ? EPOLLOUT : 0;
		if (epoll_ctl(d->poll, EPOLL_CTL_MOD, c->fd, &event))
			bench_die("epoll_ctl");
	}
}

/* Makes and sends up to `most` messages as far as window and memory go, due at `ns`. Returns how many. */
static uint64_t put(struct drive *d, struct connection *c, uint64_t most, uint64_t ns)
{
	uint64_t n = d->window - (c->talk.made - c->talk.answered);

	if (c->out_sent < c->out_size || c->mark_tail - c->mark_head == c->mark_room)
		return 0;
	n = n < most ? n : most;
	n = n < c->out_room ? n : c->out_room;
	if (!n)
		return 0;
	protocol_make(&d->protocol, &c->talk, c->out, n);
	c->marks[c->mark_tail++ % c->mark_room] = (struct mark){ c->talk.made, ns };
	c->out_size = n * d->protocol.message_size;
	c->out_sent = 0;
	d->made += n;
	flush(d, c);
	return n;
}

/* As many as may be sent on this connection now. */
static void fill(struct drive *d, struct connection *c)
{
	while (!d->rate && d->made < d->count && put(d, c, d->count - d->made, bench_now())) {
	}
}

static void receive(struct drive *d, struct connection *c)
{
	static uint8_t data[RECEIVE];
	ssize_t got = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
	uint64_t before = c->talk.answered, counted = before, now;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		bench_die("the peer closed the connection");
	protocol_take(&d->protocol, &c->talk, data, (size_t)got);
	if (c->talk.answered == before)
		return;
	errno = 0;
	if (c->talk.answered > c->talk.made)
		bench_die("more answers than messages");
	now = bench_now();
	while (counted < c->talk.answered) {
		struct mark *m = &c->marks[c->mark_head % c->mark_room];
		uint64_t upto = m->upto < c->talk.answered ? m->upto : c->talk.answered;
		bench_times_add(&d->times, now - m->ns, upto - counted);
		counted = upto;
		c->mark_head += upto == m->upto;
	}
	d->answered += c->talk.answered - before;
	d->last_answer = now;
}

/* What is due by now, in turn on all connections. One that may not send holds up the others, and the latency shows it. */
static void keep_rate(struct drive *d)
{
	while (d->next_due <= bench_now() && d->made < d->count) {
		if (!put(d, &d->all[d->turn % d->connections], 1, d->next_due))
			return;
		d->turn++;
		d->next_due = d->began + (uint64_t)((double)d->made * 1e9 / (double)d->rate);
	}
}

static void run(struct drive *d)
{
	static struct epoll_event events[EVENTS];
	uint64_t until = d->seconds ? d->began + d->seconds * 1000000000u : UINT64_MAX;
	uint64_t give_up = UINT64_MAX;

	for (uint64_t i = 0; i < d->connections; i++)
		fill(d, &d->all[i]);
	while (d->made < d->count || d->answered < d->made) {
		int ready = epoll_wait(d->poll, events, EVENTS,
				       d->rate && d->made < d->count ? 1 : 100);
		for (int i = 0; i < ready; i++) {
			struct connection *c = events[i].data.ptr;
			if (events[i].events & EPOLLOUT)
				flush(d, c);
			if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				receive(d, c);
			fill(d, c);
		}
		if (d->rate)
			keep_rate(d);
		if (bench_now() >= until && d->count != d->made)
			d->count = d->made; /* nothing more; the answers are awaited */
		if (give_up == UINT64_MAX && d->made >= d->count)
			give_up = bench_now() + DRAIN_SECONDS * UINT64_C(1000000000);
		errno = 0;
		if (bench_now() > give_up)
			bench_die("not everything was acknowledged in time");
	}
}

static void print(const struct drive *d, uint64_t cpu)
{
	double seconds = (double)(d->last_answer - d->began) / 1e9;

	printf("{\"messages_per_second\": %.1f, \"acknowledged\": %llu, "
	       "\"seconds\": %.6f, \"size\": %llu, "
	       "\"connections\": %llu, \"client_cpu_us_per_message\": %.4f, ",
	       (double)d->answered / seconds, (unsigned long long)d->answered, seconds,
	       (unsigned long long)d->size, (unsigned long long)d->connections,
	       (double)cpu / 1e3 / (double)(d->answered ? d->answered : 1));
	bench_times_print(&d->times);
	printf("}\n");
}

static void take_options(int argc, char **argv, struct drive *d)
{
	static const struct option names[] = {
		{ "connect", 1, NULL, 'a' }, { "fd", 1, NULL, 'f' }, { "protocol", 1, NULL, 'p' }, { "size", 1, NULL, 's' },
		{ "message", 1, NULL, 'm' }, { "messages", 1, NULL, 'M' }, { "per-answer", 1, NULL, 'A' }, { "lines", 1, NULL, 'l' },
		{ "connections", 1, NULL, 'c' }, { "window", 1, NULL, 'w' }, { "count", 1, NULL, 'n' }, { "seconds", 1, NULL, 't' },
		{ "rate", 1, NULL, 'r' }, { "hold", 0, NULL, 'h' }, { "number-from", 1, NULL, 'N' }, { NULL, 0, NULL, 0 },
	};
	uint64_t messages = 0, per_answer = 0, lines = 0, number_from = 0;
	bool named = false;

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;)
		switch (c) {
		case 'a': d->address = optarg; break;
		case 'f': d->fd = (int)bench_number(optarg); break;
		case 'p': named = protocol_named(&d->protocol, optarg); break;
		case 's': d->size = bench_number(optarg); break;
		case 'm': d->message_file = optarg; break;
		case 'M': messages = bench_number(optarg); break;
		case 'A': per_answer = bench_number(optarg); break;
		case 'N': number_from = bench_number(optarg); break;
		case 'l': lines = bench_number(optarg); break;
		case 'c': d->connections = bench_number(optarg); break;
		case 'w': d->window = bench_number(optarg); break;
		case 'n': d->count = bench_number(optarg); break;
		case 't': d->seconds = bench_number(optarg); break;
		case 'r': d->rate = bench_number(optarg); break;
		case 'h': d->hold = true; break;
		default: bench_usage(usage);
		}
	if (!named || (!d->address && d->fd < 0) || !d->connections || !d->window ||
	    (d->fd >= 0 && d->connections > 1))
		bench_usage(usage);
	d->protocol.prepared_count = messages;
	d->protocol.number_from = number_from;
	d->protocol.per_answer = per_answer ? per_answer : d->protocol.per_answer;
	d->protocol.lines = lines ? lines : d->protocol.lines;
}

int main(int argc, char **argv)
{
	static struct drive d = {
		.fd = -1, .connections = 1, .window = 1, .count = UINT64_MAX, .size = 100
	};
	uint64_t cpu;

	take_options(argc, argv, &d);
	if (d.count == UINT64_MAX && !d.seconds)
		d.seconds = 5;
	bench_raise_descriptors();
	d.protocol.message_size = d.size + 8;
	if (d.message_file)
		map_message(&d);
	d.poll = epoll_create1(EPOLL_CLOEXEC);
	d.all = calloc(d.connections, sizeof(*d.all));
	if (d.poll < 0 || !d.all)
		bench_die("memory");
	for (uint64_t i = 0; i < d.connections; i++)
		open_connection(&d, &d.all[i]);
	if (d.hold) {
		printf("{\"connections\": %llu}\n", (unsigned long long)d.connections);
		fflush(stdout);
		while (getchar() != EOF) {
		}
		return 0;
	}
	cpu = bench_cpu();
	d.began = d.next_due = bench_now();
	run(&d);
	print(&d, bench_cpu() - cpu);
	return 0;
}
