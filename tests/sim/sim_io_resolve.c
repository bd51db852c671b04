/* Names: those of the hosts, and numbers. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "sim_io_inside.h"

static bool find(const char *host, bool passive, uint8_t address[4])
{
	if (host[0] == '\0') {
		memcpy(address, passive ? "\0\0\0" : "\177\0\0\1", 4);
		return true;
	}
	if (strcmp(host, "localhost") == 0) {
		memcpy(address, "\177\0\0\1", 4);
		return true;
	}
	for (unsigned i = 1; i <= HOSTS_MAX; i++) {
		const struct host *known = host_numbered(i);

		if (known == NULL || strcmp(known->name, host) != 0)
			continue;
		memcpy(address, "\12\0\0", 4);
		address[3] = (uint8_t)i;
		return true;
	}
	return inet_pton(AF_INET, host, address) == 1;
}

int io_resolve(const char *host, uint16_t port, bool passive, struct io_endpoint *out, unsigned max,
	       unsigned *ret_count, const char **ret_why)
{
	struct io_endpoint found = { .peer = { .family = PEER_IPV4, .port = port } };

	fiber_sleep(world_span(1000, 100000, 50000000));
	if (max == 0 || !find(host, passive, found.peer.address)) {
		*ret_why = "Name or service not known";
		return -ENOENT;
	}
	out[0] = found;
	*ret_count = 1;
	return 0;
}
