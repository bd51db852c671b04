/* As much of the io door as a journal needs, for fuzz targets: writes and jobs are done at once, when the target says so. */
#ifndef ROGER_FUZZ_MEMORY_IO_H
#define ROGER_FUZZ_MEMORY_IO_H

#include "io/io.h"
#include "journal/journal.h"

struct io *memory_io_reset(void);

/* Turns until nothing is in flight and nothing wants to start. */
void memory_io_settle(struct journal *j);

#endif
