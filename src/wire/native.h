/* The native protocol's layout (docs/protocol.md), shared by both sides' machines. Sizes in bytes, little-endian. */
#ifndef ROGER_WIRE_NATIVE_H
#define ROGER_WIRE_NATIVE_H

#include "wire/wire.h"

/* client -> server, once:
 *
 *   0   preface "ROGER/1\n"   8
 *   8   flags                 4     enum hello_flags
 *  12   stream id            16
 *  28   writer                8
 *  36   first                 8
 *  44   crc32c of 0 .. 43     4
 *  48
 *
 * then frames (base/frame.h), numbers implied.
 *
 * server -> client: the preface once, before the first message; then messages
 *
 *   0   kind                  4     enum native_kind
 *   4   size of the body      4     0 ... NATIVE_BODY_MAX
 *   8   crc32c of kind, size, body 4
 *  12   body
 *
 *   WELCOME  flags u32, max message size u32, journal id 16, last u64, record u64, writer u64, h(last) u32   (52)
 *   ACK      seq u64, record u64                                                                             (16)
 *   ERROR    code u32, seq u64, text (UTF-8, up to NATIVE_TEXT_MAX)                                          (12 + text)
 *   WAIT     nothing                                                                                         (0)
 *   DRAIN    milliseconds u32                                                                                (4) */
enum {
	NATIVE_PREFACE_SIZE = 8,
	NATIVE_HELLO_SIZE = 48,
	NATIVE_HEADER_SIZE = 12,
	NATIVE_WELCOME_SIZE = 52,
	NATIVE_ACK_SIZE = 16,
	NATIVE_ERROR_SIZE = 12,
	NATIVE_DRAIN_SIZE = 4,
	NATIVE_TEXT_MAX = 200,
	NATIVE_BODY_MAX = NATIVE_ERROR_SIZE + NATIVE_TEXT_MAX,
};

enum native_kind {
	NATIVE_WELCOME = 1,
	NATIVE_ACK = 2,
	NATIVE_ERROR = 3,
	NATIVE_WAIT = 4,
	NATIVE_DRAIN = 5,
};

extern const uint8_t native_preface[NATIVE_PREFACE_SIZE];

#endif
