"""A full disk is a state: senders wait, readers read; when there is room again everything is there, once."""

import os
import subprocess
import threading

import helpers
import pytest
from helpers import durable, ok, run

SIZE = 1000
COUNT = 100_000  # 100 MB into 64


class SmallDisk:
    """A file system of 64 MB that can be made larger while it is in use."""

    def __init__(self, kind, directory):
        self.kind = kind
        self.path = directory / "disk"
        self.image = directory / "image"
        self.path.mkdir()
        if kind == "tmpfs":
            self.tool("mount", "-t", "tmpfs", "-o", "size=64m", "none", self.path)
        else:
            self.grow_image("64M")
            self.tool("mkfs.ext4", "-q", "-F", self.image)
            self.tool("mount", "-o", "loop", self.image, self.path)

    def tool(self, *command):
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True,
                              env=dict(os.environ, PATH=path)).stdout

    def grow_image(self, size):
        self.tool("truncate", "-s", size, self.image)

    def free_space(self):
        if self.kind == "tmpfs":
            self.tool("mount", "-o", "remount,size=256m", self.path)
        else:
            device = self.tool("losetup", "-n", "-O", "NAME", "-j", self.image).strip()
            self.grow_image("256M")
            self.tool("losetup", "-c", device)
            self.tool("resize2fs", device)

    def unmount(self):
        self.tool("umount", "-l", self.path)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path):
    if not helpers.own_mounts():
        pytest.skip("mounting needs root")
    try:
        small = SmallDisk(request.param, tmp_path)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"no {request.param} of our own here: {getattr(error, 'stderr', '') or error}")
    yield small
    small.unmount()


def lines(count):
    return b"".join(b"%0*d\n" % (SIZE, n) for n in range(count))


def test_hundred_megabytes_into_sixtyfour(disk, roger):
    """`roger` comes after `disk`, so that its audit runs before the disk goes."""
    journal = disk.path / "journal"
    roger.expect(journal, 0)
    server = roger.serve(journal, "--quiet")
    client = roger.start("send", server.address, "--timeout", "120s", stdin=subprocess.PIPE)

    def feed():
        client.stdin.write(lines(COUNT))
        client.stdin.close()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    server.err.wait_for("(?i)full", timeout=60)

    stored = ok(run("read", journal))  # reading goes on, and shows what is acknowledged and no more than was sent
    count = len(stored) // (SIZE + 1)
    assert COUNT // 10 < count < COUNT and stored == lines(count)
    assert durable(journal) >= count
    assert server.running() and client.running()

    disk.free_space()
    assert client.wait(90) == 0, client.err.text()
    feeder.join(5)
    assert ok(run("read", journal)) == lines(COUNT)
    assert server.running()
    assert f"{COUNT} messages acknowledged" in client.err.text()


def test_full_when_it_starts(disk, roger):
    """No room for the new segment: it waits without listening, and goes on when there is room."""
    journal = disk.path / "journal"
    roger.expect(journal, 0)
    server = roger.serve(journal, "--quiet")
    ok(run("send", server.address, "before"))
    server.kill()
    with open(disk.path / "ballast", "wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            pass
    server = roger.keep(server.restarted(wait=False))
    server.err.wait_for("(?i)full|no space")
    assert server.running() and "listening" not in server.out.text()
    assert ok(run("read", journal)) == b"before\n"
    os.unlink(disk.path / "ballast")
    server.wait_listening()
    ok(run("send", server.address, "after"))
    assert ok(run("read", journal)) == b"before\nafter\n"
