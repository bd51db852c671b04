"""Roger itself, as a server that is measured and as its own load generator."""

import os
import re
import subprocess

import processes
import programs

FRAME_HEADER = 8  # bytes before each payload, on the wire and in the journal
WINDOW = 64 << 20  # bytes in flight, where a pipeline is measured


class Roger:
    """`roger serve` on a free port of 127.0.0.1, with a journal in `directory` or without one."""

    name = "roger"
    title = "Roger"
    ack_means = "written to the journal past the page cache and flushed, in order, exactly once, with the sender's checksum; " \
                "after any failed write there are no more acks"

    def __init__(self, program, directory, *options, durable=True):
        self.directory = directory
        self.journal = os.path.join(directory, "journal")
        where = ["--journal", self.journal] if durable else ["--no-journal"]
        self.command = [program, "serve", "--listen", "127.0.0.1:0", *where, "--quiet", *options]
        self.program = program
        self.started = None
        self.port = None

    def start(self):
        self.started = processes.Started(self.command, os.path.join(self.directory, "log"), stdout=subprocess.PIPE)
        try:
            line = self.started.line()
        except processes.Failed:
            self.started.stop()
            raise
        match = re.match(r"listening on \S*:(\d+)\b", line)
        if not match:
            self.started.stop()
            raise processes.Failed(f"roger serve: {line}")
        self.port = int(match.group(1))
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.started.stop()

    def journal_bytes(self):
        """What the journal takes on the disk, as du counts it."""
        total = 0
        for name in os.listdir(self.journal):
            try:
                total += os.stat(os.path.join(self.journal, name)).st_blocks * 512
            except FileNotFoundError:
                pass
        return total

    def durable_messages(self):
        """The durable record number, which the server keeps in its lock file (docs/journal.md)."""
        with open(os.path.join(self.journal, "lock"), "rb") as file:
            return int.from_bytes(file.read(8), "little")

    def stream(self, tools, size, count=None, seconds=None, timeout=600):
        """One native connection, pipelined, by `roger bench` (or the load generator of bench/ where it has no such command)."""
        amount = ["--count", count] if count else ["--seconds", seconds]
        if has_bench(self.program):
            result = programs.run_json([self.program, "bench", f"127.0.0.1:{self.port}", "--mode", "stream", "--size", size,
                                        "--window", WINDOW, "--json", *amount], timeout)
            result.pop("histogram_us", None)  # thousands of numbers that no table shows
            return result
        return tools.drive("--connect", f"127.0.0.1:{self.port}", "--protocol", "roger", "--size", size,
                           "--window", WINDOW // (size + FRAME_HEADER), *amount, timeout=timeout)

    def drive(self, tools, *arguments, **more):
        """The load generator that all peers have."""
        return tools.drive("--connect", f"127.0.0.1:{self.port}", "--protocol", "roger", *arguments, **more)


def has_bench(program):
    return subprocess.run([program, "bench", "--help"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10).returncode == 0


def version(program):
    done = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    return done.stdout.strip()
