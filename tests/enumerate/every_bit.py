"""A journal cut at every byte, with every bit flipped, or with a forged header: the C and the independent reader say the same of each case.

The C is asked by enumerate_classify (opening, reading, verifying), the reader is tests/blackbox/journal_reader.py, which was
written from docs/journal.md alone. Here the two meet, and only their answers do: intact, end at record r, damaged at record r; the
first and the last record shown, and a checksum over all that is shown.

Two things make the reader fast, and neither changes what it says. Its checksums and frames are pure functions, and remembered. And a
bit of which it has never looked at cannot change its answer: it is a function of what it reads, and what it reads first does not
depend on that bit, nor, so, what it reads next. So only bits within what it reads of the undamaged journal are tried; the C is
asked about all of them.

Numbers in brackets are sections of docs/journal.md.
"""

import collections
import functools
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "blackbox"))
import journal_reader  # noqa: E402  (found beside this directory)

REMEMBERED = 1 << 14
plain_crc32c = journal_reader.crc32c
REMEMBERING = {"crc32c": functools.lru_cache(REMEMBERED)(plain_crc32c),
               "frames": functools.lru_cache(REMEMBERED)(journal_reader.frames)}


def remember():
    """From now on the reader remembers what it has computed."""
    for name, function in REMEMBERING.items():
        setattr(journal_reader, name, function)


SEGMENT = ".seg"
KINDS = ("cut", "flip", "forge")


# --- a journal in memory

class MemoryFile:
    def __init__(self, data, touched):
        self.data = data
        self.size = len(data)
        self.touched = touched

    def read(self, offset, size):
        if self.touched is not None:
            self.touched.append((offset, offset + size))
        return self.data[offset:offset + size]

    def beginnings(self, block):
        for at in range(block, self.size, block):
            yield self.read(at, journal_reader.Batch.SIZE)

    def close(self):
        pass


class Memory:
    """For journal_reader.Journal: a dict of files. touched: a dict of lists of what is read, or None."""

    def __init__(self, files, touched=None):
        self.files = files
        self.touched = touched

    def names(self):
        return list(self.files)

    def open(self, name):
        if name not in self.files:
            raise FileNotFoundError(name)
        return MemoryFile(self.files[name], None if self.touched is None else self.touched.setdefault(name, []))


def load(directory):
    files = {}
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), "rb") as file:
            files[name] = file.read()
    return files


# --- the reader's answers

class Answer(collections.namedtuple("Answer", "first last checksum count damage end of_streams")):
    """first, last, count: the records shown; 0: none. damage: the first damaged record, None: no damage. end: the record that was
    not found. of_streams: that damage is of streams only, all records are there: they do not go on, or a snapshot says otherwise."""

    def __str__(self):
        state = "ok" if self.damage is None else f"damaged at {self.damage}"
        return f"{self.first}..{self.last} ({self.count}) {self.checksum:08x} {state}, end {self.end}"


@functools.lru_cache(REMEMBERED)
def shown(batch, payloads, first, checksum):
    """What enumerate_classify's show_checksum makes of some records of a batch."""
    for i, payload in enumerate(payloads, first):
        gap = bool(batch.flags & journal_reader.GAP) and i == 0
        data = struct.pack("<Q16sQQQBBBQ16sI", batch.record + i, batch.stream, batch.first_seq + i, batch.time,
                           batch.gap_last if gap else 0, gap, batch.protocol, batch.family, batch.port, batch.address,
                           len(payload))
        checksum = plain_crc32c(payload, plain_crc32c(data, checksum))
    return checksum


def reader_says(files, touched=None):
    """None: there is no journal."""
    try:
        journal = journal_reader.Journal(Memory(files, touched))
    except FileNotFoundError:
        return None
    damage = journal.damages[0].record if journal.damages else None
    stop = journal_reader.INFINITY if damage is None else damage
    first = last = checksum = count = 0
    for segment, offset, batch, may_show in journal.batches:
        payloads = journal_reader.frames(batch, segment.read(offset + batch.SIZE, batch.bytes))[0] \
            if not batch.flags & journal_reader.LOST else []
        payloads = tuple(payloads[:max(0, min(may_show, stop - batch.record))])
        if payloads:
            first = first or batch.record
            last = batch.record + len(payloads) - 1
            count += len(payloads)
            checksum = shown(batch, payloads, 0, checksum)
    of_streams = all(found.segment.startswith("streams.snap") or "does not go on" in found.what for found in journal.damages)
    return Answer(first, last, checksum, count, damage, journal.end, damage is not None and of_streams)


def snapshot_covers(files):
    """(segment, record) of the newest valid snapshot, (0, 0): none [10]."""
    best = (0, 0)
    for name in ("streams.snap", "streams.snap.old"):
        try:
            snapshot = journal_reader.Snapshot(Memory(files), name)
            best = max(best, (snapshot.segment, snapshot.covers))
        except (FileNotFoundError, ValueError):
            pass
    return best


# --- the cases, in the order of enumerate_classify

def merged(ranges, size):
    found = []
    for begin, end in sorted(ranges):
        begin, end = min(begin, size), min(end, size)
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([begin, end])
    return found


def case_files(files, name, kind, position):
    data = files[name]
    if kind == "cut":
        data = data[:position]
    elif kind == "forge":
        data = forged(data, position)
    else:
        at = position // 8
        data = data[:at] + bytes([data[at] ^ 1 << position % 8]) + data[at + 1:]
    return {**files, name: data}


def batch_headers(data):
    """The offsets of all."""
    for at in range(4096, len(data), 4096):
        while data[at:at + 4] == b"RBAT":
            yield at
            at += 128 + int.from_bytes(data[at + 84:at + 88], "little")


def forged(data, position):
    """One bit of a batch header flipped, and its checksum made right [4]."""
    offset, bit = position
    header = bytearray(data[offset:offset + 128])
    header[bit // 8] ^= 1 << bit % 8
    header[4:8] = struct.pack("<I", plain_crc32c(data[40:56] + data[32:40] + header[8:]))
    return data[:offset] + bytes(header) + data[offset + len(header):]


def case_positions(files, name, kind, step):
    size = len(files[name])
    if kind == "forge":
        return [(offset, bit) for offset in batch_headers(files[name]) for bit in range(64, 1024, step)]
    return range(0, size if kind == "cut" else 8 * size, step)


def runs_of_reader(files, name, kind, step):
    """(count, position of the first, changed files or None for those that are as the undamaged ones) one behind the other."""
    positions = case_positions(files, name, kind, step)
    if kind in ("cut", "forge"):
        return [(1, position, case_files(files, name, kind, position)) for position in positions]
    touched = {}
    reader_says(files, touched)
    return flips(files, name, positions, merged(touched.get(name, []), len(files[name])))


def flips(files, name, positions, ranges):
    i = 0
    for begin, end in ranges + [[len(files[name])] * 2]:
        before = i
        while i < len(positions) and positions[i] < 8 * begin:
            i += 1
        if i > before:
            yield i - before, positions[before], None
        while i < len(positions) and positions[i] < 8 * end:
            yield 1, positions[i], case_files(files, name, "flip", positions[i])
            i += 1


# --- the C's answers

Said = collections.namedtuple("Said", "open read verify")


@functools.lru_cache(REMEMBERED)
def parse(line):
    """open: the next record; read: (first, last, checksum, damage); verify: (count, damage). Damage: None: none; "!": refused
    with no record named; ValueError: an answer that nobody may give."""
    fields = dict(field.split("=", 1) for field in line.split(" "))
    if "error" in line:
        raise ValueError(line)
    shown_records, checksum, read = fields["read"].split(",")
    first, last = shown_records.split("..")
    count, verify = fields["verify"].split(",")
    return Said(fields["open"], (int(first), int(last), int(checksum, 16), damage_of(read)), (int(count), damage_of(verify)))


def damage_of(text):
    return None if text == "ok" else int(text.removeprefix("damaged:"))


def lines_of_c(program, directory, name, kind, step):
    """(count, line) as the program prints them."""
    with subprocess.Popen([program, directory, name, kind, str(step)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            count, rest = line.rstrip("\n").split(" ", 1)
            yield int(count), rest
    if process.returncode != 0:
        raise RuntimeError(f"{program} {directory} {name} {kind}: exit {process.returncode}")


# --- do they agree?

class Comparison:
    """One file of a journal, cut or flipped."""

    def __init__(self, directory, name, kind):
        self.files = load(directory)
        self.name = name
        self.kind = kind
        self.classes = collections.Counter()
        self.differences = []
        self.cases = 0
        self.base = reader_says(self.files)

    def run(self, program, directory, step):
        said = lines_of_c(program, directory, self.name, self.kind, step)
        left, line = 0, None
        for count, position, files in runs_of_reader(self.files, self.name, self.kind, step):
            answer = self.base if files is None else reader_says(files)
            while count > 0:
                if left == 0:
                    left, line = next(said, (0, None))
                    if left == 0:
                        raise RuntimeError(f"{self.name} {self.kind}: too few answers")
                n = min(count, left)
                self.compare(position, n, files, answer, line)
                count -= n
                left -= n
                position = position + n * step if self.kind == "flip" else position
        if left or next(said, None):
            raise RuntimeError(f"{self.name} {self.kind}: too many answers")

    def compare(self, position, count, files, answer, line):
        self.cases += count
        try:
            self.classes[self.judge(files, answer, parse(line))] += count
        except ValueError as error:
            self.differences.append(f"{self.name} {self.kind} {position} (and {count - 1} more): {error}\n"
                                    f"    reader: {answer}\n    C: {line}")

    def judge(self, files, answer, said):
        """The class; ValueError when they differ."""
        if answer is None:
            raise ValueError("no journal")
        if answer.of_streams:  # verify tells; who reads or opens need not look at it, and shows the records [9, 10]
            if said.verify[1] is None:
                raise ValueError("verifying")
            return "damaged streams"
        if said.read != (answer.first, answer.last, answer.checksum, answer.damage):
            raise ValueError("reading")
        if said.verify[1] != answer.damage or answer.damage is None and said.verify[0] != answer.count:
            raise ValueError("verifying")
        special = self.judge_opening(files, answer, said.open)
        if answer.damage is not None:
            return "damaged" + special
        if answer[:3] == self.base[:3]:
            return "intact" + special
        return ("end" if answer.first in (0, self.base.first) else "begins later") + special

    def judge_opening(self, files, answer, said):
        name, _, number = said.partition(":")
        if self.opening_agrees(answer, name, int(number)):
            return ""
        # What the newest snapshot covers need not be read by a server [10].
        if answer.damage is not None and self.name.endswith(SEGMENT):
            segment, record = snapshot_covers(files)
            if int(self.name[:20]) <= segment and answer.damage <= record and said == f"ok:{self.base.end}":
                return " (where a snapshot covers it)"
            # It reads on from there, so of what is damaged it may name a later record.
            if answer.damage <= min(record, int(number)) and name == "damaged":
                return " (where a snapshot covers it)"
        raise ValueError("opening")

    @staticmethod
    def opening_agrees(answer, name, number):
        if answer.damage is None:
            return name == "ok" and number == answer.end
        return name == "damaged" and number in (0, answer.damage)  # 0: it names a segment's header, or what is missing


def compare(program, directory, name, kind, step=1):
    comparison = Comparison(directory, name, kind)
    comparison.run(program, directory, step)
    return comparison.cases, comparison.classes, comparison.differences
