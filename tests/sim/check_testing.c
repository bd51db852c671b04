/* The world in which the checks are tested. */
#include "check_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/test.h"
#include "world.h"

struct test_file test_files[FILES_MAX];
struct process test_server = { .number = 100, .state = PROCESS_RUNNING, .is_server = true };
struct process test_rival = { .number = 101, .state = PROCESS_RUNNING, .is_server = true };
unsigned test_descriptors;
size_t test_memory;
size_t test_settled;
uint64_t test_now;
uint64_t test_writer;
struct test_stream test_orders;
struct test_file *test_first;
uint64_t fault_counts[FAULTS];

static unsigned file_count;
static uint64_t last_commit; /* where it begins */
static jmp_buf caught;
static char said[512];
static char kept[512];

/* --- what the checks call */

void *sim_alloc(size_t size)
{
	return calloc(1, size);
}

void *sim_resize(void *memory, size_t size)
{
	return realloc(memory, size);
}

void sim_free(void *memory)
{
	free(memory);
}

uint64_t world_now(void)
{
	return test_now;
}

void world_trace(const char *what, uint64_t a, uint64_t b)
{
	(void)what;
	(void)a;
	(void)b;
}

void world_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
	longjmp(caught, 1);
}

size_t process_memory_most(const struct process *process)
{
	(void)process;
	return test_memory;
}

size_t process_memory_settled(const struct process *process)
{
	(void)process;
	return test_settled;
}

unsigned disk_descriptors(const struct process *process)
{
	(void)process;
	return test_descriptors;
}

bool disk_is_broken(const struct disk *disk)
{
	(void)disk;
	return false;
}

static const struct test_file *file_of(uint64_t inode)
{
	return inode >= 1 && inode <= file_count ? &test_files[inode - 1] : NULL;
}

bool disk_medium_read(const struct disk *disk, uint64_t inode, uint64_t offset, void *out,
		      size_t size)
{
	const struct test_file *file = file_of(inode);

	(void)disk;
	if (file == NULL || offset + size > FILE_SIZE)
		return false;
	for (uint64_t at = offset / TEST_BLOCK; at * TEST_BLOCK < offset + size; at++)
		if (!file->is_certain[at])
			return false;
	memcpy(out, file->bytes + offset, size);
	return true;
}

bool disk_read(const struct disk *disk, uint64_t inode, uint64_t offset, void *out, size_t size)
{
	const struct test_file *file = file_of(inode);

	(void)disk;
	if (file == NULL || offset + size > FILE_SIZE)
		return false;
	memcpy(out, file->bytes + offset, size);
	return true;
}

bool disk_medium_name(const struct disk *disk, const char *directory, uint64_t inode,
		      char ret[256])
{
	const struct test_file *file = file_of(inode);

	(void)disk;
	(void)directory;
	if (file == NULL || !file->is_name_certain)
		return false;
	memcpy(ret, file->name, sizeof(file->name));
	return true;
}

void disk_list(const struct disk *disk, const char *directory,
	       void (*each)(void *context, const char *name, uint64_t inode, uint64_t size),
	       void *context)
{
	(void)disk;
	(void)directory;
	for (unsigned i = 0; i < file_count; i++)
		if (test_files[i].is_listed)
			each(context, test_files[i].name, test_files[i].inode, FILE_SIZE);
}

/* --- a scene */

void test_begin_with(const struct check_config *config)
{
	memset(test_files, 0, sizeof(test_files));
	memset(fault_counts, 0, sizeof(fault_counts));
	file_count = 0;
	test_descriptors = 3;
	test_memory = 1050;
	test_settled = 1000;
	test_now = 0;
	test_writer = 77;
	test_server.state = test_rival.state = PROCESS_RUNNING;
	check_begin(config);
	check_server_started(&test_server);
}

void test_begin(enum sim_mode mode, uint64_t keep_bytes, bool no_journal)
{
	struct check_config config = {
		.mode = mode,
		.directory = "/data/journal",
		.keep_bytes = keep_bytes,
		.no_journal = no_journal,
		.memory_budget = 1000,
		.opening_budget = 50,
		.descriptors_budget = 10,
	};

	test_begin_with(&config);
}

static void run(void (*scene)(void))
{
	said[0] = '\0';
	if (setjmp(caught) == 0) {
		scene();
		check_end();
		return;
	}
	/* What is left of it is tidied up; that something is missing is no news. */
	memcpy(kept, said, sizeof(said));
	if (setjmp(caught) == 0)
		check_end();
	memcpy(said, kept, sizeof(said));
}

bool test_row(const struct test_row *row)
{
	bool is_so;

	run(row->scene);
	is_so = row->broken == NULL ? said[0] == '\0' : strstr(said, row->broken) != NULL;
	if (!is_so)
		fprintf(stderr, "%s: \"%s\", not \"%s\"\n", row->name, said,
			row->broken != NULL ? row->broken : "");
	return is_so;
}

void test_scene(enum sim_mode mode, uint64_t keep_bytes)
{
	test_begin(mode, keep_bytes, false);
	test_orders = test_native(1);
	check_sender(1, test_orders.id, 1, 8, false);
	test_first = test_segment(1, 1);
	test_hello(1, &test_orders, 2, 1);
	test_welcome(1, 0, 0, 0);
	test_messages(test_first, &test_orders, 1, 1, 1, 1, 3);
}

void test_restart(void)
{
	test_server.state = PROCESS_KILLED;
	check_server_ended(&test_server);
	test_server.state = PROCESS_RUNNING;
	check_server_started(&test_server);
}

/* --- the journal */

struct test_file *test_segment(uint64_t index, uint64_t f)
{
	struct test_file *file = &test_files[file_count++];
	uint8_t *header = file->bytes;

	file->index = index;
	file->inode = file_count;
	file->f = f;
	file->is_listed = file->is_name_certain = true;
	file->end = TEST_BLOCK;
	snprintf(file->name, sizeof(file->name), "%020llu.seg", (unsigned long long)index);
	memset(file->salt, (int)index, sizeof(file->salt));
	memset(file->is_certain, true, sizeof(file->is_certain));
	memcpy(header, "ROGERSEG", 8);
	put_u32(header + 8, 1);
	memset(header + 16, 0xa5, 16);
	put_u64(header + 32, index);
	memcpy(header + 40, file->salt, 16);
	put_u32(header + 56, TEST_BLOCK);
	put_u32(header + 12, crc32c(crc32c(0, header, 12), header + 16, 64));
	return file;
}

void test_lock(uint64_t number, bool is_good)
{
	struct test_file *file = &test_files[file_count++];

	file->inode = file_count;
	file->is_listed = file->is_name_certain = true;
	snprintf(file->name, sizeof(file->name), "lock");
	put_u64(file->bytes, number);
	put_u64(file->bytes + 16, ~number ^ !is_good);
}

struct test_stream test_native(uint8_t name)
{
	struct test_stream stream = { .protocol = 1 };

	memset(stream.id, 0x80 | name, sizeof(stream.id));
	return stream;
}

struct test_stream test_plain(uint8_t protocol, uint64_t record)
{
	struct test_stream stream = { .protocol = protocol };

	put_u64(stream.id + 8, record);
	return stream;
}

static void finish_batch(struct test_file *file, uint32_t flags, uint32_t bytes)
{
	uint8_t *at = file->bytes + file->end, index[8];
	uint32_t crc;

	memcpy(at, "RBAT", 4);
	put_u64(at + 8, file->f);
	put_u32(at + 84, bytes);
	put_u32(at + 96, flags | 3);
	put_u64(index, file->index);
	crc = crc32c(crc32c(0, file->salt, sizeof(file->salt)), index, sizeof(index));
	put_u32(at + 4, crc32c(crc, at + 8, 120));
	last_commit = file->end;
	file->end = (file->end + 128 + bytes + TEST_BLOCK - 1) / TEST_BLOCK * TEST_BLOCK;
}

static uint32_t put_frame(uint8_t *frame, struct test_stream *stream, const char *payload)
{
	uint32_t size = (uint32_t)strlen(payload), crc;
	uint8_t seq[8];

	stream->last++;
	put_u64(seq, stream->last);
	put_u32(frame, size);
	memcpy(frame + 8, payload, size);
	crc = crc32c(crc32c(0, stream->id, 16), seq, 8);
	put_u32(frame + 4, crc32c(crc32c(crc, frame, 4), frame + 8, size));
	stream->h = crc32c(stream->h, frame + 4, 4);
	return 8 + size;
}

void test_commit(struct test_file *file, struct test_stream *stream, uint64_t record,
		 const char *const *payloads, uint32_t count)
{
	uint8_t *at = file->bytes + file->end;
	uint32_t bytes = 0;

	put_u64(at + 16, record);
	put_u64(at + 24, record - 1);
	memcpy(at + 32, stream->id, 16);
	put_u64(at + 48, stream->last + 1);
	put_u64(at + 56, stream->protocol == 1 ? 77 : 0);
	put_u64(at + 72, stream->gap_last);
	put_u32(at + 80, count);
	put_u32(at + 88, stream->h);
	at[100] = stream->protocol;
	for (uint32_t i = 0; i < count; i++)
		bytes += put_frame(at + 128 + bytes, stream, payloads[i]);
	put_u32(at + 92, stream->h);
	finish_batch(file, stream->flags, bytes);
}

const char *test_message(uint32_t sender, uint32_t run, uint64_t number)
{
	static char texts[16][128];
	static unsigned next;
	char *text = texts[next++ % 16];
	struct message message = { sender, run, number };

	text[message_make(&message, 100, (uint8_t *)text)] = '\0';
	return text;
}

void test_messages(struct test_file *file, struct test_stream *stream, uint64_t record,
		   uint32_t sender, uint32_t run, uint64_t first, uint64_t last)
{
	const char *payloads[16];
	uint32_t count = 0;

	for (uint64_t number = first; number <= last; number++)
		payloads[count++] = test_message(sender, run, number);
	test_commit(file, stream, record, payloads, count);
}

void test_seal(struct test_file *file, uint64_t next, uint64_t durable,
	       const struct test_stream *forget)
{
	uint8_t *at = file->bytes + file->end;

	put_u64(at + 16, next);
	put_u64(at + 24, durable);
	if (forget != NULL)
		memcpy(at + 32, forget->id, 16);
	finish_batch(file, forget != NULL ? 16 : 0, 0);
}

void test_doubt(struct test_file *file)
{
	for (uint64_t at = last_commit; at < file->end; at += TEST_BLOCK)
		file->is_certain[at / TEST_BLOCK] = false;
}

/* --- the wire */

void test_hello(uint64_t connection, const struct test_stream *stream, uint32_t flags,
		uint64_t first)
{
	uint8_t hello[48] = "ROGER/1\n";

	put_u32(hello + 8, flags);
	memcpy(hello + 12, stream->id, 16);
	put_u64(hello + 28, test_writer);
	put_u64(hello + 36, first);
	put_u32(hello + 44, crc32c(0, hello, 44));
	check_accepted(&test_server, connection, 9999);
	check_received(&test_server, connection, hello, 5);
	check_received(&test_server, connection, hello + 5, sizeof(hello) - 5);
	test_preface(connection);
}

void test_preface(uint64_t connection)
{
	check_sending(&test_server, connection, (const uint8_t *)"ROGER/1\n", 8);
}

void test_say(uint64_t connection, uint32_t kind, const void *body, uint32_t size)
{
	uint8_t message[300];

	put_u32(message, kind);
	put_u32(message + 4, size);
	memcpy(message + 12, body, size);
	put_u32(message + 8, crc32c(crc32c(0, message, 8), message + 12, size));
	check_sending(&test_server, connection, message, 7);
	check_sending(&test_server, connection, message + 7, 5 + size);
}

void test_welcome(uint64_t connection, uint64_t last, uint64_t record, uint32_t h)
{
	uint8_t body[52] = { 0 };

	put_u32(body + 4, 65536);
	memset(body + 8, 0xa5, 16);
	put_u64(body + 24, last);
	put_u64(body + 32, record);
	put_u64(body + 40, last > 0 ? 77 : 0);
	put_u32(body + 48, h);
	test_say(connection, 1, body, sizeof(body));
}

void test_ack(uint64_t connection, uint64_t seq, uint64_t record)
{
	uint8_t body[16];

	put_u64(body, seq);
	put_u64(body + 8, record);
	test_say(connection, 2, body, sizeof(body));
}

void test_receive(uint64_t connection, const char *text)
{
	check_received(&test_server, connection, (const uint8_t *)text, strlen(text));
}

void test_send(uint64_t connection, const char *text)
{
	check_sending(&test_server, connection, (const uint8_t *)text, strlen(text));
}

struct check_record test_shown(uint64_t record, const struct test_stream *stream, uint64_t seq,
			       const char *text)
{
	return (struct check_record){
		.number = record,
		.stream = stream->id,
		.seq = seq,
		.payload = (const uint8_t *)text,
		.size = strlen(text),
	};
}

struct check_record test_number(uint64_t number)
{
	return test_shown(number, &test_orders, number, test_message(1, 1, number));
}

void test_whole(uint64_t from, uint64_t to)
{
	uint64_t count;

	check_whole_begin();
	for (uint64_t number = from; number <= to; number++) {
		struct check_record shown = test_number(number);

		check_whole_record(&shown);
	}
	check_whole_end(&count);
	assert_int_equal(count, to + 1 - from);
}

void test_end_server(int status)
{
	test_server.state = PROCESS_RETURNED;
	test_server.status = status;
	check_server_ended(&test_server);
}
