"""The raw sink's cycle as a list of steps that can stop anywhere, over a broker and a store that survive.

The decisions are the real ones (ranges.py, rows.py); the Kafka group and ClickHouse are a few dictionaries with the
properties that the sink relies on: commits are fenced by the group, an insert is stored whole or not at all, and an
insert whose token is known is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokentide_schemas.envelope import Record
from tokentide_schemas.event_ids import Delivered, split_ids
from tokentide_schemas.identity import clock_day
from tokentide_sinks.ranges import Position, Range, encode_metadata, insert_token, read_position, take
from tokentide_sinks.rows import dead_letter_rows, event_rows, judge, ledger_rows

TOPIC = "usage"
EPOCH = "epoch-1"
PARTITION = 3


@dataclass
class Store:
    """tokens: what the store remembers of inserts. events: one entry for each stored row, in order."""

    tokens: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    events: list[tuple[int, bytes]] = field(default_factory=list)
    ledger: dict[int, dict[str, Any]] = field(default_factory=dict)
    letters: dict[tuple[int, int], str] = field(default_factory=dict)

    def insert_events(self, token: str, rows: list[tuple[int, bytes]]) -> None:
        if token in self.tokens:
            assert self.tokens[token] == rows, f"token {token} was used for two different blocks"
            return
        self.tokens[token] = rows
        self.events += rows

    def insert_ledger(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            known = self.ledger.setdefault(row["offset"], row)
            assert known == row, f"the ledger says two different things about offset {row['offset']}"

    def seen_before(self, offset: int) -> Delivered:
        """What recovery reads from the ledger."""
        delivered = Delivered()
        seen, clock_ms = delivered.envelopes, 0
        for row in sorted(self.ledger.values(), key=lambda row: int(row["offset"])):
            if row["offset"] >= offset:
                break
            delivered.event_ids.restore(row["offset"], split_ids(row["sender_event_ids"]))
            if row["producer_id"] and (row["admitted"] or row["duplicate_events"]):
                clock_ms = max(clock_ms, round(row["appended_at"].timestamp() * 1000))
                seen.restore_clock(clock_ms)
            if row["admitted"]:
                number = row["producer_sequence"]
                seen.restore(row["producer_id"], number, number, clock_day(clock_ms))
        return delivered


@dataclass
class Group:
    """The consumer group's one partition: who owns it and what is committed."""

    generation: int = 0
    offset: int = -1
    metadata: str | None = None

    def commit(self, generation: int, offset: int, metadata: str) -> bool:
        """False: fenced."""
        if generation != self.generation:
            return False
        self.offset, self.metadata = offset, metadata
        return True


class Sink:
    """One member from its assignment on."""

    def __init__(
        self,
        log: Sequence[Record],
        store: Store,
        group: Group,
        *,
        position_of: Callable[[int, str | None, str], Position] = read_position,
    ) -> None:
        group.generation += 1
        self.generation = group.generation
        self.log, self.store, self.group = log, store, group
        self.position = position_of(group.offset, group.metadata, EPOCH)
        self.seen = store.seen_before(self.position.next_offset)
        self.waiting: list[Record] = []
        self.read_to = self.position.next_offset

    def read(self, count: int) -> None:
        new = [record for record in self.log if record.offset >= self.read_to][:count]
        self.waiting += new
        if new:
            self.read_to = new[-1].offset + 1

    def cycle(self) -> Iterator[str]:
        """One insert. Each `yield` is a place where the process may die or hang for ever."""
        taken = take(self.position, [record.offset for record in self.waiting])
        if taken is None:
            return
        count, span = taken
        records = self.waiting[:count]
        if not self.group.commit(self.generation, span.first, encode_metadata(EPOCH, span)):
            return
        yield "pending committed"
        batch = judge(records, self.seen)
        block = event_rows(batch, TOPIC, PARTITION, 0)
        if block.num_rows:
            rows = list(zip(block["kafka_offset"].to_pylist(), block["event_id"].to_pylist(), strict=True))
            self.store.insert_events(insert_token(TOPIC, EPOCH, PARTITION, span), rows)
        yield "inserted"
        for letter in dead_letter_rows(batch, TOPIC, EPOCH, PARTITION, 0).to_pylist():
            self.store.letters[letter["offset"], letter["row"]] = letter["reason"]
        yield "dead letters written"
        self.store.insert_ledger(ledger_rows(batch, TOPIC, EPOCH, PARTITION, 0).to_pylist())
        yield "ledger written"
        if not self.group.commit(self.generation, span.last + 1, encode_metadata(EPOCH, None)):
            return
        yield "committed"
        self.position = Position(span.last + 1)
        del self.waiting[:count]


def ignoring_what_is_pending(offset: int, metadata: str | None, epoch: str) -> Position:
    """A sink as many are written: it starts at the committed offset with whatever batch comes."""
    return Position(read_position(offset, metadata, epoch).next_offset)


def believing_what_is_pending(offset: int, metadata: str | None, epoch: str) -> Position:
    """The other mistake: a pending range is taken for done."""
    position = read_position(offset, metadata, epoch)
    pending: Range | None = position.pending
    return position if pending is None else Position(pending.last + 1)
