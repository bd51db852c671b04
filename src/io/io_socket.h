/* Sockets of Linux, as every backend needs them: addresses, options, listening, accepting, connecting. All are non-blocking and
 * closed on exec. 0 or -errno. No memory, no state. */
#ifndef ROGER_IO_IO_SOCKET_H
#define ROGER_IO_IO_SOCKET_H

#include <sys/socket.h>
#include <sys/types.h>

#include "io/io.h"

/* An address of the kernel's as ours. -EAFNOSUPPORT, -EINVAL. */
int io_endpoint_read(const struct sockaddr *address, socklen_t size, struct io_endpoint *ret);

/* The file that a unix listener has made, so that nobody else's is removed in its place. */
struct io_path_id {
	dev_t device;
	ino_t inode; /* 0: none */
};

/* As io_listen says. */
int io_socket_listen(const struct io_endpoint *at, int *ret_descriptor,
		     struct io_endpoint *ret_bound, struct io_path_id *ret_path);

/* Remove the path that the listener is bound to, if it is still the same file. */
void io_socket_path_remove(int listener, struct io_path_id path);

bool io_socket_is_tcp(const struct peer *peer);
bool io_socket_is_loopback(const struct peer *peer);

/* is_tuned: the listener is a loopback address', which what it accepts inherits from. -EAGAIN: nobody is waiting. */
int io_socket_accept(int listener, bool is_tuned, int *ret_descriptor, struct peer *ret_peer);

/* True for those errors of accept that belong to the one connection that was lost: take the next. */
bool io_socket_accept_goes_on(int error);

/* Make a socket and begin to connect it. *ret_result: 0 connected, -EINPROGRESS, or why it failed. */
int io_socket_connect(const struct io_endpoint *to, int *ret_descriptor, int *ret_result);

/* How a connection that was in progress ended: 0 or -errno. */
int io_socket_connected(int descriptor);

void io_socket_tune(int descriptor, enum io_tuning what, int value);

/* Have close() send a reset. */
void io_socket_reset(int descriptor);

/* Bytes, the end or an error are there to be read. Takes none of them away, not even the error. */
bool io_socket_readable(int descriptor);

#endif
