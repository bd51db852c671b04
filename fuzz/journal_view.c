#include "journal_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "journal/verify.h"
#include "memory_file.h"

static uint32_t content_of(const struct record *record)
{
	uint8_t number[8];
	uint32_t crc = crc32c(0, record->stream.bytes, STREAM_ID_SIZE);

	put_u64(number, record->seq);
	crc = crc32c(crc, number, 8);
	put_u64(number, record->time_ns);
	crc = crc32c(crc, number, 8);
	put_u64(number, record->gap_last + (record->gap ? 1u : 0u) + record->protocol);
	crc = crc32c(crc, number, 8);
	crc = crc32c(crc, record->peer.address, sizeof(record->peer.address));
	return crc32c(crc, record->payload, record->size);
}

void journal_view_read(struct journal_view *view, const char *directory, int64_t from)
{
	uint64_t changes = memory_changes();
	struct reader *reader = NULL;
	struct record record;

	view->count = 0;
	view->result = reader_open(directory, from, &reader, &view->why);
	while (view->result == 0) {
		view->result = reader_next(reader, &record, &view->why);
		if (view->result != 1)
			break;
		must(view->count < VIEW_RECORDS);
		must(view->count == 0 || record.number > view->records[view->count - 1].number);
		view->records[view->count].number = record.number;
		view->records[view->count].content = content_of(&record);
		view->count++;
		view->result = 0;
	}
	/* Damage is said again and again, with the same words. */
	if (view->result < 0 && reader != NULL) {
		struct failure again;

		must(reader_next(reader, &record, &again) == view->result);
		must(strcmp(again.text, view->why.text) == 0);
	}
	if (view->result < 0)
		must(view->why.text[0] != '\0');
	if (reader != NULL)
		reader_close(reader);
	must(memory_held() == 0 && memory_changes() == changes);
}

void journal_view_compare(const struct journal_view *a, const struct journal_view *b, unsigned more)
{
	must(a->result == b->result);
	must(a->count + more == b->count);
	must(memcmp(a->records, b->records, a->count * sizeof(a->records[0])) == 0);
}

struct lines {
	const struct journal_view *view;
	struct journal_verdict *verdict;
};

/* "damage: segment 00000000000000000003.seg offset 8192: records 17..20: frame checksum of record 18". What is wrong with a stream is not
 * what is wrong with a record: only places that say what was not found count. */
static void check_damage(const struct journal_view *view, const char *text)
{
	const char *at = strstr(text, ": record");
	unsigned long long first, last;

	if (at == NULL || strstr(text, "stream ") != NULL || strstr(text, "offset 0:") != NULL)
		return;
	if (sscanf(at, ": records %llu..%llu:", &first, &last) != 2) {
		if (sscanf(at, ": record %llu:", &first) != 1)
			return;
		last = first;
	}
	for (unsigned i = 0; i < view->count; i++)
		must(view->records[i].number < first || view->records[i].number > last);
}

static void take_line(void *context, const char *text)
{
	struct lines *lines = context;
	unsigned long long records;

	must(text[0] != '\0' && strlen(text) < 600);
	lines->verdict->text = crc32c(lines->verdict->text, text, strlen(text));
	if (strncmp(text, "damage: ", 8) == 0) {
		check_damage(lines->view, text);
		if (strncmp(text + 8, NAME_SNAPSHOT, strlen(NAME_SNAPSHOT)) != 0)
			lines->verdict->only_snapshots = false;
	}
	if (strstr(text, ", no damage") != NULL && sscanf(text, "%llu record", &records) == 1)
		lines->verdict->records = records;
	if (getenv("FUZZ_VERBOSE") != NULL)
		fprintf(stderr, "%s\n", text);
}

void journal_verdict_find(struct journal_verdict *verdict, const char *directory,
			  const struct journal_view *view)
{
	struct lines lines = { .view = view, .verdict = verdict };
	uint64_t changes = memory_changes();

	memset(verdict, 0, sizeof(*verdict));
	verdict->only_snapshots = true;
	verdict->result = journal_verify(directory, take_line, &lines, &verdict->why);
	must(verdict->result == 0 || verdict->why.text[0] != '\0');
	if (getenv("FUZZ_VERBOSE") != NULL)
		fprintf(stderr, "%s: reader %d (%s) %u records; verify %d (%s)\n", directory,
			view->result, view->result < 0 ? view->why.text : "", view->count,
			verdict->result, verdict->result < 0 ? verdict->why.text : "");
	must(memory_held() == 0 && memory_changes() == changes);
}
