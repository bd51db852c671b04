"""Roger beside the floors of this machine and beside its peers. bench/README.md tells what is measured and how.

usage: make bench ARGS='[--quick] [--runs N] [--only NAME,...] [--add]'

  --quick          small and short: tries the machinery, measures nothing
  --runs N         rounds, of which the median counts (5; with --quick 1; with --add also 0: only the page is made)
  --only NAME,...  rows (1a 1b 2 3 4 5 6 7 8 9 10), the tables `peers` and `connect`, names of peers
  --add            keep the rounds of build/bench/results.json: what is measured now replaces only the same rows
  --keep           write docs/benchmarks.md and docs/benchmarks.svg, too, when all rows are there and nothing was quick
                   (`make bench` says this)
  --dir DIR        where the measured files lie (/var/tmp)
  --build DIR      the build directory (build-bench), a release build that is made first
  --list           what there is, and what is missing here

The raw rounds are in build/bench/results.json, the page and the plot beside them. Exit status 0 when all that was asked for was
measured and reached (with --quick: measured), 1 when something was not reached, 69 when something could not be measured.
"""

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import time

import programs
import report
import roger
import tables
from context import Context
from peers.all import NOT_HAD, PEERS
from rows import ROWS, Row

TOP = programs.TOP
OUT = os.path.join(TOP, "build", "bench")
TABLES = (Row("peers", "peers that store messages", tables.measure_peers, []),
          Row("connect", "servers with a connection for each message", tables.measure_connect, []))


class Mistake(Exception):
    """What was asked for makes no sense; the text says why."""


def say(text):
    print(text, flush=True)


def options_of(arguments):
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\nThe raw")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--dir", default="/var/tmp")
    parser.add_argument("--build", default=os.path.join(TOP, "build-bench"))
    options = parser.parse_args(arguments)
    if options.runs is None:
        options.runs = 1 if options.quick else 5
    if options.runs < (0 if options.add else 1):
        parser.error("--runs: too few")
    return options


def chosen(only):
    """(rows, names of peers or None for all) that --only asks for."""
    names = [name for name in only.split(",") if name]
    known = {row.name: row for row in (*ROWS, *TABLES)}
    peers = [name for name in names if name in {peer.name for peer in PEERS}]
    unknown = [name for name in names if name not in known and name not in peers]
    if unknown:
        raise Mistake(f"neither a row nor a peer: {', '.join(unknown)}")
    rows = [row for row in known.values() if row.name in names]
    if not rows:
        rows = [known["peers"]] if peers else list(known.values())
    return rows, peers or None


def look_for_peers(wanted):
    """(classes that can be measured, reasons why others cannot)."""
    there, missing = [], []
    for peer in PEERS:
        if wanted is not None and peer.name not in wanted:
            continue
        why = peer().missing()
        if why:
            missing.append((peer.title, why))
        else:
            peer.seen_version = peer().version()
            there.append(peer)
    return there, missing


def about(options, program):
    def first(path, key):
        with open(path, encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(key)), "?")

    def told(*command):
        try:
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:
            return ""

    commit = told("git", "-C", TOP, "describe", "--always", "--dirty", "--exclude=*")
    kind = told("findmnt", "-no", "FSTYPE", "-T", options.dir)
    return [("when", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
            ("Roger", f"{roger.version(program)}, commit {commit or '?'}"),
            ("machine", f"{len(os.sched_getaffinity(0))} cores, {first('/proc/cpuinfo', 'model name')}, "
                        f"{int(first('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB, Linux {platform.release()}, {kind or '?'}"),
            ("rounds", f"{options.runs}" + (", quick: these figures mean nothing" if options.quick else "")),
            ("loopback sockets", "TCP congestion control reno for all clients and for the servers of bench/")]


def measure(context, rows, runs, earlier):
    """{row: [round, ...]}. Rounds go over all rows, so that a slow minute of the machine does not meet one row alone."""
    measured = dict(earlier)
    if runs:
        measured.update({row.name: [] for row in rows})
    for index in range(runs):
        say(f"round {index + 1} of {runs}")
        for row in rows:
            began = time.monotonic()
            measured[row.name].append(row.measure(context))
            say(f"  {row.name:8} {row.title} ({time.monotonic() - began:.0f} s)")
            keep_raw(measured, context.quick)
    return measured


def keep_raw(measured, quick, **more):
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "results.json"), "w", encoding="utf-8") as file:
        json.dump({"quick": quick, **more, "rounds": measured}, file, indent=1)


def earlier_rounds(quick):
    """The rounds that are to be added to, if they are of the same kind."""
    try:
        with open(os.path.join(OUT, "results.json"), encoding="utf-8") as file:
            kept = json.load(file)
    except FileNotFoundError:
        return {}
    if kept["quick"] != quick:
        raise Mistake("--add: what was measured before was quick, or this is, and not both")
    return kept["rounds"]


def write(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
        file.write(text)
    say(f"wrote {os.path.relpath(os.path.join(directory, name), TOP)}")


def show_targets(lines):
    for row, what, value, spread, wanted, met in lines:
        say(f"  {row:3} {what}\n        {value} ({spread}); {wanted}: {met.strip('*')}")


def main(arguments):
    options = options_of(arguments)
    rows, names = chosen(options.only)
    there, missing = look_for_peers(names)
    missing += NOT_HAD
    if options.list:
        for row in (*ROWS, *TABLES):
            say(f"{row.name:10} {row.title}")
        for peer in there:
            say(f"{peer.name:10} {peer.title}, {peer.seen_version}")
        for what, why in missing:
            say(f"{'not here':10} {what}: {why}")
        return 0
    trouble = programs.build(options.build)
    if trouble:
        say(trouble)
        return 69
    tools = programs.Programs(options.build)
    context = Context(tools, os.path.join(options.build, "roger"), options.dir, options.quick)
    context.peers = {peer.name: peer for peer in there}
    measured = measure(context, rows, options.runs, earlier_rounds(options.quick) if options.add else {})
    facts = about(options, context.program)
    keep_raw(measured, options.quick, about=dict(facts), versions={peer.name: peer.seen_version for peer in there})
    text = report.page(facts, ROWS, measured, there, missing)
    drawing = report.picture(measured, there)
    complete = not options.quick and names is None and all(row.name in measured for row in (*ROWS, *TABLES))
    for directory in [OUT] + ([os.path.join(TOP, "docs")] if options.keep and complete else []):
        write(directory, "benchmarks.md", text)
        write(directory, "benchmarks.svg", drawing)
    lines = report.all_targets(ROWS, measured)
    show_targets(lines)
    for what, why in report.failures(measured):
        say(f"  not measured: {what}: {why}")
    if report.failures(measured):
        return 69
    return 1 if not options.quick and any(line[-1] == "**no**" for line in lines) else 0


def on_term(*_):
    """Whatever runs is stopped on the way out, as after Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_term)
    try:
        sys.exit(main(sys.argv[1:]))
    except Mistake as mistake:
        print(f"bench: {mistake}", file=sys.stderr)
        sys.exit(64)
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        sys.exit(130)
