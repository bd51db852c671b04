/* Peers that mean harm, or do not know better: they speak TCP by themselves, on streams of their own. */
#include <string.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "fault.h"
#include "net.h"
#include "stage.h"
#include "world.h"

enum { SCRIPT_MAX = 70000, HELLO_SIZE = 48 };

struct hostile {
	struct net_end *end;
	struct hostile *next;
	uint8_t script[SCRIPT_MAX];
	size_t size;
	size_t sent;
	bool is_deaf;  /* reads nothing, ever */
	bool resets;
};

static struct hostile *all;

/* --- what they say */

static void put(struct hostile *h, const void *data, size_t size)
{
	if (size > SCRIPT_MAX - h->size)
		size = SCRIPT_MAX - h->size;
	memcpy(h->script + h->size, data, size);
	h->size += size;
}

static void put_number(struct hostile *h, uint64_t number, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(number >> 8 * i);
	put(h, bytes, size);
}

static void put_noise(struct hostile *h, size_t size)
{
	for (size_t i = 0; i < size; i++)
		put_number(h, world_draw(256), 1);
}

/* A stream id that no sender of the scenario has: its second byte is zero and the rest says whose it is. */
static void put_hello(struct hostile *h, uint32_t flags, uint64_t first, bool is_whole)
{
	size_t start = h->size;

	put(h, "ROGER/1\n", 8);
	put_number(h, flags, 4);
	put(h, "\x80\0hostile peer", 14);
	put_number(h, world_draw(4), 2);
	put_number(h, world_draw(1000), 8);
	put_number(h, first, 8);
	put_number(h, is_whole ? crc32c(0, h->script + start, h->size - start) : world_draw(1000),
		   4);
}

static void put_frame(struct hostile *h, const uint8_t id[16], uint64_t seq, uint32_t claimed,
		      size_t size)
{
	uint8_t head[28];
	uint8_t body[2000];
	uint32_t crc;

	memcpy(head, id, 16);
	for (unsigned i = 0; i < 8; i++)
		head[16 + i] = (uint8_t)(seq >> 8 * i);
	for (unsigned i = 0; i < 4; i++)
		head[24 + i] = (uint8_t)(claimed >> 8 * i);
	for (size_t i = 0; i < size; i++)
		body[i] = (uint8_t)world_draw(256);
	crc = crc32c(crc32c(0, head, sizeof(head)), body, size);
	put_number(h, claimed, 4);
	put_number(h, crc, 4);
	put(h, body, size);
}

/* HELLO as it should be, some frames as they should be (for a new stream), and then what should not be. */
static void compose_native(struct hostile *h)
{
	static const uint32_t flags[] = { 0, 1, 2, 3, 4, 6, 7, 8, 0x80000000 };
	static const uint64_t firsts[] = { 0, 2, 3, 1000, INT64_MAX, UINT64_MAX };
	uint64_t kind = world_draw(4);
	uint32_t size = (uint32_t)world_draw(2000);
	uint32_t flag = flags[world_draw(kind == 0 ? 9 : 7)]; /* arguments come in any order */
	uint64_t first = kind == 1 ? firsts[world_draw(6)] : 1;

	put_hello(h, flag, first, kind != 2);
	for (uint64_t i = 1; i <= world_draw(10) + 1; i++)
		put_frame(h, h->script + 12, i, 100, 100);
	switch (world_draw(6)) {
	case 0: put_frame(h, h->script + 12, 1, size, size); break;     /* a number again */
	case 1: put_frame(h, h->script + 12, 2, UINT32_MAX, 0); break;  /* BYE, or not */
	case 2: put_frame(h, h->script + 12, 2, 0x7fffffff, size); break;
	case 3: put_number(h, size, 4); break;                          /* and nothing more */
	case 4: put_noise(h, size); break;
	default: break;
	}
}

static void compose(struct hostile *h)
{
	switch (world_draw(5)) {
	case 0: put_noise(h, world_draw(3000)); break;
	case 1: put(h, "ROGER/1\n", world_between(1, 8)); break;
	case 2: put(h, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27); break;
	default: compose_native(h); break;
	}
}

/* --- how they say it */

static void hang_up(void *context, uint64_t unused)
{
	struct hostile *h = context;

	(void)unused;
	if (h->end != NULL)
		net_close(h->end, h->resets);
	h->end = NULL;
}

static void on_writable(void *context)
{
	struct hostile *h = context;

	while (h->end != NULL && h->sent < h->size) {
		size_t piece = world_between(1, h->size - h->sent);
		int64_t taken = net_write(h->end, h->script + h->sent, piece);

		if (taken <= 0)
			return;
		h->sent += (size_t)taken;
	}
	if (h->end != NULL && world_draw(2) == 0)
		net_shutdown(h->end);
}

static void on_connected(void *context, int result)
{
	struct hostile *h = context;

	if (result != 0) {
		hang_up(h, 0);
		return;
	}
	fault_happened(FAULT_HOSTILE_CLIENT);
	on_writable(h);
}

static void on_readable(void *context)
{
	struct hostile *h = context;
	uint8_t ignored[512];

	if (h->is_deaf)
		return;
	while (h->end != NULL) {
		int64_t count = net_read(h->end, ignored, sizeof(ignored));

		if (count == 0 || (count < 0 && count != -11))
			hang_up(h, 0);
		if (count <= 0)
			return;
	}
}

void hostile_start(struct host *from, unsigned server_number)
{
	static const struct net_calls calls = {
		.connected = on_connected,
		.readable = on_readable,
		.writable = on_writable,
	};
	static const uint16_t ports[] = { PORT_BOTH, PORT_BOTH, PORT_BOTH, PORT_LINE, PORT_WHOLE };
	struct hostile *h = sim_alloc(sizeof(*h));

	h->is_deaf = world_draw(2) == 0;
	h->resets = world_draw(2) == 0;
	h->next = all;
	all = h;
	compose(h);
	h->end = net_connect(from, server_number, ports[world_draw(5)], &calls, h);
	world_at(world_now() + world_span(0, 500 * MS_NS, 40 * SECOND_NS), hang_up, h, 0);
}

void hostile_forget(void)
{
	while (all != NULL) {
		struct hostile *h = all;

		all = h->next;
		hang_up(h, 0);
		sim_free(h);
	}
}
