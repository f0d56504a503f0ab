"""Sums by minute and key over a bounded stretch of time, in one dense array. Pure.

Dense because a window of a day is then one sum over contiguous memory (a few milliseconds), and because its size is
known: retained minutes x keys x measures x 8 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tokentide_schemas.dimensions import OTHER
from tokentide_schemas.shares import MEASURES

Ints = npt.NDArray[np.int64]


class MinuteRing:
    """Integer sums of `MEASURES` for each retained minute and key. Minutes are numbers since 1970 UTC.

    At most `key_limit` keys are kept apart; what comes when all are in use by retained minutes is added to `__other__`.
    """

    def __init__(self, retained_minutes: int, key_limit: int) -> None:
        self.retained = retained_minutes
        self.key_limit = key_limit
        self.newest: int | None = None
        self.keys: list[str] = []
        self._codes: dict[str, int] = {}
        self._values: Ints = np.zeros((retained_minutes, 0, len(MEASURES)), np.int64)

    @property
    def oldest(self) -> int:
        """The first retained minute; before anything was kept every minute may come."""
        return 0 if self.newest is None else self.newest - self.retained + 1

    @property
    def size_bytes(self) -> int:
        """Memory of the sums."""
        return self._values.nbytes

    def codes(self, keys: Sequence[str]) -> Ints:
        """A number for each key, its place in `keys` and in sums; numbers stay valid until the next call."""
        missing = {key for key in keys if key not in self._codes}
        if missing:
            if len(self.keys) + len(missing) >= self.key_limit:
                self._drop_unused({*keys, OTHER})
            for key in sorted(missing):
                # The last place is kept for the tail itself.
                if len(self.keys) < self.key_limit - 1 and key != OTHER:
                    self._add_key(key)
            if any(key not in self._codes for key in missing) and OTHER not in self._codes:
                self._add_key(OTHER)
        other = self._codes.get(OTHER, -1)
        return np.array([self._codes.get(key, other) for key in keys], np.int64)

    def advance(self, minute: int) -> None:
        """Make room up to `minute`, forgetting the oldest minutes."""
        if self.newest is None:
            self.newest = minute
        elif minute > self.newest:
            if minute - self.newest >= self.retained:
                self._values[:] = 0
            else:
                self._values[np.arange(self.newest + 1, minute + 1) % self.retained] = 0
            self.newest = minute

    def add(self, minutes: Ints, codes: Ints, values: Ints) -> None:
        """Add rows of sums. Minutes must be retained: `advance` first, and leave out what is older than `oldest`."""
        if len(minutes) == 0:
            return
        if self.newest is None or int(minutes.max()) > self.newest or int(minutes.min()) < self.oldest:
            raise ValueError(f"minutes {minutes.min()}..{minutes.max()} are not in {self.oldest}..{self.newest}")
        np.add.at(self._values, (minutes % self.retained, codes), values)

    def sums(self, start: int, end: int) -> Ints:
        """Sums by key (rows in the order of `keys`) over the minutes start <= minute < end that are retained."""
        if self.newest is None:
            return np.zeros((len(self.keys), len(MEASURES)), np.int64)
        start, end = max(start, self.oldest), min(end, self.newest + 1)
        total = np.zeros((self._values.shape[1], len(MEASURES)), np.int64)
        if start < end:
            first, last = start % self.retained, (end - 1) % self.retained + 1
            spans = [(first, last)] if first < last else [(first, self.retained), (0, last)]
            for low, high in spans:
                total += self._values[low:high].sum(axis=0)
        return total[: len(self.keys)]

    def rows(self, start: int, end: int) -> tuple[Ints, Ints, Ints]:
        """Minutes, codes and values of all sums that are not zero in start <= minute < end."""
        minutes = np.arange(max(start, self.oldest), min(end, -1 if self.newest is None else self.newest + 1))
        part = self._values[minutes % self.retained]
        row, code = np.nonzero(part.any(axis=2))
        return minutes[row], code, part[row, code]

    def _add_key(self, key: str) -> None:
        if len(self.keys) == self._values.shape[1]:
            width = min(self.key_limit, max(16, 2 * len(self.keys)))
            grown = np.zeros((self.retained, width, len(MEASURES)), np.int64)
            grown[:, : len(self.keys)] = self._values[:, : len(self.keys)]
            self._values = grown
        self._codes[key] = len(self.keys)
        self.keys.append(key)

    def _drop_unused(self, wanted: set[str]) -> None:
        used: npt.NDArray[np.bool_] = np.any(self._values, axis=(0, 2))
        keep = [code for code, key in enumerate(self.keys) if used[code] or key in wanted]
        self._values = np.ascontiguousarray(self._values[:, keep])
        self.keys = [self.keys[code] for code in keep]
        self._codes = {key: code for code, key in enumerate(self.keys)}
