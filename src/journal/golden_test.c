/* The worked example of docs/journal.md: the bytes that its script makes, read and made again by the code, and shown in the document. */
#include "base/failure.h"
#include "journal/journal_build.h"
#include "journal/reader.h"
#include "journal/verify.h"

static const char *const names[] = { "00000000000000000001.seg", "00000000000000000002.seg",
				     "streams.snap", "lock" };

static char *load_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);
	size_t size;

	if (file == NULL)
		fail_msg("%s", path);
	assert_non_null(text);
	size = fread(text, 1, (1 << 20) - 1, file);
	assert_true(size > 0 && size < (1 << 20) - 1);
	fclose(file);
	return text;
}

/* The bytes of one golden file; its size in *ret_size. Each line is handed to `each`. */
static uint8_t *load_golden(const char *name, size_t *ret_size,
			    void (*each)(void *context, const char *line), void *context)
{
	char path[500];
	char *text, *line, *rest;
	uint8_t *data;
	unsigned long size;

	snprintf(path, sizeof(path), "%s/%s.hex", GOLDEN_DIRECTORY, name);
	text = load_text(path);
	line = strtok_r(text, "\n", &rest);
	assert_int_equal(strncmp(line, "# ", 2), 0);
	assert_int_equal(strncmp(line + 2, name, strlen(name)), 0);
	size = strtoul(line + 2 + strlen(name) + 2, NULL, 10);
	assert_true(size > 0 && size <= 1 << 20);
	data = calloc(1, size);
	assert_non_null(data);
	while ((line = strtok_r(NULL, "\n", &rest)) != NULL) {
		char *at = line;
		unsigned long offset = strtoul(line, &at, 16);

		if (each != NULL)
			each(context, line);
		assert_true(offset < size);
		for (int i = 0; i < 16 && offset + (unsigned)i < size; i++) {
			data[offset + (unsigned)i] = (uint8_t)strtoul(at, &at, 16);
		}
	}
	free(text);
	*ret_size = size;
	return data;
}

static void build_golden(struct build *b)
{
	build_init(b);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		size_t size;
		uint8_t *data = load_golden(names[i], &size, NULL, NULL);

		build_file(b, names[i], data, size);
		free(data);
	}
}

static void find_line(void *context, const char *line)
{
	if (strstr(context, line) == NULL)
		fail_msg("not in docs/journal.md: %s", line);
}

static void the_document_shows_these_bytes(void **state)
{
	char *document = load_text(JOURNAL_DOCUMENT);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		size_t size;

		free(load_golden(names[i], &size, find_line, document));
	}
	free(document);
}

static void reading_it(void **state)
{
	static const struct {
		const char *payload;
		uint64_t seq;
		bool gap;
		uint8_t family, protocol;
	} rows[] = {
		{ "Hello World!", 1, false, PEER_IPV4, 1 },
		{ "", 2, false, PEER_IPV4, 1 },
		{ "Hello World!", 1, false, PEER_IPV6, 2 },
		{ "after a gap", 5, true, PEER_IPV4, 1 },
		{ "alive", 6, false, PEER_IPV4, 1 },
	};
	struct build b;
	struct reader *reader;
	struct record record;
	struct failure why;

	(void)state;
	build_golden(&b);
	assert_int_equal(reader_open(b.path, 0, &reader, &why), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(reader_next(reader, &record, &why), 1);
		assert_true(record.number == i + 1 && record.seq == rows[i].seq &&
			    record.gap == rows[i].gap);
		assert_int_equal(record.size, strlen(rows[i].payload));
		assert_memory_equal(record.payload, rows[i].payload, record.size);
		assert_true(record.peer.family == rows[i].family &&
			    record.protocol == rows[i].protocol);
		assert_int_equal(stream_id_is_plain(&record.stream), rows[i].protocol != 1);
	}
	assert_int_equal(reader_next(reader, &record, &why), 0);
	reader_close(reader);
	build_deinit(&b);
}

static void ignore_line(void *context, const char *text)
{
	(void)context;
	(void)text;
}

static void the_flips_that_the_document_tells_of(void **state)
{
	struct build b;
	struct failure why;

	(void)state;
	build_golden(&b);
	assert_int_equal(journal_verify(b.path, ignore_line, NULL, &why), 0);
	build_flip(&b, 1, 0x1085, 1);
	assert_int_equal(journal_verify(b.path, ignore_line, NULL, &why), -EBADMSG);
	build_flip(&b, 1, 0x1085, 1);
	build_flip(&b, 2, 0x2085, 1);
	assert_int_equal(journal_verify(b.path, ignore_line, NULL, &why), -EBADMSG);
	assert_int_equal(file_remove(b.directory, NAME_LOCK), 0);
	assert_int_equal(journal_verify(b.path, ignore_line, NULL, &why), 0);
	build_deinit(&b);
}

/* Decoded and encoded again, every header is the same bytes. */
static void encoding_it_again(void **state)
{
	unsigned batches = 0;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t out[BATCH_HEADER_SIZE];
		struct segment_header segment;
		struct batch_header batch;
		uint32_t frame_at;
		size_t size;
		uint8_t *data = load_golden(names[i], &size, NULL, NULL);

		assert_int_equal(segment_header_decode(data, size, &segment), FORMAT_OK);
		segment_header_encode(out, &segment);
		assert_memory_equal(out, data, SEGMENT_HEADER_SIZE);
		for (size_t at = 4096; at < size;) {
			if (batch_header_decode(data + at, size - at, segment.salt, segment.index,
						&batch) != FORMAT_OK)
				fail_msg("no batch at %zu", at);
			batch_header_encode(out, &batch, segment.salt, segment.index);
			assert_memory_equal(out, data + at, BATCH_HEADER_SIZE);
			assert_int_equal(batch_frames_check(&batch, data + at + BATCH_HEADER_SIZE,
							    &frame_at),
					 0);
			at += BATCH_HEADER_SIZE + batch.bytes;
			if ((batch.flags & BATCH_LAST) != 0)
				at = (size_t)round_up(at, 4096);
			batches++;
		}
		free(data);
	}
	assert_int_equal(batches, 6);
}

static void the_snapshot_again(void **state)
{
	struct snapshot_header header;
	struct snapshot_entry entry;
	uint8_t out[SNAPSHOT_HEADER_SIZE];
	size_t size;
	uint8_t *data = load_golden("streams.snap", &size, NULL, NULL);

	(void)state;
	assert_int_equal(snapshot_header_decode(data, size, &header), FORMAT_OK);
	assert_true(header.segment_index == 1 && header.record == 4 && header.count == 1);
	assert_int_equal(header.entries_checksum,
			 crc32c(0, data + SNAPSHOT_HEADER_SIZE, SNAPSHOT_ENTRY_SIZE));
	snapshot_header_encode(out, &header);
	assert_memory_equal(out, data, SNAPSHOT_HEADER_SIZE);
	snapshot_entry_decode(data + SNAPSHOT_HEADER_SIZE, &entry);
	assert_true(entry.last_seq == 5 && entry.record == 4);
	snapshot_entry_encode(out, &entry);
	assert_memory_equal(out, data + SNAPSHOT_HEADER_SIZE, SNAPSHOT_ENTRY_SIZE);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_document_shows_these_bytes),
		cmocka_unit_test(reading_it),
		cmocka_unit_test(the_flips_that_the_document_tells_of),
		cmocka_unit_test(encoding_it_again),
		cmocka_unit_test(the_snapshot_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
