/* One run, shared by the files that drive it: load.c has the loop, time and the end; native.c and exchange.c the connections, one
 * for each message or for all. */
#ifndef ROGER_LOAD_PRIVATE_H
#define ROGER_LOAD_PRIVATE_H

#include "client/progress.h"
#include "io/io.h"
#include "load/content.h"
#include "load/load.h"
#include "load/schedule.h"

enum {
	LOAD_ENDPOINTS_MAX = 16, /* more addresses than this of one name are not tried */
	LOAD_OPENING_MAX = 64,   /* connections being made at the same time: what a server with a short backlog takes */
	LOAD_ANSWER_SHOWN = 60,  /* bytes of an answer that is not Roger's */
};

enum load_phase {
	LOAD_OPENING, /* connections are made */
	LOAD_RUNNING, /* the clock runs */
	LOAD_ENDING,  /* all is measured; streams end in good order */
	LOAD_DONE,
};

struct load;

/* What the loop needs from a way to send. */
struct load_kind {
	int (*create)(struct load *l, struct failure *why); /* allocates l->own, all of it */
	void (*destroy)(struct load *l);
	void (*event)(struct load *l, const struct io_event *event);
	void (*go)(struct load *l);          /* begin what may begin, in LOAD_OPENING and LOAD_RUNNING */
	bool (*is_free)(const struct load *l); /* could anybody begin a message now? */
	void (*end)(struct load *l);         /* all is measured ... */
	bool (*has_ended)(const struct load *l);
};

extern const struct load_kind load_native;
extern const struct load_kind load_exchange;

struct load {
	const struct load_config *config;
	const struct load_kind *kind;
	void *own;                    /* the kind's */
	struct load_result *result;
	struct io *io;
	struct schedule schedule;
	struct content content;
	struct progress progress;

	char text[ADDRESS_TEXT_SIZE]; /* HOST:PORT, for words */
	struct io_endpoint endpoints[LOAD_ENDPOINTS_MAX];
	unsigned endpoint_count;
	unsigned endpoint;            /* the one in use */
	bool reached;                 /* something has connected: another address is not tried any more */

	enum load_phase phase;
	unsigned signals;
	uint64_t now_ns;              /* of this turn */
	uint64_t begun_ns;            /* when the first connection was begun */
	uint64_t started_ns;          /* LOAD_RUNNING */
	uint64_t acked_ns;            /* the last ack */
	uint64_t moved_ns;            /* when something last went forward, or nothing was waited for */
	uint64_t ending_ns;
	bool failed;
	struct failure why;
};

/* It has failed for good, if it had not before; what was measured stays. */
void load_fail(struct load *l, const struct failure *why);

/* All connections stand (or the first may be made): the clock runs. */
void load_start(struct load *l);

/* Something has gone forward. */
void load_moved(struct load *l);

/* `count` messages, of which the last came in now, are acknowledged. */
void load_acked(struct load *l, uint64_t count, uint64_t now_ns);

/* Begin to connect to the address in use, which is *ret_endpoint. 0, or -errno: no socket could be made. */
int load_connect(struct load *l, void *owner, io_socket *ret_socket, unsigned *ret_endpoint);

/* An attempt to connect to `endpoint` has failed (error: a positive errno). True: another address may do, try again. Else *why. */
bool load_connect_again(struct load *l, unsigned endpoint, int error, struct failure *why);

/* *why: the peer has ended the connection. error: a positive errno, 0 for an orderly end. */
void load_lost(const struct load *l, int error, struct failure *why);

#endif
