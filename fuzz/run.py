"""Fuzz the targets of fuzz/ with libFuzzer; the last line is `N passed, N failed, N skipped`, over targets.

usage: scripts/python fuzz/run.py [--seconds N | --fixed] [--seed N] [--only TARGET,...] [--merge]

--seconds   how long in all (60); the targets share it, and run two at a time
--fixed     so many runs of each target as RUNS says, from the repository's inputs alone: with one compiler the same inputs are tried
            wherever it runs and however long it takes. About a minute on two cores
--seed      of libFuzzer's choices (1; 0: another one each time)
--only      these targets
--merge     afterwards put into fuzz/corpus what reaches more than what is there, as few and small files as will do

Builds in build-fuzz (clang, ASan, UBSan). What is found lies in build-fuzz/artifacts/TARGET, and is printed with the command that shows it
again; new inputs are kept in build-fuzz/corpus/TARGET, for the next run. Exit status 1 on a find.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build-fuzz")
# How deep the stack is depends on where it lies, which is up to chance: no reason to keep an input.
C_ARGS = " ".join(["-fsanitize=fuzzer-no-link", "-fno-sanitize-coverage=stack-depth",
                   shlex.quote("-fsanitize-coverage-ignorelist=" + os.path.join(TOP, "fuzz", "not-covered.txt")),
                   "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"])
OPTIONS = ["-Dtests=false", "-Dfuzz=true", "-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false",
           f"-Dc_args={C_ARGS}"]
# Journals are made, read and thrown away by the thousand: what is freed is not kept for long.
ENV = dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=1:detect_leaks=1")
INPUT_MAX = 1024        # bytes: programs and messages of that size reach everything
ONE_INPUT_S = 10        # longer for one input is a find
MEMORY_MB = 1024
CORPUS_FILES = 200      # of a target
CORPUS_BYTES = 300_000
TOGETHER = 2
# --fixed: the dearest first, so that two at a time end together.
RUNS = {"journal": 10000, "repair": 10000, "snapshot": 12000, "sender": 30000, "wire_native": 60000, "wire_plain": 60000,
        "text": 60000, "format": 60000, "reply": 60000, "client_input": 60000}
RUNS_OTHERS = 10000     # of a target that is not named there
FIXED_S = 900           # longer in all is a failure: many times what it takes
FIXED_INPUT_S = 60      # a slow machine is no find


def say(text):
    print(text, flush=True)


def relative(path):
    return os.path.relpath(path, TOP)


def options_of_build():
    try:
        with open(os.path.join(BUILD, "options"), encoding="utf-8") as written:
            return written.read().split("\n")
    except FileNotFoundError:
        return None


def build():
    """Returns what went wrong, or None."""
    if shutil.which("clang") is None:
        return "clang is not installed (make setup)"
    commands = []
    is_there = os.path.exists(os.path.join(BUILD, "build.ninja"))
    if not is_there or options_of_build() != OPTIONS:
        commands.append(["meson", "setup", BUILD, TOP] + ["--reconfigure"] * is_there + OPTIONS)
    commands.append(["ninja", "-C", BUILD])
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              env=dict(os.environ, CC="clang"))
        if done.returncode != 0:
            return done.stdout
    with open(os.path.join(BUILD, "options"), "w", encoding="utf-8") as out:
        out.write("\n".join(OPTIONS))
    return None


def targets():
    paths = glob.glob(os.path.join(BUILD, "fuzz", "fuzz_*"))
    return sorted(os.path.basename(path)[len("fuzz_"):] for path in paths if os.access(path, os.X_OK) and os.path.isfile(path))


def program(target):
    return os.path.join(BUILD, "fuzz", "fuzz_" + target)


def directory(*parts):
    path = os.path.join(*parts)
    os.makedirs(path, exist_ok=True)
    return path


def seeds(target):
    """The directories of the repository that a target begins with."""
    paths = [os.path.join(TOP, "fuzz", kind, target) for kind in ("corpus", "regressions")]
    return [path for path in paths if os.path.isdir(path)]


def files(path):
    return {name for name in os.listdir(path)} if os.path.isdir(path) else set()


def numbers(output):
    """What libFuzzer says at its end: runs, runs a second, edges, features."""
    last = None
    for match in re.finditer(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) .*exec/s: (\d+)", output):
        last = match
    if last is None:
        return "nothing was run"
    runs, edges, features, speed = last.groups()
    return f"{int(runs):>9} runs, {int(speed):>6}/s, {int(edges):>5} edges, {int(features):>6} features"


def seed_list(target):
    """A file that names the inputs of the repository, in the order of their names; None when there are none."""
    paths = [os.path.join(path, name) for path in seeds(target) for name in sorted(os.listdir(path))]
    name = os.path.join(directory(BUILD, "fixed"), target)
    with open(name, "w", encoding="utf-8") as out:
        out.write(",".join(paths))
    return name if paths else None


def timed(target, seconds):
    """Options of a target that runs so long, and goes on from what it kept the last time."""
    return [f"-max_total_time={seconds}", f"-timeout={ONE_INPUT_S}", directory(BUILD, "corpus", target)] + seeds(target)


def fixed(target):
    """Options of a target that tries the same inputs each time. What libFuzzer takes from comparisons are addresses, too."""
    names = seed_list(target)
    return [f"-runs={RUNS.get(target, RUNS_OTHERS)}", f"-timeout={FIXED_INPUT_S}", "-use_cmp=0", "-reload=0"] + \
        ([f"-seed_inputs=@{names}"] if names else [])


def fuzz(target, seed, how, limit):
    """Run a target with the options `how`, for `limit` seconds at most. Returns (line, output of a find or None)."""
    artifacts = directory(BUILD, "artifacts", target)
    found_before = files(artifacts)
    command = [program(target), f"-seed={seed}", f"-max_len={INPUT_MAX}", f"-rss_limit_mb={MEMORY_MB}",
               f"-artifact_prefix={artifacts}/", "-len_control=0"] + how
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=ENV, timeout=max(1, limit))
        output, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, status = (late.stdout or b"").decode(errors="replace"), "not done in time"
    line = f"{target:14} {numbers(output)}"
    if status == 0:
        return "  ok   " + line, None
    shown = [line for line in output.splitlines()
             if not re.match(r"#\d+\s|INFO:|Step #|MS: |0x[0-9a-f]{2},|Base64:", line)]
    for name in sorted(files(artifacts) - found_before):
        shown.append(f"again: {relative(program(target))} {relative(os.path.join(artifacts, name))}")
    return "  FAIL " + line + f" ({status})", "\n".join(shown[-60:])


def merge(target):
    """The smallest set of inputs that reaches all that is reached, within the limits of the repository."""
    new = os.path.join(BUILD, "merged", target)
    shutil.rmtree(new, ignore_errors=True)
    directory(new)
    sources = seeds(target)[:1] + [directory(BUILD, "corpus", target)]
    subprocess.run([program(target), "-merge=1", f"-max_len={INPUT_MAX}", f"-timeout={ONE_INPUT_S}", new] + sources,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENV, check=True)
    paths = sorted((os.path.join(new, name) for name in os.listdir(new)), key=lambda path: (os.path.getsize(path), path))
    count = size = 0
    kept = []
    # Of more than there is room for, take from small and large alike.
    step = max(1.0, len(paths) / CORPUS_FILES)
    for i in range(min(len(paths), CORPUS_FILES)):
        path = paths[int(i * step)]
        if size + os.path.getsize(path) <= CORPUS_BYTES:
            kept.append(path)
            size += os.path.getsize(path)
            count += 1
    corpus = os.path.join(TOP, "fuzz", "corpus", target)
    shutil.rmtree(corpus, ignore_errors=True)
    directory(corpus)
    for path in kept:
        shutil.copy(path, corpus)
    say(f"  {target:14} {len(paths)} inputs, {count} of them with {size} bytes in {relative(corpus)}")


def main(arguments):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--merge", action="store_true")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    trouble = build()
    if trouble is not None:
        say(trouble)
        say("0 passed, 1 failed, 0 skipped")
        return 1
    wanted = [target for target in targets() if not options.only or target in options.only.split(",")]
    if not wanted:
        say(f"there is no such target; there are {', '.join(targets())}")
        return 64
    if options.fixed:
        wanted.sort(key=lambda target: list(RUNS).index(target) if target in RUNS else len(RUNS))
        amount = f"seed {options.seed}, a fixed number of runs"
    else:
        amount = f"{options.seconds} s in all"
    say(f"== built in {time.monotonic() - began:.0f} s; {len(wanted)} targets, {amount}, {TOGETHER} at a time")
    each = max(1, options.seconds * min(TOGETHER, len(wanted)) // len(wanted))
    end = time.monotonic() + FIXED_S

    def one(target):
        if options.fixed:
            return fuzz(target, options.seed, fixed(target), end - time.monotonic())
        return fuzz(target, options.seed, timed(target, each), each + 120)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=TOGETHER) as pool:
        for line, output in pool.map(one, wanted):
            say(line)
            if output is not None:
                failed += 1
                say("\n".join("    " + text for text in output.splitlines()))
    if options.merge:
        for target in wanted:
            merge(target)
    say(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
