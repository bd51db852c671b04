/* The journal, as the server uses it: numbers, appends, durability.
 *
 * One thread (the loop's), never blocks and never allocates after journal_open. It drives the io door: durable writes and file
 * jobs are submitted by journal_turn and come back through journal_written and journal_job_done.
 * An append is durable once journal_durable() has reached its record number, never before; the order of acks is the caller's, but
 * whoever tells a peer "I have it" asks journal_durable first (the gate). Rules J1 to J12: ARCHITECTURE.md. */
#ifndef ROGER_JOURNAL_JOURNAL_H
#define ROGER_JOURNAL_JOURNAL_H

#include "base/failure.h"
#include "base/frame.h"
#include "base/peer.h"
#include "base/protocol.h"
#include "io/io.h"

struct journal;

enum flush_mode {
	FLUSH_AUTO,
	FLUSH_DSYNC,
	FLUSH_FDATASYNC,
};

struct journal_config {
	const char *path;          /* NULL: --no-journal; nothing is stored, durable means appended */
	uint32_t streams_max;      /* with messages; raised to what the journal holds already */
	uint32_t connections_max;  /* sessions that may have a stream open at the same time */
	uint32_t message_max;
	uint64_t segment_size;
	uint64_t keep_bytes;       /* 0: no limit */
	uint64_t keep_age_ns;      /* 0: no limit */
	uint64_t keep_free_bytes;  /* UINT64_MAX: the default rule */
	uint32_t keep_free_percent;/* used when keep_free_bytes is 0 and this is not */
	uint64_t stream_age_ns;    /* 0: named streams are never forgotten */
	enum flush_mode flush;
	bool (*stop)(void *context); /* asked while opening waits for room (once a second); true: give up (-EINTR) */
	void (*notice)(void *context, const char *text); /* opening's own lines: waiting for room, ... */
	void *context;
};

/* Open (and make) a journal: lock, recover, publish a new segment (J4 to J7). Blocks; allocates all that it ever needs.
 * `io` stays the caller's and must outlive the journal; its io_writes_max is used. -errno with *why:
 * 73 cannot make or lock (names the holder), 65 damage (segment, offset, records), 74 I/O, 64 sizes that do not fit together. */
int journal_open(const struct journal_config *config, struct io *io, struct journal **ret,
		 struct failure *why);

/* Give everything back; nothing may be in flight (journal_stopped). Does not make anything durable. */
void journal_close(struct journal *j);

struct journal_info {
	uint8_t id[16];
	uint64_t records;       /* kept: from first to last */
	uint64_t first_record;  /* the oldest kept, 0 when there is none */
	uint64_t streams;
	uint64_t free_bytes;    /* of the file system, when asked */
	uint64_t memory;        /* bytes allocated for tables and staging */
	bool volatile_only;     /* --no-journal */
	bool direct;            /* direct I/O; false: buffered writes + fdatasync */
	enum io_durable durable;
};
void journal_info(struct journal *j, struct journal_info *ret);

/* Memory that a journal with this configuration has from the moment it is open, bytes: exactly that much is allocated, and nothing later.
 * (More only where the journal knows more streams than streams_max: then the table has doubled until they fit.) Opening needs other
 * memory for a while: 2 MiB to read with, the snapshots, and three times what may not have become durable; the staging is not there
 * yet then. */
uint64_t journal_memory(const struct journal_config *config, unsigned writes_max);

/* --- streams */

struct journal_stream {
	uint32_t entry; /* below streams_max + connections_max; the same for all that have the stream open at once */
	uint64_t epoch; /* 0: none */
};

struct stream_state {
	uint64_t last;    /* last appended number, 0: unknown stream */
	uint64_t record;  /* its record number; durable once journal_durable() >= record */
	uint64_t writer;
	uint32_t h;
	bool ephemeral;   /* as the stream stands in the table (unknown: as asked) */
};

/* A session opens stream `id`: every earlier epoch of it is fenced from now on. The new epoch is in *ret_stream, the
 * stream's state in *ret_state. 0; -EBUSY: it is unknown and the table is full. */
int journal_stream_open(struct journal *j, const struct stream_id *id, bool ephemeral,
			struct journal_stream *ret_stream, struct stream_state *ret_state);
void journal_stream_state(const struct journal *j, struct journal_stream stream,
			  struct stream_state *ret);

/* The session ends; once for each successful open, fenced or not. */
void journal_stream_close(struct journal *j, struct journal_stream stream);

/* BYE: the stream's entry is free at once (when everything of it is durable; else -EBUSY). -ESTALE: fenced. */
int journal_stream_forget(struct journal *j, struct journal_stream stream);

/* --- appending */

struct journal_batch {
	struct journal_stream stream; /* native; for plain protocols epoch is 0 ... */
	struct stream_id plain;       /* ... and this is the connection's id (stream_id_plain) */
	uint64_t first_seq;
	uint32_t count;
	uint32_t h_before;
	uint32_t h_after;
	bool gap;                     /* native: the sender accepted a gap before first_seq; h_before is 0 */
	bool ephemeral;
	uint64_t writer;
	enum protocol protocol;
	struct peer peer;
	const uint8_t *header;        /* plain: FRAME_HEADER_SIZE bytes that go before `frames`; NULL: none */
	const uint8_t *frames;        /* borrowed until the return */
	uint32_t frames_size;         /* bytes at `frames` */
};

/* Append a run of messages of one sender. The one place that decides what is appended.
 *
 * On success the batch is NOT durable yet: it is once journal_durable() >= *ret_record, the number of its last message (its
 * messages have consecutive record numbers). 0, or: -ENOBUFS: no room now (all staging is full, or the disk is); park the session
 * until journal_progress changes. -ESTALE: the session's epoch is old (fenced). -EPROTO: first_seq or h_before is not the
 * stream's next. -EBUSY: a new stream, and the table is full. -EMSGSIZE: it could never fit. -EROFS: the journal has failed, for good.
 * *ret_record is set on 0 only. Sizes and checksums have been checked by the caller. */
int journal_append(struct journal *j, const struct journal_batch *batch, uint64_t *ret_record);

/* The number that the next appended record will get. (A plain connection's id is made from it right before its first append.) */
uint64_t journal_next_record(const struct journal *j);
uint64_t journal_durable(const struct journal *j);

/* Counts up whenever parked sessions may try again. */
uint64_t journal_progress(const struct journal *j);

/* The commit that the last append went into: what has the same number becomes durable at the same instant. */
uint64_t journal_commit(const struct journal *j);

/* --- driving it: once per loop turn, after everything that was ready has been appended */

/* Submits at most one commit, starts file jobs. Returns the time at which it wants to be called again (NEVER_NS: only after
 * events). */
uint64_t journal_turn(struct journal *j);

/* An IO_WRITTEN or IO_JOB_DONE whose owner is this journal. */
void journal_written(struct journal *j, struct io_write *write, int result);
void journal_job_done(struct journal *j, struct io_job *job);

/* The pointer that its io_write and io_job structs carry as owner is the journal itself. */

enum journal_notice_kind {
	JOURNAL_FULL = 1,   /* state full: senders wait */
	JOURNAL_ROOM,       /* goes on */
	JOURNAL_FAILED,     /* a write or flush has failed: no more acks; the process must end with 74 */
	JOURNAL_TROUBLE,    /* a file job failed (snapshot, retention): goes on, tried again */
};
/* What has happened since, one line each: 1 with the kind and text set, 0 when there is nothing. */
int journal_notice(struct journal *j, enum journal_notice_kind *ret_kind, struct failure *ret);

/* 0, or -errno once it has failed. */
int journal_failed(const struct journal *j);

/* A clean stop: what is appended is committed, then a seal. No append succeeds any more (-EROFS). Goes on with turns until
 * journal_stopped. */
void journal_stop(struct journal *j);
bool journal_stopped(const struct journal *j);

#endif
