/* The cast of a seed: which server, with which options, on which disk; who sends what, and who reads. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "server/memory.h"
#include "stage.h"
#include "world.h"

static void listen_at(struct address *address, enum protocol protocol, uint16_t port)
{
	*address = (struct address){ .protocol = protocol, .port = port };
	snprintf(address->host, sizeof(address->host), "server");
}

/* With how little memory does it start? */
static uint64_t memory_least(const struct server_config *config)
{
	struct server_config tried = *config;
	uint64_t too_little = 0, enough = GIB;
	struct memory_plan plan;
	struct failure why;

	while (enough - too_little > 1) {
		tried.memory = too_little + (enough - too_little) / 2;
		if (memory_plan(&tried, config->connections_max, sim_io_writes_max(), &plan,
				&why) == 0)
			enough = tried.memory;
		else
			too_little = tried.memory;
	}
	return enough;
}

/* Eight receive buffers and four pieces for messages that have begun, or a few more; room for one large message, or a few. */
static uint64_t draw_tight_memory(const struct server_config *config)
{
	static const uint64_t most[] = { 0, 1, 4096, 200 * KIB, MIB, 4 * MIB };

	return memory_least(config) + world_between(0, most[world_draw(6)]);
}

static void draw_sizes(struct stage *stage, bool is_tight)
{
	struct journal_config *journal = &stage->config.journal;
	uint64_t doublings = world_draw(3);

	stage->has_large = is_tight ? world_draw(2) == 0 : world_draw(40) == 0;
	journal->message_max = 64 * KIB;
	if (stage->has_large) {
		if (world_draw(8) == 0)
			doublings = 3;
		journal->message_max = (uint32_t)world_between(
			64 * KIB + 1, (SEGMENT_SIZE_MIN << doublings) / 2 - KIB);
	}
	journal->segment_size = SEGMENT_SIZE_MIN << doublings;
}

static void cast_server(struct stage *stage)
{
	struct server_config *config = &stage->config;
	bool is_tight = stage->mode == MODE_EXHAUSTION;
	static const enum flush_mode flushes[] = { FLUSH_AUTO, FLUSH_DSYNC, FLUSH_FDATASYNC };

	server_config_default(config);
	listen_at(&stage->listen[0], PROTOCOL_NONE, PORT_BOTH);
	listen_at(&stage->listen[1], PROTOCOL_LINE, PORT_LINE);
	listen_at(&stage->listen[2], PROTOCOL_WHOLE, PORT_WHOLE);
	config->listen = stage->listen;
	config->listen_count = 3;
	config->connections_max = is_tight ? (uint32_t)world_between(3, 12) : 32;
	config->quiet = true;
	config->log_json = world_draw(4) == 0;
	config->journal.path = JOURNAL_PATH;
	config->journal.streams_max = is_tight ? (uint32_t)world_between(2, 20) : 2000;
	config->journal.connections_max = config->connections_max;
	draw_sizes(stage, is_tight);
	config->journal.keep_bytes =
		world_draw(2) > 0 ? world_between(3, 8) * config->journal.segment_size : 0;
	config->journal.keep_free_bytes = 0;
	config->journal.flush = flushes[world_draw(3)];
	config->memory = is_tight ? draw_tight_memory(config) : 40 * MIB;
}

static void set_largest(struct client_actor *actor, size_t most)
{
	actor->message_most = most;
	sim_free(actor->line);
	actor->line = sim_alloc(most + 1);
}

void client_cast(struct stage *stage, unsigned i, enum client_kind kind, size_t most,
		 uint64_t count)
{
	struct client_actor *actor = &stage->clients[i];
	struct client_config *config = &actor->config;
	char name[16];

	snprintf(name, sizeof(name), "client%u", i + 1);
	if (actor->host == NULL)
		actor->host = host_create(name, NULL);
	actor->stage = stage;
	actor->sender = i + 1;
	actor->kind = kind;
	set_largest(actor, most);
	actor->count = count;
	snprintf(actor->stream_name, sizeof(actor->stream_name), "stream %u", i + 1);
	*config = (struct client_config){ .retry = true, .window = DEFAULT_WINDOW };
	listen_at(&config->address, PROTOCOL_NATIVE, PORT_BOTH);
	if (kind == CLIENT_RESUME || kind == CLIENT_NEXT)
		config->stream_name = actor->stream_name;
	config->resume = kind == CLIENT_RESUME;
	if (kind == CLIENT_RAW)
		listen_at(&config->address, PROTOCOL_RAW, PORT_BOTH);
	if (kind == CLIENT_LINE)
		listen_at(&config->address, PROTOCOL_LINE, PORT_LINE);
	if (kind == CLIENT_WHOLE)
		listen_at(&config->address, PROTOCOL_WHOLE, PORT_WHOLE);
}

static void draw_client(struct stage *stage, unsigned i)
{
	static const enum client_kind kinds[] = {
		CLIENT_RESUME, CLIENT_NEXT,      CLIENT_EPHEMERAL, CLIENT_RAW,
		CLIENT_NEXT,   CLIENT_EPHEMERAL, CLIENT_LINE,   CLIENT_WHOLE,
	};
	enum client_kind kind = i < 2 ? kinds[i] : kinds[world_draw(8)];
	bool is_tight = stage->mode == MODE_EXHAUSTION;
	size_t most = world_draw(is_tight ? 2 : 4) == 0 ? world_between(2000, MESSAGE_MOST)
							: world_between(40, 2000);

	client_cast(stage, i, kind, most, 0);
	stage->clients[i].config.retry = world_draw(4) > 0;
	if (world_draw(2) == 0)
		stage->clients[i].config.window = world_between(64, 512) * KIB;
}

/* Messages as large as the server takes them, and larger. */
static void draw_large(struct stage *stage)
{
	bool all_arrives = stage->mode == MODE_LIVENESS;
	uint32_t limit = stage->config.journal.message_max;

	for (unsigned i = 0; i < stage->client_count; i++) {
		struct client_actor *actor = &stage->clients[i];
		size_t most = world_between(64 * KIB, limit);

		if (actor->shares || world_draw(2) == 0)
			continue;
		if (!all_arrives && world_draw(4) == 0)
			most = world_between(limit + 1, limit + limit / 4);
		set_largest(actor, most);
	}
}

/* The first two sometimes believe that the same stream is theirs. */
static void draw_rivals(struct stage *stage)
{
	struct client_actor *rival = &stage->clients[1];

	if (world_draw(4) > 0)
		return;
	if (world_draw(3) == 0) {
		client_cast(stage, 1, CLIENT_RESUME, rival->message_most, 0);
		rival->config.retry = true;
	}
	memcpy(rival->stream_name, stage->clients[0].stream_name, sizeof(rival->stream_name));
	rival->shares = stage->clients[0].shares = true;
}

void stage_cast(struct stage *stage)
{
	bool is_tight = stage->mode == MODE_EXHAUSTION;
	uint64_t capacity = is_tight ? world_between(2, 8) * MIB : GIB;

	cast_server(stage);
	if (is_tight && stage->has_large)
		capacity += 4 * stage->config.journal.segment_size;
	stage->is_buffered = world_draw(8) == 0;
	stage->disk = disk_create(capacity, !stage->is_buffered);
	disk_default(stage->disk);
	stage->server_host = host_create("server", stage->disk);
	stage->is_volatile = stage->mode != MODE_CORRUPTION && world_draw(24) == 0;
	if (stage->is_volatile)
		stage->config.journal.path = NULL;
	for (unsigned i = 0; i < SERVERS; i++) {
		stage->servers[i].stage = stage;
		stage->servers[i].is_second = i > 0;
	}
	stage->client_count = (unsigned)world_between(2, CLIENTS_MAX);
	for (unsigned i = 0; i < stage->client_count; i++)
		draw_client(stage, i);
	draw_rivals(stage);
	if (stage->has_large)
		draw_large(stage);
	stage->reader_count = stage->is_volatile ? 0 : (unsigned)world_draw(READERS_MAX + 1);
	for (unsigned i = 0; i < stage->reader_count; i++) {
		stage->readers[i].stage = stage;
		stage->readers[i].number = i;
	}
}

/* What a server may have allocated when it listens: all that it plans to have but for what is not counted (memory.h): large messages, the
 * loop and its receive buffers. */
uint64_t stage_memory_budget(const struct stage *stage)
{
	const struct server_config *config = &stage->config;
	enum { OF_LOOP = 64 }; /* but for that (sim_io_receive.c) */
	struct memory_plan plan;
	struct failure why;

	if (memory_plan(config, config->connections_max, sim_io_writes_max(), &plan, &why) != 0)
		return config->memory;
	return config->memory + OF_LOOP - MEMORY_ROUNDING - plan.large_budget - plan.loop -
	       (uint64_t)plan.buffer_count * (RECEIVE_BUFFER_SIZE + IO_BUFFER_MEMORY);
}

/* What opening may take besides, for a while: a window of 1 MiB and its lists, and what nothing claims, which it copies. That is
 * what was in flight, and what was in flight when that was stamped: commits that fit in staging, twice; and it grows by doubling,
 * beside what it was. */
uint64_t stage_opening_budget(const struct stage *stage)
{
	const struct server_config *config = &stage->config;

	return 2 * MIB + 2 * 3 * journal_memory(&config->journal, sim_io_writes_max());
}
