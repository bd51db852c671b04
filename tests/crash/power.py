"""Power cuts: the journal lies on an ext4 of its own, which is shut down under load (EXT4_IOC_SHUTDOWN without a flush
of its log). The server dies, the disk is unmounted and mounted again, and the journal is audited; the next round goes
on with it.

When the power goes:

    at random      some time after the load has begun
    at an ack      by the very thread that has just written an acknowledgement down
    at a change    when a name in the journal's directory has come or gone: segments, snapshots, temporary files
    in opening     a few ms after the server was started
    after a kill   one server is killed, perhaps between a write or a rename and its flush, and the power goes as soon as
                   the next one has acknowledged something: it must not have believed what was only in the cache

In some rounds each write of the server begins some ms late (strace), as on a slow disk: then nearly always something
is on its way that must not have been acknowledged.
"""

import os
import threading
import time

from disk import LoopDisk
from kill import POINTS
from ledger import Fault
from server import kill_before, tamper
from world import World

DISK_MB = 64
ROUNDS_KEPT = 12
ROUNDS_WHOLE = 5
WHOLE_MAX = 12000  # messages acknowledged: then a journal without retention is large enough
KEEP_BYTES = 6 << 20
WRITES = "pwrite64,pwritev2"
UNFLUSHED = ("fdatasync", "fsync", "write", "renameat2", "unlinkat")
BUFFERED = "no direct I/O here"
LOST = 74  # the exit status of a server whose disk fails
NEVER_OPENED = 73  # ... before it had its journal


class PowerRig:
    name = "power"

    def __init__(self, roger, directory, rng, strace):
        """`strace`: there is one."""
        self.roger, self.directory, self.rng, self.strace = roger, directory, rng, strace
        self.world = self.disk = None
        self.rounds_left = 0

    def fresh(self, number):
        world = self.world
        if world and self.rounds_left > 0 and (world.keep_bytes or world.ledger.acks < WHOLE_MAX):
            return
        self.close()
        keep = self.rng.random() < 0.7
        self.rounds_left = ROUNDS_KEPT if keep else ROUNDS_WHOLE
        directory = os.path.join(self.directory, f"power-{number}")
        os.mkdir(directory)
        self.disk = LoopDisk(directory, DISK_MB)
        self.disk.make()
        self.disk.mount()
        self.world = World(directory, os.path.join(self.disk.path, "journal"), self.roger, self.rng,
                           KEEP_BYTES if keep else 0)

    def round(self, number):
        self.fresh(number)
        self.rounds_left -= 1
        world, rng = self.world, self.rng
        before = world.ledger.acks
        slow = self.strace and number % 3 == 2
        when = self.at_ack if slow else rng.choice(
            (self.at_random, self.at_ack, self.at_change, self.in_opening, self.after_a_kill, self.after_a_kill))
        flush = rng.choice(("dsync", "dsync", "fdatasync"))
        slow = slow or (self.strace and rng.random() < 0.3)
        killed = self.kill_one(flush) if when == self.after_a_kill else ""  # pylint: disable=comparison-with-callable
        world.start("--flush", flush, tracer=tamper(WRITES, f"delay_enter={rng.randrange(1000, 8000)}") if slow else ())
        said = f"{killed}{when()} ({flush}{', slow' if slow else ''})"
        self.server_dies(when == self.in_opening)  # pylint: disable=comparison-with-callable
        self.disk.again()
        if rng.random() < 0.3:
            said += "; read offline"
            world.audit()
        found = world.audit_restarted("--flush", flush)
        return f"{said}; {world.ledger.acks - before} acknowledged; {found}"

    def listens(self):
        self.world.listens()
        if BUFFERED in self.world.server.text(0):
            raise OSError(f"the server says: {BUFFERED}")

    def server_dies(self, opening):
        """Either at once, or by itself, when it finds out."""
        server = self.world.server
        status = server.wait(self.rng.choice((0, 0.5)))
        self.world.down()
        if status not in (None, LOST) and not (opening and status == NEVER_OPENED):
            raise Fault(f"after the power cut the server ends with {status}: {server.text(1)[-300:]}")

    def at_random(self):
        self.listens()
        self.world.load()
        time.sleep(self.rng.uniform(0, 0.4))
        self.disk.cut()
        return "cut at random"

    def kill_one(self, flush):
        """What it has written and not flushed is in the cache, for the next one to see."""
        world, rng, what, tracer = self.world, self.rng, "at random", ()
        if self.strace:
            call, how, most, what = rng.choice([point for point in POINTS if point[0] in UNFLUSHED])
            flush, tracer = how or flush, kill_before(call, rng.randint(1, most))
        world.start("--flush", flush, tracer=tracer)
        if world.listens():
            world.load()
            world.server.wait(rng.uniform(0.05, 0.5))
        world.down()
        world.must_have_been_killed()
        return f"killed {what}; "

    def after_a_kill(self):
        return self.at_ack(6)

    def at_ack(self, most=400):
        ledger, count, done = self.world.ledger, self.rng.randint(1, most), threading.Event()
        lock = threading.Lock()

        def on_ack():
            nonlocal count
            with lock:
                count -= 1
                if count == 0:
                    self.disk.cut()
                    done.set()

        self.listens()
        ledger.on_ack = on_ack
        self.world.load()
        reached = done.wait(3)
        ledger.on_ack = None
        if not reached:
            self.disk.cut()
        return "cut at an ack"

    def at_change(self):
        self.listens()
        self.world.load()
        time.sleep(self.rng.uniform(0, 0.15))
        names = set(os.listdir(self.world.journal))
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and set(os.listdir(self.world.journal)) == names:
            pass
        self.disk.cut()
        return "cut at a change of the directory"

    def in_opening(self):
        time.sleep(self.rng.uniform(0, 0.012))
        self.disk.cut()
        return "cut in opening"

    def close(self):
        if self.world:
            self.world.close()
            self.world = None
        if self.disk:
            self.disk.close()
            self.disk = None
