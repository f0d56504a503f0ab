"""Label columns from numeric codes, with dictionaries that hold little more than the values in use. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide_producers.event_columns import with_used_values


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
        return with_used_values(numbers, self._values, np.int16)
