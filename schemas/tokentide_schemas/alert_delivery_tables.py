"""ClickHouse table of what became of telling alerts, and its rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from tokentide_schemas.alert_deliveries import AlertDelivery

ALERT_DELIVERIES_TABLE: Final = "alert_deliveries"

_COLUMNS: Final[dict[str, tuple[str, pa.DataType]]] = {
    "receiver": ("LowCardinality(String)", pa.utf8()),
    "receiver_type": ("LowCardinality(String)", pa.utf8()),
    "alert_id": ("UUID", pa.utf8()),
    "state": ("LowCardinality(String)", pa.utf8()),
    "outcome": ("LowCardinality(String)", pa.utf8()),
    "attempts": ("UInt32", pa.uint32()),
    "http_status": ("Nullable(UInt16)", pa.uint16()),
    "error": ("String", pa.utf8()),
    "changed_at": ("DateTime64(3, 'UTC')", pa.timestamp("ms", "UTC")),
    "attempted_at": ("DateTime64(3, 'UTC')", pa.timestamp("ms", "UTC")),
    "latency_ms": ("UInt32", pa.uint32()),
}

SCHEMA: Final = pa.schema([pa.field(name, arrow) for name, (_, arrow) in _COLUMNS.items()])
"""Columns of an insert."""

_DEFINITIONS: Final = ",\n".join(f"    {name} {kind} CODEC(ZSTD(1))" for name, (kind, _) in _COLUMNS.items())

ALERT_DELIVERIES: Final = f"""CREATE TABLE IF NOT EXISTS {ALERT_DELIVERIES_TABLE}
(
{_DEFINITIONS}
)
ENGINE = ReplacingMergeTree(attempted_at)
PARTITION BY toYYYYMM(changed_at)
ORDER BY (receiver, alert_id, state)"""
"""One row for each receiver and change: the newest attempt and what came of it. Read with FINAL."""


def alert_delivery_statements() -> list[str]:
    """What an empty database needs."""
    return [ALERT_DELIVERIES]


def alert_delivery_rows(deliveries: Sequence[AlertDelivery]) -> pa.Table:
    """Rows of the table."""
    rows: list[dict[str, Any]] = [
        one.model_dump() | {"alert_id": str(one.alert_id), "state": one.state.value, "outcome": one.outcome.value}
        for one in deliveries
    ]
    return pa.Table.from_pylist(rows, SCHEMA)
