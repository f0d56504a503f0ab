"""The state of one source partition: what it has counted, up to which offset, and how far event time is. Pure.

Everything here is a function of the partition's records in offset order: the split into batches, the wall clock and
crashes change nothing. That is what makes rows that are sent again after a crash identical or newer, never different.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from tokentide_schemas import topics
from tokentide_schemas.block import MAX_CLOCK_SKEW_MS, assemble
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.costing import with_computed_costs
from tokentide_schemas.cubes import Cube
from tokentide_schemas.envelope import Envelope, Record, decode
from tokentide_schemas.event_ids import SeenEventIds, without_repeated_events
from tokentide_schemas.identity import SeenEnvelopes
from tokentide_stream.aggregate import SEGMENT_MS, Block, decoded, encoded, group, merge, segment_of
from tokentide_stream.labels import Ints, Labels
from tokentide_stream.rollup import Position, Rollup
from tokentide_stream.rollup import ShrinkingPartialError as ShrinkingPartialError

NOT_YET_MS = 0
"""Watermark before the first event."""

_MERGE_ROWS = 50_000


@dataclass(slots=True)
class _CubeState:
    """A cube, the sums of blocks that are not yet distributed, and its rollups: the cube itself, then its tiers."""

    cube: Cube
    rollups: tuple[Rollup, ...]
    fresh: list[pl.DataFrame] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return ["window_start_s", "segment", *map(segment_of, self.cube.tiers), *self.cube.dimensions]

    def take(self, sums: pl.DataFrame) -> None:
        self.fresh.append(sums)
        if sum(map(len, self.fresh)) > _MERGE_ROWS:
            self.distribute()

    def distribute(self) -> None:
        """Hand what came to the cube's own windows and to the tiers': added up once, so a tier costs little."""
        if not self.fresh:
            return
        sums = merge(self.fresh, self.keys) if len(self.fresh) > 1 else self.fresh[0]
        self.fresh = []
        self.rollups[0].feed(sums)
        for tier in self.rollups[1:]:
            length = tier.cube.window_s
            start = pl.col("window_start_s") // length * length
            tier.feed(sums.with_columns(start.alias("window_start_s"), pl.col(segment_of(length)).alias("segment")))


@dataclass(frozen=True, slots=True)
class Changes:
    """What a flush publishes.

    version: the last offset counted. rows: cube or tier name -> absolute partial sums of every group that changed.
    published: up to where the rows of every cube and tier are published with this flush; behind `version` while a
    slow one waits for its turn. live: the same of the live cubes alone.
    """

    version: int
    watermark_ms: int
    applied_events: int
    rows: dict[str, pl.DataFrame]
    published: Position
    live: Position


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
        self.duplicate_events = 0
        self.seen = SeenEnvelopes()
        self.seen_event_ids = SeenEventIds()
        # Gives the costs that no producer reported; the raw sink must have the same catalogue.
        self.pricer: Catalogue | None = None
        self.labels = Labels()
        self._cubes = [
            _CubeState(cube, tuple(Rollup.empty(part, self.position) for part in (cube, *cube.tier_cubes)))
            for cube in cubes
        ]

    @property
    def position(self) -> Position:
        """Up to where everything is counted."""
        return Position(self.applied_offset, self.watermark_ms, self.applied_events)

    def rollups(self) -> Iterator[Rollup]:
        """The cubes and tiers in the order of the configuration."""
        for state in self._cubes:
            yield from state.rollups

    @property
    def open_groups(self) -> int:
        """Rows held in memory, all cubes and tiers."""
        return sum(r.groups for r in self.rollups()) + sum(len(f) for c in self._cubes for f in c.fresh)

    @property
    def folded_requests(self) -> int:
        """Requests that were counted under `__other__`, once for each cube, tier and dimension."""
        return sum(rollup.folded_requests for rollup in self.rollups())

    @property
    def is_dirty(self) -> bool:
        """There is something that is not published."""
        return any(c.fresh for c in self._cubes) or any(r.pending for r in self.rollups())

    @property
    def counted_from_s(self) -> dict[str, int]:
        """Cube or tier -> start of its first complete window, where that is not the beginning."""
        return {r.cube.name: r.counted_from_s for r in self.rollups() if r.counted_from_s}

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
        block, repeats = without_repeated_events(assemble(envelopes), envelopes, self.seen_event_ids)
        if repeats is not None:
            self.duplicate_events += sum(repeats.rows)
        if self.pricer is not None:
            block = with_computed_costs(block, self.pricer)
        self.applied_offset = new[-1].offset
        rows: int = block.table.num_rows
        if rows == 0:
            return 0
        occurred = block.table.column("occurred_at").cast("int64").to_numpy()
        before, self.watermark_ms = self._watermarks(envelopes, block.envelope_index, occurred)
        counted = Block(
            block.table, self.labels, before[block.envelope_index], self.allowed_lateness_ms, self.applied_events
        )
        late_in_any = np.zeros(rows, np.bool_)
        for state in self._cubes:
            state.take(group(state.cube, counted))
            segment = counted.segment(state.cube.window_s)
            if segment is not None:
                late_in_any |= segment > 0
        self.late_events += int(np.count_nonzero(late_in_any))
        self.applied_events += rows
        return rows

    def _once(self, envelope: Envelope) -> Envelope:
        """Strip an envelope of its events when they are counted already: delivered before, or a repair of raw rows."""
        identity = envelope.identity
        if envelope.table is None or identity is None:
            return envelope
        if self.seen.admit(identity.producer_id, identity.sequence, envelope.record.appended_at_ms):
            if envelope.record.headers.get(topics.HEADER_REPAIR) != topics.REPAIR_RAW:
                return envelope
            return Envelope(envelope.record, None, envelope.events, identity)
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

    def flush(self, now_s: float | None = None) -> Changes:
        """Publish what is due at `now_s`, or everything: add up what came, drop what can no longer change.

        now_s: any clock of seconds that does not run backwards; cubes and tiers each have their own pause.
        Raises ShrinkingPartialError when the state is damaged.
        """
        rows = {}
        for state in self._cubes:
            due = [rollup for rollup in state.rollups if rollup.is_due(now_s)]
            if due:
                state.distribute()
            for rollup in due:
                if not rollup.pending:
                    continue
                changed = rollup.publish(self.position, self._can_change(rollup.cube), self.labels)
                rows[rollup.cube.name] = decoded(rollup.cube, changed, self.labels)
                rollup.published_at_s = now_s
        waiting: list[Rollup] = []
        for state in self._cubes:
            for rollup in state.rollups:
                if state.fresh or rollup.pending:
                    waiting.append(rollup)
                else:
                    rollup.position = self.position
        published = self._furthest(waiting)
        live = self._furthest([rollup for rollup in waiting if rollup.cube.is_live])
        if self.labels.has_grown:
            self._forget_unused_labels()
        return Changes(self.applied_offset, self.watermark_ms, self.applied_events, rows, published, live)

    def _furthest(self, waiting: Sequence[Rollup]) -> Position:
        return min((rollup.position for rollup in waiting), key=lambda p: p.offset, default=self.position)

    def _can_change(self, cube: Cube) -> pl.Expr:
        end_ms = (pl.col("window_start_s") + cube.window_s) * 1000
        in_time = (pl.col("segment") == 0) & (end_ms + self.allowed_lateness_ms > self.watermark_ms)
        return in_time | (pl.col("segment") >= self.watermark_ms // SEGMENT_MS)

    def _forget_unused_labels(self) -> None:
        for state in self._cubes:
            state.distribute()
        used: dict[str, set[int]] = {}
        for rollup in self.rollups():
            for name in rollup.cube.guarded:
                for frame in (rollup.open_rows, *rollup.pending):
                    used.setdefault(name, set()).update(frame[name].unique().to_list())
        moved = self.labels.keep(used)
        for rollup in self.rollups():
            rollup.renumber(moved)

    def distribute(self) -> None:
        """Bring everything that came into the rollups' pending rows, added up: the shape of a checkpoint."""
        for state in self._cubes:
            state.distribute()
            for rollup in state.rollups:
                rollup.collapse()

    def open_rows(self) -> dict[str, pl.DataFrame]:
        """Published rows that can still change, by cube and tier. Call after a full `flush`; raises RuntimeError when
        one is due."""
        if self.is_dirty:
            raise RuntimeError("flush before open_rows: they must hold everything up to the applied offset")
        return {r.cube.name: decoded(r.cube, r.open_rows, self.labels) for r in self.rollups()}

    def restore_rows(self, rows: dict[str, pl.DataFrame]) -> None:
        """Take up open rows, as `open_rows` gives them."""
        for rollup in self.rollups():
            if rollup.cube.name in rows:
                rollup.open_rows = encoded(rollup.cube, rows[rollup.cube.name], self.labels)
                rollup.encoded = None

    def first_complete_window_s(self, window_s: int) -> int:
        """Start of the first window of which no event was counted yet: where a new cube begins.

        No event is ahead of the watermark by more than the clock skew that the guard against the future allows.
        """
        if not self.applied_events:
            return 0
        return ((self.watermark_ms + MAX_CLOCK_SKEW_MS) // 1000 // window_s + 1) * window_s
