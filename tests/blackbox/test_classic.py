"""The classic exchange: a program that knows nothing of Roger says `Hello World!` and reads `ACK!`."""

import re
import socket
import threading
import time

import helpers
import pytest
from helpers import exchange, ok, payloads, records, run


def tutorial_client(port):
    """The client of every tutorial: one send, one receive."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(helpers.PATIENCE_S)
        client.connect(("127.0.0.1", port))
        client.send(b"Hello World!")
        answer = client.recv(1024)
        assert client.recv(1024) == b"", "the server does not close the connection"
    return answer


def test_tutorial_on_port_9999(roger, tmp_path):
    """No options at all: port 9999, in a network of our own, so that it is free."""

    def scene():
        server = roger.keep(helpers.Process([helpers.ROGER, "serve"], cwd=tmp_path))
        server.out.wait_for(r"^listening on 0\.0\.0\.0:9999 \(roger, raw\)$")
        answers = [tutorial_client(9999), tutorial_client(9999)]
        server.out.wait_for("received 12 bytes", count=2)
        return server, answers

    done = helpers.in_network_namespace(scene)
    if done is None:
        pytest.skip("a network namespace needs root")
    server, answers = done[0]
    assert answers == [b"ACK!", b"ACK!"]
    assert server.terminate() == 0
    assert len([l for l in server.out.lines if re.match(r"accepted 127\.0\.0\.1:\d+$", l)]) == 2
    assert len([l for l in server.out.lines
                if re.match(r"received 12 bytes from 127\.0\.0\.1:\d+: Hello World!$", l)]) == 2
    assert "anyone who can reach 0.0.0.0:9999 can write here; --listen 127.0.0.1 keeps it local" in server.err.text()
    made = tmp_path / "roger-journal"
    roger.audits[made] = 0
    assert payloads(made) == [b"Hello World!"] * 2


def test_many_at_once(roger, journal):
    """32 tutorial clients at once: no failure, every exchange in the journal."""
    server = roger.serve(journal)
    until = time.monotonic() + (5 if helpers.FULL else 2)
    answers, errors = [], []

    def client():
        try:
            while time.monotonic() < until:
                answers.append(tutorial_client(server.port))
        except Exception as error:  # noqa: BLE001  (any failure fails the test, on its own thread)
            errors.append(error)

    threads = [threading.Thread(target=client) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(answers) >= 32 and set(answers) == {b"ACK!"}
    stored = payloads(journal)
    assert stored == [b"Hello World!"] * len(answers)


def test_quiet_leaves_the_listening_line_only(roger, journal):
    server = roger.serve(journal, "--quiet")
    assert exchange(server.port, b"Hello World!") == b"ACK!"
    assert server.terminate() == 0
    assert server.out.lines == [f"listening on 127.0.0.1:{server.port} (roger, raw)"]


def test_hostile_bytes_are_escaped(roger, journal):
    """What a peer sends does nothing to the terminal of the one who watches."""
    server = roger.serve(journal)
    payload = b"\x1b[2J\x07\x00\xff end"
    assert exchange(server.port, payload) == b"ACK!"
    line = server.out.wait_for("received 11 bytes").string
    assert "\x1b" not in line and "\x07" not in line and "end" in line
    assert payloads(journal) == [payload]


def test_long_messages_are_cut_in_the_log(roger, journal):
    server = roger.serve(journal)
    assert exchange(server.port, b"x" * 1000, half_close=True) == b"ACK!"
    line = server.out.wait_for(r"received 1000 bytes").string
    assert "x" * 40 in line and len(line) < 200


class PlainServer:
    """Any TCP server: takes what comes up to `expect` bytes, then does what `answer` does with the connection."""

    def __init__(self, expect, answer):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = []
        self.expect = expect
        self.answer = answer
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                data = b""
                while len(data) < self.expect:
                    part = connection.recv(65536)
                    if not part:
                        break
                    data += part
                self.received.append(data)
                self.answer(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def test_send_raw_to_a_plain_server():
    with PlainServer(12, lambda c: c.sendall(b"ACK!")) as plain:
        done = run("send", f"raw://127.0.0.1:{plain.port}", "Hello World!")
        assert ok(done).strip() == b"ACK!"
        assert plain.received == [b"Hello World!"]


def test_send_raw_each_message_has_its_connection():
    with PlainServer(1, lambda c: c.sendall(b"ok")) as plain:
        ok(run("send", f"raw://127.0.0.1:{plain.port}", "a", "b", "c"))
        assert plain.received == [b"a", b"b", b"c"]


def test_send_raw_answer_in_pieces():
    def pieces(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"ACK!":
            connection.sendall(bytes([byte]))
            time.sleep(0.02)  # pieces must not be joined on their way

    with PlainServer(12, pieces) as plain:
        assert ok(run("send", f"raw://127.0.0.1:{plain.port}", "Hello World!")).strip() == b"ACK!"


def test_send_raw_no_answer_is_said():
    """The peer closes without a word."""
    with PlainServer(12, lambda c: None) as plain:
        done = run("send", f"raw://127.0.0.1:{plain.port}", "Hello World!")
        assert done.returncode != 0
        assert done.stderr.startswith(b"roger: ") and str(plain.port).encode() in done.stderr


def test_send_raw_silent_peer_is_said():
    """The peer keeps the connection and says nothing: 10 s, then it is said."""
    release = threading.Event()
    with PlainServer(12, lambda c: release.wait(helpers.PATIENCE_S)) as plain:
        began = time.monotonic()
        done = run("send", f"raw://127.0.0.1:{plain.port}", "Hello World!")
        release.set()
        assert done.returncode != 0 and done.stderr.startswith(b"roger: ")
        assert 9 <= time.monotonic() - began <= 14


def test_send_raw_to_roger(roger, journal):
    server = roger.serve(journal)
    assert ok(run("send", f"raw://127.0.0.1:{server.port}", "Hello World!")).strip() == b"ACK!"
    record = records(journal)[0]
    assert record["record"] == 1 and record["payload"] == "Hello World!" and record["protocol"] == "raw"
    assert record["size"] == 12 and record["peer"].startswith("127.0.0.1:")


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_starts_again_at_once(roger, journal, how):
    """The same port, straight after any kind of stop, connections of the old one still around."""
    server = roger.serve(journal)
    for turn in range(4):
        idle = socket.create_connection(("127.0.0.1", server.port))
        assert exchange(server.port, b"turn %d" % turn) == b"ACK!"
        getattr(server, how)()
        server = roger.again(server)
        idle.close()
    assert exchange(server.port, b"last") == b"ACK!"
    assert payloads(journal) == [b"turn 0", b"turn 1", b"turn 2", b"turn 3", b"last"]
