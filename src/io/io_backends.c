#include "io/io_backend.h"

#include <stddef.h>

const struct io_backend *const io_backends[] = {
#ifdef ROGER_URING
	&io_uring_backend,
#endif
	&io_epoll_backend,
	NULL,
};
