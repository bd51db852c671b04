/* What the C code says of a journal, of which one file has been cut at every byte, had every bit flipped, or a header forged.
 *
 * usage: enumerate_classify DIRECTORY FILE cut|flip|forge STEP
 *
 * The cases are in order: the file's first 0, STEP, 2 * STEP ... bytes; or its bit 0 (the lowest of byte 0), STEP, 2 * STEP ...
 * `forge`: bits 64, 64 + STEP ... of each batch header, with its checksum made right. Each is put into the file, and opening,
 * reading and verifying are asked: in memory (memory_files.h), the directory is only copied. Equal answers that follow one another
 * are one line:
 *
 *      COUNT open=ANSWER read=FIRST..LAST,CHECKSUM,ANSWER verify=COUNT,ANSWER
 *
 * ANSWER is `ok`, for opening with the record that comes next; `damaged:R` with the first damaged record that was named (0: none);
 * or `error:STATUS:TEXT`. The checksum goes over all that reading has shown (show_checksum).
 *
 * Opening stops where it would begin to change things: opening_prepare_store is this program's (ld --wrap). It also has an io door of
 * its own, which opening does not use before that. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/must.h"
#include "journal/opening.h"
#include "journal/reader.h"
#include "journal/verify.h"
#include "memory_files.h"

enum { ANSWER_SIZE = 1000, LINE_SIZE = 4096 };

static const char path[] = "(the journal)"; /* there is only one directory in memory */

/* --- in the place of what is linked */

struct io {
	int nothing;
};

uint64_t io_now(const struct io *io)
{
	(void)io;
	return 1;
}

unsigned io_writes_max(const struct io *io)
{
	(void)io;
	return 1;
}

void io_write(struct io *io, struct io_write *write)
{
	(void)io;
	(void)write;
	memory_files_refuse("opening writes");
}

void io_job(struct io *io, struct io_job *job)
{
	(void)io;
	(void)job;
	memory_files_refuse("opening starts a job");
}

static struct {
	bool reached;
	uint64_t next;
} opened;

int __wrap_opening_prepare_store(struct opening *o);
int __wrap_opening_prepare_store(struct opening *o)
{
	opened.reached = true;
	opened.next = o->next;
	return failure_set(o->why, EXIT_DONE, ECANCELED, "far enough");
}

/* --- answers */

/* The number behind the first "record" or "records" of a text, 0. */
static uint64_t record_of(const char *text)
{
	for (const char *at = text; (at = strstr(at, "record")) != NULL;) {
		at += strlen("record");
		at += *at == 's';
		if (at[0] == ' ' && at[1] >= '0' && at[1] <= '9')
			return strtoull(at + 1, NULL, 10);
	}
	return 0;
}

static void put_answer(char *out, int error, const struct failure *why, uint64_t record)
{
	if (error == 0)
		snprintf(out, ANSWER_SIZE, "ok");
	else if (why->status == EXIT_DATA)
		snprintf(out, ANSWER_SIZE, "damaged:%" PRIu64, record);
	else
		snprintf(out, ANSWER_SIZE, "error:%d:%s", (int)why->status, why->text);
}

static void ask_open(char *out)
{
	static struct io io;
	struct journal_config config = { .path = path,
					 .streams_max = 16,
					 .connections_max = 16,
					 .message_max = 4096,
					 .segment_size = SEGMENT_SIZE_MIN };
	struct failure why = { 0 };
	struct journal *j = NULL;
	int error;

	opened.reached = false;
	error = journal_open(&config, &io, &j, &why);
	must(error != 0);
	if (opened.reached)
		snprintf(out, ANSWER_SIZE, "ok:%" PRIu64, opened.next);
	else
		put_answer(out, error, &why, record_of(why.text));
}

static uint32_t show_checksum(uint32_t crc, const struct record *r)
{
	uint8_t bytes[79] = { 0 };

	put_u64(bytes, r->number);
	memcpy(bytes + 8, r->stream.bytes, STREAM_ID_SIZE);
	put_u64(bytes + 24, r->seq);
	put_u64(bytes + 32, r->time_ns);
	put_u64(bytes + 40, r->gap ? r->gap_last : 0);
	bytes[48] = r->gap;
	bytes[49] = r->protocol;
	bytes[50] = r->peer.family;
	put_u64(bytes + 51, r->peer.port);
	memcpy(bytes + 59, r->peer.address, 16);
	put_u32(bytes + 75, r->size);
	return crc32c(crc32c(crc, bytes, sizeof(bytes)), r->payload, r->size);
}

static void ask_read(char *out)
{
	struct reader *reader = NULL;
	struct record record;
	struct failure why = { 0 };
	uint64_t first = 0, last = 0;
	uint32_t crc = 0;
	char answer[ANSWER_SIZE];
	int result = reader_open(path, 0, &reader, &why);

	while (result >= 0 && (result = reader_next(reader, &record, &why)) == 1) {
		first = first == 0 ? record.number : first;
		last = record.number;
		crc = show_checksum(crc, &record);
	}
	if (reader != NULL) {
		reader_release(reader);
		reader_close(reader);
	}
	put_answer(answer, result, &why, record_of(why.text));
	snprintf(out, ANSWER_SIZE, "%" PRIu64 "..%" PRIu64 ",%08" PRIx32 ",%.900s", first, last,
		 crc, answer);
}

struct said {
	uint64_t damaged; /* the lowest record of a line about damage */
	uint64_t records; /* of the summary */
};

static void hear(void *context, const char *text)
{
	struct said *said = context;
	uint64_t record = record_of(text);

	if (strncmp(text, "damage: ", 8) == 0) {
		if (said->damaged == 0 || record < said->damaged)
			said->damaged = record;
	} else if (strstr(text, ", no damage") != NULL) {
		said->records = strtoull(text, NULL, 10);
	}
}

static void ask_verify(char *out)
{
	struct said said = { 0 };
	struct failure why = { 0 };
	char answer[ANSWER_SIZE];
	int error = journal_verify(path, hear, &said, &why);

	put_answer(answer, error, &why, said.damaged);
	snprintf(out, ANSWER_SIZE, "%" PRIu64 ",%.900s", said.records, answer);
}

/* --- cases */

struct work {
	struct memory_file *file;
	uint8_t *image; /* of the file as it was */
	uint64_t size;
	struct memory_file *lock;
	uint8_t lock_image[LOCK_SIZE + 1];
	uint64_t lock_size;
	bool lock_present;
	char line[LINE_SIZE]; /* of the cases before */
	uint64_t count;
};

static void flush_line(struct work *w)
{
	if (w->count != 0)
		printf("%" PRIu64 " %s\n", w->count, w->line);
	w->count = 0;
}

/* Opening may have made the lock file, or filled it up; nothing else is let through. */
static void restore_lock(struct work *w)
{
	must(w->lock->size == w->lock_size || w->lock_size < LOCK_SIZE);
	must(memcmp(w->lock->data, w->lock_image, w->lock_size) == 0 || w->lock_size < LOCK_SIZE);
	memset(w->lock->data, 0, LOCK_SIZE + 1);
	memcpy(w->lock->data, w->lock_image, w->lock_size);
	w->lock->size = w->lock_size;
	w->lock->present = w->lock_present;
}

static void keep_lock(struct work *w)
{
	must(w->lock->size <= sizeof(w->lock_image));
	w->lock_present = w->lock->present;
	w->lock_size = w->lock->size;
	memcpy(w->lock_image, w->lock->data, w->lock_size);
}

static void classify(struct work *w)
{
	static char line[LINE_SIZE], open[ANSWER_SIZE], read[ANSWER_SIZE], verify[ANSWER_SIZE];

	keep_lock(w);
	ask_open(open);
	restore_lock(w);
	ask_read(read);
	ask_verify(verify);
	snprintf(line, sizeof(line), "open=%s read=%s verify=%s", open, read, verify);
	if (w->count != 0 && strcmp(line, w->line) != 0)
		flush_line(w);
	strcpy(w->line, line);
	w->count++;
}

static void cut(struct work *w, uint64_t step)
{
	for (uint64_t p = 0; p < w->size; p += step) {
		memset(w->file->data, 0, w->size);
		memcpy(w->file->data, w->image, p);
		w->file->size = p;
		classify(w);
	}
	flush_line(w);
}

static void flip(struct work *w, uint64_t step)
{
	for (uint64_t bit = 0; bit < 8 * w->size; bit += step) {
		uint8_t mask = (uint8_t)(1u << bit % 8);

		w->file->data[bit / 8] ^= mask;
		classify(w);
		w->file->data[bit / 8] ^= mask;
		must(memcmp(w->file->data, w->image, w->size) == 0);
	}
	flush_line(w);
}

/* Every bit of one batch header behind its checksum, which is made right. */
static void forge_header(struct work *w, uint64_t offset, uint64_t step)
{
	uint8_t *header = w->file->data + offset;
	uint32_t seed = crc32c(0, w->image + 40, SALT_SIZE);

	seed = crc32c(seed, w->image + 32, 8);
	for (uint64_t bit = 64; bit < 8 * BATCH_HEADER_SIZE; bit += step) {
		header[bit / 8] ^= (uint8_t)(1u << bit % 8);
		put_u32(header + 4, crc32c(seed, header + 8, BATCH_HEADER_SIZE - 8));
		classify(w);
		memcpy(header, w->image + offset, BATCH_HEADER_SIZE);
	}
}

/* What no disk does, but a fault in the writer, or somebody on purpose: values that the checksum does not catch. */
static void forge(struct work *w, uint64_t step)
{
	uint64_t at;

	for (uint64_t block = COMMIT_BLOCK_MIN; block < w->size; block += COMMIT_BLOCK_MIN) {
		for (at = block; at + BATCH_HEADER_SIZE <= w->size &&
				 memcmp(w->image + at, "RBAT", 4) == 0;
		     at += BATCH_HEADER_SIZE + get_u32(w->image + at + 84))
			forge_header(w, at, step);
	}
	flush_line(w);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct work *w, uint64_t step);
	} kinds[] = { { "cut", cut }, { "flip", flip }, { "forge", forge } };
	static struct work w;
	unsigned kind = 0;
	uint64_t step = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;

	while (step != 0 && kind < 3 && strcmp(argv[3], kinds[kind].name) != 0)
		kind++;
	if (step == 0 || kind == 3) {
		fprintf(stderr, "usage: enumerate_classify DIRECTORY FILE cut|flip|forge STEP\n");
		return 64;
	}
	/* Large tables that are hardly used come as fresh pages each time, and need not be cleared. */
	(void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
	memory_files_load(argv[1]);
	w.file = memory_files_find(argv[2]);
	w.lock = memory_files_find(NAME_LOCK);
	if (w.file == NULL || !w.file->present) {
		fprintf(stderr, "enumerate_classify: %s has no %s\n", argv[1], argv[2]);
		return 66;
	}
	w.size = w.file->size;
	w.image = malloc(w.size + 1);
	if (w.image == NULL)
		return 74;
	memcpy(w.image, w.file->data, w.size);
	kinds[kind].run(&w, step);
	free(w.image);
	return fflush(stdout) == 0 ? 0 : 74;
}
