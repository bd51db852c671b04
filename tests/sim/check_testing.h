/* For check_test.c, check_plain_test.c, check_end_test.c and check_corrupt_test.c: a world of its own, in which the medium is what the test
 * writes into it, and a broken invariant can be caught.
 *
 * Journals are built here from docs/journal.md once more. */
#ifndef ROGER_SIM_CHECK_TESTING_H
#define ROGER_SIM_CHECK_TESTING_H

#include "check.h"

enum { FILES_MAX = 8, FILE_SIZE = 64 * 4096, TEST_BLOCK = 4096 };

/* A segment on the medium. */
struct test_file {
	char name[32];
	uint64_t index;
	uint64_t inode;
	uint64_t f;
	uint8_t salt[16];
	bool is_listed;
	bool is_name_certain;
	uint64_t end;                   /* where the next commit goes */
	uint8_t bytes[FILE_SIZE];
	bool is_certain[FILE_SIZE / TEST_BLOCK];
};

/* A stream as its server sees it. */
struct test_stream {
	uint8_t id[16];
	uint8_t protocol;       /* as in a batch header */
	uint32_t flags;
	uint64_t last;
	uint64_t gap_last;      /* with GAP in flags */
	uint32_t h;
};

extern struct test_file test_files[FILES_MAX];
extern struct process test_server;
extern struct process test_rival;
extern unsigned test_descriptors;
extern size_t test_memory;
extern size_t test_settled;
extern uint64_t test_now;     /* ns */
extern uint64_t test_writer; /* in the next HELLOs */

/* Everything empty again. */
void test_begin_with(const struct check_config *config);
void test_begin(enum sim_mode mode, uint64_t keep_bytes, bool no_journal);

/* A scene, and a part of what world_fail says in it (NULL: it is not called). */
struct test_row {
	const char *name;
	void (*scene)(void);
	const char *broken;
};

/* Plays it, and ends everything. Is it as the row says? Says so if it is not. */
bool test_row(const struct test_row *row);

/* How most scenes begin: sender 1 will send eight messages (run 1) of stream test_orders. The first three are records 1 to 3 in
 * test_first; its client is connected (1), welcomed, and has no ack yet. */
extern struct test_stream test_orders;
extern struct test_file *test_first;
void test_scene(enum sim_mode mode, uint64_t keep_bytes);

/* The server is killed, and starts again. */
void test_restart(void);

/* ... ends by itself. */
void test_end_server(int status);

/* One pass over the whole journal shows test_number(from) to test_number(to). */
void test_whole(uint64_t from, uint64_t to);

struct test_file *test_segment(uint64_t index, uint64_t f);
struct test_stream test_native(uint8_t name);
struct test_stream test_plain(uint8_t protocol, uint64_t record);

/* A commit of one batch with these payloads, the first one being that record; certain on the medium. */
void test_commit(struct test_file *file, struct test_stream *stream, uint64_t record,
		 const char *const *payloads, uint32_t count);

/* ... of messages first .. last of that run. */
void test_messages(struct test_file *file, struct test_stream *stream, uint64_t record,
		   uint32_t sender, uint32_t run, uint64_t first, uint64_t last);

/* The lock file, as a server has left it that knew so much to be durable; or with a check that does not fit. */
void test_lock(uint64_t number, bool is_good);

/* A batch of count 0: a seal, or FORGET. The next record is this one. */
void test_seal(struct test_file *file, uint64_t next, uint64_t durable,
	       const struct test_stream *forget);

/* The last commit is not certain any more. */
void test_doubt(struct test_file *file);

/* The wire. */
void test_hello(uint64_t connection, const struct test_stream *stream, uint32_t flags,
		uint64_t first);
void test_say(uint64_t connection, uint32_t kind, const void *body, uint32_t size);
void test_preface(uint64_t connection);
void test_welcome(uint64_t connection, uint64_t last, uint64_t record, uint32_t h);
void test_ack(uint64_t connection, uint64_t seq, uint64_t record);
void test_receive(uint64_t connection, const char *text);
void test_send(uint64_t connection, const char *text);

/* A reader shows a message, or a text. */
struct check_record test_shown(uint64_t record, const struct test_stream *stream, uint64_t seq,
			       const char *text);
struct check_record test_number(uint64_t number); /* of test_orders, run 1: the record of that number */
const char *test_message(uint32_t sender, uint32_t run, uint64_t number);

#endif
