/* Plain connections: the bytes that came, and which records of the ledger they have become.
 *
 * A record does not say which connection it came by. So it is held against the bytes of all of them: those of a stream must be
 * the beginning of what came by one connection, and no connection becomes two streams. Where several would do (a message that was
 * sent again), one is taken, and changed when it does not fit any more. */
#include <string.h>

#include "check_private.h"

static struct {
	struct plain *list;
	size_t count;
	size_t capacity;
} plains;

void plain_begin(void)
{
	memset(&plains, 0, sizeof(plains));
}

void plain_end(void)
{
	for (size_t i = 0; i < plains.count; i++)
		sim_free(plains.list[i].bytes);
	sim_free(plains.list);
	memset(&plains, 0, sizeof(plains));
}

uint32_t plain_add(struct process *server, uint64_t number, enum talk talk)
{
	plains.list =
		check_grow(plains.list, plains.count, &plains.capacity, sizeof(plains.list[0]));
	plains.list[plains.count] = (struct plain){
		.number = number,
		.server = server,
		.talk = (uint8_t)talk,
		.is_open = true,
		.stream = NOBODY,
	};
	return (uint32_t)plains.count++;
}

struct plain *plain_at(uint32_t index)
{
	return &plains.list[index];
}

/* --- do these bytes come next? */

/* In a line connection, from `at` on: is this the next line? Sets where it ends. */
static bool fits_line(const struct plain *plain, size_t at, const uint8_t *payload, size_t size,
		      size_t *ret)
{
	const uint8_t *rest;
	size_t left;

	if (at > plain->size || size > plain->size - at ||
	    (size > 0 && memcmp(plain->bytes + at, payload, size) != 0))
		return false;
	rest = plain->bytes + at + size;
	left = plain->size - at - size;
	if (left > 0 && rest[0] == '\n' && (size == 0 || payload[size - 1] != '\r'))
		*ret = at + size + 1;
	else if (left > 1 && rest[0] == '\r' && rest[1] == '\n')
		*ret = at + size + 2;
	else if (left == 0 && size > 0)
		*ret = plain->size; /* behind the last line feed */
	else
		return false;
	return true;
}

static bool fits(const struct plain *plain, uint8_t talk, size_t at, const uint8_t *payload,
		 size_t size, size_t *ret)
{
	bool is_unknown = plain->talk == TALK_UNKNOWN && talk == TALK_RAW;

	if (plain->talk != talk && !is_unknown)
		return false;
	if (talk == TALK_LINE)
		return fits_line(plain, at, payload, size, ret);
	if (size == 0 || at > plain->size || size > plain->size - at ||
	    memcmp(plain->bytes + at, payload, size) != 0)
		return false;
	*ret = at + size;
	return talk != TALK_WHOLE || (at == 0 && size == plain->size);
}

/* Could the stream, as far as it has come, be made of this connection's bytes? */
static bool could_be(const struct plain *plain, const struct ledger_stream *stream)
{
	const struct plain *now = &plains.list[stream->connection];

	return plain->size >= stream->consumed &&
	       (stream->consumed == 0 ||
		memcmp(plain->bytes, now->bytes, stream->consumed) == 0) &&
	       (plain->talk == stream->talk ||
		(plain->talk == TALK_UNKNOWN && stream->talk == TALK_RAW));
}

static void bind(struct ledger_stream *stream, uint32_t stream_index, uint32_t index)
{
	stream->connection = index;
	plains.list[index].stream = stream_index;
}

/* The connection is another stream's so far: can that one go elsewhere? */
static bool give_way(uint32_t index, uint32_t instead)
{
	struct ledger_stream *holder = ledger_stream_at(plains.list[index].stream);

	if (holder == NULL || holder->is_answered)
		return false;
	for (uint32_t i = 0; i < plains.count; i++) {
		if (i == index || (i != instead && plains.list[i].stream != NOBODY) ||
		    !could_be(&plains.list[i], holder))
			continue;
		bind(holder, plains.list[index].stream, i);
		plains.list[index].stream = NOBODY;
		return true;
	}
	return false;
}

/* A connection by which the stream and then these bytes have come. */
static bool find(struct ledger_stream *stream, uint32_t stream_index, const uint8_t *payload,
		 size_t size, size_t *ret)
{
	uint32_t old = stream->connection;

	for (int taken = 0; taken < 2; taken++) {
		for (uint32_t i = (uint32_t)plains.count; i-- > 0;) {
			struct plain *plain = &plains.list[i];

			if (!fits(plain, stream->talk, stream->consumed, payload, size, ret) ||
			    (old != NOBODY && !could_be(plain, stream)))
				continue;
			if (plain->stream != NOBODY && (!taken || !give_way(i, old)))
				continue;
			if (old != NOBODY && plains.list[old].stream == stream_index)
				plains.list[old].stream = NOBODY;
			bind(stream, stream_index, i);
			return true;
		}
	}
	return false;
}

void plain_put(struct ledger_stream *stream, uint32_t stream_index, const uint8_t *payload,
	       size_t size)
{
	size_t end = 0;
	bool is_known = stream->connection != NOBODY &&
			fits(&plains.list[stream->connection], stream->talk, stream->consumed,
			     payload, size, &end);

	if (stream->is_loose)
		stream->is_blurred = true;
	if (stream->is_blurred)
		return;
	if (!is_known &&
	    (stream->is_answered || !find(stream, stream_index, payload, size, &end)))
		world_fail("plain stream %llu: %zu bytes behind its first %zu that nobody has "
			   "sent, or that are there already",
			   (unsigned long long)check_u64(stream->id + 8), size, stream->consumed);
	stream->consumed = end;
	if (stream->talk == TALK_LINE)
		senders_plain(payload, size);
	else
		senders_plain(plains.list[stream->connection].bytes, stream->consumed);
}

/* --- answers */

/* The stream is this connection's, for certain. */
static void settle(struct ledger_stream *stream, uint32_t stream_index, uint32_t index)
{
	uint32_t old = stream->connection;

	stream->is_answered = true;
	if (old == index)
		return;
	if (plains.list[old].stream == stream_index)
		plains.list[old].stream = NOBODY;
	if (plains.list[index].stream != NOBODY && !give_way(index, old))
		world_fail("connection %llu has become two streams",
			   (unsigned long long)plains.list[index].number);
	bind(stream, stream_index, index);
}

bool plain_answered(uint32_t index)
{
	struct plain *plain = &plains.list[index];
	struct ledger_stream *stream;

	for (uint32_t i = 0; (stream = ledger_stream_at(i)) != NULL; i++) {
		if (stream->is_blurred || stream->connection == NOBODY ||
		    stream->talk != plain->talk || stream->consumed != plain->size)
			continue;
		if (stream->is_answered ? stream->connection != index : !could_be(plain, stream))
			continue;
		settle(stream, i, index);
		plain->is_answered = true;
		return true;
	}
	return false;
}

void plain_answered_line(uint32_t index, uint64_t record)
{
	struct plain *plain = &plains.list[index];
	const struct ledger_entry *entry = ledger_entry(record);
	const uint8_t *begin = plain->bytes + plain->answered_to;
	size_t left = plain->size - plain->answered_to;
	const uint8_t *feed = left > 0 ? memchr(begin, '\n', left) : NULL;
	size_t size = feed != NULL ? (size_t)(feed - begin) : left;
	struct ledger_stream *stream;

	if (left == 0)
		world_fail("connection %llu: an answer, and no line that it could be for",
			   (unsigned long long)plain->number);
	plain->answered_to += size + (feed != NULL);
	plain->answers++;
	if (feed != NULL && size > 0 && begin[size - 1] == '\r')
		size--;
	if (entry == NULL)
		return; /* given up already */
	stream = ledger_stream_at(entry->stream);
	if (stream->talk != TALK_LINE || entry->seq != plain->answers || entry->size != size ||
	    entry->digest != check_digest(begin, size))
		world_fail("connection %llu: line %llu is not record %llu",
			   (unsigned long long)plain->number, (unsigned long long)plain->answers,
			   (unsigned long long)record);
	if (stream->is_blurred)
		return;
	if (stream->is_answered ? stream->connection != index : !could_be(plain, stream))
		world_fail("connection %llu: record %llu is another connection's",
			   (unsigned long long)plain->number, (unsigned long long)record);
	settle(stream, entry->stream, index);
}

bool plain_began_with(const struct message *message)
{
	for (size_t i = 0; i < plains.count; i++) {
		const struct plain *plain = &plains.list[i];

		if (plain->talk == TALK_RAW && plain->is_answered &&
		    message_begins(message, plain->bytes, plain->size))
			return true;
	}
	return false;
}
