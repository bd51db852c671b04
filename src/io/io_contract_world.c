#include "io/io_contract.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

const char *contract_backend = "epoll";

static char directory[64];
static struct rlimit descriptors, file_size; /* tests lower them */
static uint8_t pattern_bytes[9 << 20]; /* what is sent */

uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void create(struct world *world, uint32_t sockets_max, uint32_t buffer_count,
		   uint32_t buffer_size)
{
	struct io_config config = { .sockets_max = sockets_max,
				    .buffer_count = buffer_count,
				    .buffer_size = buffer_size,
				    .backend = contract_backend };

	assert_int_equal(io_create(&config, &world->io), 0);
}

int world_setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (pattern_bytes[1] == 0)
		for (size_t i = 0; i < sizeof(pattern_bytes); i++)
			pattern_bytes[i] = pattern(i);
	getrlimit(RLIMIT_NOFILE, &descriptors);
	getrlimit(RLIMIT_FSIZE, &file_size);
	strcpy(directory, "/var/tmp/roger-io-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	create(world, 64, BUFFER_COUNT, BUFFER_SIZE);
	*state = world;
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;

	/* Also after a test that failed in the middle. */
	setrlimit(RLIMIT_NOFILE, &descriptors);
	setrlimit(RLIMIT_FSIZE, &file_size);
	DIR *list = opendir(directory);
	io_destroy(world->io);
	free(world);
	for (const struct dirent *one; list && (one = readdir(list)) != NULL;)
		unlinkat(dirfd(list), one->d_name, 0);
	closedir(list);
	return rmdir(directory);
}

void world_again(struct world *world, uint32_t sockets_max, uint32_t buffer_count,
		 uint32_t buffer_size)
{
	io_destroy(world->io);
	memset(world, 0, sizeof(*world));
	create(world, sockets_max, buffer_count, buffer_size);
}

const char *world_path(const char *name)
{
	static char path[IO_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

struct end *world_new_end(struct world *world)
{
	assert_true(world->end_count < ENDS_MAX);
	struct end *end = &world->ends[world->end_count++];
	*end = (struct end){ .world = world, .connected = NOT_YET, .end = NOT_YET };
	return end;
}

/* --- events */

static void send_on(struct end *end)
{
	uint64_t left = end->to_send - end->sent;

	if (end->sent >= end->to_send || end->sending || end->send_error)
		return;
	if (end->piece && left > end->piece)
		left = end->piece;
	if (end->answer) {
		end->sending = !io_send_answer(end->world->io, end->socket,
					       &pattern_bytes[end->sent], left, end->last);
		if (!end->sending) {
			end->answered++;
			end->sent += left;
		}
		return;
	}
	/* In two spans, where that can be. */
	struct io_span spans[2] = { { &pattern_bytes[end->sent], left / 2 },
				    { &pattern_bytes[end->sent + left / 2], left - left / 2 } };
	end->sending = true;
	io_send(end->world->io, end->socket, spans, 2);
}

static void received_bytes(struct end *end, const struct io_event *event)
{
	assert_true(end->end == NOT_YET);
	assert_true(event->result <= (int)(1 << 20));
	assert_true(end->receives == 0 || end->turn_of_receive != end->world->turns);
	end->turn_of_receive = end->world->turns;
	end->receives++;
	for (int i = 0; i < event->result; i++, end->received++) {
		if (end->received < sizeof(end->first))
			end->first[end->received] = event->data[i];
		if (!end->text && event->data[i] != pattern(end->received))
			fail_msg("byte %llu is not what was sent",
				 (unsigned long long)end->received);
	}
	end->drained = event->drained;
	if (end->echo) {
		end->to_send = end->received;
		send_on(end);
	}
	if (end->keep)
		end->kept[end->kept_count++] = event->buffer;
	else
		io_buffer_return(end->world->io, event->buffer);
}

static void received(struct end *end, const struct io_event *event)
{
	assert_false(end->closed);
	if (event->result > 0) {
		received_bytes(end, event);
		return;
	}
	assert_int_equal(end->end, NOT_YET);
	end->end = event->result;
}

static void accepted(struct end *end, const struct io_event *event)
{
	assert_true(end->accepted_count < ACCEPTED_MAX);
	assert_int_not_equal(event->socket, 0);
	end->peers[end->accepted_count] = event->peer;
	end->accepted[end->accepted_count++] = event->socket;
}

static void sent(struct end *end, const struct io_event *event)
{
	assert_true(end->sending);
	assert_int_not_equal(event->result, 0);
	end->sending = false;
	end->sents++;
	if (event->result < 0)
		end->send_error = event->result;
	else
		end->sent += (uint64_t)event->result;
	send_on(end);
}

static void connected(struct end *end, const struct io_event *event)
{
	assert_int_equal(end->connected, NOT_YET);
	assert_true(end->receives == 0 && end->end == NOT_YET);
	end->connected = event->result;
}

static void take(struct world *world, const struct io_event *event)
{
	struct end *end = event->owner;

	world->events++;
	switch (event->kind) {
	case IO_ACCEPTED: accepted(end, event); break;
	case IO_ACCEPT_FAILED:
		end->accept_failures++;
		end->accept_error = event->result;
		break;
	case IO_CONNECTED: connected(end, event); break;
	case IO_RECEIVED: received(end, event); break;
	case IO_SENT: sent(end, event); break;
	case IO_CLOSED:
		assert_int_equal(event->socket, end->socket);
		assert_false(end->closed);
		end->closed = true;
		break;
	case IO_WRITTEN:
		assert_int_equal(event->result, event->write->result);
		world->written = event->write;
		world->written_count++;
		break;
	case IO_JOB_DONE:
		assert_int_equal(event->result, event->job->result);
		world->jobs[world->job_count++] = event->job;
		break;
	case IO_SIGNAL: world->signals[world->signal_count++] = event->result; break;
	}
}

void world_turn(struct world *world, uint64_t deadline_ns)
{
	struct io_event event;

	assert_int_equal(io_wait(world->io, deadline_ns), 0);
	world->turns++;
	while (io_next(world->io, &event))
		take(world, &event);
}

static uint64_t processor_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void world_idle(struct world *world, uint64_t ns)
{
	uint64_t deadline_ns = clock_monotonic_ns() + ns;
	uint64_t processor = processor_ns();
	unsigned events = world->events;
	unsigned turns = world->turns;

	while (clock_monotonic_ns() < deadline_ns)
		world_turn(world, deadline_ns);
	assert_int_equal(world->events, events);
	/* A wake-up or two to find out that nobody wants to hear it are allowed. */
	assert_true(world->turns - turns <= 5);
	assert_true(processor_ns() - processor < ns / 4);
}

/* --- making */

struct io_endpoint at_ipv4(uint16_t port)
{
	return (struct io_endpoint){
		.peer = { .family = PEER_IPV4, .port = port, .address = { 127, 0, 0, 1 } }
	};
}

struct io_endpoint at_ipv6(uint16_t port)
{
	return (struct io_endpoint){
		.peer = { .family = PEER_IPV6, .port = port, .address = { [15] = 1 } }
	};
}

struct io_endpoint at_unix(const char *path)
{
	struct io_endpoint at = { .peer = { .family = PEER_UNIX } };

	snprintf(at.path, sizeof(at.path), "%s", path);
	return at;
}

struct end *world_listen(struct world *world, const struct io_endpoint *at,
			 struct io_endpoint *ret_bound)
{
	struct end *end = world_new_end(world);

	assert_int_equal(io_listen(world->io, at, end, &end->socket, ret_bound), 0);
	return end;
}

struct end *world_connect(struct world *world, const struct io_endpoint *to)
{
	struct end *end = world_new_end(world);

	assert_int_equal(io_connect(world->io, to, end, &end->socket), 0);
	return end;
}

struct end *world_accepted(struct end *listener)
{
	struct end *end = world_new_end(listener->world);

	assert_true(listener->accepted_count > 0);
	end->socket = listener->accepted[--listener->accepted_count];
	io_set_owner(end->world->io, end->socket, end);
	return end;
}

struct pair world_pair(struct world *world)
{
	struct io_endpoint at = at_ipv4(0), bound;
	struct pair pair = { .listener = world_listen(world, &at, &bound) };

	pair.client = world_connect(world, &bound);
	UNTIL(world, pair.client->connected != NOT_YET && pair.listener->accepted_count == 1);
	assert_int_equal(pair.client->connected, 0);
	pair.server = world_accepted(pair.listener);
	return pair;
}

void end_arm(struct end *end, bool armed)
{
	io_receive(end->world->io, end->socket, armed);
}

void end_send(struct end *end, uint64_t size)
{
	end->to_send += size;
	assert_true(end->to_send <= sizeof(pattern_bytes));
	send_on(end);
}

void end_answer(struct end *end, uint64_t size, bool is_last)
{
	end->answer = true;
	end->last = is_last;
	end_send(end, size);
}

void end_send_text(struct end *end, const char *text)
{
	struct io_span span = { text, strlen(text) };

	assert_false(end->sending);
	end->sending = true;
	end->to_send = end->sent + span.size;
	io_send(end->world->io, end->socket, &span, 1);
}

void end_return(struct end *end, unsigned count)
{
	assert_true(count <= end->kept_count);
	for (unsigned i = 0; i < count; i++)
		io_buffer_return(end->world->io, end->kept[i]);
	end->kept_count -= count;
	memmove(end->kept, end->kept + count, end->kept_count * sizeof(end->kept[0]));
}

void end_close(struct end *end, bool reset)
{
	io_close(end->world->io, end->socket, reset);
}
