#include "base/address.h"

#include <errno.h>
#include <string.h>

#include "base/test.h"

static void good_addresses(void **state)
{
	static const struct {
		const char *text;
		struct address want;
		const char *written; /* by address_text */
	} rows[] = {
		{ "127.0.0.1:9998", { .host = "127.0.0.1", .port = 9998 }, "127.0.0.1:9998" },
		{ "127.0.0.1", { .host = "127.0.0.1", .port = 9999 }, "127.0.0.1:9999" },
		{ "host.example", { .host = "host.example", .port = 9999 }, "host.example:9999" },
		{ ":9998", { .host = "", .port = 9998 }, ":9998" },
		{ ":0", { .host = "", .port = 0 }, ":0" },
		{ "h:65535", { .host = "h", .port = 65535 }, "h:65535" },
		{ "h:00080", { .host = "h", .port = 80 }, "h:80" },
		{ "[::1]:80", { .host = "::1", .port = 80 }, "[::1]:80" },
		{ "[::]", { .host = "::", .port = 9999 }, "[::]:9999" },
		{ "[fe80::1%eth0]:1", { .host = "fe80::1%eth0", .port = 1 }, "[fe80::1%eth0]:1" },
		{ "raw://h", { .protocol = PROTOCOL_RAW, .host = "h", .port = 9999 }, "raw://h:9999" },
		{ "roger://h:1", { .protocol = PROTOCOL_NATIVE, .host = "h", .port = 1 }, "roger://h:1" },
		{ "whole://:5", { .protocol = PROTOCOL_WHOLE, .host = "", .port = 5 }, "whole://:5" },
		{ "line://[::1]:5", { .protocol = PROTOCOL_LINE, .host = "::1", .port = 5 }, "line://[::1]:5" },
		{ "raw://unix", { .protocol = PROTOCOL_RAW, .host = "unix", .port = 9999 }, "raw://unix:9999" },
		{ "unix:/run/x", { .is_unix = true, .path = "/run/x" }, "unix:/run/x" },
		{ "unix:x", { .is_unix = true, .path = "x" }, "unix:x" },
		{ "unix:/a://b", { .is_unix = true, .path = "/a://b" }, "unix:/a://b" },
		{ "line+unix:/run/x:y", { .protocol = PROTOCOL_LINE, .is_unix = true, .path = "/run/x:y" }, "line+unix:/run/x:y" },
		{ "roger+unix:s", { .protocol = PROTOCOL_NATIVE, .is_unix = true, .path = "s" }, "roger+unix:s" },
	};
	char text[ADDRESS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct address address, again;
		const char *why = NULL;

		print_message("%s\n", rows[i].text);
		memset(&address, 0xaa, sizeof(address));
		assert_int_equal(address_parse(rows[i].text, &address, &why), 0);
		assert_null(why);
		assert_int_equal(address.protocol, rows[i].want.protocol);
		assert_int_equal(address.is_unix, rows[i].want.is_unix);
		assert_string_equal(address.host, rows[i].want.host);
		assert_string_equal(address.path, rows[i].want.path);
		assert_int_equal(address.port, rows[i].want.port);
		assert_string_equal(address_text(&address, text), rows[i].written);
		assert_int_equal(address_parse(text, &again, &why), 0);
		assert_int_equal(again.protocol, address.protocol);
		assert_string_equal(again.host, address.host);
		assert_int_equal(again.port, address.port);
	}
}

static void bad_addresses(void **state)
{
	static const struct {
		const char *text;
		const char *why; /* a part of it */
	} rows[] = {
		{ "", "empty" },
		{ "raw://", "no host" },
		{ "h:", "port" },
		{ ":", "port" },
		{ "h:65536", "port" },
		{ "h:99999999999999999999999", "port" },
		{ "h:-1", "port" },
		{ "h:+1", "port" },
		{ "h: 1", "port" },
		{ "h:1 ", "port" },
		{ "h:http", "port" },
		{ "h:80/", "port" },
		{ "9999", ":9999" },
		{ "::1", "brackets" },
		{ "fe80::1:80", "brackets" },
		{ "h:1:2", "brackets" },
		{ "[::1", "]" },
		{ "[::1]x", "behind ]" },
		{ "[::1]:", "port" },
		{ "[]", "IPv6" },
		{ "[h]:1", "IPv6" },
		{ "http://h", "unknown protocol" },
		{ "://h", "unknown protocol" },
		{ "Raw://h", "unknown protocol" },
		{ "averyveryverylongprotocol://h", "unknown protocol" },
		{ "tcp+unix:/x", "unknown protocol" },
		{ "+unix:/x", "unknown protocol" },
		{ "unix:", "no path" },
		{ "unix", "no path" },
		{ "raw+unix", "no path" },
		{ "raw+unix", "no path" },
		{ "line+unix:", "no path" },
		{ "a b:1", "host name" },
		{ "a\033[2J", "host name" },
		{ "user@h:1", "host name" },
		{ "h/path", "host name" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct address address, before;
		const char *why = NULL;

		print_message("row %zu\n", i);
		memset(&address, 0xaa, sizeof(address));
		before = address;
		assert_int_equal(address_parse(rows[i].text, &address, &why), -EINVAL);
		assert_non_null(why);
		assert_non_null(strstr(why, rows[i].why));
		assert_memory_equal(&address, &before, sizeof(address));
	}
}

/* The longest of each kind, and one more. */
static void sizes(void **state)
{
	char text[400], out[ADDRESS_TEXT_SIZE];
	struct address address;
	const char *why;

	(void)state;
	strcpy(text, "line+unix:");
	memset(text + 10, '\033', ADDRESS_PATH_SIZE - 1);
	text[10 + ADDRESS_PATH_SIZE - 1] = '\0';
	assert_int_equal(address_parse(text, &address, &why), 0);
	assert_int_equal(strlen(address_text(&address, out)), 10 + 4 * (ADDRESS_PATH_SIZE - 1));
	for (size_t size = ADDRESS_HOST_SIZE - 2; size <= ADDRESS_HOST_SIZE; size++) {
		strcpy(text, "whole://[");
		memset(text + 9, ':', size);
		strcpy(text + 9 + size, "]:65535");
		assert_int_equal(address_parse(text, &address, &why),
				 size < ADDRESS_HOST_SIZE ? 0 : -EINVAL);
		if (size < ADDRESS_HOST_SIZE)
			assert_string_equal(address_text(&address, out), text);
	}
	for (size_t size = ADDRESS_PATH_SIZE - 2; size <= ADDRESS_PATH_SIZE; size++) {
		strcpy(text, "unix:");
		memset(text + 5, 'p', size);
		text[5 + size] = '\0';
		assert_int_equal(address_parse(text, &address, &why),
				 size < ADDRESS_PATH_SIZE ? 0 : -EINVAL);
		if (size < ADDRESS_PATH_SIZE)
			assert_string_equal(address_text(&address, out), text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
