/* Little-endian integers in byte buffers. Unaligned, no bounds: the caller has checked the size. */
#ifndef ROGER_BASE_BYTES_H
#define ROGER_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/must.h"

/* Written byte by byte, so that they are right on any machine; compilers make one load or store of it. */

static inline uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static inline uint64_t get_u64(const uint8_t *at)
{
	return (uint64_t)get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

static inline void put_u16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static inline void put_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
	at[2] = (uint8_t)(value >> 16);
	at[3] = (uint8_t)(value >> 24);
}

static inline void put_u64(uint8_t *at, uint64_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
	at[2] = (uint8_t)(value >> 16);
	at[3] = (uint8_t)(value >> 24);
	at[4] = (uint8_t)(value >> 32);
	at[5] = (uint8_t)(value >> 40);
	at[6] = (uint8_t)(value >> 48);
	at[7] = (uint8_t)(value >> 56);
}

/* True if all `size` bytes are zero. */
static inline bool bytes_are_zero(const uint8_t *at, size_t size)
{
	/* A run whose first byte is zero and that equals itself shifted by one is all zero. */
	return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

/* `size` rounded up to a multiple of `unit` (a power of two). The result must fit 64 bits (asserted). */
static inline uint64_t round_up(uint64_t size, uint64_t unit)
{
	must(unit != 0 && (unit & (unit - 1)) == 0);
	must(size <= UINT64_MAX - (unit - 1));
	return (size + unit - 1) & ~(unit - 1);
}

#endif
