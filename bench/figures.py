"""Arithmetic of the benchmarks: medians, ratios, what counts as reached, how numbers are shown."""

import math
import statistics


def median(values):
    """Of those that were measured; None when none was."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio(a, b):
    """a / b, or None when either was not measured or b is nothing."""
    return a / b if a is not None and b else None


def dig(tree, path):
    """tree["a"]["b"] for the path "a.b"; None where there is no such thing."""
    for name in path.split("."):
        if not isinstance(tree, dict) or tree.get(name) is None:
            return None
        tree = tree[name]
    return tree


def median_of(rounds, path):
    return median([dig(one, path) for one in rounds])


def spread_of(values):
    """(lowest, highest) of those that were measured, or None."""
    values = [value for value in values if value is not None]
    return (min(values), max(values)) if values else None


def reached(value, relation, limit):
    """Whether a value meets its target: None when it was not measured."""
    if value is None:
        return None
    if relation == ">=":
        return value >= limit
    if relation == "<=":
        return value <= limit
    raise ValueError(f"not a relation: {relation}")


def number(value, digits=3):
    """For people: three digits that mean something, thousands separated. `-` for what was not measured."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return f"{rounded:,.{max(places, 0)}f}"


def per(total, count):
    """A total by its count, or None."""
    return total / count if count else None
