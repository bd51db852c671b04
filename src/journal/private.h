/* The inside of a journal, shared by the files of this room that write one: open.c makes it, journal.c is its face, staging.c
 * collects commits, store.c keeps the segments, retention.c says which may go, snapshot.c the stream table's copies. Nobody outside
 * includes this. */
#ifndef ROGER_JOURNAL_PRIVATE_H
#define ROGER_JOURNAL_PRIVATE_H

#include "base/limits.h"
#include "file/file.h"
#include "journal/journal.h"
#include "journal/streams.h"
#include "journal/walk.h"

enum {
	WRITES_MAX = 4,                /* commits in flight, whatever the backend could do */
	STAGING_MAX = WRITES_MAX + 2,  /* one grows, one is full and waits its turn */
	STORE_SEGMENTS_MAX = 1 << 16,  /* 16 TiB at the default size; more only makes the journal wait for retention */
};

/* A segment that this process writes, or has ready to be written. */
struct write_segment {
	uint64_t index;
	int file;
	uint8_t salt[SALT_SIZE];
	uint64_t size;       /* of the file: where commits must end */
	uint64_t position;   /* where the next commit goes */
	uint64_t first;      /* f, once the first commit is bound to it */
	uint64_t zeroed;     /* real zeros (or old blocks) up to here */
};

/* What retention knows of a segment that is on the disk. */
struct store_segment {
	uint64_t index;
	uint64_t first;       /* f, 0: not known, or unused */
	uint64_t last;        /* the last live record, once closed; 0: not known */
	uint64_t size;
	uint64_t modified_ns; /* since the epoch: not before the last record */
	bool mine;            /* made by this process: may be reused */
	bool closed;
};

enum staging_state {
	STAGING_FREE,
	STAGING_OPEN,    /* the one that grows */
	STAGING_READY,   /* full or rolled over: waits to be submitted */
	STAGING_FLYING,
	STAGING_WRITTEN, /* done, but an earlier one is not */
};

/* One commit on its way to the disk. Bound to its place when it is opened, so that a segment's end is known while it fills. */
struct staging {
	struct io_write write;
	enum staging_state state;
	uint8_t *memory;
	uint64_t size;               /* bytes filled */
	uint64_t room;               /* bytes that it may fill */
	uint64_t commit;             /* its number, counting up */
	uint64_t last_record;        /* appended into it */
	uint64_t segment_index;
	uint64_t segment_first;
	uint8_t salt[SALT_SIZE];
	uint64_t offset;
	uint64_t claim;              /* the `durable` that its batches carry, set when it is submitted */
	uint64_t batch_at;           /* where the growing batch's header stands */
	bool batch_open;
	struct batch_header batch;   /* of the growing batch */
};

enum job_kind {
	JOB_NONE,
	JOB_SPARE,    /* make the next segment */
	JOB_REUSE,    /* turn the oldest segment into the next one */
	JOB_ZERO,     /* fill a piece of the spare with real zeros */
	JOB_SNAPSHOT,
	JOB_CLOSE,    /* give back the tail of a segment that is full */
	JOB_RETIRE,   /* delete the oldest segment */
	JOB_KINDS,
};

/* The one file job under way. Written by the loop before it starts and after it is done, by the job's thread in between. */
struct store_job {
	struct io_job job; /* first: the job's thread finds the rest from it */
	enum job_kind kind;
	int directory;
	bool direct;
	uint32_t block_size;
	uint8_t *block;            /* block_size bytes, aligned: a header on its way */
	const uint8_t *zeros;      /* ZERO_STEP_SIZE, aligned */
	uint64_t index;            /* SPARE, REUSE: the new segment; RETIRE: the one that goes */
	uint64_t old_index;        /* REUSE: the one that becomes it */
	struct segment_header header;
	uint64_t size;
	uint64_t size_min;         /* SPARE: try smaller sizes down to this when there is no room */
	uint64_t keep_free;        /* SPARE: leave so much */
	int file;                  /* ZERO, CLOSE: of the segment; SPARE, REUSE: the result */
	uint64_t offset;           /* ZERO, CLOSE */
	bool last;                 /* ZERO: flush behind it */
	const uint8_t *entries;    /* SNAPSHOT */
	struct snapshot_header snapshot;
	bool keep_old;             /* SNAPSHOT: streams.snap is not valid, do not put it in the place of the older one */
	const char *failed_step;   /* what failed, a static text */
	bool gone;                 /* REUSE: the old name is */
	bool fatal;                /* a flush of something published failed: never tried again */
};

struct store {
	int directory;
	int lock_file;
	uint8_t *lock;                    /* mapped; NULL: --no-journal */
	struct file_geometry geometry;
	uint64_t segment_size_max;
	uint64_t next_size;               /* of the next spare: doubling */
	uint64_t next_index;
	struct write_segment current;
	struct write_segment spare;
	bool spare_ready;
	bool zero_wanted;                 /* the spare has blocks that are not zeroed yet */
	struct store_segment *list;       /* on the disk, by index, but for current and spare */
	uint32_t list_count;
	uint32_t list_start;              /* those before have been deleted */
	uint64_t list_bytes;              /* of those in the list */
	struct write_segment closing;     /* full, its tail not given back yet; file -1: none */
	bool current_begun;               /* a commit in the current segment is durable */
	bool snapshot_tried;              /* while full, spares and a due snapshot take turns */
	bool retire_failed;               /* the oldest could not be deleted, or reused: a plain spare comes before the next try */
	uint64_t closing_last;            /* its last record: must be durable first */
	struct store_job job;
	bool job_running;
	uint64_t job_pause_ns;            /* no new try after a failure before this */
	uint64_t zero_pause_ns;           /* beside commits no zero step before this ... */
	uint64_t zero_retry_ns;           /* ... and after one that could not be begun, none at all before this */
	uint64_t keep_bytes;
	uint64_t keep_age_ns;
	uint64_t keep_free;
	uint64_t age_check_ns;
	bool full;
	int trouble[JOB_KINDS];           /* of each kind of file job: the error that was told, 0 when the last one was well */
	/* snapshots */
	uint8_t *snapshot_entries;        /* the copy: streams_max entries */
	struct snapshot_header snapshot;  /* of the copy */
	bool snapshot_pending;            /* a copy waits for durable, or for its job */
	uint64_t snapshot_index;          /* the newer generation covers up to this segment ... */
	uint64_t snapshot_old_index;      /* ... and the older one; 0: none */
	uint64_t snapshot_record;
	bool snapshot_keep_old;
};

enum { NOTICES_MAX = 8 };

struct journal {
	struct journal_config config;
	struct io *io;
	uint8_t id[16];
	bool is_volatile;
	enum io_durable how;
	struct streams streams;
	uint32_t streams_max;
	uint64_t epoch;
	uint64_t opened_ns;         /* monotonic */
	uint64_t forget_checked_ns;

	uint64_t next_record;
	uint64_t durable;
	uint64_t claimed;           /* the highest `durable` that a durable batch carries */
	uint64_t progress;
	uint64_t commit;            /* number of the open (or next) commit */
	int failed;
	bool stopping;

	struct staging staging[STAGING_MAX];
	unsigned staging_count;
	unsigned writes_max;
	uint64_t staging_size;      /* of each */
	uint64_t commit_max;        /* bytes that any commit can hold in any segment */
	struct staging *open;       /* NULL: none */
	struct staging *queue[STAGING_MAX]; /* READY, FLYING, WRITTEN ones, oldest first */
	unsigned queue_count;
	unsigned flying;
	uint64_t committed_ns;      /* when the last commit (not seal) became durable */
	uint64_t sealed_ns;

	struct store store;
	struct {
		enum journal_notice_kind kind;
		struct failure failure;
	} notices[NOTICES_MAX];
	unsigned notice_count;
};

/* --- open.c */
/* What opening hands over is in the journal struct itself. */
int open_journal(struct journal *j, struct failure *why);

/* --- staging.c */
int staging_init(struct journal *j);
void staging_deinit(struct journal *j);
/* Put a batch into the open commit, opening or rolling over as needed. 0 or -ENOBUFS (nothing changed that is visible). */
int staging_put(struct journal *j, const struct batch_header *header, const uint8_t *frame_header,
		const uint8_t *frames, uint32_t frames_size);
/* A commit of its own with one batch of count 0. 0 or -ENOBUFS. */
int staging_put_seal(struct journal *j);
/* Finish the open commit: it waits for its turn. */
void staging_close(struct journal *j);
/* Submit the oldest waiting commit, if one may be. */
void staging_submit(struct journal *j);
/* Take the written prefix: advances durable. */
void staging_complete(struct journal *j, struct staging *done);
bool staging_is_idle(const struct journal *j); /* nothing open, waiting or in flight */

/* --- store.c */
/* The current segment is full: go on in the spare, from record f on. False when there is none yet. */
bool store_roll(struct journal *j, uint64_t f);
/* May a commit be submitted to this segment now? (No zero step outstanding.) */
bool store_may_submit(const struct journal *j, uint64_t segment_index);
/* Start the most urgent file job, if any. */
void store_turn(struct journal *j);
void store_job_done(struct journal *j);
/* When store_turn wants to be called again. */
uint64_t store_deadline(const struct journal *j);
uint64_t store_first_record(const struct journal *j);
void store_deinit(struct journal *j);
bool store_is_no_room(int error);
/* Blocking pieces, also used by opening. -errno; job->failed_step says what failed. */
int store_make_segment(struct store_job *job);
/* Header and all have been written into job->file, "segment.tmp": flush it, and give it its name. */
int store_publish_segment(struct store_job *job);

/* --- retention.c */
/* The oldest segment, when retention wants it gone, with `more` bytes about to come, and both snapshots cover it. Else NULL. */
struct store_segment *retention_candidate(struct journal *j, uint64_t more);
/* Retention waits for the older snapshot alone, and nothing new may come for long: the newer one is to be written once more. */
bool retention_needs_snapshot(struct journal *j);
/* May it become the next spare? */
bool retention_may_reuse(const struct store *store, const struct store_segment *oldest);

/* --- snapshot.c */
/* Copy the table as it is now: the state up to record `record`, the end of segment `index`. */
void snapshot_copy(struct journal *j, uint64_t index, uint64_t record);
int snapshot_write(struct store_job *job);

struct snapshot_file {
	bool present;
	bool valid;
	struct snapshot_header header;
	uint8_t *entries; /* header.count * SNAPSHOT_ENTRY_SIZE, free() */
};
/* Read and check one generation. 0 (look at present and valid), or -errno for a real I/O error. `journal_id` NULL: any. */
int snapshot_read(int directory, const char *name, struct snapshot_file *ret);

/* --- journal.c */
void journal_fail(struct journal *j, int error, const char *what);
void journal_note(struct journal *j, enum journal_notice_kind kind, int error, const char *what);

#endif
