"""The programs of bench/ that are written in C: where they are, and one run of each."""

import json
import os
import re
import subprocess

import processes

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Programs:
    def __init__(self, build):
        self.build = build

    def path(self, name):
        return os.path.join(self.build, "bench", name)

    def has(self, name):
        return os.access(self.path(name), os.X_OK)

    def server(self, name, directory, *arguments):
        """One of ours that prints its port. Returns (process, port)."""
        command = [name, *arguments] if os.path.isabs(name) else [self.path(name), *arguments]
        started = processes.Started(command, os.path.join(directory, "log"), stdout=subprocess.PIPE)
        return started, int(started.line())

    def run(self, name, *arguments, timeout=120, **more):
        """One run to its end; its JSON object."""
        if not self.has(name):
            raise processes.Failed(f"{name} was not built: a library is missing (scripts/setup bench)")
        return run_json([self.path(name), *arguments], timeout, **more)

    def drive(self, *arguments, **more):
        return self.run("drive", *arguments, **more)

    def drive_connect(self, port, seconds):
        return self.run("drive_connect", "--connect", f"127.0.0.1:{port}", "--at-once", 32, "--seconds", seconds)


def run_json(command, timeout, **more):
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **more)
    except subprocess.TimeoutExpired:
        raise processes.Failed(f"{os.path.basename(command[0])}: not done after {timeout:.0f} s") from None
    if done.returncode != 0:
        said = re.sub(r"\s+", " ", done.stderr.decode(errors="replace"))[-300:].strip()
        raise processes.Failed(f"{os.path.basename(command[0])}: exit {done.returncode}: {said}")
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("{")]
    if not lines:
        raise processes.Failed(f"{os.path.basename(command[0])}: it printed no JSON object")
    return json.loads(lines[-1])


def build(directory):
    """Makes roger and the programs of bench/ in a release build of their own. Returns what went wrong, or None."""
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        steps = [["meson", "setup", directory, TOP, "-Dbuildtype=release", "-Dtests=false", "-Dbench=true"]]
    else:
        steps = [["meson", "configure", directory, "-Dbench=true"]]
    steps.append(["ninja", "-C", directory, "roger", "bench"])
    for step in steps:
        done = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace")
        if done.returncode != 0:
            return done.stdout[-3000:]
    return None
