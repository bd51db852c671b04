#include <errno.h>

#include "base/test.h"
#include "base/text.h"

typedef int parse_function(const char *text, uint64_t *ret);

struct row {
	const char *text;
	int result;
	uint64_t value;
};

static void run(parse_function *parse, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = 0xdead;

		print_message("\"%s\"\n", rows[i].text);
		assert_int_equal(parse(rows[i].text, &value), rows[i].result);
		assert_true(value == (rows[i].result == 0 ? rows[i].value : 0xdead));
	}
}

static void plain_numbers(void **state)
{
	static const struct row rows[] = {
		{ "0", 0, 0 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
	};

	(void)state;
	run(text_parse_u64, rows, COUNT_OF(rows));
}

static void sizes(void **state)
{
	static const struct row rows[] = {
		{ "4096", 0, 4096 },
		{ "0", 0, 0 },
		{ "10B", 0, 10 },
		{ "64KiB", 0, 65536 },
		{ "64K", 0, 65536 },
		{ "64k", 0, 65536 },
		{ "64kib", 0, 65536 },
		{ "1MiB", 0, 1048576 },
		{ "1M", 0, 1048576 },
		{ "2GiB", 0, UINT64_C(2) << 30 },
		{ "3T", 0, UINT64_C(3) << 40 },
		{ "10KB", 0, 10000 },
		{ "10kB", 0, 10000 },
		{ "10MB", 0, 10000000 },
		{ "10GB", 0, UINT64_C(10000000000) },
		{ "1TB", 0, UINT64_C(1000000000000) },
		{ "16777215T", 0, UINT64_C(16777215) << 40 },
		{ "16777216T", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "1KK", -EINVAL, 0 },
		{ "1Ki", -EINVAL, 0 },
		{ "1 K", -EINVAL, 0 },
		{ "1E", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
		{ "-1K", -EINVAL, 0 },
	};

	(void)state;
	run(text_parse_size, rows, COUNT_OF(rows));
}

static void durations(void **state)
{
	static const struct row rows[] = {
		{ "500ms", 0, UINT64_C(500000000) },
		{ "10s", 0, UINT64_C(10000000000) },
		{ "10", 0, UINT64_C(10000000000) },
		{ "5min", 0, UINT64_C(300000000000) },
		{ "5m", 0, UINT64_C(300000000000) },
		{ "12h", 0, UINT64_C(43200000000000) },
		{ "7d", 0, UINT64_C(604800000000000) },
		{ "0.5s", 0, 500000000 },
		{ "0.5", 0, 500000000 },
		{ "1.25h", 0, UINT64_C(4500000000000) },
		{ "0.000000001s", 0, 1 },
		{ "0.000001ms", 0, 1 },
		{ "0.0000001ms", 0, 0 },
		{ "0.999999999d", 0, UINT64_C(86399999913600) },
		{ "0", 0, 0 },
		{ "18446744073.709551615s", 0, UINT64_MAX },
		{ "18446744073.709551616s", -ERANGE, 0 },
		{ "213504d", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ ".5s", -EINVAL, 0 },
		{ "5.s", -EINVAL, 0 },
		{ "0.0000000001s", -EINVAL, 0 },
		{ "1,5s", -EINVAL, 0 },
		{ "5 s", -EINVAL, 0 },
		{ "5w", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
	};

	(void)state;
	run(text_parse_duration, rows, COUNT_OF(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_numbers),
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
