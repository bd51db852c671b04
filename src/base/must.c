#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "roger: broken invariant: %s (%s:%d)\n", condition, file, line);
	abort();
}
