"""A checkpoint: one partition's state as bytes, with the offset that it includes. Pure."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import polars as pl
import zstandard

from tokentide_schemas.cubes import Cube
from tokentide_schemas.event_ids import SeenEventIds
from tokentide_schemas.identity import SeenEnvelopes
from tokentide_stream.labels import Labels
from tokentide_stream.partition import PartitionState
from tokentide_stream.rollup import Position

FORMAT = 2
_LENGTH = struct.Struct("<I")


class CheckpointError(Exception):
    """A checkpoint cannot be read or does not fit the present configuration."""


def dump(state: PartitionState, epoch: str) -> bytes:
    """The whole state, published or not. `epoch` is the id of the source topic, so that a topic made anew starts from
    nothing.

    Published rows change only when they are published, so their bytes are kept: a checkpoint costs what came since.
    """
    state.distribute()
    parts = [zstandard.compress(json.dumps([state.labels.dump(), state.seen.dump()]).encode(), 1)]
    parts.append(zstandard.compress(state.seen_event_ids.dump(), 1))
    rollups = []
    for rollup in state.rollups():
        if rollup.encoded is None:
            rollup.encoded = _frame_bytes(rollup.open_rows)
        pending = _frame_bytes(rollup.pending[0]) if rollup.pending else b""
        parts += [rollup.encoded, pending]
        rollups.append(
            {
                **_definition(rollup.cube),
                "bytes": [len(rollup.encoded), len(pending)],
                "position": astuple(rollup.position),
                "counted_from_s": rollup.counted_from_s,
                "folded_requests": rollup.folded_requests,
            }
        )
    head = {
        "format": FORMAT,
        "epoch": epoch,
        "applied_offset": state.applied_offset,
        "watermark_ms": state.watermark_ms,
        "applied_events": state.applied_events,
        "late_events": state.late_events,
        "duplicate_envelopes": state.duplicate_envelopes,
        "duplicate_events": state.duplicate_events,
        "body_bytes": sum(map(len, parts)),
        "tables_bytes": len(parts[0]),
        "event_ids_bytes": len(parts[1]),
        "rollups": rollups,
    }
    text = zstandard.compress(json.dumps(head, separators=(",", ":")).encode(), 1)
    return b"".join([_LENGTH.pack(len(text)), text, *parts])


def _definition(cube: Cube) -> dict[str, Any]:
    return {
        "name": cube.name,
        "dimensions": list(cube.dimensions),
        "window_s": cube.window_s,
        "measures": list(cube.measures),
    }


def _frame_bytes(frame: pl.DataFrame) -> bytes:
    body = io.BytesIO()
    frame.write_ipc(body)
    return zstandard.compress(body.getbuffer(), 1)


def _frame(value: bytes) -> pl.DataFrame:
    return pl.read_ipc(io.BytesIO(zstandard.decompress(value)))


def peek(value: bytes) -> tuple[str, int]:
    """Epoch and applied offset of a checkpoint. Raises CheckpointError when it cannot be read."""
    head, _ = _read(value)
    return str(head["epoch"]), int(head["applied_offset"])


def load(value: bytes, cubes: Sequence[Cube], allowed_lateness_s: int) -> PartitionState:
    """The inverse of `dump`.

    A cube or tier that the checkpoint lacks was added since: it counts from the first window of which nothing has
    passed yet. One that is no longer configured is forgotten. Raises CheckpointError for bytes that cannot be read
    and for a cube that has kept its name but not its definition.
    """
    head, bodies = _read(value)
    state = PartitionState(cubes, allowed_lateness_s)
    state.applied_offset = int(head["applied_offset"])
    state.watermark_ms = int(head["watermark_ms"])
    state.applied_events = int(head["applied_events"])
    state.late_events = int(head["late_events"])
    state.duplicate_envelopes = int(head["duplicate_envelopes"])
    state.duplicate_events = int(head["duplicate_events"])
    try:
        position = int(head["tables_bytes"])
        labels, seen = json.loads(zstandard.decompress(bodies[:position]))
        state.labels = Labels(labels)
        state.seen = SeenEnvelopes.load(seen)
        ids_end = position + int(head["event_ids_bytes"])
        state.seen_event_ids = SeenEventIds.load(zstandard.decompress(bodies[position:ids_end]))
        position = ids_end
        saved = {}
        for entry in head["rollups"]:
            first, second = entry["bytes"]
            saved[entry["name"]] = (entry, bodies[position : position + first], bodies[position + first :][:second])
            position += first + second
        for rollup in state.rollups():
            name = rollup.cube.name
            if name not in saved:
                rollup.counted_from_s = state.first_complete_window_s(rollup.cube.window_s)
                rollup.position = state.position
                continue
            entry, published, pending = saved[name]
            if {key: entry[key] for key in _definition(rollup.cube)} != _definition(rollup.cube):
                raise CheckpointError(
                    f"cube {name!r} has other dimensions, measures or windows in the checkpoint than in the "
                    "configuration; give the changed cube another name"
                )
            rollup.open_rows = _frame(published)
            rollup.pending = [_frame(pending)] if pending else []
            rollup.position = Position(*entry["position"])
            rollup.counted_from_s = int(entry["counted_from_s"])
            rollup.folded_requests = int(entry["folded_requests"])
    except (zstandard.ZstdError, struct.error, pl.exceptions.PolarsError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"unreadable checkpoint: {error}") from error
    return state


def _read(value: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        (length,) = _LENGTH.unpack_from(value)
        head = json.loads(zstandard.decompress(value[_LENGTH.size : _LENGTH.size + length]))
    except (zstandard.ZstdError, struct.error, ValueError) as error:
        raise CheckpointError(f"unreadable checkpoint: {error}") from error
    if head.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint format {head.get('format')}; this worker reads {FORMAT}")
    bodies = value[_LENGTH.size + length :]
    if len(bodies) != head["body_bytes"]:
        raise CheckpointError(f"unreadable checkpoint: {len(bodies)} bytes of rows, {head['body_bytes']} were written")
    return head, bodies
