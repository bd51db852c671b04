/* A plain server's reply as the client prints it: verbatim through a pipe; on a terminal nothing that could do anything to it, and the same
 * however it comes in pieces. */
#include "client/reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "fuzz.h"

struct printed {
	char *text;
	size_t size;
};

static void print(struct printed *ret, const uint8_t *data, size_t size, bool terminal,
		  uint32_t step_max, bool in_pieces)
{
	FILE *out = open_memstream(&ret->text, &ret->size);
	struct reply reply;
	uint32_t seed = step_max;

	must(out != NULL);
	reply_init(&reply, out, terminal);
	while (size > 0) {
		size_t step = size;

		seed = seed * 1664525u + 1013904223u;
		if (in_pieces && step > (seed >> 16) % step_max + 1)
			step = (seed >> 16) % step_max + 1;
		reply_put(&reply, data, step);
		data += step;
		size -= step;
	}
	must(reply_end(&reply) == 0);
	fclose(out);
}

static void check_terminal(const struct printed *printed)
{
	for (size_t i = 0; i < printed->size; i++) {
		unsigned char c = (unsigned char)printed->text[i];

		must((c >= 0x20 && c != 0x7f) || c == '\n');
		must(c != 0xc2 || (unsigned char)printed->text[i + 1] >= 0xa0);
	}
	must(text_is_utf8((const uint8_t *)printed->text, printed->size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { data, size };
	uint32_t step_max = 1u + fuzz_u8(&f);
	struct printed whole, pieces, piped;

	print(&whole, f.data, f.size, true, step_max, false);
	print(&pieces, f.data, f.size, true, step_max, true);
	print(&piped, f.data, f.size, false, step_max, true);
	check_terminal(&whole);
	must(whole.size == pieces.size && memcmp(whole.text, pieces.text, whole.size) == 0);
	must(piped.size >= f.size && piped.size <= f.size + 1);
	must(f.size == 0 || memcmp(piped.text, f.data, f.size) == 0);
	must(piped.size == 0 || piped.text[piped.size - 1] == '\n');
	free(whole.text);
	free(pieces.text);
	free(piped.text);
	return 0;
}
