#include "net.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "fault.h"
#include "net_inside.h"

/* Without a timeout of its own a kernel gives a silent peer up after about so long. */
#define TIMEOUT_DEFAULT_NS (15 * MINUTE_NS)

enum {
	PORT_FIRST = 32768,
	WINDOWS_USUAL = 5,    /* a window_kind */
	ROOM_HEALED = 65536,
	CONNECT_ATTEMPTS = 7, /* after 1, 2, 4 ... seconds: two minutes in all */
};

struct net_world net_world;

/* --- the world's network */

void net_begin(void)
{
	static const uint64_t usual_ns[] = { 20000, 50000, 200000, MS_NS, 5 * MS_NS, 30 * MS_NS };

	memset(&net_world, 0, sizeof(net_world));
	net_world.usual_ns = usual_ns[world_draw(sizeof(usual_ns) / sizeof(usual_ns[0]))];
	net_world.window_kind = (unsigned)world_draw(6);
	net_world.cuts_pieces = world_draw(2) == 0;
	for (unsigned i = 0; i <= HOSTS_MAX; i++)
		net_world.port_next[i] = PORT_FIRST;
}

void net_end(void)
{
	while (net_world.first != NULL) {
		struct net_connection *c = net_world.first;

		net_world.first = c->next;
		stream_deinit(&c->streams[CLIENT_SIDE]);
		stream_deinit(&c->streams[SERVER_SIDE]);
		sim_free(c);
	}
	while (net_world.listeners != NULL) {
		struct net_listener *listener = net_world.listeners;

		net_world.listeners = listener->next;
		sim_free(listener);
	}
	net_world.last = NULL;
}

uint64_t net_delay(void)
{
	uint64_t usual = net_world.usual_ns;

	return world_span(usual / 2, usual / 2, 64 * usual);
}

uint64_t net_hole(const struct net_connection *c, unsigned from_side)
{
	uint64_t until_ns = c->streams[from_side].hole_ns;
	unsigned from = c->ends[from_side].host->number;
	unsigned to = c->ends[1 - from_side].host->number;

	if (net_world.hole_from[from] > until_ns)
		until_ns = net_world.hole_from[from];
	if (net_world.hole_to[to] > until_ns)
		until_ns = net_world.hole_to[to];
	return until_ns;
}

static void raise_to(uint64_t *value, uint64_t least)
{
	if (*value < least)
		*value = least;
}

void net_blackhole(struct host *host, bool from, bool to, uint64_t until_ns)
{
	if (from)
		raise_to(&net_world.hole_from[host->number], until_ns);
	if (to)
		raise_to(&net_world.hole_to[host->number], until_ns);
	world_trace("black hole", host->number, (uint64_t)from * 2 + to);
}

/* Windows as usual: through tiny ones much takes longer than anybody waits for the end. */
static void widen(struct stream *stream)
{
	if (stream->send_room < ROOM_HEALED)
		stream->send_room = ROOM_HEALED;
	if (stream->receive_room < ROOM_HEALED)
		stream->receive_room = ROOM_HEALED;
}

void net_heal(void)
{
	net_world.healed = true;
	net_world.window_kind = WINDOWS_USUAL;
	memset(net_world.hole_from, 0, sizeof(net_world.hole_from));
	memset(net_world.hole_to, 0, sizeof(net_world.hole_to));
	if (net_world.usual_ns > MS_NS)
		net_world.usual_ns = MS_NS;
	for (struct net_connection *c = net_world.first; c != NULL; c = c->next) {
		for (unsigned side = 0; side < 2; side++) {
			struct stream *stream = &c->streams[side];
			uint64_t soon_ns = world_now() + net_delay();

			stream->hole_ns = 0;
			widen(stream);
			for (size_t i = 0; i < stream->piece_count; i++)
				stream->pieces[stream->piece_first + i].at_ns = soon_ns;
			stream_soon(c, side);
		}
	}
}

/* --- ends that break */

void net_fail(struct net_end *end, int error)
{
	struct net_connection *c = end->connection;
	struct stream *in = &c->streams[1 - end->side];
	bool was_connecting = end->connecting;

	if (!end->held || end->error != 0)
		return;
	world_trace("connection broken", c->number, (uint64_t)error);
	/* After the peer's end of the stream a reset is a broken pipe. What was not read may be lost with the connection. */
	end->error = error == ECONNRESET && in->fin_arrived ? EPIPE : error;
	end->connecting = false;
	stream_drop(&c->streams[end->side]);
	if (world_draw(2) == 0 && !in->fin_arrived)
		in->read = in->arrived;
	if (end->calls == NULL)
		return;
	if (was_connecting) {
		if (end->calls->connected != NULL)
			end->calls->connected(end->context, -error);
		return;
	}
	if (end->calls->readable != NULL)
		end->calls->readable(end->context);
	if (end->held && end->calls->writable != NULL)
		end->calls->writable(end->context);
}

/* An end that has broken by itself (its peer's reset, its own timeout) leaves a peer that learns of it only when it sends. */
static void reset_arrives(void *context, uint64_t argument)
{
	struct net_end *to = context;
	struct net_connection *c = to->connection;

	(void)argument;
	/* It is sent once: what the hole swallows is not sent again. The middle of a connection is never in a hole. */
	if (!c->cut && net_hole(c, 1 - to->side) > world_now()) {
		stream_drop(&c->streams[1 - to->side]);
		return;
	}
	stream_drop(&c->streams[1 - to->side]);
	net_fail(to, ECONNRESET);
}

void net_send_reset(struct net_end *to)
{
	world_at(world_now() + net_delay(), reset_arrives, to, 0);
}

/* --- listeners */

int net_listen(struct host *host, uint16_t port, const struct net_calls *calls, void *context,
	       struct net_listener **ret)
{
	struct net_listener **at = &net_world.listeners;

	for (; *at != NULL; at = &(*at)->next)
		if ((*at)->host == host && (*at)->port == port && !(*at)->closed)
			return -EADDRINUSE;
	struct net_listener *listener = sim_alloc(sizeof(*listener));
	listener->host = host;
	listener->port = port;
	listener->calls = calls;
	listener->context = context;
	listener->accepting = true;
	*at = listener;
	*ret = listener;
	return 0;
}

static void hand_over(void *context, uint64_t argument)
{
	struct net_listener *listener = context;

	(void)argument;
	while (!listener->closed && listener->accepting && listener->backlog_count > 0) {
		struct net_end *end = listener->backlog[0];
		struct net_connection *c = end->connection;

		listener->backlog_count--;
		memmove(listener->backlog, listener->backlog + 1,
			listener->backlog_count * sizeof(listener->backlog[0]));
		raise_to(&net_world.newest[c->ends[CLIENT_SIDE].host->number], c->number);
		listener->calls->accepted(listener->context, end);
	}
}

void net_listener_accept(struct net_listener *listener, bool on)
{
	listener->accepting = on;
	if (on && listener->backlog_count > 0)
		world_at(world_now(), hand_over, listener, 0);
}

static void stop_listening(struct net_listener *listener, bool silently)
{
	listener->closed = true;
	for (unsigned i = 0; i < listener->backlog_count; i++) {
		if (silently)
			net_vanish(listener->backlog[i]);
		else
			net_close(listener->backlog[i], true);
	}
	listener->backlog_count = 0;
}

void net_listener_close(struct net_listener *listener)
{
	stop_listening(listener, false);
}

void net_listener_vanish(struct net_listener *listener)
{
	stop_listening(listener, true);
}

static struct net_listener *listener_at(const struct host *host, uint16_t port)
{
	for (struct net_listener *at = net_world.listeners; at != NULL; at = at->next)
		if (at->host == host && at->port == port && !at->closed)
			return at;
	return NULL;
}

/* --- connecting: a packet there, one back, and a third */

static void connect_fails(void *context, uint64_t error)
{
	struct net_connection *c = context;

	if (c->ends[CLIENT_SIDE].connecting)
		net_fail(&c->ends[CLIENT_SIDE], (int)error);
}

/* The third has arrived. */
static void is_established(void *context, uint64_t argument)
{
	struct net_connection *c = context;
	struct net_listener *listener = c->listener;
	struct net_end *end = &c->ends[SERVER_SIDE];

	(void)argument;
	if (!end->held)
		return;
	if (listener->closed || listener->backlog_count == BACKLOG_MAX) {
		if (end->host->off)
			net_vanish(end);
		else
			net_close(end, true);
		return;
	}
	listener->backlog[listener->backlog_count++] = end;
	hand_over(listener, 0);
}

/* The second has arrived. */
static void is_answered(void *context, uint64_t argument)
{
	struct net_connection *c = context;
	struct net_end *client = &c->ends[CLIENT_SIDE];
	struct net_end *server = &c->ends[SERVER_SIDE];

	(void)argument;
	if (!client->held || client->error != 0) {
		server->held = false; /* never seen by its listener */
		return;
	}
	client->connecting = false;
	world_trace("connected", c->number, client->host->number);
	world_at(world_now() + net_delay(), is_established, c, 0);
	if (client->calls != NULL && client->calls->connected != NULL)
		client->calls->connected(client->context, 0);
}

static void try_to_connect(void *context, uint64_t argument)
{
	struct net_connection *c = context;
	struct host *host = host_numbered(c->to_host);
	unsigned from = c->ends[CLIENT_SIDE].host->number;
	uint64_t now_ns = world_now();

	(void)argument;
	if (!c->ends[CLIENT_SIDE].connecting)
		return;
	if (c->attempts == 0 && fault_happens(FAULT_NET_CONNECT_TIMEOUT)) {
		world_at(now_ns + world_between(SECOND_NS, 130 * SECOND_NS), connect_fails, c,
			 ETIMEDOUT);
		return;
	}
	bool there = host != NULL && !host->off && net_world.hole_from[from] <= now_ns &&
		     net_world.hole_to[from] <= now_ns &&
		     net_world.hole_from[host->number] <= now_ns &&
		     net_world.hole_to[host->number] <= now_ns;
	struct net_listener *listener = there ? listener_at(host, c->to_port) : NULL;
	if (there && (listener == NULL || fault_happens(FAULT_NET_REFUSED))) {
		world_at(now_ns + net_delay(), connect_fails, c, ECONNREFUSED);
		return;
	}
	if (!there || listener->backlog_count == BACKLOG_MAX) {
		uint64_t pause_ns = SECOND_NS << c->attempts;

		if (++c->attempts == CONNECT_ATTEMPTS)
			connect_fails(c, host == NULL ? EHOSTUNREACH : ETIMEDOUT);
		else
			world_at(now_ns + pause_ns, try_to_connect, c, 0);
		return;
	}
	c->listener = listener;
	c->ends[SERVER_SIDE].host = host;
	c->ends[SERVER_SIDE].held = true;
	world_at(now_ns + net_delay(), is_answered, c, 0);
}

struct net_end *net_connect(struct host *from, unsigned host_number, uint16_t port,
			    const struct net_calls *calls, void *context)
{
	struct net_connection *c = sim_alloc(sizeof(*c));

	c->number = ++net_world.number;
	c->to_host = host_number;
	c->to_port = port;
	for (unsigned side = 0; side < 2; side++) {
		c->ends[side].connection = c;
		c->ends[side].side = side;
		c->ends[side].timeout_ns = TIMEOUT_DEFAULT_NS;
		stream_init(&c->streams[side]);
	}
	c->ends[CLIENT_SIDE].host = from;
	c->ends[CLIENT_SIDE].port = net_world.port_next[from->number]++;
	c->ends[CLIENT_SIDE].connecting = true;
	c->ends[CLIENT_SIDE].held = true;
	c->ends[CLIENT_SIDE].calls = calls;
	c->ends[CLIENT_SIDE].context = context;
	c->ends[SERVER_SIDE].port = port;
	if (net_world.port_next[from->number] == 0)
		net_world.port_next[from->number] = PORT_FIRST;
	if (net_world.last != NULL)
		net_world.last->next = c;
	else
		net_world.first = c;
	net_world.last = c;
	world_at(world_now() + net_delay(), try_to_connect, c, 0);
	return &c->ends[CLIENT_SIDE];
}

/* --- what an owner does with its end */

void net_calls_set(struct net_end *end, const struct net_calls *calls, void *context)
{
	end->calls = calls;
	end->context = context;
}

void net_peer(const struct net_end *end, unsigned *ret_host, uint16_t *ret_port)
{
	const struct net_end *peer = &end->connection->ends[1 - end->side];

	*ret_host = peer->host != NULL ? peer->host->number : end->connection->to_host;
	*ret_port = peer->port;
}

uint64_t net_connection(const struct net_end *end)
{
	return end->connection->number;
}

uint64_t net_newest(void)
{
	return net_world.number;
}

static struct stream *in_of(const struct net_end *end)
{
	return &end->connection->streams[1 - end->side];
}

size_t net_available(const struct net_end *end)
{
	return (size_t)(in_of(end)->arrived - in_of(end)->read);
}

bool net_at_end(const struct net_end *end)
{
	return net_available(end) == 0 && (in_of(end)->fin_arrived || end->error != 0);
}

/* Bytes of a client that is gone, read after its host's next connection was accepted. */
static void count_old_bytes(const struct net_end *end)
{
	struct net_connection *c = end->connection;
	const struct net_end *client = &c->ends[CLIENT_SIDE];

	if (end->side != SERVER_SIDE || client->held || c->old_counted ||
	    net_world.newest[client->host->number] <= c->number)
		return;
	c->old_counted = true;
	fault_happened(FAULT_NET_OLD_BYTES);
}

int64_t net_read(struct net_end *end, void *out, size_t size)
{
	must(end->held && size > 0);
	size_t count = stream_read(end->connection, 1 - end->side, out, size);
	if (count > 0) {
		count_old_bytes(end);
		return (int64_t)count;
	}
	if (in_of(end)->fin_arrived)
		return 0;
	if (end->error == 0)
		return -EAGAIN;
	end->error_told = true;
	return -end->error;
}

int64_t net_write(struct net_end *end, const void *data, size_t size)
{
	struct stream *out = &end->connection->streams[end->side];

	must(end->held && size > 0);
	if (end->error != 0) { /* the first to ask takes the error away, but for those who read */
		int error = end->error_told ? EPIPE : end->error;

		end->error_told = true;
		return -error;
	}
	if (out->fin_written)
		return -EPIPE;
	must(!end->connecting);
	size_t taken = stream_write(end->connection, end->side, data, size);
	return taken > 0 ? (int64_t)taken : -EAGAIN;
}

void net_shutdown(struct net_end *end)
{
	if (!end->connecting && end->error == 0)
		stream_fin(end->connection, end->side);
}

static void let_go(struct net_end *end)
{
	struct net_connection *c = end->connection;

	must(end->held);
	end->held = false;
	end->calls = NULL;
	end->connecting = false;
	if (!c->ends[1 - end->side].held) {
		stream_deinit(&c->streams[CLIENT_SIDE]);
		stream_deinit(&c->streams[SERVER_SIDE]);
	}
}

void net_close(struct net_end *end, bool reset)
{
	struct net_connection *c = end->connection;
	struct net_end *peer = &c->ends[1 - end->side];

	/* With bytes unread a kernel says so. What is on its way arrives, or not, before the reset does. */
	reset = reset || net_available(end) > 0;
	if (!end->connecting && end->error == 0) {
		if (reset)
			net_send_reset(peer);
		else
			stream_fin(c, end->side);
	}
	let_go(end);
}

void net_abandon(struct net_end *end)
{
	struct net_connection *c = end->connection;
	unsigned side = end->side;
	bool late = !net_world.healed && world_draw(3) == 0;

	net_close(end, false);
	if (late)
		stream_late(c, side, world_span(MS_NS, SECOND_NS, 20 * SECOND_NS));
}

void net_vanish(struct net_end *end)
{
	struct stream *out = &end->connection->streams[end->side];

	/* What has left the machine may still arrive; what has not is nowhere any more. */
	if (out->piece_count > 0 && !out->dropped) {
		out->piece_count = (size_t)world_draw(out->piece_count + 1);
		out->written = out->piece_count > 0
				       ? out->pieces[out->piece_first + out->piece_count - 1].end
				       : out->arrived;
	}
	end->vanished = true;
	let_go(end);
}

void net_user_timeout(struct net_end *end, uint64_t ns)
{
	end->timeout_ns = ns > 0 ? ns : TIMEOUT_DEFAULT_NS;
	/* One that has been asked for with the longer time comes too late. */
	end->timer = false;
	net_watch_timeout(end);
}
