/* A snapshot whose bytes are the input, beside a journal of one record and an empty segment: read, verified, opened, and read again when it
 * was taken for good. Half of the inputs get the magic, version and checksums that they lack. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "file/file.h"
#include "fuzz.h"
#include "journal/private.h"
#include "journal_view.h"
#include "memory_file.h"
#include "memory_io.h"

enum { BLOCK = 4096, FILE_MAX = 1024 };

static void put_segment(uint64_t index, uint64_t record)
{
	static uint8_t image[2 * BLOCK];
	struct segment_header header = { .index = index, .block_size = BLOCK };
	struct batch_header batch = { .segment_first = record,
				      .record = record,
				      .durable = record - 1,
				      .count = 1,
				      .first_seq = 1,
				      .bytes = FRAME_HEADER_SIZE,
				      .protocol = PROTOCOL_RAW,
				      .flags = BATCH_FIRST | BATCH_LAST };
	struct frame_header frame = { .size = 0 };
	char name[SEGMENT_NAME_SIZE];

	memset(image, 0, sizeof(image));
	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	memset(header.salt, (int)index, SALT_SIZE);
	segment_header_encode(image, &header);
	batch.stream = stream_id_plain(record);
	frame.checksum = frame_checksum(frame_seed(&batch.stream), 1, 0, NULL);
	batch.h_after = history_next(0, frame.checksum);
	batch_header_encode(image + BLOCK, &batch, header.salt, index);
	frame_put_header(image + BLOCK + BATCH_HEADER_SIZE, frame);
	segment_name(index, name);
	memory_put("j", name, image, sizeof(image));
}

static void mend(uint8_t *data, size_t size)
{
	if (size < SNAPSHOT_HEADER_SIZE)
		return;
	memcpy(data, "ROGERSNP\1\0\0", 12);
	memset(data + 60, 0, 20);
	put_u64(data + 48, (size - SNAPSHOT_HEADER_SIZE) / SNAPSHOT_ENTRY_SIZE);
	put_u32(data + 56, crc32c(0, data + SNAPSHOT_HEADER_SIZE, size - SNAPSHOT_HEADER_SIZE));
	put_u32(data + 12, crc32c(crc32c(0, data, 12), data + 16, SNAPSHOT_HEADER_SIZE - 16));
}

/* What is valid encodes to the same bytes. */
static void read_it(const uint8_t *data, size_t size)
{
	uint8_t header[SNAPSHOT_HEADER_SIZE];
	struct snapshot_file file;
	int directory;

	must(file_open_directory("j", &directory) == 0);
	must(snapshot_read(directory, NAME_SNAPSHOT, &file) == 0);
	file_close(directory);
	must(file.present && file.valid == (file.entries != NULL));
	if (file.valid) {
		must(size == SNAPSHOT_HEADER_SIZE + file.header.count * SNAPSHOT_ENTRY_SIZE);
		must(memcmp(file.entries, data + SNAPSHOT_HEADER_SIZE,
			    size - SNAPSHOT_HEADER_SIZE) == 0);
		must(file.header.entries_checksum ==
		     crc32c_by_table(0, file.entries, size - SNAPSHOT_HEADER_SIZE));
		snapshot_header_encode(header, &file.header);
		must(memcmp(header, data, sizeof(header)) == 0);
	}
	free(file.entries);
}

static void open_it(void)
{
	const struct journal_config config = { .path = "j",
					       .streams_max = 4,
					       .connections_max = 2,
					       .message_max = 4096,
					       .segment_size = SEGMENT_SIZE_MIN,
					       .keep_free_bytes = 1,
					       .flush = FLUSH_DSYNC };
	struct journal *j = NULL;
	struct failure why;

	if (journal_open(&config, memory_io_reset(), &j, &why) != 0) {
		must(why.text[0] != '\0');
		return;
	}
	memory_io_settle(j);
	journal_stop(j);
	memory_io_settle(j);
	must(journal_stopped(j) && journal_failed(j) == 0);
	journal_close(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct journal_view view;
	struct journal_verdict verdict;
	uint8_t file[FILE_MAX];
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	size_t file_size = fuzz_bytes(&f, file, sizeof(file));

	if ((how & 1) != 0)
		mend(file, file_size);
	memory_reset();
	if ((how & 2) == 0)
		put_segment(1, 1);
	put_segment(2, 2);
	memory_put("j", NAME_SNAPSHOT, file, file_size);
	if ((how & 4) != 0)
		memory_put("j", NAME_SNAPSHOT_OLD, file, file_size);
	read_it(file, file_size);
	journal_view_read(&view, "j", 0);
	journal_verdict_find(&verdict, "j", &view);
	open_it();
	memory_reset();
	return 0;
}
