#!/usr/bin/env python3
"""Makes the golden journal of docs/journal.md, "A worked example", from the words of that document alone: it shares nothing with
the C code. Writes one .hex file for each file of the journal: a first line with its name and size, then the lines of 16
bytes that are not all zero.

usage: make.py [--check]    (with --check: writes nothing, exit status 1 if a file differs)"""

import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK = 4096
JOURNAL_ID = bytes(range(16))
STREAM = bytes.fromhex("80112233445566778899aabbccddeeff")
WRITER = 0x0102030405060708
TIME = 1_700_000_000_000_000_000
FIRST, LAST, GAP = 1, 2, 4


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def plain(number):
    return struct.pack("<QQ", 0, number)


def frame(stream, seq, payload):
    checksum = crc32c(stream + struct.pack("<QI", seq, len(payload)) + payload)
    return struct.pack("<II", len(payload), checksum) + payload


def history(h, frames):
    for one in frames:
        h = crc32c(one[4:8], h)
    return h


def page(magic, rest):
    """A segment or snapshot header: magic, version, checksum, 64 bytes."""
    assert len(rest) == 64
    head = magic + struct.pack("<I", 1)
    return head + struct.pack("<I", crc32c(head + rest)) + rest


class Segment:
    def __init__(self, index, salt, f):
        self.index, self.salt, self.f = index, salt, f
        header = page(b"ROGERSEG", JOURNAL_ID + struct.pack("<Q", index) + salt +
                      struct.pack("<IIQQ", BLOCK, 0, TIME, 0))
        self.data = header.ljust(BLOCK, b"\0")

    def batch(self, record, durable, stream, first_seq, frames, h, flags, protocol=1, gap_last=0, peer=(0, 0, b"")):
        """Appends a batch directly behind what is there; with LAST the commit is padded. Returns h behind it."""
        body = b"".join(frames)
        after = history(h, frames)
        family, port, address = peer
        rest = (struct.pack("<QQQ", self.f, record, durable) + stream +
                struct.pack("<QQQQ", first_seq, WRITER if protocol == 1 and frames else 0, TIME + record, gap_last) +
                struct.pack("<IIIII", len(frames), len(body), h, after, flags) +
                struct.pack("<BBH", protocol, family, port) + address.ljust(16, b"\0") + bytes(8))
        assert len(rest) == 120
        checksum = crc32c(self.salt + struct.pack("<Q", self.index) + rest)
        self.data += b"RBAT" + struct.pack("<I", checksum) + rest + body
        if flags & LAST:
            self.data += bytes(-len(self.data) % BLOCK)
        return after


def journal():
    ipv4 = (4, 55760, bytes([127, 0, 0, 1]))
    one = Segment(1, bytes(range(0xA0, 0xB0)), 1)
    h = one.batch(1, 0, STREAM, 1, [frame(STREAM, 1, b"Hello World!"), frame(STREAM, 2, b"")], 0, FIRST, peer=ipv4)
    one.batch(3, 0, plain(3), 1, [frame(plain(3), 1, b"Hello World!")], 0, LAST, protocol=2,
              peer=(6, 55761, bytes(15) + b"\1"))
    h = one.batch(4, 3, STREAM, 5, [frame(STREAM, 5, b"after a gap")], 0, FIRST | LAST | GAP, gap_last=2, peer=ipv4)
    one.batch(5, 3, STREAM, 6, [frame(STREAM, 6, b"dead")], h, FIRST | LAST, peer=ipv4)
    two = Segment(2, bytes(range(0xB0, 0xC0)), 5)
    two.batch(5, 4, bytes(16), 0, [], 0, FIRST | LAST, protocol=0)
    two.batch(5, 4, STREAM, 6, [frame(STREAM, 6, b"alive")], h, FIRST | LAST, peer=ipv4)
    entry = STREAM + struct.pack("<QQQQIIQ", 5, 4, WRITER, TIME + 4, h, 0, 0)
    snapshot = page(b"ROGERSNP", JOURNAL_ID + struct.pack("<QQQI", 1, 4, 1, crc32c(entry)) + bytes(20)) + entry
    return {
        "00000000000000000001.seg": one.data,
        "00000000000000000002.seg": two.data,
        "streams.snap": snapshot,
        "lock": struct.pack("<QQQ", 5, 0, ~5 & 2**64 - 1),
    }


def hex_lines(name, data):
    lines = ["# %s, %d bytes; lines of zeros are left out" % (name, len(data))]
    for at in range(0, len(data), 16):
        row = data[at:at + 16]
        if any(row):
            lines.append("%06x  %s" % (at, row.hex(" ")))
    return "\n".join(lines) + "\n"


def main():
    wrong = 0
    for name, data in journal().items():
        path = os.path.join(HERE, name + ".hex")
        text = hex_lines(name, data)
        if "--check" in sys.argv:
            with open(path, encoding="ascii") as file:
                wrong += file.read() != text
        else:
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
    return wrong > 0


if __name__ == "__main__":
    assert crc32c(b"123456789") == 0xE3069283
    sys.exit(main())
