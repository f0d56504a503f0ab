"""The dashboard *Retention*: whether the users of a model come back."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards.data_links import cell, to_model
from tokentide_dashboards.frame import new_dashboard
from tokentide_dashboards.panels import Grid, TableColumn, choice_variable, series_panel, table_panel
from tokentide_schemas.kept_views import RETENTION, USERS_BY_MODEL

UID: Final = "tokentide-retention"
LEADING_MODELS: Final = 10
LEADING_COHORTS: Final = 12
MONTHS: Final = 12

_MODEL: Final = "if(canonical_model = '', '(none)', canonical_model)"
_SELECTED: Final = f"$__conditionalAll({_MODEL} IN (${{model:singlequote}}), $model)"
_IN_RANGE: Final = (
    "cohort_month >= toStartOfMonth(toDate($__fromTime, 'UTC')) AND cohort_month <= toDate($__toTime, 'UTC')"
)
_LAST_MONTH: Final = "toStartOfMonth(toDate(least($__toTime, now()), 'UTC'))"
COHORT_MEANING: Final = (
    "A cohort: users, as keyed hashes, whose first month with the model it is (UTC). Active: had at least one request "
    "with that model in a month; who comes back after a gap counts again. Requests without a user count for nobody. "
    "The month that is still running counts as far as it has come, of up to 15 minutes ago."
)

_PER_COHORT: Final = f"""SELECT
            {_MODEL} AS model_name, cohort_month, max(cohort_users) AS size,
            mapFromArrays(groupArray(toUInt16(months_since)), groupArray(share)) AS by_month
        FROM {RETENTION.recent}
        WHERE {_IN_RANGE} AND {_SELECTED}
        GROUP BY model_name, cohort_month"""

_MONTH_COLUMNS: Final = ",\n    ".join(
    f'if(addMonths(cohort_month, {month}) <= {_LAST_MONTH}, by_month[{month}], NULL) AS "{month}"'
    for month in range(1, MONTHS + 1)
)
COHORTS_SQL: Final = f"""SELECT
    model_name AS "Model",
    formatDateTime(cohort_month, '%Y-%m') AS "Cohort",
    size AS "Users",
    {_MONTH_COLUMNS}
FROM
(
    SELECT *, dense_rank() OVER (ORDER BY model_users DESC, model_name) AS place
    FROM
    (
        SELECT *, sum(size) OVER (PARTITION BY model_name) AS model_users
        FROM
        (
        {_PER_COHORT}
        )
    )
)
WHERE place <= {LEADING_MODELS}
ORDER BY place, cohort_month"""

CURVES_SQL: Final = f"""SELECT
    toDateTime(addMonths(cohort_month, since), 'UTC') AS time,
    concat(model_name, ' from ', formatDateTime(cohort_month, '%Y-%m')) AS cohort,
    by_month[toUInt16(since)] AS Value
FROM
(
    SELECT *, row_number() OVER (ORDER BY size DESC, model_name, cohort_month) AS place
    FROM
    (
        {_PER_COHORT}
    )
)
ARRAY JOIN range(1, toUInt16(greatest(dateDiff('month', cohort_month, {_LAST_MONTH}), 0) + 1)) AS since
WHERE place <= {LEADING_COHORTS}
ORDER BY time, place"""

USERS_SQL: Final = f"""SELECT time, name AS model, toFloat64(users) AS Value
FROM
(
    SELECT *, dense_rank() OVER (ORDER BY total DESC, name) AS place
    FROM
    (
        SELECT toDateTime(day, 'UTC') AS time, {_MODEL} AS name, users, sum(users) OVER (PARTITION BY name) AS total
        FROM {USERS_BY_MODEL.recent}
        WHERE day >= toDate($__fromTime, 'UTC') AND day <= toDate($__toTime, 'UTC') AND {_SELECTED}
    )
)
WHERE place <= {LEADING_MODELS}
ORDER BY time, place"""

MODEL_OPTIONS_SQL: Final = f"""SELECT DISTINCT {_MODEL} AS name
FROM {USERS_BY_MODEL.recent}
WHERE day >= toDate($__fromTime, 'UTC') AND day <= toDate($__toTime, 'UTC')
ORDER BY name"""


def retention_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    panels = [
        table_panel(
            *grid.cell(24, 14), "Retention by cohort",
            "Of the users of a cohort: the share that was active again so many months later. One row for each model "
            f"and month, of the {LEADING_MODELS} models with the most new users in the range. {COHORT_MEANING}",
            COHORTS_SQL,
            columns=[
                TableColumn("Model", "string", width_px=240, links=(to_model(cell("Model")),)),
                TableColumn("Cohort", "string", width_px=90),
                TableColumn("Users", "short", width_px=90),
                *(TableColumn(str(month), "percentunit", decimals=0, heat=True) for month in range(1, MONTHS + 1)),
            ],
        ),
        series_panel(
            *grid.cell(12, 11), "Retention of the largest cohorts",
            "Share of the cohort's users that was active in each later month. The "
            f"{LEADING_COHORTS} cohorts with the most users in the range. {COHORT_MEANING}",
            CURVES_SQL, unit="percentunit", stacked=False, min_interval="1d",
        ),
        series_panel(
            *grid.cell(12, 11), "Users a day by model",
            f"Distinct users of the model on the day (UTC), standard error about 0.3 %, the {LEADING_MODELS} models "
            "with the most, of up to 15 minutes ago. Requests without a user count for nobody.",
            USERS_SQL, unit="short", stacked=False, min_interval="1d",
        ),
    ]  # fmt: skip
    board = new_dashboard(
        "Retention", UID, "Whether the users of a model come back in later months.", start="now-1y", refresh="15m"
    ).with_variable(choice_variable("model", "Model", "Canonical model id.", MODEL_OPTIONS_SQL))
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
