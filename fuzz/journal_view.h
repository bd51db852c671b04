/* What a journal shows, so that two looks at it can be compared: its records as the reader brings them, and verify's verdict. */
#ifndef ROGER_FUZZ_JOURNAL_VIEW_H
#define ROGER_FUZZ_JOURNAL_VIEW_H

#include "journal/reader.h"

enum { VIEW_RECORDS = 4096 };

struct journal_view {
	int result;               /* 0 when the end was reached, or what reader_open or reader_next said */
	struct failure why;
	unsigned count;
	struct {
		uint64_t number;
		uint32_t content; /* a checksum of all that the record says */
	} records[VIEW_RECORDS];
};

/* Read all that may be shown, from record `from` on (reader_open). */
void journal_view_read(struct journal_view *view, const char *directory, int64_t from);

struct journal_verdict {
	int result;
	struct failure why;
	uint32_t text;            /* a checksum of all lines */
	bool only_snapshots;      /* no damage, or of snapshots alone */
	uint64_t records;         /* as the last line says, when there is no damage */
};

/* Verify, hold the damaged records that it names against `view` (none of them is shown), and check that it changes nothing. */
void journal_verdict_find(struct journal_verdict *verdict, const char *directory,
			  const struct journal_view *view);

/* Are these the same records (and `more` in `b` behind them)? */
void journal_view_compare(const struct journal_view *a, const struct journal_view *b,
			  unsigned more);

#endif
