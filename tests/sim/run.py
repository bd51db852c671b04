#!/usr/bin/env python3
"""Run the simulator: `make sim SEEDS=n [SEED=x]`.

usage: scripts/python tests/sim/run.py [--seeds N] [--seed FIRST] [--jobs J] [ARGUMENT...]

Builds tests/sim/sim in build/ and runs it on all processors. `--seed x --seeds 1 -v` shows everything that happens in one seed.
Further arguments go to the program. The last line is `N seeds, N failed`; the exit status 1 when one failed, or when a kind of fault
happened too rarely.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "scripts"))
import test  # noqa: E402  (scripts/test.py: how things are built)


def main(arguments):
    problem = test.build("unit", ["tests/sim/sim"])
    if problem:
        print(problem, file=sys.stderr)
        return 2
    command = [os.path.join(TOP, "build", "tests", "sim", "sim"), *arguments]
    if "--jobs" not in arguments:
        command += ["--jobs", str(os.cpu_count() or 1)]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
