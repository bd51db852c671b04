"""Line and branch coverage of src/wire and src/journal by the unit tests: `make coverage`.

usage: scripts/python scripts/coverage.py [--blackbox] [--missing] [--no-run]

  --blackbox  count what the black box suite reaches, too (the figures are to be reached without it)
  --missing   also name the lines, and the lines with branches, that are not reached
  --no-run    nothing is built or run: the report of what the last run has left

Builds in build-coverage (gcc, no optimisation), runs the unit tests that meson knows (the random histories of the journal, N, are
few here), and asks gcovr. A room passes with 95 % of its lines and 85 % of its branches; the exit status is 1 when one does not, or
when a test fails.

What counts: every line with code and every branch of every .c and .h file of the two rooms, but for
  - tests, and what only tests include: *_test.c, wire/golden.[ch], journal/journal_{build,faults,testing}.h;
  - the branches (not the lines) of must(): its failing side is never taken by a right program. In a condition of several parts
    each part is a branch that cannot be taken alone;
  - the branches (not the lines) of MUTANT(n), which is constant 0 in every build but a mutant's (src/base/mutant.h).
Nothing else is taken out, and no file may ask for it: gcovr's own marks (GCOV and LCOV followed by EXCL) are refused.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

import test

TOP = test.TOP
BUILD = os.path.join(TOP, "build-coverage")
ROOMS = ("wire", "journal")
LINES_MIN = 95.0
BRANCHES_MIN = 85.0
TESTS_ONLY = re.compile(r"(_test\.c|wire/golden\.[ch]|journal/journal_(build|faults|testing)\.h)$")
# A must() may go over several lines; gcovr looks at one, so those that only go on are found here.
BRANCHES_OUT = re.compile(r"\b(must|MUTANT)\s*\(")
EXCUSES = re.compile(r"\b[GL]COVR?_EXCL")

test.BUILDS["coverage"] = ("build-coverage", ["-Dbuildtype=debug", "-Doptimization=0", "-Db_coverage=true",
                                              "-Dc_args=-fprofile-update=atomic"])
test.SLOWER["coverage"] = 3


class Count:
    def __init__(self, done=0, total=0):
        self.done, self.total = done, total

    def add(self, other):
        self.done += other.done
        self.total += other.total

    def percent(self):
        return 100.0 * self.done / self.total if self.total else 100.0

    def text(self):
        return f"{self.done:5} of {self.total:5}  {self.percent():5.1f} %"


def lines_without_branches(path):
    """The numbers of the lines that a must() or MUTANT() stands on, to its closing bracket."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    out = set()
    for match in BRANCHES_OUT.finditer(text):
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        first = text.count("\n", 0, match.start()) + 1
        out.update(range(first, first + text.count("\n", match.start(), at) + 1))
    return out


def run_tests(totals, blackbox):
    for path in glob.glob(os.path.join(BUILD, "**/*.gcda"), recursive=True):
        os.remove(path)
    test.SANITIZER_ENV = {"N": "4"}
    os.environ.setdefault("CC", "gcc")
    test.stage_units(["coverage"], totals)
    if blackbox:
        os.environ["ROGER"] = os.path.join(BUILD, "roger")
        test.stage_blackbox(totals, [])


def gcov():
    """What gcovr says of each file of the rooms: {path: [line]}."""
    command = ["gcovr", "--root", TOP, "--json", "-", "--gcov-executable", "gcov", "-j", "2"]
    for room in ROOMS:
        command += ["--filter", os.path.join(TOP, "src", room, "")]
    done = subprocess.run(command + [BUILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TOP)
    if done.returncode != 0:
        raise SystemExit(f"gcovr: {done.stderr}")
    return {file["file"]: file["lines"] for file in json.loads(done.stdout)["files"]}


def counts_of(path, lines):
    """(lines, branches, lines missed, lines with a branch missed)."""
    without = lines_without_branches(os.path.join(TOP, path))
    line_count, branch_count, missed, branch_missed = Count(), Count(), [], []
    for line in lines:
        if line.get("gcovr/noncode"):
            continue
        number = line["line_number"]
        hit = line["count"] > 0
        line_count.add(Count(hit, 1))
        if not hit:
            missed.append(number)
        if number in without:
            continue
        taken = [branch["count"] > 0 for branch in line["branches"]]
        branch_count.add(Count(sum(taken), len(taken)))
        if not all(taken):
            branch_missed.append(number)
    return line_count, branch_count, missed, branch_missed


def excuses():
    """Marks that would take lines out of the count."""
    found = []
    for room in ROOMS:
        for path in sorted(glob.glob(os.path.join(TOP, "src", room, "*.[ch]"))):
            with open(path, encoding="utf-8") as file:
                if EXCUSES.search(file.read()):
                    found.append(os.path.relpath(path, TOP))
    return found


def report(totals, with_missing):
    files = gcov()
    results = []
    for room in ROOMS:
        room_lines, room_branches = Count(), Count()
        sources = {os.path.relpath(path, TOP) for path in glob.glob(os.path.join(TOP, "src", room, "*.c"))}
        for path in sorted({path for path in files if path.startswith(f"src/{room}/")} | sources):
            if TESTS_ONLY.search(path):
                continue
            if path not in files:
                totals.add(0, [f"{path}: nothing of it has been run"], [])
                continue
            lines, branches, missed, branch_missed = counts_of(path, files[path])
            room_lines.add(lines)
            room_branches.add(branches)
            test.say(f"  {path:34} lines {lines.text()}   branches {branches.text()}")
            if with_missing and missed:
                test.say(f"      lines: {' '.join(map(str, missed))}")
            if with_missing and branch_missed:
                test.say(f"      branches: {' '.join(map(str, branch_missed))}")
        results += [(room, "lines", room_lines, LINES_MIN), (room, "branches", room_branches, BRANCHES_MIN)]
    for room, what, count, least in results:
        good = count.total > 0 and count.percent() >= least
        name = f"{room}: {what} {count.percent():.1f} %, at least {least:.0f} %"
        test.say(f"{'ok  ' if good else 'FAIL'} src/{room:8} {what:9} {count.text()}   (at least {least:.0f} %)")
        totals.add(good, [] if good else [name], [])
    for path in excuses():
        totals.add(0, [f"{path}: takes lines out of the count"], [])


def main(arguments):
    if set(arguments) - {"--blackbox", "--missing", "--no-run"}:
        print(__doc__, file=sys.stderr)
        return 64
    if shutil.which("gcovr") is None:
        print("gcovr is not installed: make setup", file=sys.stderr)
        print("0 passed, 1 failed, 0 skipped")
        return 1
    tests = test.Totals()
    if "--no-run" not in arguments:
        run_tests(tests, "--blackbox" in arguments)
    totals = test.Totals()
    totals.add(0, [f"a test has failed: {failure}" for failure in tests.failures], [])
    report(totals, "--missing" in arguments)
    for failure in totals.failures:
        test.say(f"FAILED: {failure}")
    test.say(totals.line())
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
