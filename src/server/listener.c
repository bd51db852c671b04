#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "server/room.h"

enum { ADDRESSES_MAX = 8 }; /* of one name: more are not looked at */

static const char *endpoint_text(const struct listener *listener, char *out, size_t room)
{
	const char *name = protocol_name(listener->protocol);
	bool is_named = listener->protocol != PROTOCOL_NONE;
	char peer[PEER_TEXT_SIZE];

	if (listener->bound.peer.family == PEER_UNIX)
		snprintf(out, room, "%s%sunix:%s", is_named ? name : "", is_named ? "+" : "",
			 listener->bound.path);
	else
		snprintf(out, room, "%s%s%s", is_named ? name : "", is_named ? "://" : "",
			 peer_text(&listener->bound.peer, peer));
	return out;
}

static int listen_at(struct server *server, const struct io_endpoint *at, enum protocol protocol)
{
	struct listener *listener = &server->listeners[server->listener_count];
	int r;

	if (server->listener_count == LISTENERS_MAX)
		return -EMFILE;
	r = io_listen(server->io, at, listener, &listener->socket, &listener->bound);
	if (r)
		return r;
	listener->protocol = (uint8_t)protocol;
	server->listener_count++;
	return 0;
}

/* All addresses of a name; the machine may lack a family (IPv6), but then another must work. */
static int listen_on(struct server *server, const struct address *address, struct failure *why)
{
	struct io_endpoint found[ADDRESSES_MAX];
	unsigned count = 1, opened = 0;
	const char *reason = NULL;
	char text[ADDRESS_TEXT_SIZE];
	int r = 0;

	if (address->is_unix) {
		found[0] = (struct io_endpoint){ .peer.family = PEER_UNIX };
		snprintf(found[0].path, sizeof(found[0].path), "%s", address->path);
	} else {
		r = io_resolve(address->host, address->port, true, found, ADDRESSES_MAX, &count,
			       &reason);
		if (r)
			return failure_set(why, EXIT_LISTEN, 0, "listen %s: %s",
					   address_text(address, text), reason);
	}
	for (unsigned i = 0; i < count; i++) {
		r = listen_at(server, &found[i], address->protocol);
		if (r == 0)
			opened++;
		else if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL)
			break;
	}
	if (opened && (r == 0 || r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL))
		return 0;
	return failure_set(why, EXIT_LISTEN, -r, "listen %s", address_text(address, text));
}

int listeners_open(struct server *server, struct failure *why)
{
	static const struct address everywhere = { .protocol = PROTOCOL_NONE,
						   .host = "0.0.0.0",
						   .port = ADDRESS_PORT_DEFAULT };
	const struct server_config *config = server->config;
	int r;

	if (!config->listen_count)
		return listen_on(server, &everywhere, why);
	for (unsigned i = 0; i < config->listen_count; i++) {
		r = listen_on(server, &config->listen[i], why);
		if (r)
			return r;
	}
	return 0;
}

static bool is_local(const struct peer *peer)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (peer->family == PEER_IPV4)
		return peer->address[0] == 127;
	if (peer->family == PEER_IPV6) {
		for (unsigned i = 0; i < sizeof(loopback6); i++) {
			if (peer->address[i] != loopback6[i])
				return false;
		}
	}
	return true;
}

void listeners_banner(struct server *server)
{
	char text[IO_PATH_SIZE + PEER_TEXT_SIZE];

	for (unsigned i = 0; i < server->listener_count; i++) {
		const struct listener *listener = &server->listeners[i];

		notes_listening(&server->notes, endpoint_text(listener, text, sizeof(text)),
				listener->protocol == PROTOCOL_NONE ? "roger, raw" : NULL);
	}
	for (unsigned i = 0; i < server->listener_count; i++) {
		const struct listener *listener = &server->listeners[i];

		if (!is_local(&listener->bound.peer))
			notes_say(&server->notes, "open",
				  "anyone who can reach %s can write here; --listen 127.0.0.1 "
				  "keeps it local",
				  endpoint_text(listener, text, sizeof(text)));
	}
}

void listeners_accept(struct server *server, bool armed)
{
	if (server->accepting == armed)
		return;
	server->accepting = armed;
	for (unsigned i = 0; i < server->listener_count; i++)
		io_accept(server->io, server->listeners[i].socket, armed);
}

void listeners_close(struct server *server)
{
	for (unsigned i = 0; i < server->listener_count; i++) {
		if (server->listeners[i].socket)
			io_close(server->io, server->listeners[i].socket, false);
		server->listeners[i].socket = 0;
	}
}

struct listener *listener_of(struct server *server, void *owner)
{
	struct listener *listener = owner;

	if (listener < server->listeners || listener >= server->listeners + LISTENERS_MAX)
		return NULL;
	return listener;
}
