#include "io/io_backend.h"

#include <stddef.h>

const struct io_backend *const io_backends[] = { &io_epoll_backend, NULL };
