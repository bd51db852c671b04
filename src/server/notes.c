#include "server/notes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/must.h"
#include "base/text.h"
#include "clock/clock.h"

/* A line while it is put together. What does not fit is cut; fields are sized so that nothing ever is. */
struct line {
	char text[NOTES_LINE_SIZE];
	size_t size;
};

void notes_init(struct notes *notes, int out, int err, bool quiet, bool json)
{
	*notes = (struct notes){
		.out.descriptor = out, .err.descriptor = err, .quiet = quiet, .json = json
	};
}

/* --- a line */

__attribute__((format(printf, 2, 0)))
static void add_list(struct line *line, const char *format, va_list list)
{
	size_t room = sizeof(line->text) - line->size;
	int size = vsnprintf(line->text + line->size, room, format, list);

	must(size >= 0);
	line->size += (size_t)size < room ? (size_t)size : room - 1;
}

__attribute__((format(printf, 2, 3)))
static void add(struct line *line, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	add_list(line, format, list);
	va_end(list);
}

/* `"name":"value"` with a comma before it. The value is UTF-8. */
static void add_string(struct line *line, const char *name, const uint8_t *data, size_t size)
{
	size_t length;

	add(line, ",\"%s\":\"", name);
	length = text_json(line->text + line->size, sizeof(line->text) - line->size, data, size);
	if (length != SIZE_MAX)
		line->size += length;
	add(line, "\"");
}

static void add_text(struct line *line, const char *name, const char *text)
{
	if (text_is_utf8((const uint8_t *)text, strlen(text))) {
		add_string(line, name, (const uint8_t *)text, strlen(text));
	} else { /* a path may be anything */
		char escaped[NOTES_LINE_SIZE / 2];
		size_t size = text_escape(escaped, sizeof(escaped), (const uint8_t *)text,
					  strlen(text), sizeof(escaped));

		add_string(line, name, (const uint8_t *)escaped, size);
	}
}

static void begin_json(struct line *line, const char *event)
{
	char time[TEXT_TIME_SIZE];

	add(line, "{\"time\":\"%s\",\"event\":\"%s\"", text_time(clock_realtime_ns(), time),
	    event);
}

static void add_peer(struct line *line, const struct peer *peer)
{
	char text[PEER_TEXT_SIZE];

	add_text(line, "peer", peer_text(peer, text));
}

/* The bytes of a payload that are shown, not cutting a UTF-8 sequence in two. */
static size_t shown_size(const uint8_t *data, size_t size)
{
	size_t shown = SHOWN_BYTES;

	if (size <= SHOWN_BYTES)
		return size;
	for (size_t back = 0; back < 4 && (data[shown] & 0xc0) == 0x80; back++)
		shown--;
	return (data[shown] & 0xc0) == 0x80 ? SHOWN_BYTES : shown;
}

static void add_payload(struct line *line, const uint8_t *data, size_t size)
{
	size_t shown = shown_size(data, size);

	if (text_is_utf8(data, shown)) {
		add_string(line, "payload", data, shown);
	} else {
		char base64[(SHOWN_BYTES + 2) / 3 * 4 + 1];
		size_t length = text_base64(base64, data, shown);

		add_string(line, "payload_base64", (const uint8_t *)base64, length);
	}
	if (shown < size)
		add(line, ",\"cut\":true");
}

/* --- writing */

/* A write has failed for good: nobody reads any more. Otherwise (a full disk) a later one may well succeed. */
static bool is_final(int error)
{
	return error == EPIPE || error == EBADF || error == EIO || error == EINVAL;
}

/* All of it, however long that takes. */
static void write_all(struct notes_way *way, const char *data, size_t size)
{
	while (size && !way->closed) {
		ssize_t n = write(way->descriptor, data, size);

		if (n > 0) {
			data += n;
			size -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd ask = { .fd = way->descriptor, .events = POLLOUT };

			poll(&ask, 1, -1);
		} else if (!(n < 0 && errno == EINTR)) {
			way->closed = n < 0 && is_final(errno);
			way->left_out++;
			return;
		}
	}
}

static void end_line(struct line *line, bool json)
{
	const char *end = json ? "}\n" : "\n";
	size_t room = sizeof(line->text) - strlen(end);

	if (line->size > room)
		line->size = room;
	memcpy(line->text + line->size, end, strlen(end));
	line->size += strlen(end);
}

/* The descriptor is not ours alone, so it is not made non-blocking: it is asked. How much was written, 0: nothing now. */
static size_t write_once(struct notes_way *way, const char *data, size_t size)
{
	struct pollfd ask = { .fd = way->descriptor, .events = POLLOUT };
	ssize_t n;

	if (poll(&ask, 1, 0) != 1 || !(ask.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)))
		return 0;
	n = write(way->descriptor, data, size);
	if (n < 0 && is_final(errno))
		way->closed = true; /* serving goes on */
	return n > 0 ? (size_t)n : 0;
}

static size_t write_some(struct notes_way *way, const char *data, size_t size)
{
	size_t done = 0;

	if (!way->bytewise)
		return write_once(way, data, size);
	while (done < size && write_once(way, data + done, 1) == 1)
		done++;
	return done;
}

/* The rest of a line that was begun goes first. True: there is none any more. */
static bool write_rest(struct notes_way *way)
{
	size_t size;

	if (!way->rest_size)
		return true;
	size = write_some(way, way->rest, way->rest_size);
	way->rest_size -= size;
	memmove(way->rest, way->rest + size, way->rest_size);
	return way->rest_size == 0;
}

/* Write it if that does not block. */
static bool write_now(struct notes_way *way, const struct line *line)
{
	size_t size;

	if (way->closed)
		return true;
	if (!write_rest(way))
		return false;
	size = write_some(way, line->text, line->size);
	if (!size)
		return false;
	way->rest_size = line->size - size;
	memcpy(way->rest, line->text + size, way->rest_size);
	return true;
}

/* --- limits */

static void put_left_out(struct notes *notes, struct notes_way *way)
{
	struct line line = { .size = 0 };

	if (!way->left_out) {
		if (!way->closed)
			write_rest(way);
		return;
	}
	if (notes->json) {
		begin_json(&line, "left_out");
		add(&line, ",\"lines\":%" PRIu64, way->left_out);
	} else {
		add(&line, "%s%" PRIu64 " line%s left out", way == &notes->err ? "roger: " : "",
		    way->left_out, way->left_out == 1 ? "" : "s");
	}
	end_line(&line, notes->json);
	if (write_now(way, &line))
		way->left_out = 0;
}

/* Say what was left out, once its second is over. */
static void turn(struct notes *notes, struct notes_way *way, uint64_t now_ns)
{
	if (now_ns - way->window_ns < SECOND_NS)
		return;
	way->window_ns = now_ns;
	way->written = 0;
	put_left_out(notes, way);
}

static bool within_limit(struct notes *notes, struct notes_way *way, uint64_t now_ns)
{
	turn(notes, way, now_ns);
	return way->written < LINES_PER_SECOND;
}

/* A limited line. */
static void put(struct notes *notes, struct notes_way *way, struct line *line)
{
	end_line(line, notes->json);
	way->written++; /* also when it blocks: asking costs as much as writing */
	if (!write_now(way, line))
		way->left_out++;
}

void notes_turn(struct notes *notes, uint64_t now_ns)
{
	turn(notes, &notes->out, now_ns);
	turn(notes, &notes->err, now_ns);
}

static void end_way(struct notes_way *way)
{
	if (way->reopened)
		close(way->descriptor);
	way->closed = way->closed || way->reopened;
	way->reopened = false;
}

void notes_end(struct notes *notes)
{
	put_left_out(notes, &notes->out);
	put_left_out(notes, &notes->err);
	end_way(&notes->out);
	end_way(&notes->err);
}

static uint64_t way_deadline(const struct notes_way *way)
{
	if (way->closed || (!way->left_out && !way->rest_size))
		return NEVER_NS;
	return way->window_ns + SECOND_NS;
}

uint64_t notes_deadline(const struct notes *notes)
{
	uint64_t out_ns = way_deadline(&notes->out), err_ns = way_deadline(&notes->err);

	return out_ns < err_ns ? out_ns : err_ns;
}

/* --- at the start */

void notes_listening(struct notes *notes, const char *address, const char *protocols)
{
	struct line line = { .size = 0 };
	char shown[NOTES_LINE_SIZE / 2]; /* a path may be anything */

	if (notes->json) {
		begin_json(&line, "listening");
		add_text(&line, "address", address);
		if (protocols)
			add_text(&line, "protocols", protocols);
	} else {
		text_one_line(shown, sizeof(shown), address);
		add(&line, "listening on %s", shown);
		if (protocols)
			add(&line, " (%s)", protocols);
	}
	end_line(&line, notes->json);
	write_all(&notes->out, line.text, line.size);
}

__attribute__((format(printf, 5, 0)))
static void say(struct notes *notes, struct notes_way *way, const char *event,
		const char *prefix, const char *format, va_list list)
{
	struct line text = { .size = 0 }, line = { .size = 0 };
	char shown[NOTES_LINE_SIZE]; /* a path in it may be anything */

	add_list(&text, format, list);
	if (notes->json) {
		begin_json(&line, event);
		add_text(&line, "text", text.text);
	} else {
		text_one_line(shown, sizeof(shown), text.text);
		add(&line, "%s%s", prefix, shown);
	}
	if (notes->serving) {
		put(notes, way, &line);
		return;
	}
	end_line(&line, notes->json);
	write_all(way, line.text, line.size);
}

void notes_banner(struct notes *notes, const char *event, const char *format, ...)
{
	va_list list;

	if (notes->quiet)
		return;
	va_start(list, format);
	say(notes, &notes->out, event, "", format, list);
	va_end(list);
}

void notes_say(struct notes *notes, const char *event, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say(notes, &notes->err, event, "roger: ", format, list);
	va_end(list);
}

/* --- while serving */

/* A terminal that takes something need not take a line: it waits in the middle of the write. So it gets a description of
 * our own that does not wait; the one that we were given is others', too. */
static void serve_way(struct notes_way *way)
{
	char path[32];
	int own;

	if (way->closed || !isatty(way->descriptor))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", way->descriptor);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	way->reopened = own >= 0;
	if (way->reopened)
		way->descriptor = own;
	else
		way->bytewise = true;
}

void notes_serve(struct notes *notes)
{
	serve_way(&notes->out);
	serve_way(&notes->err);
	notes->serving = true;
}

bool notes_wanted(struct notes *notes, uint64_t now_ns)
{
	return !notes->quiet && !notes->out.closed && within_limit(notes, &notes->out, now_ns);
}

void notes_skip(struct notes *notes, uint64_t now_ns, uint64_t count)
{
	if (notes->quiet || notes->out.closed)
		return;
	turn(notes, &notes->out, now_ns);
	notes->out.left_out += count;
}

/* May a line be put on stdout? If not, it has been counted. */
static bool wanted_or_skipped(struct notes *notes, uint64_t now_ns)
{
	if (notes_wanted(notes, now_ns))
		return true;
	notes_skip(notes, now_ns, 1);
	return false;
}

void notes_accepted(struct notes *notes, uint64_t now_ns, const struct peer *peer)
{
	struct line line = { .size = 0 };
	char text[PEER_TEXT_SIZE];

	if (!wanted_or_skipped(notes, now_ns))
		return;
	if (notes->json) {
		begin_json(&line, "accepted");
		add_peer(&line, peer);
	} else {
		add(&line, "accepted %s", peer_text(peer, text));
	}
	put(notes, &notes->out, &line);
}

void notes_received(struct notes *notes, uint64_t now_ns, const struct peer *peer,
		    const uint8_t *data, size_t size)
{
	struct line line = { .size = 0 };
	char text[PEER_TEXT_SIZE];

	if (!wanted_or_skipped(notes, now_ns))
		return;
	if (notes->json) {
		begin_json(&line, "received");
		add_peer(&line, peer);
		add(&line, ",\"size\":%zu", size);
		add_payload(&line, data, size);
	} else {
		add(&line, "received %zu byte%s from %s: ", size, size == 1 ? "" : "s",
		    peer_text(peer, text));
		line.size += text_escape(line.text + line.size, sizeof(line.text) - line.size,
					 data, size, SHOWN_BYTES);
	}
	put(notes, &notes->out, &line);
}

void notes_more_bytes(struct notes *notes, uint64_t now_ns, const struct peer *peer,
		      uint64_t bytes)
{
	struct line line = { .size = 0 };
	char text[PEER_TEXT_SIZE];

	if (!wanted_or_skipped(notes, now_ns))
		return;
	if (notes->json) {
		begin_json(&line, "more_bytes");
		add_peer(&line, peer);
		add(&line, ",\"size\":%" PRIu64, bytes);
	} else {
		add(&line, "%" PRIu64 " more byte%s from %s after ACK!", bytes,
		    bytes == 1 ? "" : "s", peer_text(peer, text));
	}
	put(notes, &notes->out, &line);
}

void notes_peer(struct notes *notes, uint64_t now_ns, const char *event, const struct peer *peer,
		const char *format, ...)
{
	struct line text = { .size = 0 }, line = { .size = 0 };
	char name[PEER_TEXT_SIZE];
	va_list list;

	if (!within_limit(notes, &notes->err, now_ns)) {
		notes->err.left_out++;
		return;
	}
	va_start(list, format);
	add_list(&text, format, list);
	va_end(list);
	if (notes->json) {
		begin_json(&line, event);
		add_peer(&line, peer);
		add_text(&line, "text", text.text);
	} else {
		add(&line, "roger: %s: %s", peer_text(peer, name), text.text);
	}
	put(notes, &notes->err, &line);
}
