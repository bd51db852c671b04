/* net: TCP between the hosts, as far as it can be seen from its ends.
 *
 * A connection has two ends and two streams of bytes. What an end writes goes into the stream in pieces that take their time, stand still
 * in a black hole, or are lost with the connection; they never change, double or change places within a stream. An end that does not read
 * closes its window. A process that is killed has its ends closed by its kernel (what it had written is still delivered, later perhaps than
 * the bytes of its successor); a host without power falls silent, and answers the next packet after its start with a reset.
 *
 * sim_io.c is the io door over this. Hostile peers and plain scripted ones use it directly. */
#ifndef ROGER_SIM_NET_H
#define ROGER_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process.h"

struct net_end;
struct net_listener;

void net_begin(void);
void net_end(void);

/* What happens to an end or a listener; called from the world, never from within a net_ call of the same end. Members may be NULL. */
struct net_calls {
	void (*accepted)(void *context, struct net_end *end); /* listener: call net_calls_set on the new end at once */
	void (*connected)(void *context, int result);
	void (*readable)(void *context); /* bytes, the end of the stream, or an error are there */
	void (*writable)(void *context); /* there is room again after net_write took less than it was given */
};

/* 0 or -EADDRINUSE. */
int net_listen(struct host *host, uint16_t port, const struct net_calls *calls, void *context,
	       struct net_listener **ret);
void net_listener_accept(struct net_listener *listener, bool on); /* off: they wait in the backlog (up to 64, then SYNs are dropped) */
void net_listener_close(struct net_listener *listener);
void net_listener_vanish(struct net_listener *listener); /* its host has lost power */

struct net_end *net_connect(struct host *from, unsigned host_number, uint16_t port,
			    const struct net_calls *calls, void *context);
void net_calls_set(struct net_end *end, const struct net_calls *calls, void *context);

/* The peer's address, as host number and port. */
void net_peer(const struct net_end *end, unsigned *ret_host, uint16_t *ret_port);
uint64_t net_connection(const struct net_end *end); /* the same number at both ends; never used again in a world */

size_t net_available(const struct net_end *end);               /* bytes that can be read now */
bool net_at_end(const struct net_end *end);                    /* nothing is left to read but the end or an error */
int64_t net_read(struct net_end *end, void *out, size_t size); /* count; 0: the end; -EAGAIN; -ECONNRESET, -ETIMEDOUT */
int64_t net_write(struct net_end *end, const void *data, size_t size); /* how many were taken; -EAGAIN; -EPIPE, -ECONNRESET, -ETIMEDOUT */
void net_shutdown(struct net_end *end);
void net_close(struct net_end *end, bool reset);  /* gracefully: the peer gets what was written, then the end */
void net_abandon(struct net_end *end);            /* its process is gone: its kernel closes it, and delivers, late perhaps */
void net_vanish(struct net_end *end);             /* its host has lost power: silence */
void net_user_timeout(struct net_end *end, uint64_t ns);

/* Of the newest connection so far. */
uint64_t net_newest(void);

/* The whole host's traffic: from it, to it, or both, stands still until then (true time). */
void net_blackhole(struct host *host, bool from, bool to, uint64_t until_ns);

/* All faults end: holes open, delays get short. */
void net_heal(void);

#endif
