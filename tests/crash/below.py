"""Errors from below: the disk is full, fails, or is slow. What was acknowledged must be there when the same bytes lie
on a healthy disk again, and the server must have stopped in the right way: exit 74 at the first write or flush that
failed, or, when there is no room for a new segment, a state in which it waits.

A case is a function (rig, directory) that returns a line. What it leaves behind, rig.world and rig.disks, the rig
closes.
"""

import os
import re
import time

from disk import FailingDisk, LoopDisk, Tmpfs, leave_free, wait_for, why_no_failing
from ledger import Fault
from server import tamper
from world import World

FULL = re.compile("full|No space left", re.IGNORECASE)
LOST = 74
DISK_MB = 64
STOPS_S = 15  # by then a server under load has met the error


class BelowRig:
    name = "below"

    def __init__(self, roger, directory, rng, list_of_cases):
        self.roger, self.directory, self.rng, self.cases = roger, directory, rng, list_of_cases
        self.world = None
        self.disks = []

    def round(self, number):
        name, case = self.cases[number - 1]
        directory = os.path.join(self.directory, f"below-{number}")
        os.mkdir(directory)
        try:
            said = case(self, directory)
        except Fault as fault:
            raise Fault(f"{name}: {fault}") from None
        finally:
            self.close()
        return f"{name}: {said}"

    def disk(self, disk):
        self.disks.append(disk)
        return disk

    def begin(self, directory, place, *options, tracer=(), keep_bytes=0):
        """A world under load."""
        world = self.world = World(directory, os.path.join(place, "journal"), self.roger, self.rng, keep_bytes)
        world.start(*options, tracer=tracer)
        if world.server.listens():
            world.load()
        return world

    def stops(self):
        """The server ends by itself, with 74; a line on it."""
        world = self.world
        status = world.server.wait(STOPS_S)
        world.down()
        if status != LOST:
            raise Fault(f"exit {status}, not {LOST}: {world.server.text(1)[-300:]}")
        return f"exit {LOST} after {world.ledger.acks} acknowledged"

    def close(self):
        if self.world:
            self.world.close()
            self.world = None
        while self.disks:
            self.disks.pop().close()


# --- loop devices

def full_below(rig, directory):
    """The file system has room, and what carries it has none. A commit's write or flush meets it: exit 74; a new
    segment does: the server waits."""
    small = rig.disk(Tmpfs(directory, 48))
    disk = rig.disk(LoopDisk(small.path, DISK_MB, by_page=True))
    disk.make()
    disk.mount()
    leave_free(small.path, 4)
    world = rig.begin(directory, disk.path, "--flush", rig.rng.choice(("dsync", "fdatasync")))
    wait_for(lambda: FULL.search(world.server.text(1)) or not world.server.running(), "the server notices")
    if world.server.running():
        world.down()
        said = f"waits after {world.ledger.acks} acknowledged"
    else:
        said = rig.stops()
    os.unlink(os.path.join(small.path, "ballast"))
    disk.again()
    return f"{said}; {world.audit_restarted()}"


def full_here(rig, directory):
    """No room for a new segment: the server waits, and goes on when there is some. It is killed in that state, too."""
    disk = rig.disk(LoopDisk(directory, DISK_MB))
    disk.make()
    disk.mount()
    leave_free(disk.path, 6)
    world = rig.begin(directory, disk.path)
    wait_for(lambda: FULL.search(world.server.text(1)) or not world.server.running(), "the disk is full")
    acks = -1
    while acks != world.ledger.acks:  # what is stored is acknowledged yet
        acks = world.ledger.acks
        time.sleep(0.3)
    if not world.server.running():
        raise Fault(f"the server has ended: {world.server.text(1)[-300:]}")
    if rig.rng.random() < 0.5:
        os.unlink(os.path.join(disk.path, "ballast"))
        wait_for(lambda: world.ledger.acks > acks, "it goes on when there is room")
        world.down()
    else:
        world.down()
        os.unlink(os.path.join(disk.path, "ballast"))
    return f"{acks} acknowledged until full; {world.audit_restarted()}"


def failing(flush):
    """All writes fail from one moment on."""
    def case(rig, directory):
        disk = rig.disk(FailingDisk(directory, DISK_MB))
        disk.make()
        disk.mount()
        world = rig.begin(directory, disk.path, "--flush", flush, keep_bytes=2 << 20)
        time.sleep(rig.rng.uniform(0.1, 0.5))
        disk.fail()
        said = rig.stops()
        rig.disk(disk.healthy())
        return f"{said}; {world.audit_restarted()}"
    return case


def failing_for_a_moment(rig, directory):
    """Writes fail for some ms, and work again: what has failed stays failed."""
    disk = rig.disk(FailingDisk(directory, DISK_MB, delay_ms=1))
    disk.make()
    disk.mount()
    world = rig.begin(directory, disk.path)
    time.sleep(rig.rng.uniform(0.1, 0.4))
    disk.fail()
    time.sleep(rig.rng.uniform(0.005, 0.05))
    disk.heal()
    status = world.server.wait(1)
    world.down()
    if status not in (None, LOST):
        raise Fault(f"exit {status}, not {LOST}: {world.server.text(1)[-300:]}")
    rig.disk(disk.healthy())
    return f"exit {status}, {world.ledger.acks} acknowledged; {world.audit_restarted()}"


def slow_and_cut(rig, directory):
    """Each write takes 20 ms, and then the power goes."""
    disk = rig.disk(FailingDisk(directory, DISK_MB, delay_ms=20))
    disk.make()
    disk.mount()
    world = rig.begin(directory, disk.path)
    time.sleep(rig.rng.uniform(0.3, 1))
    disk.cut()
    status = world.server.wait(0.5)
    world.down()
    if status not in (None, LOST):
        raise Fault(f"exit {status}, not {LOST}: {world.server.text(1)[-300:]}")
    rig.disk(disk.healthy())
    return f"{world.ledger.acks} acknowledged; {world.audit_restarted()}"


# --- strace in the disk's place

def call_fails(call, flush, how, most):
    """One call of the server fails, once; the next one would succeed."""
    def case(rig, directory):
        count = rig.rng.randint(5, most)
        world = rig.begin(directory, directory, "--flush", flush, tracer=tamper(call, f"{how}:when={count}"))
        return f"the {count}th of a thread: {rig.stops()}; {world.audit_restarted()}"
    return case


def no_room_for_a_while(rig, directory):
    """fallocate fails some times: the server waits, tries again, and goes on."""
    world = rig.begin(directory, directory, tracer=tamper("fallocate", "error=ENOSPC:when=4..5"))
    wait_for(lambda: FULL.search(world.server.text(1)) or not world.server.running(), "the disk is full")
    acks = world.ledger.acks
    wait_for(lambda: world.ledger.acks > acks + 1000 or not world.server.running(), "it goes on")
    if not world.server.running():
        raise Fault(f"the server has ended: {world.server.text(1)[-300:]}")
    world.down()
    return f"{world.ledger.acks} acknowledged; {world.audit_restarted()}"


def unreadable(rig, directory):
    """When it opens, reads fail from some block on: that is neither damage nor an end, but exit 74."""
    world = rig.begin(directory, directory)
    wait_for(lambda: len(os.listdir(world.journal)) > 24, "there are 20 segments")
    world.down()
    count = rig.rng.randint(3, 20)  # the first two are the loader's
    world.start(tracer=tamper("pread64,preadv,preadv2", f"error=EIO:when={count}+"))
    return f"from the {count}th read on: {rig.stops()}; {world.audit_restarted()}"


def cases(no_disks, no_strace):
    """([(name, case)], [(name, why it is skipped)])"""
    loops = [("tmpfs full below the disk", full_below), ("disk full", full_here)]
    nbd = [("writes fail (dsync)", failing("dsync")), ("writes fail (fdatasync)", failing("fdatasync")),
           ("writes fail for a moment", failing_for_a_moment), ("slow disk, power cut", slow_and_cut)]
    traced = [("write: EIO", call_fails("pwrite64", "fdatasync", "error=EIO", 60)),
              ("durable write: EIO", call_fails("pwritev2", "dsync", "error=EIO", 60)),
              ("short write", call_fails("pwrite64", "fdatasync", "retval=512", 60)),
              ("flush: EIO", call_fails("fdatasync", "fdatasync", "error=EIO", 60)),
              ("flush: ENOSPC", call_fails("fdatasync", "fdatasync", "error=ENOSPC", 60)),
              ("no room for a while", no_room_for_a_while), ("unreadable when it opens", unreadable)]
    able, skipped = [], []
    for group, why in ((loops, no_disks), (nbd, no_disks or why_no_failing()), (traced, no_strace)):
        if why:
            skipped += [(name, why) for name, _ in group]
        else:
            able += group
    return able, skipped
