/* Journals made from fuzz input, in memory (memory_file.h). The input is a program: first of all steps that write a well-formed journal
 * (segments, commits, gaps, seals, snapshots, segments that take records over), mixed with edits that spoil it: of single bytes, of blocks,
 * of header fields with the checksum made right again, of whole files. Any bytes are a program. */
#ifndef ROGER_FUZZ_JOURNAL_PROGRAM_H
#define ROGER_FUZZ_JOURNAL_PROGRAM_H

#include "fuzz.h"

enum journal_made {
	JOURNAL_WHOLE,   /* nothing has been spoiled: there is no damage */
	JOURNAL_SPOILED, /* bytes, blocks, files, or a batch's values are not what they were */
	JOURNAL_FORGED,  /* a header or snapshot with a right checksum says what no server would: nobody can know better */
};

/* Make the journal `directory`. Takes the input up to its end, or a step that says that it ends. */
enum journal_made journal_program_run(struct fuzz *f, const char *directory);

#endif
