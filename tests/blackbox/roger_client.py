#!/usr/bin/env python3
"""A client of Roger's native protocol, written from docs/protocol.md alone: the example for one's own.

    client = Client("127.0.0.1", 9999)             a new ephemeral stream, or name="orders" for a named one
    client.connect()
    client.send([b"Hello", b"World"])              returns when all is sent; acknowledged it is after wait()
    client.bye()                                   waits for the acks, then ends the stream and closes

Numbers in brackets are sections of docs/protocol.md. One thread, no callbacks: the connection is looked after while
send(), wait() or bye() is running, and a connection that is lost is made anew then.
"""

import argparse
import collections
import hashlib
import itertools
import os
import random
import select
import socket
import struct
import sys
import time

PREFACE = b"ROGER/1\n"
ACCEPT_GAP, NEXT, EPHEMERAL = 1, 2, 4  # flags of HELLO
NOT_DURABLE = 1  # flag of WELCOME
WELCOME, ACK, ERROR, WAIT, DRAIN = 1, 2, 3, 4, 5
BODY = {WELCOME: (52, 52), ACK: (16, 16), ERROR: (12, 212), WAIT: (0, 0), DRAIN: (4, 4)}  # size: least, most
CHECKSUM = 3  # the error that permits one more try [3.6]
FATAL = {2: "hello", 4: "too big", 5: "gap", 6: "fenced", 8: "bye", 9: "seq"}
BYE = 0xFFFFFFFF
HIGHEST = 2**63 - 1  # sequence number
SILENCE_S = 20  # [3.9]
RESUMABLE_S = 12 * 3600  # an ephemeral stream [3.8]


# --- bytes: what is sent, and how what comes is taken apart

def table_entry(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


TABLE = [table_entry(n) for n in range(256)]


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def stream_id(name=None):
    """Of a name (str or bytes), or a random one [3.8]."""
    digest = os.urandom(16) if name is None else hashlib.sha256(b"roger stream " + os.fsencode(name)).digest()
    return bytes([digest[0] | 0x80]) + digest[1:16]


def hello(flags, stream, writer, first):
    body = PREFACE + struct.pack("<I16sQQ", flags, stream, writer, first)
    return body + struct.pack("<I", crc32c(body))


def checksum(stream, number, size, payload=b""):
    return crc32c(payload, crc32c(stream + struct.pack("<QI", number, size)))


def frame(stream, number, payload):
    return struct.pack("<II", len(payload), checksum(stream, number, len(payload), payload)) + payload


def bye(stream, number):
    return struct.pack("<II", BYE, checksum(stream, number, BYE))


def chain(h, frame_checksum):
    """h(n) from h(n - 1) [3.5]."""
    return crc32c(struct.pack("<I", frame_checksum), h)


def take_message(data):
    """The first whole message, removed from the bytearray, as (kind, body); None while it is incomplete [3.3]."""
    if len(data) < 12:
        return None
    kind, size, check = struct.unpack_from("<III", data)
    least, most = BODY.get(kind, (1, 0))
    if not least <= size <= most:
        raise Lost(f"a message of kind {kind} with {size} bytes")
    if len(data) < 12 + size:
        return None
    body = bytes(data[12:12 + size])
    if crc32c(body, crc32c(data[:8])) != check:
        raise Lost("a message with a wrong checksum")
    del data[:12 + size]
    return kind, body


class Lost(Exception):
    """This connection is over; another one may do."""


class GiveUp(Exception):
    """The run is over. in_doubt: how many messages were sent, and may or may not have been stored."""

    def __init__(self, text, code=0, seq=0):
        super().__init__(text)
        self.code, self.seq, self.in_doubt = code, seq, 0


class Client:
    """One run of one stream [5]."""

    def __init__(self, host, port, name=None, resume=False, accept_gap=False,
                 window=16 << 20, patience_s=60, notice=lambda text: None):
        self.address = (host, port)
        self.stream = stream_id(name)
        self.writer = int.from_bytes(os.urandom(8), "little")
        self.flags = EPHEMERAL if name is None else 0 if resume else NEXT
        self.flags |= ACCEPT_GAP if accept_gap else 0
        self.window = window  # bytes that are sent and not acknowledged, at most
        self.patience_s = patience_s  # how long attempts may fail, one after the other
        self.notice = notice  # what the user is to be told
        self.welcomed = False
        self.began = self.acked = self.sent = self.sent_max = 0  # sent: on the newest connection; sent_max: ever
        self.h = self.record = self.max_message = 0  # h(acked); the record number of message `acked`
        self.journal = b""
        self.queue = collections.deque()  # the frames from acked + 1 on
        self.queued = 0  # bytes of them
        self.unsent = collections.deque()  # the last ones of them: not yet sent on this connection
        self.attempt, self.refused, self.last_sent, self.not_before = 0, None, None, 0
        self.socket = None

    # --- what a program calls

    def connect(self):
        """The first connection. Nothing has been sent yet, so whatever goes wrong is the caller's to know at once."""
        try:
            self._open()
        except (OSError, Lost) as error:
            self._close()
            raise GiveUp(f"no connection: {error}") from error

    def resume(self, messages):
        """`messages` is the whole stream from message 1 on: returns those that the server does not have yet [3.5]."""
        messages, h = iter(messages), 0
        for number in range(1, self.acked + 1):
            message = next(messages, None)
            if message is None:
                raise self._give_up(f"the server has {self.acked} messages, the input has fewer")
            h = chain(h, checksum(self.stream, number, len(message), message))
        if h != self.h:
            raise self._give_up(f"the {self.acked} messages that the server has are not the input's")
        return messages

    def send(self, messages):
        for message in messages:
            number = self.acked + len(self.queue) + 1
            if len(message) > self.max_message:
                raise self._give_up(f"a message of {len(message)} bytes; the server takes {self.max_message}")
            if number > HIGHEST:
                raise self._give_up("sequence numbers are used up")
            if not self.queue:
                self.heard = time.monotonic()  # only from now on something is awaited
            self.queue.append(frame(self.stream, number, message))
            self.unsent.append(self.queue[-1])
            self.queued += len(message) + 8
            self._work(lambda: not self.unsent and self.queued <= self.window)

    def wait(self):
        """Until everything is acknowledged."""
        self._work(lambda: not self.queue)

    def bye(self):
        self.wait()
        if self.socket and self.flags & EPHEMERAL and not self.draining:
            try:
                self.socket.settimeout(1)
                self.socket.sendall(bye(self.stream, self.acked + 1))
                self.socket.shutdown(socket.SHUT_WR)
                while True:
                    self._read()  # to the server's end: closing with something unread could take BYE back
            except (OSError, Lost):
                pass  # all is acknowledged; the server forgets the stream later
        self._close()

    @property
    def acknowledged(self):
        """How many messages of this run."""
        return self.acked - self.began

    # --- the connection

    def _work(self, done):
        while not done():
            try:
                if self.socket is None:
                    self._open_again()
                self._step()
            except (OSError, Lost) as error:
                self.notice(f"connection lost: {error}")
                self._close()

    def _open_again(self):
        """With full jitter [3.9]."""
        deadline = time.monotonic() + self.patience_s
        while True:
            pause = random.uniform(0, min(5, 0.05 * 2 ** min(self.attempt, 10)))
            self.attempt += 1
            time.sleep(pause + max(0, self.not_before - time.monotonic()))
            if self.flags & EPHEMERAL and self.last_sent and boot_time() - self.last_sent > RESUMABLE_S:
                raise self._give_up("away for more than 12 hours: the server may have forgotten the stream")
            try:
                return self._open()
            except (OSError, Lost) as error:
                self._close()
                if time.monotonic() > deadline:
                    raise self._give_up(f"no connection: {error}") from error

    def _open(self):
        """Connect, HELLO, and up to WELCOME."""
        self.greeted = self.live = self.draining = False
        self.input, self.out = bytearray(), None
        self.socket = socket.create_connection(self.address, timeout=SILENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(hello(self.flags, self.stream, self.writer, self.acked + 1 if self.welcomed else 1))
        self.heard = time.monotonic()
        while not self.live:
            self._step()

    def _close(self):
        if self.socket:
            self.socket.close()
            if self.draining:
                self.not_before = time.monotonic() + self.drain_s
        self.socket = None

    def _step(self):
        """Read what has come, send what goes; wait until there is either."""
        if not self.out and self.live and self.unsent and not self.draining:
            self.out = memoryview(self.unsent[0])
        awaited = self.queue or not self.live
        timeout = max(0, self.heard + SILENCE_S - time.monotonic()) if awaited else None
        readable, writable, _ = select.select([self.socket], [self.socket] if self.out else [], [], timeout)
        if readable:
            self._read()
        elif awaited and time.monotonic() - self.heard >= SILENCE_S:
            raise Lost(f"nothing heard for {SILENCE_S} s")
        elif writable:
            self._write()

    def _write(self):
        try:
            self.out = self.out[self.socket.send(self.out, socket.MSG_DONTWAIT):]
        except OSError:
            while True:  # why? an ERROR may lie there; _read() ends it by raising
                self._read()
        self.last_sent = boot_time()
        if not self.out:
            self.unsent.popleft()
            self.sent += 1
            self.sent_max = max(self.sent_max, self.sent)

    def _read(self):
        data = self.socket.recv(65536)
        self.heard = time.monotonic()
        self.input += data
        if not self.greeted:
            if not PREFACE.startswith(self.input[:8]):
                raise self._give_up("not a Roger server")
            if len(self.input) >= 8:
                self.greeted = True
                del self.input[:8]
        while self.greeted and (message := take_message(self.input)):
            self._handle(*message)
        if not data:
            raise Lost("the server has closed the connection")

    # --- what the server says

    def _handle(self, kind, body):
        if kind == ERROR:
            self._error(*struct.unpack_from("<IQ", body), body[12:])
        elif kind == DRAIN:
            self.draining, self.out = True, None
            self.drain_s = struct.unpack("<I", body)[0] / 1000
        elif kind == WELCOME and not self.live:
            self._welcome(*struct.unpack("<II16sQQQI", body))
        elif kind == ACK and self.live:
            self._ack(*struct.unpack("<QQ", body))
        elif kind != WAIT:
            raise Lost(f"a message of kind {kind}, out of place")

    def _welcome(self, flags, max_message, journal, last, record, writer, h):
        """[3.4, 3.7]"""
        known = last or not (record or writer or h)
        if flags & ~NOT_DURABLE or not 1 <= max_message <= 2**31 or last > HIGHEST or not known:
            raise Lost("a WELCOME that cannot be")
        if not self.welcomed:
            if self.flags & EPHEMERAL and last:
                raise self._give_up(f"a new stream, and the server has {last} messages of it")
            self.began = self.acked = self.sent_max = last
            self.h = h
        elif last < self.acked:
            text = f"the server has lost {self.acked - last} messages that it had acknowledged"
            if not self.flags & ACCEPT_GAP:
                raise self._give_up(text)
            self.notice(text)
            self.h = 0
        else:
            self.sent = self.sent_max  # if this ends here, then all of these are in doubt
            if last > self.sent_max or (last > self.acked and writer != self.writer) or self._history(last) != h:
                raise self._give_up("somebody else has written to the stream")
            self._forget(last)
        self.sent, self.record, self.max_message, self.journal = self.acked, record, max_message, journal
        self.unsent = collections.deque(self.queue)
        if any(len(data) - 8 > max_message for data in self.queue):
            raise self._give_up(f"the server takes no more than {max_message} bytes now")
        self.flags &= ~NEXT
        if flags & NOT_DURABLE:
            self.notice("the server keeps no journal: acknowledged means received")
            self.flags |= ACCEPT_GAP
        self.welcomed = self.live = True

    def _ack(self, seq, record):
        if not self.acked <= seq <= self.sent or record - self.record < seq - self.acked:
            raise Lost(f"an ACK that cannot be: seq {seq}, record {record}")
        self._forget(seq)
        self.record = record

    def _history(self, seq):
        """h(seq)"""
        return crc32c(b"".join(data[4:8] for data in itertools.islice(self.queue, seq - self.acked)), self.h)

    def _forget(self, seq):
        """Everything up to `seq` is acknowledged."""
        self.h = self._history(seq)
        for _ in range(seq - self.acked):
            self.queued -= len(self.queue.popleft())
        self.acked = seq

    def _error(self, code, seq, text):
        """[3.6]"""
        said = f"error {code}: {text.decode('utf-8', 'backslashreplace')!r}"
        if code in FATAL or (code == CHECKSUM and seq == self.refused):
            raise self._give_up(said, code, seq)
        if code == CHECKSUM:
            self.refused = seq
        raise Lost(said)

    def _give_up(self, text, code=0, seq=0):
        error = GiveUp(text, code, seq)
        error.in_doubt = max(0, (min(self.sent, seq - 1) if seq else self.sent) - self.acked)
        self._close()
        return error


def boot_time():
    """A clock that also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main():
    parser = argparse.ArgumentParser(description="Send the lines of standard input, each as a message, to Roger.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--stream", metavar="NAME", help="the stream's name (else it ends with the input)")
    parser.add_argument("--resume", action="store_true", help="the input is the stream, from its first message on")
    parser.add_argument("--accept-gap", action="store_true", help="go on when acknowledged messages are lost")
    options = parser.parse_args()
    if options.resume and options.stream is None:
        parser.error("--resume needs --stream")
    client = Client(options.host, options.port, options.stream, options.resume, options.accept_gap,
                    notice=lambda text: print(f"roger_client: {text}", file=sys.stderr))
    messages = (line.removesuffix(b"\n") for line in sys.stdin.buffer)
    status = 0
    try:
        client.connect()
        client.send(client.resume(messages) if options.resume else messages)
        client.bye()
    except GiveUp as error:
        print(f"roger_client: {error}; {error.in_doubt} messages in doubt", file=sys.stderr)
        status = 1
    print(f"{client.acknowledged} acknowledged")
    return status


if __name__ == "__main__":
    sys.exit(main())
