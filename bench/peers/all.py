"""All peers, in the order of the tables, and those that cannot be had."""

from peers.beanstalkd import Beanstalkd
from peers.nats import Nats, NatsSync
from peers.postgres import Postgres
from peers.rabbitmq import RabbitMQ
from peers.redis import Redis
from peers.relp import Relp

PEERS = (Redis, Postgres, RabbitMQ, Nats, NatsSync, Relp, Beanstalkd)

# Named because a reader will ask: (what, why it is not in the tables).
NOT_HAD = (
    ("LavinMQ", "the nearest design: a queue that is a log on disk, one process, AMQP. Debian has no package of it, so "
                "`make bench` cannot install it."),
)
