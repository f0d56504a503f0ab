"""Numbers as a reader sees them, and the one-line readings made from a figure's data. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from tokentide_deploy.report.figure import Point, Series, Unit
from tokentide_deploy.report.suppression import OTHERS


def number(value: float | None, unit: Unit) -> str:
    """A value with its unit; a dash for an unknown one."""
    if value is None:
        return "-"
    if unit == "share":
        return f"{100 * value:.1f} %"
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


def _three(value: float) -> str:
    size = abs(value)
    return f"{value:.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def _ends(values: Sequence[float | None], usable: Sequence[int]) -> tuple[int, int] | None:
    known = [place for place in usable if values[place] is not None]
    return (known[0], known[-1]) if len(known) > 1 else None


def _moved(name: str, before: float, after: float, unit: Unit, from_: str, to: str) -> str:
    # Equal as printed is equal for the reader.
    first, last = number(before, unit), number(after, unit)
    if first == last:
        return f"{name} stayed at {last}"
    return f"{name} {'grew' if after > before else 'fell'} from {first} ({from_}) to {last} ({to})"


def read_series(
    times: Sequence[str], series: Sequence[Series], unit: Unit, partial: Collection[str] = (), *, compare: bool = True
) -> str:
    """What moved most between the first and the last whole bucket, and what is largest now."""
    usable = [place for place, time in enumerate(times) if time not in partial] or list(range(len(times)))
    named = [one for one in series if one.name != OTHERS] or list(series)
    ends = {one.name: found for one in named if (found := _ends(one.values, usable))}
    if not ends:
        last = [(one.values[place], one.name) for one in named for place in usable if one.values[place] is not None]
        if not last:
            return ""
        value, name = max(last, key=lambda pair: pair[0] or 0.0)
        return f"{name}: {number(value, unit)}; there is only one {'point' if len(last) == 1 else 'bucket'} to read."
    moves = []
    for one in named:
        if one.name in ends:
            first, last_place = ends[one.name]
            values = one.values
            moves.append((one.name, values[first] or 0.0, values[last_place] or 0.0, times[first], times[last_place]))
    moves.sort(key=lambda move: -abs(move[2] - move[1]))
    text = _moved(*moves[0][:3], unit, *moves[0][3:]) + "."
    if compare and len(moves) > 1:
        text = text[:-1] + f"; {_moved(*moves[1][:3], unit, *moves[1][3:])}."
        name, _, value, *_ = max(moves, key=lambda move: move[2])
        text += f" Largest at the end: {name} with {number(value, unit)}."
    return text


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
