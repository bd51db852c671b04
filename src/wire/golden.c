#include "wire/golden.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/test.h"
#include "wire/native_client.h"

/* --- reading */

static uint8_t hex_digit(char c)
{
	const char *at = strchr("0123456789abcdef", c);

	assert_true(c != '\0' && at != NULL);
	return (uint8_t)(at - "0123456789abcdef");
}

static void take_input(struct golden *g, const char *hex)
{
	for (; *hex != '\0'; hex += hex[2] == ' ' ? 3 : 2) {
		assert_true(g->size < GOLDEN_INPUT_SIZE);
		g->input[g->size++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	}
}

static void append(char *text, const char *line)
{
	assert_true(strlen(text) + strlen(line) + 2 < GOLDEN_TEXT_SIZE);
	strcat(strcat(text, line), "\n");
}

static void take_line(struct golden *g, const char *line)
{
	char word[32];

	if (line[0] == '#') {
		return;
	} else if (strncmp(line, "input ", 6) == 0) {
		take_input(g, line + 6);
		append(g->input_lines, line + 6);
	} else if (strncmp(line, "expect ", 7) == 0) {
		append(g->expect, line + 7);
	} else if (sscanf(line, "protocol %31s", word) == 1) {
		g->protocol = protocol_of_name(word);
		assert_int_not_equal(g->protocol, PROTOCOL_NONE);
	} else if (sscanf(line, "message-max %" SCNu32, &g->message_max) == 1 ||
		   sscanf(line, "welcome %" SCNu64 " %" SCNx32, &g->next_seq, &g->h) == 2) {
		return;
	} else if (strcmp(line, "ended") == 0) {
		g->flags |= WIRE_ENDED;
	} else if (strcmp(line, "drained") == 0) {
		g->flags |= WIRE_DRAINED;
	} else if (strcmp(line, "documented") == 0) {
		g->documented = true;
	} else if (strcmp(line, "decode-only") == 0) {
		g->decode_only = true;
	} else {
		fail_msg("%s: what is \"%s\"?", g->name, line);
	}
}

static void load_one(struct golden *g, const char *file)
{
	char path[512], line[2048];
	FILE *in;

	*g = (struct golden){ 0 };
	snprintf(g->name, sizeof(g->name), "%s", file);
	snprintf(path, sizeof(path), "%s/%s", GOLDEN_DIRECTORY, file);
	in = fopen(path, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		take_line(g, line);
	}
	fclose(in);
	g->is_answers = g->protocol == PROTOCOL_NONE;
	assert_true(g->expect[0] != '\0');
}

static int is_vector(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && strcmp(dot, ".txt") == 0;
}

size_t golden_load(struct golden *ret, size_t count_max)
{
	struct dirent **entries;
	int count = scandir(GOLDEN_DIRECTORY, &entries, is_vector, alphasort);

	assert_true(count >= GOLDEN_COUNT_MIN && (size_t)count <= count_max);
	for (int i = 0; i < count; i++) {
		load_one(&ret[i], entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return (size_t)count;
}

/* --- running */

struct run {
	const struct golden *golden;
	struct wire wire;
	uint32_t seed; /* of the stream that HELLO named */
	char *out;
	size_t written;
	uint8_t joined[GOLDEN_INPUT_SIZE]; /* raw: payloads that are not yet written */
	size_t joined_size;
	bool joined_any;
	bool h_pending;                         /* frames were seen whose history is not yet written */
	uint8_t encoded[2 * GOLDEN_INPUT_SIZE]; /* what was decoded, encoded again */
	size_t encoded_size;
	size_t dropped; /* bytes of what was unfinished at the end */
};

__attribute__((format(printf, 2, 3))) static void put(struct run *run, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	run->written += (size_t)vsnprintf(run->out + run->written, GOLDEN_TEXT_SIZE - run->written,
					  format, arguments);
	va_end(arguments);
	assert_true(run->written < GOLDEN_TEXT_SIZE);
}

static void put_hex(struct run *run, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		put(run, "%02x", data[i]);
}

static void put_message(struct run *run, const char *what, const uint8_t *payload, size_t size)
{
	put(run, "%s%s", what, size > 0 ? " " : "");
	put_hex(run, payload, size);
	put(run, "\n");
}

/* What was held back until something else comes. */
static void flush(struct run *run)
{
	if (run->h_pending)
		put(run, "history %08" PRIx32 "\n", run->wire.h);
	if (run->joined_any)
		put_message(run, "message", run->joined, run->joined_size);
	run->h_pending = false;
	run->joined_any = false;
	run->joined_size = 0;
}

static void encode_frame(struct run *run, uint64_t seq, uint32_t size, const uint8_t *payload)
{
	struct frame_header header = { .size = size,
				       .checksum = frame_checksum(run->seed, seq, size, payload) };

	frame_put_header(run->encoded + run->encoded_size, header);
	run->encoded_size += FRAME_HEADER_SIZE;
	if (size != FRAME_SIZE_BYE) {
		memcpy(run->encoded + run->encoded_size, payload, size);
		run->encoded_size += size;
	}
}

static void show_hello(struct run *run, const struct wire_event *event)
{
	const struct wire_hello *hello = &event->hello;

	put(run, "hello %" PRIu32 " ", hello->flags);
	put_hex(run, hello->stream.bytes, STREAM_ID_SIZE);
	put(run, " %016" PRIx64 " %" PRIu64 "\n", hello->writer, hello->first);
	run->seed = frame_seed(&hello->stream);
	native_put_hello(run->encoded, hello);
	run->encoded_size = NATIVE_HELLO_SIZE;
}

static void show_frames(struct run *run, const struct wire_event *event)
{
	size_t at = 0;

	for (uint32_t i = 0; i < event->count; i++) {
		struct frame_header header = frame_get_header(event->data + at);
		char what[40];

		snprintf(what, sizeof(what), "frame %" PRIu64, event->first_seq + i);
		put_message(run, what, event->data + at + FRAME_HEADER_SIZE, header.size);
		encode_frame(run, event->first_seq + i, header.size,
			     event->data + at + FRAME_HEADER_SIZE);
		at += FRAME_HEADER_SIZE + header.size;
	}
	assert_int_equal(at, event->size);
	assert_int_equal(at, event->consumed);
	run->h_pending = true;
}

static void show_message(struct run *run, const struct wire_event *event)
{
	assert_int_equal(event->count, 1);
	if (run->wire.protocol == PROTOCOL_RAW) {
		assert_true(event->size > 0 && event->size <= run->wire.message_max);
		memcpy(run->joined + run->joined_size, event->data, event->size);
		run->joined_size += event->size;
		run->joined_any = true;
	} else {
		put_message(run, "message", event->data, event->size);
	}
}

/* One event; false when it was the last of the connection. */
static bool show(struct run *run, const struct wire_event *event)
{
	if (event->kind != WIRE_FRAMES &&
	    !(event->kind == WIRE_MESSAGE && run->wire.protocol == PROTOCOL_RAW))
		flush(run);
	switch (event->kind) {
	case WIRE_HELLO:
		show_hello(run, event);
		return true;
	case WIRE_FRAMES:
		show_frames(run, event);
		return true;
	case WIRE_MESSAGE:
		show_message(run, event);
		return true;
	case WIRE_BYE:
		encode_frame(run, run->wire.next_seq, FRAME_SIZE_BYE, NULL);
		put(run, "bye\n");
		return true;
	case WIRE_END:
		put(run, "end %zu\n", event->size);
		run->dropped = event->size;
		return false;
	case WIRE_REFUSED:
		put(run, "refused %d %" PRIu64 "\n", (int)event->fault, event->first_seq);
		return false;
	case WIRE_MORE:
		break;
	}
	fail_msg("event kind %d", (int)event->kind);
	return false;
}

/* Take events from these bytes until there are no more. *at moves on. Returns false when the connection has ended; *ret_need is
 * what WIRE_MORE asked for. */
static bool feed(struct run *run, const uint8_t *input, size_t size, unsigned flags, size_t *at,
		 size_t *ret_need)
{
	for (;;) {
		/* Memory of exactly the right size, so that a sanitizer sees a byte too many. */
		size_t left = size - *at;
		uint8_t *piece = malloc(left > 0 ? left : 1);
		struct wire before = run->wire;
		struct wire_event event, again;
		bool goes_on;

		assert_non_null(piece);
		memcpy(piece, input + *at, left);
		wire_next(&run->wire, piece, left, flags, &event);
		wire_next(&run->wire, piece, left, flags, &again);
		assert_memory_equal(&before, &run->wire, sizeof(before));
		assert_int_equal(event.kind, again.kind);
		assert_int_equal(event.consumed, again.consumed);
		assert_true(event.consumed <= left);

		if (event.kind == WIRE_MORE) {
			assert_true(event.need > left);
			*ret_need = event.need;
			free(piece);
			return true;
		}
		goes_on = show(run, &event);
		wire_accept(&run->wire, &event);
		if (event.kind == WIRE_HELLO)
			wire_welcomed(&run->wire, &event.hello.stream, run->golden->next_seq,
				      run->golden->h);
		*at += event.consumed;
		free(piece);
		if (!goes_on)
			return false;
	}
}

void golden_run(const struct golden *golden, const uint8_t *input, size_t size, size_t cut,
		unsigned first_flags, char out[GOLDEN_TEXT_SIZE])
{
	struct run run = { .golden = golden, .out = out };
	size_t at = 0;
	size_t need = 0;

	out[0] = '\0';
	wire_init(&run.wire, golden->protocol, golden->message_max);
	if (feed(&run, input, cut, first_flags, &at, &need) &&
	    feed(&run, input, size, golden->flags, &at, &need)) {
		flush(&run);
		put(&run, "more %zu\n", need);
	}
	/* encode(decode(x)) == x */
	assert_memory_equal(run.encoded, input, run.encoded_size);
	assert_true(golden->protocol != PROTOCOL_NATIVE || run.encoded_size + run.dropped == at);
}

static void show_answer(struct run *run, const struct native_answer *answer)
{
	const struct wire_welcome *welcome = &answer->welcome;

	switch (answer->kind) {
	case ANSWER_WELCOME:
		put(run, "welcome %" PRIu32 " %" PRIu32 " ", welcome->flags, welcome->message_max);
		put_hex(run, welcome->journal_id, JOURNAL_ID_SIZE);
		put(run, " %" PRIu64 " %" PRIu64 " %016" PRIx64 " %08" PRIx32 "\n", welcome->last,
		    welcome->record, welcome->writer, welcome->h);
		break;
	case ANSWER_ACK:
		put(run, "ack %" PRIu64 " %" PRIu64 "\n", answer->seq, answer->record);
		break;
	case ANSWER_ERROR:
		put(run, "error %" PRIu32 " %" PRIu64 " ", answer->fault, answer->seq);
		put_hex(run, answer->text, answer->text_size);
		put(run, "\n");
		break;
	case ANSWER_WAIT:
		put(run, "wait\n");
		break;
	case ANSWER_DRAIN:
		put(run, "drain %" PRIu32 "\n", answer->wait_ms);
		break;
	case ANSWER_FOREIGN:
		put(run, "foreign\n");
		break;
	case ANSWER_BROKEN:
		put(run, "broken\n");
		break;
	case ANSWER_MORE:
		put(run, "more\n");
		break;
	}
}

static void encode_answer(struct run *run, bool with_preface, const struct native_answer *answer)
{
	static const enum wire_reply_kind kinds[] = {
		[ANSWER_WELCOME] = REPLY_WELCOME,
		[ANSWER_ACK] = REPLY_ACK,
		[ANSWER_ERROR] = REPLY_ERROR,
		[ANSWER_WAIT] = REPLY_WAIT,
		[ANSWER_DRAIN] = REPLY_DRAIN,
	};
	struct wire_reply reply = { .kind = kinds[answer->kind],
				    .with_preface = with_preface,
				    .seq = answer->seq,
				    .record = answer->record,
				    .fault = (enum wire_fault)answer->fault,
				    .wait_ms = answer->wait_ms,
				    .welcome = answer->welcome };

	run->encoded_size +=
		wire_reply(&run->wire, &reply, run->encoded + run->encoded_size,
			   sizeof(run->encoded) - run->encoded_size);
}

/* As feed(): false when the connection has ended. */
static bool feed_answers(struct run *run, const uint8_t *input, size_t size, size_t *at,
			 bool *opened)
{
	for (;;) {
		size_t left = size - *at;
		uint8_t *piece = malloc(left > 0 ? left : 1);
		struct native_answer answer;

		assert_non_null(piece);
		memcpy(piece, input + *at, left);
		native_answer_next(*opened, piece, left, &answer);
		assert_true(answer.consumed <= left);
		if (answer.kind != ANSWER_MORE)
			show_answer(run, &answer);
		if (answer.kind == ANSWER_MORE || answer.kind == ANSWER_BROKEN ||
		    answer.kind == ANSWER_FOREIGN) {
			assert_int_equal(answer.consumed, 0);
			free(piece);
			return answer.kind == ANSWER_MORE;
		}
		if (!run->golden->decode_only)
			encode_answer(run, !*opened, &answer);
		*opened = true;
		*at += answer.consumed;
		free(piece);
	}
}

void golden_run_answers(const struct golden *golden, const uint8_t *input, size_t size, size_t cut,
			char out[GOLDEN_TEXT_SIZE])
{
	struct run run = { .golden = golden, .out = out };
	bool opened = false;
	size_t at = 0;

	out[0] = '\0';
	wire_init(&run.wire, PROTOCOL_NATIVE, 1);
	if (feed_answers(&run, input, cut, &at, &opened) &&
	    feed_answers(&run, input, size, &at, &opened))
		put(&run, "more\n");
	if (!golden->decode_only) {
		assert_int_equal(run.encoded_size, at);
		assert_memory_equal(run.encoded, input, at);
	}
}
