#!/usr/bin/env python3
"""Real crashes of the real server, and an auditor that keeps its own book (docs/reliability.md).

    run.py [--rounds N] [--kills N] [--seed N] [--only kill,power,below] [--roger PATH] [--expect-failure] [--keep]

    kill     kill -9, at random moments and at chosen system calls          kill.py
    power    the file system under the journal is cut off                   power.py
    below    the disk fails, fills up or is slow                            below.py

A line for each round, and in the end `N passed, N failed, N skipped`. Exit status 1 when one failed; with
--expect-failure (for a program that is broken on purpose) the first failure ends the run with 0, and none is 1.
A round that fails leaves its directory behind. The seed chooses what is done; when exactly, the machine decides.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "blackbox"))

import below  # noqa: E402
import power  # noqa: E402
from disk import own_mounts, why_no_disks  # noqa: E402
from kill import KillRig  # noqa: E402
from ledger import Fault  # noqa: E402
from server import why_no_strace  # noqa: E402

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KEPT_MAX = 5  # directories of failures; they hold images of disks


class Score:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.faults = 0  # of the failed: what the audit has found, and not a rig that broke

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def say(text):
    print(text, flush=True)


def skip(score, count, what, why):
    score.skipped += count
    say(f"*** SKIPPED: {what}: {why}")


def close(rig):
    """Not to be interrupted: what it has mounted and started goes."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        rig.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def play(rig, rounds, score, options):
    """The rounds of one rig. After a failure it goes on with a new journal."""
    for number in range(1, rounds + 1):
        began = time.monotonic()
        try:
            said, verdict = rig.round(number), "ok"
        except Fault as fault:
            said, verdict = str(fault), "FAILED"
            score.faults += 1
        except Exception as error:  # pylint: disable=broad-except  (the rig itself, or a tool: no pass either)
            said, verdict = f"{type(error).__name__}: {error}", "FAILED"
        if verdict == "ok":
            score.passed += 1
        else:
            score.failed += 1
            said += f" (--seed {options.seed} --only {rig.name}; {rig.directory})"
            close(rig)
        say(f"{rig.name} {number}: {said}: {verdict} ({time.monotonic() - began:.1f} s)")
        if score.faults and options.expect_failure:
            return
        if score.failed >= KEPT_MAX:
            say(f"{rig.name}: {score.failed} failures are enough")
            return


def rigs(options, directory, score):
    """(rig, rounds), one after the other: made when it is its turn, closed before the next."""
    no_disks = why_no_disks(directory)
    no_strace = why_no_strace()

    def rng(name):
        return random.Random(f"{options.seed} {name}")

    if "kill" in options.only:
        if no_strace:
            skip(score, 1, "kills at chosen system calls (the kills are all at random)", no_strace)
        yield KillRig(options.roger, directory, rng("kill"), not no_strace), options.kills
    if "power" in options.only:
        if no_disks:
            skip(score, options.rounds, f"{options.rounds} power cuts", no_disks)
        else:
            yield power.PowerRig(options.roger, directory, rng("power"), not no_strace), options.rounds
    if "below" in options.only:
        cases, skipped = below.cases(no_disks, no_strace)
        for what, why in skipped:
            skip(score, 1, what, why)
        yield below.BelowRig(options.roger, directory, rng("below"), cases), len(cases)


def run(options, directory, score):
    for rig, rounds in rigs(options, directory, score):
        try:
            play(rig, rounds, score, options)
        finally:
            close(rig)
        if score.faults and options.expect_failure:
            return


def arguments():
    parser = argparse.ArgumentParser(description="Real crashes of the real server.")
    parser.add_argument("--rounds", type=int, default=30, help="power cuts (30)")
    parser.add_argument("--kills", type=int, default=100, help="kills (100)")
    parser.add_argument("--seed", type=int, default=None, help="chooses what is done")
    parser.add_argument("--only", default="kill,power,below")
    parser.add_argument("--roger", default=os.path.join(TOP, "build", "roger"))
    parser.add_argument("--expect-failure", action="store_true", help="the program is broken: it must be noticed")
    parser.add_argument("--keep", action="store_true", help="leave all directories behind")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - {"kill", "power", "below"}:
        parser.error(f"--only: {', '.join(unknown)}?")
    options.roger = os.path.abspath(options.roger)
    if not os.access(options.roger, os.X_OK):
        parser.error(f"{options.roger} is not there: run make first")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return options


def stop(number, _):
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt(f"signal {number}")


def expected(score, interrupted):
    """The verdict turned round: the failure is the one test, and it passes when it is seen."""
    if score.faults:
        say("the failure was seen\n1 passed, 0 failed, 0 skipped")
        return 1 if interrupted else 0
    if score.skipped and not score.passed:
        say(f"0 passed, 0 failed, {score.skipped} skipped")
        return 0
    say("the failure was NOT seen\n0 passed, 1 failed, 0 skipped")
    return 1


def main():
    options = arguments()
    for number in SIGNALS:
        signal.signal(number, stop)
    own_mounts()
    score = Score()
    directory = tempfile.mkdtemp(prefix="roger-crash-")
    say(f"seed {options.seed}, {directory}")
    interrupted = False
    try:
        run(options, directory, score)
    except KeyboardInterrupt:
        interrupted = True
        say("interrupted")
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if not options.keep and (not score.failed or options.expect_failure):
        shutil.rmtree(directory, ignore_errors=True)
    if options.expect_failure:
        return expected(score, interrupted)
    say(str(score))
    return 1 if score.failed or interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
