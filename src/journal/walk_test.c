#include "journal/walk.h"

#include "journal/journal_build.h"

/* What a walk has met, as one text: "1-2 3-3 s4 | 4: zeros @seg 1+12288". */
struct met {
	char text[2000];
	uint64_t record;
	uint64_t claim;
	struct walk_place place;
};

static void walk_all(const char *path, uint64_t from, uint64_t skip_to, struct met *met)
{
	struct segments set;
	struct failure why;
	struct walk *walk;
	struct walk_batch batch;
	int directory, result;
	size_t at = 0;

	met->text[0] = '\0';
	assert_int_equal(file_open_directory(path, &directory), 0);
	assert_int_equal(segments_load(directory, &set, &why), 0);
	assert_int_equal(walk_create(&set, from, skip_to, &walk), 0);
	while ((result = walk_next(walk, &batch, &met->place)) == 1) {
		const struct batch_header *h = &batch.header;
		const char *kind = h->count > 0 ? "" : batch_is_seal(h) ? "s"
									: "f";

		at += (size_t)snprintf(met->text + at, sizeof(met->text) - at, "%s%s%llu",
				       at > 0 ? " " : "", kind, (unsigned long long)h->record);
		if (h->count > 1)
			at += (size_t)snprintf(met->text + at, sizeof(met->text) - at, "-%llu",
					       (unsigned long long)(h->record + h->count - 1));
		for (uint32_t i = 0, k = 0; i < h->count; i++) {
			struct frame_header frame = frame_get_header(batch.frames + k);

			for (uint32_t n = 0; n < frame.size; n++)
				assert_int_equal(batch.frames[k + 8 + n],
						 build_byte(h->record + i, n));
			k += 8 + frame.size;
		}
	}
	assert_int_equal(result, 0);
	met->record = walk_record(walk);
	met->claim = walk_claim(walk);
	/* Asked again, it says the same. */
	struct walk_place again;
	assert_int_equal(walk_next(walk, &batch, &again), 0);
	walk_retry(walk);
	assert_int_equal(walk_next(walk, &batch, &again), 0);
	assert_string_equal(again.what, met->place.what);
	assert_true(again.offset == met->place.offset && again.record == met->place.record);
	walk_destroy(walk);
	segments_free(&set);
	file_close(directory);
}

static void expect(const struct build *b, uint64_t from, uint64_t skip_to, const char *text,
		   uint64_t record, uint64_t index, uint64_t offset, const char *what)
{
	struct met met;

	walk_all(b->path, from, skip_to, &met);
	assert_string_equal(met.text, text);
	assert_true(met.record == record);
	assert_true(met.place.record == record);
	assert_string_equal(met.place.what, what);
	assert_true(met.place.segment_index == index);
	assert_true(met.place.offset == offset);
}

static void an_empty_directory(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	expect(&b, 1, 0, "", 1, 0, 0, "no segment has it");
	build_segment(&b, 1);
	build_save(&b, 3);
	expect(&b, 1, 0, "", 1, 0, 0, "no segment has it");
	build_deinit(&b);
}

static void one_segment_from_anywhere(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);     /* 1-2 at 4096 */
	build_batch(&b, 0, 1, 0);    /* 3 */
	build_batch(&b, 1, 3, 3000); /* 4-6 */
	build_commit(&b);            /* at 8192, 3 blocks */
	build_seal(&b);              /* at 20480 */
	build_one(&b, 1, 1, 1);      /* 7 */
	build_save(&b, 2);
	expect(&b, 1, 0, "1-2 3 4-6 s7 7", 8, 1, 28672, "zeros");
	expect(&b, 2, 0, "1-2 3 4-6 s7 7", 8, 1, 28672, "zeros");
	expect(&b, 3, 0, "3 4-6 s7 7", 8, 1, 28672, "zeros");
	expect(&b, 5, 0, "4-6 s7 7", 8, 1, 28672, "zeros");
	expect(&b, 7, 0, "s7 7", 8, 1, 28672, "zeros");
	expect(&b, 8, 0, "", 8, 1, 28672, "zeros");
	expect(&b, 100, 0, "", 8, 1, 28672, "zeros");
	/* Without spare blocks the file ends there. */
	build_save(&b, 0);
	expect(&b, 1, 0, "1-2 3 4-6 s7 7", 8, 1, 28672, "end of file");
	build_deinit(&b);
}

/* Segment 2 begins at 4: what segment 1 holds from 4 on is dead, whatever segment 2 has. */
static void dead_parts(void **state)
{
	struct build b;
	struct met met;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	b.durable = 3;
	build_one(&b, 0, 2, 10); /* 4-5: dead */
	b.durable = 5;
	build_one(&b, 0, 1, 10); /* 6: dead, but its claim stands */
	build_save(&b, 1);
	b.record = 4;
	b.seq[0] = 3;
	b.durable = 3;
	build_segment(&b, 2);
	build_seal(&b);
	build_one(&b, 1, 1, 7);
	build_save(&b, 1);
	walk_all(b.path, 1, 0, &met);
	assert_string_equal(met.text, "1-3 s4 4");
	expect(&b, 1, 0, "1-3 s4 4", 5, 2, 12288, "zeros");
	/* A wholly dead segment in between, and one that is dead because of a later one. */
	b.record = 5;
	build_segment(&b, 3);
	build_one(&b, 1, 3, 7); /* 5-7: dead, since segment 4 begins at 5 */
	build_save(&b, 1);
	b.record = 5;
	b.seq[1] = 1;
	build_segment(&b, 4);
	build_one(&b, 2, 1, 7);
	build_save(&b, 1);
	expect(&b, 1, 0, "1-3 s4 4 5", 6, 4, 8192, "zeros");
	/* A later one with a lower f takes everything. */
	b.record = 2;
	b.durable = 1;
	build_segment(&b, 9);
	build_one(&b, 3, 1, 7);
	build_save(&b, 1);
	expect(&b, 2, 0, "2", 3, 9, 8192, "zeros");
	/* Record 1 stands in a batch that reaches into the dead part: it is never shown in pieces. */
	expect(&b, 1, 0, "", 1, 1, 4096,
	       "the batch reaches beyond record 2, where the next segment begins");
	build_deinit(&b);
}

/* f survives damage of the first batch: the ones behind repeat it. */
static void f_is_found_behind_a_broken_batch(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 3, 10);
	build_one(&b, 0, 2, 10); /* 4-5: dead */
	build_save(&b, 1);
	b.record = 4;
	build_segment(&b, 2);
	build_one(&b, 1, 1, 7);
	build_one(&b, 1, 1, 7);
	build_save(&b, 1);
	build_flip(&b, 2, BUILD_BLOCK + 40, 1);
	expect(&b, 1, 0, "1-3", 4, 2, 4096, "batch header: checksum");
	/* Both broken: nothing says where segment 1 ends. */
	build_flip(&b, 2, 2 * BUILD_BLOCK + 40, 1);
	expect(&b, 1, 0, "1-3 4-5", 6, 1, 12288, "zeros");
	build_deinit(&b);
}

static void missing_and_bad_segments(void **state)
{
	struct build b;
	char name[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	for (uint64_t i = 1; i <= 3; i++) {
		build_segment(&b, i);
		build_one(&b, 0, 2, 10);
		build_save(&b, 1);
	}
	expect(&b, 1, 0, "1-2 3-4 5-6", 7, 3, 8192, "zeros");
	expect(&b, 4, 1, "3-4 5-6", 7, 3, 8192, "zeros");
	expect(&b, 5, 2, "5-6", 7, 3, 8192, "zeros");
	expect(&b, 7, 3, "", 7, 0, 0, "no segment has it");
	expect(&b, 4, 2, "", 4, 0, 0, "no segment has it");
	/* The header of segment 2: nothing in it counts, and that is where record 3 must have stood. */
	build_flip(&b, 2, 40, 1);
	expect(&b, 1, 0, "1-2", 3, 2, 0, "segment header: checksum");
	build_flip(&b, 2, 40, 1);
	segment_name(2, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect(&b, 1, 0, "1-2", 3, 1, 8192, "zeros, and segment 2 is missing");
	segment_name(1, name);
	assert_int_equal(file_remove(b.directory, name), 0);
	expect(&b, 1, 0, "", 1, 0, 0, "no segment has it");
	expect(&b, 5, 0, "5-6", 7, 3, 8192, "zeros");
	build_deinit(&b);
}

/* A segment that stands under another's name never passes. */
static void a_misplaced_segment(void **state)
{
	struct build b;
	char one[SEGMENT_NAME_SIZE], two[SEGMENT_NAME_SIZE];

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	build_save(&b, 1);
	segment_name(1, one);
	segment_name(2, two);
	assert_int_equal(file_rename(b.directory, one, two, false), 0);
	expect(&b, 1, 0, "", 1, 2, 0, "segment header: a value is out of range");
	build_deinit(&b);
}

/* The last commit, cut at every byte and then zeros or the file's end: all before it is met, nothing of it. */
static void a_tail_torn_at_every_byte(void **state)
{
	struct build b;
	struct met met;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	build_batch(&b, 0, 1, 20);
	build_batch(&b, 1, 2, 0);
	build_commit(&b);
	uint64_t start = b.batches[1].offset, middle = b.batches[1].end, end = b.batches[2].end;
	uint8_t *whole = malloc(b.at);
	memcpy(whole, b.image, b.at);
	for (uint64_t cut = start; cut <= end; cut++) {
		const char *text = cut < middle ? "1-2" : cut < end ? "1-2 3"
								    : "1-2 3 4-5";

		build_save_size(&b, cut);
		walk_all(b.path, 1, 0, &met);
		assert_string_equal(met.text, text);
		memset(b.image + cut, 0, b.at - cut);
		/* (A cut among zeros changes nothing.) */
		if (memcmp(b.image, whole, b.at) != 0) {
			build_save(&b, 1);
			walk_all(b.path, 1, 0, &met);
			assert_true(strlen(met.text) < strlen("1-2 3 4-5"));
		}
		memcpy(b.image, whole, b.at);
	}
	free(whole);
	build_deinit(&b);
}

/* One flipped bit anywhere: what was promised is met or the walk stops at it; nothing else is ever met. */
static void one_bit_anywhere(void **state)
{
	struct build b;
	struct met met;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 3);
	build_batch(&b, 0, 1, 2);
	build_batch(&b, 1, 1, 5);
	build_commit(&b);
	build_save(&b, 1);
	for (unsigned k = 0; k < b.batch_count; k++) {
		const struct build_batch *batch = &b.batches[k];
		static const char *const before[] = { "", "1-2", "1-2 3" };

		for (uint64_t bit = batch->offset * 8; bit < batch->padded * 8; bit++) {
			if (bit / 8 >= batch->end && bit % 97 != 0)
				continue; /* padding: some will do */
			build_flip(&b, 1, bit / 8, (uint8_t)(1u << bit % 8));
			walk_all(b.path, 1, 0, &met);
			if (bit / 8 >= batch->end)
				assert_string_equal(met.text, "1-2 3 4");
			else if (k == 0 && bit / 8 < batch->offset + BATCH_HEADER_SIZE)
				assert_string_equal(met.text, ""); /* f is found in the second commit */
			else
				assert_string_equal(met.text, before[k]);
			build_flip(&b, 1, bit / 8, (uint8_t)(1u << bit % 8));
		}
	}
	build_deinit(&b);
}

/* Batches of several windows, and of more than one. */
static void large_batches(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 1, 65536 - 4096 - 128 - 8);
	build_one(&b, 0, 1, 65536);
	build_one(&b, 1, 700, 1000);
	build_batch(&b, 0, 1, 100);
	for (int i = 0; i < 100; i++)
		build_batch(&b, 1, 1, 100);
	build_commit(&b);
	build_save(&b, 0);
	struct met met;
	walk_all(b.path, 1, 0, &met);
	assert_true(met.record == 804);
	walk_all(b.path, 703, 0, &met);
	assert_true(met.record == 804);
	assert_int_equal(strncmp(met.text, "703 704 705", 11), 0);
	/* A header that says more bytes than the file has. */
	build_save_size(&b, b.batches[2].end - 1);
	expect(&b, 1, 0, "1 2", 3, 1, b.batches[2].offset, "end of file");
	build_deinit(&b);
}

/* A journal that is being copied: the file ends right in front of a batch when it is listed, and has it when it is read. */
static void a_file_that_grows(void **state)
{
	struct segments set;
	struct failure why;
	struct walk *walk;
	struct walk_batch batch;
	struct walk_place place;
	struct build b;
	int directory;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	build_one(&b, 1, 700, 1000);
	build_save_size(&b, b.batches[1].offset);
	assert_int_equal(file_open_directory(b.path, &directory), 0);
	assert_int_equal(segments_load(directory, &set, &why), 0);
	build_save(&b, 1);
	assert_int_equal(walk_create(&set, 1, 0, &walk), 0);
	assert_int_equal(walk_next(walk, &batch, &place), 1);
	assert_int_equal(walk_next(walk, &batch, &place), 0);
	assert_true(place.record == 3);
	assert_int_equal(place.offset, b.batches[1].offset);
	assert_true(walk_broken(walk, &batch));
	assert_true(batch.frames_size <= batch.header.bytes);
	walk_destroy(walk);
	segments_free(&set);
	file_close(directory);
	build_deinit(&b);
}

static void claims_and_seals(void **state)
{
	struct build b;
	struct segments set;
	struct failure why;
	struct met met;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	b.durable = 2;
	build_one(&b, 0, 2, 10);
	b.durable = 4;
	build_one(&b, 0, 2, 10);
	build_seal(&b);
	build_save(&b, 200);
	walk_all(b.path, 1, 0, &met);
	assert_true(met.claim == 6);
	/* Beyond a bad place the search still finds it. */
	build_flip(&b, 1, b.batches[1].offset + 3, 1);
	walk_all(b.path, 1, 0, &met);
	assert_true(met.record == 3 && met.claim == 0);
	assert_int_equal(segments_load(b.directory, &set, &why), 0);
	assert_true(set.count == 1 && set.list[0].first == 1 && set.list[0].claim == 0);
	assert_int_equal(segment_search(&set, &set.list[0], met.place.offset), 0);
	assert_true(set.list[0].claim == 6 && set.list[0].searched);
	assert_int_equal(segments_changed(&set), 0);
	build_segment(&b, 2);
	build_save(&b, 0);
	assert_int_equal(segments_changed(&set), 1);
	segments_free(&set);
	/* The same index in another file: not the same segment. */
	assert_int_equal(segments_load(b.directory, &set, &why), 0);
	assert_int_equal(segments_changed(&set), 0);
	b.image[0] ^= 1;
	build_save(&b, 0);
	assert_int_equal(segments_changed(&set), 1);
	segments_free(&set);
	build_deinit(&b);
}

/* Ends of streams stand in the live part too, below the bound; one at the bound may have landed late. */
static void ends_of_streams(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);
	build_forget(&b, 0);
	build_one(&b, 1, 1, 10);
	build_forget(&b, 1);
	build_save(&b, 1);
	build_segment(&b, 2);
	build_one(&b, 2, 1, 1);
	build_save(&b, 1);
	expect(&b, 1, 0, "1-2 f3 3 4", 5, 2, 8192, "zeros");
	expect(&b, 3, 0, "f3 3 4", 5, 2, 8192, "zeros");
	build_deinit(&b);
}

/* One with another number than the record that comes next is none that a server has written. */
static void an_empty_batch_in_a_wrong_place(void **state)
{
	static const struct {
		const char *name;
		uint64_t record;
		bool seal;
	} rows[] = {
		{ "an end of a stream", 3, false },
		{ "an end, one too low", 2, false },
		{ "an end, one too high", 4, false },
		{ "an end, far too high", 139, false },
		{ "a seal", 3, true },
		{ "a seal, one too low", 2, true },
		{ "a seal, one too high", 4, true },
		{ "a seal, far too high", 139, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct build b;
		char what[100];

		print_message("%s\n", rows[i].name);
		build_init(&b);
		build_segment(&b, 1);
		build_one(&b, 0, 2, 10);
		b.record = rows[i].record;
		if (rows[i].seal)
			build_wrong_seal(&b, rows[i].record);
		else
			build_forget(&b, 0);
		b.record = 3;
		build_one(&b, 1, 1, 10);
		build_save(&b, 1);
		snprintf(what, sizeof(what), "an empty batch of record %llu stands there",
			 (unsigned long long)rows[i].record);
		if (rows[i].record == 3)
			expect(&b, 1, 0, rows[i].seal ? "1-2 s3 3" : "1-2 f3 3", 4, 1, 16384,
			       "zeros");
		else
			expect(&b, 1, 0, "1-2", 3, 1, 8192, what);
		build_deinit(&b);
	}
}

/* The next good batch behind a bad place, for verify and repair. */
static void going_on_behind_a_bad_place(void **state)
{
	static const struct {
		const char *name;
		uint64_t index, offset;
		uint64_t stops_at, goes_on_at;
		bool whole_header;
	} rows[] = {
		{ "a frame of the first batch", 1, 4096 + 128 + 9, 1, 3, true },
		{ "the header of the first batch", 1, 4096 + 9, 1, 3, false },
		{ "a header inside a commit", 1, 8192 + 128 + 18 + 9, 4, 5, false },
		{ "a frame inside a commit", 1, 8192 + 128 + 9, 3, 4, true },
		{ "the last batch of a segment", 1, 8192 + 2 * (128 + 18) + 9, 5, 6, false },
		{ "the first header of a segment", 2, 4096 + 9, 6, 7, false },
		{ "the last batch of all", 2, 8192 + 9, 7, 0, false },
		{ "a segment's header", 1, 9, 1, 6, false },
	};
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_one(&b, 0, 2, 10);   /* 1-2 */
	build_batch(&b, 0, 1, 10); /* 3 */
	build_batch(&b, 1, 1, 10); /* 4 */
	build_batch(&b, 2, 1, 10); /* 5 */
	build_commit(&b);
	build_save(&b, 1);
	build_segment(&b, 2);
	build_one(&b, 2, 1, 10); /* 6 */
	build_one(&b, 2, 1, 10); /* 7 */
	build_save(&b, 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct segments set;
		struct failure why;
		struct walk *walk;
		struct walk_batch batch;
		struct walk_place place;
		uint64_t before = 1;
		int result;

		print_message("%s\n", rows[i].name);
		build_flip(&b, rows[i].index, rows[i].offset, 0x10);
		assert_int_equal(segments_load(b.directory, &set, &why), 0);
		assert_int_equal(walk_create(&set, 1, 0, &walk), 0);
		while ((result = walk_next(walk, &batch, &place)) == 1)
			before = batch.header.record + batch.header.count;
		assert_int_equal(result, 0);
		assert_true(before == rows[i].stops_at && place.record == rows[i].stops_at);
		assert_int_equal(walk_broken(walk, &batch), rows[i].whole_header);
		if (rows[i].whole_header)
			assert_true(batch.header.record == rows[i].stops_at &&
				    batch.offset == place.offset);
		assert_int_equal(walk_resync(walk), rows[i].goes_on_at != 0);
		if (rows[i].goes_on_at != 0) {
			assert_true(walk_record(walk) == rows[i].goes_on_at);
			while ((result = walk_next(walk, &batch, &place)) == 1)
				before = batch.header.record + batch.header.count;
			assert_true(before == 8);
		}
		walk_destroy(walk);
		segments_free(&set);
		build_flip(&b, rows[i].index, rows[i].offset, 0x10);
	}
	build_deinit(&b);
}

/* A batch that says it begins a commit does not pass inside one, and the other way round. */
static void commits_are_whole(void **state)
{
	struct build b;

	(void)state;
	build_init(&b);
	build_segment(&b, 1);
	build_batch(&b, 0, 1, 4096 - 128 - 8);
	b.in_commit = false; /* the next one claims to be first, and stands at a block's start */
	build_batch(&b, 0, 1, 10);
	build_commit(&b);
	build_save(&b, 1);
	expect(&b, 1, 0, "1", 2, 1, 8192, "a commit begins inside another");
	b.record = 1;
	b.seq[0] = 0;
	b.h[0] = 0;
	build_segment(&b, 1);
	b.in_commit = true;
	build_batch(&b, 0, 1, 10);
	build_commit(&b);
	build_save(&b, 1);
	expect(&b, 1, 0, "", 1, 1, 4096, "a commit's first batch is missing");
	build_deinit(&b);
}

/* The bounds and the lowest f, as they would be looked for each time. */
static void check_bounds(const struct segments *set)
{
	uint64_t bound = UINT64_MAX;

	for (uint32_t i = set->count; i-- > 0;) {
		assert_int_equal(segments_bound(set, i), bound);
		if (set->list[i].first != 0 && set->list[i].first < bound)
			bound = set->list[i].first;
	}
	assert_int_equal(segments_lowest(set), bound == UINT64_MAX ? 0 : bound);
}

/* Every f that is found late, in whatever order, counts at once. */
static void bounds_follow_what_is_found(void **state)
{
	static const unsigned f_of[] = { 3, 9, 5, 0, 7, 5, 12, 8 }; /* 0: unused */
	enum { SEGMENTS = COUNT_OF(f_of) };
	struct build b;
	struct segments set;
	struct failure why;

	(void)state;
	build_init(&b);
	for (unsigned i = 0; i < SEGMENTS; i++) {
		b.record = f_of[i];
		build_segment(&b, i + 1);
		for (int k = 0; k < 2 && f_of[i] != 0; k++)
			build_one(&b, 0, 1, 10);
		build_save(&b, 0);
		if (f_of[i] != 0) /* the first batch is broken: f stands in the second one, too */
			build_flip(&b, i + 1, BUILD_BLOCK + 3, 1);
	}
	for (unsigned step = 1; step < SEGMENTS; step += 2) {
		assert_int_equal(segments_load(b.directory, &set, &why), 0);
		assert_int_equal(segments_lowest(&set), 0);
		for (unsigned i = 0; i < SEGMENTS; i++) {
			uint32_t at = (i * step + 2) % SEGMENTS;

			check_bounds(&set);
			assert_int_equal(segment_search(&set, &set.list[at], 0), 0);
			assert_int_equal(set.list[at].first, f_of[at]);
		}
		check_bounds(&set);
		segments_leave_out(&set, 0);
		check_bounds(&set);
		segments_leave_out(&set, 5);
		check_bounds(&set);
		segments_free(&set);
	}
	build_deinit(&b);
}

static void places_as_text(void **state)
{
	static const struct {
		struct walk_place place;
		uint64_t last;
		const char *text;
	} rows[] = {
		{ { .record = 17, .last_record = 17, .segment_index = 3, .offset = 8192, .what = "zeros" },
		  20,
		  "segment 00000000000000000003.seg offset 8192: records 17..20: zeros" },
		{ { .record = 17, .last_record = 19, .segment_index = 3, .offset = 8192, .what = "zeros" },
		  0,
		  "segment 00000000000000000003.seg offset 8192: records 17..19: zeros" },
		{ { .record = 17, .last_record = 19, .segment_index = 3, .bad_record = 18, .bad_offset = 8400, .what = "frame checksum" },
		  20,
		  "segment 00000000000000000003.seg offset 8400: record 18: frame checksum" },
		{ { .record = 17, .last_record = 17, .what = "no segment has it" }, 0, "record 17: no segment has it" },
	};
	char text[WALK_PLACE_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(walk_place_text(&rows[i].place, rows[i].last, text),
				    rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_directory),
		cmocka_unit_test(one_segment_from_anywhere),
		cmocka_unit_test(dead_parts),
		cmocka_unit_test(f_is_found_behind_a_broken_batch),
		cmocka_unit_test(missing_and_bad_segments),
		cmocka_unit_test(a_misplaced_segment),
		cmocka_unit_test(a_tail_torn_at_every_byte),
		cmocka_unit_test(one_bit_anywhere),
		cmocka_unit_test(large_batches),
		cmocka_unit_test(a_file_that_grows),
		cmocka_unit_test(claims_and_seals),
		cmocka_unit_test(ends_of_streams),
		cmocka_unit_test(an_empty_batch_in_a_wrong_place),
		cmocka_unit_test(going_on_behind_a_bad_place),
		cmocka_unit_test(commits_are_whole),
		cmocka_unit_test(bounds_follow_what_is_found),
		cmocka_unit_test(places_as_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
