"""roger bench: every mode does what it says, its figures add up, and it says so when something is not as it should be."""

import json
import os
import re
import resource
import signal
import socket
import struct
import threading
import time

import pytest
from helpers import exchange, ok, payloads, run, wait_until
from test_client_peers import BUSY, DRAIN, script  # noqa: F401  (a fixture)


def bench(server, *arguments, timeout=20):
    return json.loads(ok(run("bench", server.address, "--json", *arguments, timeout=timeout)))


def adds_up(result, count):
    assert result["acknowledged"] == result["sent"] == count
    assert result["not_sent"] == 0 and not result["interrupted"]
    histogram_adds_up(result, count)
    assert result["seconds"] > 0
    assert result["messages_per_second"] == pytest.approx(count / result["seconds"], rel=1e-3)
    assert result["bytes_per_second"] == pytest.approx(count * result["size"] / result["seconds"], rel=1e-3, abs=1)


def histogram_adds_up(result, count):
    histogram = result["histogram_us"]
    assert sum(n for _, n in histogram) == count
    assert all(n > 0 for _, n in histogram)
    edges = [us for us, _ in histogram]
    assert edges == sorted(set(edges))
    latency = result["latency_us"]
    assert latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
    assert latency["min"] <= latency["mean"] <= latency["max"]
    # Each quantile once more, from the histogram itself.
    for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)):
        below = 0
        for us, n in histogram:
            below += n
            if below >= part * count:
                break
        assert latency[name] == pytest.approx(min(us, latency["max"]), abs=0.0011), name
    assert edges[-1] >= latency["max"] - 0.0011


def numbers(messages, size):
    """What generated messages of that size say: each begins with its number."""
    assert all(len(message) == size for message in messages)
    return sorted(struct.unpack_from("<Q", message)[0] for message in messages)


NATIVE = [
    ("stream", 1, 100),
    ("stream", 3, 8),
    ("loop", 1, 100),
    ("loop", 7, 1000),
]


@pytest.mark.parametrize("mode,connections,size", NATIVE)
def test_native(roger, journal, mode, connections, size):
    server = roger.serve(journal)
    count = 1000
    result = bench(server, "--mode", mode, "--count", count, "--connections", connections, "--size", size)
    adds_up(result, count)
    assert (result["mode"], result["connections"], result["size"]) == (mode, connections, size)
    assert result["durable"] is True and result["up"] == connections
    assert result["latency"] == "from handing a message to the client until its ack"
    server.terminate()
    kept = payloads(journal)  # those that end the streams are empty
    assert numbers([message for message in kept if message], size) == list(range(1, count + 1))


def test_connect(roger, journal):
    server = roger.serve(journal)
    result = bench(server, "--mode", "connect", "--count", 300, "--connections", 8)
    adds_up(result, 300)
    assert result["size"] == 12 and result["latency_us"]["min"] > 0
    server.terminate()
    assert numbers(payloads(journal), 12) == list(range(1, 301))


def test_connect_large(roger, journal):
    """More than one packet: it is half-closed first, so ACK! covers all of it, and a message stays one."""
    server = roger.serve(journal)
    adds_up(bench(server, "--mode", "connect", "--count", 5, "--size", "200KiB", "--connections", 2), 5)
    server.terminate()
    assert sum(map(len, payloads(journal))) == 5 * 200 * 1024


def sockets_of(process):
    count = 0
    for descriptor in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            count += os.readlink(f"/proc/{process.pid}/fd/{descriptor}").startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            pass
    return count


def test_idle(roger, journal):
    server = roger.serve(journal)
    process = roger.start("bench", server.address, "--mode", "idle", "--connections", 100, "--json", "--seconds", 100)
    process.err.wait_for(r"^100 of 100 connections are up$")
    assert sockets_of(server) >= 100
    process.popen.send_signal(signal.SIGINT)
    assert process.wait() == 0
    result = json.loads(process.out.text())
    assert (result["up"], result["lost"], result["acknowledged"]) == (100, 0, 0)
    assert result["interrupted"] is True
    assert result["latency"] == "from before the connect until WELCOME"
    histogram_adds_up(result, 100)


def test_idle_loses(roger, journal):
    server = roger.serve(journal)
    process = roger.start("bench", server.address, "--mode", "idle", "--connections", 5, "--json", "--seconds", 100)
    process.err.wait_for(r"^5 of 5 connections are up$")
    server.kill()
    wait_until(lambda: sockets_of(process) == 0, "all connections lost")
    process.popen.send_signal(signal.SIGINT)
    assert process.wait() == 69
    result = json.loads(process.out.text())
    assert (result["up"], result["lost"]) == (0, 5)
    assert re.search(r"^roger: only 0 of 5 connections are up: 127\.0\.0\.1:\d+: ", process.err.text(), re.MULTILINE)


def test_rate(roger, journal):
    """100 messages, one each 5 ms: that takes half a second, however fast the server is."""
    server = roger.serve(journal)
    result = bench(server, "--mode", "loop", "--rate", 200, "--count", 100, "--connections", 3)
    adds_up(result, 100)
    assert result["rate"] == 200 and result["seconds"] >= 0.495
    assert result["latency"] == "from when a message was due until its ack"


def test_rate_counts_from_when_it_was_due(roger):
    """A server that answers each exchange after 50 ms, one at a time, while one is due each 10 ms: the last of ten waits for those
    before it. From its connect on it would be 50 ms."""
    with slow_server(0.05) as port:
        result = json.loads(ok(run("bench", f"127.0.0.1:{port}", "--mode", "connect", "--rate", 100, "--count", 10, "--json")))
    adds_up(result, 10)
    assert result["latency_us"]["max"] >= 400_000
    assert result["latency_us"]["min"] >= 50_000


def test_rate_too_high(roger):
    with slow_server(0.02) as port:
        result = json.loads(ok(run("bench", f"127.0.0.1:{port}", "--mode", "connect", "--rate", 1000, "--seconds", "0.3", "--json")))
    assert 0 < result["acknowledged"] == result["sent"] < 300
    assert result["not_sent"] == 300 - result["sent"]


class slow_server:  # noqa: N801  (used as a function)
    """Reads, waits, answers ACK!; one connection after the other."""

    def __init__(self, pause, answer=b"ACK!"):
        self.pause, self.answer = pause, answer

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self.listener.getsockname()[1]

    def __exit__(self, *error):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.listener.close()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                time.sleep(self.pause)
                connection.sendall(self.answer)


def test_seconds(roger, journal):
    server = roger.serve(journal)
    result = bench(server, "--seconds", "200ms", "--mode", "loop")
    adds_up(result, result["acknowledged"])
    assert result["acknowledged"] > 0 and 0.1 < result["seconds"] < 5


def test_window_bounds_what_is_under_way(script):
    """1 KiB holds nine messages of 100 bytes with their headers; without an ack no more than these come."""
    taken = []

    def serve(connection):
        connection.welcome()
        connection.frames(9)
        taken.append(connection.sock.recv(1))

    server = script(serve)
    done = run("bench", server.address, "--window", "1KiB", "--timeout", "200ms")
    assert done.returncode == 75, done.stderr
    assert b"roger: 0 of 9 acknowledged: no new ack from " in done.stderr
    wait_until(lambda: taken, "the end of the connection")
    assert taken == [b""]


def test_latency_is_from_sending_to_its_ack(script):
    """Two messages arrive; the first is acknowledged after 50 ms, the second after 100."""
    def serve(connection):
        connection.welcome()
        assert numbers(connection.frames(2), 100) == [1, 2]
        for seq in (1, 2):
            time.sleep(0.05)
            connection.ack(seq)
        assert connection.frame() is None  # BYE
        assert connection.sock.recv(1) == b""

    server = script(serve)
    result = json.loads(ok(run("bench", server.address, "--count", 2, "--json")))
    adds_up(result, 2)
    assert result["latency_us"]["min"] >= 50_000 and result["latency_us"]["max"] >= 100_000


REFUSALS = [
    ("busy", lambda c: c.error(BUSY, 0, b"no room"), b"the server refused us: no room"),
    ("an ack too far", lambda c: (c.welcome(), c.frame(), c.ack(2)), b"the server acknowledged what it can not have"),
    ("nonsense", lambda c: c.send(77), b"the server's bytes make no sense"),
    ("going away", lambda c: (c.welcome(), c.send(DRAIN, struct.pack("<I", 10))), b"the server is going away"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refusals(refusal, script):
    _, act, words = refusal

    def serve(connection):
        act(connection)
        connection.take(1 << 30)

    server = script(serve)
    done = run("bench", server.address, "--mode", "loop", "--count", 10)
    assert (done.returncode, done.stderr) == (69, b"roger: %s: %s\n" % (server.address.encode(), words))


def test_not_durable(roger):
    server = roger.serve(None)
    assert bench(server, "--count", 10)["durable"] is False
    assert b'an ack means "received"' in ok(run("bench", server.address, "--count", 10))


def test_people(roger, journal):
    server = roger.serve(journal)
    shown = ok(run("bench", server.address, "--count", 100, "--mode", "loop")).decode()
    assert re.fullmatch(
        rf"loop to roger://127\.0\.0\.1:{server.port}, 1 connection, 100 bytes a message\n"
        r"acknowledged  100 of 100 messages in \d+\.\d{3} s\n"
        r"rate          \d+ messages/s, \d+\.\d MB/s\n"
        r"latency       p50 [\d.]+   p90 [\d.]+   p99 [\d.]+   p99\.9 [\d.]+   max [\d.]+ us\n"
        r"              from handing a message to the client until its ack\n"
        r"note          who waits for an ack (.|\n)*", shown), shown


def test_streams_end(roger, journal):
    """Each run gives its places in the server's table back: two places serve any number of runs."""
    server = roger.serve(journal, "--max-streams", 2)
    for _ in range(4):
        adds_up(bench(server, "--count", 10, "--connections", 2), 10)


def test_interrupted(roger, journal):
    server = roger.serve(journal)
    process = roger.start("bench", server.address, "--mode", "loop", "--seconds", 100, "--json")
    server.out.wait_for("^received 100 bytes")
    process.popen.send_signal(signal.SIGINT)
    assert process.wait() == 0
    result = json.loads(process.out.text())
    assert result["interrupted"] is True and result["acknowledged"] == result["sent"] > 0


def test_server_goes(roger, journal):
    """What was measured is still told, and the exit status says that it is not all."""
    server = roger.serve(journal)
    process = roger.start("bench", server.address, "--mode", "loop", "--seconds", 100, "--json")
    server.out.wait_for("^received 100 bytes")
    server.kill()
    assert process.wait() == 69
    result = json.loads(process.out.text())
    assert result["acknowledged"] <= result["sent"]
    assert re.fullmatch(r"roger: 127\.0\.0\.1:\d+: (the server closed the connection|the connection to the server is lost: .*)",
                        process.err.text())


def test_idleness_is_nobodys_silence(roger, journal):
    """Nothing was waited for between two messages that are further apart than the timeout."""
    server = roger.serve(journal)
    adds_up(bench(server, "--mode", "loop", "--rate", 2, "--count", 3, "--timeout", "100ms"), 3)


def test_no_ack_in_time(roger, journal):
    server = roger.serve(journal)
    process = roger.start("bench", server.address, "--mode", "loop", "--seconds", 100, "--json", "--timeout", "300ms")
    server.out.wait_for("^received 100 bytes")
    server.popen.send_signal(signal.SIGSTOP)
    try:
        assert process.wait() == 75
    finally:
        server.popen.send_signal(signal.SIGCONT)
    assert re.fullmatch(r"roger: \d+ of \d+ acknowledged: no new ack from 127\.0\.0\.1:\d+ for 0\.3 s", process.err.text())
    result = json.loads(process.out.text())
    assert result["acknowledged"] == result["sent"] - 1


def refused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("mode", ["stream", "loop", "connect", "idle"])
def test_nobody_there(mode):
    done = run("bench", f"127.0.0.1:{refused_port()}", "--mode", mode)
    assert done.returncode == 69
    assert re.fullmatch(rb"roger: connect 127\.0\.0\.1:\d+: Connection refused\n", done.stderr), done.stderr


def test_no_such_host():
    done = run("bench", "no-such-host.invalid", "--count", 1)
    assert (done.returncode, done.stdout) == (69, b"")
    assert b"no-such-host.invalid" in done.stderr


@pytest.mark.parametrize("mode", ["stream", "loop", "idle"])
def test_not_roger(mode):
    with slow_server(0, b"HTTP/1.1 400\r\n") as port:
        done = run("bench", f"127.0.0.1:{port}", "--mode", mode)
    assert (done.returncode, done.stdout) == (69, b"")
    assert re.match(rb'roger: 127\.0\.0\.1:\d+ is not a Roger server \(it answered "HTTP/1\.1 400\\r\\n"\)', done.stderr)


def test_connect_other_answer():
    with slow_server(0, b"NAK!") as port:
        done = run("bench", f"127.0.0.1:{port}", "--mode", "connect", "--count", 3)
    assert done.returncode == 69
    assert re.fullmatch(rb'roger: 127\.0\.0\.1:\d+ answered "NAK!", not "ACK!"\n', done.stderr)


def test_connect_no_answer():
    with slow_server(0, b"") as port:
        done = run("bench", f"127.0.0.1:{port}", "--mode", "connect", "--count", 3)
    assert done.returncode == 69
    assert re.fullmatch(rb"roger: 127\.0\.0\.1:\d+ closed the connection without an answer\n", done.stderr)


def test_too_large(roger, journal):
    server = roger.serve(journal, "--max-message", "1000")
    done = run("bench", server.address, "--size", "1001", "--count", 1)
    assert (done.returncode, done.stdout) == (65, b"")
    assert re.fullmatch(rb"roger: 127\.0\.0\.1:\d+ takes no messages of 1001 bytes \(at most 1000\)\n", done.stderr)
    adds_up(bench(server, "--size", "1000", "--count", 1), 1)


def test_more_than_descriptors(roger, journal):
    server = roger.serve(journal)
    done = run("bench", server.address, "--connections", "100", "--mode", "idle",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert (done.returncode, done.stdout) == (74, b"")
    assert done.stderr == (b"roger: 100 connections need more than the 64 descriptors that this process may have (ulimit -n): "
                           b"Too many open files\n")


def test_raises_the_soft_limit(roger, journal):
    server = roger.serve(journal)
    ok(run("bench", server.address, "--connections", "100", "--mode", "idle", "--seconds", "1ms",
           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))))


def test_unix_and_prefixes(roger, journal):
    path = roger.directory / "s"
    server = roger.serve(journal, listen=[f"roger+unix:{path}", "raw://127.0.0.1:0"])
    adds_up(json.loads(ok(run("bench", f"unix:{path}", "--json", "--count", 10))), 10)
    adds_up(json.loads(ok(run("bench", server.addresses[1], "--mode", "connect", "--json", "--count", 10))), 10)
    assert exchange(server.port_of(1), b"still there") == b"ACK!"


TYPED = [
    ("no address", [], "which address"),
    ("two addresses", ["a", "b"], "b"),
    ("no such mode", ["a", "--mode", "fast"], "fast"),
    ("raw in a native mode", ["raw://a"], "--mode stream speaks roger://, not raw://"),
    ("native in connect", ["roger://a", "--mode", "connect"], "--mode connect speaks raw://, not roger://"),
    ("port 0", ["a:0"], "port 0 is for listeners"),
    ("both ends", ["a", "--count", "1", "--seconds", "1"], "--count and --seconds exclude each other"),
    ("count 0", ["a", "--count", "0"], "--count"),
    ("seconds 0", ["a", "--seconds", "0"], "--seconds"),
    ("no connection", ["a", "--connections", "0"], "--connections"),
    ("too many connections", ["a", "--connections", "1000001"], "--connections"),
    ("too large", ["a", "--size", "67108865"], "--size"),
    ("a window for loop", ["a", "--mode", "loop", "--window", "1MiB"], "--window does not go with --mode loop"),
    ("a count for idle", ["a", "--mode", "idle", "--count", "1"], "--count does not go with --mode idle"),
    ("a size for idle", ["a", "--mode", "idle", "--size", "1"], "--size does not go with --mode idle"),
    ("a rate for idle", ["a", "--mode", "idle", "--rate", "1"], "--rate does not go with --mode idle"),
    ("rate 0", ["a", "--rate", "0"], "--rate"),
    ("nothing to see", ["a", "--mode", "connect", "--size", "0"], "--size 0"),
    ("a small window", ["a", "--window", "1023"], "--window"),
    ("no such option", ["a", "--fast"], "--fast"),
]


@pytest.mark.parametrize("typed", TYPED, ids=[row[0] for row in TYPED])
def test_usage(typed):
    _, arguments, words = typed
    done = run("bench", *arguments, timeout=5)
    assert (done.returncode, done.stdout) == (64, b"")
    assert done.stderr.startswith(b"roger: bench: ") and words in done.stderr.decode()


def test_help():
    lines = ok(run("bench", "--help")).decode().splitlines()
    assert len(lines) <= 24 and all(len(line) <= 80 for line in lines)
    assert "Example:" in lines
