"""A checkpoint: one partition's state as bytes, with the offset that it includes. Pure."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence

import polars as pl
import zstandard

from tokentide_schemas.cubes import Cube
from tokentide_schemas.identity import SeenEnvelopes
from tokentide_stream.aggregate import state_schema
from tokentide_stream.partition import PartitionState

FORMAT = 1
_LENGTH = struct.Struct("<I")


class CheckpointError(Exception):
    """A checkpoint cannot be read or does not fit the present configuration."""


def dump(state: PartitionState, epoch: str) -> bytes:
    """State after a flush. `epoch` is the id of the source topic, so that a topic made anew starts from nothing."""
    frames = state.open_rows()
    bodies = []
    for frame in frames.values():
        body = io.BytesIO()
        frame.write_ipc(body)
        bodies.append(body.getvalue())
    head = {
        "format": FORMAT,
        "epoch": epoch,
        "applied_offset": state.applied_offset,
        "watermark_ms": state.watermark_ms,
        "applied_events": state.applied_events,
        "late_events": state.late_events,
        "duplicate_envelopes": state.duplicate_envelopes,
        "seen": state.seen.dump(),
        "cubes": {name: len(body) for name, body in zip(frames, bodies, strict=True)},
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    return zstandard.compress(_LENGTH.pack(len(text)) + text + b"".join(bodies), 1)


def peek(value: bytes) -> tuple[str, int]:
    """Epoch and applied offset of a checkpoint. Raises CheckpointError when it cannot be read."""
    head, _ = _read(value)
    return str(head["epoch"]), int(head["applied_offset"])


def load(value: bytes, cubes: Sequence[Cube], allowed_lateness_s: int) -> PartitionState:
    """The inverse of `dump`.

    Raises CheckpointError when the checkpoint lacks a configured cube: its open windows would restart from zero and
    overwrite good totals.
    """
    head, bodies = _read(value)
    state = PartitionState(cubes, allowed_lateness_s)
    frames: dict[str, pl.DataFrame] = {}
    position = 0
    for name, length in head["cubes"].items():
        frames[name] = pl.read_ipc(io.BytesIO(bodies[position : position + length]))
        position += length
    for cube in cubes:
        if cube.name not in frames:
            raise CheckpointError(f"the checkpoint has no cube {cube.name!r}; it was made by another configuration")
        expected = state_schema(cube)
        if dict(frames[cube.name].schema) != expected:
            raise CheckpointError(f"cube {cube.name!r} has other columns in the checkpoint than in the configuration")
    state.restore_rows(frames)
    state.applied_offset = int(head["applied_offset"])
    state.watermark_ms = int(head["watermark_ms"])
    state.applied_events = int(head["applied_events"])
    state.late_events = int(head["late_events"])
    state.duplicate_envelopes = int(head["duplicate_envelopes"])
    state.seen = SeenEnvelopes.load(head["seen"])
    return state


def _read(value: bytes) -> tuple[dict, bytes]:  # type: ignore[type-arg]
    try:
        decoder = zstandard.ZstdDecompressor().decompressobj()
        plain = decoder.decompress(value)
        if not decoder.eof:
            raise ValueError("it was cut off")
        (length,) = _LENGTH.unpack_from(plain)
        head = json.loads(plain[_LENGTH.size : _LENGTH.size + length])
    except (zstandard.ZstdError, struct.error, ValueError) as error:
        raise CheckpointError(f"unreadable checkpoint: {error}") from error
    if head.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint format {head.get('format')}; this worker reads {FORMAT}")
    return head, plain[_LENGTH.size + length :]
