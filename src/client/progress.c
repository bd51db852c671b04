#include "client/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"

#define QUIET_NS (500 * MS_NS)  /* shorter work shows no bar */
#define REDRAW_NS (100 * MS_NS)

enum { BAR_WIDTH = 24, LINE_SIZE = 160 };

void progress_init(struct progress *p, uint64_t now_ns)
{
	const char *kind = getenv("TERM");

	memset(p, 0, sizeof(*p));
	p->started_ns = now_ns;
	p->drawn_ns = now_ns;
	p->enabled = isatty(STDERR_FILENO) == 1 && (kind == NULL || strcmp(kind, "dumb") != 0);
}

uint64_t progress_deadline(const struct progress *p)
{
	if (!p->enabled)
		return NEVER_NS;
	return p->shown ? p->drawn_ns + REDRAW_NS : p->started_ns + QUIET_NS;
}

static void put_bar(const struct progress_state *state, char *out, size_t room)
{
	unsigned filled = 0;
	size_t used = 0;

	if (state->total > 0)
		filled = (unsigned)((double)state->acked / (double)state->total * BAR_WIDTH);
	for (unsigned i = 0; i < BAR_WIDTH && used + 1 < room; i++)
		out[used++] = i < filled ? '#' : '.';
	out[used] = '\0';
}

void progress_line(const struct progress *p, const struct progress_state *state, char *out,
		   size_t room)
{
	const char *note = state->connected ? "" : " (reconnecting)";
	char bar[BAR_WIDTH + 1];

	if (state->total == 0) {
		snprintf(out, room, "%" PRIu64 " sent, %" PRIu64 " acknowledged, %.0f/s%s",
			 state->sent, state->acked, p->rate, note);
		return;
	}
	put_bar(state, bar, sizeof(bar));
	snprintf(out, room, "[%s] %3.0f %%  %" PRIu64 " of %" PRIu64 " acknowledged, %.0f/s%s", bar,
		 100 * (double)state->acked / (double)state->total, state->acked, state->total,
		 p->rate, note);
}

void progress_update(struct progress *p, const struct progress_state *state, uint64_t now_ns)
{
	char line[LINE_SIZE];
	double seconds;
	double rate;

	if (now_ns < progress_deadline(p) || !p->enabled)
		return;
	seconds = (double)(now_ns - p->drawn_ns) / (double)SECOND_NS;
	rate = (double)(state->acked - p->drawn_acked) / seconds;
	p->rate = p->shown ? 0.7 * p->rate + 0.3 * rate : rate;
	p->drawn_acked = state->acked;
	p->drawn_ns = now_ns;
	p->shown = true;
	progress_line(p, state, line, sizeof(line));
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
}

void progress_clear(struct progress *p)
{
	if (!p->shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->shown = false;
	p->started_ns = p->drawn_ns;
}
