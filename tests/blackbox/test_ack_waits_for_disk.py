"""The ack waits for the disk. strace stands in for a slow disk, and for one that fails; it sees the epoll backend's
calls only, so that is the one that is asked for."""

import time

import helpers
import pytest
from helpers import exchange, ok, payloads, run

pytestmark = pytest.mark.usefixtures("traced")


def attach(roger, server, inject):
    server.wait_quiet()
    tracer = helpers.Tracer(server.pid, inject)
    roger.keep(tracer.process)
    if tracer.refused():
        pytest.skip(f"tracing is not permitted here: {tracer.refused()}")
    return tracer


@pytest.mark.parametrize("flush", ["dsync", "fdatasync"])
def test_slow_disk(roger, journal, flush):
    """Each write and flush takes 500 ms more: so does the answer."""
    server = roger.serve(journal, "--io", "epoll", "--flush", flush)
    assert exchange(server.port, b"quick") == b"ACK!"
    tracer = attach(roger, server, "delay_exit=500000")
    began = time.monotonic()
    assert exchange(server.port, b"Hello World!") == b"ACK!"
    assert time.monotonic() - began >= 0.5
    tracer.detach()
    assert payloads(journal) == [b"quick", b"Hello World!"]


def test_slow_disk_native(roger, journal):
    server = roger.serve(journal, "--io", "epoll")
    attach(roger, server, "delay_exit=500000")
    began = time.monotonic()
    ok(run("send", server.address, "Hello World!"))
    assert time.monotonic() - began >= 0.5


def test_slow_disk_without_a_journal(roger):
    """--no-journal promises nothing of a disk, and waits for none."""
    server = roger.serve(None, "--io", "epoll")
    attach(roger, server, "delay_exit=500000")
    began = time.monotonic()
    assert exchange(server.port, b"Hello World!") == b"ACK!"
    assert time.monotonic() - began < 0.1


@pytest.mark.parametrize("flush", ["dsync", "fdatasync"])
def test_failing_disk(roger, journal, flush):
    """An I/O error: no ACK!, the reason on stderr, exit 74; afterwards nothing acknowledged is missing."""
    server = roger.serve(journal, "--io", "epoll", "--flush", flush)
    for number in range(5):
        assert exchange(server.port, b"before %d" % number) == b"ACK!"
    attach(roger, server, "error=EIO")
    try:
        answer = exchange(server.port, b"never promised")
    except ConnectionError:
        answer = b""
    assert b"ACK!" not in answer
    assert server.wait() == 74
    assert "Input/output error" in server.err.text() and server.err.text().startswith("roger: ")

    server = roger.again(server)
    assert exchange(server.port, b"after") == b"ACK!"
    stored = payloads(journal)
    assert stored[:5] == [b"before %d" % n for n in range(5)] and stored[-1] == b"after"
    assert set(stored[5:-1]) <= {b"never promised"}


def test_failing_disk_native(roger, journal):
    """The client hears nothing of success either; it goes on once the server is back, and the message is there once."""
    server = roger.serve(journal, "--io", "epoll")
    ok(run("send", server.address, "--stream", "s", "one"))
    attach(roger, server, "error=EIO")
    client = roger.start("send", server.address, "--stream", "s", "two")
    assert server.wait() == 74
    assert client.running()
    roger.again(server)
    assert client.wait() == 0
    assert payloads(journal) == [b"one", b"two"]
