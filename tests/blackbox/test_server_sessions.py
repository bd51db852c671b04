"""Sessions: what waits for the disk or for memory, who is fenced, how they end."""

import os
import signal
import socket
import struct
import threading
import time

import helpers
import pytest
import roger_client as rc
from helpers import exchange, payloads, receive_all, records


class Native:
    """One native connection; messages() are what the server has said so far, to its end or to `last`."""

    def __init__(self, port, name=None, flags=0, first=1):
        self.stream = rc.stream_id(name)
        self.input = bytearray()
        self.opened = False
        self.number = 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=helpers.PATIENCE_S)
        self.socket.sendall(rc.hello(flags, self.stream, 1, first))

    def take(self):
        """The next message: (kind, numbers ...), None at the end."""
        while True:
            if not self.opened and len(self.input) >= 8:
                assert self.input[:8] == rc.PREFACE
                del self.input[:8]
                self.opened = True
            entry = rc.take_message(self.input) if self.opened else None
            if entry:
                return self.told(*entry)
            data = self.socket.recv(65536)
            if not data:
                return None
            self.input += data

    @staticmethod
    def told(kind, body):
        if kind == rc.ACK:
            return kind, struct.unpack("<QQ", body)[0]
        if kind == rc.ERROR:
            return kind, struct.unpack_from("<I", body)[0]
        return (kind,)

    def until(self, *wanted):
        while (message := self.take()) != wanted:
            assert message, f"ended before {wanted}"

    def rest(self):
        return list(iter(self.take, None))

    def send(self, *payloads):
        frames = b""
        for payload in payloads:
            self.number += 1
            frames += rc.frame(self.stream, self.number, payload)
        self.socket.sendall(frames)


@pytest.mark.usefixtures("traced")
def test_heartbeats_while_the_disk_is_slow(roger, journal):
    """A peer that waits hears WAIT before WELCOME, and its last ACK again afterwards."""
    server = roger.serve(journal, "--io", "epoll", "--heartbeat", "200ms")
    peer = Native(server.port, "slow")
    peer.until(rc.WELCOME)
    peer.send(b"one")
    peer.until(rc.ACK, 1)
    server.wait_quiet()
    tracer = helpers.Tracer(server.pid, "delay_exit=1000000")
    roger.keep(tracer.process)
    if tracer.refused():
        pytest.skip(f"tracing is not permitted here: {tracer.refused()}")
    peer.send(b"two")
    assert peer.take() == (rc.ACK, 1) and peer.take() == (rc.ACK, 1)
    other = Native(server.port, "slow")  # its WELCOME waits for message 2
    assert other.take() == (rc.WAIT,)
    other.until(rc.WELCOME)
    assert peer.rest()[-1] == (rc.ERROR, 6)
    assert payloads(journal) == [b"one", b"two"]


def test_a_message_that_comes_slowly_hears_from_us(roger, journal):
    """Its sender waits for an ack that can not come yet, and gives up whoever is silent for 20 s."""
    server = roger.serve(journal, "--heartbeat", "50ms")
    peer = Native(server.port, "slow")
    peer.until(rc.WELCOME)
    message = rc.frame(peer.stream, 1, b"x" * 1000)
    peer.socket.sendall(message[:500])
    assert peer.take() == (rc.WAIT,) and peer.take() == (rc.WAIT,)
    peer.socket.sendall(message[500:])
    peer.until(rc.ACK, 1)
    peer.socket.sendall(rc.frame(peer.stream, 2, b"y" * 1000)[:500])
    assert peer.take() == (rc.ACK, 1) and peer.take() == (rc.ACK, 1)


def test_quiet_sessions_hear_nothing(roger, journal):
    server = roger.serve(journal, "--heartbeat", "50ms")
    peer = Native(server.port, "quiet")
    peer.until(rc.WELCOME)
    peer.send(b"one")
    peer.until(rc.ACK, 1)
    peer.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        peer.take()


def test_half_a_frame_is_dropped_when_fenced(roger, journal):
    server = roger.serve(journal)
    older = Native(server.port, "orders")
    older.until(rc.WELCOME)
    older.send(b"one")
    older.until(rc.ACK, 1)
    older.socket.sendall(rc.frame(older.stream, 2, b"never" * 1000)[:3000])
    newer = Native(server.port, "orders")
    newer.until(rc.WELCOME)
    assert older.rest() == [(rc.ERROR, 6)]
    newer.number = 1
    newer.send(b"two")
    newer.until(rc.ACK, 2)
    assert payloads(journal) == [b"one", b"two"]


def test_drain_says_so_and_takes_what_was_read(roger, journal):
    server = roger.serve(journal)
    idle, busy = Native(server.port, "idle"), Native(server.port, "busy")
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=helpers.PATIENCE_S)
    for peer in idle, busy:
        peer.until(rc.WELCOME)
    busy.send(*[b"%d" % n for n in range(1, 101)])
    busy.until(rc.ACK, 100)
    server.popen.terminate()
    assert idle.rest() == [(rc.DRAIN,)]
    assert busy.rest() == [(rc.DRAIN,)]
    assert receive_all(raw) == b""
    for connection in idle.socket, busy.socket, raw:
        connection.close()
    assert server.wait() == 0
    assert payloads(journal) == [b"%d" % n for n in range(1, 101)]


def test_a_second_signal_ends_it_at_once(roger, journal):
    """A peer that does not close after DRAIN holds the stop up for 5 s at most; a second signal does not wait for it."""
    server = roger.serve(journal)
    peer = Native(server.port, "stays")
    peer.until(rc.WELCOME)
    server.popen.terminate()
    peer.until(rc.DRAIN)
    assert server.running()
    began = time.monotonic()
    os.kill(server.pid, signal.SIGINT)
    assert server.wait() == 75
    assert time.monotonic() - began < 2


def test_a_peer_that_stays_does_not_hold_the_stop_up(roger, journal):
    server = roger.serve(journal)
    peer = Native(server.port, "stays")
    peer.until(rc.WELCOME)
    began = time.monotonic()
    server.popen.terminate()
    assert server.wait() == 0
    assert 4 < time.monotonic() - began < 10


def test_lingering_peer_is_reset_and_reported(roger, journal):
    server = roger.serve(journal, "--linger-timeout", "300ms")
    with socket.create_connection(("127.0.0.1", server.port), timeout=helpers.PATIENCE_S) as peer:
        peer.sendall(b"first")
        assert receive_all(peer) == b"ACK!"
        peer.sendall(b"second")
        server.out.wait_for(r"^6 more bytes from 127.0.0.1:\d+ after ACK!$")
        server.err.wait_for(r"^roger: 127.0.0.1:\d+: .*after ACK!: reset$")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                peer.sendall(b"x")
                peer.recv(1)
    assert payloads(journal) == [b"first", b"second"]


@pytest.mark.parametrize("protocol", ["whole", "line", "raw"])
def test_many_large_at_once_wait_for_memory(roger, journal, protocol):
    """More messages than fit into memory at the same time: they wait, and all are stored whole."""
    count, size = 40, 900_000
    server = roger.serve(journal, "--quiet", "--memory", "48M", "--max-connections", "100",
                         "--max-streams", "1000", listen=f"{protocol}://127.0.0.1:0")
    answers = [None] * count

    def send(index):
        body = bytes([65 + index % 26]) * size + (b"\n" if protocol == "line" else b"")
        try:
            answers[index] = exchange(server.port, body, half_close=True, timeout=60)
        except OSError as error:
            answers[index] = error

    threads = [threading.Thread(target=send, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = records(journal)
    if protocol == "line":
        assert sorted(answers) == sorted(b"ACK %d\n" % n for n in range(1, count + 1))
    else:
        assert answers == [b"ACK!"] * count
    assert sum(record["size"] for record in stored) == count * size
    if protocol != "raw":
        assert len(stored) == count


def test_a_slow_one_does_not_hold_others_up(roger, journal):
    """Half a large message, and then nothing: it has its memory until its deadline, and nobody else waits for it."""
    server = roger.serve(journal, "--message-timeout", "1s", listen=["whole://127.0.0.1:0", "roger://127.0.0.1:0"])
    slow = Native(server.port_of(1), "slow")
    slow.until(rc.WELCOME)
    slow.socket.sendall(rc.frame(slow.stream, 1, b"x" * 10_000)[:9000])
    assert exchange(server.port, b"y" * 1_000_000, half_close=True) == b"ACK!"
    assert slow.rest() == [(rc.ERROR, 10)]
    server.err.wait_for(r"^roger: 127.0.0.1:\d+: a message was not complete in time \(message 1\)$")


def test_reset_in_the_middle_is_reported(roger, journal):
    server = roger.serve(journal, listen="line://127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", server.port), timeout=helpers.PATIENCE_S) as peer:
        peer.sendall(b"whole\nhalf")
        assert peer.recv(100) == b"ACK 1\n"
        server.wait_quiet(0.1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.err.wait_for("ended inside a message: 4 bytes dropped$")
    assert payloads(journal) == [b"whole"]
