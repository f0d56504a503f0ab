"""SQL fragments over the rollups in calendar periods: what the dashboards of weeks and months share.

The reader picks the period: hours of UTC; days, weeks from Monday and months of the reader's time zone (`reader_days`).
The range begins with the start of the period in which its own start lies, so that the first period is whole; the last
one is counted as far as it has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tokentide_dashboards.partial_sums import names, presummed_pieces
from tokentide_dashboards.reader_days import periods
from tokentide_schemas.catalogue_tables import COUNTRIES_DICTIONARY, MODELS_DICTIONARY

LEADING_SERIES: Final = 10
OTHER: Final = "(other)"

PERIOD: Final = "period_start"

CONTINENT: Final = f"dictGet('{COUNTRIES_DICTIONARY}', 'continent', tuple(toString(country)))"
LABELS: Final[dict[str, str]] = {
    "model": "if(model = '', '(none)', model)",
    "category": "if(category = '', '(unlabelled)', category)",
    "provider": "provider",
    "author": "author",
    "outcome": "outcome",
    "country": "if(country = '', '(unknown)', country)",
    "continent": CONTINENT,
    "tenant": "if(tenant = '', '(none)', tenant)",
    "app": "if(app = '', '(none)', app)",
}
"""A dimension as the reader sees it, and as a variable selects it: an empty name has a name."""
_BEFORE_GROUPS: Final = {"author": f"dictGet('{MODELS_DICTIONARY}', 'author', tuple(lower(p.model)))"}

ORIGIN: Final = (
    "transform(origin_group, ['proprietary', 'chinese_open', 'rest_of_world_open'], "
    "['Proprietary', 'Chinese open weights', 'Other open weights'], 'Not in the catalogue')"
)
WEIGHTS: Final = "transform(open_weights, ['yes', 'no'], ['Open weights', 'Proprietary'], 'Not in the catalogue')"
SIZE: Final = (
    "transform(size_class, ['small', 'medium', 'large'], "
    "['Small (under 15B)', 'Medium (15B to 70B)', 'Large (70B and more)'], 'Size unknown')"
)

INPUT_TOKENS: Final = "(input_uncached_tokens + input_cache_read_tokens + input_cache_write_tokens)"
COMPLETION_TOKENS: Final = "(output_tokens + output_reasoning_tokens)"
KNOWN_USAGE: Final = "sum(requests - usage_missing_requests)"
WEIGHTED_TOKENS: Final = "sum(weighted_tokens_milli) / 1000"
OWN_TOKENS: Final = "sum(total_tokens - byok_tokens)"


def selected(variables: Sequence[str]) -> str:
    """The condition that the dashboard's variables make."""
    return " AND ".join(_conditions(variables)) or "1=1"


def _conditions(variables: Sequence[str]) -> list[str]:
    return [_condition(name, LABELS[name]) for name in variables]


def _condition(name: str, label: str) -> str:
    return f"$__conditionalAll({label} IN (${{{name}:singlequote}}), ${name})"


@dataclass(frozen=True, slots=True)
class Rollup:
    """Rows of a rollup in the range, in periods.

    `stem`: view name without its tier; `variables`: those that select in it; `where`: further conditions.
    """

    stem: str
    variables: tuple[str, ...] = ()
    where: tuple[str, ...] = ()

    def only(self, condition: str) -> Rollup:
        """The rows that also meet `condition`, over the view's columns; sums are those of a period and group."""
        return replace(self, where=(*self.where, condition))

    def grouped(self, keys: Mapping[str, str], sums: Mapping[str, str]) -> str:
        """A query: `keys` and `sums` are name -> SQL."""
        columns = ", ".join(f"{sql} AS {name}" for name, sql in {**keys, **sums}.items())
        # By the model's own name: the attribute would make every model a group, also when all are selected.
        where = [*(_condition(name, _BEFORE_GROUPS.get(name, LABELS[name])) for name in self.variables), *self.where]
        read = periods(self.stem)
        rows = presummed_pieces(
            self.stem, read.pieces, window_name=PERIOD, uses=[*keys.values(), *sums.values()], where=where,
            scalars=read.scalars,
        )  # fmt: skip
        return f"SELECT {columns}\nFROM\n(\n    {rows}\n)\nGROUP BY {', '.join(keys)}"


def mix(rollup: Rollup, label: str, key: str, amount: str, *, share: bool, leading: int = LEADING_SERIES) -> str:
    """Time series of the `leading` groups with the largest total and of the rest: `amount`, or its share of the point.

    `amount`: an aggregate. A group without rows in a point has zero there, a share of nothing is NULL.
    """
    value = "amounts[series.1]"
    if share:
        value = f"{value} / nullIf(arraySum(mapValues(amounts)), 0)"
    return f"""SELECT time, series.2 AS {label}, {value} AS Value
FROM
(
    SELECT time, sumMap(map(place, amount)) AS amounts, any(all_series) AS all_series
    FROM
    (
        SELECT
            time, amount, least(full_place, {leading + 1}) AS place,
            arraySort(groupUniqArray((place, if(full_place <= {leading}, name, '{OTHER}'))) OVER ()) AS all_series
        FROM
        (
            SELECT time, amount, name, dense_rank() OVER (ORDER BY total DESC, name) AS full_place
            FROM
            (
                SELECT time, name, amount, sum(amount) OVER (PARTITION BY name) AS total
                FROM
                (
                    {rollup.grouped({"time": PERIOD, "name": key}, {"amount": f"toFloat64({amount})"})}
                )
            )
            WHERE total > 0
        )
    )
    GROUP BY time
)
ARRAY JOIN all_series AS series
ORDER BY time, series.1"""


def ratios(
    rollup: Rollup,
    label: str,
    key: str,
    numerator: str,
    denominator: str,
    *,
    weight: str = "sum(total_tokens)",
    leading: int = LEADING_SERIES,
) -> str:
    """Time series of a ratio of two aggregates for the `leading` groups by `weight`. Points without denominator: none.

    The rest is left out: a ratio over what is left of many groups says nothing about any of them.
    """
    sums = {"amount": weight, "upper": numerator, "lower": denominator}
    return f"""SELECT time, name AS {label}, upper / lower AS Value
FROM
(
    SELECT *, dense_rank() OVER (ORDER BY total DESC, name) AS place
    FROM
    (
        SELECT *, sum(amount) OVER (PARTITION BY name) AS total
        FROM
        (
            {rollup.grouped({"time": PERIOD, "name": key}, sums)}
        )
    )
    WHERE total > 0
)
WHERE place <= {leading} AND lower > 0
ORDER BY time, place"""


def values(rollup: Rollup, label: str, sums: Mapping[str, str], series: Mapping[str, str]) -> str:
    """Time series of named values: `sums` are aggregates by name, `series` expressions over them by series name."""
    pairs = ", ".join(f"('{name}', toNullable(toFloat64({sql})))" for name, sql in series.items())
    return f"""SELECT time, series.1 AS {label}, series.2 AS Value
FROM
(
    {rollup.grouped({"time": PERIOD}, sums)}
)
ARRAY JOIN [{pairs}] AS series
ORDER BY time, {label}"""


def total(rollup: Rollup, sums: Mapping[str, str], value: str) -> str:
    """One number over the range: `value` over the sums' names, which are added up. NULL without requests."""
    every_sum = {**sums, "attempts": "sum(requests)"}
    added = ", ".join(f"sum({name}) AS all_{name}" for name in every_sum)
    everything = rollup.grouped({"tier": "1"}, every_sum)
    return f"""SELECT if(all_attempts > 0, {value}, NULL) AS value
FROM
(
    SELECT {added}
    FROM
    (
        {everything}
    )
)"""


def options(stem: str, name: str) -> str:
    """The values that a variable offers: those that the range holds. The days know every name that the hours do."""
    dimension = {"author": "model", "continent": "country"}.get(name, name)
    day = "toStartOfDay($__fromTime, 'UTC')"
    where = f"p.window_start >= {day} AND p.window_start <= $__toTime"
    return f"{names(stem, '1d', dimension, LABELS[name], where)}\nORDER BY name"
