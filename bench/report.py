"""What was measured, as text for a terminal and as a page with a plot."""

import figures
import plot
import tables
from figures import median, median_of, number, spread_of
from roger import Roger


def target_lines(row, rounds):
    """One for each of a row's targets: (row, what, measured, from .. to, wanted, reached)."""
    lines = []
    for target in row.targets:
        values = [target.figure(one) for one in rounds]
        middle, spread = median(values), spread_of(values)
        wanted = f"{'at least' if target.relation == '>=' else 'at most'} {target.limit:g}{target.unit}"
        met = figures.reached(middle, target.relation, target.limit)
        lines.append((target.row, f"{row.title}: {target.what}", number(middle) + (target.unit if middle is not None else ""),
                      f"{number(spread[0])} .. {number(spread[1])}" if spread else "-", wanted,
                      {True: "yes", False: "**no**", None: "not measured"}[met]))
    return lines


def all_targets(rows, measured):
    lines = [line for row in rows if row.name in measured for line in target_lines(row, measured[row.name])]
    order = [row.name for row in rows]
    return sorted(lines, key=lambda line: order.index(line[0]))


def failures(measured):
    """Whatever could not be measured, with the reason."""
    found = []

    def look(tree, path):
        if not isinstance(tree, dict):
            return
        if "failed" in tree:
            found.append((path, tree["failed"]))
        for name, part in tree.items():
            look(part, f"{path} {name}")

    for name, rounds in measured.items():
        for one in rounds:
            look(one, name)
    return list(dict(found).items())


def microseconds(value):
    return number(value)


def mebibytes(value):
    return number(None if value is None else value / (1 << 20))


def peer_cells(rounds, name):
    rate, p50, p99, p99_9, cpu, rss = (median_of(rounds, f"{name}.{path}") for path, _ in tables.COLUMNS)
    times = figures.ratio(median_of(rounds, "roger.hard.messages_per_second"), rate)
    return [number(rate), "" if name == "roger" else number(times), number(p50), number(p99), number(p99_9), number(cpu), mebibytes(rss)]


def markdown_table(head, rows, right=()):
    rule = ["---:" if index in right else "---" for index in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def peer_table(rounds, peers):
    head = ["what its ack means", "who", "messages a second, acknowledged", "Roger is so many times as fast", "latency p50, µs", "p99",
            "p99.9", "server CPU a message, µs", "memory, MiB"]
    rows = [[Roger.ack_means, "**Roger**", *peer_cells(rounds, "roger")]]
    rows += [[peer.ack_means, f"{peer.title}, {peer.seen_version}", *peer_cells(rounds, peer.name)] for peer in peers]
    return markdown_table(head, rows, range(2, len(head)))


def connect_table(rounds):
    head = ["what its answer means", "server", "exchanges a second", "of the floor", "p50, µs", "p99", "p99.9", "server CPU, µs",
            "of the floor", "memory, MiB"]
    rows = []
    floor_rate, floor_cpu = (median_of(rounds, f"blocking.{path}") for path in ("messages_per_second", "server_cpu_us"))
    for name, title, means in tables.CONNECT:
        rate, cpu = (median_of(rounds, f"{name}.{path}") for path in ("messages_per_second", "server_cpu_us"))
        if rate is None:
            continue
        latency = [number(median_of(rounds, f"{name}.latency_us.{part}")) for part in ("p50", "p99", "p99_9")]
        rows.append([means, title, number(rate), number(figures.ratio(rate, floor_rate)), *latency, number(cpu),
                     number(figures.ratio(cpu, floor_cpu)), mebibytes(median_of(rounds, f"{name}.server_rss"))])
    return markdown_table(head, rows, range(2, len(head)))


# (row, path in a round, what, unit)
FLOORS = (
    ("1a", "floor.messages_per_second", "100-byte messages received, checked, written durably over fallocated blocks", "a second"),
    ("1b", "floor.messages_per_second", "the same over ready zeros", "a second"),
    ("2", "floor16.messages_per_second", "16-byte messages over fallocated blocks", "a second"),
    ("2", "floor1000.messages_per_second", "1000-byte messages over fallocated blocks", "a second"),
    ("3", "floor.messages_per_second", "bare blocking accept/recv/send/close", "a second"),
    ("5", "write.latency_us.p50", "bare durable 4 KiB write over zeros, p50", "µs"),
    ("5", "round.latency_us.p50", "bare loopback round trip, p50", "µs"),
    ("6", "floor.messages_per_second", "closed loop of 1000 connections without a disk", "a second"),
)
ROGERS = {("1a", "floor.messages_per_second"): "roger.messages_per_second",
          ("1b", "floor.messages_per_second"): "roger.messages_per_second",
          ("2", "floor16.messages_per_second"): "roger16.messages_per_second",
          ("2", "floor1000.messages_per_second"): "roger1000.messages_per_second",
          ("3", "floor.messages_per_second"): "roger.messages_per_second", ("6", "floor.messages_per_second"): "roger.messages_per_second"}


def floor_table(measured):
    rows = []
    for row, path, what, unit in FLOORS:
        value = median_of(measured.get(row, []), path)
        ours = ROGERS.get((row, path))
        roger = median_of(measured.get(row, []), ours) if ours else median_of(measured.get(row, []), "roger.latency_us.p50")
        if value is not None:
            rows.append([row, what, f"{number(value)} {unit}", f"{number(roger)} {unit}"])
    return markdown_table(["row", "floor", "measured", "Roger"], rows, (2, 3))


def does_more(rounds, peers):
    lines = []
    for peer in peers:
        ahead = tables.wins(rounds, peer.name) if rounds else []
        lines.append(f"- **{peer.title}** {peer.does_more}" + (f" It is ahead of Roger here in: {', '.join(ahead)}." if ahead else ""))
    return "\n".join(lines)


def not_measured(missing, measured):
    lines = [f"- {what}: {why}" for what, why in missing]
    lines += [f"- {what}: {why}" for what, why in failures(measured)]
    return "\n".join(lines)


def page(about, rows, measured, peers, missing):
    """The whole page. `about` is (what, value) pairs: machine, versions, when."""
    parts = ["# Benchmarks", "",
             "Made by `make bench`; bench/README.md tells how. Everything ran on the same cores and disk of one machine, clients "
             "too, over loopback. Figures are medians over the rounds; ratios are made within each round. *A peer's ack means what its line says*: "
             "compare speeds with that in mind.", "",
             "\n".join(f"- {what}: {value}" for what, value in about), "", "![messages a second and latency](benchmarks.svg)", ""]
    if any(row.name in measured for row in rows):
        parts += ["## Targets", "", markdown_table(["row", "work", "measured", "lowest .. highest", "wanted", "reached"],
                                                   all_targets(rows, measured), (2, 3)), ""]
        parts += ["## Floors", "", "What this machine does with nothing else in the way, and Roger beside it.", "",
                  floor_table(measured), ""]
    if "peers" in measured:
        parts += ["## Peers", "",
                  "100-byte messages on one connection. Rate, processor time and memory: as many in flight as helps it. Latency: one in "
                  "flight, from sending to the ack.", "", peer_table(measured["peers"], peers), ""]
    if peers:
        parts += ["## What they do that Roger does not", "", does_more(measured.get("peers"), peers), ""]
    if "connect" in measured:
        parts += ["## A connection for each message", "", "Connect, 12 bytes, `ACK!`, close; 32 at once; one client for all.", "",
                  connect_table(measured["connect"]), ""]
    text = not_measured(missing, measured)
    if text:
        parts += ["## Not measured", "", text, ""]
    return "\n".join(parts)


def picture(measured, peers):
    def bars(path, floors=(), unit=1):
        def in_units(name):
            value = median_of(measured.get("peers", []), f"{name}.{path}")
            return None if value is None else value / unit

        return [*floors, ("Roger", "roger", in_units("roger")), *[(peer.title, "peer", in_units(peer.name)) for peer in peers]]

    def floor(row, path):
        return median_of(measured.get(row, []), path)

    stream = [("floor: bare receiver, fallocated blocks", "floor", floor("1a", "floor.messages_per_second")),
              ("floor: bare receiver, ready zeros", "floor", floor("1b", "floor.messages_per_second"))]
    latency = [("floor: bare 4 KiB write + round trip", "floor",
                sum(filter(None, [floor("5", "write.latency_us.p50"), floor("5", "round.latency_us.p50")])) or None)]
    connect = [("floor: bare blocking loop" if name == "blocking" else title, "roger" if name.startswith("roger") else "floor" if name == "blocking" else "peer",
                median_of(measured.get("connect", []), f"{name}.messages_per_second")) for name, title, _ in tables.CONNECT]
    return plot.svg([
        ("Acknowledged 100-byte messages a second, one connection, pipelined", bars("hard.messages_per_second", stream), number),
        ("Latency with one message in flight, median", bars("alone.latency_us.p50", latency), lambda v: f"{number(v)} µs"),
        ("Latency with one message in flight, p99", bars("alone.latency_us.p99"), lambda v: f"{number(v)} µs"),
        ("Latency with one message in flight, p99.9", bars("alone.latency_us.p99_9"), lambda v: f"{number(v)} µs"),
        ("Server's processor time for each message, pipelined", bars("hard.server_cpu_us", unit=1e-3), lambda v: f"{number(v)} ns"),
        ("Server's memory after that", bars("hard.server_rss", unit=1 << 20), lambda v: f"{number(v)} MiB"),
        ("A connection for each message: exchanges a second", connect, number),
    ])
