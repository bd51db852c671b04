/* Names to addresses. */
#include "io/io.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "io/io_socket.h"

/* EAI_ codes as -errno, for those who decide by number; people read *ret_why. */
static int resolve_error(int code, const char **ret_why)
{
	if (code == EAI_SYSTEM) {
		int error = errno ? errno : EIO;
		*ret_why = strerror(error);
		return -error;
	}
	*ret_why = gai_strerror(code);
	switch (code) {
	case EAI_AGAIN: return -EAGAIN;
	case EAI_MEMORY: return -ENOMEM;
	case EAI_FAMILY: return -EAFNOSUPPORT;
	case EAI_NONAME:
	case EAI_NODATA: return -ENOENT;
	default: return -EINVAL;
	}
}

int io_resolve(const char *host, uint16_t port, bool passive, struct io_endpoint *out, unsigned max,
	       unsigned *ret_count, const char **ret_why)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0) };
	struct addrinfo *list = NULL;
	char service[8];
	unsigned count = 0;

	snprintf(service, sizeof(service), "%u", port);
	int code = getaddrinfo(host[0] ? host : NULL, service, &hints, &list);
	if (code)
		return resolve_error(code, ret_why);
	for (const struct addrinfo *one = list; one && count < max; one = one->ai_next)
		if (io_endpoint_read(one->ai_addr, one->ai_addrlen, &out[count]) == 0)
			count++;
	freeaddrinfo(list);
	if (count == 0)
		return resolve_error(EAI_NONAME, ret_why);
	*ret_count = count;
	return 0;
}
