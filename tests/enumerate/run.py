#!/usr/bin/env python3
"""What a disk and a crash can do to a journal, all of it, one by one (`make enumerate`).

usage: scripts/python tests/enumerate/run.py [--step N] [STAGE...]

Stages, all by default:
  bits      small journals (journals.c, and one that the real server makes), each file of them cut at every byte, with
            every bit flipped, and with every bit of a batch header flipped and its checksum made right: opening, reading,
            verifying and tests/blackbox/journal_reader.py agree on intact / end at record r / damaged at record r
            (every_bit.py). A journal, cut, flipped or forged, is one test.
  crashes   in the simulator (tests/sim/crashes.c): a crash after every I/O operation of scripted workloads, in all its kinds, and every
            operation and allocation failing; a recovery from each

--step N: every N-th byte and bit only. The last line is `N passed, N failed, N skipped`; the exit status 1 when one failed.
"""

import argparse
import collections
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, "build")
ROGER = os.path.join(BUILD, "roger")
PROGRAMS = os.path.join(BUILD, "tests", "enumerate")
os.environ["ROGER"] = ROGER  # helpers.py takes the program from there
sys.path[:0] = [HERE, os.path.join(TOP, "tests", "blackbox"), os.path.join(TOP, "scripts")]
import every_bit  # noqa: E402  (found beside this file)
import helpers  # noqa: E402  (found in tests/blackbox)
import test  # noqa: E402  (scripts/test.py: how things are built)

TARGETS = ["roger", "tests/enumerate/enumerate_journals", "tests/enumerate/enumerate_classify", "tests/sim/crashes"]

# Further stages: name: command, from the top directory. One is passed when it exits with 0 and the last line it prints is
# `N ..., 0 failed`, with N above 0.
COMMANDS = {"crashes": [os.path.join(BUILD, "tests", "sim", "crashes"), str(os.cpu_count() or 1)]}
COMMAND_TIMEOUT_S = 900
DIFFERENCES_SHOWN = 20
BLOCK = 4096


def say(text):
    print(text, flush=True)


# --- bits

def serve_twice(directory):
    """A journal of the real server's, killed, started anew and killed; cut down to what is written and a block of zeros."""
    made = os.path.join(directory, "making")
    options = ("--quiet", "--segment-size", "1M", "--max-message", "64K")
    server = helpers.Server(made, *options)
    try:
        assert helpers.exchange(server.port, b"Hello World!") == b"ACK!"
        helpers.ok(helpers.run("send", server.address, "--stream", "s", "one", "", "three"))
        server.kill()
        server = server.restarted()
        helpers.wait_until(lambda: os.path.exists(os.path.join(made, "streams.snap")), "a snapshot is there")
        helpers.ok(helpers.run("send", server.address, "ephemeral"))
        helpers.ok(helpers.run("send", server.address, "--stream", "s", "four"))
        server.kill()
    finally:
        server.stop()
    journal = os.path.join(directory, "server")
    os.mkdir(journal)
    for name, data in every_bit.load(made).items():
        if name.endswith(".seg"):
            used = -(-len(data.rstrip(b"\0")) // BLOCK) * BLOCK
            data = data[:used + BLOCK]
        if not name.endswith(".tmp"):
            with open(os.path.join(journal, name), "wb") as file:
                file.write(data)
    shutil.rmtree(made)


def compare(task):
    journal, path, name, kind, step = task
    began = time.monotonic()
    try:
        found = every_bit.compare(os.path.join(PROGRAMS, "enumerate_classify"), path, name, kind, step)
    except RuntimeError as error:
        found = 0, {}, [str(error)]
    return journal, kind, *found, time.monotonic() - began


def tasks_of(directory, step):
    """The long ones first."""
    tasks = []
    for journal in sorted(os.listdir(directory)):
        path = os.path.join(directory, journal)
        tasks += [(journal, path, name, kind, step) for name in sorted(os.listdir(path)) for kind in every_bit.KINDS]
    return sorted(tasks, key=lambda task: -os.path.getsize(os.path.join(task[1], task[2])) * (task[3] == "flip"))


def show(journal, kind, cases, classes, differences, seconds):
    counted = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
    say(f"  {'FAIL' if differences or cases == 0 else 'ok':4} {journal:10} {kind:5} {cases:8} cases: {counted}  ({seconds:.1f} s)")
    for text in differences[:DIFFERENCES_SHOWN]:
        say("    " + text.replace("\n", "\n    "))
    if len(differences) > DIFFERENCES_SHOWN:
        say(f"    ... {len(differences) - DIFFERENCES_SHOWN} more differences")


def bits(step):
    """(passed, failed)"""
    with tempfile.TemporaryDirectory(prefix="roger-enumerate-") as directory:
        subprocess.run([os.path.join(PROGRAMS, "enumerate_journals"), directory], check=True)
        serve_twice(directory)
        sums = {}
        every_bit.remember()
        with multiprocessing.Pool(2) as pool:
            for journal, kind, *found in pool.imap_unordered(compare, tasks_of(directory, step)):
                cases, classes, differences, seconds = sums.setdefault((journal, kind), [0, collections.Counter(), [], 0])
                classes.update(found[1])
                sums[journal, kind] = [cases + found[0], classes, differences + found[2], seconds + found[3]]
    for (journal, kind), found in sorted(sums.items()):
        show(journal, kind, *found)
    failed = sum(bool(found[2]) or found[0] == 0 for found in sums.values())
    say(f"  {sum(found[0] for found in sums.values())} cases")
    return len(sums) - failed, failed


# --- others

def run_command(name, command):
    """(passed, failed)"""
    try:
        done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=COMMAND_TIMEOUT_S)
        lines, status = done.stdout.splitlines(), done.returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        lines, status = [str(error)], 1
    last = re.fullmatch(r"([1-9]\d*) .*\b0 failed", lines[-1]) if lines else None
    good = status == 0 and last
    for line in lines[-1:] if good else lines[-100:]:
        say(f"  {'ok  ' if good else 'FAIL'} {name}: {line}")
    return int(bool(good)), int(not good)


def main():
    stages = {"bits": lambda step: bits(step)}
    stages.update({name: lambda _, name=name: run_command(name, COMMANDS[name]) for name in COMMANDS})
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("stages", nargs="*", choices=[[], *stages], default=[])
    arguments = parser.parse_args()
    passed = failed = 0
    wrong = test.build("unit", TARGETS)
    if wrong:
        say(wrong)
        say("0 passed, 1 failed, 0 skipped")
        return 1
    for name in arguments.stages or stages:
        began = time.monotonic()
        say(f"{name}")
        results = stages[name](arguments.step)
        say(f"  {time.monotonic() - began:.1f} s")
        passed += results[0]
        failed += results[1]
    say(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
