/* net: what is on its way. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "fault.h"
#include "net_inside.h"

/* --- what a stream holds */

/* Windows: usual ones; small ones, which close often; and tiny ones now and then. */
static size_t draw_room(void)
{
	unsigned kind = net_world.window_kind;

	if (kind == 0 && world_draw(16) == 0)
		return world_between(16, 256);
	if (kind <= 1)
		return world_between(256, 8 * KIB);
	return world_between(16 * KIB, 256 * KIB);
}

void stream_init(struct stream *stream)
{
	*stream = (struct stream){ .waiting_ns = NEVER_NS };
	stream->send_room = draw_room();
	stream->receive_room = draw_room();
}

void stream_drop(struct stream *stream)
{
	stream->piece_count = stream->piece_first = 0;
	stream->written = stream->arrived;
	stream->waiting_ns = NEVER_NS;
	stream->stalled = false;
	stream->dropped = true;
	stream->token++;
}

void stream_deinit(struct stream *stream)
{
	stream_drop(stream);
	sim_free(stream->bytes);
	sim_free(stream->pieces);
	stream->bytes = NULL;
	stream->pieces = NULL;
	stream->room = stream->piece_room = 0;
	stream->base = stream->read = stream->arrived;
}

static void bytes_append(struct stream *stream, const uint8_t *data, size_t size)
{
	size_t kept = (size_t)(stream->written - stream->read);

	if (stream->room < stream->written - stream->base + size) {
		if (kept > 0)
			memmove(stream->bytes, stream->bytes + (stream->read - stream->base), kept);
		stream->base = stream->read;
		if (stream->room < kept + size) {
			stream->room = 2 * (kept + size);
			stream->bytes = sim_resize(stream->bytes, stream->room);
		}
	}
	memcpy(stream->bytes + (stream->written - stream->base), data, size);
	stream->written += size;
}

static void piece_append(struct stream *stream, struct piece piece)
{
	if (stream->piece_first + stream->piece_count == stream->piece_room) {
		if (stream->piece_first > 0 && stream->piece_count > 0)
			memmove(stream->pieces, stream->pieces + stream->piece_first,
				stream->piece_count * sizeof(*stream->pieces));
		stream->piece_first = 0;
		if (stream->piece_count == stream->piece_room) {
			stream->piece_room = stream->piece_room > 0 ? 2 * stream->piece_room : 8;
			stream->pieces = sim_resize(stream->pieces,
						    stream->piece_room * sizeof(*stream->pieces));
		}
	}
	stream->pieces[stream->piece_first + stream->piece_count++] = piece;
}

/* --- writing and reading */

static uint64_t latest(const struct stream *stream)
{
	return stream->piece_count > 0
		       ? stream->pieces[stream->piece_first + stream->piece_count - 1].at_ns
		       : 0;
}

static void piece_send(struct net_connection *c, unsigned side, uint64_t end, bool is_fin)
{
	struct stream *stream = &c->streams[side];
	uint64_t at_ns = world_now() + net_delay();

	if (fault_happens(FAULT_NET_DELAY))
		at_ns += world_span(MS_NS, 200 * MS_NS, 20 * SECOND_NS);
	if (at_ns < latest(stream))
		at_ns = latest(stream); /* they stay in order */
	piece_append(stream, (struct piece){ .end = end, .at_ns = at_ns, .is_fin = is_fin });
	if (stream->piece_count == 1)
		stream_soon(c, side);
	if (stream->waiting_ns == NEVER_NS)
		stream->waiting_ns = world_now();
	net_watch_timeout(&c->ends[side]);
}

void stream_fin(struct net_connection *c, unsigned side)
{
	struct stream *stream = &c->streams[side];

	if (stream->fin_written || stream->dropped)
		return;
	stream->fin_written = true;
	piece_send(c, side, stream->written, true);
}

size_t stream_write(struct net_connection *c, unsigned side, const uint8_t *data, size_t size)
{
	struct stream *stream = &c->streams[side];
	size_t on_way = (size_t)(stream->written - stream->arrived) + stream->lost;
	size_t room = stream->send_room > on_way ? stream->send_room - on_way : 0;
	size_t taken = size < room ? size : room;
	uint64_t at = stream->written;

	if (taken < size) {
		stream->want_room = true;
		if (stream->stalled)
			fault_happened(FAULT_NET_WINDOW_CLOSED);
	}
	if (taken == 0)
		return 0;
	if (stream->dropped) {
		stream->lost += taken;
		return taken;
	}
	bytes_append(stream, data, taken);
	while (at < stream->written) {
		uint64_t left = stream->written - at;
		bool cut = net_world.cuts_pieces && left > 1 && world_draw(4) == 0;

		at += cut ? world_between(1, left - 1) : left;
		piece_send(c, side, at, false);
	}
	return taken;
}

size_t stream_read(struct net_connection *c, unsigned side, uint8_t *out, size_t size)
{
	struct stream *stream = &c->streams[side];
	size_t there = (size_t)(stream->arrived - stream->read);
	size_t count = size < there ? size : there;

	if (count == 0)
		return 0;
	memcpy(out, stream->bytes + (stream->read - stream->base), count);
	stream->read += count;
	stream_unstall(c, side);
	return count;
}

/* --- arriving */

static void deliver(void *context, uint64_t argument);

/* Token and side in one number. */
static void deliver_at(struct net_connection *c, unsigned side, uint64_t at_ns)
{
	world_at(at_ns, deliver, c, ++c->streams[side].token * 2 + side);
}

void stream_soon(struct net_connection *c, unsigned side)
{
	struct stream *stream = &c->streams[side];

	stream->stalled = false;
	if (stream->piece_count > 0)
		deliver_at(c, side, stream->pieces[stream->piece_first].at_ns);
}

/* The reader has made room, which its peer hears of after a while. */
void stream_unstall(struct net_connection *c, unsigned side)
{
	struct stream *stream = &c->streams[side];

	if (!stream->stalled)
		return;
	stream->stalled = false;
	deliver_at(c, side, world_now() + net_delay());
}

void stream_late(struct net_connection *c, unsigned side, uint64_t ns)
{
	struct stream *stream = &c->streams[side];

	for (size_t i = 0; i < stream->piece_count; i++)
		stream->pieces[stream->piece_first + i].at_ns += ns;
	stream_soon(c, side);
}

/* The middle of the connection is gone, at both ends sooner or later noticed. */
static void lose(struct net_connection *c)
{
	for (unsigned side = 0; side < 2; side++) {
		stream_drop(&c->streams[side]);
		net_send_reset(&c->ends[side]);
	}
	c->cut = true;
}

/* A hole opens below this connection, or below all of its client's host. */
static void open_hole(struct net_connection *c, bool both)
{
	uint64_t until_ns = world_now() + world_span(10 * MS_NS, SECOND_NS, MINUTE_NS);
	unsigned side = (unsigned)world_draw(2);

	if (world_draw(2) == 0) {
		net_blackhole(c->ends[CLIENT_SIDE].host, both || side == CLIENT_SIDE,
			      both || side == SERVER_SIDE, until_ns);
		return;
	}
	c->streams[side].hole_ns = until_ns;
	if (both)
		c->streams[1 - side].hole_ns = until_ns;
}

static void reset_later(void *context, uint64_t argument)
{
	struct net_connection *c = context;

	(void)argument;
	if (!net_world.healed && !c->cut)
		lose(c);
}

/* What may befall a piece of data; true: it goes no further for now. */
static bool trouble(struct net_connection *c, unsigned side)
{
	struct stream *stream = &c->streams[side];
	const struct piece *piece = &stream->pieces[stream->piece_first];

	if (piece->is_fin || !c->ends[CLIENT_SIDE].held || !c->ends[SERVER_SIDE].held)
		return false;
	if (fault_happens(FAULT_NET_RESET)) {
		lose(c);
		return true;
	}
	if (piece->end - stream->arrived > 1 && !stream->stalled &&
	    stream->arrived - stream->read < stream->receive_room &&
	    fault_happens(FAULT_NET_CUT)) {
		uint64_t room = stream->receive_room - (stream->arrived - stream->read);
		uint64_t most = piece->end - stream->arrived - 1;

		stream->arrived += world_between(1, most < room ? most : room);
		lose(c);
		return true;
	}
	if (side == CLIENT_SIDE && c->streams[SERVER_SIDE].hole_ns != NEVER_NS &&
	    fault_happens(FAULT_NET_ACK_LOST)) {
		c->streams[SERVER_SIDE].hole_ns = NEVER_NS;
		world_at(world_now() + world_span(MS_NS, 500 * MS_NS, 30 * SECOND_NS), reset_later,
			 c, 0);
		return false;
	}
	if (fault_happens(FAULT_NET_BLACKHOLE_ONE))
		open_hole(c, false);
	else if (fault_happens(FAULT_NET_BLACKHOLE_BOTH))
		open_hole(c, true);
	return net_hole(c, side) > world_now();
}

/* As much of the next piece as its reader has room for. */
static void arrive(struct net_connection *c, unsigned side)
{
	struct stream *stream = &c->streams[side];
	const struct piece *piece = &stream->pieces[stream->piece_first];
	uint64_t room = stream->receive_room - (stream->arrived - stream->read);
	uint64_t left = piece->end - stream->arrived;

	if (left > room) {
		stream->arrived += room;
		stream->stalled = true;
		return;
	}
	stream->arrived = piece->end;
	if (piece->is_fin) {
		stream->fin_arrived = true;
		if (c->ends[side].held)
			fault_happened(FAULT_NET_HALF_CLOSE);
	}
	stream->piece_first++;
	stream->piece_count--;
	stream_soon(c, side);
}

/* The writer hears of it, unless the way back is blocked. */
static void acknowledge(struct net_connection *c, unsigned side)
{
	struct stream *stream = &c->streams[side];

	if (net_hole(c, 1 - side) <= world_now())
		stream->waiting_ns = stream->piece_count > 0 ? world_now() : NEVER_NS;
}

static void tell(struct net_connection *c, unsigned side)
{
	const struct net_end *reader = &c->ends[1 - side];
	struct stream *stream = &c->streams[side];
	const struct net_end *writer = &c->ends[side];

	if (reader->held && reader->calls != NULL && reader->calls->readable != NULL)
		reader->calls->readable(reader->context);
	if (stream->want_room && writer->held &&
	    stream->written - stream->arrived < stream->send_room) {
		stream->want_room = false;
		if (writer->calls != NULL && writer->calls->writable != NULL)
			writer->calls->writable(writer->context);
	}
}

static void deliver(void *context, uint64_t argument)
{
	struct net_connection *c = context;
	unsigned side = argument % 2;
	struct stream *stream = &c->streams[side];
	const struct net_end *reader = &c->ends[1 - side];
	uint64_t before = stream->arrived;

	if (argument / 2 != stream->token || stream->piece_count == 0)
		return;
	if (net_hole(c, side) > world_now() || (reader->vanished && reader->host->off)) {
		uint64_t again_ns = net_hole(c, side);

		/* Sent again now and then; without end to the hole, when that is mended. */
		if (again_ns < world_now())
			again_ns = world_now();
		if (again_ns != NEVER_NS)
			deliver_at(c, side,
				   again_ns + world_span(MS_NS, 100 * MS_NS, 2 * SECOND_NS));
		return;
	}
	if (!reader->held || reader->error != 0) {
		/* It is sent again until a reset has come through. */
		net_send_reset(&c->ends[side]);
		deliver_at(c, side,
			   world_now() + world_span(200 * MS_NS, SECOND_NS, 10 * SECOND_NS));
		return;
	}
	if (trouble(c, side)) {
		if (!stream->dropped && stream->piece_count > 0)
			deliver_at(c, side, world_now());
		if (stream->arrived == before)
			return;
	} else {
		arrive(c, side);
		acknowledge(c, side);
	}
	tell(c, side);
}

/* --- a peer that takes nothing */

static void look_at_timeout(void *context, uint64_t argument)
{
	struct net_end *end = context;
	struct net_connection *c = end->connection;
	struct stream *stream = &c->streams[end->side];

	(void)argument;
	end->timer = false;
	if (!end->held || end->error != 0 || stream->waiting_ns == NEVER_NS)
		return;
	if (stream->piece_count == 0 && net_hole(c, 1 - end->side) <= world_now()) {
		stream->waiting_ns = NEVER_NS; /* its acknowledgement has come through meanwhile */
		return;
	}
	if (world_now() - stream->waiting_ns >= end->timeout_ns)
		net_fail(end, ETIMEDOUT);
	else
		net_watch_timeout(end);
}

void net_watch_timeout(struct net_end *end)
{
	const struct stream *stream = &end->connection->streams[end->side];

	if (end->timer || !end->held || stream->waiting_ns == NEVER_NS)
		return;
	end->timer = true;
	world_at(stream->waiting_ns + end->timeout_ns, look_at_timeout, end, 0);
}
