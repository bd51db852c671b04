"""What roger says, and with which exit status, when something is not as it should be."""

import os
import re
import socket
import subprocess
import threading
import time

import pytest
from helpers import ROGER, Process, durable, ok, payloads, run, wait_until


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def at_once(began):
    return time.monotonic() - began < 3


def test_closed_port():
    began = time.monotonic()
    port = closed_port()
    done = run("send", f"127.0.0.1:{port}", "x")
    assert done.returncode == 69 and at_once(began)
    assert re.match(rb"roger: .*127\.0\.0\.1:%d.*: Connection refused\n$" % port, done.stderr), done.stderr


def test_closed_port_raw():
    port = closed_port()
    done = run("send", f"raw://127.0.0.1:{port}", "x")
    assert done.returncode == 69
    assert done.stderr.startswith(b"roger: ") and b"Connection refused" in done.stderr


def test_name_that_does_not_exist():
    began = time.monotonic()
    done = run("send", "no-such-host.invalid:9999", "x")
    assert done.returncode == 69 and time.monotonic() - began < 15
    assert done.stderr.startswith(b"roger: ") and b"no-such-host.invalid" in done.stderr


def test_plain_server():
    """It is not a Roger server, and that is what is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"ACK!")

        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        done = run("send", f"127.0.0.1:{port}", "x")
        assert done.returncode == 69 and at_once(began)
        assert done.stderr.decode() == (
            f'roger: 127.0.0.1:{port} is not a Roger server (it answered "ACK!"); '
            f"for a plain server use raw://127.0.0.1:{port}\n")


def test_server_that_is_full_of_itself():
    """Endless bytes that are no protocol: an end, not a hang."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            connection, _ = listener.accept()
            try:
                while True:
                    connection.sendall(b"\x1b[31m" * 1000)
            except OSError:
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        done = run("send", f"127.0.0.1:{listener.getsockname()[1]}", "x")
        assert done.returncode == 69
        assert b"is not a Roger server" in done.stderr and b"\x1b" not in done.stderr


def test_retry_waits_for_the_server(roger, journal):
    port = closed_port()
    client = roger.start("send", "--retry", f"127.0.0.1:{port}", "patient")
    time.sleep(0.3)
    assert client.running()
    roger.serve(journal, "--quiet", listen=[f"127.0.0.1:{port}"])
    assert client.wait() == 0
    assert payloads(journal) == [b"patient"]


def test_not_acknowledged_in_time(roger, journal):
    """The server goes away for good: exit 75, and how many were acknowledged."""
    server = roger.serve(journal, "--quiet")
    client = roger.start("send", "-w", "2s", server.address, stdin=subprocess.PIPE)
    client.stdin.write(b"one\n")
    client.stdin.flush()
    wait_until(lambda: durable(journal) >= 1, "one acknowledged")
    server.kill()
    client.feed_last(b"two\n")
    assert client.wait() == 75
    assert "1 of 2 acknowledged" in client.err.text()


USAGE = [
    ("no command", []),
    ("unknown command", ["frobnicate"]),
    ("unknown option", ["serve", "--frobnicate"]),
    ("send nowhere", ["send"]),
    ("unknown protocol", ["send", "gopher://localhost", "x"]),
    ("port too high", ["send", "localhost:65536", "x"]),
    ("port is a word", ["send", "localhost:http", "x"]),
    ("bare IPv6", ["send", "::1", "x"]),
    ("size is a word", ["serve", "--max-message", "much"]),
    ("size too large", ["serve", "--max-message", "99999999999999999999"]),
    ("zero message size", ["serve", "--max-message", "0"]),
    ("message above segment", ["serve", "--max-message", "8M"]),
    ("no connections", ["serve", "--max-connections", "0"]),
    ("journal and none", ["serve", "--no-journal", "--journal", "x"]),
    ("unknown backend", ["serve", "--io", "magic"]),
    ("unknown flush", ["serve", "--flush", "maybe"]),
    ("unknown log", ["serve", "--log", "xml"]),
    ("heartbeat above what clients bear", ["serve", "--heartbeat", "10001ms"]),
    ("time is a word", ["send", "-w", "soon", "localhost", "x"]),
    ("resume without stream", ["send", "--resume", "localhost", "x"]),
    ("unknown format", ["read", "--format", "pdf"]),
    ("repair to nowhere", ["repair", "x"]),
]


@pytest.mark.parametrize("arguments", [row[1] for row in USAGE], ids=[row[0] for row in USAGE])
def test_usage(arguments, tmp_path):
    """The command line is wrong: 64, one line that names it, nothing started and nothing made."""
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 64, done.stderr
    assert done.stderr.startswith(b"roger: ") and done.stdout == b""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [[], ["serve"], ["send"], ["read"], ["verify"], ["repair"]],
                         ids=lambda c: c[0] if c else "roger")
def test_help(command):
    out = ok(run(*command, "--help")).decode()
    assert len(out.splitlines()) <= 24
    assert "roger " in out


FULL_DISK = [["--help"], ["--version"], ["send", "--help"], ["verify", "journal"], ["repair", "journal", "copy"], ["read", "journal"]]


@pytest.mark.parametrize("arguments", FULL_DISK, ids=" ".join)
def test_output_that_is_not_taken(roger, tmp_path, arguments):
    server = roger.serve(tmp_path / "journal", "--quiet")
    ok(run("send", server.address, "x"))
    assert server.terminate() == 0
    with open("/dev/full", "wb") as full:
        done = subprocess.run([ROGER, *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert (done.returncode, done.stderr) == (74, b"roger: write standard output: No space left on device\n")


CLOSED = FULL_DISK + [["help"], ["send", "ADDRESS", "--print-record", "y"], ["bench", "ADDRESS", "--count", "5"],
                      ["bench", "ADDRESS", "--count", "5", "--json"]]


@pytest.mark.parametrize("arguments", CLOSED, ids=" ".join)
def test_output_that_is_closed(roger, tmp_path, arguments):
    """What is to be printed is not lost in silence, and no file of ours gets the number."""
    server = roger.serve(tmp_path / "journal", "--quiet")
    ok(run("send", server.address, "x"))
    if "ADDRESS" not in arguments:
        assert server.terminate() == 0
    arguments = [server.address if part == "ADDRESS" else part for part in arguments]
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" >&-', ROGER, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 74 and done.stderr.endswith(b"roger: write standard output: Bad file descriptor\n"), done.stderr


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_serving_with_nowhere_to_write(roger, journal, closed):
    port = closed_port()
    server = roger.keep(Process(["sh", "-c", f'exec "$0" "$@" {closed}', ROGER, "serve", "--listen", f"127.0.0.1:{port}",
                                 "--journal", journal]))
    done = run("send", "--retry", f"127.0.0.1:{port}", "x", "y")
    assert done.returncode == 0, done.stderr
    assert server.terminate() == 0
    assert payloads(journal) == [b"x", b"y"]


ODD = b"a\nb \x1b[31m\xff"
ODD_SHOWN = b"a\\nb \\x1b[31m\\xff"


@pytest.mark.parametrize("arguments, status, words", [
    (["read", ODD], 66, b"journal %s: No such file or directory"),
    (["verify", ODD], 66, b"journal %s: No such file or directory"),
    (["repair", ODD, "copy"], 66, b"journal %s: No such file or directory"),
    (["serve", "--listen", "127.0.0.1:0", "--journal", ODD + b"/x"], 73, b"make journal %s/x: No such file or directory"),
    (["serve", "--no-journal", "--listen", b"raw+unix:" + ODD + b"/x"], 71, b"listen raw+unix:%s/x: No such file or directory"),
    (["send", b"unix:" + ODD, "x"], 69, b"connect unix:%s: No such file or directory"),
    (["send", "ADDRESS", "--file", ODD], 66, b"read %s: No such file or directory"),
], ids=["read", "verify", "repair", "journal", "listen", "connect", "file"])
def test_odd_names_stay_on_their_line(roger, journal, tmp_path, arguments, status, words):
    if "ADDRESS" in arguments:
        server = roger.serve(journal, "--quiet")
        arguments = [server.address if part == "ADDRESS" else part for part in arguments]
    done = subprocess.run([ROGER, *arguments], cwd=tmp_path, capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (status, b"roger: " + words % ODD_SHOWN + b"\n")


def test_help_as_a_command():
    assert ok(run("help")) == ok(run("--help"))
    assert ok(run("help", "read")) == ok(run("read", "--help"))


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def test_waiting_on_a_terminal_costs_nothing(roger, journal):
    """The progress bar wants to be drawn on; where there is nothing to draw, nobody is woken for it."""
    main, terminal = os.openpty()
    server = roger.serve(journal, "--quiet")
    commands = [["send", "--retry", f"127.0.0.1:{closed_port()}", "x"], ["bench", server.address, "--mode", "idle", "--seconds", "60"]]
    environ = dict(os.environ, TERM="xterm")  # one that has a progress bar
    waiting = [subprocess.Popen([ROGER, *command], stdout=terminal, stderr=terminal, env=environ) for command in commands]
    try:
        time.sleep(2)
        assert all(one.poll() is None for one in waiting)
        assert [cpu_seconds(one) < 0.2 for one in waiting] == [True, True]
    finally:
        for one in waiting:
            one.kill()
            one.wait()
        os.close(main)
        os.close(terminal)


def test_version():
    assert re.match(rb"roger \d+\.\d+\.\d+\n$", ok(run("--version")))


def test_unreadable_file(roger, journal, tmp_path):
    server = roger.serve(journal, "--quiet")
    done = run("send", server.address, "--file", tmp_path / "nowhere")
    assert done.returncode == 66
    assert done.stderr.startswith(b"roger: ") and b"nowhere" in done.stderr
    assert payloads(journal) == []


def test_address_taken(roger, journal):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run("serve", "--listen", f"127.0.0.1:{port}", "--journal", journal)
    assert done.returncode == 71
    assert done.stderr.decode() == f"roger: listen 127.0.0.1:{port}: Address already in use\n"
    assert done.stdout == b""


def test_journal_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"mine")
    done = run("serve", "--listen", "127.0.0.1:0", "--journal", path)
    assert done.returncode == 73
    assert done.stderr == b"roger: journal %s: Not a directory\n" % bytes(path)
    assert path.read_bytes() == b"mine"


def test_unknown_files_are_left_alone(roger, journal):
    journal.mkdir()
    for name in ("notes.txt", "00000000000000000001.seg.bak", "x.seg"):
        (journal / name).write_bytes(b"mine")
    server = roger.serve(journal, "--quiet")
    ok(run("send", server.address, "x"))
    assert server.terminate() == 0
    for name in ("notes.txt", "00000000000000000001.seg.bak", "x.seg"):
        assert (journal / name).read_bytes() == b"mine"


def test_standard_input_lines(roger, journal):
    """Empty lines are messages, a last line without newline counts; -0 takes NUL for the end."""
    server = roger.serve(journal, "--quiet")
    done = run("send", server.address, input=b"a\n\nb\nlast")
    ok(done)
    assert re.search(rb"4 messages acknowledged in [\d.]+ s\n", done.stderr)
    ok(run("send", server.address, "-0", input=b"x\ny\0\0z\0"))
    assert payloads(journal) == [b"a", b"", b"b", b"last", b"x\ny", b"", b"z"]


def test_file_is_one_message(roger, journal, tmp_path):
    server = roger.serve(journal, "--quiet")
    data = os.urandom(200_000)
    (tmp_path / "file").write_bytes(data)
    (tmp_path / "empty").write_bytes(b"")
    ok(run("send", server.address, "--file", tmp_path / "file", "--file", tmp_path / "empty"))
    assert payloads(journal) == [data, b""]


def test_print_record(roger, journal):
    server = roger.serve(journal, "--quiet")
    assert ok(run("send", server.address, "--print-record", "a", "b", "c")) == b"3\n"
    assert ok(run("send", server.address, "--print-record", "d")) == b"4\n"


def test_too_large_for_the_server(roger, journal):
    """The client compares with WELCOME before it sends."""
    server = roger.serve(journal, "--quiet", "--max-message", "1000")
    ok(run("send", server.address, "x" * 1000))
    done = run("send", server.address, "x" * 1001)
    assert done.returncode != 0 and done.stderr.startswith(b"roger: ")
    assert [len(p) for p in payloads(journal)] == [1000]


def test_taken_over(roger, journal):
    """A second sender of the stream fences the first, for which that is final."""
    server = roger.serve(journal, "--quiet")
    first = roger.start("send", server.address, "--stream", "s", stdin=subprocess.PIPE)
    first.stdin.write(b"one\n")
    first.stdin.flush()
    wait_until(lambda: durable(journal) >= 1, "one acknowledged")
    ok(run("send", server.address, "--stream", "s", "two"))
    first.feed_last(b"three\n")
    assert first.wait() == 69
    assert payloads(journal) == [b"one", b"two"]


def test_server_that_has_lost_everything(roger):
    """Another journal behind the same address: the client finds out that acknowledged messages are not there."""
    first, second = roger.journal("first"), roger.journal("second")
    server = roger.serve(first, "--quiet")
    client = roger.start("send", server.address, "--stream", "s", stdin=subprocess.PIPE)
    client.stdin.write(b"one\n")
    client.stdin.flush()
    wait_until(lambda: durable(first) >= 1, "one acknowledged")
    server.kill()
    roger.serve(second, "--quiet", listen=[server.address])
    client.feed_last(b"two\n")
    assert client.wait() not in (0, 75)
    assert "roger: " in client.err.text()
    assert payloads(second) == []
