/* Showing bytes that others wrote, and numbers, to people and machines. Reading numbers: text_parse.c. */
#include "base/text.h"

#include <string.h>

#include "base/must.h"

static const char hex[] = "0123456789abcdef";

/* The size of the UTF-8 character at the front of `data` (size > 0) and its code point; 0 when it is not valid: overlong forms, surrogates
 * and what lies beyond U+10FFFF are not (RFC 3629). */
static size_t utf8_next(const uint8_t *data, size_t size, uint32_t *ret_code)
{
	static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint8_t lead = data[0];
	size_t need;
	uint32_t code;

	if (lead < 0x80) {
		*ret_code = lead;
		return 1;
	}
	if (lead >= 0xc2 && lead <= 0xdf) {
		need = 2;
		code = lead & 0x1f;
	} else if (lead >= 0xe0 && lead <= 0xef) {
		need = 3;
		code = lead & 0x0f;
	} else if (lead >= 0xf0 && lead <= 0xf4) {
		need = 4;
		code = lead & 0x07;
	} else {
		return 0;
	}
	if (size < need)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((data[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (data[i] & 0x3f);
	}
	if (code < smallest[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return need;
}

bool text_is_utf8(const uint8_t *data, size_t size)
{
	uint32_t code;

	for (size_t at = 0; at < size;) {
		size_t step = utf8_next(data + at, size - at, &code);

		if (step == 0)
			return false;
		at += step;
	}
	return true;
}

/* Characters that act on a terminal or on the text around them, or that cannot be seen. Sorted. */
static const struct {
	uint32_t first;
	uint32_t last;
} unprintable[] = {
	{ 0x00, 0x1f },       /* controls */
	{ 0x7f, 0x9f },       /* delete; C1 controls: U+009B is a terminal's CSI */
	{ 0xad, 0xad },       /* soft hyphen */
	{ 0x61c, 0x61c },     /* direction mark */
	{ 0x180e, 0x180e },   /* vowel separator: no width */
	{ 0x200b, 0x200f },   /* no width; direction marks */
	{ 0x2028, 0x202e },   /* line and paragraph separators; direction overrides */
	{ 0x2060, 0x206f },   /* no width; direction isolates */
	{ 0xe000, 0xf8ff },   /* private use: looks as the font pleases */
	{ 0xfeff, 0xfeff },   /* byte order mark */
	{ 0xfff0, 0xfffb },   /* annotations */
	{ 0xfffe, 0xffff },   /* not characters */
	{ 0xe0000, 0x10ffff } /* tags, private use */
};

static bool is_printable(uint32_t code)
{
	for (size_t i = 0; i < sizeof(unprintable) / sizeof(unprintable[0]); i++)
		if (code <= unprintable[i].last)
			return code < unprintable[i].first;
	return true;
}

/* The letter behind the backslash for bytes that have one, else 0. */
static char short_escape(uint8_t byte)
{
	switch (byte) {
	case '\n': return 'n';
	case '\r': return 'r';
	case '\t': return 't';
	case '\\': return '\\';
	case '\0': return '0';
	default: return 0;
	}
}

enum { TOKEN_SIZE = 16 }; /* the longest: four bytes as \xHH */

/* What stands for the `size` bytes of one character, or for one invalid byte. Returns its length. */
static size_t escape_one(char out[TOKEN_SIZE], const uint8_t *data, size_t size, bool printable,
			 bool keep_backslash)
{
	char letter = short_escape(data[0]);
	size_t length = 0;

	if (letter != 0 && !(keep_backslash && letter == '\\')) {
		out[0] = '\\';
		out[1] = letter;
		return 2;
	}
	if (printable) {
		memcpy(out, data, size);
		return size;
	}
	for (size_t i = 0; i < size; i++) {
		out[length++] = '\\';
		out[length++] = 'x';
		out[length++] = hex[data[i] >> 4];
		out[length++] = hex[data[i] & 15];
	}
	return length;
}

static size_t escape(char *out, size_t room, const uint8_t *data, size_t size, size_t data_max,
		     bool keep_backslash)
{
	static const char dots[] = "...";
	size_t length = 0;
	size_t cut = 0; /* how much of `out` can stay when the dots have to be added */
	size_t at = 0;

	must(room >= 8);
	while (at < size) {
		char token[TOKEN_SIZE];
		uint32_t code = 0;
		size_t step = utf8_next(data + at, size - at, &code);
		bool printable = step > 0 && is_printable(code);

		if (step == 0)
			step = 1;
		if (step > data_max - at)
			break;

		size_t token_size = escape_one(token, data + at, step, printable, keep_backslash);

		if (token_size >= room - length)
			break;
		memcpy(out + length, token, token_size);
		length += token_size;
		at += step;
		if (length + sizeof(dots) <= room)
			cut = length;
	}
	if (at < size) {
		memcpy(out + cut, dots, sizeof(dots));
		return cut + sizeof(dots) - 1;
	}
	out[length] = '\0';
	return length;
}

size_t text_escape(char *out, size_t room, const uint8_t *data, size_t size, size_t data_max)
{
	return escape(out, room, data, size, data_max, false);
}

size_t text_one_line(char *out, size_t room, const char *text)
{
	size_t size = strlen(text);

	return escape(out, room, (const uint8_t *)text, size, size, true);
}

static size_t json_unit(char *out, uint32_t unit)
{
	out[0] = '\\';
	out[1] = 'u';
	for (int i = 0; i < 4; i++)
		out[2 + i] = hex[unit >> (12 - 4 * i) & 15];
	return 6;
}

/* One character as it stands in a JSON string (RFC 8259, 7). What a terminal would obey is written as \u too. */
static size_t json_one(char out[TOKEN_SIZE], const uint8_t *data, size_t size, uint32_t code)
{
	char letter = 0;

	switch (code) {
	case '\n': letter = 'n'; break;
	case '\r': letter = 'r'; break;
	case '\t': letter = 't'; break;
	case '\\': letter = '\\'; break;
	case '"': letter = '"'; break;
	default: break;
	}
	if (letter != 0) {
		out[0] = '\\';
		out[1] = letter;
		return 2;
	}
	if (is_printable(code)) {
		memcpy(out, data, size);
		return size;
	}
	if (code < 0x10000)
		return json_unit(out, code);
	code -= 0x10000;
	return json_unit(out, 0xd800 | code >> 10) + json_unit(out + 6, 0xdc00 | (code & 0x3ff));
}

size_t text_json(char *out, size_t room, const uint8_t *data, size_t size)
{
	size_t length = 0;

	for (size_t at = 0; at < size;) {
		char token[TOKEN_SIZE];
		uint32_t code = 0;
		size_t step = utf8_next(data + at, size - at, &code);

		must(step > 0);

		size_t token_size = json_one(token, data + at, step, code);

		if (token_size > room - length)
			return SIZE_MAX;
		memcpy(out + length, token, token_size);
		length += token_size;
		at += step;
	}
	return length;
}

size_t text_base64_size(size_t size)
{
	return (size + 2) / 3 * 4;
}

size_t text_base64(char *out, const uint8_t *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t length = 0;

	for (size_t at = 0; at < size; at += 3) {
		size_t left = size - at;
		uint32_t three = (uint32_t)data[at] << 16;

		if (left > 1)
			three |= (uint32_t)data[at + 1] << 8;
		if (left > 2)
			three |= data[at + 2];
		out[length++] = digits[three >> 18];
		out[length++] = digits[three >> 12 & 63];
		out[length++] = left > 1 ? digits[three >> 6 & 63] : '=';
		out[length++] = left > 2 ? digits[three & 63] : '=';
	}
	return length;
}

size_t text_u64(uint64_t value, char out[TEXT_U64_SIZE])
{
	char digits[TEXT_U64_SIZE];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	for (size_t i = 0; i < count; i++)
		out[i] = digits[count - 1 - i];
	out[count] = '\0';
	return count;
}

size_t text_put(char *out, size_t at, const char *text)
{
	size_t size = strlen(text);

	memcpy(out + at, text, size + 1);
	return at + size;
}

/* Exactly `count` digits, and no NUL. */
static void put_digits(char *out, uint64_t value, unsigned count)
{
	for (unsigned i = count; i > 0; i--) {
		out[i - 1] = (char)('0' + value % 10);
		value /= 10;
	}
}

const char *text_time(uint64_t realtime_ns, char out[TEXT_TIME_SIZE])
{
	uint64_t seconds = realtime_ns / 1000000000;
	uint64_t of_day = seconds % 86400;
	/* Years are counted from March, so that the leap day is a year's last; eras of 400 years have 146097 days. */
	uint64_t day = seconds / 86400 + 719468; /* since March 1st of the year 0 */
	uint64_t of_era = day % 146097;
	uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t month_from_march = (5 * of_year + 2) / 153;
	uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	uint64_t year = day / 146097 * 400 + year_of_era + (month <= 2);

	memcpy(out, "0000-00-00T00:00:00.000000000Z", 31);
	put_digits(out, year, 4);
	put_digits(out + 5, month, 2);
	put_digits(out + 8, of_year - (153 * month_from_march + 2) / 5 + 1, 2);
	put_digits(out + 11, of_day / 3600, 2);
	put_digits(out + 14, of_day / 60 % 60, 2);
	put_digits(out + 17, of_day % 60, 2);
	put_digits(out + 20, realtime_ns % 1000000000, 9);
	return out;
}

const char *text_size(uint64_t bytes, char out[TEXT_SIZE_SIZE])
{
	static const char letters[] = " KMGTPE";
	unsigned unit = 0;
	size_t length;

	while (unit < 6 && bytes >> (10 * (unit + 1)) != 0)
		unit++;
	length = text_u64(bytes >> (10 * unit), out);
	if (unit > 0) {
		/* One decimal, rounded down: what is shown as free or kept really is. */
		uint64_t rest = bytes & ((UINT64_C(1) << (10 * unit)) - 1);
		uint64_t tenth = (rest >> (10 * (unit - 1))) * 10 / 1024;

		if (tenth > 0) {
			out[length++] = '.';
			out[length++] = (char)('0' + tenth);
		}
	}
	if (unit == 0) {
		text_put(out, length, bytes == 1 ? " byte" : " bytes");
	} else {
		text_put(out, length, " xiB");
		out[length + 1] = letters[unit];
	}
	return out;
}
