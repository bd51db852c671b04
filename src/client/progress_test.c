#include "client/progress.h"

#include <string.h>

#include "base/limits.h"
#include "base/test.h"

static void lines(void **state)
{
	static const struct {
		const char *name;
		struct progress_state state;
		const char *wanted;
	} rows[] = {
		{ "nothing yet", { 0, 0, 10, true }, "[........................]   0 %  0 of 10 acknowledged, 5/s" },
		{ "half of it", { 5, 7, 10, true }, "[############............]  50 %  5 of 10 acknowledged, 5/s" },
		{ "all of it", { 10, 10, 10, true }, "[########################] 100 %  10 of 10 acknowledged, 5/s" },
		{ "no total", { 5, 7, 0, true }, "7 sent, 5 acknowledged, 5/s" },
		{ "reconnecting", { 5, 7, 0, false }, "7 sent, 5 acknowledged, 5/s (reconnecting)" },
	};
	const struct progress p = { .rate = 5 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char out[160];

		print_message("  %s\n", rows[i].name);
		progress_line(&p, &rows[i].state, out, sizeof(out));
		assert_string_equal(out, rows[i].wanted);
		/* And in a line that is too short it is cut. */
		progress_line(&p, &rows[i].state, out, 10);
		assert_int_equal(strlen(out), 9);
	}
}

/* Standard error is no terminal here: nothing is ever drawn, and nobody is woken for it. */
static void not_on_a_terminal(void **state)
{
	struct progress p;
	struct progress_state done = { .acked = 1 };

	(void)state;
	progress_init(&p, 0);
	if (p.enabled)
		skip();
	assert_true(progress_deadline(&p) == NEVER_NS);
	progress_update(&p, &done, 100 * SECOND_NS);
	assert_false(p.shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(not_on_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
