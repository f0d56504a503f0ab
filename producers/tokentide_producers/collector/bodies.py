"""Decompression with a limit: a small body must not become a large one in memory. Pure."""

from __future__ import annotations

import zlib
from typing import Any, Final

import zstandard

from tokentide_producers.collector.problems import ProblemError

_STEP_BYTES: Final = 1 << 20
_ZSTD_WINDOW_BYTES: Final = 8 << 20
ENCODINGS: Final = ("gzip", "deflate", "zstd", "identity")


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding. Raises ProblemError: 400 damaged, 413 larger than `limit`, 415 unknown."""
    names = [name.strip().lower() for name in encoding.split(",") if name.strip()]
    names = [name for name in names if name != "identity"]
    if len(names) > 1 or (names and names[0] not in ("gzip", "x-gzip", "deflate", "zstd")):
        raise ProblemError(415, "Unsupported Content-Encoding", f"send one of {', '.join(ENCODINGS)}")
    if not names:
        return body
    try:
        if names[0] == "zstd":
            return _zstd(body, limit)
        return _zlib(body, limit, names[0])
    except (zlib.error, zstandard.ZstdError, EOFError, MemoryError):
        detail = f"the body does not decompress as its Content-Encoding ({names[0].removeprefix('x-')}) says"
        raise ProblemError(400, "Damaged body", detail) from None


def _zlib(body: bytes, limit: int, name: str) -> bytes:
    if name == "deflate":
        # Both readings of "deflate" are in use: with zlib's header (RFC 9110) and without.
        has_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflate(body, limit, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    return _inflate(body, limit, zlib.MAX_WBITS | 16)


def _inflate(body: bytes, limit: int, window_bits: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    left = body
    while left:
        # A gzip body may have several members, one behind the other.
        stream = zlib.decompressobj(window_bits)
        data = left
        while not stream.eof:
            part = stream.decompress(data, _STEP_BYTES)
            total += len(part)
            _check(total, limit)
            parts.append(part)
            data = stream.unconsumed_tail
            if not part and not data and not stream.eof:
                raise EOFError
        left = stream.unused_data
    if not parts:
        raise EOFError
    return b"".join(parts)


def _zstd(body: bytes, limit: int) -> bytes:
    reader: Any = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(
        body, read_across_frames=True
    )
    parts = []
    total = 0
    while part := reader.read(_STEP_BYTES):
        total += len(part)
        _check(total, limit)
        parts.append(part)
    if not parts:
        raise EOFError
    return b"".join(parts)


def _check(total: int, limit: int) -> None:
    if total > limit:
        detail = f"decompressed it is over the limit of {limit} bytes: send fewer events in one request"
        raise ProblemError(413, "Body too large", detail)
