/* sim: seeds, one after the other, in a few workers; the table of faults; the last line.
 *
 * Each worker is a process of its own: when an invariant breaks there (or an assertion, or it hangs) that seed has failed, another worker
 * takes its place and the others go on. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenario.h"
#include "world.h"

enum {
	JOBS_MAX = 64,
	SEED_SECONDS = 60,       /* a seed that takes longer hangs */
	COUNTED_SEEDS = 20000,   /* in so many seeds ... */
	COUNTED_LEAST = 100,     /* ... each kind of fault must have happened so often; in fewer, fewer, and a little luck is allowed for */
	JUDGED_SEEDS = 2000,     /* from so many seeds on that, and how many have crashed thrice, is judged */
	CRASHED_LEAST = 80,      /* per cent of the seeds have had three crashes or more */
	FAILURES_SHOWN = 40,
};

struct options {
	uint64_t seeds;
	uint64_t first;
	unsigned jobs;
	enum sim_mode mode;
	bool until_failure;
	bool verbose;
	bool hashes;
	bool table;
};

/* What the workers tell. */
struct shared {
	_Atomic uint64_t next;
	_Atomic uint64_t failed;
	_Atomic uint64_t done;
	_Atomic uint64_t faults[FAULTS];
	_Atomic uint64_t completions;
	_Atomic uint64_t acknowledged;
	_Atomic uint64_t crashes;
	_Atomic uint64_t crashed_thrice;
	_Atomic uint64_t modes[MODES];
	struct {
		uint64_t seed;
		bool busy;
		char log[64];
	} workers[JOBS_MAX];
};

static struct shared *shared;
static struct options options;

pid_t __real_getpid(void); /* ours, not that of a process in the world */

/* --- a worker */

static void tell(const struct scenario_result *result)
{
	shared->completions += result->completions;
	shared->acknowledged += result->acknowledged;
	shared->crashes += result->crashes;
	shared->crashed_thrice += result->crashes >= 3;
	shared->modes[result->mode]++;
	for (unsigned i = 0; i < FAULTS; i++) {
		shared->faults[i] += fault_counts[i];
		fault_counts[i] = 0;
	}
	shared->done++;
}

static void show_hash(int out, uint64_t seed, const struct scenario_result *result)
{
	char line[160];
	int size = snprintf(line, sizeof(line),
			    "seed %" PRIu64 " trace %016" PRIx64 " completions %" PRIu64
			    " crashes %u acknowledged %" PRIu64 " records %" PRIu64 "\n",
			    seed, result->hash, result->completions, result->crashes,
			    result->acknowledged, result->records);

	(void)!write(out, line, (size_t)size);
}

static void work(unsigned number)
{
	int out = dup(STDOUT_FILENO);

	if (!options.verbose && (freopen(shared->workers[number].log, "a", stderr) == NULL ||
				 freopen("/dev/null", "w", stdout) == NULL))
		_exit(2);
	setvbuf(stderr, NULL, _IONBF, 0);
	world_verbose(options.verbose);
	for (;;) {
		struct scenario_result result;
		uint64_t seed = atomic_fetch_add(&shared->next, 1);

		if (seed >= options.first + options.seeds ||
		    (options.until_failure && shared->failed > 0))
			break;
		if (!options.verbose && ftruncate(STDERR_FILENO, 0) == 0)
			(void)lseek(STDERR_FILENO, 0, SEEK_SET); /* others write there, too */
		shared->workers[number].seed = seed;
		shared->workers[number].busy = true;
		alarm(SEED_SECONDS);
		scenario_run(seed, options.mode, &result);
		alarm(0);
		shared->workers[number].busy = false;
		tell(&result);
		if (options.hashes)
			show_hash(out, seed, &result);
	}
	exit(0);
}

/* --- their parent */

static pid_t hire(unsigned number)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		work(number);
	if (pid < 0) {
		perror("sim: fork");
		exit(2);
	}
	return pid;
}

/* The line in what a failed worker has printed that says why. */
static void show_failure(unsigned number, int status)
{
	static unsigned shown;
	uint64_t seed = shared->workers[number].seed;
	char line[1200];
	bool told = false;
	FILE *log = options.verbose ? NULL : fopen(shared->workers[number].log, "r");

	if (++shown > FAILURES_SHOWN && log != NULL) {
		fclose(log);
		return;
	}
	while (log != NULL && fgets(line, sizeof(line), log) != NULL) {
		const char *begin = strstr(line, "seed ");

		/* What a program under test has printed last may not have ended its line. */
		if (begin != NULL && strstr(begin, " failed: ") != NULL) {
			fputs(begin, stdout);
			told = true;
		} else if (strstr(line, "broken invariant") != NULL ||
			   strstr(line, "==ERROR: ") != NULL ||
			   strstr(line, "runtime error") != NULL) {
			printf("seed %" PRIu64 " failed: %s", seed, line);
			told = true;
		}
	}
	if (log != NULL)
		fclose(log);
	if (!told && WIFSIGNALED(status))
		printf("seed %" PRIu64 " failed: %s\n", seed,
		       WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
	else if (!told)
		printf("seed %" PRIu64 " failed: exit status %d\n", seed, WEXITSTATUS(status));
	fflush(stdout);
}

static void run_workers(void)
{
	pid_t pids[JOBS_MAX];
	unsigned alive = 0;

	for (unsigned i = 0; i < options.jobs; i++, alive++)
		pids[i] = hire(i);
	while (alive > 0) {
		int status;
		pid_t pid = wait(&status);
		unsigned i = 0;

		while (i < options.jobs && pids[i] != pid)
			i++;
		if (i == options.jobs)
			continue;
		if (shared->workers[i].busy) {
			shared->workers[i].busy = false;
			shared->failed++;
			shared->done++;
			show_failure(i, status);
			pids[i] = hire(i);
		} else {
			alive--;
			pids[i] = -1;
			if (status != 0) { /* behind its last seed: LeakSanitizer, say */
				shared->failed++;
				show_failure(i, status);
			}
			if (!options.verbose)
				unlink(shared->workers[i].log);
		}
	}
}

/* Of what is to be expected, three standard deviations may be missing, where seeds are few. */
static bool is_rare(uint64_t count)
{
	double expected = (double)COUNTED_LEAST * (double)shared->done / COUNTED_SEEDS;
	double missing = expected - (double)count;

	if (shared->done >= COUNTED_SEEDS)
		return missing > 0;
	return missing > 0 && missing * missing > 9 * expected;
}

/* Every kind of fault and how often it has happened. Returns how many are too rare. */
static unsigned show_table(void)
{
	unsigned rare = 0;

	printf("%-40s %12s\n", "fault", "fired");
	for (unsigned i = 0; i < FAULTS; i++) {
		uint64_t count = shared->faults[i];

		printf("%-40s %12" PRIu64 "%s\n", fault_name(i), count,
		       is_rare(count) ? "  too rare" : "");
		rare += is_rare(count);
	}
	return rare;
}

static void show_sums(void)
{
	printf("modes: %" PRIu64 " crash, %" PRIu64 " corruption, %" PRIu64 " liveness, %" PRIu64
	       " exhaustion\n",
	       shared->modes[MODE_CRASH], shared->modes[MODE_CORRUPTION],
	       shared->modes[MODE_LIVENESS], shared->modes[MODE_EXHAUSTION]);
	printf("%" PRIu64 " completions, %" PRIu64 " crashes (3 or more in %" PRIu64
	       " seeds), %" PRIu64 " messages acknowledged\n",
	       shared->completions, shared->crashes, shared->crashed_thrice, shared->acknowledged);
}

/* The tables, and whether enough has happened in them. */
static bool show_result(void)
{
	unsigned rare = show_table();
	bool few = shared->crashed_thrice * 100 < CRASHED_LEAST * shared->done;

	show_sums();
	if (shared->done < JUDGED_SEEDS || options.mode != MODES)
		return false;
	if (rare > 0)
		printf("%u kinds of fault are too rare\n", rare);
	if (few)
		printf("too few seeds with 3 crashes or more: %d in a hundred are wanted\n",
		       CRASHED_LEAST);
	return rare > 0 || few;
}

static void usage(void)
{
	fputs("usage: sim [--seeds N] [--seed FIRST] [--jobs J] [--mode crash|corruption|liveness|"
	      "exhaustion]\n"
	      "           [--until-failure] [--hashes] [--no-table] [-v]\n",
	      stderr);
	exit(64);
}

static enum sim_mode mode_of(const char *name)
{
	static const char *const names[] = { "crash", "corruption", "liveness", "exhaustion" };

	for (unsigned i = 0; i < MODES; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	usage();
	return MODES;
}

static void read_options(int count, char **words)
{
	options =
		(struct options){ .seeds = 1, .first = 1, .jobs = 1, .mode = MODES, .table = true };
	for (int i = 1; i < count; i++) {
		const char *word = words[i];
		const char *value = i + 1 < count ? words[i + 1] : NULL;

		if (strcmp(word, "--until-failure") == 0)
			options.until_failure = true;
		else if (strcmp(word, "--hashes") == 0)
			options.hashes = true;
		else if (strcmp(word, "--no-table") == 0)
			options.table = false;
		else if (strcmp(word, "-v") == 0)
			options.verbose = true;
		else if (value == NULL)
			usage();
		else if (strcmp(word, "--seeds") == 0)
			options.seeds = strtoull(words[++i], NULL, 10);
		else if (strcmp(word, "--seed") == 0)
			options.first = strtoull(words[++i], NULL, 10);
		else if (strcmp(word, "--jobs") == 0)
			options.jobs = (unsigned)strtoul(words[++i], NULL, 10);
		else if (strcmp(word, "--mode") == 0)
			options.mode = mode_of(words[++i]);
		else
			usage();
	}
	if (options.verbose || options.jobs == 0)
		options.jobs = 1;
	if (options.jobs > JOBS_MAX)
		options.jobs = JOBS_MAX;
}

int main(int count, char **words)
{
	bool is_poor = false;

	read_options(count, words);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	shared->next = options.first;
	for (unsigned i = 0; i < options.jobs; i++)
		snprintf(shared->workers[i].log, sizeof(shared->workers[i].log),
			 "/tmp/roger-sim-%ld-%u.log", (long)__real_getpid(), i);
	run_workers();
	if (options.table)
		is_poor = show_result();
	printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", (uint64_t)shared->done,
	       (uint64_t)shared->failed);
	return shared->failed > 0 || is_poor;
}
