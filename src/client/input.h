/* Where the messages come from: arguments, files (one message each), or lines of standard input. One message at a time, read no
 * faster than it is taken. Files and standard input are read through io, so that a slow one holds nothing up. */
#ifndef ROGER_CLIENT_INPUT_H
#define ROGER_CLIENT_INPUT_H

#include "client/client.h"
#include "io/io.h"

enum input_state {
	INPUT_READY,   /* a message is there */
	INPUT_WAIT,    /* not yet: after the next event of this input */
	INPUT_END,     /* there are no more */
	INPUT_FAILED,  /* input.why; nothing more comes */
};

struct input {
	const struct client_input *from;
	struct io *io;
	uint64_t number;        /* of the message that is or will be next: 1 ... */
	struct failure why;
	bool failed;

	/* the descriptor that is being read */
	int descriptor;         /* -1: none */
	io_socket socket;       /* 0: none */
	bool closing;           /* IO_CLOSED has not come yet */
	bool ended;
	const char *name;       /* for words */

	/* a piece lent by io, of which `at` bytes are used */
	const uint8_t *piece;
	size_t piece_size;
	size_t at;
	uint32_t buffer;

	/* a message that did not come in one piece */
	uint8_t *held;
	size_t held_size;
	size_t limit;           /* the largest message; SIZE_MAX: not known yet */
	const char *taker;      /* "127.0.0.1:9999 takes": for words */

	/* the message that is ready */
	bool ready;
	const uint8_t *data;
	size_t size;
};

/* Files are looked at now, so that one that can't be read stops everything before it starts. 0, or -errno with *why (66).
 * `io` may be NULL, for a look only. */
int input_init(struct input *in, const struct client_input *from, struct io *io,
	       struct failure *why);

/* After io_destroy: the loop must not read from what is closed here. */
void input_deinit(struct input *in);

/* How many messages there will be, 0 when that can not be known. */
uint64_t input_total(const struct input *in);

/* The size of the largest message, UINT64_MAX when that can not be known. */
uint64_t input_largest(const struct input *in);

/* Messages are at most `limit` bytes. What is known to be larger already: -EMSGSIZE with *why (65); `taker`, such as
 * "127.0.0.1:9999 takes", says who takes no more, and must stay. -ENOMEM with *why (74). Before the first input_next. */
int input_set_limit(struct input *in, size_t limit, const char *taker, struct failure *why);

/* Look for the next message. INPUT_READY: it is in->data and in->size, and the same until input_take. */
enum input_state input_next(struct input *in);
void input_take(struct input *in);

/* An event whose owner is this input. */
void input_event(struct input *in, const struct io_event *event);

#endif
