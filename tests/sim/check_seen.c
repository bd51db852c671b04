/* Readers: what they show must be durable at that moment, in order, and stay. */
#include <string.h>

#include "check_private.h"

struct reader {
	unsigned number;
	uint64_t last;
	uint64_t wrong; /* a record that it has shown and that is another, 0: none */
};

static struct {
	struct reader *readers;
	size_t count;
	size_t capacity;
	/* the pass over the whole journal */
	uint64_t whole_first;
	uint64_t whole_last;
	uint64_t whole_count;
	uint64_t whole_wrong;    /* as in struct reader */
	uint64_t reports_before; /* of damage */
} seen;

void seen_begin(void)
{
	memset(&seen, 0, sizeof(seen));
}

void seen_end(void)
{
	sim_free(seen.readers);
	memset(&seen, 0, sizeof(seen));
}

static struct reader *find(unsigned number)
{
	for (size_t i = seen.count; i-- > 0;)
		if (seen.readers[i].number == number)
			return &seen.readers[i];
	seen.readers =
		check_grow(seen.readers, seen.count, &seen.capacity, sizeof(seen.readers[0]));
	seen.readers[seen.count] = (struct reader){ .number = number };
	return &seen.readers[seen.count++];
}

/* One behind the other; retention may take what has not been read yet. */
static void check_order(const char *who, uint64_t last, uint64_t number)
{
	if (last == 0 || number == last + 1 || (number > last && checks.config.keep_bytes != 0))
		return;
	world_fail("%s shows record %llu after record %llu", who, (unsigned long long)number,
		   (unsigned long long)last);
}

static void check_durable(const char *who, const struct check_record *record)
{
	const char *why;

	if (record->number > ledger_last() && !check_cache_may_lie()) {
		why = audit_reach(record->number);
		if (why != NULL)
			check_missing(record->number, "%s shows record %llu: %s", who,
				      (unsigned long long)record->number, why);
	}
}

static void check_same(const char *who, const struct check_record *record)
{
	ledger_compare(who, record->number, record->stream, record->seq,
		       check_digest(record->payload, record->size), record->size, record->gap);
}

/* Where the header of a segment is spoiled a reader can't tell whether the last commit before it is dead: it shows that, and then tells of
 * the damage (decision 4). */
static bool is_wrong(const struct check_record *record)
{
	const struct ledger_entry *entry = ledger_entry(record->number);

	return check_is_corrupt() && entry != NULL &&
	       (entry->seq != record->seq || entry->size != record->size ||
		entry->digest != check_digest(record->payload, record->size));
}

void check_seen(const struct check_record *record)
{
	struct reader *reader;

	if (record->reader != 0) {
		reader = find(record->reader);
		check_order("a reader", reader->last, record->number);
		reader->last = record->number;
		if (is_wrong(record)) {
			world_trace("a wrong record is shown", record->number, record->reader);
			reader->wrong = record->number;
			return;
		}
	}
	check_durable("a reader", record);
	check_same("a reader", record);
}

void check_seen_all(unsigned number)
{
	if (number != 0 && find(number)->wrong != 0)
		world_fail("a reader has shown a wrong record %llu, and tells of no damage",
			   (unsigned long long)find(number)->wrong);
}

/* --- one pass over everything */

void check_whole_begin(void)
{
	seen.whole_first = seen.whole_last = seen.whole_count = seen.whole_wrong = 0;
	seen.reports_before = checks.reports;
	audit_cut();
	audit_restart();
}

void check_whole_record(const struct check_record *record)
{
	if (seen.whole_count == 0)
		seen.whole_first = record->number;
	if (seen.whole_count > 0 && record->number != seen.whole_last + 1)
		world_fail("the whole journal: record %llu comes after record %llu",
			   (unsigned long long)record->number,
			   (unsigned long long)seen.whole_last);
	check_durable("the whole journal", record);
	if (is_wrong(record))
		seen.whole_wrong = record->number;
	else
		check_same("the whole journal", record);
	seen.whole_last = record->number;
	seen.whole_count++;
}

const uint8_t *check_stream(uint32_t *index)
{
	struct ledger_stream *stream;

	while ((stream = ledger_stream_at((*index)++)) != NULL) {
		/* A hostile peer's (hostile.c: the second byte is zero) may go on for a while. */
		if (stream->talk != TALK_NATIVE || stream->is_forgotten || stream->last == 0 ||
		    stream->id[1] == 0)
			continue;
		stream->is_asked = true;
		stream->welcomed = UINT64_MAX;
		return stream->id;
	}
	return NULL;
}

/* Nobody has sent anything since they were asked for. */
static void check_asked(void)
{
	struct ledger_stream *stream;

	for (uint32_t i = 0; (stream = ledger_stream_at(i)) != NULL; i++) {
		bool is_told = stream->is_asked && stream->welcomed != UINT64_MAX;

		stream->is_asked = false;
		if (!is_told || stream->is_forgotten || stream->is_loose || check_is_corrupt())
			continue;
		if (stream->welcomed != stream->last)
			world_fail("WELCOME %llu of stream %llx, of which the journal has %llu",
				   (unsigned long long)stream->welcomed,
				   (unsigned long long)check_u64(stream->id),
				   (unsigned long long)stream->last);
	}
}

void check_whole_end(uint64_t *ret_records)
{
	uint64_t first = audit_first();

	if (seen.whole_wrong != 0 && checks.reports == seen.reports_before)
		world_fail("the whole journal shows a wrong record %llu, and tells of no damage",
			   (unsigned long long)seen.whole_wrong);
	if (seen.whole_last < ledger_last())
		check_missing(seen.whole_last + 1 > first ? seen.whole_last + 1 : first,
			      "the whole journal ends at record %llu, and somebody has been told "
			      "of %llu",
			      (unsigned long long)seen.whole_last,
			      (unsigned long long)ledger_last());
	if (seen.whole_count > 0 && seen.whole_first > 1 && checks.config.keep_bytes == 0)
		check_missing(
			1, "the whole journal begins at record %llu, and nothing may be given up",
			(unsigned long long)seen.whole_first);
	if (seen.whole_count > 0 && seen.whole_first > first)
		check_missing(first, "the whole journal begins at record %llu, and %llu is kept",
			      (unsigned long long)seen.whole_first, (unsigned long long)first);
	check_asked();
	world_trace("whole journal", seen.whole_first, seen.whole_last);
	*ret_records = seen.whole_count;
}
