/* What all fuzz targets share: a cursor over the input, from which a target takes its decisions, and its data.
 *
 * A target is one C file with LLVMFuzzerTestOneInput. It is linked twice: by make fuzz with libFuzzer, and in every other build with
 * replay.c, which runs it over fuzz/corpus/NAME and fuzz/regressions/NAME as an ordinary test. What a target demands it says with must():
 * a crash is a find. A target is deterministic, and keeps nothing from one input to the next. */
#ifndef ROGER_FUZZ_FUZZ_H
#define ROGER_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input that has not been used yet. Behind its end everything is zero. */
struct fuzz {
	const uint8_t *data;
	size_t size;
};

static inline size_t fuzz_bytes(struct fuzz *f, void *out, size_t size)
{
	size_t take = size < f->size ? size : f->size;

	memset(out, 0, size);
	if (take > 0)
		memcpy(out, f->data, take);
	f->data += take;
	f->size -= take;
	return take;
}

static inline uint8_t fuzz_u8(struct fuzz *f)
{
	uint8_t byte;

	fuzz_bytes(f, &byte, 1);
	return byte;
}

static inline uint16_t fuzz_u16(struct fuzz *f)
{
	uint8_t bytes[2];

	fuzz_bytes(f, bytes, sizeof(bytes));
	return get_u16(bytes);
}

static inline uint32_t fuzz_u32(struct fuzz *f)
{
	uint8_t bytes[4];

	fuzz_bytes(f, bytes, sizeof(bytes));
	return get_u32(bytes);
}

static inline uint64_t fuzz_u64(struct fuzz *f)
{
	uint8_t bytes[8];

	fuzz_bytes(f, bytes, sizeof(bytes));
	return get_u64(bytes);
}

/* Where mistakes live: mostly small numbers, the edges of the types, and anything. */
static inline uint64_t fuzz_number(struct fuzz *f)
{
	static const uint64_t edges[] = {
		INT64_MAX, UINT64_MAX, UINT32_MAX, INT32_MAX, 4096, 65536
	};
	uint8_t kind = fuzz_u8(f);

	if (kind < 200)
		return kind;
	if (kind < 248)
		return edges[(kind - 200u) / 8] + kind % 8 - 4;
	return kind < 252 ? fuzz_u32(f) : fuzz_u64(f);
}

/* A number for which `count` choices are there. */
static inline unsigned fuzz_choice(struct fuzz *f, unsigned count)
{
	return fuzz_u8(f) % count;
}

#endif
