#include "server/fence.h"

#include <errno.h>
#include <stdlib.h>

#include "base/must.h"

int fence_init(struct fence *fence, uint32_t entry_count)
{
	*fence = (struct fence){ .entry_count = entry_count };
	fence->items = calloc(entry_count, sizeof(*fence->items));
	return fence->items ? 0 : -ENOMEM;
}

void fence_deinit(struct fence *fence)
{
	free(fence->items);
	*fence = (struct fence){ 0 };
}

uint32_t fence_put(struct fence *fence, uint32_t entry, uint32_t item)
{
	must(entry < fence->entry_count && item < FENCE_NONE);
	uint32_t previous = fence->items[entry];
	must(previous != item + 1);
	fence->items[entry] = item + 1;
	return previous ? previous - 1 : FENCE_NONE;
}

void fence_remove(struct fence *fence, uint32_t entry, uint32_t item)
{
	must(entry < fence->entry_count);
	if (fence->items[entry] == item + 1)
		fence->items[entry] = 0;
}
