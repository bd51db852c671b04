"""kill -9 of the real server: at random moments, at instrumented points, while it opens (several in a row), while it is
paused, and while its disk is slow.

    1. start, load, kill
    2. sometimes it is killed again, while it opens
    3. sometimes an audit of what lies there
    4. start once more; audit beside the idle server; stop

A journal lives for some rounds; then another one is begun, with other options.
"""

import os
import signal
import time

from server import kill_before, tamper
from world import World

# The system calls that mark a point, with the way of flushing that has it, and how often a thread may make it before.
POINTS = (
    ("pwrite64", "fdatasync", 60, "before a commit is written"),
    ("pwritev2", "dsync", 60, "before a commit is written durably"),
    ("fdatasync", "fdatasync", 60, "between a commit's write and its flush"),
    ("write", None, 60, "between durable and the loop that is told of it"),
    ("sendmsg", None, 150, "between durable and an ack"),
    ("epoll_pwait2", None, 200, "between two turns of the loop"),
    ("fallocate", None, 7, "before a new segment has its space"),
    ("renameat2", None, 7, "before a new segment has its name"),
    ("fsync", None, 10, "before a flush of the directory"),
    ("renameat", None, 5, "before a new snapshot has its name"),
    ("unlinkat", None, 14, "before an old name goes"),
    ("ftruncate", None, 5, "before a tail is given back"),
)
OPENING = (("openat", 40), ("pwritev2", 5), ("fdatasync", 3), ("fsync", 3), ("renameat2", 2), ("fallocate", 2),
           ("unlinkat", 3), ("getdents64", 5), ("pread64", 6))
WRITES = "pwrite64,pwritev2,fdatasync"
REACHED_S = 0.8  # a point that was not reached by then: killed there and then
ROUNDS_KEPT = 20  # a journal's life with retention
ROUNDS_WHOLE = 7  # ... and without, where each audit reads all of it
WHOLE_MAX = 12000  # messages acknowledged by then: enough
KEEP_BYTES = 6 << 20


class KillRig:
    name = "kill"

    def __init__(self, roger, directory, rng, strace):
        """`strace`: there is one."""
        self.roger, self.directory, self.rng, self.strace = roger, directory, rng, strace
        self.world = None
        self.rounds_left = 0

    def fresh(self, number):
        """A new journal, when it is time for one."""
        world = self.world
        if world and self.rounds_left > 0 and (world.keep_bytes or world.ledger.acks < WHOLE_MAX):
            return
        self.close()
        keep = self.rng.random() < 0.7
        self.rounds_left = ROUNDS_KEPT if keep else ROUNDS_WHOLE
        directory = os.path.join(self.directory, f"kill-{number}")
        os.mkdir(directory)
        self.world = World(directory, os.path.join(directory, "journal"), self.roger, self.rng,
                           KEEP_BYTES if keep else 0)

    def round(self, number):
        """Returns a line; raises Fault."""
        self.fresh(number)
        self.rounds_left -= 1
        world, rng = self.world, self.rng
        before = world.ledger.acks
        kinds = [self.at_random] * 4 + [self.paused]
        if self.strace:
            kinds += [self.at_point] * 5 + [self.slow_disk]
        said = [rng.choice(kinds)()]
        world.down()
        world.must_have_been_killed()
        if rng.random() < 0.3:
            said.append(self.while_opening())
        if rng.random() < 0.3:
            said.append("read offline")
            world.audit()
        said.append(world.audit_restarted(*self.flush()))
        return f"{'; '.join(said)}; {world.ledger.acks - before} acknowledged"

    def flush(self, how=None):
        how = how or self.rng.choice(("dsync", "fdatasync"))
        return ("--flush", how)

    def at_random(self):
        self.world.start(*self.flush())
        if self.world.listens():
            self.world.load()
            time.sleep(self.rng.uniform(0, 0.35))
            if self.rng.random() < 0.1:
                self.world.second_server()
        return "killed at random"

    def paused(self):
        """SIGSTOP, SIGCONT, and the kill: in the pause or a moment later."""
        self.world.start(*self.flush())
        if self.world.listens():
            self.world.load()
            time.sleep(self.rng.uniform(0.02, 0.2))
            self.world.server.signal(signal.SIGSTOP)
            time.sleep(self.rng.uniform(0.01, 0.2))
            if self.rng.random() < 0.6:
                self.world.server.signal(signal.SIGCONT)
                time.sleep(self.rng.uniform(0, 0.1))
        return "paused and killed"

    def at_point(self):
        call, flush, most, what = self.rng.choice(POINTS)
        count = self.rng.randint(1, most)
        server = self.world.start(*self.flush(flush), tracer=kill_before(call, count))
        if self.world.listens():
            self.world.load()
            if server.wait(REACHED_S) is None:
                return f"killed at random ({call} {count} not reached)"
        return f"killed {what} ({call} {count})"

    def slow_disk(self):
        """Each write takes some ms more before it is told: a kill then finds commits written and not acknowledged."""
        self.world.start(*self.flush(), tracer=tamper(WRITES, f"delay_exit={self.rng.randrange(2000, 20000)}"))
        if self.world.listens():
            self.world.load()
            time.sleep(self.rng.uniform(0.1, 0.5))
        return "killed on a slow disk"

    def while_opening(self):
        times = self.rng.randint(1, 4)
        for _ in range(times):
            if self.strace and self.rng.random() < 0.6:
                call, most = self.rng.choice(OPENING)
                server = self.world.start(*self.flush(), tracer=kill_before(call, self.rng.randint(1, most)))
                if self.world.listens():
                    server.wait(0.02)
            else:
                server = self.world.start(*self.flush())
                server.wait(self.rng.uniform(0, 0.012))
            server.kill()
            self.world.must_have_been_killed()
        return f"{times} more while opening"

    def close(self):
        if self.world:
            self.world.close()
            self.world = None
