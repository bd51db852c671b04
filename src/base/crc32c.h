/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78, initial value and final xor 0xffffffff).
 *
 * crc32c(0, "123456789", 9) == 0xe3069283. A checksum goes on where another ended:
 * crc32c(crc32c(0, a), b) == crc32c(0, a followed by b).
 *
 * The processor's instruction where there is one; with it, and in builds with ISA-L (ROGER_ISAL), that library for long ones; else a
 * table. Chosen at run time. Any thread. */
#ifndef ROGER_BASE_CRC32C_H
#define ROGER_BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same of the 4 bytes of `value`, little-endian. */
uint32_t crc32c_u32(uint32_t crc, uint32_t value);

/* The same of the 8 bytes of `first` and the 4 of `second`, both little-endian, and then of `data`, in one go. `data` may be NULL if
 * size is 0. */
uint32_t crc32c_headed(uint32_t crc, uint64_t first, uint32_t second, const void *data,
		       size_t size);

/* In one way alone, whatever the size: for tests, which have them agree. The others are false, and leave *crc, where this machine or
 * build has no such way. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size);
bool crc32c_by_instruction(uint32_t *crc, const void *data, size_t size);
bool crc32c_by_library(uint32_t *crc, const void *data, size_t size);

#endif
