#include "base/sha256.h"

#include <string.h>

#include "base/test.h"

static void hex_of(const uint8_t *data, size_t size, char *out)
{
	for (size_t i = 0; i < size; i++) {
		out[2 * i] = "0123456789abcdef"[data[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[data[i] & 15];
	}
	out[2 * size] = '\0';
}

/* FIPS 180-4's examples (NIST, "Examples with intermediate values") and NIST's byte-oriented vectors. */
static const struct {
	const char *name;
	const char *text;
	unsigned times;
	const char *want;
} rows[] = {
	{ "nothing", "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "abc", "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "three blocks",
	  "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
	  "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
	  1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	{ "a million", "a", 1000000,
	  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
};

static void known_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct sha256 sha;
		uint8_t digest[SHA256_SIZE];
		char text[2 * SHA256_SIZE + 1];

		print_message("%s\n", rows[i].name);
		sha256_init(&sha);
		for (unsigned n = 0; n < rows[i].times; n++)
			sha256_update(&sha, rows[i].text, strlen(rows[i].text));
		sha256_final(&sha, digest);
		hex_of(digest, SHA256_SIZE, text);
		assert_string_equal(text, rows[i].want);
	}
}

/* All sizes around the padding's edges (55, 56, 63, 64), cut in two at every byte. */
static void pieces_are_the_same_as_one(void **state)
{
	uint8_t data[130];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t size = 0; size <= sizeof(data); size++) {
		uint8_t whole[SHA256_SIZE], parts[SHA256_SIZE];
		struct sha256 sha;

		sha256_init(&sha);
		sha256_update(&sha, data, size);
		sha256_final(&sha, whole);
		for (size_t cut = 0; cut <= size; cut++) {
			sha256_init(&sha);
			sha256_update(&sha, data, cut);
			sha256_update(&sha, data + cut, size - cut);
			sha256_final(&sha, parts);
			assert_memory_equal(whole, parts, SHA256_SIZE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(pieces_are_the_same_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
