"""The server's corners: queues whose members fence one another, readers that do not read, and what a stop owes to whom."""

import re
import socket
import struct

import helpers
import pytest
import roger_client as rc
from helpers import payloads, receive_all, run, wait_until
from test_server_sessions import Native


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=helpers.PATIENCE_S)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def wait_all_read(port):
    """Until the server has accepted and read whatever was sent to its port."""
    def is_read():
        with open("/proc/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file.read().splitlines()[1:]]
        return not any(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}"))

    wait_until(is_read, "all is read")


@pytest.mark.usefixtures("traced")
def test_a_parked_hello_fences_a_parked_session(roger, journal):
    """The gate is full (1024 entries): a HELLO waits, and behind it the session that had the stream. It hears WAIT, gets
    the stream when there is room, and the older one goes."""
    server = roger.serve(journal, "--io", "epoll", "--quiet", "--heartbeat", "200ms", "--max-connections", "100")
    older = Native(server.port, "orders")
    older.until(rc.WELCOME)
    server.wait_quiet()
    tracer = helpers.Tracer(server.pid, "delay_exit=60000000")
    roger.keep(tracer.process)
    if tracer.refused():
        pytest.skip(f"tracing is not permitted here: {tracer.refused()}")
    for _ in range(12):
        peers = [connect(server.port) for _ in range(90)]
        for peer in peers:
            peer.sendall(b"y")
        wait_all_read(server.port)
        for peer in peers:
            reset(peer)
    newer = Native(server.port, "orders")
    assert newer.take() == (rc.WAIT,)
    older.send(b"one")
    wait_all_read(server.port)
    tracer.detach()
    newer.until(rc.WELCOME)
    assert older.rest()[-1] == (rc.ERROR, 6)
    newer.send(b"two")
    newer.until(rc.ACK, 1)
    assert payloads(journal).count(b"y") == 1080
    assert payloads(journal)[-1] == b"two"


def test_a_stop_tells_of_what_was_read_and_not_stored(roger, journal):
    """The disk is full, so what the peer has sent is read and cannot be stored: the stop says so."""
    server = roger.serve(journal, "--keep-free", "4000GiB")
    with connect(server.port) as peer:
        peer.sendall(b"hello")
        server.err.wait_for("senders wait")
        wait_all_read(server.port)
        assert server.terminate() == 75
        assert "not everything that was received became durable in time" in server.err.text()
        with pytest.raises(ConnectionResetError):
            peer.recv(4)
    assert payloads(journal) == []


@pytest.mark.parametrize("protocol, sent, answer", [("line", b"one\ntwo", b"ACK 1\n"), ("whole", b"two", b"")])
def test_a_stop_tells_of_the_beginning_of_a_message(roger, journal, protocol, sent, answer):
    server = roger.serve(journal, listen=[f"{protocol}://127.0.0.1:0"])
    with connect(server.port) as peer:
        peer.sendall(sent)
        if answer:
            assert peer.recv(len(answer), socket.MSG_WAITALL) == answer
        wait_all_read(server.port)
        assert server.terminate() == 0
    assert re.search(r"127\.0\.0\.1:\d+: the server stops inside a message: 3 bytes dropped", server.err.text())


def test_a_stop_takes_what_looked_like_the_preface(roger, journal):
    server = roger.serve(journal)
    with connect(server.port) as peer:
        peer.sendall(b"ROG")
        server.out.wait_for("^accepted")
        wait_all_read(server.port)
        server.popen.terminate()
        assert receive_all(peer) == b"ACK!"
    assert server.wait() == 0
    assert payloads(journal) == [b"ROG"]


def test_lines_before_one_that_is_too_long_are_answered(roger, journal):
    server = roger.serve(journal, "--max-message", "100", listen="line://127.0.0.1:0")
    with connect(server.port) as peer:
        peer.sendall(b"a\nb\n" + b"x" * 150)
        assert peer.recv(100, socket.MSG_WAITALL) == b"ACK 1\nACK 2\n"
    server.err.wait_for("refused|too")
    assert payloads(journal) == [b"a", b"b"]


def test_a_full_disk_does_not_make_the_server_deaf(roger, journal):
    """More senders wait for the disk than there are receive buffers (with 64 MiB, some 90): a newcomer is still welcomed,
    and who was welcomed before hears WAIT, also when half of its message has not been read yet."""
    server = roger.serve(journal, "--quiet", "--keep-free", "4000GiB", "--message-timeout", "1s", "--heartbeat", "200ms")
    half = Native(server.port, "half")
    half.until(rc.WELCOME)
    frame = rc.frame(half.stream, 1, b"z" * 3000)
    half.socket.sendall(frame[:1000])
    wait_all_read(server.port)
    senders = []
    for number in range(130):
        sender = Native(server.port, f"sender {number}")
        sender.socket.settimeout(3)
        sender.until(rc.WELCOME)
        sender.send(b"x" * 1000)
        senders.append(sender)
    half.socket.sendall(frame[1000:])
    for peer in [half] * 10 + senders[-2:]:
        assert peer.take() == (rc.WAIT,)
    server.kill()
    assert payloads(journal) == []


@pytest.mark.skipif(not helpers.FULL, reason="takes half a minute")
def test_a_peer_that_never_reads_is_let_go(roger, journal, tmp_path):
    path = tmp_path / "socket"
    server = roger.serve(journal, "--quiet", listen=f"line+unix:{path}")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
        peer.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                peer.sendall(b"a\n" * 2000)
        server.err.wait_for("does not take its answers: reset$", timeout=40)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                peer.send(b"a\n")
    assert server.terminate() == 0


def test_an_unknown_name_leaves_no_journal(tmp_path):
    journal = tmp_path / "journal"
    done = run("serve", "--listen", "nosuch.invalid:1", "--journal", journal)
    assert done.returncode == 71
    assert b"listen nosuch.invalid:1: " in done.stderr
    assert not journal.exists()
