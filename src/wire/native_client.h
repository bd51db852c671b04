/* The client's view of the native protocol: HELLO out, the server's messages in. Pure. */
#ifndef ROGER_WIRE_NATIVE_CLIENT_H
#define ROGER_WIRE_NATIVE_CLIENT_H

#include "wire/native.h"

/* Encode preface and HELLO, NATIVE_HELLO_SIZE bytes. */
void native_put_hello(uint8_t out[NATIVE_HELLO_SIZE], const struct wire_hello *hello);

enum native_answer_kind {
	ANSWER_MORE,     /* no whole message yet */
	ANSWER_FOREIGN,  /* the connection does not open with the preface: no Roger server. Final */
	ANSWER_BROKEN,   /* a checksum, size or kind is wrong: end the connection */
	ANSWER_WELCOME,
	ANSWER_ACK,
	ANSWER_ERROR,
	ANSWER_WAIT,
	ANSWER_DRAIN,
};

struct native_answer {
	enum native_answer_kind kind;
	size_t consumed;
	struct wire_welcome welcome;
	uint64_t seq;        /* ACK, ERROR */
	uint64_t record;     /* ACK */
	uint32_t fault;      /* ERROR: enum wire_fault or a code that a newer server knows */
	const uint8_t *text; /* ERROR: in the caller's data, not NUL-terminated, hostile until escaped */
	size_t text_size;
	uint32_t wait_ms;    /* DRAIN */
};

/* The message at the front of `data`. `opened`: the preface has been taken from this connection already; a message that
 * follows the preface consumes it too, so the caller sets its `opened` when kind is WELCOME, ACK, ERROR, WAIT or DRAIN. */
void native_answer_next(bool opened, const uint8_t *data, size_t size, struct native_answer *ret);

#endif
