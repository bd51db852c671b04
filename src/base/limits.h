/* Limits that are no options, each with the reason for its number. Those of one room alone may stand beside its code. */
#ifndef ROGER_BASE_LIMITS_H
#define ROGER_BASE_LIMITS_H

#include <stdint.h>

#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define MS_NS ((uint64_t)1000000)
#define SECOND_NS ((uint64_t)1000000000)
#define MINUTE_NS (60 * SECOND_NS)
#define HOUR_NS (3600 * SECOND_NS)
#define NEVER_NS UINT64_MAX /* a deadline that never comes */

/* --- options' defaults (man/roger.1) */
#define DEFAULT_MESSAGE_MAX (1 * MIB)
#define DEFAULT_CONNECTIONS_MAX 10000
#define DEFAULT_STREAMS_MAX 100000
#define DEFAULT_MEMORY (64 * MIB)
#define DEFAULT_SEGMENT_SIZE (256 * MIB)
#define DEFAULT_WINDOW (16 * MIB)
#define DEFAULT_CLIENT_TIMEOUT_NS (60 * SECOND_NS)

/* --- journal */
/* Beside so many commits in flight, a further one is sent off only when it is worth its own write: until then it grows. */
#define COMMITS_SMALL 2
#define COMMIT_WORTH (32 * KIB)
#define STAGING_SIZE (4 * MIB)          /* one commit at most: large enough that a disk's latency is paid by many */
#define SEGMENT_FIRST_SIZE (8 * MIB)    /* an almost empty journal stays small (with its spare: 24 MiB) */
#define SEGMENT_SIZE_MIN (256 * KIB)    /* must hold what one receive buffer brings as one commit, and still leave room */
#define SEGMENT_SIZE_MAX (16 * GIB)     /* keeps offsets far from any overflow; opening reads two of them */
#define ZERO_STEP_SIZE (256 * KIB)      /* one zero step takes about 0.2 ms: what a commit may have to wait for */
#define ZERO_STEP_PAUSE_NS (4 * MS_NS)  /* beside a busy journal: 256 KiB each 4 ms is 64 MB/s, a tenth of its speed */
#define SEAL_IDLE_NS (50 * MS_NS)       /* how long damage of the last commit could pass for an end */
#define SEAL_PAUSE_NS (1 * SECOND_NS)   /* at most one seal a second, so that a slow ticker does not double its writes */
#define FULL_RETRY_NS (1 * SECOND_NS)   /* a full disk is looked at once a second */
#define KEEP_FREE_MAX (1 * GIB)         /* keep-free: the smaller of 5 % and this, never more than a quarter */
#define EPHEMERAL_AGE_NS (24 * HOUR_NS) /* an ephemeral stream may be forgotten after this ... */
#define EPHEMERAL_RESUME_NS (12 * HOUR_NS) /* ... and a client does not resume it after this: half, for clocks that differ */
#define FLUSH_TRIALS 16                 /* writes of each kind by which --flush auto decides */
#define FLUSH_TRIAL_NS (50 * MS_NS)     /* and how long each kind may take: a slow disk must not hold up the start */

/* --- server */
#define RECEIVE_BUFFER_SIZE (64 * KIB)  /* at loopback speed one receive fills it; larger gains nothing (measured) */
#define RECEIVE_BUFFERS_MIN 8           /* fewer, and sessions only wait for one another */
#define PARTIAL_SMALL_SIZE 512          /* a partial frame up to this moves out of its receive buffer */
#define OUTPUT_SLOT_SIZE 256            /* the longest single reply: an ERROR with its text */
#define DEADLINE_FIRST_NS (30 * SECOND_NS)    /* somebody may be typing into nc */
#define DEADLINE_MESSAGE_NS (10 * SECOND_NS)  /* a frame or line that has begun: this and its size at 10 kB/s */
#define DEADLINE_MESSAGE_RATE 10000           /* bytes a second */
#define DEADLINE_IDLE_NS (10 * MINUTE_NS)     /* plain protocols, between messages */
#define DEADLINE_PREFACE_NS (1 * SECOND_NS)   /* a proper prefix of the native preface, then silence: raw */
#define LINGER_QUIET_NS (5 * SECOND_NS)       /* raw after ACK!: since the last byte ... */
#define LINGER_TOTAL_NS (60 * SECOND_NS)      /* ... and in all */
#define HEARTBEAT_NS (5 * SECOND_NS)          /* the server repeats ACK or WAIT to sessions that wait for it */
#define HEARTBEAT_MAX_NS (10 * SECOND_NS)     /* --heartbeat: half of what a client bears (PEER_SILENT_NS) */
#define DRAIN_NS (5 * SECOND_NS)              /* a clean stop waits this long for peers to take their acks */
#define USER_TIMEOUT_MS 30000                 /* a peer that takes nothing from us for so long is given up */
#define KEEPALIVE_IDLE_S 60
#define LINES_PER_SECOND 100                  /* of accepted/received lines on stdout; the rest are counted */
#define SHOWN_BYTES 80                        /* of a message in its "received" line */
#define ACCEPT_BACKOFF_MIN_NS (50 * MS_NS)    /* out of descriptors: try again after this ... */
#define ACCEPT_BACKOFF_MAX_NS (1 * SECOND_NS) /* ... doubling up to this */

/* --- client */
#define RECONNECT_MIN_NS (50 * MS_NS)
#define RECONNECT_MAX_NS (5 * SECOND_NS)
#define PEER_SILENT_NS (20 * SECOND_NS)       /* four heartbeats missed */
#define RAW_REPLY_NS (10 * SECOND_NS)         /* how long roger send raw:// awaits a reply */
#define CONNECT_NS (10 * SECOND_NS)           /* one attempt at one address */

#endif
