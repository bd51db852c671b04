/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78, initial value and final xor 0xffffffff).
 *
 * crc32c(0, "123456789", 9) == 0xe3069283. A checksum goes on where another ended:
 * crc32c(crc32c(0, a), b) == crc32c(0, a followed by b). */
#ifndef ROGER_BASE_CRC32C_H
#define ROGER_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Any thread. The processor's instruction where there is one (chosen at run time), else a table. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same by table alone, whatever the processor has: what crc32c() is tested against. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size);

#endif
