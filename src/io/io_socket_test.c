/* What the contract of io.h cannot see of a socket: its options. */
#include "io/io_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/test.h"

static int option(int descriptor, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(descriptor, level, name, &value, &size), 0);
	return value;
}

static void check_connection(int descriptor)
{
	char name[16] = "";
	socklen_t size = sizeof(name);

	assert_int_equal(fcntl(descriptor, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(option(descriptor, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(getsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, name, &size), 0);
	assert_string_equal(name, "reno");
}

static void wait_for(int descriptor, short events)
{
	struct pollfd what = { .fd = descriptor, .events = events };

	assert_int_equal(poll(&what, 1, 5000), 1);
}

static void test_options(void **state)
{
	(void)state;
	const struct {
		const char *name;
		struct peer at, to;
	} rows[] = {
		{ "loopback",
		  { PEER_IPV4, 0, { 127, 0, 0, 1 } },
		  { PEER_IPV4, 0, { 127, 0, 0, 1 } } },
		{ "wildcard", { PEER_IPV4, 0, { 0 } }, { PEER_IPV4, 0, { 127, 1, 2, 3 } } },
		{ "IPv6", { PEER_IPV6, 0, { [15] = 1 } }, { PEER_IPV6, 0, { [15] = 1 } } },
		{ "IPv6 wildcard", { PEER_IPV6, 0, { 0 } }, { PEER_IPV6, 0, { [15] = 1 } } },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct io_endpoint at = { .peer = rows[i].at }, to = { .peer = rows[i].to },
				   bound;
		struct io_path_id path = { .inode = 0 };
		struct peer peer;
		int listener, client, server, result;

		print_message("row %s\n", rows[i].name);
		assert_int_equal(io_socket_listen(&at, &listener, &bound, &path), 0);
		assert_int_equal(option(listener, SOL_SOCKET, SO_REUSEADDR), 1);
		assert_int_equal(option(listener, SOL_SOCKET, SO_REUSEPORT), 0);
		if (at.peer.family == PEER_IPV6)
			assert_int_equal(option(listener, IPPROTO_IPV6, IPV6_V6ONLY), 1);
		assert_int_equal(io_socket_accept(listener, false, &server, &peer), -EAGAIN);
		io_socket_tune(listener, IO_USER_TIMEOUT_MS, 4321);
		io_socket_tune(listener, IO_KEEPALIVE_S, 70);
		to.peer.port = bound.peer.port;
		assert_int_equal(io_socket_connect(&to, &client, &result), 0);
		assert_true(result == 0 || result == -EINPROGRESS);
		wait_for(client, POLLOUT);
		assert_int_equal(io_socket_connected(client), 0);
		wait_for(listener, POLLIN);
		bool is_tuned = io_socket_is_loopback(&bound.peer);
		assert_int_equal(io_socket_accept(listener, is_tuned, &server, &peer), 0);
		assert_int_equal(peer.family, at.peer.family);
		assert_true(peer.port != 0);
		check_connection(client);
		check_connection(server);

		assert_int_equal(option(server, IPPROTO_TCP, TCP_USER_TIMEOUT), 4321);
		assert_int_equal(option(server, SOL_SOCKET, SO_KEEPALIVE), 1);
		assert_int_equal(option(server, IPPROTO_TCP, TCP_KEEPIDLE), 70);
		io_socket_tune(server, IO_USER_TIMEOUT_MS, 1234);
		assert_int_equal(option(server, IPPROTO_TCP, TCP_USER_TIMEOUT), 1234);
		io_socket_tune(server, IO_KEEPALIVE_S, 60);
		assert_int_equal(option(server, SOL_SOCKET, SO_KEEPALIVE), 1);
		assert_int_equal(option(server, IPPROTO_TCP, TCP_KEEPIDLE), 60);
		close(client);
		close(server);
		close(listener);
	}
}

static void test_accept_errors(void **state)
{
	(void)state;
	static const struct {
		int error;
		bool goes_on;
	} rows[] = {
		{ -ECONNABORTED, true }, { -EPROTO, true },   { -EPERM, true },
		{ -EHOSTUNREACH, true }, { -EMFILE, false },  { -ENFILE, false },
		{ -ENOMEM, false },      { -ENOBUFS, false }, { -EAGAIN, false },
		{ -EINVAL, false },      { -EBADF, false },
	};
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		print_message("row %s\n", strerror(-rows[i].error));
		assert_int_equal(io_socket_accept_goes_on(rows[i].error), rows[i].goes_on);
	}
}

static void test_addresses_that_are_none(void **state)
{
	struct io_endpoint out = { .scope = 7 };
	struct sockaddr_storage address = { .ss_family = AF_PACKET };

	(void)state;
	assert_int_equal(io_endpoint_read((struct sockaddr *)&address, 20, &out), -EAFNOSUPPORT);
	assert_int_equal(io_endpoint_read((struct sockaddr *)&address, 1, &out), -EINVAL);
	assert_int_equal(io_endpoint_read((struct sockaddr *)&address, sizeof(address), &out),
			 -EINVAL);
	assert_int_equal(out.scope, 7);

	struct io_endpoint at = { .peer = { .family = PEER_UNIX } };
	struct io_path_id path = { .inode = 0 };
	int descriptor = -1;
	memset(at.path, 'x', sizeof(at.path)); /* no NUL */
	assert_int_equal(io_socket_listen(&at, &descriptor, &out, &path), -EINVAL);
	assert_int_equal(descriptor, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_accept_errors),
		cmocka_unit_test(test_addresses_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
