/* The cast of a seed: which server, with which options, on which disk; who sends what, and who reads. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "stage.h"
#include "world.h"

static void listen_at(struct address *address, enum protocol protocol, uint16_t port)
{
	*address = (struct address){ .protocol = protocol, .port = port };
	snprintf(address->host, sizeof(address->host), "server");
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
	config->connections_max = is_tight ? (uint32_t)world_between(3, 8) : 32;
	config->memory = (is_tight ? 32 : 40) * MIB;
	config->quiet = true;
	config->log_json = world_draw(4) == 0;
	config->journal.path = JOURNAL_PATH;
	config->journal.streams_max = is_tight ? (uint32_t)world_between(2, 20) : 2000;
	config->journal.message_max = 64 * KIB;
	config->journal.segment_size = SEGMENT_SIZE_MIN << world_draw(3);
	config->journal.keep_bytes =
		world_draw(2) > 0 ? world_between(3, 8) * config->journal.segment_size : 0;
	config->journal.keep_free_bytes = 0;
	config->journal.flush = flushes[world_draw(3)];
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
	actor->message_most = most;
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
	size_t most = world_draw(4) == 0 ? world_between(2000, MESSAGE_MOST)
					 : world_between(40, 2000);

	client_cast(stage, i, kind, most, 0);
	stage->clients[i].config.retry = world_draw(4) > 0;
	if (world_draw(2) == 0)
		stage->clients[i].config.window = world_between(64, 512) * KIB;
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

	stage->is_buffered = world_draw(8) == 0;
	stage->disk = disk_create(capacity, !stage->is_buffered);
	disk_default(stage->disk);
	stage->server_host = host_create("server", stage->disk);
	cast_server(stage);
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
	stage->reader_count = stage->is_volatile ? 0 : (unsigned)world_draw(READERS_MAX + 1);
	for (unsigned i = 0; i < stage->reader_count; i++) {
		stage->readers[i].stage = stage;
		stage->readers[i].number = i;
	}
}
