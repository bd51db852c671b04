/* What the load generator has to know of a protocol: how its messages are made and how its answers are counted. */
#ifndef ROGER_BENCH_PROTOCOL_H
#define ROGER_BENCH_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROTOCOL_PARTIAL_MAX = 512 }; /* an answer that is not whole yet; AMQP's and Roger's control messages are shorter */

/* One connection's side of it. */
struct talk {
	uint64_t made;     /* messages; Roger: also the last sequence number */
	uint64_t answered; /* messages */
	uint32_t seed;     /* Roger: the stream id's checksum */
	bool welcome;      /* Roger: WELCOME has come */
	uint64_t skip;     /* bytes of an answer that are still to come and mean nothing */
	uint64_t lines;    /* lines protocol: of an answer that is not whole */
	bool in_line, line_counts;
	uint8_t partial[PROTOCOL_PARTIAL_MAX];
	size_t partial_size;
};

struct protocol {
	const char *name;
	const uint8_t *prepared; /* messages as they are sent, one after the other, all of the same size; NULL: frames are made */
	uint64_t prepared_count;
	uint64_t message_size; /* bytes of a message as it is sent */
	uint64_t per_answer;   /* messages that one answer stands for */
	uint64_t lines;        /* lines protocol: in an answer */
	uint64_t number_from;  /* if not 0: the first 9 bytes of a prepared message are its decimal number, counted from here */
	bool hello;            /* Roger: a HELLO comes first */
	int (*parse)(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size);
};

/* roger, echo (Roger's frames, answers of 28 bytes), lines, postgres, amqp. Returns false for another name. */
bool protocol_named(struct protocol *p, const char *name);

/* Writes `count` messages to `out`, which has room for count * message_size bytes. */
void protocol_make(const struct protocol *p, struct talk *t, uint8_t *out, uint64_t count);

/* Connects Roger's stream (blocking): HELLO is sent, WELCOME awaited. Other protocols need nothing. */
void protocol_begin(const struct protocol *p, struct talk *t, int fd);

/* Takes what came from the peer; t->answered grows. Ends the process when an answer is an error. */
void protocol_take(const struct protocol *p, struct talk *t, const uint8_t *data, size_t size);

#endif
