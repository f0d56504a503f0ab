"""The dashboard *Pipeline*: whether every event arrives, once, in time."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards import pipeline_sql as sql
from tokentide_dashboards.frame import RAW_MEANING, new_dashboard
from tokentide_dashboards.panels import RED, YELLOW, Grid, TableColumn, series_panel, stat_panel, table_panel

UID: Final = "tokentide-pipeline"


def pipeline_dashboard() -> Dashboard:
    """The dashboard as Grafana stores it."""
    grid = Grid()
    panels = [
        stat_panel(
            *grid.cell(4, 4), "Lag",
            "The slowest consumer and partition: age of the newest record that it has finished, 0 when it has finished "
            f"all. Newest samples, at most {sql.LAG_FRESH_S} s old.",
            sql.LAG_NOW, unit="ms", no_value="No samples", steps=[(5_000, YELLOW), (60_000, RED)],
        ),
        stat_panel(
            *grid.cell(4, 4), "Watermark age",
            "How long ago the event time is up to which the slowest partition is rolled up. It grows while nothing is "
            "sent; an idle partition holds nothing back.",
            sql.WATERMARK_AGE, unit="ms", no_value="Nothing rolled up",
        ),
        stat_panel(
            *grid.cell(4, 4), "Unaccounted",
            "Events that came, minus those stored, recognised as repeats, or refused: records of the range by the time "
            "the log took them. Anything but 0 is an error of the platform.",
            sql.UNACCOUNTED, unit="short", no_value="No records", steps=[(1, RED)],
        ),
        stat_panel(
            *grid.cell(4, 4), "Repeated",
            "Events recognised as repeats and not stored again, divided by all events that came in the range.",
            sql.DUPLICATES, unit="percentunit", no_value="No records", decimals=2,
        ),
        stat_panel(
            *grid.cell(4, 4), "Late",
            "Attempts that came after their window's close, divided by all attempts whose hour begins in the range. "
            "They are counted where they belong.",
            sql.LATE, unit="percentunit", no_value="No requests", decimals=2, steps=[(0.01, YELLOW), (0.05, RED)],
        ),
        stat_panel(
            *grid.cell(4, 4), "Open dead letters",
            "Events that could not be stored and about which nobody has decided yet, of any time: replay or discard "
            "them with `tokentide dlq`.",
            sql.OPEN_LETTERS, unit="short", no_value="0", steps=[(1, RED)],
        ),
        series_panel(
            *grid.cell(12, 8), "Lag in records",
            "Records of the log that a consumer has not finished, summed over its partitions; the worst sample of "
            "each partition in a point in time.",
            sql.lag_over_time("lag_records", "sum"), unit="short", stacked=False, min_interval="10s",
        ),
        series_panel(
            *grid.cell(12, 8), "Lag in time",
            "Age of the newest record that a consumer has finished, 0 when it has finished all; the worst partition "
            "and sample of each point in time.",
            sql.lag_over_time(sql.EFFECTIVE_LAG_MS, "max"), unit="ms", stacked=False, min_interval="10s",
        ),
        series_panel(
            *grid.cell(8, 9), "What became of the events",
            "Events of the records that the log took in a point in time: stored, recognised as repeats, or refused.",
            sql.EVENTS_OVER_TIME, unit="short", stacked=True,
        ),
        series_panel(
            *grid.cell(8, 9), "Late requests",
            "Attempts that came after their window's close, divided by all attempts of the hours in a point in time.",
            sql.LATE_OVER_TIME, unit="percentunit", stacked=False, min_interval="1h",
        ),
        series_panel(
            *grid.cell(8, 9), "Dead letters by reason",
            "Events that could not be stored and were set aside, by the time of their rejection, decided about or not.",
            sql.LETTERS_OVER_TIME, unit="short", stacked=True,
        ),
        table_panel(
            *grid.cell(14, 10), "Accounts",
            "Records of the range, by the time the log took them: events = stored + repeated + refused. `tokentide "
            "verify` proves it against the log itself.",
            sql.ACCOUNTS,
            columns=[
                *(TableColumn(name, "short") for name in ("Records", "Events", "Stored", "Repeated", "Refused")),
                TableColumn("Unaccounted", "short"),
                TableColumn("Newest", "dateTimeFromNow"),
            ],
        ),
        table_panel(
            *grid.cell(10, 10), "Rollup against raw",
            f"Attempts in each of the last {sql.RECONCILED_HOURS} hours of the range that ended at least "
            f"{sql.RECONCILE_AFTER_S // 60} minutes ago: raw events and the hourly rollup. {RAW_MEANING}",
            sql.RECONCILIATION,
            columns=[
                TableColumn("Hour", "dateTimeAsIso", width_px=180),
                TableColumn("Raw", "short"),
                TableColumn("Rolled up", "short"),
                TableColumn("Difference", "short"),
            ],
        ),
        table_panel(
            *grid.cell(14, 9), "Producers",
            "The 50 producers with the most events in the range, by the time the log took them. Repeated: sent again "
            "and recognised.",
            sql.PRODUCERS,
            columns=[
                *(TableColumn(name, "short") for name in ("Records", "Events", "Repeated", "Refused")),
                TableColumn("Newest", "dateTimeFromNow"),
            ],
        ),
        table_panel(
            *grid.cell(10, 9), "Open dead letters by reason",
            "Events that could not be stored and about which nobody has decided yet, of any time. Never content.",
            sql.LETTERS_BY_REASON,
            columns=[
                TableColumn("Letters", "short"),
                TableColumn("Events", "short"),
                TableColumn("Newest", "dateTimeFromNow"),
            ],
        ),
    ]  # fmt: skip
    board = new_dashboard(
        "Pipeline", UID, "Whether every event arrives once and in time: lag, late, repeats, dead letters, accounts.",
        start="now-6h", refresh="30s",
    )  # fmt: skip
    for panel in panels:
        board = board.with_panel(panel)
    return board.build()
