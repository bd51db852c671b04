#include "io/io_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	/* Connections that the kernel completes before we accept them. It cuts this to net.core.somaxconn (4096). */
	BACKLOG = 4096,
	/* A silent peer is asked so often, so many times, before it is given up: one minute. */
	KEEPALIVE_INTERVAL_S = 10,
	KEEPALIVE_COUNT = 6,
};

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_un local;
};

static void set(int descriptor, int level, int option, int value)
{
	(void)setsockopt(descriptor, level, option, &value, sizeof(value));
}

static int address_make(const struct io_endpoint *from, union address *ret, socklen_t *ret_size)
{
	memset(ret, 0, sizeof(*ret));
	switch (from->peer.family) {
	case PEER_IPV4:
		ret->ipv4.sin_family = AF_INET;
		ret->ipv4.sin_port = htons(from->peer.port);
		memcpy(&ret->ipv4.sin_addr, from->peer.address, 4);
		*ret_size = sizeof(ret->ipv4);
		return 0;
	case PEER_IPV6:
		ret->ipv6.sin6_family = AF_INET6;
		ret->ipv6.sin6_port = htons(from->peer.port);
		ret->ipv6.sin6_scope_id = from->scope;
		memcpy(&ret->ipv6.sin6_addr, from->peer.address, 16);
		*ret_size = sizeof(ret->ipv6);
		return 0;
	case PEER_UNIX:
		if (from->path[0] == '\0' || memchr(from->path, '\0', IO_PATH_SIZE) == NULL)
			return -EINVAL;
		ret->local.sun_family = AF_UNIX;
		memcpy(ret->local.sun_path, from->path, IO_PATH_SIZE);
		*ret_size = sizeof(ret->local);
		return 0;
	default: return -EAFNOSUPPORT;
	}
}

int io_endpoint_read(const struct sockaddr *address, socklen_t size, struct io_endpoint *ret)
{
	union address from;
	struct io_endpoint found = { .scope = 0 };

	if (size < sizeof(sa_family_t) || size > sizeof(from))
		return -EINVAL;
	memset(&from, 0, sizeof(from));
	memcpy(&from, address, size);
	switch (from.any.sa_family) {
	case AF_INET:
		found.peer.family = PEER_IPV4;
		found.peer.port = ntohs(from.ipv4.sin_port);
		memcpy(found.peer.address, &from.ipv4.sin_addr, 4);
		break;
	case AF_INET6:
		found.peer.family = PEER_IPV6;
		found.peer.port = ntohs(from.ipv6.sin6_port);
		found.scope = from.ipv6.sin6_scope_id;
		memcpy(found.peer.address, &from.ipv6.sin6_addr, 16);
		break;
	case AF_UNIX:
		found.peer.family = PEER_UNIX;
		if (size > offsetof(struct sockaddr_un, sun_path))
			memcpy(found.path, from.local.sun_path, IO_PATH_SIZE - 1);
		break;
	default: return -EAFNOSUPPORT;
	}
	*ret = found;
	return 0;
}

bool io_socket_is_tcp(const struct peer *peer)
{
	return peer->family == PEER_IPV4 || peer->family == PEER_IPV6;
}

bool io_socket_is_loopback(const struct peer *peer)
{
	static const uint8_t ipv6_loopback[16] = { [15] = 1 };

	return (peer->family == PEER_IPV4 && peer->address[0] == 127) ||
	       (peer->family == PEER_IPV6 && memcmp(peer->address, ipv6_loopback, 16) == 0);
}

/* BBR, where it is the default, makes loopback four times slower; on any other way it is the system's choice. */
static void tune_loopback(int descriptor, const struct peer *peer)
{
	if (io_socket_is_loopback(peer))
		(void)setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static int make_socket(const union address *address, int *ret_descriptor)
{
	int descriptor =
		socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return -errno;
	if (address->any.sa_family != AF_UNIX)
		set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
	*ret_descriptor = descriptor;
	return 0;
}

/* A socket's path that nobody listens on any more. Anything that is not a socket is not ours to remove. */
static bool path_is_stale(const union address *address, socklen_t size)
{
	struct stat now;
	int descriptor = -1;

	if (lstat(address->local.sun_path, &now) < 0 || !S_ISSOCK(now.st_mode))
		return false;
	if (make_socket(address, &descriptor))
		return false;
	bool refused = connect(descriptor, &address->any, size) < 0 && errno == ECONNREFUSED;
	close(descriptor);
	return refused;
}

static int bind_to(int descriptor, const union address *address, socklen_t size)
{
	if (bind(descriptor, &address->any, size) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (address->any.sa_family != AF_UNIX || !path_is_stale(address, size))
		return -EADDRINUSE;
	if (unlink(address->local.sun_path) < 0)
		return -EADDRINUSE;
	return bind(descriptor, &address->any, size) < 0 ? -errno : 0;
}

static int start_listening(int descriptor, const union address *address, socklen_t size,
			   struct io_endpoint *ret_bound, struct io_path_id *ret_path)
{
	union address bound;
	socklen_t bound_size = sizeof(bound);
	struct io_path_id path = { .inode = 0 };
	struct stat now;

	int error = bind_to(descriptor, address, size);
	if (error)
		return error;
	if (address->any.sa_family == AF_UNIX && lstat(address->local.sun_path, &now) == 0)
		path = (struct io_path_id){ .device = now.st_dev, .inode = now.st_ino };
	if (listen(descriptor, BACKLOG) < 0 || getsockname(descriptor, &bound.any, &bound_size) < 0)
		error = -errno;
	else
		error = io_endpoint_read(&bound.any, bound_size, ret_bound);
	if (error)
		io_socket_path_remove(descriptor, path);
	else
		*ret_path = path;
	return error;
}

int io_socket_listen(const struct io_endpoint *at, int *ret_descriptor,
		     struct io_endpoint *ret_bound, struct io_path_id *ret_path)
{
	union address address;
	socklen_t size;
	int descriptor = -1;

	int error = address_make(at, &address, &size);
	if (!error)
		error = make_socket(&address, &descriptor);
	if (error)
		return error;
	/* Accepted sockets inherit TCP_NODELAY and the congestion control. */
	if (at->peer.family != PEER_UNIX)
		set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
	if (at->peer.family == PEER_IPV6)
		set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	tune_loopback(descriptor, &at->peer);
	error = start_listening(descriptor, &address, size, ret_bound, ret_path);
	if (error) {
		close(descriptor);
		return error;
	}
	*ret_descriptor = descriptor;
	return 0;
}

void io_socket_path_remove(int listener, struct io_path_id path)
{
	union address bound;
	socklen_t size = sizeof(bound);
	struct stat now;

	memset(&bound, 0, sizeof(bound));
	if (path.inode == 0 || getsockname(listener, &bound.any, &size) < 0)
		return;
	if (lstat(bound.local.sun_path, &now) == 0 && now.st_ino == path.inode &&
	    now.st_dev == path.device)
		unlink(bound.local.sun_path);
}

int io_socket_accept(int listener, bool is_tuned, int *ret_descriptor, struct peer *ret_peer)
{
	union address address;
	socklen_t size = sizeof(address);
	struct io_endpoint from = { .scope = 0 };

	int descriptor = accept4(listener, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (descriptor < 0)
		return -errno;
	(void)io_endpoint_read(&address.any, size, &from);
	if (!is_tuned)
		tune_loopback(descriptor, &from.peer);
	*ret_descriptor = descriptor;
	*ret_peer = from.peer;
	return 0;
}

bool io_socket_accept_goes_on(int error)
{
	switch (-error) {
	case ECONNABORTED:
	case EINTR:
	case EPROTO:
	case EPERM: /* a firewall's rule */
	case ETIMEDOUT:
	/* Errors of the network that were waiting on the new socket: accept(2). */
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH: return true;
	default: return false;
	}
}

int io_socket_connect(const struct io_endpoint *to, int *ret_descriptor, int *ret_result)
{
	union address address;
	socklen_t size;
	int descriptor = -1;

	int error = address_make(to, &address, &size);
	if (!error)
		error = make_socket(&address, &descriptor);
	if (error)
		return error;
	tune_loopback(descriptor, &to->peer);
	*ret_result = connect(descriptor, &address.any, size) < 0 ? -errno : 0;
	if (*ret_result == -EINTR) /* it goes on by itself */
		*ret_result = -EINPROGRESS;
	*ret_descriptor = descriptor;
	return 0;
}

int io_socket_connected(int descriptor)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

void io_socket_tune(int descriptor, enum io_tuning what, int value)
{
	/* On a unix socket these fail, which is what io.h says. */
	switch (what) {
	case IO_USER_TIMEOUT_MS: set(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, value); break;
	case IO_KEEPALIVE_S:
		set(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, value);
		set(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
		set(descriptor, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
		set(descriptor, SOL_SOCKET, SO_KEEPALIVE, value > 0);
		break;
	}
}

void io_socket_reset(int descriptor)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

bool io_socket_readable(int descriptor)
{
	/* Not recv with MSG_PEEK: that would take a reset away, and what comes after it looks like an orderly end. */
	struct pollfd what = { .fd = descriptor, .events = POLLIN };

	return poll(&what, 1, 0) == 1;
}
