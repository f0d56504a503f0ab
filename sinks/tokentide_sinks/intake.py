"""The records of one partition that wait for their insert: in offset order, bounded, none passed over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tokentide_schemas import topics
from tokentide_schemas.envelope import Record
from tokentide_sinks.ranges import Position, Range, take


@dataclass(slots=True)
class Intake:
    """position: up to where everything is settled. missing: offsets before or between the waiting records for which
    Kafka has nothing, asked twice."""

    position: Position
    waiting: list[Record] = field(default_factory=list)
    missing: list[Range] = field(default_factory=list)
    went_back_to: int = -1

    @property
    def expected(self) -> int:
        """The offset that comes next when nothing is passed over."""
        return self.waiting[-1].offset + 1 if self.waiting else self.position.next_offset

    def offer(self, record: Record) -> int | None:
        """Take a record in. Returns the offset to go back to when records before it were passed over; it is then not
        taken in. When it comes again all the same, what is missing is not in the topic."""
        expected = self.expected
        if record.offset < expected:
            return None
        if record.offset > expected:
            if self.went_back_to != expected:
                self.went_back_to = expected
                return expected
            self.missing.append(Range(expected, record.offset - 1))
        self.waiting.append(record)
        return None

    @property
    def is_gone(self) -> bool:
        """Everything up to a place is no longer in the topic and nothing waits behind it."""
        return bool(self.missing) and not self.waiting

    def expire(self, low: int) -> None:
        """The topic's oldest record is `low`: without this, a partition to which nothing comes would never tell."""
        pending = self.position.pending
        if not self.waiting and self.expected < low and (pending is None or pending.last < low):
            self.missing = [Range(self.expected, low - 1)]

    def next_range(self) -> tuple[list[Record], Range] | None:
        """The records to insert now, and as which range; None: nothing, or wait for more."""
        if self.is_gone:
            return [], Range(self.position.next_offset, self.missing[-1].last)
        taken = take(self.position, [record.offset for record in self.waiting])
        return None if taken is None else (self.waiting[: taken[0]], taken[1])

    def missing_in(self, span: Range) -> list[Range]:
        """Missing offsets that are settled with a range."""
        return [one for one in self.missing if one.first <= span.last]

    def settle(self, count: int, span: Range) -> None:
        """The first `count` records, which are `span`, are stored and committed."""
        self.position = Position(span.last + 1)
        self.missing = [one for one in self.missing if one.first > span.last]
        del self.waiting[:count]


@dataclass(frozen=True, slots=True)
class Bounds:
    """When an insert is due: rows, bytes or seconds of waiting."""

    max_rows: int
    max_bytes: int
    max_wait_s: float


class Backlog:
    """How much waits in all partitions together."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._since_s = 0.0
        self.rows = 0
        self.bytes = 0

    def add(self, record: Record, now_s: float) -> None:
        """A record begins to wait."""
        if not self.rows:
            self._since_s = now_s
        self.rows += declared_rows(record)
        self.bytes += len(record.value or b"")

    def recount(self, intakes: Iterable[Intake], now_s: float) -> None:
        """After records have left; the rest begins to wait anew."""
        self.rows = self.bytes = 0
        for intake in intakes:
            for record in intake.waiting:
                self.add(record, now_s)

    def is_due(self, now_s: float) -> bool:
        """There is enough, or it has waited long enough."""
        bounds = self._bounds
        return self.rows > 0 and (
            self.rows >= bounds.max_rows or self.bytes >= bounds.max_bytes or now_s - self._since_s >= bounds.max_wait_s
        )


def declared_rows(record: Record) -> int:
    """About how many rows a record will give; wrong headers cost only a badly timed insert."""
    count = record.headers.get(topics.HEADER_COUNT, b"1")
    return max(1, int(count)) if count.isdigit() and len(count) < 7 else 1


def lag_records(intakes: Mapping[int, Intake], ends: Mapping[int, int]) -> int:
    """Records that are in the topic and not settled, in all partitions."""
    return sum(max(0, ends.get(number, 0) - intake.position.next_offset) for number, intake in intakes.items())
