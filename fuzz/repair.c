/* roger repair on a journal, whole or spoiled (journal_program.h): it never touches what it repairs; what it writes has no damage, and
 * holds every record that the reader shows, under its own number. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "journal/verify.h"
#include "journal_program.h"
#include "journal_view.h"
#include "memory_file.h"

static void take_line(void *context, const char *text)
{
	(void)context;
	must(text[0] != '\0' && strlen(text) < 600);
	if (getenv("FUZZ_VERBOSE") != NULL)
		fprintf(stderr, "repair: %s\n", text);
}

/* Each record of `from` is in `to`. */
static void nothing_is_lost(const struct journal_view *from, const struct journal_view *to)
{
	unsigned at = 0;

	for (unsigned i = 0; i < from->count; i++) {
		while (at < to->count && to->records[at].number < from->records[i].number)
			at++;
		must(at < to->count && to->records[at].number == from->records[i].number);
	}
}

/* What is in both is the same. */
static void nothing_is_changed(const struct journal_view *from, const struct journal_view *to)
{
	must(from->count == to->count);
	for (unsigned i = 0; i < from->count; i++)
		must(from->records[i].content == to->records[i].content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct journal_view from, again, to;
	struct journal_verdict verdict;
	struct failure why;
	struct fuzz f = { data, size };
	enum journal_made made;
	int error;

	(void)fuzz_u8(&f); /* so that a corpus of the target `journal` serves here, too */
	memory_reset();
	made = journal_program_run(&f, "j");
	journal_view_read(&from, "j", 0);
	error = journal_repair("j", "k", take_line, NULL, &why);
	must(memory_held() == 0);
	must(made != JOURNAL_WHOLE || error == 0);
	must(error == 0 || why.text[0] != '\0');
	journal_view_read(&again, "j", 0);
	journal_view_compare(&from, &again, 0);
	if (error == 0) {
		journal_view_read(&to, "k", 0);
		journal_verdict_find(&verdict, "k", &to);
		must(verdict.result == 0 && to.result == 0);
		if (made != JOURNAL_FORGED)
			nothing_is_lost(&from, &to);
		if (made == JOURNAL_WHOLE)
			nothing_is_changed(&from, &to);
	}
	memory_reset();
	return 0;
}
