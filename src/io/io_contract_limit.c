#include "io/io_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- nobody listens */

static void test_disarmed_receives_nothing(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	end_arm(pair.server, true);
	end_send(pair.client, 10);
	UNTIL(world, pair.server->received == 10 && pair.client->sent == 10);
	end_arm(pair.server, false);
	end_send(pair.client, 10);
	UNTIL(world, pair.client->sent == 20);
	world_idle(world, 50 * MS_NS);
	assert_int_equal(pair.server->received, 10);
	assert_true(io_readable(world->io, pair.server->socket));
	end_arm(pair.server, true);
	UNTIL(world, pair.server->received == 20);
	/* Back and forth within a turn. */
	end_arm(pair.server, false);
	end_arm(pair.server, true);
	end_arm(pair.server, false);
	end_send(pair.client, 10);
	UNTIL(world, pair.client->sent == 30);
	world_idle(world, 20 * MS_NS);
	assert_int_equal(pair.server->received, 20);
}

/* The peer goes away while nobody listens: nothing spins, and the end is not lost. */
static void hang_up(struct world *world, bool both_sides, bool reset)
{
	struct pair pair = world_pair(world);

	end_arm(pair.server, true);
	world_turn(world, 0);
	end_arm(pair.server, false);
	if (both_sides)
		io_shutdown(world->io, pair.server->socket);
	if (!reset) {
		end_send(pair.client, 10);
		UNTIL(world, pair.client->sent == 10);
	}
	end_close(pair.client, reset);
	UNTIL(world, pair.client->closed);
	world_idle(world, 100 * MS_NS);
	assert_int_equal(pair.server->end, NOT_YET);
	assert_true(io_readable(world->io, pair.server->socket));
	end_arm(pair.server, true);
	UNTIL(world, pair.server->end != NOT_YET);
	assert_int_equal(pair.server->end, reset ? -ECONNRESET : 0);
	assert_int_equal(pair.server->received, reset ? 0 : 10);
	world_idle(world, 100 * MS_NS);
	end_close(pair.server, false);
	end_close(pair.listener, false);
	UNTIL(world, pair.server->closed && pair.listener->closed);
}

static void test_hang_up_while_disarmed(void **state)
{
	for (unsigned row = 0; row < 4; row++) {
		print_message("row %u\n", row);
		hang_up(*state, row & 1, row & 2);
	}
}

static void test_accepting_disarmed(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound;
	struct end *listener = world_listen(world, &at, &bound);

	io_accept(world->io, listener->socket, false);
	struct end *client = world_connect(world, &bound);
	UNTIL(world, client->connected == 0);
	world_idle(world, 50 * MS_NS);
	assert_int_equal(listener->accepted_count, 0);
	io_accept(world->io, listener->socket, true);
	UNTIL(world, listener->accepted_count == 1);
}

static void test_many_idle_connections(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound;
	enum { PAIRS = 300 };
	struct end *clients[PAIRS], *servers[PAIRS];

	world_again(world, 2 * PAIRS + 1, BUFFER_COUNT, BUFFER_SIZE);
	struct end *listener = world_listen(world, &at, &bound);
	for (unsigned i = 0; i < PAIRS; i++) {
		clients[i] = world_connect(world, &bound);
		UNTIL(world, clients[i]->connected == 0 && listener->accepted_count == 1);
		servers[i] = world_accepted(listener);
		end_arm(clients[i], true);
		end_arm(servers[i], true);
	}
	world_idle(world, 200 * MS_NS);
	for (unsigned i = 0; i < PAIRS; i++)
		end_send(clients[i], 10);
	for (unsigned i = 0; i < PAIRS; i++)
		UNTIL(world, servers[i]->received == 10);
	assert_int_equal(io_buffers_free(world->io), BUFFER_COUNT);
}

/* --- buffers */

enum { STREAMS = 6 };

static unsigned count_of_receives(struct end *ends[STREAMS], unsigned *ret_max)
{
	unsigned sum = 0;

	*ret_max = 0;
	for (unsigned i = 0; i < STREAMS; i++) {
		sum += ends[i]->receives;
		if (ends[i]->receives > *ret_max)
			*ret_max = ends[i]->receives;
	}
	return sum;
}

/* Connections whose servers' ends have so many bytes to receive, and keep the buffers. Not armed yet. */
static void fill(struct world *world, struct end *ends[STREAMS], uint64_t size)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		struct pair pair = world_pair(world);
		ends[i] = pair.server;
		ends[i]->keep = true;
		end_send(pair.client, size);
		UNTIL(world, pair.client->sent == size);
	}
}

/* Six that have something to receive, and two buffers: each gets its turn, and nothing spins meanwhile. */
static void test_no_buffers(void **state)
{
	struct world *world = *state;
	struct end *ends[STREAMS];
	unsigned max;

	world_again(world, 64, 2, 100);
	fill(world, ends, 300);
	for (unsigned i = 0; i < STREAMS; i++)
		end_arm(ends[i], true);
	for (unsigned receives = 2; receives <= 3 * STREAMS; receives++) {
		UNTIL(world, count_of_receives(ends, &max) == receives);
		assert_int_equal(io_buffers_free(world->io), 0);
		/* Fair: nobody is a round ahead of the one who waits. */
		assert_true(max <= (receives + STREAMS - 1) / STREAMS + 1);
		if (receives % 5 == 0) {
			world_idle(world, 20 * MS_NS);
			assert_int_equal(count_of_receives(ends, &max), receives);
		}
		for (unsigned i = 0; i < STREAMS; i++)
			if (ends[i]->kept_count > 0) {
				end_return(ends[i], 1);
				break;
			}
	}
	world_idle(world, 20 * MS_NS);
	for (unsigned i = 0; i < STREAMS; i++) {
		assert_int_equal(ends[i]->received, 300);
		end_return(ends[i], ends[i]->kept_count);
	}
	assert_int_equal(io_buffers_free(world->io), 2);
}

/* Those who wait for a buffer may lose interest, also when one has just been kept for them. */
static void test_no_buffers_then_disarmed_or_closed(void **state)
{
	struct world *world = *state;
	struct end *ends[STREAMS];

	world_again(world, 64, 1, 100);
	fill(world, ends, 100);
	end_arm(ends[0], true);
	UNTIL(world, ends[0]->received == 100);
	for (unsigned i = 1; i < STREAMS; i++) { /* in this order they wait */
		end_arm(ends[i], true);
		world_turn(world, 0);
	}
	world_idle(world, 20 * MS_NS);
	assert_int_equal(ends[0]->received, 100);
	end_arm(ends[1], false);
	end_close(ends[2], false);
	end_return(ends[0], 1);  /* for 3 */
	end_arm(ends[3], false); /* so for 4 */
	end_close(ends[4], false);
	UNTIL(world, ends[5]->received == 100 && ends[2]->closed && ends[4]->closed);
	assert_int_equal(ends[1]->received + ends[2]->received + ends[3]->received, 0);
	end_return(ends[5], 1);
	assert_int_equal(io_buffers_free(world->io), 1);
	end_arm(ends[1], true);
	end_arm(ends[3], true);
	UNTIL(world, ends[1]->received == 100 || ends[3]->received == 100);
	end_return(ends[1]->received ? ends[1] : ends[3], 1);
	UNTIL(world, ends[1]->received == 100 && ends[3]->received == 100);
}

/* The end needs a buffer only to find out. */
static void test_end_with_no_buffers(void **state)
{
	struct world *world = *state;

	world_again(world, 64, 1, 100);
	struct pair holder = world_pair(world);
	struct pair pair = world_pair(world);

	holder.server->keep = true;
	end_send(holder.client, 1);
	end_arm(holder.server, true);
	UNTIL(world, holder.server->kept_count == 1);
	end_close(pair.client, false);
	end_arm(pair.server, true);
	UNTIL(world, pair.client->closed);
	world_idle(world, 50 * MS_NS);
	end_return(holder.server, 1);
	UNTIL(world, pair.server->end == 0);
	assert_int_equal(io_buffers_free(world->io), 1);
}

/* A buffer outlives its socket. */
static void test_buffer_returned_after_close(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	pair.server->keep = true;
	end_arm(pair.server, true);
	end_send(pair.client, 10);
	UNTIL(world, pair.server->received == 10);
	end_close(pair.server, false);
	UNTIL(world, pair.server->closed);
	assert_int_equal(io_buffers_free(world->io), BUFFER_COUNT - 1);
	end_return(pair.server, 1);
	assert_int_equal(io_buffers_free(world->io), BUFFER_COUNT);
}

/* --- slots */

static void test_slots_are_used_again(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound;
	io_socket socket = 0;

	world_again(world, 3, 1, 100);
	struct end *listener = world_listen(world, &at, &bound);
	struct end *client = world_new_end(world), *server = world_new_end(world);
	for (unsigned round = 0; round < 50; round++) {
		*client = *server =
			(struct end){ .world = world, .connected = NOT_YET, .end = NOT_YET };
		assert_int_equal(io_connect(world->io, &bound, client, &client->socket), 0);
		UNTIL(world, client->connected == 0 && listener->accepted_count == 1);
		server->socket = listener->accepted[0];
		listener->accepted_count = 0;
		io_set_owner(world->io, server->socket, server);
		assert_true(client->socket <= 3 && server->socket <= 3);
		assert_int_equal(io_connect(world->io, &bound, client, &socket), -EMFILE);
		assert_int_equal(io_adopt(world->io, 0, client, &socket), -EMFILE);
		assert_int_equal(io_listen(world->io, &at, client, &socket, &at), -EMFILE);
		end_arm(server, true);
		end_send(client, 10);
		UNTIL(world, server->received == 10);
		end_close(server, round % 2);
		/* Closed, but not yet seen to be: still in use. */
		assert_int_equal(io_connect(world->io, &bound, client, &socket), -EMFILE);
		UNTIL(world, server->closed);
		end_close(client, false);
		UNTIL(world, client->closed);
	}
	assert_int_equal(socket, 0);
}

/* All slots are in use: a connection waits, nothing spins, and it is accepted when one is free. */
static void test_accepting_waits_for_a_slot(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound;

	world_again(world, 3, 1, 100);
	struct end *listener = world_listen(world, &at, &bound);
	struct end *one = world_connect(world, &bound);
	struct end *two = world_connect(world, &bound);
	UNTIL(world, one->connected == 0 && two->connected == 0);
	world_idle(world, 100 * MS_NS);
	assert_int_equal(listener->accepted_count, 0);
	end_close(one, false);
	UNTIL(world, one->closed && listener->accepted_count == 1);
	world_idle(world, 50 * MS_NS);
	struct end *server = world_accepted(listener);
	end_close(server, false);
	UNTIL(world, server->closed && listener->accepted_count == 1);
}

/* --- descriptors */

static rlim_t lowest_free_descriptor(void)
{
	int descriptor = open("/dev/null", O_RDONLY);

	close(descriptor);
	return (rlim_t)descriptor;
}

/* None left: accepting says so and tries again, less and less often, and holds no descriptor that others need meanwhile. */
static void test_no_descriptors(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound;
	struct rlimit before, none;

	struct end *listener = world_listen(world, &at, &bound);
	struct end *client = world_connect(world, &bound);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = lowest_free_descriptor();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(open("/dev/null", O_RDONLY), -1);

	UNTIL(world, client->connected == 0 && listener->accept_failures == 1);
	uint64_t first_ns = io_now(world->io);
	assert_int_equal(listener->accept_error, -EMFILE);
	int spare = open("/dev/null", O_RDONLY);
	assert_true(spare >= 0);
	UNTIL(world, listener->accept_failures == 2);
	assert_true(io_now(world->io) - first_ns >= 50 * MS_NS);
	assert_int_equal(listener->accept_error, -EMFILE);
	UNTIL(world, listener->accept_failures == 3);
	assert_true(io_now(world->io) - first_ns >= 150 * MS_NS);
	world_idle(world, 100 * MS_NS);
	assert_int_equal(listener->accepted_count, 0);

	close(spare);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	UNTIL(world, listener->accepted_count == 1);
	struct end *server = world_accepted(listener);
	end_send(client, 10);
	end_arm(server, true);
	UNTIL(world, server->received == 10);
	assert_int_equal(listener->accept_failures, 3);
}

static void test_no_descriptors_for_a_loop(void **state)
{
	struct io_config config = {
		.sockets_max = 1, .buffer_count = 1, .buffer_size = 1, .backend = contract_backend
	};
	struct rlimit before, none;
	struct io *io = NULL;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	rlim_t free = lowest_free_descriptor();
	none = before;
	for (none.rlim_cur = free; !io; none.rlim_cur++) {
		assert_true(none.rlim_cur < free + 10);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		int error = io_create(&config, &io);
		assert_true(error == 0 || error == -EMFILE);
		assert_int_equal(error == 0, io != NULL);
	}
	assert_true(none.rlim_cur > free + 1);
	io_destroy(io);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(lowest_free_descriptor(), free);
}

/* Closed in the middle of the pause. */
static void test_no_descriptors_then_closed(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound;
	struct rlimit before, none;

	struct end *listener = world_listen(world, &at, &bound);
	struct end *client = world_connect(world, &bound);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = lowest_free_descriptor();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	UNTIL(world, listener->accept_failures == 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	end_close(listener, false);
	end_arm(client, true);
	UNTIL(world, listener->closed && client->end != NOT_YET);
	assert_int_equal(client->end, -ECONNRESET);
	world_idle(world, 100 * MS_NS);
}

/* --- others */

/* A loop that always has something to deliver hears of the others, too. */
static void test_busy_loop(void **state)
{
	struct world *world = *state;
	int file = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	assert_true(file >= 0);
	struct end *endless = world_new_end(world);
	endless->text = true;
	assert_int_equal(io_adopt(world->io, file, endless, &endless->socket), 0);
	end_arm(endless, true);
	UNTIL(world, endless->receives == 10);
	struct pair pair = world_pair(world);
	end_arm(pair.server, true);
	for (uint64_t size = 1; size <= 3; size++) {
		end_send(pair.client, 1);
		UNTIL(world, pair.server->received == size);
	}
	end_close(endless, false);
	UNTIL(world, endless->closed);
	close(file);
}

const struct CMUnitTest limit_tests[] = {
	CONTRACT(test_disarmed_receives_nothing),
	CONTRACT(test_hang_up_while_disarmed),
	CONTRACT(test_accepting_disarmed),
	CONTRACT(test_many_idle_connections),
	CONTRACT(test_no_buffers),
	CONTRACT(test_no_buffers_then_disarmed_or_closed),
	CONTRACT(test_end_with_no_buffers),
	CONTRACT(test_buffer_returned_after_close),
	CONTRACT(test_slots_are_used_again),
	CONTRACT(test_accepting_waits_for_a_slot),
	CONTRACT(test_no_descriptors),
	CONTRACT(test_no_descriptors_for_a_loop),
	CONTRACT(test_no_descriptors_then_closed),
	CONTRACT(test_busy_loop),
};
const size_t limit_tests_count = COUNT_OF(limit_tests);
