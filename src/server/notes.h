/* The lines for people: what the server says on stdout and stderr.
 *
 * A line is written at once or not at all: a reader that does not read (a paused pager) must not stop the loop, so before each
 * write the descriptor is asked whether it takes one. A terminal that says so may still wait in the middle of a line: it is
 * opened once more, without waiting, or, where that is refused (it is another user's), asked before each byte; and what it does
 * not take is kept for the next write. Lines about connections and
 * messages are limited to LINES_PER_SECOND, on each of the two, and what is left out is counted. Everything from a peer is
 * escaped. As text, or one JSON object a line. */
#ifndef ROGER_SERVER_NOTES_H
#define ROGER_SERVER_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/peer.h"

/* Shorter than a page: what a pipe takes at once if it takes anything. */
#define NOTES_LINE_SIZE 2048

/* One of the two ways out. */
struct notes_way {
	int descriptor;
	bool closed;        /* nobody reads any more */
	uint64_t window_ns; /* when the present second began */
	uint32_t written;   /* lines in it */
	uint64_t left_out;  /* since the last line that said so */
	bool reopened;      /* the descriptor is a terminal's, opened by us */
	bool bytewise;      /* a terminal's, which we may not open */
	size_t rest_size;   /* of a line that was begun */
	char rest[NOTES_LINE_SIZE];
};

struct notes {
	struct notes_way out;
	struct notes_way err;
	bool quiet;
	bool json;
	bool serving; /* nothing may wait any more */
};

void notes_init(struct notes *notes, int out, int err, bool quiet, bool json);

/* --- at the start, these may wait for the reader, and are never left out; notes_banner and notes_say may come later, too, and are then
 * limited like all lines */

/* "listening on 127.0.0.1:9999 (roger, raw)"; protocols: "roger, raw", or NULL when the address says it. */
void notes_listening(struct notes *notes, const char *address, const char *protocols);

/* A line on stdout, unless quiet; event: its name in JSON. */
__attribute__((format(printf, 3, 4)))
void notes_banner(struct notes *notes, const char *event, const char *format, ...);

/* A line on stderr, "roger: ..." in text. */
__attribute__((format(printf, 3, 4)))
void notes_say(struct notes *notes, const char *event, const char *format, ...);

/* --- while serving */

/* From now on no line waits for its reader. Until notes_end. */
void notes_serve(struct notes *notes);

void notes_accepted(struct notes *notes, uint64_t now_ns, const struct peer *peer);
void notes_received(struct notes *notes, uint64_t now_ns, const struct peer *peer,
		    const uint8_t *data, size_t size);

/* Would the next notes_received be written? So that a batch of many messages need not be looked at for nothing: when not,
 * notes_skip counts `count` of them as left out. */
bool notes_wanted(struct notes *notes, uint64_t now_ns);
void notes_skip(struct notes *notes, uint64_t now_ns, uint64_t count);

/* "3456 more bytes from 127.0.0.1:55760 after ACK!" */
void notes_more_bytes(struct notes *notes, uint64_t now_ns, const struct peer *peer,
		      uint64_t bytes);

/* A line on stderr about a peer: "roger: 127.0.0.1:55760: TEXT". TEXT is ours: nothing of the peer's in it that is not escaped. */
__attribute__((format(printf, 5, 6)))
void notes_peer(struct notes *notes, uint64_t now_ns, const char *event, const struct peer *peer,
		const char *format, ...);

/* Write "N lines left out" (on stderr "roger: N lines left out") where a second with left-out lines is over. */
void notes_turn(struct notes *notes, uint64_t now_ns);

/* The same at the end, without waiting for the second's. */
void notes_end(struct notes *notes);

/* When notes_turn wants to be called; NEVER_NS: nothing is left out. */
uint64_t notes_deadline(const struct notes *notes);

#endif
