/* One connection to one ADDRESS: resolving it, trying all its addresses in order, closing. Nothing is retried here. */
#ifndef ROGER_CLIENT_LINK_H
#define ROGER_CLIENT_LINK_H

#include "base/address.h"
#include "base/failure.h"
#include "io/io.h"

/* More addresses than this of one name are not tried: each may cost CONNECT_NS. */
enum { LINK_ENDPOINTS_MAX = 16 };

enum link_phase {
	LINK_IDLE,
	LINK_CONNECTING,
	LINK_ABANDONING, /* this address failed; the next one follows when its socket is closed */
	LINK_OPEN,
	LINK_CLOSING,
};

enum link_result {
	LINK_WAIT,   /* nothing yet */
	LINK_UP,     /* connected: send and receive on link.socket */
	LINK_FAILED, /* no address answered; *why (69). The link is idle */
	LINK_CLOSED, /* link_close has completed. The link is idle */
};

struct link {
	struct io *io;
	struct address address;
	char text[ADDRESS_TEXT_SIZE]; /* HOST:PORT, for words */
	enum link_phase phase;
	io_socket socket;
	struct io_endpoint endpoints[LINK_ENDPOINTS_MAX];
	unsigned count;
	unsigned next;
	int error;            /* why the last address failed */
	uint64_t deadline_ns; /* while connecting */
};

void link_init(struct link *link, struct io *io, const struct address *address);

/* Begin to connect; the link is idle. Blocks while the name is looked up. The socket's events carry `link` as owner. */
enum link_result link_start(struct link *link, struct failure *why);

/* IO_CONNECTED and IO_CLOSED of this link go here. */
enum link_result link_event(struct link *link, const struct io_event *event, struct failure *why);

/* Time passes; link_deadline says when to call next. */
void link_tick(struct link *link, uint64_t now_ns);
uint64_t link_deadline(const struct link *link);

/* Close what is open or being made; LINK_CLOSED follows through link_event. Harmless when closing already; false when the link is
 * idle, so that nothing follows. */
bool link_close(struct link *link, bool reset);

#endif
