"""A checkpoint as records of the changelog: whole when it fits into one, else in parts and an index. Pure.

Parts go into one of two slots in turn, and the index, which is written last, names its slot: whatever a crash cuts off,
the checkpoint before it stays whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokentide_stream import checkpoint

PART_BYTES: Final = 4 * 1024 * 1024
"""Of one record: far below what the topic takes, and small enough for a client to hold several."""
MAX_PARTS: Final = 1024

_INDEX: Final = b"TTINDEX1"
"""How an index begins. A whole checkpoint begins with a length, which as these bytes would be over a gigabyte."""


@dataclass(frozen=True, slots=True)
class Writes:
    """Records to write in this order, each group once the one before it is durable.

    parts, head: keys and values. obsolete: keys to delete.
    """

    parts: tuple[tuple[bytes, bytes], ...]
    head: tuple[bytes, bytes]
    obsolete: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The furthest complete checkpoint. incomplete: keys of indexes whose parts are not all there."""

    value: bytes | None
    applied_offset: int
    incomplete: tuple[bytes, ...]


def plan(
    key: bytes, value: bytes, *, slot: int = 0, slot_parts: tuple[int, int] = (0, 0), part_bytes: int = PART_BYTES
) -> Writes:
    """How to write a checkpoint under a key.

    slot: where the last one's parts are. slot_parts: how many parts each slot holds. Raises CheckpointError for one
    of more than MAX_PARTS parts.
    """
    if len(value) <= part_bytes:
        obsolete = [_part_key(key, s, n) for s in (0, 1) for n in range(slot_parts[s])]
        return Writes((), (key, value), tuple(obsolete))
    slot = 1 - slot
    pieces = [value[start : start + part_bytes] for start in range(0, len(value), part_bytes)]
    if len(pieces) > MAX_PARTS:
        raise checkpoint.CheckpointError(
            f"the checkpoint has {len(value)} bytes, at most {MAX_PARTS * part_bytes} can be kept; use more "
            "partitions, fewer dimensions or a lower max_groups"
        )
    epoch, applied_offset = checkpoint.peek(value)
    index = {
        "epoch": epoch,
        "applied_offset": applied_offset,
        "slot": slot,
        "parts": len(pieces),
        "digest": _digest(value),
    }
    return Writes(
        tuple((_part_key(key, slot, n), piece) for n, piece in enumerate(pieces)),
        (key, _INDEX + json.dumps(index).encode()),
        tuple(_part_key(key, slot, n) for n in range(len(pieces), slot_parts[slot])),
    )


def held(table: Mapping[bytes, bytes], key: bytes) -> tuple[int, tuple[int, int]]:
    """The arguments `slot` and `slot_parts` of `plan`, from what the changelog has under a key.

    Read off each time, since a process may get back a partition with what it wrote before it lost it.
    """
    head = table.get(key, b"")
    slot = int(_index(head)["slot"]) if head.startswith(_INDEX) else 0
    first, second = (
        sum(1 for name in table if _is_part(name) and name.startswith(b"%s/%d/" % (key, number))) for number in (0, 1)
    )
    return slot, (first, second)


def furthest(table: Mapping[bytes, bytes], epoch: str) -> Found:
    """The checkpoint of a topic's epoch that includes most, out of all that the changelog has of a partition.

    An index without its parts is what a worker leaves that was taken for dead and wrote on while its successor cleaned
    up: its successor's checkpoint counts. Raises CheckpointError when there are indexes of the epoch and none of them,
    nor a whole checkpoint, can be used.
    """
    best: bytes | None = None
    best_offset = -1
    incomplete = []
    for key, head in table.items():
        if _is_part(key):
            continue
        found_epoch, offset = _peek(head)
        if found_epoch != epoch:
            continue
        value = _whole(table, key, head)
        if value is None:
            incomplete.append(key)
        elif offset > best_offset or best is None:
            best, best_offset = value, offset
    if best is None and incomplete:
        raise checkpoint.CheckpointError(f"no complete checkpoint: parts are missing of {_names(incomplete)}")
    return Found(best, best_offset, tuple(incomplete))


def _peek(head: bytes) -> tuple[str, int]:
    if not head.startswith(_INDEX):
        return checkpoint.peek(head)
    index = _index(head)
    return str(index["epoch"]), int(index["applied_offset"])


def _whole(table: Mapping[bytes, bytes], key: bytes, head: bytes) -> bytes | None:
    if not head.startswith(_INDEX):
        return head
    index = _index(head)
    pieces = [table.get(_part_key(key, index["slot"], n)) for n in range(index["parts"])]
    value = b"".join(piece for piece in pieces if piece is not None)
    return value if None not in pieces and _digest(value) == index["digest"] else None


def _index(head: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(head[len(_INDEX) :])
    return found


def _part_key(key: bytes, slot: int, number: int) -> bytes:
    return b"%s/%d/%d" % (key, slot, number)


def _is_part(key: bytes) -> bool:
    return key.count(b"/") > 1


def _digest(value: bytes) -> str:
    return hashlib.blake2b(value, digest_size=16).hexdigest()


def _names(keys: list[bytes]) -> str:
    return ", ".join(key.decode(errors="replace") for key in keys)
