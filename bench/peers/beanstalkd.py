"""beanstalkd -f0: a work queue with a log that is synced for every job."""

import processes
from peers.peer import Peer, receive_until


class Beanstalkd(Peer):
    name = "beanstalkd"
    title = "beanstalkd -f0"
    ack_means = "written to its log and fsynced, one job at a time; a failed fsync only prints a warning, and records have no checksum"
    does_more = "hands jobs to workers, with priorities, delays and time limits, and takes back what a worker did not finish."
    program = "beanstalkd"
    package = "beanstalkd"
    window = 1000

    def version(self):
        return self.first_line(self.find("beanstalkd"), "-v").split()[-1]

    def start(self):
        self.port = processes.free_port()
        self.run(self.find("beanstalkd"), "-l", "127.0.0.1", "-p", str(self.port), "-b", self.directory, "-f0")
        self.started.wait_for_port(self.port)

    def message(self, index, payload):
        return b"put 0 0 60 %d\r\n%s\r\n" % (len(payload), payload)

    def stored(self):
        with self.connect() as connection:
            connection.sendall(b"stats\r\n")
            text = receive_until(connection, b"\n\r\n").decode()
        return int(text.split("total-jobs:")[1].split()[0])
