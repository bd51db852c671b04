"""Roger's main job in about ten seconds: send, store, acknowledge, and lose nothing while the server is killed.

Everything happens in a temporary directory, on a free port of 127.0.0.1, and is gone afterwards, also when a signal ends it.
The exit status is 0 only if every message is there exactly once, in order.
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
ROGER = os.environ.get("ROGER") or os.path.join(TOP, "build", "roger")
COUNT = 4000               # numbered messages ...
STREAM_S = 4.8             # ... in so long a time, in which the server can be killed
KILLS = (800, 1800, 2800)  # kill it when about so many are acknowledged
CHAPTERS_S = (0, 1.2, 2.2, 3.4, 8.9)  # when each begins, at the earliest: there is time to read
END_S = 9.7
BEAT_S = 0.2               # between a command and what comes of it
PATIENCE_S = 30

TERMINAL = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
COLOUR = TERMINAL and "NO_COLOR" not in os.environ
BAR_WIDTH = 40
FRAME_S = 0.05


class Failure(Exception):
    """The demonstration has shown something that it should not."""


class Ended(Exception):
    """By a signal."""


# --- processes and signals

processes = []
careful = {"now": False, "signal": None}  # what must be cleaned up is being made: a signal waits for that


def on_signal(number, _):
    if careful["now"]:
        careful["signal"] = number
    else:
        raise Ended(number)


def carefully(make, keep):
    """What `make` returns, given to `keep` before a signal can end us."""
    careful["now"] = True
    try:
        made = make()
        keep(made)
    finally:
        careful["now"] = False
    if careful["signal"]:
        raise Ended(careful["signal"])
    return made


def start(*command, **more):
    return carefully(lambda: subprocess.Popen(command, **more), processes.append)


def clean_up(directories):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


# --- the screen

class Bar:
    """How many are acknowledged, on the last line of a terminal, while it goes on."""

    def __init__(self):
        self.count = None  # a function; None: there is no bar
        self.drawn_s = 0
        self.shown = False
        self.kills = []    # where it was

    def text(self, count):
        cells = ["#" if i * COUNT < count * BAR_WIDTH else "." for i in range(BAR_WIDTH)]
        for kill in self.kills:
            cells[kill * BAR_WIDTH // COUNT] = "X"
        colours = {"#": "32", ".": "2", "X": "1;31"}
        return "".join(paint(colours[cell], cell) for cell in cells) + f" {count:4} of {COUNT} acknowledged"

    def tick(self):
        if TERMINAL and self.count and time.monotonic() - self.drawn_s > FRAME_S:
            self.drawn_s = time.monotonic()
            self.shown = True
            print(f"\r   {self.text(self.count())}\033[K", end="", flush=True)

    def erase(self):
        if self.shown:
            print("\r\033[K", end="")
        self.shown = False


bar = Bar()
began_s = time.monotonic()


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text=""):
    bar.erase()
    print(text, flush=True)


def pause(until_s):
    while (left_s := began_s + until_s - time.monotonic()) > 0:
        bar.tick()
        time.sleep(min(left_s, FRAME_S))


def chapter(number, text):
    pause(CHAPTERS_S[number - 1])
    say()
    say(paint("1", f"{number}. {text}"))


def command(text):
    say("   " + paint("36", f"$ {text}"))
    pause(time.monotonic() - began_s + BEAT_S)


def shown(who, text):
    say(f"   {paint('2', f'{who:7}|')} {text}")


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"after {PATIENCE_S} s still not: {what}")
        bar.tick()
        time.sleep(0.002)


# --- what is shown

class Server:
    """roger serve, its standard output collected line by line."""

    def __init__(self, journal, address):
        self.lines = []
        command(f"roger serve --listen {address} --journal JOURNAL")
        self.process = start(ROGER, "serve", "--listen", address, "--journal", journal,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
        threading.Thread(target=self.collect, daemon=True).start()
        wait_for(lambda: len(self.lines) >= 2 or self.process.poll() is not None, "the server listens")
        if self.process.poll() is not None:
            raise Failure(f"roger serve ended with {self.process.returncode}")
        self.address = self.starts_with("listening on ").split()[2]
        for line in self.lines[:2]:
            shown("server", line.replace(journal, "JOURNAL"))

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
    command("roger read JOURNAL --from 2 | cmp - README.md")
    if roger("read", journal, "--from", "2").stdout != sent:
        raise Failure("what was stored is not what was sent")
    shown("cmp", f"all {len(sent)} bytes are equal")


def feed(pipe):
    """Number after number into roger's standard input, each at its time."""
    begin_s = time.monotonic()
    try:
        for number in range(1, COUNT + 1):
            pipe.write(b"message %d of %d\n" % (number, COUNT))
            pipe.flush()
            time.sleep(max(0, begin_s + number * STREAM_S / COUNT - time.monotonic()))
        pipe.close()
    except (BrokenPipeError, ValueError):
        pass  # the client has ended: its exit status tells


def kill_and_restart(server, journal, acknowledged, turn):
    say("   " + paint("1;31", f"$ kill -9 {server.process.pid}"))
    server.kill()
    count = acknowledged()
    bar.kills.append(min(count, COUNT - 1))
    shown("server", paint("1;31", f"killed for the {turn} time") + f", {count} of {COUNT} acknowledged")
    if not 0 < count < COUNT:
        raise Failure("that was not in mid-stream")
    return Server(journal, server.address), count


def kills(server, journal):
    command(f"generate {COUNT} messages | roger send {server.address} --stream numbers")
    before = durable(journal)
    client = start(ROGER, "send", server.address, "--stream", "numbers", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    threading.Thread(target=feed, args=(client.stdin,), daemon=True).start()

    def acknowledged():
        return durable(journal) - before

    def reaches(count):
        wait_for(lambda: acknowledged() >= count or client.poll() is not None, f"{count} acknowledged")
        if client.poll() is not None and acknowledged() < COUNT:
            raise Failure(f"the client has given up: {client.stderr.read().decode()}")

    bar.count = acknowledged
    for turn, threshold in zip(("first", "second", "third"), KILLS):
        reaches(threshold)
        server, count = kill_and_restart(server, journal, acknowledged, turn)
        reaches(count + 1)
        shown("client", f"the same process, {client.pid}, has connected again and goes on")
    reaches(COUNT)
    errors = client.stderr.read().decode().strip()
    if client.wait(PATIENCE_S) != 0:
        raise Failure(f"roger send ended with {client.returncode}: {errors}")
    say(f"   {bar.text(acknowledged())}")
    bar.count = None
    shown("client", errors.splitlines()[-1])
    return server, before


def proof(journal, before):
    first = str(before + 1)
    command(f"roger read JOURNAL --from {first}")
    found = roger("read", journal, "--from", first).stdout.splitlines()
    for line in (found[0], found[1], b"...", found[-1]):
        shown("read", line.decode())
    wanted = [b"message %d of %d" % (number, COUNT) for number in range(1, COUNT + 1)]
    if found != wanted:
        missing, twice = len(set(wanted) - set(found)), len(found) - len(set(found))
        raise Failure(f"{len(found)} messages, {missing} missing, {twice} more than once, or not in order")
    command("roger verify JOURNAL")
    for line in roger("verify", journal).stdout.decode().splitlines()[-1:]:
        shown("verify", line)


def show(directory):
    journal = os.path.join(directory, "journal")
    say(paint("1", "Roger: an acknowledged message is on disk, once, intact, in order."))

    chapter(1, "A server, on a free port, with a fresh journal")
    server = Server(journal, "127.0.0.1:0")

    chapter(2, "A program that knows nothing of Roger")
    classic(server)

    chapter(3, "A real text file, each line a message, over Roger's own protocol")
    text_file(server, journal)

    chapter(4, f"{COUNT} messages in five seconds, while the server is killed three times in mid-stream")
    server, before = kills(server, journal)

    chapter(5, "The proof")
    proof(journal, before)
    server.process.send_signal(signal.SIGTERM)
    if server.process.wait(PATIENCE_S) != 0:
        raise Failure(f"the server's exit status is {server.process.returncode}")
    pause(END_S)
    say()
    say(paint("1;32", f"Every one of the {COUNT} messages is there, exactly once, in order."))


def main():
    directories = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        show(carefully(lambda: tempfile.mkdtemp(prefix="roger-demo-"), directories.append))
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody looks any more
        return 128 + signal.SIGPIPE
    except (Failure, OSError, subprocess.TimeoutExpired) as error:
        say()
        say(paint("1;31", f"demo: failed: {error}"))
        return 1
    except Ended as end:
        if TERMINAL and bar.shown:
            os.write(1, b"\n")
        return 128 + end.args[0]
    finally:
        clean_up(directories)


if __name__ == "__main__":
    sys.exit(main())
