#include "cli/show.h"

#include <inttypes.h>

#include "base/protocol.h"
#include "base/text.h"

enum {
	PIECE_SIZE = 3 * 1024, /* of a payload at a time; a multiple of 3, so that base64 needs no padding in between */
};

/* The size of the next piece, which does not cut a UTF-8 character (of valid UTF-8) in two. */
static size_t piece_of(const uint8_t *data, size_t size)
{
	size_t piece = PIECE_SIZE;

	if (size <= PIECE_SIZE)
		return size;
	while (piece > PIECE_SIZE - 4 && (data[piece] & 0xc0) == 0x80)
		piece--;
	return piece;
}

static void put_escaped(FILE *out, const uint8_t *data, size_t size)
{
	char text[PIECE_SIZE * 4 + 8];

	while (size > 0) {
		size_t piece = piece_of(data, size);
		size_t length = text_escape(text, sizeof(text), data, piece, piece);

		fwrite(text, 1, length, out);
		data += piece;
		size -= piece;
	}
}

void show_text(FILE *out, const struct record *record, bool terminal, char line_end)
{
	if (terminal)
		put_escaped(out, record->payload, record->size);
	else
		fwrite(record->payload, 1, record->size, out);
	putc(line_end, out);
}

void show_raw(FILE *out, const struct record *record)
{
	fwrite(record->payload, 1, record->size, out);
}

static void put_json_text(FILE *out, const uint8_t *data, size_t size)
{
	char text[PIECE_SIZE * 6 + 8];

	while (size > 0) {
		size_t piece = piece_of(data, size);
		size_t length = text_json(text, sizeof(text), data, piece);

		fwrite(text, 1, length, out);
		data += piece;
		size -= piece;
	}
}

static void put_base64(FILE *out, const uint8_t *data, size_t size)
{
	char text[PIECE_SIZE * 2];

	while (size > 0) {
		size_t piece = size < PIECE_SIZE ? size : PIECE_SIZE;
		size_t length = text_base64(text, data, piece);

		fwrite(text, 1, length, out);
		data += piece;
		size -= piece;
	}
}

void show_json(FILE *out, const struct record *record, char line_end)
{
	char time[TEXT_TIME_SIZE];
	char peer[PEER_TEXT_SIZE];

	fprintf(out, "{\"record\":%" PRIu64 ",\"stream\":\"", record->number);
	for (unsigned i = 0; i < STREAM_ID_SIZE; i++)
		fprintf(out, "%02x", record->stream.bytes[i]);
	fprintf(out, "\",\"seq\":%" PRIu64 ",", record->seq);
	if (record->gap)
		fprintf(out, "\"gap_after\":%" PRIu64 ",", record->gap_last);
	fprintf(out, "\"time\":\"%s\",\"peer\":\"%s\",\"protocol\":\"%s\",\"size\":%" PRIu32 ",",
		text_time(record->time_ns, time), peer_text(&record->peer, peer),
		protocol_name(record->protocol), record->size);
	if (text_is_utf8(record->payload, record->size)) {
		fputs("\"payload\":\"", out);
		put_json_text(out, record->payload, record->size);
	} else {
		fputs("\"payload_base64\":\"", out);
		put_base64(out, record->payload, record->size);
	}
	fputs("\"}", out);
	putc(line_end, out);
}
