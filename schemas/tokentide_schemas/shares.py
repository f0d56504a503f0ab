"""The shares topic's records: who has which part of a global window, as Arrow.

A record holds all keys of one or more windows. Live rows are replaced every few seconds; final rows say what a closed
window holds and are sent again, with a higher version, when a late event changes it. Of two rows with the same
(window_start, horizon_s, dimension, key, is_final) the one with the higher version is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from tokentide_schemas.arrow import COMPRESSED

HEADER_KIND: Final = "tokentide-kind"
KIND_SHARES: Final = b"shares"

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
HORIZONS_S: Final = (60, 300, 3_600, 86_400)
"""Lengths of the rolling windows, seconds."""

CUBE_DIMENSIONS: Final = ("model", "category", "provider")
"""Dimensions of the cube `model` that shares are kept of."""
CATALOGUE_DIMENSIONS: Final = ("author", "origin_group", "size_class", "reasoning")
"""Dimensions that the catalogue gives for a model."""
DIMENSIONS: Final = (*CUBE_DIMENSIONS, *CATALOGUE_DIMENSIONS)

UNKNOWN: Final = "unknown"
"""Key of what the catalogue does not know, or of which it does not know this property."""
MEASURES: Final = ("requests", "tokens", "cost_nanousd", "error_requests")
"""Integer sums of a window. Shares are of the first three."""

ROWS_PER_RECORD: Final = 20_000

_LABEL: Final = pa.dictionary(pa.int32(), pa.utf8())

SCHEMA: Final = pa.schema(
    [
        pa.field("window_start", pa.timestamp("s", "UTC")),
        pa.field("as_of", pa.timestamp("ms", "UTC")),
        pa.field("horizon_s", pa.uint32()),
        pa.field("dimension", _LABEL),
        pa.field("key", _LABEL),
        *(pa.field(name, pa.int64()) for name in MEASURES),
        pa.field("request_share", pa.float64()),
        pa.field("token_share", pa.float64()),
        pa.field("cost_share", pa.float64()),
        *(pa.field(f"previous_{name}", pa.int64()) for name in MEASURES),
        pa.field("request_share_change_pp", pa.float64()),
        pa.field("token_share_change_pp", pa.float64()),
        pa.field("cost_share_change_pp", pa.float64()),
        pa.field("rank", pa.uint32()),
        pa.field("mover_rank", pa.uint32()),
        pa.field("is_final", pa.bool_()),
        pa.field("version", pa.uint64()),
        pa.field("emitted_at", pa.timestamp("ms", "UTC")),
    ]
)
"""Columns of a record and, without `is_final`, of its ClickHouse table, in their order. A null share or change is one
that cannot be known: a part of nothing."""


class ShareRecordError(ValueError):
    """A record of the shares topic cannot be read."""


def encode_shares(table: pa.Table) -> list[bytes]:
    """Arrow streams of at most `ROWS_PER_RECORD` rows each."""
    records = []
    for start in range(0, table.num_rows, ROWS_PER_RECORD):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, SCHEMA, options=COMPRESSED) as writer:
            writer.write_table(table.slice(start, ROWS_PER_RECORD))
        records.append(bytes(sink.getvalue()))
    return records


def decode_shares(headers: Mapping[str, bytes], value: bytes) -> pa.Table:
    """Rows of a record. Raises ShareRecordError for another kind, an unreadable stream or other columns."""
    kind = headers.get(HEADER_KIND)
    if kind != KIND_SHARES:
        raise ShareRecordError(f"unknown record kind {kind!r}; expected {KIND_SHARES!r}")
    try:
        with pa.ipc.open_stream(value) as reader:
            table = reader.read_all()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ShareRecordError(f"unreadable Arrow stream ({type(error).__name__})") from error
    if not table.schema.equals(SCHEMA):
        raise ShareRecordError("the record's columns are not those of this version; run one version everywhere")
    return table
