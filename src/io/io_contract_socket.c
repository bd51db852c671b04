#include "io/io_contract.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void test_backend_names(void **state)
{
	struct world *world = *state;
	struct io_config config = { .sockets_max = 1, .buffer_count = 1, .buffer_size = 1 };
	struct io *other = NULL;

	assert_string_equal(io_backend(world->io), contract_backend);
	config.backend = "no such backend";
	assert_int_equal(io_create(&config, &other), -ENOSYS);
	assert_null(other);
	config.backend = NULL;
	assert_int_equal(io_create(&config, &other), 0);
	io_destroy(other);
	config.backend = "auto";
	assert_int_equal(io_create(&config, &other), 0);
	io_destroy(other);
	io_destroy(NULL);
}

/* The classic exchange, over everything that there is. */
static void exchange(struct world *world, struct io_endpoint at)
{
	struct io_endpoint bound;
	struct end *listener = world_listen(world, &at, &bound);
	struct end *client = world_connect(world, &bound);

	assert_int_equal(bound.peer.family, at.peer.family);
	assert_true(at.peer.family == PEER_UNIX || bound.peer.port != 0);
	end_arm(client, true); /* before it is connected */
	UNTIL(world, client->connected != NOT_YET && listener->accepted_count == 1);
	assert_int_equal(client->connected, 0);
	assert_int_equal(listener->peers[0].family, at.peer.family);
	assert_memory_equal(listener->peers[0].address, at.peer.address, 16);
	struct end *server = world_accepted(listener);
	io_tune(world->io, client->socket, IO_USER_TIMEOUT_MS, 30000);
	io_tune(world->io, server->socket, IO_KEEPALIVE_S, 60);

	client->text = server->text = true;
	end_send_text(client, "Hello World!");
	end_arm(server, true);
	end_arm(server, true);
	UNTIL(world, server->received == 12 && client->sents == 1);
	assert_memory_equal(server->first, "Hello World!", 12);
	assert_int_equal(server->receives, 1);
	assert_true(server->drained);
	assert_int_equal(client->sent, 12);
	assert_false(io_readable(world->io, server->socket));

	end_send_text(server, "ACK!");
	end_close(server, false); /* what was taken still arrives */
	UNTIL(world, client->end != NOT_YET && server->closed);
	assert_int_equal(client->end, 0);
	assert_memory_equal(client->first, "ACK!", 4);
	assert_int_equal(server->sents, 0);
	assert_false(io_readable(world->io, client->socket));
	end_close(client, false);
	end_close(listener, false);
	assert_false(client->closed);
	UNTIL(world, client->closed && listener->closed);
	assert_int_equal(io_buffers_free(world->io), BUFFER_COUNT);
}

static void test_exchange_ipv4(void **state)
{
	exchange(*state, at_ipv4(0));
}

static void test_exchange_ipv6(void **state)
{
	exchange(*state, at_ipv6(0));
}

static void test_exchange_unix(void **state)
{
	struct stat now;

	exchange(*state, at_unix(world_path("socket")));
	assert_int_equal(stat(world_path("socket"), &now), -1);
}

static void test_connect_refused(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound;
	struct end *listener = world_listen(world, &at, &bound);

	end_close(listener, false);
	UNTIL(world, listener->closed);
	const struct {
		const char *name;
		struct io_endpoint to;
		int result;
	} rows[] = {
		{ "closed port", bound, -ECONNREFUSED },
		{ "closed port, IPv6", at_ipv6(bound.peer.port), -ECONNREFUSED },
		{ "no such path", at_unix(world_path("none")), -ENOENT },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("row %s\n", rows[i].name);
		struct end *client = world_connect(world, &rows[i].to);
		end_arm(client, true);
		assert_int_equal(client->connected, NOT_YET);
		UNTIL(world, client->connected != NOT_YET);
		assert_int_equal(client->connected, rows[i].result);
		world_idle(world, 10 * MS_NS);
		assert_int_equal(client->end, NOT_YET);
		end_close(client, false);
		UNTIL(world, client->closed);
	}
	struct io_endpoint nowhere = { .peer = { .family = PEER_NONE } };
	io_socket socket = 0;
	assert_int_equal(io_connect(world->io, &nowhere, NULL, &socket), -EAFNOSUPPORT);
	assert_int_equal(socket, 0);
}

static void test_listen_refused(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_ipv4(0), bound, other;
	struct end *listener = world_listen(world, &at, &bound);
	io_socket socket = 0;

	assert_int_equal(io_listen(world->io, &bound, NULL, &socket, &other), -EADDRINUSE);
	at.peer.address[0] = 192; /* 192.0.0.1: not an address of ours */
	assert_int_equal(io_listen(world->io, &at, NULL, &socket, &other), -EADDRNOTAVAIL);
	at = at_unix("");
	assert_int_equal(io_listen(world->io, &at, NULL, &socket, &other), -EINVAL);
	assert_int_equal(socket, 0);

	/* With a connection that lingers on the port, it can be listened on again at once. */
	struct end *client = world_connect(world, &bound);
	UNTIL(world, listener->accepted_count == 1 && client->connected == 0);
	struct end *server = world_accepted(listener);
	end_close(server, false);
	end_close(listener, false);
	UNTIL(world, server->closed && listener->closed);
	listener = world_listen(world, &bound, &other);
	assert_int_equal(other.peer.port, bound.peer.port);
}

/* A path that somebody left behind, as a killed server does. */
static void leave_stale_path(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(at.sun_path, path);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&at, sizeof(at)), 0);
	close(descriptor);
}

static void test_unix_paths(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_unix(world_path("socket")), bound;
	io_socket socket;
	struct stat now;

	leave_stale_path(at.path);
	struct end *client = world_connect(world, &at);
	UNTIL(world, client->connected != NOT_YET);
	assert_int_equal(client->connected, -ECONNREFUSED);

	struct end *listener = world_listen(world, &at, &bound);
	assert_string_equal(bound.path, at.path);
	client = world_connect(world, &bound);
	UNTIL(world, client->connected == 0 && listener->accepted_count == 1);
	assert_int_equal(io_listen(world->io, &at, NULL, &socket, &bound), -EADDRINUSE);
	assert_int_equal(stat(at.path, &now), 0);

	/* The path now belongs to somebody else, who keeps it. */
	assert_int_equal(unlink(at.path), 0);
	leave_stale_path(at.path);
	end_close(listener, false);
	UNTIL(world, listener->closed);
	assert_int_equal(stat(at.path, &now), 0);
	assert_int_equal(unlink(at.path), 0);

	/* A file is not a stale socket. */
	assert_int_equal(mknod(at.path, S_IFREG | 0600, 0), 0);
	assert_int_equal(io_listen(world->io, &at, NULL, &socket, &bound), -EADDRINUSE);
	assert_int_equal(stat(at.path, &now), 0);
	assert_int_equal(unlink(at.path), 0);
}

static void test_resolve(void **state)
{
	struct io_endpoint out[8];
	unsigned count = 0;
	const char *why = NULL;

	(void)state;
	const struct {
		const char *host;
		bool passive;
		enum peer_family family; /* of the first; PEER_NONE: either */
		uint8_t first, last;     /* bytes of its address, when IPv4 */
	} rows[] = {
		{ "127.0.0.1", true, PEER_IPV4, 127, 1 }, { "10.1.2.3", false, PEER_IPV4, 10, 3 },
		{ "::1", false, PEER_IPV6, 0, 1 },        { "", true, PEER_NONE, 0, 0 },
		{ "", false, PEER_NONE, 127, 1 },         { "localhost", false, PEER_NONE, 127, 1 },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("row \"%s\"\n", rows[i].host);
		if (strcmp(rows[i].host, "localhost") == 0 && access("/etc/hosts", R_OK) != 0)
			continue; /* a bare system knows no names, not even this one */
		assert_int_equal(io_resolve(rows[i].host, 9999, rows[i].passive, out, COUNT_OF(out),
					    &count, &why),
				 0);
		assert_true(count >= 1 && count <= COUNT_OF(out));
		if (rows[i].family != PEER_NONE)
			assert_int_equal(out[0].peer.family, rows[i].family);
		for (unsigned at = 0; at < count; at++) {
			assert_int_equal(out[at].peer.port, 9999);
			bool ipv4 = out[at].peer.family == PEER_IPV4;
			assert_int_equal(out[at].peer.address[0], ipv4 ? rows[i].first : 0);
			if (ipv4)
				assert_int_equal(out[at].peer.address[3], rows[i].last);
		}
	}
	assert_int_equal(io_resolve("", 1, false, out, 1, &count, &why), 0);
	assert_int_equal(count, 1);
	assert_null(why);
	assert_true(io_resolve("no name at all", 1, false, out, 8, &count, &why) < 0);
	assert_non_null(why);
}

static void test_echo_of_many_sizes(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);
	static const uint64_t sizes[] = {
		1, 2, 100, BUFFER_SIZE - 1, BUFFER_SIZE, BUFFER_SIZE + 1, 2 * BUFFER_SIZE,
		65535, 65536, 65537, 1000000, 1 << 20
	};
	uint64_t total = 0;

	pair.server->echo = true;
	end_arm(pair.server, true);
	end_arm(pair.client, true);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		print_message("row %llu\n", (unsigned long long)sizes[i]);
		total += sizes[i];
		end_send(pair.client, sizes[i]);
		UNTIL(world, pair.client->received == total && pair.client->sent == total);
	}
	assert_int_equal(io_buffers_free(world->io), BUFFER_COUNT);
}

static void test_small_pieces(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	pair.client->piece = 2;
	end_arm(pair.server, true);
	end_send(pair.client, 2000);
	UNTIL(world, pair.server->received == 2000 && pair.client->sent == 2000);
	assert_int_equal(pair.client->sents, 1000);
}

/* One buffer a turn, and `drained` only with the last. */
static void test_one_receive_a_turn(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	end_send(pair.client, 3 * BUFFER_SIZE);
	UNTIL(world, pair.client->sent == 3 * BUFFER_SIZE);
	end_arm(pair.server, true);
	for (unsigned receives = 1; receives <= 3; receives++) {
		UNTIL(world, pair.server->receives == receives);
		assert_int_equal(pair.server->received, receives * BUFFER_SIZE);
		assert_int_equal(pair.server->drained, receives == 3);
		assert_int_equal(io_readable(world->io, pair.server->socket), receives < 3);
	}
}

/* Nothing happens in the same turn for ever: what is sent completes in the next one. */
static void test_turns_end(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	pair.client->piece = 1;
	end_send(pair.client, 100);
	unsigned turns = world->turns;
	UNTIL(world, pair.client->sent == 100);
	assert_true(world->turns - turns >= 100);
}

static void test_slow_reader(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);
	const uint64_t size = 8 << 20;
	uint64_t before;

	end_send(pair.client, size);
	do {
		before = pair.client->sent;
		world_turn(world, clock_monotonic_ns() + 20 * MS_NS);
	} while (pair.client->sent > before);
	assert_true(pair.client->sent > 0 && pair.client->sent < size);
	world_idle(world, 50 * MS_NS);
	end_arm(pair.server, true);
	UNTIL(world, pair.server->received == size && pair.client->sent == size);
	assert_true(pair.client->sents > 1);
}

static void test_half_close(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	end_arm(pair.server, true);
	end_arm(pair.client, true);
	end_send(pair.client, 100);
	io_shutdown(world->io, pair.client->socket);
	UNTIL(world, pair.server->end != NOT_YET);
	assert_int_equal(pair.server->end, 0);
	assert_int_equal(pair.server->received, 100);
	end_arm(pair.server, true); /* no second end */
	assert_false(io_readable(world->io, pair.server->socket));
	world_idle(world, 50 * MS_NS);

	end_send(pair.server, 200000);
	UNTIL(world, pair.client->received == 200000);
	io_shutdown(world->io, pair.server->socket);
	UNTIL(world, pair.client->end != NOT_YET);
	assert_int_equal(pair.client->end, 0);
	/* Both sides shut: the kernel reports a hang-up, which nobody wants to hear. */
	world_idle(world, 50 * MS_NS);
}

/* The end comes after what io_send has taken, even if that had to wait. */
static void test_shutdown_behind_a_send(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);
	uint64_t before;

	end_send(pair.client, 8 << 20);
	do {
		before = pair.client->sent;
		world_turn(world, clock_monotonic_ns() + 20 * MS_NS);
	} while (pair.client->sent > before);
	assert_true(pair.client->sending);
	io_shutdown(world->io, pair.client->socket);
	pair.client->to_send = pair.client->sent; /* nothing after this one */
	end_arm(pair.server, true);
	UNTIL(world, pair.server->end != NOT_YET);
	assert_int_equal(pair.server->end, 0);
	assert_true(pair.client->sent > before);
	assert_int_equal(pair.server->received, pair.client->sent);
}

/* Either the kernel has taken all, or an event comes. The last one brings the end with it; not before all of it was taken. */
static void test_answers(void **state)
{
	static const uint64_t sizes[] = { 1, 4, 200000, 8 << 20 };

	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct world *world = *state;
		struct pair pair = world_pair(world);

		end_answer(pair.server, 4, false);
		UNTIL(world, !pair.server->sending);
		assert_int_equal(pair.server->sents + pair.server->answered, 1);
		world_idle(world, 5 * MS_NS);
		assert_int_equal(pair.server->sents + pair.server->answered, 1);
		end_answer(pair.server, sizes[i], true);
		if (sizes[i] <= 4)
			UNTIL(world, pair.server->sent == 4 + sizes[i]);
		end_arm(pair.client, true);
		UNTIL(world, pair.client->end != NOT_YET);
		assert_int_equal(pair.client->end, 0);
		assert_true(pair.client->received == 4 + sizes[i]);
		assert_true(pair.server->sent == 4 + sizes[i]);
		/* Only this way is shut. */
		end_arm(pair.server, true);
		end_send(pair.client, 100);
		UNTIL(world, pair.server->received == 100);
		assert_int_equal(pair.server->end, NOT_YET);
	}
}

static void test_reset(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	end_arm(pair.server, true);
	end_close(pair.client, true);
	UNTIL(world, pair.client->closed && pair.server->end != NOT_YET);
	assert_int_equal(pair.server->end, -ECONNRESET);
	world_idle(world, 20 * MS_NS);
	end_send(pair.server, 1);
	UNTIL(world, pair.server->sents == 1);
	assert_int_equal(pair.server->send_error, -EPIPE);
}

/* Bytes, and then the reset: neither asking whether something is readable nor a send that fails turns it into an end. */
static void test_reset_is_not_swallowed(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);

	end_send(pair.client, 10);
	UNTIL(world, pair.client->sent == 10 && io_readable(world->io, pair.server->socket));
	end_close(pair.client, true);
	UNTIL(world, pair.client->closed);
	for (int i = 0; i < 3; i++)
		assert_true(io_readable(world->io, pair.server->socket));
	end_send(pair.server, 10);
	UNTIL(world, pair.server->sents == 1);
	assert_true(pair.server->send_error < 0);
	end_arm(pair.server, true);
	UNTIL(world, pair.server->end != NOT_YET);
	assert_int_equal(pair.server->end, -ECONNRESET);
	assert_false(io_readable(world->io, pair.server->socket));
}

static void test_close_with_a_send_under_way(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);
	uint64_t before;

	end_send(pair.client, 8 << 20);
	do {
		before = pair.client->sent;
		world_turn(world, clock_monotonic_ns() + 20 * MS_NS);
	} while (pair.client->sent > before);
	assert_true(pair.client->sending);
	unsigned sents = pair.client->sents;
	end_close(pair.client, true);
	UNTIL(world, pair.client->closed);
	assert_int_equal(pair.client->sents, sents);
	end_arm(pair.server, true);
	UNTIL(world, pair.server->end != NOT_YET);
	assert_int_equal(pair.server->end, -ECONNRESET);
}

/* A close in the middle of a turn: what was about to be delivered is not. */
static void test_close_before_its_event(void **state)
{
	struct world *world = *state;
	struct pair pair = world_pair(world);
	struct pair second = world_pair(world);
	struct io_event event;

	end_send(pair.client, 10);
	end_send(second.client, 10);
	UNTIL(world, io_readable(world->io, pair.server->socket) &&
			     io_readable(world->io, second.server->socket) &&
			     pair.client->sent == 10 && second.client->sent == 10);
	end_arm(pair.server, true);
	end_arm(second.server, true);
	assert_int_equal(io_wait(world->io, NEVER_NS), 0);
	assert_true(io_next(world->io, &event));
	assert_int_equal(event.kind, IO_RECEIVED);
	struct end *first = event.owner;
	struct end *other = first == pair.server ? second.server : pair.server;
	io_buffer_return(world->io, event.buffer);
	end_close(other, false);
	while (io_next(world->io, &event)) {
		assert_int_equal(event.kind, IO_CLOSED);
		assert_ptr_equal(event.owner, other);
		other->closed = true;
	}
	UNTIL(world, other->closed);
	assert_int_equal(other->receives, 0);
	assert_int_equal(io_buffers_free(world->io), BUFFER_COUNT);
}

static void test_destroy_with_all_open(void **state)
{
	struct world *world = *state;
	struct io_endpoint at = at_unix(world_path("left open")), bound;
	struct pair pair = world_pair(world);
	struct stat now;

	world_listen(world, &at, &bound);
	pair.server->keep = true;
	end_arm(pair.server, true);
	end_send(pair.client, 8 << 20);
	UNTIL(world, pair.server->kept_count == BUFFER_COUNT);
	world_connect(world, &bound);
	end_close(pair.listener, false);
	world_again(world, 1, 1, 1);
	assert_int_equal(stat(at.path, &now), -1);
}

const struct CMUnitTest socket_tests[] = {
	CONTRACT(test_backend_names),
	CONTRACT(test_exchange_ipv4),
	CONTRACT(test_exchange_ipv6),
	CONTRACT(test_exchange_unix),
	CONTRACT(test_connect_refused),
	CONTRACT(test_listen_refused),
	CONTRACT(test_unix_paths),
	CONTRACT(test_resolve),
	CONTRACT(test_echo_of_many_sizes),
	CONTRACT(test_small_pieces),
	CONTRACT(test_one_receive_a_turn),
	CONTRACT(test_turns_end),
	CONTRACT(test_slow_reader),
	CONTRACT(test_half_close),
	CONTRACT(test_shutdown_behind_a_send),
	CONTRACT(test_answers),
	CONTRACT(test_reset),
	CONTRACT(test_reset_is_not_swallowed),
	CONTRACT(test_close_with_a_send_under_way),
	CONTRACT(test_close_before_its_event),
	CONTRACT(test_destroy_with_all_open),
};
const size_t socket_tests_count = COUNT_OF(socket_tests);
