"""`ACK!` on a raw connection covers every byte that arrived before it, also those that the server had not read yet."""

import os
import re
import select
import socket
import time

import helpers
import pytest
from helpers import ok, run, wait_until

pytestmark = pytest.mark.usefixtures("traced")

WAITS = "epoll_wait,epoll_pwait,epoll_pwait2"
SENDS = "sendto,sendmsg"


def slow_loop(roger, server, log, *more, delay="delay_exit=500000"):
    """What the server's loop hears of is old by half a second: meanwhile more arrives. The log has its writes and answers, too."""
    tracer = roger.keep(helpers.Process(
        ["strace", "-f", "-qq", "-o", log, "-p", server.pid, "-e", f"trace={WAITS},{SENDS},{helpers.DISK_CALLS}",
         "-e", f"inject={WAITS}:{delay}", *more]))
    wait_until(lambda: helpers.Tracer.attached(server) or not tracer.running(), "strace attached")
    if not tracer.running():
        pytest.skip(f"tracing is not permitted here: {tracer.err.text()}")


def is_written(log):
    return re.search(r"pwrite\w*[( ].*= \d+$", log.read_text(errors="replace"), re.MULTILINE)


def test_not_before_all_that_arrived_is_stored(roger, journal, tmp_path):
    """A second part comes when the first has been written, and the server is about to answer it. On a unix socket what
    has been sent has arrived, and an answer that has been given is there: when there was none after the second part,
    that one was there first."""
    path = tmp_path / "socket"
    server = roger.serve(journal, "--io", "epoll", "--quiet", listen=f"raw+unix:{path}")
    server.wait_quiet()
    log = tmp_path / "calls"
    slow_loop(roger, server, log)
    first, second = b"the first part", b"the second part"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(helpers.PATIENCE_S)
        connection.connect(os.fspath(path))
        connection.sendall(first)
        wait_until(lambda: is_written(log), "the first part is written")
        time.sleep(0.05)  # the write ends, and the loop hears of it, but only later acts on it
        connection.sendall(second)
        answered_before = select.select([connection], [], [], 0)[0]
        answer = connection.recv(100)
        server.kill()
    assert answer == b"ACK!"
    assert ok(run("read", journal, "--format", "raw")).startswith(first if answered_before else first + second)


def test_nothing_more_is_told_when_the_disk_has_failed(roger, journal, tmp_path):
    """All of the first sender's is durable, and its answer waits for its end only, when the loop learns, in one turn, of
    that end and that the second sender's write has failed."""
    server = roger.serve(journal, "--io", "epoll", "--flush", "dsync", "--quiet")
    server.wait_quiet()
    log = tmp_path / "calls"
    fails = "inject=pwritev2:error=EIO:when=2+"
    with socket.create_connection(("127.0.0.1", server.port)) as first, \
            socket.create_connection(("127.0.0.1", server.port)) as second:
        time.sleep(0.1)  # both are accepted
        slow_loop(roger, server, log, "-e", fails, delay="delay_enter=600000:delay_exit=600000")
        first.sendall(b"the first part")
        wait_until(lambda: is_written(log), "the first part is written")
        second.sendall(b"the second part")  # the loop hears of both together, in half a second ...
        time.sleep(0.9)
        first.shutdown(socket.SHUT_WR)  # ... has heard, and acts on it in a moment
        assert server.wait() == 74
    calls = log.read_text(errors="replace").splitlines()
    failed = next(i for i, call in enumerate(calls) if "EIO" in call)
    heard = next(i for i, call in enumerate(calls) if i > failed and re.search(r"epoll_p?wait.* = [1-9]", call))
    assert not [call for call in calls[heard:] if "ACK!" in call]
    assert ok(run("read", journal, "--format", "raw")) == b"the first part"
