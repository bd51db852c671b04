/* sim_io: the io door (src/io/io.h), over net.h and disk.h.
 *
 * What io.h leaves open is drawn anew for each loop: whether bytes are taken from the network early (as io_uring does) or when their event
 * is asked for (as epoll does), whether a send begins at once or with the next io_wait, in which order the events of one turn come, and how
 * many writes may be in flight. What io.h forbids its users is checked here: bytes that change before their IO_SENT or IO_WRITTEN, a
 * second send, handles that are closed, buffers returned twice. */
#ifndef ROGER_SIM_IO_H
#define ROGER_SIM_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process.h"

/* What a process's standard input will be: process->script points to one, or to a struct that begins with one. */
struct io_script {
	/* The next bytes, at most so many. 0 with *ret_end: the end; with bytes: it follows them, and is asked for again. 0 without it:
	 * nothing after all. Sets next_ns for what comes after (left as it is: more is there at once). Called in the name of the process:
	 * memory is from sim_alloc, if any. */
	size_t (*read)(void *context, void *out, size_t size, bool *ret_end);
	void *context;
	uint64_t next_ns; /* true time from which on there is something; NEVER_NS: nothing any more */
};

/* How many writes each loop of this world may have in flight. */
unsigned sim_io_writes_max(void);

/* Has it a listener? */
bool sim_io_is_listening(const struct process *process);

/* Events taken by all processes, since sim_io_begin. */
uint64_t sim_io_completions(void);

/* At the beginning and at the end of a world; all processes are gone by then. */
void sim_io_begin(void);
void sim_io_end(void);

#endif
