"""RabbitMQ: a quorum queue with publisher confirms, on one node."""

import glob
import os
import struct

import processes
from peers.peer import Peer


def method(channel, class_id, method_id, arguments=b""):
    body = struct.pack(">HH", class_id, method_id) + arguments
    return struct.pack(">BHI", 1, channel, len(body)) + body + b"\xce"


def short(text):
    return struct.pack(">B", len(text)) + text


def long(text):
    return struct.pack(">I", len(text)) + text


class RabbitMQ(Peer):
    name = "rabbitmq"
    title = "RabbitMQ (quorum queue, confirms)"
    ack_means = "written to the log of a majority of the queue's nodes (here: one) and flushed"
    does_more = "routes through exchanges to many queues and consumers, with dead letters, several protocols, clusters and replicas."
    program = "rabbitmq-server"
    package = "rabbitmq-server"
    protocol = "amqp"
    window = 4000

    def __init__(self):
        Peer.__init__(self)
        self.epmd = None

    def missing(self):
        if not glob.glob("/usr/lib/rabbitmq/bin/rabbitmq-server"):
            return "rabbitmq-server is not installed (Debian: rabbitmq-server)"
        return None if self.find("epmd") else "epmd is not installed (Debian: erlang-base)"

    def version(self):
        return os.path.basename(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*")[0]).split("-")[-1]

    def start(self):
        self.port, names, distribution = processes.free_port(), processes.free_port(), processes.free_port()
        # Erlang would start a name server that outlives everybody; ours is stopped with the rest.
        self.epmd = processes.Started([self.find("epmd"), "-address", "127.0.0.1", "-port", str(names)],
                                      os.path.join(self.directory, "log.epmd"))
        self.epmd.wait_for_port(names)
        configuration = os.path.join(self.directory, "rabbitmq.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\ntotal_memory_available_override_value = 8GB\n"
                       "vm_memory_high_watermark.relative = 0.8\ndisk_free_limit.absolute = 1GB\n")
        with open(os.path.join(self.directory, "enabled_plugins"), "w", encoding="utf-8") as file:
            file.write("[].\n")
        environment = dict(os.environ, HOME=self.directory, ERL_EPMD_PORT=str(names), ERL_EPMD_ADDRESS="127.0.0.1",
                           RABBITMQ_NODENAME="bench@localhost", RABBITMQ_DIST_PORT=str(distribution),
                           RABBITMQ_MNESIA_BASE=os.path.join(self.directory, "mnesia"), RABBITMQ_LOG_BASE=self.directory,
                           RABBITMQ_CONFIG_FILE=configuration, RABBITMQ_CONF_ENV_FILE=os.path.join(self.directory, "none"),
                           RABBITMQ_ENABLED_PLUGINS_FILE=os.path.join(self.directory, "enabled_plugins"),
                           RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}")
        directory = glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin")[0]
        self.run(os.path.join(directory, "rabbitmq-server"), env=environment)
        self.started.wait_for_port(self.port)

    def stop(self):
        Peer.stop(self)
        if self.epmd:
            self.epmd.stop()
            self.epmd = None

    def shake_hands(self, connection):
        connection.sendall(b"AMQP\0\0\x09\x01")
        self.answer(connection, 10, 10)  # start
        connection.sendall(method(0, 10, 11, long(b"") + short(b"PLAIN") + long(b"\0guest\0guest") + short(b"en_US")))
        self.answer(connection, 10, 30)  # tune
        connection.sendall(method(0, 10, 31, struct.pack(">HIH", 10, 131072, 0)) + method(0, 10, 40, short(b"/") + b"\0\0"))
        self.answer(connection, 10, 41)  # open-ok
        connection.sendall(method(1, 20, 10, short(b"")))
        self.answer(connection, 20, 11)
        self.declare(connection)
        connection.sendall(method(1, 85, 10, b"\0"))  # confirm.select
        self.answer(connection, 85, 11)

    def declare(self, connection):
        """Returns how many messages the queue has."""
        table = short(b"x-queue-type") + b"S" + long(b"quorum")
        connection.sendall(method(1, 50, 10, b"\0\0" + short(b"q") + b"\x02" + long(table)))
        answer = self.answer(connection, 50, 11)
        return struct.unpack(">I", answer[2:6])[0]

    @staticmethod
    def answer(connection, class_id, method_id):
        """The arguments of the next method frame, which must be that one."""
        def exactly(size):
            got = b""
            while len(got) < size:
                more = connection.recv(size - len(got))
                if not more:
                    raise processes.Failed("RabbitMQ ended the connection")
                got += more
            return got

        while True:
            kind, _, size = struct.unpack(">BHI", exactly(7))
            body = exactly(size + 1)[:-1]
            if kind == 1 and struct.unpack(">HH", body[:4]) == (class_id, method_id):
                return body[4:]
            if kind == 1:
                raise processes.Failed(f"RabbitMQ: {body!r}")

    def message(self, index, payload):
        publish = method(1, 60, 40, b"\0\0" + short(b"") + short(b"q") + b"\0")
        header = struct.pack(">HHQHB", 60, 0, len(payload), 0x1000, 2)  # delivery mode 2: persistent
        return publish + struct.pack(">BHI", 2, 1, len(header)) + header + b"\xce" + \
            struct.pack(">BHI", 3, 1, len(payload)) + payload + b"\xce"

    def stored(self):
        with self.connect() as connection:
            return self.declare(connection)
