"""What a partition's raw sink has done, and what it must do next. Pure: the decision part of exactly-once.

Before an insert its offset range is committed to Kafka as *pending* (commit metadata, fenced by the consumer group's
generation); after the insert the offset moves behind it. Whoever owns the partition next finds either no pending range
(the insert is done or was never begun) or one, and then inserts exactly that range again with the same token, whatever
batches its own polls would make: the store drops it when it has it already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from tokentide_sinks.bisection import Split

METADATA_VERSION: Final = 1


class MetadataError(ValueError):
    """A commit's metadata was not written by this sink."""


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive offsets."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if self.first < 0 or self.last < self.first:
            raise ValueError(f"not a range of offsets: {self.first}..{self.last}")


@dataclass(frozen=True, slots=True)
class Position:
    """A committed position. next_offset: the first one not done. pending: a range whose insert may have happened.
    split: how far the pending range's rows are, when the store refused them as a whole."""

    next_offset: int
    pending: Range | None = None
    split: Split | None = None


def encode_metadata(epoch: str, pending: Range | None, split: Split | None = None) -> str:
    """Commit metadata. `epoch`: the topic's id."""
    data: dict[str, object] = {"v": METADATA_VERSION, "epoch": epoch}
    if pending is not None:
        data |= {"first": pending.first, "last": pending.last}
    if split is not None:
        data["split"] = split.encode()
    return json.dumps(data, separators=(",", ":"))


def read_position(offset: int, metadata: str | None, epoch: str) -> Position:
    """A partition's position from its committed offset (negative: none) and metadata.

    A commit of another epoch belongs to a topic of the same name that is gone: start from nothing. Raises
    MetadataError for metadata that this sink did not write.
    """
    if offset < 0:
        return Position(0)
    if not metadata:
        return Position(offset)
    try:
        data = json.loads(metadata)
        if data["v"] != METADATA_VERSION:
            raise MetadataError(f"commit metadata version {data['v']}; this sink reads {METADATA_VERSION}")
        if data["epoch"] != epoch:
            return Position(0)
        pending = Range(data["first"], data["last"]) if "first" in data else None
        split = Split.decode(data["split"]) if pending is not None and "split" in data else None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, MetadataError):
            raise
        raise MetadataError("commit metadata is not this sink's; is another application in its group?") from error
    if pending is not None and pending.first < offset:
        raise MetadataError(f"pending range {pending} begins before the committed offset {offset}")
    return Position(offset, pending, split)


def take(position: Position, offsets: list[int]) -> tuple[int, Range] | None:
    """How many of the buffered offsets (ascending, none below `next_offset`) to insert now, and as which range.

    Without a pending range: all of them. With one: exactly its records, once the buffer reaches its end; None means
    wait for more.
    """
    if not offsets:
        return None
    if offsets[0] < position.next_offset:
        raise ValueError(f"offset {offsets[0]} is done already; next is {position.next_offset}")
    pending = position.pending
    if pending is None:
        return len(offsets), Range(offsets[0], offsets[-1])
    inside = sum(1 for offset in offsets if offset <= pending.last)
    if offsets[-1] < pending.last:
        return None
    return inside, pending


def insert_token(topic: str, epoch: str, partition: int, span: Range) -> str:
    """Deduplication token of an insert: the identity of its data."""
    return f"{topic}:{epoch}:{partition}:{span.first}-{span.last}"
