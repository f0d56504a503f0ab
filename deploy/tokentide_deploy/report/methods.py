"""What the methods section says, from the data. Asks the store; the words are made here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from tokentide_deploy.report.asking import Asker
from tokentide_deploy.report.making import EVERYTHING
from tokentide_deploy.report.words import number
from tokentide_schemas.cubes import MODEL_CUBE

_SUMS: Final = {
    "attempts": "sum(requests)",
    "tokens": "sum(total_tokens)",
    "no_usage": "sum(usage_missing_requests)",
    "no_cost": "sum(cost_unknown_requests)",
    "own_key": "sum(byok_requests)",
    "no_label": "sumIf(requests, category = '')",
    "strange_tokens": "sumIf(total_tokens, author = 'unknown')",
    "strange_models": "uniqExactIf(canonical_model, author = 'unknown')",
    "models": "uniqExact(canonical_model)",
    "providers": "uniqExact(provider)",
    "nanousd": "sum(cost_nanousd)",
}


@dataclass(frozen=True, slots=True)
class Totals:
    """Over the whole period. Costs in nano-USD, own-key traffic excluded."""

    attempts: int
    tokens: int
    no_usage: int
    no_cost: int
    own_key: int
    no_label: int
    strange_tokens: int
    strange_models: int
    models: int
    providers: int
    nanousd: int


def totals(asker: Asker) -> Totals:
    """Asks for the totals; all zero when the period has nothing."""
    rows = asker.sums("rollup_models", {}, _SUMS)
    return Totals(*(int(value or 0) for value in rows[0])) if rows else Totals(*(0 for _ in _SUMS))


def stored_span(asker: Asker) -> tuple[dt.datetime, dt.datetime] | None:
    """Start of the first and of the last day that the rollups have; None for an empty store."""
    day = next(part for name, part in MODEL_CUBE.views.items() if name.endswith("_1d"))
    ((count, first, last),) = asker.rows(
        f"SELECT count(), min(window_start), max(window_start) FROM {day.partials_table}"
    )
    return (first, last) if count else None


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the methods section."""

    name: str
    text: str


def _of(part: int, whole: int) -> str:
    return f"{part:,} ({number(part / whole, 'share')})" if whole else f"{part:,}"


def facts(asker: Asker, found: Totals, made_at: dt.datetime) -> list[Fact]:
    """What was counted, what is unknown, and whether everything is accounted for."""
    period, policy = asker.period, asker.policy
    span = f"{period.first} to {period.last}, both included, as days begin in {period.time_zone} ({period.days} days)"
    if period.splits_hours:
        span += "; rollups count in hours of UTC, so a day has the hours that begin in it"
    if partly := sorted(period.partial_buckets()):
        span += f"; of the {period.bucket}s from {' and '.join(partly)} only a part is in the period"
    return [
        Fact("Period", f"{span}. Charts count by {period.bucket}; weeks begin on Monday."),
        Fact("Attempts", f"{found.attempts:,}, of {found.models:,} models at {found.providers:,} providers."),
        Fact("Tokens", f"{found.tokens:,}: prompt and completion, reasoning and cached tokens included."),
        Fact("Known cost", f"{number(found.nanousd / 1e9, 'usd')}, without the clients' own provider keys."),
        Fact("No usage reported", f"{_of(found.no_usage, found.attempts)} attempts: tokens unknown, not zero."),
        Fact("Cost unknown", f"{_of(found.no_cost, found.attempts)} attempts."),
        Fact("Own provider key", f"{_of(found.own_key, found.attempts)} attempts; not in any cost."),
        Fact("Unlabelled", f"{_of(found.no_label, found.attempts)} attempts without a category."),
        Fact(
            "Catalogue",
            f"{_catalogue(asker)}; {found.strange_models:,} models that it does not have, with "
            f"{_of(found.strange_tokens, found.tokens)} of the tokens.",
        ),
        Fact("Users", _users(asker)),
        Fact("Late", f"{_of(_late(asker), found.attempts)} attempts came after their window closed; all are counted."),
        *_ledger(asker),
        Fact("Raw and rollups", _raw_agrees(asker)),
        Fact(
            "Small groups",
            "Nothing is hidden (k is 1): for your own eyes." if policy.min_users <= 1 else
            f"Groups of fewer than {policy.min_users} known users are in Others or left out. Who can compare charts "
            "with each other, or with totals from elsewhere, may still learn something of a small group.",
        ),
        Fact("Made", f"{made_at:%Y-%m-%d %H:%M} UTC by tokentide {version('tokentide')}, from {period.tier} rollups."),
    ]  # fmt: skip


def _catalogue(asker: Asker) -> str:
    rows = asker.rows("SELECT catalogue_version FROM catalogue_loads ORDER BY load DESC LIMIT 1")
    return f"Version {rows[0][0]}" if rows else "None is loaded"


def _users(asker: Asker) -> str:
    known = asker.users_of_models(EVERYTHING).by_group.get(EVERYTHING.strip("'"), 0)
    raw, first, last = asker.raw_span()
    text = f"{known:,} distinct keyed hashes by days of UTC (standard error about 0.3 % when many). "
    if not raw:
        return text + "No raw events of the period are kept, so users by category, country or language are not known."
    return text + (
        f"By category, country and language they are counted in the {raw:,} raw events that are kept, {first:%Y-%m-%d} "
        f"to {last:%Y-%m-%d}: groups of earlier times alone count as small."
    )


def _late(asker: Asker) -> int:
    day = next(part for name, part in MODEL_CUBE.views.items() if name.endswith(f"_{asker.period.tier}"))
    ((late,),) = asker.rows(
        f"SELECT sumIf(requests, segment > 0) FROM {day.partials_table} FINAL "
        f"WHERE {asker.period.within_sql('window_start')}"
    )
    return int(late or 0)


def _ledger(asker: Asker) -> list[Fact]:
    within = asker.period.within_sql("appended_at")
    ((records, came, stored, repeats, refused),) = asker.rows(
        "SELECT count(), sum(events), sum(stored_events), sum(duplicate_events), sum(rejected_events) "
        f"FROM ingest_ledger FINAL WHERE {within}"
    )
    letters = asker.rows(
        f"SELECT reason, sum(events) FROM dead_letters FINAL WHERE {within} GROUP BY reason ORDER BY reason"
    )
    dead = ", ".join(f"{int(events):,} {reason}" for reason, events in letters if events)
    lines = [Fact("Dead letters", f"{dead or 'None'} of what arrived in the period, as far as they are kept.")]
    if not records:
        return [*lines, Fact("Accounting", "The ledger of what arrived in the period is not kept any more.")]
    lacking = int(came) - int(stored) - int(repeats) - int(refused)
    state = "nothing is unaccounted for" if lacking == 0 else f"{lacking:,} are UNACCOUNTED FOR: run tokentide verify"
    text = (
        f"Of {int(came):,} events in {int(records):,} records that arrived in the period and are still in the ledger: "
        f"{int(stored):,} stored, {int(repeats):,} recognised as repeats, {int(refused):,} refused; {state}."
    )
    return [*lines, Fact("Accounting", text)]


def _raw_agrees(asker: Asker) -> str:
    count, first, last = asker.raw_span()
    if not count:
        return "No raw events of the period are kept to compare with."
    # The hour in which raw begins may have lost its first events, the one in which it ends is still filling.
    hour = next(part for name, part in MODEL_CUBE.views.items() if name.endswith("_1h"))
    start_s = max(-(-int(first.replace(tzinfo=dt.UTC).timestamp()) // 3600) * 3600, asker.period.from_s)
    end_s = min(int(last.replace(tzinfo=dt.UTC).timestamp()) // 3600 * 3600, asker.period.until_s)
    if end_s <= start_s:
        return "Too few hours of raw events are kept to compare with."
    ((raw,),) = asker.rows(
        f"SELECT count() FROM events WHERE occurred_at >= toDateTime64({start_s}, 3, 'UTC') "
        f"AND occurred_at < toDateTime64({end_s}, 3, 'UTC')"
    )
    ((rolled,),) = asker.rows(
        f"SELECT sum(requests) FROM {hour.partials_table} FINAL WHERE window_start >= toDateTime({start_s}, 'UTC') "
        f"AND window_start < toDateTime({end_s}, 'UTC')"
    )
    where = f"in the {(end_s - start_s) // 3600:,} whole hours that both have"
    if int(raw) == int(rolled or 0):
        return f"{int(raw):,} raw events and as many in the rollups, {where}."
    return (
        f"{int(raw):,} raw events, {int(rolled or 0):,} in the rollups, {where}: a stream worker behind, erased users "
        "or a fault; tokentide verify tells."
    )
