"""Both sides are killed, again and again: every number is there once, in order."""

import itertools
import subprocess
import threading
import time

import pytest
from helpers import durable, ok, payloads, run, wait_until


class Feeder:
    """Writes numbered lines into a pipe, paced, until it is told that it is enough."""

    def __init__(self, pipe, pause=0.001):
        self.pipe = pipe
        self.pause = pause
        self.enough = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self.feed, daemon=True)
        self.thread.start()

    def feed(self):
        try:
            for number in itertools.count(1):
                self.pipe.write(b"%d\n" % number)
                self.pipe.flush()
                self.count = number
                if self.enough.wait(self.pause):
                    break
            self.pipe.close()
        except OSError:
            pass  # the reader was killed

    def end(self):
        self.enough.set()
        self.thread.join()
        return self.count


def numbers(count):
    return [b"%d" % n for n in range(1, count + 1)]


def test_server_killed_ten_times(roger, journal):
    server = roger.serve(journal, "--quiet")
    client = roger.start("send", server.address, "--stream", "numbers", stdin=subprocess.PIPE)
    feeder = Feeder(client.stdin)
    at_kill = []
    for turn in range(10):
        if turn in (4, 7):  # within 20 ms of its start
            time.sleep(0.005 if turn == 4 else 0.018)
        else:
            before = durable(journal)
            wait_until(lambda: durable(journal) >= before + 50, "50 more acknowledged")
        server.kill()
        at_kill.append(durable(journal))
        server = roger.again(server, wait=turn not in (3, 6))  # the next turn kills it while it starts
    count = feeder.end()
    assert client.wait(60) == 0, client.err.text()
    print("acknowledged at each kill:", at_kill, "of", count)
    assert sum(0 < n < count for n in at_kill) >= 8, at_kill
    assert payloads(journal) == numbers(count)
    assert f"{count} messages acknowledged" in client.err.text()


@pytest.mark.parametrize("resume", [True, False], ids=["resume", "again"])
def test_client_killed(roger, journal, resume):
    """With --resume the input is the stream: what is there is skipped. Without it is sent again, as documented."""
    server = roger.serve(journal, "--quiet")
    client = roger.start("send", server.address, "--stream", "numbers", stdin=subprocess.PIPE)
    feeder = Feeder(client.stdin)
    wait_until(lambda: durable(journal) >= 200, "200 acknowledged")
    client.kill()
    feeder.end()
    server.wait_quiet()
    first = payloads(journal)
    assert 200 <= len(first) < 2000 and first == numbers(len(first))
    whole = b"".join(n + b"\n" for n in numbers(2000))
    ok(run("send", server.address, "--stream", "numbers", *(["--resume"] if resume else []), input=whole))
    assert payloads(journal) == (numbers(2000) if resume else first + numbers(2000))


def test_resume_of_another_input(roger, journal):
    """Different, or shorter: nothing is sent, exit 65."""
    server = roger.serve(journal, "--quiet")
    ok(run("send", server.address, "--stream", "s", "a", "b", "c"))
    for other in (b"a\nx\nc\nd\n", b"a\nb\n", b""):
        done = run("send", server.address, "--stream", "s", "--resume", input=other)
        assert done.returncode == 65, (other, done.stderr)
        assert done.stderr.startswith(b"roger: ")
    ok(run("send", server.address, "--stream", "s", "--resume", "a", "b", "c"))
    ok(run("send", server.address, "--stream", "s", "--resume", "a", "b", "c", "d"))
    assert payloads(journal) == [b"a", b"b", b"c", b"d"]


def test_the_same_message_twice_is_two_records(roger, journal):
    server = roger.serve(journal, "--quiet")
    for _ in range(2):
        ok(run("send", server.address, "--stream", "t", "23.5"))
    assert payloads(journal) == [b"23.5"] * 2


def test_both_killed(roger, journal):
    """Server and client die together, several times; the file is the stream, and is there once."""
    server = roger.serve(journal, "--quiet")
    whole = b"".join(n + b"\n" for n in numbers(3000))
    for turn in range(3):
        client = roger.start("send", server.address, "--stream", "s", "--resume", stdin=subprocess.PIPE)
        feeder = Feeder(client.stdin, pause=0.0005)
        before = durable(journal)
        wait_until(lambda: durable(journal) >= before + 50, "50 more acknowledged")
        assert durable(journal) < 3000
        (server if turn % 2 else client).kill()
        (client if turn % 2 else server).kill()
        feeder.end()
        server = roger.again(server)
    ok(run("send", server.address, "--stream", "s", "--resume", input=whole))
    assert payloads(journal) == numbers(3000)


def test_starts_without_a_message_leave_nothing(roger, journal):
    """A hundred starts and SIGKILLs: at most one segment more."""
    server = roger.serve(journal, "--quiet")
    ok(run("send", server.address, "one"))
    server.wait_quiet()
    before = segments(journal)
    for _ in range(100):
        server.kill()
        server = roger.again(server)
    server.wait_quiet()
    assert segments(journal) <= before + 1
    assert payloads(journal) == [b"one"]


def segments(journal):
    return len(list(journal.glob("*.seg")))


def test_one_message_takes_little_room(roger, journal):
    server = roger.serve(journal)
    ok(run("send", server.address, "one"))
    server.wait_quiet()
    used = int(subprocess.run(["du", "-sm", str(journal)], capture_output=True, check=True).stdout.split()[0])
    assert used <= 25, f"{used} MB"
