/* The ledger: what each record is, and where each stream stands.
 *
 * A record comes in once, in order, from the audit; from then on whoever meets that number must find the same message. */
#include <string.h>

#include "check_private.h"

/* Who writes to a stream since the last WELCOME. */
struct fence {
	uint8_t id[STREAM_ID];
	uint64_t last;
	uint64_t writer;
	uint64_t record; /* what was acknowledged by then; some of it may come into the ledger later */
};

static struct {
	struct ledger_entry *entries; /* of record 1 + i */
	size_t count;
	size_t capacity;
	struct ledger_stream *streams;
	size_t stream_count;
	size_t stream_capacity;
	struct fence *fences;
	size_t fence_count;
	size_t fence_capacity;
	bool is_only_asked;           /* check_only_asked */
	bool was_given_up;            /* retention has taken records that were never looked at */
} ledger;

void ledger_begin(void)
{
	memset(&ledger, 0, sizeof(ledger));
}

void ledger_end(void)
{
	sim_free(ledger.entries);
	sim_free(ledger.streams);
	sim_free(ledger.fences);
	memset(&ledger, 0, sizeof(ledger));
}

uint64_t ledger_last(void)
{
	return ledger.count;
}

const struct ledger_entry *ledger_entry(uint64_t record)
{
	const struct ledger_entry *entry;

	if (record == 0 || record > ledger.count)
		return NULL;
	entry = &ledger.entries[record - 1];
	return entry->stream == NOBODY ? NULL : entry;
}

struct ledger_stream *ledger_stream_at(uint32_t index)
{
	return index < ledger.stream_count ? &ledger.streams[index] : NULL;
}

struct ledger_stream *ledger_stream(const uint8_t *id)
{
	/* Newer ones are asked for more often. */
	for (size_t i = ledger.stream_count; i-- > 0;)
		if (memcmp(ledger.streams[i].id, id, STREAM_ID) == 0)
			return &ledger.streams[i];
	return NULL;
}

bool ledger_has_given_up(void)
{
	return ledger.was_given_up;
}

static struct ledger_stream *add_stream(const struct ledger_record *record)
{
	struct ledger_stream *stream;

	ledger.streams = check_grow(ledger.streams, ledger.stream_count, &ledger.stream_capacity,
				    sizeof(*stream));
	stream = &ledger.streams[ledger.stream_count++];
	*stream = (struct ledger_stream){
		.talk = record->talk,
		.is_loose = ledger.was_given_up && record->seq > 1,
		.connection = NOBODY,
	};
	memcpy(stream->id, record->id, STREAM_ID);
	return stream;
}

static bool is_plain(const uint8_t *id)
{
	return check_u64(id) == 0;
}

static unsigned long long name_of(const uint8_t *id)
{
	return is_plain(id) ? check_u64(id + 8) : check_u64(id);
}

/* --- what is known already */

void ledger_compare(const char *who, uint64_t record, const uint8_t *id, uint64_t seq,
		    uint64_t digest, size_t size, bool gap)
{
	const struct ledger_entry *entry = ledger_entry(record);

	if (entry == NULL)
		return;
	if (memcmp(ledger.streams[entry->stream].id, id, STREAM_ID) != 0 || entry->seq != seq)
		world_fail("%s: record %llu is number %llu of stream %llx; it was number %llu of "
			   "stream %llx",
			   who, (unsigned long long)record, (unsigned long long)seq, name_of(id),
			   (unsigned long long)entry->seq,
			   name_of(ledger.streams[entry->stream].id));
	if (entry->digest != digest || entry->size != size)
		world_fail("%s: record %llu has other bytes than it had (%zu, before: %u)", who,
			   (unsigned long long)record, size, entry->size);
	if (entry->gap != gap)
		world_fail("%s: record %llu is said to be behind %s gap", who,
			   (unsigned long long)record, gap ? "a" : "no");
}

/* --- what is new */

/* docs/journal.md 6: does it go on where its stream stopped? */
static void must_go_on(const struct ledger_stream *stream, const struct ledger_record *record)
{
	bool is_next = record->seq == stream->last + 1 && record->h_before == stream->h;
	bool is_anew = record->seq == 1 && record->h_before == 0 &&
		       (stream->is_ephemeral || stream->is_forgotten || stream->last == 0);
	bool is_gap = record->gap && record->seq > stream->last &&
		      (record->gap_last == stream->last ||
		       (record->gap_last == 0 && (stream->is_ephemeral || stream->is_forgotten)));

	if (record->gap && !checks.config.no_journal && !check_is_corrupt() &&
	    ledger_is_announced(record->id))
		world_fail("record %llu: a gap in stream %llx, and nothing was lost",
			   (unsigned long long)record->record, name_of(record->id));
	if (stream->is_loose || (record->gap ? is_gap : is_next || is_anew))
		return;
	world_fail("record %llu: number %llu of stream %llx, which stood at %llu",
		   (unsigned long long)record->record, (unsigned long long)record->seq,
		   name_of(record->id), (unsigned long long)stream->last);
}

static struct fence *find_fence(const uint8_t *id)
{
	for (size_t i = ledger.fence_count; i-- > 0;)
		if (memcmp(ledger.fences[i].id, id, STREAM_ID) == 0)
			return &ledger.fences[i];
	return NULL;
}

void check_only_asked(void)
{
	ledger.is_only_asked = true;
}

void ledger_fence(const uint8_t *id, uint64_t last, uint64_t writer)
{
	struct fence *fence = find_fence(id);

	/* An ephemeral stream that has ended stands at 0, for somebody who asks; its records may not have been looked at yet. */
	if (ledger.is_only_asked)
		return;
	if (fence == NULL) {
		ledger.fences = check_grow(ledger.fences, ledger.fence_count,
					   &ledger.fence_capacity, sizeof(*fence));
		fence = &ledger.fences[ledger.fence_count++];
		memcpy(fence->id, id, STREAM_ID);
	}
	fence->last = last;
	fence->writer = writer;
	fence->record = check_owed() > ledger.count ? check_owed() : ledger.count;
}

static void must_be_let_in(const struct ledger_record *record)
{
	const struct fence *fence = find_fence(record->id);

	if (fence != NULL && record->record > fence->record && record->seq > fence->last &&
	    record->writer != fence->writer)
		world_fail("record %llu: number %llu of stream %llx is of a run that was fenced at "
			   "%llu",
			   (unsigned long long)record->record, (unsigned long long)record->seq,
			   name_of(record->id), (unsigned long long)fence->last);
}

static struct ledger_stream *stream_for(const struct ledger_record *record)
{
	struct ledger_stream *stream = ledger_stream(record->id);

	if (stream == NULL)
		stream = add_stream(record);
	if (is_plain(record->id) == (record->talk == TALK_NATIVE) || stream->talk != record->talk)
		world_fail("record %llu: stream %llx and protocol %u do not fit",
			   (unsigned long long)record->record, name_of(record->id), record->talk);
	if (is_plain(record->id) && record->seq == 1 && check_u64(record->id + 8) != record->record)
		world_fail("record %llu begins plain stream %llu",
			   (unsigned long long)record->record, name_of(record->id));
	return stream;
}

static void put_new(const struct ledger_record *record, uint64_t digest)
{
	struct ledger_stream *stream = stream_for(record);
	uint32_t index = (uint32_t)(stream - ledger.streams);
	struct ledger_entry entry = {
		.stream = index,
		.size = record->size,
		.seq = record->seq,
		.digest = digest,
		.writer = record->writer,
		.h = record->h,
		.gap = record->gap,
		.sender = NOBODY,
	};

	must_go_on(stream, record);
	must_be_let_in(record);
	if (is_plain(record->id))
		plain_put(stream, index, record->payload, record->size);
	else
		senders_native(stream, index, record->payload, record->size, record->gap, &entry);
	stream->is_ephemeral = record->is_ephemeral;
	stream->is_forgotten = stream->is_loose = false;
	stream->last = record->seq;
	stream->record = record->record;
	stream->h = record->h;
	ledger.entries =
		check_grow(ledger.entries, ledger.count, &ledger.capacity, sizeof(entry));
	ledger.entries[ledger.count++] = entry;
}

void ledger_put(const struct ledger_record *record)
{
	uint64_t digest = check_digest(record->payload, record->size);
	struct ledger_entry *entry;

	if (record->record > ledger.count + 1)
		world_fail("record %llu comes after record %zu",
			   (unsigned long long)record->record, ledger.count);
	if (record->record == ledger.count + 1) {
		put_new(record, digest);
		return;
	}
	entry = &ledger.entries[record->record - 1];
	if (entry->stream == NOBODY)
		return;
	ledger_compare("journal", record->record, record->id, record->seq, digest, record->size,
		       record->gap);
	if (entry->writer != record->writer || entry->h != record->h)
		world_fail("journal: record %llu has another writer or history than it had",
			   (unsigned long long)record->record);
}

void ledger_forget(const uint8_t *id, uint64_t record)
{
	struct ledger_stream *stream = ledger_stream(id);

	/* It is met again whenever the walk is begun again; the stream may have gone on since. */
	if (stream == NULL || stream->record >= record)
		return;
	if (ledger_is_announced(id))
		world_fail("stream %llx is forgotten before record %llu, and has a name",
			   name_of(id), (unsigned long long)record);
	stream->is_forgotten = true;
	stream->claimed = 0;
}

void ledger_given_up(uint64_t first)
{
	struct ledger_entry nothing = { .stream = NOBODY, .sender = NOBODY };

	while (ledger.count + 1 < first) {
		ledger.entries = check_grow(ledger.entries, ledger.count, &ledger.capacity,
					    sizeof(nothing));
		ledger.entries[ledger.count++] = nothing;
	}
	ledger.was_given_up = true;
	for (size_t i = 0; i < ledger.stream_count; i++)
		ledger.streams[i].is_loose = true;
}

/* --- corruption: back to what is left */

void ledger_cut(uint64_t first)
{
	world_trace("lost without a claim", first, ledger.count);
	ledger.count = (size_t)first - 1;
	senders_forget_progress();
	for (size_t i = 0; i < ledger.stream_count; i++) {
		struct ledger_stream *stream = &ledger.streams[i];

		stream->last = stream->record = 0;
		stream->h = 0;
		stream->is_loose = ledger.was_given_up || is_plain(stream->id);
		stream->is_forgotten = false;
	}
	for (size_t i = 0; i < ledger.count; i++) {
		const struct ledger_entry *entry = &ledger.entries[i];
		struct ledger_stream *stream;

		if (entry->stream == NOBODY)
			continue;
		stream = &ledger.streams[entry->stream];
		stream->last = entry->seq;
		stream->h = entry->h;
		stream->record = i + 1;
		stream->is_loose = false;
		senders_replay(entry);
	}
	for (size_t i = 0; i < ledger.stream_count; i++)
		if (ledger.streams[i].claimed > ledger.streams[i].last)
			ledger.streams[i].claimed = ledger.streams[i].last;
}
