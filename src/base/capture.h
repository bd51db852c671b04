/* For tests: what a command prints on stdout and stderr while it runs in this process. Included once by a test program. */
#ifndef ROGER_BASE_CAPTURE_H
#define ROGER_BASE_CAPTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Last. */
#include "base/test.h"

enum { CAPTURE_SIZE = 4000 };

/* Where 0, 1 and 2 led before; -1: they lead there still. */
static int capture_saved[3] = { -1, -1, -1 };

static void capture_point(int descriptor, const char *name, int flags)
{
	int file = openat(AT_FDCWD, name, flags, 0600);

	assert_true(file >= 0);
	assert_int_equal(dup2(file, descriptor), descriptor);
	close(file);
}

/* From now on standard input is the file `input`, and what is printed goes to the file `output`. */
static void capture_begin(const char *input, const char *output)
{
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 3; i++)
		capture_saved[i] = dup(i);
	capture_point(0, input, O_RDONLY);
	capture_point(1, output, O_RDWR | O_CREAT | O_TRUNC);
	assert_int_equal(dup2(1, 2), 2);
}

/* All is as it was before; what has been printed is in `ret`. */
static void capture_end(char ret[CAPTURE_SIZE])
{
	ssize_t size;

	fflush(stdout);
	fflush(stderr);
	memset(ret, 0, CAPTURE_SIZE);
	size = pread(1, ret, CAPTURE_SIZE - 1, 0);
	for (int i = 0; i < 3; i++) {
		dup2(capture_saved[i], i);
		close(capture_saved[i]);
		capture_saved[i] = -1;
	}
	assert_true(size >= 0);
}

/* A teardown: when a test has failed in between, its words went to the output. */
static int capture_teardown(void **state)
{
	char text[CAPTURE_SIZE];

	(void)state;
	if (capture_saved[0] < 0)
		return 0;
	capture_end(text);
	fputs(text, stderr);
	return 0;
}

#endif
