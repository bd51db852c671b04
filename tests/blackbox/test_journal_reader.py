"""journal_reader.py and the C decide the same about journals that are damaged at one place, or torn."""

import concurrent.futures
import json
import os
import random
import re
import shutil

import pytest
from helpers import TOP, exchange, ok, run
from journal_reader import crc32c, json_line, read_journal

GOLDEN = os.path.join(TOP, "tests", "golden", "journal")
BLOCK = 4096


def unhex(text):
    """A file from a dump; its size is in the first line."""
    size = int(re.search(r"(\d+) bytes", text).group(1))
    data = bytearray(size)
    for line in text.splitlines():
        if re.match(r"[0-9a-f]{6} ", line):
            at, *digits = line.split()
            data[int(at, 16):int(at, 16) + len(digits)] = bytes.fromhex("".join(digits))
    assert len(data) == size
    return bytes(data)


def from_document():
    """The files of the worked example, as docs/journal.md shows them."""
    with open(os.path.join(TOP, "docs", "journal.md"), encoding="utf-8") as file:
        text = file.read().split("## 13. A worked example")[1]
    titles = list(re.finditer(r"^`([^`]+)`, \d+ bytes", text, re.MULTILINE))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    return {title.group(1): unhex(text[title.start():end]) for title, end in zip(titles, ends)}


def from_golden():
    files = {}
    for name in sorted(os.listdir(GOLDEN)):
        if name.endswith(".hex"):
            with open(os.path.join(GOLDEN, name), encoding="ascii") as file:
                files[name[:-4]] = unhex(file.read())
    return files


def lay(directory, files):
    directory.mkdir()
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return directory


def flipped(data, offset, bit):
    return data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1:]


def mine(journal):
    """(what is damaged first, or None; the records before it)"""
    with read_journal(journal) as found:
        damage = found.damage and (found.damage.record, found.damage.segment, found.damage.offset)
        return damage, [json.loads(json_line(record)) for record in found.records()]


def theirs(journal):
    verify = run("verify", journal, timeout=10)
    read = run("read", journal, "--format", "json", timeout=10)
    text = verify.stdout.decode() + verify.stderr.decode()
    assert verify.returncode in (0, 65) and read.returncode == verify.returncode, \
        f"verify {verify.returncode}, read {read.returncode}: {text}{read.stderr.decode()}"
    damage = None
    if verify.returncode:
        found = re.findall(r"^damage: segment (\S+) offset (\d+): record(?:s)? (\d+)", text, re.MULTILINE)
        assert found, text
        damage = min((int(record), segment, int(offset)) for segment, offset, record in found)
    return damage, [json.loads(line) for line in read.stdout.splitlines()]


def disagreements(tmp_path, cases):
    """cases: (name, files). Those about which the two differ, as texts."""
    def decide(numbered):
        number, (name, files) = numbered
        journal = lay(tmp_path / f"case-{number}", files)
        ours, c = mine(journal), theirs(journal)
        shutil.rmtree(journal)
        return None if ours == c else f"{name}:\n  journal_reader {ours[0]}, {len(ours[1])} records\n" \
                                      f"  roger          {c[0]}, {len(c[1])} records"

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [text for text in pool.map(decide, enumerate(cases)) if text]


def none_of(texts):
    assert not texts, f"{len(texts)} disagreements\n" + "\n".join(texts[:20])


def test_crc32c():
    def plainly(data, crc=0):
        crc ^= 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 & -(crc & 1))
        return crc ^ 0xFFFFFFFF

    assert crc32c(b"123456789") == 0xE3069283
    numbers = random.Random(1)
    for size in [*range(20), *range(120, 140), *range(250, 270), 1023, 1024, 1025, 4096, 5001]:
        data, before = numbers.randbytes(size), numbers.getrandbits(32)
        assert crc32c(data, before) == plainly(data, before), size


@pytest.mark.parametrize("files", [from_document, from_golden])
def test_worked_example(tmp_path, files):
    files = files()
    assert len(files) == 4
    journal = lay(tmp_path / "journal", files)
    with read_journal(journal) as found:
        assert not found.damages and found.end == 6 and found.claim == 5
        stream = "80112233445566778899aabbccddeeff"
        assert [(r.record, r.stream, r.seq, r.payload, r.gap, r.peer, r.protocol) for r in found.records()] == [
            (1, stream, 1, b"Hello World!", None, "127.0.0.1:55760", "roger"),
            (2, stream, 2, b"", None, "127.0.0.1:55760", "roger"),
            (3, "0000000000000000" "0300000000000000", 1, b"Hello World!", None, "[::1]:55761", "raw"),
            (4, stream, 5, b"after a gap", 2, "127.0.0.1:55760", "roger"),
            (5, stream, 6, b"alive", None, "127.0.0.1:55760", "roger")]
    assert mine(journal) == theirs(journal)


def test_worked_example_flipped(tmp_path):
    """The document's last paragraph."""
    one, two = "00000000000000000001.seg", "00000000000000000002.seg"
    files = from_document()
    first = {**files, one: flipped(files[one], 0x1085, 0)}
    last = {**files, two: flipped(files[two], 0x2085, 0)}
    no_lock = {name: data for name, data in last.items() if name != "lock"}
    assert mine(lay(tmp_path / "first", first))[0] == (1, one, BLOCK + 128)
    assert mine(lay(tmp_path / "last", last))[0] == (5, two, 2 * BLOCK + 128)
    damage, records = mine(lay(tmp_path / "no lock", no_lock))
    assert damage is None and len(records) == 4
    none_of(disagreements(tmp_path, [("first", first), ("last", last), ("no lock", no_lock)]))


def meaningful(name, data):
    """The ranges of a file's bytes that say something: headers, and batches to their ends."""
    if not name.endswith(".seg"):
        return [(0, len(data))]
    ranges = [(0, 80)]
    for at in range(BLOCK, len(data), BLOCK):
        while data[at:at + 4] == b"RBAT":
            end = at + 128 + int.from_bytes(data[at + 84:at + 88], "little")
            ranges.append((at, end))
            at = end
    return ranges


def flips(files, step):
    """One bit at each step-th byte that says something, and now and then one that says nothing."""
    for name, data in files.items():
        offsets = [offset for begin, end in meaningful(name, data) for offset in range(begin, end)]
        idle = [begin - 1 for begin, _ in meaningful(name, data) if begin]
        for i, offset in enumerate(offsets[::step] + idle):
            yield f"{name}, offset {offset}, bit {i % 8}", {**files, name: flipped(data, offset, i % 8)}


def without_lock(cases):
    for name, files in cases:
        yield f"{name}, without lock", {key: data for key, data in files.items() if key != "lock"}


def test_worked_example_one_bit(tmp_path):
    files = from_document()
    none_of(disagreements(tmp_path, flips(files, 7)))
    none_of(disagreements(tmp_path, without_lock(flips(files, 13))))


@pytest.fixture
def small(roger, journal):
    """A journal of a few commits, made by the server in two runs, and cut down to what is written."""
    server = roger.serve(journal, "--quiet", "--segment-size", "1M", "--max-message", "64K")
    assert exchange(server.port, b"Hello World!") == b"ACK!"
    ok(run("send", server.address, "--stream", "s", "one", "", "three"))
    ok(run("send", server.address, "ephemeral"))
    server.kill()
    server = roger.again(server)
    ok(run("send", server.address, "--stream", "s", "four"))
    assert exchange(server.port, b"bye") == b"ACK!"
    server.kill()
    files = {}
    for path in sorted(journal.iterdir()):
        data = path.read_bytes()
        if path.suffix == ".seg":
            data = data[:max(BLOCK, -(-len(data.rstrip(b"\0")) // BLOCK) * BLOCK)]
        if path.suffix != ".tmp":
            files[path.name] = data
    return files


def test_one_bit(tmp_path, small):
    damage, records = mine(lay(tmp_path / "as it is", small))
    assert damage is None and len(records) == 7
    none_of(disagreements(tmp_path, flips(small, 5)))
    none_of(disagreements(tmp_path, without_lock(flips(small, 13))))


def test_cut_in_the_last_commit(tmp_path, small):
    """At every byte from its beginning to its end. With the lock file that is damage, without it the end."""
    name = max(key for key, data in small.items() if len(data) > BLOCK and key.endswith(".seg"))
    data = small[name]
    begin, end = max(meaningful(name, data)[-1:])
    assert int.from_bytes(data[begin + 80:begin + 84], "little") == 1, "the last batch is no seal"
    cases = [(f"{name} cut at {cut}", {**small, name: data[:cut]}) for cut in range(begin - 1, end + 2)]
    none_of(disagreements(tmp_path, cases))
    none_of(disagreements(tmp_path, without_lock(cases[::3])))


def test_a_snapshot_claims_what_it_covers(tmp_path):
    """Its segment is cut off behind record 3; the snapshot, which says 4, is all that vouches for it."""
    one, two = "00000000000000000001.seg", "00000000000000000002.seg"
    files = {name: data for name, data in from_document().items() if name not in ("lock", two)}
    files[one] = files[one][:2 * BLOCK]
    assert mine(lay(tmp_path / "cut", files))[0][0] == 4
    none_of(disagreements(tmp_path, [("cut", files)]))


def test_a_bad_header_is_never_passed_over(tmp_path):
    """Segment 2 begins at 5, and what segment 1 still holds of record 5 is dead: not to be shown as if nothing were."""
    two = "00000000000000000002.seg"
    files = from_document()
    for at in (0, 16, 40, 56, 79):
        journal = lay(tmp_path / f"bad-{at}", {**files, two: flipped(files[two], at, 3)})
        for command in ("verify", "read"):
            done = run(command, journal, timeout=10)
            assert done.returncode == 65 and two in (done.stdout + done.stderr).decode(), (command, at, done)


def test_verify_comes_to_an_end(tmp_path):
    """Two damaged places behind one another, the second one met again after the walk has begun anew."""
    one = "00000000000000000001.seg"
    files = from_document()
    bad = bytearray(files[one])
    for at in (BLOCK + 8, 2 * BLOCK + 8):
        bad[at] ^= 0x10
    journal = lay(tmp_path / "journal", {**files, one: bytes(bad)})
    done = run("verify", journal, timeout=10)
    lines = [line for line in done.stdout.decode().splitlines() if line.startswith("damage")]
    assert done.returncode == 65 and lines and len(lines) == len(set(lines)), done
