"""Dead letters after the fact: which ones, what they would be now, how they go back. Pure; see dlq_io.py."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from tokentide_schemas import topics
from tokentide_schemas.arrow import EVENT_SCHEMA
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, decode, encode_arrow, headers_for
from tokentide_schemas.rejections import Reason, Rejection
from tokentide_sinks.rows import WHOLE_RECORD

OFFSETS_OF_A_PRODUCER: Final = 256
"""Origins that share one replay producer. A partition remembers a bounded number of runs for each producer."""
MAX_ROWS: Final = 131_072
"""More than an envelope's rows: offset and row make one sequence number."""
SHOWN: Final = 20
"""Refused letters that an outcome names."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters. None or empty: all. `since`, `until`: append times. `letters`: named ones."""

    reason: str | None = None
    partition: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    letters: tuple[str, ...] = ()

    def sql(self) -> tuple[str, dict[str, Any]]:
        """A condition on dead_letter_status and its parameters. Raises ValueError for a malformed id."""
        found, parameters = ["topic = {topic:String}"], {"topic": topics.USAGE}  # type: tuple[list[str], dict[str, Any]]
        if self.reason is not None:
            found.append("reason = {reason:String}")
            parameters["reason"] = self.reason
        if self.partition is not None:
            found.append("partition = {partition:UInt16}")
            parameters["partition"] = self.partition
        for name, sign, value in (("since", ">=", self.since), ("until", "<", self.until)):
            if value is not None:
                found.append(f"appended_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}})")
                parameters[name] = int(value.timestamp() * 1000)
        if self.letters:
            keys = [parse_id(text) for text in self.letters]
            found.append("(partition, offset, row) IN (" + ", ".join(f"({p}, {o}, {r})" for p, o, r in keys) + ")")
        return " AND ".join(found), parameters


def letter_id(partition: int, offset: int, row: int) -> str:
    """How people name a dead letter: `2/1041` for a whole record, `2/1041/17` for its row 17."""
    return f"{partition}/{offset}" if row == WHOLE_RECORD else f"{partition}/{offset}/{row}"


def parse_id(text: str) -> tuple[int, int, int]:
    """The inverse of `letter_id`. Raises ValueError."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} does not name a dead letter: write PARTITION/OFFSET or PARTITION/OFFSET/ROW")
    partition, offset, *row = map(int, parts)
    return partition, offset, row[0] if row else WHOLE_RECORD


@dataclass(frozen=True, slots=True)
class Letter:
    """An open dead letter."""

    epoch: str
    partition: int
    offset: int
    row: int
    reason: str
    detail: str
    events: int
    appended_at_ms: int
    producer_id: str = ""
    producer_sequence: int | None = None
    status: str = "open"

    @property
    def id(self) -> str:
        """As people name it."""
        return letter_id(self.partition, self.offset, self.row)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send: to the partition that its origin is in."""

    partition: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    events: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What present code makes of a letter. remaining: its rows that are still refused (whole records only)."""

    letter: Letter
    outgoing: tuple[Outgoing, ...] = ()
    remaining: tuple[Rejection, ...] = ()
    problem: str = ""

    @property
    def events(self) -> int:
        """Events that go back."""
        return sum(one.events for one in self.outgoing)


def identity(epoch: str, partition: int, offset: int, row: int) -> tuple[str, int]:
    """Producer id and sequence of a replay: from the origin alone, so that a second replay is a repeat."""
    block, within = divmod(offset, OFFSETS_OF_A_PRODUCER)
    return f"dlq-{epoch}-{partition}-{block}", within * MAX_ROWS + row + 1


def attempt(letter: Letter, record: Record | None) -> Attempt:
    """Read a letter's record again. `record` None: it is no longer in the topic."""
    if record is None:
        return Attempt(letter, problem="the record is no longer in the topic")
    envelope = decode(record)
    if envelope.table is None:
        return Attempt(letter, problem=_words(envelope.rejections))
    block = assemble([envelope])
    numbers = [envelope.rows[place] if envelope.rows is not None else int(place) for place in block.places]
    if letter.row == WHOLE_RECORD:
        if not numbers:
            return Attempt(letter, problem=_words(block.rejections[0]))
        return Attempt(letter, (_outgoing(letter, block.table, WHOLE_RECORD),), block.rejections[0])
    if letter.row not in numbers:
        refused = [one for one in block.rejections[0] if one.row in (letter.row, None)]
        return Attempt(letter, problem=_words(refused) or "the record has no such row any more")
    place = numbers.index(letter.row)
    return Attempt(letter, (_outgoing(letter, block.table.slice(place, 1), letter.row),))


def _words(rejections: Sequence[Rejection]) -> str:
    return "; ".join(f"{one.reason}: {one.detail}" for one in rejections[:1])


def _outgoing(letter: Letter, rows: pa.Table, row: int) -> Outgoing:
    producer, sequence = identity(letter.epoch, letter.partition, letter.offset, row)
    columns = []
    for column, wanted in zip(rows.columns, EVENT_SCHEMA, strict=True):
        one = column.combine_chunks()
        if pa.types.is_dictionary(wanted.type):
            # Encoded anew: a row must not carry the other rows' labels along.
            one = one.cast(pa.utf8()).dictionary_encode()
        columns.append(one.cast(wanted.type))
    headers = headers_for(CONTENT_TYPE_ARROW, rows.num_rows, producer, sequence)
    if letter.reason == Reason.STORE_REJECTED.value:
        headers.append((topics.HEADER_REPAIR, topics.REPAIR_RAW))
    value = encode_arrow(pa.Table.from_arrays(columns, schema=EVENT_SCHEMA))
    return Outgoing(letter.partition, value, tuple(headers), rows.num_rows)


@dataclass(slots=True)
class Outcome:
    """What a replay did, or with `dry_run` would do. refused: (letter id, why), at most `SHOWN`."""

    dry_run: bool = False
    letters: int = 0
    replayed_letters: int = 0
    replayed_events: int = 0
    refused_letters: int = 0
    refused_events: int = 0
    known_before: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)

    def add(self, tried: Attempt) -> None:
        """Count one attempt."""
        self.letters += 1
        self.replayed_events += tried.events
        self.refused_events += tried.letter.events - tried.events
        if tried.outgoing:
            self.replayed_letters += 1
            return
        self.refused_letters += 1
        if len(self.refused) < SHOWN:
            self.refused.append((tried.letter.id, tried.problem))
