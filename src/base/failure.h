/* Why something could not be done, in the words that the user will read.
 *
 * Rooms below `server` and `cli` do not log. A function that can fail at start in a way that wants words
 * (opening a journal, listening) fills a struct failure; whoever handles it prints it once, as
 * "roger: TEXT", and exits with `status`. */
#ifndef ROGER_BASE_FAILURE_H
#define ROGER_BASE_FAILURE_H

enum exit_status {
	EXIT_DONE = 0,
	EXIT_USAGE = 64,       /* the command line is wrong */
	EXIT_DATA = 65,        /* damaged or unexpected data */
	EXIT_NO_INPUT = 66,    /* no such input */
	EXIT_UNAVAILABLE = 69, /* peer unreachable, not a Roger server, or it refused us */
	EXIT_LISTEN = 71,      /* cannot listen */
	EXIT_CREATE = 73,      /* cannot create or lock the journal */
	EXIT_IO = 74,          /* I/O error */
	EXIT_TIMEOUT = 75,     /* not everything acknowledged in time */
};

struct failure {
	enum exit_status status;
	int error;      /* a positive errno, or 0 */
	char text[600]; /* "what failed: why", without "roger: " and without a newline */
};

/* Fill `why` from a format; when `error` is not 0, ": " and strerror(error) are added. Paths and names in it may hold
 * anything: the text is one line that does nothing to a terminal (text_one_line). Returns -error, or -EINVAL when error
 * is 0, so that a caller can `return failure_set(...)`. */
__attribute__((format(printf, 4, 5)))
int failure_set(struct failure *why, enum exit_status status, int error, const char *format, ...);

#endif
