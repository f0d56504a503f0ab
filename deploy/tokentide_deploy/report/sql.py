"""What the report asks the store, as text. Pure.

Sums come from the partials of the daily rollup tier, or of the hourly one where the time zone or a short period needs
it. Users come from the daily sets of users for whatever follows from the model, and from the raw events otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tokentide_dashboards.partial_sums import presummed
from tokentide_deploy.report.period import Period
from tokentide_schemas.catalogue_tables import model_columns

TIME: Final = "period_start"
MODEL: Final = "if(canonical_model = '', '(none)', canonical_model)"
_USER_SET: Final = "uniqCombined64Merge(17)(users)"


def grouped(
    period: Period, stem: str, keys: Mapping[str, str], sums: Mapping[str, str], where: Sequence[str] = ()
) -> str:
    """Rows of `keys` (name -> SQL; TIME is the bucket) and `sums` (name -> aggregate) over the rollup view `stem`."""
    rows = presummed(
        stem, period.tier, window=period.bucket_sql("p.window_start"), window_name=TIME,
        where_window=period.within_sql("p.window_start"), uses=[*keys.values(), *sums.values()], where=where,
    )  # fmt: skip
    columns = ", ".join(f"{sql} AS {name}" for name, sql in {**keys, **sums}.items())
    return f"SELECT {columns}\nFROM\n(\n    {rows}\n)" + (f"\nGROUP BY {', '.join(keys)}" if keys else "")


def users_of_models(period: Period, key: str, where: Sequence[str], *, by_time: bool) -> str:
    """Distinct users by `key` (SQL over the model's attributes), and bucket: days are UTC's, placed by their noon."""
    noon = "(toDateTime(day, 'UTC') + 43200)"
    time = f"{period.bucket_sql('noon')} AS time, " if by_time else ""
    groups = "time, name" if by_time else "name"
    condition = f"\nWHERE {' AND '.join(where)}" if where else ""
    return f"""SELECT {groups}, {_USER_SET} AS known_users
FROM
(
    SELECT {time}{key} AS name, users
    FROM
    (
        SELECT users, noon, model, {model_columns("model")}
        FROM (SELECT users, model, {noon} AS noon FROM users_1d WHERE {period.within_sql(noon)})
    ){condition}
)
GROUP BY {groups}"""


def users_of_events(period: Period, key: str, where: Sequence[str]) -> str:
    """Distinct users by `key` over the raw events of the period that are still kept."""
    conditions = " AND ".join((*_occurred(period), "user_hash IS NOT NULL", *where))
    users = "uniqCombined64(17)(user_hash)"
    return f"SELECT {key} AS name, {users} AS known_users\nFROM usage\nWHERE {conditions}\nGROUP BY name"


def raw_span(period: Period) -> str:
    """Raw events of the period: how many, and when the first and the last were."""
    return f"SELECT count(), min(occurred_at), max(occurred_at) FROM events WHERE {' AND '.join(_occurred(period))}"


def raw_grouped(
    period: Period, keys: Mapping[str, str], sums: Mapping[str, str], where: Sequence[str], limit: int
) -> str:
    """Sums over the raw events of the period, largest first by the first sum."""
    columns = ", ".join(f"{sql} AS {name}" for name, sql in {**keys, **sums}.items())
    conditions = " AND ".join((*_occurred(period), *where))
    return (
        f"SELECT {columns}\nFROM usage\nWHERE {conditions}\nGROUP BY {', '.join(keys)}\n"
        f"ORDER BY {next(iter(sums))} DESC LIMIT {limit}"
    )


def _occurred(period: Period) -> tuple[str, str]:
    return (
        f"occurred_at >= toDateTime64({period.from_s}, 3, 'UTC')",
        f"occurred_at < toDateTime64({period.until_s}, 3, 'UTC')",
    )


def launches(period: Period, names: Sequence[str]) -> str:
    """Release dates in the period of catalogue models out of `names`."""
    listed = ", ".join("'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in names) or "''"
    return (
        f"SELECT id, release_date FROM catalogue_models WHERE id IN ({listed}) "
        f"AND release_date BETWEEN '{period.first}' AND '{period.last}' ORDER BY release_date, id"
    )
