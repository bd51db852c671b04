/* What the messages say: their number (8 bytes, little-endian, as far as they fit), then bytes that do not compress, at other places of
 * the same pool for each message, so that making one costs next to nothing. The same in every run. Pure, but for content_init. */
#ifndef ROGER_LOAD_CONTENT_H
#define ROGER_LOAD_CONTENT_H

#include <stddef.h>
#include <stdint.h>

struct content {
	uint8_t *pool;
	uint32_t size;   /* of each message */
	uint64_t number; /* of the last one that was taken */
};

/* Allocates. 0 or -ENOMEM. */
int content_init(struct content *c, uint32_t size);
void content_deinit(struct content *c);

/* The next message, `size` bytes, until the next call; and the same one again, until it is taken. */
const uint8_t *content_next(const struct content *c);
void content_take(struct content *c);

#endif
