#include "load/content.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"

enum {
	SPREAD = 4096, /* messages begin at this many different places; small, so that the pool stays in the nearest cache */
	STEP = 64,
	NUMBER_SIZE = 8,
	AHEAD = 32, /* a number is written so many messages early: who reads right behind a small write waits for it */
};

/* Sebastiano Vigna's splitmix64: one multiplication chain, good enough that nothing finds a pattern to compress. */
static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint8_t *message_at(const struct content *c, uint64_t number)
{
	return c->pool + number * STEP % SPREAD;
}

static void write_number(struct content *c, uint64_t number)
{
	uint8_t bytes[NUMBER_SIZE];

	put_u64(bytes, number);
	memcpy(message_at(c, number), bytes, c->size < NUMBER_SIZE ? c->size : NUMBER_SIZE);
}

int content_init(struct content *c, uint32_t size)
{
	size_t room = round_up((uint64_t)size + SPREAD, NUMBER_SIZE);
	uint64_t state = 0;

	*c = (struct content){ .pool = malloc(room), .size = size };
	if (c->pool == NULL)
		return -ENOMEM;
	for (size_t at = 0; at < room; at += NUMBER_SIZE)
		put_u64(c->pool + at, mix(&state));
	for (uint64_t number = 1; number <= AHEAD; number++)
		write_number(c, number);
	return 0;
}

void content_deinit(struct content *c)
{
	free(c->pool);
	c->pool = NULL;
}

const uint8_t *content_next(const struct content *c)
{
	return message_at(c, c->number + 1);
}

void content_take(struct content *c)
{
	c->number++;
	write_number(c, c->number + AHEAD);
}
