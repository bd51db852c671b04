/* The n-th step of a client's run fails, for every n, once and for good. The io door, the clock and the server behind it are the test's;
 * a step is a call of the door, a connection, something sent or received, a piece of memory, or opening a file.
 *
 * What must hold whatever fails: a documented exit status with its reason, no descriptor and no memory lost, and on the server each message
 * at most once, in order; all of them when the status is 0. A lost connection costs nothing but time. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "client/client.h"
#include "clock/clock.h"
#include "io/io.h"
#include "wire/wire.h"
/* Last. */
#include "base/capture.h"
#include "base/faults.h"

enum {
	MESSAGES = 12,
	SOCKETS = 4,
	EVENTS = 32,
	BUFFER = 4096,
	SENT_MAX = 700,    /* bytes that one send takes */
	TURNS_MAX = 20000, /* of one run */
};

/* --- the messages, and the server that takes them */

static char texts[MESSAGES][600];

struct server {
	uint64_t last;
	uint32_t h;
	uint64_t writer;
	unsigned connections;
};

static struct server server;

struct connection {
	struct wire wire;
	uint8_t in[64 * 1024]; /* what it has not taken yet */
	size_t in_size;
	uint8_t out[8 * OUTPUT_SLOT_SIZE]; /* what the client has not received yet */
	size_t out_size;
	bool has_answered;
	bool ended;  /* the client has shut its side, and has had everything */
	bool broken; /* nothing arrives any more, here or there */
};

static void say(struct connection *c, struct wire_reply *reply)
{
	reply->with_preface = !c->has_answered;
	c->has_answered = true;
	assert_true(c->out_size + OUTPUT_SLOT_SIZE <= sizeof(c->out));
	c->out_size +=
		wire_reply(&c->wire, reply, c->out + c->out_size, sizeof(c->out) - c->out_size);
}

static void welcome(struct connection *c, const struct wire_event *event)
{
	struct wire_reply reply = {
		.kind = REPLY_WELCOME,
		.welcome = {
			.message_max = 1000,
			.last = server.last,
			.record = server.last,
			.writer = server.writer,
			.h = server.h,
		},
	};

	wire_welcomed(&c->wire, &event->hello.stream, server.last + 1, server.h);
	if (server.last == 0)
		server.writer = event->hello.writer;
	assert_true(event->hello.writer == server.writer);
	say(c, &reply);
}

/* Each message is the next one, and what it should be. */
static void store(struct connection *c, const struct wire_event *event)
{
	struct wire_reply reply = { .kind = REPLY_ACK };
	const uint8_t *frame = event->data;

	for (uint32_t i = 0; i < event->count; i++) {
		struct frame_header header = frame_get_header(frame);

		if (server.last == MESSAGES)
			fail_msg("%s: more messages than there are", faults_text());
		assert_int_equal(header.size, strlen(texts[server.last]));
		assert_memory_equal(frame + FRAME_HEADER_SIZE, texts[server.last], header.size);
		server.last++;
		frame += FRAME_HEADER_SIZE + header.size;
	}
	server.h = event->h_after;
	reply.seq = reply.record = server.last;
	say(c, &reply);
}

static void serve(struct connection *c, bool shut)
{
	struct wire_event event;
	size_t at = 0;

	do {
		wire_next(&c->wire, c->in + at, c->in_size - at, shut ? WIRE_ENDED : 0, &event);
		if (event.kind == WIRE_REFUSED)
			fail_msg("%s: an honest client is refused: %s", faults_text(),
				 wire_fault_text(event.fault));
		wire_accept(&c->wire, &event);
		at += event.consumed;
		if (event.kind == WIRE_HELLO)
			welcome(c, &event);
		else if (event.kind == WIRE_FRAMES)
			store(c, &event);
		else if (event.kind == WIRE_END)
			c->ended = true;
	} while (event.kind != WIRE_MORE && event.kind != WIRE_END);
	memmove(c->in, c->in + at, c->in_size - at);
	c->in_size -= at;
}

/* --- the io door */

enum kind { KIND_FREE, KIND_CONNECTION, KIND_DESCRIPTOR };

struct socket {
	enum kind kind;
	void *owner;
	bool armed;
	bool closing;
	int descriptor;
	struct connection *connection;
};

struct io {
	uint64_t now;
	struct socket sockets[SOCKETS + 1]; /* 0 is none */
	struct io_event events[EVENTS]; /* of this turn ... */
	unsigned event_count;
	unsigned event_taken;
	struct io_event coming[EVENTS]; /* ... and of the next one */
	unsigned coming_count;
	unsigned turns;
	uint8_t buffers[SOCKETS + 1][BUFFER]; /* one of each socket */
	bool lent[SOCKETS + 1];
};

static struct io *door;
static uint64_t now_ns;

static struct io_event *put_event(struct io *io, enum io_event_kind kind, io_socket socket,
				  int result)
{
	struct io_event *event = &io->coming[io->coming_count++];

	assert_true(io->coming_count <= EVENTS);
	*event = (struct io_event){
		.kind = kind,
		.owner = io->sockets[socket].owner,
		.socket = socket,
		.result = result,
	};
	return event;
}

static io_socket free_socket(struct io *io)
{
	for (io_socket i = 1; i <= SOCKETS; i++)
		if (io->sockets[i].kind == KIND_FREE)
			return i;
	fail_msg("%s: no socket is left", faults_text());
	return 0;
}

int io_create(const struct io_config *config, struct io **ret)
{
	int error = fault_step(FAULT_DESCRIPTORS | FAULT_MEMORY, "io_create");

	assert_in_range(config->sockets_max, 2, SOCKETS);
	if (error != 0)
		return -error;
	door = __real_calloc(1, sizeof(*door));
	assert_non_null(door);
	door->now = now_ns;
	*ret = door;
	return 0;
}

static void drop(struct io *io, io_socket socket)
{
	struct socket *s = &io->sockets[socket];

	if (s->connection != NULL)
		__real_free(s->connection);
	*s = (struct socket){ .kind = KIND_FREE };
}

void io_destroy(struct io *io)
{
	for (io_socket i = 1; i <= SOCKETS; i++)
		drop(io, i);
	__real_free(io);
}

uint64_t io_now(const struct io *io)
{
	return io->now;
}

/* Something to receive, if it is armed and there is something. */
static void receive(struct io *io, io_socket at)
{
	struct socket *s = &io->sockets[at];
	struct io_event *event;
	int result;

	if (!s->armed || s->closing || io->lent[at])
		return;
	if (s->kind == KIND_CONNECTION) {
		struct connection *c = s->connection;

		if (c->out_size == 0 && !c->ended && !c->broken)
			return;
		result = (int)c->out_size;
		memcpy(io->buffers[at], c->out, c->out_size);
		c->out_size = 0;
		if (c->broken || fault_step(FAULT_IO, "receive") != 0) {
			c->broken = true;
			result = -EIO;
		}
	} else {
		result = (int)read(s->descriptor, io->buffers[at], 100);
		if (fault_step(FAULT_IO, "read") != 0)
			result = -EIO;
	}
	event = put_event(io, IO_RECEIVED, at, result);
	event->data = io->buffers[at];
	event->buffer = at;
	if (result > 0)
		io->lent[at] = true;
	else
		s->armed = false;
}

/* Everything that was under way has happened when it returns; time passes when nothing was. */
int io_wait(struct io *io, uint64_t deadline_ns)
{
	int error = fault_step(FAULT_MEMORY, "io_wait");

	assert_int_equal(io->event_taken, io->event_count);
	if (error != 0)
		return -error;
	if (io->turns++ == TURNS_MAX)
		fail_msg("%s: it does not end", faults_text());
	for (io_socket i = 1; i <= SOCKETS; i++)
		if (io->sockets[i].kind != KIND_FREE)
			receive(io, i);
	memcpy(io->events, io->coming, io->coming_count * sizeof(io->coming[0]));
	io->event_count = io->coming_count;
	io->event_taken = io->coming_count = 0;
	if (io->event_count == 0 && deadline_ns == NEVER_NS)
		fail_msg("%s: it waits for ever", faults_text());
	if (io->event_count == 0 && deadline_ns > now_ns)
		now_ns = deadline_ns;
	now_ns += MS_NS;
	io->now = now_ns;
	return 0;
}

bool io_next(struct io *io, struct io_event *ret)
{
	while (io->event_taken < io->event_count) {
		*ret = io->events[io->event_taken++];
		if (io->sockets[ret->socket].closing && ret->kind != IO_CLOSED) {
			if (ret->kind == IO_RECEIVED && ret->result > 0)
				io->lent[ret->socket] = false;
			continue;
		}
		if (ret->kind == IO_CLOSED)
			drop(io, ret->socket);
		return true;
	}
	return false;
}

int io_resolve(const char *host, uint16_t port, bool passive, struct io_endpoint *out, unsigned max,
	       unsigned *ret_count, const char **ret_why)
{
	assert_true(!passive && max >= 2 && strcmp(host, "example") == 0 && port == 9999);
	if (fault_step(FAULT_IO | FAULT_MEMORY | FAULT_DESCRIPTORS, "io_resolve") != 0) {
		*ret_why = "Temporary failure in name resolution";
		return -EAGAIN;
	}
	memset(out, 0, 2 * sizeof(*out));
	out[0].peer.family = out[1].peer.family = PEER_IPV4;
	*ret_count = 2;
	return 0;
}

int io_connect(struct io *io, const struct io_endpoint *to, void *owner, io_socket *ret_socket)
{
	int error = fault_step(FAULT_DESCRIPTORS | FAULT_MEMORY, "io_connect");
	struct socket *s;

	assert_int_equal(to->peer.family, PEER_IPV4);
	if (error != 0)
		return -error;
	*ret_socket = free_socket(io);
	s = &io->sockets[*ret_socket];
	s->kind = KIND_CONNECTION;
	s->owner = owner;
	s->connection = __real_calloc(1, sizeof(*s->connection));
	assert_non_null(s->connection);
	wire_init(&s->connection->wire, PROTOCOL_NATIVE, 1000);
	server.connections++;
	put_event(io, IO_CONNECTED, *ret_socket, -fault_step(FAULT_IO, "connect"));
	return 0;
}

int io_adopt(struct io *io, int descriptor, void *owner, io_socket *ret_socket)
{
	int error = fault_step(FAULT_DESCRIPTORS | FAULT_MEMORY, "io_adopt");

	if (error != 0)
		return -error;
	*ret_socket = free_socket(io);
	io->sockets[*ret_socket] = (struct socket){ .kind = KIND_DESCRIPTOR,
						    .owner = owner,
						    .descriptor = descriptor };
	return 0;
}

void io_tune(struct io *io, io_socket socket, enum io_tuning what, int value)
{
	(void)what;
	(void)value;
	assert_int_equal(io->sockets[socket].kind, KIND_CONNECTION);
}

void io_receive(struct io *io, io_socket socket, bool armed)
{
	assert_true(io->sockets[socket].kind != KIND_FREE && !io->sockets[socket].closing);
	io->sockets[socket].armed = armed;
}

void io_buffer_return(struct io *io, uint32_t buffer)
{
	assert_true(io->lent[buffer]);
	io->lent[buffer] = false;
}

/* A connection that breaks here has delivered everything: the server has it, and its answer is lost. */
void io_send(struct io *io, io_socket socket, const struct io_span *spans, unsigned count)
{
	struct connection *c = io->sockets[socket].connection;
	size_t left = SENT_MAX;
	bool breaks = fault_step(FAULT_IO, "send") != 0;

	for (unsigned i = 0; i < count && !c->broken; i++) {
		size_t size = spans[i].size < left ? spans[i].size : left;

		assert_true(c->in_size + size <= sizeof(c->in));
		memcpy(c->in + c->in_size, spans[i].data, size);
		c->in_size += size;
		left -= size;
	}
	if (!c->broken)
		serve(c, false);
	c->broken = c->broken || breaks;
	put_event(io, IO_SENT, socket, c->broken ? -EIO : (int)(SENT_MAX - left));
}

void io_shutdown(struct io *io, io_socket socket)
{
	struct connection *c = io->sockets[socket].connection;

	if (!c->broken)
		serve(c, true);
}

void io_close(struct io *io, io_socket socket, bool reset)
{
	(void)reset;
	assert_true(io->sockets[socket].kind != KIND_FREE && !io->sockets[socket].closing);
	io->sockets[socket].closing = true;
	put_event(io, IO_CLOSED, socket, 0);
}

/* --- clock and chance */

uint64_t clock_monotonic_ns(void)
{
	return now_ns;
}

uint64_t clock_boottime_ns(void)
{
	return now_ns;
}

void random_bytes(void *out, size_t size)
{
	static uint8_t next;

	for (size_t i = 0; i < size; i++)
		((uint8_t *)out)[i] = ++next;
}

/* --- what the client opens itself */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);

int __wrap_open(const char *path, int flags, ...)
{
	int error = fault_step(FAULT_IO | FAULT_DESCRIPTORS, "open");

	if (error == 0)
		return __real_open(path, flags);
	errno = error;
	return -1;
}

int __wrap_access(const char *path, int mode)
{
	int error = fault_step(FAULT_IO, "access");

	if (error == 0)
		return __real_access(path, mode);
	errno = error;
	return -1;
}

/* --- one run */

static char directory[64];

struct run {
	int status;
	char out[CAPTURE_SIZE]; /* what it has printed on stdout and stderr */
};

static void run(const struct client_config *config, const struct fault_row *row, uint64_t at,
		struct run *ret)
{
	char lines[100];
	char out[100];

	memset(&server, 0, sizeof(server));
	now_ns = SECOND_NS;
	snprintf(lines, sizeof(lines), "%s/lines", directory);
	snprintf(out, sizeof(out), "%s/out", directory);
	capture_begin(lines, out);
	faults_arm(row, at);
	ret->status = client_send(config);
	faults_disarm();
	capture_end(ret->out);
}

static void check(const struct run *r)
{
	bool is_reasoned = faults.fired != 0 &&
			   (strstr(r->out, strerror(EIO)) != NULL ||
			    strstr(r->out, strerror(EMFILE)) != NULL ||
			    strstr(r->out, strerror(ENOMEM)) != NULL ||
			    strstr(r->out, "closed the connection without an answer") != NULL ||
			    strstr(r->out, "Temporary failure in name resolution") != NULL);

	switch (r->status) {
	case EXIT_DONE:
		assert_int_equal(server.last, MESSAGES);
		assert_non_null(strstr(r->out, "12 messages acknowledged"));
		break;
	case EXIT_NO_INPUT:
	case EXIT_UNAVAILABLE:
	case EXIT_IO:
	case EXIT_TIMEOUT:
		if (!is_reasoned || strstr(r->out, "roger: ") == NULL)
			fail_msg("%s: status %d: %s", faults_text(), r->status, r->out);
		break;
	default: fail_msg("%s: status %d: %s", faults_text(), r->status, r->out);
	}
}

/* A connection that is lost once, after the first WELCOME, is made again: that is no failure. */
static bool must_succeed(const struct fault_row *row)
{
	return !row->for_good && row->kind == FAULT_IO && server.connections > 1;
}

static char *arguments[MESSAGES];
static char *files[MESSAGES];
static char file_names[MESSAGES][100];

static void write_file(const char *name, const char *text, const char *end)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "a");
	assert_non_null(file);
	fprintf(file, "%s%s", text, end);
	fclose(file);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/roger-client-test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	for (int i = 0; i < MESSAGES; i++) {
		char name[16];

		memset(texts[i], 'a' + i, (size_t)i * 50);
		arguments[i] = texts[i];
		snprintf(name, sizeof(name), "file%d", i);
		snprintf(file_names[i], sizeof(file_names[i]), "%s/%s", directory, name);
		files[i] = file_names[i];
		write_file(name, texts[i], "");
		write_file("lines", texts[i], "\n");
	}
	return 0;
}

static int tear_down(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command);
}

struct scenario {
	const char *name;
	struct client_input input;
	const char *stream_name;
	uint64_t window;
};

static const struct scenario scenarios[] = {
	{ "arguments", { .messages = arguments, .message_count = MESSAGES }, NULL, 100000 },
	{ "arguments, a small window", { .messages = arguments, .message_count = MESSAGES }, "a", 600 },
	{ "lines", { .standard_input = true }, NULL, 100000 },
	{ "files", { .files = files, .file_count = MESSAGES }, "a", 100000 },
};

/* False: so many steps are not made. */
static bool run_with_fault(const struct scenario *s, const struct fault_row *row, uint64_t at)
{
	struct client_config config = {
		.address = { .protocol = PROTOCOL_NATIVE, .host = "example", .port = 9999 },
		.input = s->input,
		.stream_name = s->stream_name,
		.window = s->window,
	};
	unsigned descriptors = descriptors_open();
	int64_t memory = faults.memory;
	static struct run r;

	run(&config, row, at, &r);
	check(&r);
	if (must_succeed(row) && r.status != EXIT_DONE && r.status != EXIT_IO)
		fail_msg("%s: status %d: %s", faults_text(), r.status, r.out);
	if (descriptors_open() != descriptors)
		fail_msg("%s: a descriptor stays open", faults_text());
	if (faults.memory != memory)
		fail_msg("%s: %lld pieces of memory stay", faults_text(),
			 (long long)(faults.memory - memory));
	return faults.fired != 0;
}

static void test_every_step_fails(void **state)
{
	const struct scenario *s = *state;

	for (size_t i = 0; i < FAULT_ROWS; i++) {
		uint64_t n = 1;

		if (fault_rows[i].kind == FAULT_ROOM)
			continue; /* a client writes nothing to a disk */
		while (n < FAULT_STEPS_MAX && run_with_fault(s, &fault_rows[i], n))
			n += FAULT_STRIDE;
		assert_in_range(n, 2, FAULT_STEPS_MAX - 1);
		print_message("%s: %llu steps, %s\n", s->name, (unsigned long long)n - 1,
			      fault_rows[i].name);
	}
}

int main(void)
{
	struct CMUnitTest tests[COUNT_OF(scenarios)];

	for (size_t i = 0; i < COUNT_OF(scenarios); i++)
		tests[i] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = test_every_step_fails,
			.teardown_func = capture_teardown,
			.initial_state = (void *)(uintptr_t)&scenarios[i],
		};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
