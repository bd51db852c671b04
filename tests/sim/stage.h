/* stage: the cast of one seed (servers, senders, readers, hostile peers) and what all of them share.
 *
 * *_actor.c keep them going: who has ended or was killed is started again, as an operator or a script would. scenario.c decides what
 * happens to them. */
#ifndef ROGER_SIM_STAGE_H
#define ROGER_SIM_STAGE_H

#include "check.h"
#include "client/client.h"
#include "disk.h"
#include "fault.h"
#include "process.h"
#include "server/server.h"
#include "sim_io.h"

enum {
	SERVERS = 2, /* the second one is a mistake that somebody makes now and then */
	CLIENTS_MAX = 6,
	RENEWED = 16, /* a sender that begins anew with another stream gets a number higher by so much */
	READERS_MAX = 2,
	MESSAGE_MOST = 60000, /* but for those who send large ones */
	MESSAGES_ENOUGH = 2000, /* in one stream ... */
	BYTES_ENOUGH = 16 << 20, /* ... and with all of them as large as may be */
	ARGUMENTS_MAX = 12,
	PORT_BOTH = 9999,
	PORT_LINE = 9998,
	PORT_WHOLE = 9997,
};

#define JOURNAL_PATH "/data/journal"

struct stage;

struct server_actor {
	struct stage *stage;
	struct process *process; /* NULL: not running */
	bool is_second;
	unsigned starts;
	unsigned asked;    /* the process that was asked to stop: its number */
	uint64_t asked_ns; /* ... when it was last asked, of one that was listening; else NEVER_NS */
	bool is_urged;     /* ... and it was asked twice */
};

enum client_kind {
	CLIENT_RESUME,    /* --stream NAME --resume: the input is the stream */
	CLIENT_NEXT,      /* --stream NAME: each run sends the next messages */
	CLIENT_EPHEMERAL, /* a stream of its own for each run */
	CLIENT_RAW,
	CLIENT_LINE,
	CLIENT_WHOLE,
	CLIENT_KINDS
};

struct client_actor {
	struct io_script script; /* standard input; the first member, see sim_io.h */
	struct stage *stage;
	uint32_t sender;       /* its number: 1, 2 ...; another one for each stream */
	enum client_kind kind;
	struct host *host;
	struct process *process;
	struct client_config config;
	char stream_name[16];
	size_t message_most;
	uint32_t run;          /* of CLIENT_NEXT and the like: 1, 2 ...; CLIENT_RESUME: 0 */
	uint64_t count;        /* messages of each run; 0: drawn */
	uint64_t last;         /* messages of this run; CLIENT_RESUME: of the stream so far */
	bool is_done;          /* its last run has ended with 0, and it is not to begin another */
	bool is_through;       /* its last run has ended with 0 */
	bool shares;           /* its stream is another sender's, too */
	bool is_twin;          /* it sends what another one sends, or has sent, as if that were running twice */
	bool is_out;           /* it was told to stay away (fenced), or has given up for good */
	/* what it reads there */
	uint64_t next;         /* the number of the next message that is read from it */
	uint8_t *line; /* room for the largest message and a line feed */
	size_t line_size;
	size_t line_read;
	/* arguments */
	char *arguments[ARGUMENTS_MAX];
};

struct reader_actor {
	struct stage *stage;
	struct process *process;
	unsigned number;
	int64_t from;
	uint64_t pause_ns; /* how often it looks */
	bool follows;      /* else it goes when it has seen everything */
	unsigned pass;     /* that it is in; 0: it has not opened the journal */
	uint64_t shown;    /* the record that it has shown last, in this pass */
};

struct stage {
	enum sim_mode mode;
	struct disk *disk;
	struct host *server_host;
	struct server_config config;
	struct address listen[3];
	struct server_actor servers[SERVERS];
	struct client_actor clients[CLIENTS_MAX];
	unsigned client_count;
	struct client_actor twin;
	struct reader_actor readers[READERS_MAX];
	unsigned reader_count;
	bool is_buffered;  /* the server's disk knows no direct I/O */
	bool is_volatile;  /* the server has no journal */
	bool has_large;    /* some send messages that do not fit a receive buffer */
	unsigned passes;   /* of readers through the journal, so far */
	bool is_closing;   /* whoever ends is not started again, but for a client with an unfinished run */
	bool is_damaged;   /* a server has refused to start (corruption mode) */
	unsigned crashes;
};

/* Start it now, if its host is on and it is not running. */
void server_start(struct server_actor *actor);
void client_start(struct client_actor *actor);
void reader_start(struct reader_actor *actor);

/* Ask it to stop, if it runs and was not asked yet: SIGTERM or SIGINT. It has only so much time for that. Asked again: it goes at
 * once. */
void server_stop(struct server_actor *actor);
void server_urge(struct server_actor *actor);

void client_clear(struct client_actor *actor);

/* A process of the same sender as that one's is started, be that running or not. */
void twin_start(struct client_actor *of);

/* All clients are killed, and stay away. */
void stage_stop_clients(struct stage *stage);

/* Draw the cast. */
void stage_cast(struct stage *stage);

/* What its server may have allocated when it listens (check.h). */
uint64_t stage_memory_budget(const struct stage *stage);
uint64_t stage_opening_budget(const struct stage *stage);

/* One sender; count: the messages of each run, 0: drawn for each. */
void client_cast(struct stage *stage, unsigned i, enum client_kind kind, size_t most,
		 uint64_t count);

/* Is the server listening (or has it refused to, for good)? */
bool stage_server_is_up(const struct stage *stage);

/* The server's host loses power, and comes back after a while. */
void stage_power_cut(struct stage *stage);

/* Has everybody who sends come to his end: with 0 while it was closing, or told to stay away? */
bool stage_clients_done(const struct stage *stage);

/* Has everybody who follows shown what anybody has been told of? */
bool stage_readers_are_through(const struct stage *stage);

/* A hostile peer connects from that host, does its worst for a while, and goes. It is no process: it speaks TCP by itself. */
void hostile_start(struct host *from, unsigned server_number);
void hostile_forget(void);

/* The server, which has just opened the journal, is asked where each stream stands. */
void asker_start(const struct stage *stage);
bool asker_is_done(const struct stage *stage);
void asker_forget(void);

#endif
