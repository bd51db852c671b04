/* verify: check every byte that is promised. repair: copy what is good into a new journal. */
#ifndef ROGER_JOURNAL_VERIFY_H
#define ROGER_JOURNAL_VERIFY_H

#include "base/failure.h"

/* Lines for people come through `line` (no newline at the end). Changes nothing.
 * 0: no damage. -EBADMSG: damage, each place was a line; *why has the summary (65). other -errno with *why. */
int journal_verify(const char *path, void (*line)(void *context, const char *text), void *context,
		   struct failure *why);

/* Copy the good records of `from` into a new journal `to` (made; must not exist or be empty: 73). Record numbers stay: in the place of
 * what is missing stands a batch that says so (BATCH_LOST), and a stream that lost some goes on with a recorded gap; one that has a number
 * twice ends and begins again. Each lost range, and each such stream, is a line. 0 also when something was lost; -errno with *why. */
int journal_repair(const char *from, const char *to, void (*line)(void *context, const char *text),
		   void *context, struct failure *why);

#endif
