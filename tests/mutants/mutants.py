"""The mutants: one row each. What it breaks, whether the simulator can see that, and which test sees it anyway.

A number is what MUTANT() in src/ and the environment variable ROGER_MUTANT say. Where a rule can be got wrong in several ways,
its mutant has several rows: M27a, M27b, M27c are 27, 127 and 227. Where two guards stand before one rule, the mutant takes both
away, so that it is the rule that is tested: `places` names them.

`sim`: looked for by the simulator first. `seed`: one that is known to find it, tried before the others; only worth noting where
it takes hundreds. `blind`: why the simulator cannot see it. `tests`: found by these, too, each alone."""

from typing import NamedTuple


class Unit(NamedTuple):
    """A unit test: the program's name in meson, and the test in it."""
    program: str
    name: str


class Blackbox(NamedTuple):
    """A test of the program itself: file and test below tests/blackbox."""
    file: str
    name: str


class Mutant(NamedTuple):
    name: str
    number: int
    rule: str
    places: str
    tests: tuple
    sim: bool = True
    seed: int = 0
    mode: str = ""  # the simulator's; "": as the seed draws it
    blind: str = ""


FORGED = "no server of ours writes such a thing, and bits that flip do not make it"
REPLACED = "needs a journal that was replaced by another one, with other messages of the same run under the same numbers"

MUTANTS = (
    Mutant("M1", 1, "J1: acknowledged before the write has completed",
           "journal.c: journal_durable",
           (Unit("journal_rule", "test_a_commit_that_overtakes"), Unit("journal_journal", "test_durable_only_when_written"))),
    Mutant("M2", 2, "J1: durable goes along completed commits, not along contiguous ones",
           "staging.c: staging_complete",
           (Unit("journal_rule", "test_a_commit_that_overtakes"),)),
    Mutant("M3a", 3, "a segment's new name is not flushed",
           "store.c: store_publish_segment",
           (Unit("journal_order", "test_a_life"),)),
    Mutant("M3b", 103, "a snapshot's new name is not flushed",
           "snapshot.c: snapshot_write",
           (Unit("journal_order", "test_a_life"),)),
    Mutant("M4", 4, "J2: a flush is tried again after an error",
           "journal.c: journal_written",
           (Unit("journal_journal", "test_failed_write_is_final"),)),
    Mutant("M5", 5, "J2: a short write is taken as whole",
           "io_writer.c: write_durably",
           (Unit("io_contract", "test_short_writes"),),
           sim=False, blind="it is in the real io door, and the simulator brings its own"),
    Mutant("M6", 6, "J3: the dead part of an older segment is read",
           "walk.c: judge, both its checks against the bound",
           (Unit("journal_walk", "dead_parts"),)),
    Mutant("M7", 7, "J6: a new segment is published before its copies are flushed",
           "store.c: store_publish_segment",
           (Unit("journal_order", "test_a_life"),)),
    Mutant("M8", 8, "J4: the end is the first bad place; claims beyond it are not looked for",
           "open.c: walk_live",
           (Unit("journal_journal", "test_damage_is_refused"),), mode="corruption"),
    Mutant("M9a", 9, "a claim that reaches into its own batch is believed",
           "format.c: batch_fits",
           (Unit("journal_format", "batch_values_are_checked"),),
           sim=False, blind=FORGED),
    Mutant("M9b", 109, "a batch claims what stands before it, not what is durable",
           "staging.c: stamp",
           (Unit("journal_rule", "test_what_a_commit_claims"),)),
    Mutant("M10", 10, "a second session of a stream that has no entry yet does not fence the first",
           "stream.c: fence_older, and journal.c: check_stream (the epoch)",
           (Unit("journal_journal", "test_order_and_fences"),), seed=1766),
    Mutant("M11", 11, "WELCOME is sent before what was appended of its stream is durable",
           "stream.c: session_hello",
           (Blackbox("test_server_sessions.py", "test_heartbeats_while_the_disk_is_slow"),)),
    Mutant("M12", 12, "the fence is forgotten",
           "stream.c: fence_older, and journal.c: check_stream (the epoch)",
           (Unit("journal_journal", "test_order_and_fences"),)),
    Mutant("M13", 13, "a gap is accepted silently",
           "stream.c: choose_next",
           (Blackbox("test_protocol_client.py", "test_gap_by_hand"),)),
    Mutant("M14a", 14, "the history checksum of a batch on the disk is not checked",
           "format.c: batch_frames_check",
           (Unit("journal_format", "frames_are_checked"),),
           sim=False, blind=FORGED),
    Mutant("M14b", 114, "a client does not compare the history checksum at a later WELCOME",
           "sender.c: welcome_again",
           (Unit("client_sender", "every_later_welcome"),),
           sim=False, blind=REPLACED),
    Mutant("M14c", 214, "a client does not compare the history checksum when it resumes",
           "sender.c: compare",
           (Unit("client_sender", "resume"),)),
    Mutant("M15", 15, "a snapshot is written before durable has reached its end",
           "store.c: snapshot_is_due",
           (Unit("journal_journal", "test_snapshot_waits_for_durable"),)),
    Mutant("M16", 16, "retention does not wait for a snapshot",
           "store.c: retirable",
           (Unit("journal_rule", "test_retention_waits_for_a_snapshot"),)),
    Mutant("M17", 17, "J7: a segment of an earlier process is reused",
           "store.c: may_reuse",
           (Unit("journal_rule", "test_segments_of_others_are_not_reused"),)),
    Mutant("M18", 18, "the salt is left out of the header checksum",
           "format.c: batch_checksum",
           (Unit("journal_format", "a_batch_belongs_to_its_segment"),)),
    Mutant("M19a", 19, "J9: a frame's size is used before it is checked against its batch",
           "format.c: batch_frames_check",
           (Unit("journal_format", "frames_are_checked"),),
           sim=False, blind="the checksum of what lies behind the batch is wrong, too, so only the reading itself is a fault"),
    Mutant("M19b", 119, "J9: a frame's size is used before it is checked against the limit",
           "native.c: check_frame",
           (Unit("wire_golden", "in_one_piece"),)),
    Mutant("M20", 20, "a parked session is never resumed",
           "server.c: resume_parked",
           (Blackbox("test_parked.py", "test_a_parked_session_goes_on"),)),
    Mutant("M21", 21, "a receive buffer is returned twice",
           "session.c: drop_input",
           (Blackbox("test_server_review.py", "test_lines_before_one_that_is_too_long_are_answered"),)),
    Mutant("M22", 22, "a client trims on an ack of what it has not sent",
           "sender.c: apply_ack",
           (Unit("client_sender", "acks"),)),
    Mutant("M23", 23, "an ephemeral stream is resumed after its limit",
           "sender.c: sender_expired",
           (Unit("client_sender", "an_ephemeral_stream_expires"),)),
    Mutant("M24", 24, "J8: the seal is skipped",
           "staging.c: staging_put_seal",
           (Unit("journal_journal", "test_seal"),)),
    Mutant("M25", 25, "a zero step is started on a segment that has had a commit",
           "store.c: may_zero and store_roll",
           (Unit("journal_rule", "test_no_zeros_behind_a_commit"),)),
    Mutant("M26", 26, "the writer is not compared at WELCOME",
           "sender.c: welcome_again",
           (Unit("client_sender", "every_later_welcome"),)),
    Mutant("M27a", 27, "J11: a reader flushes before it reads",
           "reader.c: vouch_for",
           (Unit("journal_reader_claim", "each_read_is_flushed_behind_it"),)),
    Mutant("M27b", 127, "J11: a reader shows without the lock",
           "reader.c: vouch_for and may_show",
           (Unit("journal_reader_claim", "not_beside_a_server"),)),
    Mutant("M27c", 227, "J11: a reader takes a segment's existence as a claim",
           "reader.c: reload",
           (Unit("journal_reader_claim", "a_segment_is_no_claim"),)),
    Mutant("M28", 28, "a commit is written into a spare whose name is not durable",
           "store.c: store_publish_segment",
           (Unit("journal_order", "test_a_life"),)),
    Mutant("M29", 29, "J4: opening believes what it has not flushed",
           "open.c: flush_sources",
           (Unit("journal_order", "test_what_opening_copies_from"),)),
    Mutant("M30", 30, "J4: opening does not flush the directory first",
           "open_lock.c: opening_lock",
           (Unit("journal_order", "test_a_life"),)),
    Mutant("M31", 31, "the header of a reused segment is written before the directory is flushed",
           "store.c: run_reuse",
           (Unit("journal_order", "test_a_life"),)),
    Mutant("M32", 32, "retention goes by the newest snapshot, not by the older one",
           "store.c: retirable",
           (Unit("journal_rule", "test_retention_waits_for_both_snapshots"),),
           sim=False, blind="only a newest snapshot that was damaged makes a difference, and then damage is reported"),
)
