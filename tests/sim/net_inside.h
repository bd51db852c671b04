/* net, inside: connections, their two streams, and the listeners.
 *
 *   net.c          listeners, holes of whole hosts, how connections come about and end, and the calls of their owners
 *   net_stream.c   what is on its way: pieces, windows, black holes, and what goes wrong
 *
 * Position is a count of bytes since a stream began. Of each stream the bytes between `read` and `written` are kept:
 *
 *      read            arrived            written
 *        | can be read    | on their way     |
 *
 * Connections stay until the end of the world, because actions that have been asked for still point to them; what they hold goes when
 * both ends have been let go. */
#ifndef ROGER_SIM_NET_INSIDE_H
#define ROGER_SIM_NET_INSIDE_H

#include "net.h"
#include "world.h"

enum { CLIENT_SIDE = 0, SERVER_SIDE = 1, BACKLOG_MAX = 64 };

/* A part of a stream that arrives as one. */
struct piece {
	uint64_t end;   /* position */
	uint64_t at_ns; /* when it arrives, if nothing is in its way */
	bool is_fin;
};

struct stream {
	uint8_t *bytes; /* from position `base` on */
	size_t room;
	uint64_t base;
	uint64_t read;
	uint64_t arrived;
	uint64_t written;
	struct piece *pieces; /* on their way, the oldest at piece_first */
	size_t piece_first;
	size_t piece_count;
	size_t piece_room;
	uint64_t token;       /* of the action that delivers the next piece; older ones do nothing */
	uint64_t hole_ns;     /* this stream alone stands still until then */
	uint64_t waiting_ns;  /* since then has its writer heard of nothing that arrived; NEVER_NS: it waits for nothing */
	size_t send_room;     /* bytes on their way */
	size_t receive_room;  /* bytes that have arrived and were not read */
	bool want_room;       /* the writer was given less than it wanted */
	bool stalled;         /* the next piece waits for the reader */
	bool fin_written;
	bool fin_arrived;
	bool dropped;         /* nothing goes on its way any more ... */
	size_t lost;          /* ... so many bytes were written all the same */
};

struct net_end {
	struct net_connection *connection;
	unsigned side;
	struct host *host; /* of the server's side: NULL until there is one */
	uint16_t port;
	const struct net_calls *calls;
	void *context;
	bool connecting;
	bool held;         /* its owner has it, or the backlog */
	bool vanished;
	int error;         /* it is broken: errno */
	bool error_told;   /* to its owner: for a writer it is EPIPE from then on */
	uint64_t timeout_ns;
	bool timer;        /* a look at its timeout has been asked for */
};

struct net_connection {
	uint64_t number;
	unsigned to_host;
	uint16_t to_port;
	struct net_listener *listener;
	unsigned attempts;        /* to connect */
	bool cut;                 /* its middle is gone: nothing crosses it any more */
	bool old_counted;
	struct net_end ends[2];
	struct stream streams[2]; /* what that side has written */
	struct net_connection *next;
};

struct net_listener {
	struct host *host;
	uint16_t port;
	const struct net_calls *calls;
	void *context;
	bool accepting;
	bool closed;
	struct net_end *backlog[BACKLOG_MAX];
	unsigned backlog_count;
	struct net_listener *next;
};

struct net_world {
	struct net_connection *first;
	struct net_connection *last;
	struct net_listener *listeners;
	uint64_t number;
	uint64_t hole_from[HOSTS_MAX + 1]; /* by the host's number: until when */
	uint64_t hole_to[HOSTS_MAX + 1];
	uint64_t newest[HOSTS_MAX + 1];    /* connection accepted from that host */
	uint16_t port_next[HOSTS_MAX + 1];
	uint64_t usual_ns;                 /* what a piece usually takes */
	unsigned window_kind;
	bool cuts_pieces;                  /* writes are cut at drawn places */
	bool healed;
};

extern struct net_world net_world;

/* How long a packet takes. */
uint64_t net_delay(void);

/* Until when nothing crosses from that side to the other; at most now: the way is free. */
uint64_t net_hole(const struct net_connection *c, unsigned from_side);

/* The end is broken from now on; its owner is told. From the world only. */
void net_fail(struct net_end *end, int error);

/* A reset goes to that end, and arrives, unless the way is blocked then. */
void net_send_reset(struct net_end *to);

/* --- net_stream.c */
void stream_init(struct stream *stream);
void stream_drop(struct stream *stream);   /* what is on its way is lost */
void stream_deinit(struct stream *stream);
void stream_soon(struct net_connection *c, unsigned side); /* ask again for the delivery of the next piece */
void stream_unstall(struct net_connection *c, unsigned side);
void stream_late(struct net_connection *c, unsigned side, uint64_t ns); /* what is on its way takes so much longer */
void stream_fin(struct net_connection *c, unsigned side);
size_t stream_write(struct net_connection *c, unsigned side, const uint8_t *data, size_t size);
size_t stream_read(struct net_connection *c, unsigned side, uint8_t *out, size_t size);

/* Look again whether what this end has written was taken in time. */
void net_watch_timeout(struct net_end *end);

#endif
