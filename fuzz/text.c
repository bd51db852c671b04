/* Addresses, sizes, durations, numbers, escapes, base64, UTF-8: what is parsed and written again parses to the same; what is meant for a
 * terminal cannot do anything to it. */
#include <errno.h>
#include <stdlib.h>

#include "base/address.h"
#include "base/peer.h"
#include "base/text.h"
#include "fuzz.h"

enum { TEXT_MAX = 700 };

static bool is_terminal_safe(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		/* C1 controls as UTF-8: c2 80 ... c2 9f. */
		if (c == 0xc2 && i + 1 < size && (unsigned char)text[i + 1] < 0xa0)
			return false;
	}
	return text_is_utf8((const uint8_t *)text, size);
}

static void try_address(const char *text)
{
	struct address address, again;
	char out[ADDRESS_TEXT_SIZE];
	char twice[ADDRESS_TEXT_SIZE];
	const char *why = NULL;
	int result = address_parse(text, &address, &why);

	if (result != 0) {
		must(result == -EINVAL && why != NULL && strlen(why) > 3);
		return;
	}
	must(why == NULL);
	must(strlen(address_text(&address, out)) < ADDRESS_TEXT_SIZE);
	if (address.is_unix &&
	    strcmp(out + strlen(out) - strlen(address.path), address.path) != 0) {
		must(is_terminal_safe(out, strlen(out))); /* for people only */
		return;
	}
	must(address_parse(out, &again, &why) == 0);
	must(again.protocol == address.protocol && again.is_unix == address.is_unix);
	must(again.port == address.port && strcmp(again.host, address.host) == 0);
	must(strcmp(again.path, address.path) == 0);
	must(strcmp(out, address_text(&again, twice)) == 0);
}

static void try_numbers(const char *text)
{
	char digits[TEXT_U64_SIZE];
	uint64_t value = 42, size = 42, duration = 42;
	int result = text_parse_u64(text, &value);

	must(result == 0 || ((result == -EINVAL || result == -ERANGE) && value == 42));
	if (result == 0) {
		char *end;
		uint64_t again;

		must(strtoull(text, &end, 10) == value && *end == '\0');
		must(text_u64(value, digits) == strlen(digits));
		must(text_parse_u64(digits, &again) == 0 && again == value);
	}
	/* A number alone is that many bytes, and that many seconds. */
	must(text_parse_size(text, &size) != 0 || result != 0 || size == value);
	must(text_parse_duration(text, &duration) != 0 || result != 0 ||
	     duration == value * 1000000000u);
	must(result != 0 || size == value);
}

static void try_escape(const uint8_t *data, size_t size, uint8_t room_choice)
{
	char out[TEXT_MAX * 4 + 16];
	size_t room = 8u + room_choice;
	char *small = malloc(room);
	size_t length = text_escape(out, sizeof(out), data, size, size);

	must(small != NULL);
	must(length == strlen(out) && length < sizeof(out) && is_terminal_safe(out, length));
	length = text_escape(small, room, data, size, size);
	must(length == strlen(small) && length < room && is_terminal_safe(small, length));
	length = text_escape(small, room, data, size, room_choice % 16);
	must(length == strlen(small) && length < room && is_terminal_safe(small, length));
	free(small);
}

static void try_one_line(const char *text)
{
	char out[TEXT_MAX * 4 + 16];
	char twice[sizeof(out)];
	size_t length = text_one_line(out, sizeof(out), text);

	must(length == strlen(out) && length < sizeof(out) && is_terminal_safe(out, length));
	must(text_one_line(twice, sizeof(twice), out) == length && strcmp(out, twice) == 0);
}

static void try_json(const uint8_t *data, size_t size)
{
	char out[TEXT_MAX * 6 + 1];
	char *exact;
	size_t length;

	if (!text_is_utf8(data, size))
		return;
	length = text_json(out, sizeof(out), data, size);
	must(length < sizeof(out) && text_is_utf8((const uint8_t *)out, length));
	for (size_t i = 0; i < length; i++)
		must((unsigned char)out[i] >= 0x20 &&
		     (out[i] != '"' || (i > 0 && out[i - 1] == '\\')));
	exact = malloc(length + 1);
	must(exact != NULL);
	must(text_json(exact, length + 1, data, size) == length);
	must(length == 0 || text_json(exact, length - 1, data, size) == SIZE_MAX);
	free(exact);
}

static int base64_value(char c)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = strchr(letters, c);

	return c == '\0' || at == NULL ? -1 : (int)(at - letters);
}

static void try_base64(const uint8_t *data, size_t size)
{
	size_t room = text_base64_size(size);
	char *out = malloc(room + 1);
	size_t length;

	must(out != NULL);
	length = text_base64(out, data, size);
	must(length <= room && length == (size + 2) / 3 * 4);
	for (size_t i = 0; i < size; i++) {
		size_t at = i / 3 * 4 + i % 3;
		unsigned pair;

		must(base64_value(out[at]) >= 0 && base64_value(out[at + 1]) >= 0);
		pair = (unsigned)base64_value(out[at]) << 6 | (unsigned)base64_value(out[at + 1]);
		must((uint8_t)(pair >> (4 - 2 * (i % 3))) == data[i]);
	}
	free(out);
}

static void try_words(struct fuzz *f)
{
	struct peer peer = { .family = fuzz_u8(f), .port = fuzz_u16(f) };
	char peer_out[PEER_TEXT_SIZE];
	char time_out[TEXT_TIME_SIZE];
	char size_out[TEXT_SIZE_SIZE];

	fuzz_bytes(f, peer.address, sizeof(peer.address));
	must(strlen(peer_text(&peer, peer_out)) < PEER_TEXT_SIZE && peer_out[0] != '\0');
	must(is_terminal_safe(peer_out, strlen(peer_out)));
	must(strlen(text_time(fuzz_u64(f), time_out)) == 30 && time_out[29] == 'Z');
	must(strlen(text_size(fuzz_u64(f), size_out)) < TEXT_SIZE_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	char *text;

	if (f.size > TEXT_MAX)
		f.size = TEXT_MAX;
	text = malloc(f.size + 1);
	must(text != NULL);
	if (f.size > 0)
		memcpy(text, f.data, f.size);
	text[f.size] = '\0';
	try_address(text);
	try_numbers(text);
	try_escape(f.data, f.size, how);
	try_one_line(text);
	try_json(f.data, f.size);
	try_base64(f.data, f.size);
	try_words(&f);
	free(text);
	return 0;
}
