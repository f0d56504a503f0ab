"""All partitions' partial sums merged into global sums by minute, and how far global event time is. Pure.

Two layers. Partials that may still be replaced are kept as they are, by source, and of two versions the higher counts.
What a source can no longer change is added up in rings of minutes, for good: a source's rows of a window precede, in
its partition of the rollup topic, the progress report whose watermark closes the window, so a row of a closed window
that comes later is a repeat. Memory: three rings (see `MinuteRing`) and the open windows' rows of all partitions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from tokentide_schemas.event import TOKEN_BUCKETS
from tokentide_schemas.rollups import Progress
from tokentide_schemas.shares import CUBE_DIMENSIONS, HOUR_S, MEASURES, MINUTE_S
from tokentide_stream.minute_ring import Ints, MinuteRing

MINUTE_MS: Final = 60_000
RETAINED_MINUTES: Final = 2 * 1440 + 120
"""Two days, for the window of 24 hours and the one before it, and two hours for what lags."""
KEY_LIMIT: Final = 1_024
"""Keys kept apart in each dimension. With all rings full: 3 x 3,000 x 1,024 x 4 x 8 bytes = 295 MB."""
FUTURE_MINUTES: Final = 11
"""An event may be ten minutes ahead of its partition's watermark (`MAX_AHEAD_MS`), and its minute begins earlier."""
UNREPORTED_FACTOR: Final = 4
"""A partition of which nothing at all is heard is given up after this many idle timeouts: its worker may restart."""

_LABELS: Final = ("model", "provider", "category", "outcome")
_KEYS: Final = ("source", "minute", "segment", *_LABELS)
OPEN_SCHEMA: Final[dict[str, pl.DataType]] = {
    "source": pl.Int64(),
    "minute": pl.Int64(),
    "segment": pl.Int64(),
    **{name: pl.String() for name in _LABELS},
    "version": pl.Int64(),
    **{name: pl.Int64() for name in MEASURES},
}


@dataclass(slots=True)
class Source:
    """A partition of the usage topic in one life of that topic. `closed_ms`: the watermark up to which its rows are
    final here; `moved_at_ms` and `reported_at_ms`: by the worker's clock; `heard_at_ms`: by ours."""

    code: int
    epoch: str
    partition: int
    watermark_ms: int = 0
    closed_ms: int = 0
    moved_at_ms: int = 0
    reported_at_ms: int = 0
    heard_at_ms: int = 0
    is_caught_up: bool = False
    is_retired: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Minutes start <= minute < start + length, as numbers since 1970 UTC."""

    start: int
    length: int


class GlobalWindows:
    """Merged minutes of the cube `model`. Call `apply_*` for each record, `absorb`, then read, then `archive`."""

    def __init__(
        self,
        partitions: int,
        allowed_lateness_s: int,
        idle_timeout_s: int,
        started_at_ms: int,
        retained_minutes: int = RETAINED_MINUTES,
        key_limit: int = KEY_LIMIT,
    ) -> None:
        self.partitions = partitions
        self.allowed_lateness_ms = allowed_lateness_s * 1000
        self.idle_timeout_ms = idle_timeout_s * 1000
        self.started_at_ms = started_at_ms
        self.offsets: dict[int, int] = {}
        self.sources: list[Source] = []
        self.rings = {name: MinuteRing(retained_minutes, key_limit) for name in CUBE_DIMENSIONS}
        self.open_rows = pl.DataFrame(schema=OPEN_SCHEMA)
        self.watermark_ms = 0
        # The newest event time; slow tiers of other cubes do not hold it back as they do watermarks.
        self.as_of_ms = 0
        # Windows before this minute lack records that were no longer in the topic; None while that is being found out.
        self.complete_from = 0
        self.incomplete: set[int] = set()
        # Windows that changed since their final rows were handed out, or had none yet.
        self.unfinal: set[Window] = set()
        self.changed_minutes: set[int] = set()
        self.partial_rows = 0
        self.too_old_rows = 0
        self.unreadable_records = 0
        self.skipped_windows = 0
        self._fresh: list[pl.DataFrame] = []
        self._current: dict[int, Source] = {}
        self._open_sums: dict[str, tuple[Ints, Ints, Ints]] = {}

    @property
    def oldest(self) -> int:
        """The first minute that is kept."""
        return self.rings["model"].oldest

    @property
    def waiting_rows(self) -> int:
        """Partial rows that the next `absorb` takes in."""
        return sum(map(len, self._fresh))

    def apply_partials(self, partition: int, offset: int, table: pa.Table) -> None:
        """A record of partials of the cube `model`."""
        if not self.pass_over(partition, offset) or table.num_rows == 0:
            return
        source = self._source(partition, table.column("source_epoch")[0].as_py())
        self.partial_rows += table.num_rows
        if not source.is_retired:
            rows = _reduced(source.code, table)
            self._fresh.append(rows)
            # A gateway's clock that is ahead cannot move the present past the worker's.
            newest_end_ms = (int(rows["minute"].max()) + 1) * MINUTE_MS - 1  # type: ignore[arg-type]
            emitted_ms = table.column("emitted_at")[-1].cast(pa.int64()).as_py()
            self.as_of_ms = max(self.as_of_ms, min(newest_end_ms, emitted_ms))

    def apply_progress(self, partition: int, offset: int, report: Progress, now_ms: int) -> None:
        """A progress report, read at `now_ms`."""
        if not self.pass_over(partition, offset):
            return
        source = self._source(partition, report.epoch)
        source.heard_at_ms = now_ms
        if source.is_retired or report.emitted_at_ms < source.reported_at_ms:
            return
        source.reported_at_ms = report.emitted_at_ms
        source.is_caught_up = report.applied_offset + 1 >= report.end_offset
        if report.watermark_ms > source.watermark_ms or not source.moved_at_ms:
            source.watermark_ms = max(source.watermark_ms, report.watermark_ms)
            source.moved_at_ms = report.emitted_at_ms
        if partition in self.incomplete:
            self.incomplete.discard(partition)
            self.complete_from = max(self.complete_from, report.watermark_ms // MINUTE_MS + FUTURE_MINUTES)

    def pass_over(self, partition: int, offset: int) -> bool:
        """Note that a record was read; False when it had been read before.

        A gap means that records were deleted before they could be read here: final rows wait until windows are whole.
        """
        last = self.offsets.get(partition, -1)
        if offset <= last:
            return False
        if offset > last + 1:
            self.incomplete.add(partition)
        self.offsets[partition] = offset
        return True

    def miss(self, partition: int, offset: int) -> None:
        """Note a record of partials that cannot be read: as if it were no longer in the topic."""
        if self.pass_over(partition, offset):
            self.incomplete.add(partition)
            self.unreadable_records += 1

    def _source(self, partition: int, epoch: str) -> Source:
        current = self._current.get(partition)
        if current is not None and current.epoch == epoch:
            return current
        for source in self.sources:
            if source.partition == partition and source.epoch == epoch:
                return source
        if current is not None:
            current.is_retired = True
        return self.add_source(Source(len(self.sources), epoch, partition))

    def add_source(self, source: Source) -> Source:
        """Take up a source, as a checkpoint holds it."""
        self.sources.append(source)
        if not source.is_retired:
            self._current[source.partition] = source
        return source

    def absorb(self, now_ms: int) -> None:
        """Merge what was applied since the last call and move the global watermark."""
        if self._fresh:
            fresh = pl.concat(self._fresh)
            self._fresh.clear()
            retained = fresh.filter(pl.col("minute") >= self.oldest)
            self.too_old_rows += len(fresh) - len(retained)
            new = retained.filter(~self._is_closed()).with_columns(is_fresh=pl.lit(True))
            merged = (
                pl.concat([new, self.open_rows.with_columns(is_fresh=pl.lit(False))])
                # Of equal versions the one that was here stays: a repeat is no change.
                .sort("version", "is_fresh", descending=[False, True])
                .unique(_KEYS, keep="last")
            )
            for minute in merged.filter("is_fresh")["minute"].unique():
                self.unfinal |= {Window(minute, 1), Window(minute // 60 * 60, 60)}
            self.open_rows = merged.drop("is_fresh")
            self._open_sums.clear()
        for source in self.sources:
            source.closed_ms = source.watermark_ms
        self._move_watermark(now_ms)

    def _is_closed(self) -> pl.Expr:
        closed_ms = pl.lit(pl.Series([s.closed_ms for s in self.sources], dtype=pl.Int64)).gather(pl.col("source"))
        retired = pl.lit(pl.Series([s.is_retired for s in self.sources], dtype=pl.Boolean)).gather(pl.col("source"))
        in_time = (pl.col("minute") + 1) * MINUTE_MS + self.allowed_lateness_ms <= closed_ms
        late = pl.col("segment") < closed_ms // MINUTE_MS
        return retired | pl.when(pl.col("segment") == 0).then(in_time).otherwise(late)

    def _move_watermark(self, now_ms: int) -> None:
        holding, moved = [], []
        for partition in range(self.partitions):
            source = self._current.get(partition)
            if source is None or not source.moved_at_ms:
                silent_ms = now_ms - self.started_at_ms
                if silent_ms <= self.idle_timeout_ms:
                    holding.append(0)
                continue
            moved.append(source.watermark_ms)
            if not self._is_idle(source, now_ms):
                holding.append(source.watermark_ms)
        if moved:
            self.watermark_ms = max(self.watermark_ms, min(holding) if holding else max(moved))

    def _is_idle(self, source: Source, now_ms: int) -> bool:
        """Silence by the worker's own reports, so that catching up with old reports is not taken for it."""
        still_ms = source.reported_at_ms - source.moved_at_ms
        unheard_ms = now_ms - max(source.heard_at_ms, self.started_at_ms)
        return source.is_caught_up and (
            still_ms > self.idle_timeout_ms or unheard_ms > UNREPORTED_FACTOR * self.idle_timeout_ms
        )

    def is_closed(self, window: Window) -> bool:
        """The global watermark has passed the window's end by the allowed lateness."""
        return (window.start + window.length) * MINUTE_MS + self.allowed_lateness_ms <= self.watermark_ms

    def take_due_finals(self) -> list[Window]:
        """Closed minutes and hours whose final rows are due, each until it changes again.

        Final rows also hold the window before, so a change is one of the window after, too.
        """
        if self.incomplete:
            return []
        due = {window for window in self.unfinal if self.is_closed(window)}
        self.unfinal -= due
        due |= {after for w in due if self.is_closed(after := Window(w.start + w.length, w.length))}
        self.unfinal -= due
        whole = [w for w in due if w.start - w.length >= max(self.complete_from, self.oldest)]
        self.skipped_windows += len(due) - len(whole)
        return sorted(whole, key=lambda w: (w.start + w.length, w.length))

    def sums(self, dimension: str, window: Window) -> tuple[list[str], Ints]:
        """Keys and their sums of `MEASURES` in a window, retained minutes only; keys without events have zeros."""
        ring = self.rings[dimension]
        minutes, codes, values = self._open(dimension)
        total = ring.sums(window.start, window.start + window.length)
        inside = (minutes >= window.start) & (minutes < window.start + window.length)
        np.add.at(total, codes[inside], values[inside])
        return ring.keys, total

    def _open(self, dimension: str) -> tuple[Ints, Ints, Ints]:
        known = self._open_sums.get(dimension)
        if known is None:
            known = self._open_sums[dimension] = self._by_key(dimension, self.open_rows)
        return known

    def _by_key(self, dimension: str, rows: pl.DataFrame) -> tuple[Ints, Ints, Ints]:
        grouped = rows.group_by("minute", dimension).agg([pl.col(name).sum() for name in MEASURES])
        codes = self.rings[dimension].codes(grouped[dimension].to_list())
        return grouped["minute"].to_numpy(), codes, grouped.select(MEASURES).to_numpy()

    def archive(self) -> None:
        """Add what can no longer change to the rings. Call after the final rows were taken: it may forget minutes."""
        closed = self.open_rows.filter(self._is_closed()) if self.sources else self.open_rows
        if closed.is_empty():
            return
        self.open_rows = self.open_rows.filter(~self._is_closed())
        self.put(closed)
        self._open_sums.clear()

    def put(self, rows: pl.DataFrame) -> None:
        """Add rows of `OPEN_SCHEMA` to the rings."""
        newest = int(rows["minute"].max())  # type: ignore[arg-type]
        for ring in self.rings.values():
            ring.advance(newest)
        rows = rows.filter(pl.col("minute") >= self.oldest)
        for name, ring in self.rings.items():
            ring.add(*self._by_key(name, rows))
        self.changed_minutes.update(rows["minute"].unique())
        self._forget_windows(window for window in list(self.unfinal) if window.start < self.oldest)

    def _forget_windows(self, gone: Iterable[Window]) -> None:
        for window in gone:
            self.unfinal.discard(window)
            self.skipped_windows += 1


def _reduced(source: int, table: pa.Table) -> pl.DataFrame:
    """The columns that are kept of a record of partials."""
    frame = pl.from_arrow(table.select(["window_start", "segment", *_LABELS, "version", *TOKEN_BUCKETS, *_SUMMED]))
    assert isinstance(frame, pl.DataFrame)
    failed = pl.col("outcome") == "error"
    return (
        frame.with_columns([pl.col(name).cast(pl.String) for name in _LABELS])
        .with_columns(
            source=pl.lit(source, pl.Int64),
            minute=pl.col("window_start").dt.epoch("s") // MINUTE_S,
            segment=pl.col("segment").cast(pl.Int64),
            version=pl.col("version").cast(pl.Int64),
            tokens=pl.sum_horizontal(TOKEN_BUCKETS),
            error_requests=pl.when(failed).then(pl.col("requests")).otherwise(pl.lit(0, pl.Int64)),
        )
        .select(list(OPEN_SCHEMA))
    )


_SUMMED: Final = ("requests", "cost_nanousd")
FINAL_LENGTHS: Final = (1, HOUR_S // MINUTE_S)
"""Lengths of the windows that have final rows, minutes."""
