"""Figures of the chapter on price and usage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from tokentide_dashboards.period_sql import OWN_TOKENS, WEIGHTED_TOKENS
from tokentide_deploy.report import sql
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.chapter_open_closed import ALL, LABELLED, TOKENS
from tokentide_deploy.report.figure import Column, Definition, Figure, Point
from tokentide_deploy.report.making import NO_ROWS, Recipe, why_nothing
from tokentide_deploy.report.suppression import Hidden, Users
from tokentide_deploy.report.words import fitted, median, number

CHAPTER: Final = "Price and usage"
PRICE: Final = "US dollars per million tokens"
LISTED: Final = 25
_MONEY: Final = {"nanousd": "sum(cost_nanousd)", "own": OWN_TOKENS, "tokens": TOKENS}
_EXCLUDED: Final = "Traffic on the client's own provider key; models without any known cost."
_PRICE: Final = "Price: known cost divided by tokens without own-key traffic, so blended and after caching."
_GROUPS: Final = {"yes": "Open weights", "no": "Proprietary"}
_COLUMNS: Final = (
    Column("Model"), Column("Group"), Column("USD per million tokens", "usd_per_million"), Column("Tokens", "tokens"),
)  # fmt: skip


def _models(asker: Asker) -> tuple[list[tuple[str, str, str, float, float, float]], Hidden, Users, bool]:
    """Model, author, weights, nano-USD, price, tokens; what is hidden; users; whether there was anything."""
    keys = {"name": sql.MODEL, "maker": "author", "weights": "open_weights"}
    users = ALL.counted(asker, sql.MODEL)
    hidden = Hidden()
    found = []
    rows = asker.sums(ALL.stem, keys, _MONEY)
    for name, author, weights, nanousd, own, tokens in sorted(rows, key=lambda row: (-row[5], row[0])):
        if nanousd <= 0 or own <= 0 or tokens <= 0:
            continue
        if asker.policy.hides_group(users, name):
            hidden.groups.add(name)
            continue
        found.append((name, author, weights, float(nanousd), nanousd / 1e3 / own, float(tokens)))
    return found, hidden, users, bool(rows)


def _why(asker: Asker, hidden: Hidden, users: Users, had_rows: bool) -> str:
    if had_rows and not hidden.groups:
        return "No request of the period has a known cost: see tokentide catalogue and tokentide prices."
    return why_nothing(hidden, users, asker.policy) if had_rows else NO_ROWS


def _scatter(
    asker: Asker, id_: str, title: str, points: Sequence[Point], definition: Definition, reading: str, empty: str,
    hidden: Hidden, line: tuple[float, float] | None, columns: tuple[Column, ...] = _COLUMNS,
) -> Figure:  # fmt: skip
    return Figure(
        id_, title, "scatter", definition, "tokens", PRICE, "tokens", columns,
        tuple((*(point.name, point.group)[: len(columns) - 2], point.x, point.y) for point in points),
        points=tuple(points), reading=reading, empty="" if points else empty, hidden=hidden, line=line,
        notes=(_PRICE, "Both axes are logarithmic."),
    )  # fmt: skip


def _f31(asker: Asker) -> Figure:
    rows = ALL.only("category != ''")
    users = rows.counted(asker, "category")
    hidden = Hidden(unchecked=not users.counted and asker.policy.show_uncounted)
    points = []
    found = asker.sums(rows.stem, {"name": "category"}, {**_MONEY, "weighted": WEIGHTED_TOKENS}, rows.where)
    for name, nanousd, own, _, weighted in sorted(found, key=lambda row: (-row[4], row[0])):
        if nanousd > 0 and own > 0 and weighted > 0:
            if asker.policy.hides_group(users, name):
                hidden.groups.add(name)
            else:
                points.append(Point(name, "Categories", nanousd / 1e3 / own, float(weighted)))
    reading = ""
    if points:
        dear = max(points, key=lambda point: point.x)
        reading = (
            f"The median category costs {number(median([p.x for p in points]), 'usd_per_million')} per million tokens; "
            f"dearest is {dear.name} with {number(dear.x, 'usd_per_million')}."
        )
    return _scatter(
        asker, "F31", "Price and tokens by category", points,
        Definition("Known cost, and tokens, of the category's requests.", "Price: tokens not on an own key.",
                   f"Own-key traffic. {LABELLED}"),
        reading, _why(asker, hidden, users, bool(found)) if hidden.groups or found else NO_ROWS, hidden, None,
        (Column("Category"), *_COLUMNS[2:]),
    )  # fmt: skip


def _f32(asker: Asker) -> Figure:
    found, hidden, users, had_rows = _models(asker)
    points = [Point(name, _GROUPS.get(weights, "Not in the catalogue"), x, y) for name, _, weights, _, x, y in found]
    fit = fitted(points)
    reading = ""
    if fit:
        slope, _, r_squared = fit
        change = 100 * (math.pow(0.9, slope) - 1)
        reading = (
            f"Over {len(points)} models, a price 10 % lower goes with {abs(change):.1f} % "
            f"{'more' if change > 0 else 'less'} usage (slope {slope:.2f}, R² {r_squared:.2f}): "
            + ("price explains much of it." if r_squared >= 0.5 else "price explains little of it.")
        )
    elif points:
        reading = f"{len(points)} models with a known price: too few for a trend."
    return _scatter(
        asker, "F32", "Price and usage, open and proprietary", points,
        Definition("One dot a model: its price and its tokens.", "Price: tokens not on an own key.", _EXCLUDED),
        reading, _why(asker, hidden, users, had_rows), hidden, fit[:2] if fit else None,
    )  # fmt: skip


def _f33(asker: Asker) -> Figure:
    found, hidden, users, had_rows = _models(asker)
    authors: dict[str, float] = {}
    for _, author, _, _, _, tokens in found:
        authors[author] = authors.get(author, 0.0) + tokens
    named = sorted(authors, key=lambda name: (-authors[name], name))[:8]
    points = [Point(name, author if author in named else "Other authors", x, y) for name, author, _, _, x, y in found]
    reading = ""
    if points:
        cheap, dear = min(points, key=lambda p: p.x), max(points, key=lambda p: p.x)
        reading = (
            f"Prices span a factor of {dear.x / cheap.x:,.0f}: from {cheap.name} "
            f"({number(cheap.x, 'usd_per_million')}) to {dear.name} ({number(dear.x, 'usd_per_million')})."
        )
    return _scatter(
        asker, "F33", "Price and usage by model", points,
        Definition("One dot a model: its price and its tokens.", "Price: tokens not on an own key.", _EXCLUDED),
        reading, _why(asker, hidden, users, had_rows), hidden, None,
    )  # fmt: skip


def _t5(asker: Asker) -> Figure:
    found, hidden, users, had_rows = _models(asker)
    spend, tokens = sum(row[3] for row in found), sum(row[5] for row in found)
    rows = tuple(
        (name, _GROUPS.get(weights, "Not in the catalogue"), nanousd / 1e9, price, amount / 1e6,
         math.log10(amount / 1e6), nanousd / spend, amount / tokens)
        for name, _, weights, nanousd, price, amount in sorted(found, key=lambda row: (-row[3], row[0]))[:LISTED]
    )  # fmt: skip
    reading = ""
    if rows:
        name, _, cost, _, _, _, share, of_tokens = rows[0]
        reading = (
            f"Most is spent on {name}: {number(float(cost), 'usd')}, {number(share, 'share')} of the known cost for "
            f"{number(of_tokens, 'share')} of the tokens."
        )
    return Figure(
        "T5", "Cost by model", "table",
        Definition("Known cost and tokens of the model.", "Shares: of the models listed or drawn here.", _EXCLUDED),
        "usd", "", "",
        (Column("Model"), Column("Weights"), Column("Cost", "usd"), Column("USD per million", "usd_per_million"),
         Column("Million tokens", "tokens"), Column("Log10 of it", "count"), Column("Share of cost", "share"),
         Column("Share of tokens", "share")),
        rows, reading=reading, empty="" if rows else _why(asker, hidden, users, had_rows), hidden=hidden,
        notes=(_PRICE,),
    )  # fmt: skip


RECIPES: Final = tuple(
    Recipe(id_, CHAPTER, make) for id_, make in (("F31", _f31), ("F32", _f32), ("F33", _f33), ("T5", _t5))
)
