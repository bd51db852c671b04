/* The main program of a fuzz target in builds without libFuzzer: runs it once over each file of the directories that are named, in the
 * order of their names. The name is printed before a file's turn, so that the last one is what crashed. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

enum { INPUT_SIZE_MAX = 1 << 20 };

static void run_file(const char *directory, const char *name)
{
	char path[1024];
	uint8_t *data;
	uint8_t *exact;
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	printf("# %s\n", path);
	fflush(stdout);
	file = fopen(path, "rb");
	data = malloc(INPUT_SIZE_MAX);
	must(file != NULL && data != NULL);
	size = fread(data, 1, INPUT_SIZE_MAX, file);
	fclose(file);
	/* Of exactly the right size, so that a sanitizer sees a byte too many. */
	exact = malloc(size > 0 ? size : 1);
	must(exact != NULL);
	memcpy(exact, data, size);
	free(data);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* How many files it has; a directory that is not there has none. */
static unsigned run_directory(const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_input, alphasort);

	if (count < 0)
		return 0;
	for (int i = 0; i < count; i++) {
		run_file(directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return (unsigned)count;
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++)
		count += run_directory(argv[i]);
	printf("# %u inputs\n", count);
	if (count == 0)
		fprintf(stderr, "nothing to replay\n");
	return count == 0;
}
