"""The auditor's own book: what was sent, what was acknowledged, and under which record number.

Every message is a function of its series and its number, so the book holds numbers only, and any payload can be checked
to the last byte. A series is a native stream (Stream) or one plain connection (Plain). Whoever sends writes `sent` down
before the first byte leaves, and an acknowledgement as soon as it has read it.

The book is kept by the rig, which survives every crash that it makes.
"""

import hashlib
import threading
import zlib

import roger_client

# How large a message is: its number's checksum chooses. Small ones are the rule, so that many are on the way at once.
SIZES = (0, 30, 40, 64, 64, 100, 100, 150, 200, 300, 520, 1500, 4100, 9000)
LARGE_EVERY = 400
LARGE = 40_000


class Fault(Exception):
    """The promise is broken, or the program did what it must not."""


def message(key, number, text=False, largest=LARGE):
    """Message `number` of series `key`: its name, then bytes that follow from it; text: hex digits, fit for a line."""
    head = b"%s %d " % (key.encode(), number)
    chance = zlib.crc32(head)
    size = LARGE if chance % LARGE_EVERY == 0 else SIZES[chance % len(SIZES)]
    size = min(size, largest)
    if size == 0 and not text and chance % 5:
        return b""
    filler = hashlib.sha256(head).digest()
    if text:
        filler = filler.hex().encode()
    return (head + filler * (size // len(filler) + 1))[:max(size, len(head))]


class Stream:
    """A native stream. `told`: number -> record, as acknowledgements said; `h`: h(number), docs/protocol.md 3.5."""

    def __init__(self, key, name=None, text=False):
        self.key, self.name, self.text = key, name, text
        self.id = roger_client.stream_id(name)
        self.sent = self.acked = 0
        self.told = {}
        self.h = [0]

    def payload(self, number):
        return message(self.key, number, self.text)

    def frame(self, number):
        """The frame, and the history taken on; numbers come in order, repeats are welcome."""
        frame = roger_client.frame(self.id, number, self.payload(number))
        if number == len(self.h):
            self.h.append(roger_client.crc32c(frame[4:8], self.h[-1]))
        return frame


class Plain:
    """One connection of a plain protocol. `after`: its records have higher numbers than this one."""

    def __init__(self, key, protocol, after, largest=LARGE):
        self.key, self.protocol, self.after, self.largest = key, protocol, after, largest
        self.sent = self.acked = 0
        self.told = {}

    def payload(self, number):
        return message(self.key, number, True, self.largest)


class Ledger:
    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.streams = {}  # id in hex -> Stream
        self.plain = {}  # key -> Plain
        self.highest = 0  # record number that was told
        self.faults = []  # what senders saw and no honest server says
        self.seen = {}  # record -> (stream in hex, number): what a reader showed stays
        self.acks = 0  # messages acknowledged so far, of all series
        self.on_ack = None  # called after an acknowledgement has been written down

    def stream(self, key, name=None, text=False):
        with self.lock:
            stream = Stream(f"{self.name}-{key}", name, text)
            self.streams[stream.id.hex()] = stream
        return stream

    def connection(self, key, protocol, largest=LARGE):
        with self.lock:
            plain = Plain(f"{self.name}-{key}", protocol, self.highest, largest)
            self.plain[plain.key] = plain
        return plain

    def acknowledged(self, series, number, record=None):
        """Everything up to `number`; it has this record number."""
        with self.lock:
            self.acks += max(0, number - series.acked)
            series.acked = max(series.acked, number)
            if record is not None:
                if series.told.setdefault(number, record) != record:
                    self.faults.append(f"{series.key} {number}: record {series.told[number]}, and later {record}")
                self.highest = max(self.highest, record)
        if self.on_ack:
            self.on_ack()

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def check(self):
        """Raises what the senders have found."""
        with self.lock:
            if self.faults:
                raise Fault("; ".join(self.faults[:3]))
