/* Plain connections: the bytes that came, and which records of the ledger they have become.
 *
 * A record does not say which connection it came by, and many begin alike (a message that was sent again, or broke off after a few
 * bytes). So there must be some way to give each stream a connection of its own: the stream's bytes are the beginning of what came
 * by it, and whoever was told ACK! has a stream that covers what had come by then. One such way is kept, and changed when it does not
 * fit any more: a stream that needs another connection takes it from a second one, which takes that of a third ... until one is free
 * (the augmenting paths of bipartite matching, so that a way is found whenever there is one). */
#include <string.h>

#include "check_private.h"

static struct {
	struct plain *list;
	size_t count;
	size_t capacity;
	/* a search for another way */
	uint32_t *queue;
	uint32_t *taker; /* of a connection: which stream would take it; of a stream: which connection */
	size_t room;     /* of both */
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
	sim_free(plains.queue);
	sim_free(plains.taker);
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
		.after = ledger_last(),
		.stream = NOBODY,
	};
	return (uint32_t)plains.count++;
}

struct plain *plain_at(uint32_t index)
{
	return &plains.list[index];
}

/* --- do these bytes come next? */

/* What ends a line at that place: LF, or CR LF. 0: nothing does. */
static size_t line_end(const struct plain *plain, size_t at)
{
	const uint8_t *bytes = plain->bytes;

	if (at >= plain->size)
		return 0;
	if (bytes[at] == '\n')
		return at == 0 || bytes[at - 1] != '\r';
	return at + 1 < plain->size && bytes[at] == '\r' && bytes[at + 1] == '\n' ? 2 : 0;
}

/* Does a line that began before that place end there: by its line end, or as the last one, for want of more? */
static bool ends_there(const struct plain *plain, size_t at)
{
	return line_end(plain, at) > 0 ||
	       (at == plain->size && at > 0 && plain->bytes[at - 1] != '\n');
}

/* In a line connection: is this the next line, behind the one that ended at `at`? Sets where its text ends. */
static bool fits_line(const struct plain *plain, size_t at, bool is_first, const uint8_t *payload,
		      size_t size, size_t *ret)
{
	size_t gap = is_first ? 0 : line_end(plain, at);

	if ((!is_first && gap == 0) || at > plain->size || size > plain->size - at - gap ||
	    (size > 0 && memcmp(plain->bytes + at + gap, payload, size) != 0))
		return false;
	*ret = at + gap + size;
	return ends_there(plain, *ret);
}

static bool speaks(const struct plain *plain, uint8_t talk)
{
	return plain->talk == talk || (plain->talk == TALK_UNKNOWN && talk == TALK_RAW);
}

/* Could this be the stream's next record? Sets how much of the connection's bytes it then is. */
static bool fits(const struct plain *plain, const struct ledger_stream *stream,
		 const uint8_t *payload, size_t size, size_t *ret)
{
	size_t at = stream->consumed;

	if (!speaks(plain, stream->talk))
		return false;
	if (stream->talk == TALK_LINE)
		return fits_line(plain, at, stream->last == 0, payload, size, ret);
	if (size == 0 || at > plain->size || size > plain->size - at ||
	    memcmp(plain->bytes + at, payload, size) != 0)
		return false;
	*ret = at + size;
	return stream->talk != TALK_WHOLE || (at == 0 && size == plain->size);
}

/* Could the stream, as far as it has come, be made of this connection's bytes? A record that was durable before the connection was
 * made is none of it. */
static bool could_be(const struct plain *plain, const struct ledger_stream *stream)
{
	const struct plain *now = &plains.list[stream->connection];

	if (check_u64(stream->id + 8) <= plain->after || !speaks(plain, stream->talk) ||
	    plain->size < stream->consumed ||
	    (stream->consumed > 0 &&
	     memcmp(plain->bytes, now->bytes, stream->consumed) != 0))
		return false;
	if (stream->talk == TALK_LINE)
		return ends_there(plain, stream->consumed);
	return stream->talk != TALK_WHOLE || plain->size == stream->consumed;
}

/* ... and does it cover what was answered there? */
static bool would_do(const struct plain *plain, const struct ledger_stream *stream)
{
	return stream->consumed >= plain->answered && could_be(plain, stream);
}

/* --- which stream is which connection's */

static void bind(struct ledger_stream *stream, uint32_t stream_index, uint32_t index)
{
	stream->connection = index;
	plains.list[index].stream = stream_index;
}

static void unbind(const struct ledger_stream *stream, uint32_t stream_index)
{
	if (stream->connection != NOBODY && plains.list[stream->connection].stream == stream_index)
		plains.list[stream->connection].stream = NOBODY;
}

/* Whose the connection is; NULL: nobody's who would miss it. */
static struct ledger_stream *holder_of(uint32_t index)
{
	struct ledger_stream *holder = ledger_stream_at(plains.list[index].stream);

	return holder == NULL || holder->is_blurred ? NULL : holder;
}

static void begin_search(size_t nodes)
{
	if (nodes >= plains.room) { /* the root is queued, too */
		plains.room = 2 * nodes + 1;
		plains.queue = sim_resize(plains.queue, plains.room * sizeof(*plains.queue));
		plains.taker = sim_resize(plains.taker, plains.room * sizeof(*plains.taker));
	}
	for (size_t i = 0; i < nodes; i++)
		plains.taker[i] = NOBODY;
}

/* The stream at the end of the path takes this connection, the one before it takes what that had ... */
static void shift_streams(uint32_t index, uint32_t root)
{
	uint32_t stream_index, before;

	do {
		stream_index = plains.taker[index];
		before = ledger_stream_at(stream_index)->connection;
		bind(ledger_stream_at(stream_index), stream_index, index);
		index = before;
	} while (stream_index != root);
}

/* What a stream needs of a connection; of that one which is being put, also that the next record fits. */
struct wish {
	uint32_t stream; /* NOBODY: no record is being put */
	const uint8_t *payload;
	size_t size;
};

static bool suits(const struct plain *plain, uint32_t stream_index, const struct wish *wish)
{
	const struct ledger_stream *stream = ledger_stream_at(stream_index);
	size_t end;

	if (stream_index != wish->stream)
		return would_do(plain, stream);
	return (stream->connection == NOBODY ? check_u64(stream->id + 8) > plain->after
					     : could_be(plain, stream)) &&
	       fits(plain, stream, wish->payload, wish->size, &end) &&
	       end >= plain->answered;
}

/* A connection for a stream that has none, if need be by way of others; newer ones first. */
static bool place(uint32_t root, const struct wish *wish)
{
	size_t done = 0, queued = 0;

	begin_search(plains.count);
	plains.queue[queued++] = root;
	while (done < queued) {
		uint32_t stream_index = plains.queue[done++];

		for (uint32_t i = (uint32_t)plains.count; i-- > 0;) {
			const struct ledger_stream *holder = holder_of(i);

			if (plains.taker[i] != NOBODY || (holder != NULL && holder->is_settled) ||
			    !suits(&plains.list[i], stream_index, wish))
				continue;
			plains.taker[i] = stream_index;
			if (holder == NULL) {
				shift_streams(i, root);
				return true;
			}
			plains.queue[queued++] = plains.list[i].stream;
		}
	}
	return false;
}

/* The connection at the end of the path gives its stream to the one before it, which gives its own ... */
static void shift_connections(uint32_t stream_index, uint32_t root)
{
	uint32_t index, before;

	unbind(ledger_stream_at(stream_index), stream_index);
	do {
		index = plains.taker[stream_index];
		before = plains.list[index].stream;
		bind(ledger_stream_at(stream_index), stream_index, index);
		stream_index = before;
	} while (index != root);
}

/* A stream for a connection that has been answered, if need be by way of others. */
static bool cover(uint32_t root)
{
	size_t done = 0, queued = 0, count = 0;

	while (ledger_stream_at((uint32_t)count) != NULL)
		count++;
	begin_search(count > plains.count ? count : plains.count);
	plains.queue[queued++] = root;
	while (done < queued) {
		uint32_t index = plains.queue[done++];

		for (uint32_t i = 0; i < count; i++) {
			const struct ledger_stream *stream = ledger_stream_at(i);

			if (plains.taker[i] != NOBODY || stream->connection == NOBODY ||
			    stream->connection == index || stream->is_blurred ||
			    stream->is_settled || !would_do(&plains.list[index], stream))
				continue;
			plains.taker[i] = index;
			if (plains.list[stream->connection].answered == 0) {
				shift_connections(i, root);
				return true;
			}
			plains.queue[queued++] = stream->connection;
		}
	}
	return false;
}

static bool move(struct ledger_stream *stream, uint32_t stream_index, const uint8_t *payload,
		 size_t size)
{
	const struct wish wish = { stream_index, payload, size };
	uint32_t old = stream->connection;

	unbind(stream, stream_index);
	if (!place(stream_index, &wish))
		return false;
	return old == NOBODY || plains.list[old].answered == 0 ||
	       plains.list[old].stream != NOBODY || cover(old);
}

void plain_put(struct ledger_stream *stream, uint32_t stream_index, const uint8_t *payload,
	       size_t size)
{
	size_t end = 0;
	bool is_known = stream->connection != NOBODY &&
			fits(&plains.list[stream->connection], stream, payload, size, &end);

	if (stream->is_loose)
		stream->is_blurred = true;
	if (stream->is_blurred)
		return;
	if (!is_known && (stream->is_settled || !move(stream, stream_index, payload, size)))
		world_fail("plain stream %llu: %zu bytes behind its first %zu that nobody has "
			   "sent, or that are there already",
			   (unsigned long long)check_u64(stream->id + 8), size, stream->consumed);
	if (!is_known)
		fits(&plains.list[stream->connection], stream, payload, size, &end);
	stream->consumed = end;
	if (stream->talk == TALK_LINE)
		senders_plain(payload, size);
	else
		senders_plain(plains.list[stream->connection].bytes, stream->consumed);
}

/* --- answers */

/* Give the connection a stream that covers `size` of its bytes. */
static bool answer(uint32_t index, size_t size)
{
	static const struct wish none = { .stream = NOBODY };
	struct plain *plain = &plains.list[index];
	struct ledger_stream *holder = holder_of(index);
	uint32_t holder_index = plain->stream;
	size_t before = plain->answered;

	plain->answered = size;
	if (holder != NULL && holder->consumed >= size)
		return true;
	/* Whoever has it must go elsewhere first. */
	if (holder != NULL) {
		plain->stream = NOBODY;
		if (!place(holder_index, &none)) {
			plain->stream = holder_index;
			plain->answered = before;
			return false;
		}
	}
	if (holder_of(index) != NULL || cover(index))
		return true;
	plain->answered = before;
	return false;
}

bool plain_answered(uint32_t index)
{
	return answer(index, plains.list[index].size);
}

/* The stream is this connection's, for certain. */
static bool settle(struct ledger_stream *stream, uint32_t stream_index, uint32_t index)
{
	static const struct wish none = { .stream = NOBODY };
	struct ledger_stream *holder = holder_of(index);
	uint32_t holder_index = plains.list[index].stream;

	stream->is_settled = true;
	if (stream->connection == index)
		return true;
	if (holder != NULL && holder->is_settled)
		return false;
	unbind(stream, stream_index);
	bind(stream, stream_index, index);
	return holder == NULL || place(holder_index, &none);
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
	if (stream->is_settled ? stream->connection != index : !could_be(plain, stream))
		world_fail("connection %llu: record %llu is another connection's",
			   (unsigned long long)plain->number, (unsigned long long)record);
	if (!settle(stream, entry->stream, index))
		world_fail("connection %llu has become two streams",
			   (unsigned long long)plain->number);
}

bool plain_began_with(const struct message *message)
{
	for (size_t i = 0; i < plains.count; i++) {
		const struct plain *plain = &plains.list[i];

		if (plain->talk == TALK_RAW && plain->answered > 0 &&
		    message_begins(message, plain->bytes, plain->size))
			return true;
	}
	return false;
}
