"""Numbers as a reader sees them, and the one-line readings made from a figure's data. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

from tokentide_deploy.report.figure import Point, Series, Unit
from tokentide_deploy.report.suppression import OTHERS


def number(value: float | None, unit: Unit) -> str:
    """A value with its unit; a dash for an unknown one."""
    if value is None:
        return "-"
    if unit == "share":
        # The space does not break a line.
        return f"{100 * value:.1f}\u00a0%"
    if unit == "usd":
        return f"${compact(value)}" if abs(value) >= 1000 else f"${value:,.2f}"
    if unit == "usd_per_million":
        return f"${value:.3f}" if value < 10 else f"${value:,.1f}"
    return compact(value)


def compact(value: float) -> str:
    """Three digits and a power of a thousand: 1.23M."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size * 0.9995:
            return f"{_three(value / size)}{letter}"
    return f"{value:.0f}" if float(value).is_integer() else _three(value)


def tick(value: float, unit: Unit) -> str:
    """A value at an axis: as short as it can be."""
    if unit == "share":
        return f"{100 * value:.3g} %"
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _three(value: float) -> str:
    size = abs(value)
    return f"{value:.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


WINDOW: Final = 4
"""Buckets whose mean stands for the beginning and for the end, where there are enough: one week alone is noise."""


def _mean(values: Sequence[float | None], places: Sequence[int]) -> float | None:
    """None when fewer than half of the places have a value."""
    known = [value for place in places if (value := values[place]) is not None]
    return math.fsum(known) / len(known) if known and 2 * len(known) >= len(places) else None


def _moved(name: str, before: float, after: float, unit: Unit) -> str:
    # Equal as printed is equal for the reader.
    first, last = number(before, unit), number(after, unit)
    if first == last:
        return f"{name} stayed at {last}"
    return f"{name} {'grew' if after > before else 'fell'} from {first} to {last}"


def read_series(
    times: Sequence[str], series: Sequence[Series], unit: Unit, partial: Collection[str] = (), *, bucket: str = "week"
) -> str:
    """What moved most between the first and the last whole buckets, and what is largest at the end."""
    usable = [place for place, time in enumerate(times) if time not in partial] or list(range(len(times)))
    usable = [place for place in usable if any(one.values[place] is not None for one in series)]
    if len(usable) < 2:
        return _read_one(series, unit, usable, times, "the only")
    size = WINDOW if len(usable) >= 3 * WINDOW else 1
    first, last = usable[:size], usable[-size:]
    moves = []
    for one in [one for one in series if one.name != OTHERS] or list(series):
        before, after = _mean(one.values, first), _mean(one.values, last)
        if before is not None and after is not None:
            moves.append((one.name, before, after))
    if not moves:
        return _read_one(series, unit, usable[-1:], times, "the last")
    when = f"{times[first[0]]} to {times[last[-1]]}" if size == 1 else f"means of the first and last {size} {bucket}s"
    moves.sort(key=lambda move: -abs(move[2] - move[1]))
    text = f"{_moved(*moves[0], unit)} ({when})"
    if len(moves) > 1:
        name, _, value = max(moves, key=lambda move: move[2])
        text += f"; {_moved(*moves[1], unit)}. Largest at the end: {name} with {number(value, unit)}"
    return text + "."


def _read_one(series: Sequence[Series], unit: Unit, usable: Sequence[int], times: Sequence[str], which: str) -> str:
    if not usable:
        return ""
    known = [(value, one.name) for one in series if (value := one.values[usable[0]]) is not None]
    value, name = max(known, key=lambda pair: (pair[1] != OTHERS, pair[0]))
    return (
        f"{name} is largest with {number(value, unit)} at {times[usable[0]]}, {which} point in time that can be read."
    )


def read_bars(bars: Sequence[tuple[str, float]], unit: Unit, of_what: str) -> str:
    """The first of a ranking and how far it is from the second."""
    named = [bar for bar in bars if bar[0] != OTHERS]
    if not named:
        return ""
    (first, value), *further = named
    text = f"{first} leads with {number(value, unit)}{of_what}"
    if further:
        text += f", followed by {further[0][0]} with {number(further[0][1], unit)}"
    return text + "."


def fitted(points: Sequence[Point]) -> tuple[float, float, float] | None:
    """Least squares of log10 y over log10 x: slope, intercept, R squared. None for fewer than three points or one x."""
    if len(points) < 3:
        return None
    xs = [math.log10(point.x) for point in points]
    ys = [math.log10(point.y) for point in points]
    x_mean, y_mean = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    xx = math.fsum((x - x_mean) ** 2 for x in xs)
    yy = math.fsum((y - y_mean) ** 2 for y in ys)
    if xx == 0 or yy == 0:
        return None
    xy = math.fsum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return xy / xx, y_mean - xy / xx * x_mean, xy * xy / (xx * yy)


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of both when there are two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
