"""What the black box tests share: roger as a process, plain peers, the journal from the outside.

Nothing here waits for time to pass: conditions are polled, with a limit. Whatever is started is stopped by its own
process id.
"""

import base64
import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IO = os.environ.get("ROGER_TEST_IO")  # the servers' --io, where a test does not say; none: auto
ROGER = os.environ.get("ROGER") or os.path.join(TOP, "build", "roger")
FULL = os.environ.get("ROGER_FULL") == "1"  # the long versions: 10,000 connections for a minute and such
PATIENCE_S = 20  # how long a condition may take on a slow, busy machine


def wait_until(condition, what, timeout=PATIENCE_S, pause=0.005):
    """Poll `condition` until it returns something true, and return that."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(pause)


def run(*arguments, timeout=30, stdin=subprocess.DEVNULL, **more):
    """roger with these arguments, to its end. Output as bytes; `input` may be given."""
    if "input" in more:
        stdin = None
    return subprocess.run([ROGER, *map(str, arguments)], stdin=stdin, capture_output=True, timeout=timeout, **more)


def ok(done):
    """That run ended with 0; its stdout."""
    assert done.returncode == 0, f"{done.args}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}"
    return done.stdout


def records(journal, *arguments):
    """What `roger read --format json` shows, as a list of dicts."""
    return [json.loads(line) for line in ok(run("read", journal, "--format", "json", *arguments)).splitlines()]


def payloads(journal):
    return [payload_of(record) for record in records(journal)]


def payload_of(record):
    if "payload_base64" in record:
        return base64.b64decode(record["payload_base64"])
    return record["payload"].encode()


def durable(journal):
    """The durable record number, as the server keeps it in the lock file (docs/journal.md): what acks are given from."""
    try:
        with open(os.path.join(journal, "lock"), "rb") as file:
            data = file.read(8)
    except FileNotFoundError:
        return 0
    return struct.unpack("<Q", data)[0] if len(data) == 8 else 0


class Lines:
    """Collects a pipe's lines in a thread, so that the writer never blocks."""

    def __init__(self, pipe):
        self.lines = []
        self.pipe = pipe
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        for line in self.pipe:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def text(self):
        return "\n".join(self.lines)

    def wait_for(self, pattern, timeout=PATIENCE_S, count=1):
        """The first `count` lines in which the pattern is found (one match object when count is 1)."""
        def found():
            matches = [m for m in (re.search(pattern, line) for line in list(self.lines)) if m]
            return matches[:count] if len(matches) >= count else None

        try:
            matches = wait_until(found, f"{count} lines like {pattern!r}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is:\n{self.text()}") from None
        return matches[0] if count == 1 else matches


class Process:
    """A program under way, with its output collected."""

    def __init__(self, command, stdin=subprocess.DEVNULL, **more):
        self.command = [part if isinstance(part, bytes) else str(part) for part in command]
        self.popen = subprocess.Popen(self.command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.pid = self.popen.pid
        self.stdin = self.popen.stdin
        self.out = Lines(self.popen.stdout)
        self.err = Lines(self.popen.stderr)

    def running(self):
        return self.popen.poll() is None

    def feed_last(self, data):
        """The end of its standard input. The process may have ended meanwhile: then its exit status tells."""
        try:
            self.stdin.write(data)
            self.stdin.close()
        except BrokenPipeError:
            pass

    def wait(self, timeout=PATIENCE_S):
        """The exit status; output is complete afterwards."""
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} still runs after {timeout} s; stdout:\n{self.out.text()}\n"
                                 f"stderr:\n{self.err.text()}") from None
        self.out.thread.join(2)
        self.err.thread.join(2)
        return status

    def kill(self):
        self.popen.kill()
        return self.wait()

    def terminate(self, timeout=PATIENCE_S):
        self.popen.terminate()
        return self.wait(timeout)

    def stop(self):
        """Whatever it takes; for the end of a test."""
        if self.running():
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass


class Server(Process):
    """roger serve. `listen` may hold several addresses; port 0 takes a free one, and a restart keeps what it got."""

    def __init__(self, journal, *arguments, listen=("127.0.0.1:0",), wait=True, prefix=(), **more):
        self.journal = None if journal is None else str(journal)
        self.arguments = arguments
        self.listen = [listen] if isinstance(listen, str) else list(listen)
        self.prefix = prefix
        self.more = more
        command = [*prefix, ROGER, "serve"]
        for address in self.listen:
            command += ["--listen", address]
        command += ["--no-journal"] if journal is None else ["--journal", self.journal]
        if IO and "--io" not in arguments:
            command += ["--io", IO]
        super().__init__(command + list(arguments), **more)
        if wait:
            self.wait_listening()

    def wait_listening(self, timeout=PATIENCE_S):
        wanted = max(1, len(self.listen))

        def listening():
            if not self.running():
                self.out.thread.join(2)
                self.err.thread.join(2)
                raise AssertionError(f"{self.command} ended with {self.popen.returncode}:\n{self.err.text()}")
            return sum(line.startswith("listening on ") for line in list(self.out.lines)) >= wanted

        wait_until(listening, f"{wanted} listening lines", timeout)
        self.addresses = [line.split()[2] for line in self.out.lines if line.startswith("listening on ")][:wanted]
        return self

    @property
    def address(self):
        return self.addresses[0]

    @property
    def port(self):
        return self.port_of(0)

    def port_of(self, index):
        return int(self.addresses[index].rsplit(":", 1)[1])

    def restarted(self, *arguments, wait=True):
        """The same server once more, at the same addresses (it must have ended)."""
        assert not self.running()
        listen = getattr(self, "addresses", self.listen)
        return Server(self.journal, *(arguments or self.arguments), listen=listen, wait=wait, prefix=self.prefix,
                      **self.more)

    def cpu_ticks(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def wait_quiet(self, quiet_s=0.3):
        """Until the process has written nothing for a while: its spare segment is filled, its seal is out."""
        def written():
            with open(f"/proc/{self.pid}/io", encoding="ascii") as file:
                return dict(line.split(": ") for line in file.read().splitlines())["syscw"]

        deadline = time.monotonic() + PATIENCE_S
        last, since = written(), time.monotonic()
        while time.monotonic() - since < quiet_s:
            assert time.monotonic() < deadline, "the server does not come to rest"
            time.sleep(0.02)
            now = written()
            if now != last:
                last, since = now, time.monotonic()


def receive_all(connection):
    """Everything up to the peer's end."""
    parts = []
    while True:
        data = connection.recv(65536)
        if not data:
            return b"".join(parts)
        parts.append(data)


def exchange(port, *sends, host="127.0.0.1", half_close=False, timeout=PATIENCE_S):
    """What a plain TCP client does: connect, send, read until the end."""
    with socket.create_connection((host, port), timeout=timeout) as connection:
        for data in sends:
            connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return receive_all(connection)


# --- the native protocol's HELLO, for connections that then stay silent (docs/protocol.md)

def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


def native_hello(stream=None, flags=4, first=1):
    body = b"ROGER/1\n" + struct.pack("<I", flags) + (stream or os.urandom(16)) + os.urandom(8) + struct.pack("<Q", first)
    return body + struct.pack("<I", crc32c(body))


# --- namespaces: a port 9999 and file systems of our own

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000


def in_network_namespace(function):
    """Call `function` on a thread in a network namespace of its own, loopback up. None when that is not permitted,
    else (result,)."""
    libc = ctypes.CDLL(None, use_errno=True)
    outcome = {}

    def body():
        if libc.unshare(CLONE_NEWNET) != 0:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sH14s", b"lo", 0, b"")
            flags = struct.unpack("16sH14s", fcntl.ioctl(any_socket, 0x8913, request))[1]  # SIOCGIFFLAGS
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14s", b"lo", flags | 1, b""))  # SIOCSIFFLAGS, IFF_UP
        try:
            outcome["result"] = function()
        except BaseException as error:  # the test's own thread must see it
            outcome["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return (outcome["result"],) if "result" in outcome else None


MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

own_namespace = {}  # "entered": this process is in it; "private": none of its mounts is seen outside


class OwnMounts:
    """Put this process (and what it starts) into a mount namespace of its own, once, so that nothing that a test mounts below
    `directory` is seen outside, or outlives it. `why_not`: None, or why that cannot be had. To be closed."""

    def __init__(self, directory):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.bound = None
        self.why_not = self.enter(os.fsencode(directory))

    def enter(self, directory):
        if not own_namespace.get("entered"):
            if self.libc.unshare(CLONE_NEWNS) != 0:
                return os.strerror(ctypes.get_errno())
            own_namespace["entered"] = True
            own_namespace["private"] = self.libc.mount(None, b"/", None, MS_PRIVATE | MS_REC, None) == 0
        if own_namespace["private"]:
            return None
        # In a plain chroot / is no mount point, and cannot be made private: then the directory becomes one.
        if self.libc.mount(directory, directory, None, MS_BIND, None) != 0:
            return os.strerror(ctypes.get_errno())
        self.bound = directory
        if self.libc.mount(None, directory, None, MS_PRIVATE, None) != 0:
            return os.strerror(ctypes.get_errno())
        return None

    def close(self):
        if self.bound is not None:
            self.libc.umount2(self.bound, MNT_DETACH)


# --- strace as a slow or failing disk (epoll backend: journal writes are ordinary calls)

DISK_CALLS = "pwrite64,pwritev,pwritev2,fdatasync,fsync"


class Tracer:
    """strace, attached to a running server."""

    def __init__(self, pid, inject):
        self.process = Process(["strace", "-f", "-qq", "-o", "/dev/null", "-p", pid,
                                "-e", f"trace={DISK_CALLS}", "-e", f"inject={DISK_CALLS}:{inject}"])
        self.pid = pid
        wait_until(lambda: self.attached() or not self.process.running(), "strace attached")

    def attached(self):
        """All threads of the server have a tracer."""
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/status", encoding="ascii") as file:
                if "\nTracerPid:\t0\n" in file.read():
                    return False
        return True

    def refused(self):
        """Why strace could not attach, or None."""
        return None if self.process.running() else self.process.err.text()

    def detach(self):
        if self.process.running():
            self.process.popen.send_signal(signal.SIGINT)
            self.process.wait()


def why_no_ptrace():
    """A reason to skip, or None: may we trace a child of ours and inject?"""
    try:
        done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"],
                              capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        return "strace is not installed"
    return None if done.returncode == 0 else f"strace: {done.stderr.strip()}"
