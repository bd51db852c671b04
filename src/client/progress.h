/* The progress bar of long work, on standard error when it is a terminal. */
#ifndef ROGER_CLIENT_PROGRESS_H
#define ROGER_CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	bool enabled;
	bool shown;
	uint64_t started_ns;
	uint64_t drawn_ns;
	uint64_t drawn_acked;
	double rate;           /* acknowledged a second, smoothed */
};

struct progress_state {
	uint64_t acked;
	uint64_t sent;
	uint64_t total;        /* 0: not known */
	bool connected;
};

void progress_init(struct progress *p, uint64_t now_ns);

/* Draw, if it is time to. */
void progress_update(struct progress *p, const struct progress_state *state, uint64_t now_ns);

/* When progress_update wants to be called again; NEVER_NS when it does not. */
uint64_t progress_deadline(const struct progress *p);

/* Wipe the bar, before anything else is written to standard error. */
void progress_clear(struct progress *p);

/* The line itself, at most `room` - 1 bytes. Pure. */
void progress_line(const struct progress *p, const struct progress_state *state, char *out,
		   size_t room);

#endif
