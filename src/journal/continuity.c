#include "journal/continuity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

int continuity_init(struct continuity *c, uint64_t lowest)
{
	*c = (struct continuity){ .complete = lowest == 1, .lowest = lowest };
	c->plain = calloc(PLAIN_NOTES, sizeof(*c->plain));
	if (c->plain == NULL || stream_map_init(&c->map) != 0) {
		continuity_deinit(c);
		return -ENOMEM;
	}
	return 0;
}

void continuity_deinit(struct continuity *c)
{
	stream_map_deinit(&c->map);
	free(c->plain);
	c->plain = NULL;
}

int continuity_seed(struct continuity *c, const uint8_t *entries, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct snapshot_entry entry;
		struct stream_note *note;

		snapshot_entry_decode(entries + i * SNAPSHOT_ENTRY_SIZE, &entry);
		if (entry.last_seq == 0)
			continue;
		note = stream_map_take(&c->map, &entry.stream);
		if (note == NULL)
			return -ENOMEM;
		note->now = entry;
	}
	c->complete = true;
	return 0;
}

int continuity_check(const uint8_t *entries, uint64_t count, uint64_t record,
		     char text[CONTINUITY_TEXT_SIZE])
{
	struct stream_map map;
	char stream[STREAM_TEXT_SIZE];
	int result = stream_map_init(&map);

	for (uint64_t i = 0; i < count && result == 0; i++) {
		struct snapshot_entry entry;
		struct stream_note *note;
		const char *what = NULL;

		snapshot_entry_decode(entries + i * SNAPSHOT_ENTRY_SIZE, &entry);
		if (!snapshot_entry_makes_sense(&entry, record))
			what = "an entry makes no sense";
		else if (stream_map_find(&map, &entry.stream) != NULL)
			what = "it is there twice";
		if (what != NULL) {
			snprintf(text, CONTINUITY_TEXT_SIZE, "stream %s: %s",
				 stream_text(&entry.stream, stream), what);
			result = CONTINUITY_BROKEN;
			break;
		}
		note = stream_map_take(&map, &entry.stream);
		if (note == NULL)
			result = -ENOMEM;
		else
			note->now = entry;
	}
	stream_map_deinit(&map);
	return result;
}

void continuity_lost(struct continuity *c)
{
	c->losses++;
}

__attribute__((format(printf, 3, 4)))
static int broken(char *text, const struct batch_header *h, const char *format, ...)
{
	char stream[STREAM_TEXT_SIZE];
	int at = snprintf(text, CONTINUITY_TEXT_SIZE, "stream %s: number %" PRIu64 " ",
			  stream_text(&h->stream, stream), h->first_seq);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + at, CONTINUITY_TEXT_SIZE - (size_t)at, format, arguments);
	va_end(arguments);
	return CONTINUITY_BROKEN;
}

static void note_batch(struct continuity *c, struct stream_note *note, const struct batch_header *h)
{
	note->now.stream = h->stream;
	note->now.last_seq = h->first_seq + h->count - 1;
	note->now.record = h->record + h->count - 1;
	note->now.writer = h->writer;
	note->now.time_ns = h->time_ns;
	note->now.h = h->h_after;
	note->now.flags = h->flags & BATCH_EPHEMERAL;
	note->losses = c->losses;
	note->forgotten = false;
}

/* Ids of plain connections are record numbers, and their streams are never resumed. */
static int take_plain(struct continuity *c, const struct batch_header *h, char *text)
{
	uint64_t number = get_u64(h->stream.bytes + 8);
	struct stream_note *note = &c->plain[number % PLAIN_NOTES];
	bool gap = (h->flags & BATCH_GAP) != 0; /* repair makes these */
	bool known = !gap && note->now.last_seq != 0 &&
		     stream_id_equal(&note->now.stream, &h->stream) && note->losses == c->losses;
	int result = CONTINUITY_OK;

	if (number > h->record)
		result = broken(text, h,
				"stands in record %" PRIu64 ", before its connection's first one",
				h->record);
	else if (h->first_seq == 1 && h->h_before != 0)
		result = broken(text, h, "begins with a history checksum that is not 0");
	else if (known && h->first_seq != note->now.last_seq + 1)
		result = broken(text, h, "follows number %" PRIu64, note->now.last_seq);
	else if (known && h->h_before != note->now.h)
		result = broken(text, h,
				"does not go on with the history checksum of the one before");
	if (gap && result == CONTINUITY_OK) {
		broken(text, h, "follows number %" PRIu64 ", what was between them is lost",
		       h->gap_last);
		result = CONTINUITY_GAP;
	}
	note_batch(c, note, h);
	return result;
}

/* Nothing on the disk says that a server has forgotten a stream for its age: an ephemeral one, or one whose last record is gone. */
static bool may_be_forgotten(const struct continuity *c, const struct stream_note *note)
{
	return note == NULL || note->forgotten || (note->now.flags & BATCH_EPHEMERAL) != 0 ||
	       note->now.record < c->lowest;
}

static int take_gap(const struct continuity *c, const struct batch_header *h,
		    const struct stream_note *note, bool sure, char *text)
{
	uint64_t last = note == NULL || note->forgotten ? 0 : note->now.last_seq;

	if (sure && !(h->gap_last == 0 && may_be_forgotten(c, note)) && h->gap_last != last)
		return broken(text, h,
			      "says that it follows a gap after number %" PRIu64
			      ", but the last one is %" PRIu64,
			      h->gap_last, last);
	broken(text, h,
	       "follows number %" PRIu64
	       ", with a recorded gap (the sender accepted it, or a repair left it)",
	       h->gap_last);
	return CONTINUITY_GAP;
}

/* What a batch of a stream says, against what is known of the stream. */
static int compare_batch(const struct continuity *c, const struct batch_header *h,
			 const struct stream_note *note, bool sure, char *text)
{
	uint64_t last = note == NULL || note->forgotten ? 0 : note->now.last_seq;
	bool begins = h->first_seq == 1 && h->h_before == 0;
	bool goes_on = note != NULL && h->first_seq == note->now.last_seq + 1 &&
		       h->h_before == note->now.h;

	if ((h->flags & BATCH_GAP) != 0)
		return take_gap(c, h, note, sure, text);
	if (h->first_seq == 1 && h->h_before != 0)
		return broken(text, h, "begins with a history checksum that is not 0");
	if (!sure || goes_on || (begins && may_be_forgotten(c, note)))
		return CONTINUITY_OK;
	if (h->first_seq != last + 1)
		return broken(text, h, "follows number %" PRIu64, last);
	return broken(text, h, "does not go on with the history checksum of the one before");
}

int continuity_take(struct continuity *c, const struct batch_header *h,
		    char text[CONTINUITY_TEXT_SIZE])
{
	struct stream_note *note;
	bool sure;
	int result;

	if (h->count == 0) {
		note = (h->flags & BATCH_FORGET) != 0 ? stream_map_find(&c->map, &h->stream) : NULL;
		if (note != NULL)
			note->forgotten = true;
		return CONTINUITY_OK;
	}
	if ((h->flags & BATCH_LOST) != 0) {
		snprintf(text, CONTINUITY_TEXT_SIZE,
			 "%" PRIu32 " record%s lost before a repair", h->count,
			 h->count == 1 ? "" : "s");
		return CONTINUITY_GAP;
	}
	if (stream_id_is_plain(&h->stream))
		return take_plain(c, h, text);
	note = stream_map_find(&c->map, &h->stream);
	sure = note != NULL ? note->losses == c->losses : c->complete && c->losses == 0;
	result = compare_batch(c, h, note, sure, text);
	note = stream_map_take(&c->map, &h->stream);
	if (note == NULL)
		return -ENOMEM;
	note_batch(c, note, h);
	return result;
}

static enum continuity_result compare_entry(struct continuity *c,
					    const struct snapshot_entry *entry, char *text)
{
	struct stream_note *note = stream_map_find(&c->map, &entry->stream);
	char stream[STREAM_TEXT_SIZE];

	stream_text(&entry->stream, stream);
	if (note == NULL) {
		if (!c->complete || c->losses != 0)
			return CONTINUITY_OK;
		snprintf(text, CONTINUITY_TEXT_SIZE, "stream %s is in it, but in no record",
			 stream);
		return CONTINUITY_BROKEN;
	}
	note->seen = true;
	if (note->losses != c->losses || note->forgotten)
		return CONTINUITY_OK;
	/* Its time may be a later one (section 10). */
	if (note->now.last_seq == entry->last_seq && note->now.h == entry->h &&
	    note->now.record == entry->record && note->now.writer == entry->writer &&
	    note->now.flags == entry->flags && note->now.time_ns <= entry->time_ns)
		return CONTINUITY_OK;
	snprintf(text, CONTINUITY_TEXT_SIZE,
		 "stream %s: number %" PRIu64 ", record %" PRIu64 " in it, %" PRIu64
		 ", record %" PRIu64 " in the records",
		 stream, entry->last_seq, entry->record, note->now.last_seq, note->now.record);
	return CONTINUITY_BROKEN;
}

enum continuity_result continuity_compare(struct continuity *c, const uint8_t *entries,
					  uint64_t count, uint64_t record,
					  char text[CONTINUITY_TEXT_SIZE])
{
	char stream[STREAM_TEXT_SIZE];

	for (uint64_t i = 0; i < c->map.room; i++)
		c->map.list[i].seen = false;
	for (uint64_t i = 0; i < count; i++) {
		struct snapshot_entry entry;

		snapshot_entry_decode(entries + i * SNAPSHOT_ENTRY_SIZE, &entry);
		if (compare_entry(c, &entry, text) != CONTINUITY_OK)
			return CONTINUITY_BROKEN;
	}
	for (uint64_t i = 0; i < c->map.room && c->losses == 0; i++) {
		const struct stream_note *note = &c->map.list[i];

		if (note->now.last_seq == 0 || note->seen || note->now.record > record ||
		    may_be_forgotten(c, note))
			continue;
		snprintf(text, CONTINUITY_TEXT_SIZE, "stream %s is missing in it",
			 stream_text(&note->now.stream, stream));
		return CONTINUITY_BROKEN;
	}
	return CONTINUITY_OK;
}
