/* The server: listeners, sessions, acks. Puts wire, journal and io together. */
#ifndef ROGER_SERVER_SERVER_H
#define ROGER_SERVER_SERVER_H

#include "base/address.h"
#include "base/failure.h"
#include "journal/journal.h"

enum { LISTENERS_MAX = 32 };

struct server_config {
	const struct address
		*listen;       /* protocol PROTOCOL_NONE: native or raw, by the first bytes */
	unsigned listen_count; /* 0: 0.0.0.0:9999 */
	struct journal_config
		journal; /* path, limits; stop, notice and context are the server's own */
	uint32_t connections_max;
	uint64_t memory;
	const char *io_backend;
	bool quiet;
	bool log_json;
	/* deadlines, ns */
	uint64_t first_ns;   /* first byte or HELLO */
	uint64_t message_ns; /* a frame or line that has begun, and its size at 10 kB/s on top */
	uint64_t idle_ns;    /* raw, whole, line */
	uint64_t linger_ns;  /* raw after ACK!, since the last byte */
	uint64_t heartbeat_ns;
};

void server_config_default(struct server_config *config);

/* Serve until SIGTERM, SIGINT or a failure of the journal. Lines for people go to stdout and stderr as in man/roger.1. Returns the exit
 * status; what went wrong has been printed. Blocks. */
int server_run(const struct server_config *config);

#endif
