#include "server/fence.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"

int fence_init(struct fence *fence, uint32_t item_count, const uint64_t secret[2])
{
	uint32_t slot_count = 2;

	must(item_count < UINT32_C(1) << 30);
	while (slot_count < 2 * item_count)
		slot_count *= 2;
	*fence = (struct fence){ .slot_count = slot_count, .secret = { secret[0], secret[1] } };
	fence->ids = calloc(item_count, sizeof(*fence->ids));
	fence->slots = calloc(slot_count, sizeof(*fence->slots));
	if (fence->ids && fence->slots)
		return 0;
	fence_deinit(fence);
	return -ENOMEM;
}

void fence_deinit(struct fence *fence)
{
	free(fence->ids);
	free(fence->slots);
	*fence = (struct fence){ 0 };
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t home(const struct fence *fence, const struct stream_id *id)
{
	uint64_t low = get_u64(id->bytes) ^ fence->secret[0];
	uint64_t high = get_u64(id->bytes + 8) ^ fence->secret[1];
	uint64_t hash = mix(mix(low, high) ^ fence->secret[0], UINT64_C(0x9e3779b97f4a7c15));

	return (uint32_t)hash & (fence->slot_count - 1);
}

/* The slot of `id`, or the empty one where it would be. */
static uint32_t find(const struct fence *fence, const struct stream_id *id)
{
	uint32_t slot = home(fence, id);

	while (fence->slots[slot] && !stream_id_equal(&fence->ids[fence->slots[slot] - 1], id))
		slot = (slot + 1) & (fence->slot_count - 1);
	return slot;
}

uint32_t fence_put(struct fence *fence, const struct stream_id *id, uint32_t item)
{
	uint32_t slot = find(fence, id);
	uint32_t previous = fence->slots[slot];

	must(!stream_id_is_zero(id) && stream_id_is_zero(&fence->ids[item]));
	if (previous)
		fence->ids[previous - 1] = (struct stream_id){ 0 };
	fence->ids[item] = *id;
	fence->slots[slot] = item + 1;
	return previous ? previous - 1 : FENCE_NONE;
}

void fence_remove(struct fence *fence, uint32_t item)
{
	uint32_t mask = fence->slot_count - 1;
	uint32_t hole, slot;

	if (stream_id_is_zero(&fence->ids[item]))
		return;
	hole = find(fence, &fence->ids[item]);
	must(fence->slots[hole] == item + 1);
	fence->ids[item] = (struct stream_id){ 0 };
	fence->slots[hole] = 0;

	/* Whoever stands behind the hole and may not be cut off from its home moves into it. */
	for (slot = (hole + 1) & mask; fence->slots[slot]; slot = (slot + 1) & mask) {
		uint32_t from = home(fence, &fence->ids[fence->slots[slot] - 1]);

		if (((slot - from) & mask) < ((slot - hole) & mask))
			continue;
		fence->slots[hole] = fence->slots[slot];
		fence->slots[slot] = 0;
		hole = slot;
	}
}
