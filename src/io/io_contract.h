/* The contract of io.h, as tests over io.h alone, so that every backend can be put under them:
 *
 *   io_contract_world.c    a loop and the ends of its connections, and what happens to them
 *   io_contract_socket.c   connections: making, talking, ending
 *   io_contract_limit.c    what happens when something runs out, or nobody listens
 *   io_contract_file.c     adopted descriptors, durable writes, jobs, signals, deadlines
 *   io_contract_test.c     runs them, once for each backend that there is */
#ifndef ROGER_IO_IO_CONTRACT_H
#define ROGER_IO_IO_CONTRACT_H

#include "base/limits.h"
#include "base/test.h"
#include "clock/clock.h"
#include "io/io.h"

enum {
	ENDS_MAX = 1200,
	ACCEPTED_MAX = 64,
	KEPT_MAX = 16,
	NOT_YET = 1, /* no -errno and no success */
	BUFFER_COUNT = 8,
	BUFFER_SIZE = 4096,
};

/* One end of a connection (or a listener): what it is to do, and what has happened to it. */
struct end {
	struct world *world;
	io_socket socket;
	/* to do */
	bool echo;         /* send back what comes */
	bool keep;         /* keep the buffers that come */
	bool text;         /* what comes is not the pattern */
	uint64_t to_send;  /* of the pattern, from byte 0 on; goes on by itself */
	unsigned piece;    /* at most so much at once, 0: all */
	bool answer;       /* by io_send_answer */
	bool last;         /* ... with is_last */
	/* happened */
	int connected;     /* NOT_YET, 0 or -errno */
	uint64_t sent;
	unsigned sents;    /* IO_SENT events */
	unsigned answered; /* io_send_answer has taken all at once */
	int send_error;
	bool sending;
	uint64_t received;
	unsigned receives;
	unsigned turn_of_receive;
	bool drained;
	int end;           /* NOT_YET, 0 or -errno */
	bool closed;
	uint32_t kept[KEPT_MAX];
	unsigned kept_count;
	uint8_t first[64]; /* of the bytes received */
	/* listeners */
	io_socket accepted[ACCEPTED_MAX];
	struct peer peers[ACCEPTED_MAX];
	unsigned accepted_count;
	unsigned accept_failures;
	int accept_error;
};

/* A loop and everything on it. */
struct world {
	struct io *io;
	struct end ends[ENDS_MAX];
	unsigned end_count;
	unsigned turns;
	unsigned events;
	struct io_write *written;
	unsigned written_count;
	struct io_job *jobs[64];
	unsigned job_count;
	int signals[8];
	unsigned signal_count;
};

extern const char *contract_backend;

/* cmocka's setup and teardown: a loop with 64 sockets and 8 buffers of 4 KiB. */
int world_setup(void **state);
int world_teardown(void **state);

/* Another size for the rest of the test. */
void world_again(struct world *world, uint32_t sockets_max, uint32_t buffer_count,
		 uint32_t buffer_size);

struct end *world_new_end(struct world *world);

/* One turn: wait until the deadline at most, take all events. */
void world_turn(struct world *world, uint64_t deadline_ns);

/* Nothing may happen for so long, and next to no processor time may be used: an armed loop that spins fails here. */
void world_idle(struct world *world, uint64_t ns);

/* Turns until the condition holds; five seconds at most. */
#define UNTIL(world, condition)                                              \
	do {                                                                 \
		uint64_t until_limit = clock_monotonic_ns() + 5 * SECOND_NS; \
		while (!(condition)) {                                       \
			assert_true(clock_monotonic_ns() < until_limit);     \
			world_turn((world), until_limit);                    \
		}                                                            \
	} while (0)

uint8_t pattern(uint64_t at);

struct io_endpoint at_ipv4(uint16_t port);
struct io_endpoint at_ipv6(uint16_t port);
struct io_endpoint at_unix(const char *path);

/* A path in the test's own directory, which is emptied and removed afterwards. */
const char *world_path(const char *name);

struct end *world_listen(struct world *world, const struct io_endpoint *at,
			 struct io_endpoint *ret_bound);

/* A connection over IPv4: both ends, nothing armed. */
struct pair {
	struct end *client;
	struct end *server;
	struct end *listener;
};
struct pair world_pair(struct world *world);
struct end *world_connect(struct world *world, const struct io_endpoint *to);

/* The connection that the listener accepted last gets an end. */
struct end *world_accepted(struct end *listener);

void end_arm(struct end *end, bool armed);
void end_send(struct end *end, uint64_t size); /* so many bytes more of the pattern */
void end_answer(struct end *end, uint64_t size, bool is_last); /* the same by io_send_answer, and the rest, too, if not all is taken */
void end_send_text(struct end *end, const char *text);
void end_return(struct end *end, unsigned count); /* of the kept buffers, oldest first */
void end_close(struct end *end, bool reset);

/* --- the tests */
#define CONTRACT(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

extern const struct CMUnitTest socket_tests[];
extern const size_t socket_tests_count;
extern const struct CMUnitTest limit_tests[];
extern const size_t limit_tests_count;
extern const struct CMUnitTest file_tests[];
extern const size_t file_tests_count;

#endif
