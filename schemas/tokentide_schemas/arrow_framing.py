"""A look at an Arrow IPC stream's framing before any of it is decoded.

The Arrow reader trusts much of what a stream says about itself: it would allocate what a compressed buffer claims, stop
at the first end marker and ignore what follows, swap bytes of buffers that nobody has checked. So the messages are
walked here first, in plain Python that cannot read out of bounds; what an envelope does not need is refused.
"""

from __future__ import annotations

import functools
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
    """What the messages say. `rows`: in all record batches. `null_counts`: for each record batch those of its flat
    columns. `dictionary_nulls`: some dictionary has a null. Full validation of the batches makes these facts."""

    rows: int
    null_counts: tuple[tuple[int, ...], ...]
    dictionary_nulls: bool


@dataclass(frozen=True, slots=True)
class _Message:
    kind: int
    body_bytes: int
    rows: int = 0
    null_counts: tuple[int, ...] = ()


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
    null_counts: list[tuple[int, ...]] = []
    dictionary_nulls = False
    rows = messages = position = 0
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
        message = _remembered_message(metadata) if size <= _REMEMBERED_BYTES else _message(metadata)
        position += size + message.body_bytes
        if position > len(value):
            raise _invalid("it was cut off inside a message")
        messages += 1
        if messages > MAX_MESSAGES:
            raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_MESSAGES} messages in one Arrow stream")
        if (message.kind == _SCHEMA) != (messages == 1):
            raise _invalid("the schema must come first and once")
        if message.kind == _RECORD_BATCH:
            rows += message.rows
            null_counts.append(message.null_counts)
            if len(null_counts) > MAX_BATCHES:
                raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_BATCHES} record batches in one Arrow stream")
        elif message.kind == _DICTIONARY:
            dictionary_nulls = dictionary_nulls or any(message.null_counts)
    if position != len(value):
        raise _invalid("there are bytes after its end marker; send one stream in a record")
    if messages == 0:
        raise _invalid("it has no schema")
    return Framing(rows, tuple(null_counts), dictionary_nulls)


def _message(metadata: bytes) -> _Message:
    message = _Table(metadata, _U32.unpack_from(metadata, 0)[0])
    kind = message.byte(1)
    body_bytes = message.number(3, _I64)
    if body_bytes < 0:
        raise _invalid("a message has a negative length")
    if kind == _SCHEMA:
        _check_schema(message.table(2), metadata, body_bytes)
        return _Message(kind, body_bytes)
    if kind == _RECORD_BATCH:
        return _batch(kind, message.table(2), body_bytes)
    if kind == _DICTIONARY:
        dictionary = message.table(2)
        if dictionary.byte(2):
            raise _invalid("delta dictionaries are not accepted; send whole ones")
        values = _batch(kind, dictionary.table(1), body_bytes)
        if values.rows > MAX_DICTIONARY_VALUES:
            raise EnvelopeError(Reason.TOO_LARGE, f"more than {MAX_DICTIONARY_VALUES} values in a dictionary")
        return values
    raise _invalid("it has a message that is no schema, dictionary or record batch")


_REMEMBERED_BYTES: Final = 8_192
_remembered_message: Final = functools.lru_cache(maxsize=512)(_message)
"""Envelopes of one producer repeat the schema's metadata and most dictionaries': half of the walk's cost."""


def _check_schema(schema: _Table, metadata: bytes, body_bytes: int) -> None:
    if schema.number(0, _I16) != 0:
        raise _invalid("it is big-endian; write it little-endian")
    if b"ARROW:extension" in metadata:
        raise _invalid("it has an extension type; send plain types, such as text or 16 bytes for a UUID")
    if body_bytes:
        raise _invalid("its schema message has a body")


def _batch(kind: int, batch: _Table, body_bytes: int) -> _Message:
    """A batch, once its buffers are known to be plain and to fit its body without overlapping."""
    if batch.has(3):
        raise _invalid("its buffers are compressed; compress the Kafka record instead")
    rows = batch.number(0, _I64)
    lengths = batch.pairs(2)[1::2]
    if rows < 0 or (lengths and min(lengths) < 0) or sum(lengths) > body_bytes:
        raise _invalid("its buffers do not fit their message")
    return _Message(kind, body_bytes, rows, batch.pairs(1)[1::2])
