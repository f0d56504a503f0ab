"""Loading the scenario through the pipeline, waiting until all of it is counted, and measuring what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide_deploy.clickhouse_client import error_text
from tokentide_deploy.errors import DeployError
from tokentide_producers.history.checks import Measured, Published, judge
from tokentide_producers.history.scenario import Scenario
from tokentide_producers.history.traffic import DAY_MS, Span, place
from tokentide_schemas.retention import FOR_EVER, ttl_days

POLL_S = 1.0
STALLED_S = 300.0
"""No progress for this long is a failure: a day's rollup is published every two minutes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Events that have come so far: stored, in both rollups of days, and those whose user is counted."""

    stored: int
    rolled_up: int
    users_counted: int


def raw_days(client: Any) -> int:
    """Days that the store keeps raw events, 0 for ever."""
    rows = client.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
    ).result_rows
    return ttl_days(str(rows[0][0])) if rows else FOR_EVER


def choose_span(scenario: Scenario, wanted: str, kept_days: int, now_ms: int) -> Span:
    """Where the scenario goes. wanted: study, now, or auto: the study's dates where raw events are kept long enough."""
    own = place(scenario, None)
    is_kept = kept_days == FOR_EVER or own.start_ms > now_ms - kept_days * DAY_MS
    return own if wanted == "study" or (wanted == "auto" and is_kept) else place(scenario, now_ms)


@contextmanager
def expired_rows_kept(client: Any) -> Iterator[None]:
    """Raw events past their time are left alone meanwhile: users are counted from them after they are stored."""
    _command(client, "SYSTEM STOP TTL MERGES events")
    try:
        yield
    finally:
        _command(client, "SYSTEM START TTL MERGES events")


def _command(client: Any, statement: str) -> None:
    try:
        client.command(statement)
    except ClickHouseError as error:
        raise DeployError(f"The store refuses {statement}: {error_text(error)}") from error


class Watch:
    """Follows one load through the store. Made before anything is sent: what is there already is not counted."""

    def __init__(self, client: Any, span: Span, producer_ids: tuple[str, ...]) -> None:
        self._client = client
        self._first = datetime.fromtimestamp(span.start_ms // 1000, UTC)
        self._last = datetime.fromtimestamp(span.end_ms // 1000, UTC)
        self._producers = ", ".join(f"'{producer}'" for producer in producer_ids)
        self._before = self._rolled_up()

    def progress(self) -> Progress:
        """Where the load is now."""
        ledger = f"FROM ingest_ledger FINAL WHERE producer_id IN ({self._producers})"
        counted = (
            f"SELECT sum(l.stored_events) FROM (SELECT topic, epoch, partition, offset, stored_events {ledger}) AS l "
            "INNER JOIN (SELECT topic, epoch, partition, max(last_offset) AS last FROM user_progress "
            "GROUP BY topic, epoch, partition) AS p ON p.topic = l.topic AND p.epoch = l.epoch "
            "AND p.partition = l.partition WHERE l.offset <= p.last"
        )
        return Progress(
            self._number(f"SELECT sum(stored_events) {ledger}"),
            min(now - before for now, before in zip(self._rolled_up(), self._before, strict=True)),
            self._number(counted),
        )

    def wait(self, events: int, on_progress: Callable[[Progress], None]) -> None:
        """Until all events are counted everywhere. Raises DeployError when nothing moves any more."""
        seen, seen_at_s = Progress(-1, -1, -1), time.monotonic()
        while True:
            now = self.progress()
            on_progress(now)
            if min(now.stored, now.rolled_up, now.users_counted) >= events:
                return
            if now != seen:
                seen, seen_at_s = now, time.monotonic()
            elif time.monotonic() - seen_at_s > STALLED_S:
                raise DeployError(
                    f"The pipeline has not moved for {STALLED_S:.0f} s: {now.stored:,} of {events:,} events are "
                    f"stored, {now.rolled_up:,} rolled up, {now.users_counted:,} counted by user. Look at the logs of "
                    "events-sink, stream, rollups-sink and maintenance, then run: tokentide verify"
                )
            time.sleep(POLL_S)

    def _rolled_up(self) -> tuple[int, ...]:
        span = (
            f"window_start >= toStartOfDay(toDateTime({int(self._first.timestamp())}, 'UTC')) "
            f"AND window_start <= toDateTime({int(self._last.timestamp())}, 'UTC')"
        )
        views = ("rollup_1h", "rollup_1d", "rollup_geography_1d", "rollup_app_1d", "rollup_tenant_1d")
        return tuple(self._number(f"SELECT sum(requests) FROM {view} WHERE {span}") for view in views)

    def _number(self, sql: str) -> int:
        try:
            return int(self._client.query(sql).result_rows[0][0] or 0)
        except ClickHouseError as error:
            raise DeployError(f"The store could not be asked how far it is: {error_text(error)}") from error


def measure(
    client: Any,
    published: Published,
    span: Span,
    launches: Mapping[str, date],
    events: int,
    now_ms: int,
    on_measured: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Every published figure, from what is stored. events: size of the sample, by which tolerances widen."""
    kept_days = raw_days(client)
    found = []
    for check in published.checks:
        on_measured()
        sql = published.sql(check, span, launches)
        first = published.periods[check.period][0]
        first_ms = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp() * 1000) + span.shift_ms
        if check.needs_raw and kept_days != FOR_EVER and first_ms < now_ms - kept_days * DAY_MS:
            found.append(judge(check, None, events, f"raw events are kept for {kept_days} days"))
            continue
        try:
            value = client.query(sql).result_rows[0][0]
        except ClickHouseError as error:
            raise DeployError(f"{check.figure} {check.name}: the query failed: {error_text(error)}") from error
        found.append(judge(check, None if value is None else float(value), events))
    return found
