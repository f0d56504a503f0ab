"""What every dashboard has: its identity, the way to the others, variables, marks of alerts and of model launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import AnnotationQuery, DashboardCursorSync, DashboardLinkType

from tokentide_dashboards import alerts_sql, period_sql
from tokentide_dashboards.clickhouse_query import ClickHouseQuery, datasource
from tokentide_dashboards.panels import choice_variable, datasource_variable, one_of_variable
from tokentide_dashboards.partial_sums import part
from tokentide_dashboards.reader_days import DEFAULT_PERIOD, PERIODS, RANGE_START

TAG: Final = "tokentide"
LAUNCHES_OF_LEADING: Final = 40
"""Launches are marked of this many models with the most requests in the range: more lines would hide the chart."""

TOKENS_MEANING: Final = (
    "Tokens: input (uncached, cache read, cache write), output, reasoning, audio and image tokens of all attempts; "
    "attempts without reported usage add none."
)
PERIOD_MEANING: Final = (
    "Days, weeks (from Monday) and months begin at midnight in the dashboard's time zone, hours are UTC's; the first "
    "period is counted whole, the last as far as it has come."
)
RAW_MEANING: Final = "Reads raw events, which are kept for a limited time: no rollup has this."
COST_MEANING: Final = (
    "Cost: known cost in US dollars, after caching, without traffic on the clients' own provider keys; attempts whose "
    "cost is unknown add nothing."
)


def series_meaning(leading: int = period_sql.LEADING_SERIES) -> str:
    """How many groups have a series."""
    return f"The {leading} largest groups of the range have a series each, the rest is {period_sql.OTHER}."


_CHOICES: Final[dict[str, tuple[str, str]]] = {
    "provider": ("Provider", "Who served the request."),
    "model": ("Model", "Canonical model id."),
    "category": ("Category", "Root category."),
    "author": ("Author", "Who made the model, by the catalogue."),
    "country": ("Country", "ISO 3166-1 code of the billing country."),
    "continent": ("Continent", "Of the billing country."),
    "tenant": ("Tenant", "Customer, team or workspace that pays; selects in the panels of tenants only."),
    "app": ("App", "Application that sent the request; selects in the panels of apps only."),
}
_STEMS: Final[dict[str, str]] = {
    "provider": "rollup",
    "model": "rollup",
    "category": "rollup",
    "author": "rollup_models",
    "country": "rollup_geography",
    "continent": "rollup_geography",
    "tenant": "rollup_tenant",
    "app": "rollup_app",
}


def choice(name: str) -> dashboard.QueryVariable:
    """A variable with several values or All, offered as the range's rollups hold them."""
    label, description = _CHOICES[name]
    return choice_variable(name, label, description, period_sql.options(_STEMS[name], name))


def period_variable(chosen: str = DEFAULT_PERIOD) -> dashboard.CustomVariable:
    """The width of one point."""
    return one_of_variable(
        "period", "Period", "One point or bar covers this, in the dashboard's time zone.", PERIODS, chosen
    )


class SqlAnnotation(AnnotationQuery):
    """Marks in time from a query of ours: columns `time`, `title`, `text`, `tags`; with `timeEnd` they are regions."""

    def __init__(self, name: str, sql: str, color: str, ref_id: str) -> None:
        super().__init__(name=name, datasource=datasource(), enable=True, hide=False, icon_color=color)
        self._query = ClickHouseQuery(sql, "table", ref_id)

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it: the query itself is the target."""
        plain = super().to_json()
        plain.pop("builtIn", None)
        return {**plain, "target": self._query}


class _Annotation(dashboard.AnnotationQuery):
    def __init__(self, annotation: SqlAnnotation) -> None:
        super().__init__()
        self._internal = annotation


def launches_sql(leading: int = LAUNCHES_OF_LEADING) -> str:
    """Release dates, by the catalogue, of the range's leading models. Their order is all that the sum here is for."""
    return f"""SELECT
    toDateTime(release_date, 'UTC') AS time,
    name AS title,
    concat(author_name, if(open_weights, ', open weights', ', proprietary')) AS text,
    ['launch'] AS tags
FROM catalogue_models
WHERE release_date >= toDate({RANGE_START}) AND release_date <= toDate($__toTime)
    AND id IN
    (
        SELECT dictGetOrDefault('models', 'canonical_model', tuple(lower(used)), toString(used))
        FROM
        (
            SELECT p.model AS used, sum(p.requests) AS attempts
            FROM {part("rollup", "1d").partials_table} AS p
            WHERE p.window_start >= {RANGE_START} AND p.window_start <= $__toTime
            GROUP BY used
            ORDER BY attempts DESC, used
            LIMIT {leading}
        )
    )
ORDER BY time, title"""


def new_dashboard(
    title: str, uid: str, description: str, *, start: str, refresh: str, choices: Sequence[str] = (), marks: bool = True
) -> dashboard.Dashboard:
    """A dashboard without panels. `start`: of the range that ends now; `choices`: names of `choice` variables; `marks`:
    whether its charts show alerts."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .time(start, "now")
        .refresh(refresh)
        .timezone("browser")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(datasource_variable())
    )
    if marks:
        board = board.annotation(_Annotation(SqlAnnotation("Alerts", alerts_sql.MARKS, "orange", "Alerts")))
    for name in choices:
        board = board.with_variable(choice(name))
    return board


def period_dashboard(
    title: str, uid: str, description: str, *, choices: Sequence[str], start: str = "now-1y"
) -> dashboard.Dashboard:
    """A dashboard over calendar periods, with its period variable and the launches of models."""
    board = new_dashboard(title, uid, description, start=start, refresh="5m")
    board = board.with_variable(period_variable())
    for name in choices:
        board = board.with_variable(choice(name))
    return board.annotation(_Annotation(SqlAnnotation("Model launches", launches_sql(), "purple", "Launches")))
