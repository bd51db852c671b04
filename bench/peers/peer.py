"""What the runner wants of a peer. Each is a class in a file of its own; bench/run.py knows them by bench/peers/all.py.

A peer is started on loopback in a directory of its own, somebody shakes hands on a socket, and the load generator
(bench/drive) takes the socket over and sends prepared messages, so that the peer is the limit and not its client."""

import os
import shutil
import socket
import subprocess

import processes


class Peer:
    name = ""  # for --only
    title = ""  # for people
    ack_means = ""  # one sentence: what is so when it acknowledges
    does_more = ""  # one sentence: what it does that Roger does not
    program = ""  # must be on the machine
    package = ""  # brings it (Debian)
    protocol = "lines"  # how bench/drive counts its answers
    lines = 1  # lines in an answer
    group = 1  # messages that one answer stands for when it is driven as hard as it can be
    window = 10_000  # messages unanswered then
    drive_options = ()  # more that bench/drive must know

    def __init__(self):
        self.directory = None
        self.started = None
        self.port = None

    # What a peer overrides.

    def missing(self):
        """Why it cannot be measured here, or None."""
        return None if self.find(self.program) else f"{self.program} is not installed (Debian: {self.package})"

    def version(self):
        raise NotImplementedError

    def start(self):
        """Sets self.port and self.started; returns when it serves."""
        raise NotImplementedError

    def shake_hands(self, connection):
        """Whatever comes before the first message."""

    def message(self, index, payload):
        """One message as it is sent; all of them must have one size. `index` counts 0 .. prepared_count - 1."""
        raise NotImplementedError

    def grouped(self, messages):
        """`group` messages as they are sent to be answered once."""
        return b"".join(messages)

    def stored(self):
        """How many messages it has now, from its own mouth; None when there is no way to ask."""
        return None

    # What all have.

    @staticmethod
    def find(program):
        for place in (None, "/usr/local/sbin:/usr/sbin:/sbin"):
            found = shutil.which(program, path=place)
            if found:
                return found
        return None

    def first_line(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=30)
        return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "?")

    def run(self, *command, **more):
        self.started = processes.Started(command, os.path.join(self.directory, "log"), cwd=self.directory, **more)

    def begin(self, directory):
        self.directory = directory
        self.start()

    def stop(self):
        if self.started:
            self.started.stop()
            self.started = None

    def connect(self):
        """A socket on which messages may be sent, with the congestion control that all have."""
        connection = socket.socket()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(30)
        try:
            connection.connect(("127.0.0.1", self.port))
            self.shake_hands(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def prepared(self, size, group, count=1024):
        """The bytes for the load generator, and how many of its messages they are (a group is one to it)."""
        payload = bytes(ord("a") + i % 26 for i in range(size))
        total = count if group == 1 else group * max(1, 4096 // group)
        messages = [self.message(index, payload) for index in range(total)]
        units = messages if group == 1 else [self.grouped(messages[i:i + group]) for i in range(0, total, group)]
        assert len({len(unit) for unit in units}) == 1, f"{self.name}: messages of different sizes"
        return b"".join(units), len(units)


def receive_until(connection, end):
    """Bytes up to and with `end`."""
    got = b""
    while end not in got:
        more = connection.recv(65536)
        if not more:
            raise processes.Failed(f"the peer ended the connection; it had said {got[:200]!r}")
        got += more
    return got
