#include "drive/protocol.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "common/bench.h"

enum {
	FRAME_HEADER = 8,
	HELLO_SIZE = 48,
	PREFACE = 8,
	BODY_ACK = 16,
	KIND_WELCOME = 1,
	KIND_ACK = 2,
	KIND_ERROR = 3,
	ECHO_ANSWER = 28,
};

static _Noreturn void refuse(const char *what, const void *text, size_t size)
{
	fprintf(stderr, "bench: the peer answered: %s %.*s\n", what, (int)(size < 200 ? size : 200),
		(const char *)text);
	errno = 0;
	bench_die("an answer is not an acknowledgement");
}

/* A parser gets whole or broken-off bytes, returns how many it has used, and is called again as long as it uses some. */

static int parse_echo(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size)
{
	(void)data;
	t->answered += size / ECHO_ANSWER * p->per_answer;
	return (int)(size / ECHO_ANSWER * ECHO_ANSWER);
}

/* A line that begins with "P" is NATS' PING and no answer; one that begins with "-" is an error (Redis, NATS). */
static int parse_lines(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size)
{
	const uint8_t *at = data, *end = data + size;

	while (at < end) {
		if (!t->in_line)
			t->line_counts = *at != 'P';
		if (!t->in_line && *at == '-')
			refuse("", at, (size_t)(end - at));
		at = memchr(at, '\n', (size_t)(end - at));
		t->in_line = !at;
		if (!at)
			break;
		at++;
		if (t->line_counts && ++t->lines == p->lines) {
			t->lines = 0;
			t->answered += p->per_answer;
		}
	}
	return (int)size;
}

/* type (1) | size, big-endian, of itself and what follows (4) */
static int parse_postgres(const struct protocol *p, struct talk *t, const uint8_t *data,
			  size_t size)
{
	uint32_t length;

	if (size < 5)
		return 0;
	length = __builtin_bswap32(get_u32(data + 1));
	if (data[0] == 'E')
		refuse("ERROR", data + 5, size - 5);
	if (data[0] == 'Z')
		t->answered += p->per_answer;
	t->skip = length + 1u;
	return 0;
}

/* type (1) | channel (2) | size, big-endian (4) | payload | 0xce. basic.ack: class 60, method 80, tag (8), multiple (1). */
static int parse_amqp(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size)
{
	uint32_t length, method;

	(void)p;
	if (size < 7)
		return 0;
	length = __builtin_bswap32(get_u32(data + 3));
	if (data[0] == 1) {
		if (size < 7 + 13 || size < 7 + (length < 13 ? length : 13))
			return 0;
		method = __builtin_bswap32(get_u32(data + 7));
		if (method == (60u << 16 | 80)) {
			uint64_t tag = __builtin_bswap64(get_u64(data + 11));
			/* A quorum queue confirms in order; tags count from 1. */
			if (tag > t->answered)
				t->answered = tag;
		} else if (method == (60u << 16 | 120) || method == (20u << 16 | 40) ||
			   method == (10u << 16 | 50)) {
			refuse("nack or close", data + 13, size - 13);
		}
	}
	t->skip = length + 8u;
	return 0;
}

/* kind (4) | size (4) | checksum (4) | body */
static int parse_roger(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size)
{
	uint32_t kind, body;
	uint64_t seq;

	(void)p;
	if (size < 12)
		return 0;
	kind = get_u32(data);
	body = get_u32(data + 4);
	if (body > 212)
		refuse("something else than Roger would", data, 0);
	if (size < 12 + body)
		return 0;
	if (kind == KIND_ERROR)
		refuse("ERROR", data + 24, body - 12);
	if (kind == KIND_WELCOME)
		t->welcome = true;
	if (kind == KIND_ACK && body == BODY_ACK) {
		seq = get_u64(data + 12);
		if (seq > t->made || seq < t->answered)
			refuse("an ACK out of order", data, 0);
		t->answered = seq;
	}
	return (int)(12 + body);
}

bool protocol_named(struct protocol *p, const char *name)
{
	static const struct protocol known[] = {
		{ .name = "roger", .hello = true, .per_answer = 1, .parse = parse_roger },
		{ .name = "echo", .per_answer = 1, .parse = parse_echo },
		{ .name = "lines", .per_answer = 1, .lines = 1, .parse = parse_lines },
		{ .name = "postgres", .per_answer = 1, .parse = parse_postgres },
		{ .name = "amqp", .per_answer = 1, .parse = parse_amqp },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, name)) {
			*p = known[i];
			return true;
		}
	return false;
}

static void make_frames(const struct protocol *p, struct talk *t, uint8_t *out, uint64_t count)
{
	uint32_t size = (uint32_t)(p->message_size - FRAME_HEADER);

	for (uint64_t i = 0; i < count; i++, out += p->message_size) {
		uint64_t seq = ++t->made;
		put_u32(out, size);
		memset(out + FRAME_HEADER, 'r', size);
		if (size >= 8)
			put_u64(out + FRAME_HEADER, seq);
		put_u32(out + 4, bench_checksum(t->seed, seq, size, out + FRAME_HEADER));
	}
}

/* RELP's transaction numbers: one higher for each message, and leading zeros are allowed. */
static void write_number(uint8_t *out, uint64_t number)
{
	for (int i = 8; i >= 0; i--, number /= 10)
		out[i] = (uint8_t)('0' + number % 10);
}

void protocol_make(const struct protocol *p, struct talk *t, uint8_t *out, uint64_t count)
{
	if (!p->prepared) {
		make_frames(p, t, out, count);
		return;
	}
	while (count) {
		uint64_t at = t->made % p->prepared_count, rest = p->prepared_count - at;
		uint64_t n = rest < count ? rest : count;
		memcpy(out, p->prepared + at * p->message_size, n * p->message_size);
		for (uint64_t i = 0; p->number_from && i < n; i++)
			write_number(out + i * p->message_size, p->number_from + t->made + i);
		out += n * p->message_size;
		t->made += n;
		count -= n;
	}
}

void protocol_begin(const struct protocol *p, struct talk *t, int fd)
{
	uint8_t hello[HELLO_SIZE] = "ROGER/1\n", data[256];
	ssize_t got;

	if (!p->hello)
		return;
	if (getrandom(hello + 12, 24, 0) != 24)
		bench_die("getrandom");
	hello[12] |= 0x80;
	put_u64(hello + 36, 1);
	put_u32(hello + 44, bench_crc32c(0, hello, 44));
	t->seed = bench_crc32c(0, hello + 12, 16);
	bench_send_all(fd, hello, sizeof(hello));
	t->skip = PREFACE;
	while (!t->welcome) {
		got = recv(fd, data, sizeof(data), 0);
		if (got <= 0)
			bench_die("no WELCOME");
		protocol_take(p, t, data, (size_t)got);
	}
}

/* Uses up what is meaningless. Returns how many of `size` bytes that was. */
static size_t skip(struct talk *t, size_t size)
{
	size_t n = t->skip < size ? (size_t)t->skip : size;

	t->skip -= n;
	return n;
}

/* As many answers as are whole. Returns how many bytes are used. */
static size_t parse_all(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size)
{
	size_t used = 0;

	for (size_t before = SIZE_MAX; before != used && used < size;) {
		before = used;
		used += skip(t, size - used);
		if (used < size)
			used += (size_t)p->parse(p, t, data + used, size - used);
		used += skip(t, size - used);
	}
	return used;
}

void protocol_take(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size)
{
	/* What was broken off is completed byte group by byte group; answers are short. */
	while (t->partial_size && size) {
		size_t room = PROTOCOL_PARTIAL_MAX - t->partial_size, n = size < room ? size : room,
		       had = t->partial_size;
		size_t used;

		memcpy(t->partial + had, data, n);
		used = parse_all(p, t, t->partial, had + n);
		if (used < had && n == room)
			refuse("an answer that is too long", data, 0);
		if (used < had) { /* all of `data` is in `partial` */
			t->partial_size = had + n - used;
			memmove(t->partial, t->partial + used, t->partial_size);
			return;
		}
		t->partial_size = 0;
		data += used - had;
		size -= used - had;
	}
	if (!size)
		return;
	size_t used = parse_all(p, t, data, size);
	if (size - used > PROTOCOL_PARTIAL_MAX / 2)
		refuse("an answer that is too long", data, 0);
	t->partial_size = size - used;
	memcpy(t->partial, data + used, t->partial_size);
}
