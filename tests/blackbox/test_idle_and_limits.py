"""Peers that say nothing, or too slowly, or are too many."""

import os
import resource
import socket
import struct
import time

import helpers
from helpers import exchange, ok, payloads, records, run, wait_until


def test_silent_native_connections_cost_nothing(roger, journal):
    """Silent after WELCOME: no processor time, at most one seal."""
    count, seconds = (10000, 60) if helpers.FULL else (2000, 8)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = roger.serve(journal, "--quiet")
    assert exchange(server.port, b"one record") == b"ACK!"
    hello = helpers.native_hello()
    connections = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            connection.sendall(unique(hello))
            connections.append(connection)
        for connection in connections:
            assert connection.recv(8, socket.MSG_WAITALL) == b"ROGER/1\n"
        server.wait_quiet(1.5)
        ticks, size = server.cpu_ticks(), written(journal)
        time.sleep(seconds)
        assert server.cpu_ticks() - ticks <= 2
        assert written(journal) - size <= 4096
        assert exchange(server.port, b"still quick") == b"ACK!"
    finally:
        for connection in connections:
            connection.close()
    assert payloads(journal) == [b"one record", b"still quick"]


def unique(hello):
    """HELLO of another stream; only the checksum is computed anew (by a table: there are thousands)."""
    body = hello[:12] + os.urandom(16) + os.urandom(8) + hello[36:44]
    return body + struct.pack("<I", quick_crc32c(body))


TABLE = [helpers.crc32c(bytes([n]), 0xFFFFFFFF) ^ 0xFFFFFFFF for n in range(256)]


def quick_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def written(journal):
    """Where the journal's last bytes that are not zero stand, over all segments: what has been appended."""
    total = 0
    for path in journal.glob("*.seg"):
        data = path.read_bytes()
        total += (len(data.rstrip(b"\0")) + 4095) // 4096 * 4096
    return total


def closed_within(connection, seconds):
    """True when the peer ends the connection in that time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(1000):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def test_silent_from_the_start(roger, journal):
    """Closed at the deadline for the first byte; nobody else is disturbed."""
    server = roger.serve(journal, "--quiet", "--first-timeout", "1s")
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
    began = time.monotonic()
    assert exchange(server.port, b"Hello World!") == b"ACK!"
    for connection in silent:
        assert closed_within(connection, 5)
        connection.close()
    assert 0.8 <= time.monotonic() - began
    assert payloads(journal) == [b"Hello World!"]


def test_a_byte_a_second(roger, journal):
    """Deadlines are absolute: a trickle does not extend them."""
    server = roger.serve(journal, "--quiet", "--message-timeout", "1s", listen=["line://127.0.0.1:0"])
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < 10:
            try:
                slow.sendall(b"x")
                ended = closed_within(slow, 0.2)
            except ConnectionError:
                ended = True
        assert ended and 0.8 <= time.monotonic() - began < 5
    assert exchange(server.port, b"quick\n", half_close=True) == b"ACK 1\n"
    assert payloads(journal) == [b"quick"]


def test_trickle_of_a_native_frame(roger, journal):
    server = roger.serve(journal, "--quiet", "--message-timeout", "1s")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
        slow.sendall(helpers.native_hello())
        slow.recv(72, socket.MSG_WAITALL)
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < 10:
            try:
                slow.sendall(b"\1")
                ended = closed_within(slow, 0.2)
            except ConnectionError:
                ended = True
        assert ended and time.monotonic() - began < 5
    ok(run("send", server.address, "fine"))
    assert payloads(journal) == [b"fine"]


def test_max_streams(roger, journal):
    """The eleventh is refused, the ten are exact, also after a restart."""
    server = roger.serve(journal, "--quiet", "--max-streams", "10")
    for number in range(10):
        ok(run("send", server.address, "--stream", f"s{number}", "one"))
    for turn in range(2):
        done = run("send", server.address, "--stream", "eleventh", "-w", "1s", "x")
        assert done.returncode in (69, 75) and done.stderr.startswith(b"roger: ")
        for number in range(10):
            ok(run("send", server.address, "--stream", f"s{number}", "two"))
        server.kill()
        server = roger.again(server)
    stored = records(journal)
    assert len(stored) == 30 and "x" not in [r["payload"] for r in stored]
    seqs = {}
    for record in stored:
        assert record["seq"] == seqs.get(record["stream"], 0) + 1
        seqs[record["stream"]] = record["seq"]
    assert len(seqs) == 10


def test_ephemeral_streams_end(roger, journal):
    """A client that has all its acks gives its entry back: more runs than there are entries."""
    server = roger.serve(journal, "--quiet", "--max-streams", "4")
    for number in range(12):
        ok(run("send", server.address, f"message {number}"))
    assert len(payloads(journal)) == 12


def test_max_connections(roger, journal):
    """More than that wait or are turned away; those inside are served, and a place that is free again is taken."""
    server = roger.serve(journal, "--quiet", "--max-connections", "4")
    inside = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(4)]
    outside = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    for connection in inside:
        connection.sendall(b"inside")
        assert helpers.receive_all(connection) == b"ACK!"
        connection.close()
    outside.close()
    wait_until(lambda: served(server.port), "a place is free again")
    assert payloads(journal).count(b"inside") == 4


def served(port):
    try:
        return exchange(port, b"later") == b"ACK!"
    except ConnectionError:
        return False


def test_bad_native_bytes_end_only_their_connection(roger, journal):
    """Nothing of it is stored, one line is logged, others go on."""
    server = roger.serve(journal, "--quiet")
    hello = helpers.native_hello()
    for bad in (hello[:44] + b"\0\0\0\0", hello[:8] + b"\xff" + hello[9:], hello + b"\xff" * 64):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(bad)
            answer = helpers.receive_all(connection)
            assert answer.startswith(b"ROGER/1\n"), answer  # the preface, then ERROR
    ok(run("send", server.address, "fine"))
    assert payloads(journal) == [b"fine"]
    assert "127.0.0.1:" in server.err.text()
