/* Every golden vector, in one piece and cut at every byte; and with every bit flipped. */
#include "wire/golden.h"

#include <stdio.h>
#include <string.h>

#include "base/test.h"

static struct golden vectors[GOLDEN_COUNT_MAX];
static size_t count;

static int load(void **state)
{
	(void)state;
	count = golden_load(vectors, COUNT_OF(vectors));
	return 0;
}

static void run(const struct golden *g, const uint8_t *input, size_t cut, unsigned flags, char *out)
{
	if (g->is_answers)
		golden_run_answers(g, input, g->size, cut, out);
	else
		golden_run(g, input, g->size, cut, flags, out);
}

static void check(const struct golden *g, size_t cut, unsigned flags)
{
	char out[GOLDEN_TEXT_SIZE];

	run(g, g->input, cut, flags, out);
	if (strcmp(out, g->expect) != 0)
		fail_msg("%s, cut at %zu, flags %u:\n%s--- expected\n%s", g->name, cut, flags, out,
			 g->expect);
}

static void in_one_piece(void **state)
{
	(void)state;
	for (size_t i = 0; i < count; i++)
		check(&vectors[i], 0, 0);
}

/* "Nothing more is readable" is news to raw alone; and there the first piece is a message by itself, which joined to the
 * second is the same only if the second is one as well. */
static bool drained_makes_no_difference(const struct golden *g)
{
	return g->protocol != PROTOCOL_RAW || g->flags != 0;
}

static void cut_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < count; i++) {
		for (size_t cut = 0; cut <= vectors[i].size; cut++) {
			check(&vectors[i], cut, 0);
			if (drained_makes_no_difference(&vectors[i]))
				check(&vectors[i], cut, WIRE_DRAINED);
		}
	}
}

/* Lines of `out` before the last one, which may differ: what was delivered before the fault was noticed. */
static size_t delivered(char *out)
{
	char *last = out + strlen(out) - 1;

	assert_true(*last == '\n');
	while (last > out && last[-1] != '\n')
		last--;
	*last = '\0';
	return strlen(out);
}

/* Without its "history" lines, which stand where a run of frames ends, so that runs of different length can be compared. */
static void strip_history(char *text)
{
	char *to = text;

	for (char *from = text; *from != '\0';) {
		size_t line = strcspn(from, "\n") + 1;

		if (strncmp(from, "history ", 8) != 0) {
			memmove(to, from, line);
			to += line;
		}
		from += line;
	}
	*to = '\0';
}

/* One flip more could mend what is wrong in them. */
static bool is_wrong_already(const struct golden *g)
{
	return strstr(g->expect, "refused") != NULL || strstr(g->expect, "broken") != NULL ||
	       strstr(g->expect, "foreign") != NULL;
}

/* native: whatever bit is wrong, in either direction, what is delivered is what was sent, up to some message. */
static void a_flipped_bit_changes_nothing_that_is_delivered(void **state)
{
	unsigned flipped = 0;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct golden *g = &vectors[i];
		char want[GOLDEN_TEXT_SIZE], out[GOLDEN_TEXT_SIZE];

		if ((!g->is_answers && g->protocol != PROTOCOL_NATIVE) || g->decode_only ||
		    is_wrong_already(g))
			continue;
		strcpy(want, g->expect);
		strip_history(want);
		for (size_t bit = 0; bit < 8 * g->size; bit++) {
			uint8_t input[GOLDEN_INPUT_SIZE];

			memcpy(input, g->input, g->size);
			input[bit / 8] ^= (uint8_t)(1 << bit % 8);
			run(g, input, 0, 0, out);
			strip_history(out);
			if (strncmp(out, want, delivered(out)) != 0)
				fail_msg("%s, bit %zu:\n%s--- expected\n%s", g->name, bit, out,
					 want);
			flipped++;
		}
	}
	assert_true(flipped > 10000);
}

/* Bytes without any sense behind a good beginning: the machines end, and nothing is delivered that was not sent. */
static void noise_delivers_nothing(void **state)
{
	static const char *const bases[] = { "native-after-hello.txt", "answers-wait-first.txt" };
	uint64_t random = 88172645463325252;

	(void)state;
	for (size_t b = 0; b < COUNT_OF(bases); b++) {
		struct golden *g = NULL;

		for (size_t i = 0; i < count; i++)
			if (strcmp(vectors[i].name, bases[b]) == 0)
				g = &vectors[i];
		assert_non_null(g);
		for (unsigned round = 0; round < 20000; round++) {
			struct golden noisy = *g;
			char want[GOLDEN_TEXT_SIZE], out[GOLDEN_TEXT_SIZE];
			size_t noise = 1 + round % 64;

			for (size_t i = 0; i < noise; i++) {
				random ^= random << 13;
				random ^= random >> 7;
				random ^= random << 17;
				/* Mostly small numbers, so that sizes and kinds are often plausible. */
				noisy.input[noisy.size++] =
					(uint8_t)(random >> 20 & (random & 1 ? 0xff : 3));
			}
			strcpy(want, g->expect);
			delivered(want);
			run(&noisy, noisy.input, round % noisy.size, 0, out);
			delivered(out);
			assert_true(strncmp(out, want, strlen(out)) == 0);
		}
	}
}

/* The worked example cannot go stale: its lines stand in the document, in their order. */
static void the_document_shows_the_same_bytes(void **state)
{
	static char text[200000];
	unsigned documented = 0;
	FILE *in = fopen(PROTOCOL_DOCUMENT, "r");

	(void)state;
	assert_non_null(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	fclose(in);
	for (size_t i = 0; i < count; i++) {
		const char *from = text;

		if (!vectors[i].documented)
			continue;
		documented++;
		for (char *line = strtok(vectors[i].input_lines, "\n"); line != NULL;
		     line = strtok(NULL, "\n")) {
			char want[200];

			snprintf(want, sizeof(want), "\n    %s  ", line);
			from = strstr(from, want);
			if (from == NULL)
				fail_msg("%s: \"%s\" is not in the document, or not in this order",
					 vectors[i].name, line);
			from++;
		}
	}
	assert_int_equal(documented, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_one_piece),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(a_flipped_bit_changes_nothing_that_is_delivered),
		cmocka_unit_test(noise_delivers_nothing),
		cmocka_unit_test(the_document_shows_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
