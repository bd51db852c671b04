#include "memory_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/limits.h"
#include "clock/clock.h"
#include "file/file.h"
#include "fuzz.h"

enum {
	DIRECTORIES_MAX = 4,
	NAMES_MAX = 64,
	NODES_MAX = 256,
	OPEN_MAX_HERE = 256,
	OPEN_BASE = 1000, /* so that no real descriptor is taken for one of these */
	DIRECTORY_BASE = 5000,
	NODE_SIZE_MIN = 4096, /* what is mapped never moves: nobody maps more */
	DISK_SIZE = 64 << 20,
	SPARES_MAX = 64,
	SPARE_SIZE_MAX = 1 << 20,
};

struct node {
	uint8_t *data;
	uint64_t size;
	uint64_t room;
	uint64_t modified_ns;
	unsigned references; /* names and open files */
	unsigned shared;     /* locks */
	bool exclusive;
};

struct name {
	char text[FILE_NAME_SIZE];
	unsigned node;
	bool used;
};

struct directory {
	char path[64];
	struct name names[NAMES_MAX];
	unsigned name_count; /* used and unused ones */
};

struct open_file {
	unsigned node;
	bool used;
	bool writable;
	bool direct;
	char lock; /* 's', 'x' or '\0' */
};

/* Memory of files that are gone, for those to come: all zero. Making it anew each time is what most of the time would go into. */
struct spare {
	uint8_t *data;
	uint64_t room;
};

static struct spare spares[SPARES_MAX];
static struct directory directories[DIRECTORIES_MAX];
static unsigned directory_count;
static struct node nodes[NODES_MAX];
static struct open_file files[OPEN_MAX_HERE];
static uint64_t changes;
static unsigned held;
static uint64_t now_ns;
static uint64_t random_state;

/* --- clock and randomness */

uint64_t clock_monotonic_ns(void)
{
	now_ns += 1000;
	return now_ns;
}

uint64_t clock_boottime_ns(void)
{
	return clock_monotonic_ns();
}

uint64_t clock_realtime_ns(void)
{
	return 1700000000000000000u + clock_monotonic_ns();
}

void clock_sleep_ns(uint64_t ns)
{
	now_ns += ns;
}

void random_bytes(void *out, size_t size)
{
	uint8_t *at = out;

	for (size_t i = 0; i < size; i++) {
		random_state = random_state * 6364136223846793005u + 1442695040888963407u;
		at[i] = (uint8_t)(random_state >> 56);
	}
}

/* --- nodes and names */

static uint8_t *take_memory(uint64_t room)
{
	uint8_t *data;

	for (unsigned i = 0; i < SPARES_MAX; i++) {
		if (spares[i].room != room)
			continue;
		data = spares[i].data;
		spares[i] = (struct spare){ 0 };
		return data;
	}
	data = calloc(1, room);
	must(data != NULL);
	return data;
}

static void give_memory(uint8_t *data, uint64_t room, uint64_t used)
{
	for (unsigned i = 0; i < SPARES_MAX && room <= SPARE_SIZE_MAX; i++) {
		if (spares[i].room != 0)
			continue;
		memset(data, 0, used);
		spares[i] = (struct spare){ data, room };
		return;
	}
	free(data);
}

static void node_release(unsigned index)
{
	struct node *node = &nodes[index];

	must(node->references > 0);
	if (--node->references > 0)
		return;
	give_memory(node->data, node->room, node->size);
	memset(node, 0, sizeof(*node));
}

static int node_take(unsigned *ret)
{
	for (unsigned i = 0; i < NODES_MAX; i++) {
		if (nodes[i].references != 0)
			continue;
		nodes[i].data = take_memory(NODE_SIZE_MIN);
		nodes[i].room = NODE_SIZE_MIN;
		nodes[i].references = 1;
		*ret = i;
		return 0;
	}
	return -ENOSPC;
}

static int node_resize(struct node *node, uint64_t size)
{
	if (size > DISK_SIZE)
		return -ENOSPC;
	if (size > node->room) {
		uint64_t room = node->room;
		uint8_t *data;

		while (room < size)
			room *= 4;
		data = take_memory(room);
		memcpy(data, node->data, node->size);
		give_memory(node->data, node->room, node->size);
		node->data = data;
		node->room = room;
	}
	if (size < node->size)
		memset(node->data + size, 0, node->size - size);
	node->size = size;
	return 0;
}

static struct directory *directory_of(int descriptor)
{
	must(descriptor >= DIRECTORY_BASE);
	must((unsigned)(descriptor - DIRECTORY_BASE) < directory_count);
	return &directories[descriptor - DIRECTORY_BASE];
}

static struct directory *directory_find(const char *path)
{
	for (unsigned i = 0; i < directory_count; i++)
		if (strcmp(directories[i].path, path) == 0)
			return &directories[i];
	return NULL;
}

static struct name *name_find(struct directory *d, const char *text)
{
	for (unsigned i = 0; i < d->name_count; i++)
		if (d->names[i].used && strcmp(d->names[i].text, text) == 0)
			return &d->names[i];
	return NULL;
}

static struct name *name_take(struct directory *d, const char *text)
{
	unsigned at = 0;

	while (at < d->name_count && d->names[at].used)
		at++;
	must(at < NAMES_MAX && strlen(text) < FILE_NAME_SIZE);
	if (at == d->name_count)
		d->name_count++;
	strcpy(d->names[at].text, text);
	d->names[at].used = true;
	return &d->names[at];
}

static struct open_file *file_of(int descriptor)
{
	must(descriptor >= OPEN_BASE && descriptor < OPEN_BASE + OPEN_MAX_HERE);
	must(files[descriptor - OPEN_BASE].used);
	return &files[descriptor - OPEN_BASE];
}

static struct node *node_of(int descriptor)
{
	return &nodes[file_of(descriptor)->node];
}

static void changed(struct node *node)
{
	changes++;
	node->modified_ns = 1700000000000000000u + changes;
}

static void check_direct(const struct open_file *file, const void *data, size_t size,
			 uint64_t offset)
{
	if (!file->direct)
		return;
	must(((uintptr_t)data & (MEMORY_ALIGNMENT - 1)) == 0);
	must((size & (MEMORY_ALIGNMENT - 1)) == 0 && (offset & (MEMORY_ALIGNMENT - 1)) == 0);
}

/* --- for the targets */

void memory_reset(void)
{
	for (unsigned i = 0; i < directory_count; i++) {
		for (unsigned k = 0; k < directories[i].name_count; k++)
			if (directories[i].names[k].used)
				node_release(directories[i].names[k].node);
		directories[i].name_count = 0;
	}
	for (unsigned i = 0; i < NODES_MAX; i++)
		must(nodes[i].references == 0);
	must(held == 0);
	directory_count = 0;
	changes = 0;
	now_ns = 1000000000;
	random_state = 1;
}

void memory_put(const char *directory, const char *name, const void *data, size_t size)
{
	int d, file;

	must(file_make_directory(directory) == 0 && file_open_directory(directory, &d) == 0);
	must(file_open(d, name, FILE_WRITE | FILE_CREATE, &file) == 0);
	must(file_truncate(file, 0) == 0 && file_write(file, data, size, 0) == 0);
	file_close(file);
	file_close(d);
}

const uint8_t *memory_get(const char *directory, const char *name, size_t *ret_size)
{
	struct directory *d = directory_find(directory);
	struct name *found = d == NULL ? NULL : name_find(d, name);

	if (found == NULL)
		return NULL;
	*ret_size = nodes[found->node].size;
	return nodes[found->node].data;
}

uint64_t memory_changes(void)
{
	return changes;
}

unsigned memory_held(void)
{
	return held;
}

/* --- the door */

int file_open_directory(const char *path, int *ret_directory)
{
	struct directory *d = directory_find(path);

	if (d == NULL)
		return -ENOENT;
	held++;
	*ret_directory = DIRECTORY_BASE + (int)(d - directories);
	return 0;
}

int file_make_directory(const char *path)
{
	if (directory_find(path) != NULL)
		return 0;
	must(directory_count < DIRECTORIES_MAX && strlen(path) < sizeof(directories[0].path));
	strcpy(directories[directory_count].path, path);
	directories[directory_count].name_count = 0;
	directory_count++;
	changes++;
	return 0;
}

int file_list(int directory, int (*each)(void *context, const char *name), void *context)
{
	struct directory *d = directory_of(directory);

	for (unsigned i = 0; i < d->name_count; i++) {
		int result = d->names[i].used ? each(context, d->names[i].text) : 0;

		if (result != 0)
			return result;
	}
	return 0;
}

int file_open(int directory, const char *name, unsigned flags, int *ret_file)
{
	struct directory *d = directory_of(directory);
	struct name *found = name_find(d, name);
	unsigned at = 0;
	int error;

	if (found != NULL && (flags & FILE_NEW) != 0)
		return -EEXIST;
	if (found == NULL && (flags & FILE_CREATE) == 0)
		return -ENOENT;
	while (at < OPEN_MAX_HERE && files[at].used)
		at++;
	if (at == OPEN_MAX_HERE)
		return -EMFILE;
	if (found == NULL) {
		unsigned node;

		error = node_take(&node);
		if (error != 0)
			return error;
		found = name_take(d, name);
		found->node = node;
		changes++;
	}
	nodes[found->node].references++;
	files[at] = (struct open_file){ .node = found->node,
					.used = true,
					.writable = (flags & FILE_WRITE) != 0,
					.direct = (flags & FILE_DIRECT) != 0 };
	held++;
	*ret_file = OPEN_BASE + (int)at;
	return 0;
}

void file_close(int file)
{
	if (file < 0)
		return;
	must(held > 0);
	held--;
	if (file >= DIRECTORY_BASE) {
		(void)directory_of(file);
		return;
	}
	(void)file_unlock(file);
	node_release(file_of(file)->node);
	file_of(file)->used = false;
}

int file_stat(int file, struct file_stat *ret)
{
	struct node *node = node_of(file);

	*ret = (struct file_stat){ .size = node->size,
				   .allocated = node->size,
				   .modified_ns = node->modified_ns,
				   .inode = (uint64_t)(node - nodes) + 1 };
	return 0;
}

int file_is_within(const char *path, const char *directory)
{
	return strcmp(path, directory) == 0; /* directories hold none */
}

int file_geometry(int directory, struct file_geometry *ret)
{
	(void)directory_of(directory);
	*ret = (struct file_geometry){ .direct = true,
				       .memory_alignment = MEMORY_ALIGNMENT,
				       .offset_alignment = MEMORY_ALIGNMENT,
				       .block_size = MEMORY_BLOCK };
	return 0;
}

int64_t file_read(int file, void *data, size_t size, uint64_t offset)
{
	struct node *node = node_of(file);
	uint64_t left = offset < node->size ? node->size - offset : 0;

	check_direct(file_of(file), data, size, offset);
	if (size > left)
		size = left;
	if (size > 0)
		memcpy(data, node->data + offset, size);
	return (int64_t)size;
}

int file_write(int file, const void *data, size_t size, uint64_t offset)
{
	struct node *node = node_of(file);
	int error;

	must(file_of(file)->writable);
	check_direct(file_of(file), data, size, offset);
	if (size == 0)
		return 0;
	if (offset > DISK_SIZE || size > DISK_SIZE - offset)
		return -ENOSPC;
	error = offset + size > node->size ? node_resize(node, offset + size) : 0;
	if (error != 0)
		return error;
	memcpy(node->data + offset, data, size);
	changed(node);
	return 0;
}

int file_write_durable(int file, const void *data, size_t size, uint64_t offset)
{
	return file_write(file, data, size, offset);
}

int file_reserve(int file, uint64_t size)
{
	return size > node_of(file)->size ? file_truncate(file, size) : 0;
}

int file_truncate(int file, uint64_t size)
{
	must(file_of(file)->writable);
	changed(node_of(file));
	return node_resize(node_of(file), size);
}

int file_flush(int file)
{
	(void)node_of(file);
	return 0;
}

int file_flush_directory(int directory)
{
	(void)directory_of(directory);
	return 0;
}

int file_rename(int directory, const char *from, const char *to, bool replace)
{
	struct directory *d = directory_of(directory);
	struct name *source = name_find(d, from);
	struct name *target = name_find(d, to);

	if (source == NULL)
		return -ENOENT;
	if (target != NULL && !replace)
		return -EEXIST;
	if (target != NULL && target != source) {
		node_release(target->node);
		target->used = false;
	}
	must(strlen(to) < FILE_NAME_SIZE);
	memmove(source->text, to, strlen(to) + 1);
	changes++;
	return 0;
}

int file_remove(int directory, const char *name)
{
	struct name *found = name_find(directory_of(directory), name);

	if (found == NULL)
		return -ENOENT;
	node_release(found->node);
	found->used = false;
	changes++;
	return 0;
}

int file_lock(int file, bool exclusive)
{
	struct node *node = node_of(file);

	(void)file_unlock(file);
	if (node->exclusive || (exclusive && node->shared > 0))
		return -EWOULDBLOCK;
	file_of(file)->lock = exclusive ? 'x' : 's';
	if (exclusive)
		node->exclusive = true;
	else
		node->shared++;
	return 0;
}

int file_unlock(int file)
{
	struct node *node = node_of(file);

	if (file_of(file)->lock == 'x')
		node->exclusive = false;
	else if (file_of(file)->lock == 's')
		node->shared--;
	file_of(file)->lock = '\0';
	return 0;
}

int file_map(int file, size_t size, bool writable, void **ret_memory)
{
	must(size <= NODE_SIZE_MIN && (!writable || file_of(file)->writable));
	must(node_of(file)->room == NODE_SIZE_MIN);
	if (node_of(file)->size < size)
		return -EINVAL;
	held++;
	*ret_memory = node_of(file)->data;
	return 0;
}

void file_unmap(void *memory, size_t size)
{
	(void)size;
	if (memory == NULL)
		return;
	must(held > 0);
	held--;
}

int file_space(int directory, struct file_space *ret)
{
	(void)directory_of(directory);
	*ret = (struct file_space){ .free = 10 * GIB, .total = 100 * GIB };
	return 0;
}

/* Lazily backed: the journal's staging is large, and mostly untouched. */
void *file_memory(size_t size, size_t alignment)
{
	uint8_t *memory;
	size_t before;

	if (alignment < 4096)
		alignment = 4096;
	size = (size + 4095) & ~(size_t)4095;
	memory = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must((void *)memory != MAP_FAILED && (alignment & (alignment - 1)) == 0);
	before = alignment - ((uintptr_t)memory & (alignment - 1));
	must(munmap(memory, before) == 0);
	if (before < alignment)
		must(munmap(memory + before + size, alignment - before) == 0);
	held++;
	return memory + before;
}

void file_memory_free(void *memory, size_t size)
{
	if (memory == NULL)
		return;
	size = (size + 4095) & ~(size_t)4095;
	must(held > 0 && munmap(memory, size) == 0);
	held--;
}
