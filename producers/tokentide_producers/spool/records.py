"""The bytes of a spool segment: a header, then one record for each envelope, each with its length and checksum. Pure.

A record that a crash cut off was never acknowledged, so reading ends there. A record whose checksum is wrong in the
middle of a segment is damage: it is reported and the records behind it are read.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tokentide_producers.outgoing import UNPLACED, OutgoingEnvelope

MAGIC: Final = b"tokentide-spool-1\n"
_HEAD: Final = struct.Struct("<II")
_MARK: Final = 0x7E
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""Twice the largest envelope: a length beyond it is damage, not a record."""


@dataclass(frozen=True, slots=True)
class SpooledEnvelope:
    """An envelope as it lies in the spool. partition UNPLACED: it was never sent; all such
    of a segment go to one partition, where their sequences count up."""

    value: bytes
    events: int
    tokens: int
    producer_id: str
    partition: int
    sequence: int

    def outgoing(self) -> OutgoingEnvelope:
        """The same, ready to be sent."""
        return OutgoingEnvelope(
            self.value, self.events, self.tokens, 0, self.producer_id, self.partition, self.sequence
        )


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no whole record. is_end: nothing whole follows, as after a crash while writing."""

    offset: int
    size_bytes: int
    is_end: bool


def header(segment_id: str) -> bytes:
    """The first bytes of a segment. segment_id: producer id of its envelopes that were never sent."""
    return MAGIC + segment_id.encode("ascii") + b"\n"


def read_header(data: bytes) -> tuple[str, int] | None:
    """(segment id, where the records begin); None for what is not a segment or was cut off within its header."""
    if not data.startswith(MAGIC):
        return None
    end = data.find(b"\n", len(MAGIC))
    if end < 0:
        return None
    return data[len(MAGIC) : end].decode("ascii", "replace"), end + 1


def encode(envelope: OutgoingEnvelope, segment_id: str, number: int) -> bytes:
    """One record. An envelope that was never sent gets its identity here: the segment's id and the record's `number`;
    its partition is chosen for the whole segment when it is sent."""
    is_placed = envelope.partition != UNPLACED
    facts: dict[str, Any] = {
        "events": envelope.events,
        "tokens": envelope.tokens,
        "producer": envelope.producer_id if is_placed else segment_id,
        "partition": envelope.partition,
        "sequence": envelope.sequence if is_placed else number,
    }
    text = json.dumps(facts, separators=(",", ":")).encode()
    body = struct.pack("<BI", _MARK, len(text)) + text + envelope.value
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def decode(data: bytes, start: int) -> Iterator[SpooledEnvelope | Damage]:
    """The records from `start` on, and what is damaged between and after them."""
    offset = start
    while offset < len(data):
        body = _body(data, offset)
        if body is None:
            following = _next_record(data, offset + 1)
            yield Damage(offset, (len(data) if following is None else following) - offset, following is None)
            if following is None:
                return
            offset = following
            continue
        facts, value = _split(body)
        yield SpooledEnvelope(
            value, facts["events"], facts["tokens"], facts["producer"], facts["partition"], facts["sequence"]
        )
        offset += _HEAD.size + len(body)


def _body(data: bytes, offset: int) -> bytes | None:
    if offset + _HEAD.size > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, offset)
    if not 5 <= length <= MAX_RECORD_BYTES or offset + _HEAD.size + length > len(data):
        return None
    body = data[offset + _HEAD.size : offset + _HEAD.size + length]
    return body if zlib.crc32(body) == checksum and body[0] == _MARK else None


def _split(body: bytes) -> tuple[dict[str, Any], bytes]:
    _, length = struct.unpack_from("<BI", body)
    return json.loads(body[5 : 5 + length]), body[5 + length :]


def _next_record(data: bytes, offset: int) -> int | None:
    """Where the next whole record begins; its mark is looked for, then its checksum decides."""
    while True:
        at = data.find(bytes([_MARK]), offset + _HEAD.size)
        if at < 0:
            return None
        candidate = at - _HEAD.size
        if candidate >= offset and _body(data, candidate) is not None:
            return candidate
        offset = candidate + 1
