"""Redis: a stream, appendfsync always."""

import processes
from peers.peer import Peer, receive_until


class Redis(Peer):
    name = "redis"
    title = "Redis (stream, appendfsync always)"
    ack_means = "written to the append-only file and fsynced, together with what came in the same turn of its loop; a failed fsync ends it"
    does_more = "keeps the data in memory with consumer groups, many data types, replication and scripting."
    program = "redis-server"
    package = "redis-server"
    lines = 2  # $15, then the id
    window = 20_000

    def version(self):
        return self.first_line("redis-server", "--version").split("v=")[-1].split()[0]

    def start(self):
        self.port = processes.free_port()
        self.run("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--daemonize", "no",
                 "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--save", "",
                 "--maxclients", "10000", "--logfile", "log.redis")
        self.started.wait_for_port(self.port)

    def message(self, index, payload):
        return b"*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nm\r\n$%d\r\n%s\r\n" % (len(payload), payload)

    def stored(self):
        with self.connect() as connection:
            connection.sendall(b"*2\r\n$4\r\nXLEN\r\n$1\r\ns\r\n")
            return int(receive_until(connection, b"\r\n")[1:])
