"""Bodies on the wire: HTTP content encodings and ClickHouse's native frames (``compress=1`` / ``decompress=1``).

A native frame is CityHash128 of the rest (16 bytes), a method byte, the compressed size with its 9-byte header, the raw
size, the data.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from tokentide_deploy.store.errors import (
    CANNOT_DECOMPRESS,
    CHECKSUM_DOESNT_MATCH,
    UNKNOWN_COMPRESSION_METHOD,
    StoreError,
    store_error,
)

FRAME_RAW_BYTES = 1 << 20
_MAX_FRAME_BYTES = 1 << 30
_CHECKSUM_BYTES = 16
_HEADER = struct.Struct("<BII")
_METHOD_LZ4 = 0x82
_METHOD_ZSTD = 0x90
_METHOD_NONE = 0x02
_OUT_BYTES = 4 << 20


def _checksum(data: bytes) -> bytes:
    value = CityHash128(data)
    high, low = (value >> 64, value & (2**64 - 1)) if isinstance(value, int) else value
    return struct.pack("<QQ", high, low)


def frames(data: bytes) -> bytes:
    """Encodes ``data`` as LZ4 frames of at most 1 MiB raw."""
    out = bytearray()
    for start in range(0, len(data), FRAME_RAW_BYTES):
        raw = data[start : start + FRAME_RAW_BYTES]
        packed = lz4.block.compress(raw, store_size=False)
        body = _HEADER.pack(_METHOD_LZ4, len(packed) + _HEADER.size, len(raw)) + packed
        out += _checksum(body) + body
    return bytes(out)


def unframe(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decodes native frames as they arrive, checksums verified. Raises StoreError on damage or a cut-off frame."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _CHECKSUM_BYTES + _HEADER.size:
            method, packed_size, raw_size = _HEADER.unpack_from(buffer, _CHECKSUM_BYTES)
            if packed_size < _HEADER.size or max(packed_size, raw_size) > _MAX_FRAME_BYTES:
                raise store_error(CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", "The native frame's sizes are impossible.")
            end = _CHECKSUM_BYTES + packed_size
            if len(buffer) < end:
                break
            body = bytes(buffer[_CHECKSUM_BYTES:end])
            if _checksum(body) != bytes(buffer[:_CHECKSUM_BYTES]):
                raise store_error(
                    CHECKSUM_DOESNT_MATCH, "CHECKSUM_DOESNT_MATCH", "A native frame's checksum does not match its data."
                )
            del buffer[:end]
            yield _unpack(method, body[_HEADER.size :], raw_size)
    if buffer:
        raise store_error(CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", "The body ends inside a native frame.")


def _unpack(method: int, packed: bytes, raw_size: int) -> bytes:
    try:
        if method == _METHOD_LZ4:
            raw: bytes = lz4.block.decompress(packed, uncompressed_size=raw_size)
        elif method == _METHOD_ZSTD:
            raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=raw_size)
        elif method == _METHOD_NONE:
            raw = packed
        else:
            raise store_error(
                UNKNOWN_COMPRESSION_METHOD, "UNKNOWN_COMPRESSION_METHOD", f"Unknown frame method 0x{method:02x}."
            )
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise store_error(
            CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"Cannot decompress a native frame: {error}."
        ) from None
    if len(raw) != raw_size:
        raise store_error(CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", "A native frame's size does not match its data.")
    return raw


def decode(chunks: Iterable[bytes], content_encoding: str) -> Iterator[bytes]:
    """Undoes a request's Content-Encoding as the chunks arrive. Raises StoreError for an unknown or damaged one."""
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from chunks
        return
    try:
        if encoding == "lz4":
            yield from _decode_lz4(chunks)
        elif encoding == "zstd":
            yield from _decode_zstd(chunks)
        elif encoding in ("gzip", "x-gzip"):
            yield from _decode_zlib(chunks, 31)
        elif encoding == "deflate":
            yield from _decode_zlib(chunks, 15)
        else:
            raise store_error(
                UNKNOWN_COMPRESSION_METHOD,
                "UNKNOWN_COMPRESSION_METHOD",
                f"Unknown Content-Encoding {encoding!r}: use lz4, zstd, gzip, deflate or none.",
            )
    except (RuntimeError, zlib.error, zstandard.ZstdError) as error:
        if isinstance(error, StoreError):
            raise
        raise store_error(
            CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"Cannot decode the {encoding} body: {error}."
        ) from None


def _truncated(encoding: str) -> StoreError:
    return store_error(CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"The {encoding} body is cut off.")


def _decode_lz4(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decoder = lz4.frame.LZ4FrameDecompressor()
    started = False
    for chunk in chunks:
        data: bytes = chunk
        while data or not decoder.needs_input:
            started = True
            out = decoder.decompress(data, max_length=_OUT_BYTES)
            data = b""
            if out:
                yield out
            if decoder.eof:
                data = decoder.unused_data or b""
                decoder = lz4.frame.LZ4FrameDecompressor()
                started = False
    if started:
        raise _truncated("lz4")


def _decode_zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor().decompressobj(write_size=_OUT_BYTES)
    started = False
    for chunk in chunks:
        data = chunk
        while data:
            started = True
            out = decoder.decompress(data)
            data = b""
            if out:
                yield out
            if decoder.eof:
                data = decoder.unused_data
                decoder = zstandard.ZstdDecompressor().decompressobj(write_size=_OUT_BYTES)
                started = False
    if started:
        raise _truncated("zstd")


def _decode_zlib(chunks: Iterable[bytes], window_bits: int) -> Iterator[bytes]:
    decoder = zlib.decompressobj(window_bits)
    started = False
    for chunk in chunks:
        data = chunk
        while data:
            if decoder.eof:
                decoder = zlib.decompressobj(window_bits)
            started = True
            out = decoder.decompress(data, _OUT_BYTES)
            if out:
                yield out
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    if started and not decoder.eof:
        raise _truncated("gzip" if window_bits == 31 else "deflate")


class Encoder(Protocol):
    """A running compression of one response body."""

    def chunk(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class _Plain:
    def chunk(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _NativeFrames:
    def chunk(self, data: bytes) -> bytes:
        return frames(data)

    def end(self) -> bytes:
        return b""


class _Lz4:
    def __init__(self) -> None:
        self._encoder = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._encoder.begin()

    def chunk(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._encoder.compress(data))

    def end(self) -> bytes:
        return self._head + bytes(self._encoder.flush())


class _Zstd:
    def __init__(self) -> None:
        self._encoder = zstandard.ZstdCompressor(level=1).compressobj()

    def chunk(self, data: bytes) -> bytes:
        return self._encoder.compress(data)

    def end(self) -> bytes:
        return self._encoder.flush()


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._encoder = zlib.compressobj(1, zlib.DEFLATED, window_bits)

    def chunk(self, data: bytes) -> bytes:
        return self._encoder.compress(data)

    def end(self) -> bytes:
        return self._encoder.flush()


def choose_encoding(accept_encoding: str) -> str:
    """The content encoding to answer with, or '' for none. Ours in order of cost; ``q=0`` excludes one."""
    offered: set[str] = set()
    for item in accept_encoding.lower().split(","):
        name, _, quality = item.strip().partition(";")
        if quality.replace(" ", "") not in ("q=0", "q=0.0"):
            offered.add(name.strip())
    return next((name for name in ("lz4", "zstd", "gzip", "deflate") if name in offered), "")


def encoder(content_encoding: str, native_frames: bool) -> Encoder:
    """An encoder for one body: native frames, or the content encoding ('' is none)."""
    if native_frames:
        return _NativeFrames()
    match content_encoding:
        case "lz4":
            return _Lz4()
        case "zstd":
            return _Zstd()
        case "gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(15)
        case _:
            return _Plain()
