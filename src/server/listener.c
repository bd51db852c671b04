#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/must.h"
#include "server/room.h"

static const struct address everywhere = { .protocol = PROTOCOL_NONE,
					   .host = "0.0.0.0",
					   .port = ADDRESS_PORT_DEFAULT };

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
	io_tune(server->io, listener->socket, IO_USER_TIMEOUT_MS, USER_TIMEOUT_MS);
	io_tune(server->io, listener->socket, IO_KEEPALIVE_S, KEEPALIVE_IDLE_S);
	listener->protocol = (uint8_t)protocol;
	server->listener_count++;
	return 0;
}

static int find(const struct address *address, struct listener_place *place, struct failure *why)
{
	const char *reason = NULL;
	char text[ADDRESS_TEXT_SIZE];

	place->address = address;
	if (address->is_unix) {
		place->count = 1;
		place->found[0] = (struct io_endpoint){ .peer.family = PEER_UNIX };
		snprintf(place->found[0].path, sizeof(place->found[0].path), "%s", address->path);
		return 0;
	}
	if (io_resolve(address->host, address->port, true, place->found, ADDRESSES_MAX,
		       &place->count, &reason))
		return failure_set(why, EXIT_LISTEN, 0, "listen %s: %s",
				   address_text(address, text), reason);
	return 0;
}

int listeners_find(struct server *server, struct failure *why)
{
	const struct server_config *config = server->config;
	int r = 0;

	server->place_count = config->listen_count ? config->listen_count : 1;
	must(server->place_count <= LISTENERS_MAX);
	if (!config->listen_count)
		return find(&everywhere, &server->places[0], why);
	for (unsigned i = 0; i < server->place_count && !r; i++)
		r = find(&config->listen[i], &server->places[i], why);
	return r;
}

/* All addresses of a name; the machine may lack a family (IPv6), but then another must work. */
static int listen_on(struct server *server, const struct listener_place *place,
		     struct failure *why)
{
	unsigned opened = 0;
	char text[ADDRESS_TEXT_SIZE];
	int r = 0;

	for (unsigned i = 0; i < place->count; i++) {
		r = listen_at(server, &place->found[i], place->address->protocol);
		if (r == 0)
			opened++;
		else if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL)
			break;
	}
	if (opened && (r == 0 || r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL))
		return 0;
	return failure_set(why, EXIT_LISTEN, -r, "listen %s", address_text(place->address, text));
}

int listeners_open(struct server *server, struct failure *why)
{
	int r = 0;

	for (unsigned i = 0; i < server->place_count && !r; i++)
		r = listen_on(server, &server->places[i], why);
	return r;
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
