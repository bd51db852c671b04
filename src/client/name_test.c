#include <string.h>

#include "base/test.h"
#include "client/client.h"

/* The table of docs/protocol.md 3.8. */
static void names(void **state)
{
	static const struct {
		const char *name;
		uint8_t id[STREAM_ID_SIZE];
	} rows[] = {
		{ "orders",
		  { 0x94, 0x22, 0x66, 0x2a, 0xcb, 0xea, 0x81, 0x19, 0xa5, 0x32, 0xc5, 0x80, 0xa0, 0x0b, 0xcb, 0xdf } },
		{ "Gr\xc3\xbc\xc3\x9f"
		  "e",
		  { 0xb0, 0x99, 0xe0, 0xfd, 0x87, 0x3b, 0x5d, 0xea, 0x89, 0xe6, 0x78, 0x65, 0x67, 0x13, 0x59, 0x1b } },
		{ "",
		  { 0xd1, 0x18, 0xfd, 0x53, 0x97, 0x0f, 0xa2, 0xab, 0x12, 0x96, 0x37, 0x3c, 0x18, 0xac, 0xfd, 0x2e } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct stream_id id;

		print_message("  \"%s\"\n", rows[i].name);
		client_stream_id(rows[i].name, &id);
		assert_memory_equal(id.bytes, rows[i].id, STREAM_ID_SIZE);
	}
}

static void random_ones(void **state)
{
	struct stream_id a, b;

	(void)state;
	client_stream_random(&a);
	client_stream_random(&b);
	assert_false(stream_id_equal(&a, &b));
	assert_int_equal(a.bytes[0] & b.bytes[0] & 0x80, 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(random_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
