"""Numbers for label values, so that state is kept, merged and compared as integers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Ints = npt.NDArray[np.int64]

_SPARE = 10_000
"""Labels that may lie unused before it is worth to look which are."""


class Labels:
    """The label values of one partition: column -> value <-> number. Numbers stay the same until `keep`."""

    def __init__(self, values: dict[str, list[str]] | None = None) -> None:
        self._values: defaultdict[str, list[str]] = defaultdict(list, values or {})
        self._numbers: dict[str, dict[str, int]] = defaultdict(
            dict, {name: {value: n for n, value in enumerate(known)} for name, known in self._values.items()}
        )
        self._kept = self._total()

    def _total(self) -> int:
        return sum(map(len, self._values.values()))

    def size(self, name: str) -> int:
        """How many values the column has: numbers are below it."""
        return len(self._values[name])

    def number(self, name: str, value: str) -> int:
        """The value's number, a new one when it is new."""
        numbers = self._numbers[name]
        found = numbers.get(value)
        if found is None:
            found = numbers[value] = len(numbers)
            self._values[name].append(value)
        return found

    def encode(self, name: str, column: pa.DictionaryArray) -> Ints:
        """Each row's number. Only values that a row uses become known: a dictionary may be full of others."""
        values = column.dictionary.to_pylist()
        indices = column.indices.to_numpy()
        numbers = self._numbers[name]
        mapping = np.array([numbers.get(value, -1) for value in values], np.int64)
        new = np.flatnonzero(mapping < 0)
        if len(new):
            used = np.bincount(indices, minlength=len(values)) > 0
            for position in new[used[new]]:
                mapping[position] = self.number(name, values[position])
        return np.asarray(mapping[indices], np.int64)

    def decode(self, name: str, numbers: pl.Series) -> pl.Series:
        """The values of numbers, as text."""
        distinct, places = np.unique(numbers.to_numpy(), return_inverse=True)
        known = self._values[name]
        values = pl.Series(name, [known[n] for n in distinct], dtype=pl.String)
        return values.gather(pl.Series(places.astype(np.uint32)))

    def dump(self) -> dict[str, list[str]]:
        """For a checkpoint: the constructor's argument."""
        return dict(self._values)

    @property
    def has_grown(self) -> bool:
        """So many values came since the last `keep` that forgetting unused ones pays."""
        return self._total() > 2 * self._kept + _SPARE

    def keep(self, used: Mapping[str, Iterable[int]]) -> dict[str, Ints]:
        """Forget all other values. Returns column -> new number by old number."""
        moved = {}
        for name, known in list(self._values.items()):
            kept = sorted(set(used.get(name, ())))
            table = np.zeros(len(known), np.int64)
            table[kept] = np.arange(len(kept))
            moved[name] = table
            self._values[name] = [known[n] for n in kept]
            self._numbers[name] = {value: n for n, value in enumerate(self._values[name])}
        self._kept = self._total()
        return moved
