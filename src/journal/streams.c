#include "journal/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

/* Ids are random or hashes, but a hostile client chooses them: mix with a seed that it does not know. */
static uint32_t bucket_of(const struct streams *s, const struct stream_id *id)
{
	uint64_t x = get_u64(id->bytes) ^ s->hash_seed;

	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
	x ^= get_u64(id->bytes + 8);
	x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
	return (uint32_t)(x ^ (x >> 32)) & s->bucket_mask;
}

static uint32_t bucket_count(uint32_t capacity)
{
	uint32_t count = 16;

	while (count < capacity && count < (1u << 30))
		count *= 2;
	return count;
}

uint64_t streams_memory(uint32_t capacity)
{
	return (uint64_t)capacity * sizeof(struct stream_entry) +
	       (uint64_t)bucket_count(capacity) * sizeof(uint32_t);
}

int streams_init(struct streams *s, uint32_t capacity, uint64_t hash_seed)
{
	uint32_t buckets = bucket_count(capacity);

	memset(s, 0, sizeof(*s));
	s->entries = calloc(capacity, sizeof(*s->entries));
	s->buckets = malloc(buckets * sizeof(*s->buckets));
	if (s->entries == NULL || s->buckets == NULL) {
		streams_deinit(s);
		return -ENOMEM;
	}
	memset(s->buckets, 0xff, buckets * sizeof(*s->buckets)); /* STREAM_NONE */
	s->capacity = capacity;
	s->bucket_mask = buckets - 1;
	s->free_list = STREAM_NONE;
	s->hash_seed = hash_seed;
	return 0;
}

void streams_deinit(struct streams *s)
{
	free(s->entries);
	free(s->buckets);
	memset(s, 0, sizeof(*s));
}

uint32_t streams_find(const struct streams *s, const struct stream_id *id)
{
	uint32_t at = s->buckets[bucket_of(s, id)];

	while (at != STREAM_NONE && !stream_id_equal(&s->entries[at].id, id))
		at = s->entries[at].next;
	return at;
}

uint32_t streams_take(struct streams *s, const struct stream_id *id, bool ephemeral)
{
	struct stream_entry *entry;
	uint32_t bucket = bucket_of(s, id);
	uint32_t at = s->free_list;

	if (at != STREAM_NONE)
		s->free_list = s->entries[at].next;
	else if (s->fresh < s->capacity)
		at = s->fresh++;
	else
		return STREAM_NONE;
	entry = &s->entries[at];
	memset(entry, 0, sizeof(*entry));
	entry->id = *id;
	entry->ephemeral = ephemeral;
	entry->used = true;
	entry->next = s->buckets[bucket];
	s->buckets[bucket] = at;
	return at;
}

void streams_free(struct streams *s, uint32_t at)
{
	struct stream_entry *entry = &s->entries[at];
	uint32_t *link = &s->buckets[bucket_of(s, &entry->id)];

	must(entry->used);
	while (*link != at)
		link = &s->entries[*link].next;
	*link = entry->next;
	if (entry->last_seq != 0)
		s->known--;
	entry->used = false;
	entry->next = s->free_list;
	s->free_list = at;
}

void streams_advance(struct streams *s, uint32_t at, uint64_t last_seq, uint64_t record,
		     uint64_t writer, uint64_t time_ns, uint32_t h)
{
	struct stream_entry *entry = &s->entries[at];

	must(entry->used && last_seq > entry->last_seq);
	if (entry->last_seq == 0)
		s->known++;
	entry->last_seq = last_seq;
	entry->record = record;
	entry->writer = writer;
	entry->time_ns = time_ns;
	entry->h = h;
}

static bool is_old(const struct stream_entry *entry, const struct streams_age *age)
{
	uint64_t age_ns = age->now_ns > entry->time_ns ? age->now_ns - entry->time_ns : 0;

	if (!entry->used || entry->open_count != 0 || entry->last_seq == 0)
		return false;
	if (entry->ephemeral)
		return age->ephemeral_too && age_ns >= age->ephemeral_age_ns;
	return age->named_age_ns != 0 && age_ns >= age->named_age_ns &&
	       entry->record < age->first_record;
}

uint32_t streams_forget_old(struct streams *s, const struct streams_age *age)
{
	uint32_t count = 0;

	for (uint32_t at = 0; at < s->fresh; at++) {
		if (is_old(&s->entries[at], age)) {
			streams_free(s, at);
			count++;
		}
	}
	return count;
}

uint64_t streams_encode(const struct streams *s, uint8_t *out)
{
	uint64_t count = 0;

	for (uint32_t at = 0; at < s->fresh; at++) {
		const struct stream_entry *entry = &s->entries[at];
		struct snapshot_entry encoded = {
			.stream = entry->id,
			.last_seq = entry->last_seq,
			.record = entry->record,
			.writer = entry->writer,
			.time_ns = entry->time_ns,
			.h = entry->h,
			.flags = entry->ephemeral ? BATCH_EPHEMERAL : 0,
		};

		if (!entry->used || entry->last_seq == 0)
			continue;
		snapshot_entry_encode(out + count * SNAPSHOT_ENTRY_SIZE, &encoded);
		count++;
	}
	must(count == s->known);
	return count;
}
