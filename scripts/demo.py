"""Roger's main job in about ten seconds: send, store, acknowledge, and lose nothing while the server is killed.

Everything happens in a temporary directory, on a free port of 127.0.0.1, and is gone afterwards. The exit status is
0 only if every message is there exactly once, in order.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROGER = os.path.join(TOP, "build", "roger")
COUNT = 4000     # numbered messages ...
PACE_S = 0.001   # ... one each millisecond: four seconds in which the server can be killed
KILLS = (800, 1800, 2800)  # kill it when about so many are acknowledged
PATIENCE_S = 30

COLOUR = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
processes = []


class Failure(Exception):
    """The demonstration has shown something that it should not."""


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text=""):
    print(text, flush=True)


def chapter(number, text):
    say()
    say(paint("1", f"{number}. {text}"))


def command(text):
    say("   " + paint("36", f"$ {text}"))


def shown(who, text):
    say(f"   {paint('2', f'{who:7}|')} {text}")


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"after {PATIENCE_S} s still not: {what}")
        time.sleep(0.002)


class Server:
    """roger serve, its standard output collected line by line."""

    def __init__(self, journal, address):
        self.lines = []
        self.process = subprocess.Popen([ROGER, "serve", "--listen", address, "--journal", journal],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
        processes.append(self.process)
        threading.Thread(target=self.collect, daemon=True).start()
        wait_for(lambda: self.starts_with("listening on ") or self.process.poll() is not None, "the server listens")
        if self.process.poll() is not None:
            raise Failure(f"roger serve ended with {self.process.returncode}")
        self.address = self.starts_with("listening on ").split()[2]

    def collect(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def starts_with(self, text):
        return next((line for line in list(self.lines) if line.startswith(text)), None)

    def kill(self):
        self.process.kill()
        self.process.wait()


def durable(journal):
    """The journal's durable record number: acks are given from it, and from nothing else (docs/journal.md, "lock")."""
    with open(os.path.join(journal, "lock"), "rb") as file:
        return struct.unpack("<Q", file.read(8))[0]


def roger(*arguments, **more):
    """Run it to its end; its output."""
    done = subprocess.run([ROGER, *arguments], capture_output=True, timeout=PATIENCE_S, **more)
    if done.returncode != 0:
        raise Failure(f"roger {arguments[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done


def classic(server):
    host, port = server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as peer:
        peer.sendall(b"Hello World!")
        shown("client", "connects, sends  " + paint("33", "Hello World!"))
        answer = b""
        while part := peer.recv(100):
            answer += part
        shown("client", "reads            " + paint("32", answer.decode(errors="replace")) +
              ", and the connection is closed")
    if answer != b"ACK!":
        raise Failure(f"the answer is {answer!r}, not ACK!")
    wait_for(lambda: server.starts_with("received 12 bytes"), "the server says what it received")
    for line in server.lines:
        if line.startswith(("accepted", "received")):
            shown("server", line)


def text_file(server, journal):
    path = os.path.join(TOP, "README.md")
    command(f"roger send {server.address} < README.md")
    with open(path, "rb") as file:
        done = roger("send", server.address, stdin=file)
    shown("client", done.stderr.decode().strip())
    with open(path, "rb") as file:
        sent = file.read()
    command("roger read --from 2 | cmp - README.md")
    if roger("read", journal, "--from", "2").stdout != sent:
        raise Failure("what was stored is not what was sent")
    shown("cmp", f"all {len(sent)} bytes are equal")


def feed(pipe):
    """Number after number into roger's standard input."""
    try:
        for number in range(1, COUNT + 1):
            pipe.write(b"message %d of %d\n" % (number, COUNT))
            pipe.flush()
            time.sleep(PACE_S)
        pipe.close()
    except BrokenPipeError:
        pass  # the client has ended: its exit status tells


def bar(count):
    width = 40
    full = count * width // COUNT
    return paint("32", "#" * full) + paint("2", "." * (width - full))


def kills(server, journal):
    command(f"generate {COUNT} messages | roger send {server.address} --stream numbers")
    before = durable(journal)
    client = subprocess.Popen([ROGER, "send", server.address, "--stream", "numbers"],
                              stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    processes.append(client)
    threading.Thread(target=feed, args=(client.stdin,), daemon=True).start()
    for turn, threshold in enumerate(KILLS, 1):
        wait_for(lambda: durable(journal) - before >= threshold or client.poll() is not None,
                 f"{threshold} acknowledged")
        server.kill()
        count = durable(journal) - before
        say(f"   {bar(count)} {paint('1;31', f'kill -9, number {turn}')}: {count:4} of {COUNT} acknowledged")
        if not 0 < count < COUNT:
            raise Failure("that was not in mid-stream")
        server = Server(journal, server.address)
        if client.poll() is not None:
            raise Failure(f"the client has given up: {client.stderr.read().decode()}")
    say("   " + paint("2", f"the same client (process {client.pid}) goes on by itself each time"))
    errors = client.stderr.read().decode().strip()
    if client.wait(PATIENCE_S) != 0:
        raise Failure(f"roger send ended with {client.returncode}: {errors}")
    count = durable(journal) - before
    say(f"   {bar(count)} {paint('1;32', 'done')}:  {count:4} of {COUNT} acknowledged")
    shown("client", errors.splitlines()[-1])
    return server, before


def proof(journal, before):
    first = str(before + 1)
    command(f"roger read --from {first}")
    found = roger("read", journal, "--from", first).stdout.splitlines()
    for line in (found[0], found[1], b"...", found[-1]):
        shown("read", line.decode())
    wanted = [b"message %d of %d" % (number, COUNT) for number in range(1, COUNT + 1)]
    if found != wanted:
        missing, twice = len(set(wanted) - set(found)), len(found) - len(set(found))
        raise Failure(f"{len(found)} messages, {missing} missing, {twice} more than once, or not in order")
    command("roger verify")
    for line in roger("verify", journal).stdout.decode().splitlines()[-1:]:
        shown("verify", line)
    say()
    say(paint("1;32", f"Every one of the {COUNT} messages is there, exactly once, in order."))


def show(directory):
    journal = os.path.join(directory, "journal")
    say(paint("1", "Roger: an acknowledged message is on disk, once, intact, in order."))

    chapter(1, "A server, on a free port, with a fresh journal")
    command("roger serve --listen 127.0.0.1:0 --journal JOURNAL")
    server = Server(journal, "127.0.0.1:0")
    wait_for(lambda: len(server.lines) >= 2, "the line for the journal")
    for line in server.lines[:2]:
        shown("server", line.replace(journal, "JOURNAL"))

    chapter(2, "A program that knows nothing of Roger")
    classic(server)

    chapter(3, "A real text file, each line a message, over Roger's own protocol")
    text_file(server, journal)

    chapter(4, "One message each millisecond, while the server is killed three times in mid-stream")
    server, before = kills(server, journal)

    chapter(5, "The proof")
    proof(journal, before)
    server.process.send_signal(signal.SIGTERM)
    if server.process.wait(PATIENCE_S) != 0:
        raise Failure(f"the server's exit status is {server.process.returncode}")


def main():
    directory = tempfile.mkdtemp(prefix="roger-demo-")
    try:
        show(directory)
        return 0
    except (Failure, OSError, subprocess.TimeoutExpired) as error:
        say()
        say(paint("1;31", f"demo: failed: {error}"))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
