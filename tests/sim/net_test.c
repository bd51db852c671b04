/* The simulated network: whatever goes wrong, a stream is never changed, doubled or put in another order, and each end hears of what
 * became of it what a kernel would tell. */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/test.h"
#include "fault.h"
#include "net.h"
#include "net_inside.h"
#include "process.h"
#include "world.h"

enum { PORT = 9999, ENDS_MAX = 16, NOT_YET = 1 };

/* No process runs here. */
void sim_io_process_ended(struct process *process, enum process_death how)
{
	(void)process;
	(void)how;
}

void sim_file_process_ended(struct process *process, enum process_death how)
{
	(void)process;
	(void)how;
}

void sim_io_signalled(struct process *process)
{
	(void)process;
}

/* --- both ends of connections */

struct side {
	struct net_end *end;
	uint64_t key;        /* of the pattern that it sends */
	uint64_t expected;   /* of the one that it gets; 0: not known yet */
	uint64_t to_send;
	uint64_t sent;
	uint64_t received;
	bool shuts;          /* when all is sent */
	bool deaf;           /* reads nothing */
	int connected;
	int result;          /* NOT_YET, 0 the end, or -errno */
	int write_error;
};

static struct side sides[ENDS_MAX];
static unsigned side_count;
static struct host *server_host;
static struct host *client_host;
static struct net_listener *listener;
static uint64_t accepted_to_send; /* what each accepted end sends */
static bool accepted_deaf;

static uint8_t pattern(uint64_t key, uint64_t at)
{
	uint64_t x = (key * 1000003 + at) * 0x9e3779b97f4a7c15;

	return (uint8_t)(x >> 40);
}

static void write_on(struct side *side)
{
	uint8_t data[3000];

	while (side->sent < side->to_send && side->write_error == 0) {
		uint64_t left = side->to_send - side->sent;
		size_t size = (size_t)world_between(1, left < sizeof(data) ? left : sizeof(data));

		for (size_t i = 0; i < size; i++)
			data[i] = pattern(side->key, side->sent + i);
		int64_t count = net_write(side->end, data, size);
		if (count == -EAGAIN)
			return;
		if (count < 0)
			side->write_error = (int)count;
		else
			side->sent += (uint64_t)count;
		if (count < (int64_t)size)
			return;
	}
	if (side->shuts && side->sent == side->to_send)
		net_shutdown(side->end);
}

static void on_connected(void *context, int result)
{
	struct side *side = context;

	assert_int_equal(side->connected, NOT_YET);
	side->connected = result;
	if (result == 0)
		write_on(side);
}

static void read_all(struct side *side)
{
	uint8_t data[5000];

	while (side->result == NOT_YET) {
		int64_t count = net_read(side->end, data, (size_t)world_between(1, sizeof(data)));

		if (count == -EAGAIN)
			return;
		if (count <= 0)
			side->result = (int)count;
		for (int64_t i = 0; i < count; i++)
			assert_int_equal(data[i], pattern(side->expected, side->received++));
	}
}

static void on_readable(void *context)
{
	struct side *side = context;

	if (side->deaf)
		return;
	read_all(side);
}

static void on_writable(void *context)
{
	write_on(context);
}

static const struct net_calls calls = {
	.connected = on_connected,
	.readable = on_readable,
	.writable = on_writable,
};

static struct side *side_make(void)
{
	assert_true(side_count < ENDS_MAX);
	struct side *side = &sides[side_count++];

	*side = (struct side){ .connected = NOT_YET, .result = NOT_YET };
	return side;
}

static void on_accepted(void *context, struct net_end *end)
{
	struct side *side = side_make();

	(void)context;
	side->end = end;
	side->expected = net_connection(end) * 2;
	side->key = side->expected + 1;
	side->to_send = accepted_to_send;
	side->deaf = accepted_deaf;
	net_calls_set(end, &calls, side);
	write_on(side);
	on_readable(side);
}

static const struct net_calls listener_calls = { .accepted = on_accepted };

static struct side *dial(uint64_t to_send)
{
	struct side *side = side_make();

	side->end = net_connect(client_host, server_host->number, PORT, &calls, side);
	side->key = net_connection(side->end) * 2;
	side->expected = side->key + 1;
	side->to_send = to_send;
	return side;
}

/* The other end of a connection, once it was accepted. */
static struct side *peer_of(const struct side *side)
{
	for (unsigned i = 0; i < side_count; i++)
		if (&sides[i] != side &&
		    net_connection(sides[i].end) == net_connection(side->end))
			return &sides[i];
	return NULL;
}

static void begin(uint64_t seed)
{
	world_begin(seed);
	net_begin();
	side_count = 0;
	accepted_to_send = 0;
	accepted_deaf = false;
	server_host = host_create("server", NULL);
	client_host = host_create("client", NULL);
	assert_int_equal(net_listen(server_host, PORT, &listener_calls, NULL, &listener), 0);
}

static void end(void)
{
	net_end();
	hosts_forget();
	world_end();
}

static void run_until(uint64_t at_ns)
{
	while (world_next() <= at_ns)
		assert_true(world_step());
}

/* Everything that was asked for, a day at most. */
static void run(void)
{
	run_until(world_now() + 24 * HOUR_NS);
}

/* --- the tests */

static void streams_are_never_changed(void **state)
{
	uint64_t received = 0, broken = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		begin(seed);
		faults_draw(MODE_CRASH);
		accepted_to_send = world_draw(20000);
		for (unsigned i = 0; i < 4; i++)
			dial(world_draw(60000))->shuts = true;
		run();
		for (unsigned i = 0; i < side_count; i++) {
			const struct side *peer = peer_of(&sides[i]);

			if (peer != NULL)
				assert_true(sides[i].received <= peer->sent);
			received += sides[i].received;
			broken += sides[i].result < 0;
		}
		end();
	}
	assert_true(received > 10 * MIB && broken > 10);
}

static void without_faults_all_arrives(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		begin(seed);
		faults_stop();
		accepted_to_send = 10000;
		struct side *client = dial(world_between(1, 100000));
		client->shuts = true;
		run();
		const struct side *server = peer_of(client);
		assert_non_null(server);
		assert_int_equal(client->connected, 0);
		assert_int_equal(server->received, client->to_send);
		assert_int_equal(server->result, 0);
		/* A half-closed connection still brings what comes the other way. */
		assert_int_equal(client->received, 10000);
		assert_int_equal(client->result, NOT_YET);
		net_close(server->end, false);
		run();
		assert_int_equal(client->result, 0);
		end();
	}
}

static void reset_tells_the_peer(void **state)
{
	static const struct {
		const char *name;
		bool reset;
		bool deaf;
		int result;
	} rows[] = {
		{ "closed", false, false, 0 },
		{ "reset", true, false, -ECONNRESET },
		{ "closed with bytes unread", false, true, -ECONNRESET },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		begin(i);
		faults_stop();
		accepted_to_send = 100;
		accepted_deaf = rows[i].deaf;
		struct side *client = dial(100);
		run();
		struct side *server = peer_of(client);
		assert_non_null(server);
		net_close(server->end, rows[i].reset);
		run();
		assert_int_equal(client->received, 100);
		if (client->result != rows[i].result)
			fail_msg("%s: %d", rows[i].name, client->result);
		/* Whoever writes all the same learns that nobody is there. */
		client->to_send++;
		write_on(client);
		run();
		client->to_send++;
		write_on(client);
		assert_true(client->write_error == -ECONNRESET || client->write_error == -EPIPE);
		end();
	}
}

static void vanished(bool back_again)
{
	begin(7);
	faults_stop();
	struct side *client = dial(100);
	run();
	net_user_timeout(client->end, 30 * SECOND_NS);
	server_host->off = true;
	net_vanish(peer_of(client)->end);
	net_listener_vanish(listener);
	run();
	assert_int_equal(client->result, NOT_YET); /* silence is no news */
	server_host->off = !back_again;
	client->to_send += 100;
	write_on(client);
	run();
	assert_int_equal(client->result, back_again ? -ECONNRESET : -ETIMEDOUT);
	end();
}

static void vanished_host_is_silent_until_it_is_back(void **state)
{
	(void)state;
	vanished(false);
	vanished(true);
}

static void hole_holds_back_what_goes_into_it(void **state)
{
	static const struct {
		const char *name;
		bool from;
		bool to;
	} rows[] = { { "both", true, true }, { "from", true, false }, { "to", false, true } };

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		begin(i);
		faults_stop();
		struct side *client = dial(10);
		run();
		struct side *server = peer_of(client);
		uint64_t until_ns = world_now() + 10 * SECOND_NS;
		net_blackhole(client_host, rows[i].from, rows[i].to, until_ns);
		client->to_send += 1000;
		server->to_send += 1000;
		write_on(client);
		write_on(server);
		run_until(until_ns - 1);
		assert_int_equal(server->received, rows[i].from ? 10 : 1010);
		assert_int_equal(client->received, rows[i].to ? 0 : 1000);
		run();
		assert_int_equal(server->received, 1010);
		assert_int_equal(client->received, 1000);
		end();
	}
}

static void hole_without_end_is_mended(void **state)
{
	(void)state;
	begin(3);
	faults_stop();
	struct side *client = dial(10);
	run();
	net_blackhole(server_host, true, true, NEVER_NS);
	client->to_send += 10;
	write_on(client);
	run_until(world_now() + MINUTE_NS);
	assert_int_equal(peer_of(client)->received, 10);
	net_heal();
	run();
	assert_int_equal(peer_of(client)->received, 20);
	end();
}

static void way_back_is_missed_by_who_waits_for_it(void **state)
{
	(void)state;
	begin(5);
	faults_stop();
	struct side *client = dial(10);
	run();
	net_user_timeout(client->end, 20 * SECOND_NS);
	net_blackhole(client_host, false, true, NEVER_NS);
	client->to_send += 10;
	write_on(client);
	run();
	assert_int_equal(peer_of(client)->received, 20); /* delivered ... */
	assert_int_equal(client->result, -ETIMEDOUT);    /* ... and never heard of */
	end();
}

static void nobody_there(void **state)
{
	(void)state;
	begin(1);
	faults_stop();
	struct side *nobody = side_make();
	struct side *nowhere = side_make();
	struct side *off = side_make();
	struct host *other = host_create("other", NULL);
	other->off = true;
	nobody->end = net_connect(client_host, server_host->number, PORT + 1, &calls, nobody);
	nowhere->end = net_connect(client_host, 99, PORT, &calls, nowhere);
	off->end = net_connect(client_host, other->number, PORT, &calls, off);
	run();
	assert_int_equal(nobody->connected, -ECONNREFUSED);
	assert_int_equal(nowhere->connected, -EHOSTUNREACH);
	assert_int_equal(off->connected, -ETIMEDOUT);
	struct net_listener *second;
	assert_int_equal(net_listen(server_host, PORT, &listener_calls, NULL, &second),
			 -EADDRINUSE);
	net_listener_close(listener);
	assert_int_equal(net_listen(server_host, PORT, &listener_calls, NULL, &second), 0);
	end();
}

static void who_reads_nothing_closes_the_window(void **state)
{
	(void)state;
	for (unsigned times_out = 0; times_out < 2; times_out++) {
		begin(11);
		faults_stop();
		accepted_deaf = true;
		struct side *client = dial(4 * MIB);
		net_user_timeout(client->end, times_out ? 30 * SECOND_NS : HOUR_NS);
		run_until(world_now() + MINUTE_NS);
		struct side *server = peer_of(client);
		assert_true(client->sent > 0 && client->sent < client->to_send);
		assert_true(client->sent <= 512 * KIB);
		assert_int_equal(client->result, times_out ? -ETIMEDOUT : NOT_YET);
		server->deaf = false;
		on_readable(server);
		run();
		assert_true(times_out || server->received == 4 * MIB);
		end();
	}
}

static void backlog_waits_for_its_listener(void **state)
{
	(void)state;
	begin(2);
	faults_stop();
	net_listener_accept(listener, false);
	struct side *client = dial(100);
	run();
	assert_int_equal(client->connected, 0);
	assert_int_equal(client->sent, 100);
	assert_null(peer_of(client));
	net_listener_accept(listener, true);
	run();
	assert_int_equal(peer_of(client)->received, 100);
	struct side *late = dial(0);
	net_listener_accept(listener, false);
	run();
	net_listener_close(listener);
	run();
	assert_int_equal(late->result, -ECONNRESET);
	end();
}

/* What a killed process had written comes, whole and unchanged, sometimes behind the first bytes of its successor. */
static void old_bytes_arrive_late(void **state)
{
	uint64_t before = fault_counts[FAULT_NET_OLD_BYTES];

	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		begin(seed);
		faults_draw(MODE_CRASH);
		faults_stop();
		struct side *old = dial(3000);
		run_until(world_now() + 10 * net_world.usual_ns + world_draw(MS_NS));
		bool held = old->connected == 0 && peer_of(old) != NULL;
		struct side *peer = peer_of(old);
		uint64_t sent = old->sent;
		net_abandon(old->end);
		dial(10);
		run();
		if (held) {
			assert_int_equal(peer->received, sent);
			assert_int_equal(peer->result, 0);
		}
		end();
	}
	assert_true(fault_counts[FAULT_NET_OLD_BYTES] > before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_never_changed),
		cmocka_unit_test(without_faults_all_arrives),
		cmocka_unit_test(reset_tells_the_peer),
		cmocka_unit_test(vanished_host_is_silent_until_it_is_back),
		cmocka_unit_test(hole_holds_back_what_goes_into_it),
		cmocka_unit_test(hole_without_end_is_mended),
		cmocka_unit_test(way_back_is_missed_by_who_waits_for_it),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(who_reads_nothing_closes_the_window),
		cmocka_unit_test(backlog_waits_for_its_listener),
		cmocka_unit_test(old_bytes_arrive_late),
	};

	return cmocka_run_group_tests_name("sim_net", tests, NULL, NULL);
}
