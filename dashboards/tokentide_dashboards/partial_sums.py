"""Subqueries over the rollups' partials, for ranges in which the rollup views are too slow. Pure text.

A rollup view gives one row for each window and each combination of its dimensions: over a year of days that is millions
of groups, which are made only to be added up again, and it takes ten times as long as adding up the partials at once in
the few groups that a panel draws. The sums are the same (partials are additive), and a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.catalogue_tables import ATTRIBUTES, model_columns
from tokentide_schemas.cubes import CUBES, Cube
from tokentide_schemas.event import TOKEN_BUCKETS
from tokentide_schemas.rollup_sums import Piece, sums_by, sums_of_pieces

TOTAL: Final = "total_tokens"
_CUBE_OF_STEM: Final = {"rollup": "model", "rollup_models": "model"}
_ATTRIBUTES: Final = model_columns("model")
_TEXT: Final = re.compile(r"'(?:\\.|[^'\\])*'")
_VARIABLE: Final = re.compile(r"\$\{?\w+(?::\w+)?\}?")


def part(stem: str, tier: str) -> Cube:
    """The cube or tier behind the view `stem`_`tier`. Raises ValueError when there is none."""
    name = _CUBE_OF_STEM.get(stem, stem.removeprefix("rollup_"))
    for cube in CUBES:
        if cube.name == name:
            for view, found in cube.views.items():
                if view.endswith(f"_{tier}"):
                    return found
    raise ValueError(f"no cube has a view {stem}_{tier}; declare it in CUBES")


def words(sql: str) -> set[str]:
    """Names in a piece of SQL, without macros, variables and what is in its text literals."""
    return set(re.findall(r"\w+", _VARIABLE.sub(" ", _TEXT.sub("''", sql))))


@dataclass(frozen=True, slots=True)
class TimePiece:
    """Windows of one tier. tier: 1m, 1h or 1d; window: SQL of the longer window over `p.window_start`; where: condition
    on `p.window_start`; guard: a constant condition, without which nothing of it is read; label: of `tiers_needed`."""

    tier: str
    window: str
    where: str
    guard: str = ""
    label: str = ""


def presummed(
    stem: str, tier: str, *, window: str, window_name: str, where_window: str, uses: Sequence[str], where: Sequence[str]
) -> str:
    """Rows as of the view `stem`_`tier`, in longer windows and without the dimensions that nothing needs.

    window: SQL of the longer window over `p.window_start`, called `window_name` in the result; where_window: condition
    on `p.window_start`. uses: the SQL that reads the rows, from which follows what they must have. where: conditions on
    dimensions, attributes and sums.
    """
    return presummed_pieces(
        stem, [TimePiece(tier, window, where_window)], window_name=window_name, uses=[window_name, *uses], where=where
    )


def presummed_pieces(
    stem: str,
    pieces: Sequence[TimePiece],
    *,
    window_name: str,
    uses: Sequence[str],
    where: Sequence[str],
    scalars: Sequence[str] = (),
) -> str:
    """As `presummed`, from several tiers of a cube, which must not overlap in time. Without the window where nothing
    needs it. scalars: text of a WITH clause with
    what the pieces name."""
    cubes = [part(stem, piece.tier) for piece in pieces]
    cube = cubes[0]
    known = {*ATTRIBUTES, TOTAL, *cube.measures}
    before = [condition for condition in where if not words(condition) & known]
    after = [condition for condition in where if words(condition) & known]
    used = set().union(*(words(sql) for sql in (*uses, *after)))
    with_attributes = bool(used & set(ATTRIBUTES))
    if with_attributes:
        used.add("model")
    buckets = [name for name in TOKEN_BUCKETS if name in cube.measures]
    if TOTAL in used:
        used.update(buckets)
    dimensions = [name for name in cube.dimensions if name in used]
    measures = [name for name in cube.measures if name in used]

    def window_key(piece: TimePiece) -> list[tuple[str, str]]:
        return [(piece.window, window_name)] if window_name in used or not dimensions else []

    rows = sums_of_pieces(
        [
            Piece(
                one,
                (*window_key(piece), *((f"p.{name}", name) for name in dimensions)),
                " AND ".join((piece.where, *before, _counted(one, piece.guard))),
                piece.guard,
                piece.label,
            )
            for one, piece in zip(cubes, pieces, strict=True)
        ],
        measures,
        scalars,
    )
    further = [f"{' + '.join(buckets)} AS {TOTAL}"] if TOTAL in used else []
    further += [_ATTRIBUTES] if with_attributes else []
    if further:
        rows = f"SELECT *, {', '.join(further)}\n    FROM\n    (\n        {rows}\n    )"
    # Outside of where the attributes get their names: a comparison beside a dictionary look-up of several keys fails.
    return f"SELECT *\n    FROM\n    (\n    {rows}\n    )\n    WHERE {' AND '.join(after)}" if after else rows


def _counted(cube: Cube, guard: str) -> str:
    guarded = f"{guard} AND " if guard else ""
    return f"p.window_start >= (SELECT max(counted_from) FROM stream_coverage WHERE {guarded}cube = '{cube.name}')"


def names(stem: str, tier: str, dimension: str, label: str, where_window: str) -> str:
    """Distinct labels of a dimension. `dimension`: the column of the cube that `label` is made of."""
    attributes = f",\n        {_ATTRIBUTES}" if words(label) & set(ATTRIBUTES) else ""
    rows = sums_by(part(stem, tier), [(f"p.{dimension}", dimension)], [], where_window)
    return f"""SELECT DISTINCT {label} AS name
FROM
(
    SELECT {dimension}{attributes}
    FROM (
    {rows}
    )
)"""
