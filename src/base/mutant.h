/* Broken on purpose, to see whether the tests notice. MUTANT(n) stands in the place of the rule that mutant n breaks, or in both where
 * two guards keep it; what each one is, and what catches it, is told in tests/mutants/mutants.py.
 *
 * In every normal build it is a constant 0, and the compiler leaves nothing of it. -DROGER_MUTANT=7 builds mutant 7;
 * `meson setup -Dmutants=true` builds all of them, and the environment variable ROGER_MUTANT chooses one when the program
 * starts (tests/mutants/chosen.c). */
#ifndef ROGER_BASE_MUTANT_H
#define ROGER_BASE_MUTANT_H

#ifndef ROGER_MUTANT
#define ROGER_MUTANT 0
#endif

#define MUTANT(number) (ROGER_MUTANT == (number))

/* Only in a build of all mutants. */
extern int roger_mutant;

#endif
