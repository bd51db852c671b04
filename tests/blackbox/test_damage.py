"""Damage is found, named, and not made worse; a torn tail is not damage."""

import hashlib
import re
import shutil

import pytest
from helpers import exchange, ok, payloads, run


def flip(path, offset, bit=3):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def where(journal, payload):
    """(segment file, offset) of a payload that is there once."""
    found = []
    for path in sorted(journal.glob("*.seg")):
        data = path.read_bytes()
        at = data.find(payload)
        while at >= 0:
            found.append((path, at))
            at = data.find(payload, at + 1)
    assert found, f"{payload!r} is in no segment"
    return found[-1]


def contents(journal):
    """Everything but the lock file, which names the holder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in journal.iterdir() if path.name != "lock"}


def filled(roger, journal, count=20, *options):
    """A server that has stored messages, each in a commit of its own."""
    server = roger.serve(journal, "--quiet", *options)
    for number in range(1, count + 1):
        assert exchange(server.port, b"message number %04d." % number) == b"ACK!"
    return server


@pytest.mark.parametrize("part", ["payload", "frame header", "batch header"])
def test_one_bit_in_the_newest_segment(roger, journal, part):
    server = filled(roger, journal)
    server.kill()
    path, offset = where(journal, b"message number 0007.")
    flip(path, offset - {"payload": 0, "frame header": 8, "batch header": 60}[part])
    before = contents(journal)
    roger.expect(journal, 65)

    for done in (run("verify", journal), run("read", journal)):
        text = (done.stdout + done.stderr).decode()
        assert done.returncode == 65, text
        assert path.name in text and re.search(r"record[s]? 7\b", text), text
        block = offset - offset % 4096
        offsets = [int(n) for n in re.findall(r"\b(?:offset|byte) (\d+)", text)]
        assert any(block <= n <= offset for n in offsets), text
    assert run("read", journal).stdout == b"".join(b"message number %04d.\n" % n for n in range(1, 7))

    done = run("serve", "--listen", "127.0.0.1:0", "--journal", journal)
    assert done.returncode == 65
    assert path.name in done.stderr.decode() and re.search(r"record[s]? 7\b", done.stderr.decode())
    assert b"listening" not in done.stdout
    assert contents(journal) == before

    rescued = roger.journal("rescued")
    done = run("repair", journal, rescued)
    assert contents(journal) == before
    mended = part == "batch header"  # the header's checksum says which bit it was
    assert ("one flipped bit in the header mended" if mended else "record 7: ") in done.stdout.decode()
    assert payloads(rescued) == [b"message number %04d." % n for n in range(1, 21) if n != 7 or mended]


def test_older_segment_that_the_snapshot_covers(roger, journal):
    """The server does not read it again, so it starts; verify and read find the damage."""
    server = roger.serve(journal, "--quiet", "--segment-size", "1M", "--max-message", "64K")
    first = b"the first message of all"
    assert exchange(server.port, first) == b"ACK!"
    for _ in range(12):
        ok(run("send", server.address, "--stream", "s", input=(b"x" * 511 + b"\n") * 1024))
    server.wait_quiet()
    assert (journal / "streams.snap").exists() and len(list(journal.glob("*.seg"))) > 3
    server.kill()
    path, offset = where(journal, first)
    flip(path, offset)
    roger.expect(journal, 65)
    server = roger.again(server)
    assert exchange(server.port, b"goes on") == b"ACK!"
    for command in ("verify", "read"):
        done = run(command, journal)
        assert done.returncode == 65 and path.name in (done.stdout + done.stderr).decode()
    ok(run("send", server.address, "--stream", "s", "--print-record", "still exact"))


def test_cut_behind_the_last_acknowledged_commit(roger, journal):
    """Torn off at any byte there: starts, and loses nothing."""
    count = 5
    server = filled(roger, journal, count)
    server.kill()
    path, offset = where(journal, b"message number %04d." % count)
    end = offset - offset % 4096 + 4096
    expected = [b"message number %04d." % n for n in range(1, count + 1)]
    for cut in (0, 1, 7, 127, 128, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 12345, 65536):
        copy = roger.journal(f"cut-{cut}")
        shutil.copytree(journal, copy)
        with open(copy / path.name, "r+b") as file:
            file.truncate(end + cut)
        again = roger.serve(copy, "--quiet")
        assert exchange(again.port, b"after the cut") == b"ACK!"
        again.kill()
        assert payloads(copy) == expected + [b"after the cut"]


@pytest.mark.parametrize("name", ["streams.snap", "streams.snap.old"])
def test_damaged_snapshot_is_rebuilt(roger, journal, name):
    """It is a cache while segment 1 is there."""
    server = roger.serve(journal, "--quiet", "--segment-size", "1M", "--max-message", "64K")
    for _ in range(8):
        ok(run("send", server.address, "--stream", "s", input=(b"x" * 511 + b"\n") * 1024))
    server.wait_quiet()
    server.kill()
    assert (journal / name).exists()
    flip(journal / name, 90)
    server = roger.again(server)
    ok(run("send", server.address, "--stream", "s", "the next one"))
    assert payloads(journal)[-1] == b"the next one"


def test_verify_a_sound_journal(roger, journal):
    server = filled(roger, journal)
    assert server.terminate() == 0
    before = contents(journal)
    out = ok(run("verify", journal)).decode()
    assert re.search(r"^20 records in \d+ segments?, \d+ bytes, no damage$", out, re.MULTILINE), out
    assert contents(journal) == before


@pytest.mark.parametrize("command", ["read", "verify"])
def test_no_journal_there(tmp_path, command):
    done = run(command, tmp_path / "nowhere")
    assert done.returncode == 66
    assert done.stderr.startswith(b"roger: ") and b"nowhere" in done.stderr
