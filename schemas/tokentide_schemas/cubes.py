"""Cubes: which dimensions and measures the stream rolls up, declared as data.

A measure is a sum over the events of a group, as an exact integer, so partial sums of any split of the events add up to
the same total.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from tokentide_schemas.dimensions import DIMENSIONS, LABELS
from tokentide_schemas.event import TOKEN_BUCKETS


@dataclass(frozen=True, slots=True)
class Measure:
    """A sum. `sql` is the same value as an aggregate over the table `events`: `tokentide verify` compares the two."""

    name: str
    sql: str
    description: str


WEIGHT_MILLI_SQL: Final = "toInt64(round(toFloat64(category_weight) * 1000))"
"""Thousandths, half to even: numpy's `rint` of the same double gives the same integer."""
TOTAL_TOKENS_SQL: Final = "(" + " + ".join(f"toUInt64({bucket})" for bucket in TOKEN_BUCKETS) + ")"

MEASURES: Final[tuple[Measure, ...]] = (
    Measure("requests", "count()", "Request attempts."),
    Measure("usage_missing_requests", "countIf(NOT usage_reported)", "Attempts whose provider reported no usage."),
    *(Measure(bucket, f"sum(toInt64({bucket}))", f"Sum of {bucket} over the attempts.") for bucket in TOKEN_BUCKETS),
    Measure("cost_nanousd", "sumIf(ifNull(cost_nanousd, 0), NOT is_byok)", "Known cost, own-key traffic excluded."),
    Measure("cost_unknown_requests", "countIf(cost_nanousd IS NULL)", "Attempts whose cost is unknown."),
    Measure("byok_requests", "countIf(is_byok)", "Attempts on the client's own provider key."),
    Measure("byok_tokens", f"toInt64(sumIf({TOTAL_TOKENS_SQL}, is_byok))", "Tokens of own-key traffic."),
    Measure("byok_cost_nanousd", "sumIf(ifNull(cost_nanousd, 0), is_byok)", "Known cost of own-key traffic."),
    Measure("streamed_requests", "countIf(streamed)", "Attempts with a streamed response."),
    Measure("tool_call_requests", "countIf(finish_reason = 'tool_calls')", "Attempts that ended in a tool call."),
    Measure(
        "tool_call_tokens",
        f"toInt64(sumIf({TOTAL_TOKENS_SQL}, finish_reason = 'tool_calls'))",
        "Tokens of attempts that ended in a tool call.",
    ),
    Measure("latency_known_requests", "countIf(latency_ms IS NOT NULL)", "Attempts with a known latency."),
    Measure("latency_ms_sum", "sum(toInt64(ifNull(latency_ms, 0)))", "Sum of the known latencies, milliseconds."),
    Measure(
        "time_to_first_token_known_requests",
        "countIf(time_to_first_token_ms IS NOT NULL)",
        "Attempts with a known time to first token.",
    ),
    Measure(
        "time_to_first_token_ms_sum",
        "sum(toInt64(ifNull(time_to_first_token_ms, 0)))",
        "Sum of the known times to first token, milliseconds.",
    ),
    Measure(
        "weighted_requests_milli",
        f"sumIf({WEIGHT_MILLI_SQL}, category != '')",
        "Labelled attempts scaled up by category_weight, in thousandths.",
    ),
    Measure(
        "weighted_tokens_milli",
        f"sumIf({WEIGHT_MILLI_SQL} * toInt64({TOTAL_TOKENS_SQL}), category != '')",
        "Tokens of labelled attempts scaled up by category_weight, in thousandths.",
    ),
)
MEASURE_NAMES: Final = tuple(measure.name for measure in MEASURES)
MEASURES_BY_NAME: Final = {measure.name: measure for measure in MEASURES}

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
TIER_EMIT_INTERVALS_S: Final = {HOUR_S: 30.0, DAY_S: 120.0}
"""Pause between two publications of a tier's changes, by its window; other windows take a thirtieth, 5 to 120 s."""

LIVE_INTERVAL_S: Final = 1.0

DEFAULT_LIMITS: Final[dict[str, int]] = {
    "model": 2_000,
    "request_model": 2_000,
    "provider": 500,
    "category": 200,
    "subcategory": 2_000,
    "app": 5_000,
    "tenant": 20_000,
    "country": 300,
    "language": 300,
}
"""Distinct values of a dimension in one window, segment and partition; what comes after is counted as `__other__`."""
OTHER_LIMIT: Final = 1_000
"""Limit of a label that DEFAULT_LIMITS does not name."""


DEFAULT_MAX_GROUPS: Final = 50_000
KEPT_WHEN_FOLDED: Final = frozenset({"outcome"})
"""Labels of few values, which groups past a cube's `max_groups` keep: the error rate stays right."""


class CubeError(ValueError):
    """A cube cannot be as it is declared; `problems` has all reasons."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"cube {name!r}: " + "; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Cube:
    """Events grouped by `dimensions` in event-time windows of `window_s` seconds.

    dimensions: label columns of the event or names of `dimensions.DERIVED`. tiers: longer windows, in seconds, that
    are kept as well. emit_interval_s: pause between two publications of changes. limits: (dimension, distinct values)
    where they differ from `DEFAULT_LIMITS`. max_groups: groups in one window, segment and partition; later ones are
    counted with `__other__` as every label, which is what bounds a worker's memory. measures: names out of `MEASURES`,
    with `requests` among them.
    """

    name: str
    dimensions: tuple[str, ...]
    window_s: int = 60
    tiers: tuple[int, ...] = ()
    emit_interval_s: float = 1.0
    limits: tuple[tuple[str, int], ...] = ()
    max_groups: int = DEFAULT_MAX_GROUPS
    measures: tuple[str, ...] = MEASURE_NAMES

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise CubeError(self.name, problems)

    def _problems(self) -> list[str]:
        found = []
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", self.name):
            found.append("name: use lower-case letters, digits and _, a letter first, at most 32")
        found += [f"dimensions: {unknown_name(d, DIMENSIONS)}" for d in self.dimensions if d not in DIMENSIONS]
        if len(set(self.dimensions)) != len(self.dimensions) or not self.dimensions:
            found.append("dimensions: give each once, and at least one")
        if self.window_s <= 0 or DAY_S % self.window_s:
            found.append("window_s: must divide a day (86400 s)")
        elif any(tier <= self.window_s or tier % self.window_s or DAY_S % tier for tier in self.tiers):
            found.append("tiers: each must be a multiple of window_s, longer than it, and divide a day (86400 s)")
        if len(set(self.tiers)) != len(self.tiers):
            found.append("tiers: give each once")
        if not 0 < self.emit_interval_s <= 300:
            found.append("emit_interval_s: must be over 0 and at most 300")
        for name, limit in self.limits:
            if name not in self.dimensions or name not in LABELS:
                found.append(f"limits: {name!r} is not a label dimension of this cube")
            elif not 1 <= limit <= 1_000_000:
                found.append(f"limits: {name} must be 1 to 1000000")
        if not 1 <= self.max_groups <= 1_000_000:
            found.append("max_groups: must be 1 to 1000000")
        found += [f"measures: {unknown_name(m, MEASURE_NAMES)}" for m in self.measures if m not in MEASURES_BY_NAME]
        if "requests" not in self.measures:
            found.append("measures: requests must be among them")
        return found

    @property
    def is_live(self) -> bool:
        """Published at least every second: what live views, shares and lag are about."""
        return self.emit_interval_s <= LIVE_INTERVAL_S

    @property
    def guarded(self) -> dict[str, int]:
        """Label dimension -> limit of its distinct values."""
        own = dict(self.limits)
        return {d: own.get(d, DEFAULT_LIMITS.get(d, OTHER_LIMIT)) for d in self.dimensions if d in LABELS}

    @property
    def partials_table(self) -> str:
        """ClickHouse table of the cube's versioned partials."""
        return f"rollup_{self.name}_partials"

    @property
    def tier_cubes(self) -> tuple[Cube, ...]:
        """The longer windows as cubes of their own, shortest first."""
        return tuple(
            replace(
                self,
                name=f"{self.name}_{window_label(tier)}",
                window_s=tier,
                tiers=(),
                emit_interval_s=TIER_EMIT_INTERVALS_S.get(tier, min(120.0, max(5.0, tier / 30))),
            )
            for tier in sorted(self.tiers)
        )

    @property
    def views(self) -> dict[str, Cube]:
        """View name -> the cube or tier that it shows."""
        prefix = "rollup" if self.name == "model" else f"rollup_{self.name}"
        return {f"{prefix}_{window_label(part.window_s)}": part for part in (self, *self.tier_cubes)}


def window_label(window_s: int) -> str:
    """60 -> 1m, 3600 -> 1h, 86400 -> 1d."""
    for unit_s, unit in ((DAY_S, "d"), (HOUR_S, "h"), (60, "m")):
        if window_s % unit_s == 0:
            return f"{window_s // unit_s}{unit}"
    return f"{window_s}s"


def unknown_name(name: str, known: Iterable[str]) -> str:
    """'x' is not known; with the nearest known name when there is one."""
    near = get_close_matches(name, sorted(known), n=1)
    return f"{name!r} is not known" + (f"; did you mean {near[0]!r}?" if near else "")


def stored_cubes(cubes: Iterable[Cube]) -> tuple[Cube, ...]:
    """Every cube followed by its tiers, as they are published, stored and verified."""
    return tuple(part for cube in cubes for part in (cube, *cube.tier_cubes))


_LONG: Final = (HOUR_S, DAY_S)
_HISTOGRAM: Final = ("requests",)

MODEL_CUBE: Final = Cube("model", ("model", "provider", "category", "outcome"), tiers=_LONG)
CUBES: Final[tuple[Cube, ...]] = (
    MODEL_CUBE,
    Cube("geography", ("country", "category", "outcome"), tiers=_LONG, emit_interval_s=10.0),
    Cube("app", ("app",), tiers=_LONG, emit_interval_s=10.0),
    Cube("tenant", ("tenant",), tiers=_LONG, emit_interval_s=10.0),
    Cube(
        "time_to_first_token",
        ("model", "provider", "time_to_first_token_ms_bucket"),
        emit_interval_s=10.0,
        measures=_HISTOGRAM,
    ),
    Cube("latency", ("model", "provider", "latency_ms_bucket"), emit_interval_s=10.0, measures=_HISTOGRAM),
    Cube(
        "output_speed", ("model", "provider", "output_tokens_per_s_bucket"), emit_interval_s=10.0, measures=_HISTOGRAM
    ),
    Cube("request_size", ("category", "input_tokens_bucket", "output_tokens_bucket"), emit_interval_s=20.0),
)
"""Cubes that every installation has; a configuration file adds more (`cube_file.load_cubes`)."""
