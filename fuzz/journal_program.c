#include "journal_program.h"

#include "base/crc32c.h"
#include "file/file.h"
#include "journal/format.h"
#include "memory_file.h"

enum {
	SEGMENTS = 6,
	BATCHES = 64,
	STREAMS = 4,
	EPHEMERAL = STREAMS - 1, /* the last one is an ephemeral stream */
	IMAGE_SIZE = 64 * 1024,
	PAYLOAD_MAX = 6000,
	STEPS_MAX = 200,
};

struct stream_place {
	uint64_t seq;
	uint32_t h;
	uint64_t record; /* of its last message */
};

struct image {
	uint8_t data[IMAGE_SIZE];
	size_t used;     /* bytes that are not zero end here */
	size_t size;     /* of the file */
	uint64_t index;
	uint8_t salt[SALT_SIZE];
	uint32_t block_size;
	bool removed;
};

struct batch {
	unsigned image;
	size_t offset;
	struct batch_header header;
	struct stream_place before[STREAMS]; /* the streams before it */
	bool dropped;                        /* a later segment has taken its records over */
};

struct snapshot {
	bool present;
	struct snapshot_header header;
	struct snapshot_entry entries[STREAMS];
};

struct program {
	struct image images[SEGMENTS];
	unsigned image_count;
	struct batch batches[BATCHES];
	unsigned batch_count;
	struct stream_place streams[STREAMS];
	struct snapshot snapshots[2];
	uint64_t f;
	uint64_t record;      /* the next one */
	uint64_t durable;     /* what the next batches claim */
	uint64_t claimed;     /* the highest claim so far: records up to it may not be taken over */
	uint64_t lock_number;
	size_t at;            /* in the current image */
	bool in_commit;
	bool given_up;        /* what a snapshot covers has been deleted */
	bool lock_present;
	enum journal_made made;
	uint32_t next_flags;
	uint64_t gap_last;
};

static void spoiled(struct program *p, enum journal_made made)
{
	if (made > p->made)
		p->made = made;
}

static struct image *current(struct program *p)
{
	return &p->images[p->image_count - 1];
}

static struct stream_id stream_of(unsigned stream)
{
	struct stream_id id = { { 0x80 } };

	id.bytes[15] = (uint8_t)(stream + 1);
	return id;
}

/* --- steps that write */

static void encode_segment(struct image *image)
{
	struct segment_header header = { .index = image->index,
					 .block_size = image->block_size,
					 .created_ns = 1000 + image->index };

	memset(header.journal_id, 0x77, sizeof(header.journal_id));
	memcpy(header.salt, image->salt, SALT_SIZE);
	segment_header_encode(image->data, &header);
}

static void end_commit(struct program *p)
{
	struct batch *last;
	struct image *image;

	if (!p->in_commit)
		return;
	last = &p->batches[p->batch_count - 1];
	image = &p->images[last->image];
	last->header.flags |= BATCH_LAST;
	batch_header_encode(image->data + last->offset, &last->header, image->salt, image->index);
	p->at = round_up(p->at, image->block_size);
	image->used = p->at;
	image->size = image->size > p->at ? image->size : p->at;
	p->in_commit = false;
}

/* Opening deletes the unused spares of earlier processes, and only then is anything given up. */
static void delete_unused(struct program *p)
{
	for (unsigned i = 0; p->given_up && i + 1 < p->image_count; i++)
		if (p->images[i].used == p->images[i].block_size)
			p->images[i].removed = true;
}

static void begin_segment(struct program *p, uint8_t how)
{
	uint64_t index = p->image_count == 0 ? 1 : current(p)->index + 1 + how % 3;
	struct image *image;

	if (p->image_count == SEGMENTS)
		return;
	if (p->image_count > 0)
		end_commit(p);
	image = &p->images[p->image_count++];
	image->index = index;
	image->block_size = (how & 0x20) != 0 ? 8192 : 4096;
	image->removed = false;
	memset(image->salt, (int)(0x40 + index), SALT_SIZE);
	encode_segment(image);
	p->f = p->record;
	p->at = image->used = image->size = image->block_size;
	delete_unused(p);
}

/* Room for a batch with `bytes` of frames? */
static bool has_room(const struct program *p, size_t bytes)
{
	return p->batch_count < BATCHES && p->at + BATCH_HEADER_SIZE + bytes + 8192 <= IMAGE_SIZE;
}

static void claim(struct program *p, uint64_t number)
{
	if (number > p->claimed)
		p->claimed = number;
}

static void put_batch(struct program *p, struct batch_header *header)
{
	struct image *image = current(p);
	struct batch *batch = &p->batches[p->batch_count++];

	header->segment_first = p->f;
	header->record = p->record;
	header->durable = p->durable < p->record ? p->durable : p->record - 1;
	header->time_ns = 1700000000000000000u + p->record;
	if (!p->in_commit)
		header->flags |= BATCH_FIRST;
	p->in_commit = true;
	batch->image = p->image_count - 1;
	batch->offset = p->at;
	batch->header = *header;
	batch->dropped = false;
	memcpy(batch->before, p->streams, sizeof(batch->before));
	batch_header_encode(image->data + p->at, header, image->salt, image->index);
	p->at += BATCH_HEADER_SIZE + header->bytes;
	image->used = p->at;
	claim(p, header->durable);
}

/* The frames behind a batch header; returns the history checksum behind them. */
static uint32_t put_frames(struct program *p, const struct batch_header *header, uint32_t size,
			   uint32_t h)
{
	uint8_t *out = current(p)->data + p->at + BATCH_HEADER_SIZE;

	for (uint32_t i = 0; i < header->count; i++) {
		struct frame_header frame = { .size = size };

		memset(out + FRAME_HEADER_SIZE, (int)(p->record + i), size);
		frame.checksum = frame_checksum(frame_seed(&header->stream), header->first_seq + i,
						size, out + FRAME_HEADER_SIZE);
		frame_put_header(out, frame);
		h = history_next(h, frame.checksum);
		out += FRAME_HEADER_SIZE + size;
	}
	return h;
}

static void write_batch(struct program *p, uint8_t how, uint8_t size_of)
{
	uint32_t count = 1 + (how >> 5);
	uint32_t size = size_of < 250 ? size_of : (size_of - 249u) * 1000;
	struct stream_place *stream = &p->streams[how % STREAMS];
	bool plain = (how & 0x1c) == 0x1c;
	struct batch_header header = {
		.count = count,
		.bytes = count * (FRAME_HEADER_SIZE + size),
		.protocol = plain ? 2 : 1,
		.writer = plain ? 0 : 42,
		.peer = { .family = PEER_IPV4, .port = 1234, .address = { 127, 0, 0, 1 } },
	};

	if (!has_room(p, header.bytes))
		return;
	header.stream = plain ? stream_id_plain(p->record) : stream_of(how % STREAMS);
	header.first_seq = plain ? 1 : stream->seq + 1;
	header.h_before = plain ? 0 : stream->h;
	if (!plain && how % STREAMS == EPHEMERAL)
		header.flags |= BATCH_EPHEMERAL;
	if (!plain && (p->next_flags & BATCH_GAP) != 0) {
		header.flags |= BATCH_GAP;
		header.gap_last = stream->seq;
		header.first_seq = stream->seq + p->gap_last;
		header.first_seq += header.first_seq == stream->seq;
		header.h_before = 0;
	}
	p->next_flags = 0;
	header.h_after = put_frames(p, &header, size, header.h_before);
	put_batch(p, &header);
	if (!plain) {
		stream->seq = header.first_seq + count - 1;
		stream->h = header.h_after;
		stream->record = p->record + count - 1;
	}
	p->record += count;
}

static void write_seal(struct program *p)
{
	struct batch_header header = { 0 };

	if (!has_room(p, 0))
		return;
	end_commit(p);
	p->durable = p->record - 1;
	put_batch(p, &header);
	end_commit(p);
}

static void write_forget(struct program *p)
{
	struct batch_header header = { .stream = stream_of(EPHEMERAL), .flags = BATCH_FORGET };

	if (!has_room(p, 0))
		return;
	put_batch(p, &header);
	end_commit(p);
	memset(&p->streams[EPHEMERAL], 0, sizeof(p->streams[EPHEMERAL]));
}

static void write_lost(struct program *p, uint32_t count)
{
	struct batch_header header = { .stream = stream_id_plain(p->record),
				       .first_seq = 1,
				       .count = count,
				       .flags = BATCH_LOST };

	if (!has_room(p, 0))
		return;
	put_batch(p, &header);
	p->record += count;
}

static void write_snapshot(struct program *p, unsigned which)
{
	struct snapshot *s = &p->snapshots[which];

	if (p->image_count == SEGMENTS || p->record == 1 || p->f == p->record)
		return;
	end_commit(p);
	*s = (struct snapshot){ .present = true };
	memset(s->header.journal_id, 0x77, sizeof(s->header.journal_id));
	s->header.segment_index = current(p)->index;
	s->header.record = p->record - 1;
	claim(p, s->header.record);
	for (unsigned i = 0; i < STREAMS; i++) {
		if (p->streams[i].seq == 0)
			continue;
		s->entries[s->header.count++] = (struct snapshot_entry){
			.stream = stream_of(i),
			.last_seq = p->streams[i].seq,
			.record = p->streams[i].record,
			.writer = 42,
			.time_ns = 1800000000000000000u,
			.h = p->streams[i].h,
			.flags = i == EPHEMERAL ? BATCH_EPHEMERAL : 0,
		};
	}
	/* Records go on in a new segment: that is when snapshots are made. */
	begin_segment(p, 0);
}

/* Opening goes by the newer snapshot. If that was made when the ephemeral stream had ended, the stream is not known any more, whether its
 * end is dead or not. */
static void forget_with_snapshot(struct program *p)
{
	const struct snapshot *newest = NULL;

	for (unsigned i = 0; i < 2; i++)
		if (p->snapshots[i].present &&
		    (newest == NULL ||
		     p->snapshots[i].header.segment_index > newest->header.segment_index))
			newest = &p->snapshots[i];
	if (newest == NULL || p->streams[EPHEMERAL].record > newest->header.record)
		return;
	for (unsigned i = 0; i < newest->header.count; i++) {
		struct stream_id id = stream_of(EPHEMERAL);

		if (stream_id_equal(&newest->entries[i].stream, &id))
			return;
	}
	memset(&p->streams[EPHEMERAL], 0, sizeof(p->streams[EPHEMERAL]));
}

/* The next segment takes over from the first record of some batch that nobody has claimed: a server was killed, and the next one did not
 * find what came later. */
static void take_over(struct program *p, unsigned choice)
{
	uint64_t from = 0;
	bool restored = false;

	for (unsigned at = p->batch_count; at > 0 && choice > 0; at--) {
		if (p->batches[at - 1].dropped)
			continue;
		if (p->batches[at - 1].header.record <= p->claimed)
			break;
		from = p->batches[at - 1].header.record;
		choice--;
	}
	if (from == 0 || p->image_count == SEGMENTS)
		return;
	end_commit(p);
	/* The end of a stream at this number is dead, too. */
	for (unsigned i = 0; i < p->batch_count; i++) {
		if (p->batches[i].dropped || p->batches[i].header.record < from)
			continue;
		if (!restored)
			memcpy(p->streams, p->batches[i].before, sizeof(p->streams));
		restored = true;
		p->batches[i].dropped = true;
	}
	forget_with_snapshot(p);
	p->record = from;
	begin_segment(p, 0);
	write_seal(p); /* the first thing that opening writes, since f is what takes over */
}

/* What the snapshot covers is given up. */
static void retire(struct program *p, unsigned which)
{
	for (unsigned i = 0; p->snapshots[which].present && i < p->image_count; i++)
		if (p->images[i].index <= p->snapshots[which].header.segment_index)
			p->images[i].removed = p->given_up = true;
	delete_unused(p);
}

/* --- steps that spoil */

static struct batch *choose_batch(struct program *p, struct fuzz *f)
{
	return p->batch_count == 0 ? NULL : &p->batches[fuzz_choice(f, p->batch_count)];
}

static void edit_batch(struct program *p, struct fuzz *f)
{
	static const uint8_t fields[] = { 8, 16, 24, 32, 40, 48, 56, 64,
					  72, 80, 84, 88, 92, 96, 100, 120 };
	struct batch *batch = choose_batch(p, f);
	uint8_t *at;
	struct image *image;
	uint8_t number[8];
	uint8_t choice = fuzz_u8(f);
	unsigned field = fields[choice % sizeof(fields)];
	uint64_t value = fuzz_number(f);
	uint32_t crc;

	if (batch == NULL)
		return;
	image = &p->images[batch->image];
	at = image->data + batch->offset;
	if ((choice & 0x80) != 0)
		value += get_u32(at + field);
	if (field >= 80 && field < 100)
		put_u32(at + field, (uint32_t)value);
	else
		put_u64(at + field, value);
	put_u64(number, image->index);
	crc = crc32c(crc32c(0, image->salt, SALT_SIZE), number, sizeof(number));
	put_u32(at + 4, crc32c(crc, at + 8, BATCH_HEADER_SIZE - 8));
	spoiled(p, JOURNAL_SPOILED);
}

static void edit_segment(struct program *p, struct fuzz *f)
{
	static const uint8_t fields[] = { 8, 16, 32, 40, 56, 60, 64, 72 };
	struct image *image = &p->images[fuzz_choice(f, p->image_count)];
	uint8_t choice = fuzz_u8(f);
	unsigned field = fields[choice % sizeof(fields)];
	bool mended = (choice & 0x80) == 0;

	put_u32(image->data + field, (uint32_t)fuzz_number(f));
	if (mended)
		put_u32(image->data + 12, crc32c(crc32c(0, image->data, 12), image->data + 16,
						 SEGMENT_HEADER_SIZE - 16));
	/* Whose it is, nobody else says; and an edit of before may have changed that. */
	spoiled(p, mended && get_u32(image->data + 16) != 0x77777777 ? JOURNAL_FORGED
								     : JOURNAL_SPOILED);
}

/* Somewhere in a file: near a batch, or anywhere. */
static size_t choose_place(struct program *p, struct fuzz *f, unsigned *ret_image)
{
	uint8_t how = fuzz_u8(f);
	struct batch *batch = choose_batch(p, f);
	size_t offset;

	if (how < 0xc0 && batch != NULL) {
		*ret_image = batch->image;
		offset = batch->offset + how;
	} else {
		*ret_image = fuzz_choice(f, p->image_count);
		offset = fuzz_u16(f);
	}
	return offset % IMAGE_SIZE;
}

static void touch(struct program *p, unsigned image, size_t end)
{
	if (end > p->images[image].used)
		p->images[image].used = end;
	spoiled(p, JOURNAL_SPOILED);
}

static void edit_bytes(struct program *p, struct fuzz *f)
{
	unsigned image;
	size_t at = choose_place(p, f, &image);
	size_t size = 1 + fuzz_choice(f, 16);

	for (size_t i = 0; i < size && at + i < IMAGE_SIZE; i++)
		p->images[image].data[at + i] ^= fuzz_u8(f);
	touch(p, image, at + size < IMAGE_SIZE ? at + size : IMAGE_SIZE);
}

/* Blocks that were never written, or that came from elsewhere. */
static void edit_blocks(struct program *p, struct fuzz *f)
{
	unsigned to, from;
	size_t to_at = choose_place(p, f, &to) & ~(size_t)511;
	size_t from_at = choose_place(p, f, &from) & ~(size_t)511;
	size_t size = (size_t)512 << fuzz_choice(f, 5);
	uint8_t how = fuzz_u8(f);

	if (to_at + size > IMAGE_SIZE || from_at + size > IMAGE_SIZE)
		return;
	if (how < 0x60)
		memset(p->images[to].data + to_at, 0, size);
	else if (how < 0x80)
		memset(p->images[to].data + to_at, how, size);
	else
		memmove(p->images[to].data + to_at, p->images[from].data + from_at, size);
	touch(p, to, to_at + size);
}

static void edit_file(struct program *p, struct fuzz *f)
{
	struct image *image = &p->images[fuzz_choice(f, p->image_count)];
	uint8_t how = fuzz_u8(f);

	if (how < 0x40) {
		image->removed = true;
	} else if (how < 0x60) {
		image->index += how & 3; /* its header and batches still say what it was */
	} else {
		image->size = fuzz_u16(f);
	}
	spoiled(p, JOURNAL_SPOILED);
}

static void edit_snapshot(struct program *p, struct fuzz *f)
{
	struct snapshot *s = &p->snapshots[fuzz_choice(f, 2)];
	struct snapshot_entry *entry = &s->entries[fuzz_choice(f, STREAMS)];
	uint8_t how = fuzz_u8(f);
	uint64_t value = fuzz_number(f);

	switch (how % 12) {
	case 0: s->header.segment_index = value; break;
	case 1: s->header.record = value & INT64_MAX; break;
	case 2: s->header.count = value % (STREAMS + 1); break;
	case 3: s->header.journal_id[0] = (uint8_t)value; break;
	case 4: entry->last_seq = value; break;
	case 5: entry->record = value; break;
	case 6: entry->h = (uint32_t)value; break;
	case 7: entry->flags = (uint32_t)value; break;
	case 8: entry->stream.bytes[value % STREAM_ID_SIZE] ^= (uint8_t)(value >> 4); break;
	case 9: entry->stream = stream_of(value % STREAMS); break;
	case 10: memset(&entry->stream, 0, STREAM_ID_SIZE); break;
	default: s->present = false; break;
	}
	spoiled(p, how % 12 == 3 || how % 12 == 11 ? JOURNAL_SPOILED : JOURNAL_FORGED);
}

/* --- the whole */

static void set_lock(struct program *p, uint8_t how)
{
	p->lock_present = true;
	p->lock_number = p->record - 1;
	if (how < 0x80)
		p->lock_number = how < p->record ? p->record - 1 - how : 0;
	else if (how >= 0xf0)
		p->lock_number += how - 0xefu;
	if (how >= 0xf0)
		spoiled(p, JOURNAL_SPOILED);
	claim(p, p->lock_number);
}

static void spoil(struct program *p, struct fuzz *f, uint8_t op)
{
	switch (op % 8) {
	case 0: edit_batch(p, f); break;
	case 1: edit_segment(p, f); break;
	case 2:
	case 3: edit_bytes(p, f); break;
	case 4: edit_blocks(p, f); break;
	case 5: edit_file(p, f); break;
	default: edit_snapshot(p, f); break;
	}
}

static void step(struct program *p, struct fuzz *f, uint8_t op)
{
	uint8_t how = fuzz_u8(f);

	if (op < 0x60) {
		write_batch(p, how, op < 0x50 ? op : fuzz_u8(f));
		if ((op & 3) != 0)
			end_commit(p);
		return;
	}
	switch ((op - 0x60) / 0x10) {
	case 0: end_commit(p); begin_segment(p, how); break;
	case 1: write_seal(p); break;
	case 2: write_forget(p); break;
	case 3:
		p->next_flags |= BATCH_GAP;
		p->gap_last = how;
		break;
	case 4: p->durable = p->record > how % 8u ? p->record - 1 - how % 8u : 0; break;
	case 5:
		if ((how & 0x80) != 0)
			retire(p, how & 1);
		else
			write_lost(p, 1u + how % 4);
		break;
	case 6: write_snapshot(p, how & 1); break;
	case 7: take_over(p, 1u + how % 8); break;
	case 8: set_lock(p, how); break;
	default: break;
	}
}

static void save(struct program *p, const char *directory)
{
	static const char *const names[] = { NAME_SNAPSHOT, NAME_SNAPSHOT_OLD };
	uint8_t data[SNAPSHOT_HEADER_SIZE + STREAMS * SNAPSHOT_ENTRY_SIZE];
	char name[SEGMENT_NAME_SIZE];

	must(file_make_directory(directory) == 0);
	for (unsigned i = 0; i < p->image_count; i++) {
		struct image *image = &p->images[i];

		segment_name(image->index, name);
		if (!image->removed)
			memory_put(directory, name, image->data, image->size);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct snapshot *s = &p->snapshots[i];
		uint8_t *at = data + SNAPSHOT_HEADER_SIZE;

		for (unsigned k = 0; k < s->header.count; k++, at += SNAPSHOT_ENTRY_SIZE)
			snapshot_entry_encode(at, &s->entries[k]);
		s->header.entries_checksum = crc32c(0, data + SNAPSHOT_HEADER_SIZE,
						    s->header.count * SNAPSHOT_ENTRY_SIZE);
		snapshot_header_encode(data, &s->header);
		if (s->present)
			memory_put(directory, names[i], data, (size_t)(at - data));
	}
	memset(data, 0, LOCK_SIZE);
	lock_encode(data, p->lock_number, 0);
	if (p->lock_present)
		memory_put(directory, NAME_LOCK, data, LOCK_SIZE);
}

/* Only what has been used is wiped: the whole is large. */
static void reset(struct program *p)
{
	for (unsigned i = 0; i < p->image_count; i++)
		memset(p->images[i].data, 0, p->images[i].used);
	memset((uint8_t *)p + offsetof(struct program, image_count), 0,
	       sizeof(*p) - offsetof(struct program, image_count));
	p->record = 1;
}

enum journal_made journal_program_run(struct fuzz *f, const char *directory)
{
	static struct program program;
	struct program *p = &program;
	uint8_t how = fuzz_u8(f);

	reset(p);
	if ((how & 1) != 0)
		p->record = 1 + how / 2u; /* the oldest records have been given up: a snapshot had better say so */
	p->lock_present = (how & 2) != 0;
	begin_segment(p, how);
	p->made = p->record != 1 ? JOURNAL_SPOILED : JOURNAL_WHOLE;
	for (unsigned i = 0; i < STEPS_MAX && f->size > 0; i++) {
		uint8_t op = fuzz_u8(f);

		if (op == 0xff)
			break;
		if (op >= 0xe8)
			spoil(p, f, op);
		else
			step(p, f, op);
	}
	end_commit(p);
	save(p, directory);
	return p->made;
}
