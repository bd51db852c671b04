#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "common/bench.h"
#include "floors/stream.h"

enum { GATHER = 256 * 1024 }; /* bytes of frames in one write */

struct sender {
	const struct stream_options *options;
	int fd;
	uint64_t frame;          /* bytes of one */
	uint64_t sent, answered; /* messages */
	uint8_t partial[8];      /* of an answer */
	size_t partial_size;
};

static void make(struct sender *s, uint8_t *out, uint64_t count)
{
	const uint32_t size = s->options->size;

	for (uint64_t i = 0; i < count; i++, out += s->frame) {
		uint64_t seq = ++s->sent;
		/* Messages differ, as a real sender's do; the rest of the payload is what the buffer had. */
		if (size >= 8)
			put_u64(out + 8, seq);
		put_u32(out, size);
		put_u32(out + 4, bench_checksum(STREAM_SEED, seq, size, out + 8));
	}
}

/* Takes the answers that are there; with `wait`, sleeps for the first. */
static void take_answers(struct sender *s, bool wait)
{
	uint8_t data[4096];
	ssize_t got;
	size_t size;

	errno = 0;
	memcpy(data, s->partial, s->partial_size);
	got = recv(s->fd, data + s->partial_size, sizeof(data) - s->partial_size,
		   wait ? 0 : MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		bench_die("the receiver ended");
	size = s->partial_size + (size_t)got;
	if (size >= 8)
		s->answered = get_u64(data + size / 8 * 8 - 8);
	s->partial_size = size % 8;
	memcpy(s->partial, data + size / 8 * 8, s->partial_size);
}

int stream_send(const struct stream_options *options, uint16_t port)
{
	struct sender s = { .options = options,
			    .fd = bench_connect_port(port),
			    .frame = options->size + 8u };
	uint64_t batch = GATHER / s.frame ? GATHER / s.frame : 1;
	uint64_t window = options->window / s.frame > batch ? options->window / s.frame : batch;
	uint64_t total = options->seconds ? UINT64_MAX : options->bytes / s.frame;
	uint64_t until =
		options->seconds ? bench_now() + options->seconds * 1000000000u : UINT64_MAX;
	uint8_t *out = malloc(batch * s.frame);

	if (!out)
		bench_die("memory");
	memset(out, 'r', batch * s.frame);
	while (s.sent < total && bench_now() < until) {
		uint64_t count = total - s.sent < batch ? total - s.sent : batch;
		while (s.sent + count - s.answered > window)
			take_answers(&s, true);
		make(&s, out, count);
		bench_send_all(s.fd, out, count * s.frame);
		take_answers(&s, false);
	}
	shutdown(s.fd, SHUT_WR);
	while (s.answered < s.sent)
		take_answers(&s, true);
	free(out);
	return 0;
}
