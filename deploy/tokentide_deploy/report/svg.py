"""Charts as static SVG. Colours come from the page's style sheet by class, so that one drawing serves light and dark.
Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from tokentide_deploy.report.figure import Figure, Series, Unit
from tokentide_deploy.report.suppression import OTHERS
from tokentide_deploy.report.words import number
from tokentide_deploy.report.words import tick as tick_text

WIDTH: Final = 480
HEIGHT: Final = 270
LEFT: Final = 54
RIGHT: Final = 12
TOP: Final = 16
BOTTOM: Final = 40
COLOURS: Final = 15
_TICKS: Final = 5
_TIME_TICKS: Final = 5


_GREY: Final = (OTHERS, "Not in the catalogue", "Size unknown", "Other authors")
_OWN: Final = {
    "Proprietary": 0, "Open weights": 1, "Chinese open weights": 1, "Other open weights": 2,
    "Large (70B and more)": 5, "Medium (15B to 70B)": 6, "Small (under 15B)": 8,
}  # fmt: skip


def colour(name: str, place: int) -> str:
    """Class of a series: the same for the same group in every chart where groups are fixed, and grey for the rest."""
    return "cx" if name in _GREY else f"c{_OWN.get(name, place) % COLOURS}"


def draw(figure: Figure) -> str:
    """The figure's chart; '' for one that is only a table or has nothing to draw."""
    if figure.empty:
        return ""
    drawn: dict[str, Callable[[Figure], str]] = {
        "stacked_share": _stacked, "stacked": _stacked, "lines": _lines, "bars": _bars, "scatter": _scatter,
    }  # fmt: skip
    return drawn[figure.kind](figure) if figure.kind in drawn else ""


def _svg(figure: Figure, height: float, body: Sequence[str]) -> str:
    label = escape(f"{figure.title}. {figure.reading}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{label}">{"".join(body)}</svg>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, text: str, *, anchor: str = "middle", kind: str = "", turn: bool = False) -> str:
    turned = f' transform="rotate(-90 {_n(x)} {_n(y)})"' if turn else ""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{style}{turned}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{kind}"/>'


def nice_ticks(top: float, count: int = _TICKS) -> list[float]:
    """From zero in steps of 1, 2 or 5 times a power of ten, to at least `top`."""
    if top <= 0:
        return [0.0, 1.0]
    power = 10 ** math.floor(math.log10(top / count))
    step = next(size * power for size in (1, 2, 5, 10) if size * power * count >= top * 0.999)
    return [step * place for place in range(math.ceil(top / step - 1e-9) + 1)]


def _x_of(times: Sequence[str], place: int, off: float = 0.0) -> float:
    """`off`: in steps, cut at the chart's edges."""
    inner = WIDTH - LEFT - RIGHT
    if len(times) == 1:
        return LEFT + inner / 2
    return LEFT + inner * min(max(place + off, 0), len(times) - 1) / (len(times) - 1)


def _frame(figure: Figure, ticks: Sequence[float], unit: Unit) -> tuple[list[str], Callable[[float], float]]:
    """Axes, grid and labels of a chart over time, and the place of a value."""
    bottom = HEIGHT - BOTTOM

    def y_of(value: float) -> float:
        return bottom - (bottom - TOP) * value / ticks[-1]

    parts = []
    for tick in ticks:
        parts.append(_line(LEFT, y_of(tick), WIDTH - RIGHT, y_of(tick), "grid"))
        parts.append(_text(LEFT - 6, y_of(tick) + 4, tick_text(tick, unit), anchor="end"))
    for place, label in time_ticks(figure.times):
        parts.append(_text(_x_of(figure.times, place), bottom + 16, label))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, figure.x_label, kind="axis"))
    parts.append(_text(11, (TOP + bottom) / 2, figure.y_label, kind="axis", turn=True))
    return parts, y_of


def time_ticks(times: Sequence[str]) -> list[tuple[int, str]]:
    """Places and labels at the axis: first buckets of months when there are many of them, else evenly spread."""
    months = [place for place, time in enumerate(times) if place == 0 or time[:7] != times[place - 1][:7]]
    if len(months) > _TIME_TICKS:
        step = -(-len(months) // (_TIME_TICKS + 1))
        # The first bucket may be the last one of its month, with the next label too near.
        start = 1 if months[1] - months[0] < 3 else 0
        return [(place, times[place][:7]) for place in months[start::step]]
    step = -(-len(times) // (_TIME_TICKS + 1))
    return [(place, times[place][5:]) for place in range(0, len(times), step)]


def _marks(figure: Figure) -> list[str]:
    by_time: dict[str, list[str]] = {}
    for time, name in figure.marks:
        by_time.setdefault(time, []).append(name)
    parts = []
    for time, names in by_time.items():
        x = _x_of(figure.times, figure.times.index(time))
        title = f"<title>Released: {escape(', '.join(names))}</title>"
        parts.append(f"<g>{title}{_line(x, TOP, x, HEIGHT - BOTTOM, 'mark')}"
                     f'<circle cx="{_n(x)}" cy="{TOP - 5}" r="4" class="mark-dot"/></g>')  # fmt: skip
    return parts


def _title(one: Series, unit: Unit) -> str:
    known = [value for value in one.values if value is not None]
    ends = f": {number(known[0], unit)} to {number(known[-1], unit)}" if known else ""
    return f"<title>{escape(one.name)}{ends}</title>"


def _stacked(figure: Figure) -> str:
    places = range(len(figure.times))
    sums = [sum(one.values[place] or 0.0 for one in figure.series) for place in places]
    ticks = [0, 0.25, 0.5, 0.75, 1.0] if figure.kind == "stacked_share" else nice_ticks(max(sums, default=0.0))
    parts, y_of = _frame(figure, ticks, figure.unit)
    if len(figure.times) == 1:
        return _svg(figure, HEIGHT, [*parts, *_one_column(figure, y_of)])
    below = [0.0 for _ in places]
    runs = _runs([any(one.values[place] is not None for one in figure.series) for place in places])
    for number_, one in enumerate(figure.series):
        above = [below[place] + (one.values[place] or 0.0) for place in places]
        path = ""
        for run in runs:
            # A bucket between two without data is as wide as half a step to each side.
            ends = [(run[0], -0.4), (run[0], 0.4)] if len(run) == 1 else [(place, 0.0) for place in run]
            there = [f"{_n(_x_of(figure.times, place, off))},{_n(y_of(above[place]))}" for place, off in ends]
            back = [f"{_n(_x_of(figure.times, place, off))},{_n(y_of(below[place]))}" for place, off in reversed(ends)]
            path += f"M{' '.join(there)} {' '.join(back)}Z"
        parts.append(f'<path d="{path}" class="area {colour(one.name, number_)}">{_title(one, figure.unit)}</path>')
        below = above
    return _svg(figure, HEIGHT, [*parts, *_marks(figure)])


def _runs(there: Sequence[bool]) -> list[list[int]]:
    """Places without a gap between them."""
    runs: list[list[int]] = []
    for place, is_there in enumerate(there):
        if is_there and place and there[place - 1]:
            runs[-1].append(place)
        elif is_there:
            runs.append([place])
    return runs


def _one_column(figure: Figure, y_of: Callable[[float], float]) -> list[str]:
    below, parts = 0.0, []
    for place, one in enumerate(figure.series):
        value = one.values[0] or 0.0
        top, height = y_of(below + value), y_of(below) - y_of(below + value)
        parts.append(
            f'<rect x="{_n(_x_of(figure.times, 0) - 40)}" y="{_n(top)}" width="80" height="{_n(height)}" '
            f'class="area {colour(one.name, place)}">{_title(one, figure.unit)}</rect>'
        )
        below += value
    return parts


def _lines(figure: Figure) -> str:
    highest = max((value for one in figure.series for value in one.values if value is not None), default=0.0)
    ticks = nice_ticks(highest)
    if figure.unit == "share" and ticks[-1] > 1:
        ticks = [tick for tick in ticks if tick <= 1.0000001]
    parts, y_of = _frame(figure, ticks, figure.unit)
    for number_, one in enumerate(figure.series):
        runs: list[list[tuple[float, float]]] = [[]]
        for place, value in enumerate(one.values):
            if value is None:
                runs.append([])
            else:
                runs[-1].append((_x_of(figure.times, place), y_of(value)))
        style = colour(one.name, number_)
        for run in filter(None, runs):
            if len(run) == 1:
                shape = f'<circle cx="{_n(run[0][0])}" cy="{_n(run[0][1])}" r="3" class="dot {style}">'
                parts.append(f"{shape}{_title(one, figure.unit)}</circle>")
            else:
                points = " ".join(f"{_n(x)},{_n(y)}" for x, y in run)
                parts.append(f'<polyline points="{points}" class="line {style}">{_title(one, figure.unit)}</polyline>')
    return _svg(figure, HEIGHT, parts)


def _bars(figure: Figure) -> str:
    longest = max(min(len(name), 27) for name, _ in figure.bars)
    row, label_width = 21, max(50, round(6.4 * longest) + 8)
    highest = max(value for _, value in figure.bars) or 1.0
    width = WIDTH - label_width - 108
    whole = sum(value for _, value in figure.bars)
    parts = []
    for place, (name, value) in enumerate(figure.bars):
        y = 6 + place * row
        style = "cx" if name.endswith(OTHERS) else "c0"
        text = number(value, figure.unit)
        if figure.unit != "share" and whole:
            text += f" · {number(value / whole, 'share')}"
        shown = name if len(name) <= 27 else f"{name[:12]}…{name[-14:]}"
        length = max(width * value / highest, 1.0)
        parts.append(_text(label_width - 6, y + 13, shown, anchor="end", kind="name"))
        parts.append(
            f'<rect x="{label_width}" y="{y + 2}" width="{_n(length)}" height="{row - 6}" rx="2" class="area {style}">'
            f"<title>{escape(name)}: {escape(text)}</title></rect>"
        )
        parts.append(_text(label_width + length + 5, y + 13, text, anchor="start"))
    height = 6 + len(figure.bars) * row + 22
    parts.append(_text(label_width, height - 6, figure.x_label, anchor="start", kind="axis"))
    return _svg(figure, height, parts)


def _powers(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
    return low, high if high > low else low + 1


def _scatter(figure: Figure) -> str:
    height = HEIGHT + 50
    bottom = height - BOTTOM
    (x_low, x_high), (y_low, y_high) = (_powers([p.x for p in figure.points]), _powers([p.y for p in figure.points]))

    def x_of(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - x_low) / (x_high - x_low)

    def y_of(value: float) -> float:
        return bottom - (bottom - TOP) * (math.log10(value) - y_low) / (y_high - y_low)

    parts = []
    for power in range(y_low, y_high + 1):
        parts.append(_line(LEFT, y_of(10.0**power), WIDTH - RIGHT, y_of(10.0**power), "grid"))
        parts.append(_text(LEFT - 6, y_of(10.0**power) + 4, tick_text(10.0**power, "tokens"), anchor="end"))
    for power in range(x_low, x_high + 1):
        x = x_of(10.0**power)
        parts.append(_line(x, TOP, x, bottom, "grid"))
        anchor = "end" if power == x_high else "middle"
        parts.append(_text(x, bottom + 16, f"${10.0**power:,.6g}", anchor=anchor))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 6, figure.x_label, kind="axis"))
    parts.append(_text(11, (TOP + bottom) / 2, figure.y_label, kind="axis", turn=True))
    if figure.line is not None:
        parts += _trend(figure, x_of, y_of)
    groups = list(dict.fromkeys(point.group for point in figure.points))
    for point in figure.points:
        style = colour(point.group, groups.index(point.group))
        text = f"{point.name}: {number(point.x, 'usd_per_million')} per million, {number(point.y, 'tokens')} tokens"
        parts.append(f'<circle cx="{_n(x_of(point.x))}" cy="{_n(y_of(point.y))}" r="4.5" class="dot {style}">'
                     f"<title>{escape(text)}</title></circle>")  # fmt: skip
    return _svg(figure, height, [*parts, *_labels(figure, x_of, y_of)])


def _trend(figure: Figure, x_of: Callable[[float], float], y_of: Callable[[float], float]) -> list[str]:
    assert figure.line is not None
    slope, offset = figure.line
    ends = []
    for x in (min(point.x for point in figure.points), max(point.x for point in figure.points)):
        ends += [x_of(x), y_of(10 ** (offset + slope * math.log10(x)))]
    return [_line(ends[0], ends[1], ends[2], ends[3], "trend")]


def _labels(figure: Figure, x_of: Callable[[float], float], y_of: Callable[[float], float]) -> list[str]:
    """Names of the largest points where there is room for them."""
    taken = [(x_of(p.x) - 5, y_of(p.y) - 5, x_of(p.x) + 5, y_of(p.y) + 5) for p in figure.points]
    parts = []
    for point in sorted(figure.points, key=lambda p: -p.y):
        name = point.name.split("/")[-1]
        wide = 5.6 * len(name)
        x, y = x_of(point.x), y_of(point.y)
        for left, base, anchor in (
            (x + 7, y + 4, "start"), (x - 7 - wide, y + 4, "end"), (x - wide / 2, y - 8, "middle"),
            (x - wide / 2, y + 16, "middle"),
        ):  # fmt: skip
            box = (left, base - 10, left + wide, base + 2)
            inside = box[0] >= LEFT and box[2] <= WIDTH - RIGHT + 4 and box[1] >= 2
            if inside and not any(_overlap(box, other) for other in taken):
                at = {"start": left, "end": left + wide, "middle": left + wide / 2}[anchor]
                parts.append(_text(at, base, name, anchor=anchor, kind="point"))
                taken.append(box)
                break
    return parts


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
