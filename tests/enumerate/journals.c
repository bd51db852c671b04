/* Small journals, each with something that another one has not, for the enumerations: as few blocks as will do.
 *
 * usage: enumerate_journals DIRECTORY      makes DIRECTORY/NAME for each of them */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "journal/journal_build.h"

static void begin(struct build *b, const char *directory, const char *name)
{
	char path[1000];

	memset(b, 0, sizeof(*b));
	assert_true((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) < sizeof(path));
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_open_directory(path, &b->directory), 0);
	b->image = malloc(BUILD_ROOM);
	assert_non_null(b->image);
	b->record = 1;
}

static void end(struct build *b)
{
	file_close(b->directory);
	free(b->image);
}

/* A batch of one message of a plain connection, which began with record `first`. */
static void plain(struct build *b, uint64_t first, uint64_t seq, uint32_t *h, uint32_t size)
{
	struct batch_header header = { .first_seq = seq,
				       .count = 1,
				       .bytes = FRAME_HEADER_SIZE + size,
				       .h_before = *h,
				       .protocol = 2,
				       .peer = { .family = PEER_IPV6,
						 .port = 4321,
						 .address = { [15] = 1 } } };
	uint8_t *out = b->image + b->at + BATCH_HEADER_SIZE;
	struct frame_header frame = { .size = size };

	put_u64(header.stream.bytes + 8, first);
	for (uint32_t i = 0; i < size; i++)
		out[FRAME_HEADER_SIZE + i] = build_byte(b->record, i);
	frame.checksum =
		frame_checksum(frame_seed(&header.stream), seq, size, out + FRAME_HEADER_SIZE);
	frame_put_header(out, frame);
	*h = history_next(*h, frame.checksum);
	header.h_after = *h;
	build_put(b, &header);
	b->record++;
}

/* Two streams, a commit of two batches, a seal, and behind it a commit that nothing claims. */
static void make_tail(struct build *b)
{
	build_segment(b, 1);
	build_batch(b, 0, 2, 12);
	build_batch(b, 1, 1, 30);
	build_commit(b);
	b->durable = 3;
	build_one(b, 0, 3, 0);
	build_seal(b);
	b->durable = 6;
	build_one(b, 1, 2, 20);
	build_save(b, 1);
	build_lock(b, 6);
}

/* Killed while record 5 was on its way, opened again: record 5 is copied into segment 2, and dead in segment 1. Segment 3 is a spare. */
static void make_reopened(struct build *b)
{
	struct build before;

	build_segment(b, 1);
	build_batch(b, 0, 2, 12);
	build_batch(b, 1, 1, 5);
	build_commit(b);
	b->durable = 3;
	build_one(b, 0, 1, 40);
	b->durable = 4;
	before = *b;
	build_one(b, 1, 1, 7);
	build_one(b, 1, 1, 7);
	build_save(b, 0);
	*b = before;
	build_segment(b, 2);
	build_one(b, 1, 1, 7);
	build_seal(b);
	b->durable = 5;
	build_one(b, 0, 1, 9);
	build_save(b, 1);
	build_segment(b, 3);
	build_save(b, 1);
	build_lock(b, 6);
}

/* Segment 1 has been given up; both snapshots cover it. */
static void make_kept(struct build *b)
{
	build_segment(b, 1);
	build_batch(b, 0, 2, 12);
	build_batch(b, 1, 1, 5);
	build_commit(b);
	build_snapshot(b, NAME_SNAPSHOT_OLD, 1);
	build_segment(b, 2);
	b->durable = 3;
	build_one(b, 0, 2, 10);
	build_save(b, 0);
	build_snapshot(b, NAME_SNAPSHOT, 2);
	build_segment(b, 3);
	b->durable = 5;
	build_one(b, 1, 1, 11);
	build_seal(b);
	b->durable = 6;
	build_one(b, 2, 1, 3);
	build_save(b, 1);
	build_lock(b, 6);
}

/* Started twice, and killed each time before it cleaned up: two segments begin at the record that comes next, and between them is a spare.
 * The records before have been given up. */
static void make_twice(struct build *b)
{
	build_segment(b, 1);
	build_one(b, 0, 3, 12);
	build_snapshot(b, NAME_SNAPSHOT_OLD, 1);
	build_snapshot(b, NAME_SNAPSHOT, 1);
	build_segment(b, 2);
	build_seal(b);
	build_save(b, 0);
	build_segment(b, 3);
	build_save(b, 0);
	build_segment(b, 4);
	build_seal(b);
	b->durable = 3;
	build_one(b, 0, 1, 10);
	build_save(b, 1);
	build_lock(b, 4);
}

/* Started twice, too, and nothing that speaks of the records before is left below the last segment: the snapshot is a later one. */
static void make_renewed(struct build *b)
{
	build_segment(b, 1);
	build_one(b, 0, 3, 12);
	for (uint64_t index = 2; index <= 4; index++) {
		b->durable = index == 4 ? 3 : 0;
		build_segment(b, index);
		build_put(b, &(struct batch_header){ 0 });
		build_commit(b);
		if (index == 4)
			build_one(b, 0, 1, 10);
		build_save(b, 0);
	}
	build_snapshot(b, NAME_SNAPSHOT, 4);
	build_segment(b, 5);
	build_save(b, 0);
}

/* A gap, an ephemeral stream that ends and comes again, records that a repair has given up. No lock file's number. */
static void make_gap(struct build *b)
{
	struct batch_header lost = { .first_seq = 1, .count = 2, .flags = BATCH_LOST };

	build_segment(b, 1);
	build_batch(b, 0, 1, 12);
	b->flags = BATCH_EPHEMERAL;
	build_batch(b, 1, 1, 3);
	build_commit(b);
	b->durable = 2;
	build_forget(b, 1);
	b->flags = BATCH_GAP;
	b->gap_last = b->seq[0];
	b->seq[0] += 3;
	build_batch(b, 0, 1, 4);
	put_u64(lost.stream.bytes + 8, b->record);
	build_put(b, &lost);
	b->record += lost.count;
	build_commit(b);
	b->durable = 5;
	b->flags = BATCH_EPHEMERAL;
	build_one(b, 1, 1, 6);
	build_seal(b);
	build_save(b, 1);
	build_lock(b, 0);
}

/* Two plain connections, a message that spans blocks, no lock file; the last block is not whole. */
static void make_plain(struct build *b)
{
	uint32_t h[2] = { 0, 0 };

	build_segment(b, 1);
	plain(b, 1, 1, &h[0], 12);
	plain(b, 2, 1, &h[1], 0);
	build_commit(b);
	b->durable = 2;
	plain(b, 1, 2, &h[0], 4200);
	plain(b, 2, 2, &h[1], 9);
	build_commit(b);
	b->durable = 4;
	plain(b, 1, 3, &h[0], 33);
	build_commit(b);
	build_save_size(b, b->at - 1000);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*make)(struct build *b);
	} journals[] = {
		{ "tail", make_tail }, { "reopened", make_reopened }, { "kept", make_kept },
		{ "gap", make_gap },   { "plain", make_plain },	  { "twice", make_twice },
		{ "renewed", make_renewed },
	};
	static struct build b;

	if (argc != 2) {
		fprintf(stderr, "usage: enumerate_journals DIRECTORY\n");
		return 64;
	}
	for (size_t i = 0; i < COUNT_OF(journals); i++) {
		begin(&b, argv[1], journals[i].name);
		journals[i].make(&b);
		end(&b);
	}
	return 0;
}
