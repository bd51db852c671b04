#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "load/load.h"

#define WINDOW_MIN (1 * KIB)
#define WINDOW_MAX (64 * GIB)
#define TIME_MIN_NS (1 * MS_NS)
#define DEFAULT_DURATION_NS (10 * SECOND_NS)
#define COUNT_MAX INT64_MAX

enum { DEFAULT_SIZE = 100, DEFAULT_CONNECT_SIZE = 12 };

static const char help[] =
	"usage: roger bench ADDRESS [OPTION]...\n"
	"\n"
	"Sends generated messages, and prints their rate and how long acks take.\n"
	"\n"
	"      --mode stream      keep each connection's window full (the default)\n"
	"      --mode loop        a message, its ack, the next message\n"
	"      --mode connect     plain servers: connect, send, read ACK!, close\n"
	"      --mode idle        open connections and hold them\n"
	"      --size SIZE        of each message (100; connect: 12)\n"
	"      --count N          messages in all, or\n"
	"      --seconds TIME     for so long (10)\n"
	"      --connections N    at the same time (1)\n"
	"      --window SIZE      stream: unacknowledged, for each connection (16MiB)\n"
	"      --rate N           messages a second in all, each at its time: a latency\n"
	"                         counts from then, also if its sender was kept waiting\n"
	"  -w, --timeout TIME     without a new ack, exit 75 (60s)\n"
	"      --json             print one JSON object\n"
	"\n"
	"Example:\n"
	"  roger bench localhost --mode loop --connections 100 --seconds 5\n";

enum {
	ID_MODE,
	ID_SIZE,
	ID_COUNT,
	ID_SECONDS,
	ID_CONNECTIONS,
	ID_WINDOW,
	ID_RATE,
	ID_TIMEOUT,
	ID_JSON,
	ID_COUNT_OF,
};

static const struct option table[] = {
	{ "mode", '\0', true, ID_MODE },
	{ "size", '\0', true, ID_SIZE },
	{ "count", '\0', true, ID_COUNT },
	{ "seconds", '\0', true, ID_SECONDS },
	{ "connections", '\0', true, ID_CONNECTIONS },
	{ "window", '\0', true, ID_WINDOW },
	{ "rate", '\0', true, ID_RATE },
	{ "timeout", 'w', true, ID_TIMEOUT },
	{ "json", '\0', false, ID_JSON },
};

/* In the order of enum load_mode. */
static const char *const modes[] = { "stream", "loop", "connect", "idle", NULL };

struct bench {
	struct options o;
	struct load_config config;
	bool given[ID_COUNT_OF];
	bool has_address;
};

/* --- options */

static bool set_mode(struct bench *b, const char *value)
{
	unsigned index;

	if (!options_word(&b->o, value, modes, &index))
		return false;
	b->config.mode = (enum load_mode)index;
	return true;
}

static bool set_size(const struct bench *b, const char *value, uint32_t *ret)
{
	uint64_t size;

	if (!options_size(&b->o, value, 0, LOAD_SIZE_MAX, &size))
		return false;
	*ret = (uint32_t)size;
	return true;
}

static bool set_connections(const struct bench *b, const char *value, uint32_t *ret)
{
	uint64_t number;

	if (!options_number(&b->o, value, 1, LOAD_CONNECTIONS_MAX, &number))
		return false;
	*ret = (uint32_t)number;
	return true;
}

static bool set_argument(struct bench *b, const char *value)
{
	if (b->has_address) {
		options_unexpected(&b->o, value);
		return false;
	}
	b->has_address = true;
	return options_address(&b->o, value, &b->config.address);
}

static bool set_option(struct bench *b, int id, const char *value)
{
	struct load_config *c = &b->config;
	const struct options *o = &b->o;

	if (id == OPTION_ARGUMENT)
		return set_argument(b, value);
	b->given[id] = true;
	switch (id) {
	case ID_MODE: return set_mode(b, value);
	case ID_SIZE: return set_size(b, value, &c->size);
	case ID_COUNT: return options_number(o, value, 1, COUNT_MAX, &c->count);
	case ID_SECONDS: return options_time(o, value, TIME_MIN_NS, &c->duration_ns);
	case ID_CONNECTIONS: return set_connections(b, value, &c->connections);
	case ID_WINDOW: return options_size(o, value, WINDOW_MIN, WINDOW_MAX, &c->window);
	case ID_RATE: return options_number(o, value, 1, LOAD_RATE_MAX, &c->rate);
	case ID_TIMEOUT: return options_time(o, value, TIME_MIN_NS, &c->timeout_ns);
	default: return true;
	}
}

/* An option that this mode knows nothing of. */
static int check_mode(const struct bench *b)
{
	static const struct {
		int id;
		unsigned modes; /* that know it, as bits */
	} rows[] = {
		{ ID_SIZE, 1u << LOAD_STREAM | 1u << LOAD_LOOP | 1u << LOAD_CONNECT },
		{ ID_COUNT, 1u << LOAD_STREAM | 1u << LOAD_LOOP | 1u << LOAD_CONNECT },
		{ ID_RATE, 1u << LOAD_STREAM | 1u << LOAD_LOOP | 1u << LOAD_CONNECT },
		{ ID_WINDOW, 1u << LOAD_STREAM },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (b->given[rows[i].id] && (rows[i].modes & 1u << b->config.mode) == 0)
			return options_complain(&b->o, "--%s does not go with --mode %s",
						table[rows[i].id].name, modes[b->config.mode]);
	}
	return EXIT_DONE;
}

static int check_address(struct bench *b)
{
	enum protocol spoken = b->config.mode == LOAD_CONNECT ? PROTOCOL_RAW : PROTOCOL_NATIVE;
	struct address *to = &b->config.address;

	if (!b->has_address)
		return options_complain(&b->o, "which address? (roger bench ADDRESS)");
	if (to->protocol == PROTOCOL_NONE)
		to->protocol = spoken;
	if (to->protocol != spoken)
		return options_complain(&b->o, "--mode %s speaks %s://, not %s://",
					modes[b->config.mode], protocol_name((uint8_t)spoken),
					protocol_name((uint8_t)to->protocol));
	if (!to->is_unix && to->port == 0)
		return options_complain(&b->o, "port 0 is for listeners");
	return EXIT_DONE;
}

static int check(struct bench *b)
{
	struct load_config *c = &b->config;
	int result = check_address(b);

	if (result == EXIT_DONE)
		result = check_mode(b);
	if (result != EXIT_DONE)
		return result;
	if (b->given[ID_COUNT] && b->given[ID_SECONDS])
		return options_complain(&b->o, "--count and --seconds exclude each other");
	if (!b->given[ID_COUNT] && !b->given[ID_SECONDS])
		c->duration_ns = DEFAULT_DURATION_NS;
	if (!b->given[ID_SIZE])
		c->size = c->mode == LOAD_CONNECT ? DEFAULT_CONNECT_SIZE : DEFAULT_SIZE;
	if (c->mode == LOAD_CONNECT && c->size == 0)
		return options_complain(&b->o,
					"--size 0: a plain server can not see an empty message");
	return EXIT_DONE;
}

static int parse(struct bench *b)
{
	const char *value;
	int id;

	while ((id = options_next(&b->o, &value)) != OPTION_END) {
		if (id == OPTION_HELP)
			return OPTION_HELP;
		if (id == OPTION_BAD || !set_option(b, id, value))
			return EXIT_USAGE;
	}
	return check(b);
}

/* --- output */

static const struct {
	const char *name;  /* for people */
	const char *field; /* in JSON */
	double fraction;
} quantiles[] = {
	{ "p50", "p50", 0.5 },
	{ "p90", "p90", 0.9 },
	{ "p99", "p99", 0.99 },
	{ "p99.9", "p99_9", 0.999 },
};
enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static double seconds_of(uint64_t ns)
{
	return (double)ns / (double)SECOND_NS;
}

static double us_of(uint64_t ns)
{
	return (double)ns / 1000;
}

static double per_second(const struct load_result *r, double what)
{
	return r->elapsed_ns == 0 ? 0 : what / seconds_of(r->elapsed_ns);
}

/* Where a latency begins and where it ends. */
static const char *latency_text(const struct load_config *c)
{
	switch (c->mode) {
	case LOAD_STREAM:
	case LOAD_LOOP:
		return c->rate > 0 ? "from when a message was due until its ack"
				   : "from handing a message to the client until its ack";
	case LOAD_CONNECT:
		return c->rate > 0 ? "from when a connection was due until ACK!"
				   : "from before the connect until ACK!";
	case LOAD_IDLE: return "from before the connect until WELCOME";
	}
	return "";
}

static void print_latency(const struct load_config *c, const struct load_result *r)
{
	const struct histogram *h = &r->latency;

	if (h->total == 0)
		return;
	printf("latency       ");
	for (size_t i = 0; i < QUANTILES; i++)
		printf("%s %.1f   ", quantiles[i].name,
		       us_of(histogram_quantile(h, quantiles[i].fraction)));
	printf("max %.1f us\n              %s\n", us_of(h->max), latency_text(c));
}

static void note(const char *text)
{
	printf("note          %s\n", text);
}

/* What the figures do not say by themselves. */
static void print_notes(const struct load_config *c, const struct load_result *r)
{
	if ((c->mode == LOAD_LOOP || c->mode == LOAD_CONNECT) && c->rate == 0)
		note("who waits for an ack sends nothing in slow moments, and sees few of them;\n"
		     "              with --rate each latency counts from when the message was due");
	if (r->not_durable)
		note("the server keeps nothing on disk: an ack means \"received\"");
	if (r->not_sent > 0)
		printf("note          %" PRIu64 " more were due: the rate is too high here,\n"
		       "              and the latencies are too good\n",
		       r->not_sent);
	if (r->interrupted)
		note("interrupted");
}

static void print_people(const struct load_config *c, const struct load_result *r)
{
	char address[ADDRESS_TEXT_SIZE];
	char size[TEXT_SIZE_SIZE];

	printf("%s to %s, %" PRIu32 " connection%s", modes[c->mode],
	       address_text(&c->address, address), c->connections, c->connections == 1 ? "" : "s");
	if (c->mode != LOAD_IDLE)
		printf(", %s a message", text_size(c->size, size));
	if (c->mode == LOAD_STREAM)
		printf(", window %s", text_size(c->window, size));
	if (c->rate > 0)
		printf(", %" PRIu64 " messages/s", c->rate);
	putchar('\n');
	if (c->mode == LOAD_IDLE) {
		printf("connections   %" PRIu32 " up, %" PRIu32
		       " lost; opened in %.3f s, held for %.3f s\n",
		       r->up, r->lost, seconds_of(r->opening_ns), seconds_of(r->elapsed_ns));
	} else {
		printf("acknowledged  %" PRIu64 " of %" PRIu64 " messages in %.3f s\n", r->acked,
		       r->sent, seconds_of(r->elapsed_ns));
		printf("rate          %.0f messages/s, %.1f MB/s\n",
		       per_second(r, (double)r->acked),
		       per_second(r, (double)r->acked * c->size / 1e6));
	}
	print_latency(c, r);
	print_notes(c, r);
}

static const char *json_bool(bool value)
{
	return value ? "true" : "false";
}

static void print_json_latency(const struct histogram *h)
{
	const char *comma = "";

	printf("\"latency_us\":{");
	for (size_t i = 0; i < QUANTILES; i++)
		printf("\"%s\":%.3f,", quantiles[i].field,
		       us_of(histogram_quantile(h, quantiles[i].fraction)));
	printf("\"max\":%.3f,\"min\":%.3f,\"mean\":%.3f},", us_of(h->max),
	       us_of(h->total == 0 ? 0 : h->min), histogram_mean(h) / 1000);
	/* The highest latency of each bucket that is not empty, and how many are in it. */
	printf("\"histogram_us\":[");
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->counts[i] == 0)
			continue;
		printf("%s[%.3f,%" PRIu64 "]", comma, us_of(histogram_bucket_max(i)), h->counts[i]);
		comma = ",";
	}
	printf("]");
}

static void print_json(const struct load_config *c, const struct load_result *r)
{
	printf("{\"mode\":\"%s\",\"size\":%" PRIu32 ",\"connections\":%" PRIu32
	       ",\"window\":%" PRIu64 ",\"rate\":%" PRIu64 ",",
	       modes[c->mode], c->size, c->connections, c->mode == LOAD_STREAM ? c->window : 0,
	       c->rate);
	printf("\"messages_per_second\":%.3f,\"bytes_per_second\":%.0f,\"acknowledged\":%" PRIu64
	       ",\"sent\":%" PRIu64 ",\"not_sent\":%" PRIu64 ",\"seconds\":%.9f,",
	       per_second(r, (double)r->acked), per_second(r, (double)r->acked * c->size), r->acked,
	       r->sent, r->not_sent, seconds_of(r->elapsed_ns));
	printf("\"opening_seconds\":%.9f,\"up\":%" PRIu32 ",\"lost\":%" PRIu32
	       ",\"durable\":%s,\"interrupted\":%s,\"latency\":\"%s\",",
	       seconds_of(r->opening_ns), r->up, r->lost,
	       c->mode == LOAD_CONNECT ? "null" : json_bool(!r->not_durable),
	       json_bool(r->interrupted), latency_text(c));
	print_json_latency(&r->latency);
	printf("}\n");
}

static int run(const struct load_config *config, bool json)
{
	struct load_result *result = malloc(sizeof(*result));
	struct failure why = { .status = EXIT_DONE };
	bool failed;

	if (result == NULL) {
		fprintf(stderr, "roger: memory for the result: %s\n", strerror(ENOMEM));
		return EXIT_IO;
	}
	failed = load_run(config, result, &why) < 0;
	if (result->begun)
		(json ? print_json : print_people)(config, result);
	free(result);
	if (!failed)
		return options_output_end();
	fflush(stdout);
	fprintf(stderr, "roger: %s\n", why.text);
	return (int)why.status;
}

int command_bench(int count, char **arguments)
{
	struct bench b = { .config = { .mode = LOAD_STREAM,
				       .connections = 1,
				       .window = DEFAULT_WINDOW,
				       .timeout_ns = DEFAULT_CLIENT_TIMEOUT_NS } };
	int result;

	options_init(&b.o, "bench", table, sizeof(table) / sizeof(table[0]), arguments, count);
	result = parse(&b);
	if (result == OPTION_HELP)
		return options_help(help);
	return result == EXIT_DONE ? run(&b.config, b.given[ID_JSON]) : result;
}
