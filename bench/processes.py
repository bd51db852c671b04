"""Processes that the benchmarks start: where they listen, what processor time and memory they take, and their end.

Whatever is started is stopped by its own process id (and those of its children), in the order in which it was started."""

import os
import select
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60  # how long something may take to start or to stop


class Failed(Exception):
    """A measurement could not be made; the text says why."""


def free_port():
    """A port of 127.0.0.1 that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def stat_of(pid):
    """The fields of /proc/PID/stat behind the name, counted from 3 as in proc(5); None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return [None, None, None, *file.read().rpartition(")")[2].split()]
    except (FileNotFoundError, ProcessLookupError):
        return None


def family(pid):
    """That process and all that descend from it."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := stat_of(name)):
            children.setdefault(int(fields[4]), []).append(int(name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def clock_seconds(pid):
    """The processor clock of one process, all its threads, to the nanosecond (clock_getcpuclockid(3)). 0 when it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0


def cpu_seconds(pid):
    """User and system time of that process, of all that descend from it, and of those of them that have ended."""
    total = 0
    for one in family(pid):
        if fields := stat_of(one):
            total += (clock_seconds(one) or sum(map(int, fields[14:16])) / TICKS) + sum(map(int, fields[16:18])) / TICKS
    return total


def rss_bytes(pid):
    """Resident memory of that process and all that descend from it. What they share counts once for each that has it,
    but for shared memory (PostgreSQL's buffers), which counts once."""
    private = shared = 0
    for one in family(pid):
        try:
            with open(f"/proc/{one}/status", encoding="utf-8", errors="replace") as file:
                lines = dict(line.split(":", 1) for line in file if ":" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        kib = {key: int(lines.get(key, "0 kB").split()[0]) for key in ("RssAnon", "RssFile", "RssShmem")}
        private += kib["RssAnon"] + kib["RssFile"]
        shared = max(shared, kib["RssShmem"])
    return (private + shared) * 1024


class Started:
    """A process of ours. As a context manager it is stopped at the end."""

    def __init__(self, command, log, **more):
        self.command = [str(part) for part in command]
        self.log = log
        with open(log, "ab") as errors:
            more.setdefault("stdout", errors)
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=errors, start_new_session=True, **more)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def trouble(self, what):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            end = file.read()[-600:].strip()
        return Failed(f"{os.path.basename(self.command[0])}: {what}" + (f": {end}" if end else ""))

    def line(self, timeout=PATIENCE_S):
        """The next line of its standard output (which must be a pipe)."""
        deadline = time.monotonic() + timeout
        got = b""
        fd = self.process.stdout.fileno()
        while not got.endswith(b"\n"):
            if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise self.trouble("it says nothing")
            byte = os.read(fd, 1)
            if not byte:
                raise self.trouble("it ended")
            got += byte
        return got.decode(errors="replace").rstrip("\n")

    def wait_for_port(self, port, timeout=PATIENCE_S):
        """Until somebody listens there."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self.trouble(f"it ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise self.trouble(f"nobody listens on port {port}")

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def rss_bytes(self):
        return rss_bytes(self.pid)

    def kill(self):
        """As a crash would end it."""
        self._signal(signal.SIGKILL, [self.pid])
        self.process.wait(PATIENCE_S)
        self._close()

    def stop(self, sign=signal.SIGTERM):
        """Politely; whoever of its family is left after a while is killed."""
        if self.process.returncode is None:
            everybody = family(self.pid)
            self._signal(sign, [self.pid])
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL, [self.pid])
                self.process.wait(PATIENCE_S)
            # Its session is its own, so a process of it that still has this session id is one that it left behind.
            self._signal(signal.SIGKILL, [pid for pid in everybody if (f := stat_of(pid)) and int(f[6]) == self.pid])
        self._close()

    def _close(self):
        if self.process.stdout:
            self.process.stdout.close()

    @staticmethod
    def _signal(sign, pids):
        for pid in pids:
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                pass
