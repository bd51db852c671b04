/* Reading a journal, also beside a running server (J11): only what is durable is shown, in order, each record once. */
#ifndef ROGER_JOURNAL_READER_H
#define ROGER_JOURNAL_READER_H

#include "base/failure.h"
#include "journal/format.h"

struct reader;

struct record {
	uint64_t number;
	struct stream_id stream;
	uint64_t seq;
	uint64_t time_ns;
	struct peer peer;
	uint8_t protocol;
	uint64_t gap_last; /* not 0 or gap == true: before this record is a recorded gap, after number gap_last */
	bool gap;
	const uint8_t *payload; /* borrowed until the next call */
	uint32_t size;
};

/* Open the journal in `path`. from > 0: that record number or, when it is gone, the oldest kept. from < 0: the last -from records.
 * from == 0: the beginning. *why on failure (66: no such directory, or not a journal; 74; 65: damage met already).
 * Needs no write access when it has none (then it shows only what is claimed durable). */
int reader_open(const char *path, int64_t from, struct reader **ret, struct failure *why);
void reader_close(struct reader *reader);

/* 1: *ret is the next record. 0: nothing more that may be shown now (call again later to follow; a call is cheap when nothing has
 * changed, costs no system call then, and finds new segments and restarted servers by itself). -EBADMSG: damage, *why names
 * segment, byte offset and record numbers (65). other -errno: *why (74). May be called again after an error; damage and a flush that has
 * failed stay what they are. */
int reader_next(struct reader *reader, struct record *ret, struct failure *why);

/* Give up the shared lock, when the reader has taken it to show what no claim covers. To be called once what reader_next returned has
 * been shown and before waiting. Harmless when there is none. */
void reader_release(struct reader *reader);

#endif
