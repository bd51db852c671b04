/* SHA-256 (FIPS 180-4). For names of streams; nothing here depends on its speed. */
#ifndef ROGER_BASE_SHA256_H
#define ROGER_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum {
	SHA256_SIZE = 32,
	SHA256_BLOCK_SIZE = 64,
};

struct sha256 {
	uint32_t state[8];
	uint64_t size; /* bytes taken so far */
	uint8_t block[SHA256_BLOCK_SIZE];
};

void sha256_init(struct sha256 *sha);
void sha256_update(struct sha256 *sha, const void *data, size_t size);
void sha256_final(struct sha256 *sha, uint8_t out[SHA256_SIZE]);

#endif
