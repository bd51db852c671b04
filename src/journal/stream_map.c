#include "journal/stream_map.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "clock/clock.h"

enum { ROOM_FIRST = 1024 };

int stream_map_init(struct stream_map *map)
{
	*map = (struct stream_map){ .room = ROOM_FIRST };
	random_bytes(&map->seed, sizeof(map->seed)); /* ids are chosen by peers */
	map->list = calloc(map->room, sizeof(*map->list));
	return map->list == NULL ? -ENOMEM : 0;
}

void stream_map_deinit(struct stream_map *map)
{
	free(map->list);
	*map = (struct stream_map){ 0 };
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

/* Its place, or the empty one where it belongs. At least a quarter of the table is empty. */
static struct stream_note *place_of(const struct stream_map *map, const struct stream_id *id)
{
	uint64_t at = mix(mix(get_u64(id->bytes) ^ map->seed) ^ get_u64(id->bytes + 8));

	for (;; at++) {
		struct stream_note *note = &map->list[at & (map->room - 1)];

		if (note->now.last_seq == 0 || stream_id_equal(&note->now.stream, id))
			return note;
	}
}

static int grow(struct stream_map *map)
{
	struct stream_map larger = *map;

	larger.room *= 2;
	larger.list = calloc(larger.room, sizeof(*larger.list));
	if (larger.list == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < map->room; i++)
		if (map->list[i].now.last_seq != 0)
			*place_of(&larger, &map->list[i].now.stream) = map->list[i];
	free(map->list);
	*map = larger;
	return 0;
}

struct stream_note *stream_map_find(struct stream_map *map, const struct stream_id *id)
{
	struct stream_note *note = place_of(map, id);

	return note->now.last_seq == 0 ? NULL : note;
}

struct stream_note *stream_map_take(struct stream_map *map, const struct stream_id *id)
{
	struct stream_note *note = place_of(map, id);

	if (note->now.last_seq != 0)
		return note;
	if (map->count >= map->room / 4 * 3) {
		if (grow(map) != 0)
			return NULL;
		note = place_of(map, id);
	}
	map->count++;
	note->now.stream = *id;
	return note;
}

const char *stream_text(const struct stream_id *id, char out[STREAM_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < STREAM_ID_SIZE; i++) {
		out[2 * i] = digits[id->bytes[i] >> 4];
		out[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	out[2 * STREAM_ID_SIZE] = '\0';
	return out;
}
