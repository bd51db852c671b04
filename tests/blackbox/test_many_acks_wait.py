"""More acks wait for the disk than the server has room for: the next ones wait, too."""

import socket
import struct

import helpers
import pytest
import roger_client as rc
from test_server_sessions import Native

ROOM = 1024  # acks that may wait, with 200 connections
COUNT = ROOM + 50

pytestmark = pytest.mark.usefixtures("traced")


def send_and_go(port, payload):
    """A raw message whose sender does not wait for its answer: its session ends, its ack still waits."""
    with socket.create_connection(("127.0.0.1", port), timeout=helpers.PATIENCE_S) as connection:
        connection.sendall(payload)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_more_than_there_is_room_for(roger, journal):
    """The disk stands still until all have come. What was appended is stored, and so is what had to wait."""
    server = roger.serve(journal, "--quiet", "--io", "epoll", "--max-connections", "200", "--heartbeat", "200ms")
    server.wait_quiet()
    tracer = helpers.Tracer(server.pid, "delay_exit=600000000")
    roger.keep(tracer.process)
    if tracer.refused():
        pytest.skip(f"tracing is not permitted here: {tracer.refused()}")
    sent = [b"%04d" % number for number in range(COUNT)]
    for payload in sent:
        send_and_go(server.port, payload)
    late = Native(server.port, "late")
    assert late.take() == (rc.WAIT,)  # even its WELCOME finds no room
    tracer.detach()
    late.until(rc.WELCOME)
    late.send(b"late")
    late.until(rc.ACK, 1)
    assert sorted(helpers.payloads(journal)) == sorted([*sent, b"late"])
