"""One journal, one ledger, the senders, and the server that runs now: what the rigs play with.

    world = World(directory, journal, roger, rng, keep_bytes)
    world.start(options)        the server; world.load() lets the senders at it
    world.down()                after it has died, however: no sender is left with something unread
    world.audit()               offline, or beside an idle server
    world.close()
"""

import random
import subprocess

from audit import audit
from ledger import Fault, Ledger
from senders import Ephemeral, Gate, Line, Native, Program, Short
from server import Server

SEGMENT = "256k"  # the smallest: a new one every few dozen commits
MAX_MESSAGE = "64k"
DIED = -9


class World:
    def __init__(self, directory, journal, roger, rng, keep_bytes=0, program=True):
        self.directory, self.journal, self.roger, self.rng, self.keep_bytes = directory, journal, roger, rng, keep_bytes
        self.ledger = Ledger(f"w{rng.getrandbits(32):08x}")
        self.gate = Gate()
        self.server = None
        self.senders = self.make_senders(program)
        for sender in self.senders:
            sender.start()

    def make_senders(self, program):
        def common():
            return self.ledger, self.gate, lambda: self.server.addresses, random.Random(self.rng.getrandbits(64))

        senders = [Native(*common(), "alone", 1), Native(*common(), "some", 10), Native(*common(), "many", 150),
                   Ephemeral(*common(), "brief"), Line(*common(), "line"), Short(*common(), "short")]
        if program:
            senders.append(Program(*common(), "program", self.roger, self.directory))
        return senders

    def start(self, *options, tracer=()):
        """Does not wait for it."""
        options = ("--io", self.rng.choice(("auto", "epoll")), *options)
        if self.keep_bytes:
            options += ("--keep-bytes", str(self.keep_bytes))
        self.server = Server(self.roger, self.journal, self.directory,
                             ("--segment-size", SEGMENT, "--max-message", MAX_MESSAGE, *options), tracer)
        return self.server

    def listens(self):
        """The server listens; True. It was killed before; False. It has ended by itself: a fault."""
        if self.server.listens():
            return True
        self.must_have_been_killed()
        return False

    def must_have_been_killed(self):
        status = self.server.process.returncode
        if status != DIED:
            raise Fault(f"the server has ended with {status}: {self.server.text(1)[-300:]}")

    def load(self):
        self.gate.open()

    def down(self):
        """The server is dead, or dies now. Acknowledgements that are still on the way are read."""
        self.server.kill()
        self.gate.close()

    def audit(self):
        return audit(self.journal, self.ledger, self.roger, self.keep_bytes)

    def audit_restarted(self, *options):
        """Start it again, and audit beside it. Then it is stopped, one way or the other."""
        self.start(*options)
        if not self.listens():
            raise Fault("killed, and not by us")
        found = self.audit()
        if self.rng.random() < 0.5:
            self.server.terminate()
        else:
            self.server.kill()
        return found

    def second_server(self):
        """J12: two servers on one journal."""
        done = subprocess.run([self.roger, "serve", "--journal", self.journal, "--listen", "127.0.0.1:0"],
                              capture_output=True, timeout=20, check=False)
        if done.returncode != 73 or str(self.server.process.pid) not in done.stderr.decode(errors="replace"):
            raise Fault(f"a second server on the journal: exit {done.returncode}: {done.stderr.decode()[-200:]}")

    def close(self):
        if self.server:
            self.server.kill()
        self.gate.end()
        for sender in self.senders:
            if isinstance(sender, Program):
                sender.stop()
        for sender in self.senders:
            sender.join(10)

