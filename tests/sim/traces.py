#!/usr/bin/env python3
"""The same seed makes the same trace, whichever compiler built the simulator, and whether sanitizers watch.

usage: scripts/python tests/sim/traces.py [--seeds N]

Builds the simulator with gcc and clang, with and without ASan and UBSan, and compares the hash of every seed's trace; the first build runs
twice. A build is one test. The last line is `N passed, N failed, N skipped`.
"""

import argparse
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "scripts"))
import test  # noqa: E402  (scripts/test.py: how things are built)

SANITIZED = test.BUILDS["asan"][1]
BUILDS = {  # name: (directory, options, compiler)
    "gcc": ("build", [], None),
    "gcc again": ("build", [], None),
    "gcc, ASan and UBSan": ("build-asan", SANITIZED, None),
    "clang": ("build-clang", ["-Dwerror=true", "-Dbuildtype=debugoptimized"], "clang"),
    "clang, ASan and UBSan": ("build-clang-asan", SANITIZED + ["-Db_lundef=false"], "clang"),
}


def build(name):
    directory, options, compiler = BUILDS[name]
    if compiler:
        os.environ["CC"] = compiler
    else:
        os.environ.pop("CC", None)
    test.BUILDS[name] = (directory, options)
    return test.build(name, ["tests/sim/sim"])


def hashes(name, seeds):
    """{seed: line}, or what went wrong as text."""
    program = os.path.join(TOP, BUILDS[name][0], "tests", "sim", "sim")
    command = [program, "--seeds", str(seeds), "--hashes", "--no-table", "--jobs", str(os.cpu_count() or 1)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, **test.SANITIZER_ENV))
    lines = [line for line in done.stdout.splitlines() if " trace " in line]
    if done.returncode != 0 or len(lines) != seeds:
        return done.stdout + done.stderr
    return {line.split()[1]: line for line in lines}


def main():
    parser = argparse.ArgumentParser(description="the same seed, the same trace, from every build")
    parser.add_argument("--seeds", type=int, default=60)
    seeds = parser.parse_args().seeds
    passed = failed = skipped = 0
    reference = None
    for name, (_, _, compiler) in BUILDS.items():
        if compiler and not shutil.which(compiler):
            print(f"  {name}: SKIPPED, there is no {compiler}")
            skipped += 1
            continue
        problem = build(name)
        found = problem or hashes(name, seeds)
        if isinstance(found, str):
            print(f"  {name}: FAILED\n{found}")
            failed += 1
            continue
        reference = reference or found
        other = [seed for seed in reference if reference[seed] != found.get(seed)]
        print(f"  {name}: {seeds} seeds, {len(other)} with another trace")
        for seed in other[:5]:
            print(f"    {reference[seed]}\n    {found.get(seed)}")
        passed += not other
        failed += bool(other)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
