#include <string.h>

#include "base/test.h"
#include "client/client.h"

/* The first 16 bytes of SHA-256, as sha256sum prints them. */
static void names(void **state)
{
	static const struct {
		const char *name;
		uint8_t id[STREAM_ID_SIZE];
	} rows[] = {
		{ "", { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24 } },
		{ "abc", { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct stream_id id;

		print_message("  \"%s\"\n", rows[i].name);
		client_stream_id(rows[i].name, &id);
		assert_memory_equal(id.bytes, rows[i].id, STREAM_ID_SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
