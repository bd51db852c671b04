/* What the files of the checks share.
 *
 *      tap.c          the wire: what was claimed           ----+
 *      check_seen.c   readers: what was shown                  +--> audit.c: is it on the medium?  --> ledger.c: which record is what
 *      check.c        what a lying medium excuses
 *      check_server.c, check_reason.c   who may end how                                   plain.c: whose bytes a plain record is
 *
 * The ledger holds what every record is, from the moment when somebody has been told of it and the audit has found it and
 * all before it on the medium: from then on it must stay so for ever. */
#ifndef ROGER_SIM_CHECK_PRIVATE_H
#define ROGER_SIM_CHECK_PRIVATE_H

#include "check.h"
#include "world.h"

enum { STREAM_ID = 16, JOURNAL_ID = 16 };

/* Protocols as a batch header names them, and as taps do. */
enum talk { TALK_UNKNOWN, TALK_NATIVE, TALK_RAW, TALK_WHOLE, TALK_LINE };

/* --- check.c */

struct check_state {
	struct check_config config;
	bool is_damaged;         /* check_corrupted was called */
	uint64_t told_first;     /* somebody has reported damage from this record on; 0: nobody has */
	uint64_t reports;      /* of damage */
	uint64_t lies_before;    /* faults of the medium, before this seed */
	uint64_t flushes_before; /* flushes that failed */
	uint64_t acknowledged;
	bool has_journal_id;
	uint8_t journal_id[JOURNAL_ID];
	bool is_injected;        /* a fault beside those that are counted: processes may end with any error */
	struct check_debt *debts; /* what is missing, and nobody has told it yet */
	size_t debt_count;
	size_t debt_capacity;
};

struct check_debt {
	uint64_t record;         /* not everything up to this one is there ... */
	uint64_t first;          /* ... and this is the first that is not */
	char text[200];
};

extern struct check_state checks;

/* Has the medium lied in this seed? */
bool check_is_corrupt(void);

/* A record that was promised is missing: broken, unless the medium has lied, and somebody reports damage before the end, or the record
 * turns up after all. 0: what is missing is told by this very thing, or is owed already. */
__attribute__((format(printf, 2, 3))) void check_missing(uint64_t record, const char *format, ...);

/* The highest record that is owed; 0: none. */
uint64_t check_owed(void);

/* The records from first to last are not owed any more. */
void check_forgive(uint64_t first, uint64_t last);

/* What is before this record is not missing any more. */
void check_found(uint64_t record);

/* Damage has been reported, from this record on. */
void check_told_from(uint64_t record);

/* On a disk without direct I/O: after a failed flush, the page cache may show what is not on the medium (docs/journal.md 11). */
bool check_cache_may_lie(void);

uint32_t check_u32(const uint8_t *at);
uint64_t check_u64(const uint8_t *at);
uint64_t check_digest(const uint8_t *data, size_t size);

/* Room for one more in an array that grows. */
void *check_grow(void *array, size_t count, size_t *capacity, size_t size);

/* --- ledger.c */

enum { NOBODY = UINT32_MAX };

struct ledger_stream {
	uint8_t id[STREAM_ID];
	bool is_ephemeral;
	bool is_forgotten;      /* it may begin at 1 again */
	bool is_loose;          /* records of it have been given up unseen: it goes on anywhere */
	uint8_t talk;
	uint64_t last;          /* as far as the ledger goes */
	uint64_t record;
	uint64_t claimed;       /* the highest number that a server has claimed */
	uint64_t welcomed;      /* what the latest WELCOME said */
	bool is_asked;          /* ... that nothing can have come behind */
	uint32_t h;
	/* plain ones */
	uint32_t connection;    /* whose bytes they are: index in plain.c's list */
	bool is_settled;        /* ... for certain */
	bool is_blurred;        /* some of its records have been given up unseen */
	size_t consumed;        /* of its bytes; to the end of the last line's text */
};

struct ledger_entry {
	uint32_t stream;        /* NOBODY: given up before anybody has seen it */
	uint32_t size;
	uint64_t seq;
	uint64_t digest;
	uint64_t writer;
	uint32_t h;
	bool gap;
	uint32_t sender;        /* of native messages; NOBODY: none of ours */
	uint32_t run;
	uint64_t number;
};

/* A record as it stands on the medium. */
struct ledger_record {
	uint64_t record;
	const uint8_t *id;
	uint64_t seq;
	const uint8_t *payload;
	uint32_t size;
	uint64_t writer;
	uint32_t h_before;
	uint32_t h;
	uint8_t talk;
	bool is_ephemeral;
	bool gap;
	uint64_t gap_last;
};

void ledger_begin(void);
void ledger_end(void);
uint64_t ledger_last(void);                                /* the last record that it knows */
const struct ledger_entry *ledger_entry(uint64_t record);  /* NULL: given up unseen, or beyond the last */
struct ledger_stream *ledger_stream(const uint8_t *id);    /* NULL: unknown */
struct ledger_stream *ledger_stream_at(uint32_t index);    /* NULL: there are not so many */

/* The next record, or one that is known already: then it must be the same. */
void ledger_put(const struct ledger_record *record);

/* What somebody was shown or told must be what stands here. */
void ledger_compare(const char *who, uint64_t record, const uint8_t *id, uint64_t seq,
		    uint64_t digest, size_t size, bool gap);

/* A run has been welcomed to a stream that stood at `last`: what comes behind that is this writer's, until the next one is welcomed. */
void ledger_fence(const uint8_t *id, uint64_t last, uint64_t writer);

/* The stream has ended, before this record. */
void ledger_forget(const uint8_t *id, uint64_t record);

/* Retention has taken everything below this record, some of it before anybody has looked at it. */
void ledger_given_up(uint64_t first);
bool ledger_has_given_up(void);

/* The medium has lost everything from this record on, and nothing on it says that it was there (corruption). */
void ledger_cut(uint64_t first);

/* Whether a stream belongs to one of our senders (it is in senders.c, which knows them). */
bool ledger_is_announced(const uint8_t *id);

/* --- senders.c */

struct sender_run {
	uint32_t number;
	uint64_t last;       /* messages announced */
	uint64_t reached;    /* of a named stream: in order up to here; else how many of them have been seen */
	uint64_t slept;      /* after this connection its ephemeral stream is too old; 0: it is not */
	bool has_slept;
	uint32_t stream;     /* an ephemeral one's, NOBODY: not known yet */
	uint8_t *seen;       /* plain and ephemeral: by number */
};

void senders_begin(void);
void senders_end(void);
void senders_forget_progress(void); /* ... before the ledger is played back */

/* A native message has come into the ledger: it must be the next one of its sender. entry: what it is goes into its last fields. */
void senders_native(struct ledger_stream *stream, uint32_t stream_index, const uint8_t *payload,
		    size_t size, bool gap, struct ledger_entry *entry);
void senders_replay(const struct ledger_entry *entry);

/* Is this an ephemeral stream that this connection may not go on with? */
bool senders_have_slept(const struct ledger_stream *stream, uint64_t connection);

/* A message came whole by a plain connection. */
void senders_plain(const uint8_t *data, size_t size);

/* --- plain.c */

struct plain {
	uint64_t number;      /* of the connection */
	struct process *server;
	uint8_t talk;
	bool is_open;
	size_t answered;      /* ACK!: so many of its bytes had come by then; 0: not yet */
	uint64_t after;       /* its records come behind this one, which was there before it */
	uint8_t *bytes;       /* what came */
	size_t size;
	size_t capacity;
	uint32_t stream;      /* which stream in the ledger is made of it; NOBODY: none yet */
	uint64_t answers;     /* lines */
	size_t answered_to;   /* ... which end here */
};

void plain_begin(void);
void plain_end(void);
uint32_t plain_add(struct process *server, uint64_t number, enum talk talk);
struct plain *plain_at(uint32_t index);

/* A record of a plain stream: bytes that came, in their order. */
void plain_put(struct ledger_stream *stream, uint32_t stream_index, const uint8_t *payload,
	       size_t size);

/* ACK! has been said: everything that came is in the ledger. false: it is not (yet). */
bool plain_answered(uint32_t index);

/* ACK r has been said: r is the next line. */
void plain_answered_line(uint32_t index, uint64_t record);

/* Has ACK! been said on a raw connection that began with this message? (It covers what had come by then, not all of it.) */
bool plain_began_with(const struct message *message);

/* --- audit.c */

void audit_begin(void);
void audit_end(void);

/* Are this record and all before it, since what was found last, on the medium, in live places, under durable names? They go into
 * the ledger. NULL, or why not. */
const char *audit_reach(uint64_t record);

/* One batch more, if it is there for certain. */
bool audit_further(void);

/* The first record that is kept, going by the names that are certain. 0: there is none. */
uint64_t audit_first(void);

/* The record at which the walk stands: when something has not been found, this is the first of it. */
uint64_t audit_place(void);

/* As audit_place; but where a batch is damaged there, its first frame that is not good: those in front of it are shown, and not missing. */
uint64_t audit_bad_place(void);

/* Servers come and go: look at everything again. */
void audit_restart(void);

/* A server has stopped cleanly: something behind the last record, or in a snapshot, claims it (J8). */
void audit_must_be_sealed(void);

/* The medium has lied: what is not on it any more, and claimed by nothing that is on it, is lost lawfully. */
void audit_cut(void);

/* --- tap.c */

void tap_begin(void);
void tap_end(void);

uint32_t tap_add(struct process *server, uint64_t connection, enum talk talk);

/* A server has ended: its connections too. */
void tap_server_ended(const struct process *server);
unsigned tap_open(const struct process *server);

/* tap_native.c: what a server says to a native client */
struct tap_native;
struct tap_native *tap_native_create(uint64_t connection);
void tap_native_destroy(struct tap_native *native);
void tap_native_received(struct tap_native *native, const uint8_t *data, size_t size);
void tap_native_sending(struct tap_native *native, const struct process *server,
			const uint8_t *data, size_t size);

/* --- check_server.c */

void servers_begin(void);
void servers_end(void);

/* To stop? */
bool check_was_asked(const struct process *server);

/* May this server still acknowledge anything? world_fail if not. */
void check_may_claim(const struct process *server);

/* Has a server let somebody in, and is it still there and to stay? */
bool check_server_is_there(void);

/* --- check_reason.c */

void reasons_begin(void);
void reasons_end(void);
void reasons_server_changed(void);

/* HELLO of that stream has come on that connection. */
void reasons_said_hello(const uint8_t *id, uint64_t connection);

/* May that client end with 69 or 75, being the only one who sends there? */
bool reasons_to_give_up(uint32_t sender, uint32_t run, int status);

/* --- check_seen.c */
void seen_begin(void);
void seen_end(void);

#endif
