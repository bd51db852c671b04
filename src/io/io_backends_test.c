/* Which backend "auto" takes where the kernel refuses io_uring, as container runtimes do (a seccomp filter that says EPERM) and as old
 * kernels do (ENOSYS): epoll, without a word; and io_uring that was asked for by name is refused. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "io/io.h"

/* io_uring_setup fails with `error` from here on. False: filters are not permitted here. */
static bool refuse_rings(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = COUNT_OF(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

enum { FALLS_BACK = 0, NO_FILTERS = 77 };

/* In a process of its own, since a filter stays. */
static int look(int error)
{
	struct io_config config = { .sockets_max = 4, .buffer_count = 2, .buffer_size = 4096 };
	struct io *io = NULL;

	if (!refuse_rings(error))
		return NO_FILTERS;
	config.backend = "uring";
	if (io_create(&config, &io) != -ENOSYS)
		return 1;
	config.backend = "auto";
	if (io_create(&config, &io) != 0)
		return 2;
	if (strcmp(io_backend(io), "epoll") != 0)
		return 3;
	io_destroy(io);
	return FALLS_BACK;
}

static void test_refused(void **state)
{
	static const int errors[] = { EPERM, ENOSYS, ENOMEM, EACCES, EINVAL };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(errors); i++) {
		print_message("row %s\n", strerror(errors[i]));
		int status = 0;
		pid_t child = fork();
		if (child == 0)
			_exit(look(errors[i]));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == NO_FILTERS)
			skip();
		assert_int_equal(WEXITSTATUS(status), FALLS_BACK);
	}
}

static void test_names(void **state)
{
	struct io_config config = {
		.sockets_max = 4, .buffer_count = 2, .buffer_size = 4096, .backend = "epoll"
	};
	struct io *io = NULL;

	(void)state;
	assert_int_equal(io_create(&config, &io), 0);
	assert_string_equal(io_backend(io), "epoll");
	io_destroy(io);
	config.backend = "magic";
	assert_int_equal(io_create(&config, &io), -ENOSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
