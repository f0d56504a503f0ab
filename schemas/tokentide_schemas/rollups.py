"""The rollup topic's records: a cube's partial sums as Arrow, and progress reports as JSON.

A partial holds absolute values: the sum over all events of one source partition, window, segment and group up to the
offset in `version`. Of two rows with the same key the one with the higher version is right, so records may be repeated
and need no identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from tokentide_schemas.arrow import COMPRESSED
from tokentide_schemas.cubes import Cube
from tokentide_schemas.dimensions import DERIVED

HEADER_KIND: Final = "tokentide-kind"
HEADER_CUBE: Final = "tokentide-cube"
KIND_PARTIALS: Final = b"partials"
KIND_PROGRESS: Final = b"progress"

ROWS_PER_RECORD: Final = 20_000
"""Keeps a record well under the topic's size limit at about 200 bytes a row."""

_LABEL: Final = pa.dictionary(pa.int32(), pa.utf8())


class RollupRecordError(ValueError):
    """A record of the rollup topic cannot be read."""


def partials_schema(cube: Cube) -> pa.Schema:
    """Arrow schema of a cube's partials, the columns of its ClickHouse table in their order."""
    return pa.schema(
        [
            pa.field("window_start", pa.timestamp("s", "UTC")),
            *(pa.field(name, pa.int32() if name in DERIVED else _LABEL) for name in cube.dimensions),
            pa.field("source_epoch", _LABEL),
            pa.field("source_partition", pa.uint16()),
            pa.field("segment", pa.uint32()),
            pa.field("version", pa.uint64()),
            *(pa.field(name, pa.int64()) for name in cube.measures),
            pa.field("emitted_at", pa.timestamp("ms", "UTC")),
        ]
    )


class Progress(BaseModel):
    """How far the worker is in one partition of the usage topic.

    applied_offset, watermark_ms, applied_events: up to where the rows of the live cubes (`Cube.is_live`) are in the
    topic before this report. counted_offset: up to where the worker has counted. published_offset and
    published_watermark_ms: up to where the rows of every cube and tier are there; slow ones come later. counted_from_s:
    cube or tier -> start of its first complete window in this partition, seconds since 1970 UTC, where it is not the
    beginning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    epoch: str
    partition: int
    applied_offset: int
    counted_offset: int
    end_offset: int
    watermark_ms: int
    applied_events: int
    emitted_at_ms: int
    lag_ms: int
    published_offset: int
    published_watermark_ms: int
    counted_from_s: dict[str, int]


def encode_partials(table: pa.Table) -> list[bytes]:
    """Arrow streams of at most `ROWS_PER_RECORD` rows each."""
    records = []
    for start in range(0, table.num_rows, ROWS_PER_RECORD):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=COMPRESSED) as writer:
            writer.write_table(table.slice(start, ROWS_PER_RECORD))
        records.append(bytes(sink.getvalue()))
    return records


def decode_partials(cubes: Mapping[str, Cube], headers: Mapping[str, bytes], value: bytes) -> tuple[Cube, pa.Table]:
    """A partials record. Raises RollupRecordError for an unknown cube or other columns than the cube's."""
    name = headers.get(HEADER_CUBE, b"").decode("ascii", "replace")
    cube = cubes.get(name)
    if cube is None:
        raise RollupRecordError(f"cube {name!r} is not configured here; run the same configuration in worker and sinks")
    try:
        with pa.ipc.open_stream(value) as reader:
            table = reader.read_all()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RollupRecordError(f"cube {name}: unreadable Arrow stream ({type(error).__name__})") from error
    if not table.schema.equals(partials_schema(cube)):
        raise RollupRecordError(f"cube {name}: the record's columns are not those of this version")
    return cube, table
