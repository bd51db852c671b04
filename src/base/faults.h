/* For tests: the n-th step fails, once or for good. A step is whatever the test counts: a call of a door, or for memory. Descriptors and
 * memory are counted, so that a step that fails shows what its caller forgets.
 *
 * Included once by a test program that is linked with --wrap of calloc, free, malloc, realloc, reallocarray and strdup. */
#ifndef ROGER_BASE_FAULTS_H
#define ROGER_BASE_FAULTS_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Last. */
#include "base/test.h"

/* What goes wrong; each at the steps that can meet it. */
enum fault_kind {
	FAULT_IO = 1,          /* EIO */
	FAULT_ROOM = 2,        /* ENOSPC */
	FAULT_DESCRIPTORS = 4, /* EMFILE */
	FAULT_MEMORY = 8,      /* ENOMEM */
};

struct fault_row {
	const char *name;
	enum fault_kind kind;
	bool for_good;
};

static const struct fault_row fault_rows[] = {
	{ "I/O error, once", FAULT_IO, false },
	{ "I/O error, for good", FAULT_IO, true },
	{ "no room, once", FAULT_ROOM, false },
	{ "no room, for good", FAULT_ROOM, true },
	{ "no descriptor, once", FAULT_DESCRIPTORS, false },
	{ "no descriptor, for good", FAULT_DESCRIPTORS, true },
	{ "no memory, once", FAULT_MEMORY, false },
	{ "no memory, for good", FAULT_MEMORY, true },
};
enum { FAULT_ROWS = sizeof(fault_rows) / sizeof(fault_rows[0]) };

/* Each step fails, in turn. Where threads are looked at only some do: these tests have one, and take ten times as long there. */
#if defined(__SANITIZE_THREAD__)
enum { FAULT_STRIDE = 9 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { FAULT_STRIDE = 9 };
#else
enum { FAULT_STRIDE = 1 };
#endif
#else
enum { FAULT_STRIDE = 1 };
#endif

enum { FAULT_STEPS_MAX = 5000 }; /* a sweep that goes further would never end */

struct faults {
	bool armed;
	struct fault_row row;
	uint64_t at;    /* the step that fails, 1 ... */
	uint64_t steps; /* made since faults_arm */
	uint64_t fired;
	const char *door; /* the first one that has failed */
	const char *file; /* not NULL: only reads of the file with this name fail, all of them ... */
	uint64_t from;    /* ... that touch its bytes from here ... */
	uint64_t end;     /* ... up to here */
	int64_t memory;   /* pieces that are not given back */
};

static struct faults faults;

static void faults_arm(const struct fault_row *row, uint64_t at)
{
	faults.armed = true;
	faults.row = *row;
	faults.at = at;
	faults.steps = 0;
	faults.fired = 0;
	faults.door = "none";
	faults.file = NULL;
}

/* From now on these bytes of the file with this name cannot be read. */
static inline void faults_arm_bytes(const char *file, uint64_t from, uint64_t end)
{
	faults_arm(&fault_rows[0], 1);
	faults.file = file;
	faults.from = from;
	faults.end = end;
}

static void faults_disarm(void)
{
	faults.armed = false;
}

/* Why a test fails: which step it was. */
static inline const char *faults_text(void)
{
	static char text[200];

	snprintf(text, sizeof(text), "step %llu (%s): %s", (unsigned long long)faults.at,
		 faults.door, faults.row.name);
	return text;
}

/* Before a step that can meet `kinds`: the errno that it fails with, or 0. */
static int fault_step(unsigned kinds, const char *door)
{
	if (!faults.armed || faults.file != NULL || (kinds & faults.row.kind) == 0)
		return 0;
	faults.steps++;
	if (faults.steps < faults.at || (faults.steps > faults.at && !faults.row.for_good))
		return 0;
	if (faults.fired++ == 0)
		faults.door = door;
	switch (faults.row.kind) {
	case FAULT_IO: return EIO;
	case FAULT_ROOM: return ENOSPC;
	case FAULT_DESCRIPTORS: return EMFILE;
	case FAULT_MEMORY: return ENOMEM;
	}
	return 0;
}

static inline unsigned descriptors_open(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(list);
	while (readdir(list) != NULL)
		count++;
	closedir(list);
	return count;
}

/* --- memory */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
void __real_free(void *memory);
void __wrap_free(void *memory);

static bool memory_is_refused(const char *door)
{
	bool refused = fault_step(FAULT_MEMORY, door) != 0;

	if (refused)
		errno = ENOMEM;
	return refused;
}

static void *memory_noted(void *memory)
{
	faults.memory += memory != NULL;
	return memory;
}

void *__wrap_malloc(size_t size)
{
	return memory_is_refused("malloc") ? NULL : memory_noted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return memory_is_refused("calloc") ? NULL : memory_noted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
	void *larger = memory_is_refused("realloc") ? NULL : __real_realloc(memory, size);

	return memory == NULL ? memory_noted(larger) : larger;
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
	void *larger = memory_is_refused("reallocarray") ? NULL
							 : __real_reallocarray(memory, count, size);

	return memory == NULL ? memory_noted(larger) : larger;
}

char *__wrap_strdup(const char *text)
{
	return memory_is_refused("strdup") ? NULL : memory_noted(__real_strdup(text));
}

void __wrap_free(void *memory)
{
	faults.memory -= memory != NULL;
	__real_free(memory);
}

#endif
