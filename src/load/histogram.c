#include "load/histogram.h"

#include <string.h>

#include "base/must.h"

enum { HALF_BITS = HISTOGRAM_BITS - 1 };

#define VALUE_MAX (((uint64_t)1 << HISTOGRAM_BITS_MAX) - 1)

/* By how many bits values of this size are rounded. */
static unsigned rounding(uint64_t value)
{
	uint64_t own = ((uint64_t)1 << HISTOGRAM_BITS) - 1; /* values that have a bucket each */

	return 63 - HALF_BITS - (unsigned)__builtin_clzll(value | own);
}

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t count)
{
	uint64_t counted = value < VALUE_MAX ? value : VALUE_MAX;
	unsigned bits = rounding(counted);

	if (count == 0)
		return;
	h->counts[(bits << HALF_BITS) + (unsigned)(counted >> bits)] += count;
	h->total += count;
	h->sum += (double)value * (double)count;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

uint64_t histogram_bucket_max(unsigned index)
{
	unsigned bits;

	must(index < HISTOGRAM_BUCKETS);
	if (index < 1u << HISTOGRAM_BITS)
		return index;
	bits = (index >> HALF_BITS) - 1;
	return (((uint64_t)(index - (bits << HALF_BITS)) + 1) << bits) - 1;
}

uint64_t histogram_quantile(const struct histogram *h, double fraction)
{
	double wanted = fraction * (double)h->total;
	uint64_t below = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t highest;

		below += h->counts[i];
		if (below == 0 || (double)below < wanted)
			continue;
		highest = histogram_bucket_max(i);
		return highest < h->max && i < HISTOGRAM_BUCKETS - 1 ? highest : h->max;
	}
	return h->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->total == 0 ? 0 : h->sum / (double)h->total;
}
