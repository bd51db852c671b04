/* fault: what may go wrong, how often it does in this seed, and how often it has.
 *
 * Each seed draws a rate of its own for every kind, some zero; whoever could misbehave asks fault_happens. The table of all kinds
 * and counts stands at the end of `make sim`. */
#ifndef ROGER_SIM_FAULT_H
#define ROGER_SIM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault {
	/* the loop's door */
	FAULT_COMPLETION_REORDERED, /* events of different owners taken in another order than they came */
	FAULT_RECEIVE_PARTIAL,      /* fewer bytes than are there */
	FAULT_SEND_PARTIAL,         /* fewer bytes taken than were given */
	FAULT_SEND_ENOBUFS,         /* IO_SENT with -ENOBUFS */
	FAULT_POOL_EMPTY,           /* bytes there, and no receive buffer */
	FAULT_CANCEL_RACE,          /* closed or disarmed while a completion was on its way */
	FAULT_HANDLE_REUSED,        /* a socket gets the number of one that has just been closed */
	FAULT_ACCEPT_EMFILE,
	/* the network */
	FAULT_NET_DELAY,            /* a part of a stream that comes much later */
	FAULT_NET_CUT,              /* a stream cut in pieces, a connection lost in the middle of a frame */
	FAULT_NET_RESET,
	FAULT_NET_BLACKHOLE_ONE,    /* one direction of a host's traffic stands still */
	FAULT_NET_BLACKHOLE_BOTH,
	FAULT_NET_ACK_LOST,         /* delivered, stored, and the way back is dead */
	FAULT_NET_HALF_CLOSE,
	FAULT_NET_WINDOW_CLOSED,
	FAULT_NET_REFUSED,
	FAULT_NET_CONNECT_TIMEOUT,
	FAULT_NET_OLD_BYTES,        /* bytes of a connection arrive after its client's next one is up */
	/* the disk */
	FAULT_WRITE_SLOW,           /* seconds */
	FAULT_WRITE_REORDERED,      /* ended before one that was begun earlier */
	FAULT_WRITE_LATE,           /* landed after its process had been killed */
	FAULT_WRITE_VERY_LATE,      /* ... and after the next server had started */
	FAULT_WRITE_SHORT,          /* a part of it has landed, -EIO */
	FAULT_WRITE_ERROR,          /* once */
	FAULT_WRITE_ERROR_FOREVER,  /* from here on all */
	FAULT_FLUSH_ERROR,          /* once ... */
	FAULT_FLUSH_ERROR_FOREVER,
	FAULT_FLUSH_LOST,           /* a flush that fails; the next one succeeds, and the data are not there */
	FAULT_READ_ERROR,
	FAULT_NO_SPACE,
	FAULT_JOB_SLOW,             /* a file job's step takes long */
	FAULT_PAGE_DROPPED,         /* at a power cut: an unflushed page is the old one */
	FAULT_PAGE_KEPT,            /* ... the new one */
	FAULT_PAGE_TORN,            /* ... some sectors old, some new */
	FAULT_SECTOR_GARBAGE,       /* ... some neither */
	FAULT_NAME_LOST,            /* ... a file made, renamed or removed, and not so after all */
	FAULT_SEGMENT_REUSED,       /* a file that has old batches in it is written again */
	/* corruption: in a mode of its own */
	FAULT_BIT_FLIPPED,
	FAULT_SECTOR_ZEROED,
	FAULT_BLOCK_MISDIRECTED,    /* written somewhere else */
	FAULT_BLOCK_STALE,          /* not written, success */
	FAULT_LOCK_DAMAGED,         /* the lock file, with the number of the last durable record: in one of these ways */
	/* processes */
	FAULT_SERVER_KILLED,
	FAULT_POWER_CUT,
	FAULT_KILLED_IN_OPENING,
	FAULT_POWER_CUT_IN_OPENING,
	FAULT_CLIENT_KILLED,
	FAULT_READER_KILLED,
	FAULT_PAUSE,
	FAULT_CLOCK_JUMP,
	FAULT_SECOND_SERVER,
	FAULT_HOSTILE_CLIENT,       /* one has connected */
	FAULTS
};

const char *fault_name(enum fault kind);

enum sim_mode {
	MODE_CRASH,      /* crash faults only: nothing is ever damage */
	MODE_CORRUPTION, /* the medium lies: reported, or harmless */
	MODE_LIVENESS,   /* faults stop, and everything arrives */
	MODE_EXHAUSTION, /* little disk, few buffers, few streams */
	MODES
};

/* Draw this seed's rates. Corruption kinds are zero but in their mode. */
void faults_draw(enum sim_mode mode);

/* From now on nothing goes wrong any more (fault_happens is false). */
void faults_stop(void);
bool faults_stopped(void);

/* An opportunity: does it happen? Counted when it does. */
bool fault_happens(enum fault kind);

/* The same, not counted yet: whoever asks finds out whether it takes effect, and says so with fault_happened. */
bool fault_strikes(enum fault kind);

/* It has happened, as a consequence of something else: counted only. */
void fault_happened(enum fault kind);

/* Counts since this process began, over all its seeds. */
extern uint64_t fault_counts[FAULTS];

#endif
