"""ClickHouse table and view of the alerts topic, and the topic's records as rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from tokentide_schemas.alerts import AlertChange, AlertState

ALERT_CHANGES_TABLE: Final = "alert_changes"
ALERTS_VIEW: Final = "alerts"

_PARTS: Final = ("key", "before", "after", "change_pp", "mix_change", "volume_change")
_CONTRIBUTIONS: Final = (
    "Array(Tuple(key String, before Float64, after Float64, change_pp Nullable(Float64), "
    "mix_change Nullable(Float64), volume_change Nullable(Float64)))"
)
_COLUMNS: Final[dict[str, tuple[str, pa.DataType]]] = {
    "alert_id": ("UUID", pa.utf8()),
    "state": ("LowCardinality(String)", pa.utf8()),
    "rule": ("LowCardinality(String)", pa.utf8()),
    "kind": ("LowCardinality(String)", pa.utf8()),
    "severity": ("LowCardinality(String)", pa.utf8()),
    "measure": ("LowCardinality(String)", pa.utf8()),
    "dimension": ("LowCardinality(String)", pa.utf8()),
    "scope": ("LowCardinality(String)", pa.utf8()),
    "keys": ("Array(String)", pa.list_(pa.utf8())),
    "direction": ("LowCardinality(String)", pa.utf8()),
    "value": ("Nullable(Float64)", pa.float64()),
    "reference": ("Nullable(Float64)", pa.float64()),
    "change": ("Nullable(Float64)", pa.float64()),
    "unit": ("LowCardinality(String)", pa.utf8()),
    "window_s": ("UInt32", pa.uint32()),
    "started_at": ("DateTime64(3, 'UTC')", pa.timestamp("ms", "UTC")),
    "detected_at": ("DateTime64(3, 'UTC')", pa.timestamp("ms", "UTC")),
    "changed_at": ("DateTime64(3, 'UTC')", pa.timestamp("ms", "UTC")),
    "emitted_at": ("DateTime64(3, 'UTC')", pa.timestamp("ms", "UTC")),
    "summary": ("String", pa.utf8()),
    "contributions": (
        _CONTRIBUTIONS,
        pa.list_(pa.struct([pa.field(name, pa.utf8() if name == "key" else pa.float64()) for name in _PARTS])),
    ),
    "labels": ("Map(String, String)", pa.map_(pa.utf8(), pa.utf8())),
    "runbook_url": ("String", pa.utf8()),
    "is_silenced": ("Bool", pa.bool_()),
    "silenced_by": ("String", pa.utf8()),
}

SCHEMA: Final = pa.schema([pa.field(name, arrow) for name, (_, arrow) in _COLUMNS.items()])
"""Columns of an insert into `alert_changes`."""

_DEFINITIONS: Final = ",\n".join(f"    {name} {kind} CODEC(ZSTD(1))" for name, (kind, _) in _COLUMNS.items())

ALERT_CHANGES: Final = f"""CREATE TABLE IF NOT EXISTS {ALERT_CHANGES_TABLE}
(
{_DEFINITIONS}
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(started_at)
ORDER BY (alert_id, state)"""
"""One row for each state that an alert has had. A change that comes again replaces itself; read with FINAL."""

_RANK: Final = "transform(c.state, ['pending', 'firing', 'resolved'], [1, 2, 3], 0)"
_LATEST: Final = tuple(name for name in _COLUMNS if name not in ("alert_id", "state", "changed_at", "is_silenced"))


def _newest(column: str) -> str:
    return f"argMax(c.{column}, {_RANK}) AS {column}"


def _reached(state: AlertState) -> str:
    at = f"minIf(c.changed_at, c.state = '{state.value}')"
    return f"if(countIf(c.state = '{state.value}') = 0, NULL, {at}) AS {state.value}_at"


_SELECTED: Final = ",\n".join(
    f"    {column}"
    for column in (
        "alert_id",
        f"argMax(c.state, {_RANK}) AS state",
        *map(_reached, AlertState),
        *(_newest(column) for column in _LATEST if column not in ("value", "reference", "change")),
        # argMax passes over NULL, which would show an older state's number; in a tuple it is kept.
        *(f"tupleElement(argMax(tuple(c.{c}), {_RANK}), 1) AS {c}" for c in ("value", "reference", "change")),
        "max(c.is_silenced) AS is_silenced",
    )
)

ALERTS: Final = f"""CREATE OR REPLACE VIEW {ALERTS_VIEW} AS
SELECT
{_SELECTED}
FROM {ALERT_CHANGES_TABLE} AS c FINAL
GROUP BY c.alert_id
SETTINGS prefer_column_name_to_alias = 1"""
"""One row for each alert, as its newest state says it, with the time at which it reached each state."""


def alert_statements() -> list[str]:
    """Table and view in the order in which an empty database needs them."""
    return [ALERT_CHANGES, ALERTS]


def alert_rows(changes: Sequence[AlertChange]) -> pa.Table:
    """Rows of `alert_changes`."""
    return pa.Table.from_pylist([_row(change) for change in changes], SCHEMA)


def _row(change: AlertChange) -> dict[str, Any]:
    row = change.model_dump()
    row |= {
        "alert_id": str(change.alert_id),
        "state": change.state.value,
        "kind": change.kind.value,
        "severity": change.severity.value,
        "keys": list(change.keys),
        "contributions": [part.model_dump() for part in change.contributions],
        "labels": list(change.labels.items()),
    }
    return row
