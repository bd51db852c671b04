/* Whole runs against a small server in this process, which speaks native and raw: what they report, and that nothing is
 * allocated once they wait for events. Linked with --wrap of what allocates, of io_wait, io_destroy and io_resolve. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/test.h"
#include "io/io.h"
#include "load/load.h"
#include "wire/wire.h"

/* --- what is allocated late, on the thread that runs the load */

static _Thread_local volatile bool watched; /* volatile: compilers think that they know what malloc looks at */
static volatile unsigned late_count;

static void allocated(void)
{
	if (watched)
		late_count++;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	allocated();
	return __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	allocated();
	return __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
	allocated();
	return __real_realloc(memory, size);
}

int __real_io_wait(struct io *io, uint64_t deadline_ns);
int __wrap_io_wait(struct io *io, uint64_t deadline_ns);
int __wrap_io_wait(struct io *io, uint64_t deadline_ns)
{
	watched = true;
	return __real_io_wait(io, deadline_ns);
}

void __real_io_destroy(struct io *io);
void __wrap_io_destroy(struct io *io);
void __wrap_io_destroy(struct io *io)
{
	watched = false;
	__real_io_destroy(io);
}

/* --- a name with several addresses: this port, where nobody listens, comes first */

static uint16_t silent_port;

int __real_io_resolve(const char *host, uint16_t port, bool passive, struct io_endpoint *out,
		      unsigned max, unsigned *ret_count, const char **ret_why);
int __wrap_io_resolve(const char *host, uint16_t port, bool passive, struct io_endpoint *out,
		      unsigned max, unsigned *ret_count, const char **ret_why);
int __wrap_io_resolve(const char *host, uint16_t port, bool passive, struct io_endpoint *out,
		      unsigned max, unsigned *ret_count, const char **ret_why)
{
	int result = __real_io_resolve(host, port, passive, out, max, ret_count, ret_why);

	if (result < 0 || silent_port == 0)
		return result;
	assert_true(max >= 3);
	out[2] = out[1] = out[0];
	out[0].peer.port = out[1].peer.port = silent_port;
	*ret_count = 3;
	return result;
}

/* --- the server: a thread for each connection */

enum { INPUT_SIZE = 256 * 1024 };

struct world {
	int listener;
	uint16_t port;
	pthread_t thread;
};

static void answer(const struct wire *w, int peer, struct wire_reply reply, uint64_t seq)
{
	uint8_t out[256];
	size_t size;

	reply.seq = seq;
	reply.record = seq;
	size = wire_reply(w, &reply, out, sizeof(out));
	if (send(peer, out, size, MSG_NOSIGNAL) != (ssize_t)size)
		shutdown(peer, SHUT_RDWR);
}

/* One event of the native protocol. False: the connection is over, or more bytes are wanted. */
static bool act(struct wire *w, int peer, const struct wire_event *event, uint64_t *last)
{
	switch (event->kind) {
	case WIRE_HELLO:
		wire_accept(w, event);
		wire_welcomed(w, &event->hello.stream, 1, 0);
		answer(w, peer,
		       (struct wire_reply){ .kind = REPLY_WELCOME,
					    .with_preface = true,
					    .welcome.message_max = INPUT_SIZE / 2 },
		       0);
		return true;
	case WIRE_FRAMES:
		wire_accept(w, event);
		*last += event->count;
		answer(w, peer, (struct wire_reply){ .kind = REPLY_ACK }, *last);
		return true;
	case WIRE_MORE:
	case WIRE_MESSAGE:
	case WIRE_BYE:
	case WIRE_END:
	case WIRE_REFUSED: break;
	}
	return false;
}

static void serve_native(int peer, uint8_t *data, size_t size)
{
	struct wire_event event = { .kind = WIRE_MORE };
	uint64_t last = 0;
	struct wire w;

	wire_init(&w, PROTOCOL_NATIVE, INPUT_SIZE / 2);
	for (;;) {
		size_t used = 0;
		ssize_t got;

		for (;;) {
			wire_next(&w, data + used, size - used, 0, &event);
			if (!act(&w, peer, &event, &last))
				break;
			used += event.consumed;
		}
		memmove(data, data + used, size - used);
		size -= used;
		if (event.kind != WIRE_MORE)
			return;
		got = recv(peer, data + size, INPUT_SIZE - size, 0);
		if (got <= 0)
			return;
		size += (size_t)got;
	}
}

static void *serve(void *argument)
{
	int peer = (int)(intptr_t)argument;
	uint8_t *data = malloc(INPUT_SIZE);
	ssize_t size = data == NULL ? -1 : recv(peer, data, INPUT_SIZE, 0);

	if (size > 0 && wire_is_native(data, (size_t)size) == 1)
		serve_native(peer, data, (size_t)size);
	else if (size > 0)
		(void)send(peer, "ACK!", 4, MSG_NOSIGNAL);
	close(peer);
	free(data);
	return NULL;
}

static void *accept_all(void *argument)
{
	const struct world *w = argument;
	pthread_t thread;

	for (;;) {
		int peer = accept(w->listener, NULL, NULL);

		if (peer < 0)
			return NULL;
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)peer) == 0)
			pthread_detach(thread);
		else
			close(peer);
	}
}

static int setup(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(w->listener >= 0);
	assert_int_equal(bind(w->listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(w->listener, 100), 0);
	assert_int_equal(getsockname(w->listener, (struct sockaddr *)&at, &size), 0);
	w->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&w->thread, NULL, accept_all, w), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	shutdown(w->listener, SHUT_RDWR);
	pthread_join(w->thread, NULL);
	close(w->listener);
	free(w);
	return 0;
}

/* --- tests */

static struct load_config config_of(const struct world *w, enum load_mode mode)
{
	struct load_config c = {
		.address = { .host = "127.0.0.1", .port = w->port },
		.mode = mode,
		.size = 100,
		.connections = 3,
		.window = 64 * KIB,
		.timeout_ns = 20 * SECOND_NS,
	};

	return c;
}

static void test_runs(void **state)
{
	static const struct {
		const char *name;
		enum load_mode mode;
		uint64_t count, duration_ns, rate;
		uint32_t connections, size;
	} rows[] = {
		{ "stream", LOAD_STREAM, 20000, 0, 0, 1, 100 },
		{ "stream, three of them", LOAD_STREAM, 20000, 0, 0, 3, 16 },
		{ "stream of empty messages", LOAD_STREAM, 1000, 0, 0, 2, 0 },
		{ "stream of messages larger than the window", LOAD_STREAM, 20, 0, 0, 1, 100000 },
		{ "stream at a rate", LOAD_STREAM, 500, 0, 20000, 2, 100 },
		{ "loop", LOAD_LOOP, 500, 0, 0, 5, 100 },
		{ "loop, more connections than messages", LOAD_LOOP, 3, 0, 0, 20, 7 },
		{ "loop of empty messages", LOAD_LOOP, 30, 0, 0, 2, 0 },
		{ "loop at a rate", LOAD_LOOP, 500, 0, 20000, 5, 100 },
		{ "connect", LOAD_CONNECT, 300, 0, 0, 4, 12 },
		{ "connect, more places than messages", LOAD_CONNECT, 3, 0, 0, 20, 12 },
		{ "connect at a rate", LOAD_CONNECT, 100, 0, 2000, 4, 12 },
		{ "idle", LOAD_IDLE, 0, 10 * MS_NS, 0, 100, 0 },
	};
	struct load_result *result = malloc(sizeof(*result));

	assert_non_null(result);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct load_config c = config_of(*state, rows[i].mode);
		bool idle = rows[i].mode == LOAD_IDLE;
		struct failure why = { .text = "" };

		print_message("%s\n", rows[i].name);
		c.count = rows[i].count;
		c.duration_ns = rows[i].duration_ns;
		c.rate = rows[i].rate;
		c.connections = rows[i].connections;
		c.size = rows[i].size;
		late_count = 0;
		assert_int_equal(load_run(&c, result, &why), 0);
		assert_int_equal(late_count, 0);
		assert_true(result->begun && !result->interrupted);
		assert_int_equal(result->acked, rows[i].count);
		assert_int_equal(result->sent, rows[i].count);
		assert_int_equal(result->latency.total, idle ? c.connections : rows[i].count);
		assert_int_equal(result->up, c.mode == LOAD_CONNECT ? 0 : c.connections);
		assert_true(result->elapsed_ns >= rows[i].duration_ns);
		if (rows[i].rate > 0)
			assert_true(result->elapsed_ns >=
				    (rows[i].count - 1) * (SECOND_NS / rows[i].rate));
	}
	free(result);
}

/* The wrapped functions do count: what runs before the loop is allocated, after it nothing is. */
static void test_watch(void **state)
{
	void *volatile memory; /* or the compiler sees through it */

	(void)state;
	late_count = 0;
	memory = malloc(1);
	free(memory);
	assert_int_equal(late_count, 0);
	watched = true;
	memory = malloc(1);
	watched = false;
	free(memory);
	assert_int_equal(late_count, 1);
}

static void test_too_large(void **state)
{
	struct load_config c = config_of(*state, LOAD_LOOP);
	struct load_result *result = malloc(sizeof(*result));
	struct failure why = { .text = "" };

	assert_non_null(result);
	c.count = 1;
	c.size = INPUT_SIZE / 2 + 1;
	assert_true(load_run(&c, result, &why) < 0);
	assert_int_equal(why.status, EXIT_DATA);
	assert_false(result->begun);
	free(result);
}

/* What the first addresses refuse, the next one may take; and what none takes is told. */
static void test_other_addresses(void **state)
{
	static const enum load_mode modes[] = { LOAD_STREAM, LOAD_LOOP, LOAD_CONNECT, LOAD_IDLE };
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof(at);
	int silent = socket(AF_INET, SOCK_STREAM, 0);
	struct load_result *result = malloc(sizeof(*result));

	assert_non_null(result);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(silent, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&at, &size), 0);
	silent_port = ntohs(at.sin_port);
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		struct load_config c = config_of(*state, modes[i]);
		struct failure why = { .text = "" };

		c.count = modes[i] == LOAD_IDLE ? 0 : 20;
		c.duration_ns = modes[i] == LOAD_IDLE ? 1 : 0;
		assert_int_equal(load_run(&c, result, &why), 0);
		assert_int_equal(result->acked, c.count);
		assert_int_equal(result->latency.total, modes[i] == LOAD_IDLE ? 3 : 20);
		c.address.port = silent_port;
		assert_int_equal(load_run(&c, result, &why), -ECONNREFUSED);
		assert_int_equal(why.status, EXIT_UNAVAILABLE);
		assert_int_equal(result->acked, 0);
	}
	silent_port = 0;
	close(silent);
	free(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch),
		cmocka_unit_test_setup_teardown(test_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_addresses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
