"""A small part of `make enumerate`: one journal, cut at every 7th byte, every 7th bit flipped; the C and journal_reader.py agree."""

import os
import subprocess
import sys

import pytest
from helpers import ROGER, TOP

sys.path.insert(0, os.path.join(TOP, "tests", "enumerate"))
import every_bit  # noqa: E402  (found in tests/enumerate)

PROGRAMS = os.path.join(os.path.dirname(ROGER), "tests", "enumerate")
STEP = 7


@pytest.fixture(scope="module")
def journals(tmp_path_factory):
    directory = tmp_path_factory.mktemp("journals")
    maker = os.path.join(PROGRAMS, "enumerate_journals")
    if not os.access(maker, os.X_OK):
        pytest.skip(f"{maker} is not built (meson option tests)")
    subprocess.run([maker, directory], check=True, timeout=20)
    return directory


@pytest.fixture(autouse=True)
def remember(monkeypatch):
    for name, function in every_bit.REMEMBERING.items():
        monkeypatch.setattr(every_bit.journal_reader, name, function)


def compare(directory, name, kind, step=STEP):
    return every_bit.compare(os.path.join(PROGRAMS, "enumerate_classify"), directory, name, kind, step)


def names_of(classes):
    return {name.split(" (")[0] for name in classes}


@pytest.mark.parametrize("kind", every_bit.KINDS)
def test_every_seventh(journals, kind):
    """Of the journal whose segments have taken records over from one another."""
    directory = journals / "reopened"
    met = set()
    for name in sorted(os.listdir(directory)):
        cases, classes, differences = compare(directory, name, kind)
        assert cases == sum(classes.values()) and not differences, "\n".join(differences[:10])
        met |= names_of(classes)
    assert met >= ({"intact", "damaged", "end"} if kind == "cut" else {"intact", "damaged"})


def test_a_difference_is_found(journals, monkeypatch):
    """A reader that takes every frame for good does not pass."""
    monkeypatch.setattr(every_bit.journal_reader, "frames", lambda batch, data: ([b""] * batch.count, None))
    monkeypatch.setattr(every_bit, "shown", lambda *_: 0)
    assert compare(journals / "tail", "00000000000000000001.seg", "flip", 61)[2]


def test_what_the_reader_has_not_looked_at_changes_nothing(journals):
    """The shortcut is one: without it, every 997th bit gives the same."""
    for journal in sorted(os.listdir(journals)):
        files = every_bit.load(journals / journal)
        base = every_bit.reader_says(files)
        for name in files:
            for count, position, changed in every_bit.runs_of_reader(files, name, "flip", 997):
                for i in range(count) if changed is None else ():
                    case = every_bit.case_files(files, name, "flip", position + 997 * i)
                    assert every_bit.reader_says(case) == base, (journal, name, position + 997 * i)
