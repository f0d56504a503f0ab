"""The figure of the chapter on retention: whether a model's users come back."""

from __future__ import annotations

import datetime as dt
from typing import Final

from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.figure import Column, Definition, Figure
from tokentide_deploy.report.making import NO_ROWS, Recipe
from tokentide_deploy.report.suppression import Hidden
from tokentide_deploy.report.words import number

CHAPTER: Final = "Who comes back"
MODELS: Final = 5
MONTHS: Final = 12


def _sql(first: dt.date, last: dt.date) -> str:
    return (
        "SELECT canonical_model, cohort_month, months_since, users, cohort_users FROM retention "
        f"WHERE cohort_month >= '{first.replace(day=1)}' AND cohort_month <= '{last}' AND months_since <= {MONTHS} "
        f"AND addMonths(cohort_month, months_since) <= '{last}' ORDER BY canonical_model, cohort_month, months_since"
    )


def _f30(asker: Asker) -> Figure:
    first, last = asker.period.first, asker.period.last
    sizes: dict[tuple[str, dt.date], int] = {}
    active: dict[tuple[str, dt.date], dict[int, int]] = {}
    hidden = Hidden()
    for model, cohort, since, users, size in asker.rows(_sql(first, last)):
        if size < asker.policy.min_users:
            hidden.groups.add(f"{model} from {cohort:%Y-%m}")
            continue
        sizes[model, cohort] = int(size)
        active.setdefault((model, cohort), {})[int(since)] = int(users)
    totals: dict[str, int] = {}
    for (model, _), size in sizes.items():
        totals[model] = totals.get(model, 0) + size
    chosen = sorted(totals, key=lambda model: (-totals[model], model))[:MODELS]
    rows: list[tuple[str | float | None, ...]] = []
    for model, cohort in sorted(sizes, key=lambda key: (chosen.index(key[0]) if key[0] in chosen else MODELS, key[1])):
        if model not in chosen:
            continue
        months = (last.year - cohort.year) * 12 + last.month - cohort.month
        cells: list[str | float | None] = []
        for since in range(1, MONTHS + 1):
            users = active[model, cohort].get(since, 0)
            if since > months:
                cells.append(None)
            elif 0 < users < asker.policy.min_users:
                hidden.cells += 1
                cells.append(f"<{asker.policy.min_users}")
            else:
                cells.append(users / sizes[model, cohort])
        rows.append((model, f"{cohort:%Y-%m}", float(sizes[model, cohort]), *cells))
    reading = ""
    later = [(cell, row, since) for row in rows for since, cell in enumerate(row[3:], 1) if isinstance(cell, float)]
    if any(cell for cell, _, _ in later):
        share, row, since = max(later, key=lambda one: (one[0], -one[2]))
        reading = (
            f"Most came back of the {row[1]} users of {row[0]}: {number(share, 'share')} were active after {since} "
            f"month{'s' if since > 1 else ''}."
        )
    empty = "" if rows else NO_ROWS
    if hidden.groups and not rows:
        empty = f"No cohort of a model has {asker.policy.min_users} users. For your own eyes, give --min-users 1."
    return Figure(
        "F30", "Retention of monthly cohorts by model", "heat",
        Definition(
            "Users of the cohort with a request to the model so many months later; who comes back after a gap counts "
            "again.",
            "Users, as keyed hashes, whose first month with the model it is (UTC).",
            f"Requests without a user, and models beyond the {MODELS} with most new users.",
        ),
        "share", "months since the cohort's first", "",
        (Column("Model"), Column("Cohort"), Column("Users", "count"),
         *(Column(str(month), "share") for month in range(1, MONTHS + 1))),
        tuple(rows), reading=reading, empty=empty, hidden=hidden,
        notes=(f"<{asker.policy.min_users}: fewer active users than may be shown.",
               "The first month that the store knows counts everybody as new; the last one counts as far as it went.",),
    )  # fmt: skip


RECIPES: Final = (Recipe("F30", CHAPTER, _f30),)
