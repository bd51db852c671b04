"""A full disk is a state: senders wait, readers read; when there is room again everything is there, once."""

import contextlib
import os
import subprocess
import threading

import helpers
import pytest
from helpers import durable, ok, run

SIZE = 1000
COUNT = 100_000  # 100 MB into 64


class SmallDisk:
    """A file system with 64 MB of room, and more when it is asked for, while it is in use."""

    def __init__(self, kind, directory):
        self.kind = kind
        self.path = directory / "disk"
        self.path.mkdir()
        if kind == "tmpfs":
            self.tool("mount", "-t", "tmpfs", "-o", "size=64m", "none", self.path)
        else:
            # Growing a mounted ext4 needs rights that root may lack in a container; what fills it can be removed by anybody.
            image = directory / "image"
            self.tool("truncate", "-s", "256M", image)
            self.tool("mkfs.ext4", "-q", "-F", "-m", "0", image)
            self.tool("mount", "-o", "loop", image, self.path)
            free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_bsize
            with open(self.path / "ballast", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, free - (64 << 20))

    def tool(self, *command):
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True,
                       env=dict(os.environ, PATH=path))

    def fill(self):
        """The last free block is gone, too, also those that come free when the file system writes down what was deleted."""
        with open(self.path / "rest", "wb", buffering=0) as file:
            before = -1
            while file.tell() != before:
                before = file.tell()
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    os.sync()

    def free_space(self):
        if self.kind == "tmpfs":
            self.tool("mount", "-o", "remount,size=256m", self.path)
        else:
            os.unlink(self.path / "ballast")

    def unmount(self):
        self.tool("umount", "-l", self.path)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path):
    with contextlib.closing(helpers.OwnMounts(tmp_path)) as mounts:
        if mounts.why_not:
            pytest.skip(f"no mount namespace of our own here: {mounts.why_not}")
        try:
            small = SmallDisk(request.param, tmp_path)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            pytest.skip(f"no {request.param} of our own here: {getattr(error, 'stderr', '') or error}")
        yield small
        small.unmount()


def lines(count):
    return b"".join(b"%0*d\n" % (SIZE, n) for n in range(count))


FULL_LINE = "(?i)full|No space left on device"


def start_sending(roger, server):
    """A client with 100 MB on its standard input."""
    client = roger.start("send", server.address, "--timeout", "120s", stdin=subprocess.PIPE)

    def feed():
        try:
            client.stdin.write(lines(COUNT))
            client.stdin.close()
        except BrokenPipeError:
            pass  # the client has ended: its exit status tells

    threading.Thread(target=feed, daemon=True).start()
    return client


def test_hundred_megabytes_into_sixtyfour(disk, roger):
    """`roger` comes after `disk`, so that its audit runs before the disk goes."""
    journal = disk.path / "journal"
    roger.expect(journal, 0)
    server = roger.serve(journal, "--quiet")
    client = start_sending(roger, server)
    server.err.wait_for(FULL_LINE, timeout=60)

    stored = ok(run("read", journal))  # reading goes on, and shows what is acknowledged and no more than was sent
    count = len(stored) // (SIZE + 1)
    assert COUNT // 10 < count < COUNT and stored == lines(count)
    assert durable(journal) >= count
    assert server.running() and client.running()

    disk.free_space()
    assert client.wait(90) == 0, client.err.text()
    assert ok(run("read", journal)) == lines(COUNT)
    assert server.running()
    assert f"{COUNT} messages acknowledged" in client.err.text()


def test_full_when_it_starts(disk, roger):
    """No room for the new segment: it waits without listening, and goes on when there is room."""
    journal = disk.path / "journal"
    roger.expect(journal, 0)
    server = roger.serve(journal, "--quiet")
    client = start_sending(roger, server)
    server.err.wait_for(FULL_LINE, timeout=60)
    server.wait_quiet()  # its last segment holds records, so none may be deleted to make room for the new one
    server.kill()
    client.kill()
    count = len(ok(run("read", journal))) // (SIZE + 1)
    disk.fill()

    server = roger.again(server, wait=False)
    server.err.wait_for(FULL_LINE)
    assert server.running() and "listening" not in server.out.text()
    assert lines(count).startswith(ok(run("read", journal)))  # beside an opening server: what is promised
    disk.free_space()
    server.wait_listening()
    ok(run("send", server.address, "after"))
    assert ok(run("read", journal)) == lines(count) + b"after\n"
