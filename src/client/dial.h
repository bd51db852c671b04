/* One connection to one ADDRESS: resolving it, trying all its addresses in order, closing. Nothing is retried here. */
#ifndef ROGER_CLIENT_DIAL_H
#define ROGER_CLIENT_DIAL_H

#include "base/address.h"
#include "base/failure.h"
#include "io/io.h"

/* More addresses than this of one name are not tried: each may cost CONNECT_NS. */
enum { DIAL_ENDPOINTS_MAX = 16 };

enum dial_phase {
	DIAL_IDLE,
	DIAL_CONNECTING,
	DIAL_ABANDONING, /* this address failed; the next one follows when its socket is closed */
	DIAL_OPEN,
	DIAL_CLOSING,
};

enum dial_result {
	DIAL_WAIT,   /* nothing yet */
	DIAL_UP,     /* connected: send and receive on dial.socket */
	DIAL_FAILED, /* no address answered; *why (69). It is idle then */
	DIAL_CLOSED, /* dial_close has completed. It is idle then */
};

struct dial {
	struct io *io;
	struct address address;
	char text[ADDRESS_TEXT_SIZE]; /* HOST:PORT, for words */
	enum dial_phase phase;
	io_socket socket;
	struct io_endpoint endpoints[DIAL_ENDPOINTS_MAX];
	unsigned count;
	unsigned next;
	int error;            /* why the last address failed */
	uint64_t deadline_ns; /* while connecting */
};

void dial_init(struct dial *dial, struct io *io, const struct address *address);

/* Begin to connect; the last one is over. Blocks while the name is looked up. The socket's events carry `dial` as owner. */
enum dial_result dial_start(struct dial *dial, struct failure *why);

/* IO_CONNECTED and IO_CLOSED go here. */
enum dial_result dial_event(struct dial *dial, const struct io_event *event, struct failure *why);

/* Time passes; dial_deadline says when to call next. */
void dial_tick(struct dial *dial, uint64_t now_ns);
uint64_t dial_deadline(const struct dial *dial);

/* Close what is open or being made; DIAL_CLOSED follows through dial_event. Harmless when closing already; false when it is
 * idle, so that nothing follows. */
bool dial_close(struct dial *dial, bool reset);

#endif
