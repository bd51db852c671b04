/* Received bytes, between the loop's buffers and wire: always one contiguous piece for wire_next, copied as little as possible.
 *
 *      held (a partial message from before)        fresh (what has just arrived, in a buffer that is lent to us)
 *      [ .... begin ######## end .... ]            [ ......... ################ ]
 *
 * Whole messages are looked at where they arrived. Only what begins in one receive and ends in another is held: in a small
 * piece, a medium one (as large as a receive buffer, and room for what one more receive brings) or a large one (its size
 * reserved beforehand). When the held message is complete, bytes that were copied too far are taken back: they are still in the
 * fresh buffer. This does not know whose buffer it is: there is room for a filter (TLS) in front. */
#ifndef ROGER_SERVER_INPUT_H
#define ROGER_SERVER_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/slab.h"
#include "server/large.h"

/* A session is only armed while it holds at most a receive buffer's size, so that one more receive always fits. */
#define INPUT_MEDIUM_SIZE (2 * RECEIVE_BUFFER_SIZE)

struct input_holder {
	uint32_t session;
	uint64_t since_ns;
	bool used;
};

/* The memory behind all inputs. */
struct input_pools {
	struct slab small;            /* PARTIAL_SMALL_SIZE each */
	struct slab medium;           /* INPUT_MEDIUM_SIZE each */
	struct input_holder *holders; /* of the medium pieces */
	struct large large;
};

/* 0 or -ENOMEM. */
int input_pools_init(struct input_pools *pools, uint32_t small_count, uint32_t medium_count,
		     uint64_t large_budget, size_t large_size);
void input_pools_deinit(struct input_pools *pools);

enum input_place {
	INPUT_NOWHERE,
	INPUT_SMALL,
	INPUT_MEDIUM,
	INPUT_LARGE,
};

struct input {
	uint8_t *held;
	const uint8_t *fresh;
	uint32_t held_begin;
	uint32_t held_end;
	uint32_t fresh_size;
	uint32_t
		fresh_taken; /* bytes of the fresh buffer, right before `fresh`, that were copied to the held ones */
	uint32_t fresh_buffer;
	uint8_t place;  /* enum input_place */
	bool has_fresh; /* a buffer is lent to us */
};

struct input_view {
	const uint8_t *data;
	size_t size;
	bool whole; /* these are all the bytes that there are */
};

/* `data` (size > 0) has arrived in buffer number `buffer`, which stays valid until input_settle says that it is free. */
void input_receive(struct input *in, const uint8_t *data, size_t size, uint32_t buffer);

/* How many bytes there are. */
size_t input_size(const struct input *in);

/* There is nothing: no bytes, no piece, no buffer that is lent to us. */
bool input_is_empty(const struct input *in);

/* The front of the bytes, in one piece; at least `need` of them when there are so many and input_grow has made the room. */
void input_view(struct input *in, const struct input_pools *pools, size_t need,
		struct input_view *ret);

/* The first `size` bytes of the last view are done with. */
void input_consume(struct input *in, struct input_pools *pools, size_t size);

/* Can `need` bytes be held in one piece as things are? */
bool input_has_room(const struct input *in, const struct input_pools *pools, size_t need);

struct input_wish {
	size_t need;      /* bytes that the message at the front is known to need */
	size_t reserve;   /* how much to reserve should a large piece be needed for it */
	uint32_t session; /* who asks, and when: for input_oldest */
	uint64_t now_ns;
	bool large; /* false: others wait for large memory, so none now */
	bool instead;     /* large memory will do where there is no medium piece */
};

/* Hold the front of the bytes in a piece where wish->need of them fit. 0; -EAGAIN: large memory has to be waited for; -ENOBUFS:
 * no medium piece to be had. Nothing has changed then. */
int input_grow(struct input *in, struct input_pools *pools, const struct input_wish *wish);

/* Leave the fresh buffer: what is left in it is held. 0: *ret_buffer is free (when there was one: *ret_lent). -EAGAIN: the same, but
 * before more can be received large memory has to be waited for. -ENOBUFS: no medium piece to be had; nothing has changed. */
int input_settle(struct input *in, struct input_pools *pools, const struct input_wish *wish,
		 bool *ret_lent, uint32_t *ret_buffer);

/* Drop everything. *ret_lent, *ret_buffer as above. */
void input_drop(struct input *in, struct input_pools *pools, bool *ret_lent,
		uint32_t *ret_buffer);

/* The session that has held a medium piece for longest, among those that `may` agrees to; UINT32_MAX: none. */
uint32_t input_oldest(const struct input_pools *pools,
		      bool (*may)(void *context, uint32_t session), void *context);

#endif
