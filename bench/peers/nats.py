"""NATS JetStream with file storage: as it comes, and with sync always where the version has it."""

import json
import os
import re

import processes
from peers.peer import Peer, receive_until

CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"lang":"bench","version":"0","protocol":1}\r\n'


class Nats(Peer):
    name = "nats"
    title = "NATS JetStream (file storage, as it comes)"
    ack_means = "handed to the kernel; the disk is synced every two minutes, so a power cut loses what was acknowledged meanwhile"
    does_more = "routes by subject to many subscribers, with consumers, key-value and object stores, clusters and replicas."
    program = "nats-server"
    package = "nats-server"
    lines = 2  # MSG ..., then {"stream":"B","seq":1}
    window = 10_000
    sync = None

    def version(self):
        return self.first_line(self.find("nats-server"), "--version").split()[-1].lstrip("v")

    def start(self):
        self.port = processes.free_port()
        configuration = os.path.join(self.directory, "nats.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f'host: 127.0.0.1\nport: {self.port}\nping_interval: "10m"\n'
                       f'jetstream {{ store_dir: "{self.directory}/store", max_file_store: 20GB'
                       + (f', sync_interval: "{self.sync}"' if self.sync else "") + " }\n")
        self.run(self.find("nats-server"), "-c", configuration)
        self.started.wait_for_port(self.port)
        stream = {"name": "B", "subjects": ["b"], "storage": "file", "retention": "limits", "num_replicas": 1, "max_age": 0}
        answer = self.ask("$JS.API.STREAM.CREATE.B", json.dumps(stream).encode())
        if "error" in answer:
            raise processes.Failed(f"NATS: {answer['error']}")

    def ask(self, subject, body):
        """One request, and its answer's JSON object."""
        with self.connect() as connection:
            connection.sendall(b"PUB %s _INBOX.r %d\r\n%s\r\n" % (subject.encode(), len(body), body))
            got = b""
            while not (match := re.search(rb"MSG \S+ \S+ (\d+)\r\n", got)) or len(got) < match.end() + int(match.group(1)) + 2:
                more = connection.recv(65536)
                if not more:
                    raise processes.Failed(f"NATS ended the connection: {got[:200]!r}")
                got += more
        return json.loads(got[match.end():match.end() + int(match.group(1))])

    def shake_hands(self, connection):
        receive_until(connection, b"\r\n")  # INFO
        connection.sendall(CONNECT + b"SUB _INBOX.r 1\r\nPING\r\n")
        receive_until(connection, b"PONG\r\n")

    def message(self, index, payload):
        return b"PUB b _INBOX.r %d\r\n%s\r\n" % (len(payload), payload)

    def stored(self):
        return self.ask("$JS.API.STREAM.INFO.B", b"")["state"]["messages"]


class NatsSync(Nats):
    name = "nats-sync"
    title = "NATS JetStream (file storage, sync always)"
    ack_means = "written and fsynced, each message by itself"
    sync = "always"

    def missing(self):
        here = Nats.missing(self)
        if here is None and tuple(map(int, re.findall(r"\d+", self.version())[:2])) < (2, 10):
            here = f"sync_interval: always came with nats-server 2.10; this is {self.version()}"
        return here
