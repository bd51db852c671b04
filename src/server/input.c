#include "server/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

int input_pools_init(struct input_pools *pools, uint32_t small_count, uint32_t medium_count,
		     uint64_t large_budget, size_t large_size)
{
	*pools = (struct input_pools){ 0 };
	pools->holders = calloc(medium_count, sizeof(*pools->holders));
	if (pools->holders && slab_init(&pools->small, PARTIAL_SMALL_SIZE, small_count) == 0 &&
	    slab_init(&pools->medium, INPUT_MEDIUM_SIZE, medium_count) == 0 &&
	    large_init(&pools->large, large_budget, large_size) == 0)
		return 0;
	input_pools_deinit(pools);
	return -ENOMEM;
}

void input_pools_deinit(struct input_pools *pools)
{
	if (pools->small.memory)
		slab_deinit(&pools->small);
	if (pools->medium.memory)
		slab_deinit(&pools->medium);
	if (pools->large.memory)
		large_deinit(&pools->large);
	free(pools->holders);
	*pools = (struct input_pools){ 0 };
}

static struct input_holder *holder_of(const struct input_pools *pools, const uint8_t *piece)
{
	return &pools->holders[(size_t)(piece - pools->medium.memory) / pools->medium.piece_size];
}

static size_t capacity(const struct input *in, const struct input_pools *pools)
{
	switch ((enum input_place)in->place) {
	case INPUT_SMALL: return PARTIAL_SMALL_SIZE;
	case INPUT_MEDIUM: return INPUT_MEDIUM_SIZE;
	case INPUT_LARGE: return large_size(&pools->large, in->held);
	case INPUT_NOWHERE: break;
	}
	return 0;
}

static size_t held_size(const struct input *in)
{
	return in->held_end - in->held_begin;
}

static void release(struct input *in, struct input_pools *pools)
{
	switch ((enum input_place)in->place) {
	case INPUT_SMALL: slab_release(&pools->small, in->held); break;
	case INPUT_MEDIUM:
		holder_of(pools, in->held)->used = false;
		slab_release(&pools->medium, in->held);
		break;
	case INPUT_LARGE: large_release(&pools->large, in->held); break;
	case INPUT_NOWHERE: break;
	}
	in->held = NULL;
	in->held_begin = in->held_end = 0;
	in->place = INPUT_NOWHERE;
}

void input_receive(struct input *in, const uint8_t *data, size_t size, uint32_t buffer)
{
	must(!in->has_fresh && size > 0 && size <= RECEIVE_BUFFER_SIZE);
	in->has_fresh = true;
	in->fresh = data;
	in->fresh_size = (uint32_t)size;
	in->fresh_taken = 0;
	in->fresh_buffer = buffer;
}

size_t input_size(const struct input *in)
{
	return held_size(in) + in->fresh_size;
}

bool input_is_empty(const struct input *in)
{
	return in->place == INPUT_NOWHERE && !in->has_fresh;
}

/* Copy up to `size` fresh bytes behind the held ones. */
static void take(struct input *in, size_t room, size_t size)
{
	if (size > in->fresh_size)
		size = in->fresh_size;
	if (!size)
		return;
	if (in->held_end + size > room && in->held_begin) {
		memmove(in->held, in->held + in->held_begin, held_size(in));
		in->held_end -= in->held_begin;
		in->held_begin = 0;
	}
	if (size > room - in->held_end)
		size = room - in->held_end;
	memcpy(in->held + in->held_end, in->fresh, size);
	in->held_end += (uint32_t)size;
	in->fresh += size;
	in->fresh_size -= (uint32_t)size;
	in->fresh_taken += (uint32_t)size;
}

void input_view(struct input *in, const struct input_pools *pools, size_t need,
		struct input_view *ret)
{
	size_t held = held_size(in);

	if (!held) {
		*ret = (struct input_view){ in->fresh, in->fresh_size, true };
		return;
	}
	if (in->fresh_size) {
		/* Twice as much each time where the need is not known, so that a long line is not looked
		 * at once for every byte. */
		size_t target = need > 2 * held ? need : 2 * held;

		if (target < PARTIAL_SMALL_SIZE)
			target = PARTIAL_SMALL_SIZE;
		take(in, capacity(in, pools), target - held);
	}
	*ret = (struct input_view){ in->held + in->held_begin, held_size(in),
				    in->fresh_size == 0 };
}

void input_consume(struct input *in, struct input_pools *pools, size_t size)
{
	size_t rest;

	if (!held_size(in)) {
		must(size <= in->fresh_size);
		if (size) { /* else there may be no buffer at all */
			in->fresh += size;
			in->fresh_size -= (uint32_t)size;
		}
		return;
	}
	must(size <= held_size(in));
	in->held_begin += (uint32_t)size;
	rest = held_size(in);
	if (rest <= in->fresh_taken) {
		if (rest) {
			in->fresh -= rest;
			in->fresh_size += (uint32_t)rest;
		}
		in->fresh_taken = 0; /* what is before `fresh` now has been consumed */
		release(in, pools);
	}
}

bool input_has_room(const struct input *in, const struct input_pools *pools, size_t need)
{
	return need <= capacity(in, pools);
}

/* A piece for `need` bytes: *ret_piece. */
static int acquire(struct input_pools *pools, const struct input_wish *wish, size_t need,
		   enum input_place place, uint8_t **ret_piece)
{
	if (place == INPUT_SMALL) {
		*ret_piece = slab_acquire(&pools->small);
		must(*ret_piece); /* one for each session */
		return 0;
	}
	if (place == INPUT_MEDIUM) {
		*ret_piece = slab_acquire(&pools->medium);
		if (!*ret_piece)
			return -ENOBUFS;
		*holder_of(pools, *ret_piece) =
			(struct input_holder){ wish->session, wish->now_ns, true };
		return 0;
	}
	*ret_piece = wish->large ? large_acquire(&pools->large, need) : NULL;
	return *ret_piece ? 0 : -EAGAIN;
}

static size_t large_need(const struct input_wish *wish, size_t need)
{
	return need > wish->reserve ? need : wish->reserve;
}

/* Move the held bytes to a new piece. */
static int move(struct input *in, struct input_pools *pools, const struct input_wish *wish,
		size_t need, enum input_place place)
{
	size_t held = held_size(in);
	uint8_t *piece;
	int r = acquire(pools, wish, need, place, &piece);

	if (r == -ENOBUFS && wish->instead &&
	    acquire(pools, wish, large_need(wish, need), INPUT_LARGE, &piece) == 0) {
		place = INPUT_LARGE;
		r = 0;
	}
	if (r)
		return r;
	if (held)
		memcpy(piece, in->held + in->held_begin, held);
	release(in, pools);
	in->held = piece;
	in->held_end = (uint32_t)held;
	in->place = (uint8_t)place;
	return 0;
}

int input_grow(struct input *in, struct input_pools *pools, const struct input_wish *wish)
{
	size_t need = wish->need;

	if (need <= capacity(in, pools))
		return 0;
	if (need <= PARTIAL_SMALL_SIZE)
		return move(in, pools, wish, need, INPUT_SMALL);
	if (need <= RECEIVE_BUFFER_SIZE)
		return move(in, pools, wish, need, INPUT_MEDIUM);
	return move(in, pools, wish, large_need(wish, need), INPUT_LARGE);
}

/* Have a piece in which everything fits. */
static int make_room(struct input *in, struct input_pools *pools, const struct input_wish *wish)
{
	size_t size = input_size(in);
	bool want_large = in->place != INPUT_LARGE && size > PARTIAL_SMALL_SIZE &&
			  (wish->need > RECEIVE_BUFFER_SIZE || size > RECEIVE_BUFFER_SIZE);
	int r;

	if (want_large) {
		size_t need = wish->need > size ? wish->need : size;

		r = move(in, pools, wish, large_need(wish, need), INPUT_LARGE);
		if (r != -EAGAIN)
			return r;
	}
	if (size > capacity(in, pools)) {
		must(size <= INPUT_MEDIUM_SIZE);
		r = move(in, pools, wish, size,
			 size <= PARTIAL_SMALL_SIZE ? INPUT_SMALL : INPUT_MEDIUM);
		if (r)
			return r;
	}
	return want_large ? -EAGAIN : 0;
}

int input_settle(struct input *in, struct input_pools *pools, const struct input_wish *wish,
		 bool *ret_lent, uint32_t *ret_buffer)
{
	int r = 0;

	if (in->fresh_size || in->place == INPUT_MEDIUM)
		r = make_room(in, pools, wish);
	if (r == -ENOBUFS)
		return r;
	take(in, capacity(in, pools), in->fresh_size);
	must(in->fresh_size == 0);
	*ret_lent = in->has_fresh;
	*ret_buffer = in->fresh_buffer;
	in->has_fresh = false;
	in->fresh = NULL;
	in->fresh_taken = 0;
	return r;
}

void input_drop(struct input *in, struct input_pools *pools, bool *ret_lent, uint32_t *ret_buffer)
{
	release(in, pools);
	*ret_lent = in->has_fresh;
	*ret_buffer = in->fresh_buffer;
	*in = (struct input){ 0 };
}

uint32_t input_oldest(const struct input_pools *pools,
		      bool (*may)(void *context, uint32_t session), void *context)
{
	const struct input_holder *oldest = NULL;

	for (uint32_t i = 0; i < pools->medium.count; i++) {
		const struct input_holder *holder = &pools->holders[i];

		if (holder->used && (!oldest || holder->since_ns < oldest->since_ns) &&
		    may(context, holder->session))
			oldest = holder;
	}
	return oldest ? oldest->session : UINT32_MAX;
}
