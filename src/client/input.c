#include "client/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "base/text.h"

/* Could it be read? *ret_size: its size, UINT64_MAX when that is not known (a pipe). */
static int look_at(const char *path, uint64_t *ret_size, struct failure *why)
{
	struct stat stat_of;

	if (access(path, R_OK) != 0 || stat(path, &stat_of) != 0)
		return failure_set(why, EXIT_NO_INPUT, errno, "read %s", path);
	if (S_ISDIR(stat_of.st_mode))
		return failure_set(why, EXIT_NO_INPUT, EISDIR, "read %s", path);
	*ret_size = S_ISREG(stat_of.st_mode) ? (uint64_t)stat_of.st_size : UINT64_MAX;
	return 0;
}

int input_init(struct input *in, const struct client_input *from, struct io *io,
	       struct failure *why)
{
	uint64_t size;
	int result;

	memset(in, 0, sizeof(*in));
	in->from = from;
	in->io = io;
	in->number = 1;
	in->descriptor = -1;
	in->limit = SIZE_MAX;
	for (unsigned i = 0; i < from->file_count; i++) {
		result = look_at(from->files[i], &size, why);
		if (result < 0)
			return result;
	}
	return 0;
}

void input_deinit(struct input *in)
{
	if (in->descriptor >= 0 && in->from->file_count > 0)
		close(in->descriptor);
	free(in->held);
	in->held = NULL;
}

uint64_t input_total(const struct input *in)
{
	if (in->from->standard_input)
		return 0;
	return in->from->file_count > 0 ? in->from->file_count : in->from->message_count;
}

/* The size of message `index`, UINT64_MAX when it is not known. */
static uint64_t known_size(const struct input *in, unsigned index)
{
	struct failure ignored;
	uint64_t size = UINT64_MAX;

	if (in->from->standard_input)
		return UINT64_MAX;
	if (in->from->file_count == 0)
		return strlen(in->from->messages[index]);
	if (look_at(in->from->files[index], &size, &ignored) < 0)
		return UINT64_MAX; /* gone meanwhile: said when it is opened */
	return size;
}

uint64_t input_largest(const struct input *in)
{
	uint64_t largest = 0;
	uint64_t total = input_total(in);

	if (in->from->standard_input)
		return UINT64_MAX;
	for (unsigned i = 0; i < total; i++) {
		uint64_t size = known_size(in, i);

		if (size > largest)
			largest = size;
	}
	return largest;
}

static int fail_size(const struct input *in, uint64_t number, const char *taker,
		     struct failure *why)
{
	char limit[TEXT_SIZE_SIZE];

	text_size(in->limit, limit);
	if (in->from->file_count > 0)
		failure_set(why, EXIT_DATA, 0, "%s is larger than the %s that %s",
			    in->from->files[number - 1], limit, taker);
	else
		failure_set(why, EXIT_DATA, 0, "%s %" PRIu64 " is larger than the %s that %s",
			    in->from->standard_input ? "line" : "message", number, limit, taker);
	return -EMSGSIZE;
}

int input_set_limit(struct input *in, size_t limit, const char *taker, struct failure *why)
{
	uint64_t total = input_total(in);

	in->limit = limit;
	in->taker = taker;
	for (unsigned i = 0; i < total; i++) {
		uint64_t size = known_size(in, i);

		if (size != UINT64_MAX && size > limit)
			return fail_size(in, (uint64_t)i + 1, taker, why);
	}
	if (in->from->message_count > 0 && !in->from->standard_input && in->from->file_count == 0)
		return 0;
	if (in->held == NULL)
		in->held = malloc(limit + 1); /* touched only as far as messages reach */
	if (in->held == NULL)
		return failure_set(why, EXIT_IO, ENOMEM, "memory for a message");
	return 0;
}

static enum input_state fail(struct input *in)
{
	in->failed = true;
	return INPUT_FAILED;
}

/* --- the descriptor */

static enum input_state open_next(struct input *in)
{
	int result;

	if (in->from->standard_input) {
		in->name = "standard input";
		in->descriptor = STDIN_FILENO;
	} else {
		in->name = in->from->files[in->number - 1];
		in->descriptor = open(in->name, O_RDONLY | O_CLOEXEC);
		if (in->descriptor < 0) {
			failure_set(&in->why, EXIT_NO_INPUT, errno, "read %s", in->name);
			return fail(in);
		}
	}
	in->ended = false;
	result = io_adopt(in->io, in->descriptor, in, &in->socket);
	if (result < 0) {
		in->socket = 0;
		failure_set(&in->why, EXIT_NO_INPUT, -result, "read %s", in->name);
		return fail(in);
	}
	return INPUT_WAIT;
}

static void return_piece(struct input *in)
{
	if (in->piece != NULL)
		io_buffer_return(in->io, in->buffer);
	in->piece = NULL;
	in->piece_size = 0;
	in->at = 0;
}

void input_event(struct input *in, const struct io_event *event)
{
	switch (event->kind) {
	case IO_RECEIVED:
		if (event->result > 0) {
			must(in->piece == NULL);
			in->piece = event->data;
			in->piece_size = (size_t)event->result;
			in->at = 0;
			in->buffer = event->buffer;
			io_receive(in->io, in->socket, false); /* one piece at a time: what is not taken is not read */
			break;
		}
		in->ended = true;
		if (event->result < 0) {
			failure_set(&in->why, EXIT_IO, -event->result, "read %s", in->name);
			in->failed = true;
		}
		break;
	case IO_CLOSED:
		if (in->from->file_count > 0)
			close(in->descriptor);
		in->descriptor = -1;
		in->socket = 0;
		in->closing = false;
		break;
	case IO_ACCEPTED:
	case IO_ACCEPT_FAILED:
	case IO_CONNECTED:
	case IO_SENT:
	case IO_WRITTEN:
	case IO_JOB_DONE:
	case IO_SIGNAL: break;
	}
}

/* --- messages */

static enum input_state ready(struct input *in, const uint8_t *data, size_t size)
{
	in->ready = true;
	in->data = data;
	in->size = size;
	return INPUT_READY;
}

static enum input_state too_big(struct input *in)
{
	fail_size(in, in->number, in->taker, &in->why);
	return fail(in);
}

/* Keep `size` bytes of the piece for a message that goes on behind it. False: the message is larger than the limit. */
static bool hold(struct input *in, size_t size)
{
	if (size > in->limit - in->held_size)
		return false;
	memcpy(in->held + in->held_size, in->piece + in->at, size);
	in->held_size += size;
	in->at += size;
	return true;
}

/* The next line of the piece, if it ends there. */
static enum input_state next_in_piece(struct input *in)
{
	const uint8_t *start = in->piece + in->at;
	size_t left = in->piece_size - in->at;
	const uint8_t *stop = NULL;
	size_t size = left;

	if (in->from->standard_input)
		stop = memchr(start, in->from->null_ended ? '\0' : '\n', left);
	if (stop != NULL)
		size = (size_t)(stop - start);
	if (stop != NULL && in->held_size == 0) {
		if (size > in->limit)
			return too_big(in);
		in->at += size + 1;
		return ready(in, start, size);
	}
	if (!hold(in, size))
		return too_big(in);
	if (stop != NULL) {
		in->at++;
		return ready(in, in->held, in->held_size);
	}
	return_piece(in);
	return INPUT_WAIT;
}

/* The descriptor has come to its end: a file is a message now; a last line without its newline counts. */
static enum input_state next_at_end(struct input *in)
{
	if (in->from->file_count == 0 && in->held_size == 0)
		return INPUT_END;
	if (in->from->file_count > 0 && !in->closing) {
		in->closing = true;
		io_close(in->io, in->socket, false);
	}
	return ready(in, in->held, in->held_size);
}

static enum input_state next_argument(struct input *in)
{
	const char *text;

	if (in->number > in->from->message_count)
		return INPUT_END;
	text = in->from->messages[in->number - 1];
	return ready(in, (const uint8_t *)text, strlen(text));
}

enum input_state input_next(struct input *in)
{
	enum input_state state;

	must(in->limit != SIZE_MAX);
	if (in->ready)
		return INPUT_READY;
	if (in->failed)
		return INPUT_FAILED;
	if (in->from->file_count == 0 && !in->from->standard_input)
		return next_argument(in);
	if (in->from->file_count > 0 && in->number > in->from->file_count)
		return INPUT_END;
	if (in->closing)
		return INPUT_WAIT;
	if (in->socket == 0) {
		state = open_next(in);
		if (state != INPUT_WAIT)
			return state;
	}
	if (in->piece != NULL) {
		state = next_in_piece(in);
		if (state != INPUT_WAIT)
			return state;
	}
	if (in->ended)
		return next_at_end(in);
	io_receive(in->io, in->socket, true);
	return INPUT_WAIT;
}

void input_take(struct input *in)
{
	must(in->ready);
	if (in->data == in->held)
		in->held_size = 0;
	in->ready = false;
	in->number++;
	if (in->piece != NULL && in->at == in->piece_size)
		return_piece(in);
}
