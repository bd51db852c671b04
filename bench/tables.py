"""The two tables beside the targets: peers that store messages, and servers that answer on a connection for each message."""

import os
import sys

import figures
from rows import attempt, connect_roger, connect_server

# (name, what it is, what its answer means)
CONNECT = (
    ("blocking", "bare blocking accept/recv/send/close loop (the floor)", "received"),
    ("epoll", "one thread, epoll", "received"),
    ("uv", "one thread, libuv", "received"),
    ("threads", "a thread for each connection, C", "received"),
    ("python", "a thread for each connection, Python", "received"),
    ("roger", "Roger --no-journal", "received"),
    ("roger-durable", "Roger", "on disk"),
)


def both(context, drive):
    """Driven as hard as it can be, and one message at a time."""
    result = {}
    attempt(result, "hard", lambda: drive(True))
    attempt(result, "alone", lambda: drive(False))
    return result


def measure_roger(context):
    def drive(hard):
        with context.roger() as server:
            if hard:
                return context.watched(server.started, lambda: server.stream(context.tools, 100, seconds=context.seconds(10)))
            return context.watched(server.started, lambda: server.drive(context.tools, "--seconds", context.seconds(5)))
    return both(context, drive)


def measure_peer(context, name):
    def drive(hard):
        with context.peer(name) as peer:
            if hard:
                return context.drive_peer(peer, context.seconds(10), peer.group, peer.window)
            return context.drive_peer(peer, context.seconds(5), 1, 1)
    return both(context, drive)


def measure_peers(context):
    result = {"roger": measure_roger(context)}
    for name in context.peers:
        result[name] = measure_peer(context, name)
    return result


def measure_connect(context):
    result = {}
    here = os.path.dirname(os.path.abspath(__file__))
    for name, _, _ in CONNECT:
        if name.startswith("roger"):
            attempt(result, name, lambda name=name: connect_roger(context, name == "roger-durable"))
        elif name == "python":
            attempt(result, name, lambda: connect_server(context, sys.executable, os.path.join(here, "servers", "threads.py")))
        elif context.tools.has(f"server_{name}"):
            attempt(result, name, lambda name=name: connect_server(context, f"server_{name}"))
        else:
            result[name] = {"failed": "not built: a library is missing (scripts/setup bench)"}
    return result


COLUMNS = (  # (path, whether more is better)
    ("hard.messages_per_second", True),
    ("alone.latency_us.p50", False),
    ("alone.latency_us.p99", False),
    ("alone.latency_us.p99_9", False),
    ("hard.server_cpu_us", False),
    ("hard.server_rss", False),
)
NAMES = ("messages a second", "latency p50", "latency p99", "latency p99.9", "server CPU a message", "memory")


def wins(rounds, name):
    """Where that peer is ahead of Roger: names of columns."""
    found = []
    for (path, more), what in zip(COLUMNS, NAMES):
        ours, theirs = (figures.median_of(rounds, f"{who}.{path}") for who in ("roger", name))
        if ours is not None and theirs is not None and (theirs > ours if more else theirs < ours):
            found.append(what)
    return found
