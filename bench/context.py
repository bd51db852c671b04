"""What one run of `make bench` carries around: programs, directories, how long and how much, and helpers that all rows use."""

import contextlib
import os
import shutil
import tempfile
import time

import figures
import processes
from roger import FRAME_HEADER, Roger

SPARE_BYTES = 4 << 30  # of the file system, that no measurement may take


class Context:
    def __init__(self, tools, program, where, quick):
        self.tools = tools
        self.program = program  # roger
        self.where = where  # a directory on the disk that is measured
        self.quick = quick
        self.peers = {}  # name: class, of those that can be measured here

    # Sizes: the real one, and the one of --quick, which only tries the machinery.

    def pick(self, real, quick):
        return quick if self.quick else real

    def bytes(self, real):
        return self.pick(real, 100_000_000)

    def seconds(self, real):
        return self.pick(real, 1)

    def count(self, size, real_bytes):
        """Messages of that size whose frames are so many bytes."""
        return self.bytes(real_bytes) // (size + FRAME_HEADER)

    @contextlib.contextmanager
    def directory(self, needed=0):
        """An empty directory on that disk, gone afterwards."""
        free = shutil.disk_usage(self.where).free
        if free < needed + SPARE_BYTES:
            raise processes.Failed(f"{self.where} has {free / 1e9:.0f} GB free; this needs {(needed + SPARE_BYTES) / 1e9:.0f} GB")
        path = tempfile.mkdtemp(prefix="roger-bench-", dir=self.where)
        os.chmod(path, 0o755)  # PostgreSQL runs as another user
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.sync()  # so that what was deleted here is not the next one's work

    @contextlib.contextmanager
    def roger(self, *options, durable=True, needed=0):
        with self.directory(needed) as path, Roger(self.program, path, *options, durable=durable) as server:
            yield server

    @contextlib.contextmanager
    def peer(self, name):
        with self.directory(4 << 30) as path:
            peer = self.peers[name]()
            try:
                peer.begin(path)
                yield peer
            finally:
                peer.stop()

    # Measurements that several rows make.

    def watched(self, process, work):
        """What `work` returns, with the server's processor time for each message and its memory afterwards."""
        cpu = process.cpu_seconds()
        result = work()
        used = process.cpu_seconds() - cpu
        result["server_cpu_us"] = figures.per(used * 1e6, result["acknowledged"])
        result["server_rss"] = process.rss_bytes()
        return result

    def drive_peer(self, peer, seconds, group, window, size=100):
        """Messages to a peer on one connection that has shaken hands. Its own count is compared with ours."""
        file = os.path.join(peer.directory, "message")
        data, units = peer.prepared(size, group)
        with open(file, "wb") as out:
            out.write(data)
        before = peer.stored()
        with peer.connect() as connection:
            result = self.watched(peer.started, lambda: self.tools.drive(
                "--fd", connection.fileno(), "--protocol", peer.protocol, "--lines", peer.lines, *peer.drive_options,
                "--message", file, "--messages", units, "--window", max(1, window // group), "--seconds", seconds,
                "--size", size, pass_fds=[connection.fileno()], timeout=seconds + 60))
        result["messages_per_second"] *= group
        result["acknowledged"] *= group
        result["server_cpu_us"] = figures.per(result["server_cpu_us"], group)
        if before is not None:
            wait_until(lambda: peer.stored() - before >= result["acknowledged"],
                       f"{peer.title} has what it acknowledged, {result['acknowledged']} messages", timeout=10)
        return result

    def drive_peer_pipelined(self, name, seconds, size=100):
        with self.peer(name) as peer:
            return self.drive_peer(peer, seconds, peer.group, peer.window, size)

    def floor_stream(self, over, size=100, total=None, seconds=None):
        """The bare receiver. `total` in bytes of frames."""
        ring = self.pick(2 << 30, 256 << 20)
        amount = ["--bytes", total] if total else ["--seconds", seconds]
        with self.directory((total or 0) + (total or 0) // 50 + ring) as path:
            return self.tools.run("floor_stream", "--dir", path, "--over", over, "--size", size, "--ring", ring, *amount,
                                  timeout=120 + (total or 0) / 20e6 + (seconds or 0))


def wait_until(condition, what, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise processes.Failed(f"after {timeout} s still not: {what}")
        time.sleep(0.005)
