"""How one field of the usage event is stored: its Arrow type on the wire, its ClickHouse type and codec in the table.

`UsageEvent` (event.py) carries one `Column` in each field's annotation; the Arrow schema, the ClickHouse DDL and the
docs table are derived from it, so that there is one definition.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """Storage of one field.

    arrow: type in the Arrow envelope. clickhouse: column type. codec: ClickHouse compression codec list.
    """

    arrow: pa.DataType
    clickhouse: str
    codec: str = "ZSTD(1)"


def _labels(index: pa.DataType) -> Column:
    return Column(pa.dictionary(index, pa.utf8()), "LowCardinality(String)")


# int16 indices: 40 % fewer bytes an event than int32 before compression, and 32,767 values are plenty for one envelope.
LABEL = _labels(pa.int16())
# Applications and tenants can have more distinct values in one insert block than an int16 can number.
WIDE_LABEL = _labels(pa.int32())
TEXT = Column(pa.utf8(), "String")
UUID16 = Column(pa.binary(16), "UUID")
HASH16 = Column(pa.binary(16), "FixedString(16)")
FLAG = Column(pa.bool_(), "Bool")
COUNT8 = Column(pa.uint8(), "UInt8")
COUNT16 = Column(pa.uint16(), "UInt16", "T64, ZSTD(1)")
COUNT32 = Column(pa.uint32(), "UInt32", "T64, ZSTD(1)")
OPTIONAL_COUNT32 = Column(pa.uint32(), "Nullable(UInt32)")
MONEY = Column(pa.int64(), "Nullable(Int64)")
RATIO = Column(pa.float32(), "Float32")
OPTIONAL_RATIO = Column(pa.float32(), "Nullable(Float32)")
INSTANT_MS = Column(pa.timestamp("ms", "UTC"), "DateTime64(3, 'UTC')", "Delta, ZSTD(1)")

HASH_BYTES = 16
NO_HASH = bytes(HASH_BYTES)
"""Stands for an unknown user, session or key: a keyed hash is never all zeros in practice (2**-128)."""


TextEnum = enum.StrEnum
"""Base of labels with a closed set of values: members are their values."""
