/* Assertions that stay on in release builds.
 *
 * must() is for our own invariants only, never for bytes from a socket or a disk. When it fails the
 * process prints the condition and aborts: a crash loses no acknowledged message, a wrong ack does. */
#ifndef ROGER_BASE_MUST_H
#define ROGER_BASE_MUST_H

#define must(condition) ((condition) ? (void)0 : must_failed(#condition, __FILE__, __LINE__))

/* Print `condition` and its place on stderr, then abort. Any thread. */
_Noreturn void must_failed(const char *condition, const char *file, int line);

#endif
