"""An engine brought up to an instant by stored history. The same for a start, for a reload and for a backtest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tokentide_schemas.alerting.rules import BudgetRule
from tokentide_stream.alerting.engine import Engine
from tokentide_stream.alerting.lifecycle import Change
from tokentide_stream.alerting.sources import MINUTE_S, Query, needs_late, queries
from tokentide_stream.alerting.store_reader import StoreReader
from tokentide_stream.alerting.windows import Window, window_start_of

CHUNK: Final = dt.timedelta(hours=3)
"""Span of one reading: long enough to cost few queries, short enough for a reader's limits of rows."""
MINUTE: Final = dt.timedelta(seconds=MINUTE_S)
DOWN: Final = dt.timedelta(hours=1)
"""A longer time without any event is a platform that was off, as far as history can tell: missing, not zero."""


def needed(engine: Engine) -> tuple[list[Query], bool]:
    """What an engine's rules read: queries, and whether late events."""
    rules = engine.config.enabled_rules
    budgets_by_tenant = any(budget.tenant for budget in engine.config.budgets)
    has_budget_rule = any(isinstance(rule, BudgetRule) for rule in rules)
    return queries(rules, budgets_by_tenant and has_budget_rule), needs_late(rules)


def replay(
    engine: Engine,
    store: StoreReader,
    first: dt.datetime,
    last: dt.datetime,
    on_minute: Callable[[Window, Sequence[Change]], None] = lambda _window, _changes: None,
) -> None:
    """Take the minutes of [first, last) that the store has. Raises StoreUnavailableError; begin with a new engine."""
    first, last = window_start_of(first, MINUTE_S), window_start_of(last, MINUTE_S)
    if engine.config.budgets:
        by_tenant = any(budget.tenant for budget in engine.config.budgets)
        month = first.replace(day=1, hour=0, minute=0)
        for hour, total, tenants in store.spent_by_hour(month, first.replace(minute=0), by_tenant):
            engine.spend_before(hour, total, tenants)
    for minute in _without_downtime(_minutes(engine, store, first, last)):
        on_minute(minute, engine.step(minute))


def _minutes(engine: Engine, store: StoreReader, first: dt.datetime, last: dt.datetime) -> Iterator[Window]:
    wanted, with_late = needed(engine)
    while first < last:
        end = min(first + CHUNK, last)
        yield from store.minutes(wanted, with_late, first, end)
        first = end


def _without_downtime(minutes: Iterator[Window]) -> Iterator[Window]:
    empty: list[Window] = []
    for minute in minutes:
        if not minute.requests:
            empty.append(minute)
            continue
        if len(empty) * MINUTE <= DOWN:
            yield from empty
        empty.clear()
        yield minute
    if len(empty) * MINUTE <= DOWN:
        yield from empty
