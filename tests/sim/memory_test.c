/* Nothing is allocated after the start: a process that does it all the same fails its seed, whichever way it does it, and no other. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "memory.h"
#include "process.h"
#include "world.h"

/* No loop and no disk here. */
void sim_io_process_ended(struct process *process, enum process_death how)
{
	(void)process;
	(void)how;
}

void sim_file_process_ended(struct process *process, enum process_death how)
{
	(void)process;
	(void)how;
}

void sim_io_signalled(struct process *process)
{
	(void)process;
}

enum { PIECE = 12345 };

static void take(void (*give)(void *), void *volatile memory)
{
	assert_non_null(memory);
	give(memory);
}

static void give_pages(void *pages)
{
	memory_pages_free(pages, PIECE);
}

static void on_second_thread(void *unused)
{
	(void)unused;
	take(free, malloc(PIECE));
}

/* What a process does, a letter for each: t, l a turn of its loop begins, without and with a listener; m, c, r, d, p, j it allocates. */
static int play(void *argument)
{
	for (const char *step = argument; *step != '\0'; step++) {
		char *grown;

		switch (*step) {
		case 't': process_turn(process_current(), false); break;
		case 'l': process_turn(process_current(), true); break;
		case 'm': take(free, malloc(PIECE)); break;
		case 'c': take(free, calloc(1, PIECE)); break;
		case 'r':
			grown = realloc(NULL, PIECE);
			take(free, grown);
			break;
		case 'd': take(free, strdup("text")); break;
		case 'p': take(give_pages, memory_pages(PIECE, 65536, false)); break;
		case 'j':
			fiber_start(on_second_thread, NULL);
			fiber_sleep(1);
			break;
		default: fail_msg("no such step: %c", *step);
		}
	}
	return 0;
}

/* The text that it fails with; "" when it does not. */
static void run(const struct process_thrift *thrift, const char *steps, char *told, size_t size)
{
	int ends[2];
	ssize_t count;
	size_t got = 0;
	int status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct process *process;

		dup2(ends[1], STDERR_FILENO);
		world_begin(1);
		process = process_start(host_create("host", NULL), "somebody", play,
					(void *)(uintptr_t)steps, NULL);
		process->thrift = thrift;
		while (world_step())
			continue;
		exit(process->state == PROCESS_RETURNED ? 0 : 2);
	}
	close(ends[1]);
	while (got < size - 1 && (count = read(ends[0], told + got, size - 1 - got)) > 0)
		got += (size_t)count;
	told[got] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != (got > 0 ? 1 : 0))
		fail_msg("status %x: %s", (unsigned)status, told);
}

static void test_who_allocates_late(void **state)
{
	static const struct process_thrift server = { .until_listening = true };
	static const struct process_thrift plain = { .turns = 0 };
	static const struct process_thrift native = { .turns = 1 };
	static const struct {
		const char *name;
		const struct process_thrift *thrift;
		const char *steps;
		const char *late; /* what it is told for, NULL: nothing */
	} rows[] = {
		{ "nobody asks it to be thrifty", NULL, "mtlmcrdpj", NULL },
		{ "a server that starts", &server, "mcrdpjtmtcltll", NULL },
		{ "malloc", &server, "mlm", " 12345 bytes" },
		{ "... in another turn", &server, "mlttm", " 12345 bytes" },
		{ "calloc", &server, "lc", " 12345 bytes" },
		{ "realloc", &server, "lr", " 12345 bytes" },
		{ "strdup", &server, "ld", " 5 bytes" },
		{ "pages", &server, "lp", " 12345 bytes" },
		{ "on another thread", &server, "lj", " 12345 bytes" },
		{ "a plain sender that starts", &plain, "mct", NULL },
		{ "... and goes on", &plain, "mctm", " 12345 bytes" },
		{ "a native one, in one turn", &native, "mtttmmcjtt", NULL },
		{ "... and in another one", &native, "mttmtd", " 5 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char told[2000];

		run(rows[i].thrift, rows[i].steps, told, sizeof(told));
		if (rows[i].late == NULL ? told[0] != '\0'
					 : strstr(told, "somebody allocates") == NULL ||
						   strstr(told, rows[i].late) == NULL ||
						   strstr(told, "late, at 0x") == NULL)
			fail_msg("%s: \"%s\"", rows[i].name, told);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_allocates_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
