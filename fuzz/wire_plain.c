/* raw, line and whole: however the bytes come in, nothing of them is lost, changed or doubled, and the messages are those that a few
 * lines of straight code find. Answers are asked for in between, at moments that the data choose. */
#include <stdlib.h>

#include "fuzz.h"
#include "wire/wire.h"

enum { MESSAGES_MAX = 8192, SIZE_MAX_OF_ALL = 8192 };

struct message {
	size_t at;
	size_t size;
};

struct run {
	struct wire wire;
	struct message list[MESSAGES_MAX]; /* where in the input each message lies */
	size_t count;
	size_t taken;                      /* bytes done with */
	enum wire_event_kind last;
	uint64_t answered;                 /* line: records that have been answered */
};

/* Answer everything so far, in a buffer as small as the session's slot, and read the answers as a peer does. */
static void answer(struct run *run)
{
	struct wire_reply reply = { .kind = REPLY_ACK,
				    .record_from = run->answered + 1,
				    .record = run->count,
				    .seq = run->count };
	char out[257];

	if (run->wire.protocol != PROTOCOL_LINE) {
		must(wire_reply(&run->wire, &reply, (uint8_t *)out, 256) == 4);
		must(memcmp(out, "ACK!", 4) == 0);
		return;
	}
	while (reply.record_from <= reply.record) {
		size_t size = wire_reply(&run->wire, &reply, (uint8_t *)out, 256);
		char *at = out;

		must(size > 0);
		out[size] = '\0';
		while (at < out + size) {
			char *end;

			must(strncmp(at, "ACK ", 4) == 0);
			must(strtoull(at + 4, &end, 10) == ++run->answered && *end == '\n');
			at = end + 1;
		}
	}
	must(run->answered == run->count);
}

static bool feed(struct run *run, const uint8_t *data, size_t size, unsigned flags)
{
	for (;;) {
		size_t left = size - run->taken;
		uint8_t *piece = malloc(left + 1);
		struct wire_event event;

		must(piece != NULL);
		memcpy(piece + 1, data + run->taken, left);
		wire_next(&run->wire, piece + 1, left, flags, &event);
		run->last = event.kind;
		if (event.kind == WIRE_MESSAGE) {
			must(event.size <= run->wire.message_max && event.count == 1);
			must(event.data >= piece + 1 &&
			     event.data + event.size <= piece + 1 + left);
			must(run->count < MESSAGES_MAX);
			run->list[run->count++] = (struct message){
				.at = run->taken + (size_t)(event.data - piece - 1),
				.size = event.size,
			};
		}
		wire_accept(&run->wire, &event);
		run->taken += event.consumed;
		free(piece);
		if (event.kind == WIRE_MESSAGE)
			continue;
		must(event.kind == WIRE_MORE || event.kind == WIRE_END ||
		     event.kind == WIRE_REFUSED);
		return event.kind == WIRE_MORE;
	}
}

/* --- what should have come */

/* The next line, as docs/protocol.md says: up to LF or CR LF; the last one may lack it. False: too long. */
static bool line_at(const uint8_t *data, size_t size, size_t at, uint32_t max, size_t *ret_size,
		    size_t *ret_next)
{
	const uint8_t *end = memchr(data + at, '\n', size - at);

	*ret_size = end != NULL ? (size_t)(end - data) - at : size - at;
	*ret_next = at + *ret_size + (end != NULL);
	if (end != NULL && *ret_size > 0 && end[-1] == '\r')
		--*ret_size;
	return *ret_size <= max;
}

static void check_lines(const struct run *run, const uint8_t *data, size_t size, bool ended)
{
	size_t at = 0;
	size_t count = 0;
	bool fits = true;

	while (at < size && fits) {
		size_t line, next;

		fits = line_at(data, size, at, run->wire.message_max, &line, &next);
		if (!fits || (!ended && data[next - 1] != '\n'))
			break;
		must(count < run->count);
		must(run->list[count].at == at && run->list[count].size == line);
		count++;
		at = next;
	}
	must(count == run->count);
	must(run->taken == at);
	if (ended)
		must(run->last == (fits ? WIRE_END : WIRE_REFUSED));
}

static void check_raw(const struct run *run, size_t size, bool ended)
{
	size_t at = 0;

	for (size_t i = 0; i < run->count; i++) {
		must(run->list[i].at == at && run->list[i].size > 0);
		at += run->list[i].size;
	}
	must(at == run->taken);
	must(size - at < run->wire.message_max);
	must(!ended || (at == size && run->last == WIRE_END));
}

static void check_whole(const struct run *run, size_t size, bool ended)
{
	if (size > run->wire.message_max) {
		must(run->count == 0 && run->last == WIRE_REFUSED);
	} else if (ended && size > 0) {
		must(run->count == 1 && run->list[0].at == 0 && run->list[0].size == size);
	} else {
		must(run->count == 0 && run->last == (ended ? WIRE_END : WIRE_MORE));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum protocol protocols[] = { PROTOCOL_RAW, PROTOCOL_WHOLE, PROTOCOL_LINE };
	static struct run run;
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	uint32_t seed = fuzz_u8(&f);
	uint32_t step_max = seed + 1;
	bool ended = (how & 4) != 0;
	bool goes_on = true;
	size_t end = 0;

	memset(&run, 0, sizeof(run));
	if (f.size > SIZE_MAX_OF_ALL)
		f.size = SIZE_MAX_OF_ALL;
	wire_init(&run.wire, protocols[(how & 3) % 3], 1 + fuzz_u8(&f));
	while (goes_on && end < f.size) {
		size_t step;

		seed = seed * 1664525u + 1013904223u;
		step = (seed >> 24) % step_max + 1;
		end = f.size - end < step ? f.size : end + step;
		goes_on = feed(&run, f.data, end, (seed >> 16) & WIRE_DRAINED);
		if ((seed & 0x700000) == 0)
			answer(&run);
	}
	if (goes_on && ended)
		goes_on = feed(&run, f.data, f.size, WIRE_ENDED);
	else if (goes_on)
		goes_on = feed(&run, f.data, f.size, 0);
	answer(&run);
	if (run.wire.protocol == PROTOCOL_LINE)
		check_lines(&run, f.data, goes_on || ended ? f.size : end, ended);
	else if (run.wire.protocol == PROTOCOL_RAW)
		check_raw(&run, f.size, ended);
	else
		check_whole(&run, goes_on || ended ? f.size : end, ended);
	return 0;
}
