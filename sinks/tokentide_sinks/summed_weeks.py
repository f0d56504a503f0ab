"""Adding up the weeks of the long rollups that have come to rest, and dropping what nothing refers to any more.

Safe at any moment and in several processes: sums are written under a new generation, and a query sees them only once
`rollup_summed_weeks` names the parts that they were made of, and for as long as the partials have exactly those.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.crash_points import reach
from tokentide_schemas.cubes import Cube, stored_cubes
from tokentide_schemas.rollup_sums import PER_MS, SUMMED_WEEKS_TABLE, has_sums, parts, sum_week, sums_table_name
from tokentide_sinks.store import Store

REST_S: Final = 600
"""A week that nothing was written into for so long is added up; a late event begins the pause anew."""
READERS_S: Final = 600
"""Sums that were replaced stay so long for queries that chose them before: many times a reader's limit of 30 s."""
ABANDONED_S: Final = 3_600
"""Sums that nobody announced by then are left from a process that died."""

Place = tuple[str, str]
"""A partials table and a week, as its Monday: YYYY-MM-DD."""


@dataclass(frozen=True, slots=True)
class Week:
    """What the store has of a week of partials. resting_s: since the newest of its parts was made."""

    parts: tuple[str, ...]
    resting_s: float


@dataclass(frozen=True, slots=True)
class Summed:
    """Sums that are announced: of which parts, in which generation."""

    parts: tuple[str, ...]
    generation: int


def due(weeks: Mapping[Place, Week], summed: Mapping[Place, Summed], rest_s: float = REST_S) -> list[Place]:
    """Weeks to add up, the newest first: those that rest and have other parts than were added up. Pure."""
    found = [
        place
        for place, week in weeks.items()
        if week.resting_s >= rest_s and (place not in summed or summed[place].parts != week.parts)
    ]
    return sorted(found, key=lambda place: (place[1], place[0]), reverse=True)


def to_drop(
    stored: Iterable[tuple[str, str, int]], summed: Mapping[Place, Summed], now_ms: int
) -> list[tuple[str, str, int]]:
    """Which of the stored (partials table, week, generation) no query can need. Pure."""

    def age_s(generation: int) -> float:
        return (now_ms - generation // PER_MS) / 1000

    found = []
    for partials, week, generation in stored:
        current = summed.get((partials, week))
        if current is not None and generation == current.generation:
            continue
        replaced = current is not None and generation < current.generation
        if age_s(current.generation) > READERS_S if replaced and current else age_s(generation) > ABANDONED_S:
            found.append((partials, week, generation))
    return found


def new_generation(now_ms: int) -> int:
    """Unlike any other, and higher than those of earlier milliseconds."""
    return now_ms * PER_MS + secrets.randbelow(PER_MS)


def sum_next_week(store: Store, cubes: Sequence[Cube], rest_s: float = REST_S) -> bool:
    """Add up one week that rests; whether there was one. Raises StoreError."""
    summed = announced(store)
    places = due(resting(store, cubes), summed, rest_s)
    if not places:
        _drop_old(store, cubes, summed)
        return False
    add_up(store, _tables(cubes)[places[0][0]], places[0][1])
    return True


def resting(store: Store, cubes: Sequence[Cube]) -> dict[Place, Week]:
    """The weeks that the store has, of every cube and tier with sums. Raises StoreError.

    None on a cluster, whose tables' parts have other names than the Distributed tables in front.
    """
    found: dict[Place, Week] = {}
    for table, cube in _tables(cubes).items():
        rest = store.rows(
            "SELECT partition_id, dateDiff('second', max(modification_time), now()) FROM system.parts WHERE active "
            "AND database = currentDatabase() AND table = {table:String} GROUP BY partition_id",
            {"table": table},
        )
        if not rest:
            continue
        rest_s = {str(partition): float(seconds) for partition, seconds in rest}
        for monday, parts_of in _parts(store, cube).items():
            found[table, monday] = Week(parts_of, rest_s.get(monday.replace("-", ""), 0.0))
    return found


def add_up(store: Store, cube: Cube, monday: str) -> bool:
    """Add up a week (YYYY-MM-DD) and announce it; False when it changed meanwhile. Raises StoreError."""
    # Further merges would change the parts, and with them end the sums' use.
    store.command(
        f"OPTIMIZE TABLE {cube.partials_table} PARTITION ID '{monday.replace('-', '')}' FINAL",
        {"optimize_skip_merged_partitions": 1},
    )
    before = _parts(store, cube).get(monday)
    generation = new_generation(_now_ms(store))
    store.command(sum_week(cube, monday, generation), {"max_threads": 1, "max_insert_threads": 1})
    reach("maintenance:after-sums")
    if before is None or before != _parts(store, cube).get(monday):
        # Somebody wrote: whether the sums have it cannot be told, so they are not announced.
        return False
    names = ", ".join(f"'{name}'" for name in before)
    store.command(
        f"INSERT INTO {SUMMED_WEEKS_TABLE} (partials, week, parts, generation) "
        f"VALUES ('{cube.partials_table}', '{monday}', [{names}], {generation})"
    )
    return True


def _tables(cubes: Sequence[Cube]) -> dict[str, Cube]:
    return {cube.partials_table: cube for cube in stored_cubes(cubes) if has_sums(cube)}


def _now_ms(store: Store) -> int:
    return int(store.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])


def _parts(store: Store, cube: Cube) -> dict[str, tuple[str, ...]]:
    """Identities of the parts of each week. A table from before weeks were partitions has months: they are left out."""
    rows = store.rows(
        f"SELECT toString(week), arraySort(groupArray(part)) FROM ({parts(cube)}) WHERE week != toDate(0) GROUP BY week"
    )
    return {str(week): tuple(map(str, names)) for week, names in rows}


def announced(store: Store) -> dict[Place, Summed]:
    """The sums that queries may use while the parts are the same. Raises StoreError."""
    rows = store.rows(f"SELECT partials, toString(week), parts, generation FROM {SUMMED_WEEKS_TABLE} FINAL")
    return {(str(t), str(week)): Summed(tuple(map(str, parts)), int(number)) for t, week, parts, number in rows}


def _drop_old(store: Store, cubes: Sequence[Cube], summed: Mapping[Place, Summed]) -> None:
    partials_of = {sums_table_name(cube): name for name, cube in _tables(cubes).items()}
    rows = store.rows(
        "SELECT DISTINCT table, partition FROM system.parts WHERE active AND database = currentDatabase() "
        "AND table IN {tables:Array(String)}",
        {"tables": list(partials_of)},
    )
    stored = []
    for table, partition in rows:
        match = re.fullmatch(r"\('(\d{4}-\d{2}-\d{2})',(\d+)\)", str(partition))
        if match:
            stored.append((partials_of[str(table)], match[1], int(match[2])))
    names = {partials: sums for sums, partials in partials_of.items()}
    for partials, week, generation in to_drop(stored, summed, _now_ms(store)):
        store.command(f"ALTER TABLE {names[partials]} DROP PARTITION ('{week}', {generation})")
