/* Connections that last, in the native protocol: line.c has what happens on one of them, native.c which of them does what when. */
#ifndef ROGER_LOAD_LINE_H
#define ROGER_LOAD_LINE_H

#include "client/sender.h"
#include "load/private.h"
#include "load/stamps.h"

enum line_phase {
	LINE_NONE,    /* not begun, or over */
	LINE_CONNECT,
	LINE_HELLO,   /* until WELCOME */
	LINE_OPEN,
	LINE_BYE,
	LINE_ENDED,
};

/* One connection, with a stream of its own. */
struct line {
	struct sender sender;
	struct stamps stamps;
	io_socket socket;     /* 0: none */
	unsigned endpoint;
	enum line_phase phase;
	bool sending;
	bool broken;          /* sending has failed; receiving will say why */
	bool full;            /* the window is, or the stamps are: until the next ack */
	bool is_ready;        /* in the list */
	uint32_t hello_left;  /* of HELLO, so many bytes have not been taken */
	uint64_t unsent;      /* of frames */
	uint64_t began_ns;
	uint8_t *window;
	struct line *next_ready;
};

struct native {
	struct line *lines;
	uint8_t *windows;
	struct stamp *stamps;
	size_t window_size;   /* of the memory of each */
	uint64_t window;
	uint32_t begun;       /* lines whose connection was begun */
	uint32_t opening;     /* and that are not up yet */
	uint32_t open;        /* with a socket */
	struct line *ready;   /* that can take a message now, longest first ... */
	struct line **ready_end;
	struct failure first; /* LOAD_IDLE: why the first line was lost */
};

/* Can it take a message now? */
bool line_can_take(const struct load *l, const struct line *line);

/* If it can, into the list of those, if it is not there yet. */
void line_ready(struct load *l, struct line *line);

/* Begin to connect. It stays in `opening` until it is up, or lost. */
void line_connect(struct load *l, struct line *line);

/* Send what there is to send, if nothing is under way. */
void line_send(struct load *l, struct line *line);

/* Close its connection, if it has one. */
void line_hang_up(struct load *l, struct line *line);

/* An event of its connection. */
void line_event(struct load *l, struct line *line, const struct io_event *event);

#endif
