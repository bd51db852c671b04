"""The proof, all of it: `make proof`. What each part is, and what it has found: docs/reliability.md.

usage: scripts/python scripts/proof.py [STAGE...]

Stages, all by default: sim, traces, mutants, enumerate, epoll (the black-box tests with the backend that the check does not
choose), crash, m1 (the power cuts must notice an ack before the write), fuzz,
coverage. At most 25 minutes on two cores. The last line is
`N passed, N failed, N skipped` over all of them (the simulator's seeds are one); the exit status 1 when one failed.
"""

import os
import re
import subprocess
import sys
import threading
import time

import test

TOP = test.TOP
PYTHON = os.path.join(TOP, "scripts", "python")

# Each ends with a line of totals: LAST_LINES.
STAGES = {
    "sim": ["tests/sim/run.py", "--seeds", "6000"],
    "traces": ["tests/sim/traces.py"],
    "mutants": ["tests/mutants/run.py"],
    "enumerate": ["tests/enumerate/run.py"],
    "epoll": ["scripts/test.py", "blackbox"],
    "crash": ["tests/crash/run.py", "--kills", "100", "--rounds", "30"],
    "m1": ["tests/crash/run.py", "--only", "power", "--rounds", "5", "--expect-failure", "--roger", "build-mutants/roger"],
    "fuzz": ["fuzz/run.py", "--fixed"],
    "coverage": ["scripts/coverage.py"],
}
ENVIRONMENT = {"m1": {"ROGER_MUTANT": "1"}, "epoll": {"ROGER_TEST_IO": "epoll"}}
TOTALS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
SEEDS = re.compile(r"^(\d+) seeds, (\d+) failed$")
STAGE_TIMEOUT_S = 1200


def run(name):
    """The stage's output as it comes; its exit status and the last line that is not empty."""
    last = ""
    with subprocess.Popen([PYTHON, *STAGES[name]], cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          env=dict(os.environ, **ENVIRONMENT.get(name, {}))) as process:
        late = threading.Timer(STAGE_TIMEOUT_S, process.terminate)
        late.start()
        for line in process.stdout:
            print("   " + line, end="", flush=True)
            last = line.strip() or last
        late.cancel()
    return process.returncode, last


def totals_of(status, last):
    """(passed, failed, skipped) of a stage, from its last line and its exit status."""
    match = TOTALS.match(last)
    if match:
        passed, failed, skipped = map(int, match.groups())
    elif SEEDS.match(last):
        seeds, failed = map(int, SEEDS.match(last).groups())
        passed, failed, skipped = int(seeds > 0 and failed == 0), int(failed > 0), 0
    else:
        passed, failed, skipped = 0, 1, 0
    if status != 0 and failed == 0:
        failed = 1
    return passed, failed, skipped


def main(names):
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        print(__doc__.strip() + f"\n\nunknown stage: {unknown[0]}", file=sys.stderr)
        return 64
    totals = [0, 0, 0]
    broken = []
    began = time.monotonic()
    for name in names or STAGES:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        status, last = run(name)
        found = totals_of(status, last)
        totals = [a + b for a, b in zip(totals, found)]
        if found[1]:
            broken.append(name)
        print(f"   {name}: {time.monotonic() - start:.0f} s", flush=True)
    for name in broken:
        print(f"FAILED: {name}")
    print(f"proof: {(time.monotonic() - began) / 60:.1f} minutes")
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
