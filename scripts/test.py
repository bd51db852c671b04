"""Build Roger and run its tests; the last line is `N passed, N failed, N skipped` over single test cases.

usage: scripts/python scripts/test.py [STAGE...] [-- PYTEST-ARGUMENT...]

Stages, all by default: unit (release build), asan (ASan and UBSan), tsan (the rooms that have threads), purity, blackbox.
Exit status 0 when nothing failed, 1 otherwise.
"""

import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NINJA = "ninja"
STAGES = ("unit", "asan", "tsan", "purity", "blackbox")

# Where each build lives, and its options. Sanitizers report the first fault and end the program with it.
BUILDS = {
    "unit": ("build", []),
    "asan": ("build-asan", ["-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined",
                            "-Dc_args=-fno-sanitize-recover=all -fno-omit-frame-pointer"]),
    "tsan": ("build-tsan", ["-Dbuildtype=debugoptimized", "-Db_sanitize=thread"]),
}
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    "N": "8",  # random histories of the journal (history_test): each takes five times as long
}
THREADED = re.compile(r"(io|file|client|server)_")  # the tests that TSan is for: in other rooms there is one thread
SLOWER = {"unit": 1, "asan": 3, "tsan": 5}  # how much longer than its own limit a test may take under a sanitizer
BLACKBOX_TIMEOUT_S = 240


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []

    def add(self, passed, failures, skips):
        self.passed += passed
        self.failed += len(failures)
        self.skipped += len(skips)
        self.failures += failures
        self.skips += skips

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def say(text):
    print(text, flush=True)


def indented(text, limit=200):
    lines = text.splitlines()
    if len(lines) > limit:
        lines = lines[: limit // 2] + [f"... {len(lines) - limit} lines ..."] + lines[-limit // 2:]
    return "\n".join("    " + line for line in lines)


def run_all(commands):
    """Returns what went wrong, or None."""
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode != 0:
            return done.stdout
        warnings = done.stdout.count("warning:")
        if warnings:
            say(indented(done.stdout))
    return None


def tests_of(stage):
    """The programs that are to be run of a stage that has been set up."""
    listed = subprocess.run(["meson", "introspect", os.path.join(TOP, BUILDS[stage][0]), "--tests"], capture_output=True, text=True,
                            check=True)
    return [test for test in json.loads(listed.stdout) if stage != "tsan" or THREADED.match(test["name"])]


def build(stage, targets=()):
    """Set up (once) and build what the stage needs, or only `targets`, in its directory. Returns what went wrong, or None."""
    directory, options = BUILDS[stage]
    path = os.path.join(TOP, directory)
    if os.environ.get("CI"):
        options = options + ["-Dwerror=true"]
    if not os.path.exists(os.path.join(path, "build.ninja")):
        commands = [["meson", "setup", path, TOP, "-Dtests=true"] + options]
    elif option_of(path, "tests") is not True:
        commands = [["meson", "configure", path, "-Dtests=true"]]
    else:
        commands = []
    trouble = run_all(commands)
    if trouble is None and stage == "tsan" and not targets:
        trouble = run_all([[NINJA, "-C", path, "build.ninja"]])  # what is to be built may have changed
        targets = [os.path.relpath(test["cmd"][0], path) for test in tests_of(stage)]
    return trouble or run_all([[NINJA, "-C", path, *targets]])


def option_of(path, name):
    out = subprocess.run(["meson", "introspect", path, "--buildoptions"], capture_output=True, text=True)
    if out.returncode != 0:
        return None
    return next((o["value"] for o in json.loads(out.stdout) if o["name"] == name), None)


RESULT = re.compile(r"^(not )?ok (\d+)\b(?: - | )?(.*)$", re.MULTILINE)


def results_of(output):
    """The test cases in a program's TAP output: (number passed, names failed, names skipped)."""
    passed, failed, skipped = 0, [], []
    for match in RESULT.finditer(output):
        name = match.group(3).strip()
        if name.startswith("# SKIP"):  # cmocka writes a skipped case as "not ok N # SKIP name"
            skipped.append(name[len("# SKIP"):].strip() or match.group(2))
        elif "# SKIP" in name:
            skipped.append(name.split("#")[0].strip())
        elif match.group(1):
            failed.append(name or match.group(2))
        else:
            passed += 1
    return passed, failed, skipped


def result_line(name, passed, failed, skipped, seconds):
    return f"  {'FAIL' if failed else 'ok':4} {name:40} {passed:4} passed" + \
        (f", {len(failed)} failed" if failed else "") + (f", {len(skipped)} skipped" if skipped else "") + \
        (f"  ({seconds:.1f} s)" if seconds >= 1 else "")


def show_results(found, totals):
    """What each program brought, in order, as soon as it is there."""
    for line, output, results in found:
        say(line)
        if output is not None:
            say(indented(output))
        totals.add(*results)


def run_program(stage, test):
    """One test program. Returns (line to print, output to show or None, results)."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", **test["env"])
    if stage != "unit":
        env.update(SANITIZER_ENV)
    began = time.monotonic()
    with tempfile.TemporaryFile() as out:
        try:
            status = subprocess.run(test["cmd"], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env,
                                    cwd=test["workdir"] or TOP, timeout=test["timeout"] * SLOWER[stage]).returncode
        except subprocess.TimeoutExpired:
            status = "timeout"
        out.seek(0)
        output = out.read().decode(errors="replace")
    passed, failed, skipped = results_of(output)
    name = f"{stage}/{test['name']}"
    if not passed and not failed and not skipped and status == 0:
        passed = 1  # a program that is one test
    if status != 0 and not failed:
        what = "timed out" if status == "timeout" else f"exit status {status}" if status > 0 else f"signal {-status}"
        failed = [what]
    line = result_line(name, passed, failed, skipped, time.monotonic() - began)
    return line, output if failed else None, (passed, [f"{name}: {f}" for f in failed], [f"{name}: {s}" for s in skipped])


def stage_units(stages, totals):
    """All builds first, then all programs, two at a time; the slowest builds' come first, so that none is left for last."""
    programs = []
    for stage in stages:
        began = time.monotonic()
        say(f"== {stage}: build")
        trouble = build(stage)
        if trouble is not None:
            say(indented(trouble))
            totals.add(0, [f"{stage}: the build failed"], [])
            continue
        say(f"   {time.monotonic() - began:.0f} s")
        programs += [(stage, test) for test in tests_of(stage)]
    programs.sort(key=lambda program: -SLOWER[program[0]])
    say(f"== {', '.join(stages)}: run")
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        show_results(pool.map(lambda program: run_program(*program), programs), totals)


def stage_purity(totals):
    done = subprocess.run([sys.executable, os.path.join(TOP, "tests/purity/check"), os.path.join(TOP, "build")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    passed, failed, skipped = results_of(done.stdout)
    if done.returncode != 0 and not failed:
        failed = [f"exit status {done.returncode}"]
    say(indented(done.stdout) if failed else f"  ok   {'purity':40} {passed:4} passed")
    totals.add(passed, [f"purity: {f}" for f in failed], skipped)


def run_pytest(path, arguments):
    """One file of black box tests. Returns (line to print, output to show or None, results)."""
    began = time.monotonic()
    name = f"blackbox/{os.path.basename(path)[:-len('.py')]}"
    with tempfile.TemporaryDirectory() as directory:
        report = os.path.join(directory, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}",
                   "-o", "junit_family=xunit2", path]
        try:
            done = subprocess.run(command + arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, cwd=TOP, timeout=BLACKBOX_TIMEOUT_S)
            output, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            output, status = late.stdout or b"", f"not done after {BLACKBOX_TIMEOUT_S} s"
        passed, failed, skipped = 0, [], []
        if os.path.exists(report):
            for case in xml.etree.ElementTree.parse(report).iter("testcase"):
                kinds = {child.tag for child in case}
                if kinds & {"failure", "error"}:
                    failed.append(case.get("name"))
                elif "skipped" in kinds:
                    why = next(child.get("message", "") for child in case if child.tag == "skipped")
                    skipped.append(f"{case.get('name')} ({why})")
                else:
                    passed += 1
    if status not in (0, 5) and not failed:  # 5: no test was asked for in this file
        failed = [f"pytest: {status}"]
    line = result_line(name, passed, failed, skipped, time.monotonic() - began)
    return line, output.decode(errors="replace") if failed else None, \
        (passed, [f"{name}: {f}" for f in failed], [f"{name}: {s}" for s in skipped])


def stage_blackbox(totals, arguments):
    """Two files at a time: the tests mostly wait. The largest first."""
    paths = sorted(glob.glob(os.path.join(TOP, "tests/blackbox/test_*.py")), key=lambda path: -os.path.getsize(path))
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        show_results(pool.map(lambda path: run_pytest(path, arguments), paths), totals)


def main(arguments):
    pytest_arguments = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, pytest_arguments = arguments[:cut], arguments[cut + 1:]
    unknown = [a for a in arguments if a not in STAGES]
    if unknown:
        print(__doc__, file=sys.stderr)
        return 64
    totals = Totals()
    began_all = time.monotonic()
    stages = [stage for stage in STAGES if stage in (arguments or STAGES)]
    units = [stage for stage in stages if stage in BUILDS]
    work = [("units", lambda: stage_units(units, totals))] if units else []
    if "purity" in stages:
        work.append(("purity", lambda: stage_purity(totals)))
    if "blackbox" in stages:
        work.append(("blackbox", lambda: stage_blackbox(totals, pytest_arguments)))
    for name, stage in work:
        began = time.monotonic()
        if name != "units":
            say(f"== {name}")
        stage()
        say(f"   {name}: {time.monotonic() - began:.0f} s")
    say(f"   in all: {time.monotonic() - began_all:.0f} s")
    for skip in totals.skips:
        say(f"skipped: {skip}")
    for failure in totals.failures:
        say(f"FAILED: {failure}")
    say(totals.line())
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
