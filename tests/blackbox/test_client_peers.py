"""roger send against native servers that misbehave on purpose: what it believes, what it sends again, how it ends.

The server here is a script: one function a connection, in order; it is written from docs/protocol.md."""

import os
import re
import socket
import struct
import subprocess
import threading
import time

import pytest
from helpers import FULL, ROGER, run, wait_until

PREFACE = b"ROGER/1\n"
WELCOME, ACK, ERROR, WAIT, DRAIN = 1, 2, 3, 4, 5
CHECKSUM, TOO_BIG, GAP, FENCED, BUSY = 3, 4, 5, 6, 7
ACCEPT_GAP, NEXT, EPHEMERAL = 1, 2, 4
BYE = 0xFFFFFFFF
NOT_DURABLE = 1


def crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc32c_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Connection:
    """The server's side of one connection."""

    def __init__(self, sock):
        self.sock = sock
        self.greeted = False
        self.h = 0
        self.seq = 0
        hello = self.take(48)
        assert hello[:8] == PREFACE and struct.unpack("<I", hello[44:])[0] == crc32c(hello[:44])
        self.flags, self.stream, self.writer, self.first = struct.unpack("<I16sQQ", hello[8:44])

    def take(self, size):
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def send(self, kind, body=b"", slowly=False):
        head = struct.pack("<II", kind, len(body))
        data = (b"" if self.greeted else PREFACE) + head + struct.pack("<I", crc32c(head + body)) + body
        self.greeted = True
        for at in range(0, len(data), 1 if slowly else len(data)):
            self.sock.sendall(data[at:at + 1] if slowly else data)
            if slowly:
                time.sleep(0.001)

    def welcome(self, last=0, record=0, writer=None, h=0, flags=0, message_max=1 << 20, slowly=False):
        self.h, self.seq = h, last
        if self.first - 1 > last:
            self.h, self.seq = 0, self.first - 1
        writer = self.writer if writer is None else writer
        self.send(WELCOME, struct.pack("<II16sQQQI", flags, message_max, bytes(16), last, record, writer, h), slowly)

    def ack(self, seq, record=None, slowly=False):
        self.send(ACK, struct.pack("<QQ", seq, seq if record is None else record), slowly)

    def error(self, code, seq=0, text=b""):
        self.send(ERROR, struct.pack("<IQ", code, seq) + text)

    def frame(self):
        """The next frame's payload, checked; None for BYE."""
        size, checksum = struct.unpack("<II", self.take(8))
        payload = b"" if size == BYE else self.take(size)
        self.seq += 1
        assert checksum == crc32c(self.stream + struct.pack("<QI", self.seq, size) + payload)
        if size == BYE:
            return None
        self.h = crc32c(struct.pack("<I", checksum), self.h)
        return payload

    def frames(self, count):
        return [self.frame() for _ in range(count)]


class Script:
    """A listener whose connections are served by these functions, one after the other; the last one serves all that follow."""

    def __init__(self, *parts):
        self.parts = list(parts)
        self.failures = []
        self.served = 0
        self.times = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            part = self.parts[min(self.served, len(self.parts) - 1)]
            self.served += 1
            self.times.append(time.monotonic())
            with sock:
                try:
                    part(Connection(sock))
                except (EOFError, ConnectionError):
                    pass
                except Exception as failure:  # shown by the test
                    self.failures.append(failure)

    def close(self):
        self.listener.close()
        if self.failures:
            raise self.failures[0]


@pytest.fixture
def script():
    made = []

    def make(*parts):
        made.append(Script(*parts))
        return made[-1]

    yield make
    for one in made:
        one.close()


NINE = [b"m%d" % n for n in range(1, 10)]
INPUT = b"\n".join(NINE) + b"\n"


def good(c, count=9, **welcome):
    """A server that is as it should be."""
    c.welcome(**welcome)
    got = c.frames(count)
    c.ack(c.seq)
    assert c.frame() is None
    return got


def test_in_pieces(script):
    def slow(c):
        c.send(WAIT, slowly=True)
        c.welcome(slowly=True)
        assert c.frames(9) == NINE
        c.ack(4, slowly=True)
        c.ack(9, 100, slowly=True)
        assert c.frame() is None

    done = run("send", script(slow).address, "--print-record", input=INPUT)
    assert (done.returncode, done.stdout) == (0, b"100\n")
    assert re.fullmatch(rb"9 messages acknowledged in \d+\.\d\d s\n", done.stderr)


def test_sends_again_from_last(script):
    """The connection is lost behind three stored messages, of which one was acknowledged."""
    state = {}

    def first(c):
        assert c.flags == EPHEMERAL and c.first == 1
        c.welcome()
        c.frames(3)
        state.update(h=c.h, writer=c.writer, stream=c.stream)
        c.ack(1)

    def second(c):
        assert (c.flags, c.writer, c.stream) == (EPHEMERAL, state["writer"], state["stream"])
        assert c.first in (1, 2)  # the ack may have been lost
        c.welcome(last=3, record=3, h=state["h"])
        assert c.frames(6) == NINE[3:]
        c.ack(9)
        assert c.frame() is None

    s = script(first, second)
    done = run("send", s.address, input=INPUT)
    assert done.returncode == 0, done.stderr
    assert s.served == 2


BELIEFS = [
    # name, welcome of the second connection, exit status, words
    ("lost what it acknowledged", dict(last=4), 65, b"lost 1 message that it had acknowledged"),
    ("lost the stream", dict(last=0), 65, b"lost 5 messages that it had acknowledged"),
    ("another writer", dict(last=9, writer=1), 65, b"another sender has written to this stream; of ours, 4 messages"),
    ("more than was sent", dict(last=10), 65, b"message number 10 of this stream, which was never sent"),
    ("another history", dict(last=9, h=1), 65, b"up to number 9 are not what was sent; 4 messages are in doubt"),
]


@pytest.mark.parametrize("belief", BELIEFS, ids=[row[0] for row in BELIEFS])
def test_what_a_welcome_may_not_say(script, belief):
    _, welcome, status, words = belief

    def first(c):
        c.welcome()
        c.frames(9)
        c.ack(5)
        time.sleep(0.2)

    s = script(first, lambda c: (c.welcome(**welcome), c.sock.recv(1)))
    done = run("send", s.address, input=INPUT)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert b"5 messages acknowledged" in done.stderr
    assert s.served == 2


def test_not_durable_forgets(script):
    def first(c):
        c.welcome(flags=NOT_DURABLE)
        c.frames(9)
        c.ack(5)
        time.sleep(0.2)

    def second(c):
        assert c.flags == EPHEMERAL | ACCEPT_GAP and c.first == 6
        c.welcome(flags=NOT_DURABLE)
        assert c.frames(4) == NINE[5:]
        c.ack(9, 4)
        assert c.frame() is None

    s = script(first, second)
    done = run("send", s.address, input=INPUT)
    assert done.returncode == 0, done.stderr
    assert b"has forgotten 5 acknowledged messages" in done.stderr
    assert done.stderr.count(b'keeps nothing on disk: an ack means "received"') == 1


LIES = [
    ("of what was not sent", [(10, 10)]),
    ("going backwards", [(5, 5), (4, 4)]),
    ("records going backwards", [(5, 50), (6, 40)]),
]


@pytest.mark.parametrize("lie", [row[1] for row in LIES], ids=[row[0] for row in LIES])
def test_acks_that_lie(script, lie):
    """The connection ends, nothing is trimmed by the lie, and the next connection goes on."""
    state = {}

    def first(c):
        c.welcome()
        c.frames(9)
        for seq, record in lie:
            c.ack(seq, record)
        assert c.sock.recv(100) == b""

    def second(c):
        state["first"] = c.first
        c.welcome(last=c.first - 1, record=c.first - 1, h=history(c.stream, c.first - 1))
        assert c.frames(10 - c.first) == NINE[c.first - 1:]
        c.ack(9, 100)
        assert c.frame() is None

    s = script(first, second)
    done = run("send", s.address, input=INPUT)
    assert done.returncode == 0, done.stderr
    assert s.served == 2 and state["first"] == (6 if len(lie) > 1 else 1)


def history(stream, count):
    h = 0
    for seq, payload in enumerate(NINE[:count], 1):
        checksum = crc32c(stream + struct.pack("<QI", seq, len(payload)) + payload)
        h = crc32c(struct.pack("<I", checksum), h)
    return h


def test_checksum_once_is_forgiven(script):
    def first(c):
        c.welcome()
        c.frames(2)
        c.error(CHECKSUM, 3)

    s = script(first, lambda c: good(c))
    done = run("send", s.address, input=INPUT)
    assert done.returncode == 0, done.stderr


def test_checksum_twice_is_not(script):
    def damaged(c):
        c.welcome()
        c.frames(2)
        c.error(CHECKSUM, 3)

    s = script(damaged)
    done = run("send", s.address, input=INPUT)
    assert done.returncode == 65 and b"message number 3 arrived damaged twice" in done.stderr
    assert s.served == 2


FINAL = [
    ("fenced", FENCED, 69, b"taken the stream over"),
    ("gap", GAP, 65, b"lost messages that it had acknowledged"),
    ("too big", TOO_BIG, 65, b"larger than the server takes"),
]


@pytest.mark.parametrize("final", FINAL, ids=[row[0] for row in FINAL])
def test_errors_that_are_final(script, final):
    _, code, status, words = final

    def refuse(c):
        c.welcome()
        c.frames(1)
        c.error(code, 1)
        time.sleep(0.2)

    s = script(refuse)
    done = run("send", s.address, input=INPUT)
    assert done.returncode == status and words in done.stderr, done.stderr
    assert s.served == 1


def test_busy_at_first_is_said_at_once(script):
    s = script(lambda c: c.error(BUSY, 0, b"come back \x1b[31mlater"))
    began = time.monotonic()
    done = run("send", s.address, "x")
    assert done.returncode == 69 and time.monotonic() - began < 3
    assert b"refused us: come back \\x1b[31mlater" in done.stderr
    assert s.served == 1


def test_busy_later_is_tried_again(script):
    def first(c):
        c.welcome()
        c.frames(9)

    s = script(first, lambda c: c.error(BUSY), lambda c: c.error(BUSY), good)
    done = run("send", s.address, input=INPUT)
    assert done.returncode == 0 and s.served == 4, done.stderr


FIRST_BYTES = [
    # name, all that the server says, words
    ("one byte of the preface", b"R", b"the server closed the connection"),
    ("half of the preface", b"ROGER", b"the server closed the connection"),
    ("most of the preface", PREFACE[:7], b"the server closed the connection"),
    ("the preface", PREFACE, b"the server closed the connection"),
    ("nothing", b"", b"is not a Roger server (it closed the connection without an answer)"),
    ("another byte", b"ROGUE", b'is not a Roger server (it answered "ROGUE")'),
]


@pytest.mark.parametrize("first", FIRST_BYTES, ids=[row[0] for row in FIRST_BYTES])
def test_ends_within_the_preface(script, first):
    """What has differed nowhere is a lost connection, no other kind of server."""
    _, said, words = first
    s = script(lambda c: c.sock.sendall(said))
    done = run("send", s.address, "x", timeout=5)
    assert done.returncode == 69 and s.served == 1
    assert done.stderr.startswith(b"roger: %s" % s.address.encode()) and words in done.stderr


def welcome_cut(size):
    """The first `size` bytes of the preface and a WELCOME."""
    body = struct.pack("<II16sQQQI", 0, 1 << 20, bytes(16), 0, 0, 0, 0)
    head = struct.pack("<II", WELCOME, len(body))
    return (PREFACE + head + struct.pack("<I", crc32c(head + body)) + body)[:size]


@pytest.mark.parametrize("size", [8, 9, 19, 20, 71])
def test_ends_within_welcome(script, size):
    """What opens with the preface is a Roger server: a lost connection, which --retry outlasts."""
    def cut(c):
        c.sock.sendall(welcome_cut(size))

    s = script(cut)
    done = run("send", s.address, "x", timeout=5)
    assert done.returncode == 69 and s.served == 1
    assert done.stderr == b"roger: %s: the server closed the connection\n" % s.address.encode()

    s = script(cut, good)
    done = run("send", s.address, "--retry", input=INPUT, timeout=10)
    assert done.returncode == 0 and s.served == 2, done.stderr
    assert b"not a Roger server" not in done.stderr


def test_silent_within_welcome(script):
    """The rest does not come, or nothing at all: 20 s later that is what is said."""
    def server(size):
        def stop(c):
            c.sock.sendall(welcome_cut(size))
            c.sock.recv(1)
        return script(stop)

    sizes = (0, 5, 8, 71)
    servers = [server(size) for size in sizes]
    clients = [subprocess.Popen([ROGER, "send", s.address, "x"], stderr=subprocess.PIPE) for s in servers]
    for size, s, client in zip(sizes, servers, clients):
        with client:
            assert client.wait(30) == 69 and s.served == 1
            what = "no whole answer within 20 s" if size else \
                "no answer within 20 s (it is full, has stopped, or is no Roger server)"
            assert client.stderr.read().decode() == f"roger: {s.address}: {what}\n"


@pytest.mark.parametrize("size", [0, 5, 8, 71])
def test_reset_instead_of_welcome(script, size):
    """A reset is told as what it is, whatever has come before it."""
    def reset(c):
        c.sock.sendall(welcome_cut(size))
        time.sleep(0.2)  # a reset may overtake what it follows
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    s = script(reset)
    done = run("send", s.address, "x", timeout=5)
    assert done.returncode == 69 and s.served == 1
    assert done.stderr == (b"roger: %s: the connection to the server is lost: Connection reset by peer\n"
                           % s.address.encode())


def test_numbers_are_used_up(script):
    """The connection is lost on a stream that has had its last number: nobody is asked for number 2^63."""
    s = script(lambda c: c.welcome(last=(1 << 63) - 1, record=7))
    client = subprocess.Popen([ROGER, "send", s.address, "--stream", "s"], stdin=subprocess.PIPE,
                              stderr=subprocess.PIPE)
    with client:
        assert client.wait(10) == 65
        said = client.stderr.read()
    assert s.served == 1
    assert said == b"roger: %s: the stream's numbers are used up\n" % s.address.encode()


def test_retry_outlasts_refusals(script):
    s = script(lambda c: c.error(BUSY), lambda c: c.sock.sendall(b"HTTP/1.1 400"), good)
    done = run("send", s.address, "--retry", input=INPUT)
    assert done.returncode == 0 and s.served == 3, done.stderr


def test_drain_is_respected(script):
    """The server asks to be left alone for 0.7 s; acks that are still on their way count."""
    state = {}

    def first(c):
        c.welcome()
        c.frames(9)
        c.send(DRAIN, struct.pack("<I", 700))
        c.ack(4)
        state["h"] = c.h
        time.sleep(0.05)

    def second(c):
        assert c.first == 5
        c.welcome(last=9, record=9, h=state["h"])
        assert c.frame() is None

    s = script(first, second)
    done = run("send", s.address, input=INPUT)
    assert done.returncode == 0, done.stderr
    assert s.times[1] - s.times[0] >= 0.7


def test_no_new_ack_in_time(script):
    """A server that is alive, and says so, but never acknowledges the rest."""
    def stuck(c):
        c.welcome()
        c.frames(9)
        while True:
            c.ack(4)
            time.sleep(0.1)

    s = script(stuck)
    began = time.monotonic()
    done = run("send", s.address, "-w", "1s", input=INPUT)
    assert done.returncode == 75 and 1 <= time.monotonic() - began < 5
    assert done.stderr.startswith(b"roger: 4 of 9 acknowledged")
    assert s.served == 1


def test_idleness_is_nobodys_silence(script):
    """A pause in the input that is longer than the timeout: nothing was waited for meanwhile."""
    def server(c):
        c.welcome()
        for _ in range(2):
            c.frame()
            c.ack(c.seq)
        assert c.frame() is None

    s = script(server)
    with subprocess.Popen([ROGER, "send", "-w", "400ms", s.address], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        client.stdin.write(b"before\n")
        client.stdin.flush()
        time.sleep(1)
        said = client.communicate(b"after\n", timeout=10)[1]
    assert client.returncode == 0 and said.startswith(b"2 messages acknowledged"), said
    assert s.served == 1


def test_no_welcome_in_time(script):
    """A server that says that it is alive, and never lets us in."""
    def stuck(c):
        while True:
            c.send(WAIT)
            time.sleep(0.1)

    s = script(stuck)
    began = time.monotonic()
    done = run("send", s.address, "-w", "1s", "x", timeout=5)
    assert done.returncode == 75 and time.monotonic() - began >= 1
    assert done.stderr == b"roger: nothing sent: %s has kept us waiting for 1 s\n" % s.address.encode()
    assert s.served == 1


def test_a_flood_of_welcomes_is_no_ack(script):
    """WELCOME after WELCOME, each on a new connection, does not count as progress."""
    s = script(lambda c: c.welcome())
    began = time.monotonic()
    done = run("send", s.address, "-w", "1s", input=INPUT)
    assert done.returncode == 75 and time.monotonic() - began < 5
    assert b"0 of 9 acknowledged" in done.stderr
    assert s.served < 30  # and it backs off


def test_why_there_was_no_ack_is_said(script):
    """WELCOME and ERROR in turn: each outage is too short for a line of its own, so the last line has the reason."""
    def refuse(c):
        c.welcome()
        c.error(BUSY, 0, b"come back \x1b[31mlater")
        while c.sock.recv(1000):  # an end with unread bytes would be a reset, which may overtake the reason
            pass

    s = script(refuse)
    done = run("send", s.address, "-w", "1s", input=INPUT, timeout=5)
    assert done.returncode == 75
    assert done.stderr == (b"roger: 0 of 9 acknowledged: no new ack from %s for 1 s; last: %s: the server refused us: "
                           b"come back \\x1b[31mlater\n" % ((s.address.encode(),) * 2))


def test_trouble_before_an_ack_is_over(script):
    """What was wrong before something was acknowledged is no reason any more."""
    def stuck(c):
        c.welcome()
        c.frames(9)
        while True:
            c.ack(4)
            time.sleep(0.1)

    s = script(lambda c: (c.welcome(), c.error(BUSY)), stuck)
    done = run("send", s.address, "-w", "1s", input=INPUT, timeout=5)
    assert done.returncode == 75 and s.served == 2
    assert done.stderr == b"roger: 4 of 9 acknowledged: no new ack from %s for 1 s\n" % s.address.encode()


def test_limit_of_this_server(script):
    """Nothing at all is sent when it is known beforehand that something does not fit."""
    state = {}

    def small(c):
        c.welcome(message_max=3)
        state["rest"] = c.sock.recv(100)

    s = script(small)
    done = run("send", s.address, "abc", "abcd")
    assert done.returncode == 65 and b"message 2 is larger than the 3 bytes" in done.stderr
    wait_until(lambda: "rest" in state, "the server sees the end")
    assert state["rest"] == b""


def test_line_above_the_limit(script):
    """What stands before it is acknowledged, nothing behind it is sent."""
    def small(c):
        c.welcome(message_max=3)
        assert c.frames(2) == [b"abc", b"ab"]
        c.ack(2)
        assert c.frame() is None

    done = run("send", script(small).address, input=b"abc\nab\nabcd\na\n")
    assert done.returncode == 65
    assert b"line 3 is larger than the 3 bytes" in done.stderr and b"2 messages acknowledged" in done.stderr


def test_input_waits_for_the_window(script):
    """Standard input is not read while the window is full."""
    go = threading.Event()
    state = {"got": 0}

    def stingy(c):
        c.welcome()
        c.frame()
        go.wait(20)
        while c.frame() is not None:
            c.ack(c.seq)
            state["got"] = c.seq

    s = script(stingy)
    client = subprocess.Popen([ROGER, "send", s.address, "--window", "64K"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    line = b"x" * 999 + b"\n"
    written = 0
    os.set_blocking(client.stdin.fileno(), False)
    quiet = 0
    while quiet < 50 and written < 1000:
        try:
            written += os.write(client.stdin.fileno(), line) == len(line)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.01)
    # The window, the pipe, one buffer of 64 KiB.
    assert 64 < written < 300
    go.set()
    os.set_blocking(client.stdin.fileno(), True)
    client.stdin.close()
    assert client.wait(20) == 0
    client.stderr.close()
    assert state["got"] >= written


def test_sent_as_soon_as_read(script):
    """(echo a; sleep 3; echo b) | roger send: a goes out at once."""
    got = []

    def watch(c):
        c.welcome()
        while (payload := c.frame()) is not None:
            got.append(payload)
            c.ack(c.seq)

    s = script(watch)
    client = subprocess.Popen([ROGER, "send", s.address], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    client.stdin.write(b"a\n")
    client.stdin.flush()
    wait_until(lambda: got == [b"a"], "a arrives while the input is open", timeout=2)
    client.stdin.close()
    assert client.wait(20) == 0


def test_resume_asks_before_it_sends(script):
    orders = bytes.fromhex("9422662acbea8119a532c580a00bcbdf")

    def has_four(c):
        assert c.flags == 0 and c.first == 1 and c.stream == orders
        c.welcome(last=4, record=40, writer=7, h=history(c.stream, 4))
        assert c.frames(5) == NINE[4:]
        c.ack(9, 45)

    done = run("send", script(has_four).address, "--stream", "orders", "--resume", "--print-record", input=INPUT)
    assert (done.returncode, done.stdout) == (0, b"45\n"), done.stderr


def test_next_only_once(script):
    """--stream NAME says "next" in its first HELLO; afterwards it knows where it stands."""
    state = {}

    def first(c):
        assert c.flags == NEXT and c.first == 1
        c.welcome(last=100, record=7, writer=7, h=5)
        assert c.frames(9) == NINE
        c.ack(103, 10)
        state["h"] = c.h
        time.sleep(0.2)

    def second(c):
        assert c.flags == 0 and c.first == 104
        c.welcome(last=109, record=16, h=state["h"])
        assert c.sock.recv(100) == b""

    done = run("send", script(first, second).address, "--stream", "s", "--print-record", input=INPUT)
    assert (done.returncode, done.stdout) == (0, b"16\n"), done.stderr


@pytest.mark.skipif(not FULL, reason="takes 20 s")
def test_a_dead_peer_is_given_up(script):
    """20 s of silence while an ack is waited for: another connection."""
    def dead(c):
        c.welcome()
        c.frames(9)
        c.sock.settimeout(40)
        c.sock.recv(1)

    s = script(dead, good)
    done = run("send", s.address, input=INPUT, timeout=60)
    assert done.returncode == 0 and s.served == 2
    assert 19 < s.times[1] - s.times[0] < 30


def test_raw_answer_that_never_ends():
    """A plain server that says a byte now and then does not hold us."""
    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            try:
                while True:
                    connection.sendall(b".")
                    time.sleep(0.1)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        began = time.monotonic()
        done = run("send", "raw://" + address, "-w", "1s", "x", timeout=5)
    assert done.returncode == 0 and time.monotonic() - began >= 1
    assert re.fullmatch(rb"\.+\n", done.stdout)
    assert done.stderr == b"roger: %s has not ended its answer within 1 s\n" % address.encode()


TYPED = [
    # name, arguments, words
    ("escapes in a command", ["\x1b[31mred"], b'unknown command "\\x1b[31mred" (roger --help lists them)'),
    ("a long command", ["x" * 41], b'unknown command "' + b"x" * 40 + b'..." (roger --help lists them)'),
    ("100 percent", ["serve", "--keep-free", "100%"], b"serve: --keep-free 100%: must be at most 99%"),
    ("half a percent", ["serve", "--keep-free", "50.5%"],
     b'serve: --keep-free: "50.5%" is not a whole number of percent (such as 5%)'),
    ("percent of nothing", ["serve", "--keep-free", "%"],
     b'serve: --keep-free: "%" is not a whole number of percent (such as 5%)'),
    ("a size that does not fit", ["serve", "--segment-size", "1MiB", "--listen", "127.0.0.1:0"],
     b"--max-message 1 MiB: does not fit; with --segment-size 1 MiB at most 703.8 KiB"),
    ("no help for that", ["help", "\x1b"], b'unknown command "\\x1b" (roger --help lists them)'),
    ("a version of something", ["--version", "x"], b'unexpected "x"'),
    ("two journals", ["verify", "a", "b\n"], b'verify: one journal at a time: unexpected "b\\n"'),
]


@pytest.mark.parametrize("typed", TYPED, ids=[row[0] for row in TYPED])
def test_what_was_typed_is_shown_harmlessly(typed, tmp_path):
    _, arguments, words = typed
    done = run(*arguments, timeout=5, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (64, b"roger: " + words + b"\n")
