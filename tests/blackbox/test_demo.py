"""./demo: what it shows, and that nothing of it is left however it ends."""

import os
import re
import signal
import socket
import sys

import pytest
from helpers import ROGER, TOP, Process

DEMO = os.path.join(TOP, "scripts", "demo.py")


@pytest.fixture
def demo(roger, tmp_path):
    """It is under way, with a place for temporary files of its own."""
    environ = dict(os.environ, TMPDIR=str(tmp_path), ROGER=ROGER)
    return roger.keep(Process([sys.executable, DEMO], env=environ))


def nothing_is_left(demo, tmp_path):
    host, port = re.search(r"listening on ([\d.]+):(\d+)", demo.out.text()).groups()
    with socket.socket() as peer:
        assert peer.connect_ex((host, int(port))) != 0
    assert list(tmp_path.iterdir()) == []


def test_demo(demo, tmp_path):
    """Plain when it is piped; three kills in mid-stream."""
    assert demo.wait(60) == 0, demo.out.text() + demo.err.text()
    text = demo.out.text()
    assert demo.err.text() == "" and "\x1b" not in text and "\r" not in text
    assert demo.out.lines[-1] == "Every one of the 4000 messages is there, exactly once, in order."
    killed = [int(count) for count in re.findall(r"killed for the \w+ time, (\d+) of 4000 acknowledged", text)]
    assert len(killed) == 3 and 0 < killed[0] < killed[1] < killed[2] < 4000
    nothing_is_left(demo, tmp_path)


@pytest.mark.parametrize("number, where", [
    (signal.SIGINT, "listening on"),
    (signal.SIGHUP, "generate"),
    (signal.SIGTERM, "has connected again"),
], ids=["SIGINT", "SIGHUP", "SIGTERM"])
def test_demo_ended_by_a_signal(demo, tmp_path, number, where):
    demo.out.wait_for(where)
    demo.popen.send_signal(number)
    assert demo.wait() == 128 + number and demo.err.text() == ""
    nothing_is_left(demo, tmp_path)
