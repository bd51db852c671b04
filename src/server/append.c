/* Messages into the journal. journal_append decides; here they are put into its terms, and their acks behind the gate. */
#include <errno.h>

#include "base/must.h"
#include "server/room.h"

/* May anything be appended now? Whoever waits already comes first. */
static bool must_wait(struct server *server)
{
	if (server->parked.count && !server->resuming)
		return true;
	if (!gate_is_full(&server->gate))
		return false;
	server->gate_was_full = true;
	return true;
}

static void hold_ack(struct server *server, struct session *s, uint64_t record)
{
	struct gate_entry entry = { session_index(server, s), s->generation, record,
				    s->appended_seq };

	must(!s->fault); /* it has the place of gate_position */
	s->gate_position = gate_hold(&server->gate, entry, journal_commit(server->journal),
				     s->gate_position);
}

/* A line for each message, while they are wanted. */
static void note_frames(struct server *server, const struct session *s,
			const struct wire_event *event)
{
	uint64_t now_ns = io_now(server->io);
	const uint8_t *at = event->data;

	for (uint32_t i = 0; i < event->count; i++) {
		struct frame_header header;

		if (!notes_wanted(&server->notes, now_ns)) {
			notes_skip(&server->notes, now_ns, event->count - i);
			return;
		}
		header = frame_get_header(at);
		notes_received(&server->notes, now_ns, &s->peer, at + FRAME_HEADER_SIZE,
			       header.size);
		at += FRAME_HEADER_SIZE + header.size;
	}
}

int session_append_frames(struct server *server, struct session *s,
			  const struct wire_event *event)
{
	struct journal_batch batch = {
		.stream = session_stream(s),
		.first_seq = event->first_seq,
		.count = event->count,
		.h_before = event->h_before,
		.h_after = event->h_after,
		.gap = s->flags & FLAG_GAP,
		.ephemeral = s->flags & FLAG_EPHEMERAL,
		.writer = s->native.writer,
		.protocol = PROTOCOL_NATIVE,
		.peer = s->peer,
		.frames = event->data,
		.frames_size = (uint32_t)event->size,
	};
	uint64_t record;
	int r;

	if (must_wait(server))
		return -ENOBUFS;
	r = journal_append(server->journal, &batch, &record);
	if (r)
		return r;
	must(event->first_seq == s->appended_seq + 1);
	server->appended = true;
	s->flags &= (uint16_t)~FLAG_GAP;
	s->appended_seq += event->count;
	hold_ack(server, s, record);
	note_frames(server, s, event);
	return 0;
}

int session_append_message(struct server *server, struct session *s,
			   const struct wire_event *event)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct frame_header frame = { .size = (uint32_t)event->size };
	struct journal_batch batch = {
		.first_seq = s->appended_seq + 1,
		.count = 1,
		.h_before = s->h,
		.protocol = (enum protocol)s->protocol,
		.peer = s->peer,
		.header = header,
		.frames = event->data,
		.frames_size = (uint32_t)event->size,
	};
	uint64_t record;
	int r;

	if (must_wait(server))
		return -ENOBUFS;
	/* A connection is named by its first record, so this is asked again after a wait. */
	if (!s->appended_seq)
		s->plain.first_record = journal_next_record(server->journal);
	batch.plain = stream_id_plain(s->plain.first_record);
	frame.checksum = frame_checksum(frame_seed(&batch.plain), batch.first_seq, frame.size,
					event->data);
	frame_put_header(header, frame);
	batch.h_after = history_next(s->h, frame.checksum);
	r = journal_append(server->journal, &batch, &record);
	if (r)
		return r;
	server->appended = true;
	s->h = batch.h_after;
	s->appended_seq++;
	if (s->protocol == PROTOCOL_LINE) {
		if (!(s->flags & FLAG_RUN))
			s->plain.record_from = record;
		s->flags |= FLAG_RUN;
	}
	if (s->state != SESSION_LINGERING)
		hold_ack(server, s, record);
	notes_received(&server->notes, io_now(server->io), &s->peer, event->data, event->size);
	return 0;
}
