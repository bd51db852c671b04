/* The checks of one seed: their beginning and end, and what the medium's lies excuse. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check_private.h"

struct check_state checks;

static uint64_t lies(void)
{
	return fault_counts[FAULT_BIT_FLIPPED] + fault_counts[FAULT_SECTOR_ZEROED] +
	       fault_counts[FAULT_BLOCK_MISDIRECTED] + fault_counts[FAULT_BLOCK_STALE];
}

static uint64_t failed_flushes(void)
{
	return fault_counts[FAULT_FLUSH_ERROR] + fault_counts[FAULT_FLUSH_ERROR_FOREVER] +
	       fault_counts[FAULT_FLUSH_LOST];
}

void check_begin(const struct check_config *config)
{
	memset(&checks, 0, sizeof(checks));
	checks.config = *config;
	checks.lies_before = lies();
	checks.flushes_before = failed_flushes();
	ledger_begin();
	senders_begin();
	plain_begin();
	audit_begin();
	tap_begin();
	seen_begin();
	servers_begin();
	reasons_begin();
}

void check_end(void)
{
	char text[sizeof(checks.debts[0].text)] = "";

	reasons_end();
	servers_end();
	seen_end();
	tap_end();
	audit_end();
	plain_end();
	senders_end();
	ledger_end();
	for (size_t i = 0; i < checks.debt_count && text[0] == '\0'; i++)
		if (checks.told_first == 0 || checks.told_first > checks.debts[i].first)
			snprintf(text, sizeof(text), "%s", checks.debts[i].text);
	sim_free(checks.debts);
	checks.debts = NULL;
	checks.debt_count = checks.debt_capacity = 0;
	if (text[0] != '\0')
		world_fail("lost, and nobody has said so: %s", text);
}

uint64_t check_told(void)
{
	return ledger_last();
}

uint64_t check_acknowledged(void)
{
	return checks.acknowledged;
}

/* --- corruption */

bool check_is_corrupt(void)
{
	return checks.config.mode == MODE_CORRUPTION &&
	       (checks.is_damaged || lies() != checks.lies_before);
}

void check_corrupted(void)
{
	if (checks.config.mode != MODE_CORRUPTION)
		world_fail("the medium was damaged in a mode in which it is honest");
	checks.is_damaged = true;
}

void check_told_from(uint64_t record)
{
	if (checks.told_first == 0 || record < checks.told_first)
		checks.told_first = record;
}

/* "... record 17: ..." or "... records 17..20: ...". 1 where the text names none. */
static uint64_t record_in(const char *text)
{
	const char *at = strstr(text, "record");
	uint64_t record = 0;

	while (at != NULL && (*at < '0' || *at > '9') && *at != '\0')
		at++;
	for (; at != NULL && *at >= '0' && *at <= '9'; at++)
		record = record * 10 + (uint64_t)(*at - '0');
	return record > 0 ? record : 1;
}

/* It excuses what is missing at that place and behind it, and nothing before it. How far it reaches is not looked at: a reader stops there,
 * and who asks for what is behind it is told of this place and of no other. */
void check_damage_told(const char *who, const char *text)
{
	if (!check_is_corrupt())
		world_fail("%s calls an honest crash damage: %s", who, text);
	world_trace("damage told", 0, 0);
	checks.reports++;
	check_told_from(record_in(text));
}

void check_fault_injected(void)
{
	checks.is_injected = true;
}

bool check_cache_may_lie(void)
{
	return checks.config.is_buffered && failed_flushes() != checks.flushes_before;
}

void check_missing(uint64_t record, const char *format, ...)
{
	char text[sizeof(checks.debts[0].text)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (!check_is_corrupt())
		world_fail("%s", text);
	if (record == 0)
		return;
	checks.debts = check_grow(checks.debts, checks.debt_count, &checks.debt_capacity,
				  sizeof(checks.debts[0]));
	checks.debts[checks.debt_count].record = record;
	checks.debts[checks.debt_count].first =
		audit_place() <= record ? audit_bad_place() : record;
	memcpy(checks.debts[checks.debt_count++].text, text, sizeof(text));
}

uint64_t check_owed(void)
{
	uint64_t highest = 0;

	for (size_t i = 0; i < checks.debt_count; i++)
		if (checks.debts[i].record > highest)
			highest = checks.debts[i].record;
	return highest;
}

void check_forgive(uint64_t first, uint64_t last)
{
	size_t count = 0;

	for (size_t i = 0; i < checks.debt_count; i++)
		if (checks.debts[i].record < first || checks.debts[i].record > last)
			checks.debts[count++] = checks.debts[i];
	checks.debt_count = count;
}

void check_found(uint64_t record)
{
	check_forgive(1, record - 1);
	for (size_t i = 0; i < checks.debt_count; i++)
		if (checks.debts[i].first < record)
			checks.debts[i].first = record;
}

/* --- small things */

uint32_t check_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

uint64_t check_u64(const uint8_t *at)
{
	return (uint64_t)check_u32(at) | (uint64_t)check_u32(at + 4) << 32;
}

/* 64 bits that tell messages apart; the checksums that are under test have no part in it. */
uint64_t check_digest(const uint8_t *data, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325 ^ size;
	uint64_t lanes[4] = { 1, 2, 3, 4 }; /* the processor multiplies them all at once */
	size_t i = 0;

	for (; i + 32 <= size; i += 32)
		for (unsigned k = 0; k < 4; k++) {
			lanes[k] = (lanes[k] ^ check_u64(data + i + 8 * k)) * 0x9e3779b97f4a7c15;
			lanes[k] ^= lanes[k] >> 29;
		}
	for (unsigned k = 0; k < 4; k++) {
		hash = (hash ^ lanes[k]) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 29;
	}
	for (; i < size; i++)
		hash = (hash ^ data[i]) * 0x100000001b3;
	return hash ^ hash >> 32;
}

void *check_grow(void *array, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return array;
	*capacity = *capacity == 0 ? 16 : 2 * *capacity;
	return sim_resize(array, *capacity * size);
}
