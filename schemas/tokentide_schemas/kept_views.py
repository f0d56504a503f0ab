"""Results of views that are too slow to be asked while somebody waits: maintenance keeps them, minutes old. Pure text.

`<view>_recent` gives the kept rows while they have been checked lately, and asks the view itself when nobody does so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FRESH_S: Final = 900
"""Kept rows are given out for so long after they were last known to be right."""
KEPT_VIEWS_TABLE: Final = "kept_views"

KEPT_VIEWS: Final = f"""CREATE TABLE IF NOT EXISTS {KEPT_VIEWS_TABLE}
(
    name LowCardinality(String) CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1)),
    sources Array(String) CODEC(ZSTD(1)),
    checked_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(checked_at)
ORDER BY name"""
"""Which generation of a view's rows is valid, what it was made of, and when that was last still the same."""


@dataclass(frozen=True, slots=True)
class KeptView:
    """A view with its columns and types, the order of its kept rows, and the tables that it reads."""

    name: str
    columns: Mapping[str, str]
    order: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def table(self) -> str:
        """Where its rows are kept."""
        return f"{self.name}_kept"

    @property
    def recent(self) -> str:
        """The view to ask."""
        return f"{self.name}_recent"


RETENTION: Final = KeptView(
    "retention",
    {
        "cohort_month": "Date",
        "canonical_model": "String",
        "months_since": "Int64",
        "users": "UInt64",
        "cohort_users": "UInt64",
        "share": "Float64",
    },
    ("canonical_model", "cohort_month", "months_since"),
    ("user_months", "catalogue_loads"),
)
USERS_BY_MODEL: Final = KeptView(
    "users_by_model_1d",
    {
        "day": "Date",
        "canonical_model": "String",
        "users": "UInt64",
        "requests": "UInt64",
        "requests_without_user": "UInt64",
    },
    ("day", "canonical_model"),
    ("users_1d", "user_requests_1d", "catalogue_loads"),
)
VIEWS: Final = (RETENTION, USERS_BY_MODEL)


def kept_table(view: KeptView) -> str:
    """A partition a generation: an old one goes in one step."""
    columns = "\n".join(f"    {name} {kind} CODEC(ZSTD(1))," for name, kind in view.columns.items())
    return f"""CREATE TABLE IF NOT EXISTS {view.table}
(
{columns}
    generation UInt64 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY generation
ORDER BY ({", ".join(view.order)})"""


def recent_view(view: KeptView) -> str:
    """The view's rows, at most `FRESH_S` old."""
    columns = ", ".join(view.columns)
    valid = f"""(
    SELECT max(generation) FROM {KEPT_VIEWS_TABLE} FINAL
    WHERE name = '{view.name}' AND checked_at > now64(3) - toIntervalSecond({FRESH_S})
)"""
    return f"""CREATE OR REPLACE VIEW {view.recent} AS
SELECT {columns} FROM {view.table} WHERE generation = {valid}
UNION ALL
SELECT {columns} FROM {view.name} WHERE {valid} = 0"""


def keep(view: KeptView, generation: int) -> str:
    """The statement that stores the view's rows of this moment."""
    columns = ", ".join(view.columns)
    return f"INSERT INTO {view.table} ({columns}, generation) SELECT {columns}, {generation} FROM {view.name}"


def sources(view: KeptView) -> str:
    """A query: the parts of every table that the view reads. Other parts, other rows, or merged ones."""
    return " UNION ALL ".join(
        f"SELECT concat('{table} ', _part, ':', toString(count())) AS source FROM {table} GROUP BY _part"
        for table in view.sources
    )


def kept_view_statements() -> list[str]:
    """Tables and views in order, each safe to run again; after the views that they keep."""
    return [KEPT_VIEWS, *map(kept_table, VIEWS), *map(recent_view, VIEWS)]
