"""Figures of the chapter on countries, continents and languages."""

from __future__ import annotations

from typing import Final

from tokentide_dashboards.period_sql import CONTINENT
from tokentide_deploy.report import sql
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.chapter_agentic import raw_note
from tokentide_deploy.report.chapter_open_closed import NO_USAGE, TOKENS
from tokentide_deploy.report.figure import Definition, Figure
from tokentide_deploy.report.making import Recipe, Rows, mix, ranking

CHAPTER: Final = "Where the traffic comes from"
PLACES: Final = Rows("rollup_geography")
_COUNTRY: Final = "if(country = '', '(unknown)', country)"
_LANGUAGE: Final = "if(language = '', '(unknown)', language)"
_BILLING: Final = "Place: the country of billing, not of the network address."


def _f29(asker: Asker) -> Figure:
    return mix(
        asker, "F29", "Share of spend by continent", PLACES, CONTINENT, "sum(cost_nanousd)",
        Definition(
            "Known cost of the continent's requests.", "All known cost of the bucket.",
            "Requests of unknown cost, and traffic on the client's own provider key.",
        ),
        leading=None, y_label="share of spend", notes=(_BILLING,),
    )  # fmt: skip


def _places(asker: Asker, id_: str, title: str, column: str, key: str, leading: int) -> Figure:
    found = asker.sums(PLACES.stem, {"name": key}, {"tokens": TOKENS})
    return ranking(
        asker, id_, title, column, {str(name): float(tokens) for name, tokens in found}, PLACES.counted(asker, key),
        Definition(f"Tokens of the {column.lower()}'s requests.", "All tokens of the period.", NO_USAGE),
        leading=leading, notes=(_BILLING,),
    )  # fmt: skip


def _t2(asker: Asker) -> Figure:
    return _places(asker, "T2", "Continents", "Continent", CONTINENT, 8)


def _t3(asker: Asker) -> Figure:
    return _places(asker, "T3", "Countries", "Country", _COUNTRY, 15)


def _t4(asker: Asker) -> Figure:
    found = asker.rows(sql.raw_grouped(asker.period, {"name": _LANGUAGE}, {"tokens": TOKENS}, (), 1_000))
    return ranking(
        asker, "T4", "Languages", "Language", {str(name): float(tokens) for name, tokens in found},
        asker.users_of_events(_LANGUAGE),
        Definition("Tokens of requests in the language.", "All tokens of the raw events.", NO_USAGE),
        leading=12, notes=(raw_note(asker),),
    )  # fmt: skip


RECIPES: Final = tuple(
    Recipe(id_, CHAPTER, make) for id_, make in (("F29", _f29), ("T2", _t2), ("T3", _t3), ("T4", _t4))
)
