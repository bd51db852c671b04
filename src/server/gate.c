#include "server/gate.h"

#include <errno.h>
#include <stdlib.h>

#include "base/must.h"

static uint32_t size_of(uint32_t capacity)
{
	uint32_t size = 1;

	must(capacity <= UINT32_C(1) << 31);
	while (size < capacity)
		size *= 2;
	return size;
}

uint64_t gate_memory(uint32_t capacity)
{
	return (uint64_t)size_of(capacity) * sizeof(struct gate_entry);
}

int gate_init(struct gate *gate, uint32_t capacity)
{
	uint32_t size = size_of(capacity);

	*gate = (struct gate){ .capacity = size, .head = 1, .tail = 1 };
	gate->entries = calloc(size, sizeof(*gate->entries));
	return gate->entries ? 0 : -ENOMEM;
}

void gate_deinit(struct gate *gate)
{
	free(gate->entries);
	*gate = (struct gate){ 0 };
}

static struct gate_entry *at(const struct gate *gate, uint64_t position)
{
	return &gate->entries[(position - gate->base) & (gate->capacity - 1)];
}

bool gate_is_full(const struct gate *gate)
{
	return gate->tail - gate->head == gate->capacity;
}

bool gate_is_open(uint64_t record, uint64_t durable)
{
	return record <= durable;
}

uint64_t gate_hold(struct gate *gate, struct gate_entry entry, uint64_t commit, uint64_t previous)
{
	must(commit >= gate->commit);
	if (commit != gate->commit) {
		gate->commit = commit;
		gate->commit_begin = gate->tail;
	}
	if (previous >= gate->head && previous >= gate->commit_begin && previous < gate->tail) {
		struct gate_entry *held = at(gate, previous);

		must(held->session == entry.session && held->generation == entry.generation);
		must(held->record <= entry.record && held->seq <= entry.seq);
		*held = entry;
		return previous;
	}
	must(!gate_is_full(gate));
	*at(gate, gate->tail) = entry;
	return gate->tail++;
}

bool gate_release(struct gate *gate, uint64_t durable, struct gate_entry *ret)
{
	if (gate->head == gate->tail || !gate_is_open(at(gate, gate->head)->record, durable))
		return false;
	*ret = *at(gate, gate->head++);
	must(ret->record <= durable);
	if (gate->head == gate->tail)
		gate->base = gate->tail;
	return true;
}
