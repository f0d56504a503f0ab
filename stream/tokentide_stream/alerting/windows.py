"""What the engine knows of one window: sums by model and provider, and by the other dimensions. Plain data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Counts = dict[int, int]
"""Bucket's lower bound -> requests."""


class Cell(NamedTuple):
    """Sums of one group in one window. cost_nanousd is of `priced_requests` only; own-key traffic has none."""

    requests: int = 0
    tokens: int = 0
    cost_nanousd: int = 0
    priced_requests: int = 0
    paid_tokens: int = 0
    errors: int = 0
    usage_missing: int = 0

    def plus(self, other: Cell) -> Cell:
        """Both together."""
        return Cell(*map(int.__add__, self, other))


NOTHING: Final = Cell()
Cells = dict[str, Cell]
ModelCells = dict[tuple[str, str], Cell]
"""(model, provider) -> sums."""


@dataclass(frozen=True, slots=True)
class Source:
    """A set of groups that rules need: which grouping, limited to which scope ('' for everything)."""

    grouping: str
    scope: str = ""


MODELS: Final = Source("models")


@dataclass(slots=True)
class Window:
    """One closed window. A source that is missing here is not known for this window, which is not zero.

    cells: by a plain dimension. models: by model and provider. latencies: 'latency/provider' -> key -> counts.
    late: (late requests, requests) of the window `LATE_LAG_S` before.
    """

    start: dt.datetime
    window_s: int = 60
    models: dict[Source, ModelCells] = field(default_factory=dict)
    cells: dict[Source, Cells] = field(default_factory=dict)
    latencies: dict[Source, dict[str, Counts]] = field(default_factory=dict)
    late: tuple[int, int] | None = None
    summed: dict[tuple[Source, str], Cells] = field(default_factory=dict)
    """Sums that several rules ask for, made once: see `evaluator_base.keyed_cells`."""

    @property
    def end(self) -> dt.datetime:
        """Its first instant that is not in it."""
        return self.start + dt.timedelta(seconds=self.window_s)

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(cell.requests for cell in self.models.get(MODELS, {}).values())


def sums_by(cells: Mapping[tuple[str, str], Cell], key_of: Callable[[str, str], str]) -> Cells:
    """Cells of models and providers added up by another key."""
    groups: dict[str, list[Cell]] = {}
    for (model, provider), cell in cells.items():
        groups.setdefault(key_of(model, provider), []).append(cell)
    return {
        key: group[0] if len(group) == 1 else Cell(*map(sum, zip(*group, strict=True))) for key, group in groups.items()
    }


def merged(windows: Sequence[Window], start: dt.datetime, window_s: int) -> Window:
    """Several windows as one. A source is known when it is known in each of them."""
    found = Window(start, window_s)
    if not windows:
        return found
    for source in set.intersection(*(set(one.models) for one in windows)):
        found.models[source] = _added(one.models[source] for one in windows)
    for source in set.intersection(*(set(one.cells) for one in windows)):
        found.cells[source] = _added(one.cells[source] for one in windows)
    for source in set.intersection(*(set(one.latencies) for one in windows)):
        by_key: dict[str, Counts] = {}
        for one in windows:
            for key, counts in one.latencies[source].items():
                mine = by_key.setdefault(key, {})
                for bucket, requests in counts.items():
                    mine[bucket] = mine.get(bucket, 0) + requests
        found.latencies[source] = by_key
    known = [one.late for one in windows if one.late is not None]
    if len(known) == len(windows):
        found.late = (sum(late for late, _ in known), sum(requests for _, requests in known))
    return found


def _added(parts: Iterable[Mapping[Key, Cell]]) -> dict[Key, Cell]:
    found: dict[Key, Cell] = {}
    for part in parts:
        for key, cell in part.items():
            before = found.get(key)
            found[key] = cell if before is None else before.plus(cell)
    return found


def window_start_of(at: dt.datetime, window_s: int) -> dt.datetime:
    """Start of the window of this length that an instant is in."""
    seconds = int(at.timestamp())
    return dt.datetime.fromtimestamp(seconds - seconds % window_s, dt.UTC)
