/* How often which duration was measured, to three significant digits, whatever the durations are.
 *
 * Buckets as in Gil Tene's HdrHistogram: below 2048 each value has its own; above, each doubling of the value has 1024 buckets of
 * equal width, so that a bucket is never wider than a thousandth of its values.
 *
 *      value      0 ... 2047 | 2048 ... 4095 | 4096 ... 8191 | ...
 *      width               1 |             2 |             4 | ...
 *      index      0 ... 2047 | 2048 ... 3071 | 3072 ... 4095 | ...
 *
 * Pure; fixed memory, nothing is ever dropped: what is above the highest bucket is counted in it, and the extremes are kept exactly. */
#ifndef ROGER_LOAD_HISTOGRAM_H
#define ROGER_LOAD_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HISTOGRAM_BITS = 11,        /* 2^11 values have a bucket each: the first power of two that gives three digits */
	HISTOGRAM_BITS_MAX = 43,    /* in ns: 2.4 hours, more than anybody waits for an ack */
	HISTOGRAM_BUCKETS = ((HISTOGRAM_BITS_MAX - HISTOGRAM_BITS) << (HISTOGRAM_BITS - 1)) +
			    (1 << HISTOGRAM_BITS),
};

struct histogram {
	uint64_t total;
	uint64_t min;   /* UINT64_MAX: there is none yet */
	uint64_t max;
	double sum;
	uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);

/* `value` was measured `count` times. */
void histogram_add(struct histogram *h, uint64_t value, uint64_t count);

/* The smallest value such that at least `fraction` (0 ... 1) of all are not above it, as the highest value of its bucket, but never
 * above the maximum. 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *h, double fraction);

/* 0 when there are none. */
double histogram_mean(const struct histogram *h);

/* The highest value of a bucket, index < HISTOGRAM_BUCKETS; what values above the last one are counted as. */
uint64_t histogram_bucket_max(unsigned index);

#endif
