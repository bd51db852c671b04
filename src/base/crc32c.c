#include "base/crc32c.h"

#include <stdatomic.h>

#include "base/bytes.h"

#if defined(ROGER_ISAL)
#include <isa-l/crc.h>
#endif

/* clang-format off */

/* Entry i: i divided by the polynomial, eight steps of the reflected long division. */
static const uint32_t table[256] = {
	0x00000000, 0xf26b8303, 0xe13b70f7, 0x1350f3f4, 0xc79a971f, 0x35f1141c, 0x26a1e7e8, 0xd4ca64eb,
	0x8ad958cf, 0x78b2dbcc, 0x6be22838, 0x9989ab3b, 0x4d43cfd0, 0xbf284cd3, 0xac78bf27, 0x5e133c24,
	0x105ec76f, 0xe235446c, 0xf165b798, 0x030e349b, 0xd7c45070, 0x25afd373, 0x36ff2087, 0xc494a384,
	0x9a879fa0, 0x68ec1ca3, 0x7bbcef57, 0x89d76c54, 0x5d1d08bf, 0xaf768bbc, 0xbc267848, 0x4e4dfb4b,
	0x20bd8ede, 0xd2d60ddd, 0xc186fe29, 0x33ed7d2a, 0xe72719c1, 0x154c9ac2, 0x061c6936, 0xf477ea35,
	0xaa64d611, 0x580f5512, 0x4b5fa6e6, 0xb93425e5, 0x6dfe410e, 0x9f95c20d, 0x8cc531f9, 0x7eaeb2fa,
	0x30e349b1, 0xc288cab2, 0xd1d83946, 0x23b3ba45, 0xf779deae, 0x05125dad, 0x1642ae59, 0xe4292d5a,
	0xba3a117e, 0x4851927d, 0x5b016189, 0xa96ae28a, 0x7da08661, 0x8fcb0562, 0x9c9bf696, 0x6ef07595,
	0x417b1dbc, 0xb3109ebf, 0xa0406d4b, 0x522bee48, 0x86e18aa3, 0x748a09a0, 0x67dafa54, 0x95b17957,
	0xcba24573, 0x39c9c670, 0x2a993584, 0xd8f2b687, 0x0c38d26c, 0xfe53516f, 0xed03a29b, 0x1f682198,
	0x5125dad3, 0xa34e59d0, 0xb01eaa24, 0x42752927, 0x96bf4dcc, 0x64d4cecf, 0x77843d3b, 0x85efbe38,
	0xdbfc821c, 0x2997011f, 0x3ac7f2eb, 0xc8ac71e8, 0x1c661503, 0xee0d9600, 0xfd5d65f4, 0x0f36e6f7,
	0x61c69362, 0x93ad1061, 0x80fde395, 0x72966096, 0xa65c047d, 0x5437877e, 0x4767748a, 0xb50cf789,
	0xeb1fcbad, 0x197448ae, 0x0a24bb5a, 0xf84f3859, 0x2c855cb2, 0xdeeedfb1, 0xcdbe2c45, 0x3fd5af46,
	0x7198540d, 0x83f3d70e, 0x90a324fa, 0x62c8a7f9, 0xb602c312, 0x44694011, 0x5739b3e5, 0xa55230e6,
	0xfb410cc2, 0x092a8fc1, 0x1a7a7c35, 0xe811ff36, 0x3cdb9bdd, 0xceb018de, 0xdde0eb2a, 0x2f8b6829,
	0x82f63b78, 0x709db87b, 0x63cd4b8f, 0x91a6c88c, 0x456cac67, 0xb7072f64, 0xa457dc90, 0x563c5f93,
	0x082f63b7, 0xfa44e0b4, 0xe9141340, 0x1b7f9043, 0xcfb5f4a8, 0x3dde77ab, 0x2e8e845f, 0xdce5075c,
	0x92a8fc17, 0x60c37f14, 0x73938ce0, 0x81f80fe3, 0x55326b08, 0xa759e80b, 0xb4091bff, 0x466298fc,
	0x1871a4d8, 0xea1a27db, 0xf94ad42f, 0x0b21572c, 0xdfeb33c7, 0x2d80b0c4, 0x3ed04330, 0xccbbc033,
	0xa24bb5a6, 0x502036a5, 0x4370c551, 0xb11b4652, 0x65d122b9, 0x97baa1ba, 0x84ea524e, 0x7681d14d,
	0x2892ed69, 0xdaf96e6a, 0xc9a99d9e, 0x3bc21e9d, 0xef087a76, 0x1d63f975, 0x0e330a81, 0xfc588982,
	0xb21572c9, 0x407ef1ca, 0x532e023e, 0xa145813d, 0x758fe5d6, 0x87e466d5, 0x94b49521, 0x66df1622,
	0x38cc2a06, 0xcaa7a905, 0xd9f75af1, 0x2b9cd9f2, 0xff56bd19, 0x0d3d3e1a, 0x1e6dcdee, 0xec064eed,
	0xc38d26c4, 0x31e6a5c7, 0x22b65633, 0xd0ddd530, 0x0417b1db, 0xf67c32d8, 0xe52cc12c, 0x1747422f,
	0x49547e0b, 0xbb3ffd08, 0xa86f0efc, 0x5a048dff, 0x8ecee914, 0x7ca56a17, 0x6ff599e3, 0x9d9e1ae0,
	0xd3d3e1ab, 0x21b862a8, 0x32e8915c, 0xc083125f, 0x144976b4, 0xe622f5b7, 0xf5720643, 0x07198540,
	0x590ab964, 0xab613a67, 0xb831c993, 0x4a5a4a90, 0x9e902e7b, 0x6cfbad78, 0x7fab5e8c, 0x8dc0dd8f,
	0xe330a81a, 0x115b2b19, 0x020bd8ed, 0xf0605bee, 0x24aa3f05, 0xd6c1bc06, 0xc5914ff2, 0x37faccf1,
	0x69e9f0d5, 0x9b8273d6, 0x88d28022, 0x7ab90321, 0xae7367ca, 0x5c18e4c9, 0x4f48173d, 0xbd23943e,
	0xf36e6f75, 0x0105ec76, 0x12551f82, 0xe03e9c81, 0x34f4f86a, 0xc69f7b69, 0xd5cf889d, 0x27a40b9e,
	0x79b737ba, 0x8bdcb4b9, 0x988c474d, 0x6ae7c44e, 0xbe2da0a5, 0x4c4623a6, 0x5f16d052, 0xad7d5351,
};

/* clang-format on */

/* From here on without the inversions at both ends: the remainder itself. */

static uint32_t go_by_table(uint32_t crc, const uint8_t *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		crc = crc >> 8 ^ table[(crc ^ at[i]) & 0xff];
	return crc;
}

#if defined(__x86_64__)

#include <nmmintrin.h>

#define INSTRUCTION_TARGET __attribute__((target("sse4.2")))

static bool instruction_exists(void)
{
	return __builtin_cpu_supports("sse4.2");
}

INSTRUCTION_TARGET static inline uint32_t step_8(uint32_t crc, uint64_t value)
{
	return (uint32_t)_mm_crc32_u64(crc, value);
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

#define INSTRUCTION_TARGET
#define HWCAP_CRC32_BIT (1UL << 7) /* HWCAP_CRC32 of asm/hwcap.h, which is not everywhere installed */

static bool instruction_exists(void)
{
	return (getauxval(AT_HWCAP) & HWCAP_CRC32_BIT) != 0;
}

/* As assembly, because gcc and clang want different attributes before they offer the intrinsics. */
static inline uint32_t step_8(uint32_t crc, uint64_t value)
{
	__asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1"
		: "+r"(crc)
		: "r"(value));
	return crc;
}

#else

#define INSTRUCTION_TARGET

static bool instruction_exists(void)
{
	return false;
}

/* Never called; so that what follows needs no other text here. */
static uint32_t step_8(uint32_t crc, uint64_t value)
{
	uint8_t bytes[8];

	put_u64(bytes, value);
	return go_by_table(crc, bytes, sizeof(bytes));
}

#endif

/* The last 1 ... 8 bytes, in the high end of `bytes`; what is below them is not looked at. No branches, since sizes vary and a branch
 * that is guessed wrong costs more than 40 bytes. Zeros before the first byte would change nothing, if the remainder began with zero: so it
 * is put upon the bytes instead, and what of it reaches beyond them (there are fewer than 4) is what is left of it. */
INSTRUCTION_TARGET static inline uint32_t step_last(uint32_t crc, uint64_t bytes, size_t count)
{
	unsigned half = (unsigned)count * 4; /* shifts by 64 are not defined, two by 32 are */
	unsigned above = 64 - 2 * half;
	uint64_t beyond = (uint64_t)crc >> half >> half;

	return step_8(0, (bytes >> above ^ crc) << above) ^ (uint32_t)beyond;
}

/* 1 ... 7 bytes in the high end of 8, without reading beside them. */
static inline uint64_t get_few(const uint8_t *at, size_t size)
{
	unsigned last = (unsigned)(size - 1) * 8;
	uint64_t bytes;

	if (size >= 4)
		bytes = (uint64_t)get_u32(at) | (uint64_t)get_u32(at + size - 4) << (last - 24);
	else
		bytes = (uint64_t)at[0] | (uint64_t)at[size / 2] << (size / 2 * 8) |
			(uint64_t)at[size - 1] << last;
	return bytes << (56 - last);
}

INSTRUCTION_TARGET static inline uint32_t go_by_instruction(uint32_t crc, const uint8_t *at,
							    size_t size)
{
	if (size == 0)
		return crc;
	if (size < 8)
		return step_last(crc, get_few(at, size), size);
	for (; size > 8; at += 8, size -= 8)
		crc = step_8(crc, get_u64(at));
	/* The last 8 bytes, some of which may have had their turn. */
	return step_last(crc, get_u64(at + size - 8), size);
}

/* The 4 bytes of `value`. */
INSTRUCTION_TARGET static inline uint32_t step_4(uint32_t crc, uint32_t value)
{
	return step_last(crc, (uint64_t)value << 32, 4);
}

/* So many bytes and more by the library. It is no faster at 255, and takes half the time at 256 and a tenth at 4096. */
#define LIBRARY_SIZE_MIN 256

#if defined(ROGER_ISAL) && defined(__x86_64__)

#include <immintrin.h>

__attribute__((target("avx"))) static void zero_upper(void)
{
	_mm256_zeroupper();
}

/* ISA-L comes back with something in the upper halves of the vector registers. Then the next SSE instruction, and there is one in any
 * code that moves 16 bytes, and the library's next call wait for about 100 ns each until these halves are put away and brought back. */
static void leave_library(void)
{
	if (__builtin_cpu_supports("avx"))
		zero_upper();
}

#elif defined(ROGER_ISAL)

static void leave_library(void)
{
}

#endif

static uint32_t go_by_library(uint32_t crc, const uint8_t *at, size_t size)
{
#if defined(ROGER_ISAL)
	const size_t piece = 1 << 30; /* it counts in an int */

	for (; size > piece; at += piece, size -= piece)
		crc = crc32_iscsi((unsigned char *)at, (int)piece, crc);
	crc = crc32_iscsi((unsigned char *)at, (int)size, crc);
	leave_library();
	return crc;
#else
	return go_by_instruction(crc, at, size);
#endif
}

/* --- what there is, found out at the first call */

enum { UNKNOWN, ABSENT, PRESENT };

/* Relaxed: whichever thread still sees UNKNOWN finds out the same once more. */
static _Atomic int instruction = UNKNOWN;

static bool find_instruction(void)
{
	bool found = instruction_exists();

	atomic_store_explicit(&instruction, found ? PRESENT : ABSENT, memory_order_relaxed);
	return found;
}

static inline bool has_instruction(void)
{
	int known = atomic_load_explicit(&instruction, memory_order_relaxed);

	return known == PRESENT || (known == UNKNOWN && find_instruction());
}

/* --- in the best way */

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	if (!has_instruction())
		return ~go_by_table(~crc, data, size);
	if (size >= LIBRARY_SIZE_MIN)
		return ~go_by_library(~crc, data, size);
	return ~go_by_instruction(~crc, data, size);
}

INSTRUCTION_TARGET static inline uint32_t head_by_instruction(uint32_t crc, uint64_t first,
							      uint32_t second)
{
	return step_4(step_8(crc, first), second);
}

INSTRUCTION_TARGET static uint32_t headed_by_instruction(uint32_t crc, uint64_t first,
							 uint32_t second, const uint8_t *at,
							 size_t size)
{
	return go_by_instruction(head_by_instruction(crc, first, second), at, size);
}

static uint32_t headed_by_table(uint32_t crc, uint64_t first, uint32_t second, const uint8_t *at,
				size_t size)
{
	uint8_t head[12];

	put_u64(head, first);
	put_u32(head + 8, second);
	return go_by_table(go_by_table(crc, head, sizeof(head)), at, size);
}

uint32_t crc32c_headed(uint32_t crc, uint64_t first, uint32_t second, const void *data, size_t size)
{
	if (!has_instruction())
		return ~headed_by_table(~crc, first, second, data, size);
	if (size >= LIBRARY_SIZE_MIN)
		return ~go_by_library(head_by_instruction(~crc, first, second), data, size);
	return ~headed_by_instruction(~crc, first, second, data, size);
}

static uint32_t word_by_table(uint32_t crc, uint32_t value)
{
	uint8_t bytes[4];

	put_u32(bytes, value);
	return go_by_table(crc, bytes, sizeof(bytes));
}

uint32_t crc32c_u32(uint32_t crc, uint32_t value)
{
	return has_instruction() ? ~step_4(~crc, value) : ~word_by_table(~crc, value);
}

/* --- each way alone */

uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size)
{
	return ~go_by_table(~crc, data, size);
}

bool crc32c_by_instruction(uint32_t *crc, const void *data, size_t size)
{
	if (!instruction_exists())
		return false;
	*crc = ~go_by_instruction(~*crc, data, size);
	return true;
}

bool crc32c_by_library(uint32_t *crc, const void *data, size_t size)
{
#if defined(ROGER_ISAL)
	*crc = ~go_by_library(~*crc, data, size);
	return true;
#else
	(void)crc;
	(void)data;
	(void)size;
	return false;
#endif
}
