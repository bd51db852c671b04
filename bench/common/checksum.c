#include "base/bytes.h"
#include "base/crc32c.h"
#include "common/bench.h"

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif
#ifdef BENCH_ISAL
#include <isa-l/crc.h>
#endif

enum { ISAL_PAYS_FROM = 256 };

#ifdef __SSE4_2__

/* `crc` is the register as the instruction has it: no complement before or after. */
static inline uint64_t step(uint64_t crc, const uint8_t *data, size_t size)
{
	uint64_t word;

	for (; size >= 8; size -= 8, data += 8) {
		memcpy(&word, data, 8);
		crc = _mm_crc32_u64(crc, word);
	}
	if (size & 4) {
		uint32_t half;
		memcpy(&half, data, 4);
		crc = _mm_crc32_u32((uint32_t)crc, half);
		data += 4;
	}
	for (size &= 3; size; size--)
		crc = _mm_crc32_u8((uint32_t)crc, *data++);
	return crc;
}

uint32_t bench_crc32c(uint32_t crc, const void *data, size_t size)
{
#ifdef BENCH_ISAL
	if (size >= ISAL_PAYS_FROM)
		return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)size, ~crc);
#endif
	return ~(uint32_t)step(~crc, data, size);
}

uint32_t bench_checksum(uint32_t seed, uint64_t seq, uint32_t size, const uint8_t *payload)
{
	uint64_t crc = ~seed;

	crc = _mm_crc32_u64(crc, seq);
	crc = _mm_crc32_u32((uint32_t)crc, size);
	if (size >= ISAL_PAYS_FROM)
		return bench_crc32c(~(uint32_t)crc, payload, size);
	return ~(uint32_t)step(crc, payload, size);
}

#else

uint32_t bench_crc32c(uint32_t crc, const void *data, size_t size)
{
	return crc32c(crc, data, size);
}

uint32_t bench_checksum(uint32_t seed, uint64_t seq, uint32_t size, const uint8_t *payload)
{
	uint8_t numbers[12];

	put_u64(numbers, seq);
	put_u32(numbers + 8, size);
	return crc32c(crc32c(seed, numbers, sizeof(numbers)), payload, size);
}

#endif
