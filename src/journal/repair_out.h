/* The journal that a repair writes: batches in, whole segments out. Under temporary names until everything is durable. */
#ifndef ROGER_JOURNAL_REPAIR_OUT_H
#define ROGER_JOURNAL_REPAIR_OUT_H

#include "base/failure.h"
#include "journal/format.h"

struct repair_out;

/* `path` is made; it must not exist, or be empty (73). `first`: the number of the first record that will come. */
int repair_out_create(const char *path, const uint8_t journal_id[16], uint64_t first,
		      struct repair_out **ret, struct failure *why);

/* The next batch (also one of count 0); header->record must be repair_out_next. Of the header, what concerns its place (f, durable, first,
 * last) is filled in. Copied. 0 or -errno with *why. */
int repair_out_batch(struct repair_out *out, const struct batch_header *header,
		     const uint8_t *frames, struct failure *why);

uint64_t repair_out_next(const struct repair_out *out);

/* Everything durable, then the names. `entries`: the state of the streams before the first record, written as a snapshot when `first`
 * is not 1. 0 or -errno with *why. */
int repair_out_finish(struct repair_out *out, const uint8_t *entries, uint64_t count,
		      struct failure *why);

/* Without repair_out_finish: what has been written is removed. */
void repair_out_destroy(struct repair_out *out);

#endif
