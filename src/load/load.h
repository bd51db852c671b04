/* Load for a server: generated messages, and how long each of them waits for its ack.
 *
 * What is measured, in each mode:
 *
 *      LOAD_STREAM    native; each connection has as much under way as its window holds. From when a message is handed to the client's
 *                     machine until its ack has come. Without a rate this is mostly the wait behind the messages before it.
 *      LOAD_LOOP      native; each connection sends a message, waits for its ack, sends the next. From handing it over until the ack.
 *      LOAD_CONNECT   raw; a connection for each message: connect, send, read ACK!, close. From before the connect until ACK!.
 *      LOAD_IDLE      native; connections are opened, welcomed and held. From before the connect until WELCOME.
 *
 * A sender that waits for an ack before it sends the next message sends nothing while the server is slow, and so measures the slow
 * moments too rarely (coordinated omission). Without a rate that is what LOAD_LOOP and LOAD_CONNECT do: they say how long a sender
 * waits that waits. With a rate each message has a time at which it is due, whatever became of those before it, and its latency
 * counts from then, also if it had to wait in this program: that is free of coordinated omission.
 *
 * All memory is had before the first connection; deterministic given the doors io and clock. One thread. Nothing is sent again:
 * a measurement that spans a lost connection is none, so the first one that is lost ends the run (but for LOAD_IDLE, which counts
 * them). */
#ifndef ROGER_LOAD_LOAD_H
#define ROGER_LOAD_LOAD_H

#include "base/address.h"
#include "base/failure.h"
#include "load/histogram.h"

enum load_mode {
	LOAD_STREAM,
	LOAD_LOOP,
	LOAD_CONNECT,
	LOAD_IDLE,
};

enum {
	LOAD_SIZE_MAX = 64 * 1024 * 1024,
	LOAD_CONNECTIONS_MAX = 1000000, /* far above what descriptors allow; keeps tables away from any overflow */
	LOAD_RATE_MAX = 100000000,      /* a message each 10 ns: faster than any loop here */
};

struct load_config {
	struct address address;
	enum load_mode mode;
	uint32_t size;         /* of each message, 0 ... LOAD_SIZE_MAX; LOAD_CONNECT: at least 1 */
	uint64_t count;        /* messages, all connections together; 0: no limit. Not in LOAD_IDLE */
	uint64_t duration_ns;  /* no message begins later; 0: no limit (then there is a count). LOAD_IDLE: how long to hold */
	uint32_t connections;  /* at the same time, 1 ... LOAD_CONNECTIONS_MAX */
	uint64_t window;       /* LOAD_STREAM: bytes under way on each connection; a larger message goes alone */
	uint64_t rate;         /* messages a second, all connections together, at most LOAD_RATE_MAX; 0: as fast as acks allow */
	uint64_t timeout_ns;   /* without a new ack */
};

struct load_result {
	bool begun;            /* the connections stood, and the clock ran */
	bool interrupted;      /* by SIGINT or SIGTERM: less than was asked for */
	bool not_durable;      /* a server said that it keeps nothing on disk */
	uint64_t sent;         /* messages begun */
	uint64_t acked;
	uint64_t not_sent;     /* with a rate and a duration: were due, and not begun before the end. Their latency is missing */
	uint64_t elapsed_ns;   /* from the first message's begin until the last ack. LOAD_IDLE: how long they were held */
	uint64_t opening_ns;   /* how long it took to open the connections; 0 for LOAD_CONNECT */
	uint32_t up;           /* connections that stood at the end of the measurement; 0 for LOAD_CONNECT */
	uint32_t lost;         /* LOAD_IDLE: that did not stand, or not until the end */
	struct histogram latency; /* ns; one for each ack. LOAD_IDLE: one for each WELCOME */
};

/* Do all that and fill *ret (large: not for a stack). Raises the soft limit of descriptors. A progress bar goes to standard error
 * when it is a terminal; LOAD_IDLE says there when all connections are up. SIGINT and SIGTERM end the sending, a second one the
 * waiting for acks. Blocks until it is over.
 *
 * 0, or -errno with *why (its status as in man/roger.1: 65, 69, 74, 75); *ret is what was measured until then. */
int load_run(const struct load_config *config, struct load_result *ret, struct failure *why);

#endif
