"""docs/protocol.md is enough to write a client from: roger_client.py was. Here it meets the document's own example,
servers that do what they must not, and the real one."""

import os
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import helpers
import roger_client as rc
from helpers import ok, payloads, records, run, wait_until
from roger_client import Client, GiveUp

PROGRAM = [sys.executable, rc.__file__, "127.0.0.1"]
DOCUMENT = os.path.join(helpers.TOP, "docs", "protocol.md")
LIMIT_S = 20  # for whatever must come


# --- the document's example

def document_session():
    """Section 4's bytes: heading -> bytes."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    section = text[text.index("\n## 4. "):text.index("\n## 5. ")]
    blocks = {}
    for line in section.splitlines():
        if re.match(r"(Client|Server), .*:$", line):
            heading = line
        elif found := re.match(r"    ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)", line):
            blocks[heading] = blocks.get(heading, b"") + bytes.fromhex(found[1])
    assert [heading.split(",")[0] for heading in blocks] == ["Client", "Server", "Client", "Server", "Client"]
    return list(blocks.values())


def test_the_session_in_the_document():
    """Byte for byte: the client is given the server's part and must say the client's."""
    hello, welcome, frames, ack, bye = document_session()
    with Script([(48, welcome), (len(frames), ack), (8, b"")]) as server:
        client = Client("127.0.0.1", server.port)
        client.stream = bytes([0x80, *range(1, 16)])
        client.writer = 0x1122334455667788
        client.connect()
        assert client.max_message == 1 << 20 and client.journal == bytes(range(0xA0, 0xB0))
        client.send([b"Hello World!", b""])
        client.wait()
        assert (client.acked, client.record, client.h) == (2, 42, 0x0ECBE713)
        client.bye()
        assert server.heard() == [hello, frames, bye]


def test_the_document_s_other_numbers():
    assert rc.crc32c(b"123456789") == 0xE3069283
    assert rc.chain(0, 0x279F9C6D) == 0xEEC583A0
    with open(DOCUMENT, encoding="utf-8") as file:
        table = re.findall(r"^\| (?:`(\w+)`.*|\(empty\)) \| `([0-9a-f]{2}(?: [0-9a-f]{2}){15})` \|$", file.read(), re.M)
    assert len(table) == 3
    for name, numbers in table:
        assert rc.stream_id(name) == bytes.fromhex(numbers)
    one, other = rc.stream_id(), rc.stream_id()
    assert one != other and len(one) == 16 and one[0] & other[0] & 0x80


# --- servers that do what they must not

class Script:
    """A server with a list of connections to come. Each is a list of steps: read so many bytes, then answer. At the end
    of the steps it closes."""

    def __init__(self, *connections):
        self.connections = connections
        self.parts = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LIMIT_S)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        for steps in self.connections:
            try:
                with self.listener.accept()[0] as connection:
                    connection.settimeout(LIMIT_S)
                    for size, answer in steps:
                        self.parts.append(receive(connection, size))
                        connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    self.parts += filter(None, [helpers.receive_all(connection)])
            except OSError:
                pass

    def heard(self):
        """What each step has read, and what came after a connection's last step, when something did."""
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        return self.parts

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()


def receive(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            break
        data += more
    return data


def message(kind, body=b""):
    head = struct.pack("<II", kind, len(body))
    return head + struct.pack("<I", rc.crc32c(head + body)) + body


def welcome(last=0, record=0, writer=0, h=0, flags=0, max_message=1 << 20):
    return message(rc.WELCOME, struct.pack("<II16sQQQI", flags, max_message, b"j" * 16, last, record, writer, h))


def ack(seq, record):
    return message(rc.ACK, struct.pack("<QQ", seq, record))


def error(code, seq=0, text=b""):
    return message(rc.ERROR, struct.pack("<IQ", code, seq) + text)


def ids(value):
    """The bytes are no name for a test."""
    return str(value) if isinstance(value, (int, str)) else "answer"


HELLO_SIZE = 48
FRAME_SIZE = 11  # of b"abc"


@pytest.mark.parametrize("answer, said", [
    (b"HTTP/1.1 400 Bad Request\r\n", "not a Roger server"),
    (b"ACK!", "not a Roger server"),
    (b"", "closed"),
    (rc.PREFACE[:5], "closed"),
    (rc.PREFACE, "closed"),
    (rc.PREFACE + ack(0, 0), "out of place"),
    (rc.PREFACE + rc.PREFACE + welcome(), "kind"),
    (rc.PREFACE + message(0), "kind 0"),
    (rc.PREFACE + message(6), "kind 6"),
    (rc.PREFACE + message(rc.WAIT, b"x"), "kind 4 with 1"),
    (rc.PREFACE + message(rc.WELCOME, bytes(51)), "kind 1 with 51"),
    (rc.PREFACE + error(7, text=b"x" * 201), "kind 3 with 213"),
    (rc.PREFACE + welcome()[:-1] + b"\1", "checksum"),
    (rc.PREFACE + welcome(flags=2), "cannot be"),
    (rc.PREFACE + welcome(max_message=0), "cannot be"),
    (rc.PREFACE + welcome(max_message=2**31 + 1), "cannot be"),
    (rc.PREFACE + welcome(last=2**63, record=2**63), "cannot be"),
    (rc.PREFACE + welcome(h=1), "cannot be"),
    (rc.PREFACE + welcome(last=1, record=1), "new stream"),
    (rc.PREFACE + message(rc.WAIT) + error(7, text=b"full\x1b[2J"), r"error 7: 'full\\x1b\[2J'"),
], ids=ids)
def test_not_welcome(answer, said):
    """Whatever is wrong before the first WELCOME ends the run: nothing has been sent."""
    with Script([(HELLO_SIZE, answer)]) as server:
        with pytest.raises(GiveUp, match=said) as caught:
            Client("127.0.0.1", server.port).connect()
        assert caught.value.in_doubt == 0
        assert len(server.heard()) == 1


NAMED = rc.stream_id("s")
ABC = [rc.frame(NAMED, number, b"abc") for number in range(1, 10)]
FIRST = (HELLO_SIZE, rc.PREFACE + welcome())  # of every script: a stream that is unknown


def again(last, record, writer=77, h=None, **more):
    """WELCOME on a later connection; unless told, as it should be."""
    return HELLO_SIZE, rc.PREFACE + welcome(last, record, writer if last else 0, h_of(last) if h is None else h, **more)


def scripted(server, **more):
    """A client for it: connected, its first WELCOME read."""
    client = Client("127.0.0.1", server.port, "s", patience_s=0, **more)
    client.writer = 77
    client.connect()
    return client


def h_of(last):
    return rc.crc32c(b"".join(data[4:8] for data in ABC[:last]))


@pytest.mark.parametrize("bad, counted", [
    pytest.param(ack(4, 100), 0, id="more than was sent"),
    pytest.param(ack(2, 1), 0, id="fewer records than messages"),
    pytest.param(ack(2, 7) + ack(1, 8), 2, id="back"),
    pytest.param(ack(2, 7) + ack(3, 7), 2, id="the record stands still"),
    pytest.param(ack(2, 7) + welcome(2, 7), 2, id="WELCOME twice"),
    pytest.param(ack(2, 7) + message(rc.ACK, bytes(17)), 2, id="too long"),
    pytest.param(ack(2, 7)[:-1] + b"\1" + ack(3, 8), 0, id="checksum"),
])
def test_an_ack_that_cannot_be(bad, counted):
    """It ends the connection and is not counted. The next connection puts it right."""
    rest = ABC[counted:3]
    with Script([FIRST, (FRAME_SIZE * 3, bad)],
                [again(counted, counted * 3), (FRAME_SIZE * len(rest), ack(3, 9))]) as server:
        notices = []
        client = scripted(server, notice=notices.append)
        client.send([b"abc"] * 3)
        client.wait()
        assert client.acked == 3 and len(notices) == 1 and "connection lost" in notices[0]
        client.bye()
        assert server.heard()[3] == b"".join(rest)


@pytest.mark.parametrize("answer, in_doubt, said", [
    (again(3, 3, writer=78), 2, "somebody else"),
    (again(4, 4), 2, "somebody else"),  # more than was sent
    (again(2, 2, h=h_of(3)), 2, "somebody else"),
    (again(1, 1, h=h_of(2)), 2, "somebody else"),
    (again(0, 0), 2, "lost 1"),  # it should have been ERROR 5
    ((HELLO_SIZE, rc.PREFACE + error(5, 1, b"gap")), 0, "error 5"),
    ((HELLO_SIZE, rc.PREFACE + error(6)), 2, "error 6"),
    ((HELLO_SIZE, rc.PREFACE + error(7)), 2, "error 7"),  # and no more patience
    ((HELLO_SIZE, b"HTTP/1.1 400 Bad Request\r\n"), 2, "not a Roger server"),
    (again(1, 1, max_message=2), 0, "no more than 2 bytes"),
], ids=ids)
def test_a_later_connection_that_ends_the_run(answer, in_doubt, said):
    """Three messages are sent and one is acknowledged before it."""
    with Script([FIRST, (FRAME_SIZE * 3, ack(1, 1))], [answer]) as server:
        client = scripted(server)
        with pytest.raises(GiveUp, match=said) as caught:
            client.send([b"abc"] * 3)
            client.wait()
        assert caught.value.in_doubt == in_doubt and client.acked == 1
        hello, frames, other = server.heard()
        assert hello == rc.hello(rc.NEXT, NAMED, 77, 1)
        assert frames == b"".join(ABC[:3])
        assert other == rc.hello(0, NAMED, 77, 2)  # NEXT once only


def test_a_later_welcome_acknowledges():
    """What the server got and could not acknowledge any more is not sent again."""
    with Script([FIRST, (FRAME_SIZE * 3, ack(1, 1))], [again(2, 9), (FRAME_SIZE, ack(3, 10))]) as server:
        client = scripted(server)
        client.send([b"abc"] * 3)
        client.wait()
        client.bye()
        assert server.heard()[-1] == ABC[2]


def test_an_accepted_gap_begins_the_history_anew():
    """The numbers go on, h begins at 0."""
    with Script([FIRST, (FRAME_SIZE * 2, ack(1, 1))], [again(0, 0), (FRAME_SIZE, b"")],
                [again(2, 1, h=rc.crc32c(ABC[1][4:8]))]) as server:
        notices = []
        client = scripted(server, accept_gap=True, notice=notices.append)
        client.send([b"abc"] * 2)
        client.wait()
        client.bye()
        assert client.acked == 2 and any("lost 1 messages" in text for text in notices)
        assert server.heard()[3] == ABC[1]


def test_wrong_checksum_twice_is_the_end():
    """Once is bytes that changed on the way; twice at the same number is not."""
    with Script([FIRST, (FRAME_SIZE * 3, ack(1, 1) + error(3, 2))],
                [again(1, 1), (FRAME_SIZE * 2, ack(2, 2) + error(3, 3))],
                [again(2, 2), (FRAME_SIZE, error(3, 3))]) as server:
        client = scripted(server)
        with pytest.raises(GiveUp, match="error 3") as caught:
            client.send([b"abc"] * 3)
            client.wait()
        assert (caught.value.code, caught.value.seq, caught.value.in_doubt, client.acked) == (3, 3, 0, 2)


def test_drain():
    """Nothing more is sent, what comes is read, and the next connection waits as long as it was told."""
    with Script([FIRST, (FRAME_SIZE, message(rc.DRAIN, struct.pack("<I", 600)) + ack(1, 1))],
                [again(1, 1), (FRAME_SIZE, ack(2, 2))]) as server:
        client = scripted(server)
        client.send([b"abc"])
        client.wait()
        began = time.monotonic()
        client.send([b"abc"])
        client.wait()
        assert time.monotonic() - began > 0.5
        client.bye()
        assert [len(part) for part in server.heard()] == [HELLO_SIZE, FRAME_SIZE, HELLO_SIZE, FRAME_SIZE]


# --- the real server

class Raw:
    """A native connection that does only what it is told."""

    def __init__(self, port, name=None, flags=None, first=1, stream=None, writer=1, greeting=None):
        self.stream = stream or rc.stream_id(name)
        if flags is None:
            flags = rc.EPHEMERAL if name is None else 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.input = bytearray()
        self.send(greeting or rc.hello(flags, self.stream, writer, first))

    def send(self, data):
        self.socket.sendall(data)

    def frame(self, number, payload):
        self.send(rc.frame(self.stream, number, payload))

    def messages(self):
        """Everything to the server's end, as (kind, ...) tuples, WAIT and repeated ACKs left out."""
        try:
            while data := self.socket.recv(65536):
                self.input += data
        finally:
            self.socket.close()
        assert not self.input or self.input[:8] == rc.PREFACE
        del self.input[:8]
        found = []
        while entry := rc.take_message(self.input):
            entry = self.told(*entry)
            if entry != (rc.WAIT,) and entry not in found:
                found.append(entry)
        assert not self.input
        return found

    @staticmethod
    def told(kind, body):
        if kind == rc.ACK:
            return kind, struct.unpack("<QQ", body)[0]
        if kind == rc.ERROR:
            assert body[12:].decode()
            return kind, *struct.unpack_from("<IQ", body)
        if kind == rc.WELCOME:
            return kind, struct.unpack_from("<Q", body, 24)[0]
        return (kind,)

    def welcome(self):
        """Wait for it. (flags, max-message, journal id, last, record, writer, h)"""
        need = 8 + 12 + 52
        while len(self.input) < need:
            data = self.socket.recv(need - len(self.input))
            assert data
            self.input += data
        assert self.input[:8] == rc.PREFACE
        kind, body = rc.take_message(bytearray(self.input[8:]))
        assert kind == rc.WELCOME
        return struct.unpack("<II16sQQQI", body)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self


def connected(server, *arguments, **more):
    client = Client("127.0.0.1", server.port, *arguments, **more)
    client.connect()
    return client


class Proxy:
    """Cuts the n-th connection after cuts[n] bytes of the client's; later ones live on."""

    def __init__(self, port, cuts):
        self.target, self.cuts, self.connections = port, list(cuts), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            cut = self.cuts[self.connections] if self.connections < len(self.cuts) else 1 << 60
            self.connections += 1
            self.carry(client, cut)

    def carry(self, client, cut):
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            while cut > 0:
                for side in select.select([client, server], [], [], LIMIT_S)[0]:
                    try:
                        data = side.recv(min(cut, 65536) if side is client else 65536)
                        if not data:
                            return
                        (server if side is client else client).sendall(data)
                    except OSError:
                        return
                    cut -= len(data) if side is client else 0
            # the client is reset; the server gets what was let through, and its end
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self):
        self.listener.close()


def numbered(first, last):
    return [b"message %d" % n for n in range(first, last + 1)]


def command_line(server, *arguments, data=b""):
    return subprocess.run([*PROGRAM, str(server.port), *arguments], input=data, capture_output=True, timeout=60)


def test_send_and_ack(roger, journal):
    server = roger.serve(journal, "--quiet")
    sent = [b"Hello World!", b"", b"\0\xff\r\n", b"x" * (1 << 20)] + numbered(1, 500)
    client = connected(server)
    client.send(sent)
    client.wait()
    assert client.acknowledged == len(sent) and client.record == len(sent)
    client.send([b"later"])
    client.bye()
    assert client.acknowledged == len(sent) + 1
    assert payloads(journal) == sent + [b"later"]
    stored = records(journal)
    assert [r["seq"] for r in stored] == list(range(1, len(sent) + 2))
    assert len({r["stream"] for r in stored}) == 1


def test_command_line(roger, journal):
    server = roger.serve(journal, "--quiet")
    assert ok(command_line(server, data=b"one\ntwo\n\nlast")) == b"4 acknowledged\n"
    assert ok(command_line(server, "--stream", "orders", data=b"a\nb\n")) == b"2 acknowledged\n"
    assert ok(command_line(server, "--stream", "orders", data=b"c\n")) == b"1 acknowledged\n"
    assert ok(command_line(server, "--stream", "orders", "--resume", data=b"a\nb\nc\nd\n")) == b"1 acknowledged\n"
    assert ok(command_line(server, "--stream", "orders", "--resume", data=b"a\nb\nc\nd\n")) == b"0 acknowledged\n"
    for other in (b"a\nb\nC\nd\ne\n", b"a\nb\nc\n", b""):
        done = command_line(server, "--stream", "orders", "--resume", data=other)
        assert done.returncode == 1 and done.stdout == b"0 acknowledged\n" and b"server has" in done.stderr
    assert payloads(journal) == [b"one", b"two", b"", b"last", b"a", b"b", b"c", b"d"]


def test_both_clients_know_the_same_stream(roger, journal):
    """roger send and this client name, number and sum up alike."""
    server = roger.serve(journal, "--quiet")
    ok(run("send", server.address, "--stream", "both", input=b"a\nb\n"))
    assert ok(command_line(server, "--stream", "both", "--resume", data=b"a\nb\nc\n")) == b"1 acknowledged\n"
    ok(run("send", server.address, "--stream", "both", "--resume", input=b"a\nb\nc\nd\n"))
    assert payloads(journal) == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize("name", [None, "orders"])
def test_cut_in_mid_stream(roger, journal, name):
    """Cuts within HELLO, a frame's head, a payload, and between frames: each message is there once."""
    server = roger.serve(journal, "--quiet")
    sent = numbered(1, 3000)
    proxy = Proxy(server.port, [49, 52, 56, 60, 48 + 17, 48, 3000, 20, 30000, 48 + 17 * 5, 9999])
    client = Client("127.0.0.1", proxy.port, name)
    client.connect()
    client.send(sent)
    client.bye()
    proxy.close()
    assert proxy.connections == 12
    assert payloads(journal) == sent


def test_resume_after_the_client_was_killed(roger, journal):
    """The queue is gone with it; the same input goes on where the server stands."""
    server = roger.serve(journal, "--quiet")
    lines = b"".join(text + b"\n" for text in numbered(1, 2000))
    for turn in range(3):
        client = roger.keep(helpers.Process([*PROGRAM, server.port, "--stream", "killed", "--resume"],
                                            stdin=subprocess.PIPE))
        client.stdin.write(lines[:len(lines) // 4 * (turn + 1) + 5])
        client.stdin.flush()
        before = helpers.durable(journal)
        wait_until(lambda: helpers.durable(journal) > before + 100, "some acknowledged")
        client.kill()
    done = command_line(server, "--stream", "killed", "--resume", data=lines)
    ok(done)
    assert payloads(journal) == numbered(1, 2000)


def test_fencing(roger, journal):
    """The second takes the stream over; the first is told, and of what it had begun nothing is stored."""
    server = roger.serve(journal, "--quiet")
    first = connected(server, "orders")
    first.send([b"first"])
    first.wait()
    begun = rc.frame(first.stream, 2, b"half of it")
    first.socket.sendall(begun[:12])
    second = connected(server, "orders")
    second.send([b"second"])
    second.wait()
    assert select.select([first.socket], [], [], LIMIT_S)[0]
    with pytest.raises(GiveUp) as caught:
        first.send([b"never"])
        first.wait()
    assert caught.value.code == 6
    second.send([b"third"])
    second.bye()
    assert [(r["seq"], r["payload"]) for r in records(journal)] == [(1, "first"), (2, "second"), (3, "third")]


def test_fencing_under_load(roger, journal):
    """However they come in between, the stream is one series, and what was acknowledged is in it."""
    server = roger.serve(journal, "--quiet")
    first = connected(server, "orders")
    outcome = {}

    def send():
        try:
            first.send(b"first %d" % n for n in range(1000000))
        except GiveUp as error:
            outcome["error"] = error

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: helpers.durable(journal) > 100, "the first one is under way")
    second = connected(server, "orders")
    base = second.acked
    second.send(numbered(1, 100))
    second.bye()
    thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert outcome["error"].code in (0, 6)  # 0: ERROR 6 got lost with the reset, and the next WELCOME told
    assert first.acked <= base <= first.acked + outcome["error"].in_doubt
    stored = records(journal)
    assert [r["seq"] for r in stored] == list(range(1, base + 101))
    assert payloads(journal) == [b"first %d" % n for n in range(base)] + numbered(1, 100)


def lose_the_journal(roger, client):
    """3 messages on a journal that is then gone, and a server with a fresh one at the same address."""
    lost, fresh = roger.journal("lost"), roger.journal("fresh")
    server = roger.serve(lost, "--quiet")
    client.address = ("127.0.0.1", server.port)
    client.connect()
    client.send(numbered(1, 3))
    client.wait()
    server.kill()
    roger.serve(fresh, "--quiet", listen=[server.address])
    return fresh


def test_gap_refused(roger):
    client = Client(None, None, "orders")
    fresh = lose_the_journal(roger, client)
    with pytest.raises(GiveUp) as caught:
        client.send(numbered(4, 5))
        client.wait()
    assert (caught.value.code, caught.value.seq) == (5, 1)
    assert payloads(fresh) == []


@pytest.mark.parametrize("name", ["orders", None])
def test_gap_accepted(roger, name):
    notices = []
    client = Client(None, None, name, accept_gap=True, notice=notices.append)
    fresh = lose_the_journal(roger, client)
    client.send(numbered(4, 5))
    client.wait()
    client.socket.close()  # the history after a gap must fit at the next WELCOME, too
    client.socket = None
    client.send(numbered(6, 6))
    client.bye()
    assert any("lost 3 messages" in text for text in notices)
    assert [(r["seq"], r["payload"]) for r in records(fresh)] == [(n, f"message {n}") for n in (4, 5, 6)]
    assert b"gap" in ok(run("verify", fresh))


def test_gap_by_hand(roger, journal):
    """3.4: what the next number is, with and without each flag."""
    server = roger.serve(journal, "--quiet")
    assert Raw(server.port, "s", first=5).messages() == [(rc.ERROR, 5, 1)]
    raw = Raw(server.port, "s", rc.ACCEPT_GAP, first=5)
    assert raw.welcome()[3:] == (0, 0, 0, 0)
    raw.frame(5, b"five")
    assert raw.half_close().messages() == [(rc.WELCOME, 0), (rc.ACK, 5)]
    raw = Raw(server.port, "s", rc.ACCEPT_GAP, first=3, writer=2)  # no gap: goes on at 6
    assert raw.welcome()[3:] == (5, 1, 1, rc.chain(0, rc.checksum(raw.stream, 5, 4, b"five")))
    raw.frame(6, b"six")
    assert raw.half_close().messages() == [(rc.WELCOME, 5), (rc.ACK, 6)]
    raw = Raw(server.port, "s", rc.ACCEPT_GAP | rc.NEXT, first=1)
    assert raw.welcome()[3:6] == (6, 2, 2)
    raw.frame(7, b"seven")
    assert raw.half_close().messages() == [(rc.WELCOME, 6), (rc.ACK, 7)]
    assert Raw(server.port, "s", first=9).messages() == [(rc.ERROR, 5, 8)]
    raw = Raw(server.port, "s", first=8)  # 8 - 1 is not above last
    assert raw.half_close().messages() == [(rc.WELCOME, 7)]
    assert [r["seq"] for r in records(journal)] == [5, 6, 7]


@pytest.mark.parametrize("change", ["checksum", "payload", "size", "left out", "repeated", "other stream"])
def test_wrong_checksum(roger, journal, change):
    """ERROR 3 with the expected number; nothing of that frame or after it, everything before it."""
    server = roger.serve(journal, "--quiet")
    raw = Raw(server.port)
    raw.welcome()
    good = [rc.frame(raw.stream, n, b"message %d" % n) for n in range(1, 6)]
    bad = bytearray(good[2])
    if change == "checksum":
        bad[4] ^= 1
    elif change == "payload":
        bad[-1] ^= 0x80
    elif change == "size":
        bad[0] -= 1
    elif change == "left out":
        bad = good[3]
    elif change == "repeated":
        bad = good[1]
    else:
        bad = rc.frame(rc.stream_id(), 3, b"message 3")
    raw.send(b"".join([*good[:2], bad, *good[3:]]))
    told = raw.messages()
    assert told[-1] == (rc.ERROR, 3, 3)
    again = Raw(server.port, stream=raw.stream, flags=rc.EPHEMERAL)
    assert again.welcome()[3] == 2
    again.send(b"".join(good[2:]))
    assert again.half_close().messages()[-1] == (rc.ACK, 5)
    assert payloads(journal) == numbered(1, 5)


def test_wrong_checksum_of_the_client(roger, journal):
    """A client that cannot do it right stops; nothing is in doubt."""
    server = roger.serve(journal, "--quiet")
    client = connected(server)
    client.send([b"one"])
    client.wait()
    bad = rc.frame(client.stream, 3, b"two")
    client.queue.append(bad)
    client.unsent.append(bad)
    with pytest.raises(GiveUp) as caught:
        client.wait()
    assert (caught.value.code, caught.value.seq, caught.value.in_doubt) == (3, 2, 0)
    assert payloads(journal) == [b"one"]


def test_max_message(roger, journal):
    server = roger.serve(journal, "--quiet", "--max-message", "1000")
    client = connected(server, "s")
    assert client.max_message == 1000
    client.send([b"x" * 1000])
    with pytest.raises(GiveUp, match="1001 bytes"):
        client.send([b"x" * 1001])
    assert payloads(journal) == [b"x" * 1000]


def test_too_big(roger, journal):
    server = roger.serve(journal, "--quiet", "--max-message", "1000")
    for size in (1001, 1 << 20, 0x80000000, 0xFFFFFFFE):
        raw = Raw(server.port)
        raw.welcome()
        raw.frame(1, b"fits %d" % size)
        raw.send(struct.pack("<II", size, rc.checksum(raw.stream, 2, size)))  # the head alone is enough
        assert raw.messages()[-1] == (rc.ERROR, 4, 2)
    assert payloads(journal) == [b"fits %d" % size for size in (1001, 1 << 20, 0x80000000, 0xFFFFFFFE)]


def test_unknown_flags(roger, journal):
    server = roger.serve(journal, "--quiet")
    for bit in range(3, 32):
        (told,) = Raw(server.port, flags=rc.EPHEMERAL | 1 << bit).messages()
        assert told[:2] == (rc.ERROR, 2)
    for flags in range(8):
        assert Raw(server.port, "s", flags).half_close().messages() == [(rc.WELCOME, 0)]


@pytest.mark.parametrize("stream, first, code", [
    (bytes(16), 1, 2),
    (bytes(8) + b"x" * 8, 1, 2),
    (bytes(7) + b"x" * 9, 1, 0),
    (b"x" * 16, 0, 2),
    (b"x" * 16, 2**63, 2),
    (b"x" * 16, 2**64 - 1, 2),
    (b"x" * 16, 2**63 - 1, 5),
])
def test_hello_s_fields(roger, journal, stream, first, code):
    server = roger.serve(journal, "--quiet")
    (told,) = Raw(server.port, flags=0, stream=stream, first=first).half_close().messages()
    assert told[:2] == ((rc.ERROR, code) if code else (rc.WELCOME, 0))


def test_hello_damaged(roger, journal):
    """Every byte after the preface: ERROR 1."""
    server = roger.serve(journal, "--quiet")
    good = rc.hello(rc.EPHEMERAL, rc.stream_id(), 1, 1)
    for offset in range(8, 48):
        bad = bytearray(good)
        bad[offset] ^= 0x10
        (told,) = Raw(server.port, greeting=bad).messages()
        assert told[:2] == (rc.ERROR, 1)


def test_the_last_number(roger, journal):
    """2^63 - 1; after it there is ERROR 9, or BYE with 2^63."""
    server = roger.serve(journal, "--quiet")
    highest = 2**63 - 1
    raw = Raw(server.port, flags=rc.ACCEPT_GAP | rc.EPHEMERAL, first=highest)
    raw.welcome()
    raw.frame(highest, b"the last")
    raw.frame(highest + 1, b"one more")
    assert raw.messages() == [(rc.WELCOME, 0), (rc.ACK, highest), (rc.ERROR, 9, highest + 1)]
    raw = Raw(server.port, flags=rc.ACCEPT_GAP | rc.EPHEMERAL, first=highest)
    raw.welcome()
    raw.frame(highest, b"the last")
    raw.send(rc.bye(raw.stream, highest + 1))
    assert raw.messages() == [(rc.WELCOME, 0), (rc.ACK, highest)]
    assert payloads(journal) == [b"the last"] * 2


def test_the_last_number_is_known_again(roger, journal):
    """A client that has lost the ACK of 2^63 - 1 learns by WELCOME that it is stored."""
    server = roger.serve(journal, "--quiet")
    highest = 2**63 - 1
    raw = Raw(server.port, "s", rc.ACCEPT_GAP, first=highest)
    raw.welcome()
    raw.frame(highest, b"the last")
    assert raw.half_close().messages()[-1] == (rc.ACK, highest)
    assert Raw(server.port, "s", first=highest).half_close().messages() == [(rc.WELCOME, highest)]


def test_bye(roger, journal):
    """It gives the place in the table back."""
    server = roger.serve(journal, "--quiet", "--max-streams", "2")
    for number in range(6):
        client = connected(server)
        client.send([b"%d" % number])
        client.bye()
    kept = connected(server, "kept"), connected(server, "kept, too")
    for client in kept:
        client.send([b"kept"])
        client.wait()
    with pytest.raises(GiveUp, match="error 7|closed"):
        client = Client("127.0.0.1", server.port, patience_s=0)
        client.connect()
        client.send([b"no room"])
        client.wait()
    for client in kept:
        client.send([b"still kept"])
        client.bye()
    assert payloads(journal) == [b"%d" % n for n in range(6)] + [b"kept"] * 2 + [b"still kept"] * 2


def test_bye_ends_the_stream(roger, journal):
    """Soon afterwards it is unknown, and it stays so."""
    server = roger.serve(journal, "--quiet")
    raw = Raw(server.port)
    raw.welcome()
    raw.frame(1, b"one")
    raw.send(rc.bye(raw.stream, 2))
    assert raw.messages() == [(rc.WELCOME, 0), (rc.ACK, 1)]

    def known():
        return Raw(server.port, stream=raw.stream, flags=rc.EPHEMERAL).half_close().messages()

    wait_until(lambda: known() == [(rc.WELCOME, 0)], "the stream is unknown")
    server.terminate()
    server = roger.again(server)
    assert known() == [(rc.WELCOME, 0)]


def test_bye_that_must_not_be(roger, journal):
    server = roger.serve(journal, "--quiet")
    raw = Raw(server.port, "named")
    raw.welcome()
    raw.frame(1, b"one")
    raw.send(rc.bye(raw.stream, 2))
    assert raw.messages()[-1] == (rc.ERROR, 8, 2)
    raw = Raw(server.port)
    raw.welcome()
    raw.frame(1, b"two")
    raw.send(rc.bye(raw.stream, 3))
    assert raw.messages()[-1] == (rc.ERROR, 3, 2)
    assert payloads(journal) == [b"one", b"two"]


def test_bytes_after_bye(roger, journal):
    server = roger.serve(journal, "--quiet")
    raw = Raw(server.port)
    raw.welcome()
    raw.frame(1, b"one")
    raw.send(rc.bye(raw.stream, 2) + rc.frame(raw.stream, 2, b"never"))
    told = raw.messages()
    assert payloads(journal) == [b"one"]
    assert told[-1][:2] == (rc.ERROR, 8)


def test_half_close(roger, journal):
    """Complete frames are stored and acknowledged, the incomplete one is not, and the server closes."""
    server = roger.serve(journal, "--quiet")
    stored = []
    for rest in (0, 1, 7, 8, 9):
        raw = Raw(server.port)
        raw.welcome()
        for number in range(1, 101):
            raw.frame(number, b"message %d" % number)
        raw.send(rc.frame(raw.stream, 101, b"incomplete")[:rest])
        assert raw.half_close().messages()[-1] == (rc.ACK, 100)
        stored += numbered(1, 100)
    assert Raw(server.port).half_close().messages() == [(rc.WELCOME, 0)]
    assert payloads(journal) == stored


def test_byte_by_byte(roger, journal):
    """As long as the preface comes at once."""
    server = roger.serve(journal, "--quiet")
    stream = rc.stream_id()
    greeting = rc.hello(rc.EPHEMERAL, stream, 1, 1)
    raw = Raw(server.port, stream=stream, greeting=greeting[:8])
    raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in greeting[8:]:
        raw.send(bytes([byte]))
    raw.welcome()
    for byte in rc.frame(stream, 1, b"slow"):
        raw.send(bytes([byte]))
    assert raw.half_close().messages()[-1] == (rc.ACK, 1)
    assert payloads(journal) == [b"slow"]


def test_deadline(roger, journal):
    server = roger.serve(journal, "--quiet", "--message-timeout", "1s")
    raw = Raw(server.port)
    raw.welcome()
    raw.frame(1, b"one")
    raw.send(b"\1")
    told = raw.messages()
    assert told[-1][:2] == (rc.ERROR, 10)
    assert payloads(journal) == [b"one"]


def test_drained(roger, journal):
    """DRAIN comes to whoever is connected, and what had been read is acknowledged."""
    server = roger.serve(journal, "--quiet")
    silent, half = Raw(server.port), Raw(server.port)
    silent.welcome()
    half.welcome()
    half.frame(1, b"one")
    half.send(rc.frame(half.stream, 2, b"half a frame")[:-1])
    wait_until(lambda: helpers.durable(journal) == 1, "the whole one is stored")
    server.popen.terminate()
    assert silent.messages() == [(rc.WELCOME, 0), (rc.DRAIN,)]
    assert sorted(half.messages()) == [(rc.WELCOME, 0), (rc.ACK, 1), (rc.DRAIN,)]
    assert server.wait() == 0
    assert payloads(journal) == [b"one"]


@pytest.mark.usefixtures("traced")
def test_heartbeat(roger, journal, monkeypatch):
    """While the disk keeps the ACK back there is a sign of life: the client does not take it for silence."""
    monkeypatch.setattr(rc, "SILENCE_S", 1.5)
    server = roger.serve(journal, "--quiet", "--io", "epoll", "--heartbeat", "200ms")
    notices = []
    client = connected(server, notice=notices.append)
    client.send([b"quick"])
    client.wait()
    server.wait_quiet()
    tracer = helpers.Tracer(server.pid, "delay_exit=3000000")
    roger.keep(tracer.process)
    if tracer.refused():
        pytest.skip(f"tracing is not permitted here: {tracer.refused()}")
    began = time.monotonic()
    client.send([b"slow"])
    client.wait()
    assert time.monotonic() - began >= 3
    tracer.detach()
    client.bye()
    assert notices == [] and payloads(journal) == [b"quick", b"slow"]


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_server_restarted(roger, journal, end):
    """Killed or drained, on the same port: exactly once."""
    server = roger.serve(journal, "--quiet")
    client = connected(server, "orders")
    outcome = {}
    enough = threading.Event()
    sent = []

    def messages():
        while not enough.is_set():
            sent.append(b"message %d" % (len(sent) + 1))
            yield sent[-1]

    def send():
        try:
            client.send(messages())
            client.bye()
        except BaseException as error:  # the test's own thread must see it
            outcome["error"] = error

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(3):
            before = helpers.durable(journal)
            wait_until(lambda: helpers.durable(journal) > before + 200 or "error" in outcome, "200 more acknowledged")
            getattr(server, end)()
            server = roger.again(server)
    finally:
        enough.set()
        thread.join(60)
    assert not thread.is_alive() and not outcome, outcome
    assert client.acknowledged == len(sent) > 600
    assert payloads(journal) == sent


def test_restart_without_a_journal(roger):
    """NOT_DURABLE: the user is told, and a gap is accepted without having been asked for."""
    server = roger.serve(None, "--quiet")
    notices = []
    client = connected(server, notice=notices.append)
    assert any("no journal" in text for text in notices)
    client.send(numbered(1, 3))
    client.wait()
    server.kill()
    server = roger.again(server)
    client.send(numbered(4, 5))
    client.bye()
    assert client.acknowledged == 5
    assert any("lost 3 messages" in text for text in notices)


def test_many_streams(roger, journal):
    """ACKs are each stream's own, record numbers are the journal's."""
    server = roger.serve(journal, "--quiet")
    clients = [connected(server, f"stream {n}") for n in range(10)]
    for turn in range(20):
        for number, client in enumerate(clients):
            client.send([b"%d %d" % (number, turn)])
    for client in clients:
        client.bye()
    stored = records(journal)
    assert len(stored) == 200 and {client.acked for client in clients} == {20}
    assert sorted(client.record for client in clients)[-1] == 200
    for number, client in enumerate(clients):
        own = [r for r in stored if r["payload"].startswith(f"{number} ")]
        assert [r["seq"] for r in own] == list(range(1, 21))
        assert own[-1]["record"] == client.record
