"""How many bytes a message takes on the disk: the table of README.md.

usage: scripts/python bench/bytes.py [--program FILE] [--dir DIR] [--runs N] [--quick]

  --program FILE   the release build to be measured (build/roger)
  --dir DIR        where the journals lie (/var/tmp); what a flush takes there decides how many messages share a block
  --runs N         rounds, of which the median counts (3)
  --quick          a tenth of the messages: tries the machinery

Each row has a server and a journal of its own. What counts is what its commits have written, from the first block behind a segment's
header to the last one that is not zero, seals and notes of ended streams included, divided by the messages. In each round a durable
write of 4 KiB is timed as well, since a message that comes while one is under way waits for the next. Exit status 0, or 69 when
something could not be measured.
"""

import argparse
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time

import processes
import programs
import roger

BLOCK = 4096
SIZES = (100, 1000)
FLUSHES = 2000
CHUNK = 1 << 20


def bench(server, *arguments):
    """`roger bench`: how many messages were acknowledged."""
    result = programs.run_json([server.program, "bench", f"127.0.0.1:{server.port}", "--json", *arguments], 300)
    return result["acknowledged"]


def one_at_a_time(server, size, count):
    return bench(server, "--mode", "connect", "--size", size, "--count", count)


def single_sends(server, size, count):
    for _ in range(count // 5):
        subprocess.run([server.program, "send", f"127.0.0.1:{server.port}", "x" * size], check=True, capture_output=True, timeout=60)
    return count // 5


def at_rate(rate):
    return lambda server, size, count: bench(server, "--rate", rate, "--size", size, "--count", 5 * count)


def at_full_speed(server, size, count):
    return bench(server, "--size", size, "--count", 1000 * count)


ROWS = (("one at a time, each waiting for its answer (raw)", one_at_a_time),
        ("`roger send` with a single message (its stream ends with a note of its own)", single_sends),
        ("one sender, a message each millisecond", at_rate(1000)),
        ("one sender, 5,000 a second", at_rate(5000)),
        ("one sender, as fast as it can", at_full_speed))


def written(path):
    """Bytes from the first commit of a segment to the end of the last one. What is behind it is zeros: nothing was reused here."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > BLOCK:
            begin = max(0, end - CHUNK)
            file.seek(begin)
            used = len(file.read(end - begin).rstrip(b"\0"))
            if used > 0:
                return max(0, -(-(begin + used) // BLOCK) - 1) * BLOCK
            end = begin
    return 0


def measure(program, where, what, size, count):
    """Bytes for each message."""
    with tempfile.TemporaryDirectory(prefix="roger-bytes-", dir=where) as directory:
        with roger.Roger(program, directory) as server:
            messages = what(server, size, count)
        segments = [name for name in os.listdir(server.journal) if name.endswith(".seg")]
        return sum(written(os.path.join(server.journal, name)) for name in segments) / messages


def flush_us(where):
    """The median time of a durable 4 KiB write over ready zeros, in microseconds."""
    block = mmap.mmap(-1, BLOCK)  # aligned, as O_DIRECT wants it
    block.write(b"r" * BLOCK)
    times = []
    with tempfile.NamedTemporaryFile(dir=where) as name:
        name.write(bytes(FLUSHES * BLOCK))
        name.flush()
        os.fsync(name.fileno())
        file = os.open(name.name, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
        try:
            for i in range(FLUSHES):
                began = time.perf_counter_ns()
                os.pwrite(file, block, i * BLOCK)
                times.append((time.perf_counter_ns() - began) / 1000)
        finally:
            os.close(file)
    return statistics.median(times)


def main(arguments):
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\nEach")[0])
    parser.add_argument("--program", default=os.path.join(programs.TOP, "build", "roger"))
    parser.add_argument("--dir", default="/var/tmp")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    count = 100 if options.quick else 1000
    flushes = []
    figures = {}
    try:
        for _ in range(options.runs):
            flushes.append(flush_us(options.dir))
            for title, what in ROWS:
                for size in SIZES:
                    figures.setdefault((title, size), []).append(measure(options.program, options.dir, what, size, count))
    except (processes.Failed, subprocess.SubprocessError, OSError) as error:
        print(f"bytes: {error}", file=sys.stderr)
        return 69
    print("| how they come |", *(f"{size} bytes |" for size in SIZES))
    print("|---|" + "---|" * len(SIZES))
    for title, _ in ROWS:
        print(f"| {title} |", *(f"{statistics.median(figures[title, size]):.0f} |" for size in SIZES))
    print(f"\na durable write of 4 KiB took {statistics.median(flushes):.0f} us (medians of {options.runs})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
