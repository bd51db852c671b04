#include "base/must.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"

static void it_says_what_and_aborts(void **state)
{
	const struct rlimit no_core = { 0, 0 };
	char text[400] = "";
	size_t size = 0;
	ssize_t got;
	int pipe_ends[2];
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(pipe_ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(pipe_ends[1], 2);
		must(1 + 1 == 3);
		_exit(0);
	}
	close(pipe_ends[1]);
	while (size < sizeof(text) - 1 &&
	       (got = read(pipe_ends[0], text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)got;
	close(pipe_ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(text, "1 + 1 == 3"));
	assert_non_null(strstr(text, "must_test.c:"));
}

static void true_is_silent(void **state)
{
	unsigned evaluated = 0;

	(void)state;
	must(++evaluated == 1);
	assert_int_equal(evaluated, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_and_aborts),
		cmocka_unit_test(true_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
