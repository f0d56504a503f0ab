"""The rows of one cube or tier in one partition: what was published, and what came since. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from tokentide_schemas.cubes import KEPT_WHEN_FOLDED, Cube
from tokentide_schemas.dimensions import OTHER
from tokentide_stream.aggregate import FIRST, add, coded_schema, group_keys, merge
from tokentide_stream.labels import Ints, Labels

_COLLAPSE_ROWS = 20_000


class ShrinkingPartialError(Exception):
    """A sum is smaller than the one it would replace: the state is damaged and must not be published."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far something is in its partition: the last offset, the watermark after it, the events up to it."""

    offset: int
    watermark_ms: int
    applied_events: int


@dataclass(slots=True)
class Rollup:
    """Partial sums of a cube or tier.

    open_rows: absolute sums that can still change, as published. pending: what came since, in the partition's order.
    position: up to where `open_rows` goes. counted_from_s: start of the first window that has all of its events.
    published_at_s: when it was published last; None before the first time.
    """

    cube: Cube
    open_rows: pl.DataFrame
    position: Position
    counted_from_s: int = 0
    pending: list[pl.DataFrame] = field(default_factory=list)
    published_at_s: float | None = None
    folded_requests: int = 0
    # The encoded `open_rows` of the last checkpoint, while they are the same.
    encoded: bytes | None = None
    _collapsed_rows: int = 0

    @classmethod
    def empty(cls, cube: Cube, position: Position) -> Rollup:
        """A rollup that has counted nothing up to `position`."""
        return cls(cube, pl.DataFrame(schema=coded_schema(cube)), position)

    @property
    def groups(self) -> int:
        """Rows held in memory."""
        return len(self.open_rows) + sum(map(len, self.pending))

    def is_due(self, now_s: float | None) -> bool:
        """It is time to publish. now_s: None means everything at once."""
        if now_s is None or self.published_at_s is None:
            return True
        return now_s - self.published_at_s >= self.cube.emit_interval_s

    def feed(self, sums: pl.DataFrame) -> None:
        """Take sums that came after everything before: columns of `coded_schema` and FIRST."""
        if self.counted_from_s:
            sums = sums.filter(pl.col("window_start_s") >= self.counted_from_s)
        if len(sums):
            self.pending.append(sums.select([*coded_schema(self.cube), FIRST]))
            if sum(map(len, self.pending)) > 2 * self._collapsed_rows + _COLLAPSE_ROWS:
                self.collapse()

    def collapse(self) -> None:
        """Add up what is pending, to hold less."""
        if len(self.pending) > 1:
            self.pending = [merge(self.pending, group_keys(self.cube))]
            self._collapsed_rows = len(self.pending[0])

    def publish(self, position: Position, can_change: pl.Expr, labels: Labels) -> pl.DataFrame:
        """Absolute sums of every group that changed. Keeps only rows that `can_change`.

        Raises ShrinkingPartialError: requests only ever grow; a smaller sum means lost state, and publishing it would
        destroy a good total.
        """
        self._fold(labels)
        keys = group_keys(self.cube)
        fresh = merge(self.pending, keys)
        total, place, into = add(self.open_rows, fresh, keys)
        requests = total["requests"].to_numpy()
        if (requests[into] <= self.open_rows["requests"].to_numpy()[into]).any():
            raise ShrinkingPartialError(
                f"cube {self.cube.name}: a group has fewer requests than what was published for it before; "
                "stopping so that the stored totals stay right. Restart to recover from the last checkpoint."
            )
        self.open_rows = total.filter(can_change)
        self.pending = []
        self._collapsed_rows = 0
        self.position = position
        self.encoded = None
        return total[place]

    def renumber(self, moved: dict[str, Ints]) -> None:
        """Follow `Labels.keep`."""

        def follow(frame: pl.DataFrame) -> pl.DataFrame:
            columns = [
                pl.Series(name, moved[name][frame[name].to_numpy()].astype(np.int32)) for name in self.cube.guarded
            ]
            return frame.with_columns(columns)

        self.open_rows = follow(self.open_rows)
        self.pending = [follow(frame) for frame in self.pending]
        self.encoded = None

    def _fold(self, labels: Labels) -> None:
        """Count under `__other__` what is past a limit: of a dimension's distinct values, then of the groups.

        In each window and segment those that came first in the log are admitted, so batches, crashes and restarts give
        the same answer; who is admitted already is in the open rows.
        """
        for name, limit in self.cube.guarded.items():
            if labels.size(name) > limit:
                self._fold_past(limit, (name,), {name: labels.number(name, OTHER)})
        foldable = [name for name in self.cube.guarded if name not in KEPT_WHEN_FOLDED]
        if foldable and self.groups > self.cube.max_groups:
            others = {name: labels.number(name, OTHER) for name in foldable}
            self._fold_past(self.cube.max_groups, self.cube.dimensions, others)

    def _fold_past(self, limit: int, names: tuple[str, ...], others: dict[str, int]) -> None:
        """Admit so many distinct values of the columns `names`; in all other rows, set the columns of `others`."""
        place = ["window_start_s", "segment"]
        key = [*place, *names]
        is_other = pl.all_horizontal([pl.col(name) == value for name, value in others.items()])
        known = self.open_rows.filter(~is_other).select(key).unique()
        taken = known.group_by(place).agg(pl.len().cast(pl.Int64).alias("taken"))
        came = pl.concat([frame.select(*key, FIRST) for frame in self.pending]).filter(~is_other)
        new = came.group_by(key).agg(pl.col(FIRST).min()).join(known, on=key, how="anti")
        rank = pl.col(FIRST).rank("ordinal").over(place).cast(pl.Int64)
        refused = (
            new.join(taken, on=place, how="left")
            .filter(rank + pl.col("taken").fill_null(0) > limit)
            .select(*key, pl.lit(value=True).alias("refused"))
        )
        if len(refused):
            self.pending = [self._folded(frame, refused, key, others) for frame in self.pending]

    def _folded(
        self, frame: pl.DataFrame, refused: pl.DataFrame, key: list[str], others: dict[str, int]
    ) -> pl.DataFrame:
        marked = frame.join(refused, on=key, how="left", maintain_order="left")
        is_refused = pl.col("refused").fill_null(value=False)
        self.folded_requests += int(marked.filter(is_refused)["requests"].sum())
        values = [
            pl.when(is_refused).then(pl.lit(other, pl.Int32)).otherwise(pl.col(name)).alias(name)
            for name, other in others.items()
        ]
        return marked.with_columns(values).select(frame.columns)
