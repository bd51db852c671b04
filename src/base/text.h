/* Text: escaping, sizes, durations, times, base64, UTF-8. Pure; no locale. */
#ifndef ROGER_BASE_TEXT_H
#define ROGER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Write `data` into `out` so that it cannot do anything to a terminal: printable UTF-8 as it is (control
 * characters, C1 controls, bidirectional overrides and invalid UTF-8 are not printable), \n \r \t \\ \0 and \xHH for the
 * rest. At most `data_max` bytes of data are shown; "..." is added when some are left out (because of data_max or of
 * room). Always NUL-terminated. Returns the length written. `room` is at least 8. */
size_t text_escape(char *out, size_t room, const uint8_t *data, size_t size, size_t data_max);

/* As text_escape, but a backslash stays what it is: for texts of ours that hold paths and names as they were typed beside
 * what has been escaped already. Once more changes nothing. */
size_t text_one_line(char *out, size_t room, const char *text);

/* As text_escape for everything that a JSON string wants, without the quotes; `data` is valid UTF-8. Needs up
 * to 6 bytes a byte of data; returns the length, or SIZE_MAX when `room` is too small. */
size_t text_json(char *out, size_t room, const uint8_t *data, size_t size);

bool text_is_utf8(const uint8_t *data, size_t size);

/* Standard base64 with padding. `out` has room for base64_size(size). Returns the length. */
size_t text_base64(char *out, const uint8_t *data, size_t size);
size_t text_base64_size(size_t size);

/* "4096", "64KiB", "64K", "1MiB", "2GiB", "10MB" (KB, MB, GB, TB are powers of 1000; K, M, G, T and KiB ... of 1024).
 * 0, or -EINVAL, -ERANGE. */
int text_parse_size(const char *text, uint64_t *ret_bytes);

/* "500ms", "10s", "10" (seconds), "5min", "5m", "12h", "7d", fractions such as "0.5s". 0, or -EINVAL, -ERANGE. */
int text_parse_duration(const char *text, uint64_t *ret_ns);

/* A plain decimal number, nothing else around it. 0, or -EINVAL, -ERANGE. */
int text_parse_u64(const char *text, uint64_t *ret_value);

/* `value` in decimal, NUL-terminated. Returns the length. */
enum { TEXT_U64_SIZE = 21 };
size_t text_u64(uint64_t value, char out[TEXT_U64_SIZE]);

/* Put `text` into `out` at index `at`, NUL-terminated; the caller knows that it fits. Returns the index of the NUL. */
size_t text_put(char *out, size_t at, const char *text);

/* "2026-11-22T14:06:00.123456789Z" from ns since the epoch, UTC. */
enum { TEXT_TIME_SIZE = 40 };
const char *text_time(uint64_t realtime_ns, char out[TEXT_TIME_SIZE]);

/* "12 bytes", "8 MiB", "1.5 GiB": for people. Returns out. */
enum { TEXT_SIZE_SIZE = 32 };
const char *text_size(uint64_t bytes, char out[TEXT_SIZE_SIZE]);

#endif
