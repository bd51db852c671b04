#include "journal/beginning.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/private.h"

static int read_snapshot(struct segments *set, const char *name, struct beginning *ret)
{
	struct snapshot_file file;
	int error = snapshot_read(set->directory, name, &file);

	if (error == -EIO && set->salvage)
		error = 0;
	if (error == 0 && file.valid) {
		ret->has_snapshot = true;
		if (file.header.record > ret->snapshot)
			ret->snapshot = file.header.record;
		if (file.header.segment_index > ret->covered)
			ret->covered = file.header.segment_index;
	}
	free(file.entries);
	return error;
}

static void missing(const struct segments *set, struct beginning *ret, uint32_t position,
		    uint64_t record, const char *what)
{
	ret->place = (struct walk_place){
		.record = record,
		.last_record = ret->lowest > 1 ? ret->lowest - 1 : 1,
		.position = position,
		.segment_index = position < set->count ? set->list[position].index : 0,
	};
	snprintf(ret->place.what, sizeof(ret->place.what), "%s", what);
}

/* Every f that can be known is known afterwards. */
static int find_firsts(struct segments *set, struct beginning *ret)
{
	for (uint32_t i = 0; i < set->count; i++) {
		struct segment *s = &set->list[i];
		int error;

		if (s->header_fault != FORMAT_OK || s->first != 0 || s->searched)
			continue;
		error = segment_search(set, s, 0);
		segment_leave(set, s);
		if (error != 0) {
			missing(set, ret, i, 1, strerror(-error));
			ret->place.offset = s->error_offset;
			return error;
		}
	}
	ret->lowest = segments_lowest(set);
	return 0;
}

/* A segment that stood before the first one that has records, and is not dead: its header is damaged, or all of its batches. 1, 0 or
 * -errno. */
static int find_lost(struct segments *set, struct beginning *ret)
{
	for (uint32_t i = 0; i < set->count && ret->lowest != 0; i++) {
		const struct segment *s = &set->list[i];
		char what[100];
		int lost;

		if (s->first != 0)
			continue;
		lost = segments_lost_first(set, i);
		if (lost < 0)
			return lost;
		if (lost == 0)
			continue;
		if (s->header_fault == FORMAT_OK)
			snprintf(what, sizeof(what), "no batch header is whole");
		else
			snprintf(what, sizeof(what), "segment header: %s",
				 format_fault_text(s->header_fault));
		missing(set, ret, i, ret->snapshot < ret->lowest - 1 ? 1 : s->doubt, what);
		return 1;
	}
	return 0;
}

/* Segments were deleted, and nothing says why: the first one begins at record 1, and is deleted only behind a snapshot, or when a later
 * one has an f. (Beside a server not every f is looked for.) */
static bool lacks_first(const struct segments *set, const struct beginning *begin)
{
	if (begin->lowest != 0)
		return begin->snapshot < begin->lowest - 1;
	return !begin->has_snapshot && !set->quick && set->count != 0 && set->list[0].index != 1;
}

int beginning_find(struct segments *set, struct beginning *ret)
{
	int error;

	*ret = (struct beginning){ 0 };
	error = find_firsts(set, ret);
	/* The newer one first: a server that writes one renames the newer to the older name. */
	if (error == 0)
		error = read_snapshot(set, NAME_SNAPSHOT, ret);
	if (error == 0)
		error = read_snapshot(set, NAME_SNAPSHOT_OLD, ret);
	if (error == 0)
		error = find_lost(set, ret);
	if (error < 0)
		return error;
	if (error == 0 && lacks_first(set, ret))
		missing(set, ret, set->count, 1,
			"the first segments are gone, and no valid snapshot covers them");
	return 0;
}

bool beginning_lacks_newest(const struct segments *set, const struct beginning *begin,
			    uint64_t record, struct walk_place *ret)
{
	if (!begin->has_snapshot ||
	    (set->count != 0 && set->list[set->count - 1].index > begin->covered))
		return false;
	*ret = (struct walk_place){
		.record = record,
		.last_record = record,
		.position = set->count,
	};
	snprintf(ret->what, sizeof(ret->what), "there is a snapshot, but no segment behind it");
	return true;
}
