"""A look at an Arrow IPC stream's framing before any of it is decoded.

The Arrow reader trusts much of what a stream says about itself: it would allocate what a compressed buffer claims, stop
at the first end marker and ignore what follows, swap bytes of buffers that nobody has checked. So the messages are
walked here first, in plain Python that cannot read out of bounds; what an envelope does not need is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.rejections import EnvelopeError, Reason

CONTINUATION: Final = b"\xff\xff\xff\xff"
END_OF_STREAM: Final = CONTINUATION + bytes(4)

MAX_METADATA_BYTES: Final = 64 * 1024
"""Of one message. The event's own schema takes 4 KiB; the limit bounds columns and nesting."""
MAX_BATCHES: Final = 100
"""Record batches in one stream: each refers to all dictionaries, so the product must stay small."""
MAX_MESSAGES: Final = 4_096
MAX_DICTIONARY_VALUES: Final = 100_000

_SCHEMA, _DICTIONARY, _RECORD_BATCH = 1, 2, 3
_U16: Final = struct.Struct("<H")
_I16: Final = struct.Struct("<h")
_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_I64: Final = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class Framing:
    """What the messages say: `rows` in all record batches."""

    rows: int
    batches: int


class _Table:
    """A flatbuffers table: fields by slot. Raises struct.error for a position outside the metadata."""

    __slots__ = ("_bytes", "_position", "_slots", "_vtable")

    def __init__(self, metadata: bytes, position: int) -> None:
        self._bytes = metadata
        self._position = position
        self._vtable = position - _I32.unpack_from(metadata, position)[0]
        if self._vtable < 0:
            raise struct.error("vtable before the metadata")
        self._slots = (_U16.unpack_from(metadata, self._vtable)[0] - 4) // 2

    def _at(self, slot: int) -> int:
        """Position of a field, 0 when it is absent (has its default)."""
        if slot >= self._slots:
            return 0
        offset: int = _U16.unpack_from(self._bytes, self._vtable + 4 + 2 * slot)[0]
        return self._position + offset if offset else 0

    def number(self, slot: int, form: struct.Struct) -> int:
        at = self._at(slot)
        value: int = form.unpack_from(self._bytes, at)[0] if at else 0
        return value

    def byte(self, slot: int) -> int:
        at = self._at(slot)
        if at >= len(self._bytes):
            raise struct.error("field after the metadata")
        return self._bytes[at] if at else 0

    def has(self, slot: int) -> bool:
        return self._at(slot) != 0

    def table(self, slot: int) -> _Table:
        at = self._at(slot)
        if not at:
            raise struct.error("a required table is absent")
        return _Table(self._bytes, at + _U32.unpack_from(self._bytes, at)[0])

    def pairs(self, slot: int) -> tuple[int, ...]:
        """A vector of structs of two int64, flat."""
        at = self._at(slot)
        if not at:
            return ()
        start = at + _U32.unpack_from(self._bytes, at)[0]
        count: int = _U32.unpack_from(self._bytes, start)[0]
        if count > MAX_METADATA_BYTES // 16:
            raise struct.error("vector longer than the metadata")
        return struct.unpack_from(f"<{2 * count}q", self._bytes, start + 4)


def read_framing(value: bytes) -> Framing:
    """Walk the messages of a whole stream. Raises EnvelopeError when it is not exactly one complete, plain stream."""
    try:
        return _walk(value)
    except struct.error:
        raise _invalid("its metadata is damaged") from None


def _invalid(detail: str) -> EnvelopeError:
    return EnvelopeError(Reason.INVALID_ARROW, f"not a readable Arrow stream: {detail}")


def _walk(value: bytes) -> Framing:
    rows = batches = messages = position = 0
    while True:
        frame = value[position : position + 8]
        if len(frame) < 8:
            raise _invalid("it has no end marker, it was cut off")
        if frame[:4] != CONTINUATION:
            raise _invalid("a message does not begin with the continuation marker")
        size: int = _I32.unpack_from(frame, 4)[0]
        position += 8
        if size == 0:
            break
        if not 0 < size <= MAX_METADATA_BYTES:
            raise EnvelopeError(Reason.TOO_LARGE, f"an Arrow message's metadata is over {MAX_METADATA_BYTES} bytes")
        metadata = value[position : position + size]
        if len(metadata) < size:
            raise _invalid("it was cut off inside a message")
        message = _Table(metadata, _U32.unpack_from(metadata, 0)[0])
        kind = message.byte(1)
        body_bytes = message.number(3, _I64)
        position += size + body_bytes
        if body_bytes < 0 or position > len(value):
            raise _invalid("it was cut off inside a message")
        messages += 1
        if messages > MAX_MESSAGES:
            raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_MESSAGES} messages in one Arrow stream")
        if (kind == _SCHEMA) != (messages == 1):
            raise _invalid("the schema must come first and once")
        if kind == _SCHEMA:
            _check_schema(message.table(2), metadata, body_bytes)
        elif kind == _RECORD_BATCH:
            batches += 1
            if batches > MAX_BATCHES:
                raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_BATCHES} record batches in one Arrow stream")
            rows += _batch_rows(message.table(2), body_bytes)
        elif kind == _DICTIONARY:
            dictionary = message.table(2)
            if dictionary.byte(2):
                raise _invalid("delta dictionaries are not accepted; send whole ones")
            if _batch_rows(dictionary.table(1), body_bytes) > MAX_DICTIONARY_VALUES:
                raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_DICTIONARY_VALUES} values in a dictionary")
        else:
            raise _invalid("it has a message that is no schema, dictionary or record batch")
    if position != len(value):
        raise _invalid("there are bytes after its end marker; send one stream in a record")
    if messages == 0:
        raise _invalid("it has no schema")
    return Framing(rows, batches)


def _check_schema(schema: _Table, metadata: bytes, body_bytes: int) -> None:
    if schema.number(0, _I16) != 0:
        raise _invalid("it is big-endian; write it little-endian")
    if b"ARROW:extension" in metadata:
        raise _invalid("it has an extension type; send plain types, such as text or 16 bytes for a UUID")
    if body_bytes:
        raise _invalid("its schema message has a body")


def _batch_rows(batch: _Table, body_bytes: int) -> int:
    """Rows of a record batch, once its buffers are known to be plain and to fit its body without overlapping."""
    if batch.has(3):
        raise _invalid("its buffers are compressed; compress the Kafka record instead")
    rows = batch.number(0, _I64)
    buffers = batch.pairs(2)
    lengths = buffers[1::2]
    if rows < 0 or (lengths and min(lengths) < 0) or sum(lengths) > body_bytes:
        raise _invalid("its buffers do not fit their message")
    return rows
