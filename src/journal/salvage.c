/* In what follows a *state* is the checksum's remainder, without the inversions at both ends: crc32c(~state, ...) inverted. Of such
 * states all is linear, so any number of bytes can be gone back over at once. Bit 31 is x^0, as ever in reflected polynomials. */
#include "journal/salvage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"

#define POLYNOMIAL 0x82f63b78u
#define ONE 0x80000000u /* x^0 */

enum {
	MARK = 64,    /* bytes between two marks: a sixteenth of the batch in memory, and hardly more to compute */
	HOPS_MAX = 8, /* damaged frames one behind the other whose sizes are believed when the last one leads to a good frame */
};

#define NONE UINT32_MAX

/* --- back over bytes */

/* Four bytes back; what they were must still be added (exclusive or). */
static uint32_t back_word(uint32_t state)
{
	for (unsigned i = 0; i < 32; i++)
		state = (state & ONE) != 0 ? (state ^ POLYNOMIAL) << 1 | 1 : state << 1;
	return state;
}

static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = ONE; a != 0; bit >>= 1) {
		if ((a & bit) != 0)
			product ^= b;
		a &= ~bit;
		b = (b & 1) != 0 ? b >> 1 ^ POLYNOMIAL : b >> 1;
	}
	return product;
}

/* back[i] = x^(-8 * 2^i): once multiplied is 2^i bytes back. */
static void fill_back(uint32_t back[32])
{
	uint32_t value = ONE;

	for (unsigned i = 0; i < 8; i++)
		value = (value & ONE) != 0 ? (value ^ POLYNOMIAL) << 1 | 1 : value << 1;
	for (unsigned i = 0; i < 32; i++) {
		back[i] = value;
		value = multiply(value, value);
	}
}

static uint32_t go_back(const struct salvage *s, uint32_t state, uint32_t size)
{
	for (unsigned i = 0; size != 0; i++, size >>= 1)
		if ((size & 1) != 0)
			state = multiply(s->back[i], state);
	return state;
}

static int fill_marks(struct salvage *s)
{
	uint32_t count = s->size / MARK + 1;
	uint32_t state = 0;

	s->marks = malloc(count * sizeof(*s->marks));
	if (s->marks == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		s->marks[i] = state;
		if (i + 1 < count)
			state = ~crc32c(~state, s->frames + (size_t)i * MARK, MARK);
	}
	fill_back(s->back);
	return 0;
}

/* The state behind the first `size` bytes of the frames, from 0. */
static uint32_t state_behind(const struct salvage *s, uint32_t size)
{
	uint32_t whole = size / MARK;

	return ~crc32c(~s->marks[whole], s->frames + (size_t)whole * MARK, size % MARK);
}

/* --- frames */

/* Where the frame at `at` ends by its size, NONE when that is not within the batch. */
static uint32_t end_at(const struct salvage *s, uint32_t at)
{
	uint32_t room = s->size - at;
	uint32_t size;

	if (room < FRAME_HEADER_SIZE)
		return NONE;
	size = frame_get_header(s->frames + at).size;
	return size > room - FRAME_HEADER_SIZE ? NONE : at + FRAME_HEADER_SIZE + size;
}

static bool is_good(const struct salvage *s, uint32_t index, uint32_t at)
{
	uint32_t end = end_at(s, at);
	const uint8_t *frame = s->frames + at;

	return end != NONE && frame_get_header(frame).checksum ==
				      frame_checksum(s->seed, s->header->first_seq + index,
						     end - at - FRAME_HEADER_SIZE,
						     frame + FRAME_HEADER_SIZE);
}

/* The index of the one frame that this could be by its checksum, NONE when it is none of this batch. */
static uint32_t index_at(const struct salvage *s, uint32_t at)
{
	uint64_t first = s->header->first_seq;
	uint64_t last = first + s->header->count - 1;
	uint32_t end = end_at(s, at);
	uint32_t payload = at + FRAME_HEADER_SIZE;
	uint32_t state;

	if (end == NONE)
		return NONE;
	state = ~frame_get_header(s->frames + at).checksum ^ state_behind(s, end);
	state = go_back(s, state, end - payload) ^ state_behind(s, payload);
	state = back_word(back_word(state) ^ (end - payload));
	/* Before it stood the number: its upper half is one of two, and then its lower half is known. */
	for (uint64_t high = first >> 32; high <= last >> 32; high++) {
		uint64_t seq = high << 32 |
			       (uint32_t)(back_word(state ^ (uint32_t)high) ^ ~s->seed);

		if (seq >= first && seq <= last)
			return (uint32_t)(seq - first);
	}
	return NONE;
}

/* A frame `index` at `at` by its checksum: does what stands behind it say so, too? */
static bool is_confirmed(const struct salvage *s, uint32_t index, uint32_t at)
{
	for (unsigned i = 0; i < HOPS_MAX; i++) {
		at = end_at(s, at);
		index++;
		if (at == NONE)
			return false;
		if (index == s->header->count)
			return at == s->header->bytes;
		if (is_good(s, index, at))
			return true;
	}
	return false;
}

/* As many frames as there are between must have room, and so must those that follow. */
static bool is_possible(const struct salvage *s, uint32_t index, uint32_t at)
{
	return index > s->index && (at - s->at) / FRAME_HEADER_SIZE >= index - s->index &&
	       (s->header->bytes - at) / FRAME_HEADER_SIZE >= s->header->count - index;
}

/* By the sizes of damaged frames. */
static bool find_by_size(const struct salvage *s, uint32_t *index, uint32_t *at)
{
	for (unsigned i = 0; i < HOPS_MAX; i++) {
		*at = end_at(s, *at);
		(*index)++;
		if (*at == NONE || *index == s->header->count)
			return false;
		if (is_good(s, *index, *at))
			return true;
	}
	return false;
}

static bool find_anywhere(const struct salvage *s, uint32_t *index, uint32_t *at)
{
	for (*at = s->at + FRAME_HEADER_SIZE; *at < s->size; (*at)++) {
		*index = index_at(s, *at);
		if (*index != NONE && is_possible(s, *index, *at) &&
		    is_confirmed(s, *index, *at) && is_good(s, *index, *at))
			return true;
	}
	return false;
}

/* Pass over what is lost. */
static int pass_lost(struct salvage *s)
{
	uint32_t index = s->index, at = s->at;
	bool found = find_by_size(s, &index, &at);

	if (!found && s->index + 1 < s->header->count && s->size - s->at > FRAME_HEADER_SIZE) {
		if (s->marks == NULL && fill_marks(s) != 0)
			return -ENOMEM;
		found = find_anywhere(s, &index, &at);
	}
	s->index = found ? index : s->header->count;
	s->at = found ? at : s->size;
	return 0;
}

void salvage_begin(struct salvage *s, const struct batch_header *header, const uint8_t *frames,
		   uint32_t size)
{
	*s = (struct salvage){ .header = header,
			       .frames = frames,
			       .size = size < header->bytes ? size : header->bytes,
			       .seed = frame_seed(&header->stream) };
}

int salvage_next(struct salvage *s, struct salvage_run *ret)
{
	uint32_t index = s->index, at = s->at;
	int error = 0;

	if (index == s->header->count)
		return 0;
	ret->good = is_good(s, index, at);
	if (!ret->good)
		error = pass_lost(s);
	for (; ret->good && s->index < s->header->count && is_good(s, s->index, s->at); s->index++)
		s->at = end_at(s, s->at);
	ret->index = index;
	ret->at = at;
	ret->count = s->index - index;
	ret->bytes = s->at - at;
	return error != 0 ? error : 1;
}

void salvage_end(struct salvage *s)
{
	free(s->marks);
	s->marks = NULL;
}
