/* In a build of all mutants (meson setup -Dmutants=true): the environment says which one this process is. Without the variable
 * it is none. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mutant.h"

int roger_mutant;

__attribute__((constructor))
static void choose(void)
{
	const char *text = getenv("ROGER_MUTANT");
	char *end;
	long number;

	if (text == NULL)
		return;
	number = strtol(text, &end, 10);
	if (end == text || *end != '\0' || number < 0 || number > 999) {
		fprintf(stderr, "ROGER_MUTANT=%s: a number is wanted\n", text);
		exit(64);
	}
	roger_mutant = (int)number;
}
