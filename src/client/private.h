/* One run of the client, shared by the two files that drive it: client.c has the loop, the input and time, peer.c the connections and
 * what the server says. */
#ifndef ROGER_CLIENT_PRIVATE_H
#define ROGER_CLIENT_PRIVATE_H

#include "client/client.h"
#include "client/dial.h"
#include "client/input.h"
#include "client/progress.h"
#include "client/sender.h"

enum client_phase {
	PHASE_PAUSE,   /* until retry_ns */
	PHASE_CONNECT,
	PHASE_OPEN,
	PHASE_FOREIGN, /* no Roger server; a little longer, for the rest of its answer */
	PHASE_BYE,     /* all is acknowledged; the stream ends */
	PHASE_CLOSE,
	PHASE_DONE,
};

struct client {
	const struct client_config *config;
	struct io *io;
	struct dial dial;
	struct input input;
	struct sender sender;
	struct progress progress;
	char taker[ADDRESS_TEXT_SIZE + 8];

	uint8_t *window;
	size_t window_size;
	bool welcomed;         /* in this run */
	bool volatile_shown;   /* it has been said that this server keeps nothing on disk */
	bool input_done;
	uint64_t carried;      /* acknowledged on earlier streams of this run */

	enum client_phase phase;
	bool finished;         /* there is nothing left to try: close, and end */
	bool sending;
	bool send_broken;
	unsigned attempts;
	uint64_t now_ns;
	uint64_t started_ns;
	uint64_t phase_ns;     /* when this phase began */
	uint64_t retry_ns;
	uint64_t timeout_ns;
	uint64_t drain_ns;     /* not before this: the server asked for it */
	uint64_t heard_ns;     /* when the server was last heard, or not waited for */
	uint64_t acked_ns;     /* when an ack last came, or none was waited for */
	uint64_t acked_seen;
	uint64_t down_ns;      /* since when there is no WELCOME */
	uint64_t finished_ns;
	bool down_shown;

	struct failure trouble; /* why the last connection ended without an ack; empty: none did */
	struct failure why;
	bool failed;
};

uint64_t client_acked(const struct client *c); /* messages of this run, all its streams */
uint64_t client_put(const struct client *c);

/* End this connection, if there is one; then the run, if it is finished, else the next attempt (at retry_ns). */
void client_hang_up(struct client *c);

/* It has failed for good. */
void client_fail(struct client *c, const struct failure *why);
void client_fail_sender(struct client *c);

void client_enter(struct client *c, enum client_phase phase);

/* An event of the connection. */
void client_peer_event(struct client *c, const struct io_event *event);

/* It is time to connect; or the peer has said nothing for too long, in this phase. */
void client_connect(struct client *c);
void client_silence(struct client *c);
uint64_t client_silence_deadline(const struct client *c);

#endif
