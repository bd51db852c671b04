"""The arithmetic of `make bench`: what the runner makes of measured figures. Nothing is measured here."""

import os
import sys
import xml.etree.ElementTree

import pytest

from helpers import TOP

sys.path.insert(0, os.path.join(TOP, "bench"))

import figures  # noqa: E402
import plot  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
import run  # noqa: E402
import tables  # noqa: E402
from peers.all import PEERS  # noqa: E402


def test_median_is_of_what_was_measured():
    assert figures.median([3, None, 1, 2]) == 2
    assert figures.median([1, 2]) == 1.5
    assert figures.median([None]) is None
    assert figures.spread_of([3, None, 1]) == (1, 3)


@pytest.mark.parametrize("a, b, wanted", [(3, 2, 1.5), (0, 2, 0), (3, 0, None), (None, 2, None), (3, None, None)])
def test_ratio(a, b, wanted):
    assert figures.ratio(a, b) == wanted


@pytest.mark.parametrize("value, relation, limit, wanted", [
    (0.75, ">=", 0.75, True), (0.7499, ">=", 0.75, False), (1.3, "<=", 1.3, True), (1.3001, "<=", 1.3, False), (None, "<=", 1, None)])
def test_reached_at_its_limit(value, relation, limit, wanted):
    assert figures.reached(value, relation, limit) is wanted


def test_dig_finds_or_finds_nothing():
    tree = {"a": {"b": 0, "c": None}}
    assert figures.dig(tree, "a.b") == 0
    assert [figures.dig(tree, path) for path in ("a.c", "a.b.d", "x", "x.y")] == [None] * 4


@pytest.mark.parametrize("value, wanted", [
    (None, "-"), (0, "0"), (0.0592, "0.0592"), (1.5, "1.50"), (99.96, "100.0"), (1234.5, "1,230"), (19_222_720, "19,200,000"),
    (-0.5, "-0.500")])
def test_numbers_for_people(value, wanted):
    assert figures.number(value) == wanted


def row_named(name):
    return next(row for row in rows.ROWS if row.name == name)


def test_ratios_are_made_within_a_round():
    """The machine was twice as fast in the second round, for both: the ratio is the same, and it is what counts."""
    rounds = [{"floor": {"messages_per_second": 10}, "roger": {"messages_per_second": 8}},
              {"floor": {"messages_per_second": 20}, "roger": {"messages_per_second": 16}},
              {"floor": {"messages_per_second": 20}, "roger": {"failed": "no"}}]
    lines = report.target_lines(row_named("1b"), rounds)
    assert lines[0][0] == "1b" and lines[0][2:] == ("0.800", "0.800 .. 0.800", "at least 0.75", "yes")
    assert lines[1][2:] == ("-", "-", "at least 30", "not measured")


def test_a_target_that_is_not_reached_says_so():
    rounds = [{"floor": {"server_cpu_us": 10, "messages_per_second": 1}, "roger": {"server_cpu_us": 14, "messages_per_second": 1}}]
    assert [line[-1] for line in report.target_lines(row_named("3"), rounds)] == ["**no**", "yes"]


def test_each_row_of_the_issue_has_a_target():
    found = {target.row for row in rows.ROWS for target in row.targets}
    assert found == {"1a", "1b", "2", "3", "4", "5", "6", "7", "8", "9", "10"}


def test_latency_is_held_against_a_write_and_a_round_trip():
    def p50(value):
        return {"latency_us": {"p50": value}}
    assert rows.against_write_and_round({"write": p50(100), "round": p50(20), "roger": p50(150)}) == 1.25
    assert rows.against_write_and_round({"write": p50(100), "roger": p50(150)}) is None


def test_processor_time_of_the_last_part_and_the_first():
    watch = rows.CpuByGigabyte(None, 100, 4000)
    watch.cpu = [(0, 1.0), (1000, 1.5), (3000, 2.5), (4000, 3.1)]
    parts = watch.result()
    assert parts["first"] == pytest.approx(500) and parts["last"] == pytest.approx(600)
    assert rows.last_against_first({"roger": {"cpu_us_by_part": parts}}) == pytest.approx(1.2)


def test_where_a_peer_is_ahead():
    def result(rate, p50):
        return {"hard": {"messages_per_second": rate}, "alone": {"latency_us": {"p50": p50}}}
    assert tables.wins([{"roger": result(10, 100), "x": result(11, 99)}], "x") == ["messages a second", "latency p50"]
    assert tables.wins([{"roger": result(10, 100), "x": result(10, 100)}], "x") == []
    assert tables.wins([{"roger": result(10, 100)}], "x") == []


@pytest.mark.parametrize("only, names, peers", [
    ("", [row.name for row in (*rows.ROWS, *run.TABLES)], None), ("1a,10", ["1a", "10"], None), ("redis", ["peers"], ["redis"]),
    ("1a,redis", ["1a"], ["redis"])])
def test_what_only_chooses(only, names, peers):
    chosen, wanted = run.chosen(only)
    assert [row.name for row in chosen] == names and wanted == peers


def test_only_refuses_what_it_does_not_know():
    with pytest.raises(run.Mistake, match="neither a row nor a peer: 11"):
        run.chosen("1a,11")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_prepared_messages_have_one_size(peer):
    for group in {1, peer().group}:
        data, units = peer().prepared(100, group)
        assert units > 0 and len(data) % units == 0 and len(data) // units >= 100 * group


def test_failures_are_told_once_each():
    measured = {"1a": [{"roger": {"failed": "gone"}}, {"roger": {"failed": "gone"}}], "3": [{"floor": {"messages_per_second": 1}}]}
    assert report.failures(measured) == [("1a roger", "gone")]


@pytest.mark.parametrize("values, wanted", [([1, 1000], (0, 3)), ([5], (0, 1)), ([0.5, 2], (-1, 1)), ([10], (1, 2))])
def test_decades_hold_all_values(values, wanted):
    assert plot.decades(values) == wanted


def test_the_picture_is_xml_and_shows_what_was_measured():
    text = plot.svg([("one <&> two", [("a", "roger", 5_000_000), ("b", "peer", None), ("c", "floor", 20)], figures.number)])
    root = xml.etree.ElementTree.fromstring(text)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "one <&> two" in words and "a" in words and "c" in words and "b" not in words and "5,000,000" in words


def test_processor_time_of_this_process_grows():
    before = processes.cpu_seconds(os.getpid())
    sum(range(2_000_000))
    assert processes.cpu_seconds(os.getpid()) > before
    assert processes.rss_bytes(os.getpid()) > 1 << 20
