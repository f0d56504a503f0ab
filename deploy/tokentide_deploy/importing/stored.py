"""What the import asks the store: requests that are there already, envelopes that came through, how long rows stay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide_deploy.clickhouse_client import error_text
from tokentide_deploy.errors import DeployError
from tokentide_producers.importing.events import Event
from tokentide_producers.outgoing import OutgoingEnvelope
from tokentide_schemas.retention import horizon_ms, ttl_days

_MAX_IDS_CHARS: Final = 150_000
"""Ids in one query: a statement may have 262,144 bytes by default."""
_MARGIN: Final = dt.timedelta(hours=1)
"""Two exports of the same request may give its time a little differently."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Instants from which on rows are surely kept, milliseconds since 1970 UTC; None: for ever."""

    raw_from_ms: int | None
    minutes_from_ms: int | None


class StoredRequests:
    """Asks one store. Its errors come out as DeployError."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def known(self, events: list[Event]) -> set[bytes]:
        """Keys of those events that the store has, by the request's id where there is one, else by the event's."""
        found: set[bytes] = set()
        by_request: dict[str, list[Event]] = {}
        by_event: dict[str, list[Event]] = {}
        for event in events:
            request_id = event.fields.get("request_id") or ""
            if request_id and event.is_globally_named:
                by_request.setdefault(request_id, []).append(event)
            else:
                by_event.setdefault(str(event.fields["event_id"]), []).append(event)
        for column, wanted in (("request_id", by_request), ("event_id", by_event)):
            for part in _parts(wanted):
                times = [event.fields["occurred_at"] for name in part for event in wanted[name]]
                sql = (
                    f"SELECT DISTINCT toString({column}) FROM events WHERE {column} IN %(ids)s "
                    "AND occurred_at >= %(first)s AND occurred_at <= %(last)s"
                )
                first, last = (_text(moment) for moment in (min(times) - _MARGIN, max(times) + _MARGIN))
                for (name,) in self._rows(sql, {"ids": tuple(part), "first": first, "last": last}):
                    found.update(event.key for event in wanted[name])
        return found

    def has_envelope(self, envelope: OutgoingEnvelope) -> bool:
        """Whether the raw sink has taken this envelope in."""
        sql = (
            "SELECT count() FROM ingest_ledger WHERE producer_id = %(producer)s AND producer_sequence = %(sequence)s "
            "AND partition = %(partition)s"
        )
        parameters = {
            "producer": envelope.producer_id,
            "sequence": envelope.sequence,
            "partition": envelope.partition,
        }
        return bool(self._rows(sql, parameters)[0][0])

    def retention(self, now_ms: int) -> Retention:
        """How long the tables keep raw rows and minutes."""
        sql = (
            "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() "
            "AND name IN ('events', 'rollup_model_partials')"
        )
        days = {str(name): ttl_days(str(engine)) for name, engine in self._rows(sql, {})}
        raw, minutes = (days.get(name) for name in ("events", "rollup_model_partials"))
        return Retention(
            None if raw is None else horizon_ms(raw, now_ms), None if minutes is None else horizon_ms(minutes, now_ms)
        )

    def _rows(self, sql: str, parameters: dict[str, Any]) -> Any:
        try:
            return self._client.query(sql, parameters=parameters).result_rows
        except ClickHouseError as error:
            raise DeployError(
                f"The store could not be asked which requests it has: {error_text(error)}. Look at the store, then "
                "import again: what was sent is known and not sent twice."
            ) from error


def _text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:23]


def _parts(names: dict[str, list[Event]]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    # In order of time, so that each query looks at a short time.
    for name in sorted(names, key=lambda one: names[one][0].occurred_ms):
        part.append(name)
        size += len(name.encode()) + 4
        if size > _MAX_IDS_CHARS:
            yield part
            part, size = [], 0
    if part:
        yield part
