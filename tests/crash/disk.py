"""File systems of our own that can be cut off, filled up, and made to fail: ext4 in a loop device, for root.

    LoopDisk     an image in a file; cut() is a power cut: what was not flushed is gone after the next mount
    FailingDisk  an image behind nbdkit, nbdfuse and a loop device: writes fail while a file is there, or are slow
    Tmpfs        a small one, for an image that finds no room below it

All mounts live in a mount namespace of ours and go with it, whatever becomes of us.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
NO_LOG_FLUSH = struct.pack("I", 2)
CLONE_NEWNS = 0x00020000
PATIENCE_S = 20
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def tool(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL, env=dict(os.environ, PATH=PATH))
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode().strip()


def own_mounts():
    """Call it while there is one thread. Where it is not permitted, or there is no mount, there are no disks either."""
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) == 0:
            tool("mount", "--make-rprivate", "/")
    except OSError:
        pass


def why_no_disks(directory):
    """None, or why LoopDisk can't work here."""
    if os.geteuid() != 0:
        return "not root"
    with tempfile.TemporaryDirectory(dir=directory) as place:
        disk = LoopDisk(place, 8)
        try:
            disk.make()
            disk.mount()
            disk.cut()
        except OSError as error:
            return f"no ext4 in a loop device: {error}"
        finally:
            disk.unmount()
    return None


def why_no_failing():
    """None, or why FailingDisk can't work here."""
    for program in ("nbdkit", "nbdfuse"):
        if not shutil.which(program, path=PATH):
            return f"{program} is not installed"
    return None if os.path.exists("/dev/fuse") else "no /dev/fuse"


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise OSError(f"after {PATIENCE_S} s still not: {what}")
        time.sleep(0.01)


def unmount(path):
    """A killed server may hold it for a moment yet."""
    if os.path.ismount(path):
        for _ in range(100):
            try:
                return tool("umount", path)
            except OSError:
                time.sleep(0.05)
        tool("umount", "-l", path)
    return None


class LoopDisk:
    """`directory`/image, mounted on `directory`/disk.

    `by_page`: each request to the image is one page. Where the image finds room for a part of a request only, the loop
    driver (seen with Linux 6.18) says that all of it was written, and the disk lies; one page is taken or it is not."""

    def __init__(self, directory, megabytes, by_page=False):
        self.by_page = by_page
        self.image = os.path.join(directory, "image")
        self.path = os.path.join(directory, "disk")
        self.megabytes = megabytes
        self.handle = None

    def make(self):
        os.makedirs(self.path, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(self.megabytes << 20)
        tool("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", self.image)

    def mount(self):
        """The device goes when it is unmounted, and its cache with it."""
        device = tool("losetup", "-f", "--show", self.image)
        try:
            if self.by_page:
                with open(f"/sys/block/{os.path.basename(device)}/queue/max_sectors_kb", "w", encoding="ascii") as file:
                    file.write("4")
            tool("mount", device, self.path)
        finally:
            tool("losetup", "-d", device)
        self.handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def cut(self):
        """From now on nothing reaches the disk that is not there yet. Any thread."""
        fcntl.ioctl(self.handle, SHUTDOWN, NO_LOG_FLUSH)

    def release(self):
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def unmount(self):
        self.release()
        unmount(self.path)

    def again(self):
        self.unmount()
        self.mount()

    close = unmount


class Tmpfs:
    def __init__(self, directory, megabytes):
        self.path = os.path.join(directory, "small")
        os.makedirs(self.path, exist_ok=True)
        tool("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", self.path)

    def close(self):
        unmount(self.path)


def free(path):
    room = os.statvfs(path)
    return room.f_bavail * room.f_bsize


def leave_free(path, megabytes):
    """A file that takes all room but this."""
    with open(os.path.join(path, "ballast"), "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, free(path) - (megabytes << 20)))


class FailingDisk(LoopDisk):
    """While the file `trigger` is there, writes fail with EIO. `delay_ms`: what each write takes at least."""

    def __init__(self, directory, megabytes, delay_ms=0):
        super().__init__(directory, megabytes)
        self.directory = directory
        self.trigger = os.path.join(directory, "trigger")
        self.fuse = os.path.join(directory, "fuse")
        self.delay_ms = delay_ms
        self.processes = []
        self.device = None

    def start(self, *command):
        with open(os.path.join(self.directory, "nbd.err"), "ab") as errors:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                                   env=dict(os.environ, PATH=PATH)))

    def mount(self):
        nbd, file = os.path.join(self.directory, "nbd"), os.path.join(self.fuse, "image")
        os.makedirs(self.fuse, exist_ok=True)
        self.start("nbdkit", "-f", "-U", nbd, "--filter=delay", "--filter=error", "file", self.image,
                   "error-pwrite=EIO", "error-pwrite-rate=100%", f"error-pwrite-file={self.trigger}",
                   f"wdelay={self.delay_ms}ms")
        wait_for(lambda: os.path.exists(nbd), "nbdkit listens")
        self.start("nbdfuse", file, "--unix", nbd)
        wait_for(lambda: os.path.exists(file), "nbdfuse shows the image")
        self.device = tool("losetup", "-f", "--show", file)
        tool("mount", self.device, self.path)
        self.handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def fail(self):
        with open(self.trigger, "wb"):
            pass

    def heal(self):
        os.unlink(self.trigger)

    def unmount(self):
        """All the way down to the image."""
        super().unmount()
        if self.device:
            tool("losetup", "-d", self.device)
            self.device = None
        unmount(self.fuse)
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        self.processes.clear()

    def healthy(self):
        """The same image, without what fails."""
        self.unmount()
        disk = LoopDisk(self.directory, self.megabytes)
        disk.mount()
        return disk

    close = unmount
