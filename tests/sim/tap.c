/* The taps on the connections of servers: which protocol is it, and what does the server say? From docs/protocol.md alone. */
#include <string.h>

#include "check_private.h"

enum { PREFACE = 8, ANSWER = 4, LINE_MOST = 32 };

/* Section 3: a beginning of the preface and not all of it within a second is raw (or when the server stops, or the connection has been open
 * for longer than a first message may take). */
#define SILENCE_NS UINT64_C(1000000000)
#define FIRST_NS (30 * SILENCE_NS)

struct tap {
	struct tap_native *native;
	uint8_t out[LINE_MOST]; /* an answer, as far as it has been sent */
	size_t out_size;
	uint64_t accepted_ns;
	uint64_t first_ns;      /* when the first bytes came: more of them, one by one, put nothing off */
	bool was_silent;        /* ... in the midst of the preface, so long that the server may have taken it for raw */
};

/* One for each connection in plain.c's list, by the same index. */
static struct {
	struct tap *list;
	size_t count;
	size_t capacity;
	uint32_t latest; /* most calls are for the same as the last one */
} taps;

void tap_begin(void)
{
	memset(&taps, 0, sizeof(taps));
}

void tap_end(void)
{
	for (size_t i = 0; i < taps.count; i++)
		tap_native_destroy(taps.list[i].native);
	sim_free(taps.list);
	memset(&taps, 0, sizeof(taps));
}

uint32_t tap_add(struct process *server, uint64_t connection, enum talk talk)
{
	taps.list = check_grow(taps.list, taps.count, &taps.capacity, sizeof(taps.list[0]));
	taps.list[taps.count++] = (struct tap){ .accepted_ns = world_now() };
	taps.latest = plain_add(server, connection, talk);
	return taps.latest;
}

static uint32_t find(const struct process *server, uint64_t connection)
{
	for (uint32_t i = 0; i < taps.count; i++) {
		uint32_t index = (uint32_t)((taps.latest + taps.count - i) % taps.count);
		const struct plain *plain = plain_at(index);

		if (plain->number == connection && plain->server == server) {
			taps.latest = index;
			return index;
		}
	}
	world_fail("connection %llu was never accepted", (unsigned long long)connection);
}

void tap_server_ended(const struct process *server)
{
	for (uint32_t i = 0; i < taps.count; i++)
		if (plain_at(i)->server == server)
			plain_at(i)->is_open = false;
}

unsigned tap_open(const struct process *server)
{
	unsigned open = 0;

	for (uint32_t i = 0; i < taps.count; i++)
		open += plain_at(i)->server == server && plain_at(i)->is_open;
	return open;
}

void check_closed(struct process *server, uint64_t connection)
{
	plain_at(find(server, connection))->is_open = false;
}

/* --- from the client */

static void keep(struct plain *plain, const uint8_t *data, size_t size)
{
	if (plain->capacity - plain->size < size) {
		plain->capacity = 2 * plain->capacity + size;
		plain->bytes = sim_resize(plain->bytes, plain->capacity);
	}
	memcpy(plain->bytes + plain->size, data, size);
	plain->size += size;
}

static void is_native(struct tap *tap, struct plain *plain)
{
	plain->talk = TALK_NATIVE;
	tap->native = tap_native_create(plain->number);
	tap_native_received(tap->native, plain->bytes, plain->size);
}

/* Section 3: native is what opens with the preface; what differs from it is raw; a beginning of it may still be either. */
static void tell_apart(struct tap *tap, struct plain *plain)
{
	size_t size = plain->size < PREFACE ? plain->size : PREFACE;

	if (memcmp(plain->bytes, "ROGER/1\n", size) != 0)
		plain->talk = TALK_RAW;
	else if (size == PREFACE && !tap->was_silent)
		is_native(tap, plain);
}

void check_received(struct process *server, uint64_t connection, const uint8_t *data, size_t size)
{
	uint32_t index = find(server, connection);
	struct tap *tap = &taps.list[index];
	struct plain *plain = plain_at(index);

	if (size == 0)
		return;
	if (plain->talk == TALK_NATIVE) {
		tap_native_received(tap->native, data, size);
		return;
	}
	if (plain->size > 0 && plain->size < PREFACE &&
	    (world_now() - tap->first_ns >= SILENCE_NS ||
	     world_now() - tap->accepted_ns >= FIRST_NS || check_was_asked(server)))
		tap->was_silent = true;
	if (plain->size == 0)
		tap->first_ns = world_now();
	keep(plain, data, size);
	if (plain->talk == TALK_UNKNOWN)
		tell_apart(tap, plain);
}

/* --- from the server */

static void claim_all(uint32_t index)
{
	const struct plain *plain = plain_at(index);

	if (plain->size == 0)
		world_fail("connection %llu: ACK! for nothing", (unsigned long long)plain->number);
	checks.acknowledged++;
	if (checks.config.no_journal)
		return;
	while (!plain_answered(index)) {
		if (audit_further())
			continue;
		if (!ledger_has_given_up())
			check_missing(ledger_last() + 1,
				      "connection %llu: ACK!, and its %zu bytes are not on the "
				      "medium",
				      (unsigned long long)plain->number, plain->size);
		return;
	}
}

static void claim_line(uint32_t index, uint64_t record)
{
	const char *why;

	checks.acknowledged++;
	if (checks.config.no_journal)
		return;
	why = audit_reach(record);
	if (why != NULL)
		check_missing(record, "ACK %llu: %s", (unsigned long long)record, why);
	plain_answered_line(index, record);
}

/* "ACK 17" and a line feed. */
static uint64_t parse_line(const struct plain *plain, const uint8_t *at, size_t size)
{
	uint64_t record = 0;

	if (size < 6 || size > LINE_MOST - 4 || memcmp(at, "ACK ", 4) != 0 || at[4] == '0')
		world_fail("connection %llu: not an answer", (unsigned long long)plain->number);
	for (size_t i = 4; i < size - 1; i++) {
		if (at[i] < '0' || at[i] > '9')
			world_fail("connection %llu: not an answer",
				   (unsigned long long)plain->number);
		record = record * 10 + (uint64_t)(at[i] - '0');
	}
	return record;
}

static void answer_line(uint32_t index, struct tap *tap, uint8_t byte)
{
	if (tap->out_size == LINE_MOST)
		world_fail("connection %llu: an answer without an end",
			   (unsigned long long)plain_at(index)->number);
	tap->out[tap->out_size++] = byte;
	if (byte != '\n')
		return;
	claim_line(index, parse_line(plain_at(index), tap->out, tap->out_size));
	tap->out_size = 0;
}

static void answer_all(uint32_t index, struct tap *tap, uint8_t byte)
{
	static const char text[] = "ACK!";

	if (tap->out_size == ANSWER || byte != (uint8_t)text[tap->out_size])
		world_fail("connection %llu: a byte that is not of an answer",
			   (unsigned long long)plain_at(index)->number);
	tap->out_size++;
	if (tap->out_size == ANSWER)
		claim_all(index);
}

void check_sending(struct process *server, uint64_t connection, const uint8_t *data, size_t size)
{
	uint32_t index = find(server, connection);
	struct tap *tap = &taps.list[index];
	struct plain *plain = plain_at(index);

	if (size == 0)
		return;
	/* Where it could have been either, the server's first byte says what it was for it. */
	if (plain->talk == TALK_UNKNOWN && tap->was_silent && plain->size >= PREFACE &&
	    data[0] == 'R')
		is_native(tap, plain);
	if (plain->talk == TALK_NATIVE) {
		tap_native_sending(tap->native, server, data, size);
		return;
	}
	if (plain->talk == TALK_UNKNOWN)
		plain->talk = TALK_RAW; /* a beginning of the preface, and then nothing for too long */
	check_may_claim(server);
	for (size_t i = 0; i < size; i++) {
		if (plain->talk == TALK_LINE)
			answer_line(index, tap, data[i]);
		else
			answer_all(index, tap, data[i]);
	}
}
