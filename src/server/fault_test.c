/* The n-th step of a server's start fails, for every n, once and for good: memory, descriptors, the event loop, its listeners, opening
 * the journal. Once it serves, no fault any more, and it is told to stop.
 *
 * What must hold: a documented exit status with its reason, no descriptor and no memory lost, the listeners' path gone; and the next start
 * works. */
#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "journal/journal_faults.h"
#include "server/room.h"
#include "server/server.h"
/* Last. */
#include "base/capture.h"

static bool has_served;

/* --- what the loop and its listeners ask of the system */

struct epoll_event; /* sys/epoll.h is the loop's alone */
enum { EPOLL_ADDS = 1 };

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_epoll_ctl(int epoll, int what, int file, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int what, int file, struct epoll_event *event);
int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __real_signalfd(int file, const sigset_t *mask, int flags);
int __wrap_signalfd(int file, const sigset_t *mask, int flags);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_bind(int file, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int file, const struct sockaddr *address, socklen_t size);
int __real_listen(int file, int backlog);
int __wrap_listen(int file, int backlog);
void *__real_mmap(void *at, size_t size, int access, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t size, int access, int flags, int file, off_t offset);
void __real_notes_serve(struct notes *notes);
void __wrap_notes_serve(struct notes *notes);

static bool fails(unsigned kinds, const char *what)
{
	int error = fault_step(kinds, what);

	if (error != 0)
		errno = error;
	return error != 0;
}

int __wrap_epoll_create1(int flags)
{
	return fails(FAULT_DESCRIPTORS | FAULT_MEMORY, "epoll_create1")
		       ? -1
		       : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epoll, int what, int file, struct epoll_event *event)
{
	bool adds = what == EPOLL_ADDS;

	return adds && fails(FAULT_ROOM | FAULT_MEMORY, "epoll_ctl")
		       ? -1
		       : __real_epoll_ctl(epoll, what, file, event);
}

int __wrap_eventfd(unsigned count, int flags)
{
	return fails(FAULT_DESCRIPTORS | FAULT_MEMORY, "eventfd") ? -1
								  : __real_eventfd(count, flags);
}

int __wrap_signalfd(int file, const sigset_t *mask, int flags)
{
	return fails(FAULT_DESCRIPTORS | FAULT_MEMORY, "signalfd")
		       ? -1
		       : __real_signalfd(file, mask, flags);
}

int __wrap_socket(int domain, int type, int protocol)
{
	return fails(FAULT_DESCRIPTORS | FAULT_MEMORY, "socket")
		       ? -1
		       : __real_socket(domain, type, protocol);
}

int __wrap_bind(int file, const struct sockaddr *address, socklen_t size)
{
	return fails(FAULT_IO | FAULT_MEMORY, "bind") ? -1 : __real_bind(file, address, size);
}

int __wrap_listen(int file, int backlog)
{
	return fails(FAULT_IO | FAULT_MEMORY, "listen") ? -1 : __real_listen(file, backlog);
}

void *__wrap_mmap(void *at, size_t size, int access, int flags, int file, off_t offset)
{
	return fails(FAULT_MEMORY, "mmap") ? MAP_FAILED
					   : __real_mmap(at, size, access, flags, file, offset);
}

/* The start is over. */
void __wrap_notes_serve(struct notes *notes)
{
	faults_disarm();
	has_served = true;
	__real_notes_serve(notes);
	assert_int_equal(kill(getpid(), SIGTERM), 0);
}

/* --- one start */

static char directory[64];
static char journal_path[100];
static struct address listens[2];

static int set_up(void **state)
{
	const char *why;
	char text[100];

	(void)state;
	strcpy(directory, "/tmp/roger-server-test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(journal_path, sizeof(journal_path), "%s/j", directory);
	assert_int_equal(address_parse("line://127.0.0.1:0", &listens[0], &why), 0);
	snprintf(text, sizeof(text), "whole+unix:%s/s", directory);
	assert_int_equal(address_parse(text, &listens[1], &why), 0);
	return 0;
}

static int tear_down(void **state)
{
	char command[100];

	(void)capture_teardown(state);
	faults_disarm();
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command);
}

static int run(const char *journal, const struct fault_row *row, uint64_t at,
	       char printed[CAPTURE_SIZE])
{
	struct server_config config;
	char out[100];
	int status;

	server_config_default(&config);
	config.journal.path = journal;
	config.journal.streams_max = 10;
	config.journal.message_max = 65536;
	config.journal.segment_size = SEGMENT_SIZE_MIN;
	config.journal.keep_free_bytes = 1;
	config.journal.flush = FLUSH_FDATASYNC;
	config.listen = listens;
	config.listen_count = 2;
	config.connections_max = 10;
	config.memory = 8 * MIB;
	snprintf(out, sizeof(out), "%s/out", directory);
	has_served = false;
	capture_begin("/dev/null", out);
	faults_arm(row, at);
	status = server_run(&config);
	faults_disarm();
	capture_end(printed);
	return status;
}

static void check(int status, const char *printed)
{
	if (has_served && status == EXIT_DONE)
		return;
	if (has_served || faults.fired == 0)
		fail_msg("%s: status %d: %s", faults_text(), status, printed);
	if (status != EXIT_IO && status != EXIT_CREATE && status != EXIT_LISTEN)
		fail_msg("%s: status %d: %s", faults_text(), status, printed);
	if (strstr(printed, "roger: ") == NULL ||
	    (strstr(printed, strerror(EIO)) == NULL && strstr(printed, strerror(EMFILE)) == NULL &&
	     strstr(printed, strerror(ENOMEM)) == NULL &&
	     strstr(printed, strerror(ENOSPC)) == NULL))
		fail_msg("%s: status %d: %s", faults_text(), status, printed);
}

static int remove_each(void *context, const char *name)
{
	return file_remove(*(int *)context, name);
}

/* Each start begins with a new journal: what a failed one leaves would make the next one longer. */
static void remove_journal(void)
{
	int journal;

	if (file_open_directory(journal_path, &journal) != 0)
		return;
	assert_int_equal(file_list(journal, remove_each, &journal), 0);
	file_close(journal);
	assert_int_equal(rmdir(journal_path), 0);
}

/* False: so many steps are not made. */
static bool run_with_fault(const char *journal, const struct fault_row *row, uint64_t at)
{
	static char printed[CAPTURE_SIZE];
	unsigned descriptors = descriptors_open();
	int64_t memory = faults.memory;
	bool fired;

	remove_journal();
	check(run(journal, row, at, printed), printed);
	fired = faults.fired != 0;
	if (descriptors_open() != descriptors)
		fail_msg("%s: a descriptor stays open", faults_text());
	if (faults.memory != memory)
		fail_msg("%s: %lld pieces of memory stay", faults_text(),
			 (long long)(faults.memory - memory));
	if (access(listens[1].path, F_OK) == 0)
		fail_msg("%s: the listener's path stays", faults_text());
	return fired;
}

static void test_every_step_of_the_start_fails(void **state)
{
	const char *journal = *state;
	static char printed[CAPTURE_SIZE];

	for (size_t i = 0; i < FAULT_ROWS; i++) {
		uint64_t n = 1;

		/* On a full disk opening waits: journal/fault_test.c. */
		if (fault_rows[i].kind == FAULT_ROOM)
			continue;
		while (n < FAULT_STEPS_MAX && run_with_fault(journal, &fault_rows[i], n))
			n += FAULT_STRIDE;
		assert_in_range(n, 2, FAULT_STEPS_MAX - 1);
		print_message("%llu steps, %s\n", (unsigned long long)n - 1, fault_rows[i].name);
	}
	assert_int_equal(run(journal, &fault_rows[0], FAULT_STEPS_MAX, printed), EXIT_DONE);
	assert_true(has_served);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "with a journal", test_every_step_of_the_start_fails, NULL, capture_teardown,
		  journal_path },
		{ "without a journal", test_every_step_of_the_start_fails, NULL, capture_teardown,
		  NULL },
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
