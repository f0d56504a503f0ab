"""From sums of a window and of the one before it to shares, changes, ranks and movers. Pure.

Sums stay exact integers; a share is one division at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.shares import CATALOGUE_DIMENSIONS, CUBE_DIMENSIONS, HORIZONS_S, MEASURES, SCHEMA, UNKNOWN
from tokentide_stream.global_windows import MINUTE_MS, GlobalWindows, Window
from tokentide_stream.minute_ring import Ints

Floats = npt.NDArray[np.float64]

_SHARES = {"request_share": 0, "token_share": 1, "cost_share": 2}
"""Share -> the place of its measure in `MEASURES`."""
_MAX_CACHED_MODELS = 16_384


class ModelGroups:
    """The catalogue's dimensions of a model; `unknown` for a model that it does not have."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[str, tuple[str, ...]] = {}

    def keys(self, dimension: str, models: Sequence[str]) -> list[str]:
        """The model's key in a dimension of `CATALOGUE_DIMENSIONS`, for each model."""
        place = CATALOGUE_DIMENSIONS.index(dimension)
        return [self._of(model)[place] for model in models]

    def _of(self, name: str) -> tuple[str, ...]:
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _MAX_CACHED_MODELS:
                self._known.clear()
            known = self._known[name] = self._look_up(name)
        return known

    def _look_up(self, name: str) -> tuple[str, ...]:
        model = self._catalogue.model(name)
        if model is None:
            return (UNKNOWN,) * len(CATALOGUE_DIMENSIONS)
        group = self._catalogue.origin_group(name)
        reasoning = "yes" if model.reasoning else "no"
        return model.author, UNKNOWN if group is None else group.value, model.size_class.value, reasoning


@dataclass(frozen=True, slots=True)
class ShareRows:
    """Rows of one window and dimension, as columns. NaN is what cannot be known."""

    keys: list[str]
    current: Ints
    previous: Ints
    shares: Floats
    changes_pp: Floats
    rank: Ints
    mover_rank: Ints


def share_rows(
    keys: Sequence[str], current: Ints, previous: Ints | None, with_gone_keys: bool, min_mover_requests: int
) -> ShareRows:
    """Shares of each key that has requests; with `with_gone_keys` also of those that had some in the window before.

    current, previous: sums of `MEASURES`, a row for each key; previous None: not known. Ranks begin at 1, by tokens,
    then requests, then name; 0 for a key that is gone. Movers: see `top_movers`.
    """
    before = np.zeros_like(current) if previous is None else previous
    wanted = current[:, 0] > 0
    if with_gone_keys:
        wanted = wanted | (before[:, 0] > 0)
    shares = _shares(current)
    changes = np.full_like(shares, np.nan) if previous is None else (shares - _shares(before)) * 100
    chosen = sorted(np.flatnonzero(wanted).tolist(), key=lambda i: (-current[i, 1], -current[i, 0], keys[i]))
    index = np.array(chosen, np.int64)
    current, before, shares, changes = current[index], before[index], shares[index], changes[index]
    rank = np.where(current[:, 0] > 0, np.arange(1, len(index) + 1), 0)
    movers = np.zeros(len(index), np.int64)
    for place, row in enumerate(top_movers(changes[:, 1], current[:, 0] + before[:, 0], min_mover_requests), start=1):
        movers[row] = place
    return ShareRows([keys[i] for i in chosen], current, before, shares, changes, rank, movers)


def top_movers(change_pp: Floats, requests: Ints, min_requests: int) -> list[int]:
    """Places of the keys by falling size of their change in token share, without those with fewer than
    `min_requests` in the two windows together or without a known change. Ties stay in the order given."""
    allowed = np.flatnonzero((requests >= min_requests) & ~np.isnan(change_pp) & (change_pp != 0))
    ordered = np.argsort(-np.abs(change_pp[allowed]), kind="stable")
    return [int(row) for row in allowed[ordered]]


def _shares(sums: Ints) -> Floats:
    totals = sums[:, :3].sum(axis=0)
    # A part of nothing, or of a total below nothing (refunds), is not a number between 0 and 1.
    shares: Floats = np.divide(sums[:, :3], totals, out=np.full((len(sums), 3), np.nan), where=totals > 0)
    return shares


def live_windows(as_of_ms: int) -> list[tuple[int, Window, Window]]:
    """(horizon_s, window, the one before it) at an instant.

    A window is the full minutes of its horizon and the minute that is filling; the one before has the full minutes.
    """
    minute = as_of_ms // MINUTE_MS
    found = []
    for horizon_s in HORIZONS_S:
        length = horizon_s // 60
        found.append((horizon_s, Window(minute - length, length + 1), Window(minute - 2 * length, length)))
    return found


def live_table(
    windows: GlobalWindows, groups: ModelGroups, version: int, emitted_at_ms: int, min_mover_requests: int
) -> pa.Table:
    """Live rows of all horizons and dimensions as of the newest event time."""
    parts = []
    for horizon_s, window, before in live_windows(windows.as_of_ms):
        known = before.start >= windows.complete_from and not windows.incomplete
        for dimension, rows in _by_dimension(
            windows, groups, window, before if known else None, True, min_mover_requests
        ):
            parts.append(_table(rows, dimension, window, horizon_s, windows.as_of_ms, False, version, emitted_at_ms))
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def final_table(
    windows: GlobalWindows,
    groups: ModelGroups,
    due: Sequence[Window],
    version: int,
    emitted_at_ms: int,
    min_mover_requests: int,
) -> pa.Table:
    """Final rows of closed windows. `as_of` is the window's end."""
    parts = []
    for window in due:
        before = Window(window.start - window.length, window.length)
        end_ms = (window.start + window.length) * MINUTE_MS
        for dimension, rows in _by_dimension(windows, groups, window, before, False, min_mover_requests):
            parts.append(_table(rows, dimension, window, window.length * 60, end_ms, True, version, emitted_at_ms))
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def _by_dimension(
    windows: GlobalWindows,
    groups: ModelGroups,
    window: Window,
    before: Window | None,
    with_gone_keys: bool,
    min_mover_requests: int,
) -> list[tuple[str, ShareRows]]:
    found = []
    for dimension in CUBE_DIMENSIONS:
        previous = None if before is None else windows.sums(dimension, before)[1]
        keys, current = windows.sums(dimension, window)
        found.append((dimension, share_rows(keys, current, previous, with_gone_keys, min_mover_requests)))
        if dimension == "model":
            for derived in CATALOGUE_DIMENSIONS:
                labels = groups.keys(derived, keys)
                names, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
                summed = [None if part is None else _summed(part, codes, len(names)) for part in (current, previous)]
                assert summed[0] is not None
                rows = share_rows(names.tolist(), summed[0], summed[1], with_gone_keys, min_mover_requests)
                found.append((derived, rows))
    return found


def _summed(values: Ints, codes: Ints, count: int) -> Ints:
    total = np.zeros((count, values.shape[1]), np.int64)
    np.add.at(total, codes, values)
    return total


def _table(
    rows: ShareRows,
    dimension: str,
    window: Window,
    horizon_s: int,
    as_of_ms: int,
    is_final: bool,
    version: int,
    emitted_at_ms: int,
) -> pa.Table:
    n = len(rows.keys)
    columns = {
        "window_start": pa.array(np.full(n, window.start * 60)).cast(pa.timestamp("s", "UTC")),
        "as_of": pa.array(np.full(n, as_of_ms)).cast(pa.timestamp("ms", "UTC")),
        "horizon_s": pa.array(np.full(n, horizon_s, np.uint32)),
        "dimension": pa.array([dimension] * n, pa.utf8()).dictionary_encode(),
        "key": pa.array(rows.keys, pa.utf8()).dictionary_encode(),
        "rank": pa.array(rows.rank.astype(np.uint32)),
        "mover_rank": pa.array(rows.mover_rank.astype(np.uint32)),
        "is_final": pa.array(np.full(n, is_final)),
        "version": pa.array(np.full(n, version, np.uint64)),
        "emitted_at": pa.array(np.full(n, emitted_at_ms)).cast(pa.timestamp("ms", "UTC")),
    }
    for place, name in enumerate(MEASURES):
        columns[name] = pa.array(np.ascontiguousarray(rows.current[:, place]))
        columns[f"previous_{name}"] = pa.array(np.ascontiguousarray(rows.previous[:, place]))
    for name, place in _SHARES.items():
        columns[name] = pa.array(np.ascontiguousarray(rows.shares[:, place]), from_pandas=True)
        columns[f"{name}_change_pp"] = pa.array(np.ascontiguousarray(rows.changes_pp[:, place]), from_pandas=True)
    return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)
