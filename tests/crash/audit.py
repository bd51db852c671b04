"""The audit: the journal, read by an independent reader and by Roger's own, against the ledger.

    audit(journal, ledger, roger)      a line on what was found; raises Fault

    1. `roger verify`, `roger read` and journal_reader.py all come to an end without damage, and both readers show
       the same.
    2. Every record is a message that somebody sent, unchanged to the last byte; a series' messages stand in order,
       once, without a gap.
    3. Every acknowledged message is there, under the record number that its acknowledgement told. Only records
       below the lowest one may be gone, when there is retention, and they must be few enough.
    4. What an earlier audit has shown is still there, under the same number.

Nothing of it is taken from the program that is audited.
"""

import json
import os
import subprocess

import journal_reader
from ledger import Fault

PATIENCE_S = 60


def run(roger, *arguments):
    return subprocess.run([roger, *arguments], capture_output=True, timeout=PATIENCE_S, check=False)


def must_end_well(done, what):
    if done.returncode != 0:
        raise Fault(f"{what}: exit {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
                    f"{done.stdout.decode(errors='replace')[-300:] if what.endswith('verify') else ''}")


def audit(journal, ledger, roger, keep_bytes=0):
    ledger.check()
    records = read_twice(journal, roger, keep_bytes)
    lowest = records[0].record if records else 1
    by_number = {}
    for index, record in enumerate(records):
        if record.record != lowest + index:
            raise Fault(f"record {record.record} follows {lowest + index - 1}")
        if record.gap is not None:
            raise Fault(f"record {record.record}: a gap that nobody accepted")
        by_number[record.record] = record
    check_retention(journal, lowest, keep_bytes)
    check_native(records, lowest, ledger)
    check_plain(records, lowest, ledger)
    check_told(by_number, lowest, ledger)
    check_seen(by_number, lowest, ledger)
    return f"{len(records)} records from {lowest} on"


def read_twice(journal, roger, keep_bytes):
    """The records, by the independent reader. It looks second: the oldest ones may have been deleted by then."""
    must_end_well(run(roger, "verify", journal), "roger verify")
    shown = run(roger, "read", journal, "--format", "json")
    must_end_well(shown, "roger read")
    with journal_reader.read_journal(journal) as reader:
        if reader.damages:
            raise Fault(f"journal_reader.py: {reader.damages[0]}")
        records = list(reader.records())
    theirs = [json.loads(line) for line in shown.stdout.splitlines()]
    deleted = len(theirs) - len(records)
    if deleted < 0 or (deleted and not keep_bytes) or (theirs and not records):
        raise Fault(f"roger read shows {len(theirs)} records, journal_reader.py {len(records)}")
    for record, other in zip(records, theirs[deleted:]):
        if json.loads(journal_reader.json_line(record)) != other:
            raise Fault(f"the readers differ at record {record.record}: {str(other)[:200]}")
    return records


def check_retention(journal, lowest, keep_bytes):
    """What is kept must not be much less than what was asked for: the files count, as they are on the disk."""
    if lowest == 1:
        return
    if not keep_bytes:
        raise Fault(f"records before {lowest} are gone, and nobody asked for retention")
    kept = 0
    for entry in os.scandir(journal):
        if entry.name.endswith(".seg"):
            kept += entry.stat().st_size
    if kept < keep_bytes // 2:
        raise Fault(f"{kept} bytes are left of {keep_bytes} to keep")


def check_native(records, lowest, ledger):
    last = {}
    for record in records:
        if record.protocol != "roger":
            continue
        stream = ledger.streams.get(record.stream)
        if stream is None:
            raise Fault(f"record {record.record} is of stream {record.stream}, which nobody sent")
        if record.seq > stream.sent:
            raise Fault(f"record {record.record}: {stream.key} {record.seq}; only {stream.sent} were sent")
        if record.payload != stream.payload(record.seq):
            raise Fault(f"record {record.record}: {stream.key} {record.seq} is not what was sent")
        before = last.get(record.stream)
        if before is None:
            if record.seq != 1 and lowest == 1:
                raise Fault(f"record {record.record}: {stream.key} begins with {record.seq}")
        elif record.seq != before + 1:
            raise Fault(f"record {record.record}: {stream.key} {record.seq} follows {before}")
        last[record.stream] = record.seq
    for identity, stream in ledger.streams.items():
        if last.get(identity, 0) < stream.acked and \
                (identity in last or stream.told.get(stream.acked, lowest) >= lowest):
            raise Fault(f"{stream.key}: {stream.acked} acknowledged, {last.get(identity, 'none')} found")


def check_plain(records, lowest, ledger):
    """A connection's records, joined, are a beginning of what it sent."""
    found = {}  # stream -> [Plain, count, bytes of raw]
    keys = set()
    for record in records:
        if record.protocol == "roger":
            continue
        if record.stream not in found:
            plain = ledger.plain.get(record.payload.split(b" ", 1)[0].decode(errors="replace"))
            if plain is None or plain.protocol != record.protocol:
                raise Fault(f"record {record.record}: nobody sent this: {record.payload[:80]}")
            if plain.key in keys:
                raise Fault(f"record {record.record}: {plain.key} is there twice")
            keys.add(plain.key)
            if record.seq != 1 and lowest == 1:
                raise Fault(f"record {record.record}: {plain.key} begins with {record.seq}")
            found[record.stream] = [plain, record.seq - 1, b""]
        entry = found[record.stream]
        plain, before, joined = entry
        if record.seq != before + 1:
            raise Fault(f"record {record.record}: {plain.key} {record.seq} follows {before}")
        if plain.protocol == "raw":
            joined += record.payload
            good = plain.payload(1).startswith(joined)
        else:
            good = record.seq <= plain.sent and record.payload == plain.payload(record.seq)
        if not good:
            raise Fault(f"record {record.record}: {plain.key} {record.seq} is not what was sent")
        found[record.stream] = [plain, record.seq, joined]
    check_plain_acked(found, lowest, ledger)


def check_plain_acked(found, lowest, ledger):
    complete = {}
    for plain, count, joined in found.values():
        complete[plain.key] = count if plain.protocol != "raw" else int(joined == plain.payload(1))
    for plain in ledger.plain.values():
        if complete.get(plain.key, 0) < plain.acked:
            gone = plain.told.get(plain.acked, plain.after + 1) < lowest
            if not gone or plain.key in complete:
                raise Fault(f"{plain.key}: {plain.acked} acknowledged, {complete.get(plain.key, 'none')} found")


def check_told(by_number, lowest, ledger):
    series = [(stream, identity) for identity, stream in ledger.streams.items()]
    series += [(plain, None) for plain in ledger.plain.values()]
    for one, identity in series:
        for number, told in one.told.items():
            if told < lowest:
                continue
            record = by_number.get(told)
            if record is None or record.payload != one.payload(number) or record.seq != number \
                    or identity not in (None, record.stream):
                raise Fault(f"{one.key} {number} was acknowledged as record {told}; there is "
                            f"{record and (record.seq, record.payload[:60])}")
        one.told = {number: told for number, told in one.told.items() if told >= lowest or number == one.acked}


def check_seen(by_number, lowest, ledger):
    for number, what in ledger.seen.items():
        if number < lowest:
            continue
        record = by_number.get(number)
        if record is None or (record.stream, record.seq) != what:
            raise Fault(f"record {number} was {what} and is {record and (record.stream, record.seq)} now")
    ledger.seen = {number: (record.stream, record.seq) for number, record in by_number.items()}
