"""Sessions that wait for room in the journal go on when there is some."""

import threading

import helpers
import pytest
import roger_client as rc
from helpers import ok, payloads, run
from test_server_sessions import Native


def start_sending(peer, messages):
    """As far as the server takes them."""
    data = b"".join(rc.frame(peer.stream, number, message) for number, message in enumerate(messages, 1))

    def send():
        try:
            peer.socket.sendall(data)
        except OSError:
            pass

    threading.Thread(target=send, daemon=True).start()


def test_a_parked_session_goes_on(roger, journal):
    """One sender is faster than the smallest segments are made and filled, so that its session is parked again and again."""
    server = roger.serve(journal, "--quiet", "--segment-size", "256K", "--max-message", "64K")
    lines = [b"%06d" % number + b"x" * 4000 for number in range(2000)]
    ok(run("send", server.address, input=b"\n".join(lines), timeout=20))
    assert payloads(journal) == lines


def test_told_to_stop_while_sessions_are_parked(traced, roger, journal):
    """What still waits for room when half of the time is over is not stored, though there may be room later: a large message, and
    more behind it than any buffer takes. Status 75; what is stored is a beginning of what was sent."""
    server = roger.serve(journal, "--quiet", "--io", "epoll", "--segment-size", "512K", "--max-message", "140K",
                         "--heartbeat", "200ms")
    peer = Native(server.port, "parked")
    peer.until(rc.WELCOME)
    server.wait_quiet()
    tracer = helpers.Tracer(server.pid, "delay_exit=4600000")
    roger.keep(tracer.process)
    if tracer.refused():
        pytest.skip(f"tracing is not permitted here: {tracer.refused()}")
    sent = [b"%0130000d" % number for number in range(30)]
    start_sending(peer, sent)
    peer.until(rc.WAIT)
    server.wait_quiet()
    assert server.terminate(timeout=40) == 75, server.err.text()
    assert "not everything that was received became durable in time" in server.err.text()
    stored = payloads(journal)
    assert stored == sent[:len(stored)]
