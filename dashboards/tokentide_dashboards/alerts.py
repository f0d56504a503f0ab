"""The dashboard *Alerts*: what goes on, what went on, who moved, and who was told."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import alerts_sql as sql
from tokentide_dashboards.frame import new_dashboard
from tokentide_dashboards.panels import (
    RED,
    YELLOW,
    Grid,
    TableColumn,
    choice_variable,
    series_panel,
    stat_panel,
    table_panel,
)

UID: Final = "tokentide-alerts"
BEGIN_MEANING: Final = "Alerts belong to the time at which their cause began, not to the time of their finding."
SEVERITY_COLORS: Final = {"critical": RED, "warning": YELLOW, "info": "blue"}
_BEGAN: Final = TableColumn("Began", "dateTimeAsIso", width_px=170)


def alerts_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    panels = [
        stat_panel(
            *grid.cell(4, 4), "Firing now",
            "Alerts whose cause goes on, found in closed windows, and that are not silenced. Of any time, not of the "
            "range only.",
            sql.FIRING, unit="short", no_value="0", steps=[(1, YELLOW)],
        ),
        stat_panel(
            *grid.cell(4, 4), "Critical",
            "Alerts of the severity critical whose cause goes on and that are not silenced. Of any time.",
            sql.FIRING_CRITICAL, unit="short", no_value="0", steps=[(1, RED)],
        ),
        stat_panel(
            *grid.cell(4, 4), "Silenced",
            "Alerts whose cause goes on and that nobody is told of, because a silence or a maintenance window of the "
            "alerts file holds. Of any time.",
            sql.FIRING_SILENCED, unit="short", no_value="0",
        ),
        stat_panel(
            *grid.cell(4, 4), "Alerts in the range", f"Alerts that fired, silenced or not. {BEGIN_MEANING}",
            sql.COUNT, unit="short", no_value="0",
        ),
        stat_panel(
            *grid.cell(4, 4), "Median detection",
            "From the begin of the cause's first window to the end of the window that showed it, event time: half of "
            "the range's alerts were found sooner. What the pipeline needs to close a window comes on top.",
            sql.MEDIAN_FOUND_AFTER, unit="s", no_value="No alerts",
        ),
        stat_panel(
            *grid.cell(4, 4), "Not told",
            "Changes of alerts that a receiver does not have: refused, given up, or waiting for the next attempt. By "
            "the time of the newest attempt.",
            sql.NOT_TOLD, unit="short", no_value="0", steps=[(1, RED)],
        ),
        table_panel(
            *grid.cell(24, 7), "Going on",
            "Every alert whose cause goes on, of any time; the most severe first, silenced ones last. The key is the "
            "most responsible one.",
            sql.FIRING_NOW,
            columns=[
                TableColumn("Since", "dateTimeAsIso", width_px=170),
                TableColumn("Severity", "string", width_px=90),
                TableColumn("Kind", "string", width_px=110),
            ],
        ),
        series_panel(
            *grid.cell(8, 9), "Alerts by kind", f"How many alerts of each kind began in a point. {BEGIN_MEANING}",
            sql.BY_KIND_OVER_TIME, unit="short", stacked=True, min_interval="10m", bars=True,
        ),
        series_panel(
            *grid.cell(8, 9), "Alerts by severity",
            f"How many alerts of each severity began in a point. {BEGIN_MEANING}",
            sql.BY_SEVERITY_OVER_TIME, unit="short", stacked=True, min_interval="10m", bars=True,
            colors=SEVERITY_COLORS,
        ),
        series_panel(
            *grid.cell(8, 9), "Time to detection",
            "From the begin of the cause's first window to the end of the window that showed it: the slowest alert of "
            f"each kind in a point. {BEGIN_MEANING}",
            sql.FOUND_AFTER_OVER_TIME, unit="s", stacked=False, min_interval="10m", bars=True,
        ),
        table_panel(
            *grid.cell(24, 10), "History",
            f"The newest {sql.HISTORY_ROWS} alerts of the range. Change: of the most responsible key, in the unit "
            f"beside it. Lasted: until now where it goes on. {BEGIN_MEANING}",
            sql.HISTORY,
            columns=[
                _BEGAN,
                TableColumn("Lasted", "s"),
                TableColumn("Change", "short", decimals=2, signed=True),
                TableColumn("Found after", "s"),
            ],
        ),
        table_panel(
            *grid.cell(16, 11), "Who gained and who lost",
            "The keys behind each alert of the range. Before and after: share in percentage points, or the measure "
            "itself; by mix: what the change of share alone would have made of the measure; by volume: what the change "
            "of the total alone would have.",
            sql.ATTRIBUTION,
            columns=[
                _BEGAN,
                TableColumn("Change in pp", "short", decimals=2, signed=True),
                TableColumn("Before", "short", decimals=2),
                TableColumn("After", "short", decimals=2),
                TableColumn("By mix", "short"),
                TableColumn("By volume", "short"),
            ],
        ),
        table_panel(
            *grid.cell(8, 11), "Alerts by rule",
            "How often each rule of the alerts file fired in the range, and medians of the time to detection and of "
            "how long it lasted. A rule that fires often and briefly wants tuning: `tokentide alerts backtest`.",
            sql.BY_RULE,
            columns=[
                TableColumn("Alerts", "short"),
                TableColumn("Going on", "short"),
                TableColumn("Silenced", "short"),
                TableColumn("Found after", "s"),
                TableColumn("Lasted", "s"),
            ],
        ),
        table_panel(
            *grid.cell(12, 9), "Receivers",
            "What became of telling each receiver of the alerts file, by the time of the newest attempt. Ended first: "
            "the alert was over before it could be told, and its end was told instead.",
            sql.BY_RECEIVER,
            columns=[
                *(TableColumn(name, "short") for name in ("Told", "Waiting", "Not told", "Ended first")),
                TableColumn("Attempts", "short"),
                TableColumn("Newest", "dateTimeFromNow"),
            ],
        ),
        table_panel(
            *grid.cell(12, 9), "Deliveries with trouble",
            "Changes of alerts that a receiver has not got, or not at the first attempt's word: the newest attempt and "
            "what it ended with. Never an address or a secret.",
            sql.TROUBLE,
            columns=[
                TableColumn("Time", "dateTimeAsIso", width_px=170),
                TableColumn("Attempts", "short"),
                TableColumn("HTTP", "none"),
            ],
        ),
        table_panel(
            *grid.cell(24, 6), "Silenced in the range",
            "Alerts that were stored and not told, and the silence or maintenance window of the alerts file that kept "
            f"them. {BEGIN_MEANING}",
            sql.SILENCED,
            columns=[_BEGAN],
        ),
    ]  # fmt: skip
    board = new_dashboard(
        "Alerts", UID, "What goes on, what went on, who gained and lost, and who was told.",
        start="now-24h", refresh="30s", marks=False,
    )  # fmt: skip
    board = board.with_variable(
        choice_variable("severity", "Severity", "How soon somebody should look.", sql.choices("severity"))
    ).with_variable(choice_variable("rule", "Rule", "Rule of the alerts file.", sql.choices("rule")))
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
