"""PostgreSQL: INSERT, synchronous_commit on, pipelined through the extended protocol (no COPY)."""

import glob
import os
import re
import struct
import subprocess
import time

import processes
from peers.peer import Peer


def packet(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body


SYNC = packet(b"S", b"")
EXECUTE = packet(b"E", b"\0" + struct.pack(">I", 0))


class Postgres(Peer):
    name = "postgres"
    title = "PostgreSQL (INSERT, synchronous_commit on)"
    ack_means = "the transaction is in the write-ahead log and flushed (for the rate 1000 INSERTs are one transaction, for the latency one)"
    does_more = "is a relational database: SQL, indexes, transactions over many tables, replication."
    program = "postgres"
    package = "postgresql"
    protocol = "postgres"
    group = 1000
    window = 16_000

    def missing(self):
        if not self.bin():
            return "postgres is not installed (Debian: postgresql)"
        if os.geteuid() == 0 and not self.other_user():
            return "it does not run as root, and there is no user postgres"
        return None

    @staticmethod
    def bin():
        places = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda p: int(re.findall(r"\d+", p)[0]))
        found = Peer.find("postgres") or (places[-1] if places else None)
        return os.path.dirname(found) if found else None

    @staticmethod
    def other_user():
        import pwd
        try:
            return {"user": pwd.getpwnam("postgres").pw_uid, "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}
        except KeyError:
            return None

    def version(self):
        return self.first_line(os.path.join(self.bin(), "postgres"), "--version").split()[2]

    def start(self):
        as_user = {}
        if os.geteuid() == 0:
            as_user = self.other_user()
            os.chown(self.directory, as_user["user"], as_user["group"])
        data = os.path.join(self.directory, "data")
        made = subprocess.run([os.path.join(self.bin(), "initdb"), "-D", data, "-A", "trust", "-U", "bench", "-E", "UTF8",
                               "--locale=C"], stdin=subprocess.DEVNULL, capture_output=True, cwd=self.directory, timeout=120, **as_user)
        if made.returncode != 0:
            raise processes.Failed(f"initdb: {made.stderr.decode(errors='replace')[-300:]}")
        self.port = processes.free_port()
        self.run(os.path.join(self.bin(), "postgres"), "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.directory,
                 "-c", "synchronous_commit=on", "-c", "fsync=on", "-c", "max_wal_size=8GB", "-c", "shared_buffers=256MB", **as_user)
        self.started.wait_for_port(self.port)
        self.wait_until_ready()

    def wait_until_ready(self, timeout=60):
        """It listens before it serves."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.connect().close()
                return
            except processes.Failed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self):
        if self.started:
            self.started.stop(2)  # SIGINT: a fast shutdown
            self.started = None

    def shake_hands(self, connection):
        body = struct.pack(">I", 3 << 16) + b"user\0bench\0database\0postgres\0\0"
        connection.sendall(struct.pack(">I", len(body) + 4) + body)
        self.answer(connection)
        connection.sendall(packet(b"Q", b"CREATE TABLE IF NOT EXISTS m (id bigserial, payload bytea)\0"))
        self.answer(connection)
        connection.sendall(packet(b"P", b"i\0INSERT INTO m (payload) VALUES ($1)\0" + struct.pack(">H", 0)) + SYNC)
        self.answer(connection)

    @staticmethod
    def answer(connection):
        """All up to ReadyForQuery, as {kind: body of the last of it}."""
        said, got = {}, b""
        while b"Z" not in said:
            while len(got) < 5 or len(got) < 1 + struct.unpack(">I", got[1:5])[0]:
                more = connection.recv(65536)
                if not more:
                    raise processes.Failed("PostgreSQL ended the connection")
                got += more
            size = 1 + struct.unpack(">I", got[1:5])[0]
            said[got[:1]] = got[5:size]
            if got[:1] == b"E":
                raise processes.Failed(f"PostgreSQL: {got[5:size]!r}")
            got = got[size:]
        return said

    def insert(self, payload):
        bind = b"\0i\0" + struct.pack(">HHHI", 1, 1, 1, len(payload)) + payload + struct.pack(">H", 0)
        return packet(b"B", bind) + EXECUTE

    def message(self, index, payload):
        return self.insert(payload) + SYNC

    def grouped(self, messages):
        return b"".join(message[:-len(SYNC)] for message in messages) + SYNC

    def stored(self):
        with self.connect() as connection:
            connection.sendall(packet(b"Q", b"SELECT count(*) FROM m\0"))
            return int(self.answer(connection)[b"D"][6:])
