/* check: what was sent, what was acknowledged, what was seen; and that they fit.
 *
 * Messages describe themselves (message_make), so that whoever meets one, on the wire, on the medium or in a reader, knows whose it
 * is. The checks share no code with what they check but base/crc32c: taps read the wire from docs/protocol.md's layout, the audit
 * reads the medium from docs/journal.md's. A broken invariant is world_fail. */
#ifndef ROGER_SIM_CHECK_H
#define ROGER_SIM_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "fault.h"
#include "process.h"

/* --- messages that describe themselves */

enum {
	MESSAGE_HEAD = 32,
	SENDER_MOST = 0xfff, /* it has three digits */
};

struct message {
	uint32_t sender;  /* which client of the scenario: 1, 2 ... */
	uint32_t run;     /* 0 for a stream that is the same in each run (--resume) */
	uint64_t number;  /* in that run: 1, 2, 3 ... */
};

/* Writes the message into out and returns its size: drawn from sender, run and number alone, between MESSAGE_HEAD and `most`, now and
 * then the most. Printable; no newline, no NUL. */
size_t message_make(const struct message *message, size_t most, uint8_t *out);

/* Its size, without making it. */
size_t message_size(const struct message *message, size_t most);

/* Is it one, whole and unchanged? */
bool message_read(const uint8_t *data, size_t size, struct message *ret);

/* Could this be the beginning of that message (of whatever size), as far as it goes? */
bool message_begins(const struct message *message, const uint8_t *data, size_t size);

/* --- the checks of one seed */

struct check_config {
	enum sim_mode mode;
	struct disk *disk;
	const char *directory;  /* of the journal, on that disk: "/data/journal" */
	uint64_t keep_bytes;    /* the server's option: 0: nothing may ever be missing */
	bool no_journal;
	bool is_buffered;       /* the disk has no direct I/O: after a failed flush, its page cache may show what the medium has not */
	uint64_t memory_budget; /* of a server that listens, bytes: its heap, and file_memory (memory.h); 0: any */
	uint64_t opening_budget; /* ... and before that so much more, for a while */
	unsigned descriptors_budget;
};

void check_begin(const struct check_config *config);
void check_end(void);

/* A sender of the scenario says what it will send: its stream (native with a name: 16 bytes; ephemeral and plain: NULL), and that
 * messages of this run and up to this number exist. Called again when a further run begins. resume: run is 0, the stream is the
 * numbers 1 .. last. */
void check_sender(uint32_t sender, const uint8_t stream[16], uint32_t run, uint64_t last,
		  bool resume);

/* Two processes send for that sender, or have: one may find that the other was there. */
void check_sender_doubled(uint32_t sender);

/* The machine of that run has slept for half a day: no connection after this one may go on with its ephemeral stream. */
void check_sender_slept(uint32_t sender, uint32_t run, uint64_t connection);

/* A client process of that run begins. */
struct check_attempt {
	bool tries_again;      /* whatever its connections come to: only another sender, or what looks like one, makes it end with 69 */
	bool is_too_large;     /* a message of its: it may be sent away */
	uint64_t patience_ns;  /* it ends with 75 no sooner than that */
};
void check_client_started(uint32_t sender, uint32_t run, const struct check_attempt *attempt);

/* A client process has ended by itself: with 0, all of that run must be acknowledged and on the medium. Its other exits must be among the
 * documented ones: 69 and 75 where something has happened to the network or the server, 65 only where the server had really lost
 * something, or another has sent there. */
void check_client_ended(uint32_t sender, uint32_t run, uint64_t last, int status);

/* A server process has begun, has ended: status 65 is allowed in corruption mode only; 73 when another has the lock; 74 after an
 * injected error; 0 after SIGTERM. */
void check_server_started(struct process *process);
void check_server_ended(struct process *process);

/* SIGTERM has been sent to it: it may end with 0 from now on. Sent again: it may leave at once, with 75. */
void check_server_asked(struct process *process);

/* The same, while it opens the journal: it may end before it is through with that. */
void check_server_asked_early(struct process *process);

/* Nobody sends any more: whoever says HELLO from here on only asks. */
void check_only_asked(void);

/* The id of the next native stream that the journal holds, from *index on (which then is behind it); NULL: there is none. The server is
 * to be asked for it; what it says must be what the next pass over the whole journal finds. */
const uint8_t *check_stream(uint32_t *index);

/* --- taps: called by sim_io for sockets of server processes, with the connection's number */

/* When the server is handed the connection; port: its own, of the listener (9999 raw and native, 9998 line, 9997 whole). */
void check_accepted(struct process *server, uint64_t connection, uint16_t port);

/* When the server is handed these bytes (not before: an answer must cover all that it has been handed). */
void check_received(struct process *server, uint64_t connection, const uint8_t *data, size_t size);
void check_sending(struct process *server, uint64_t connection, const uint8_t *data, size_t size); /* at io_send: the claim is made */
void check_closed(struct process *server, uint64_t connection);

/* An error of a write or flush has been delivered to this server: nothing may be acknowledged by it any more. */
void check_io_error(struct process *server);

/* --- readers: a record as it was shown, beside a running server or alone */
struct check_record {
	unsigned reader;       /* a number for each pass of each reader: it sees records in order. 0: order is not looked at */
	uint64_t number;
	const uint8_t *stream; /* 16 bytes */
	uint64_t seq;
	const uint8_t *payload;
	size_t size;
	bool gap;
};
void check_seen(const struct check_record *record);

/* A reader (check_record.reader) has shown all that there is, and has not met any damage. */
void check_seen_all(unsigned reader);

/* A reader begins: hand what this returns to check_reader_failed, if it comes to that. An error (not damage: check_damage_told) must have a
 * reason: something has happened to the disk meanwhile, or there is no journal yet. */
uint64_t check_reader_began(void);
void check_reader_failed(uint64_t began, int status, const char *text);

/* A reader was told of damage. */
void check_damage_told(const char *who, const char *text);

/* --- after the last crash: one pass over the whole journal */
void check_whole_begin(void);
void check_whole_record(const struct check_record *record);
void check_whole_end(uint64_t *ret_records);  /* everything acknowledged was there; nothing else that nobody sent */

/* Corruption mode: bytes have been damaged on purpose (from now on acknowledged messages may be missing, if that is reported). */
void check_corrupted(void);

/* A fault that is not in fault.h's table is injected (the n-th allocation or call fails): servers and clients may end with any status but
 * 65; what was acknowledged is as safe as ever. */
void check_fault_injected(void);

/* The highest record that anybody has been told of, or shown. */
uint64_t check_told(void);

/* Claimed so far (acks and answers that went out), for progress and liveness. */
uint64_t check_acknowledged(void);

#endif
