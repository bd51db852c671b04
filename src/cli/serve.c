#include <stdio.h>
#include <string.h>

#include "base/failure.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "server/server.h"

#define CONNECTIONS_LIMIT 1000000 /* far above what descriptors allow; keeps tables away from any overflow */
#define STREAMS_LIMIT 100000000
#define MEMORY_MIN (1 * MIB)
#define MEMORY_MAX (1024 * GIB)
#define TIME_MIN_NS (1 * MS_NS)

static const char help[] =
	"usage: roger serve [OPTION]...\n"
	"\n"
	"Receives messages, stores them, and only then acknowledges them. Ctrl-C drains.\n"
	"\n"
	"  -l, --listen ADDRESS     [PROTOCOL://]HOST[:PORT] or PROTOCOL+unix:PATH; also\n"
	"                           several (0.0.0.0:9999; roger, raw, whole, line)\n"
	"  -j, --journal DIR        where to store (" JOURNAL_DEFAULT ")\n"
	"      --no-journal         store nothing: an ack only means \"received\"\n"
	"  -q, --quiet              only the listening lines\n"
	"      --log text|json      the form of all lines, and of diagnostics\n"
	"      --max-message SIZE   (1MiB)      --max-connections N  (10000)\n"
	"      --max-streams N      (100000)    --memory SIZE        (64MiB)\n"
	"      --segment-size SIZE  (256MiB)    --flush auto|dsync|fdatasync\n"
	"      --keep-bytes SIZE, --keep-age TIME   delete the oldest beyond that\n"
	"      --keep-free SIZE|PERCENT   of the disk (the smaller of 5% and 1GiB)\n"
	"      --stream-age TIME    forget streams without kept records after that\n"
	"      --io auto|uring|epoll      the event loop's backend\n"
	"  Deadlines: --first-timeout (30s), --message-timeout (10s+size at 10kB/s),\n"
	"      --idle-timeout (10min, plain), --linger-timeout (5s, raw),\n"
	"      --heartbeat (5s)\n"
	"\n"
	"Example:\n"
	"  roger serve -l 127.0.0.1 -l line://127.0.0.1:9998 -j /var/lib/roger\n";

enum {
	ID_LISTEN,
	ID_JOURNAL,
	ID_NO_JOURNAL,
	ID_QUIET,
	ID_LOG,
	ID_MAX_MESSAGE,
	ID_MAX_CONNECTIONS,
	ID_MAX_STREAMS,
	ID_MEMORY,
	ID_SEGMENT_SIZE,
	ID_KEEP_BYTES,
	ID_KEEP_AGE,
	ID_KEEP_FREE,
	ID_IO,
	ID_FLUSH,
	ID_STREAM_AGE,
	ID_FIRST,
	ID_MESSAGE,
	ID_IDLE,
	ID_LINGER,
	ID_HEARTBEAT,
};

static const struct option table[] = {
	{ "listen", 'l', true, ID_LISTEN },
	{ "journal", 'j', true, ID_JOURNAL },
	{ "no-journal", '\0', false, ID_NO_JOURNAL },
	{ "quiet", 'q', false, ID_QUIET },
	{ "log", '\0', true, ID_LOG },
	{ "max-message", '\0', true, ID_MAX_MESSAGE },
	{ "max-connections", '\0', true, ID_MAX_CONNECTIONS },
	{ "max-streams", '\0', true, ID_MAX_STREAMS },
	{ "memory", '\0', true, ID_MEMORY },
	{ "segment-size", '\0', true, ID_SEGMENT_SIZE },
	{ "keep-bytes", '\0', true, ID_KEEP_BYTES },
	{ "keep-age", '\0', true, ID_KEEP_AGE },
	{ "keep-free", '\0', true, ID_KEEP_FREE },
	{ "io", '\0', true, ID_IO },
	{ "flush", '\0', true, ID_FLUSH },
	{ "stream-age", '\0', true, ID_STREAM_AGE },
	{ "first-timeout", '\0', true, ID_FIRST },
	{ "message-timeout", '\0', true, ID_MESSAGE },
	{ "idle-timeout", '\0', true, ID_IDLE },
	{ "linger-timeout", '\0', true, ID_LINGER },
	{ "heartbeat", '\0', true, ID_HEARTBEAT },
};

struct serve {
	struct options o;
	struct server_config config;
	struct address listen[LISTENERS_MAX];
	bool has_journal;
	bool no_journal;
};

static bool set_listen(struct serve *s, const char *value)
{
	if (s->config.listen_count == LISTENERS_MAX) {
		options_complain(&s->o, "more than %d times --listen", LISTENERS_MAX);
		return false;
	}
	if (!options_address(&s->o, value, &s->listen[s->config.listen_count]))
		return false;
	s->config.listen_count++;
	return true;
}

static bool set_u32(const struct serve *s, const char *value, uint32_t max, uint32_t *ret)
{
	uint64_t number;

	if (!options_number(&s->o, value, 1, max, &number))
		return false;
	*ret = (uint32_t)number;
	return true;
}

static bool set_message_max(struct serve *s, const char *value)
{
	uint64_t size;

	/* What fits a commit and a segment is for the journal to say. */
	if (!options_size(&s->o, value, 1, 1 * GIB, &size))
		return false;
	s->config.journal.message_max = (uint32_t)size;
	return true;
}

static bool set_keep_free(struct serve *s, const char *value)
{
	struct journal_config *journal = &s->config.journal;
	size_t length = strlen(value);

	if (length == 0 || value[length - 1] != '%')
		return options_size(&s->o, value, 0, UINT64_MAX - 1, &journal->keep_free_bytes);
	if (!options_percent(&s->o, value, 99, &journal->keep_free_percent))
		return false;
	journal->keep_free_bytes = 0;
	return true;
}

static bool set_log(struct serve *s, const char *value)
{
	static const char *const words[] = { "text", "json", NULL };
	unsigned index;

	if (!options_word(&s->o, value, words, &index))
		return false;
	s->config.log_json = index == 1;
	return true;
}

static bool set_flush(struct serve *s, const char *value)
{
	static const char *const words[] = { "auto", "dsync", "fdatasync", NULL };
	static const enum flush_mode modes[] = { FLUSH_AUTO, FLUSH_DSYNC, FLUSH_FDATASYNC };
	unsigned index;

	if (!options_word(&s->o, value, words, &index))
		return false;
	s->config.journal.flush = modes[index];
	return true;
}

static bool set_io(struct serve *s, const char *value)
{
	static const char *const words[] = { "auto", "uring", "epoll", NULL };
	unsigned index;

	if (!options_word(&s->o, value, words, &index))
		return false;
	s->config.io_backend = words[index];
	return true;
}

static bool set_heartbeat(struct serve *s, const char *value)
{
	uint64_t ns;

	if (!options_time(&s->o, value, TIME_MIN_NS, &ns))
		return false;
	if (ns > HEARTBEAT_MAX_NS) {
		options_complain(&s->o, "%s: must be at most %ds", s->o.name,
				 (int)(HEARTBEAT_MAX_NS / SECOND_NS));
		return false;
	}
	s->config.heartbeat_ns = ns;
	return true;
}

static bool set_option(struct serve *s, int id, const char *value)
{
	struct server_config *c = &s->config;
	const struct options *o = &s->o;

	switch (id) {
	case ID_LISTEN: return set_listen(s, value);
	case ID_JOURNAL:
		s->has_journal = true;
		c->journal.path = value;
		return true;
	case ID_NO_JOURNAL: return s->no_journal = true;
	case ID_QUIET: return c->quiet = true;
	case ID_LOG: return set_log(s, value);
	case ID_MAX_MESSAGE: return set_message_max(s, value);
	case ID_MAX_CONNECTIONS: return set_u32(s, value, CONNECTIONS_LIMIT, &c->connections_max);
	case ID_MAX_STREAMS: return set_u32(s, value, STREAMS_LIMIT, &c->journal.streams_max);
	case ID_MEMORY: return options_size(o, value, MEMORY_MIN, MEMORY_MAX, &c->memory);
	case ID_SEGMENT_SIZE:
		return options_size(o, value, SEGMENT_SIZE_MIN, SEGMENT_SIZE_MAX,
				    &c->journal.segment_size);
	case ID_KEEP_BYTES: return options_size(o, value, 1, UINT64_MAX, &c->journal.keep_bytes);
	case ID_KEEP_AGE: return options_time(o, value, TIME_MIN_NS, &c->journal.keep_age_ns);
	case ID_KEEP_FREE: return set_keep_free(s, value);
	case ID_IO: return set_io(s, value);
	case ID_FLUSH: return set_flush(s, value);
	case ID_STREAM_AGE: return options_time(o, value, TIME_MIN_NS, &c->journal.stream_age_ns);
	case ID_FIRST: return options_time(o, value, TIME_MIN_NS, &c->first_ns);
	case ID_MESSAGE: return options_time(o, value, TIME_MIN_NS, &c->message_ns);
	case ID_IDLE: return options_time(o, value, TIME_MIN_NS, &c->idle_ns);
	case ID_LINGER: return options_time(o, value, TIME_MIN_NS, &c->linger_ns);
	default: return set_heartbeat(s, value);
	}
}

int command_serve(int count, char **arguments)
{
	static struct serve s; /* large, and once */
	const char *value;
	int id;

	options_init(&s.o, "serve", table, sizeof(table) / sizeof(table[0]), arguments, count);
	server_config_default(&s.config);
	s.config.listen = s.listen;
	s.config.journal.path = JOURNAL_DEFAULT;
	while ((id = options_next(&s.o, &value)) != OPTION_END) {
		if (id == OPTION_HELP)
			return options_help(help);
		if (id == OPTION_ARGUMENT)
			return options_unexpected(&s.o, value);
		if (id == OPTION_BAD || !set_option(&s, id, value))
			return EXIT_USAGE;
	}
	if (s.no_journal && s.has_journal)
		return options_complain(&s.o, "--journal and --no-journal exclude each other");
	if (s.no_journal)
		s.config.journal.path = NULL;
	s.config.journal.connections_max = s.config.connections_max;
	return server_run(&s.config);
}
