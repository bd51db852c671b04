/* A journal, whole or spoiled (journal_program.h), as readers, verify and opening see it:
 *
 * - what has not been spoiled has no damage for any of them;
 * - none of them changes anything before it knows, reader and verify never;
 * - what the reader calls damage, verify does; no record is shown that verify calls missing;
 * - what verify calls whole, the reader shows to the end, opening takes, and nothing of it is lost by opening, appending and opening again;
 * - opening refuses nothing that verify calls whole, and makes no damage of records disappear. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "fuzz.h"
#include "journal/journal.h"
#include "journal_program.h"
#include "journal_view.h"
#include "memory_file.h"
#include "memory_io.h"

static struct journal *open_it(struct io *io, int *ret_error, struct failure *why)
{
	const struct journal_config config = {
		.path = "j",
		.streams_max = 16,
		.connections_max = 4,
		.message_max = 4096,
		.segment_size = SEGMENT_SIZE_MIN,
		.keep_free_bytes = 1,
		.flush = FLUSH_DSYNC,
	};
	struct journal *j = NULL;

	*ret_error = journal_open(&config, io, &j, why);
	must((*ret_error == 0) == (j != NULL));
	must(*ret_error == 0 || why->text[0] != '\0');
	return j;
}

/* One message of a plain connection. */
static bool append_one(struct journal *j)
{
	static const uint8_t payload[] = "appended";
	struct journal_batch batch = { .first_seq = 1, .count = 1, .protocol = PROTOCOL_RAW };
	struct frame_header frame = { .size = sizeof(payload) };
	uint8_t header[FRAME_HEADER_SIZE];
	uint64_t record;

	batch.plain = stream_id_plain(journal_next_record(j));
	frame.checksum = frame_checksum(frame_seed(&batch.plain), 1, frame.size, payload);
	frame_put_header(header, frame);
	batch.h_after = history_next(0, frame.checksum);
	batch.header = header;
	batch.frames = payload;
	batch.frames_size = sizeof(payload);
	return journal_append(j, &batch, &record) == 0;
}

/* What a stream has in the table is what a client would be told: open each and say nothing. */
static void open_streams(struct journal *j)
{
	for (unsigned i = 0; i < 4; i++) {
		struct stream_id id = { { 0x80 } };
		struct journal_stream stream;
		struct stream_state state;

		id.bytes[15] = (uint8_t)(i + 1);
		if (journal_stream_open(j, &id, false, &stream, &state) != 0)
			continue;
		must((state.last == 0) == (state.record == 0));
		must(state.record < journal_next_record(j) && state.last <= SEQ_MAX);
		journal_stream_close(j, stream);
	}
}

/* A server's life: open, append perhaps, end cleanly or not. True when it could open. */
static bool live(uint8_t how, unsigned *ret_appended, int *ret_error, struct failure *why)
{
	struct io *io = memory_io_reset();
	struct journal *j = open_it(io, ret_error, why);

	*ret_appended = 0;
	if (j == NULL)
		return false;
	open_streams(j);
	if ((how & 1) != 0 && append_one(j)) {
		*ret_appended = 1;
		memory_io_settle(j);
		must(journal_durable(j) + 1 == journal_next_record(j));
	}
	if ((how & 2) != 0) {
		journal_stop(j);
		memory_io_settle(j);
		must(journal_stopped(j));
	} else {
		memory_io_settle(j);
	}
	must(journal_failed(j) == 0);
	journal_close(j);
	return true;
}

/* From another place on, the reader shows the same. */
static void read_from_elsewhere(const struct journal_view *all, uint8_t choice)
{
	static struct journal_view tail;
	unsigned skip = all->count == 0 ? 0 : choice % all->count;

	if (all->count == 0 || all->result != 0)
		return;
	journal_view_read(&tail, "j", (int64_t)all->records[skip].number);
	must(tail.result == 0 && tail.count == all->count - skip);
	must(memcmp(tail.records, all->records + skip, tail.count * sizeof(tail.records[0])) == 0);
}

static void live_on(const struct journal_view *before, const struct journal_verdict *verdict,
		    enum journal_made made, uint8_t how)
{
	static struct journal_view after, last;
	struct journal_verdict second;
	struct failure why;
	unsigned appended;
	uint64_t changes = memory_changes();
	bool had_lock;
	size_t size;
	int error;

	had_lock = memory_get("j", NAME_LOCK, &size) != NULL && size >= LOCK_SIZE;
	if (!live(how, &appended, &error, &why)) {
		if (getenv("FUZZ_VERBOSE") != NULL)
			fprintf(stderr, "open: %d %s\n", error, why.text);
		must(made != JOURNAL_WHOLE);
		must(verdict->result == -EBADMSG);
		must(error < 0 && why.status == EXIT_DATA);
		/* But for the lock file, in which it writes its process id. */
		must(!had_lock || memory_changes() - changes <= 2);
		return;
	}
	journal_view_read(&after, "j", 0);
	if (before->result == 0)
		journal_view_compare(before, &after, appended);
	if (verdict->result != 0 || (how & 0x30) == 0) { /* it takes long */
		journal_verdict_find(&second, "j", &after);
		/* A snapshot that does not fit its records may have made room for one that does. */
		must(second.result == verdict->result ||
		     (second.result == 0 && verdict->only_snapshots));
	}
	must(live(how >> 2, &appended, &error, &why));
	journal_view_read(&last, "j", 0);
	if (before->result == 0)
		journal_view_compare(&after, &last, appended);
}

/* Whether it opens or not: what was refused is refused again, and what opened opens again. */
static void live_anyhow(uint8_t how)
{
	struct failure why;
	unsigned appended;
	int error;
	bool opened = live(how, &appended, &error, &why);

	must(live(how >> 2, &appended, &error, &why) == opened);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct journal_view view;
	struct journal_verdict verdict;
	struct fuzz f = { data, size };
	uint8_t how = fuzz_u8(&f);
	enum journal_made made;

	memory_reset();
	made = journal_program_run(&f, "j");
	journal_view_read(&view, "j", 0);
	journal_verdict_find(&verdict, "j", &view);
	must(made != JOURNAL_WHOLE || verdict.result == 0);
	if (verdict.result != 0 && verdict.why.status == EXIT_NO_INPUT) {
		/* All of its files are gone. */
		must(view.result != 0 && view.why.status == EXIT_NO_INPUT);
		memory_reset();
		return 0;
	}
	must(verdict.result == 0 || verdict.result == -EBADMSG);
	must(view.result == 0 || view.result == -EBADMSG);
	if (verdict.result == 0)
		must(view.result == 0 && view.count == verdict.records);
	read_from_elsewhere(&view, how >> 4);
	if (made == JOURNAL_FORGED)
		live_anyhow(how);
	else
		live_on(&view, &verdict, made, how);
	memory_reset();
	return 0;
}
