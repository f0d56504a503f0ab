"""What the status panel shows, from the status files' content."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from tokentide_deploy.component import ComponentSpec, ComponentState
from tokentide_deploy.component_status import ComponentStatus, StackStatus, StatusHistory, read_status
from tokentide_deploy.stack_display import PlainDisplay
from tokentide_deploy.status_view import running_panel, short_number, status_line
from tokentide_deploy.supervisor import Component

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
UNKNOWN = StackStatus(events_per_s=None, tokens_per_day=None, stored_events_total=None, lag_records=None, lag_s=None)


def status(component: str = "events-sink", at_s: float = 0.0, **figures: float) -> ComponentStatus:
    at_ms = int((NOW.timestamp() + at_s) * 1000)
    return ComponentStatus.model_validate({"component": component, "updated_at_ms": at_ms, **figures})


def test_rates_come_from_the_events_sinks_totals_and_the_lag_from_the_furthest_behind() -> None:
    history = StatusHistory()
    worker = status("worker", 4, lag_records=70, lag_s=0.5)
    first = history.combine([status(stored_events_total=1000, stored_tokens_total=0, lag_records=3)], NOW)
    assert first.events_per_s is None
    assert first.stored_events_total == 1000
    later = status(at_s=4, stored_events_total=201_000, stored_tokens_total=4_000_000, lag_records=3)
    assert history.combine([later, worker], NOW + timedelta(seconds=4)) == StackStatus(
        events_per_s=50_000, tokens_per_day=8.64e10, stored_events_total=201_000, lag_records=70, lag_s=0.5
    )


def test_the_rate_follows_the_last_ten_seconds() -> None:
    history = StatusHistory()
    for second in range(31):
        total = 100 * min(second, 15)
        combined = history.combine([status(at_s=second, stored_events_total=total)], NOW + timedelta(seconds=second))
        if second == 15:
            assert combined.events_per_s == 100
    assert combined.events_per_s == 0


def test_a_sink_that_was_started_again_gives_no_negative_rate() -> None:
    history = StatusHistory()
    history.combine([status(stored_events_total=1000)], NOW)
    assert history.combine([status(at_s=1, stored_events_total=5)], NOW + timedelta(seconds=1)).events_per_s is None
    assert history.combine([status(at_s=2, stored_events_total=25)], NOW + timedelta(seconds=2)).events_per_s == 20


def test_a_component_that_does_not_report_any_more_is_unknown_not_zero() -> None:
    history = StatusHistory()
    assert history.combine([status(stored_events_total=5), None], NOW + timedelta(seconds=11)) == UNKNOWN
    assert history.combine([], NOW) == UNKNOWN


def test_a_missing_or_broken_status_file_is_unknown(tmp_path: Path) -> None:
    assert read_status(tmp_path / "none.json") is None
    (tmp_path / "broken.json").write_text('{"component": ')
    assert read_status(tmp_path / "broken.json") is None


def test_a_status_with_more_figures_than_we_know_is_read(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    file.write_text('{"component": "x", "updated_at_ms": 1772366400000, "lag_records": 1, "new_figure": [1]}')
    read = read_status(file)
    assert read is not None
    assert read.lag_records == 1


def test_numbers_are_short_and_unknown_is_a_dash() -> None:
    assert [short_number(value) for value in (None, 0, 999, 1234, 86.4e9, 1.5e12)] == [
        "\N{EN DASH}",
        "0",
        "999",
        "1.23K",
        "86.4B",
        "1.5T",
    ]


def test_the_status_line_says_unknown_and_restarts() -> None:
    line = status_line(UNKNOWN, {"kafka": 0, "store": 2}, 3725)
    assert line.startswith("up 1:02:05 | \N{EN DASH} events/s")
    assert "restarts: store 2" in line


def test_the_panel_fits_80_columns_and_marks_restarts(tmp_path: Path) -> None:
    names = ("kafka", "store", "stream", "events-sink", "rollups-sink", "simulator")
    components = [
        Component(ComponentSpec(name, (), {}, tmp_path, lambda: True), state=ComponentState.READY) for name in names
    ]
    components[1].restarts = 1
    figures = StackStatus(
        events_per_s=50_012.3, tokens_per_day=1.234e13, stored_events_total=123_456_789, lag_records=12_345, lag_s=0.4
    )
    console = Console(width=80, record=True, file=(tmp_path / "out").open("w"))
    console.print(running_panel(figures, components, 61))
    console.file.close()
    text = console.export_text()
    assert all(len(line) <= 80 for line in text.splitlines())
    for part in (
        "50,012",
        "12.3T",
        "123,456,789",
        "12,345 (0.4 s)",
        "store\N{NO-BREAK SPACE}(1\N{NO-BREAK SPACE}restart)",
        "simulator",
        "0:01:01",
    ):
        assert part in text


class _NothingDown:
    components: ClassVar[dict[str, object]] = {}
    failed = ()


def test_what_the_demo_is_about_to_do_is_said_once() -> None:
    text = "scenario: launch begins at 22:14:00 UTC: expect an alert by 22:17"
    now = StatusHistory().combine([status("simulator").model_copy(update={"scenario": text})], NOW)
    output = StringIO()
    display = PlainDisplay(output, show_status=False)
    for _ in range(3):
        display.running(now, _NothingDown(), 1.0)  # type: ignore[arg-type]
    assert output.getvalue() == f"{text}\n"
