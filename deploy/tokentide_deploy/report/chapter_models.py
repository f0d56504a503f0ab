"""Figures of the chapter on models, authors and providers."""

from __future__ import annotations

from typing import Final

from tokentide_deploy.report import sql
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.chapter_open_closed import ALL, NO_USAGE, TOKENS
from tokentide_deploy.report.figure import Column, Definition, Figure
from tokentide_deploy.report.making import Recipe, mix, why_nothing
from tokentide_deploy.report.suppression import WHOLE, fold

CHAPTER: Final = "Models, authors and providers"
LISTED: Final = 20


def _m1(asker: Asker) -> Figure:
    return mix(
        asker, "M1", "Share by author", ALL, "author", TOKENS,
        Definition("Tokens of the author's models.", "All tokens of the bucket.", NO_USAGE), y_label="share of tokens",
    )  # fmt: skip


def _m2(asker: Asker) -> Figure:
    return mix(
        asker, "M2", "Share by model", ALL, sql.MODEL, TOKENS,
        Definition("Tokens of the model.", "All tokens of the bucket.", NO_USAGE), leading=12,
        y_label="share of tokens", launches=True,
    )  # fmt: skip


def _m3(asker: Asker) -> Figure:
    return mix(
        asker, "M3", "Share by provider", ALL, "provider", TOKENS,
        Definition("Tokens that the provider served.", "All tokens of the bucket.", NO_USAGE),
        y_label="share of tokens",
    )  # fmt: skip


def _m4(asker: Asker) -> Figure:
    middle_s = (asker.period.from_s + asker.period.until_s) // 2
    later = f"toDateTime({sql.TIME}) >= toDateTime({middle_s}, 'UTC')"
    found = asker.sums(
        ALL.stem, {"name": sql.MODEL, "maker": "author"},
        {"tokens": TOKENS, "attempts": "sum(requests)", "late_tokens": f"sumIf(total_tokens, {later})"},
    )  # fmt: skip
    by_name = {str(row[0]): row for row in found}
    users = ALL.counted(asker, sql.MODEL)
    folded = fold({(WHOLE, name): float(row[2]) for name, row in by_name.items()}, users, asker.policy, None)
    everything = sum(row[2] for row in by_name.values())
    later_all = sum(row[4] for row in by_name.values())
    rows: list[tuple[str | float | None, ...]] = []
    for name in folded.groups[:LISTED]:
        _, author, tokens, attempts, late = by_name[name]
        before = (tokens - late) / (everything - later_all) if everything > later_all else None
        after = late / later_all if later_all else None
        rows.append((name, author, float(tokens), float(attempts), tokens / everything, before, after))
    reading = ""
    moves = [(row[6] - row[5], row[0]) for row in rows if isinstance(row[5], float) and isinstance(row[6], float)]
    if moves:
        (gain, winner), (loss, loser) = max(moves), min(moves)
        reading = (
            f"{winner} gained most from the first half to the second ({100 * gain:+.1f} points of share), "
            f"{loser} lost most ({100 * loss:+.1f})."
        )
    return Figure(
        "M4", "Leaderboard", "table",
        Definition(
            "Tokens and attempts of the model; its share in the first and in the second half of the period.",
            "Share: all tokens of the period, or of its half.", f"Models beyond the {LISTED} largest. {NO_USAGE}",
        ),
        "tokens", "", "",
        (Column("Model"), Column("Author"), Column("Tokens", "tokens"), Column("Attempts", "count"),
         Column("Share", "share"), Column("First half", "share"), Column("Second half", "share")),
        tuple(rows), reading=reading, empty="" if rows else why_nothing(folded.hidden, users, asker.policy),
        hidden=folded.hidden,
    )  # fmt: skip


RECIPES: Final = tuple(Recipe(id_, CHAPTER, make) for id_, make in (("M1", _m1), ("M2", _m2), ("M3", _m3), ("M4", _m4)))
