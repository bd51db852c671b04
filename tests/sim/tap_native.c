/* The tap on a native connection: HELLO, and what the server says. docs/protocol.md 3. */
#include <string.h>

#include "base/crc32c.h"
#include "check_private.h"

enum {
	PREFACE = 8,
	HELLO = 48,
	HEADER = 12,
	BODY_MOST = 212,
	TEXT_MOST = 200,
	FLAG_ACCEPT_GAP = 1,
	FLAG_NEXT = 2,
	FLAG_EPHEMERAL = 4,
	FLAGS_ALL = 7,
	ERROR_GAP = 5,
	ERROR_LAST = 10,
};

enum kind { KIND_WELCOME = 1, KIND_ACK, KIND_ERROR, KIND_WAIT, KIND_DRAIN };

struct tap_native {
	uint64_t connection;
	uint8_t hello[HELLO];
	size_t hello_size;
	bool is_welcome;
	bool has_ended;      /* ERROR was said */
	bool must_leave;     /* it was told that another run has sent what it was about to */
	bool has_preface;
	uint8_t id[STREAM_ID];
	uint64_t acked;
	uint64_t record;     /* of that message */
	uint8_t in[HEADER + BODY_MOST]; /* a message of the server, as far as it has been sent */
	size_t in_size;
};

struct tap_native *tap_native_create(uint64_t connection)
{
	struct tap_native *native = sim_alloc(sizeof(*native));

	native->connection = connection;
	return native;
}

void tap_native_destroy(struct tap_native *native)
{
	sim_free(native);
}

static bool is_good_hello(const uint8_t *hello)
{
	uint64_t first = check_u64(hello + 36);

	return crc32c(0, hello, 44) == check_u32(hello + 44) &&
	       (check_u32(hello + 8) & ~(uint32_t)FLAGS_ALL) == 0 && check_u64(hello + 12) != 0 &&
	       first >= 1 && first <= INT64_MAX;
}

void tap_native_received(struct tap_native *native, const uint8_t *data, size_t size)
{
	size_t room = HELLO - native->hello_size;

	if (native->must_leave && size > 0)
		world_fail("a client goes on in stream %llx, where another run has sent its "
			   "messages",
			   (unsigned long long)check_u64(native->id));
	if (size > room)
		size = room;
	memcpy(native->hello + native->hello_size, data, size);
	native->hello_size += size;
	memcpy(native->id, native->hello + 12, STREAM_ID);
	if (size > 0 && native->hello_size == HELLO && is_good_hello(native->hello))
		reasons_said_hello(native->id, native->connection);
}

/* --- claims */

static unsigned long long stream_name(const struct tap_native *native)
{
	return check_u64(native->id);
}

/* Message `seq` of the stream is record `record`, and durable: is it? */
static void claim(const struct tap_native *native, const char *what, uint64_t seq, uint64_t record)
{
	const struct ledger_entry *entry;
	struct ledger_stream *stream;
	const char *why = audit_reach(record);

	world_trace(what, seq, record);
	if (why != NULL) {
		check_missing(record, "%s %llu of stream %llx: %s", what, (unsigned long long)seq,
			      stream_name(native), why);
		return;
	}
	entry = ledger_entry(record);
	stream = ledger_stream(native->id);
	if (entry != NULL &&
	    (entry->seq != seq || ledger_stream_at(entry->stream) != stream))
		world_fail("%s %llu of stream %llx, and record %llu is another message", what,
			   (unsigned long long)seq, stream_name(native),
			   (unsigned long long)record);
	if (stream == NULL || stream->claimed >= seq)
		return;
	checks.acknowledged += seq - stream->claimed;
	stream->claimed = seq;
}

/* The stream is unknown to the server: so it must be to everybody, or it has ended. */
static void claim_unknown(const struct tap_native *native)
{
	struct ledger_stream *stream;
	const char *why = audit_reach(0);

	if (why != NULL)
		check_missing(ledger_last(), "WELCOME 0 of stream %llx: %s", stream_name(native),
			      why);
	stream = ledger_stream(native->id);
	if (stream == NULL || stream->last == 0)
		return;
	while (!stream->is_forgotten && audit_further())
		stream = ledger_stream(native->id);
	if (stream->is_forgotten)
		return;
	if (ledger_is_announced(native->id) || !stream->is_ephemeral)
		check_missing(0, "WELCOME knows nothing of stream %llx, of which %llu is durable",
			      stream_name(native), (unsigned long long)stream->last);
	stream->is_forgotten = true;
	stream->claimed = 0;
}

static void claim_last(const struct tap_native *native, const uint8_t *body)
{
	uint64_t last = check_u64(body + 24);
	uint64_t record = check_u64(body + 32);
	const struct ledger_stream *stream = ledger_stream(native->id);
	const struct ledger_entry *entry;

	if (stream != NULL && last < stream->claimed)
		check_missing(0, "WELCOME %llu of stream %llx, of which %llu was claimed",
			      (unsigned long long)last, stream_name(native),
			      (unsigned long long)stream->claimed);
	claim(native, "WELCOME", last, record);
	stream = ledger_stream(native->id);
	entry = ledger_entry(record);
	if (entry == NULL || stream == NULL)
		return;
	if (stream->last > last && stream->record > record)
		check_missing(0, "WELCOME %llu of stream %llx, and %llu is durable",
			      (unsigned long long)last, stream_name(native),
			      (unsigned long long)stream->last);
	if (entry->writer != check_u64(body + 40) || entry->h != check_u32(body + 48))
		world_fail("WELCOME %llu of stream %llx has another writer or history than the "
			   "journal",
			   (unsigned long long)last, stream_name(native));
}

/* --- what the server says */

static void welcome(struct tap_native *native, const uint8_t *body)
{
	uint32_t flags = check_u32(native->hello + 8);
	uint64_t first = check_u64(native->hello + 36);
	uint64_t last = check_u64(body + 24);
	uint32_t most = check_u32(body + 4);

	if (native->is_welcome)
		world_fail("WELCOME twice");
	if (native->hello_size < HELLO || !is_good_hello(native->hello))
		world_fail("WELCOME without a good HELLO");
	if (check_u32(body) != (checks.config.no_journal ? 1 : 0) || most == 0 ||
	    most > UINT32_C(1) << 31 || last > INT64_MAX)
		world_fail("WELCOME with flags %u, max-message %u, last %llu", check_u32(body),
			   most, (unsigned long long)last);
	if (last == 0 && (check_u64(body + 32) != 0 || check_u64(body + 40) != 0 ||
			  check_u32(body + 48) != 0))
		world_fail("WELCOME of an unknown stream, with a record, writer or history");
	native->is_welcome = true;
	native->acked = last;
	native->record = check_u64(body + 32);
	if ((flags & FLAG_ACCEPT_GAP) != 0 && (flags & FLAG_NEXT) == 0 && first - 1 > last)
		native->acked = first - 1;
	else if ((flags & FLAG_NEXT) == 0 && first - 1 > last)
		world_fail("WELCOME %llu, and the client can not send %llu any more",
			   (unsigned long long)last, (unsigned long long)last + 1);
	if (checks.config.no_journal)
		return;
	if ((flags & FLAG_EPHEMERAL) != 0 && ledger_stream(native->id) != NULL &&
	    senders_have_slept(ledger_stream(native->id), native->connection))
		world_fail("a client goes on with the ephemeral stream %llx after half a day",
			   stream_name(native));
	if (last == 0)
		claim_unknown(native);
	else
		claim_last(native, body);
	if (ledger_stream(native->id) != NULL)
		ledger_stream(native->id)->welcomed = last;
	ledger_fence(native->id, last, check_u64(native->hello + 28));
	/* What has number `first` is the client's own, or was to be: it has been welcomed before. */
	native->must_leave = first > 1 && last >= first && (flags & FLAG_NEXT) == 0 &&
			     check_u64(body + 40) != check_u64(native->hello + 28) &&
			     ledger_is_announced(native->id);
	if (checks.has_journal_id && memcmp(checks.journal_id, body + 8, JOURNAL_ID) != 0)
		world_fail("WELCOME with another journal id than the journal's");
}

static void ack(struct tap_native *native, const uint8_t *body)
{
	uint64_t seq = check_u64(body);
	uint64_t record = check_u64(body + 8);

	if (!native->is_welcome)
		world_fail("ACK before WELCOME");
	if (seq < native->acked)
		world_fail("ACK %llu after %llu", (unsigned long long)seq,
			   (unsigned long long)native->acked);
	if (seq == 0 || seq > INT64_MAX || record < native->record ||
	    record - native->record < seq - native->acked ||
	    (seq == native->acked && native->record != 0 && record != native->record))
		world_fail("ACK %llu with record %llu after ACK %llu with record %llu",
			   (unsigned long long)seq, (unsigned long long)record,
			   (unsigned long long)native->acked, (unsigned long long)native->record);
	native->acked = seq;
	native->record = record;
	if (!checks.config.no_journal)
		claim(native, "ACK", seq, record);
	else
		checks.acknowledged++;
}

static void error(struct tap_native *native, const uint8_t *body, uint32_t size)
{
	uint32_t code = check_u32(body);

	if (code == 0 || code > ERROR_LAST || size - 12 > TEXT_MOST)
		world_fail("ERROR %u with %u bytes", code, size);
	if (code == ERROR_GAP && !checks.config.no_journal && ledger_is_announced(native->id))
		check_missing(0,
			      "ERROR gap: the server has not got messages of stream %llx that it "
			      "had acknowledged",
			      stream_name(native));
	native->has_ended = true;
}

static void take(struct tap_native *native, const struct process *server, uint32_t kind,
		 const uint8_t *body, uint32_t size)
{
	static const uint32_t sizes[] = { [KIND_WELCOME] = 52, [KIND_ACK] = 16, [KIND_DRAIN] = 4 };

	if (native->has_ended)
		world_fail("a native message after ERROR");
	if (kind < KIND_WELCOME || kind > KIND_DRAIN ||
	    (kind == KIND_ERROR ? size < 12 : size != sizes[kind]))
		world_fail("a native message of kind %u with %u bytes", kind, size);
	if (kind == KIND_WELCOME || kind == KIND_ACK)
		check_may_claim(server);
	if (kind == KIND_WELCOME)
		welcome(native, body);
	else if (kind == KIND_ACK)
		ack(native, body);
	else if (kind == KIND_ERROR)
		error(native, body, size);
}

/* The whole message that stands in `in`, if it is one. */
static void take_whole(struct tap_native *native, const struct process *server)
{
	uint32_t size;

	if (!native->has_preface && native->in_size == PREFACE) {
		if (memcmp(native->in, "ROGER/1\n", PREFACE) != 0)
			world_fail("a native connection that does not open with the preface");
		native->has_preface = true;
		native->in_size = 0;
	}
	if (!native->has_preface || native->in_size < HEADER)
		return;
	size = check_u32(native->in + 4);
	if (size > BODY_MOST)
		world_fail("a native message with %u bytes", size);
	if (native->in_size < HEADER + size)
		return;
	if (crc32c(crc32c(0, native->in, 8), native->in + HEADER, size) !=
	    check_u32(native->in + 8))
		world_fail("a native message with a wrong checksum");
	native->in_size = 0;
	take(native, server, check_u32(native->in), native->in + HEADER, size);
}

void tap_native_sending(struct tap_native *native, const struct process *server,
			const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		native->in[native->in_size++] = data[i];
		take_whole(native, server);
	}
}
