"""Which sums the rules need, and the SQL that gives them. Pure text.

One query gives a source for a span of minutes, so that a minute costs few queries and a week of history not many more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokentide_schemas.alerting.rules import (
    AnyRule,
    BudgetRule,
    Dimension,
    LatencyRule,
    LateRateRule,
    Scope,
)
from tokentide_stream.alerting.windows import MODELS, Source

MINUTE_S: Final = 60
LATE_LAG_S: Final = 900
"""Late events of a window are counted when so much has passed since: before, they cannot have come."""

PLAIN: Final = {
    Dimension.CATEGORY: "category",
    Dimension.COUNTRY: "country",
    Dimension.APP: "app",
    Dimension.TENANT: "tenant",
}
"""Dimensions that are not properties of a model or provider: the column of each."""
SLOW: Final = ("country", "app", "tenant")
"""Groupings of cubes that are published some seconds after the model cube."""

_SUMS: Final = (
    "sum(requests), sum(total_tokens), sum(cost_nanousd), "
    "sum(requests) - sum(cost_unknown_requests) - sum(byok_requests), sum(total_tokens) - sum(byok_tokens), "
    "{errors}, sum(usage_missing_requests)"
)
_WITH_ERRORS: Final = _SUMS.format(errors="sumIf(requests, outcome = 'error')")
_WITHOUT_ERRORS: Final = _SUMS.format(errors="toInt64(0)")
_SPAN: Final = "window_start >= toDateTime({first:UInt32}, 'UTC') AND window_start < toDateTime({last:UInt32}, 'UTC')"
_VIEWS: Final = {
    "models": ("rollup_1m", "model, provider", _WITH_ERRORS),
    "category": ("rollup_1m", "category", _WITH_ERRORS),
    "country": ("rollup_geography_1m", "country", _WITH_ERRORS),
    "app": ("rollup_app_1m", "app", _WITHOUT_ERRORS),
    "tenant": ("rollup_tenant_1m", "tenant", _WITHOUT_ERRORS),
}
_LATENCY_KEYS: Final = {
    Dimension.TOTAL: "''",
    Dimension.MODEL: "model",
    Dimension.PROVIDER: "provider",
    Dimension.AUTHOR: "dictGetOrDefault('models', 'author', model, 'unknown')",
}


@dataclass(frozen=True, slots=True)
class Query:
    """SQL with parameters `first` and `last` (seconds since 1970, a half-open span) besides its own. Its columns are
    the minute, the key (two for `models`), then the sums."""

    source: Source
    sql: str
    parameters: Mapping[str, Any]


def source_of(rule: AnyRule) -> Source | None:
    """The cells that a rule over keys reads."""
    dimension = getattr(rule, "dimension", None)
    if dimension is None:
        return MODELS
    if isinstance(rule, LatencyRule):
        return Source(f"{rule.of}/{dimension.value}", str(rule.scope))
    return Source(PLAIN.get(dimension, "models"), str(rule.scope))


def queries(rules: Iterable[AnyRule], budgets_by_tenant: bool) -> list[Query]:
    """What the rules need, each source once; the sums by model and provider are always there."""
    found: dict[Source, Query] = {MODELS: _cells_query(MODELS, Scope())}
    for rule in rules:
        source = source_of(rule)
        if isinstance(rule, BudgetRule):
            source = Source("tenant") if budgets_by_tenant else None
        if source is None or source in found or isinstance(rule, LateRateRule):
            continue
        found[source] = (
            _latency_query(source, rule) if isinstance(rule, LatencyRule) else _cells_query(source, rule.scope)
        )
    return list(found.values())


def needs_late(rules: Iterable[AnyRule]) -> bool:
    """Whether a rule looks at late events."""
    return any(isinstance(rule, LateRateRule) for rule in rules)


def _cells_query(source: Source, scope: Scope) -> Query:
    view, keys, sums = _VIEWS[source.grouping]
    if "author" in scope.given:
        view = "rollup_models_1m"
    where, parameters = _where(scope)
    sql = (
        f"SELECT toUnixTimestamp(window_start) AS minute, {keys}, {sums} FROM {view} WHERE {_SPAN}{where} "
        f"GROUP BY window_start, {keys} ORDER BY window_start"
    )
    return Query(source, sql, parameters)


def _latency_query(source: Source, rule: LatencyRule) -> Query:
    where, parameters = _where(rule.scope)
    where = where.replace(" AND author = ", f" AND {_LATENCY_KEYS[Dimension.AUTHOR]} = ")
    bucket = "latency_ms_bucket" if rule.of == "latency" else "time_to_first_token_ms_bucket"
    sql = (
        f"SELECT toUnixTimestamp(window_start) AS minute, toString({_LATENCY_KEYS[rule.dimension]}) AS key, "
        f"{bucket}, sum(requests) FROM rollup_{rule.of}_1m WHERE {_SPAN} AND {bucket} >= 0{where} "
        f"GROUP BY window_start, key, {bucket} ORDER BY window_start"
    )
    return Query(source, sql, parameters)


def _where(scope: Scope) -> tuple[str, dict[str, Any]]:
    given = scope.given
    return "".join(f" AND {name} = {{{name}:String}}" for name in given), dict(given)


LATE_SQL: Final = (
    "SELECT toUnixTimestamp(window_start) AS minute, sum(late_requests), sum(requests) "
    f"FROM rollup_1m WHERE {_SPAN} GROUP BY window_start ORDER BY window_start"
)

SPENT_SQL: Final = (
    "SELECT toUnixTimestamp(window_start) AS hour, {key} AS key, sum(cost_nanousd) "
    f"FROM {{view}} WHERE {_SPAN.replace('{', '{{').replace('}', '}}')} "
    "GROUP BY window_start, key ORDER BY window_start"
)
"""Spend by hour, for budgets: format with key and view."""

POSITIONS_SQL: Final = (
    "SELECT partition, applied_offset, toUnixTimestamp64Milli(watermark), toUnixTimestamp64Milli(emitted_at) "
    "FROM stream_watermarks FINAL WHERE topic = {topic:String} AND epoch = {epoch:String}"
)
FIRST_SQL: Final = "SELECT toUnixTimestamp(min(window_start)), count() FROM rollup_model_partials"
