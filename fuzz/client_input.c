/* The client's input: lines of standard input, however they come in pieces, are the messages that a few lines of straight code find; and a
 * piece is asked for only when the one before has been given back. */
#include "client/input.h"

#include <errno.h>
#include <stdlib.h>

#include "fuzz.h"

enum { OWNER_BUFFER = 7 };

/* The io door, as much of it as input.c needs. */
struct io {
	struct fuzz left;
	uint8_t *lent;
	bool armed;
	bool adopted;
};

int io_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket)
{
	(void)owner;
	must(descriptor == 0 && !io->adopted);
	io->adopted = true;
	*ret_socket = 1;
	return 0;
}

void io_receive(struct io *io, io_socket socket, bool armed)
{
	must(socket == 1);
	io->armed = armed;
}

void io_buffer_return(struct io *io, uint32_t buffer)
{
	must(buffer == OWNER_BUFFER && io->lent != NULL);
	free(io->lent);
	io->lent = NULL;
}

void io_close(struct io *io, io_socket socket, bool reset)
{
	(void)io;
	(void)reset;
	must(socket == 0); /* only files are closed */
}

/* The next piece, or the end. */
static void deliver(struct io *io, struct input *in, size_t size)
{
	struct io_event event = { .kind = IO_RECEIVED, .owner = in, .socket = 1 };

	must(io->armed && io->lent == NULL);
	size = size < io->left.size ? size : io->left.size;
	if (size > 0) {
		io->lent = malloc(size);
		must(io->lent != NULL);
		fuzz_bytes(&io->left, io->lent, size);
		event.data = io->lent;
		event.buffer = OWNER_BUFFER;
		event.result = (int)size;
	}
	input_event(in, &event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	uint32_t seed = fuzz_u8(&f);
	uint32_t step_max = seed + 1;
	const struct client_input from = { .standard_input = true, .null_ended = (how & 1) != 0 };
	const char end = from.null_ended ? '\0' : '\n';
	size_t limit = 1 + how / 4u;
	const uint8_t *at = f.data;
	const uint8_t *stop = f.data + f.size;
	struct io io = { .left = f };
	struct failure why;
	struct input in;
	enum input_state state;

	must(input_init(&in, &from, &io, &why) == 0);
	must(input_set_limit(&in, limit, "it takes", &why) == 0);
	while ((state = input_next(&in)) != INPUT_END && state != INPUT_FAILED) {
		const uint8_t *line_end = at < stop ? memchr(at, end, (size_t)(stop - at)) : NULL;

		if (state == INPUT_WAIT) {
			seed = seed * 1664525u + 1013904223u;
			deliver(&io, &in, (seed >> 24) % step_max + 1);
			continue;
		}
		if (line_end == NULL)
			line_end = stop;
		must(at < stop && in.size == (size_t)(line_end - at) && in.size <= limit);
		must(in.size == 0 || memcmp(in.data, at, in.size) == 0);
		must(input_next(&in) == INPUT_READY);
		at = line_end < stop ? line_end + 1 : stop;
		input_take(&in);
	}
	if (state == INPUT_END) {
		must(at == stop && io.lent == NULL);
	} else {
		size_t left = (size_t)(stop - at);
		const uint8_t *line_end = memchr(at, end, left);

		must((line_end == NULL ? left : (size_t)(line_end - at)) > limit);
		must(in.why.status == EXIT_DATA);
	}
	free(io.lent);
	input_deinit(&in);
	return 0;
}
