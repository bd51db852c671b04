"""Large messages that wait for memory: with little of it, the last ones wait with the buffers they were received in."""

import re
import socket

import helpers
import roger_client as rc
from helpers import receive_all, run
from test_server_sessions import Native

LIMITS = ("--max-message", "1M", "--max-connections", "100", "--max-streams", "100")


def least_memory(journal):
    """The smallest --memory with which the server starts, by its own word."""
    backend = ["--io", helpers.IO] if helpers.IO else []  # they need different amounts
    done = run("serve", "--listen", "127.0.0.1:0", "--journal", journal, "--memory", "1M", *LIMITS, *backend)
    assert done.returncode == 64
    return re.search(rb"need at least (\d+)MiB", done.stderr)[1].decode() + "M"


def begin_whole(port):
    """A message that has large memory, or stands in the queue for it, until it is ended."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=helpers.PATIENCE_S)
    connection.sendall(b"w" * 70_000)
    return connection


def begin_native(port, name):
    """Part of a large frame: WAIT says that the rest is not read yet, for want of memory."""
    peer = Native(port, name)
    peer.until(rc.WELCOME)
    frame = rc.frame(peer.stream, 1, b"n" * 80_000)
    peer.socket.sendall(frame[:10_000])
    peer.until(rc.WAIT)
    return peer, frame[10_000:]


def test_buffers_that_waited_are_free_again(roger, journal):
    """Round after round as many wait at once as may: nobody is ever refused."""
    server = roger.serve(journal, "--quiet", "--memory", least_memory(journal), *LIMITS, "--heartbeat", "50ms",
                         "--message-timeout", "60s", "--idle-timeout", "60s",
                         listen=["roger://127.0.0.1:0", "whole://127.0.0.1:0"])
    for turn in range(8):
        whole = [begin_whole(server.port_of(1)) for _ in range(2)]
        native = [begin_native(server.port_of(0), f"{turn}-{number}") for number in range(6)]
        for connection in whole:
            connection.shutdown(socket.SHUT_WR)
        for peer, rest in native:
            peer.socket.sendall(rest)
        for connection in whole:
            assert receive_all(connection) == b"ACK!"
            connection.close()
        for peer, _ in native:
            peer.until(rc.ACK, 1)
            peer.socket.close()
    assert "no buffer" not in server.err.text()
