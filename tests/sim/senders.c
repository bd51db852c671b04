/* Senders: what they have announced, and how much of it has come into the ledger, each message once and in order. */
#include <string.h>

#include "check_private.h"

struct sender {
	uint32_t number;
	bool has_stream;
	bool resumes;
	bool is_doubled;     /* two processes have sent for it */
	uint8_t stream[STREAM_ID];
	struct sender_run *runs;
	size_t run_count;
	size_t run_capacity;
	size_t current;      /* the run that its last message in the ledger belongs to */
};

static struct {
	struct sender *list;
	size_t count;
	size_t capacity;
} senders;

void senders_begin(void)
{
	memset(&senders, 0, sizeof(senders));
}

void senders_end(void)
{
	for (size_t i = 0; i < senders.count; i++) {
		for (size_t k = 0; k < senders.list[i].run_count; k++)
			sim_free(senders.list[i].runs[k].seen);
		sim_free(senders.list[i].runs);
	}
	sim_free(senders.list);
	memset(&senders, 0, sizeof(senders));
}

static struct sender *find(uint32_t number)
{
	for (size_t i = 0; i < senders.count; i++)
		if (senders.list[i].number == number)
			return &senders.list[i];
	return NULL;
}

static struct sender_run *find_run(struct sender *sender, uint32_t number)
{
	for (size_t i = sender->run_count; i-- > 0;)
		if (sender->runs[i].number == number)
			return &sender->runs[i];
	return NULL;
}

bool ledger_is_announced(const uint8_t *id)
{
	for (size_t i = 0; i < senders.count; i++)
		if (senders.list[i].has_stream &&
		    memcmp(senders.list[i].stream, id, STREAM_ID) == 0)
			return true;
	return false;
}

static struct sender *add(uint32_t number, const uint8_t *stream, bool resume)
{
	struct sender *sender;

	senders.list =
		check_grow(senders.list, senders.count, &senders.capacity, sizeof(*sender));
	sender = &senders.list[senders.count++];
	*sender = (struct sender){ .number = number, .resumes = resume };
	if (stream != NULL) {
		sender->has_stream = true;
		memcpy(sender->stream, stream, STREAM_ID);
	}
	return sender;
}

void check_sender(uint32_t number, const uint8_t stream[16], uint32_t run_number, uint64_t last,
		  bool resume)
{
	struct sender *sender = find(number);
	struct sender_run *run;

	if (sender == NULL)
		sender = add(number, stream, resume);
	if (sender->resumes != resume || sender->has_stream != (stream != NULL) ||
	    resume != (run_number == 0))
		world_fail("sender %u is announced as something else than before", number);
	run = find_run(sender, run_number);
	if (run != NULL && run->last >= last)
		return;
	if (run == NULL) {
		sender->runs = check_grow(sender->runs, sender->run_count, &sender->run_capacity,
					  sizeof(*run));
		run = &sender->runs[sender->run_count++];
		*run = (struct sender_run){ .number = run_number, .stream = NOBODY };
	}
	if (stream == NULL) {
		run->seen = sim_resize(run->seen, last + 1);
		memset(run->seen + run->last, 0, last + 1 - run->last);
	}
	run->last = last;
}

void check_sender_doubled(uint32_t number)
{
	struct sender *sender = find(number);

	if (sender == NULL)
		world_fail("sender %u is not known, and is there twice", number);
	sender->is_doubled = true;
}

void check_sender_slept(uint32_t number, uint32_t run_number, uint64_t connection)
{
	struct sender *sender = find(number);
	struct sender_run *run = sender != NULL ? find_run(sender, run_number) : NULL;

	if (run == NULL)
		return;
	run->has_slept = true;
	/* What nobody has seen a message of may not have been used. */
	if (run->stream != NOBODY)
		run->slept = connection;
}

bool senders_have_slept(const struct ledger_stream *stream, uint64_t connection)
{
	for (size_t i = 0; i < senders.count; i++) {
		const struct sender *sender = &senders.list[i];

		for (size_t k = 0; k < sender->run_count; k++)
			if (sender->runs[k].slept != 0 && connection > sender->runs[k].slept &&
			    ledger_stream_at(sender->runs[k].stream) == stream)
				return true;
	}
	return false;
}

/* --- native messages */

/* In a stream with a name: the run's next message, or the first one of a later run. */
static void must_be_next(struct sender *sender, struct sender_run *run,
			 const struct message *message, bool is_free)
{
	size_t index = (size_t)(run - sender->runs);
	bool is_later = index > sender->current;

	if (message->number > run->reached && !is_later && index == sender->current &&
	    (is_free || message->number == run->reached + 1))
		return;
	if (is_later && run->reached == 0 && (is_free || message->number == 1))
		return;
	world_fail("sender %u: message %llu of run %u comes after message %llu of run %u",
		   sender->number, (unsigned long long)message->number, run->number,
		   (unsigned long long)sender->runs[sender->current].reached,
		   sender->runs[sender->current].number);
}

static void take_named(struct sender *sender, struct sender_run *run,
		       const struct message *message, const struct ledger_stream *stream,
		       bool is_free)
{
	if (memcmp(sender->stream, stream->id, STREAM_ID) != 0)
		world_fail("sender %u: message %llu of run %u is in another stream than its own",
			   sender->number, (unsigned long long)message->number, run->number);
	must_be_next(sender, run, message, is_free);
	sender->current = (size_t)(run - sender->runs);
	run->reached = message->number;
}

/* In a stream that is the run's own. */
static void take_ephemeral(struct sender *sender, struct sender_run *run,
			   const struct message *message, uint32_t stream, bool is_free)
{
	if (run->stream == NOBODY)
		run->stream = stream;
	if (run->stream != stream)
		world_fail("sender %u: run %u is in two streams", sender->number, run->number);
	if (run->seen[message->number])
		world_fail("sender %u: message %llu of run %u is there twice", sender->number,
			   (unsigned long long)message->number, run->number);
	if (!is_free && message->number > 1 && !run->seen[message->number - 1])
		world_fail("sender %u: message %llu of run %u comes before the one before it",
			   sender->number, (unsigned long long)message->number, run->number);
	run->seen[message->number] = 1;
	run->reached++;
}

static struct sender_run *announced(struct sender *sender, const struct message *message)
{
	struct sender_run *run = find_run(sender, message->run);

	if (run == NULL || message->number == 0 || message->number > run->last)
		world_fail("sender %u: nobody has sent message %llu of run %u", sender->number,
			   (unsigned long long)message->number, message->run);
	return run;
}

void senders_native(struct ledger_stream *stream, uint32_t stream_index, const uint8_t *payload,
		    size_t size, bool gap, struct ledger_entry *entry)
{
	bool is_free = gap || stream->is_loose;
	struct message message;
	struct sender *sender = NULL;
	struct sender_run *run;

	if (message_read(payload, size, &message))
		sender = find(message.sender);
	if (sender == NULL) {
		if (ledger_is_announced(stream->id))
			world_fail("stream %llx has a message that its sender has not sent",
				   (unsigned long long)check_u64(stream->id));
		return;
	}
	run = announced(sender, &message);
	if (sender->resumes && message.number != entry->seq)
		world_fail("sender %u: message %llu has number %llu in its stream", sender->number,
			   (unsigned long long)message.number, (unsigned long long)entry->seq);
	if (sender->has_stream)
		take_named(sender, run, &message, stream, is_free);
	else
		take_ephemeral(sender, run, &message, stream_index, is_free);
	entry->sender = message.sender;
	entry->run = message.run;
	entry->number = message.number;
}

void senders_plain(const uint8_t *data, size_t size)
{
	struct message message;
	struct sender *sender;
	struct sender_run *run;

	if (!message_read(data, size, &message))
		return;
	sender = find(message.sender);
	if (sender == NULL || sender->has_stream)
		return;
	run = announced(sender, &message);
	if (run->seen[message.number] == 0)
		run->reached++;
	run->seen[message.number] = 1;
}

/* --- the ledger is played back */

void senders_forget_progress(void)
{
	for (size_t i = 0; i < senders.count; i++) {
		struct sender *sender = &senders.list[i];

		sender->current = 0;
		for (size_t k = 0; k < sender->run_count; k++) {
			struct sender_run *run = &sender->runs[k];

			run->reached = 0;
			run->stream = NOBODY;
			if (run->seen != NULL)
				memset(run->seen, 0, run->last + 1);
		}
	}
}

void senders_replay(const struct ledger_entry *entry)
{
	struct sender *sender = entry->sender == NOBODY ? NULL : find(entry->sender);
	struct sender_run *run;

	if (sender == NULL)
		return;
	run = find_run(sender, entry->run);
	if (sender->has_stream) {
		sender->current = (size_t)(run - sender->runs);
		run->reached = entry->number;
		return;
	}
	run->stream = entry->stream;
	run->seen[entry->number] = 1;
	run->reached++;
}

/* --- the end of a run */

static bool has_rival(const struct sender *sender)
{
	if (sender->is_doubled)
		return true;
	for (size_t i = 0; i < senders.count; i++)
		if (&senders.list[i] != sender && sender->has_stream &&
		    senders.list[i].has_stream &&
		    memcmp(senders.list[i].stream, sender->stream, STREAM_ID) == 0)
			return true;
	return false;
}

static void must_have_arrived(const struct sender *sender, const struct sender_run *run,
			      uint64_t last)
{
	struct message message = { sender->number, run->number, 0 };

	if (sender->has_stream && run->reached < last)
		check_missing(0,
			      "sender %u was told that message %llu of run %u was accepted; it is "
			      "there up to %llu",
			      sender->number, (unsigned long long)last, run->number,
			      (unsigned long long)run->reached);
	for (uint64_t i = 1; !sender->has_stream && i <= last; i++) {
		message.number = i;
		if (!run->seen[i] && !plain_began_with(&message))
			check_missing(0, "sender %u was told that message %llu of run %u was "
					 "accepted, and it is not there",
				      sender->number, (unsigned long long)i, run->number);
	}
}

void check_client_ended(uint32_t number, uint32_t run_number, uint64_t last, int status)
{
	struct sender *sender = find(number);
	struct sender_run *run = sender != NULL ? find_run(sender, run_number) : NULL;
	bool may_have_lost = checks.config.no_journal || check_is_corrupt();

	if (run == NULL)
		world_fail("a client ends that nobody has announced: %u, run %u", number,
			   run_number);
	world_trace("client ended", number, (uint64_t)status);
	if (status == 0) {
		if (!checks.config.no_journal && !ledger_has_given_up())
			must_have_arrived(sender, run, last);
		return;
	}
	if ((status == 69 || status == 75) &&
	    (has_rival(sender) || (status == 75 && run->has_slept) ||
	     reasons_to_give_up(number, run_number, status)))
		return;
	if (checks.is_injected && status != 65)
		return;
	if (status == 65 && (may_have_lost || has_rival(sender)))
		return;
	world_fail("client %u, run %u: exit status %d, and there was no reason for it", number,
		   run_number, status);
}
