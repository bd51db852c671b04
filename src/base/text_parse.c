/* Numbers, sizes and durations as people type them. */
#include "base/text.h"

#include <errno.h>
#include <string.h>

/* The decimal digits at the front of *text, which is moved behind them. 0, or -EINVAL (no digit), -ERANGE. */
static int take_number(const char **text, uint64_t *ret_value)
{
	const char *at = *text;
	uint64_t value = 0;

	if (*at < '0' || *at > '9')
		return -EINVAL;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -ERANGE;
	}
	*text = at;
	*ret_value = value;
	return 0;
}

int text_parse_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value;
	int result = take_number(&text, &value);

	if (result != 0)
		return result;
	if (*text != '\0')
		return -EINVAL;
	*ret_value = value;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "K", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
	{ "T", UINT64_C(1) << 40 },
	{ "KiB", UINT64_C(1) << 10 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "GiB", UINT64_C(1) << 30 },
	{ "TiB", UINT64_C(1) << 40 },
	{ "KB", UINT64_C(1000) },
	{ "MB", UINT64_C(1000000) },
	{ "GB", UINT64_C(1000000000) },
	{ "TB", UINT64_C(1000000000000) },
	{ NULL, 0 },
};

static const struct unit duration_units[] = {
	{ "", UINT64_C(1000000000) },
	{ "ms", UINT64_C(1000000) },
	{ "s", UINT64_C(1000000000) },
	{ "m", UINT64_C(60000000000) },
	{ "min", UINT64_C(60000000000) },
	{ "h", UINT64_C(3600000000000) },
	{ "d", UINT64_C(86400000000000) },
	{ NULL, 0 },
};

static bool same_letters(const char *a, const char *b)
{
	for (;; a++, b++) {
		char x = (char)(*a >= 'A' && *a <= 'Z' ? *a + 32 : *a);
		char y = (char)(*b >= 'A' && *b <= 'Z' ? *b + 32 : *b);

		if (x != y)
			return false;
		if (x == '\0')
			return true;
	}
}

static uint64_t unit_factor(const struct unit *units, const char *name)
{
	for (; units->name != NULL; units++)
		if (same_letters(units->name, name))
			return units->factor;
	return 0;
}

int text_parse_size(const char *text, uint64_t *ret_bytes)
{
	uint64_t value;
	int result = take_number(&text, &value);

	if (result != 0)
		return result;

	uint64_t factor = unit_factor(size_units, text);

	if (factor == 0)
		return -EINVAL;
	if (__builtin_mul_overflow(value, factor, &value))
		return -ERANGE;
	*ret_bytes = value;
	return 0;
}

int text_parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t value;
	uint64_t fraction = 0; /* in billionths of the unit */
	int result = take_number(&text, &value);

	if (result != 0)
		return result;
	if (*text == '.') {
		uint64_t weight = 100000000;

		text++;
		if (*text < '0' || *text > '9')
			return -EINVAL;
		for (; *text >= '0' && *text <= '9'; text++) {
			if (weight == 0)
				return -EINVAL; /* more than nine digits: nobody means that */
			fraction += (uint64_t)(*text - '0') * weight;
			weight /= 10;
		}
	}

	uint64_t factor = unit_factor(duration_units, text);

	if (factor == 0)
		return -EINVAL;
	/* A millionth of every unit is a whole number of ns, and a billion of them (of a day) fits 64 bits. */
	if (__builtin_mul_overflow(value, factor, &value) ||
	    __builtin_add_overflow(value, fraction * (factor / 1000000) / 1000, &value))
		return -ERANGE;
	*ret_ns = value;
	return 0;
}
