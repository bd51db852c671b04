"""raw, whole and line, and the choice between native and raw on one port."""

import os
import re
import signal
import socket
import subprocess
import time

import helpers
import pytest
from helpers import exchange, ok, payloads, receive_all, records, run, wait_until


def nc(*arguments, data, timeout=20):
    return subprocess.run(["nc", *map(str, arguments)], input=data, capture_output=True, timeout=timeout, check=False)


def test_raw_two_sends_300_times(roger, journal):
    """One receive is not a message: whatever the pieces, joined they are what was sent."""
    server = roger.serve(journal, "--quiet")
    for _ in range(300):
        assert exchange(server.port, b"Hello ", b"World!") == b"ACK!"
    server.wait_quiet()
    assert b"".join(payloads(journal)) == b"Hello World!" * 300


def test_raw_a_megabyte_in_one_send(roger, journal):
    """No half-close: the server may answer in the middle. What it read is stored; what came late is reported."""
    server = roger.serve(journal, "--linger-timeout", "1s")
    data = os.urandom(1 << 20)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(data)
        answer = receive_all(connection)
        assert answer == b"ACK!"
        port = connection.getsockname()[1]
    server.wait_quiet()
    stored = b"".join(payloads(journal))
    assert stored == data, f"{len(stored)} of {len(data)} bytes"
    reported = [int(n) for line in server.out.lines
                for n in re.findall(r"(?:received (\d+) bytes from [\d.:]+:)", line)]
    late = [int(m.group(1)) for m in (re.match(rf"(\d+) more bytes from 127\.0\.0\.1:{port} after ACK!", line)
                                      for line in server.out.lines) if m]
    assert sum(reported) + sum(late) >= len(data) or any("left out" in line for line in server.out.lines)


def test_raw_late_bytes_are_stored_and_reported(roger, journal):
    server = roger.serve(journal)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"Hello World!")
        assert receive_all(connection) == b"ACK!"
        connection.sendall(b"and more")
        port = connection.getsockname()[1]
    server.out.wait_for(rf"^8 more bytes from 127\.0\.0\.1:{port} after ACK!")
    server.wait_quiet()
    assert payloads(journal) == [b"Hello World!", b"and more"]


def test_raw_with_half_close_covers_everything(roger, journal):
    server = roger.serve(journal, "--quiet")
    data = os.urandom(3_000_000)
    assert exchange(server.port, data, half_close=True) == b"ACK!"
    assert b"".join(payloads(journal)) == data


def test_closed_without_a_byte(roger, journal):
    """No message, no answer."""
    server = roger.serve(journal)
    assert exchange(server.port, half_close=True) == b""
    server.out.wait_for("^accepted ")
    assert payloads(journal) == []


def test_whole_file(roger, journal, tmp_path):
    server = roger.serve(journal, "--quiet", listen=["whole://127.0.0.1:0"])
    data = os.urandom(1_000_000)
    done = nc("-N", "127.0.0.1", server.port, data=data)
    assert done.returncode == 0 and done.stdout == b"ACK!"
    (tmp_path / "sent").write_bytes(data)
    (tmp_path / "stored").write_bytes(ok(run("read", journal, "--format", "raw")))
    subprocess.run(["cmp", tmp_path / "sent", tmp_path / "stored"], check=True)
    assert len(records(journal)) == 1


def test_whole_too_large(roger, journal):
    """More than max-message: no ACK, one line, nothing stored; the limit itself is taken."""
    server = roger.serve(journal, "--quiet", "--max-message", "100000", listen=["whole://127.0.0.1:0"])
    for size, answer in ((99_999, b"ACK!"), (100_000, b"ACK!"), (100_001, b"")):
        assert nc("-N", "127.0.0.1", server.port, data=b"x" * size).stdout == answer
    assert [r["size"] for r in records(journal)] == [99_999, 100_000]
    server.err.wait_for("127.0.0.1:")


def test_line_over_ipv6_and_unix(roger, journal, tmp_path):
    path = tmp_path / "socket"
    server = roger.serve(journal, "--quiet", listen=["line://[::1]:0", f"line+unix:{path}"])
    done = nc("-N", "::1", server.port_of(0), data=b"a\nb\n")
    assert done.stdout == b"ACK 1\nACK 2\n"
    done = nc("-N", "-U", path, data=b"a\nb\n")
    assert done.stdout == b"ACK 3\nACK 4\n"
    assert [(r["payload"], r["protocol"]) for r in records(journal)] == [("a", "line"), ("b", "line")] * 2


def test_line_ends(roger, journal):
    """CR LF is tolerated; the bytes after the last LF are a line at a half-close, and none at a reset."""
    server = roger.serve(journal, "--quiet", listen=["line://127.0.0.1:0"])
    assert exchange(server.port, b"one\r\ntwo\n\nlast", half_close=True) == b"ACK 1\nACK 2\nACK 3\nACK 4\n"
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(b"five\nno line")
    assert connection.recv(100) == b"ACK 5\n"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close is a reset
    connection.close()
    assert exchange(server.port, b"six\n", half_close=True) == b"ACK 6\n"
    assert payloads(journal) == [b"one", b"two", b"", b"last", b"five", b"six"]


def test_a_long_run_does_not_keep_others_waiting(roger, journal, traced, tmp_path):
    """Thousands of lines that came at once are answered in pieces: between two or three of them the loop looks at everybody else."""
    server = roger.serve(journal, "--io", "epoll", "--quiet", listen=["line://127.0.0.1:0"])
    server.wait_quiet()
    log = tmp_path / "calls"
    tracer = roger.keep(helpers.Process(
        ["strace", "-f", "-qq", "-o", log, "-p", server.pid, "-e", "trace=epoll_wait,epoll_pwait,epoll_pwait2,sendto"]))
    wait_until(lambda: helpers.Tracer.attached(server) or not tracer.running(), "strace attached")
    if not tracer.running():
        pytest.skip(f"tracing is not permitted here: {tracer.err.text()}")
    count = 60000
    with socket.create_connection(("127.0.0.1", server.port), timeout=helpers.PATIENCE_S) as connection:
        connection.sendall(b"\n" * count)
        connection.shutdown(socket.SHUT_WR)
        answers = receive_all(connection).splitlines()
    assert answers[-1] == b"ACK %d" % count
    assert len(answers) == count
    rows = re.split(r"^.*epoll_p?wait.*$", log.read_text(errors="replace"), flags=re.MULTILINE)
    assert max(row.count("sendto(") for row in rows) in (1, 2, 3)


@pytest.mark.parametrize("io", ["epoll", "uring"])
def test_what_stands_behind_an_urgent_byte(roger, journal, io):
    """A read stops short in front of it (telnet sends one with Ctrl-C); what is behind it is seen all the same."""
    server = roger.serve(journal, "--io", io, listen=["line://127.0.0.1:0"], wait=False)
    try:
        server.wait_listening()
    except AssertionError:
        pytest.skip(f"--io {io} is not to be had here")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"first\n")
        assert connection.recv(100) == b"ACK 1\n"
        server.popen.send_signal(signal.SIGSTOP)
        connection.sendall(b"ab")
        connection.send(b"!", socket.MSG_OOB)
        connection.sendall(b"c\n")
        server.popen.send_signal(signal.SIGCONT)
        assert connection.recv(100) == b"ACK 2\n"
    assert payloads(journal) == [b"first", b"abc"]


def test_unix_socket_is_reused_after_a_kill(roger, journal, tmp_path):
    path = tmp_path / "socket"
    server = roger.serve(journal, "--quiet", listen=[f"line+unix:{path}"])
    assert nc("-N", "-U", path, data=b"a\n").stdout == b"ACK 1\n"
    server.kill()
    server = roger.serve(journal, "--quiet", listen=[f"line+unix:{path}"])
    assert nc("-N", "-U", path, data=b"b\n").stdout == b"ACK 2\n"


def test_native_over_ipv6_and_unix(roger, journal, tmp_path):
    path = tmp_path / "socket"
    server = roger.serve(journal, "--quiet", listen=["[::1]:0", f"unix:{path}"])
    ok(run("send", f"[::1]:{server.port_of(0)}", "six"))
    ok(run("send", f"unix:{path}", "unix"))
    assert payloads(journal) == [b"six", b"unix"]


def test_beginning_of_the_preface_then_half_close(roger, journal):
    """`ROG` could become the native preface: the half-close decides, quickly."""
    server = roger.serve(journal, "--quiet")
    began = time.monotonic()
    assert nc("-N", "127.0.0.1", server.port, data=b"ROG").stdout == b"ACK!"
    assert time.monotonic() - began < 2
    assert payloads(journal) == [b"ROG"]


def test_beginning_of_the_preface_then_silence(roger, journal):
    """After one second of silence it is raw."""
    server = roger.serve(journal, "--quiet")
    began = time.monotonic()
    assert exchange(server.port, b"ROGER/") == b"ACK!"
    assert 0.5 < time.monotonic() - began < 5
    assert payloads(journal) == [b"ROGER/"]


def test_native_only_listener_refuses_raw(roger, journal):
    server = roger.serve(journal, "--quiet", listen=["roger://127.0.0.1:0"])
    answer = exchange(server.port, b"GET / HTTP/1.1\r\n\r\n", half_close=True)
    assert b"ACK!" not in answer
    assert payloads(journal) == []
