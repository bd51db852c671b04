"""Sessions that wait for room in the journal go on when there is some."""

from helpers import ok, payloads, run


def test_a_parked_session_goes_on(roger, journal):
    """One sender is faster than the smallest segments are made and filled, so that its session is parked again and again."""
    server = roger.serve(journal, "--quiet", "--segment-size", "256K", "--max-message", "64K")
    lines = [b"%06d" % number + b"x" * 4000 for number in range(2000)]
    ok(run("send", server.address, input=b"\n".join(lines), timeout=20))
    assert payloads(journal) == lines
