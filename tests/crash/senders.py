"""The load: threads that send, each on its own series, and write into the ledger what they are told.

They live through all crashes. A Gate holds them back while the server is down or the journal is audited; an address is
looked up anew for each connection, since a server that starts again has other ports.

    Native       docs/protocol.md, by the functions of tests/blackbox/roger_client.py; resumes its stream after a crash
    Ephemeral    the same, on streams without a name that end with BYE after some messages
    Line, Short  plain protocols: line; raw and whole with one message a connection. What has had no answer is not
                 sent again
    Program      `roger send --stream NAME --resume` on numbered lines; killed now and then, and run again
"""

import os
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import journal_reader
import roger_client
from roger_client import ACK, DRAIN, EPHEMERAL, ERROR, PREFACE, WELCOME, Lost

roger_client.crc32c = journal_reader.crc32c  # the same function, and faster where messages are large

CONNECT_S = 5
LINE_BURST = 40
DROPS = 0.01  # of the turns in which something is on the way
LARGEST = {"raw": 400, "whole": 40_000}
BLAMELESS = {1, 7, 10}  # ERRORs that a crash may bring about: preface, busy, deadline


class Gate:
    """Open: senders may work. They are let in one by one, and close() returns when all are out."""

    def __init__(self):
        self.changed = threading.Condition()
        self.is_open = self.ended = False
        self.inside = 0

    def enter(self):
        """False: it is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_open or self.ended)
            self.inside += not self.ended
            return not self.ended

    def leave(self):
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()

    def open(self):
        with self.changed:
            self.is_open = True
            self.changed.notify_all()

    def close(self, patience_s=15):
        with self.changed:
            self.is_open = False
            if not self.changed.wait_for(lambda: self.inside == 0, patience_s):
                raise RuntimeError("a sender does not come to an end")

    def end(self):
        with self.changed:
            self.is_open, self.ended = False, True
            self.changed.notify_all()


class Dropped(Exception):
    """We have let go of the connection."""


class Sender(threading.Thread):
    """`addresses`: a function that returns {protocol: (host, port)} of the server that runs now."""

    def __init__(self, ledger, gate, addresses, rng):
        super().__init__(daemon=True)
        self.ledger, self.gate, self.addresses, self.rng = ledger, gate, addresses, rng

    def run(self):
        while self.gate.enter():
            try:
                self.session()
            except Dropped:
                pass
            except (OSError, Lost):
                time.sleep(0.005)
            except Exception as error:  # pylint: disable=broad-except
                self.ledger.fault(f"{type(self).__name__}: {error!r}")
                return
            finally:
                self.gate.leave()

    def connect(self, protocol):
        connection = socket.create_connection(self.addresses()[protocol], timeout=CONNECT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Native(Sender):
    """`window`: so many messages are on the way at most. Now and then the connection is dropped while some are, and the
    next one's WELCOME must not tell of what is not durable."""

    flags = 0
    last = 1 << 62  # no message beyond this one

    def __init__(self, ledger, gate, addresses, rng, key, window):
        super().__init__(ledger, gate, addresses, rng)
        self.stream = ledger.stream(key, f"{ledger.name}/{key}")
        self.window = window
        self.writer = rng.getrandbits(64)

    def session(self):
        if self.rng.random() < 0.3:
            self.writer = self.rng.getrandbits(64)  # as if the sender had been run again
        self.input, self.out = bytearray(), b""
        self.greeted = self.live = False
        with self.connect("roger") as self.socket:
            stream = self.stream
            self.socket.sendall(roger_client.hello(self.flags, stream.id, self.writer, stream.acked + 1))
            self.heard = time.monotonic()
            while self.step():
                pass

    def finished(self):
        return not self.gate.is_open and not self.owed()

    def owed(self):
        return not self.live or self.stream.acked < self.sent or bool(self.out)

    def step(self):
        """Read what has come, send what goes."""
        stream = self.stream
        if self.live and not self.out and self.gate.is_open:
            first, self.sent = self.sent, max(self.sent, min(stream.acked + self.window, self.last))
            stream.sent = max(stream.sent, self.sent)  # before a byte of it leaves
            self.out = b"".join(stream.frame(number) for number in range(first + 1, self.sent + 1))
        readable, writable, _ = select.select([self.socket], [self.socket] if self.out else [], [], 0.1)
        if readable:
            self.read()
        if writable:
            self.out = self.out[self.socket.send(self.out, socket.MSG_DONTWAIT):]
        if time.monotonic() - self.heard > CONNECT_S and not self.gate.is_open:
            raise Lost("silent")
        if self.live and self.sent > stream.acked and self.rng.random() < DROPS:
            raise Dropped
        return not self.finished()

    def read(self):
        data = self.socket.recv(65536)
        self.input += data
        self.heard = time.monotonic()
        if not self.greeted and len(self.input) >= 8:
            if self.input[:8] != PREFACE:
                raise ValueError(f"no preface but {bytes(self.input[:8])}")
            self.greeted = True
            del self.input[:8]
        while self.greeted and (found := roger_client.take_message(self.input)):
            self.handle(*found)
        if not data:
            raise Lost("closed")

    def handle(self, kind, body):
        if kind == WELCOME:
            _, _, _, last, record, _, h = struct.unpack("<II16sQQQI", body)
            self.welcome(last, record, h)
        elif kind == ACK:
            self.ack(*struct.unpack("<QQ", body))
        elif kind == DRAIN:
            raise Lost("drain")
        elif kind == ERROR:
            code, seq = struct.unpack_from("<IQ", body)
            if code not in BLAMELESS:
                text = body[12:].decode(errors="replace")
                self.ledger.fault(f"{self.stream.key}: ERROR {code} at {seq}: {text}; "
                                  f"{self.stream.acked} were acknowledged")
            raise Lost(f"error {code}")

    def welcome(self, last, record, h):
        stream = self.stream
        if not stream.acked <= last <= stream.sent:
            self.ledger.fault(f"{stream.key}: WELCOME says {last}; {stream.acked} acknowledged, {stream.sent} sent")
            raise Lost("welcome")
        if h != stream.h[last]:
            self.ledger.fault(f"{stream.key}: WELCOME has another history of {last} messages")
            raise Lost("welcome")
        if last:
            self.ledger.acknowledged(stream, last, record)
        self.sent = last
        self.live = True

    def ack(self, seq, record):
        stream = self.stream
        if not self.live or not stream.acked <= seq <= self.sent:
            self.ledger.fault(f"{stream.key}: ACK {seq}; {stream.acked} acknowledged, {stream.sent} sent")
            raise Lost("ack")
        self.ledger.acknowledged(stream, seq, record)


class Ephemeral(Native):
    """A stream of some messages, resumed when the connection is lost, ended with BYE when all are acknowledged."""

    flags = EPHEMERAL

    def __init__(self, ledger, gate, addresses, rng, key):
        super().__init__(ledger, gate, addresses, rng, key, 8)
        self.key, self.count = key, 0
        self.another()

    def another(self):
        self.count += 1
        self.stream = self.ledger.stream(f"{self.key}-{self.count}")
        self.last = self.rng.randrange(1, 60)

    def step(self):
        going = super().step()
        if self.live and self.stream.acked == self.last:
            self.socket.sendall(roger_client.bye(self.stream.id, self.last + 1))
            self.another()
            return False
        return going


class Line(Sender):
    """Lines, in bursts; each is answered with its record number."""

    def __init__(self, ledger, gate, addresses, rng, key):
        super().__init__(ledger, gate, addresses, rng)
        self.key, self.count = key, 0

    def session(self):
        self.count += 1
        with self.connect("line") as connection, connection.makefile("rb") as answers:
            plain = self.ledger.connection(f"{self.key}-{self.count}", "line")
            while self.gate.is_open:
                first = plain.sent + 1
                plain.sent += self.rng.randrange(1, LINE_BURST)
                connection.sendall(b"".join(plain.payload(n) + b"\n" for n in range(first, plain.sent + 1)))
                for number in range(first, plain.sent + 1):
                    answer = answers.readline()
                    if not answer.endswith(b"\n"):
                        return
                    found = re.fullmatch(rb"ACK (\d+)\n", answer)
                    if not found:
                        raise ValueError(f"answer {answer}")
                    self.ledger.acknowledged(plain, number, int(found[1]))


class Short(Sender):
    """One message a connection, raw or whole. A raw one is small, so that it arrives in one piece before its answer."""

    def __init__(self, ledger, gate, addresses, rng, key):
        super().__init__(ledger, gate, addresses, rng)
        self.key, self.count = key, 0

    def session(self):
        self.count += 1
        protocol = self.rng.choice(("raw", "whole"))
        with self.connect("roger" if protocol == "raw" else protocol) as connection:
            plain = self.ledger.connection(f"{self.key}-{self.count}", protocol, LARGEST[protocol])
            plain.sent = 1
            connection.sendall(plain.payload(1))
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while data := connection.recv(100):
                answer += data
            if answer == b"ACK!":
                self.ledger.acknowledged(plain, 1)
            elif answer:
                raise ValueError(f"answer {answer}")


class Program(Sender):
    """The real client. While the gate is closed it is stopped (SIGSTOP) where it stands."""

    def __init__(self, ledger, gate, addresses, rng, key, roger, directory):
        super().__init__(ledger, gate, addresses, rng)
        self.stream = ledger.stream(key, f"{ledger.name}/{key}", text=True)
        self.roger = roger
        self.path = os.path.join(directory, f"{key}.lines")
        self.errors = os.path.join(directory, f"{key}.err")
        self.process = None
        self.kills = 0

    def session(self):
        if self.process is None:
            self.begin()
        else:
            self.process.send_signal(signal.SIGCONT)
        doomed = time.monotonic() + (self.rng.uniform(0, 0.3) if self.rng.random() < 0.4 else 1e9)
        while self.gate.is_open:
            try:
                status = self.process.wait(0.01)
            except subprocess.TimeoutExpired:
                if time.monotonic() > doomed:
                    self.kills += 1
                    self.process.kill()
                continue
            self.ended(status)
            return
        self.process.send_signal(signal.SIGSTOP)

    def begin(self):
        stream = self.stream
        first, stream.sent = stream.sent + 1, stream.sent + self.rng.choice((1, 20, 300, 1500))
        with open(self.path, "ab") as file:
            file.writelines(stream.payload(number) + b"\n" for number in range(first, stream.sent + 1))
        self.total = stream.sent
        with open(self.path, "rb") as lines, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [self.roger, "send", self.addresses()["program"], "--stream", stream.name, "--resume", "--retry",
                 "--print-record"], stdin=lines, stdout=subprocess.PIPE, stderr=errors)

    def ended(self, status):
        out = self.process.stdout.read().decode()
        self.process.stdout.close()
        self.process = None
        if status == 0:
            self.ledger.acknowledged(self.stream, self.total, int(out))
        elif status != -signal.SIGKILL:
            with open(self.errors, encoding="utf-8", errors="replace") as file:
                self.ledger.fault(f"roger send ends with {status}: {file.read()[-300:]}")

    def stop(self):
        """After the gate has ended."""
        self.join(5)
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
