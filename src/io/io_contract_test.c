/* The contract of io.h, for each backend of this build; or for the one that is named:
 *
 *   io_contract_test [BACKEND]
 */
#include "io/io_contract.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { TESTS_MAX = 100 };

static bool is_there(const char *backend)
{
	struct io_config config = {
		.sockets_max = 1, .buffer_count = 1, .buffer_size = 1, .backend = backend
	};
	struct io *io = NULL;

	if (io_create(&config, &io))
		return false;
	io_destroy(io);
	return true;
}

int main(int argument_count, char **arguments)
{
	static const char *const backends[] = { "epoll", "uring" };
	const char *wanted = argument_count > 1 ? arguments[1] : NULL;
	static struct CMUnitTest tests[TESTS_MAX];
	size_t count = 0;
	int failed = 0, run = 0;

	for (size_t i = 0; i < socket_tests_count; i++)
		tests[count++] = socket_tests[i];
	for (size_t i = 0; i < limit_tests_count; i++)
		tests[count++] = limit_tests[i];
	for (size_t i = 0; i < file_tests_count; i++)
		tests[count++] = file_tests[i];

	for (size_t i = 0; i < COUNT_OF(backends); i++) {
		if (wanted && strcmp(wanted, backends[i]) != 0)
			continue;
		if (!is_there(backends[i])) {
			print_message("%s: not in this build, or the kernel refuses it\n",
				      backends[i]);
			continue;
		}
		contract_backend = backends[i];
		failed += _cmocka_run_group_tests(backends[i], tests, count, NULL, NULL);
		run++;
	}
	return failed || !run;
}
