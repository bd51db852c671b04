"""The rows of the benchmark: what each measures in one round, and what it must reach.

A row's `measure` makes one round of everything that its targets compare, one after the other, so that a ratio's two sides
were measured within the same minute. A target is a figure of one round; what counts is the median over the rounds."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from typing import Callable

import figures
import processes
from figures import dig, ratio
from roger import FRAME_HEADER, Roger

GB = 1_000_000_000
NEEDED = 12  # tenths: what a journal takes of the disk for each byte of frames, with all that lies ready


@dataclasses.dataclass
class Target:
    row: str  # of the table
    what: str
    relation: str
    limit: float
    figure: Callable  # of one round: a number or None
    unit: str = ""


@dataclasses.dataclass
class Row:
    name: str
    title: str
    measure: Callable  # Context -> the round: {name: result}
    targets: list
    peers: tuple = ()  # whose absence leaves a part unmeasured


def rate(a, b):
    """The ratio of two rates of a round."""
    return lambda m: ratio(dig(m, f"{a}.messages_per_second"), dig(m, f"{b}.messages_per_second"))


def cpu(a, b):
    return lambda m: ratio(dig(m, f"{a}.server_cpu_us"), dig(m, f"{b}.server_cpu_us"))


def attempt(result, name, work):
    """One part of a round; when it fails, the others are still worth having."""
    try:
        result[name] = work()
    except (processes.Failed, OSError, subprocess.SubprocessError) as why:
        result[name] = {"failed": str(why) or type(why).__name__}
        print(f"    {name}: {result[name]['failed']}", file=sys.stderr, flush=True)


# --- 1a, 2, 10: onto a fresh journal

class CpuByGigabyte:
    """Notes the server's processor time when the first gigabyte of frames is durable, and before and after the last."""

    def __init__(self, server, size, count):
        frame = size + FRAME_HEADER
        part = min(GB, count * frame // 4) // frame
        self.server, self.part = server, part
        self.points = [0, part, count - part, count]
        self.cpu = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _watch(self):
        for point in self.points:
            while self.server.durable_messages() < point and not self.ended.is_set():
                time.sleep(0.002)
            self.cpu.append((self.server.durable_messages(), self.server.started.cpu_seconds()))

    def result(self):
        """Microseconds for each message in the first part and in the last."""
        (n0, c0), (n1, c1), (n2, c2), (n3, c3) = self.cpu
        return {"first": figures.per((c1 - c0) * 1e6, n1 - n0), "last": figures.per((c3 - c2) * 1e6, n3 - n2)}


def fresh(context, size, total, *options):
    """A pipeline of so many bytes of frames onto a fresh journal."""
    count = context.count(size, total)
    with context.roger(*options, needed=context.bytes(total) * NEEDED // 10) as server:
        at_start = server.journal_bytes()
        with CpuByGigabyte(server, size, count) as parts:
            result = context.watched(server.started, lambda: server.stream(context.tools, size, count=count,
                                                                           timeout=120 + context.bytes(total) / 20e6))
        result["journal_bytes_at_start"] = at_start
        result["cpu_us_by_part"] = parts.result()
        return result


def redis_stream(context):
    return context.drive_peer_pipelined("redis", context.seconds(5))


def measure_1a(context):
    result = {}
    attempt(result, "floor", lambda: context.floor_stream("fallocated", 100, total=context.bytes(20 * GB)))
    attempt(result, "roger", lambda: fresh(context, 100, 20 * GB))
    if "redis" in context.peers:
        attempt(result, "redis", lambda: redis_stream(context))
    return result


def measure_1b(context):
    result = {}

    def reused():
        with context.roger("--keep-bytes", context.pick("2GiB", "256MiB"), needed=5 * GB) as server:
            # So much that segments are being used again when the clock starts.
            server.stream(context.tools, 100, count=context.pick(4 * GB, 600_000_000) // 108)
            return context.watched(server.started, lambda: server.stream(context.tools, 100, seconds=context.seconds(30)))

    attempt(result, "floor", lambda: context.floor_stream("zeros", 100, seconds=context.seconds(30)))
    attempt(result, "roger", reused)
    if "redis" in context.peers:
        attempt(result, "redis", lambda: redis_stream(context))
    return result


def measure_2(context):
    result = {}
    for size in (16, 1000):
        attempt(result, f"floor{size}", lambda size=size: context.floor_stream("fallocated", size, total=context.bytes(20 * GB)))
        attempt(result, f"roger{size}", lambda size=size: fresh(context, size, 20 * GB))
    return result


def measure_10(context):
    result = {}
    for backend in ("uring", "epoll"):
        attempt(result, f"stream_{backend}", lambda io=backend: fresh(context, 100, 20 * GB, "--io", io))
        attempt(result, f"connect_{backend}", lambda io=backend: connect_roger(context, False, "--io", io))
    return result


# --- 3, 4: a connection for each message

def connect_roger(context, durable, *options):
    with context.roger(*options, durable=durable) as server:
        return context.watched(server.started, lambda: context.tools.drive_connect(server.port, context.seconds(5)))


def connect_server(context, name, *arguments):
    with context.directory() as path:
        started, port = context.tools.server(name, path, *arguments)
        with started:
            return context.watched(started, lambda: context.tools.drive_connect(port, context.seconds(5)))


def measure_connect(durable):
    def measure(context):
        result = {}
        attempt(result, "floor", lambda: connect_server(context, "server_blocking"))
        attempt(result, "roger", lambda: connect_roger(context, durable))
        return result
    return measure


# --- 5, 6: latency

def one_in_flight(context):
    with context.roger() as server:
        return context.watched(server.started, lambda: server.drive(context.tools, "--seconds", context.seconds(5)))


def measure_5(context):
    result = {}
    with context.directory() as path:
        attempt(result, "write", lambda: context.tools.run("floor_write", "--dir", path, "--seconds", context.seconds(5)))
    attempt(result, "round", lambda: context.tools.run("floor_round", "--seconds", context.seconds(5)))
    attempt(result, "roger", lambda: one_in_flight(context))
    return result


def against_write_and_round(m):
    floor = [dig(m, "write.latency_us.p50"), dig(m, "round.latency_us.p50")]
    return ratio(dig(m, "roger.latency_us.p50"), None if None in floor else sum(floor))


def many_echo(context, connections):
    with context.directory() as path:
        started, port = context.tools.server("floor_echo", path, "--size", "108")
        with started:
            return context.watched(started, lambda: context.tools.drive(
                "--connect", f"127.0.0.1:{port}", "--protocol", "echo", "--connections", connections,
                "--seconds", context.seconds(5)))


def many_redis(context, connections):
    with context.peer("redis") as peer:
        data, count = peer.prepared(100, 1)
        with open(f"{peer.directory}/message", "wb") as out:
            out.write(data)
        return context.watched(peer.started, lambda: context.tools.drive(
            "--connect", f"127.0.0.1:{peer.port}", "--protocol", "lines", "--lines", peer.lines, "--connections", connections,
            "--message", f"{peer.directory}/message", "--messages", count, "--seconds", context.seconds(5)))


def many_roger(context, connections):
    with context.roger() as server:
        return context.watched(server.started, lambda: server.drive(
            context.tools, "--connections", connections, "--seconds", context.seconds(5)))


def measure_6(context):
    result = {}
    attempt(result, "floor", lambda: many_echo(context, 1000))
    attempt(result, "roger", lambda: many_roger(context, 1000))
    if "redis" in context.peers:
        attempt(result, "redis", lambda: many_redis(context, 1000))
    return result


# --- 7: memory of idle connections

def rss_with(context, limit, connections):
    """RSS of a server with room for `limit` connections while so many are open and silent (each has had its WELCOME)."""
    with context.roger("--max-connections", limit, "--memory", "64MiB") as server:
        if not connections:
            return server.started.rss_bytes()
        command = [context.tools.path("drive"), "--connect", f"127.0.0.1:{server.port}", "--protocol", "roger",
                   "--connections", str(connections), "--hold"]
        with open(os.path.join(server.directory, "log.idle"), "wb") as errors, \
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as idle:
            if not idle.stdout.readline():
                raise processes.Failed(f"{connections} idle connections could not be made")
            return server.started.rss_bytes()


def measure_7(context):
    connections = context.pick(10_000, 1000)
    result = {"connections": connections}

    def bytes_each():
        empty, full = rss_with(context, 10, 0), rss_with(context, connections, connections)
        return {"rss_empty": empty, "rss_full": full, "bytes_each": (full - empty) / connections}

    attempt(result, "roger", bytes_each)
    return result


# --- 8: starting again

def seconds_to_start(server):
    began = time.monotonic()
    server.start()
    return time.monotonic() - began


def measure_8(context):
    streams, at_once = context.pick((100_000, 10_000), (2000, 1000))
    options = ("--max-streams", streams + 1000)
    result = {"streams": streams}

    def after_kill():
        with context.directory(context.bytes(10 * GB) * 2) as path:
            with Roger(context.program, path, *options) as server:
                for _ in range(streams // at_once):
                    server.drive(context.tools, "--connections", at_once, "--count", at_once)
                server.stream(context.tools, 100, count=context.count(100, 10 * GB))
                load = threading.Thread(target=lambda: ended_early(lambda: server.drive(
                    context.tools, "--window", "600000", "--seconds", "60", timeout=120)))
                before = server.durable_messages()
                load.start()
                while server.durable_messages() < before + 100_000 and load.is_alive():
                    time.sleep(0.002)
                time.sleep(context.seconds(2))
                server.started.kill()
                took = seconds_to_start(server)
                server.started.stop()
                load.join()
                return {"seconds": took, "journal_bytes": server.journal_bytes(), "messages": server.durable_messages()}

    def empty():
        with context.directory() as path:
            server = Roger(context.program, path, *options)
            took = seconds_to_start(server)
            server.started.stop()
            return {"seconds": took}

    attempt(result, "empty", empty)
    attempt(result, "killed", after_kill)
    return result


def ended_early(work):
    """Work whose server is killed under it."""
    try:
        work()
    except processes.Failed:
        pass


def later_than_empty(m):
    killed, empty = dig(m, "killed.seconds"), dig(m, "empty.seconds")
    return None if None in (killed, empty) else killed - empty


# --- 9: work that does not grow (its first half is measured in 1a)

def measure_9(context):
    result = {}
    total_rate = context.pick(20_000, 2000)
    for name, connections in (("one", 1), ("many", context.pick(10_000, 1000))):
        def paced(connections=connections):
            with context.roger() as server:
                return context.watched(server.started, lambda: server.drive(
                    context.tools, "--connections", connections, "--rate", total_rate, "--window", 1000 if connections == 1 else 1,
                    "--seconds", context.seconds(5), timeout=180))
        attempt(result, name, paced)
    return result


def last_against_first(m):
    return ratio(dig(m, "roger.cpu_us_by_part.last"), dig(m, "roger.cpu_us_by_part.first"))


ROWS = (
    Row("1a", "durable 100-byte messages, one connection, pipelined, onto a fresh journal", measure_1a, [
        Target("1a", "rate to the floor over fallocated blocks", ">=", 0.75, rate("roger", "floor")),
        Target("1a", "rate to Redis", ">=", 20, rate("roger", "redis")),
        Target("1a", "journal on the disk when the clock starts", "<=", 300, lambda m: ratio(dig(m, "roger.journal_bytes_at_start"), 1e6),
               " MB"),
        Target("9", "server CPU per message, the last GB to the first", "<=", 1.15, last_against_first),
    ], ("redis",)),
    Row("1b", "the same into reused segments", measure_1b, [
        Target("1b", "rate to the floor over zeros", ">=", 0.75, rate("roger", "floor")),
        Target("1b", "rate to Redis", ">=", 30, rate("roger", "redis")),
    ], ("redis",)),
    Row("2", "as 1a with 16-byte and 1000-byte messages", measure_2, [
        Target("2", "16 bytes: rate to the floor", ">=", 0.5, rate("roger16", "floor16")),
        Target("2", "1000 bytes: rate to the floor", ">=", 0.8, rate("roger1000", "floor1000")),
    ]),
    Row("3", "connect, 12 bytes, ACK!, close, 32 at once, --no-journal", measure_connect(False), [
        Target("3", "server CPU per exchange to the bare blocking loop's", "<=", 1.3, cpu("roger", "floor")),
        Target("3", "rate to the bare blocking loop's", ">=", 0.95, rate("roger", "floor")),
    ]),
    Row("4", "the same, durable", measure_connect(True), [
        Target("4", "server CPU per exchange to the bare blocking loop's", "<=", 2, cpu("roger", "floor")),
        Target("4", "rate to the bare blocking loop's", ">=", 0.8, rate("roger", "floor")),
    ]),
    Row("5", "one message in flight, durable", measure_5, [
        Target("5", "p50 to a bare durable 4 KiB write and a bare round trip", "<=", 1.3, against_write_and_round),
    ]),
    Row("6", "1000 connections, one 100-byte message in flight each, durable", measure_6, [
        Target("6", "rate to the same without a disk", ">=", 0.5, rate("roger", "floor")),
        Target("6", "rate to Redis on the same work", ">=", 1.7, rate("roger", "redis")),
        Target("6", "p99 to Redis' p50", "<=", 1, lambda m: ratio(dig(m, "roger.latency_us.p99"), dig(m, "redis.latency_us.p50"))),
    ], ("redis",)),
    Row("7", "memory of an idle connection", measure_7, [
        Target("7", "resident bytes for each", "<=", 300, lambda m: dig(m, "roger.bytes_each"), " B"),
    ]),
    Row("8", "start after SIGKILL under load, against an empty journal", measure_8, [
        Target("8", "seconds more than on an empty journal", "<=", 1, later_than_empty, " s"),
    ]),
    Row("9", "processor time does not grow", measure_9, [
        Target("9", "server CPU per message, 10,000 connections to 1 at the same rate", "<=", 3, cpu("many", "one")),
    ]),
    Row("10", "the epoll backend", measure_10, [
        Target("10", "1a: rate to io_uring's", ">=", 0.7, rate("stream_epoll", "stream_uring")),
        Target("10", "3: rate to io_uring's", ">=", 0.7, rate("connect_epoll", "connect_uring")),
    ]),
)
