"""The lines that roger serve prints: in JSON, for readers that do not read, and at most so many a second."""

import fcntl
import json
import os
import socket
import subprocess

import helpers
from helpers import Process, exchange, ok, run, wait_until


def test_json(roger, journal):
    server = roger.serve(journal, "--log", "json", wait=False)
    server.out.wait_for('"event":"memory"')
    listening = json.loads(server.out.lines[0])
    assert listening["event"] == "listening" and listening["protocols"] == "roger, raw"
    port = int(listening["address"].rsplit(":", 1)[1])
    assert exchange(port, "Grüße\n\x1b".encode()) == b"ACK!"
    assert exchange(port, b"\xff\x00") == b"ACK!"
    assert exchange(port, b"x" * 100) == b"ACK!"
    server.out.wait_for('"event":"received"', count=3)
    entries = [json.loads(line) for line in server.out.lines]
    accepted = [entry for entry in entries if entry["event"] == "accepted"]
    first, second, third = [entry for entry in entries if entry["event"] == "received"]
    assert len(accepted) == 3 and accepted[0]["peer"] == first["peer"]
    assert first["peer"].startswith("127.0.0.1:") and first["size"] == 9
    assert first["payload"] == "Grüße\n\x1b"
    assert second["size"] == 2 and second["payload_base64"] == "/wA=" and "payload" not in second
    assert third["size"] == 100 and third["payload"] == "x" * 80 and third["cut"] is True


def test_listener_with_an_odd_path(roger, tmp_path):
    """Whatever its path holds, its line is one line."""
    path = os.path.join(os.fsencode(tmp_path), b"s\x1b[31m\n\xff")
    server = roger.keep(Process([helpers.ROGER, "serve", "--no-journal", "--listen", b"line+unix:" + path]))
    server.out.wait_for("^memory ")
    assert server.out.lines[0] == rf"listening on line+unix:{tmp_path}/s\x1b[31m\n\xff"
    assert server.terminate() == 0


def test_at_most_so_many_a_second(roger, journal):
    server = roger.serve(journal)
    numbers = b"".join(b"%d\n" % n for n in range(1000))
    ok(run("send", server.address, input=numbers))
    server.out.wait_for(r"^\d+ lines left out$")
    assert server.terminate() == 0
    lines = server.out.lines
    shown = sum(line.startswith(("accepted ", "received ")) for line in lines)
    left_out = sum(int(line.split()[0]) for line in lines if line.endswith(" left out"))
    assert shown + left_out == 1001
    assert 100 <= shown <= 200  # a slow machine may need a part of the next second


def test_paused_reader(roger, journal):
    """Nobody takes the lines from a full pipe: serving goes on, and what was left out is told afterwards."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    port = free_port()
    popen = subprocess.Popen([helpers.ROGER, "serve", "--listen", f"127.0.0.1:{port}", "--journal", journal],
                             stdout=writing, stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        wait_until(lambda: answers(port), "the server answers")
        for number in range(200):
            assert exchange(port, b"x" * 100) == b"ACK!"
        with os.fdopen(reading, "rb") as lines:
            said = 0
            for line in lines:
                if line.endswith(b" lines left out\n"):
                    said = int(line.split()[0])
                    break
        assert said > 0
        assert exchange(port, b"and on it goes, with nobody there") == b"ACK!"
    finally:
        popen.terminate()
        assert popen.wait(20) == 0


def free_port():
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


def answers(port):
    try:
        return exchange(port, b"there?") == b"ACK!"
    except OSError:
        return False


def test_warns_of_what_others_can_reach(roger, tmp_path):
    def inside():
        server = roger.serve(roger.journal(), "--quiet", listen=["0.0.0.0:0", "127.0.0.1:0"])
        line = server.err.wait_for("anyone who can reach")
        assert line.string == (f"roger: anyone who can reach {server.addresses[0]} can write here; "
                               "--listen 127.0.0.1 keeps it local")
        assert server.terminate() == 0
        assert server.err.text().count("anyone") == 1

    inside()


def test_memory_that_is_too_little(roger, tmp_path):
    done = run("serve", "--listen", "127.0.0.1:0", "--journal", tmp_path / "never", "--memory", "2M")
    assert done.returncode == 64
    assert done.stderr.startswith(b"roger: --memory 2 MiB: ") and b"need at least" in done.stderr
    assert not (tmp_path / "never").exists()
