/* Little-endian integers in byte buffers. Unaligned, no bounds: the caller has checked the size. */
#ifndef ROGER_BASE_BYTES_H
#define ROGER_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint16_t get_u16(const uint8_t *at);
uint32_t get_u32(const uint8_t *at);
uint64_t get_u64(const uint8_t *at);
void put_u16(uint8_t *at, uint16_t value);
void put_u32(uint8_t *at, uint32_t value);
void put_u64(uint8_t *at, uint64_t value);

/* True if all `size` bytes are zero. */
bool bytes_are_zero(const uint8_t *at, size_t size);

/* `size` rounded up to a multiple of `unit` (a power of two). */
uint64_t round_up(uint64_t size, uint64_t unit);

#endif
