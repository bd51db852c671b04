/* What stands behind the door: one table of functions for each backend. For the files of this room alone, and for a simulator,
 * which brings its own `io_backends` (a table that a program defines itself is linked in place of the one in io_backends.c).
 *
 * The functions do what those of the same name in io.h say; io.c has checked nothing but what it says there. */
#ifndef ROGER_IO_IO_BACKEND_H
#define ROGER_IO_IO_BACKEND_H

#include "io/io.h"

/* Every backend's loop begins with this. */
struct io {
	const struct io_backend *backend;
	uint64_t now_ns;
};

struct io_backend {
	const char *name;
	int (*create)(const struct io_config *config,
		      struct io **ret_io); /* -ENOSYS: the kernel refuses it */
	void (*destroy)(struct io *io);
	int (*wait)(struct io *io, uint64_t deadline_ns); /* sets now_ns */
	bool (*next)(struct io *io, struct io_event *ret);
	int (*listen)(struct io *io, const struct io_endpoint *at, void *owner,
		      io_socket *ret_socket, struct io_endpoint *ret_bound);
	void (*accept)(struct io *io, io_socket listener, bool armed);
	int (*connect)(struct io *io, const struct io_endpoint *to, void *owner,
		       io_socket *ret_socket);
	int (*adopt)(struct io *io, int descriptor, void *owner, io_socket *ret_socket);
	void (*set_owner)(struct io *io, io_socket socket, void *owner);
	void (*tune)(struct io *io, io_socket socket, enum io_tuning what, int value);
	void (*receive)(struct io *io, io_socket socket, bool armed);
	void (*buffer_return)(struct io *io, uint32_t buffer);
	uint32_t (*buffers_free)(const struct io *io);
	bool (*readable)(struct io *io, io_socket socket);
	void (*send)(struct io *io, io_socket socket, const struct io_span *spans, unsigned count);
	bool (*send_answer)(struct io *io, io_socket socket, const void *data, size_t size,
			    bool is_last);
	void (*shutdown)(struct io *io, io_socket socket);
	void (*close)(struct io *io, io_socket socket, bool reset);
	void (*write)(struct io *io, struct io_write *write);
	unsigned (*writes_max)(const struct io *io);
	void (*job)(struct io *io, struct io_job *job);
	int (*signals)(struct io *io);
};

/* In the order in which "auto" tries them; NULL ends it. */
extern const struct io_backend *const io_backends[];

extern const struct io_backend io_uring_backend; /* in builds with liburing (ROGER_URING) */
extern const struct io_backend io_epoll_backend;

#endif
