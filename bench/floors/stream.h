/* The sender that belongs to the floor `stream`. */
#ifndef ROGER_BENCH_STREAM_H
#define ROGER_BENCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_SEED UINT32_C(0x52524f47) /* in place of a stream id's checksum */

struct stream_options {
	const char *dir;
	bool over_zeros;
	uint32_t size;       /* of a payload */
	uint64_t bytes;      /* of frames to be sent */
	uint64_t seconds;    /* if not 0: send so long, and not `bytes` */
	uint64_t window;     /* bytes of frames that may be unanswered */
	size_t commit;       /* bytes from which on a slot is written */
	unsigned flight;     /* writes in flight */
	uint64_t ring_bytes; /* of zeros, used over and over */
};

/* Sends frames to that port of 127.0.0.1 until all are sent and answered. Returns an exit status. */
int stream_send(const struct stream_options *options, uint16_t port);

#endif
