/* The golden vectors of tests/golden/wire (README.md there), as the tests read them. */
#ifndef ROGER_WIRE_GOLDEN_H
#define ROGER_WIRE_GOLDEN_H

#include "wire/wire.h"

enum {
	GOLDEN_INPUT_SIZE = 4096,
	GOLDEN_TEXT_SIZE = 16384,
	GOLDEN_COUNT_MIN = 90, /* so that a directory that is not found cannot pass */
	GOLDEN_COUNT_MAX = 200,
};

struct golden {
	char name[64];
	bool is_answers;  /* from server to client */
	bool decode_only; /* nothing here would encode it */
	bool documented;  /* each line of its input stands in docs/protocol.md */
	enum protocol protocol;
	uint32_t message_max;
	uint64_t next_seq; /* native: what wire_welcomed is called with */
	uint32_t h;
	unsigned flags; /* enum wire_input, behind the last byte */
	uint8_t input[GOLDEN_INPUT_SIZE];
	size_t size;
	char expect[GOLDEN_TEXT_SIZE];      /* one event a line */
	char input_lines[GOLDEN_TEXT_SIZE]; /* as they stand in the file */
};

/* All vectors of the directory; fails the test when one cannot be read. Returns their number. */
size_t golden_load(struct golden *ret, size_t count_max);

/* What comes out of `size` bytes of `input`, one event a line, when they arrive in two pieces, cut at `cut`. `first_flags`
 * is known of the first piece, golden->flags of the whole. Also holds the machines to their contracts. Joins raw's payloads. */
void golden_run(const struct golden *golden, const uint8_t *input, size_t size, size_t cut,
		unsigned first_flags, char out[GOLDEN_TEXT_SIZE]);

/* The same for what a client reads. */
void golden_run_answers(const struct golden *golden, const uint8_t *input, size_t size, size_t cut,
			char out[GOLDEN_TEXT_SIZE]);

#endif
