/* The sending side.
 *
 * client/sender.h is the session machine: pure (no I/O, no clock), it keeps its promise from numbers and bytes alone. client.c is the
 * loop that drives it: connecting, reconnecting, standard input, progress. raw.c sends to plain servers. */
#ifndef ROGER_CLIENT_CLIENT_H
#define ROGER_CLIENT_CLIENT_H

#include "base/address.h"
#include "base/failure.h"
#include "base/frame.h"

/* Where the messages come from: exactly one of the three. */
struct client_input {
	char **messages;       /* arguments ... */
	unsigned message_count;
	char **files;          /* ... or files, one message each ... */
	unsigned file_count;
	bool standard_input;   /* ... or lines of standard input */
	bool null_ended;       /* lines end with NUL instead of LF */
};

struct client_config {
	struct address address;
	struct client_input input;
	const char *stream_name; /* NULL: a random, ephemeral stream */
	bool resume;
	bool retry;
	bool accept_gap;
	bool print_record;
	uint64_t timeout_ns;     /* 0: DEFAULT_CLIENT_TIMEOUT_NS; raw, whole, line: RAW_REPLY_NS */
	uint64_t window;         /* bytes sent and not yet acknowledged, kept for resending */
};

/* The id of a named stream, and a random one (docs/protocol.md 3.8): never zero, never a plain connection's. */
void client_stream_id(const char *name, struct stream_id *ret);
void client_stream_random(struct stream_id *ret);

/* Send everything and wait until it is acknowledged. Prints what man/roger.1 says on stdout and stderr; returns the exit status. */
int client_send(const struct client_config *config);

/* raw, whole, line (an LF is added): each message on a connection of its own; the peer's whole reply is printed. */
int client_send_raw(const struct client_config *config);

#endif
