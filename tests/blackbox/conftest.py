"""Fixtures, and the audit: whatever journal a test leaves behind is verified, and read twice, once by `roger read` and
once by journal_reader.py, which was written from docs/journal.md alone. Both must show the same."""

import json
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import helpers  # noqa: E402  (found beside this file)

READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "journal_reader.py")


def pytest_sessionstart(session):
    if not os.access(helpers.ROGER, os.X_OK):
        pytest.exit(f"{helpers.ROGER} is not there: run make first, or set ROGER", 1)


class Run:
    """One test's processes and journals."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = []
        self.audits = {}

    def journal(self, name="journal", verify=0):
        """A path for a fresh journal. `verify`: the exit status that `roger verify` owes it at the end; None: no audit."""
        path = self.directory / name
        self.audits[path] = verify
        return path

    def expect(self, journal, verify):
        """The journal is meant to be damaged (65), or gone (None)."""
        self.audits[journal] = verify

    def keep(self, process):
        """Stop it at the end of the test."""
        self.processes.append(process)
        return process

    def serve(self, journal, *arguments, **more):
        return self.keep(helpers.Server(journal, *arguments, **more))

    def again(self, server, *arguments, **more):
        """The same server, started again at the same address."""
        return self.keep(server.restarted(*arguments, **more))

    def start(self, *arguments, **more):
        """roger with these arguments, beside the test."""
        return self.keep(helpers.Process([helpers.ROGER, *arguments], **more))

    def stop(self):
        for process in reversed(self.processes):
            process.stop()

    def audit(self):
        for path, status in self.audits.items():
            if status is None or not path.exists():
                continue
            done = helpers.run("verify", path, timeout=60)
            assert done.returncode == status, \
                f"roger verify {path.name}: exit {done.returncode}, not {status}\n{(done.stdout + done.stderr).decode()}"
            if status == 0:
                compare_readers(path)


def compare_readers(path):
    mine = helpers.ok(helpers.run("read", path, "--format", "json", timeout=60)).splitlines()
    if not os.path.exists(READER):
        return
    other = subprocess.run([sys.executable, READER, str(path)], capture_output=True, timeout=60, check=False)
    assert other.returncode == 0, f"journal_reader.py: exit {other.returncode}\n{other.stderr.decode(errors='replace')}"
    theirs = other.stdout.splitlines()
    assert len(mine) == len(theirs), f"roger read shows {len(mine)} records, journal_reader.py {len(theirs)}"
    for a, b in zip(mine, theirs):
        a, b = json.loads(a), json.loads(b)
        assert a == b, f"the readers differ at record {a['record']}: {a} and {b}"


@pytest.fixture
def roger(tmp_path):
    """Start, stop and audit: see Run."""
    this = Run(tmp_path)
    try:
        yield this
    finally:
        this.stop()
    this.audit()


@pytest.fixture
def journal(roger):
    """A path for one fresh journal, sound at the end."""
    return roger.journal()


@pytest.fixture
def traced():
    """For tests that put strace in the disk's place."""
    why = helpers.why_no_ptrace()
    if why:
        pytest.skip(f"tracing is not permitted here: {why}")
