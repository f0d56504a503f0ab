"""Alert rules for Grafana, over the same tables: what tokentide has found, and whether tokentide itself works.

In the shape of a provisioning file, which is not that of the HTTP API. Alert SQL never passes Grafana's front end, so
it has no variables, and no `$` at all: the loader replaces environment variables everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tokentide_dashboards.clickhouse_query import DATASOURCE_TYPE, FORMATS, PLUGIN_VERSION
from tokentide_dashboards.pipeline_sql import EFFECTIVE_LAG_MS

GROUP: Final = "tokentide"
INTERVAL: Final = "1m"
RUNBOOKS: Final = "docs/runbooks"
_RANGE_S: Final = 600
_RECENT_S: Final = 300
"""Traffic is judged over this time; the newest minute is still being filled."""

FIRING_SQL: Final = f"""SELECT
    severity,
    kind,
    if(
        startsWith(any(runbook_url), 'http'),
        any(runbook_url),
        concat(
            '{RUNBOOKS}/',
            transform(
                kind, ['usage_missing_rate', 'late_rate'], ['usage-missing', 'late-data'], replaceAll(kind, '_', '-')
            ),
            '.md'
        )
    ) AS runbook,
    toFloat64(count()) AS value
FROM alerts
WHERE state = 'firing' AND NOT is_silenced
GROUP BY severity, kind"""

NO_EVENTS_SQL: Final = f"""SELECT toFloat64(sum(requests)) AS value
FROM rollup_1m
WHERE window_start >= now() - {_RECENT_S + 60}"""

LAG_SQL: Final = f"""SELECT toFloat64(max(newest_lag_ms)) / 1000 AS value
FROM
(
    SELECT argMax({EFFECTIVE_LAG_MS}, sampled_at) AS newest_lag_ms
    FROM pipeline_samples
    WHERE sampled_at > now() - {_RECENT_S}
    GROUP BY component, topic, partition
)
HAVING count() > 0"""

DEAD_LETTERS_SQL: Final = "SELECT toFloat64(sum(events)) AS value\nFROM dead_letters_open"

ERROR_RATE_SQL: Final = f"""SELECT provider, sumIf(requests, outcome = 'error') / sum(requests) AS value
FROM rollup_1m
WHERE window_start >= now() - {_RECENT_S + 60}
GROUP BY provider
HAVING sum(requests) >= 100"""

COST_SQL: Final = """SELECT newest / usual AS value
FROM
(
    SELECT
        sumIf(cost_nanousd, window_start >= toStartOfHour(now()) - 3600) AS newest,
        sum(cost_nanousd) / greatest(uniqExact(window_start), 1) AS usual,
        uniqExact(window_start) AS hours
    FROM rollup_1h
    WHERE window_start >= toStartOfHour(now()) - 8 * 86400 AND window_start < toStartOfHour(now())
)
WHERE hours >= 24 AND usual > 0"""

DELIVERIES_SQL: Final = """SELECT receiver, toFloat64(count()) AS value
FROM alert_deliveries FINAL
WHERE attempted_at > now() - 900 AND (outcome IN ('refused', 'given_up') OR outcome = 'retrying' AND attempts >= 3)
GROUP BY receiver"""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule. panel: (dashboard's file name, panel's title) that shows what it is about. A row's text columns become
    labels, its number is compared with `limit`. runbook: a page's name, or a template of a whole address."""

    uid: str
    title: str
    sql: str
    comparison: Literal["gt", "lt"]
    limit: float
    held_for: str
    panel: tuple[str, str]
    runbook: str
    summary: str
    description: str
    severity: str
    no_data: Literal["OK", "Alerting", "NoData"] = "OK"


RULES: Final = (
    AlertRule(
        "tokentide-alert-firing", "An alert of tokentide goes on", FIRING_SQL, "gt", 0, "0s",
        ("alerts", "Firing now"), "{{ $labels.runbook }}",
        "{{ $labels.kind }} ({{ $labels.severity }}): alerts of tokentide go on: {{ $values.A.Value }}",
        "tokentide has found a shift in the traffic; the dashboard Alerts says which and who moved.",
        "{{ $labels.severity }}",
    ),
    AlertRule(
        "tokentide-no-events", "No events", NO_EVENTS_SQL, "lt", 1, "2m",
        ("now", "Requests per minute"), "no-events.md", "No usage events for five minutes",
        "Neither gateways nor the pipeline have brought an event into the rollups.", "critical", "Alerting",
    ),
    AlertRule(
        "tokentide-lag", "The pipeline lags", LAG_SQL, "gt", 60, "5m",
        ("pipeline", "Lag"), "lag.md", "The slowest consumer is {{ $values.A.Value }} s behind",
        "Numbers are stored later than they should be; nothing is lost while Kafka keeps the records.", "warning",
    ),
    AlertRule(
        "tokentide-dead-letters", "Dead letters are open", DEAD_LETTERS_SQL, "gt", 0, "5m",
        ("pipeline", "Open dead letters"), "dead-letters.md", "{{ $values.A.Value }} events could not be stored",
        "They are set aside with a reason, and nobody has decided about them yet.", "warning",
    ),
    AlertRule(
        "tokentide-error-rate", "A provider fails", ERROR_RATE_SQL, "gt", 0.1, "5m",
        ("providers", "Errors by provider"), "error-rate.md",
        "{{ $labels.provider }}: more than a tenth of the requests fail",
        "Attempts with the outcome error divided by all attempts of five minutes, of 100 at least.", "critical",
    ),
    AlertRule(
        "tokentide-cost", "An hour costs far more than usual", COST_SQL, "gt", 2, "0s",
        ("now", "Cost per hour"), "budget.md", "The last hour cost {{ $values.A.Value }} times the usual",
        "Known cost of the last complete hour over the mean of the last eight days' hours, from a day's history on. "
        "Budgets in USD belong into the alerts file.", "warning",
    ),
    AlertRule(
        "tokentide-not-told", "Alerts do not reach a receiver", DELIVERIES_SQL, "gt", 0, "0s",
        ("alerts", "Receivers"), "not-told.md", "{{ $labels.receiver }} does not take alerts",
        "The notifier has been refused, has given up, or has failed three times in the last quarter of an hour.",
        "warning",
    ),
)  # fmt: skip


def provisioning(dashboards: Mapping[str, Callable[[], Mapping[str, Any]]], folder: str, source: str) -> dict[str, Any]:
    """The file's content. dashboards: file name -> the dashboard's JSON; source: the data source's uid."""
    models = {name: dashboards[name]() for name in sorted({rule.panel[0] for rule in RULES})}
    rules = [_rule(rule, models[rule.panel[0]], source) for rule in RULES]
    group = {"orgId": 1, "name": GROUP, "folder": folder, "interval": INTERVAL, "rules": rules}
    return {"apiVersion": 1, "groups": [group]}


def api_group(provisioned: Mapping[str, Any], folder_uid: str) -> dict[str, Any]:
    """The file's group in the shape of the HTTP API's rule group. provisioned: of `provisioning`."""
    (group,) = provisioned["groups"]
    return {
        "title": group["name"],
        "folderUid": folder_uid,
        "interval": 60,
        "rules": [_api_rule(rule, folder_uid, group["name"]) for rule in group["rules"]],
    }


def _api_rule(rule: Mapping[str, Any], folder_uid: str, group: str) -> dict[str, Any]:
    kept = {key: rule[key] for key in ("uid", "title", "condition", "data", "for", "noDataState", "execErrState")}
    panel = {"__dashboardUid__": rule["dashboardUid"], "__panelId__": str(rule["panelId"])}
    return {
        **kept,
        "orgID": 1,
        "folderUID": folder_uid,
        "ruleGroup": group,
        "labels": {name: _unescaped(text) for name, text in rule["labels"].items()},
        "annotations": {**{name: _unescaped(text) for name, text in rule["annotations"].items()}, **panel},
    }


def _rule(rule: AlertRule, dashboard: Mapping[str, Any], source: str) -> dict[str, Any]:
    (panel_id,) = [panel["id"] for panel in dashboard["panels"] if panel["title"] == rule.panel[1]]
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "B",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": _RANGE_S, "to": 0},
                "datasourceUid": source,
                "model": {
                    "refId": "A",
                    "datasource": {"type": DATASOURCE_TYPE, "uid": source},
                    "editorType": "sql",
                    "queryType": "table",
                    "format": FORMATS["table"],
                    "rawSql": rule.sql,
                    "pluginVersion": PLUGIN_VERSION,
                    "intervalMs": 1000,
                    "maxDataPoints": 43_200,
                },
            },
            {
                "refId": "B",
                "relativeTimeRange": {"from": _RANGE_S, "to": 0},
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "datasource": {"type": "__expr__", "uid": "__expr__"},
                    "type": "threshold",
                    "expression": "A",
                    "conditions": [{"evaluator": {"type": rule.comparison, "params": [rule.limit]}}],
                },
            },
        ],
        "for": rule.held_for,
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "labels": {"severity": _escaped(rule.severity), "source": "tokentide"},
        "annotations": {
            "summary": _escaped(rule.summary),
            "description": rule.description,
            "runbook_url": _escaped(rule.runbook if "{{" in rule.runbook else f"{RUNBOOKS}/{rule.runbook}"),
        },
        "dashboardUid": dashboard["uid"],
        "panelId": panel_id,
    }


def _escaped(template: str) -> str:
    """The loader reads `$x` as an environment variable and `$$` as a dollar."""
    return template.replace("$", "$$")


def _unescaped(text: str) -> str:
    return text.replace("$$", "$")
