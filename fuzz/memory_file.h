/* The door to files at rest (file/file.h) in memory, and clock and randomness, for fuzz targets: linked instead of src/file and src/clock,
 * so that a journal is made, read and thrown away some thousand times a second, the same each time.
 *
 * Direct I/O is to be had here, and its alignment is demanded. Everything that is opened, mapped or allocated must be given back. */
#ifndef ROGER_FUZZ_MEMORY_FILE_H
#define ROGER_FUZZ_MEMORY_FILE_H

#include <stddef.h>
#include <stdint.h>

enum {
	MEMORY_ALIGNMENT = 512,
	MEMORY_BLOCK = 4096,
};

/* Forget all directories. Nothing may be open. */
void memory_reset(void);

/* Make (or replace) a file; its directory is made if it is not there. */
void memory_put(const char *directory, const char *name, const void *data, size_t size);

/* The bytes of a file, NULL when there is none. Until the next call that changes it. */
const uint8_t *memory_get(const char *directory, const char *name, size_t *ret_size);

/* Counts up with each change of any file, or of a name. */
uint64_t memory_changes(void);

/* How many descriptors, maps and pieces of memory have not been given back. */
unsigned memory_held(void);

#endif
