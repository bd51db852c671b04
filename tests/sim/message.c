/* Messages that say whose they are: 32 characters of head, then filler.
 *
 *      M sss rrrrr nnnnnnnnn zzzzzz cccccccc filler      (without the spaces)
 *
 * sender, run, number, size of the whole and a checksum of all but itself, in hexadecimal. */
#include <string.h>

#include "base/crc32c.h"
#include "check.h"

enum { SENDER_AT = 1, RUN_AT = 4, NUMBER_AT = 9, SIZE_AT = 18, CHECKSUM_AT = 24 };

static const char digits_of[] = "0123456789abcdef";

static void put_hex(uint8_t *out, unsigned digits, uint64_t value)
{
	for (unsigned i = 0; i < digits; i++)
		out[i] = (uint8_t)digits_of[value >> 4 * (digits - 1 - i) & 15];
}

static bool get_hex(const uint8_t *at, unsigned digits, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < digits; i++) {
		if (at[i] >= '0' && at[i] <= '9')
			value = value << 4 | (uint64_t)(at[i] - '0');
		else if (at[i] >= 'a' && at[i] <= 'f')
			value = value << 4 | (uint64_t)(at[i] - 'a' + 10);
		else
			return false;
	}
	*ret = value;
	return true;
}

static uint64_t scramble(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static size_t draw_size(size_t most, uint64_t chance)
{
	size_t room = most - MESSAGE_HEAD;

	if (chance % 16 == 0)
		return most;
	if (chance % 16 == 1)
		return MESSAGE_HEAD;
	return MESSAGE_HEAD + (size_t)(chance >> 8) % (room + 1);
}

static uint32_t checksum_of(const uint8_t *data, size_t size)
{
	uint32_t crc = crc32c(0, data, CHECKSUM_AT);

	return crc32c(crc, data + MESSAGE_HEAD, size - MESSAGE_HEAD);
}

static void put_name(const struct message *message, uint8_t *out)
{
	out[0] = 'M';
	put_hex(out + SENDER_AT, RUN_AT - SENDER_AT, message->sender);
	put_hex(out + RUN_AT, NUMBER_AT - RUN_AT, message->run);
	put_hex(out + NUMBER_AT, SIZE_AT - NUMBER_AT, message->number);
}

bool message_begins(const struct message *message, const uint8_t *data, size_t size)
{
	uint8_t name[SIZE_AT];

	put_name(message, name);
	return memcmp(data, name, size < SIZE_AT ? size : SIZE_AT) == 0;
}

/* Eight characters at a time, '0' to 'o' each; none waits for the one before it. */
static void fill(uint64_t state, uint8_t *out, size_t size)
{
	size_t i = 0;

	for (; i < size; i += 8) {
		uint64_t text = (state + i) * 0x9e3779b97f4a7c15;

		text = ((text ^ text >> 31) & 0x3f3f3f3f3f3f3f3f) + 0x3030303030303030;
		if (size - i < 8)
			memcpy(out + i, &text, size - i);
		else
			memcpy(out + i, &text, 8);
	}
}

static uint64_t chance_of(const struct message *message)
{
	return scramble((uint64_t)message->sender << 52 ^ (uint64_t)message->run << 32 ^
			message->number ^ 0x9e3779b97f4a7c15);
}

size_t message_size(const struct message *message, size_t most)
{
	return draw_size(most, chance_of(message));
}

size_t message_make(const struct message *message, size_t most, uint8_t *out)
{
	uint64_t state = chance_of(message);
	size_t size = draw_size(most, state);

	put_name(message, out);
	put_hex(out + SIZE_AT, CHECKSUM_AT - SIZE_AT, size);
	fill(state, out + MESSAGE_HEAD, size - MESSAGE_HEAD);
	put_hex(out + CHECKSUM_AT, MESSAGE_HEAD - CHECKSUM_AT, checksum_of(out, size));
	return size;
}

static bool peek(const uint8_t *data, size_t size, struct message *ret)
{
	uint64_t sender, run, number;

	if (size < MESSAGE_HEAD || data[0] != 'M' ||
	    !get_hex(data + SENDER_AT, RUN_AT - SENDER_AT, &sender) ||
	    !get_hex(data + RUN_AT, NUMBER_AT - RUN_AT, &run) ||
	    !get_hex(data + NUMBER_AT, SIZE_AT - NUMBER_AT, &number))
		return false;
	*ret = (struct message){ (uint32_t)sender, (uint32_t)run, number };
	return true;
}

bool message_read(const uint8_t *data, size_t size, struct message *ret)
{
	struct message message;
	uint64_t said, checksum;

	if (!peek(data, size, &message) ||
	    !get_hex(data + SIZE_AT, CHECKSUM_AT - SIZE_AT, &said) || said != size ||
	    !get_hex(data + CHECKSUM_AT, MESSAGE_HEAD - CHECKSUM_AT, &checksum) ||
	    checksum != checksum_of(data, size))
		return false;
	*ret = message;
	return true;
}
