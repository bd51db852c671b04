/* Places of the walk as text. */
#include <inttypes.h>
#include <stdio.h>

#include "journal/walk.h"

const char *records_text(uint64_t first, uint64_t last, char out[RECORDS_TEXT_SIZE])
{
	if (first == last)
		snprintf(out, RECORDS_TEXT_SIZE, "record %" PRIu64, last);
	else
		snprintf(out, RECORDS_TEXT_SIZE, "records %" PRIu64 "..%" PRIu64, first, last);
	return out;
}

const char *walk_place_text(const struct walk_place *place, uint64_t last,
			    char out[WALK_PLACE_TEXT_SIZE])
{
	char where[SEGMENT_NAME_SIZE + 60] = "";
	char name[SEGMENT_NAME_SIZE];
	char records[RECORDS_TEXT_SIZE];

	if (last < place->last_record)
		last = place->last_record;
	if (place->segment_index != 0) {
		segment_name(place->segment_index, name);
		snprintf(where, sizeof(where), "segment %s offset %" PRIu64 ": ", name,
			 place->bad_record != 0 ? place->bad_offset : place->offset);
	}
	if (place->bad_record != 0)
		records_text(place->bad_record, place->bad_record, records);
	else
		records_text(place->record, last, records);
	snprintf(out, WALK_PLACE_TEXT_SIZE, "%s%s: %s", where, records, place->what);
	return out;
}
