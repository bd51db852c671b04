/* What each protocol brings to the table in wire.c: one row, in a file of its own. Only wire.c calls these. */
#ifndef ROGER_WIRE_ROWS_H
#define ROGER_WIRE_ROWS_H

#include "wire/wire.h"

/* The functions are those of wire.h, for one protocol. next() finds *ret all zero, which is WIRE_MORE without `need`. */
struct wire_row {
	void (*next)(const struct wire *w, const uint8_t *data, size_t size, unsigned flags,
		     struct wire_event *ret);
	void (*accept)(struct wire *w, const struct wire_event *event); /* NULL: keeps no state */
	size_t (*reply)(const struct wire *w, struct wire_reply *reply, uint8_t *out, size_t room);
	enum wire_after after_ack;
};

extern const struct wire_row wire_row_native;
extern const struct wire_row wire_row_raw;
extern const struct wire_row wire_row_whole;
extern const struct wire_row wire_row_line;

/* Refuse: `fault`, and `seq`, the number that was expected (native, else 0). */
void wire_refuse(struct wire_event *ret, enum wire_fault fault, uint64_t seq);

/* One message of a plain protocol, taking `consumed` bytes of the input. */
void wire_message(struct wire_event *ret, const uint8_t *payload, size_t size, size_t consumed);

/* raw and whole: "ACK!". */
size_t wire_reply_classic(const struct wire *w, struct wire_reply *reply, uint8_t *out,
			  size_t room);

#endif
