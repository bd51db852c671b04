/* The stream table: for each stream the number, record, writer and history checksum of its last appended message.
 *
 * Fixed size once the journal is open. An entry is taken when a session opens a stream, and counts as a stream (streams_max) from
 * its first message on; without one it goes when the session does. No I/O. The loop's thread. */
#ifndef ROGER_JOURNAL_STREAMS_H
#define ROGER_JOURNAL_STREAMS_H

#include "journal/format.h"

#define STREAM_NONE UINT32_MAX

struct stream_entry {
	struct stream_id id;
	uint64_t last_seq;  /* 0: no message yet */
	uint64_t record;
	uint64_t writer;
	uint64_t time_ns;   /* of the last message, since the epoch */
	uint64_t epoch;     /* of the session that has it; 0: none in this process */
	uint32_t h;
	uint32_t next;      /* in its bucket, or in the free list */
	uint32_t open_count;/* sessions, fenced ones too */
	bool used;
	bool ephemeral;
};

struct streams {
	struct stream_entry *entries;
	uint32_t *buckets;
	uint32_t capacity;
	uint32_t bucket_mask;
	uint32_t free_list;
	uint32_t fresh;      /* entries from here on have never been used */
	uint32_t known;      /* entries with messages */
	uint64_t hash_seed;  /* random, so that a peer cannot aim at one bucket */
};

/* 0 or -ENOMEM. */
int streams_init(struct streams *s, uint32_t capacity, uint64_t hash_seed);
void streams_deinit(struct streams *s);
uint64_t streams_memory(uint32_t capacity);

/* The entry of a stream, STREAM_NONE when there is none. */
uint32_t streams_find(const struct streams *s, const struct stream_id *id);

/* A new entry for a stream that has none; STREAM_NONE when the table is full. */
uint32_t streams_take(struct streams *s, const struct stream_id *id, bool ephemeral);
void streams_free(struct streams *s, uint32_t entry);

/* A batch of the stream has been appended: its last message is number last_seq and record `record`. */
void streams_advance(struct streams *s, uint32_t entry, uint64_t last_seq, uint64_t record,
		     uint64_t writer, uint64_t time_ns, uint32_t h);

/* What makes an entry forgettable, when room is needed. */
struct streams_age {
	uint64_t now_ns;            /* since the epoch */
	bool ephemeral_too;         /* the process is old enough to trust its clock about ephemeral streams */
	uint64_t ephemeral_age_ns;
	uint64_t named_age_ns;      /* 0: never */
	uint64_t first_record;      /* the oldest record kept: named streams that end before it may go */
};
/* Free all entries that nobody has open and that are old enough. Returns how many. */
uint32_t streams_forget_old(struct streams *s, const struct streams_age *age);

/* Encode all entries with messages behind one another (SNAPSHOT_ENTRY_SIZE each); `out` has room for s->known. Returns the
 * count. */
uint64_t streams_encode(const struct streams *s, uint8_t *out);

#endif
