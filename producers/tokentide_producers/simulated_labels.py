"""Label columns from numeric codes, with dictionaries that hold little more than the values in use. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SMALL_DICTIONARY: Final = 32
"""A piece keeps a dictionary of at most this many values as it is: the bytes saved are not worth the time."""


class Labels:
    """Values by code, where several codes may mean one value."""

    def __init__(self, values: Iterable[str]) -> None:
        given = list(values)
        distinct = {value: number for number, value in enumerate(dict.fromkeys(given))}
        self._code_of = np.array([distinct[value] for value in given], np.int16)
        self._values = pa.array(list(distinct), pa.utf8())

    def take(self, codes: npt.NDArray[Any], offset: int = 0) -> pa.DictionaryArray:
        """The label column of an array of codes (each plus `offset`)."""
        numbers = self._code_of[codes + offset if offset else codes]
        return _with_used_values(numbers, self._values, np.int16)


def compact(column: pa.DictionaryArray, done: dict[int, pa.Array]) -> pa.DictionaryArray:
    """The same column without unused dictionary values. `done`: earlier answers, for columns that share their data."""
    if len(column.dictionary) <= SMALL_DICTIONARY:
        return column
    indices = column.indices
    key = indices.buffers()[1].address + indices.offset
    if key not in done:
        numbers = indices.to_numpy()
        done[key] = _with_used_values(numbers, column.dictionary, numbers.dtype.type)
    return done[key]


def _with_used_values(numbers: npt.NDArray[Any], values: pa.Array, index_type: Any) -> pa.DictionaryArray:
    if len(values) > 1:
        used = np.zeros(len(values), np.bool_)
        used[numbers] = True
        places = np.flatnonzero(used)
        if len(places) < len(values):
            renumbered = np.empty(len(values), index_type)
            renumbered[places] = np.arange(len(places), dtype=index_type)
            numbers, values = renumbered[numbers], values.take(pa.array(places))
    return pa.DictionaryArray.from_arrays(pa.array(numbers), values, safe=False)
