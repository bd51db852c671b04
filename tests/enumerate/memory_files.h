/* The door to files, over one small directory in memory: what stands in files is what the test puts there.
 *
 * Nothing may be changed through this door but what opening does before it knows that there is no damage: it makes a lock file, and
 * fills up a short one. Anything else ends the program. Made for speed: a million journals are read in a minute or two. */
#ifndef ROGER_TESTS_ENUMERATE_MEMORY_FILES_H
#define ROGER_TESTS_ENUMERATE_MEMORY_FILES_H

#include <stdbool.h>
#include <stdint.h>

enum { MEMORY_FILES_MAX = 16, MEMORY_FILE_MAX = 1 << 20 };

struct memory_file {
	char name[64];
	bool present;
	uint8_t *data; /* MEMORY_FILE_MAX bytes; those behind `size` are zero */
	uint64_t size;
};

extern struct memory_file memory_files[MEMORY_FILES_MAX];

/* Copy the files of a directory into memory. Ends the program when that cannot be done. */
void memory_files_load(const char *path);

/* Somebody wants to change something. Ends the program. */
_Noreturn void memory_files_refuse(const char *what);

/* NULL: none of that name. */
struct memory_file *memory_files_find(const char *name);

#endif
