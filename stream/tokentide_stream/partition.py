"""The state of one source partition: what it has counted, up to which offset, and how far event time is. Pure.

Everything here is a function of the partition's records in offset order: the split into batches, the wall clock and
crashes change nothing. That is what makes rows that are sent again after a crash identical or newer, never different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from tokentide_schemas.block import assemble
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.costing import with_computed_costs
from tokentide_schemas.cubes import Cube
from tokentide_schemas.envelope import Envelope, Record, decode
from tokentide_schemas.identity import SeenEnvelopes
from tokentide_stream.aggregate import Ints, group, group_keys, merge, prepare, state_schema

NOT_YET_MS = 0
"""Watermark before the first event."""

SEGMENT_MS = 60_000


class ShrinkingPartialError(Exception):
    """A sum is smaller than the one it would replace: the state is damaged and must not be published."""


@dataclass(slots=True)
class _CubeState:
    cube: Cube
    open_rows: pl.DataFrame
    fresh: list[pl.DataFrame] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a flush publishes. rows: cube name -> absolute partial sums of every group that changed."""

    version: int
    watermark_ms: int
    applied_events: int
    rows: dict[str, pl.DataFrame]


class PartitionState:
    """Counts of one partition in open windows.

    A window is open until the partition's watermark passes its end by `allowed_lateness_s`. Later events of a closed
    window are counted in a further segment, numbered by the watermark's minute when they came, which is additive.
    """

    def __init__(self, cubes: Sequence[Cube], allowed_lateness_s: int) -> None:
        self.allowed_lateness_ms = allowed_lateness_s * 1000
        self.applied_offset = -1
        self.watermark_ms = NOT_YET_MS
        self.applied_events = 0
        # Events that came after the close of their window in at least one cube.
        self.late_events = 0
        self.duplicate_envelopes = 0
        self.seen = SeenEnvelopes()
        # Gives the costs that no producer reported; the raw sink must have the same catalogue.
        self.pricer: Catalogue | None = None
        self._cubes = {cube.name: _CubeState(cube, pl.DataFrame(schema=state_schema(cube))) for cube in cubes}

    @property
    def open_groups(self) -> int:
        """Rows held in memory, all cubes."""
        return sum(len(c.open_rows) + sum(map(len, c.fresh)) for c in self._cubes.values())

    @property
    def is_dirty(self) -> bool:
        """There is something that the last flush has not published."""
        return any(c.fresh for c in self._cubes.values())

    def apply(self, records: Sequence[Record]) -> int:
        """Count records that were not counted before; returns how many events were.

        Call in offset order; records that come again, in this call or in a later one, are passed over.
        """
        new: list[Record] = []
        for record in records:
            if record.offset > (new[-1].offset if new else self.applied_offset):
                new.append(record)
        if not new:
            return 0
        envelopes = [self._once(decode(record)) for record in new]
        block = assemble(envelopes)
        if self.pricer is not None:
            block = with_computed_costs(block, self.pricer)
        self.applied_offset = new[-1].offset
        rows: int = block.table.num_rows
        if rows == 0:
            return 0
        occurred = block.table.column("occurred_at").cast("int64").to_numpy()
        before, self.watermark_ms = self._watermarks(envelopes, block.envelope_index, occurred)
        watermark_at_row = before[block.envelope_index]
        late_in_any = np.zeros(rows, np.bool_)
        prepared = prepare(block.table)
        for state in self._cubes.values():
            window_ms = state.cube.window_s * 1000
            ends = (occurred // window_ms + 1) * window_ms
            late = ends + self.allowed_lateness_ms <= watermark_at_row
            segment = np.where(late, watermark_at_row // SEGMENT_MS, 0)
            state.fresh.append(group(state.cube, prepared, segment))
            late_in_any |= late
        self.late_events += int(np.count_nonzero(late_in_any))
        self.applied_events += rows
        return rows

    def _once(self, envelope: Envelope) -> Envelope:
        """Strip an envelope of its events when the partition has delivered it before."""
        identity = envelope.identity
        if envelope.table is None or identity is None:
            return envelope
        if self.seen.admit(identity.producer_id, identity.sequence, envelope.record.appended_at_ms):
            return envelope
        self.duplicate_envelopes += 1
        return Envelope(envelope.record, None, envelope.events, identity)

    def _watermarks(self, envelopes: Sequence[Envelope], index: np.ndarray, occurred: Ints) -> tuple[Ints, int]:
        """The watermark that each envelope met, and the one after the last.

        An envelope moves the watermark to its newest event, but never past the time at which the broker received it.
        """
        newest = np.full(len(envelopes), NOT_YET_MS, np.int64)
        np.maximum.at(newest, index, occurred)
        appended = np.array([e.record.appended_at_ms for e in envelopes], np.int64)
        after = np.maximum.accumulate(np.maximum(np.minimum(newest, appended), self.watermark_ms))
        before = np.concatenate(([self.watermark_ms], after[:-1]))
        return before, int(after[-1])

    def flush(self) -> Changes:
        """Add up what came since the last flush, drop what can no longer change, return what changed."""
        rows = {}
        for name, state in self._cubes.items():
            if not state.fresh:
                continue
            keys = group_keys(state.cube)
            fresh = merge(state.cube, state.fresh)
            merged = merge(state.cube, [state.open_rows, fresh])
            changed = merged.join(fresh.select(keys), on=keys, how="semi")
            _refuse_shrinking(state, changed, keys)
            state.fresh.clear()
            state.open_rows = merged.filter(self._can_change(state.cube))
            rows[name] = changed
        return Changes(self.applied_offset, self.watermark_ms, self.applied_events, rows)

    def _can_change(self, cube: Cube) -> pl.Expr:
        end_ms = (pl.col("window_start_s") + cube.window_s) * 1000
        in_time = (pl.col("segment") == 0) & (end_ms + self.allowed_lateness_ms > self.watermark_ms)
        return in_time | (pl.col("segment") >= self.watermark_ms // SEGMENT_MS)

    def open_rows(self) -> dict[str, pl.DataFrame]:
        """Open rows by cube, for a checkpoint. Call right after `flush`; raises RuntimeError when it is due."""
        if self.is_dirty:
            raise RuntimeError("flush before a checkpoint: it must hold everything up to its offset")
        return {name: state.open_rows for name, state in self._cubes.items()}

    def restore_rows(self, rows: dict[str, pl.DataFrame]) -> None:
        """Take up a checkpoint's open rows."""
        for name, frame in rows.items():
            if name in self._cubes:
                self._cubes[name].open_rows = frame


def _refuse_shrinking(state: _CubeState, changed: pl.DataFrame, keys: list[str]) -> None:
    """Requests only ever grow; a smaller sum means lost state, and publishing it would destroy a good total."""
    both = changed.join(state.open_rows, on=keys, how="inner", suffix="_before")
    if (both["requests"] <= both["requests_before"]).any():
        raise ShrinkingPartialError(
            f"cube {state.cube.name}: a group has fewer requests than what was published for it before; "
            "stopping so that the stored totals stay right. Restart to recover from the last checkpoint."
        )
