#include "base/address.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

/* PROTOCOL of `size` bytes; 0 or -EINVAL. */
static int parse_protocol(const char *text, size_t size, struct address *address)
{
	char name[16];

	if (size == 0 || size >= sizeof(name))
		return -EINVAL;
	memcpy(name, text, size);
	name[size] = '\0';
	address->protocol = protocol_of_name(name);
	return address->protocol == PROTOCOL_NONE ? -EINVAL : 0;
}

static int parse_port(const char *text, struct address *address)
{
	uint64_t port;

	if (text_parse_u64(text, &port) != 0 || port > UINT16_MAX)
		return -EINVAL;
	address->port = (uint16_t)port;
	return 0;
}

/* Names, and addresses with a scope ("fe80::1%eth0"), but nothing that could be a path, a user or a terminal escape. */
static bool host_is_plausible(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c == 0x7f || strchr("/@[]?#\\\"'", c) != NULL)
			return false;
	}
	return true;
}

static bool all_digits(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return true;
}

/* PATH of a unix socket. */
static int parse_path(const char *text, struct address *address, const char **ret_why)
{
	size_t size = strlen(text);

	if (size == 0)
		return refuse(ret_why, "no path after unix:");
	if (size >= ADDRESS_PATH_SIZE)
		return refuse(ret_why, "path too long for a unix socket (107 bytes)");
	address->is_unix = true;
	address->port = 0;
	memcpy(address->path, text, size + 1);
	return 0;
}

/* HOST[:PORT], [IPV6][:PORT] or :PORT. */
static int parse_host(const char *text, struct address *address, const char **ret_why)
{
	const char *host = text;
	const char *behind; /* the colon before the port, or the end */

	if (*text == '[') {
		host++;
		behind = strchr(host, ']');
		if (behind == NULL)
			return refuse(ret_why, "no ] behind the IPv6 address");
	} else {
		behind = strchr(text, ':');
		if (behind == NULL)
			behind = text + strlen(text);
		else if (strchr(behind + 1, ':') != NULL)
			return refuse(ret_why,
				      "an IPv6 address stands in brackets, as in [::1]:9999");
	}

	size_t size = (size_t)(behind - host);

	if (size >= ADDRESS_HOST_SIZE)
		return refuse(ret_why, "host name too long");
	if (!host_is_plausible(host, size))
		return refuse(ret_why, "not a host name");
	if (*text == '[') {
		if (memchr(host, ':', size) == NULL)
			return refuse(ret_why, "not an IPv6 address");
		behind++;
		if (*behind != ':' && *behind != '\0')
			return refuse(ret_why, "something other than a port behind ]");
	} else if (*behind == '\0') {
		if (size == 0)
			return refuse(ret_why, "no host");
		if (all_digits(host, size))
			return refuse(ret_why, "a port alone is written with a colon, as in :9999");
	}

	memcpy(address->host, host, size);
	if (*behind == ':' && parse_port(behind + 1, address) != 0)
		return refuse(ret_why, "the port is not a number from 0 to 65535");
	return 0;
}

static int parse(const char *text, struct address *address, const char **ret_why)
{
	const char *scheme_end = strstr(text, "://");
	const char *colon = strchr(text, ':');
	size_t word = colon == NULL ? strlen(text) : (size_t)(colon - text); /* before the colon */
	bool is_scheme = scheme_end != NULL && scheme_end == colon;
	const char *path = text + word + (colon != NULL);

	if (*text == '\0')
		return refuse(ret_why, "empty address");
	if (word == 4 && memcmp(text, "unix", 4) == 0 && !is_scheme)
		return parse_path(path, address, ret_why);
	if (word >= 5 && memcmp(text + word - 5, "+unix", 5) == 0 && !is_scheme) {
		if (parse_protocol(text, word - 5, address) != 0)
			return refuse(ret_why,
				      "unknown protocol (there are roger, raw, whole, line)");
		return parse_path(path, address, ret_why);
	}
	if (scheme_end != NULL) {
		if (parse_protocol(text, (size_t)(scheme_end - text), address) != 0)
			return refuse(ret_why,
				      "unknown protocol (there are roger, raw, whole, line)");
		text = scheme_end + 3;
	}
	return parse_host(text, address, ret_why);
}

int address_parse(const char *text, struct address *ret, const char **ret_why)
{
	struct address address = { .protocol = PROTOCOL_NONE, .port = ADDRESS_PORT_DEFAULT };
	int result = parse(text, &address, ret_why);

	if (result == 0)
		*ret = address;
	return result;
}

const char *address_text(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
	bool bracket = strchr(address->host, ':') != NULL;
	size_t at = 0;

	out[0] = '\0';
	if (address->protocol != PROTOCOL_NONE)
		at = text_put(out, at, protocol_name((uint8_t)address->protocol));
	if (address->is_unix) {
		at = text_put(out, at, at > 0 ? "+unix:" : "unix:");
		text_one_line(out + at, ADDRESS_TEXT_SIZE - at, address->path);
		return out;
	}
	if (at > 0)
		at = text_put(out, at, "://");
	at = text_put(out, at, bracket ? "[" : "");
	at = text_put(out, at, address->host);
	at = text_put(out, at, bracket ? "]:" : ":");
	text_u64(address->port, out + at);
	return out;
}
