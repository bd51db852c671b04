#include "client/reply.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

enum { PIECE_SIZE = 1024 };

void reply_init(struct reply *reply, FILE *out, bool terminal)
{
	memset(reply, 0, sizeof(*reply));
	reply->out = out;
	reply->terminal = terminal;
}

/* How many bytes at the end may be the beginning of a UTF-8 character: 0 to 3. */
static size_t open_end(const uint8_t *data, size_t size)
{
	for (size_t back = 1; back <= 3 && back <= size; back++) {
		uint8_t byte = data[size - back];
		size_t wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;

		if (byte < 0x80)
			return 0;
		if (byte >= 0xc0)
			return wanted > back ? back : 0;
	}
	return 0;
}

static void put_escaped(struct reply *reply, const uint8_t *data, size_t size)
{
	char out[PIECE_SIZE * 4 + 8];

	while (size > 0) {
		const uint8_t *stop = memchr(data, '\n', size);
		size_t piece = stop != NULL ? (size_t)(stop - data) : size;

		if (piece > PIECE_SIZE) {
			stop = NULL;
			piece = PIECE_SIZE - open_end(data, PIECE_SIZE);
		}
		text_escape(out, sizeof(out), data, piece, piece);
		fputs(out, reply->out);
		if (stop != NULL) {
			fputc('\n', reply->out);
			piece++;
		}
		data += piece;
		size -= piece;
	}
}

void reply_put(struct reply *reply, const uint8_t *data, size_t size)
{
	uint8_t joined[PIECE_SIZE];

	if (size == 0)
		return;
	reply->size += size;
	reply->last = data[size - 1];
	if (!reply->terminal) {
		fwrite(data, 1, size, reply->out);
		fflush(reply->out);
		return;
	}
	while (size > 0) {
		size_t take = sizeof(joined) - reply->held_size;
		size_t total;
		size_t keep;

		if (take > size)
			take = size;
		memcpy(joined, reply->held, reply->held_size);
		memcpy(joined + reply->held_size, data, take);
		total = reply->held_size + take;
		keep = open_end(joined, total);
		put_escaped(reply, joined, total - keep);
		memcpy(reply->held, joined + total - keep, keep);
		reply->held_size = (uint8_t)keep;
		data += take;
		size -= take;
	}
	fflush(reply->out);
}

int reply_end(struct reply *reply)
{
	put_escaped(reply, reply->held, reply->held_size);
	reply->held_size = 0;
	if (reply->size > 0 && reply->last != '\n')
		fputc('\n', reply->out);
	reply->size = 0;
	if (fflush(reply->out) != 0 || ferror(reply->out))
		return errno != 0 ? -errno : -EIO;
	return 0;
}
