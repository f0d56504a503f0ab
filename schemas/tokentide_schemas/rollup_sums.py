"""Sums over the partials of hours and days, kept for weeks that have come to rest. Pure text.

Partials have a row for each source partition and lateness segment, in versions; a panel of a year would add up all of
them each time. Maintenance adds up a week once, and notes which parts of the partials table it read
(`SUMMED_WEEKS_TABLE`). A query takes a week's sums only while the table has exactly those parts: every insert, merge or
deletion changes them and no name comes twice, so the sums cannot be stale, whoever wrote. All other weeks are read from
the partials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.cubes import HOUR_S, Cube
from tokentide_schemas.dimensions import dimension_type

SUMMED_WEEKS_TABLE: Final = "rollup_summed_weeks"

SUMMED_WEEKS: Final = f"""CREATE TABLE IF NOT EXISTS {SUMMED_WEEKS_TABLE}
(
    partials LowCardinality(String) CODEC(ZSTD(1)),
    week Date CODEC(ZSTD(1)),
    parts Array(String) CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
ORDER BY (partials, week)"""
"""Which parts of a partials table (as in `parts`, sorted) the sums of a week (its Monday, UTC) were made of, and under
which generation they are in the table of sums."""

SUMS_SUFFIX: Final = "_sums"
PER_MS: Final = 1_000
"""Generations: milliseconds since 1970 times this, plus a number below it that tells two at the same time apart."""


def has_sums(cube: Cube) -> bool:
    """Whether sums are kept for a cube or tier: hours and days, which are looked at over months."""
    return cube.window_s >= HOUR_S


def sums_table_name(cube: Cube) -> str:
    """ClickHouse table of the cube's sums."""
    return f"rollup_{cube.name}{SUMS_SUFFIX}"


def partition_key(cube: Cube) -> str:
    """Of the partials table: a week is what comes to rest together; minutes expire by months."""
    return "toMonday(window_start)" if has_sums(cube) else "toYYYYMM(window_start)"


def _groupings(cube: Cube) -> list[tuple[str, ...]]:
    """The sets of dimensions that get sums of their own: each, and each with the first."""
    labels = [name for name in cube.dimensions if name != "outcome"]
    outcome = ("outcome",) if "outcome" in cube.dimensions else ()
    singles = [(name,) for name in labels]
    pairs = [(labels[0], name) for name in labels[1:]]
    return [(*names, *outcome) for names in [*singles, *pairs] if len(names) < len(labels)]


def sums_table(cube: Cube) -> str:
    """One row for each window and group of a week, under the generation that it was summed in.

    The engine picks a projection by itself where a query needs no more dimensions than that has.
    """
    dimensions = "\n".join(f"    {name} {dimension_type(name)} CODEC(ZSTD(1))," for name in cube.dimensions)
    measures = ",\n".join(f"    {name} Int64 CODEC(T64, ZSTD(1))" for name in cube.measures)
    sums = ", ".join(f"sum({name})" for name in cube.measures)
    projections = "".join(
        f",\n    PROJECTION by_{'_'.join(names)} (SELECT {keys}, {sums} GROUP BY {keys})"
        for names in _groupings(cube)
        for keys in [", ".join(("generation", "window_start", *names))]
    )
    return f"""CREATE TABLE IF NOT EXISTS {sums_table_name(cube)}
(
    generation UInt64 CODEC(ZSTD(1)),
    window_start DateTime('UTC') CODEC(Delta, ZSTD(1)),
{dimensions}
{measures}{projections}
)
ENGINE = MergeTree
PARTITION BY (toMonday(window_start), generation)
ORDER BY ({", ".join(("window_start", *cube.dimensions))})"""


def sum_week(cube: Cube, monday: str, generation: int) -> str:
    """The statement that adds up the week of `monday` (YYYY-MM-DD) under a new generation."""
    keys = ["window_start", *cube.dimensions]
    columns = ", ".join(["generation", *keys, *cube.measures])
    sums = ", ".join(f"sum(p.{name})" for name in cube.measures)
    by = ", ".join(f"p.{name}" for name in keys)
    return (
        f"INSERT INTO {sums_table_name(cube)} ({columns}) SELECT {generation}, {by}, {sums} "
        f"FROM {cube.partials_table} AS p FINAL WHERE toMonday(p.window_start) = toDate('{monday}') GROUP BY {by}"
    )


def parts(cube: Cube, guard: str = "") -> str:
    """A query: week and identity of each part of the partials. The engine answers it without reading any row.

    A name with its number of rows: a name alone would come again after somebody emptied the table by hand.
    """
    return (
        "SELECT toDateOrZero(_partition_id) AS week, concat(_part, ':', toString(count())) AS part "
        f"FROM {cube.partials_table} {f'WHERE {guard} ' if guard else ''}GROUP BY _partition_id, _part"
    )


def resting_weeks(cube: Cube, guard: str = "") -> str:
    """A scalar subquery: (Monday, generation) of each week whose sums hold what its partials hold. None without the
    constant condition `guard`."""
    return f"""(
        SELECT groupArray((week, generation))
        FROM
        (
            SELECT week, arraySort(groupArray(part)) AS parts
            FROM ({parts(cube, guard)})
            GROUP BY week
        ) AS found
        INNER JOIN
        (
            SELECT week, parts, generation
            FROM {SUMMED_WEEKS_TABLE} FINAL
            WHERE partials = '{cube.partials_table}'
        ) AS summed
        USING (week, parts)
    )"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one cube or tier. keys: (SQL over `p`, name); where: over `p`'s window_start and dimensions; guard: a
    constant condition, without which nothing of it is even looked at; label: put into comments around what is only for
    this piece."""

    cube: Cube
    keys: tuple[tuple[str, str], ...]
    where: str
    guard: str = ""
    label: str = ""

    def marked(self, sql: str) -> str:
        """`sql` between comments of the label."""
        return f"/*{self.label}*/{sql}/*{self.label} end*/" if self.label else sql


def sums_by(cube: Cube, keys: Sequence[tuple[str, str]], measures: Sequence[str], where: str) -> str:
    """Rows of `keys` (SQL over `p`, name) with the sums of `measures`: from the kept sums of the weeks that have them,
    and from the partials of all others.

    where: over `p`'s window_start and dimensions. Exact at any time; one row for each combination of the keys.
    """
    return sums_of_pieces([Piece(cube, tuple(keys), where)], measures)


def sums_of_pieces(pieces: Sequence[Piece], measures: Sequence[str], scalars: Sequence[str] = ()) -> str:
    """As `sums_by`, over pieces of several tiers, which must not overlap in time. All have keys of the same names.

    scalars: text of a WITH clause that names what the conditions use, one that begins with a comma after another.
    """
    weeks = [
        (one, f"{resting_weeks(one.cube, one.guard)} AS {_weeks(one.cube)}") for one in pieces if has_sums(one.cube)
    ]
    blocks = [(one, "\n        UNION ALL\n        ".join(_selects(one, measures))) for one in pieces]
    if len(blocks) == 1 and not weeks:
        return blocks[0][1]
    names = ", ".join(name for _, name in pieces[0].keys)
    columns = ", ".join([names, *(f"sum(added.{name}) AS {name}" for name in measures)])
    first, *more = blocks
    union = first[0].marked(first[1]) + "".join(
        one.marked(f"\n        UNION ALL\n        {block}") for one, block in more
    )
    if scalars:
        with_clause = "".join((*scalars, *(one.marked(f",\n    {sql}") for one, sql in weeks)))
    else:
        with_clause = ", ".join(sql for _, sql in weeks)
    return f"""WITH {with_clause}
    SELECT {columns}
    FROM
    (
        {union}
    ) AS added
    GROUP BY {names}"""


def _weeks(cube: Cube) -> str:
    return f"{cube.name}_weeks"


def _selects(piece: Piece, measures: Sequence[str]) -> list[str]:
    cube = piece.cube
    where = f"{piece.guard} AND {piece.where}" if piece.guard else piece.where
    columns = ", ".join(
        [*(f"{sql} AS {name}" for sql, name in piece.keys), *(f"sum(p.{name}) AS {name}" for name in measures)]
    )
    names = ", ".join(name for _, name in piece.keys)
    # A key is the same in every version of a row.
    final = " FINAL" if measures else ""
    if not has_sums(cube):
        return [
            f"SELECT {columns}\n        FROM {cube.partials_table} AS p{final}\n        WHERE {where}\n"
            f"        GROUP BY {names}"
        ]
    return [
        f"""SELECT {columns}
        FROM {sums_table_name(cube)} AS p
        WHERE (toMonday(p.window_start), p.generation) IN (SELECT arrayJoin({_weeks(cube)})) AND {where}
        GROUP BY {names}""",
        f"""SELECT {columns}
        FROM {cube.partials_table} AS p{final}
        WHERE toMonday(p.window_start) NOT IN (SELECT arrayJoin({_weeks(cube)}).1) AND {where}
        GROUP BY {names}""",
    ]
