"""rsyslog: RELP in, a file out."""

import os

import processes
from peers.peer import Peer, receive_until


class Relp(Peer):
    name = "relp"
    title = "rsyslog RELP (imrelp to omfile)"
    ack_means = "put into a queue in memory; nothing is flushed to the disk before the ack, nor soon after"
    does_more = "parses, filters, rewrites and forwards log messages, in many formats and to many destinations."
    program = "rsyslogd"
    package = "rsyslog, rsyslog-relp"
    window = 1000
    drive_options = ("--number-from", "2")  # its transactions are numbered without a gap; 1 was the handshake

    def missing(self):
        here = Peer.missing(self)
        if here is None and not any(os.path.exists(os.path.join(place, "rsyslog/imrelp.so")) for place in self.places()):
            here = "rsyslog's imrelp is not installed (Debian: rsyslog-relp)"
        return here

    @staticmethod
    def places():
        libraries = [os.path.join("/usr/lib", name) for name in os.listdir("/usr/lib") if name.endswith("-linux-gnu")]
        return ["/usr/lib", "/usr/lib64", *libraries]

    def version(self):
        return self.first_line(self.find("rsyslogd"), "-v").split()[1]

    def start(self):
        self.port = processes.free_port()
        configuration = os.path.join(self.directory, "rsyslog.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f'global(workDirectory="{self.directory}")\n'
                       'module(load="imrelp")\n'
                       f'input(type="imrelp" port="{self.port}" address="127.0.0.1")\n'
                       'template(name="plain" type="string" string="%rawmsg%\\n")\n'
                       f'action(type="omfile" file="{self.directory}/out" template="plain")\n')
        self.run(self.find("rsyslogd"), "-n", "-f", configuration, "-i", os.path.join(self.directory, "pid"))
        self.started.wait_for_port(self.port)

    def shake_hands(self, connection):
        offer = b"relp_version=0\nrelp_software=roger-bench\ncommands=syslog"
        connection.sendall(b"1 open %d %s\n" % (len(offer), offer))
        answer = receive_until(connection, b"\n")
        if b"200 OK" not in answer:
            raise processes.Failed(f"RELP: {answer!r}")
        # The rest of the answer lists what the server can do; it ends with a line feed behind its size.
        size = int(answer.split(b" ")[2])
        whole = len(b" ".join(answer.split(b" ")[:3])) + 1 + size + 1
        while len(answer) < whole:
            answer += connection.recv(65536)

    def message(self, index, payload):
        line = b"<13>Jan  1 00:00:00 host roger: "
        line += payload[len(line):]
        return b"000000000 syslog %d %s\n" % (len(line), line)

    def stored(self):
        return None  # the file is written later
