"""The shapes that most figures have: a mix over time, ratios over time, a ranking. Asks, folds, reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tokentide_dashboards.partial_sums import words
from tokentide_deploy.report import sql
from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.figure import Column, Definition, Figure, Kind, Series, Unit, series_table
from tokentide_deploy.report.period import Period
from tokentide_deploy.report.suppression import WHOLE, Folded, Hidden, Policy, Users, fold
from tokentide_deploy.report.words import read_bars, read_series

_OF_EVENTS: Final = frozenset({"category", "subcategory", "country", "language", "tools_offered", "provider", "app"})
"""Columns that the daily sets of users do not have: users of their groups are counted in raw events."""
NO_ROWS: Final = "The period has no such traffic."
LEADING: Final = 9
EVERYTHING: Final = "'everything'"
"""SQL of a key under which all users are counted."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A figure's id and chapter, known before anything is asked, and how it is made."""

    id: str
    chapter: str
    make: Callable[[Asker], Figure]


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of the rollup `stem` a figure counts.

    `where`: conditions over the rollup's labels and the model's attributes, which the raw view has as well;
    `measured`: over sums of the bucket and model, which are left out when users are counted.
    """

    stem: str = "rollup_models"
    where: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()

    def only(self, *conditions: str) -> Rows:
        """The rows that meet these conditions, too."""
        return replace(self, where=(*self.where, *conditions))

    def counted(self, asker: Asker, key: str) -> Users:
        """Users by `key` among these rows."""
        from_events = words(" ".join((key, *self.where))) & _OF_EVENTS
        return (asker.users_of_events if from_events else asker.users_of_models)(key, self.where)


def why_nothing(hidden: Hidden, users: Users, policy: Policy) -> str:
    """The reason for an empty figure."""
    if not users.counted and not policy.show_uncounted and hidden.groups:
        return (
            "There is such traffic, but its users cannot be counted any more: the raw events of the period are gone. "
            "Give --show-uncounted to draw it all the same."
        )
    if hidden.groups or hidden.cells:
        return (
            f"There is such traffic, but no group in it has {policy.min_users} known users. Requests without a user "
            "count for nobody. For your own eyes, give --min-users 1."
        )
    return NO_ROWS


def _series(folded: Folded, times: Sequence[str], *, share: bool) -> tuple[Series, ...]:
    found = []
    for group in folded.groups:
        values: list[float | None] = []
        for time in times:
            amount = folded.amounts.get((time, group))
            total = folded.total(time)
            values.append(None if amount is None or (share and total == 0) else amount / total if share else amount)
        found.append(Series(group, tuple(values)))
    return tuple(found)


def _read(period: Period, times: Sequence[str], series: Sequence[Series], unit: Unit) -> str:
    return read_series(times, series, unit, period.partial_buckets(), bucket=period.bucket)


def mix(
    asker: Asker,
    id_: str,
    title: str,
    rows: Rows,
    key: str,
    amount: str,
    definition: Definition,
    *,
    share: bool = True,
    leading: int | None = LEADING,
    unit: Unit = "share",
    y_label: str = "share",
    launches: bool = False,
    notes: tuple[str, ...] = (),
) -> Figure:
    """`amount` (an aggregate) by `key` and bucket, or each group's share of its bucket."""
    period = asker.period
    found = asker.sums(
        rows.stem, {"time": sql.TIME, "name": key}, {"amount": f"toFloat64({amount})"}, (*rows.where, *rows.measured)
    )
    users = rows.counted(asker, key)
    folded = fold({(time, str(name)): float(value) for time, name, value in found}, users, asker.policy, leading)
    times = tuple(period.buckets())
    series = _series(folded, times, share=share) if folded.amounts else ()
    columns, table = series_table(f"{period.bucket.capitalize()} from", times, series, unit)
    kind: Kind = "stacked_share" if share else "stacked"
    return Figure(
        id_, title, kind, definition, unit, f"{period.bucket} from ({period.time_zone})", y_label, columns,
        table if series else (), times, series, reading=_read(period, times, series, unit),
        empty="" if series else why_nothing(folded.hidden, users, asker.policy), notes=notes, hidden=folded.hidden,
        marks=_launches(asker, rows) if launches and series else (),
    )  # fmt: skip


def _launches(asker: Asker, rows: Rows) -> tuple[tuple[str, str], ...]:
    """Releases in the period of the models with the most tokens, as marks at their bucket."""
    totals = asker.sums(rows.stem, {"name": "canonical_model"}, {"tokens": "sum(total_tokens)"}, rows.where)
    users = asker.users_of_models(sql.MODEL, rows.where)
    top = [name for name, _ in sorted(totals, key=lambda row: -row[1]) if not asker.policy.hides_group(users, name)]
    released = asker.rows(sql.launches(asker.period, top[:12]))
    buckets = asker.period.buckets()
    return tuple(
        (max((bucket for bucket in buckets if bucket[:10] <= day.isoformat()), default=buckets[0]), name)
        for name, day in released
    )


def ratios(
    asker: Asker,
    id_: str,
    title: str,
    rows: Rows,
    series: Mapping[str, tuple[str, str, str]],
    definition: Definition,
    *,
    unit: Unit,
    y_label: str,
    notes: tuple[str, ...] = (),
) -> Figure:
    """Lines: `series` is name -> aggregate above, aggregate below, condition whose users must be k at least."""
    period = asker.period
    parts = [(f"upper{i}", f"lower{i}") for i in range(len(series))]
    sums: dict[str, str] = {}
    for (upper, lower), (above, below, _) in zip(parts, series.values(), strict=True):
        sums |= {upper: f"toFloat64({above})", lower: f"toFloat64({below})"}
    found = {row[0]: row[1:] for row in asker.sums(rows.stem, {"time": sql.TIME}, sums, rows.where)}
    times = tuple(period.buckets())
    hidden = Hidden()
    lines = []
    last_users = Users()
    for place, (name, (_, _, condition)) in enumerate(series.items()):
        users = last_users = (rows.only(condition) if condition else rows).counted(asker, EVERYTHING)
        hidden.unchecked |= not users.counted and asker.policy.show_uncounted and asker.policy.min_users > 1
        values: list[float | None] = []
        for time in times:
            above_value, below_value = found.get(time, (0.0,) * (2 * len(series)))[2 * place : 2 * place + 2]
            if below_value == 0:
                values.append(None)
            elif above_value > 0 and asker.policy.hides(users, time, EVERYTHING.strip("'")):
                hidden.cells += 1
                values.append(None)
            else:
                values.append(above_value / below_value)
        if any(value is not None for value in values):
            lines.append(Series(name, tuple(values)))
        elif any(time in found for time in times) and asker.policy.hides_group(users, EVERYTHING.strip("'")):
            hidden.groups.add(name)
    drawn = tuple(lines)
    columns, table = series_table(f"{period.bucket.capitalize()} from", times, drawn, unit)
    return Figure(
        id_, title, "lines", definition, unit, f"{period.bucket} from ({period.time_zone})", y_label, columns,
        table if drawn else (), times, drawn, notes=notes, hidden=hidden,
        reading=_read(period, times, drawn, unit),
        empty="" if drawn else why_nothing(hidden, last_users, asker.policy),
    )  # fmt: skip


def ratios_by(
    asker: Asker,
    id_: str,
    title: str,
    rows: Rows,
    key: str,
    above: str,
    below: str,
    definition: Definition,
    *,
    unit: Unit,
    y_label: str,
    leading: int = LEADING,
) -> Figure:
    """Lines of a ratio of two aggregates for the `leading` groups by `below`. The rest says nothing of any of them."""
    period = asker.period
    sums = {"upper": f"toFloat64({above})", "lower": f"toFloat64({below})"}
    found = asker.sums(rows.stem, {"time": sql.TIME, "name": key}, sums, rows.where)
    users = rows.counted(asker, key)
    folded = fold({(time, str(name)): lower for time, name, _, lower in found}, users, asker.policy, None)
    uppers = {(time, str(name)): upper for time, name, upper, _ in found}
    times = tuple(period.buckets())
    series = tuple(
        Series(
            group,
            tuple(
                uppers[time, group] / below_value if (below_value := folded.amounts.get((time, group))) else None
                for time in times
            ),
        )
        for group in folded.groups[:leading]
    )
    columns, table = series_table(f"{period.bucket.capitalize()} from", times, series, unit)
    return Figure(
        id_, title, "lines", definition, unit, f"{period.bucket} from ({period.time_zone})", y_label, columns,
        table if series else (), times, series, reading=_read(period, times, series, unit),
        empty="" if series else why_nothing(folded.hidden, users, asker.policy), hidden=folded.hidden,
    )  # fmt: skip


def ranking(
    asker: Asker,
    id_: str,
    title: str,
    name_column: str,
    amounts: Mapping[str, float],
    users: Users,
    definition: Definition,
    *,
    unit: Unit = "tokens",
    leading: int | None = 12,
    y_label: str = "tokens",
    notes: tuple[str, ...] = (),
) -> Figure:
    """Bars of the whole period, largest first, with each group's share of what is shown."""
    folded = fold({(WHOLE, name): amount for name, amount in amounts.items()}, users, asker.policy, leading)
    bars = tuple((group, folded.amounts[WHOLE, group]) for group in folded.groups)
    total = sum(value for _, value in bars)
    rows = tuple((group, value, value / total if total else None) for group, value in bars)
    # In a list the share says more than the amount.
    shares = [(name, value / total) for name, value in bars] if total else []
    return Figure(
        id_, title, "bars", definition, unit, y_label, "", (Column(name_column), Column(y_label.capitalize(), unit),
        Column("Share", "share")), rows, bars=bars, reading=read_bars(shares, "share", f" of the {y_label}"),
        empty="" if bars else why_nothing(folded.hidden, users, asker.policy), notes=notes, hidden=folded.hidden,
    )  # fmt: skip
