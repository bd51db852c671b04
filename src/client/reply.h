/* A plain server's reply on standard output, as it comes in: verbatim through a pipe, escaped on a terminal (line by line). */
#ifndef ROGER_CLIENT_REPLY_H
#define ROGER_CLIENT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct reply {
	FILE *out;
	bool terminal;
	uint64_t size;    /* bytes of it so far */
	uint8_t last;     /* the last of them */
	uint8_t held[3];  /* on a terminal: the beginning of a UTF-8 character whose end has not come yet */
	uint8_t held_size;
};

void reply_init(struct reply *reply, FILE *out, bool terminal);
void reply_put(struct reply *reply, const uint8_t *data, size_t size);

/* It is over: a reply that does not end with a newline gets one. Flushes. 0, or -errno when writing failed. */
int reply_end(struct reply *reply);

#endif
