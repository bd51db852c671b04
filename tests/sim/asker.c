/* The asker: when a server has opened the journal for the last time, it is asked where each stream stands that the journal holds.
 *
 * HELLO after HELLO, each on a connection of its own, as a client would say it that has no memory. Whether the answer is right the tap
 * sees (tap_native.c), and the end of the pass over the whole journal; here, that there is one. */
#include <string.h>

#include "base/crc32c.h"
#include "check.h"
#include "net.h"
#include "stage.h"
#include "world.h"

enum { HELLO = 48, PREFACE = 8, HEADER = 12, BODY_MOST = 212, FLAG_NEXT = 2, RAW_MOST = 20 };

enum { KIND_WELCOME = 1, KIND_ERROR = 3 };

static struct {
	const struct stage *stage;
	struct net_end *end;
	uint32_t next;             /* of the streams */
	uint32_t now;              /* the one that is being asked for */
	unsigned taken_for_raw;    /* so many times */
	uint8_t hello[HELLO];
	size_t said;
	uint8_t in[HEADER + BODY_MOST];
	size_t in_size;
	bool has_preface;
	bool is_done;
} asker;

static void ask_next(void *context, uint64_t unused);

static void put(size_t at, uint64_t number, size_t size)
{
	for (size_t i = 0; i < size; i++)
		asker.hello[at + i] = (uint8_t)(number >> 8 * i);
}

static void hang_up(void)
{
	if (asker.end != NULL)
		net_close(asker.end, false);
	asker.end = NULL;
}

static void no_answer(const char *why)
{
	/* A journal that was damaged may be found out to be so at any time. */
	if (asker.stage->mode != MODE_CORRUPTION)
		world_fail("a server does not say where a stream stands: %s", why);
	hang_up();
	asker.is_done = true;
}

static void go_on(void)
{
	hang_up();
	world_at(world_now(), ask_next, NULL, 0);
}

/* The message that has come: is it the answer? */
static void take(uint32_t kind)
{
	if (kind == KIND_WELCOME)
		go_on();
	else if (kind == KIND_ERROR && asker.stage->mode == MODE_EXHAUSTION)
		go_on(); /* no room for one that has been forgotten */
	else if (kind == KIND_ERROR)
		no_answer("ERROR");
}

static void take_byte(uint8_t byte)
{
	uint32_t size;

	asker.in[asker.in_size++] = byte;
	if (!asker.has_preface && asker.in_size == PREFACE) {
		asker.has_preface = true;
		asker.in_size = 0;
	}
	if (!asker.has_preface || asker.in_size < HEADER)
		return;
	size = asker.in[4]; /* 212 at most: the tap has looked at it */
	if (asker.in_size < HEADER + size)
		return;
	asker.in_size = 0;
	take(asker.in[0]);
}

/* The first bytes of a HELLO came, and for a second no more: that is a raw connection's message. */
static bool is_taken_for_raw(void)
{
	return !asker.has_preface && asker.in_size == 4 && memcmp(asker.in, "ACK!", 4) == 0 &&
	       asker.taken_for_raw < RAW_MOST;
}

static void on_ended(void)
{
	if (!is_taken_for_raw()) {
		no_answer("the connection has ended");
		return;
	}
	asker.taken_for_raw++;
	asker.next = asker.now;
	go_on();
}

static void on_readable(void *context)
{
	uint8_t byte;

	(void)context;
	while (asker.end != NULL) {
		int64_t count = net_read(asker.end, &byte, 1);

		if (count == -11)
			return;
		if (count == 1)
			take_byte(byte);
		else
			on_ended();
	}
}

static void on_writable(void *context)
{
	(void)context;
	while (asker.end != NULL && asker.said < HELLO) {
		int64_t taken = net_write(asker.end, asker.hello + asker.said, HELLO - asker.said);

		if (taken <= 0)
			return; /* an error is read, too */
		asker.said += (size_t)taken;
	}
}

static void on_connected(void *context, int result)
{
	if (result != 0)
		no_answer("there is no connection");
	else
		on_writable(context);
}

static void ask_next(void *context, uint64_t unused)
{
	static const struct net_calls calls = {
		.connected = on_connected,
		.readable = on_readable,
		.writable = on_writable,
	};
	const uint8_t *id;

	(void)context;
	(void)unused;
	asker.now = asker.next;
	id = check_stream(&asker.next);
	if (id == NULL) {
		asker.is_done = true;
		return;
	}
	memcpy(asker.hello, "ROGER/1\n", PREFACE);
	put(8, FLAG_NEXT, 4);
	memcpy(asker.hello + 12, id, 16);
	put(28, 1, 8);
	put(36, 1, 8);
	put(44, crc32c(0, asker.hello, 44), 4);
	asker.said = asker.in_size = 0;
	asker.has_preface = false;
	asker.end = net_connect(asker.stage->clients[0].host, asker.stage->server_host->number,
				PORT_BOTH, &calls, NULL);
}

void asker_start(const struct stage *stage)
{
	memset(&asker, 0, sizeof(asker));
	asker.stage = stage;
	check_only_asked();
	ask_next(NULL, 0);
}

bool asker_is_done(const struct stage *stage)
{
	(void)stage;
	return asker.is_done;
}

void asker_forget(void)
{
	hang_up();
	asker.is_done = true;
}
