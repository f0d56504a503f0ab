"""Replays a trace file as usage events: reads it twice (check and span first, then send), in constant memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from tokentide_producers.acknowledgements import Acknowledgements
from tokentide_producers.event_columns import slices, tokens_in
from tokentide_producers.event_ids import EventIds
from tokentide_producers.replay_mapping import BadLine, Ints, Labels, TraceColumns, TraceRows, read_rows, to_events
from tokentide_producers.replay_reading import TraceFileError, TraceFormat, read_blocks
from tokentide_producers.sender import EnvelopeSender
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.envelope import encode_arrow
from tokentide_schemas.event import EARLIEST_OCCURRED_AT

ENVELOPE_EVENTS: Final = 2_000
MAX_OUTSTANDING_BYTES: Final = 32 * 1024 * 1024
BAD_ROWS_SHOWN: Final = 10
_EARLIEST_MS: Final = int(EARLIEST_OCCURRED_AT.timestamp() * 1000)
_CLOCK_SKEW_MS: Final = 60_000
_WAIT_S: Final = 0.02
_PACED_ENVELOPE_MS: Final = 200


class BadRowsError(Exception):
    """Rows that cannot be replayed; nothing was sent. rows: the first of them."""

    def __init__(self, rows: list[BadLine], count: int) -> None:
        more = f"\n  and {count - len(rows)} more" if count > len(rows) else ""
        listed = "".join(f"\n  {row}" for row in rows)
        super().__init__(f"{count} rows cannot be replayed:{listed}{more}\nCorrect them, or add --skip-bad-rows.")
        self.rows = rows
        self.count = count


@dataclass(frozen=True, slots=True)
class TraceFile:
    """What to read. limit: only the first so many usable rows."""

    path: Path
    format: TraceFormat
    columns: TraceColumns
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file holds: its usable rows' count, time span and tokens, and how many rows are bad (the first listed)."""

    requests: int
    first_ms: int
    last_ms: int
    input_tokens: int
    output_tokens: int
    bad_rows: int
    bad_examples: list[BadLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where the trace's times go: start_ms + (time - first_ms) / speed. speed None sends as fast as possible.

    is_kept: `occurred_at` stays as in the file, and only the sending follows the schedule.
    """

    first_ms: int
    start_ms: int
    speed: float | None
    is_kept: bool

    def due_ms(self, times_ms: Ints) -> Ints:
        """When the events happen in the replay."""
        due: Ints = self.start_ms + ((times_ms - self.first_ms) / (self.speed or 1.0)).astype(np.int64)
        return due

    def occurred_ms(self, times_ms: Ints) -> Ints:
        """The events' `occurred_at`."""
        return times_ms if self.is_kept else self.due_ms(times_ms)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of the replay; exact."""

    requests: int
    input_tokens: int
    output_tokens: int
    acknowledged_requests: int
    skipped_rows: int
    last_error: str

    @property
    def is_complete(self) -> bool:
        """Kafka has acknowledged every request."""
        return self.acknowledged_requests == self.requests


def survey(trace: TraceFile, on_rows: Callable[[int], None] = lambda _rows: None) -> Survey:
    """Read and check the whole file. Raises TraceFileError when there is nothing to replay in it."""
    requests = input_tokens = output_tokens = bad_rows = 0
    first_ms, last_ms = 2**62, -(2**62)
    examples: list[BadLine] = []
    for rows, bad in _rows(trace):
        bad_rows += len(bad)
        examples += bad[: BAD_ROWS_SHOWN - len(examples)]
        if len(rows):
            requests += len(rows)
            input_tokens += int(rows.uncached.sum() + rows.cached.sum())
            output_tokens += int(rows.output.sum())
            first_ms, last_ms = min(first_ms, int(rows.times_ms.min())), max(last_ms, int(rows.times_ms.max()))
        on_rows(len(rows))
    if requests == 0 and bad_rows == 0:
        raise TraceFileError(f"{trace.path}: has no rows; there is nothing to replay")
    return Survey(requests, first_ms, last_ms, input_tokens, output_tokens, bad_rows, examples)


def plan_times(found: Survey, *, now_ms: int, speed: float | None, keep_time: bool) -> Schedule:
    """The schedule of a replay that starts now. Raises TraceFileError for times that no usage event can have."""
    if found.requests == 0:
        raise TraceFileError("no row of the file is usable; there is nothing to replay")
    start_ms = now_ms if speed is not None else now_ms - (found.last_ms - found.first_ms)
    schedule = Schedule(found.first_ms, start_ms, speed, keep_time)
    first, last = (int(t) for t in schedule.occurred_ms(np.array([found.first_ms, found.last_ms], np.int64)))
    if keep_time and last > now_ms + _CLOCK_SKEW_MS:
        raise TraceFileError(
            "the file's last time is in the future, such events are refused: check --timestamp-unit, "
            "or leave out --keep-time"
        )
    if first < _EARLIEST_MS:
        raise TraceFileError(
            f"the first event would be before {EARLIEST_OCCURRED_AT:%Y} and be refused: check --timestamp-unit"
        )
    return schedule


def send(
    trace: TraceFile,
    found: Survey,
    schedule: Schedule,
    labels: Labels,
    catalogue: Catalogue,
    sender: EnvelopeSender,
    *,
    timeout_s: float = 30.0,
    on_acknowledged: Callable[[int], None] = lambda _requests: None,
) -> ReplayResult:
    """Send every usable row and wait for the acknowledgements; gives up when none comes for `timeout_s`."""
    run = _Run(sender, schedule, timeout_s, on_acknowledged)
    ids = EventIds()
    requests = input_tokens = output_tokens = 0
    for rows, _bad in _rows(trace):
        for part in _in_order(rows, schedule):
            events = to_events(part, schedule.occurred_ms(part.times_ms), labels, catalogue, ids)
            requests += len(part)
            input_tokens += int(part.uncached.sum() + part.cached.sum())
            output_tokens += int(part.output.sum())
            last_due_ms = int(schedule.due_ms(part.times_ms[-1:])[0])
            for piece in slices(events, ENVELOPE_EVENTS):
                run.submit(encode_arrow(piece), piece.num_rows, tokens_in(piece), last_due_ms)
        if run.has_given_up:
            break
    run.finish()
    stats = sender.stats()
    sender.close(0.0)
    # Counted against the first reading: a file that changed meanwhile, or a send that was given up, is not complete.
    return ReplayResult(
        found.requests,
        found.input_tokens,
        found.output_tokens,
        stats.acknowledged_events if requests == found.requests else min(stats.acknowledged_events, requests),
        found.bad_rows,
        stats.last_error,
    )


class _Run:
    """Sends with the schedule and the sender's room, and watches that acknowledgements come."""

    def __init__(
        self, sender: EnvelopeSender, schedule: Schedule, timeout_s: float, on_acknowledged: Callable[[int], None]
    ) -> None:
        self._sender = sender
        self._is_paced = schedule.speed is not None
        self._watch = Acknowledgements(sender, timeout_s, on_acknowledged)
        self.has_given_up = False

    def submit(self, value: bytes, events: int, tokens: int, due_ms: int) -> None:
        """Send when it is due and there is room; nothing more once acknowledgements have stopped to come."""
        while self._is_paced and (left_ms := due_ms - time.time_ns() // 1_000_000) > 0:
            self._watch.serve(min(max(left_ms / 1000, 0.001), _WAIT_S))
        while self._sender.outstanding_bytes > MAX_OUTSTANDING_BYTES:
            if not self._watch.serve(_WAIT_S):
                self.has_given_up = True
                return
        self._sender.submit(value, events, tokens=tokens)
        self._watch.serve(0.0)

    def finish(self) -> None:
        while self._sender.outstanding_envelopes and self._watch.serve(_WAIT_S):
            pass


def _rows(trace: TraceFile) -> Iterator[tuple[TraceRows, list[BadLine]]]:
    left = trace.limit if trace.limit is not None else 2**62
    for raw, broken in read_blocks(trace.path, trace.format, trace.columns.names):
        rows, bad = read_rows(raw, trace.columns)
        if len(rows) > left:
            rows = _part(rows, slice(0, left))
        left -= len(rows)
        yield rows, broken + bad
        if left <= 0:
            return


def _in_order(rows: TraceRows, schedule: Schedule) -> Iterator[TraceRows]:
    """The rows at once, or, when paced, in order of time and in pieces that are due together."""
    if not len(rows):
        return
    if schedule.speed is None:
        yield rows
        return
    ordered = _part(rows, np.argsort(rows.times_ms, kind="stable"))
    pieces = schedule.due_ms(ordered.times_ms) // _PACED_ENVELOPE_MS
    starts = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), len(rows)]
    for start, end in pairwise(starts):
        yield _part(ordered, slice(start, end))


def _part(rows: TraceRows, which: slice | Ints) -> TraceRows:
    return TraceRows(rows.times_ms[which], rows.uncached[which], rows.cached[which], rows.output[which])
