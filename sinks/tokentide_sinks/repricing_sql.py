"""The SQL of recomputing costs: the same integers as `catalogue.pricing`, and the rollups' corrections. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tokentide_schemas.catalogue import TOKEN_COLUMNS
from tokentide_schemas.catalogue.pricing import CONTEXT_COLUMNS, MAX_COST_NANOUSD, TOKENS_PER_PRICE_UNIT
from tokentide_schemas.costing import FEE_FREE_OUTCOME
from tokentide_schemas.cubes import MEASURES_BY_NAME, Cube
from tokentide_schemas.dimensions import OTHER, dimension_sql
from tokentide_schemas.repricing_tables import (
    CORRECTED_MEASURES,
    CORRECTION_EPOCH,
    CORRECTION_PARTITION,
    CORRECTION_SEGMENT,
)

_KEY: Final = "(toString(provider), toString(model), toString(request_model)), toUnixTimestamp64Milli(occurred_at)"
_CONTEXT: Final = " + ".join(f"toInt64({name})" for name in CONTEXT_COLUMNS)
_UNPRICED_COST: Final = -1
"""Stands for a missing cost in comparisons: no computed cost is negative."""


def _price(attribute: str) -> str:
    return f"dictGet('repricing', '{attribute}', {_KEY})"


NEW_VERSION: Final = _price("version")
_TIER: Final = f"arrayCount(m -> {_CONTEXT} >= m, {_price('min_input_tokens')})"
_MILLIONTHS: Final = " + ".join(
    f"toInt128({name}) * {_price('nanousd_per_million')}[({_TIER} - 1) * {len(TOKEN_COLUMNS)} + {place}]"
    for place, name in enumerate(TOKEN_COLUMNS, start=1)
)
NEW_COST: Final = (
    f"(intDiv({_MILLIONTHS} + {TOKENS_PER_PRICE_UNIT // 2}, {TOKENS_PER_PRICE_UNIT})"
    f" + if(outcome = '{FEE_FREE_OUTCOME.value}', 0, {_price('per_request_nanousd')})"
    f" + toInt128(tool_calls) * {_price('per_tool_call_nanousd')})"
)
"""Int128, as `pricing.cost_nanousd`: charges summed in millionths and rounded once, halves up, then the fees."""

ELIGIBLE: Final = "usage_reported AND (cost_source = 'computed' OR (cost_source = 'unknown' AND cost_nanousd IS NULL))"
"""Rows whose cost is ours to correct: never what a provider reported."""

CHANGED: Final = (
    f"{ELIGIBLE} AND {NEW_VERSION} != '' AND {NEW_COST} <= {MAX_COST_NANOUSD} "
    f"AND (ifNull(cost_nanousd, {_UNPRICED_COST}) != {NEW_COST} OR price_version != {NEW_VERSION} "
    "OR cost_source != 'computed')"
)


def _range(since_ms: int, until_ms: int, column: str = "occurred_at") -> str:
    start, end = (f"fromUnixTimestamp64Milli(toInt64({value}), 'UTC')" for value in (since_ms, until_ms))
    return f"{column} >= {start} AND {column} < {end}"


def names_in_traffic(since_ms: int, until_ms: int) -> str:
    """(provider, model, request_model) of the rows that may be recomputed."""
    return (
        "SELECT toString(provider) AS p, toString(model) AS m, toString(request_model) AS r FROM events "
        f"WHERE {_range(since_ms, until_ms)} AND {ELIGIBLE} GROUP BY p, m, r ORDER BY p, m, r"
    )


def changes(since_ms: int, until_ms: int) -> str:
    """Rows that would change, by provider, model, old and new price: first, last, events, old and new cost, newly
    known."""
    inner = (
        "SELECT toString(provider) AS p, toString(model) AS m, toString(price_version) AS old_version, "
        f"{NEW_VERSION} AS new_version, occurred_at, cost_nanousd AS old_cost, toInt64({NEW_COST}) AS new_cost "
        f"FROM events WHERE {_range(since_ms, until_ms)} AND {CHANGED}"
    )
    return (
        "SELECT p, m, old_version, new_version, min(occurred_at), max(occurred_at), count() AS changed_events, "
        "sum(toInt128(ifNull(old_cost, 0))) AS old_nanousd, sum(toInt128(new_cost)) AS new_nanousd, "
        f"countIf(old_cost IS NULL) AS newly_known FROM ({inner}) GROUP BY p, m, old_version, new_version "
        "ORDER BY abs(new_nanousd - old_nanousd) DESC, p, m, old_version, new_version"
    )


def update(since_ms: int, until_ms: int) -> str:
    """The mutation of the raw table. Run again it finds nothing to change."""
    return (
        f"ALTER TABLE events UPDATE cost_nanousd = toInt64({NEW_COST}), cost_source = 'computed', "
        f"price_version = {NEW_VERSION} WHERE {_range(since_ms, until_ms)} AND {CHANGED}"
    )


UPDATE_SETTINGS: Final = {"mutations_sync": 0, "allow_nondeterministic_mutations": 1}
"""Replicated tables refuse dictionaries in mutations without the second: each replica must have the same one."""

OPEN_MUTATIONS: Final = (
    "SELECT count(), sum(parts_to_do), any(latest_fail_reason) FROM system.mutations "
    "WHERE database = currentDatabase() AND table = 'events' AND NOT is_done"
)


def costs(cube: Cube) -> tuple[str, ...]:
    """The measures of a cube that a corrected cost changes; empty for cubes without money."""
    return tuple(name for name in CORRECTED_MEASURES if name in cube.measures)


IS_CORRECTION: Final = (
    f"segment = {CORRECTION_SEGMENT} AND source_partition = {CORRECTION_PARTITION} "
    f"AND source_epoch = '{CORRECTION_EPOCH}'"
)
_TOKENS: Final = ("input_uncached_tokens", "output_tokens")


def folded(cube: Cube, since_s: int, until_s: int) -> str:
    """For each guarded dimension in the cube's order: whether some of its values are counted as `__other__`."""
    flags = ", ".join(f"max(p.{name} = '{OTHER}')" for name in cube.guarded)
    return f"SELECT {flags} FROM {cube.partials_table} AS p WHERE {_windows(since_s, until_s)}"


def compared(cube: Cube, since_s: int, until_s: int, folded_dimensions: Sequence[str] = ()) -> str:
    """For each window and group: whether raw table and partials hold the same events, and the corrections that are
    due (`delta_*`) and present (`present_*`, of which `own_*` in the group's own row). Windows that start in
    [since_s, until_s).

    In a window that has `__other__` in one of `folded_dimensions`, raw events cannot be told apart as the worker did:
    all its values of that dimension are taken together, and what is due is due in `__other__`.
    """
    window = f"toStartOfInterval(toDateTime(e.occurred_at, 'UTC'), INTERVAL {cube.window_s} SECOND)"
    names = ", ".join(("window_start", *cube.dimensions))
    money = costs(cube)
    same = ("requests", *(name for name in _TOKENS if name in cube.measures))
    values = (*same, *money)

    def keys(start: str, alias: str) -> str:
        found = [f"{start} AS window_start"]
        for name in cube.dimensions:
            value = _plain(cube, name, alias)
            if name in folded_dimensions:
                others = f"SELECT window_start FROM {cube.partials_table} WHERE {name} = '{OTHER}'"
                value = f"if({start} IN ({others}), '{OTHER}', {value})"
            found.append(f"{value} AS {name}")
        return ", ".join(found)

    raw_sums = ", ".join(f"toInt64({MEASURES_BY_NAME[name].sql}) AS {name}_" for name in values)
    stored_sums = ", ".join(f"toInt64(sum(p.{name})) AS {name}_" for name in values)
    is_own = " AND ".join(f"{name} = p.{name}" for name in folded_dimensions) or "1"
    sides = [
        f"SELECT {keys(window, 'e')}, {raw_sums}, {_RAW} AS side FROM events AS e "
        f"WHERE {_range(since_s * 1000, until_s * 1000, 'e.occurred_at')} GROUP BY {names}"
    ]
    side_of_correction = f"if({is_own}, {_OWN}, {_FINER})"
    for side, condition in ((str(_WORKERS), f"NOT ({IS_CORRECTION})"), (side_of_correction, IS_CORRECTION)):
        sides.append(
            f"SELECT {keys('p.window_start', 'p')}, {stored_sums}, {side} AS side FROM {cube.partials_table} AS p "
            f"FINAL WHERE {_windows(since_s, until_s)} AND {condition} GROUP BY {names}, side"
        )
    agree = " AND ".join(f"sumIf({name}_, side = {_RAW}) = sumIf({name}_, side = {_WORKERS})" for name in same)
    deltas = ", ".join(
        f"sumIf({name}_, side = {_RAW}) - sumIf({name}_, side = {_WORKERS}) AS delta_{name}, "
        f"sumIf({name}_, side IN ({_OWN}, {_FINER})) AS present_{name}, sumIf({name}_, side = {_OWN}) AS own_{name}"
        for name in money
    )
    return f"SELECT {names}, {agree} AS agrees, {deltas} FROM ({' UNION ALL '.join(sides)}) GROUP BY {names}"


_RAW, _WORKERS, _OWN, _FINER = range(4)
"""Sides of the comparison. Finer: a correction that was made before its window had `__other__`."""


def _windows(since_s: int, until_s: int) -> str:
    return f"p.window_start >= toDateTime({since_s}, 'UTC') AND p.window_start < toDateTime({until_s}, 'UTC')"


def _plain(cube: Cube, dimension: str, alias: str) -> str:
    if dimension in cube.guarded or alias == "e":
        return dimension_sql(dimension, alias)
    return f"{alias}.{dimension}"


def _is_due(cube: Cube) -> str:
    return "(" + " OR ".join(f"delta_{name} != present_{name}" for name in costs(cube)) + ")"


def due(cube: Cube, since_s: int, until_s: int, folded_dimensions: Sequence[str] = ()) -> str:
    """How many corrections are due, and how many groups cannot be corrected as their events are not all in both."""
    source = compared(cube, since_s, until_s, folded_dimensions)
    return f"SELECT countIf(agrees AND {_is_due(cube)}), countIf(NOT agrees) FROM ({source})"


def correct(cube: Cube, since_s: int, until_s: int, run: int, folded_dimensions: Sequence[str] = ()) -> str:
    """Insert the corrections that are due. Their measures are absolute: raw total minus all that workers published."""
    source = compared(cube, since_s, until_s, folded_dimensions)
    return _insert(cube, f"SELECT * FROM ({source}) WHERE agrees AND {_is_due(cube)}", run)


def correct_tier(base: Cube, tier: Cube, since_s: int, until_s: int, run: int) -> str:
    """Insert a tier's corrections: the sums of its base cube's, whether the tier's windows are closed or not."""
    money = costs(tier)
    names = ", ".join(("window_start", *tier.dimensions))
    start = f"toStartOfInterval(p.window_start, INTERVAL {tier.window_s} SECOND)"
    dimensions = "".join(f", {_plain(tier, d, 'p')} AS {d}" for d in tier.dimensions)
    sides = []
    for side, cube, window in ((0, base, start), (1, tier, "p.window_start")):
        sums = ", ".join(f"toInt64(sum(p.{name})) AS {name}_" for name in money)
        sides.append(
            f"SELECT {window} AS window_start{dimensions}, {sums}, {side} AS side FROM {cube.partials_table} AS p "
            f"FINAL WHERE {_windows(since_s, until_s)} AND {IS_CORRECTION} GROUP BY {names}"
        )
    deltas = ", ".join(
        f"sumIf({name}_, side = 0) AS delta_{name}, sumIf({name}_, side = 1) AS present_{name}, "
        f"present_{name} AS own_{name}"
        for name in money
    )
    compared_ = f"SELECT {names}, {deltas} FROM ({' UNION ALL '.join(sides)}) GROUP BY {names}"
    return _insert(tier, f"SELECT * FROM ({compared_}) WHERE {_is_due(tier)}", run)


def _insert(cube: Cube, source: str, run: int) -> str:
    money = costs(cube)
    keys = ", ".join(("window_start", *cube.dimensions))
    measures = ", ".join(
        f"delta_{name} - present_{name} + own_{name}" if name in money else "0" for name in cube.measures
    )
    columns = ", ".join((keys, "source_epoch", "source_partition", "segment", "version", *cube.measures, "emitted_at"))
    return (
        f"INSERT INTO {cube.partials_table} ({columns}) SELECT {keys}, '{CORRECTION_EPOCH}', {CORRECTION_PARTITION}, "
        f"{CORRECTION_SEGMENT}, {run}, {measures}, now64(3) FROM ({source})"
    )
