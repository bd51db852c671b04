/* The native protocol's server side: whatever bytes come, cut wherever, the events are the same; what is taken as good is good by an
 * independent check; what was decoded encodes to the same bytes.
 *
 * Half of the inputs are bytes as they are. The others are a program that says what a client sends, mostly well-formed, with checksums
 * that are right where the program does not spoil them. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "wire/native_client.h"
#include "wire/wire.h"

enum { STREAM_SIZE = 8192, MESSAGE_MAX = 600, LOG_SIZE = 4096 };

struct plan {
	bool crafted;
	uint32_t message_max;
	uint64_t next_seq;
	uint32_t h;
	unsigned flags;    /* behind the last byte */
	uint32_t cut_seed; /* where the bytes are cut */
};

struct bytes {
	uint8_t data[STREAM_SIZE];
	size_t size;
};

static void put(struct bytes *b, const void *data, size_t size)
{
	size_t room = sizeof(b->data) - b->size;

	size = size < room ? size : room;
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

/* --- what the client sends */

static void put_hello(struct fuzz *f, struct bytes *b, struct wire_hello *hello)
{
	uint8_t out[NATIVE_HELLO_SIZE];
	uint8_t spoil = fuzz_u8(f);

	*hello = (struct wire_hello){ .flags = fuzz_u8(f) & HELLO_FLAGS_ALL,
				      .writer = fuzz_number(f),
				      .first = fuzz_number(f) };
	if (spoil >= 0xf0)
		hello->flags = fuzz_u32(f);
	memset(hello->stream.bytes, 0x80, STREAM_ID_SIZE);
	if (spoil >= 0xe0)
		fuzz_bytes(f, hello->stream.bytes, STREAM_ID_SIZE);
	native_put_hello(out, hello);
	if ((spoil & 0x0f) == 0x0f)
		out[fuzz_u8(f) % NATIVE_HELLO_SIZE] ^= fuzz_u8(f);
	put(b, out, sizeof(out));
}

static void put_frame(struct fuzz *f, struct bytes *b, uint32_t seed, uint64_t *seq)
{
	uint8_t payload[MESSAGE_MAX + 8];
	uint8_t head[FRAME_HEADER_SIZE];
	uint8_t how = fuzz_u8(f);
	uint32_t size = how < 0xc0 ? how % 16 : fuzz_u16(f) % (uint32_t)sizeof(payload);
	struct frame_header header = { .size = size };

	memset(payload, how, sizeof(payload));
	fuzz_bytes(f, payload, size % 8);
	header.checksum = frame_checksum(seed, *seq, size, payload);
	if (how == 0xf0)
		header.size = fuzz_u32(f);
	if (how == 0xf1)
		header.checksum ^= 1;
	frame_put_header(head, header);
	put(b, head, sizeof(head));
	put(b, payload, size);
	++*seq;
}

static void put_bye(struct bytes *b, uint32_t seed, uint64_t seq)
{
	struct frame_header header = { .size = FRAME_SIZE_BYE };
	uint8_t head[FRAME_HEADER_SIZE];

	header.checksum = frame_checksum(seed, seq, FRAME_SIZE_BYE, NULL);
	frame_put_header(head, header);
	put(b, head, sizeof(head));
}

static void craft(struct fuzz *f, const struct plan *plan, struct bytes *b)
{
	struct wire_hello hello;
	uint64_t seq = plan->next_seq;
	uint8_t raw[16];
	uint32_t seed;

	put_hello(f, b, &hello);
	seed = frame_seed(&hello.stream);
	while (f->size > 0 && b->size < STREAM_SIZE) {
		uint8_t op = fuzz_u8(f);

		if (op < 0xe0)
			put_frame(f, b, seed, &seq);
		else if (op < 0xe8)
			put_bye(b, seed, seq);
		else
			put(b, raw, fuzz_bytes(f, raw, op & 15));
	}
}

/* --- what the server makes of it */

struct run {
	const struct plan *plan;
	struct wire wire;
	struct stream_id stream;
	uint64_t log[LOG_SIZE]; /* events, in a form that does not depend on where the bytes were cut */
	size_t log_size;
	struct bytes encoded;
	bool over;
};

static void note(struct run *run, uint64_t a, uint64_t b)
{
	must(run->log_size + 2 <= LOG_SIZE);
	run->log[run->log_size++] = a;
	run->log[run->log_size++] = b;
}

static void take_hello(struct run *run, const struct wire_hello *hello)
{
	uint8_t out[NATIVE_HELLO_SIZE];

	must(!stream_id_is_zero(&hello->stream) && !stream_id_is_plain(&hello->stream));
	must(hello->first >= 1 && hello->first <= SEQ_MAX);
	must((hello->flags & ~(uint32_t)HELLO_FLAGS_ALL) == 0);
	native_put_hello(out, hello);
	put(&run->encoded, out, sizeof(out));
	run->stream = hello->stream;
	note(run, WIRE_HELLO, hello->first);
}

/* The checksum as docs/protocol.md says it, by other code than the one that is tested. */
static uint32_t plain_checksum(const struct stream_id *stream, uint64_t seq, const uint8_t *frame,
			       uint32_t size)
{
	uint8_t number[8];
	uint32_t crc = crc32c_by_table(0, stream->bytes, STREAM_ID_SIZE);

	put_u64(number, seq);
	crc = crc32c_by_table(crc, number, sizeof(number));
	crc = crc32c_by_table(crc, frame, 4);
	return crc32c_by_table(crc, frame + FRAME_HEADER_SIZE, size);
}

static void take_frames(struct run *run, const struct wire_event *event)
{
	uint32_t h = run->wire.h;
	size_t at = 0;

	must(event->count > 0 && event->first_seq == run->wire.next_seq);
	for (uint32_t i = 0; i < event->count; i++) {
		const uint8_t *frame = event->data + at;
		uint32_t size;

		must(event->size - at >= FRAME_HEADER_SIZE);
		size = get_u32(frame);
		must(size <= run->plan->message_max &&
		     size <= event->size - at - FRAME_HEADER_SIZE);
		must(event->first_seq + i <= SEQ_MAX);
		must(get_u32(frame + 4) ==
		     plain_checksum(&run->stream, event->first_seq + i, frame, size));
		h = crc32c_by_table(h, frame + 4, 4);
		note(run, event->first_seq + i, get_u32(frame + 4));
		put(&run->encoded, frame, FRAME_HEADER_SIZE + size);
		at += FRAME_HEADER_SIZE + (size_t)size;
	}
	must(at == event->size && at == event->consumed && h == event->h_after);
}

static void take(struct run *run, const struct wire_event *event)
{
	switch (event->kind) {
	case WIRE_HELLO: take_hello(run, &event->hello); break;
	case WIRE_FRAMES: take_frames(run, event); break;
	case WIRE_BYE:
		must((run->wire.hello_flags & HELLO_EPHEMERAL) != 0);
		put_bye(&run->encoded, frame_seed(&run->stream), run->wire.next_seq);
		note(run, WIRE_BYE, run->wire.next_seq);
		break;
	case WIRE_END:
	case WIRE_REFUSED:
		run->over = true;
		note(run, event->kind,
		     event->kind == WIRE_END ? event->size
					     : event->fault * 1000000u + event->first_seq);
		break;
	case WIRE_MESSAGE:
	case WIRE_MORE: must(false);
	}
}

/* All events of these bytes. Returns how many bytes are done with; *ret_need is what it waits for. */
static size_t feed(struct run *run, const uint8_t *data, size_t size, unsigned flags,
		   size_t *ret_need)
{
	size_t at = 0;

	while (!run->over) {
		/* Memory of exactly the right size, so that a sanitizer sees a byte too many. */
		uint8_t *piece = malloc(size - at + 1);
		struct wire before = run->wire;
		struct wire_event event, again;

		must(piece != NULL);
		memcpy(piece + 1, data + at, size - at);
		wire_next(&run->wire, piece + 1, size - at, flags, &event);
		/* A session that has to wait asks again. */
		wire_next(&run->wire, piece + 1, size - at, flags, &again);
		must(memcmp(&before, &run->wire, sizeof(before)) == 0);
		must(event.kind == again.kind && event.consumed == again.consumed);
		*ret_need = event.need;
		if (event.kind != WIRE_MORE) {
			take(run, &event);
			wire_accept(&run->wire, &event);
			at += event.consumed;
		}
		free(piece);
		if (event.kind == WIRE_HELLO)
			wire_welcomed(&run->wire, &event.hello.stream, run->plan->next_seq,
				      run->plan->h);
		if (event.kind == WIRE_MORE)
			break;
	}
	return at;
}

static void run_whole(struct run *run, const struct plan *plan, const struct bytes *b)
{
	size_t need;

	run->plan = plan;
	wire_init(&run->wire, PROTOCOL_NATIVE, plan->message_max);
	(void)feed(run, b->data, b->size, plan->flags, &need);
}

/* In pieces, as a session would hold them: what is not done with stays, and more arrives behind it. */
static void run_pieces(struct run *run, const struct plan *plan, const struct bytes *b)
{
	uint32_t seed = plan->cut_seed;
	size_t begin = 0;
	size_t end = 0;
	size_t need = 0;

	run->plan = plan;
	wire_init(&run->wire, PROTOCOL_NATIVE, plan->message_max);
	while (!run->over && end < b->size) {
		size_t step;

		seed = seed * 1664525u + 1013904223u;
		step = (seed >> 24) % ((plan->cut_seed & 0xff) + 1) + 1;
		end = b->size - end < step ? b->size : end + step;
		/* Nothing may happen before the bytes that it has asked for are there. */
		if (need > end - begin) {
			size_t log_size = run->log_size;

			begin += feed(run, b->data + begin, end - begin, 0, &need);
			must(run->log_size == log_size || run->over);
		} else {
			begin += feed(run, b->data + begin, end - begin,
				      end < b->size ? (seed >> 16 & WIRE_DRAINED) : 0, &need);
		}
	}
	if (!run->over)
		(void)feed(run, b->data + begin, end - begin, plan->flags, &need);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes b;
	static struct run whole, pieces;
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	struct plan plan = { .crafted = (how & 1) != 0,
			     .flags = (how & 2) != 0 ? WIRE_ENDED : 0,
			     .message_max = (how & 4) != 0 ? MESSAGE_MAX : 1 + how / 16u,
			     .h = (how & 8) != 0 ? 0x12345678 : 0,
			     .cut_seed = fuzz_u8(&f) };

	plan.next_seq = fuzz_number(&f);
	if (plan.next_seq == 0 || plan.next_seq > (uint64_t)SEQ_MAX + 1)
		plan.next_seq = 1;
	b.size = 0;
	if (plan.crafted)
		craft(&f, &plan, &b);
	else
		put(&b, f.data, f.size);

	memset(&whole, 0, sizeof(whole));
	memset(&pieces, 0, sizeof(pieces));
	run_whole(&whole, &plan, &b);
	run_pieces(&pieces, &plan, &b);
	must(whole.log_size == pieces.log_size && whole.over == pieces.over);
	must(memcmp(whole.log, pieces.log, whole.log_size * sizeof(whole.log[0])) == 0);
	must(whole.encoded.size <= b.size);
	must(memcmp(whole.encoded.data, b.data, whole.encoded.size) == 0);
	must(whole.encoded.size == pieces.encoded.size);
	return 0;
}
