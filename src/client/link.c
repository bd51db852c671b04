#include "client/link.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"

void link_init(struct link *link, struct io *io, const struct address *address)
{
	struct address bare = *address;

	memset(link, 0, sizeof(*link));
	link->io = io;
	link->address = *address;
	bare.protocol = PROTOCOL_NONE;
	address_text(&bare, link->text);
}

static enum link_result try_next(struct link *link, struct failure *why)
{
	while (link->next < link->count) {
		int result =
			io_connect(link->io, &link->endpoints[link->next++], link, &link->socket);

		if (result == 0) {
			link->phase = LINK_CONNECTING;
			link->deadline_ns = io_now(link->io) + CONNECT_NS;
			return LINK_WAIT;
		}
		link->error = -result;
	}
	link->phase = LINK_IDLE;
	link->socket = 0;
	failure_set(why, EXIT_UNAVAILABLE, link->error, "connect %s", link->text);
	return LINK_FAILED;
}

enum link_result link_start(struct link *link, struct failure *why)
{
	const char *reason = "";

	must(link->phase == LINK_IDLE);
	link->next = 0;
	link->count = 0;
	if (link->address.is_unix) {
		struct io_endpoint *to = &link->endpoints[0];

		memset(to, 0, sizeof(*to));
		to->peer.family = PEER_UNIX;
		must(strlen(link->address.path) < sizeof(to->path));
		memcpy(to->path, link->address.path, strlen(link->address.path) + 1);
		link->count = 1;
	} else if (io_resolve(link->address.host, link->address.port, false, link->endpoints,
			      LINK_ENDPOINTS_MAX, &link->count, &reason) < 0) {
		failure_set(why, EXIT_UNAVAILABLE, 0, "connect %s: %s", link->text, reason);
		return LINK_FAILED;
	}
	return try_next(link, why);
}

static void abandon(struct link *link, int error)
{
	link->error = error;
	link->phase = LINK_ABANDONING;
	io_close(link->io, link->socket, true);
}

enum link_result link_event(struct link *link, const struct io_event *event, struct failure *why)
{
	if (event->kind == IO_CONNECTED && link->phase == LINK_CONNECTING) {
		if (event->result < 0) {
			abandon(link, -event->result);
			return LINK_WAIT;
		}
		link->phase = LINK_OPEN;
		return LINK_UP;
	}
	if (event->kind == IO_CLOSED) {
		link->socket = 0;
		if (link->phase == LINK_ABANDONING)
			return try_next(link, why);
		must(link->phase == LINK_CLOSING);
		link->phase = LINK_IDLE;
		return LINK_CLOSED;
	}
	return LINK_WAIT;
}

void link_tick(struct link *link, uint64_t now_ns)
{
	if (link->phase == LINK_CONNECTING && now_ns >= link->deadline_ns)
		abandon(link, ETIMEDOUT);
}

uint64_t link_deadline(const struct link *link)
{
	return link->phase == LINK_CONNECTING ? link->deadline_ns : NEVER_NS;
}

bool link_close(struct link *link, bool reset)
{
	switch (link->phase) {
	case LINK_IDLE: return false;
	case LINK_CONNECTING:
	case LINK_OPEN: io_close(link->io, link->socket, reset); break;
	case LINK_ABANDONING:
	case LINK_CLOSING: break; /* closing already */
	}
	link->phase = LINK_CLOSING;
	return true;
}
