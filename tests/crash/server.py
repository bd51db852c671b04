"""One run of `roger serve`, perhaps under strace, which can kill it at a system call of our choice."""

import os
import re
import signal
import subprocess
import time

from ledger import Fault

LISTENING = re.compile(r"^listening on (\S+)", re.MULTILINE)
SOCKET = "socket"
PATIENCE_S = 20


def kill_before(call, count):
    """Kills the server when one of its threads comes to this call for the count-th time: the call itself is not made.
    -D: the server is our child, and strace is not. (With --seccomp-bpf signals are not injected.)"""
    return ["strace", "-D", "-f", "-o", "/dev/null", "-e", f"trace={call}",
            "-e", f"inject={call}:signal=SIGKILL:when={count}"]


def tamper(calls, how):
    """Delays or fails some calls."""
    return ["strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={calls}",
            "-e", f"inject={calls}:{how}"]


def why_no_strace():
    """None, or why there is no tracing."""
    try:
        done = subprocess.run(["strace", "-D", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False,
                              timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"strace: {error}"
    return None if done.returncode == 0 else f"strace: {done.stderr.decode(errors='replace').strip()}"


class Server:
    """Its output goes to files in `directory`. `addresses`: protocol -> where, once it listens."""

    def __init__(self, roger, journal, directory, options=(), tracer=()):
        self.paths = [os.path.join(directory, name) for name in ("serve.out", "serve.err")]
        self.addresses = {}
        listeners = ("127.0.0.1:0", "line://127.0.0.1:0", "whole://127.0.0.1:0",
                     "roger+unix:" + os.path.join(directory, SOCKET))
        if tracer:
            options = (*options, "--io", "epoll")  # a tracer sees no operations of a ring
        command = [*tracer, roger, "serve", "--journal", journal, *options]
        for listener in listeners:
            command += ["--listen", listener]
        self.count = len(listeners)
        with open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def text(self, index):
        with open(self.paths[index], encoding="utf-8", errors="replace") as file:
            return file.read()

    def running(self):
        return self.process.poll() is None

    def listens(self, patience_s=PATIENCE_S):
        """Wait until it does; False when it has ended instead."""
        deadline = time.monotonic() + patience_s
        while True:
            ended = not self.running()
            found = LISTENING.findall(self.text(0))
            if len(found) == self.count and self.text(0).count("\n") > self.count:
                break
            if ended:
                return False
            if time.monotonic() > deadline:
                raise Fault(f"the server does not listen after {patience_s} s: {self.text(1)[-300:]}")
            time.sleep(0.002)
        for address in found:
            protocol, _, rest = address.rpartition("://")
            if "unix:" in address:
                self.addresses["program"] = address
            else:
                host, port = rest.rsplit(":", 1)
                self.addresses[protocol or "roger"] = (host, int(port))
        return True

    def kill(self):
        self.process.kill()
        return self.process.wait(PATIENCE_S)

    def signal(self, number):
        if self.running():
            self.process.send_signal(number)

    def wait(self, patience_s):
        """The exit status; None when it still runs."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self):
        """A clean stop."""
        self.signal(signal.SIGTERM)
        status = self.wait(PATIENCE_S)
        if status is None:
            self.kill()
        if status != 0:
            raise Fault(f"SIGTERM: exit {status}: {self.text(1)[-300:]}")
