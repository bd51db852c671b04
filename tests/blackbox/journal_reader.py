#!/usr/bin/env python3
"""An auditor of Roger's journal, written from docs/journal.md alone: it shares nothing with the program that it audits.

    journal_reader.py DIR        prints what `roger read DIR --format json` prints; what is damaged goes to stderr.
                                 Exit status: 0; 65 damage; 66 no journal there; 74 it can't be read

    with read_journal(path) as journal:
        journal.damages          what is damaged, in the order of records; none: intact
        journal.end              the first record number that is neither there nor promised, or not found
        for record in journal.records(): ...      those before the first damage

Numbers in brackets are sections of docs/journal.md. Everything is checked, every time. Speed: some 100 MB/s where
messages are large, some 30,000 messages a second where they are small. Not made for journals of many gigabytes.
"""

import base64
import collections
import fcntl
import functools
import json
import os
import re
import socket
import struct
import sys
import time

INFINITY = 1 << 64
HIGHEST = (1 << 63) - 1
FIRST, LAST, GAP, EPHEMERAL, FORGET, LOST = 1, 2, 4, 8, 16, 32
PROTOCOLS = {1: "roger", 2: "raw", 3: "whole", 4: "line"}


# --- CRC-32C [1]

def table_entry(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


TABLE = tuple(table_entry(n) for n in range(256))
SHORT = 1024  # bits: up to here, byte by byte is faster


@functools.lru_cache(None)
def powers(m):
    """x^m modulo the polynomial, for m = 2^k >= 32: the exponents that it has, each as 31 - exponent. (Bit 31 is x^0 in
    a reflected number, and bit 0 is x^31.)"""
    remainder = 1 << 30  # x
    for _ in range(m.bit_length() - 1):
        squared = 0
        for bit in range(31, -1, -1):  # Horner: from x^31 down
            squared = squared >> 1 ^ (0x82F63B78 if squared & 1 else 0)
            if remainder >> (31 - bit) & 1:
                squared ^= remainder
        remainder = squared
    return [31 - exponent for exponent in range(32) if remainder >> (31 - exponent) & 1]


def crc32c(data, crc=0):
    """crc32c(b, crc32c(a)) is that of a followed by b.

    Long data is one large number, a polynomial of n bits whose lowest bit is the highest power. Its upper part, from x^m
    on, is replaced by (upper part * (x^m mod P)), which is much shorter: shifts of large numbers are fast in Python,
    loops over bytes are not."""
    crc ^= 0xFFFFFFFF
    n = 8 * len(data)
    if n > SHORT:
        number = int.from_bytes(data, "little") ^ crc
        crc = 0
        while n > SHORT:
            m = 1 << ((n - 1).bit_length() - 1)
            upper = number & ((1 << (n - m)) - 1)
            number >>= n - m
            product = 0
            for shift in powers(m):
                product ^= upper << shift
            width = n - m + 31
            if width <= m:
                number ^= product << (m - width)
                n = m
            else:
                number = number << (width - m) ^ product
                n = width
        data = (number << (-n % 8)).to_bytes((n + 7) // 8, "little")
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


# --- what stands on the disk

class Batch(collections.namedtuple("Batch", "magic checksum f record durable stream first_seq writer time gap_last count "
                                            "bytes h_before h_after flags protocol family port address zero")):
    """A batch header [4]."""
    LAYOUT = struct.Struct("<4sIQQQ16sQQQQIIIIIBBH16s8s")
    SIZE = LAYOUT.size

    def sound(self):
        """What a header with a right checksum must be besides."""
        f, record, flags, count = self.f, self.record, self.flags, self.count
        if not (1 <= f <= record <= HIGHEST and self.durable < record and flags < 64 and self.zero == bytes(8)):
            return False
        if count == 0:
            return self.bytes == 0 and self.gap_last == 0 and not flags & (GAP | LOST) \
                and (self.stream == bytes(16)) == (not flags & FORGET)
        if flags & FORGET or self.stream == bytes(16) or record + count - 1 > HIGHEST \
                or not 1 <= self.first_seq <= self.first_seq + count - 1 <= HIGHEST:
            return False
        if flags & LOST:
            return self.bytes == 0 and not flags & GAP and self.gap_last == 0 and is_plain(self.stream)
        if 8 * count > self.bytes:
            return False
        if flags & GAP:
            return self.gap_last < self.first_seq and self.h_before == 0
        return self.gap_last == 0


assert Batch.SIZE == 128


def is_plain(stream):
    return stream[:8] == bytes(8)


def frames(batch, data):
    """The payloads of a batch's frames up to the first that is not good, and what is wrong, None when the batch is good [5]. Where
    no single frame is at fault there are none."""
    found = []
    at = 0
    h = batch.h_before
    for seq in range(batch.first_seq, batch.first_seq + batch.count):
        if at + 8 > len(data):
            return found, f"no place for the frame of number {seq}"
        size, checksum = struct.unpack_from("<II", data, at)
        if at + 8 + size > len(data):
            return found, f"the frame of number {seq} is too long"
        payload = data[at + 8:at + 8 + size]
        if crc32c(batch.stream + struct.pack("<QI", seq, size) + payload) != checksum:
            return found, f"frame checksum of number {seq}"
        h = crc32c(data[at + 4:at + 8], h)
        found.append(payload)
        at += 8 + size
    if at != batch.bytes:
        return [], "bytes behind the last frame"
    if h != batch.h_after:
        return [], "history checksum"
    return found, None


class File:
    """A file of the journal."""

    def __init__(self, path):
        self.file = open(path, "rb", buffering=0)
        self.size = os.fstat(self.file.fileno()).st_size

    def close(self):
        self.file.close()

    def read(self, offset, size):
        """Fewer bytes only at the end of the file."""
        parts = []
        while size > 0:
            data = os.pread(self.file.fileno(), size, offset)
            if not data:
                break
            parts.append(data)
            offset += len(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def beginnings(self, block):
        """The first bytes of all blocks but block 0, as many as a batch header has; those that cannot be one may be left out."""
        chunk = max(1 << 20, block)
        for start in range(0, self.size, chunk):
            data = self.read(start, chunk)
            if b"RBAT" in data:
                for at in range(block if start == 0 else 0, len(data), block):
                    yield data[at:at + Batch.SIZE]


class Directory:
    """Where the files are [2]. Anything with these two functions will do."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def names(self):
        return os.listdir(self.path)

    def open(self, name):
        return File(os.path.join(self.path, name))

    def __str__(self):
        return self.path


class Segment:
    """One file [3]. f: None when no header names it; bound: see section 7."""
    HEADER = struct.Struct("<8sII16sQ16sIIQQ")
    assert HEADER.size == 80

    def __init__(self, directory, name):
        self.name = name
        self.index = int(name[:20])
        self.file = directory.open(name)
        self.read = self.file.read
        self.f = None
        self.bound = INFINITY
        self.durable = 0
        self.valid = self.read_header()
        if self.valid:
            self.search()

    def read_header(self):
        data = self.read(0, 80)
        if len(data) < 80:
            return False
        magic, version, checksum, self.journal, index, self.salt, self.block, zero, _, zeros = self.HEADER.unpack(data)
        self.seed = crc32c(self.salt + struct.pack("<Q", self.index))
        return magic == b"ROGERSEG" and version == 1 and checksum == crc32c(data[:12] + data[16:]) \
            and index == self.index and self.block in (4096, 8192, 16384, 32768, 65536) and zero == 0 and zeros == 0

    def batch(self, data):
        """The valid header that these bytes begin with, or None [4]."""
        if len(data) < Batch.SIZE or data[:4] != b"RBAT":
            return None
        batch = Batch._make(Batch.LAYOUT.unpack_from(data))
        return batch if crc32c(data[8:Batch.SIZE], self.seed) == batch.checksum and batch.sound() else None

    def search(self):
        """All beginnings of blocks: what f is, and what is claimed [7, 9]."""
        for data in self.file.beginnings(self.block):
            batch = self.batch(data)
            if batch:
                self.f = self.f or batch.f
                self.durable = max(self.durable, batch.durable)


Entry = collections.namedtuple("Entry", "stream seq record writer time h flags")


class Snapshot:
    """A valid snapshot [10]; anything else raises ValueError."""

    def __init__(self, directory, name):
        self.name = name
        data = read_file(directory, name)
        if len(data) < 80:
            raise ValueError("too short")
        magic, version, checksum, self.journal, self.segment, self.covers, count, entries, zero = \
            struct.unpack_from("<8sII16sQQQI20s", data)
        if magic != b"ROGERSNP" or version != 1 or checksum != crc32c(data[:12] + data[16:80]) or zero != bytes(20) \
                or len(data) != 80 + 64 * count or crc32c(data[80:]) != entries:
            raise ValueError("not valid")
        if self.covers > HIGHEST:
            raise ValueError("not valid")
        self.entries = {}
        self.nonsense = []  # entries that are damage
        for fields in struct.iter_unpack("<16sQQQQII8x", data[80:]):
            entry = Entry._make(fields)
            if not (1 <= entry.seq <= HIGHEST and 1 <= entry.record <= self.covers) or entry.stream in self.entries:
                self.nonsense.append(entry)
            self.entries[entry.stream] = entry


# --- what it means

Record = collections.namedtuple("Record", "record stream seq time peer protocol size payload gap")
Record.__doc__ = """gap: the stream's last number before a recorded gap, else None. stream: hex digits;
time: ns since 1970."""


class Damage(collections.namedtuple("Damage", "record segment offset what")):
    """record: the first one that is missing or wrong. segment, offset: where that was seen."""

    def __str__(self):
        return f"damage: record {self.record}: segment {self.segment} offset {self.offset}: {self.what}"


class Journal:
    """One look at a journal, from the first byte to the last: section 12."""

    def __init__(self, path, shown=INFINITY):
        """shown: records beyond are none of our business, since a server is running."""
        self.directory = path if hasattr(path, "names") else Directory(path)
        self.shown = shown
        self.damages = []
        self.batches = []  # (segment, offset, batch, count): those that the walk has met, and how many of its records may be shown
        self.broken = None  # (segment, offset, batch, payloads): that where it has stopped, with a whole header [11]
        self.claim = read_lock(self.directory)
        self.list()
        self.find_bounds()
        self.check_beginning()
        self.walk()
        self.damages.sort(key=lambda damage: damage.record)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for segment in self.segments:
            segment.file.close()

    @property
    def damage(self):
        return self.damages[0] if self.damages else None

    def damaged(self, record, segment, offset, what):
        self.damages.append(Damage(record, getattr(segment, "name", segment), offset, what))

    # step 1

    def list(self):
        names = self.directory.names()
        self.segments = []
        for name in sorted(names):
            if re.fullmatch("[0-9]{20}[.]seg", name) and 1 <= int(name[:20]) < 1 << 64:
                try:
                    self.segments.append(Segment(self.directory, name))
                except FileNotFoundError:
                    pass  # a running server has deleted it
        self.snapshots = []
        for name in ("streams.snap", "streams.snap.old"):
            if name in names:
                try:
                    self.snapshots.append(Snapshot(self.directory, name))
                except FileNotFoundError:
                    pass  # a running server is just making a newer one; the older one is there
                except ValueError:
                    pass  # no damage by itself
        if not (self.segments or self.snapshots or "lock" in names):
            raise FileNotFoundError(f"no journal in {self.directory}")

    # steps 2 and 3

    def find_bounds(self):
        bound = INFINITY
        self.live = []
        for segment in reversed(self.segments):
            segment.bound = bound
            if segment.f is not None and segment.f < bound:
                self.live.insert(0, segment)
                bound = segment.f
        self.claim = max([self.claim] + [s.durable for s in self.segments] + [s.covers for s in self.snapshots])
        self.lowest = bound if self.live else None
        self.covering = []  # the snapshots that speak for what has been given up
        if self.live:
            self.start = self.lowest
            self.covering = [s for s in self.snapshots if s.covers >= self.lowest - 1]
        else:
            self.start = 1 + max([0] + [s.covers for s in self.snapshots])

    def doubt(self, segment):
        """Records from here on may have stood in it, when nothing is known of it."""
        return 1 + max([0] + [s.durable for s in self.segments if s.index < segment.index]
                       + [s.covers for s in self.snapshots if s.segment < segment.index])

    def check_beginning(self):
        uncovered = bool(self.live) and self.lowest > 1 and not self.covering
        first = min((s.index for s in self.segments if self.live and s.f == self.lowest), default=0)
        for segment in self.segments:
            if segment.index < first and segment.f is None and segment.bound > self.doubt(segment):
                self.damaged(1 if uncovered else self.doubt(segment), segment, 0,
                             "no batch header" if segment.valid else "segment header")
        self.checked = first
        if uncovered:
            self.damaged(1, self.live[0], 0, f"records 1..{self.lowest - 1} are missing, and no snapshot covers them")
        if self.segments and not (self.live or self.snapshots) and self.segments[0].index != 1:
            self.damaged(1, self.segments[0], 0, "the first segments are gone")
        ids = [s.journal for s in self.segments if s.valid]
        for thing in self.segments + self.snapshots:
            if getattr(thing, "valid", True) and thing.journal != (ids or [thing.journal])[0]:
                self.damaged(self.start, thing.name, 0, "of another journal")
        for snapshot in self.snapshots:
            for entry in snapshot.nonsense:
                self.damaged(snapshot.covers + 1, snapshot.name, 0, f"the entry of stream {entry.stream.hex()} makes no sense")

    # step 4

    def walk(self):
        self.streams = {}  # id: the stream's last state, as a snapshot's entry; None: forgotten
        e = self.start
        self.compared = []
        where = (self.segments[-1].name if self.segments else "none", 0, "there is no segment")
        for segment in self.live:
            for snapshot in self.covering:
                if snapshot.segment < segment.index and snapshot.covers < e:
                    self.compare(snapshot)
            e, where = self.walk_segment(segment, e)
            if e != segment.bound:
                break
        self.end = e
        highest = max((s.index for s in self.segments if s.f is not None), default=0)
        for segment in self.segments:
            if segment.valid or segment.index < self.checked:
                continue
            doubt = self.doubt(segment)
            if segment.bound > doubt:
                self.damaged(e if segment.index > highest else min(e, doubt), segment, 0, "segment header")
        if e <= min(self.claim, self.shown):
            self.damaged_at(e, where)
        elif self.snapshots and self.shown == INFINITY and \
                max([0] + [s.index for s in self.segments]) <= max(s.segment for s in self.snapshots):
            self.damaged(e, "none", 0, "no segment behind the snapshot")
        if not self.damages:
            for snapshot in self.covering:
                self.compare(snapshot)

    def damaged_at(self, e, where):
        """Of a damaged batch the frames in front of the first bad one are shown, as far as they are promised [11]."""
        if not self.broken:
            self.damaged(e, *where)
            return
        segment, offset, batch, payloads = self.broken
        self.batches.append((segment, offset, batch, min(len(payloads), min(self.claim, self.shown) - e + 1)))
        self.damaged(e + len(payloads), segment, offset + Batch.SIZE + sum(8 + len(payload) for payload in payloads), where[2])

    def walk_segment(self, segment, e):
        """Up to the record e that is not found here: (e, (segment, offset, why))."""
        offset = segment.block
        first = True
        while True:
            batch = segment.batch(segment.read(offset, Batch.SIZE))
            if batch is None:
                return e, (segment, offset, "no valid batch header")
            self.claim = max(self.claim, batch.durable)
            if bool(batch.flags & FIRST) != first:
                return e, (segment, offset, "not the first batch of its commit" if first else "a commit's end is missing")
            end = offset + Batch.SIZE + batch.bytes
            if batch.count == 0:
                forget = bool(batch.flags & FORGET)
                if batch.record != e or e + forget > segment.bound:
                    return e, (segment, offset, f"of record {batch.record}")
                if forget:
                    self.streams[batch.stream] = None
            else:
                if batch.record != e or e + batch.count > segment.bound:
                    return e, (segment, offset, f"records {batch.record}..{batch.record + batch.count - 1}")
                for snapshot in self.covering:
                    if snapshot.covers < e:
                        self.compare(snapshot)
                if not batch.flags & LOST:
                    good, wrong = frames(batch, segment.read(offset + Batch.SIZE, batch.bytes))
                    if wrong:
                        self.broken = (segment, offset, batch, good)
                        return e, (segment, offset, wrong)
                    self.follow(segment, offset, batch)
                self.batches.append((segment, offset, batch, batch.count))
                e += batch.count
            first = bool(batch.flags & LAST)
            offset = -(-end // segment.block) * segment.block if first else end

    # streams [6]

    def follow(self, segment, offset, batch):
        if not any(self.goes_on(batch, state) for state in self.states(batch)):
            self.damaged(batch.record, segment, offset, f"stream {batch.stream.hex()}: number {batch.first_seq} does not go on")
        self.streams[batch.stream] = Entry(batch.stream, batch.first_seq + batch.count - 1, batch.record + batch.count - 1,
                                           batch.writer, batch.time, batch.h_after, batch.flags & EPHEMERAL)

    def states(self, batch):
        """The states that the batch may go on from. None: it begins; "any": nothing is known."""
        if batch.stream in self.streams:
            state = self.streams[batch.stream]
            return [state, None] if state and state.flags & EPHEMERAL else [state]
        if self.lowest == 1:
            return [None]
        if is_plain(batch.stream):  # no snapshot has it; its id says when it began
            return [None] if struct.unpack_from("<Q", batch.stream, 8)[0] >= self.lowest else ["any"]
        known = [s.entries.get(batch.stream) for s in self.covering]
        if any(entry and entry.record < self.lowest for entry in known):
            return [None] + [entry for entry in known if entry and entry.record < self.lowest]
        if any(not entry and batch.record > s.covers for entry, s in zip(known, self.covering)):
            return [None]
        return ["any"]

    @staticmethod
    def goes_on(batch, state):
        if state == "any":
            return True
        last, h = (state.seq, state.h) if state else (0, 0)
        if batch.flags & GAP:
            return batch.first_seq > last and batch.gap_last == last
        return batch.first_seq == last + 1 and batch.h_before == h

    def compare(self, snapshot):
        """The walk has met all that this snapshot covers: does it say the same [9, 10]?"""
        if snapshot in self.compared:
            return
        self.compared.append(snapshot)
        e = snapshot.covers + 1
        for stream, entry in snapshot.entries.items():
            state = self.streams.get(stream)
            if is_plain(stream):
                self.damaged(e, snapshot.name, 0, f"has the plain stream {stream.hex()}")
            elif state and not self.same(entry, state) or entry.record >= self.lowest and stream not in self.streams:
                self.damaged(e, snapshot.name, 0, f"stream {stream.hex()} is not as in the records")
        for stream, state in self.streams.items():
            if state and stream not in snapshot.entries and not is_plain(stream) and not state.flags & EPHEMERAL:
                self.damaged(e, snapshot.name, 0, f"stream {stream.hex()} is missing")

    @staticmethod
    def same(entry, state):
        """The time in an entry may be later than the message's."""
        return entry.time >= state.time and entry._replace(time=state.time) == state

    # step 5

    def records(self):
        stop = min([self.shown + 1] + [damage.record for damage in self.damages])
        for segment, offset, batch, count in self.batches:
            if batch.flags & LOST:
                continue
            good, wrong = frames(batch, segment.read(offset + Batch.SIZE, batch.bytes))
            if wrong and count == batch.count or len(good) < count:
                raise OSError(f"segment {segment.name} offset {offset} has changed: {wrong}")
            for i, payload in enumerate(good[:count]):
                if batch.record + i >= stop:
                    return
                yield Record(batch.record + i, batch.stream.hex(), batch.first_seq + i, batch.time, peer(batch),
                             PROTOCOLS.get(batch.protocol, "unknown"), len(payload), payload,
                             batch.gap_last if batch.flags & GAP and i == 0 else None)


def peer(batch):
    if batch.family == 1:
        return "unix"
    if batch.family == 4:
        return f"{socket.inet_ntop(socket.AF_INET, batch.address[:4])}:{batch.port}"
    if batch.family == 6:
        return f"[{socket.inet_ntop(socket.AF_INET6, batch.address)}]:{batch.port}"
    return "-"


def read_file(directory, name):
    file = directory.open(name)
    try:
        return file.read(0, file.size)
    finally:
        file.close()


def read_lock(directory):
    """The number in the lock file [11]."""
    try:
        data = read_file(directory, "lock")[:24]
    except FileNotFoundError:
        return 0
    if len(data) < 24:
        return 0
    number, _, check = struct.unpack("<QQQ", data)
    return number if check == ~number & 2 ** 64 - 1 else 0


def server_runs(path):
    try:
        with open(os.path.join(path, "lock"), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read_journal(path):
    """Beside a running server, what is durable; nothing is called damage before the third look."""
    for attempt in (1, 2, 3):
        shown = read_lock(Directory(path)) if server_runs(path) else INFINITY
        journal = Journal(path, shown)
        if shown == INFINITY or not journal.damages or attempt == 3:
            return journal
        journal.__exit__()
    return None


# --- the command

def json_line(record):
    line = {"record": record.record, "stream": record.stream, "seq": record.seq}
    if record.gap is not None:
        line["gap_after"] = record.gap
    seconds, ns = divmod(record.time, 1_000_000_000)
    line["time"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{ns:09}Z"
    line.update(peer=record.peer, protocol=record.protocol, size=record.size)
    try:
        line["payload"] = record.payload.decode()
    except UnicodeDecodeError:
        line["payload_base64"] = base64.b64encode(record.payload).decode()
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def main(arguments):
    if len(arguments) != 1:
        print("usage: journal_reader.py DIR", file=sys.stderr)
        return 64
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        with read_journal(arguments[0]) as journal:
            for record in journal.records():
                print(json_line(record))
            for damage in journal.damages:
                print(f"journal_reader: {damage}", file=sys.stderr)
            return 65 if journal.damages else 0
    except FileNotFoundError as error:
        print(f"journal_reader: {error}", file=sys.stderr)
        return 66
    except OSError as error:
        print(f"journal_reader: {error}", file=sys.stderr)
        return 74


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
