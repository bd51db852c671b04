/* process: the programs under way, each with its threads, its memory and its host.
 *
 * The real server and the real client run in here unchanged. Each thread of theirs is a fiber with a stack of its own; it runs until
 * it calls a door that takes time (io_wait, the file door, clock_sleep_ns), which hands the thread of control back to the world. So
 * a process can be killed at every such call, in the middle of whatever it was doing: its fibers are simply never resumed.
 *
 * malloc, calloc, realloc, reallocarray, free, strdup, _exit, getpid, getrlimit and setrlimit of the code under test come here (ld
 * --wrap): what a process has allocated is given back when it ends, and must be nothing when it returns by itself. */
#ifndef ROGER_SIM_PROCESS_H
#define ROGER_SIM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;

enum { HOSTS_MAX = 16 };

/* A machine. */
struct host {
	char name[16];
	unsigned number;      /* its address is 10.0.0.number */
	struct disk *disk;    /* NULL: none */
	uint64_t booted_ns;   /* true time; the monotonic clock runs from there */
	uint64_t slept_ns;    /* the time that it has slept: its boottime clock has gone on */
	int64_t clock_ahead;  /* of the wall clock against true time, ns */
	bool off;
};

struct host *host_create(const char *name, struct disk *disk);
void hosts_forget(void); /* at the end of a world */
struct host *host_numbered(unsigned number);

enum process_state {
	PROCESS_RUNNING,
	PROCESS_RETURNED, /* its main has returned, or it has called _exit: status */
	PROCESS_KILLED,
};

/* When a process has everything that it will ever need: "nothing is allocated after the start". */
struct process_thrift {
	bool until_listening; /* its start is over when it first waits for events as a listener; false: when it first does */
	unsigned turns;       /* from then on, the turns of its loop in which it may allocate all the same */
};

enum process_death {
	DEATH_EXIT,  /* by itself: the kernel tidies up */
	DEATH_KILL,  /* SIGKILL: the same. Its writes in flight go on */
	DEATH_POWER, /* its host has lost power: nobody tidies up, nobody is told */
};

struct fiber;
struct process_memory;

struct process {
	unsigned number;      /* its id: from 100 on, never used again */
	char name[24];
	struct host *host;
	enum process_state state;
	int status;
	uint64_t started_ns;
	uint64_t paused_until_ns;
	bool is_server;       /* for the checks */
	int signals[4];       /* not yet delivered; sim_io takes them */
	unsigned signal_count;
	void *script;         /* the scenario's: what its standard input will be, and so on */
	const struct process_thrift *thrift; /* NULL: it may allocate whenever it likes */
	/* process.c's own */
	int (*main)(void *argument);
	void *argument;
	void (*ended)(struct process *process);
	struct process *next;
	struct process_memory *memory;
	struct fiber *fibers;
};

/* Start a program: `main` runs on a fiber of its own, soon. `ended` is called from the world when it is gone, whichever way. The struct
 * lives until the world's end. */
struct process *process_start(struct host *host, const char *name, int (*main)(void *argument),
			      void *argument, void (*ended)(struct process *process));

/* Not from one of its own fibers. */
void process_kill(struct process *process, enum process_death how);
void process_pause(struct process *process, uint64_t until_ns);
void process_signal(struct process *process, int signal); /* the loop is woken: sim_io_signalled */

/* Whose code is running; NULL: the world's own. */
struct process *process_current(void);

/* The most bytes that it has ever had allocated. */
size_t process_memory_most(const struct process *process);

/* ... and how many when its start was over; 0: it never was. */
size_t process_memory_settled(const struct process *process);

/* A turn of its loop begins (from io_wait). */
void process_turn(struct process *process, bool is_listening);

/* The n-th allocation from now on of this process fails (and all after it: forever). 0: none. */
void process_fail_allocation(struct process *process, uint64_t n, bool forever);

void processes_forget(void); /* at the end of a world */

/* --- for the doors: the calling thread */

struct fiber *fiber_current(void);

/* Time passes for this thread. Does not return when its process is killed meanwhile. */
void fiber_sleep(uint64_t ns);

/* Until fiber_wake; a wake asked for before counts. Does not return when its process is killed meanwhile. */
void fiber_park(void);

/* Let it go on at that time, unless it is asked to go on earlier. A pause of its process is waited for. */
void fiber_wake(struct fiber *fiber, uint64_t at_ns);

/* A further thread of the calling process (the job thread). Ends when `run` returns. */
struct fiber *fiber_start(void (*run)(void *argument), void *argument);

/* --- called when a process ends, before its memory goes: each door tidies up (or, after a power cut, only forgets) */
void sim_io_process_ended(struct process *process, enum process_death how);
void sim_file_process_ended(struct process *process, enum process_death how);
void sim_io_signalled(struct process *process);

#endif
