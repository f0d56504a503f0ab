"""Figures of the chapter on categories."""

from __future__ import annotations

from functools import partial
from typing import Final

from tokentide_dashboards.period_sql import INPUT_TOKENS, KNOWN_USAGE, WEIGHTED_TOKENS
from tokentide_deploy.report import sql
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.chapter_agentic import raw_note
from tokentide_deploy.report.chapter_open_closed import ALL, LABELLED
from tokentide_deploy.report.figure import Column, Definition, Figure
from tokentide_deploy.report.making import Recipe, mix, ratios, ratios_by, why_nothing
from tokentide_deploy.report.suppression import OTHERS, WHOLE, Hidden, fold
from tokentide_deploy.report.words import number

CHAPTER: Final = "What models are used for"
SOME: Final = ALL.only("category != ''")
STUDY_AUTHORS: Final = {
    "F23": "anthropic", "F24": "google", "F25": "x-ai", "F26": "openai", "F27": "deepseek", "F28": "qwen",
}  # fmt: skip
_HEAT_AUTHORS: Final = 12
_HEAT_CATEGORIES: Final = 10
_SUBCATEGORIES: Final = 5
_BETWEEN: Final = " · "
_NONE: Final = "(none)"


def _c1(asker: Asker) -> Figure:
    return mix(
        asker, "C1", "Category mix", SOME, "category", WEIGHTED_TOKENS,
        Definition("Tokens of the category's requests.", "All labelled tokens of the bucket.", LABELLED),
        leading=12, y_label="share of labelled tokens",
    )  # fmt: skip


def _f16(asker: Asker) -> Figure:
    return ratios_by(
        asker, "F16", "Mean prompt tokens by category", SOME, "category", f"sum({INPUT_TOKENS})", KNOWN_USAGE,
        Definition(
            "Input tokens, from a cache or not, of the category's attempts.",
            "The category's attempts with reported usage, not scaled up.",
            "Unlabelled requests, attempts without reported usage, and categories beyond the nine with most attempts.",
        ),
        unit="tokens", y_label="tokens per request",
    )  # fmt: skip


def _f19(asker: Asker) -> Figure:
    code = "category = 'programming'"
    return ratios(
        asker, "F19", "Share of programming", SOME,
        {"Programming": (f"sumIf(weighted_tokens_milli, {code})", "sum(weighted_tokens_milli)", code)},
        Definition("Tokens of requests labelled programming.", "All labelled tokens of the bucket.", LABELLED),
        unit="share", y_label="share of labelled tokens",
    )  # fmt: skip


def _f20(asker: Asker) -> Figure:
    return mix(
        asker, "F20", "Programming by author of the model", ALL.only("category = 'programming'"), "author",
        WEIGHTED_TOKENS,
        Definition("Programming tokens of the author's models.", "All tokens labelled programming.", LABELLED),
        y_label="share of programming tokens",
    )  # fmt: skip


def _subcategories(asker: Asker, id_: str, first: int, last: int) -> Figure:
    key = f"concat(category, '{_BETWEEN}', if(subcategory = '', '{_NONE}', subcategory))"
    found = asker.rows(
        sql.raw_grouped(
            asker.period, {"root": "category", "name": key}, {"tokens": "sum(category_weight * total_tokens)"},
            SOME.where, 5_000,
        )
    )  # fmt: skip
    users = asker.users_of_events(key, SOME.where)
    totals: dict[str, float] = {}
    for root, _, tokens in found:
        totals[root] = totals.get(root, 0.0) + float(tokens)
    # A category whose labels are never finer has nothing to split.
    split = {root for root, name, _ in found if not name.endswith(f"{_BETWEEN}{_NONE}")}
    roots = sorted(split, key=lambda root: (-totals[root], root))[first:last]
    bars: list[tuple[str, float]] = []
    hidden = Hidden()
    for root in roots:
        own = {(WHOLE, str(name)): float(tokens) for of, name, tokens in found if of == root and tokens > 0}
        folded = fold(own, users, asker.policy, _SUBCATEGORIES)
        hidden.groups |= folded.hidden.groups
        hidden.unchecked |= folded.hidden.unchecked
        whole = folded.total(WHOLE)
        for name in folded.groups:
            label = f"{root}{_BETWEEN}{OTHERS}" if name == OTHERS else name
            bars.append((label, folded.amounts[WHOLE, name] / whole))
    rows = tuple((name.split(_BETWEEN)[0], name.split(_BETWEEN, 1)[1], value) for name, value in bars)
    top = {root: next((bar for bar in bars if bar[0].startswith(root + _BETWEEN)), None) for root in roots}
    reading = "; ".join(
        f"within {root}, {bar[0].split(_BETWEEN, 1)[1]} has {number(bar[1], 'share')}"
        for root, bar in top.items()
        if bar
    )
    which = "the three largest split categories" if first == 0 else "the next split categories"
    empty = why_nothing(hidden, users, asker.policy)
    if not asker.raw_span()[0]:
        empty = raw_note(asker)
    elif not roots:
        empty = "No request of these categories has a finer label."
    return Figure(
        id_, f"Subcategories of {which}", "bars",
        Definition("Tokens of the subcategory.", "All tokens of its category.", LABELLED), "share",
        "share of the category", "", (Column("Category"), Column("Subcategory"), Column("Share", "share")), rows,
        bars=tuple(bars), reading=reading[:1].upper() + reading[1:] + ("." if reading else ""),
        empty="" if bars else empty, notes=(raw_note(asker),), hidden=hidden,
    )  # fmt: skip


def _author(asker: Asker, id_: str, author: str) -> Figure:
    return mix(
        asker, id_, f"What {author} is used for", SOME.only(f"author = '{author}'"), "category", WEIGHTED_TOKENS,
        Definition(f"Tokens of the category's requests to {author}'s models.", "All their labelled tokens.", LABELLED),
        leading=7, y_label="share of labelled tokens",
    )  # fmt: skip


def _c2(asker: Asker) -> Figure:
    found = asker.sums(SOME.stem, {"maker": "author", "name": "category"}, {"tokens": WEIGHTED_TOKENS}, SOME.where)
    key = "concat(author, '\\n', category)"
    users = asker.users_of_events(key, SOME.where)
    authors: dict[str, float] = {}
    categories: dict[str, float] = {}
    hidden = Hidden(unchecked=not users.counted and asker.policy.show_uncounted)
    cells: dict[tuple[str, str], float] = {}
    small: set[tuple[str, str]] = set()
    for author, category, tokens in found:
        if tokens <= 0:
            continue
        if asker.policy.hides_group(users, f"{author}\n{category}"):
            small.add((author, category))
            hidden.cells += 1
            continue
        cells[author, category] = float(tokens)
        authors[author] = authors.get(author, 0.0) + float(tokens)
        categories[category] = categories.get(category, 0.0) + float(tokens)
    listed = sorted(authors, key=lambda name: (-authors[name], name))[:_HEAT_AUTHORS]
    named = sorted(categories, key=lambda name: (-categories[name], name))[:_HEAT_CATEGORIES]
    less = f"<{asker.policy.min_users} users"
    rows = tuple(
        (
            author,
            *(
                cells[author, name] / authors[author] if (author, name) in cells
                else less if (author, name) in small else None
                for name in named
            ),
        )
        for author in listed
    )  # fmt: skip
    reading = ""
    if rows:
        value, author, name = max((cells[a, c] / authors[a], a, c) for a, c in cells if a in listed and c in named)
        reading = f"The most one-sided use: {number(value, 'share')} of {author}'s labelled tokens are {name}."
    return Figure(
        "C2", "Uses by author", "heat",
        Definition(
            "Tokens of the category's requests to the author's models.",
            "All labelled tokens of the author shown here.",
            f"{LABELLED} Authors and categories beyond the largest.",
        ),
        "share", "", "", (Column("Author"), *(Column(name, "share") for name in named)), rows, reading=reading,
        empty="" if rows else why_nothing(hidden, users, asker.policy), hidden=hidden,
    )  # fmt: skip


RECIPES: Final = (
    Recipe("C1", CHAPTER, _c1),
    Recipe("F19", CHAPTER, _f19),
    Recipe("F20", CHAPTER, _f20),
    Recipe("F16", CHAPTER, _f16),
    Recipe("F21", CHAPTER, partial(_subcategories, id_="F21", first=0, last=3)),
    Recipe("F22", CHAPTER, partial(_subcategories, id_="F22", first=3, last=6)),
    Recipe("C2", CHAPTER, _c2),
    *(Recipe(id_, CHAPTER, partial(_author, id_=id_, author=author)) for id_, author in STUDY_AUTHORS.items()),
)
