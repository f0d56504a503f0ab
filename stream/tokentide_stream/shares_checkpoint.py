"""A checkpoint of the global windows as several values: blocks of ten minutes, and a head that names them. Pure.

Two days of minutes are megabytes and hardly ever change, so only changed blocks are written. A block is never
overwritten: it gets a new name, the head that names it is written after it, and only then is the old one deleted. So
whichever head is durable, the blocks that it names are, too.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl
import zstandard

from tokentide_schemas.shares import CUBE_DIMENSIONS, MEASURES
from tokentide_stream.global_windows import OPEN_SCHEMA, GlobalWindows, Source, Window
from tokentide_stream.minute_ring import MinuteRing

FORMAT: Final = 1
BLOCK_MINUTES: Final = 10
_LENGTH: Final = struct.Struct("<I")
_HEAD: Final = b"head/"
_BLOCK: Final = b"block/"


class SharesCheckpointError(Exception):
    """A checkpoint cannot be read or is not whole."""


@dataclass(frozen=True, slots=True)
class Rank:
    """Which of several heads counts: the highest. `term` grows with every recovery, `emissions` within it."""

    term: int
    emissions: int


@dataclass(slots=True)
class Blocks:
    """Names of the durable blocks by their first minute."""

    incarnation: str
    names: dict[int, bytes]
    written: int = 0


@dataclass(frozen=True, slots=True)
class Writes:
    """What to write, in this order; each part is durable before the next begins. None deletes."""

    blocks: list[tuple[bytes, bytes]]
    head: tuple[bytes, bytes]
    obsolete: list[bytes]


def dump(windows: GlobalWindows, blocks: Blocks, rank: Rank, topic_id: str) -> Writes:
    """A checkpoint right after `absorb` and `archive`. Changes `blocks` and forgets which minutes changed."""
    changed = sorted({minute // BLOCK_MINUTES * BLOCK_MINUTES for minute in windows.changed_minutes})
    windows.changed_minutes.clear()
    values, obsolete = [], []
    for start in changed:
        if start in blocks.names:
            obsolete.append(blocks.names[start])
        blocks.written += 1
        name = _BLOCK + f"{blocks.incarnation}/{start}/{blocks.written}".encode()
        blocks.names[start] = name
        values.append((name, _pack({"format": FORMAT}, _block(windows, start))))
    for start in [start for start in blocks.names if start + BLOCK_MINUTES <= windows.oldest]:
        obsolete.append(blocks.names.pop(start))
    head = {
        "format": FORMAT,
        "topic_id": topic_id,
        "term": rank.term,
        "emissions": rank.emissions,
        "offsets": sorted(windows.offsets.items()),
        "sources": [asdict(source) for source in windows.sources],
        "watermark_ms": windows.watermark_ms,
        "as_of_ms": windows.as_of_ms,
        "complete_from": windows.complete_from,
        "incomplete": sorted(windows.incomplete),
        "unfinal": sorted((window.start, window.length) for window in windows.unfinal),
        "newest": windows.rings["model"].newest,
        "partial_rows": windows.partial_rows,
        "too_old_rows": windows.too_old_rows,
        "unreadable_records": windows.unreadable_records,
        "skipped_windows": windows.skipped_windows,
        "blocks": {start: name.decode() for start, name in sorted(blocks.names.items())},
    }
    return Writes(values, (_HEAD + blocks.incarnation.encode(), _pack(head, windows.open_rows)), obsolete)


def best_head(values: Mapping[bytes, bytes], topic_id: str) -> tuple[bytes | None, Rank]:
    """The head that counts, and the rank of the highest of any topic. A topic made anew starts from nothing."""
    best: bytes | None = None
    best_rank, highest = Rank(0, -1), Rank(0, 0)
    for key, value in values.items():
        if not key.startswith(_HEAD):
            continue
        head, _ = _unpack(value)
        rank = Rank(int(head["term"]), int(head["emissions"]))
        highest = max(highest, rank, key=_order)
        if head["topic_id"] == topic_id and _order(rank) > _order(best_rank):
            best, best_rank = value, rank
    return best, highest


def load(head_value: bytes, values: Mapping[bytes, bytes], windows: GlobalWindows) -> None:
    """Fill new, empty `windows`. Raises SharesCheckpointError when a block is missing.

    All minutes count as changed, so that the next checkpoint has every block under its own incarnation's names.
    """
    head, open_rows = _unpack(head_value)
    windows.offsets = {int(partition): int(offset) for partition, offset in head["offsets"]}
    for source in head["sources"]:
        windows.add_source(Source(**source))
    for start, name in head["blocks"].items():
        value = values.get(name.encode())
        if value is None:
            raise SharesCheckpointError(
                f"the checkpoint lacks its block of minute {start}; stop the process, delete the topic of its "
                "checkpoints and start again: shares are then rebuilt from what the rollup topic still has"
            )
        _restore_block(windows, _unpack(value)[1])
    if head["newest"] is not None:
        for ring in windows.rings.values():
            ring.advance(int(head["newest"]))
    windows.open_rows = open_rows.cast(dict(OPEN_SCHEMA))  # type: ignore[arg-type]
    windows.watermark_ms = int(head["watermark_ms"])
    windows.as_of_ms = int(head["as_of_ms"])
    windows.complete_from = int(head["complete_from"])
    windows.incomplete = set(head["incomplete"])
    windows.unfinal = {Window(int(start), int(length)) for start, length in head["unfinal"]}
    windows.partial_rows = int(head["partial_rows"])
    windows.too_old_rows = int(head["too_old_rows"])
    windows.unreadable_records = int(head["unreadable_records"])
    windows.skipped_windows = int(head["skipped_windows"])
    windows.changed_minutes = {int(start) for start in head["blocks"]}


def foreign(keys: Iterable[bytes], incarnation: str) -> list[bytes]:
    """Keys of other incarnations: obsolete once this one has written its first checkpoint."""
    mine = {_HEAD + incarnation.encode(), _BLOCK + incarnation.encode()}
    return [key for key in keys if not any(key == own or key.startswith(own + b"/") for own in mine)]


def _order(rank: Rank) -> tuple[int, int]:
    return rank.term, rank.emissions


def _block(windows: GlobalWindows, start: int) -> pl.DataFrame:
    parts = []
    for dimension, ring in windows.rings.items():
        minutes, codes, values = ring.rows(start, start + BLOCK_MINUTES)
        keys = [ring.keys[code] for code in codes]
        sums = {name: values[:, place] for place, name in enumerate(MEASURES)}
        parts.append(pl.DataFrame({"dimension": [dimension] * len(keys), "minute": minutes, "key": keys, **sums}))
    schema = {"dimension": pl.String, "minute": pl.Int64, "key": pl.String, **dict.fromkeys(MEASURES, pl.Int64)}
    return pl.concat([part.cast(schema) for part in parts])  # type: ignore[arg-type]


def _restore_block(windows: GlobalWindows, rows: pl.DataFrame) -> None:
    if rows.is_empty():
        return
    newest = int(rows["minute"].max())  # type: ignore[arg-type]
    for ring in windows.rings.values():
        ring.advance(newest)
    for dimension in CUBE_DIMENSIONS:
        own = rows.filter((pl.col("dimension") == dimension) & (pl.col("minute") >= windows.oldest))
        _add(windows.rings[dimension], own)


def _add(ring: MinuteRing, rows: pl.DataFrame) -> None:
    ring.add(rows["minute"].to_numpy(), ring.codes(rows["key"].to_list()), rows.select(MEASURES).to_numpy())


def _pack(head: Mapping[str, Any], frame: pl.DataFrame) -> bytes:
    body = io.BytesIO()
    frame.write_ipc(body)
    text = json.dumps(head, separators=(",", ":")).encode()
    return zstandard.compress(_LENGTH.pack(len(text)) + text + body.getvalue(), 1)


def _unpack(value: bytes) -> tuple[dict[str, Any], pl.DataFrame]:
    try:
        plain = zstandard.ZstdDecompressor().decompressobj().decompress(value)
        (length,) = _LENGTH.unpack_from(plain)
        head: dict[str, Any] = json.loads(plain[_LENGTH.size : _LENGTH.size + length])
    except (zstandard.ZstdError, struct.error, ValueError) as error:
        raise SharesCheckpointError(f"unreadable checkpoint: {error}") from error
    if head.get("format") != FORMAT:
        raise SharesCheckpointError(f"checkpoint format {head.get('format')}; this process reads {FORMAT}")
    return head, pl.read_ipc(io.BytesIO(plain[_LENGTH.size + length :]))
