"""Event ids: UUID version 7 in the counter style. Pure: the time is an argument.

An id is 48 bits of milliseconds, a 26-bit counter and 48 bits that are random for each generator. Neighbouring ids
differ in a few bits only, so a column of them compresses to about a byte an id, where random ids need ten.
"""

from __future__ import annotations

import secrets
import threading
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

COUNTER_BITS: Final = 26
NODE_BITS: Final = 48
_COUNTER_MASK: Final = (1 << COUNTER_BITS) - 1
_LOW_COUNTER_BITS: Final = 14
_LOW_COUNTER_MASK: Final = (1 << _LOW_COUNTER_BITS) - 1


class EventIds:
    """A generator of event ids, unique among all generators with different nodes; safe to share between threads.

    node: 48 bits that tell this generator from every other one; random when left out.
    """

    def __init__(self, node: int | None = None) -> None:
        self._node = secrets.randbits(NODE_BITS) if node is None else node & ((1 << NODE_BITS) - 1)
        self._lock = threading.Lock()
        self._counter = 0
        self._last_ms = 0

    def next(self, now_ms: int) -> UUID:
        """One id, greater than every id that `next` gave before, even when the clock steps back."""
        with self._lock:
            self._last_ms = max(self._last_ms, now_ms)
            counter = self._counter & _COUNTER_MASK
            if counter == 0:
                # The counter starts again: without a new millisecond the id would be smaller than the one before.
                self._last_ms += 1
            self._counter += 1
            ms = self._last_ms
        high = ms << 16 | 0x7000 | counter >> _LOW_COUNTER_BITS
        low = 1 << 63 | (counter & _LOW_COUNTER_MASK) << NODE_BITS | self._node
        return UUID(int=high << 64 | low)

    def block(self, times_ms: npt.NDArray[np.int64]) -> pa.FixedSizeBinaryArray:
        """One id for each of the times (milliseconds since 1970), as an Arrow column of 16 bytes."""
        n = len(times_ms)
        with self._lock:
            start = self._counter
            self._counter += n
        counter = np.arange(start, start + n, dtype=np.uint64) & np.uint64(_COUNTER_MASK)
        ids = np.empty((n, 2), dtype=">u8")
        ids[:, 0] = times_ms.astype(np.uint64) << np.uint64(16) | np.uint64(0x7000) | counter >> np.uint64(14)
        ids[:, 1] = np.uint64(1 << 63 | self._node) | (counter & np.uint64(_LOW_COUNTER_MASK)) << np.uint64(NODE_BITS)
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), n, [None, pa.py_buffer(ids)])
