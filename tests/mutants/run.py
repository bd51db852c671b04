#!/usr/bin/env python3
"""Roger with one thing broken on purpose, again and again: do the tests notice? (`make mutants [ONLY=M1,M27]`)

usage: scripts/python tests/mutants/run.py [--only M1,M27b] [--jobs J] [--seconds S] [--no-sim]

One build (build-mutants) holds all mutants of mutants.py; the environment variable ROGER_MUTANT says which one a program is. A
mutant is caught when the simulator finds a seed that fails, within 10,000 seeds and S seconds (45), or else when one of the
tests that the table names fails; all of these pass without a mutant, which is looked at first. `--only M27` means all its variants.

The last line is `N passed, N failed, N skipped`, a mutant being one; the exit status 1 when one was not caught, or when the
simulator has caught fewer than 24 of the 32 (only looked at when all were run).
"""

import argparse
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "scripts")]
import test  # noqa: E402  (scripts/test.py: how things are built)
from mutants import MUTANTS, Unit  # noqa: E402  (found beside this file)

DIRECTORY = "build-mutants"
BUILD = os.path.join(TOP, DIRECTORY)
ROGER = os.path.join(BUILD, "roger")
SIM_TARGET = "tests/sim/sim"
SIM = os.path.join(BUILD, SIM_TARGET)
SIM_SEEDS = 10000
SIM_LEAST = 24  # of the 32 that the simulator must see
TEST_TIMEOUT_S = 60


def say(text):
    print(text, flush=True)


def program_of(unit):
    room = unit.program.split("_")[0]
    return f"src/{room}/{unit.program}_test"


def build(chosen, sim_wanted):
    """(what went wrong or None, is the simulator there)."""
    test.BUILDS["mutants"] = (DIRECTORY, ["-Dmutants=true"])
    if os.path.exists(os.path.join(BUILD, "build.ninja")) and test.option_of(BUILD, "mutants") is not True:
        subprocess.run(["meson", "configure", BUILD, "-Dmutants=true"], check=True, stdout=subprocess.DEVNULL)
    targets = sorted({program_of(t) for m in chosen for t in m.tests if isinstance(t, Unit)} | {"roger"})
    problem = test.build("mutants", targets)
    if problem or not sim_wanted:
        return problem, False
    problem = test.build("mutants", [SIM_TARGET])
    if problem:
        say("The simulator cannot be built; going on without it:\n" + test.indented(problem, 20))
    return None, problem is None


def run(command, number, seconds):
    """(exit status or None after so many seconds, what it printed). What it started ends with it."""
    env = dict(os.environ, ROGER_MUTANT=str(number), ROGER=ROGER)
    env.pop("CMOCKA_MESSAGE_OUTPUT", None)
    process = subprocess.Popen(command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output or ""


# --- the simulator

SEED_FAILED = re.compile(r"^seed (\d+) failed: (.*)$", re.MULTILINE)


def sim_once(mutant, number, first, count, seconds):
    """(the seed that failed, why) or None. `number`: the mutant's, or 0."""
    command = [SIM, "--seeds", str(count), "--seed", str(first), "--jobs", "1", "--until-failure", "--no-table"]
    if mutant.mode:
        command += ["--mode", mutant.mode]
    _, output = run(command, number, seconds)
    found = SEED_FAILED.search(output)
    return (int(found.group(1)), found.group(2).strip()) if found else None


def confirmed(mutant, seed, seconds):
    """Why this seed alone fails; None when it does not, or when it does so without the mutant, too."""
    found = sim_once(mutant, mutant.number, seed, 1, seconds)
    return found[1] if found and not sim_once(mutant, 0, seed, 1, seconds) else None


def by_sim(mutant, seconds):
    """How the simulator caught it, or None."""
    end = time.monotonic() + seconds
    if mutant.seed:
        why = confirmed(mutant, mutant.seed, seconds)
        if why:
            return f"caught by sim with seed {mutant.seed}: {why}"
    first = 1
    while first <= SIM_SEEDS and (left := end - time.monotonic()) > 0:
        found = sim_once(mutant, mutant.number, first, SIM_SEEDS - first + 1, left)
        if not found:
            return None
        why = confirmed(mutant, found[0], seconds)
        if why:
            return f"caught by sim after {found[0]} seeds: {why}"
        first = found[0] + 1
    return None


# --- named tests

def command_of(named):
    if isinstance(named, Unit):
        return [os.path.join(BUILD, program_of(named))]
    return [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
            os.path.join("tests", "blackbox", named.file), "-k", named.name]


def label_of(named):
    return f"{named.program}_test" if isinstance(named, Unit) else named.file


def reason_of(named, status, output):
    """Why a named test failed, in a line."""
    broken = re.search(r"broken invariant: .*", output)
    if isinstance(named, Unit):
        failed = re.search(r"^\[  FAILED  \] (?:\w+: )?(\w+)$", output, re.MULTILINE)
        last = re.findall(r"^\[ RUN      \] (\w+)$", output, re.MULTILINE)
        name = failed.group(1) if failed else last[-1] if last else "?"
    else:
        failed = re.search(r"^FAILED \S+::(\S+)", output, re.MULTILINE)
        name = failed.group(1) if failed else named.name
    if broken:
        return f"{name}: {broken.group()}"
    if status is None:
        return f"{name}: it hangs"
    return f"{name}: {signal.Signals(-status).name}" if status < 0 else name


def run_named(named, number):
    """How it failed, or None when it passed."""
    status, output = run(command_of(named), number, TEST_TIMEOUT_S)
    if status == 0:
        return None
    return reason_of(named, status, output), output


def by_tests(mutant):
    for named in mutant.tests:
        failed = run_named(named, mutant.number)
        if failed:
            return f"caught by {label_of(named)}: {failed[0]}"
    return None


def check_without(chosen, pool):
    """All named tests pass without a mutant; the names of those that do not."""
    wanted = {}
    for mutant in chosen:
        for named in mutant.tests:
            wanted.setdefault(tuple(command_of(named)), named)
    bad = []
    for named, failed in zip(wanted.values(), pool.map(lambda n: run_named(n, 0), wanted.values())):
        if failed:
            say(f"{label_of(named)} fails without a mutant: {failed[0]}\n" + test.indented(failed[1], 40))
            bad.append(named)
    say(f"{len(wanted) - len(bad)} of {len(wanted)} tests pass without a mutant")
    return bad


# --- all of it

def base_of(mutant):
    return mutant.name.rstrip("abc")


def choose(only):
    if not only:
        return list(MUTANTS)
    wanted = {word.strip() for word in only.split(",") if word.strip()}
    known = {m.name for m in MUTANTS} | {base_of(m) for m in MUTANTS}
    for word in wanted - known:
        sys.exit(f"--only {word}: there is no such mutant")
    return [m for m in MUTANTS if m.name in wanted or base_of(m) in wanted]


def look_for(mutant, sim_is_there, seconds):
    """(how it was caught or None, by the simulator?)."""
    if mutant.sim and sim_is_there:
        how = by_sim(mutant, seconds)
        if how:
            return how, True
    how = by_tests(mutant)
    if how and mutant.sim and sim_is_there:
        how += " (not by sim)"
    return how, False


def report(mutant, how):
    say(f"{mutant.name:5} {how or 'SURVIVES'}")
    if not mutant.sim:
        say(f"      {mutant.rule}; not for sim: {mutant.blind}")
    elif not how:
        say(f"      {mutant.rule} ({mutant.places})")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].removeprefix("usage: "))
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--no-sim", action="store_true")
    options = parser.parse_args()
    chosen = choose(options.only)
    problem, sim_is_there = build(chosen, not options.no_sim)
    if problem:
        say(test.indented(problem))
        return 1
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        if check_without(chosen, pool):
            return 1
        results = pool.map(lambda m: look_for(m, sim_is_there, options.seconds), chosen)
        caught, seen = [], set()
        for mutant, (how, is_sim) in zip(chosen, results):
            report(mutant, how)
            if how:
                caught.append(mutant)
            if is_sim:
                seen.add(base_of(mutant))
    survivors = [m.name for m in chosen if m not in caught]
    if survivors:
        say("survivors: " + ", ".join(survivors))
    bases = {base_of(m) for m in chosen}
    say(f"{len(seen)} of {len(bases)} seen by the simulator ({time.monotonic() - begun:.0f} s)")
    few = not options.only and not options.no_sim and len(seen) < SIM_LEAST
    if few:
        say(f"that is fewer than {SIM_LEAST}")
    say(f"{len(caught)} passed, {len(survivors)} failed, 0 skipped")
    return 1 if survivors or few else 0


if __name__ == "__main__":
    sys.exit(main())
