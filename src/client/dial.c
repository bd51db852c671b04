#include "client/dial.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"

void dial_init(struct dial *dial, struct io *io, const struct address *address)
{
	struct address bare = *address;

	memset(dial, 0, sizeof(*dial));
	dial->io = io;
	dial->address = *address;
	bare.protocol = PROTOCOL_NONE;
	address_text(&bare, dial->text);
}

static enum dial_result try_next(struct dial *dial, struct failure *why)
{
	while (dial->next < dial->count) {
		int result =
			io_connect(dial->io, &dial->endpoints[dial->next++], dial, &dial->socket);

		if (result == 0) {
			dial->phase = DIAL_CONNECTING;
			dial->deadline_ns = io_now(dial->io) + CONNECT_NS;
			return DIAL_WAIT;
		}
		dial->error = -result;
	}
	dial->phase = DIAL_IDLE;
	dial->socket = 0;
	failure_set(why, EXIT_UNAVAILABLE, dial->error, "connect %s", dial->text);
	return DIAL_FAILED;
}

enum dial_result dial_start(struct dial *dial, struct failure *why)
{
	const char *reason = "";

	must(dial->phase == DIAL_IDLE);
	dial->next = 0;
	dial->count = 0;
	if (dial->address.is_unix) {
		struct io_endpoint *to = &dial->endpoints[0];

		memset(to, 0, sizeof(*to));
		to->peer.family = PEER_UNIX;
		must(strlen(dial->address.path) < sizeof(to->path));
		memcpy(to->path, dial->address.path, strlen(dial->address.path) + 1);
		dial->count = 1;
	} else if (io_resolve(dial->address.host, dial->address.port, false, dial->endpoints,
			      DIAL_ENDPOINTS_MAX, &dial->count, &reason) < 0) {
		failure_set(why, EXIT_UNAVAILABLE, 0, "connect %s: %s", dial->text, reason);
		return DIAL_FAILED;
	}
	return try_next(dial, why);
}

static void abandon(struct dial *dial, int error)
{
	dial->error = error;
	dial->phase = DIAL_ABANDONING;
	io_close(dial->io, dial->socket, true);
}

enum dial_result dial_event(struct dial *dial, const struct io_event *event, struct failure *why)
{
	if (event->kind == IO_CONNECTED && dial->phase == DIAL_CONNECTING) {
		if (event->result < 0) {
			abandon(dial, -event->result);
			return DIAL_WAIT;
		}
		dial->phase = DIAL_OPEN;
		return DIAL_UP;
	}
	if (event->kind == IO_CLOSED) {
		dial->socket = 0;
		if (dial->phase == DIAL_ABANDONING)
			return try_next(dial, why);
		must(dial->phase == DIAL_CLOSING);
		dial->phase = DIAL_IDLE;
		return DIAL_CLOSED;
	}
	return DIAL_WAIT;
}

void dial_tick(struct dial *dial, uint64_t now_ns)
{
	if (dial->phase == DIAL_CONNECTING && now_ns >= dial->deadline_ns)
		abandon(dial, ETIMEDOUT);
}

uint64_t dial_deadline(const struct dial *dial)
{
	return dial->phase == DIAL_CONNECTING ? dial->deadline_ns : NEVER_NS;
}

bool dial_close(struct dial *dial, bool reset)
{
	switch (dial->phase) {
	case DIAL_IDLE: return false;
	case DIAL_CONNECTING:
	case DIAL_OPEN: io_close(dial->io, dial->socket, reset); break;
	case DIAL_ABANDONING:
	case DIAL_CLOSING: break; /* closing already */
	}
	dial->phase = DIAL_CLOSING;
	return true;
}
