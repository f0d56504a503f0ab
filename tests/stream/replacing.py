"""A ReplacingMergeTree(version) in a few lines: of the rows of a key the one with the highest version stays.

It also holds what exactness rests on: rows of one key and version never differ, and a higher version never has less.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

Key = tuple[Any, ...]
SIGNED = frozenset({"cost_nanousd", "byok_cost_nanousd"})
"""Refunds make these go down; every other measure only grows."""


class ReplacingTable:
    def __init__(self) -> None:
        self._versions: dict[Key, dict[int, dict[str, int]]] = {}

    def insert(self, key: Key, version: int, values: dict[str, int]) -> None:
        known = self._versions.setdefault(key, {})
        if version in known:
            assert known[version] == values, f"two different rows for {key} in version {version}"
        known[version] = values

    def newest(self, key: Key) -> dict[str, int] | None:
        known = self._versions.get(key)
        return known[max(known)] if known else None

    def final(self) -> dict[Key, dict[str, int]]:
        return {key: known[max(known)] for key, known in self._versions.items()}

    def assert_versions_never_decrease(self) -> None:
        for key, known in self._versions.items():
            ordered = [known[version] for version in sorted(known)]
            for before, after in itertools.pairwise(ordered):
                less = [name for name in before if name not in SIGNED and after[name] < before[name]]
                assert not less, f"{key}: {less} went down from one version to the next"


def rows_of(frame: Any, dimensions: Iterable[str]) -> Iterable[tuple[Key, dict[str, int]]]:
    """Key (window_start_s, segment, *labels) and measures of each row of a flush."""
    names = ("window_start_s", "segment", *dimensions)
    for row in frame.iter_rows(named=True):
        key = tuple(row.pop(name) for name in names)
        yield key, row
